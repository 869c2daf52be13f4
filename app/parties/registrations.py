"""Clients that register themselves (RFC 7591), and the second person who lets them in.

A registration is no client: until it is approved no door, cache or list of clients knows it.
Never stores or logs the token that opens it.
"""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import asyncpg
from sqlalchemy import func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.parties import AuthMethod, Organization, Role, Zone
from app.models.registrations import ClientRegistration, RegistrationState, RegistrationToken
from app.parties import clients, organizations
from app.parties.client_keys import check_jwks
from app.parties.clients import NewClient
from app.parties.organizations import OrganizationClosed
from app.parties.redirects import check_redirect_uris

# Whoever registers itself gets no more than this. Other roles are given by the operator's hand.
ROLES: Final = frozenset({Role.STEWARD, Role.DEVELOPER})
MOST_USES: Final = 20
MOST_DAYS: Final = 30
_DECIDED_WITHIN: Final = timedelta(days=30)
_ORGANIZATION_CHARS: Final = 46  # with a hyphen and 16 digits an id of 63
_FORGET: Final = "DELETE FROM client_registration WHERE state = 'pending' AND expires_at < $1"


class RegistrationTokenRefused(AppError):
    """The token opens nothing: `why` is for the log alone."""

    kind = Kind.UNAUTHENTICATED
    code = "registration_token_refused"
    ja = "登録トークンが誤りか、使い切られたか、期限切れです。発行者に依頼してください。"
    en = "The registration token is wrong, used up or expired. Ask its maker for a new one."


class RegistrationNotYours(AppError):
    """A coordinator lets clients register for organisations of its own body."""

    kind = Kind.FORBIDDEN
    code = "registration_not_yours"
    ja = "登録トークンを発行できるのは自団体の組織だけです（{organization}）。運営者に依頼してください。"
    en = "You make registration tokens for organisations of your own body only ({organization})."


class RoleNotRegistered(AppError):
    """A role that no client gets by registering itself."""

    kind = Kind.INVALID
    code = "role_not_registered"
    ja = "役割 {role} は自己登録では付与できません。steward か developer を選んでください。"
    en = "The role {role} is not given by registration: steward and developer are."


class RegistrationNotFound(AppError):
    """Nobody has registered by this id, or nobody that the caller may know of."""

    kind = Kind.NOT_FOUND
    code = "registration_not_found"
    ja = "クライアント {client} の登録申請はありません。"
    en = "There is no registration of a client {client}."


class RegistrationSettled(AppError):
    """What was decided, or waited for too long, stays so."""

    kind = Kind.CONFLICT
    code = "registration_settled"
    ja = "クライアント {client} の登録申請は決定済みか期限切れです。必要なら登録し直してください。"
    en = "The registration of {client} was decided or has expired. Register again if need be."


class PersonMakesToken(AppError):
    """Somebody in person makes a token, so that it is known who must not approve."""

    kind = Kind.FORBIDDEN
    code = "registration_by_person"
    ja = "登録トークンを発行できるのは、サインインした職員だけです。システムのクライアントでは発行できません。"
    en = "A member of staff who signed in makes registration tokens; a machine's client does not."


class SecondPersonApproves(AppError):
    """A person approves, and another one than whoever made the token."""

    kind = Kind.FORBIDDEN
    code = "registration_second_person"
    ja = "承認できるのは、登録トークンの発行者とは別の職員だけです。別の職員に依頼してください。"
    en = "A member of staff approves, and another than whoever made the token. Ask somebody else."


@dataclass(frozen=True, slots=True)
class NewToken:
    """For which organisation clients may register, how many, how long, as what."""

    organization_id: str
    uses: int = 1
    days: int = 7
    roles: Collection[Role] = ()


@dataclass(frozen=True, slots=True)
class MadeToken:
    """The token in the registry, and itself: here and never again."""

    registration_token: RegistrationToken
    token: str


async def make_token(
    session: AsyncSession, new: NewToken, *, by: str, within: str | None = None
) -> MadeToken:
    """Let software register for an organisation. `within` is a coordinator's body, None all.

    `by` is a person, or whoever is at the machine itself: of a client nobody knows whose hands
    hold it, and the same could approve.

    Raises `OrganizationNotFound`, `OrganizationClosed`, `RegistrationNotYours`, `RoleNotRegistered`.
    """
    for role in sorted(set(new.roles) - ROLES):
        raise RoleNotRegistered(role=role.value)
    organization = await organizations.get(session, new.organization_id)
    if organization.valid_to is not None:
        raise OrganizationClosed(organization=organization.id)
    if within is not None and within not in await organizations.line_of(session, organization.id):
        raise RegistrationNotYours(organization=organization.id)
    token = secrets.token_urlsafe(32)
    now = clock.now()
    made = RegistrationToken(
        id=uuid4(),
        organization_id=organization.id,
        roles=sorted({role.value for role in new.roles}),
        secret_sha256=_hash(token),
        uses_left=min(new.uses, MOST_USES),
        created_at=now,
        created_by=by,
        expires_at=now + timedelta(days=min(new.days, MOST_DAYS)),
    )
    session.add(made)
    await audit.append(
        session, Event.REGISTRATION_TOKEN_MADE, token=str(made.id), organization=organization.id,
        roles=made.roles, uses=made.uses_left, by=by,
    )  # fmt: skip
    return MadeToken(made, token)


