"""Every number of usage is what a walk over the exported log counts."""

import asyncio
import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.audit import metering
from app.audit.reading import list_readers
from app.audit.usage import Usage
from app.kit import clock
from app.kit.settings import Settings
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.audit.test_export import exported
from tests.cli.test_demo import Home
from tests.stock import PURPOSE, agreed, path, stocked
from tests.world import KENKO, SAKAI, Party, World

ROWS = [{"no": f"{at}", "name": "架空", "size": at} for at in range(5)]
DAYS = {"from": "2026-01-01", "to": "2027-12-31"}
JAPAN = timezone(timedelta(hours=9))
KEYS = {
    "total": None, "dataset": "dataset", "provider": "provider", "consumer": "consumer",
    "client": "client", "purpose": "purpose", "reason": "reason",
}  # fmt: skip
KINDS = {
    "records.read": "reads", "records.refused": "refusals", "records.written": "writes",
    "public.read": "public_reads",
}  # fmt: skip
Line = dict[str, int]
Lines = dict[tuple[str, str], Line]
Entry = dict[str, Any]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "_AT_ONCE", 7)
    monkeypatch.setattr(metering, "_MINUTES_AT_ONCE", 1)


@pytest_asyncio.fixture
async def auditor(world: World) -> dict[str, str]:
    return await world.token(await world.party(OPERATOR, Role.AUDITOR), "audit:read")


async def mixed_day(client: httpx.AsyncClient, world: World) -> tuple[list[Entry], Party]:
    """Reads, refusals and writes, also of other days; the reads of public data, and a consumer."""
    closed = await stocked(world, ROWS, data_class="internal")
    public = await stocked(world, ROWS)
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, closed, consumer)
    headers = await world.token(consumer, f"dataset:{closed}:read")
    asked = [f"?purpose={PURPOSE}"] * 4 + [f"?purpose={PURPOSE}&limit=2"] * 3
    asked += ["?purpose=health"] * 2 + ["?purpose=nonsense/%0A|x", ""]
    for query in asked:
        await client.get(path(closed) + query, headers=headers)
    for _ in range(3):
        await client.get(f"{path(closed)}?purpose=made-up-by-nobody")
        await client.get(path(public))
    reading = await world.token(consumer, f"dataset:{public}:read")
    await client.get(path(public), headers=reading)
    await world.platform.broker._recorder._usage.flush()
    await world.platform.database.pool.execute("SELECT log_append($1)", at_midnight(closed))
    now = {"dataset": public, "provider": KENKO, "event": "public.read", "at": str(clock.now())}
    by_token = {"client": consumer.id, "consumer": SAKAI}
    return [now, now, now, {**now, **by_token}], consumer


def at_midnight(dataset: str) -> list[str]:
    """Entries of three days in Japan, of which UTC makes other days and another month."""
    told = {"client": "c", "consumer": SAKAI, "dataset": dataset, "event": "records.read"}
    told |= {"provider": KENKO, "purpose": PURPOSE}
    return [
        json.dumps({**told, "at": at, "rows": rows}, sort_keys=True)
        for at, rows in (
            ("2026-03-31T14:59:59Z", 1),
            ("2026-03-31T15:00:00Z", 10),
            ("2026-04-01T15:00:00Z", 100),
        )
    ]


def recomputed(entries: Iterable[Entry], period: str, by: str) -> Lines:
    """By hand: what usage should say."""
    lines: Lines = defaultdict(Counter)
    for entry in entries:
        if entry["event"] not in KINDS:
            continue
        day = datetime.fromisoformat(entry["at"]).astimezone(JAPAN).strftime("%Y-%m-%d")
        name = KEYS[by]
        key = entry.get(name or "", "")
        if name == "purpose" and "client" not in entry:
            key = ""  # nobody could make up as many as they like
        line = lines[(day if period == "day" else day[:7], key)]
        line[KINDS[entry["event"]]] += 1
        if entry["event"] == "records.read":
            line["rows"] += entry["rows"]
    return lines


async def walked(client: httpx.AsyncClient, world: World, auditor: dict[str, str]) -> list[Entry]:
    """The facts of all entries, out of an export."""
    await world.platform.log_keeper.keep()
    file = await exported(client, auditor, **{"from": 1})
    return [json.loads(json.loads(line)["body"]) for line in file.splitlines()[1:]]


