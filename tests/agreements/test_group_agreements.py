"""One agreement, many consumers: each stands under it for its days alone, and one can be left out."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from app.agreements.facts import load_agreement_facts, load_consumers_agreements
from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role, Zone
from app.parties import groups
from app.parties.groups import NewGroup, NewMember
from tests.agreements.test_access import AGREEMENTS, REQUESTS, WHY, acting, ask
from tests.oauth import senders
from tests.stock import PURPOSE, path, stocked
from tests.world import KENKO, SAKAI, Party, World

TOWN, LATER, STRANGER = "273210", "273015", "273821"
OFFICE = "270008"  # operates the group, and reads nothing by it
RECORDS = [{"no": "1", "name": "白鳥", "size": 5}]


@dataclass(slots=True)
class Shared:
    """A group of two towns with an agreement, and a third that joins in ten days."""

    world: World
    group: str
    dataset: str
    agreement: dict[str, Any]
    office: dict[str, str]
    steward: dict[str, str]

    async def does(self, verb: str, organization: str, headers: dict[str, str]) -> httpx.Response:
        body = {"organization": organization, **WHY}
        where = f"{AGREEMENTS}/{self.agreement['id']}/{verb}"
        return await self.world.client.post(where, json=body, headers=headers)

    async def reads(self, headers: dict[str, str]) -> tuple[int, str | None]:
        asked = {"purpose": PURPOSE}
        got = await self.world.client.get(path(self.dataset), params=asked, headers=headers)
        return got.status_code, got.json().get("code")

    async def reader(self, organization: str) -> tuple[Party, dict[str, str]]:
        party = await self.world.party(organization, Role.DEVELOPER)
        return party, await self.world.token(party, f"dataset:{self.dataset}:read")

    async def knows(self, organization: str) -> tuple[int, bool, int]:
        """Whether it is shown the agreement, has it listed, and is shown the request."""
        _, headers = await acting(self.world, organization, Role.DEVELOPER)
        get = self.world.client.get
        listed = (await get(AGREEMENTS, headers=headers)).json()["items"]
        shown = await get(f"{AGREEMENTS}/{self.agreement['id']}", headers=headers)
        asked = await get(f"{REQUESTS}/{self.agreement['request_id']}", headers=headers)
        is_listed = self.agreement["id"] in {each["id"] for each in listed}
        return shown.status_code, is_listed, asked.status_code


async def grouped(world: World) -> str:
    name, today = f"g-{secrets.token_hex(4)}", clock.now().astimezone(clock.TOKYO).date()
    async with world.platform.database.writing() as session:
        new = NewGroup(id=name, name_ja="共同利用", operator_id=OFFICE, purpose="共同運用")
        await groups.add(session, new, by="test")
        for town, since, until in ((TOWN, -1, None), (SAKAI, 0, 10), (LATER, 10, None)):
            end = today + timedelta(days=until) if until else None
            member = NewMember(town, "協定書（架空）", today + timedelta(days=since), end)
            await groups.add_member(session, name, member, by="test")
    return name


@pytest_asyncio.fixture(loop_scope="session")
async def shared(world: World) -> Shared:
    return await share(world)


async def share(world: World, **terms: Any) -> Shared:
    group = await grouped(world)
    dataset = await stocked(world, RECORDS, data_class="internal")
    _, office = await acting(world, OFFICE, Role.DEVELOPER)
    _, steward = await acting(world, KENKO, Role.STEWARD)
    asked = await ask(world, dataset, office, group=group, purpose=PURPOSE, **terms)
    assert asked.status_code == 201, asked.text
    made = await world.client.post(
        f"{REQUESTS}/{asked.json()['id']}/approve", json={}, headers=steward
    )
    assert made.status_code == 201, made.text
    return Shared(world, group, dataset, made.json(), office, steward)


async def until(found: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Wait for a notification to be heard: for two seconds, the bound of a revocation."""
    began = time.monotonic()
    while (got := await found()) != expected:
        assert time.monotonic() - began < 2, got
        await asyncio.sleep(0.005)


