"""Two platforms over real HTTP: what one has, the other harvests, follows and asks for."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from app.connectors.errors import CannotAnswer, SourceBroken, SourceError, SourceRefused
from app.connectors.frame import Known
from app.connectors.linkage import LinkageConnector, LinkageSelection
from app.kit import passage
from app.query.fields import Field, FieldType, place_of
from app.query.matches import matches
from app.query.params import Known as KnownFields
from app.query.question import Box, Compare, Question, Words
from tests.connectors.contract import Contract, Row, Stage, rows_of
from tests.connectors.farm import Farm
from tests.connectors.linkage.conftest import Other
from tests.connectors.sources import means
from tests.stock import PURPOSE, agreed, path, put, stocked
from tests.world import KENKO

ROWS: list[Row] = [{"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空、第二"}]
_SPECS: Any = (("no", "code", {"key": True}), ("name", "text"))
_TYPES = {"no": "code", "name": "text"}


class TestLinkage(Contract):
    """Restricted data of another platform: an agreement, a key, and tokens bound to another."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, other: Other) -> AsyncIterator[Stage]:
        dataset = await stocked(other.world, ROWS, _SPECS, data_class="restricted")
        party, auth = await other.client_of()
        agreement, _ = await agreed(other.world, dataset, party)
        async with means() as its:
            connector = other.connector(its, auth)
            told = {"dataset": dataset, "purpose": PURPOSE, "agreement": agreement, "types": _TYPES}

            async def add(row: Row) -> None:
                await put(other.world, dataset, [row])

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9"}
                connector.settings = connector.settings.model_copy(update=gone)

            yield Stage(
                connector, LinkageSelection.model_validate(told), ROWS, add, go_away,
                lambda: other.door.open_now, json.loads(auth["key"])["d"], [dataset],
            )  # fmt: skip
