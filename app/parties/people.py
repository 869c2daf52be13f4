"""Members of staff as the registry knows them: who they are, where they belong, what they may do.

Knows no password: how somebody proves who they are is the sign-in's.
"""

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.models.parties import Organization, Role
from app.models.people import Person, PersonSession
from app.parties.organizations import OrganizationClosed, OrganizationNotFound, normal_id
from app.policy.facts import PersonFacts

# What an address must look like to be told from a slip of the keyboard; a mail proves it.
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")


class PersonNotFound(AppError):
    """No member of staff has this id."""

    kind = Kind.NOT_FOUND
    code = "person_not_found"
    ja = "職員 {person} は登録されていません。"
    en = "There is no member of staff {person}."


class PersonExists(AppError):
    """Another member of staff has this address."""

    kind = Kind.CONFLICT
    code = "person_exists"
    ja = "メールアドレス {email} は既に登録されています。"
    en = "The address {email} is registered already."


class PersonInvalid(AppError):
    """What was said of the member of staff is wrong."""

    kind = Kind.INVALID
    code = "person_invalid"
    ja = "職員の登録内容に誤りがあります。"
    en = "What was said of the member of staff is wrong."


class RolesOfProvider(AppError):
    """Roles are the word of the person's provider: what is set here would be gone tomorrow."""

    kind = Kind.CONFLICT
    code = "roles_of_provider"
    ja = (
        "職員 {person} の役割は認証プロバイダー {provider} のグループで決まります。グループの設定を"
        "変えるか、すぐに止めるには職員を停止してください。"
    )
    en = (
        "The roles of {person} follow from their groups at the provider {provider}. Change what the"
        " groups mean; to take them at once, disable the person."
    )


@dataclass(frozen=True, slots=True)
class NewPerson:
    """What is said of a member of staff to be added."""

    organization_id: str
    name: str
    email: str
    roles: Collection[Role] = ()
    provider_id: str | None = None
    subject: str | None = None


async def add(session: AsyncSession, new: NewPerson, *, by: str) -> Person:
    """Add a member of staff, who cannot sign in yet.

    Raises `PersonExists`, `PersonInvalid`, `OrganizationNotFound` or `OrganizationClosed`.
    """
    organization = await session.get(Organization, normal_id(new.organization_id))
    if organization is None:
        raise OrganizationNotFound(organization=new.organization_id)
    if organization.valid_to is not None:
        raise OrganizationClosed(organization=organization.id)
    check_email(new.email)
    if await find_by_email(session, new.email) is not None:
        raise PersonExists(email=new.email)
    person = Person(
        id=f"person:{secrets.token_hex(16)}",
        organization_id=organization.id,
        name=new.name,
        email=new.email,
        roles=sorted({role.value for role in new.roles}),
        provider_id=new.provider_id,
        subject=new.subject,
        failures=0,
        created_at=clock.now(),
        created_by=by,
    )
    session.add(person)
    await audit.append(
        session, Event.PERSON_ADDED, person=person.id, organization=organization.id,
        roles=person.roles, by=by,
    )  # fmt: skip
    return person


def check_email(email: str) -> None:
    """Raise `PersonInvalid` for what is no mail address."""
    if not _EMAIL.fullmatch(email):
        raise PersonInvalid(faults=[Fault(
            "/email", "invalid_email", "メールアドレスの形になっていません。",
            "This is no mail address.",
        )])  # fmt: skip


async def get(session: AsyncSession, person_id: str, *, lock: bool = False) -> Person:
    """The member of staff, or `PersonNotFound`."""
    person = await session.get(Person, person_id, with_for_update=lock)
    if person is None:
        raise PersonNotFound(person=person_id)
    return person


async def find(session: AsyncSession, person_id: str) -> Person | None:
    """The member of staff of this id, where it is one's."""
    found: Person | None = await session.get(Person, person_id)
    return found


async def find_by_email(session: AsyncSession, email: str, *, lock: bool = False) -> Person | None:
    """Who has this address, in capitals or not."""
    statement = select(Person).where(func.lower(Person.email) == email.lower())
    found: Person | None = await session.scalar(statement.with_for_update() if lock else statement)
    return found


async def list_people(
    session: AsyncSession,
    *,
    organization_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Sequence[Person]:
    """Members of staff by id, disabled ones too."""
    statement = select(Person).order_by(Person.id).limit(limit)
    if organization_id is not None:
        statement = statement.where(Person.organization_id == normal_id(organization_id))
    if after is not None:
        statement = statement.where(Person.id > after)
    return list(await session.scalars(statement))


async def set_roles(
    session: AsyncSession, person_id: str, roles: Collection[Role], *, by: str
) -> Person:
    """Give a member of staff these roles and no others, from their next request on.

    Raises `RolesOfProvider`.
    """
    person = await get(session, person_id, lock=True)
    if person.provider_id is not None:
        raise RolesOfProvider(person=person.id, provider=person.provider_id)
    person.roles = sorted({role.value for role in roles})
    await audit.append(
        session, Event.PERSON_CHANGED, person=person.id, roles=person.roles, by=by
    )  # fmt: skip
    return person


async def disable(session: AsyncSession, person_id: str, *, by: str) -> Person:
    """Let a member of staff in no more: sessions end, tokens are refused from the next request on.

    Told of somebody who is out already it changes nothing.
    """
    person = await get(session, person_id, lock=True)
    if person.disabled_at is None:
        person.disabled_at = clock.now()
        # Whatever stole one finds none again when the person is let in anew.
        await session.execute(delete(PersonSession).where(PersonSession.person_id == person.id))
        await audit.append(session, Event.PERSON_CHANGED, person=person.id, state="disabled", by=by)
    return person


async def enable(session: AsyncSession, person_id: str, *, by: str) -> Person:
    """Let a member of staff in again."""
    person = await get(session, person_id, lock=True)
    if person.disabled_at is not None:
        person.disabled_at = None
        await audit.append(session, Event.PERSON_CHANGED, person=person.id, state="enabled", by=by)
    return person


_FACTS: Final = """
SELECT p.organization_id, p.roles, body_of(o.id) AS body_id, line_of(o.id) AS line,
       num_nonnulls(p.disabled_at, o.valid_to, i.disabled_at) > 0 AS disabled
FROM person p JOIN organization o ON o.id = p.organization_id
LEFT JOIN identity_provider i ON i.id = p.provider_id WHERE p.id = $1
"""


async def load_person_facts(pool: "asyncpg.Pool[Any]", person_id: str) -> PersonFacts:
    """What the registry says of a member of staff now, or `PersonNotFound`.

    One of an organisation that was closed counts as disabled, and one for whom a provider vouches
    whose word is not taken any more.
    """
    row = await pool.fetchrow(_FACTS, person_id)
    if row is None:
        raise PersonNotFound(person=person_id)
    return PersonFacts(
        person_id=person_id,
        organization_id=row["organization_id"],
        body_id=row["body_id"],
        line=frozenset(row["line"]),
        roles=frozenset(row["roles"]),
        disabled=row["disabled"],
    )
