"""What a publisher says of a file goes before what the bytes suggest, and outlives the file."""

import io
import zipfile
from typing import Any

import httpx
import pytest

from app.models.parties import Role
from tests.stock import path, stocked
from tests.world import KENKO, World

pytestmark = pytest.mark.usefixtures("worker")


async def undeclared(world: World) -> tuple[str, dict[str, str]]:
    dataset = await stocked(world, [])
    await world.platform.database.pool.execute(
        "UPDATE dataset SET fields = NULL WHERE id = $1", dataset
    )
    return dataset, await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")


def archive(**members: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in members.items():
            made.writestr(f"{name}.csv", text)
    return held.getvalue()


async def change(
    client: httpx.AsyncClient, steward: dict[str, str], dataset: str, body: dict[str, Any]
) -> httpx.Response:
    return await client.patch(f"/v1/datasets/{dataset}", json=body, headers=steward)


async def test_of_several_tables_the_publisher_says_which(world: World) -> None:
    dataset, steward = await undeclared(world)
    file = archive(parks="番号,名称\n1,架空公園\n", toilets="番号,名称\n1,架空トイレ\n2,乙\n")

    unsaid = await world.load(steward, dataset, file)
    missing = await world.load(steward, dataset, file, table="schools")
    said = await world.load(steward, dataset, file, table="toilets.csv")

    assert (unsaid["state"], unsaid["error_code"]) == ("failed", "several_tables")
    assert "parks.csv" in unsaid["error_ja"]
    assert (missing["state"], missing["error_code"]) == ("failed", "table_not_found")
    assert (said["state"], said["rows_accepted"], said["table_name"]) == ("ok", 2, "toilets.csv")


async def test_another_table_of_the_same_file_is_another_version(world: World) -> None:
    dataset, steward = await undeclared(world)
    file = archive(parks="番号,名称\n1,架空公園\n", toilets="番号,名称\n1,架空トイレ\n2,乙\n")

    runs = [await world.load(steward, dataset, file, table=name) for name in ("1", "2", "2")]

    assert [run["version_number"] for run in runs] == [1, 2, 2]
    assert [run["unchanged"] for run in runs] == [False, False, True]


async def test_a_type_that_the_steward_has_set_survives_every_later_file(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, steward = await undeclared(world)
    first = await world.load(steward, dataset, "区分,名称\n1,甲\n2,乙\n".encode())
    guessed = [(column["label"], column["type"]) for column in first["columns"]]

    changed = await change(client, steward, dataset, {"fields": [
        {"name": "kind", "label": "区分", "type": "code"},
        {"name": "name", "label": "名称", "type": "text"},
    ]})  # fmt: skip
    runs = [
        await world.load(steward, dataset, text.encode())
        for text in ("区分,名称\n01,甲\n", "名称,区分\n丙,02\n")
    ]
    await world.publish(steward, runs[-1])

    assert guessed == [("区分", "integer"), ("名称", "text")]
    assert changed.status_code == 200, changed.text
    assert [run["state"] for run in runs] == ["ok", "ok"]
    records = (await client.get(path(dataset))).json()["records"]
    assert records == [{"kind": "02", "name": "丙"}]


async def test_the_same_file_under_other_fields_is_read_anew(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, steward = await undeclared(world)
    file = "区分,名称\n1,甲\n".encode()
    await world.load(steward, dataset, file)

    await change(client, steward, dataset, {"fields": [
        {"name": "kind", "label": "区分", "type": "code"},
    ]})  # fmt: skip
    again = await world.load(steward, dataset, file)

    assert (again["unchanged"], again["version_number"]) == (False, 2)


async def test_an_encoding_said_with_the_dataset_holds_for_its_files(
    client: httpx.AsyncClient, world: World
) -> None:
    """Half-width kana that are valid EUC-JP as well: only the publisher knows."""
    dataset, steward = await undeclared(world)
    file = "名称,備考\nｶｸｳ,x\n".encode("cp932")

    said = await change(client, steward, dataset, {"reading": {"encoding": "cp932"}})
    run = await world.load(steward, dataset, file)

    assert said.status_code == 200, said.text
    assert (run["state"], run["encoding"]) == ("ok", "cp932")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"fields": [{"name": "a", "type": "text"}, {"name": "a", "type": "text"}]}, "/fields/1"),
        ({"fields": []}, "/fields"),
        ({"mapping": [{"to": "nowhere", "from": ["名称"]}]}, "/mapping"),
        ({"reading": {"encodings": "cp932"}}, "/reading/encodings"),
        ({"reading": {"fixed_width": {"columns": []}}}, "/reading/fixed_width/columns"),
    ],
)
async def test_a_wrong_word_on_reading_is_refused_by_its_place(
    client: httpx.AsyncClient, world: World, body: dict[str, Any], pointer: str
) -> None:
    dataset, steward = await undeclared(world)

    refused = await change(client, steward, dataset, body)

    assert refused.status_code == 422
    assert any(fault["pointer"].startswith(pointer) for fault in refused.json()["errors"])


async def test_a_delta_replaces_by_key_adds_what_is_new_and_leaves_the_rest(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, steward = await undeclared(world)
    whole = await world.load(steward, dataset, "番号,名称\n1,甲\n2,乙\n3,丙\n".encode())
    await world.publish(steward, whole)

    changed = await world.load(steward, dataset, "番号,名称\n2,乙２\n4,丁\n".encode(), delta="true")
    await world.publish(steward, changed)
    records = (await client.get(path(dataset))).json()["records"]
    diff = await client.get(f"/v1/datasets/{dataset}/diff", params={"from": "1", "to": "2"})

    assert sorted(tuple(record.values()) for record in records) == [
        ("1", "甲"),
        ("2", "乙２"),
        ("3", "丙"),
        ("4", "丁"),
    ]
    assert diff.json()["rows"] == {"added": 1, "removed": 0, "changed": 1}
    assert (changed["rows_read"], changed["rows_accepted"]) == (2, 2)


async def test_a_delta_without_anything_to_change_is_refused(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, steward = await undeclared(world)
    address = f"/v1/datasets/{dataset}/versions"
    asked = {"params": {"delta": "true"}, "headers": steward, "content": "名称\n甲\n".encode()}

    nothing = await client.post(address, **asked)  # type: ignore[arg-type]
    await world.publish(steward, await world.load(steward, dataset, "名称\n甲\n".encode()))
    keyless = await client.post(address, **asked)  # type: ignore[arg-type]

    assert (nothing.status_code, nothing.json()["code"]) == (404, "no_version_published")
    assert (keyless.status_code, keyless.json()["code"]) == (409, "dataset_has_no_key")