async def told(
    http: httpx.AsyncClient, headers: dict[str, str], door: str, **asked: str
) -> list[dict[str, Any]]:
    """All lines of a door, three at a time."""
    lines, query = [], {**DAYS, **asked, "limit": "3"}
    while True:
        answer = await http.get(door, params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        lines += answer.json()["items"]
        if answer.json()["next"] is None:
            return lines
        query["cursor"] = answer.json()["next"]


def differences(lines: list[dict[str, Any]], expected: Lines) -> list[str]:
    """Where the two do not say the same."""
    said = {(line["period"], line["key"]): line for line in lines}
    numbers = [*KINDS.values(), "rows"]
    wrong = [
        f"{place} {name}: {said.get(place, {}).get(name)} != {expected.get(place, {}).get(name, 0)}"
        for place in {*said, *expected}
        for name in numbers
        if said.get(place, {}).get(name, 0) != expected.get(place, {}).get(name, 0)
    ]
    return wrong + ([] if len(said) == len(lines) else ["a line twice"])


async def test_every_number_is_what_a_walk_over_the_exported_log_counts(
    client: httpx.AsyncClient, world: World, auditor: dict[str, str]
) -> None:
    pool = world.platform.database.pool
    public, _ = await mixed_day(client, world)
    await asyncio.gather(*(metering.count(pool) for _ in range(3)))  # three workers
    entries = [*await walked(client, world, auditor), *public]
    expected = {
        (period, by): recomputed(entries, period, by) for period in ("day", "month") for by in KEYS
    }

    for (period, by), lines in expected.items():
        answered = await told(client, auditor, "/v1/admin/usage", period=period, by=by)
        assert differences(answered, lines) == [], (period, by)
        assert [(line["period"], line["key"]) for line in answered] == sorted(lines)
    months = expected["month", "total"]
    assert months["2026-03", ""] == {"reads": 1, "rows": 1}
    assert months["2026-04", ""] == {"reads": 2, "rows": 110}
    # It can fail: one entry less in the counts shows in each of them.
    await pool.execute(
        "UPDATE usage_day SET entries = entries - 1 WHERE (day, client_id) = ('2026-04-01', 'c')"
    )
    for (period, by), lines in expected.items():
        answered = await told(client, auditor, "/v1/admin/usage", period=period, by=by)
        assert len(differences(answered, lines)) == 1
    await pool.execute(
        "UPDATE usage_day SET entries = entries + 1 WHERE (day, client_id) = ('2026-04-01', 'c')"
    )


async def test_a_count_that_is_cut_off_anywhere_counts_nothing_twice(
    client: httpx.AsyncClient, world: World, auditor: dict[str, str]
) -> None:
    pool = world.platform.database.pool
    await mixed_day(client, world)
    for at in range(12):
        counting = asyncio.create_task(metering.count(pool))
        await asyncio.sleep(0.002 * at)
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
    await metering.count(pool)

    entries = await walked(client, world, auditor)
    lines = await told(client, auditor, "/v1/admin/usage", by="dataset", period="day")
    minutes = await pool.fetchrow("SELECT sum(reads) AS reads, sum(counted) AS counted FROM usage_minute")  # fmt: skip
    expected = recomputed(entries, "day", "dataset")
    assert minutes is not None

    assert [w for w in differences(lines, expected) if "public_reads" not in w] == []
    assert minutes["reads"] == minutes["counted"] == sum(line["public_reads"] for line in lines)


async def test_the_key_figures_are_those_of_the_log_and_say_how(
    client: httpx.AsyncClient, world: World, auditor: dict[str, str]
) -> None:
    await mixed_day(client, world)
    await metering.count(world.platform.database.pool)
    entries = await walked(client, world, auditor)

    answer = await client.get("/v1/admin/kpi", params=DAYS, headers=auditor)

    figures = {each["id"]: each for each in answer.json()["series"]}
    assert all(
        each["formula_ja"] and each["formula_en"] and each["unit"] for each in figures.values()
    )
    assert all(len(each["values"]) == 24 for each in figures.values())
    month = datetime.now(JAPAN).strftime("%Y-%m")
    for asked in ("2026-03", "2026-04", month, "2027-12"):
        said = {
            name: next(value["value"] for value in each["values"] if value["month"] == asked)
            for name, each in figures.items()
        }
        del said["public_reads"]  # not of the log
        assert said == by_hand([e for e in entries if month_of(e) == asked]), asked


def month_of(entry: Entry) -> str:
    return datetime.fromisoformat(entry["at"]).astimezone(JAPAN).strftime("%Y-%m")


def by_hand(entries: list[Entry]) -> dict[str, Any]:
    def of(event: str) -> list[Entry]:
        return [entry for entry in entries if entry["event"] == event]

    def distinct(event: str, name: str) -> int:
        return len({entry[name] for entry in of(event) if name in entry})

    reads, refused = len(of("records.read")), len(of("records.refused"))
    return {
        "datasets_added": len(of("dataset.added")),
        "datasets_published": distinct("version.published", "dataset"),
        "agreements_made": sum(
            e["decision"] in ("approved", "accepted") for e in of("access.decided")
        ),
        "agreements_in_use": distinct("records.read", "agreement"),
        "reads": reads,
        "rows": sum(entry["rows"] for entry in of("records.read")),
        "consumers": distinct("records.read", "consumer"),
        "datasets_read": distinct("records.read", "dataset"),
        "refusal_share": round(refused / (reads + refused), 6) if reads + refused else None,
    }


async def test_a_provider_sees_the_use_of_its_own_data_and_of_nobody_elses(
    client: httpx.AsyncClient, world: World, auditor: dict[str, str]
) -> None:
    await mixed_day(client, world)
    await metering.count(world.platform.database.pool)
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    other = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")

    own = await told(client, steward, f"/v1/organizations/{KENKO}/usage", by="provider")
    none = await told(client, other, f"/v1/organizations/{SAKAI}/usage")
    strange = await client.get(f"/v1/organizations/{KENKO}/usage", headers=other)
    whole = await told(client, auditor, "/v1/admin/usage", by="provider")

    assert {line["key"] for line in own} == {KENKO}
    assert own == [line for line in whole if line["key"] == KENKO]
    assert none == []
    assert (strange.status_code, strange.json()["code"]) == (403, "not_the_publisher")
    for door in ("/v1/admin/usage", "/v1/admin/kpi"):
        assert (await client.get(door, headers=steward)).status_code == 403
        assert (await client.get(door)).status_code == 401


async def test_usage_comes_as_csv_and_wrong_days_are_refused_by_name(
    client: httpx.AsyncClient, world: World, auditor: dict[str, str]
) -> None:
    _, consumer = await mixed_day(client, world)
    await metering.count(world.platform.database.pool)
    door = "/v1/admin/usage"
    asked = {**DAYS, "client": consumer.id, "by": "purpose"}

    answer = await client.get(door, params={**asked, "f": "csv"}, headers=auditor)
    lines = list(csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    listed = await told(client, auditor, door, client=consumer.id, by="purpose")
    assert lines == [{name: str(value) for name, value in line.items()} for line in listed]
    assert {line["key"] for line in lines} >= {PURPOSE, "health", ""}
    for wrong in (
        {"from": "2026-05-02", "to": "2026-05-01"}, {"from": "2000-01-01", "to": "2026-01-01"},
        {"to": "0001-01-01"}, {"to": "9999-12-31"}, {"from": "0001-01-01"},
    ):  # fmt: skip
        refused = await client.get(door, params=wrong, headers=auditor)
        assert (refused.status_code, refused.json()["code"]) == (400, "days_wrong"), wrong
    for cursor in ("x", "eA", "%", "AAAA"):
        asked = {**DAYS, "cursor": cursor}
        refused = await client.get(door, params=asked, headers=auditor)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")


async def test_readers_are_the_same_before_amid_and_after_the_counting(
    client: httpx.AsyncClient, world: World
) -> None:
    pool = world.platform.database.pool
    _, consumer = await mixed_day(client, world)
    rows = await pool.fetch("SELECT DISTINCT body::jsonb ->> 'dataset' AS id FROM log_entry WHERE body::jsonb ->> 'client' = $1", consumer.id)  # fmt: skip
    dataset = next(row["id"] for row in rows if row["id"])
    counted = await pool.fetchval("SELECT counted FROM usage_state")

    before = await list_readers(pool, dataset)
    await metering._entries(pool)
    amid = await list_readers(pool, dataset)
    await metering.count(pool)
    after = await list_readers(pool, dataset)

    assert await pool.fetchval("SELECT counted FROM usage_state") > counted + 7
    assert before == amid == after
    mine = {reader.purpose: (reader.reads, reader.refusals, reader.rows) for reader in before if reader.client == consumer.id}  # fmt: skip
    assert mine[PURPOSE] == (7, 0, 26)
    assert mine["health"] == (0, 2, 0)


async def test_the_operators_command_counts_up_to_now_and_tells_the_same(
    client: httpx.AsyncClient, world: World, auditor: dict[str, str], settings: Settings,
    database_url: str,
) -> None:  # fmt: skip
    await mixed_day(client, world)

    done = await asyncio.to_thread(
        Home(settings.home, 1).run, "usage", "--from", DAYS["from"], "--to", DAYS["to"],
        "--by", "reason", "--json", URBANOS_DATABASE_URL=database_url,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)
    listed = await told(client, auditor, "/v1/admin/usage", by="reason")
    since = {(line["period"], line["key"]): line for line in listed}
    assert lines and {(line["period"], line["key"]) for line in lines} == set(since)
    assert [line for line in lines if line["key"]] == [line for line in listed if line["key"]]


async def test_what_was_counted_is_not_lost_where_the_server_stops_amid_writing_it(
    world: World,
) -> None:
    pool = world.platform.database.pool
    usage, dataset = Usage(pool), f"d-{world.first}"
    usage.note(dataset, None, provider=KENKO, consumer=None)

    async with pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE usage_minute IN EXCLUSIVE MODE")
        flushing = asyncio.create_task(usage.flush())
        await asyncio.sleep(0.05)
        flushing.cancel()
        await asyncio.wait({flushing})
    await usage.stop()

    counted = "SELECT sum(reads) FROM usage_minute WHERE dataset_id = $1"
    assert await pool.fetchval(counted, dataset) == 1
