"""A finding has an owner, a due date and a state; what ended stays, and others' are not there."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from typer.testing import CliRunner

from app.audit.events import Event
from app.cli.main import app
from app.findings.findings import Sighting, Wanted, list_findings, report
from app.kit import clock
from app.models.findings import Severity
from app.models.parties import Role
from tests.world import KENKO, SAKAI, World

FINDINGS = "/v1/findings"
OPERATOR = "272027"


async def acting(world: World, organization: str, *roles: Role) -> dict[str, str]:
    """The headers of a client that sees and answers findings."""
    party = await world.party(organization, *roles)
    return await world.token(party, "findings:read findings:write")


async def steward(world: World, organization: str = KENKO) -> dict[str, str]:
    return await acting(world, organization, Role.STEWARD)


async def found(world: World, **change: Any) -> str:
    """Something was seen; the id of its finding."""
    told: dict[str, Any] = {
        "rule": "bulk_read", "subject_kind": "client", "subject_id": f"c-{world.first}",
        "severity": Severity.HIGH, "ja": "試験", "en": "A test", "due_in": timedelta(days=3),
        "owner_id": KENKO, **change,
    }  # fmt: skip
    async with world.platform.database.writing() as session:
        (finding,) = await report(session, Sighting(**told))
    return str(finding.id)


async def do(
    world: World, finding: str, what: str, headers: dict[str, str], **body: Any
) -> httpx.Response:
    return await world.client.post(f"{FINDINGS}/{finding}/{what}", json=body, headers=headers)


async def show(world: World, finding: str, headers: dict[str, str]) -> dict[str, Any]:
    response = await world.client.get(f"{FINDINGS}/{finding}", headers=headers)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


async def test_a_finding_goes_from_open_to_resolved_and_each_step_is_kept(world: World) -> None:
    headers = await steward(world)
    finding = await found(world)

    first = await do(world, finding, "acknowledge", headers, note="確認中")
    twice = await do(world, finding, "acknowledge", headers)
    last = await do(world, finding, "resolve", headers, note="対応済み")
    again = await do(world, finding, "resolve", headers)

    assert first.json()["state"] == "acknowledged"
    assert (twice.status_code, twice.json()["code"]) == (409, "finding_acknowledged")
    assert (again.status_code, again.json()["code"]) == (409, "finding_closed")
    steps = [(each["state"], each["note"]) for each in last.json()["history"]]
    assert steps == [("open", None), ("acknowledged", "確認中"), ("resolved", "対応済み")]
    assert last.json()["closed_at"] is not None
    log = await world.log(Event.FINDING_OPENED, Event.FINDING_CHANGED)
    assert [entry.get("state") for entry in log] == [None, "acknowledged", "resolved"]
    assert log[0]["by"] == "rule:bulk_read"


async def test_while_it_stands_the_same_is_counted_and_afterwards_it_is_a_new_one(
    world: World,
) -> None:
    headers = await steward(world)
    first = await found(world, severity=Severity.LOW)
    second = await found(world, severity=Severity.CRITICAL)
    shown = await show(world, first, headers)
    await do(world, first, "dismiss", headers, reason="夜間処理")

    third = await found(world)

    assert first == second != third
    assert (shown["seen"], shown["severity"]) == (2, "critical")
    assert (await show(world, first, headers))["seen"] == 2
    assert len(await world.log(Event.FINDING_OPENED)) == 2


async def test_two_at_once_open_one(world: World) -> None:
    opened = await asyncio.gather(*(found(world, subject_id="c-at-once") for _ in range(6)))

    (only,) = set(opened)
    assert (await show(world, only, await steward(world)))["seen"] == 6


@pytest.mark.parametrize(
    ("organization", "role", "reads", "acts"),
    [
        (KENKO, Role.STEWARD, 200, 200),
        ("271004", Role.STEWARD, 200, 200),  # the body above
        (SAKAI, Role.STEWARD, 404, 404),
        (OPERATOR, Role.OPERATOR, 200, 200),
        (SAKAI, Role.COORDINATOR, 404, 404),
    ],
)
async def test_who_sees_a_finding_and_who_answers_it(
    world: World, organization: str, role: Role, reads: int, acts: int
) -> None:
    finding = await found(world, subject_id=f"c-{organization}-{role}")
    headers = await acting(world, organization, role)

    read = await world.client.get(f"{FINDINGS}/{finding}", headers=headers)
    listed = await world.client.get(FINDINGS, params={"limit": 1000}, headers=headers)
    acted = await do(world, finding, "acknowledge", headers)

    assert (read.status_code, acted.status_code) == (reads, acts)
    ids = [each["id"] for each in listed.json()["items"]]
    assert (finding in ids) == (reads == 200)


async def test_an_auditor_sees_all_and_changes_nothing_and_the_operators_own_are_theirs(
    world: World,
) -> None:
    finding = await found(world, owner_id=None)
    auditor = await world.token(await world.party(SAKAI, Role.AUDITOR), "findings:read")
    plain = await world.party(KENKO, Role.DEVELOPER)

    asked = await world.client.post("/oauth/token", data=plain.form("findings:read"))
    seen = await show(world, finding, auditor)
    changed = await do(world, finding, "resolve", auditor)
    theirs = await do(world, finding, "resolve", await steward(world))

    assert asked.json()["error"] == "invalid_scope"
    assert seen["owner"] is None
    assert (changed.status_code, changed.json()["code"]) == (403, "insufficient_scope")
    assert theirs.status_code == 404


async def test_the_list_is_cut_down_and_paged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await steward(world)
    dataset = await world.dataset()
    mine = [await found(world, dataset_id=dataset, subject_id=f"c-{n}") for n in range(3)]
    await do(world, mine[0], "resolve", headers)

    async def ids(**query: Any) -> list[str]:
        params = {"dataset": dataset, **query}
        answer = await world.client.get(FINDINGS, params=params, headers=headers)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["items"]]

    first = await world.client.get(
        FINDINGS, params={"dataset": dataset, "limit": 2}, headers=headers
    )
    rest = await ids(cursor=first.json()["next"])
    by_state, by_rule = await ids(state="resolved"), await ids(rule="off_hours")
    before = await ids(overdue="true")
    later = clock.now() + timedelta(days=4)
    monkeypatch.setattr("app.findings.findings.clock.now", lambda: later)
    async with world.platform.database.reading() as session:
        overdue = await list_findings(
            session, Wanted([KENKO], dataset_id=dataset, overdue=True, limit=10)
        )

    assert [each["id"] for each in first.json()["items"]] + rest == mine[::-1]
    assert (by_state, by_rule, before) == ([mine[0]], [], [])
    assert [str(each.id) for each in overdue] == [mine[2], mine[1]]


async def test_the_due_date_is_moved_and_only_an_operator_gives_it_away(world: World) -> None:
    headers = await steward(world)
    operator = await acting(world, OPERATOR, Role.OPERATOR)
    finding = await found(world)
    path, due = f"{FINDINGS}/{finding}", clock.now() + timedelta(days=30)
    patch = world.client.patch

    moved = await patch(path, json={"due_at": due.isoformat()}, headers=headers)
    past = await patch(path, json={"due_at": "2020-01-01T00:00:00Z"}, headers=headers)
    nobody = await patch(path, json={"person": "person:nobody"}, headers=headers)
    away = await patch(path, json={"owner": SAKAI}, headers=headers)
    given = await patch(path, json={"owner": SAKAI}, headers=operator)

    assert abs(datetime.fromisoformat(moved.json()["due_at"]) - due) < timedelta(seconds=1)
    assert [past.json()["errors"][0]["code"], nobody.json()["errors"][0]["code"]] == [
        "due_at_out_of_range",
        "person_unknown",
    ]
    assert (away.status_code, away.json()["code"]) == (403, "operators_only")
    assert given.json()["owner"] == SAKAI
    assert (await world.client.get(path, headers=headers)).status_code == 404


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE finding SET state = 'open', closed_at = NULL WHERE id = $1",
        "UPDATE finding SET state = 'acknowledged', closed_at = NULL WHERE id = $1",
        "UPDATE finding SET seen = 99 WHERE id = $1",
        "UPDATE finding SET owner_id = NULL WHERE id = $1",
        "UPDATE finding SET subject_id = 'another' WHERE id = $1",
        "UPDATE finding_change SET note = 'nothing' WHERE finding_id = $1",
        "DELETE FROM finding_change WHERE finding_id = $1",
        "DELETE FROM finding WHERE id = $1",
    ],
)
async def test_the_database_too_keeps_what_ended_as_it_is(world: World, statement: str) -> None:
    finding = await found(world, subject_id=f"c-{hash(statement)}")
    await do(world, finding, "resolve", await steward(world))

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(statement, UUID(finding))


async def test_the_database_wants_to_know_who_ended_it(world: World) -> None:
    finding = await found(world)

    with pytest.raises(asyncpg.CheckViolationError, match="nobody says who"):
        await world.platform.database.pool.execute(
            "UPDATE finding SET state = 'resolved', closed_at = now() WHERE id = $1", UUID(finding)
        )


async def test_an_operator_lists_shows_and_resolves_at_the_shell(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = await found(world, subject_id="c-shell")
    monkeypatch.setenv("URBANOS_DATABASE_URL", world.platform.database.url)

    async def urbanos(*words: str) -> Any:
        command = ["finding", *words, "--json"]
        ended = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert ended.exit_code == 0, ended.output
        return orjson.loads(ended.stdout)

    listed = await urbanos("list", "--state", "open")
    resolved = await urbanos("resolve", finding, "--note", "対応済み")
    shown = await urbanos("show", finding)

    assert finding in [each["id"] for each in listed]
    assert resolved == shown
    assert (shown["subject"], shown["state"]) == ("client:c-shell", "resolved")
    assert shown["history"][-1].endswith("対応済み")
