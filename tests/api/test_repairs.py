"""The ledger of repairs: every change told with its rule, accepted once for all, or refused."""

import json
from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.formats.quality.repairs import AS_MEANT
from app.models.parties import Role
from tests.stock import Spec, path, stocked
from tests.world import KENKO, SAKAI, World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True, "label": "番号"}),
    ("size", "integer", {"label": "定員", "unit": "人"}),
    ("opened", "date", {"label": "開設日"}),
    ("open", "boolean", {"label": "開設"}),
    ("latitude", "latitude", {"label": "緯度"}),
    ("longitude", "longitude", {"label": "経度"}),
)
HEADER = "番号,定員,開設日,開設,緯度,経度\n"
FILE = HEADER + (
    "1,10,2020-01-01,有,34.7,135.5\n"
    "2,２０,令和4年4月1日,無,34.7,135.5\n"
    "3,\"1,200人\",R4.4.1,有,34.7,135.5\n"
    "4,多数,2020-01-01,有,34.7,135.5\n"
    "5,３０,2020/1/1,,34.7,135.5\n"
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("worker")


async def made(
    world: World, specs: tuple[Spec, ...] = SPECS, **more: Any
) -> tuple[str, dict[str, str]]:
    dataset = await stocked(world, [], specs, **more)
    steward = await world.party(KENKO, Role.STEWARD)
    return dataset, await world.token(steward, "catalogue:write")


async def listed(
    world: World, headers: dict[str, str], run: dict[str, Any], **query: Any
) -> list[dict[str, Any]]:
    """All pages of a run's ledger."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        response = await world.client.get(
            f"/v1/runs/{run['id']}/repairs",
            params={**query, **({"cursor": cursor} if cursor else {})},
            headers=headers,
        )
        assert response.status_code == 200, response.text
        found += response.json()["items"]
        cursor = response.json()["next"]
        if cursor is None:
            return found


async def summed(
    world: World, headers: dict[str, str], run: dict[str, Any]
) -> dict[tuple[str, str], dict[str, Any]]:
    response = await world.client.get(f"/v1/runs/{run['id']}/repairs/summary", headers=headers)
    assert response.status_code == 200, response.text
    return {(each["field"], each["rule"]): each for each in response.json()}


async def decide(
    world: World, headers: dict[str, str], dataset: str, where: str, decision: str
) -> httpx.Response:
    return await world.client.put(
        f"/v1/datasets/{dataset}/repairs/{where}", json={"decision": decision}, headers=headers
    )


async def test_every_repair_is_listed_with_its_line_its_rule_and_both_texts(world: World) -> None:
    dataset, headers = await made(world)
    run = await world.load(headers, dataset, FILE.encode())

    found = await listed(world, headers, run, limit=3)

    told = [
        (each["row"], each["line"], each["field"], each["rule"], each["before"], each["after"])
        for each in found
    ]
    assert told == [
        (1, 2, "open", "boolean_word", "有", "true"),
        (2, 3, "open", "boolean_word", "無", "false"),
        (2, 3, "opened", "era_date", "令和4年4月1日", "2022-04-01"),
        (2, 3, "size", "full_width_digits", "２０", "20"),
        (3, 4, "open", "boolean_word", "有", "true"),
        (3, 4, "opened", "era_date", "R4.4.1", "2022-04-01"),
        (3, 4, "size", "unit_removed", "1,200人", "1200"),
        (5, 6, "opened", "date_notation", "2020/1/1", "2020-01-01"),
        (5, 6, "size", "full_width_digits", "３０", "30"),
    ]
    assert run["cells_repaired"] == len([each for each in found if each["rule"] not in AS_MEANT])
    assert {each["decision"] for each in found} == {"open"}
    assert all(each["rule_ja"] and each["rule_en"] for each in found)


async def test_the_summary_counts_by_field_and_rule_with_one_example_each(world: World) -> None:
    dataset, headers = await made(world)
    run = await world.load(headers, dataset, FILE.encode())

    found = await summed(world, headers, run)

    assert {where: each["cells"] for where, each in found.items()} == {
        ("open", "boolean_word"): 3,
        ("opened", "era_date"): 2,
        ("opened", "date_notation"): 1,
        ("size", "full_width_digits"): 2,
        ("size", "unit_removed"): 1,
    }
    example = found["opened", "era_date"]["example"]
    assert (example["line"], example["before"], example["after"]) == (
        3, "令和4年4月1日", "2022-04-01",
    )  # fmt: skip
    whole = await listed(world, headers, run)
    for (field, rule), each in found.items():
        of_rule = [one for one in whole if (one["field"], one["rule"]) == (field, rule)]
        assert len(of_rule) == each["cells"] and of_rule[0] == each["example"]


async def test_what_is_accepted_is_no_longer_open_in_this_run_and_in_later_ones(
    world: World,
) -> None:
    dataset, headers = await made(world)
    first = await world.load(headers, dataset, FILE.encode())

    decided = await decide(world, headers, dataset, "open/boolean_word", "accept")

    second = await world.load(headers, dataset, FILE.replace("5,３０", "6,３０").encode())
    assert decided.status_code == 200, decided.text
    for run in (first, second):
        assert run["rows_accepted"] == 4
        still_open = await listed(world, headers, run, decision="open", limit=2)
        assert len(still_open) == 6
        assert "boolean_word" not in {each["rule"] for each in still_open}
        assert len(await listed(world, headers, run, decision="accept")) == 3
        assert await listed(world, headers, run, decision="refuse") == []
        assert await listed(world, headers, run, field="no_such_field") == []
    summary = await summed(world, headers, second)
    assert summary["open", "boolean_word"]["decision"] == "accept"
    (told,) = await world.log(Event.REPAIR_DECIDED)
    assert (told["field"], told["rule"], told["decision"]) == ("open", "boolean_word", "accept")


async def test_a_refused_repair_rejects_the_row_of_the_very_same_file_next_time(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    first = await world.load(headers, dataset, FILE.encode())
    assert (await world.load(headers, dataset, FILE.encode()))["unchanged"]

    decided = await decide(world, headers, dataset, "opened/era_date", "refuse")

    assert decided.json()["decision"] == "refuse"
    again = await world.load(headers, dataset, FILE.encode())
    assert (again["unchanged"], again["version_number"]) == (False, 2)
    assert (first["rows_rejected"], again["rows_rejected"]) == (1, 3)
    rejects = (await client.get(f"/v1/runs/{again['id']}/rejects", headers=headers)).json()["items"]
    refused = [each for each in rejects if each["code"] == "repair_refused"]
    assert [(each["line"], each["field"]) for each in refused] == [(3, "opened"), (4, "opened")]
    assert all(each["guidance_ja"] and each["guidance_en"] for each in refused)
    assert "era_date" not in {each["rule"] for each in await listed(world, headers, again)}
    assert (await world.load(headers, dataset, FILE.encode()))["unchanged"]


async def test_a_refusal_that_is_taken_back_lets_the_same_file_be_repaired_again(
    world: World,
) -> None:
    dataset, headers = await made(world)
    await decide(world, headers, dataset, "opened/era_date", "refuse")
    refused = await world.load(headers, dataset, FILE.encode())

    await decide(world, headers, dataset, "opened/era_date", "accept")

    again = await world.load(headers, dataset, FILE.encode())
    assert (refused["rows_rejected"], again["rows_rejected"]) == (3, 1)
    assert not again["unchanged"]
    decisions = await world.client.get(f"/v1/datasets/{dataset}/repairs", headers=headers)
    assert [(d["field"], d["rule"], d["decision"]) for d in decisions.json()] == [
        ("opened", "era_date", "accept")
    ]


async def test_swapped_coordinates_are_a_repair_that_can_be_refused(world: World) -> None:
    dataset, headers = await made(world)
    file = HEADER + "1,10,2020-01-01,,135.5,34.7\n2,10,2020-01-01,,135.6,34.8\n"
    run = await world.load(headers, dataset, file.encode())

    found = await listed(world, headers, run)

    assert [(each["field"], each["before"], each["after"]) for each in found] == [
        ("latitude", "135.5", "34.7"),
        ("longitude", "34.7", "135.5"),
        ("latitude", "135.6", "34.8"),
        ("longitude", "34.8", "135.6"),
    ]
    assert {each["rule"] for each in found} == {"coordinates_swapped"}
    await decide(world, headers, dataset, "latitude/coordinates_swapped", "refuse")
    refused = await world.load(headers, dataset, file.encode())
    assert (refused["state"], refused["rows_rejected"]) == ("failed", 2)


async def test_what_excel_cut_off_is_marked_and_never_guessed(
    client: httpx.AsyncClient, world: World
) -> None:
    specs: tuple[Spec, ...] = (
        ("no", "code", {"key": True, "label": "番号"}),
        ("corporate_number", "code", {"label": "法人番号"}),
    )
    dataset, headers = await made(world, specs)
    file = "番号,法人番号\n1,6000020271004\n2,6.00002E+12\n"

    run = await world.load(headers, dataset, file.encode())

    await world.publish(headers, run)
    rejects = (await client.get(f"/v1/runs/{run['id']}/rejects", headers=headers)).json()["items"]
    assert [(each["line"], each["field"], each["code"]) for each in rejects] == [
        (3, "corporate_number", "excel_exponent")
    ]
    assert await listed(world, headers, run) == []
    records = (await client.get(path(dataset))).json()["records"]
    assert records == [{"no": "1", "corporate_number": "6000020271004"}]


async def test_in_a_file_nobody_has_declared_an_exponent_is_kept_as_it_is_and_noticed(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET fields = NULL WHERE id = $1", dataset
    )
    rows = "".join(f"{at},60000202710{at:02}\n" for at in range(10, 30))

    run = await world.load(headers, dataset, f"番号,法人番号\n{rows}30,6.00002E+12\n".encode())

    await world.publish(headers, run)
    (notice,) = [each for each in run["notices"] if each["code"] == "exponents_kept"]
    assert notice["details"]["count"] == 1
    quality = (await client.get(f"/v1/datasets/{dataset}/quality")).json()
    (failed,) = [each for each in quality["failed"] if each["code"] == "exponents_kept"]
    assert (failed["dimension"], failed["rows"]) == ("validity", 1)


async def test_a_correction_lists_its_own_repairs_by_its_own_rows(world: World) -> None:
    dataset, headers = await made(world)
    run = await world.load(headers, dataset, FILE.encode())

    mended = await world.load(
        headers, dataset, (HEADER + "4,４０,R5.1.1,,34.7,135.5\n").encode(), corrects=run["id"]
    )

    assert mended["version_number"] == 2
    found = await listed(world, headers, mended, limit=1)
    assert [(each["row"], each["line"], each["before"]) for each in found] == [
        (1, 2, "R5.1.1"), (1, 2, "４０"),
    ]  # fmt: skip
    summary = await summed(world, headers, mended)
    assert {where: each["example"]["before"] for where, each in summary.items()} == {
        ("opened", "era_date"): "R5.1.1",
        ("size", "full_width_digits"): "４０",
    }


async def test_a_mapping_is_told_as_one_and_is_changed_not_refused(world: World) -> None:
    dataset, headers = await made(world)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET mapping = $2 WHERE id = $1", dataset,
        json.dumps([{"to": "size", "from": ["定員"], "pattern": "([0-9]+)"}]),
    )  # fmt: skip
    file = HEADER + "1,約30人くらい,2020-01-01,,,\n"
    run = await world.load(headers, dataset, file.encode())

    (found,) = await listed(world, headers, run)
    refused = await decide(world, headers, dataset, "size/mapping_applied", "refuse")

    assert (found["rule"], found["before"], found["after"]) == (
        "mapping_applied", "約30人くらい", "30",
    )  # fmt: skip
    assert (refused.status_code, refused.json()["code"]) == (409, "repair_not_refusable")


async def test_the_ledger_is_the_publishers_own_and_the_refusal_is_recorded_without_a_cell(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world, data_class="restricted")
    run = await world.load(headers, dataset, FILE.encode())
    other = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")
    ledger = f"/v1/runs/{run['id']}/repairs"

    answers = [
        await client.get(ledger, headers=other),
        await client.get(f"{ledger}/summary", headers=other),
        await decide(world, other, dataset, "open/boolean_word", "accept"),
        await client.get(ledger),
    ]
    own = await client.get(ledger, headers=headers)

    assert [answer.status_code for answer in answers] == [403, 403, 403, 401]
    assert own.status_code == 200
    (read,) = await world.log(Event.REPAIRS_READ)
    assert (read["run"], read["cells"]) == (run["id"], len(own.json()["items"]))
    told = str(await world.log())
    assert "not_the_publisher" in told
    assert "令和4年4月1日" not in told and "1,200" not in told


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("opened/no_such_rule", "repair_rule_not_found"),
        ("no_such_field/era_date", "field_not_found"),
    ],
)
async def test_a_decision_on_what_is_not_there_is_refused(
    world: World, where: str, code: str
) -> None:
    dataset, headers = await made(world)

    refused = await decide(world, headers, dataset, where, "accept")

    assert (refused.status_code, refused.json()["code"]) == (404, code)


async def test_a_run_without_a_version_has_no_ledger_and_one_without_news_an_empty_one(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    failed = await world.load(headers, dataset, (HEADER + "1,多数,,,,\n").encode())
    await world.load(headers, dataset, FILE.encode())
    unchanged = await world.load(headers, dataset, FILE.encode())

    refused = await client.get(f"/v1/runs/{failed['id']}/repairs", headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (409, "run_has_no_version")
    assert await listed(world, headers, unchanged) == []
    assert await summed(world, headers, unchanged) == {}
