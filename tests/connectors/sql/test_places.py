"""A place is asked of a database as bounds of two columns, and judged of what comes."""

import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from app.live.judged import chosen
from app.live.parted import parted
from app.query.fields import Field, FieldType
from app.query.question import Box, Compare, Near, Question
from tests.connectors.sources import means

NO = Field("no", "no", "no", FieldType.INTEGER)
LAT = Field("lat", "lat", "lat", FieldType.LATITUDE)
LON = Field("lon", "lon", "lon", FieldType.LONGITUDE)
SHAPE = Field("shape", "shape", "shape", FieldType.GEOMETRY)
FIELDS = (NO, LAT, LON)
_DICE = random.Random(20260404)
ROWS: list[dict[str, Any]] = [
    {"no": no, "lat": lat, "lon": lon}
    for no, (lat, lon) in enumerate([
        (35.0, 135.0), (35.1, 135.1), (35.1, 135.0), (None, 135.05), (35.05, None),
        (0.0, 0.0), (-0.1, 179.95), (0.1, -179.95), (89.95, 0.0), (89.95, 120.0),
        *((_DICE.uniform(34.9, 35.2), _DICE.uniform(134.9, 135.2)) for _ in range(300)),
    ])
]  # fmt: skip
SELECTION = SqlSelection.model_validate({"table": "t", "types": {"lat": "float", "lon": "float"}})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connector(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SqlConnector]:
    """The rows in a file."""
    folder: Path = tmp_path_factory.mktemp("places")
    owner = sqlite3.connect(folder / "t.sqlite3")
    owner.execute("CREATE TABLE t (no INTEGER PRIMARY KEY, lat REAL, lon REAL)")
    owner.executemany("INSERT INTO t VALUES (:no, :lat, :lon)", ROWS)
    owner.commit()
    owner.close()
    async with means("127.0.0.0/8", folder) as its:
        told = {"dialect": "sqlite", "database": str(folder / "t.sqlite3")}
        yield SqlConnector(SqlSettings.model_validate(told), its)


# A place, and how many rows are had of so many at the most.
@pytest.mark.parametrize(
    ("place", "most"),
    [
        ({"box": Box(135.0, 35.0, 135.1, 35.1)}, 80),
        ({"box": Box(179.9, -1, -179.9, 1)}, 2),  # over the antimeridian
        ({"box": Box(0.0, 0.0, 0.0, 0.0)}, 1),
        ({"near": Near(35.05, 135.05, 3_000.0)}, 80),
        ({"near": Near(0.0, 180.0, 20_000.0)}, 2),
        ({"near": Near(89.99, 10.0, 50_000.0)}, len(ROWS)),  # at a pole there are no bounds
        ({"box": Box(135.0, 35.0, 135.1, 35.1), "near": Near(35.0, 135.0, 500.0)}, 20),
        ({"box": Box(135.0, 35.0, 135.1, 35.1), "where": Compare(NO, "<", 3)}, 3),
    ],
)
async def test_no_row_of_a_place_is_lost_and_few_others_come(
    connector: SqlConnector, place: dict[str, Any], most: int
) -> None:
    question = Question(FIELDS, limit=10, **place)

    said = parted(connector, SELECTION, question, FIELDS, None, skip=0)
    async with connector.fetch(SELECTION, said.asked) as got:
        assert got is not None
        rows = [dict(row) async for batch in got.batches for row in batch]

    assert list(chosen(rows, question, FIELDS)) == list(chosen(ROWS, question, FIELDS))
    assert 0 < len(rows) <= most
    assert (said.is_filtered, said.is_cut) == (False, False)


async def test_where_a_record_has_a_shape_its_point_bounds_nothing(connector: SqlConnector) -> None:
    question = Question((*FIELDS, SHAPE), box=Box(135.0, 35.0, 135.1, 35.1), limit=10)

    assert parted(connector, SELECTION, question, question.fields, None, skip=0).asked.where is None
