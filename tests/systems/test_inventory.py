"""The system inventory over HTTP: who keeps it, what it refuses, what it finds."""

import asyncio
import json
import secrets
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import openpyxl
import pytest

from app.audit import metering
from app.models.parties import Role
from app.systems.sheet import HEADINGS
from tests.cli.test_demo import Home
from tests.number.searched import PROBE
from tests.stock import PURPOSE, agreed, stocked
from tests.systems.inventory import SYSTEMS, acting, keep, operator
from tests.world import KENKO, SAKAI, World

FULL: dict[str, Any] = {
    "name": "予約=システム", "vendor": "架空予約株式会社", "audience": ["residents", "staff"],
    "family": "bureau", "businesses": ["health_management"], "state": "in_test",
    "hosting": "on_premises",
    "plan": {"hosting": "saas", "by": "2027-03-31", "skipped": {"gov_cloud": "提供がない"}},
    "contract": {"since": "2016-04-01", "until": "2027-03-31", "renewals": 2, "bidders": 1},
    "costs": [{"year": 2019, "yen": 100}, {"year": 2020, "yen": 5, "kind": "revision", "note": "様式 改訂"}],
    "data_held": ["予約", "空き枠"], "interfaces": [{"name": "日次CSV", "standard": False}],
    "export": {"formats": ["csv", "xlsx"]},
    "certificates": [{"name": "linkage-v1 core", "until": "2027-03-31"},
                     {"name": "一覧", "until": "2027-03-31", "service": str(UUID(int=7))}],
    "customisation": "some", "documentation": "none", "succession": "high", "note": "一行目\n二行目",
}  # fmt: skip


def function() -> str:
    """A function that no other test has."""
    return f"f-{secrets.token_hex(4)}"


async def test_a_system_is_its_organisations_and_those_above_see_it_and_no_other(
    world: World,
) -> None:
    own = await acting(world, KENKO, Role.STEWARD)
    city = await acting(world, "271004", Role.COORDINATOR)
    other = await acting(world, SAKAI, Role.STEWARD)
    auditor = await acting(world, SAKAI, Role.AUDITOR)
    system = await keep(world, own, KENKO, name="予約", function=function())
    path = f"{SYSTEMS}/{system['id']}"

    seen = {
        name: (await world.client.get(path, headers=headers)).status_code
        for name, headers in (("own", own), ("city", city), ("other", other), ("auditor", auditor))
    }
    listed = await world.client.get(f"{SYSTEMS}?limit=1000", headers=city)
    body = {"organization": KENKO, "description": {"name": "奪取", "function": "f1"}}
    foreign = await world.client.post(SYSTEMS, json=body, headers=other)
    overwritten = await world.client.put(
        path, json={"description": body["description"]}, headers=other
    )
    nobody = await world.client.get(path)

    assert seen == {"own": 200, "city": 200, "other": 404, "auditor": 200}
    assert all(each["organization"].startswith("2710") for each in listed.json()["items"])
    assert (foreign.status_code, foreign.json()["code"]) == (403, "system_not_of_organization")
    assert (overwritten.status_code, nobody.status_code) == (404, 401)


async def test_a_change_is_a_revision_and_nobodys_change_is_lost(world: World) -> None:
    own = await acting(world, KENKO, Role.STEWARD)
    told = {"name": "予約", "function": function()}
    system = await keep(world, own, KENKO, **told)
    path = f"{SYSTEMS}/{system['id']}"

    async def put(revision: int, **more: str) -> Any:
        body = {"revision": revision, "description": {**told, **more}}
        return await world.client.put(path, json=body, headers=own)

    same = await put(1)
    changed = await put(1, vendor="架空株式会社")
    late = await put(1, vendor="遅れて来た者")

    revisions = (await world.client.get(f"{path}/revisions", headers=own)).json()
    assert [same.json()["revision"], changed.json()["revision"]] == [1, 2]
    assert (late.status_code, late.json()["code"]) == (409, "system_changed")
    assert [each["revision"] for each in revisions] == [2, 1]
    assert [each["description"].get("vendor") for each in revisions] == ["架空株式会社", None]


