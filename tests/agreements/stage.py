"""One dataset and everybody of the model, for tests that call the services themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.terms import DatasetTerms
from app.cli.agreement import terms_of
from app.kit.errors import AppError
from app.models.parties import Role, Zone
from app.parties import groups
from app.parties.clients import load_client_facts
from app.parties.groups import NewGroup, NewMember
from app.parties.terms import today
from app.policy.facts import ClientFacts
from tests.agreements.model import CITY, MEMBERS, PEOPLE, Who
from tests.oauth.people import somebody
from tests.world import World


class _Undone(Exception):
    """Ends a transaction that is to leave no trace."""


@dataclass(slots=True)
class Stage:
    """Who acts, as the services know them, and on what."""

    world: World
    dataset: DatasetTerms
    group: str
    people: dict[str, ClientFacts]

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[AsyncSession]:
        """A transaction that is rolled back."""
        try:
            async with self.world.platform.database.writing() as session:
                yield session
                raise _Undone
        except _Undone:
            pass

    async def takes(self, statement: str, *values: Any) -> bool:
        """Whether PostgreSQL would take a change written by hand; it is undone."""
        async with self.world.platform.database.pool.acquire() as connection:
            change = connection.transaction()
            await change.start()
            try:
                await connection.execute(statement, *values)
                await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            except asyncpg.CheckViolationError:
                return False
            finally:
                await change.rollback()
        return True


async def set_up(world: World, more: dict[str, Who] | None = None) -> Stage:
    """Everybody, and `more`; each app is one client, each person one person."""
    pool, everybody = world.platform.database.pool, PEOPLE | (more or {})
    apps: dict[str, ClientFacts] = {}
    people: dict[str, str] = {}
    for who in everybody.values():
        if who.app not in apps:
            roles = (Role.STEWARD,) if who.is_steward else (Role.DEVELOPER,)
            zone = Zone.INTERNET if who.in_zone else Zone.LGWAN
            party = await world.party(who.organization, *roles, zone=zone)
            apps[who.app] = await load_client_facts(pool, party.id)
        if who.person is not None and who.person not in people:
            people[who.person] = await somebody(world, who.organization, Role.STEWARD)
    dataset_id, group = await world.dataset(), f"g-{world.first}-{len(apps)}"
    async with world.platform.database.writing() as session:
        await groups.add(session, NewGroup(group, "共同利用", CITY, "共同運用"), by="test")
        for member in MEMBERS:
            new = NewMember(member, "協定書（架空）", today())
            await groups.add_member(session, group, new, by="test")
    async with world.platform.database.reading() as session:
        dataset = await terms_of(session, dataset_id)
    facts = {
        name: replace(apps[who.app], person_id=who.person and people[who.person])
        for name, who in everybody.items()
    }
    return Stage(world, dataset, group, facts)


def outcome_of(refusal: AppError) -> str:
    """A refusal as the model words it."""
    return " ".join([refusal.code, *(fault.code for fault in refusal.faults)])
