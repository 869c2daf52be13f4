"""Connectors over HTTP: kept by their organisation, looked at before they run, shown to no other."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.audit.events import Event
from app.connectors.errors import DriverNotInstalled
from app.connectors.kinds import _OWN
from app.connectors.sql import SqlConnector, SqlSettings
from app.tasks.harvest import Harvester
from tests.connectors.farm import Farm
from tests.connectors.sources import Asked, means, reply, web
from tests.world import SAKAI, World

STEP = [{"to": "no", "from": ["id"]}, {"to": "name", "from": ["facility"]}]


async def test_the_kinds_are_told_with_the_schema_of_their_settings(farm: Farm) -> None:
    got = await farm.world.client.get("/v1/connector-kinds", headers=farm.headers)

    kinds = {each["kind"]: each for each in got.json()}
    assert sorted(kinds) == sorted(_OWN)
    assert kinds["sql"]["settings"]["properties"]["password"]["writeOnly"] is True
    assert kinds["sql"]["capabilities"]["sends_changes"] is True
    assert kinds["file"]["selection"]["required"] == ["path"]


async def test_a_connector_is_added_shown_changed_and_removed_and_all_of_it_is_in_the_log(
    farm: Farm,
) -> None:
    dataset = await farm.dataset()
    auth = {"type": "basic", "user": "u", "password": "hidden-word"}
    told = {"base": "http://127.0.0.1:9", "auth": auth}
    connector = await farm.add("http_json", told, {"dataset": dataset, "schedule": "0 3 * * *"})

    shown = (await farm.ask("GET", f"/{connector}")).json()
    changed = await farm.ask("PATCH", f"/{connector}", {"name": "改名", "paused": True})
    listed = (await farm.ask("GET", "")).json()["items"]
    gone = await farm.ask("DELETE", f"/{connector}")

    assert shown["settings"] == {
        "base": "http://127.0.0.1:9",
        "auth": {"type": "basic", "user": "u"},
    }
    assert shown["has_secrets"] is True
    assert shown["feeds"][0]["next_at"].endswith("T03:00:00+09:00")
    assert (changed.json()["name"], changed.json()["paused"]) == ("改名", True)
    assert connector in [each["id"] for each in listed]
    assert "hidden-word" not in json.dumps([shown, changed.json(), listed])
    assert gone.status_code == 204
    assert (await farm.ask("GET", f"/{connector}")).status_code == 404
    events = (Event.CONNECTOR_ADDED, Event.CONNECTOR_CHANGED, Event.CONNECTOR_REMOVED)
    assert [each["event"] for each in await farm.world.log(*events)] == list(events)


async def test_a_secret_goes_to_no_other_place_than_it_was_given_for(farm: Farm) -> None:
    auth = {"type": "api_key", "key": "hidden-key"}
    async with web(lambda _: reply([])) as first, web(lambda _: reply([])) as other:
        connector = await farm.add("http_json", {"base": first.base, "auth": auth})

        moved = {"base": other.base, "auth": {"type": "api_key"}}
        refused = await farm.ask("PATCH", f"/{connector}", {"settings": moved})
        await farm.ask("PATCH", f"/{connector}", {"settings": {"base": other.base}})
        await farm.ask("POST", f"/{connector}/test")

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/settings/auth/api_key/key"
    assert ["x-api-key" in asked.headers for asked in other.asked] == [False]


async def test_connectors_of_others_are_not_there(farm: Farm, harvester: Harvester) -> None:
    connector = await farm.add("http_json", {"base": "http://127.0.0.1:9"})
    other = await Farm.of(farm.world, harvester, SAKAI)
    nobody = await farm.world.client.get(f"/v1/connectors/{connector}")

    calls = [
        ("GET", "", None), ("PATCH", "", {"paused": True}), ("DELETE", "", None),
        ("POST", "/test", None), ("POST", "/discover", None), ("POST", "/preview", {}),
        ("POST", "/runs", {}), ("GET", "/runs", None),
    ]  # fmt: skip
    answers = [await other.ask(method, f"/{connector}{path}", body) for method, path, body in calls]

    assert nobody.status_code == 401
    assert {each.status_code for each in answers} == {404}
    assert (await other.ask("GET", "")).json()["items"] == []


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"kind": "telepathy"}, "connector_kind_unknown", None),
        ({"settings": {"base": "http://192.0.2.1/"}}, "outbound_refused", None),
        ({"settings": {"base": "https://169.254.169.254/"}}, "outbound_refused", None),
        ({"settings": {"base": "ftp://a"}}, "connector_invalid", "/settings/base"),
        ({"settings": {"base": "http://127.0.0.1", "x": 1}}, "connector_invalid", "/settings/x"),
        ({"kind": "file", "settings": {"base": "/etc"}}, "folder_not_lent", None),
        ({"kind": "sql", "settings": {"host": "a.example.jp", "database": "a", "user": "b", "password": "c",
                                      "ca": "none"}}, "connector_invalid", "/settings/ca"),
        ({"schedule": "every day"}, "connector_invalid", "/feeds/0/schedule"),
        ({"schedule": "0 0 30 2 *"}, "connector_invalid", "/feeds/0/schedule"),
        ({"selection": {"rows": "items"}}, "connector_invalid", "/feeds/0/selection/rows"),
        ({"mapping": [{"to": "no_such_field", "from": ["a"]}]}, "connector_invalid", "/feeds/0/mapping"),
        ({"zone": "lgwan"}, "connector_invalid", "/feeds/0/dataset"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_refused_with_its_place(
    farm: Farm, change: dict[str, Any], code: str, pointer: str | None
) -> None:
    feed = {
        "dataset": await farm.dataset(),
        **{k: v for k, v in change.items() if k in ("schedule", "selection", "mapping")},
    }
    body = {
        "kind": "http_json", "name": "試験", "settings": {"base": "http://127.0.0.1"}, "feeds": [feed],
        **{k: v for k, v in change.items() if k not in feed},
    }  # fmt: skip

    refused = await farm.ask("POST", "", body)

    assert (refused.status_code, refused.json()["code"]) == (422, code)
    if pointer is not None:
        assert [each["pointer"] for each in refused.json()["errors"]] == [pointer]
    assert (await farm.ask("GET", "")).status_code == 200


@pytest.mark.parametrize("dialect", ["mssql", "oracle"])
async def test_a_database_whose_driver_is_not_installed_is_told_with_its_mend(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    settings = {
        "dialect": dialect, "host": "db.example.jp", "database": "d", "user": "u", "password": "p",
    }  # fmt: skip
    monkeypatch.setattr("app.connectors.sql_lines.find_spec", lambda _: None)

    added = await farm.ask("POST", "", {"kind": "sql", "name": "試験", "settings": settings})
    async with means() as its:
        with pytest.raises(DriverNotInstalled) as refused:
            await SqlConnector(SqlSettings.model_validate(settings), its).check()

    mend = f"pip install urbanos[{dialect}]"
    assert (added.status_code, added.json()["code"]) == (422, "sql_driver_not_installed")
    assert mend in added.text
    assert mend in refused.value.words("ja") and mend in refused.value.words("en")


async def test_a_dataset_is_fed_by_one_connector_and_by_its_own_publisher(
    farm: Farm, harvester: Harvester
) -> None:
    dataset = await farm.dataset()
    await farm.add("http_json", {"base": "http://127.0.0.1"}, {"dataset": dataset})
    body = {
        "kind": "http_json",
        "name": "x",
        "settings": {"base": "http://127.0.0.1"},
        "feeds": [{"dataset": dataset}],
    }

    twice = await farm.ask("POST", "", body)
    other = await (await Farm.of(farm.world, harvester, SAKAI)).ask("POST", "", body)

    assert twice.json()["errors"][0]["code"] == "dataset_has_source"
    assert other.json()["code"] == "not_the_publisher"


async def test_the_first_rows_are_shown_before_and_after_a_mapping_that_is_only_tried(
    farm: Farm,
) -> None:
    rows = [{"id": number, "facility": f"架空{number}", "extra": None} for number in range(30)]
    dataset = await farm.dataset()
    async with web(lambda _: reply({"items": rows})) as server:
        connector = await farm.add(
            "http_json",
            {"base": server.base},
            {"dataset": dataset, "selection": {"rows": "/items"}},
        )

        plain = await farm.ask("POST", f"/{connector}/preview", {})
        mapped = await farm.ask("POST", f"/{connector}/preview", {"mapping": STEP})
        unknown = await farm.ask(
            "POST", f"/{connector}/preview", {"mapping": [{"to": "x", "from": ["id"]}]}
        )
        proposed = await farm.ask("POST", f"/{connector}/discover")

    assert (plain.status_code, plain.json()["code"]) == (422, "column_missing")
    assert len(mapped.json()["before"]) == len(mapped.json()["after"]) == 20
    assert mapped.json()["before"][0]["facility"] == "架空0"
    assert mapped.json()["after"][1] == {"no": "1", "name": "架空1"}
    assert unknown.json()["errors"][0]["code"] == "mapping_unknown_target"
    assert proposed.json()[0]["selection"] == {"rows": "/items"}
    assert (await farm.ask("GET", f"/{connector}")).json()["feeds"][0]["mapping"] is None
    asked = await farm.world.log(Event.CONNECTOR_ASKED)
    assert [each["what"] for each in asked] == ["preview", "preview", "preview", "discover"]


async def test_a_preview_of_a_file_with_an_individual_number_shows_nothing(
    farm: Farm, drop: Path
) -> None:
    number = "1234567890" + "18"  # a check digit that is right
    (drop / "numbers.csv").write_text(f"番号,名称\n1,{number}\n")
    feed = {"dataset": await farm.dataset(), "selection": {"path": "numbers.csv"}}
    connector = await farm.add("file", {"base": str(drop)}, feed)

    refused = await farm.ask("POST", f"/{connector}/preview", {})

    assert refused.json()["code"] == "individual_number_refused"
    assert number not in refused.text


async def test_the_test_tells_source_and_selection_apart_and_holds_no_connection(
    farm: Farm,
) -> None:
    first, second = await farm.dataset(), await farm.dataset()
    pool = farm.world.platform.database.engine.pool
    busy: list[int] = []

    def answer(asked: Asked) -> bytes:
        busy.append(pool.checkedout())  # type: ignore[attr-defined]
        return reply({"good": [], "bad": {}}) if asked.path == "/" else reply(b"", "404 Not Found")

    async with web(answer) as server:
        feeds = (
            {"dataset": first, "selection": {"rows": "/good"}},
            {"dataset": second, "selection": {"rows": "/bad"}},
        )
        connector = await farm.add("http_json", {"base": server.base}, *feeds)
        tested = (await farm.ask("POST", f"/{connector}/test")).json()

    by_dataset = {
        each["dataset"]: (each["ok"], each["error_class"], each["at"]) for each in tested["checks"]
    }
    assert tested["ok"] is False
    assert by_dataset == {
        None: (True, None, None),
        first: (True, None, None),
        second: (False, "changed", "shape"),
    }
    assert set(busy) == {0}


async def test_a_change_of_what_is_selected_asks_for_all_again(farm: Farm) -> None:
    dataset = await farm.dataset()
    async with web(lambda _: reply({"a": [{"no": 1}], "b": [{"no": 2}]}, ETag='"1"')) as server:
        connector = await farm.add(
            "http_json",
            {"base": server.base},
            {"dataset": dataset, "selection": {"rows": "/a"}, "publish": True},
        )
        feed = {"dataset": dataset, "publish": True}
        begun = await farm.begin(connector)
        await farm.harvester.harvest(begun)  # it has come, and before it is loaded:
        await farm.ask("PATCH", f"/{connector}", {"feeds": [{**feed, "selection": {"rows": "/b"}}]})
        await farm.make(connector, begun)
        await farm.run(connector)
        await farm.run(connector, fresh=True)
        await farm.run(connector)
        known = (await farm.ask("GET", f"/{connector}")).json()["feeds"][0]["version_number"]
        changed = await farm.ask(
            "PATCH", f"/{connector}", {"feeds": [{**feed, "selection": {"rows": "/a"}}]}
        )

    asked_if = ["if-none-match" in asked.headers for asked in server.asked]
    assert asked_if == [False, False, False, True]
    assert [row["no"] for row in await farm.records(dataset)] == ["2"]
    assert (known, changed.json()["feeds"][0]["version_number"]) == (2, None)


async def test_a_paused_connector_is_not_begun_by_its_schedule(
    farm: Farm, harvester: Harvester
) -> None:
    dataset = await farm.dataset()
    connector = await farm.add(
        "http_json", {"base": "http://127.0.0.1:9"}, {"dataset": dataset, "schedule": "* * * * *"}
    )
    await farm.ask("PATCH", f"/{connector}", {"paused": True})
    await harvester.database.pool.execute(
        "UPDATE connector_feed SET next_at = now() - interval '1 hour' WHERE dataset_id = $1",
        dataset,
    )

    await harvester.begin_due()

    assert (await farm.ask("GET", f"/{connector}/runs")).json()["items"] == []


async def test_history_is_paged_newest_first(farm: Farm) -> None:
    dataset = await farm.dataset()
    async with web(lambda _: reply(b"", "404 Not Found")) as server:
        connector = await farm.add("http_json", {"base": server.base}, {"dataset": dataset})
        made = [(await farm.run(connector))["id"] for _ in range(3)]

    first = (await farm.ask("GET", f"/{connector}/runs?limit=2")).json()
    rest = (await farm.ask("GET", f"/{connector}/runs?limit=2&cursor={first['next']}")).json()

    assert [each["id"] for each in first["items"] + rest["items"]] == made[::-1]
    assert rest["next"] is None


async def test_a_queued_run_is_cancelled_at_once_and_only_once(farm: Farm, world: World) -> None:
    dataset = await farm.dataset()
    connector = await farm.add("http_json", {"base": "http://127.0.0.1:9"}, {"dataset": dataset})
    run = await farm.begin(connector)

    first = await farm.ask("POST", f"/{connector}/runs/{run}/cancel")
    again = await farm.ask("POST", f"/{connector}/runs/{run}/cancel")
    await asyncio.wait_for(farm.harvester.harvest(run), 5)

    assert (first.json()["state"], again.json()["code"]) == ("cancelled", "connector_run_has_ended")
    assert (await farm.shown(connector, run))["tries"] == 0