async def test_a_dataset_has_one_source_of_truth_of_its_own_organisation(world: World) -> None:
    dataset = await stocked(world, [])  # of the health bureau
    own, other = await acting(world, KENKO, Role.STEWARD), await acting(world, SAKAI, Role.STEWARD)
    first = await keep(world, own, KENKO, name="正本", function=function(), datasets=[dataset])
    path = f"{SYSTEMS}/{first['id']}"
    told = {"name": "写し", "function": function(), "datasets": [dataset]}

    second = await world.client.post(SYSTEMS, json={"description": told}, headers=own)
    foreign = await world.client.post(SYSTEMS, json={"description": told}, headers=other)
    again = await world.client.put(
        path, json={"description": {**told, "name": "正本"}}, headers=own
    )

    assert [each["code"] for each in second.json()["errors"]] == ["dataset_has_source"]
    assert [each["code"] for each in foreign.json()["errors"]] == ["dataset_not_of_organization"]
    assert again.status_code == 200  # its own claim stands in nobody's way


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"businesses": ["tax"]}, "/description/businesses/0"),
        ({"costs": [{"year": 2020, "yen": -1}]}, "/description/costs/0/yen"),
        ({"plan": {"hosting": "cloud"}}, "/description/plan/hosting"),
        ({"function": "Speech To Text"}, "/description/function"),
        ({"colour": "red"}, "/description/colour"),
    ],
)
async def test_what_cannot_be_is_named(world: World, wrong: dict[str, Any], where: str) -> None:
    own = await acting(world, KENKO, Role.STEWARD)
    body = {"description": {"name": "予約", "function": "f1", **wrong}}

    answer = await world.client.post(SYSTEMS, json=body, headers=own)

    assert answer.status_code == 422
    assert where in [each["pointer"] for each in answer.json()["errors"]]


async def test_of_two_systems_that_claim_a_dataset_at_once_one_is_its_source(world: World) -> None:
    dataset, own = await stocked(world, []), await acting(world, KENKO, Role.STEWARD)

    async def claim(name: str) -> int:
        told = {"name": name, "function": function(), "datasets": [dataset]}
        answer = await world.client.post(SYSTEMS, json={"description": told}, headers=own)
        return answer.status_code

    answers = await asyncio.gather(*(claim(f"正本{number}") for number in range(6)))

    assert sorted(answers) == [201, 422, 422, 422, 422, 422]


async def test_a_workbook_is_read_as_a_sheet_is(
    world: World, database_url: str, tmp_path: Path
) -> None:
    book, named = openpyxl.Workbook(), function()
    assert book.active is not None
    book.active.append(["システム名", "機能", "組織", "費用", "契約開始日", "契約更新回数"])
    book.active.append(
        ["予約", named, SAKAI, "2019=100\n2020=5 revision 様式改訂", date(2016, 4, 1), 2]
    )
    book.active.append([None] * 6)
    book.save(tmp_path / "台帳.xlsx")
    home = Home(tmp_path, 1, database_url)

    done = await asyncio.to_thread(home.run, "system", "import", str(tmp_path / "台帳.xlsx"))

    assert done.returncode == 0, done.stderr
    own = await acting(world, SAKAI, Role.STEWARD)
    listed = await world.client.get(SYSTEMS, params={"function": named}, headers=own)
    (system,) = listed.json()["items"]
    assert system["description"]["contract"] == {"since": "2016-04-01", "renewals": 2}
    assert system["description"]["costs"] == [
        {"year": 2019, "yen": 100},
        {"year": 2020, "yen": 5, "kind": "revision", "note": "様式改訂"},
    ]


