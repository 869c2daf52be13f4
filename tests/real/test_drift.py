"""Series that a city published month by month: a change of layout is told, and harms nothing."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.models.parties import Role
from tests.stock import path, stocked
from tests.world import KENKO, World

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [
    pytest.mark.skipif(
        not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
    ),
    pytest.mark.usefixtures("worker"),
]
TAKAMATSU = DATA / "takamatsu/csv_cp932"


async def undeclared(world: World) -> tuple[str, dict[str, str]]:
    """A dataset whose fields come from its first file."""
    dataset = await stocked(world, [])
    await world.platform.database.pool.execute(
        "UPDATE dataset SET fields = NULL WHERE id = $1", dataset
    )
    steward = await world.party(KENKO, Role.STEWARD)
    return dataset, await world.token(steward, "catalogue:write")


async def stored(client: httpx.AsyncClient, dataset: str, version: int) -> list[dict[str, Any]]:
    query = {"version": str(version), "limit": "10000"}
    answer = await client.get(path(dataset), params=query)
    records: list[dict[str, Any]] = answer.json()["records"]
    return records


def codes(run: dict[str, Any]) -> set[str]:
    return {notice["code"] for notice in run["notices"]}


@pytest.mark.parametrize("series", ["0066_population", "0084_school_lunch"])
async def test_each_month_loads_and_no_earlier_month_changes(
    client: httpx.AsyncClient, world: World, series: str
) -> None:
    dataset, steward = await undeclared(world)
    kept: dict[int, list[dict[str, Any]]] = {}

    for month in sorted(TAKAMATSU.glob(f"{series}_*.csv")):
        run = await world.load(steward, dataset, month.read_bytes())
        assert run["state"] in ("ok", "degraded"), (month.name, run["error_ja"])
        await world.publish(steward, run)
        kept[run["version_number"]] = await stored(client, dataset, run["version_number"])
        for number, before in kept.items():
            assert await stored(client, dataset, number) == before

    names = {tuple(records[0]) for records in kept.values()}
    assert len(names) == 1, "the fields that readers know stay as they are"


async def test_nine_rows_of_metadata_before_the_header_of_the_third_month_are_told(
    world: World,
) -> None:
    dataset, steward = await undeclared(world)

    runs = [
        await world.load(
            steward, dataset, (TAKAMATSU / f"0066_population_{month}.csv").read_bytes()
        )
        for month in ("202305", "202306")
    ]

    assert "metadata_skipped" not in codes(runs[0])
    assert "metadata_skipped" in codes(runs[1])
    assert runs[1]["header_line"] == 7


async def test_another_generation_of_the_standard_is_told_column_by_column(
    client: httpx.AsyncClient, world: World
) -> None:
    """Columns that came or went are named, what no field takes is kept beside the record."""
    dataset, steward = await undeclared(world)
    first = "ID,名称,住所,緯度,経度\nA1,架空公園,大阪市北区架空1,34.7,135.5\n"
    second = (
        "ID,名称,所在地_連結表記,緯度,経度,管理者\nA1,架空公園,大阪市北区架空1,34.7,135.5,公園課\n"
    )
    run = await world.load(steward, dataset, first.encode("cp932"))
    await world.publish(steward, run)

    later = await world.load(steward, dataset, second.encode("cp932"))
    await world.publish(steward, later)
    own = await world.token(await world.party(KENKO), f"dataset:{dataset}:read")
    asked = {"originals": "true", "purpose": "own-duty"}
    answer = await client.get(path(dataset), params=asked, headers=own)

    told = {notice["code"]: notice["ja"] for notice in later["notices"]}
    assert "管理者" in told["unknown_column"]
    assert "field_without_column" not in told, "住所 and 所在地_連結表記 are the same column"
    assert answer.json()["records"][0]["_extras"] == {"管理者": "公園課"}
    assert await stored(client, dataset, 2) == await stored(client, dataset, 1)
