"""Programmes and projects over HTTP: the gate, who may do what, and what is found afterwards."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.audit.events import Event
from app.findings import findings
from app.kit import clock
from app.models.findings import Finding
from app.models.parties import Role
from app.models.programmes import ProgrammeKind
from app.parties.seed import OPERATOR
from app.programmes import intake, programmes, projects, sheet
from app.programmes.refusals import SheetInvalid
from app.programmes.watch import RULE, SUBJECT, look_at_projects
from app.tasks.alerts import watch_log
from tests.cli.test_demo import Home
from tests.programmes.office import FY2020, PROGRAMMES, PROJECTS, Office, acting, title
from tests.systems.inventory import statements
from tests.world import KENKO, SAKAI, World

TOMORROW = (clock.now().astimezone(clock.TOKYO).date() + timedelta(days=1)).isoformat()


async def test_a_project_is_approved_with_a_certificate_or_a_plan_for_each_thing_and_not_before(
    world: World,
) -> None:
    office = await Office.of(world)
    layout = await office.layout()
    programme = await office.programme(classes=["query"], profiles=[layout])
    service = await office.service()
    project = await office.project(programme, services=[service])

    ja, en = [
        await office.move(project, "approved", by={**office.prefecture, "Accept-Language": each})
        for each in ("ja", "en")
    ]
    await office.certify(service)
    only_layout = await office.move(project, "approved")
    past = {"requirement": layout, "until": "2026-11-01", "responsible": "架空予約株式会社"}
    await office.put(project, plans=[past])
    past_plan = await office.move(project, "approved")
    planned = await office.put(project, plans=[{**past, "until": TOMORROW}])
    approved = await office.move(project, "approved", granted_thousand_yen=4000)

    assert planned.status_code == 200, planned.text
    assert (ja.status_code, ja.json()["code"]) == (409, "project_not_covered")
    assert [each["pointer"] for each in ja.json()["errors"]] == ["/services/0"] * 3
    told = {"ja": ja.json()["errors"], "en": en.json()["errors"]}
    for at, name in enumerate(("core", "query", layout)):
        assert all(
            name in each[at]["detail"] and service in each[at]["detail"] for each in told.values()
        )
    assert "証明書がありません" in told["ja"][0]["detail"] and "plans" in told["en"][0]["detail"]
    assert [layout in each["detail"] for each in only_layout.json()["errors"]] == [True]
    assert "2026-11-01" in past_plan.json()["errors"][0]["detail"]
    assert (approved.json()["state"], approved.json()["granted_thousand_yen"]) == ("approved", 4000)
    moves = await world.log(Event.PROJECT_MOVED)
    assert [each["state"] for each in moves] == ["submitted", "approved"]


async def test_without_a_service_only_a_plan_opens_the_gate_and_a_subsidy_has_none_by_default(
    world: World,
) -> None:
    office = await Office.of(world)
    support = await office.programme(classes=["core"])
    subsidy = await office.programme(classes=["core"], kind="subsidy")
    shut, free = await office.project(support), await office.project(subsidy)
    path = f"{PROJECTS}/{{}}/gate"

    refused = await office.move(shut, "approved")
    gates = [
        (await world.client.get(path.format(each["id"]), headers=office.city)).json()
        for each in (shut, free)
    ]
    granted = await office.move(free, "approved")

    assert [each["code"] for each in refused.json()["errors"]] == ["service_missing"]
    assert [(each["gated"], each["open"], len(each["missing"])) for each in gates] == [
        (True, False, 1), (False, True, 1),
    ]  # fmt: skip
    assert granted.json()["granted_thousand_yen"] == 5000


async def test_what_runs_out_after_the_approval_is_a_finding_that_ends_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = await Office.of(world)
    programme = await office.programme(classes=["core"])
    service = await office.service("途中で失効するサービス")
    first = await office.certify(service)
    project = await office.project(programme, services=[service])
    assert (await office.move(project, "approved")).status_code == 200

    async def states() -> list[str]:
        await look_at_projects(world.platform.database)
        return [each.state for each in await _findings(world, project)]

    well = await states()
    await office.revoke(first)
    await watch_log(world.platform.database)  # as a worker does each minute
    revoked = [each.state for each in await _findings(world, project)]
    again = await states()
    await office.certify(service)
    renewed = await states()
    with monkeypatch.context() as moved:
        later = clock.now() + timedelta(days=366)
        moved.setattr(clock, "now", lambda: later)
        expired = await states()
    finding = (await _findings(world, project))[-1]

    assert (well, revoked, again, renewed) == ([], ["open"], ["open"], ["resolved"])
    assert expired == ["resolved", "open"]
    assert finding.owner_id == "271004"
    assert "途中で失効するサービス" in finding.ja and "expired" in finding.en
    await office.move(project, "withdrawn", by=office.city)
    assert await states() == ["resolved", "resolved"]


async def test_a_plan_whose_day_has_passed_is_a_finding_and_a_closed_one_is_not_opened_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = await Office.of(world)
    programme = await office.programme(classes=["core"])
    plan = {"requirement": "core", "until": TOMORROW, "responsible": "デジタル統括室"}
    project = await office.project(programme, plans=[plan])
    assert (await office.move(project, "approved")).status_code == 200
    await look_at_projects(world.platform.database)
    before = await _findings(world, project)

    later = datetime.fromisoformat(f"{TOMORROW}T00:00:00+09:00") + timedelta(days=1)
    monkeypatch.setattr(clock, "now", lambda: later - timedelta(seconds=1))
    await look_at_projects(world.platform.database)
    before += await _findings(world, project)
    monkeypatch.setattr(clock, "now", lambda: later)
    await look_at_projects(world.platform.database)
    (finding,) = await _findings(world, project)
    monkeypatch.setattr(clock, "now", lambda: later + timedelta(seconds=1))
    async with world.platform.database.writing() as session:
        mine = await findings.get(session, finding.id, ["271004"])
        await findings.dismiss(session, mine, reason="事業を見直すため", by="test")
    monkeypatch.setattr(clock, "now", lambda: later + timedelta(minutes=1))
    await look_at_projects(world.platform.database)

    assert before == []
    assert TOMORROW in finding.ja and TOMORROW in finding.en
    assert len(await _findings(world, project)) == 1


async def test_a_project_is_seen_by_its_own_and_those_above_and_decided_by_the_programme(
    world: World,
) -> None:
    office = await Office.of(world)
    bureau, sakai = await acting(world, KENKO), await acting(world, SAKAI)
    operator = await acting(world, OPERATOR, Role.OPERATOR)
    programme = await office.programme()
    body = {"programme": programme["id"], "description": {"title": title()}}
    draft = (await world.client.post(PROJECTS, json=body, headers=bureau)).json()
    path = f"{PROJECTS}/{draft['id']}"

    async def seen() -> list[int]:
        who = (bureau, office.city, office.prefecture, sakai, operator)
        return [(await world.client.get(path, headers=each)).status_code for each in who]

    as_draft = await seen()
    await office.move(draft, "submitted", by=bureau)
    submitted = await seen()
    own = await office.move(draft, "approved", by=office.city)
    foreign = await office.move(draft, "withdrawn", by=sakai)
    theirs = await office.move(draft, "withdrawn")
    listed = await world.client.get(f"{PROJECTS}?limit=1000", headers=office.city)
    told = [
        [
            each["state"]
            for each in (await world.client.get(f"{path}/revisions", headers=who)).json()
        ]
        for who in (bureau, office.prefecture)
    ]
    dropped = (await world.client.post(
        PROJECTS, json={**body, "description": {"title": title()}}, headers=bureau
    )).json()  # fmt: skip
    await office.move(dropped, "withdrawn", by=bureau)
    never = await world.client.get(f"{PROJECTS}/{dropped['id']}", headers=office.prefecture)
    theirs_listed = await world.client.get(
        PROJECTS, params={"programme": programme["id"]}, headers=office.prefecture
    )
    kept_for = await world.client.post(
        PROJECTS, json={**body, "organization": SAKAI}, headers=bureau
    )
    without_check_digit = await world.client.post(
        PROJECTS, headers=office.city,
        json={**body, "organization": "27100", "description": {"title": title()}},
    )  # fmt: skip
    changed = await world.client.put(path, json={"description": {"title": "奪取"}}, headers=office.prefecture)  # fmt: skip
    theirs_to_run = await world.client.put(
        f"{PROGRAMMES}/{programme['id']}",
        json={"title": title(), "kind": "subsidy", "fiscal_year": 2026}, headers=office.city,
    )  # fmt: skip

    assert (as_draft, submitted) == ([200, 200, 404, 404, 200], [200, 200, 200, 404, 200])
    assert (own.status_code, own.json()["code"]) == (403, "project_not_yours")
    assert told == [["submitted", "draft"], ["submitted"]]
    assert without_check_digit.json()["organization"] == "271004"
    assert never.status_code == 404  # it was never submitted to them
    assert [each["id"] for each in theirs_listed.json()["items"]] == [draft["id"]]
    assert (foreign.status_code, theirs.status_code) == (404, 403)
    assert all(each["organization"].startswith("2710") for each in listed.json()["items"])
    assert [kept_for.json()["code"], changed.json()["code"]] == ["not_for_organization"] * 2
    assert theirs_to_run.status_code == 404
    assert (await world.client.get(path)).status_code == 401


async def test_what_was_approved_stays_as_it_was_approved(world: World) -> None:
    office = await Office.of(world)
    programme = await office.programme(classes=["core"])
    plan = {"requirement": "core", "until": TOMORROW, "responsible": "デジタル統括室"}
    project = await office.project(programme, plans=[plan])
    too_much = await office.move(project, "approved", granted_thousand_yen=5001)
    project = (await office.move(project, "approved")).json()

    dearer = await office.put(project, requested_thousand_yen=9000)
    uncovered = await office.put(project, plans=[])
    longer = await office.put(project, plans=[{**plan, "responsible": "架空予約株式会社"}])
    back = await office.move(project, "submitted", by=office.city)
    done = await office.move(project, "completed")
    late = await office.put(project, plans=[])
    history = await world.client.get(f"{PROJECTS}/{project['id']}/revisions", headers=office.city)

    assert too_much.json()["errors"][0]["code"] == "granted_more_than_requested"
    assert [each.json()["code"] for each in (dearer, uncovered, back, late)] == [
        "project_fixed", "project_not_covered", "project_move_refused", "project_fixed",
    ]  # fmt: skip
    assert (longer.status_code, done.json()["state"]) == (200, "completed")
    assert [each["state"] for each in history.json()] == [
        "completed", "approved", "approved", "submitted", "draft",
    ]  # fmt: skip


async def test_nothing_is_granted_but_what_was_read(world: World) -> None:
    office = await Office.of(world)
    read = await office.project(await office.programme(), requested_thousand_yen=5000)
    dearer = await office.put(read, requested_thousand_yen=9000)

    late = await office.move(read, "approved", revision=read["revision"])
    again = await office.move(read, "approved", revision=dearer.json()["revision"])

    assert (late.status_code, late.json()["code"]) == (409, "project_changed")
    assert again.json()["granted_thousand_yen"] == 9000


async def test_of_two_who_decide_at_once_one_is_told_that_it_is_decided(world: World) -> None:
    office = await Office.of(world)
    project = await office.project(await office.programme())

    answers = await asyncio.gather(*(office.move(project, "approved") for _ in range(3)))

    assert sorted(each.status_code for each in answers) == [200, 409, 409]
    assert len(await world.log(Event.PROJECT_MOVED)) == 2  # submitted, and approved once


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"services": ["5b0f7a4e-8f1f-4c39-9a52-6a3f5c1f8d21"]}, "certified_service_not_found"),
        ({"systems": ["5b0f7a4e-8f1f-4c39-9a52-6a3f5c1f8d21"]}, "system_not_of_organization"),
        ({"requested_thousand_yen": 5_000_000, "total_cost_thousand_yen": 57_376}, "requested_more_than_total"),
        ({"plans": [{"requirement": "push", "until": TOMORROW, "responsible": "誰か"}]}, "requirement_unknown"),
        ({"plans": [{"requirement": "core", "until": "9999-12-31", "responsible": "誰か"}]}, "plan_too_far"),
    ],
)  # fmt: skip
async def test_what_a_project_names_is_there(
    world: World, wrong: dict[str, Any], code: str
) -> None:
    office = await Office.of(world)
    programme = await office.programme(classes=["core"])
    body = {"programme": programme["id"], "description": {"title": title(), **wrong}}

    refused = await world.client.post(PROJECTS, json=body, headers=office.city)

    assert (refused.status_code, refused.json()["code"]) == (422, "project_invalid")
    assert [each["code"] for each in refused.json()["errors"]] == [code]


async def test_a_programme_requires_nothing_that_cannot_be_certified(world: World) -> None:
    office = await Office.of(world)
    layout = await office.layout()
    body = {"title": title(), "kind": "support", "fiscal_year": 2026, "profiles": [f"{layout}1"]}

    refused = await world.client.post(PROGRAMMES, json=body, headers=office.prefecture)
    made = await office.programme(profiles=[layout])

    assert refused.json()["code"] == "requirements_invalid"
    assert layout in refused.json()["errors"][0]["detail"]  # the nearest one
    assert (made["classes"], made["profiles"], made["gated"]) == (["core"], [layout], True)


async def test_the_six_projects_of_fiscal_2020_load_once_and_no_gate_is_before_them(
    world: World,
) -> None:
    lines = sheet.read(FY2020.read_bytes())
    other = sheet.read(FY2020.read_bytes().replace(b",1141,", b",1142,"))
    head = "local_government_code,project,subsidy_thousand_yen,total_cost_thousand_yen\n"
    in_yen = sheet.read(f"{head}271004,円で書いた計画,5000000,57376\n".encode())
    wide = sheet.read(f'{head}27100,甲,"５，０００",\n271004,乙,5000千円,\n'.encode())
    said = programmes.Said(title("補助"), ProgrammeKind.SUBSIDY, 2020, ["core", "query"])
    async with world.platform.database.writing() as session:
        programme = await programmes.add(session, OPERATOR, said, by="test")
        with statements(world) as asked:
            counts = [
                await intake.take_in(session, programme, each, by="test")
                for each in (lines, lines, other)
            ]
        with pytest.raises(SheetInvalid) as refused:
            await intake.take_in(session, programme, in_yen, by="test")
        wanted = projects.Wanted(None, programme_id=programme.id)
        loaded = await projects.list_projects(session, wanted)

    assert counts == [
        {"added": 6, "unchanged": 0, "differing": 0}, {"added": 0, "unchanged": 6, "differing": 0},
        {"added": 0, "unchanged": 5, "differing": 1},
    ]  # fmt: skip
    assert [each.pointer for each in refused.value.faults] == ["2/requested_thousand_yen"]
    assert {each.said.requested_thousand_yen for each in wide} == {5000}
    assert {each.organization_id: projects.said_of(each).requested_thousand_yen for each in loaded} == {
        "272167": 5000, "271004": 5000, "272043": 5000, "272086": 2132, "272116": 1704, "272051": 1141,
    }  # fmt: skip
    assert {each.state for each in loaded} == {"submitted"}
    assert programme.gated is False
    assert sum("log_append" in each for each in asked) == 1  # it holds who reads until the commit


def test_a_sheet_names_every_wrong_cell_by_its_line() -> None:
    head = "local_government_code,project,subsidy_thousand_yen\n"
    wrong = f"{head}271004,正しい,5000\n271005,検査数字,5000\n271004,\x01,五千\n"

    with pytest.raises(SheetInvalid) as cells:
        sheet.read(wrong.encode())
    with pytest.raises(SheetInvalid) as columns:
        sheet.read("local_government_code,projects\n".encode("cp932"))

    for unreadable in (b"\xff\xfe\x00", f"{head}271004,{'長' * 200_000},1\n".encode()):
        with pytest.raises(SheetInvalid):
            sheet.read(unreadable)
    assert [each.pointer for each in cells.value.faults] == [
        "3/local_government_code", "4/project", "4/subsidy_thousand_yen",
    ]  # fmt: skip
    assert [(each.pointer, each.code) for each in columns.value.faults] == [
        ("1/project", "column_missing"), ("1/projects", "column_unknown"),
    ]  # fmt: skip


async def test_a_shell_takes_the_sheet_in_and_lists_what_was_asked_for(
    database_url: str, tmp_path: Path
) -> None:
    home, named = Home(tmp_path, 1, database_url), title("令和2年度補助")
    told = ("--title", named, "--year", "2020", "--owner", OPERATOR, "--json")

    done = await asyncio.to_thread(home.run, "programme", "import", str(FY2020), *told)
    made = json.loads(done.stdout)
    listed = await asyncio.to_thread(home.run, "programme", "projects", made["programme"], "--json")

    assert (made["added"], made["differing"], made["gated"]) == (6, 0, False)
    assert sum(each["requested"] for each in json.loads(listed.stdout)) == 19_977


async def _findings(world: World, project: dict[str, Any]) -> list[Finding]:
    async with world.platform.database.reading() as session:
        found = await findings.about(session, SUBJECT, project["id"])
        return [each for each in reversed(found) if each.rule == RULE]