async def test_a_place_passed_over_in_silence_is_a_finding_until_it_is_explained(
    world: World,
) -> None:
    own = await acting(world, KENKO, Role.STEWARD)
    silent: dict[str, Any] = {"hosting": "on_premises", "skipped": {"saas": "閉域のため"}}
    told = {"name": "住基", "function": function(), "businesses": ["resident_register"]}
    system = await keep(world, own, KENKO, **told, plan=silent)
    path = f"{SYSTEMS}/{system['id']}"

    async def states() -> list[tuple[str, str]]:
        karte = (await world.client.get(f"{path}/karte", headers=own)).json()
        return [(each["rule"], each["state"]) for each in karte["findings"]]

    found = await states()
    board = (await world.client.get("/v1/migration-board", headers=await operator(world))).json()
    reasons = {"gov_cloud": "未提供", "saas": "閉域のため", "common_cloud": "参加団体なし"}
    explained = {**told, "plan": {"hosting": "on_premises", "skipped": reasons}}
    await world.client.put(path, json={"description": explained}, headers=own)

    row = next(each for each in board if each["organization"] == "271004")
    cell = next(each for each in row["cells"] if each["system"] == system["id"])
    assert found == [("hosting_unexplained", "open")]
    assert (cell["planned_rank"], cell["unexplained"]) == (4, ["gov_cloud", "common_cloud"])
    assert len(board) == 43
    assert all(len(each["missing"]) + len({c["business"] for c in each["cells"]}) == 20
               for each in board)  # fmt: skip
    assert await states() == [("hosting_unexplained", "resolved")]


async def test_new_weights_score_old_diagnoses_anew_and_the_old_score_can_be_had(
    world: World,
) -> None:
    own, admin = await acting(world, KENKO, Role.STEWARD), await world.party(
        "270008-smartcity", Role.OPERATOR
    )  # fmt: skip
    headers = await world.token(admin, "admin:read admin:write")
    system = await keep(world, own, KENKO, name="予約", function=function(), documentation="full")
    path = f"{SYSTEMS}/{system['id']}"
    before = (await world.client.post(f"{path}/diagnoses", headers=own)).json()
    old = (await world.client.get("/v1/admin/lock-in-weights", headers=headers)).json()
    weights = {name: 0 for name in old["weights"]} | {"documentation": 60, "certificate": 40}

    wrong = await world.client.put(
        "/v1/admin/lock-in-weights", headers=headers,
        json={"weights": {**weights, "export": 1}, "reason": "試験"},
    )  # fmt: skip
    new = await world.client.put(
        "/v1/admin/lock-in-weights", headers=headers, json={"weights": weights, "reason": "試験"}
    )

    async def score(version: int | None) -> float:
        params = {} if version is None else {"weights": version}
        karte = await world.client.get(f"{path}/karte", params=params, headers=own)
        told: float = karte.json()["diagnoses"][0]["score"]["score"]
        return told

    assert (wrong.status_code, wrong.json()["code"]) == (422, "lock_in_weights_invalid")
    assert new.json()["version"] == old["version"] + 1
    assert before["score"]["score"] == 95  # all but the documentation
    assert await score(None) == 40  # the certificate alone
    assert await score(old["version"]) == 95
    assert (await world.client.get(f"{path}/karte?weights=99", headers=own)).status_code == 404


async def test_a_decision_is_remembered_until_another_system_comes(world: World) -> None:
    own, named = await acting(world, KENKO, Role.STEWARD), function()
    other = await acting(world, SAKAI, Role.STEWARD)
    ours = await keep(world, own, KENKO, name="甲", function=named, data_held=["予約"])
    theirs = await keep(world, other, SAKAI, name="乙", function=named, data_held=["予約"])
    stranger = await acting(world, "272027", Role.STEWARD)
    path = f"/v1/duplicates/{named}/decisions"
    body = {"members": [ours["id"], theirs["id"]], "reason": "根拠となる法律が異なる"}

    async def group() -> dict[str, Any]:
        groups = (await world.client.get("/v1/duplicates", headers=own)).json()["items"]
        (found,) = [each for each in groups if each["function"] == named]
        return dict(found)

    before = await group()
    refused = await world.client.post(path, json=body, headers=stranger)
    await world.client.post(path, json=body, headers=own)
    decided = await group()
    unseen = (await world.client.get("/v1/duplicates", headers=stranger)).json()["items"]
    third = await keep(world, other, SAKAI, name="丙", function=named)

    assert [each["code"] for each in before["reasons"]] == ["same_function", "same_data"]
    assert before["decision"] is None
    assert (refused.status_code, refused.json()["code"]) == (422, "duplicate_members_invalid")
    assert decided["decision"]["reason"] == body["reason"]
    assert named not in [each["function"] for each in unseen]
    assert {each["name"] for each in third["similar"]} == {"甲", "乙"}
    assert (await group())["decision"] is None


