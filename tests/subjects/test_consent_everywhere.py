"""Consent holds at every door, on every replica, and below the migration no door is open for it."""

import asyncio
import re
import secrets

import asyncpg
import httpx
import pytest
import pytest_asyncio
from alembic import command

from app.api.state import Platform
from app.audit.events import Event
from app.kit.settings import Settings
from app.main import create_app
from tests.conftest import ISSUER
from tests.database import DatabaseServer, dsn_of
from tests.rows.test_doors import DOORS
from tests.stock import PURPOSE, path
from tests.subjects.consenting import Register, declare_view, register
from tests.tables.test_versions_migration import FILLED, _move
from tests.versioned import base
from tests.world import World


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def people(platform: Platform, client: httpx.AsyncClient) -> Register:
    """Two who consent and two who do not: one never did, one withdrew."""
    world = World(platform, client)
    await world.start()
    made = await register(world, people=4)
    for at in (1, 2, 3):
        given = await made.give(at)
    await made.withdraw(given.id, 3)
    return made


def _asked(query: dict[str, str]) -> dict[str, str]:
    """A question to the rows' own doors, with what this register has."""
    named = {"S-8801": "3", "hisui": "架空3"}
    return {key: named.get(each, each.replace(",min(lat)", "")) for key, each in query.items()}


@pytest.mark.parametrize("where", DOORS)
async def test_no_door_tells_of_a_person_who_does_not_consent(people: Register, where: str) -> None:
    holes = {"dataset_id": people.dataset, "collection_id": people.dataset}
    keys = {"key:path": "3", "item:path": "3", "number": "1", "purpose": PURPOSE}
    holes |= {**keys, "name": f"{people.dataset}.csv"}
    address = re.sub(r"\{([^}]+)\}", lambda hole: holes[hole[1]], where)

    for query in [_asked(each) for each in DOORS[where]]:
        answer = await people.get(address, None, None, **query)

        told = answer.content.decode("cp932" if "Shift" in str(answer.headers) else "latin-1")
        assert answer.status_code < 500, told
        for at in (3, 4):
            secret = f"架空{at}".encode("cp932" if "Shift" in str(answer.headers) else "utf-8")
            assert secret not in answer.content or f"架空{at}" in str(query), (address, query)
            assert people.people[at - 1] not in told


async def test_what_cannot_be_asked_of_each_reader_is_refused_and_stands_in_the_log(
    people: Register,
) -> None:
    doors: dict[str, dict[str, str]] = {"changes": {}, "diff": {"from": "1"}}
    answers = [
        await people.get(f"{base(people.dataset)}/{d}", None, None, **q) for d, q in doors.items()
    ]

    told = {(each.status_code, each.json()["code"]) for each in answers}
    assert told == {(403, "subject_not_told")}
    reasons = [each["reason"] for each in await people.world.log(Event.RECORDS_REFUSED)]
    assert reasons[-2:] == ["subject_not_told"] * 2


async def test_each_form_holds_those_who_consent(people: Register) -> None:
    csv = await people.get(f="csv")
    lines = await people.get(f="ndjson")

    assert [line.split(",")[0] for line in csv.text.split()[1:]] == ["1", "2"]
    assert lines.text.count("\n") == 2


async def test_a_withdrawal_on_one_replica_is_in_force_on_another_that_has_answered_before(
    people: Register, database_url: str, settings: Settings
) -> None:
    other = create_app(settings, database_url)
    given = await people.give(4)
    where = path(people.dataset)

    async with other.router.lifespan_context(other):
        transport = httpx.ASGITransport(app=other)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as there:

            async def seen() -> list[str]:
                answer = await there.get(
                    where, params={"purpose": PURPOSE}, headers=people.asking.headers(where)
                )
                assert answer.status_code == 200, answer.text
                return [each["no"] for each in answer.json()["records"]]

            before = await seen()
            await people.withdraw(given.id, 4)
            after = await seen()

    assert (before, after) == (["1", "2", "4"], ["1", "2"])


async def test_downgraded_a_purpose_by_consent_lets_nothing_out(embedded: DatabaseServer) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, "0003")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(FILLED)
    await asyncio.to_thread(_move, url, command.upgrade, "0030")
    await connection.execute(
        "INSERT INTO purpose VALUES ('health', '健康', 'Health') ON CONFLICT DO NOTHING;"
        "INSERT INTO purpose_view (dataset_id, purpose, consent, set_at, set_by)"
        " VALUES ('parks', 'health', true, now(), 'test')"
    )

    await asyncio.to_thread(_move, url, command.downgrade, "0029")
    below = await connection.fetchval("SELECT columns FROM purpose_view")
    tables = await connection.fetchval("SELECT to_regclass('subject_consent')")
    await asyncio.to_thread(_move, url, command.upgrade, "0030")
    await connection.close()
    await embedded.drop_database(name)

    assert (below, tables) == ([], None)


async def test_a_view_that_no_longer_asks_would_be_noticed_here(people: Register) -> None:
    await declare_view(
        people.world, people.dataset, {"columns": ["no", "name", "size"], "consent": False}
    )

    assert await people.seen() == ["1", "2", "3", "4"]
