"""A statement is compiled once for a shape of question, and a long one holds nobody up."""

import asyncio
import threading
from typing import Any

import httpx
import pytest

from app.catalogue.entries import load_entry
from app.kit import clock
from app.query import cql
from app.query.question import Question
from app.tables import read
from app.tables.read import TableReader
from app.tables.sql import Reading
from tests.stock import stocked
from tests.world import World


@pytest.mark.parametrize(
    ("words", "is_here"),
    [
        ("size = 1", True),
        (" OR ".join(["size = 1"] * 12), True),
        (" OR ".join(["size = 1"] * 400), False),
        ("size ^ 2 = 1", False),
        (" OR ".join(["CASEI(name) = 'a'"] * 10), False),
    ],
)
async def test_a_long_filter_is_compiled_once_and_in_a_thread(
    client: httpx.AsyncClient,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    is_here: bool,
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "A", "size": 1}, {"no": "2", "size": 3}])
    async with world.platform.database.reading() as session:
        version = (await load_entry(session, dataset)).version
    assert version is not None
    where = cql.parse_text(words, version.fields.__getitem__)
    reading = Reading(Question(fields=(), where=where), version.revision, (), clock.now())
    reader = TableReader(world.platform.database.pool)
    compiled: list[bool] = []
    compile_here = read._compiled

    def compiling(*asked: Any) -> Any:
        compiled.append(threading.current_thread() is threading.main_thread())
        return compile_here(*asked)

    monkeypatch.setattr(read, "_compiled", compiling)

    found = await asyncio.gather(*[reader.count(version.source, (), reading) for _ in range(3)])

    assert found == [1, 1, 1]
    assert compiled == [is_here]
    _ = client