async def test_every_member_of_today_reads_under_the_one_agreement_and_is_named_in_the_log(
    shared: Shared,
) -> None:
    readers = {town: await shared.reader(town) for town in (TOWN, SAKAI)}

    answers = [await shared.reads(headers) for _, headers in readers.values()]

    assert answers == [(200, None)] * 2
    log = (await shared.world.log(Event.RECORDS_READ))[-2:]
    assert [(each["consumer"], each["client"]) for each in log] == [
        (town, party.id) for town, (party, _) in readers.items()
    ]
    assert {each["agreement"] for each in log} == {shared.agreement["id"]}


@pytest.mark.parametrize("organization", [LATER, STRANGER, OFFICE])
async def test_who_is_no_member_today_gets_no_token_by_it(
    shared: Shared, organization: str
) -> None:
    party = await shared.world.party(organization, Role.DEVELOPER)

    got = await senders.asked(shared.world, party, f"dataset:{shared.dataset}:read")

    assert got.json()["error"] == "invalid_scope"


async def test_a_membership_begins_and_ends_at_midnight_in_japan(shared: Shared) -> None:
    (held,) = (await shared.world.platform.snapshot.dataset(shared.dataset)).concerning(LATER)
    midnight = (
        clock.now().astimezone(clock.TOKYO).replace(hour=0, minute=0, second=0, microsecond=0)
    )
    turn, moment = midnight + timedelta(days=10), timedelta(microseconds=1)

    stand = [[held.is_for(town, at) for at in (turn - moment, turn)] for town in (LATER, SAKAI)]

    assert stand == [[False, True], [True, False]]


async def test_whose_membership_ends_stops_at_once_and_who_joins_begins(shared: Shared) -> None:
    world, group = shared.world, shared.group
    _, headers = await shared.reader(TOWN)
    assert await shared.reads(headers) == (200, None)

    async with world.platform.database.writing() as session:
        await groups.end_membership(session, group, TOWN, by="test")
    await until(lambda: shared.reads(headers), (403, "no_agreement"))
    async with world.platform.database.writing() as session:
        today = clock.now().astimezone(clock.TOKYO).date()
        await groups.add_member(session, group, NewMember(TOWN, "再", today), by="test")

    await until(lambda: shared.reads(headers), (200, None))


async def test_one_member_is_left_out_at_once_while_the_others_go_on(shared: Shared) -> None:
    (_, out), (_, other) = await shared.reader(TOWN), await shared.reader(SAKAI)
    assert await shared.reads(out) == (200, None)

    excluded = (await shared.does("exclude", TOWN, shared.steward)).json()
    again = (await shared.does("exclude", TOWN, shared.steward)).json()
    await until(lambda: shared.reads(out), (403, "excluded_from_agreement"))
    others = await shared.reads(other)
    included = (await shared.does("include", TOWN, shared.steward)).json()

    assert (excluded["excluded"], again["excluded"], included["excluded"]) == ([TOWN], [TOWN], [])
    assert others == (200, None)
    await until(lambda: shared.reads(out), (200, None))
    log = await shared.world.log(Event.AGREEMENT_MEMBER)
    assert [(each["organization"], each["change"]) for each in log] == [
        (TOWN, "excluded"),
        (TOWN, "included"),
    ]


async def test_each_member_has_the_requests_of_a_day_to_itself(world: World) -> None:
    shared = await share(world, per_day=1)
    (_, one), (_, other) = await shared.reader(TOWN), await shared.reader(SAKAI)
    _, again = await shared.reader(TOWN)

    told = [await shared.reads(each) for each in (one, again, other)]

    assert told == [(200, None), (429, "day_used_up"), (200, None)]


async def test_who_was_left_out_stays_so_in_the_next_version(shared: Shared) -> None:
    world = shared.world
    await shared.does("exclude", TOWN, shared.steward)
    amend = f"{AGREEMENTS}/{shared.agreement['id']}/amend"
    other = await world.client.post(amend, json={"legal_basis": "新条例"}, headers=shared.office)

    made = await world.client.post(
        f"{REQUESTS}/{other.json()['id']}/approve", json={}, headers=shared.steward
    )

    new = made.json()
    assert (made.status_code, new["version"], new["group"]) == (201, 2, shared.group)
    assert new["excluded"] == [TOWN]
    _, headers = await shared.reader(SAKAI)
    assert await shared.reads(headers) == (200, None)
    held = (await world.platform.snapshot.dataset(shared.dataset)).concerning(TOWN)
    assert [each.excluded for each in held] == [frozenset({TOWN})]


