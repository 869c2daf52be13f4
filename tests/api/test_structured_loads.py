"""JSON, feeds, archives and fixed-length files by the same door as any file, to their records."""

import json
from typing import Any

import httpx
import pytest

from app.models.parties import Role
from tests.formats.test_archives import packed
from tests.formats.test_gtfs import FEED
from tests.stock import path, stocked
from tests.world import KENKO, World

pytestmark = pytest.mark.usefixtures("worker")


async def undeclared(world: World) -> tuple[str, dict[str, str]]:
    dataset = await stocked(world, [])
    await world.platform.database.pool.execute(
        "UPDATE dataset SET fields = NULL WHERE id = $1", dataset
    )
    return dataset, await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")


async def records(client: httpx.AsyncClient, dataset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(path(dataset))).json()["records"]
    return found


async def test_lines_of_json_load_and_the_wrong_ones_come_back_with_their_reasons(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, steward = await undeclared(world)
    lines = ['{"id":"01","size":1.50}', '{"id":"\\ud800"}', '{"id":"\\u0000"}', "{", '{"id":"02"}']

    run = await world.load(steward, dataset, "\n".join(lines).encode())
    await world.publish(steward, run)
    rejects = await client.get(f"/v1/runs/{run['id']}/rejects", headers=steward)

    assert (run["state"], run["format"], run["rows_accepted"]) == ("degraded", "ndjson", 2)
    assert [(each["line"], each["code"]) for each in rejects.json()["items"]] == [
        (2, "lone_surrogate"),
        (3, "nul_character"),
        (4, "json_line_invalid"),
    ]
    assert [record["id"] for record in await records(client, dataset)] == ["01", "02"]


async def test_one_file_of_a_feed_loads_with_its_key_and_shape(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, steward = await undeclared(world)

    run = await world.load(steward, dataset, packed(FEED), table="shapes (lines)")
    await world.publish(steward, run)

    assert (run["state"], run["format"], run["table_name"]) == (
        "degraded",
        "gtfs",
        "shapes (lines)",
    )
    (record,) = await records(client, dataset)
    assert record["shape_id"] == "H1"
    assert record["geometry"]["type"] == "LineString"


async def test_a_layout_kept_with_the_dataset_reads_its_fixed_length_files(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, steward = await undeclared(world)
    columns = [
        {"label": "番号", "start": 1, "length": 4},
        {"label": "名称", "start": 5, "length": 8},
        {"label": "金額", "start": 13, "length": 3, "type": "packed", "scale": 2},
    ]
    reading = {"fixed_width": {"encoding": "cp932", "record_length": 15, "columns": columns}}
    file = (
        "0001公園    ".encode("cp932")
        + b"\x12\x34\x5d"
        + "0002学校    ".encode("cp932")
        + b"\x12\x34\x56"
    )

    changed = await client.patch(f"/v1/datasets/{dataset}", json={"reading": reading}, headers=steward)  # fmt: skip
    run = await world.load(steward, dataset, file)
    short = await world.load(steward, dataset, file[:-1])
    await world.publish(steward, run)

    assert changed.status_code == 200, changed.text
    assert (run["state"], run["format"]) == ("degraded", "fixed_width")
    assert (short["state"], short["error_code"]) == ("failed", "fixed_width_length")
    (record,) = await records(client, dataset)
    assert json.dumps(list(record.values()), ensure_ascii=False) == '["0001", "公園", -123.45]'


async def test_a_bomb_ends_the_run_with_a_clear_word(world: World) -> None:
    dataset, steward = await undeclared(world)

    run = await world.load(steward, dataset, packed({"a.csv": b"a,b\n" * (20 << 20)}))

    assert (run["state"], run["error_code"]) == ("failed", "file_dangerous")
