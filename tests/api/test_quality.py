"""The score of a version: reproducible, exact, lowered by each fault and raised by each mend."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.catalogue import measuring, quality
from app.kit import clock
from app.models.datasets import Dataset, Version
from app.models.parties import Role
from app.tasks.measure import measure
from tests.stock import Spec, put, stocked
from tests.world import KENKO, SAKAI, World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True, "label": "番号"}),
    ("name", "text", {"label": "名称", "required": True}),
    ("size", "integer", {"label": "定員"}),
    ("opened", "date", {"label": "開設日"}),
)
HEADER = "番号,名称,定員,開設日\n"
POOR = HEADER + (
    "1,架空第一,10,2020-01-01\n"
    "2,架空第二,２０,令和4年4月1日\n"
    "3,不明,,2020-01-01\n"
    "3,架空第三,30,2020-01-01\n"
    "4,架空第四,多数,2020-01-01\n"
    "5,,50,2020-01-01\n"
)
GOOD = HEADER + "".join(f"{at},架空第{at},{at}0,2020-01-01\n" for at in (1, 2, 3))


async def made(
    world: World, *, frequency: str = "monthly", specs: tuple[Spec, ...] = SPECS, **more: Any
) -> tuple[str, dict[str, str]]:
    dataset = await stocked(world, [], specs, **more)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET update_frequency = $2 WHERE id = $1", dataset, frequency
    )
    steward = await world.party(KENKO, Role.STEWARD)
    return dataset, await world.token(steward, "catalogue:write")


async def loaded(world: World, headers: dict[str, str], dataset: str, text: str) -> dict[str, Any]:
    run = await world.load(headers, dataset, text.encode())
    assert run["state"] in ("ok", "degraded"), run
    await world.publish(headers, run)
    return run


async def asked(client: httpx.AsyncClient, dataset: str, **query: Any) -> dict[str, Any]:
    response = await client.get(f"/v1/datasets/{dataset}/quality", params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def scores(found: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["score"] for each in found["dimensions"]}


def rules(found: dict[str, Any]) -> set[tuple[str, str, str | None, int | None]]:
    return {(f["dimension"], f["code"], f["field"], f["rows"]) for f in found["failed"]}


@pytest.mark.usefixtures("worker")
async def test_each_fault_of_a_file_is_named_with_its_rows_and_its_mend(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    run = await loaded(world, headers, dataset, POOR)

    found = await asked(client, dataset)

    assert (run["rows_accepted"], run["rows_rejected"]) == (3, 3)
    assert rules(found) == {
        ("completeness", "required_missing", "name", 1),
        ("completeness", "cells_empty", "size", 1),
        ("completeness", "placeholder_text", "name", 1),
        ("validity", "required_missing", "name", 1),
        ("validity", "invalid_integer", "size", 1),
        ("validity", "cells_repaired", "size", 1),
        ("validity", "cells_repaired", "opened", 1),
        ("uniqueness", "duplicate_key", "no", 1),
        ("machine_readability", "not_linked", None, None),
    }
    first = {each["code"]: each["first"] for each in found["failed"]}
    assert (first["duplicate_key"], first["invalid_integer"]) == (["5"], ["6"])
    assert first["placeholder_text"] == ["3"]
    (size,) = [each for each in found["failed"] if each["code"] == "invalid_integer"]
    assert size["mend_ja"].startswith("「定員」: ")
    assert all(f["mend_ja"] and f["mend_en"] and "{" not in f["mend_en"] for f in found["failed"])
    # completeness: (5 of 7 needed + 10 of 12 of all) / 2; validity: 3 of 5 rows, 2 of 12 cells
    # repaired at half the cost of a wrong one; uniqueness: 1 of 4 doubled.
    assert scores(found) == {
        "completeness": 77,
        "validity": 55,
        "uniqueness": 75,
        "freshness": 100,
        "key_stability": 100,
        "machine_readability": 80,
    }
    fill = {each["name"]: (each["filled"], each["fill_rate"]) for each in found["fields"]}
    assert fill["size"] == (2, 0.6667)
    assert found["stars"] == 4


@pytest.mark.usefixtures("worker")
async def test_the_parts_add_up_to_the_total_exactly(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    await loaded(world, headers, dataset, POOR)

    found = await asked(client, dataset)

    points = [Decimal(str(each["points"])) for each in found["dimensions"]]
    assert sum(points) == Decimal(str(found["score"]))
    assert sum(each["weight"] for each in found["dimensions"]) == 100
    for each, point in zip(found["dimensions"], points, strict=True):
        assert point == Decimal(each["weight"] * each["score"]) / 100


@pytest.mark.usefixtures("worker")
async def test_a_better_file_raises_the_score_and_the_trend_shows_it(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    await loaded(world, headers, dataset, POOR)
    before = await asked(client, dataset)

    await loaded(world, headers, dataset, GOOD)

    after = await asked(client, dataset)
    assert after["score"] > before["score"]
    assert rules(after) == {("machine_readability", "not_linked", None, None)}
    assert [each["version"] for each in after["trend"]] == [1, 2]
    assert after["trend"][0]["score"] == before["score"]
    assert after["trend"][1]["score"] == after["score"] == 98.0
    assert (await asked(client, dataset, version=1))["score"] == before["score"]


@pytest.mark.usefixtures("worker")
async def test_the_same_version_counted_again_is_counted_the_same(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    await loaded(world, headers, dataset, GOOD)
    await loaded(world, headers, dataset, POOR.replace("\n1,", "\n9,"))
    first = await asked(client, dataset)
    await loaded(world, headers, dataset, GOOD)  # what comes later changes nothing of it

    async with world.platform.database.reading() as session:
        entry = await session.get_one(Dataset, dataset)
        version = await session.get_one(Version, (dataset, 2))
        assert await quality.differences(session, entry, version) == []

    again = await asked(client, dataset, version=2)
    assert {**again, "trend": []} == {**first, "trend": []}


@pytest.mark.usefixtures("worker")
async def test_keys_that_are_gone_are_counted_and_named(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    await loaded(world, headers, dataset, GOOD)

    await loaded(world, headers, dataset, GOOD.replace("\n2,", "\nB2,"))

    found = await asked(client, dataset)
    assert scores(found)["key_stability"] == 66
    (lost,) = [each for each in found["failed"] if each["code"] == "keys_lost"]
    assert (lost["rows"], lost["first"], lost["field"]) == (1, ["2"], "no")
    assert "1" in lost["mend_ja"]


@pytest.mark.usefixtures("worker")
async def test_without_a_key_neither_uniqueness_nor_stability_nor_the_fourth_star_is_given(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world, specs=(("name", "text", {"label": "名称"}),))
    await loaded(world, headers, dataset, "名称\n架空\n架空第二\n")

    found = await asked(client, dataset)

    given = scores(found)
    assert (given["uniqueness"], given["key_stability"], found["stars"]) == (0, 0, 3)
    assert [f["dimension"] for f in found["failed"] if f["code"] == "no_key"] == [
        "uniqueness", "key_stability", "machine_readability",
    ]  # fmt: skip


@pytest.mark.usefixtures("worker")
async def test_an_update_that_is_late_lowers_freshness_and_the_same_file_again_restores_it(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, headers = await made(world, frequency="monthly")
    await loaded(world, headers, dataset, GOOD)
    now = clock.now()
    found = []

    for days in (0, 34, 60, 100):
        with monkeypatch.context() as patch:
            patch.setattr(clock, "now", lambda days=days: now + timedelta(days=days))
            found.append(await asked(client, dataset))

    fresh = [scores(each)["freshness"] for each in found]
    assert fresh[:2] == [100, 100] and 0 < fresh[2] < 100 and fresh[3] == 0
    assert found[2]["score"] < found[0]["score"]
    (late,) = [each for each in found[2]["failed"] if each["dimension"] == "freshness"]
    assert late["code"] == "late_update" and "29" in late["mend_en"]
    await world.platform.database.pool.execute(
        "UPDATE version SET changed_at = changed_at - interval '100 days' WHERE dataset_id = $1",
        dataset,
    )
    assert scores(await asked(client, dataset))["freshness"] == 0
    assert (await world.load(headers, dataset, GOOD.encode()))["unchanged"]
    assert scores(await asked(client, dataset))["freshness"] == 100


@pytest.mark.usefixtures("worker")
async def test_a_licence_that_is_not_open_takes_all_stars_and_an_open_one_gives_them_back_at_once(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    await loaded(world, headers, dataset, GOOD)
    stars = []

    for license_ in (
        "CC-BY-NC-4.0",
        "社内限り",
        "CC-BY-4.0",
        "CC0-1.0",
        "PDL1.0",
        "政府標準利用規約（第2.0版）",
    ):
        changed = await client.patch(
            f"/v1/datasets/{dataset}", json={"license": license_}, headers=headers
        )
        assert changed.status_code == 200, changed.text
        stars.append((await asked(client, dataset))["stars"])

    assert stars == [0, 0, 4, 4, 4, 4]


@pytest.mark.usefixtures("worker")
async def test_rows_that_nobody_has_corrected_yet_stay_a_fault_of_the_next_version(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    run = await loaded(world, headers, dataset, POOR)

    mended = await world.load(
        headers, dataset, (HEADER + "4,架空第四,40,2020-01-01\n").encode(), corrects=run["id"]
    )
    await world.publish(headers, mended)

    found = await asked(client, dataset)
    assert ("validity", "rows_not_corrected", None, 2) in rules(found)
    assert found["records"] == 4


@pytest.mark.usefixtures("worker")
async def test_restricted_figures_are_the_publishers_own_and_the_refusal_is_recorded(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world, data_class="restricted")
    await loaded(world, headers, dataset, GOOD.replace("\n2,", "\nX,"))
    await loaded(world, headers, dataset, GOOD)
    other = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")
    path = f"/v1/datasets/{dataset}/quality"

    refused = await client.get(path, headers=other)
    own = await client.get(path, headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (403, "quality_not_shown")
    assert [facts["code"] for facts in await world.log(Event.CALL_REFUSED)] == ["quality_not_shown"]
    (lost,) = [each for each in own.json()["failed"] if each["code"] == "keys_lost"]
    assert (lost["rows"], lost["first"]) == (1, [])  # no key of restricted data is kept aside


@pytest.mark.usefixtures("worker")
async def test_a_version_that_is_not_published_is_its_publishers_own_to_look_at(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    await world.load(headers, dataset, GOOD.encode())
    path = f"/v1/datasets/{dataset}/quality"

    unpublished = await client.get(path)
    by_number = await client.get(path, params={"version": 1})
    own = await client.get(path, params={"version": 1}, headers=headers)

    assert (unpublished.status_code, unpublished.json()["code"]) == (404, "no_version_published")
    assert (by_number.status_code, by_number.json()["code"]) == (404, "version_not_found")
    assert (own.status_code, own.json()["trend"]) == (200, [])


async def test_written_records_are_counted_by_the_measuring_job(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, _ = await made(world)
    await put(world, dataset, [{"no": "1", "name": "架空", "size": None}])
    path = f"/v1/datasets/{dataset}/quality"
    before = await client.get(path)

    await measure(world.platform.database)
    first = await asked(client, dataset)
    await put(world, dataset, [{"no": "2", "name": "架空", "size": 5}])
    await measure(world.platform.database)

    assert (before.status_code, before.json()["code"]) == (404, "quality_not_measured")
    assert (first["revision"], first["records"]) == (1, 1)
    after = await asked(client, dataset)
    assert (after["revision"], after["records"]) == (2, 2)
    async with world.platform.database.reading() as session:
        assert dataset not in {each[0] for each in await measuring.missing(session)}


async def test_the_entry_links_to_its_quality(client: httpx.AsyncClient, world: World) -> None:
    dataset, _ = await made(world)

    links = (await client.get(f"/v1/datasets/{dataset}")).json()["links"]

    assert {link["rel"]: link["href"] for link in links}["quality"].endswith(
        f"/v1/datasets/{dataset}/quality"
    )
