"""Members of staff whom an identity provider vouches for: added, kept in step, never linked.

Whoever is here already by another way is not taken over: a provider could else become anybody.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit.errors import AppError, Kind
from app.models.parties import Organization, Role
from app.models.people import Person
from app.models.providers import IdentityProvider
from app.parties import people
from app.parties.organizations import normal_id
from app.parties.people import NewPerson


class EmailUnproven(AppError):
    """The provider does not say that the address is the person's, or may not say so."""

    kind = Kind.FORBIDDEN
    code = "email_unproven"
    ja = "認証プロバイダーが確認した、その組織のドメインのメールアドレスがありません。組織の管理者に連絡してください。"
    en = "The identity provider vouches for no mail address of its own domain. Ask who runs it."


class EmailBelongsToAnother(AppError):
    """The address is that of somebody who signs in another way."""

    kind = Kind.CONFLICT
    code = "email_belongs_to_another"
    ja = "このメールアドレスは別の方法でサインインする職員のものです。運営者に連絡してください。"
    en = "This mail address is of somebody who signs in another way. Ask the operator."


class PersonShutOut(AppError):
    """The person, or the organisation, is let in no more."""

    kind = Kind.FORBIDDEN
    code = "person_shut_out"
    ja = "このアカウントは停止されています。運営者に連絡してください。"
    en = "This account is disabled. Ask the operator."


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a provider says of somebody, as the registry reads it."""

    provider_id: str
    subject: str
    organization_id: str
    roles: Collection[Role]
    name: str
    email: str | None  # proven, and of a domain that the provider may vouch for; None: neither


async def settle(session: AsyncSession, vouched: Vouched) -> Person:
    """The person as they are from this sign-in on: roles, organisation and address are its word.

    Raises `EmailUnproven`, `EmailBelongsToAnother` or `PersonShutOut`.
    """
    # Two first sign-ins at once make one person: the second waits here.
    provider = await session.get_one(IdentityProvider, vouched.provider_id, with_for_update=True)
    if provider.disabled_at is not None:
        raise PersonShutOut
    if vouched.email is None:  # each time: a domain may have been taken from the provider
        raise EmailUnproven
    person: Person | None = await session.scalar(
        select(Person)
        .where(Person.provider_id == vouched.provider_id, Person.subject == vouched.subject)
        .with_for_update()
    )
    organization = await session.get(Organization, normal_id(vouched.organization_id))
    is_closed = organization is not None and organization.valid_to is not None
    if is_closed or (person is not None and person.disabled_at is not None):
        raise PersonShutOut
    other = await people.find_by_email(session, vouched.email)
    if other is not None and other is not person:
        raise EmailBelongsToAnother
    if person is None:
        return await _added(session, vouched, vouched.email)
    await _keep_in_step(session, person, vouched, vouched.email)
    return person


async def _added(session: AsyncSession, vouched: Vouched, email: str) -> Person:
    new = NewPerson(
        vouched.organization_id, vouched.name, email, vouched.roles, vouched.provider_id,
        vouched.subject,
    )  # fmt: skip
    return await people.add(session, new, by=f"provider:{vouched.provider_id}")


async def _keep_in_step(
    session: AsyncSession, person: Person, vouched: Vouched, email: str
) -> None:
    roles = sorted({role.value for role in vouched.roles})
    people.check_email(email)
    # The address too: the one before may be a colleague's by now, and apps are told of it.
    person.name, person.email = vouched.name, email
    if (person.roles, person.organization_id) == (roles, vouched.organization_id):
        return
    person.roles, person.organization_id = roles, vouched.organization_id
    await audit.append(
        session, Event.PERSON_CHANGED, person=person.id, roles=roles,
        organization=person.organization_id, by=f"provider:{vouched.provider_id}",
    )  # fmt: skip