async def test_the_sheet_is_read_back_as_it_was_written(
    world: World, database_url: str, tmp_path: Path
) -> None:
    own = await acting(world, KENKO, Role.STEWARD)
    system = await keep(world, own, KENKO, **{**FULL, "function": function()})
    await keep(world, own, KENKO, name="=HYPERLINK(1)", function=function())
    home, sheet = Home(tmp_path, 1, database_url), tmp_path / "台帳.csv"

    written = await world.client.get(f"{SYSTEMS}/sheet.csv", headers=own)
    sheet.write_bytes(written.content)
    done = await asyncio.to_thread(home.run, "system", "import", str(sheet), "--json")
    text = written.content.decode("utf-8-sig").replace(system["id"], "")
    new = tmp_path / "新規.csv"
    new.write_bytes("\n".join([text.splitlines()[0], ",271403,新規,,,f-new"]).encode("cp932"))
    added = await asyncio.to_thread(home.run, "system", "import", str(new), "--json")
    wrong = tmp_path / "誤り.csv"
    wrong.write_text("システム名,機能,費用\n甲,f-x,高い\n乙,f-y,\n", "utf-8")
    refused = await asyncio.to_thread(home.run, "system", "import", str(wrong))
    new.write_text("システム名,機能,組織\n甲,f-x,999999\n", "utf-8")
    nobodys = await asyncio.to_thread(home.run, "system", "import", str(new))
    new.write_text(f"システム名,機能,組織,備考\n甲,f-x,271403,{PROBE}\n", "utf-8")
    private = await asyncio.to_thread(home.run, "system", "import", str(new))

    again = (await world.client.get(f"{SYSTEMS}/{system['id']}", headers=own)).json()
    assert (nobodys.returncode, "999999" in nobodys.stderr) == (1, True)
    assert "Traceback" not in nobodys.stderr
    assert "[individual_number_refused]" in private.stderr
    assert "line 2 of the sheet" in private.stderr and PROBE not in private.stderr
    assert written.content.startswith(b"\xef\xbb\xbf")
    assert "'=HYPERLINK(1)" in text
    assert len(HEADINGS) == 29
    counts = json.loads(done.stdout)
    assert (counts["added"], counts["changed"]) == (0, 0), done.stderr
    assert counts["unchanged"] == text.count(",271004-kenko,") >= 2
    assert again["description"] == system["description"]
    assert again["revision"] == 1
    assert '"added": 1' in added.stdout, added.stderr
    assert refused.returncode == 1
    assert "2/費用" in refused.stderr


async def test_who_depends_on_a_system_is_told_by_agreements_and_by_what_was_really_read(
    world: World,
) -> None:
    rows = [{"no": "1", "name": "架空"}]
    internal, public = await stocked(world, rows, data_class="internal"), await stocked(world, rows)
    agreed_with, reads_only = await world.party(SAKAI, Role.STEWARD), await world.party("272027")
    agreement, _ = await agreed(world, internal, agreed_with)
    for party, dataset, times in (
        (agreed_with, internal, 2), (reads_only, public, 1), (await world.party(KENKO), public, 1),
    ):  # fmt: skip
        headers = await world.token(party, f"dataset:{dataset}:read")
        for _ in range(times):
            where = f"/v1/datasets/{dataset}/records?purpose={PURPOSE}"
            assert (await world.client.get(where, headers=headers)).status_code == 200
    await world.platform.broker._recorder._usage.flush()
    await metering.count(world.platform.database.pool)
    own = await acting(world, KENKO, Role.STEWARD)
    system = await keep(
        world, own, KENKO, name="甲", function=function(), datasets=[internal, public]
    )

    karte = await world.client.get(f"{SYSTEMS}/{system['id']}/karte", headers=own)

    told = {each["consumer"]: each for each in karte.json()["dependants"]}
    assert [(name, told[name]["agreement"], told[name]["reads"]) for name in sorted(told)] == [
        (SAKAI, agreement, 2), ("272027", None, 1),
    ]  # fmt: skip
    assert told["272027"]["last_read_at"] is not None
