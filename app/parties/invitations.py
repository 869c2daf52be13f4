"""Invitations: an organisation comes in with a code that works once. Never stores or logs a code."""

import base64
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.onboarding import Invitation, InvitationAttempts
from app.models.parties import AuthMethod, Role, Zone
from app.parties import clients, organizations
from app.parties.clients import AddedClient, NewClient
from app.parties.organizations import OrganizationClosed

LIFETIME: Final = timedelta(days=14)
MOST_WRONG_CODES: Final = 10  # of one invitation, then it is void
MOST_ATTEMPTS: Final = 20  # of one address in one window, right or wrong
WINDOW: Final = timedelta(minutes=10)
_GROUP: Final = 8  # characters of base32, five bits each
_CODE_BYTES: Final = 25  # 40 bits of handle, 160 bits of secret
# Whoever invites never hands on more than this. The operator's own role is given by `urbanos`.
_BY_OPERATOR: Final = frozenset({Role.COORDINATOR, Role.STEWARD, Role.DEVELOPER, Role.AUDITOR})
_BY_COORDINATOR: Final = frozenset({Role.STEWARD, Role.DEVELOPER})


class InvitationNotFound(AppError):
    """No invitation has this id, or none that the caller may know of."""

    kind = Kind.NOT_FOUND
    code = "invitation_not_found"
    ja = "招待 {invitation} はありません。"
    en = "There is no invitation {invitation}."


class InvitationSettled(AppError):
    """What was accepted or taken back stays so."""

    kind = Kind.CONFLICT
    code = "invitation_settled"
    ja = "招待 {invitation} は受諾済みか取消済みです。クライアントの失効は /v1/admin/clients で行います。"
    en = "The invitation {invitation} was accepted or taken back. Revoke its client instead."


class InvitationRefused(AppError):
    """The code opens nothing. One wording for every cause: `why` is for the log alone."""

    kind = Kind.FORBIDDEN
    code = "invitation_refused"
    ja = "招待コードが誤りか、使用済みか、期限切れです。招待元に新しいコードを依頼してください。"
    en = "The code is wrong, used or expired. Ask whoever invited you for a new one."


class TooManyAttempts(AppError):
    """One address has shown too many codes."""

    kind = Kind.TOO_MANY
    code = "too_many_attempts"
    ja = "招待コードの試行が多すぎます。10分後に再試行してください。"
    en = "Too many codes were tried. Try again in ten minutes."

    def __init__(self) -> None:
        super().__init__()
        self.headers["Retry-After"] = str(int(WINDOW.total_seconds()))


class InvitationNotYours(AppError):
    """A coordinator invites into its own body, and hands on no more than a steward's rights."""

    kind = Kind.FORBIDDEN
    code = "invitation_not_yours"
    ja = "コーディネーターが招待できるのは自団体の組織で、役割は steward か developer です（{what}）。"
    en = "A coordinator invites organisations of its own body, as steward or developer only ({what})."


class RoleNotInvited(AppError):
    """The operator's role does not travel by code."""

    kind = Kind.INVALID
    code = "role_not_invited"
    ja = "役割 {role} は招待では付与できません。steward、developer、coordinator、auditor から選んでください。"
    en = "The role {role} is not given by invitation: steward, developer, coordinator, auditor are."


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """Who is invited, where the code is sent, and as what."""

    organization_id: str
    email: str
    roles: Sequence[Role] = (Role.STEWARD,)


@dataclass(frozen=True, slots=True)
class MadeInvitation:
    """The invitation and its code: here and never again."""

    invitation: Invitation
    code: str


@dataclass(frozen=True, slots=True)
class Applicant:
    """What the invited says of its client. Without `jwks` it gets a secret.

    `zone` is that of the listener it came by: its client can call where it was made.
    """

    zone: Zone = Zone.INTERNET
    id: str | None = None
    name: str | None = None
    jwks: dict[str, Any] | None = None


async def invite(
    session: AsyncSession, new: NewInvitation, *, by: str, within: str | None = None
) -> MadeInvitation:
    """Invite an organisation. `within` is the body of an inviting coordinator, None the operator.

    Raises `OrganizationNotFound`, `OrganizationClosed`, `InvitationNotYours`, `RoleNotInvited`.
    """
    organization = await organizations.get(session, new.organization_id)
    if organization.valid_to is not None:
        raise OrganizationClosed(organization=organization.id)
    await _check_reach(session, organization.id, new.roles, within)
    code = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode()
    now = clock.now()
    invitation = Invitation(
        id=uuid4(),
        organization_id=organization.id,
        email=new.email,
        roles=sorted({role.value for role in new.roles}),
        handle=code[:_GROUP],
        code_sha256=_hash(code),
        wrong_codes=0,
        created_at=now,
        created_by=by,
        expires_at=now + LIFETIME,
    )
    session.add(invitation)
    await audit.append(
        session, Event.INVITATION_MADE, invitation=str(invitation.id),
        organization=organization.id, roles=invitation.roles, by=by,
    )  # fmt: skip
    groups = (code[at : at + _GROUP] for at in range(0, len(code), _GROUP))
    return MadeInvitation(invitation, "-".join(groups))


async def _check_reach(
    session: AsyncSession, organization_id: str, roles: Sequence[Role], within: str | None
) -> None:
    for role in roles:
        if role not in _BY_OPERATOR:
            raise RoleNotInvited(role=role.value)
        if within is not None and role not in _BY_COORDINATOR:
            raise InvitationNotYours(what=role.value)
    if within is not None and within not in await organizations.line_of(session, organization_id):
        raise InvitationNotYours(what=organization_id)


