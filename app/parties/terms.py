"""The platform's terms of use (利用規約): versions, and who has accepted which. Never changes a text.

Agreements between two organisations have terms of their own, in `app.agreements.terms`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.models.onboarding import Invitation, TermsAcceptance, TermsVersion

_LOCK: Final = 7_310_002  # of pg_advisory_xact_lock: versions are numbered one at a time


class TermsNotFound(AppError):
    """No such version."""

    kind = Kind.NOT_FOUND
    code = "terms_not_found"
    ja = "利用規約の版 {number} はありません。GET /v1/terms で一覧を確認してください。"
    en = "There is no version {number} of the terms of use. GET /v1/terms lists them."


class TermsSuperseded(AppError):
    """A later version is in force."""

    kind = Kind.CONFLICT
    code = "terms_superseded"
    ja = "利用規約の版 {number} は失効しています。現行は版 {current} です。"
    en = "Version {number} of the terms of use is no longer in force: {current} is."


class TermsInvalid(AppError):
    """What was said of a new version contradicts itself or the versions before."""

    kind = Kind.INVALID
    code = "terms_invalid"
    ja = "利用規約の登録内容に誤りがあります。"
    en = "What was said of the terms of use is wrong."


class TermsNotAccepted(AppError):
    """The organisation owes its acceptance of a version in force."""

    kind = Kind.FORBIDDEN
    code = "terms_not_accepted"
    ja = (
        "{organization} は利用規約の版 {number} に同意していません。GET /v1/terms/{number} を確認し、"
        "POST /v1/terms/{number}/accept で同意してください（スコープ organization:write）。"
    )
    en = (
        "{organization} has not accepted version {number} of the terms of use. Read it at"
        " GET /v1/terms/{number} and accept it with POST /v1/terms/{number}/accept"
        " (scope organization:write)."
    )


@dataclass(frozen=True, slots=True)
class NewTerms:
    """A version as the operator publishes it. Days are days in Japan."""

    text_ja: str
    text_en: str
    valid_from: date
    required_from: date | None = None  # absent: from the day it is in force
    number: int | None = None  # absent: the next


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an organisation stands: what is in force, what it accepted, what it owes now."""

    in_force: int | None
    accepted: int | None
    owed: int | None


def text_sha256(text_ja: str, text_en: str) -> str:
    """The hash of both texts as stored: UTF-8, parted by a NUL, which no text holds."""
    return hashlib.sha256(f"{text_ja}\x00{text_en}".encode()).hexdigest()


async def publish(session: AsyncSession, new: NewTerms, *, by: str) -> TermsVersion:
    """Add the next version. Raises `TermsInvalid`."""
    await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    last = await session.scalar(select(TermsVersion).order_by(TermsVersion.number.desc()).limit(1))
    number = last.number + 1 if last else 1
    required_from = new.required_from or new.valid_from
    _check(new, number, required_from, last)
    version = TermsVersion(
        number=number,
        text_ja=new.text_ja,
        text_en=new.text_en,
        text_sha256=text_sha256(new.text_ja, new.text_en),
        valid_from=new.valid_from,
        required_from=required_from,
        published_at=clock.now(),
        published_by=by,
    )
    session.add(version)
    await audit.append(
        session, Event.TERMS_PUBLISHED, number=version.number, sha256=version.text_sha256,
        valid_from=str(version.valid_from), by=by,
    )  # fmt: skip
    return version


def _check(new: NewTerms, number: int, required_from: date, last: TermsVersion | None) -> None:
    faults = []
    if new.number not in (None, number):
        faults.append(Fault(
            "/number", "wrong_number", f"次の版は {number} です。",
            f"The next version is {number}.",
        ))  # fmt: skip
    if last is not None and new.valid_from < last.valid_from:
        faults.append(Fault(
            "/valid_from", "date_order", f"版 {last.number} の施行日 {last.valid_from} 以後です。",
            f"It must not be before {last.valid_from}, when version {last.number} begins.",
        ))  # fmt: skip
    if required_from < new.valid_from:
        faults.append(Fault(
            "/required_from", "date_order", "施行日以後の日付です。",
            "It must not be before valid_from.",
        ))  # fmt: skip
    if faults:
        raise TermsInvalid(faults=faults)


