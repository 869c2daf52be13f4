"""Each rule speaks up at its threshold and not before it, once, whoever looks and whatever breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.audit.events import Event
from app.audit.reading import list_entries
from app.findings import looks, watch
from app.findings.findings import Wanted, list_findings
from app.findings.office_hours import is_office_time
from app.findings.rules import RULES
from app.kit import clock
from app.models.findings import Finding
from app.models.parties import Role
from app.policy.staleness import LOG_BOUND_S
from app.tasks.alerts import watch_log
from app.tasks.notices import give_notices
from tests.agreements.test_notices import ending
from tests.stock import path, stocked
from tests.world import KENKO, SAKAI, World

RULES_PATH = "/v1/admin/alert-rules"
WORKDAY = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)  # noon of a Monday in Japan


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: moment)


async def logged(
    world: World,
    dataset: str,
    client: str = "c-one",
    event: Event = Event.RECORDS_READ,
    **more: Any,
) -> None:
    """An entry as the broker writes it."""
    told = {"dataset": dataset, "client": client, "data_class": "internal", "rows": 1, **more}
    await world.platform.log.write(event, consumer=SAKAI, purpose="statistics", **told)


async def judge(world: World) -> None:
    """Let the rules that read the log look at what is new."""
    for name, rule in RULES.items():
        if rule.events:
            await watch.judge_log(world.platform.database, name)


async def findings(world: World, rule: str, **only: Any) -> list[Finding]:
    async with world.platform.database.reading() as session:
        found = await list_findings(session, Wanted(None, rule=rule, limit=1000, **only))
    return list(found)


async def set_rule(world: World, name: str, **body: Any) -> Any:
    operator = await world.party("272027", Role.OPERATOR)
    headers = await world.token(operator, "admin:read admin:write")
    return await world.client.patch(f"{RULES_PATH}/{name}", json=body, headers=headers)


async def test_rows_over_several_pages_add_up_to_a_bulk_read(world: World) -> None:
    dataset = await world.dataset()
    for rows in (4_000, 4_000, 1_999):
        await logged(world, dataset, rows=rows)
    await judge(world)
    below = await findings(world, "bulk_read", dataset_id=dataset)
    await logged(world, dataset, rows=1)

    await judge(world)
    await judge(world)

    (finding,) = await findings(world, "bulk_read", dataset_id=dataset)
    assert below == []
    assert (finding.owner_id, finding.subject_id, finding.seen) == (KENKO, "c-one", 1)
    assert "10000 rows" in finding.en and dataset in finding.ja and SAKAI in finding.ja


async def test_rows_of_different_clients_datasets_or_hours_do_not_add_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await world.dataset(), await world.dataset()
    await logged(world, one, rows=6_000)
    await logged(world, one, client="c-two", rows=6_000)
    await logged(world, other, rows=6_000)
    await judge(world)
    at(monkeypatch, clock.now() + timedelta(minutes=66))
    await logged(world, one, rows=6_000)

    await judge(world)

    assert await findings(world, "bulk_read", dataset_id=one) == []
    assert await findings(world, "bulk_read", dataset_id=other) == []


async def test_a_share_of_a_smaller_dataset_is_a_bulk_read_too(world: World) -> None:
    dataset = await stocked(world, [{"no": "1"}], data_class="restricted")
    await world.platform.database.pool.execute(
        "UPDATE version SET row_count = 2000 WHERE dataset_id = $1", dataset
    )
    await logged(world, dataset, rows=1_599)
    await judge(world)
    below = await findings(world, "bulk_read", dataset_id=dataset)
    await logged(world, dataset, rows=1)
    await judge(world)

    assert (below, len(await findings(world, "bulk_read", dataset_id=dataset))) == ([], 1)


async def test_a_real_read_is_judged_and_the_provider_sees_it(world: World) -> None:
    records = [{"no": str(n), "name": "架空"} for n in range(4)]
    dataset = await stocked(world, records, data_class="internal")
    reader = await world.party(KENKO)
    await judge(world)
    changed = await set_rule(world, "bulk_read", values={"threshold": 8})
    headers = await world.token(reader, f"dataset:{dataset}:read")
    for _ in range(2):
        read = await world.client.get(
            path(dataset), params={"purpose": "statistics"}, headers=headers
        )
        assert read.status_code == 200, read.text
    provider = await world.token(await world.party(KENKO, Role.STEWARD), "findings:read")

    await judge(world)
    await set_rule(world, "bulk_read", values={"threshold": None})

    seen = await world.client.get("/v1/findings", params={"dataset": dataset}, headers=provider)
    assert changed.json()["values"]["threshold"] == 8
    (finding,) = seen.json()["items"]
    assert finding["subject"] == {"kind": "client", "id": reader.id}


async def test_a_rule_that_is_off_is_silent_and_stays_so_about_that_time(world: World) -> None:
    dataset = await world.dataset()
    off = await set_rule(world, "bulk_read", enabled=False)
    await logged(world, dataset, rows=50_000)
    await judge(world)
    await set_rule(world, "bulk_read", enabled=True)

    await judge(world)

    assert off.json()["enabled"] is False
    assert await findings(world, "bulk_read", dataset_id=dataset) == []
    set_ = await world.log(Event.ALERT_RULE_SET)
    assert [(each["rule"], each["enabled"]) for each in set_] == [
        ("bulk_read", False),
        ("bulk_read", True),
    ]


async def test_a_value_stays_within_the_bounds_of_its_rule(world: World) -> None:
    none, wild = {"values": {"thresh": 1}}, {"values": {"threshold": 0, "window_minutes": 10**9}}
    back = {"values": {"from_hour": 20, "until_hour": 8}}

    unknown = await set_rule(world, "bulk_read", **none)
    outside = await set_rule(world, "bulk_read", **wild)
    reversed_ = await set_rule(world, "off_hours", **back)
    nothing = await set_rule(world, "no_such_rule", enabled=False)
    steward = await world.party(KENKO, Role.STEWARD)
    asked = await world.client.post("/oauth/token", data=steward.form("admin:write"))

    codes = [[fault["code"] for fault in each.json()["errors"]] for each in (unknown, outside)]
    assert codes == [["value_unknown"], ["value_out_of_range", "value_out_of_range"]]
    assert reversed_.json()["errors"][0]["code"] == "hours_reversed"
    assert (nothing.status_code, asked.json()["error"]) == (404, "invalid_scope")


@pytest.mark.parametrize(
    ("told", "is_work"),
    [
        ("2026-11-30T08:00", True),
        ("2026-11-30T07:59", False),
        ("2026-11-30T20:00", False),
        ("2026-11-28T12:00", False),  # a Saturday
        ("2026-11-23T12:00", False),  # 勤労感謝の日
        ("2026-12-31T12:00", False),
        ("2027-03-22T12:00", False),  # 春分の日 falls on a Sunday
        ("2027-01-04T12:00", True),
    ],
)
def test_a_town_hall_works_on_weekdays_that_are_no_holidays(told: str, is_work: bool) -> None:
    moment = datetime.fromisoformat(f"{told}+09:00")

    assert is_office_time(moment.astimezone(UTC), 8, 20) is is_work


async def test_delicate_data_read_at_night_are_told_of_and_others_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    delicate, plain = await world.dataset(), await world.dataset(data_class="internal")
    at(monkeypatch, WORKDAY)
    await logged(world, delicate, data_class="restricted")
    await judge(world)
    by_day = await findings(world, "off_hours", dataset_id=delicate)
    at(monkeypatch, WORKDAY + timedelta(hours=12))
    for _ in range(3):
        await logged(world, delicate, data_class="restricted")
    await logged(world, plain)

    await judge(world)

    (finding,) = await findings(world, "off_hours", dataset_id=delicate)
    assert (by_day, finding.seen, finding.owner_id) == ([], 3, KENKO)
    assert await findings(world, "off_hours", dataset_id=plain) == []


async def test_refusals_in_a_row_are_told_of_unless_a_read_was_allowed_between(
    world: World,
) -> None:
    dataset = await world.dataset()
    about: dict[str, Any] = {"event": Event.RECORDS_REFUSED, "reason": "no_agreement"}

    async def refused(client: str, times: int) -> None:
        for _ in range(times):
            await logged(world, dataset, client, **about)

    await refused("c-below", 49)
    await refused("c-reads", 30)
    await logged(world, dataset, "c-reads")
    await refused("c-reads", 49)
    await refused("c-probes", 20)
    await judge(world)
    await refused("c-probes", 30)
    await judge(world)

    found = await findings(world, "refused_in_a_row")
    assert [each.subject_id for each in found] == ["c-probes"]
    assert found[0].owner_id is None and "no_agreement" in found[0].en


async def test_two_workers_at_once_make_one_finding_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await world.dataset()
    monkeypatch.setattr(watch, "_AT_ONCE", 3)
    for _ in range(20):
        await logged(world, dataset, rows=500)

    await asyncio.gather(*(watch_log(world.platform.database) for _ in range(3)))

    (finding,) = await findings(world, "bulk_read", dataset_id=dataset)
    assert finding.seen == 1
    assert len(await world.log(Event.FINDING_OPENED)) == 1


class Killed(Exception):
    """The process ends here."""


async def test_what_was_judged_but_not_committed_is_judged_again_and_only_once(
    world: World,
) -> None:
    dataset = await world.dataset()
    await judge(world)
    await logged(world, dataset, rows=6_000)
    await logged(world, dataset, rows=6_000)

    with pytest.raises(Killed):
        async with world.platform.database.writing() as session:
            await watch.judge_some(session, RULES["bulk_read"])
            raise Killed
    lost = await findings(world, "bulk_read", dataset_id=dataset)
    await judge(world)
    await judge(world)

    (finding,) = await findings(world, "bulk_read", dataset_id=dataset)
    assert (lost, finding.seen) == ([], 1)


async def test_a_long_log_is_read_on_from_where_it_was_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await world.dataset()
    monkeypatch.setattr(watch, "_AT_ONCE", 3)
    for _ in range(10):
        await logged(world, dataset, rows=1_000)

    await judge(world)

    newest = (await list_entries(world.platform.database.pool, limit=1))[0].seq
    mark = await world.platform.database.pool.fetchval(
        "SELECT seq FROM alert_mark WHERE rule = 'bulk_read'"
    )
    assert len(await findings(world, "bulk_read", dataset_id=dataset)) == 1
    assert newest - mark <= 1  # the entry of the finding itself


async def test_a_rule_that_fails_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await world.dataset()

    async def broken(*_: Any) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(looks, "look_at_keys", broken)
    await logged(world, dataset, rows=20_000)

    await watch_log(world.platform.database)

    assert len(await findings(world, "bulk_read", dataset_id=dataset)) == 1


async def test_an_agreement_that_ends_soon_is_the_consumers_to_go_on_with(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement, _, _ = await ending(world)
    end = datetime.fromisoformat(agreement["valid_until"])

    seen = []
    for days in (61, 59, 6):
        at(monkeypatch, end - timedelta(days=days))
        await give_notices(world.platform.database)
        await judge(world)
        found = await findings(world, "expiring_agreement")
        mine = [each for each in found if each.subject_id == agreement["id"]]
        seen.append([(each.owner_id, each.severity, each.seen) for each in mine])

    assert seen == [[], [(SAKAI, "low", 1)], [(SAKAI, "high", 2)]]


async def test_a_signing_key_and_a_certificate_are_told_of_once_a_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = world.platform.database
    born = await database.pool.fetchval(
        "SELECT changed_at FROM signing_key WHERE state = 'current'"
    )
    seen = []
    for days in (75, 77, 78, 84, 85):
        at(monkeypatch, born + timedelta(days=days))
        await looks.look_at_keys(database, born + timedelta(days=400))
        found = await findings(world, "expiring_key")
        seen.append([(each.subject_kind, each.severity, each.seen) for each in found])
    await looks.look_at_keys(database, born + timedelta(days=86))

    once, twice = ("signing_key", "medium", 1), ("signing_key", "high", 2)
    assert seen == [[], [once], [once], [twice], [twice]]
    kinds = {each.subject_kind for each in await findings(world, "expiring_key")}
    assert kinds == {"signing_key", "tls_certificate"}


@asynccontextmanager
async def stuck_log(world: World) -> AsyncIterator[None]:
    """Somebody holds the lock that orders the log."""
    pool = world.platform.database.pool
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM log_head FOR UPDATE")
        yield


async def test_a_log_that_takes_nothing_raises_the_alarm_and_the_log_hears_of_it_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = world.platform.database

    async def look(seconds: int) -> int:
        at(monkeypatch, WORKDAY + timedelta(seconds=seconds))
        await looks.look_at_log(database, wait_s=0.1)
        return len(await findings(world, "log_backlog"))

    async with stuck_log(world):
        stuck = [await look(0), await look(60), await look(61)]
        during = await database.pool.fetchval(
            "SELECT count(*) FROM log_entry WHERE body LIKE '%log_backlog%'"
        )
    await look(120)
    await look(180)

    assert (stuck, during) == ([0, 0, 1], 0)
    (entry,) = await world.log(Event.FINDING_OPENED)
    assert (entry["rule"], entry["severity"]) == ("log_backlog", "critical")


async def test_after_a_quarter_of_an_hour_delicate_data_stop_and_public_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    delicate = await stocked(world, [{"no": "1"}], data_class="restricted")
    public = await stocked(world, [{"no": "1"}])
    own = await world.token(await world.party(KENKO), f"dataset:{delicate}:read")

    async def read(dataset: str, headers: dict[str, str]) -> tuple[int, str | None]:
        told = {"purpose": "statistics"} if headers else {}
        answer = await world.client.get(path(dataset), params=told, headers=headers)
        return answer.status_code, answer.json().get("code")

    log = world.platform.log
    before = await read(delicate, own)
    async with stuck_log(world):
        waiting = asyncio.create_task(log.write(Event.SIGNED_OUT, person="person:test"))
        await asyncio.sleep(0.05)
        assert 0 < log.seconds_behind < LOG_BOUND_S
        assert log._oldest is not None
        log._oldest -= LOG_BOUND_S
        during = await read(delicate, own), await read(public, {})
    await waiting

    assert before == (200, None)
    assert during == ((503, "log_behind"), (200, None))
    assert await read(delicate, own) == (200, None)
    assert log.seconds_behind == 0