def _normal(code: str) -> str:
    """The code as it was made, from however it was typed: width, case, hyphens, blanks."""
    kept = unicodedata.normalize("NFKC", code).upper()
    return "".join(sign for sign in kept if sign.isascii() and sign.isalnum())


def _hash(code: str) -> bytes:
    # 160 random bits need no slow hash: there is no list of likely codes to try.
    return hashlib.sha256(code.encode()).digest()


async def count_attempt(session: AsyncSession, code: str, *, source: str | None) -> bool:
    """Count a try before it is judged, and say whether it may be; the caller commits at once.

    Counting comes first and by itself, so that neither a refusal nor many tries at once undo it.
    """
    now = clock.now()
    seconds = int(WINDOW.total_seconds())
    window = datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, tz=now.tzinfo)
    await session.execute(
        delete(InvitationAttempts).where(InvitationAttempts.window_at < now - 2 * WINDOW)
    )
    first = insert(InvitationAttempts).values(
        source_sha256=_hash(source or ""), window_at=window, attempts=1
    )
    attempts = await session.scalar(
        first.on_conflict_do_update(
            index_elements=["source_sha256", "window_at"],
            set_={"attempts": InvitationAttempts.attempts + 1},
        ).returning(InvitationAttempts.attempts)
    )
    if (attempts or 0) > MOST_ATTEMPTS:
        await audit.append(session, Event.CALL_REFUSED, code=TooManyAttempts.code, why="attempts")
        return False
    invitation = await _named(session, _normal(code))
    if invitation is not None and not hmac.compare_digest(
        invitation.code_sha256, _hash(_normal(code))
    ):
        invitation.wrong_codes += 1
    return True


async def accept(session: AsyncSession, code: str, applicant: Applicant) -> AddedClient:
    """Make the invited organisation's client, once.

    Raises `InvitationRefused`, `ClientExists`, `ClientInvalid`, `KeysInvalid`.
    """
    normal = _normal(code)
    invitation = await _named(session, normal)
    why = _why_not(invitation, normal)
    if invitation is None or why is not None:
        raise InvitationRefused(why=why)
    by_key = applicant.jwks is not None
    new = NewClient(
        organization_id=invitation.organization_id,
        name=applicant.name or invitation.organization_id,
        auth_method=AuthMethod.PRIVATE_KEY_JWT if by_key else AuthMethod.CLIENT_SECRET_BASIC,
        roles=[Role(role) for role in invitation.roles],
        zone=applicant.zone,
        jwks=applicant.jwks,
        id=applicant.id,
    )
    added = await clients.add(session, new, by=f"invitation:{invitation.id}")
    invitation.accepted_at = clock.now()
    invitation.client_id = added.client.id
    await audit.append(
        session, Event.INVITATION_ACCEPTED, invitation=str(invitation.id),
        organization=invitation.organization_id, client=added.client.id,
    )  # fmt: skip
    return added


async def _named(session: AsyncSession, normal: str) -> Invitation | None:
    """The invitation whose handle the code begins with, locked: of two who come at once, one."""
    found: Invitation | None = await session.scalar(
        select(Invitation).where(Invitation.handle == normal[:_GROUP]).with_for_update()
    )
    return found


_NOBODY: Final = bytes(32)


def _why_not(invitation: Invitation | None, normal: str) -> str | None:
    """Why the code opens nothing; the comparison is made in every case and in constant time."""
    stored = invitation.code_sha256 if invitation is not None else _NOBODY
    same = hmac.compare_digest(stored, _hash(normal))
    if invitation is None or not same:
        return "wrong"
    if invitation.wrong_codes >= MOST_WRONG_CODES:
        return "void"
    if invitation.ended_at is not None:
        return "ended"
    if invitation.accepted_at is not None:
        return "used"
    return "expired" if invitation.expires_at <= clock.now() else None


async def list_invitations(
    session: AsyncSession,
    *,
    within: str | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> Sequence[Invitation]:
    """Invitations by id, those of one body where `within` names it."""
    statement = select(Invitation).order_by(Invitation.id).limit(limit)
    if within is not None:
        line = func.line_of(Invitation.organization_id)
        statement = statement.where(literal(within) == func.any(line))
    if after is not None:
        statement = statement.where(Invitation.id > after)
    return (await session.scalars(statement)).all()


async def take_back(
    session: AsyncSession, invitation_id: UUID, *, by: str, within: str | None = None
) -> Invitation:
    """End an invitation that nobody has accepted. Raises `InvitationNotFound` or `…Settled`."""
    invitation = await session.get(Invitation, invitation_id, with_for_update=True)
    if invitation is None or not await _is_within(session, invitation, within):
        raise InvitationNotFound(invitation=invitation_id)
    if invitation.ended_at is not None or invitation.accepted_at is not None:
        raise InvitationSettled(invitation=invitation_id)
    invitation.ended_at = clock.now()
    await audit.append(
        session, Event.INVITATION_ENDED, invitation=str(invitation_id),
        organization=invitation.organization_id, by=by,
    )  # fmt: skip
    return invitation


async def _is_within(session: AsyncSession, invitation: Invitation, within: str | None) -> bool:
    if within is None:
        return True
    return within in await organizations.line_of(session, invitation.organization_id)