async def list_versions(session: AsyncSession) -> Sequence[TermsVersion]:
    """All versions, newest first."""
    found = await session.scalars(select(TermsVersion).order_by(TermsVersion.number.desc()))
    return found.all()


@dataclass(frozen=True, slots=True)
class Listed:
    """A version as lists show it."""

    number: int
    text_sha256: str
    valid_from: date
    required_from: date
    published_at: datetime
    in_force: bool


async def listed(session: AsyncSession) -> list[Listed]:
    """All versions, newest first, and which of them is in force today."""
    versions = await list_versions(session)
    current = _in_force(versions, today())
    return [
        Listed(
            each.number, each.text_sha256, each.valid_from, each.required_from, each.published_at,
            each is current,
        )
        for each in versions
    ]  # fmt: skip


async def get(session: AsyncSession, number: int) -> TermsVersion:
    """One version, or `TermsNotFound`."""
    found = await session.get(TermsVersion, number)
    if found is None:
        raise TermsNotFound(number=number)
    return found


async def accept(
    session: AsyncSession, number: int, *, organization_id: str, by: str
) -> TermsAcceptance:
    """Note that an organisation accepts a version. A second time changes nothing.

    Raises `TermsNotFound`, `TermsSuperseded`.
    """
    version = await get(session, number)
    in_force = _in_force(await list_versions(session), today())
    if in_force is not None and number < in_force.number:
        raise TermsSuperseded(number=number, current=in_force.number)
    row = insert(TermsAcceptance).values(
        organization_id=organization_id,
        number=number,
        text_sha256=version.text_sha256,
        accepted_at=clock.now(),
        accepted_by=by,
    )
    made = await session.scalar(row.on_conflict_do_nothing().returning(TermsAcceptance.number))
    if made is not None:
        await audit.append(
            session, Event.TERMS_ACCEPTED, number=number, organization=organization_id,
            sha256=version.text_sha256, by=by,
        )  # fmt: skip
    return await session.get_one(TermsAcceptance, (organization_id, number))


async def check_accepted(session: AsyncSession, organization_id: str) -> None:
    """Refuse an organisation that owes its acceptance. Raises `TermsNotAccepted`."""
    standing = await standing_of(session, organization_id)
    if standing.owed is not None:
        raise TermsNotAccepted(organization=organization_id, number=standing.owed)


async def standing_of(session: AsyncSession, organization_id: str) -> Standing:
    """What an organisation has accepted and owes today.

    Terms bind whoever came by invitation: at once the versions in force on the day it came, later
    ones from their `required_from`. What is owed is always the version in force, never an old one.
    """
    versions = await list_versions(session)
    in_force = _in_force(versions, today())
    accepted = await session.scalar(
        select(func.max(TermsAcceptance.number)).where(
            TermsAcceptance.organization_id == organization_id
        )
    )
    if in_force is None:
        return Standing(None, accepted, None)
    came = await session.scalar(
        select(func.min(Invitation.accepted_at)).where(
            Invitation.organization_id == organization_id
        )
    )
    binding = 0
    if came is not None:
        came_on = came.astimezone(clock.TOKYO).date()
        binding = max((v.number for v in versions if _binds(v, came_on, today())), default=0)
    owes = binding > (accepted or 0)
    return Standing(in_force.number, accepted, in_force.number if owes else None)


def today() -> date:
    """The day in Japan."""
    return clock.now().astimezone(clock.TOKYO).date()


def _in_force(versions: Sequence[TermsVersion], on: date) -> TermsVersion | None:
    begun = [version for version in versions if version.valid_from <= on]
    return max(begun, key=lambda version: version.number, default=None)


def _binds(version: TermsVersion, came_on: date, on: date) -> bool:
    return version.valid_from <= on and (
        version.required_from <= on or version.valid_from <= came_on
    )