async def test_members_know_the_agreement_that_they_stand_under_and_not_how_it_was_made(
    shared: Shared,
) -> None:
    known = {each: await shared.knows(each) for each in (OFFICE, KENKO, TOWN, LATER, STRANGER)}

    assert known == {
        OFFICE: (200, True, 200),
        KENKO: (200, True, 200),
        TOWN: (200, True, 404),
        LATER: (404, False, 404),
        STRANGER: (404, False, 404),
    }


@pytest.mark.parametrize("verb", ["suspend", "revoke", "amend", "exclude"])
async def test_one_member_changes_nothing_for_the_others(shared: Shared, verb: str) -> None:
    _, town = await acting(shared.world, TOWN, Role.STEWARD)
    where = f"{AGREEMENTS}/{shared.agreement['id']}/{verb}"
    body = {"amend": {"columns": ["no"]}, "exclude": {**WHY, "organization": SAKAI}}.get(verb, WHY)

    answer = await shared.world.client.post(where, json=body, headers=town)

    refused = "not_the_steward" if verb == "exclude" else "not_a_party"
    assert (answer.status_code, answer.json()["code"]) == (403, refused)


async def test_only_the_operator_of_a_group_asks_for_it(shared: Shared) -> None:
    world = shared.world
    _, town = await acting(world, TOWN, Role.DEVELOPER)

    refused = await ask(world, shared.dataset, town, group=shared.group)
    unknown = await ask(world, shared.dataset, town, group="no-such-group")

    codes = [each.json()["errors"][0]["code"] for each in (refused, unknown)]
    assert codes == ["group_unknown"] * 2
    with pytest.raises(asyncpg.CheckViolationError, match="operator of a group"):
        await world.platform.database.pool.execute(
            "INSERT INTO access_request SELECT (jsonb_populate_record(r, jsonb_build_object('id',"
            " gen_random_uuid(), 'consumer_id', $2::text, 'state', 'requested', 'decided_by', NULL,"
            " 'decided_at', NULL))).* FROM access_request r WHERE id = $1",
            shared.agreement["request_id"],
            TOWN,
        )


async def test_nobody_is_left_out_of_an_agreement_that_they_do_not_stand_under(
    shared: Shared,
) -> None:
    world, pool = shared.world, shared.world.platform.database.pool
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    alone = (await ask(world, shared.dataset, consumer)).json()["id"]
    made = await world.client.post(f"{REQUESTS}/{alone}/approve", json={}, headers=shared.steward)

    stranger = await shared.does("exclude", STRANGER, shared.steward)
    plain = await world.client.post(
        f"{AGREEMENTS}/{made.json()['id']}/exclude",
        json={"organization": SAKAI, **WHY},
        headers=shared.steward,
    )

    assert stranger.json()["errors"][0]["code"] == "not_a_member"
    assert (plain.status_code, plain.json()["code"]) == (409, "not_a_group_agreement")
    with pytest.raises(asyncpg.CheckViolationError, match="only a member of a group"):
        await pool.execute(
            "INSERT INTO agreement_exclusion VALUES ($1, $2, $3, '-', now(), 'x')",
            made.json()["series"],
            SAKAI,
            shared.dataset,
        )


async def test_who_signs_for_a_group_asks_from_the_zone_of_the_data(world: World) -> None:
    group = await grouped(world)
    dataset = await world.dataset(zone=Zone.LGWAN)
    _, office = await acting(world, OFFICE, Role.DEVELOPER)

    refused = await ask(world, dataset, office, group=group)

    assert (refused.status_code, refused.json()["code"]) == (403, "zone_not_allowed")


@pytest.mark.parametrize(
    ("organization", "finds"), [(TOWN, True), (LATER, True), (OFFICE, True), (STRANGER, False)]
)
async def test_what_is_looked_up_for_one_consumer_is_what_concerns_it(
    shared: Shared, organization: str, finds: bool
) -> None:
    pool, dataset = shared.world.platform.database.pool, shared.dataset

    found = await load_consumers_agreements(pool, [dataset], organization)

    every = await load_agreement_facts(pool, dataset)
    assert found == ({dataset: every} if finds else {})
