"""All that a department owns leaves one platform and stands on a clean one as it stood (R16)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.tasks.owner_import import Report, import_archive
from tests.conftest import TEMPLATE
from tests.connectors.other import Other, other_platform
from tests.database import DatabaseServer
from tests.moving.home import Home, exported, furnished, hashes_of, manifest_of
from tests.world import World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("worker")]


@dataclass(frozen=True, slots=True)
class Move:
    """A move that was made: the archive, the report, and the archive of the new home."""

    home: Home
    there: Other
    archive: Path
    again: Path
    kid: str
    report: Report


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clean(
    template: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Other]:
    async with other_platform(template, TEMPLATE, tmp_path_factory.mktemp("clean")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def move(
    platform: Platform, client: httpx.AsyncClient, worker: None, clean: Other,
    tmp_path_factory: pytest.TempPathFactory,
) -> Move:  # fmt: skip
    world = World(platform, client)
    await world.start()
    home = await furnished(world)
    folder = tmp_path_factory.mktemp("archives")
    archive, again = folder / "first.zip", folder / "second.zip"
    made = await exported(platform, archive)
    report = await import_archive(
        clean.world.platform.database, archive, frozenset({made.kid}), by="test"
    )
    await exported(clean.world.platform, again)
    return Move(home, clean, archive, again, made.kid, report)


async def test_a_clean_platform_has_equal_counts_and_hashes_and_exports_the_same_again(
    move: Move,
) -> None:
    first, second = manifest_of(move.archive), manifest_of(move.again)

    assert move.report.is_equal
    assert second["counts"] == first["counts"]
    assert hashes_of(move.again) == hashes_of(move.archive)