def _hash(token: str) -> bytes:
    # 256 random bits need no slow hash: there is no list of likely tokens to try.
    return hashlib.sha256(token.encode()).digest()


async def use_token(session: AsyncSession, token: str) -> RegistrationToken:
    """Take one use of the token; undone with the transaction where the rest is refused.

    The row stays locked until then: of two that come at once for one use, one gets it.
    """
    found: RegistrationToken | None = await session.scalar(
        select(RegistrationToken)
        .where(RegistrationToken.secret_sha256 == _hash(token))
        .with_for_update()
    )
    why = await _why_not(session, found)
    if found is None or why is not None:
        raise RegistrationTokenRefused(why=why)
    found.uses_left -= 1
    return found


async def _why_not(session: AsyncSession, token: RegistrationToken | None) -> str | None:
    if token is None:
        return "wrong"
    if token.uses_left == 0:
        return "used_up"
    if token.expires_at <= clock.now():
        return "expired"
    organization = await session.get_one(Organization, token.organization_id)
    return None if organization.valid_to is None else "closed"


async def register(
    session: AsyncSession, token: RegistrationToken, told: dict[str, Any], *, zone: Zone
) -> ClientRegistration:
    """Keep what a vendor said of its client until somebody decides.

    Raises `KeysInvalid` or `RedirectInvalid`.
    """
    check_redirect_uris(told["redirect_uris"])
    now = clock.now()
    made = ClientRegistration(
        client_id=f"{token.organization_id[:_ORGANIZATION_CHARS]}-{secrets.token_hex(8)}",
        token_id=token.id,
        token_by=token.created_by,
        organization_id=token.organization_id,
        zone=zone.value,
        roles=token.roles,
        told={**told, "jwks": check_jwks(told["jwks"])},
        registered_at=now,
        expires_at=now + _DECIDED_WITHIN,
        state=RegistrationState.PENDING.value,
    )
    session.add(made)
    await audit.append(
        session, Event.CLIENT_REGISTERED, client=made.client_id, token=str(token.id),
        organization=made.organization_id, kids=[key["kid"] for key in made.told["jwks"]["keys"]],
    )  # fmt: skip
    return made


async def list_registrations(
    session: AsyncSession,
    *,
    state: RegistrationState | None = None,
    within: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Sequence[ClientRegistration]:
    """Registrations by id, those of one body where `within` names it."""
    statement = select(ClientRegistration).order_by(ClientRegistration.client_id).limit(limit)
    if state is not None:
        statement = statement.where(ClientRegistration.state == state.value)
    if within is not None:
        line = func.line_of(ClientRegistration.organization_id)
        statement = statement.where(literal(within) == func.any(line))
    if after is not None:
        statement = statement.where(ClientRegistration.client_id > after)
    return (await session.scalars(statement)).all()


async def approve(
    session: AsyncSession, client_id: str, *, person_id: str | None, within: str | None = None
) -> ClientRegistration:
    """Make the client that was registered.

    Where people sign in to it, they are the staff of its organisation. Raises
    `RegistrationNotFound`, `RegistrationSettled` or `SecondPersonApproves`.
    """
    found = await _pending(session, client_id, within)
    if person_id is None or person_id == found.token_by:
        raise SecondPersonApproves
    redirect_uris = found.told["redirect_uris"]
    new = NewClient(
        organization_id=found.organization_id,
        name=found.told["client_name"],
        auth_method=AuthMethod.PRIVATE_KEY_JWT,
        roles=[Role(role) for role in found.roles],
        zone=Zone(found.zone),
        jwks=found.told["jwks"],
        id=found.client_id,
        redirect_uris=redirect_uris,
        staff_of=[found.organization_id] if redirect_uris else (),
    )
    await clients.add(session, new, by=person_id)
    return await _decide(session, found, RegistrationState.APPROVED, by=person_id)


async def reject(
    session: AsyncSession, client_id: str, *, by: str, within: str | None = None
) -> ClientRegistration:
    """Let the client never be. Raises `RegistrationNotFound` or `RegistrationSettled`."""
    found = await _pending(session, client_id, within)
    return await _decide(session, found, RegistrationState.REJECTED, by=by)


async def _pending(session: AsyncSession, client_id: str, within: str | None) -> ClientRegistration:
    found = await session.get(ClientRegistration, client_id, with_for_update=True)
    if found is None or not await _is_within(session, found, within):
        raise RegistrationNotFound(client=client_id)
    if found.state != RegistrationState.PENDING or found.expires_at <= clock.now():
        raise RegistrationSettled(client=client_id)
    return found


async def _is_within(session: AsyncSession, found: ClientRegistration, within: str | None) -> bool:
    if within is None:
        return True
    return within in await organizations.line_of(session, found.organization_id)


async def _decide(
    session: AsyncSession, found: ClientRegistration, state: RegistrationState, *, by: str
) -> ClientRegistration:
    found.state = state.value
    found.decided_at = clock.now()
    found.decided_by = by
    await audit.append(
        session, Event.REGISTRATION_DECIDED, client=found.client_id, state=found.state,
        organization=found.organization_id, token=str(found.token_id), by=by,
    )  # fmt: skip
    return found


async def forget_undecided(pool: "asyncpg.Pool[Any]") -> None:
    """Delete the registrations that nobody decided on in time; the log keeps that they were."""
    await pool.execute(_FORGET, clock.now())
