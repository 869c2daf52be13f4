"""A dataset changes between harvest and live, and is the same dataset all the while."""

from typing import Any

import httpx
import pytest

from app.tasks.harvest import Harvester
from tests.connectors.farm import Farm
from tests.connectors.sources import Asked, reply
from tests.live.stage import SELECTION, Stage, stage_of
from tests.stock import Spec, declared
from tests.versioned import base
from tests.world import World


async def test_a_switch_changes_no_id_and_the_feed_of_changes_tells_of_none(
    stage: Stage, world: World
) -> None:
    farm = _farm(stage)
    stage.source.answer = lambda asked: _proven(stage, asked)
    assert (await stage.feed(mode="harvest", publish=True)).status_code == 200
    loaded = await farm.run(stage.connector)
    before = await _changes(stage)
    stage.rows[0]["name"] = "変更"

    live = await stage.feed(publish=True)
    now = await stage.read("N-1")
    refused = await stage.world.client.get(
        f"{base(stage.dataset)}/changes", params={"purpose": "own-duty"}, headers=stage.reader
    )
    stage.rows[0]["name"] = "青葉"
    await stage.feed(mode="harvest", publish=True)
    again = await farm.run(stage.connector)

    assert (loaded["state"], loaded["version_number"]) == ("ok", 1), loaded
    assert live.json()["feeds"][0]["mode"] == "live"
    assert now.json()["record"]["name"] == "変更"
    assert (refused.status_code, refused.json()["code"]) == (409, "dataset_is_live")
    assert again["state"] == "unchanged"
    assert await _changes(stage) == before
    assert (await stage.read("N-1")).json()["version"] == 1


async def test_a_live_feed_is_not_harvested_and_its_schedule_rests(stage: Stage) -> None:
    scheduled = await stage.feed(schedule="0 3 * * *")
    run = await stage.world.client.post(
        f"/v1/connectors/{stage.connector}/runs", json={}, headers=stage.steward
    )
    back = await stage.feed(mode="harvest", schedule="0 3 * * *")

    assert scheduled.json()["feeds"][0]["next_at"] is None
    assert (run.status_code, run.json()["code"]) == (409, "feed_is_live")
    assert back.json()["feeds"][0]["next_at"] is not None


@pytest.mark.parametrize(
    ("kind", "feed", "fields", "code"),
    [
        ("file", {"selection": {"path": "a.csv"}}, True, "mode_not_offered"),
        ("http_json", {}, False, "live_without_fields"),
        ("http_json", {"mapping": [{"to": "no", "from": ["id"], "pattern": "a"}]}, True,
         "live_pattern"),
        ("http_json", {"mapping": [{"to": "no", "expression": "id"}]}, True, "live_pattern"),
    ],
)  # fmt: skip
async def test_what_cannot_be_live_is_refused_when_it_is_set_up(
    stage: Stage, world: World, kind: str, feed: dict[str, Any], fields: bool, code: str
) -> None:
    dataset = await world.dataset(data_class="internal", fields=declared([("no", "code")]))
    if not fields:
        await world.platform.database.pool.execute(
            "UPDATE dataset SET fields = NULL WHERE id = $1", dataset
        )
    whole = {"dataset": dataset, "mode": "live", **feed}
    body = {"kind": kind, "name": "n", "settings": {"base": stage.source.base}, "feeds": [whole]}

    made = await world.client.post("/v1/connectors", json=body, headers=stage.steward)

    assert made.status_code == 422, made.text
    assert code in [each["code"] for each in made.json()["errors"]]


async def test_a_mapping_names_and_codes_what_the_source_has(stage: Stage) -> None:
    mapping = [
        {"to": "name", "from": ["facility"]},
        {"to": "ward", "from": ["area"], "codes": {"1": "north", "2": "south"}, "default": None},
        {"to": "size", "constant": "7"},
    ]
    await stage.feed(
        mapping=mapping, selection={**SELECTION, "equals": {"facility": "f", "ward": "w"}}
    )
    stage.rows = [
        {"no": "1", "facility": "あ", "area": "1", "is_open": "○", "opened": "令和2年4月1日"},
        {"no": "2", "facility": "い", "area": 9, "fee": "1,200", "lat": "34度30分0秒"},
        {"no": "3", "facility": "う", "area": "2", "opened": "not a day"},
    ]

    first = await stage.read(name="あ")
    assert first.status_code == 200, (first.text, stage.source.asked)
    answer = first.json()
    every = (await stage.read(ward="north")).json()
    all_of_it = (await stage.read(fields="no,ward,size,fee,opened,lat,is_open")).json()

    assert [each["no"] for each in answer["records"]] == ["1"]
    assert stage.source.asked[0].query == {"f": "あ"}
    assert stage.source.asked[1].query == {}  # what codes make is not known there
    assert [each["no"] for each in every["records"]] == ["1"]
    assert all_of_it["records"] == [
        {"no": "1", "ward": "north", "size": 7, "fee": None, "opened": "2020-04-01", "lat": None,
         "is_open": True},
        {"no": "2", "ward": None, "size": 7, "fee": 1200, "opened": None, "lat": 34.5,
         "is_open": None},
    ]  # fmt: skip
    assert all_of_it["meta"]["rejected"] == 1


async def test_an_amount_comes_in_the_unit_of_its_field(world: World) -> None:
    specs: tuple[Spec, ...] = (("no", "code", {"key": True}), ("fee", "integer", {"unit": "円"}))
    mapping = [{"to": "fee", "from": ["price"], "unit": "千円"}]
    async with stage_of(world, specs, selection=SELECTION, mapping=mapping) as stage:
        stage.rows = [{"no": "1", "price": 1.5}, {"no": "2", "price": "2千円"}, {"no": "3"}]

        answer = (await stage.read()).json()

    assert [each["fee"] for each in answer["records"]] == [1500, 2000, None]


async def test_a_member_that_comes_late_is_one_all_the_same(stage: Stage) -> None:
    paging = {"style": "offset", "parameter": "from", "size_parameter": "size", "size": 2}
    await stage.feed(selection={**SELECTION, "paging": paging})
    rows: list[dict[str, Any]] = [{"no": "1"}, {"no": "2"}, {"no": "3", "size": 3}]
    stage.source.answer = lambda asked: reply(
        {"items": rows[(at := int(asked.query["from"])) : at + int(asked.query["size"])]}
    )

    everything = (await stage.read(sort="-no", fields="no,size")).json()
    page = (await stage.read(limit="1")).json()
    stage.source.asked.clear()
    following = httpx.URL(page["links"][1]["href"]).params["cursor"]
    second = (await stage.read(limit="1", cursor=following)).json()

    assert everything["records"][0] == {"no": "3", "size": 3}
    assert [each["no"] for each in second["records"]] == ["2"]
    assert [each.query for each in stage.source.asked] == [{"from": "1", "size": "2"}]
    assert second["meta"]["done_here"] == []


async def test_a_paused_or_broken_connector_is_told_and_names_nothing(stage: Stage) -> None:
    await stage.change({"paused": True})
    paused = await stage.read()
    await stage.change({"paused": False})

    well = await stage.read()

    assert (paused.status_code, paused.json()["code"]) == (503, "live_source_unavailable")
    assert well.status_code == 200


async def test_more_records_than_are_looked_at_are_refused_with_the_mend(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.live import reader  # noqa: PLC0415

    monkeypatch.setattr(reader, "MOST_RECORDS", 4)

    sorted_here, page, narrowed = (
        await stage.read(sort="name"), await stage.read(limit="2"), await stage.read(ward="north"),
    )  # fmt: skip

    assert (sorted_here.status_code, sorted_here.json()["code"]) == (422, "live_too_many_records")
    assert "harvest" in sorted_here.json()["detail"]
    assert (page.status_code, narrowed.status_code) == (200, 200)


async def _changes(stage: Stage) -> list[Any]:
    where: str | None = f"{base(stage.dataset)}/changes?purpose=own-duty"
    told: list[Any] = []
    while where is not None:
        page = await stage.world.client.get(where, headers=stage.reader)
        assert page.status_code == 200, page.text
        told += [{k: v for k, v in e.items() if k != "at"} for e in page.json()["changes"]]
        links = [e["href"] for e in page.json()["links"] if e["rel"] == "next"]
        where = str(httpx.URL(links[0]).raw_path, "ascii") if links else None
    return told


def _proven(stage: Stage, asked: Asked) -> bytes:
    """An answer that is named by what it says, as a harvest relies on."""
    tag = f'"{hash(str(stage.rows))}"'
    if asked.headers.get("if-none-match") == tag:
        return reply(b"", "304 Not Modified")
    return reply({"items": stage.rows}, ETag=tag)


def _farm(stage: Stage) -> Farm:
    platform = stage.world.platform
    made = Harvester(
        platform.database, lambda: platform.sealer, platform.kinds, platform.outbound, {}, 64 << 20
    )
    return Farm(stage.world, made, stage.steward)
