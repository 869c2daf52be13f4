"""Certificates: issued for a passed run, in force for a year at most, revoked. Signs nothing.

What is in force follows from the rows and the clock, so that nothing is listed a moment too long.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.conformance.refusals import (
    CertificateIssued,
    CertificateNotFound,
    CertificateRevoked,
    RunNotPassed,
)
from app.kit import clock
from app.kit.clock import TOKYO
from app.models.conformance import (
    ConformanceCertificate,
    ConformanceRun,
    ConformanceService,
    RunKind,
    RunState,
)
from app.models.parties import Organization
from app.models.profiles import Profile

LIFETIME: Final = timedelta(days=365)
FRESH: Final = timedelta(days=30)  # how old a run may be that a certificate stands on
SUBJECT: Final = "certified_service"  # of findings
ENDS: Final = "certificate_ends"  # the finding that a new certificate settles
_LIST_LIVES: Final = timedelta(days=7)
_SUPERSEDED: Final = "the profile's version has ended"


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate and when it ends: a version of a profile that ends before it ends it too."""

    row: ConformanceCertificate
    ends_at: datetime

    @property
    def state(self) -> str:
        """`valid`, `expired` or `revoked`, now."""
        if self.row.revoked_at is not None:
            return "revoked"
        return "valid" if clock.now() < self.ends_at else "expired"


async def issue(session: AsyncSession, run: ConformanceRun, *, issuer: str, by: str) -> Held:
    """Certify what a run has shown. Raises `RunNotPassed`, `CertificateIssued`."""
    service = await session.get_one(ConformanceService, run.service_id, with_for_update=True)
    _check_run(service, run)
    its = select(ConformanceCertificate.id).where(ConformanceCertificate.run_id == run.id)
    before = await session.scalar(its)
    if before is not None:
        raise CertificateIssued(run=run.id, id=before)
    now = clock.now().replace(microsecond=0)
    profiles = [run.profile] if run.profile is not None else []
    ends = [at for name, at in (await _ends(session)).items() if name in profiles]
    if run.standard_until is not None:
        ends.append(run.standard_until)
    expires_at = min([now + LIFETIME, *ends])
    if expires_at <= now:
        raise _not_passed(
            run, "what it was judged by has ended", "規格またはレイアウトの版が廃止済み"
        )
    vendor = await session.get_one(Organization, service.organization_id)
    certificate = ConformanceCertificate(
        id=uuid4(), service_id=service.id, run_id=run.id, issued_at=now, issued_by=by,
        expires_at=expires_at,
    )  # fmt: skip
    certificate.claims = {
        "iss": issuer, "jti": str(certificate.id),
        "iat": int(now.timestamp()), "exp": int(expires_at.timestamp()),
        "service": {"id": str(service.id), "name": service.name},
        "vendor": {"id": vendor.id, "name": vendor.name_ja},
        "municipalities": list(service.municipalities), "classes": list(run.classes),
        "standard": run.standard, "profiles": profiles,
        "run": str(run.id), "report_sha256": run.report_sha256,
    }  # fmt: skip
    session.add(certificate)
    await session.flush()
    await log.append(
        session, Event.CERTIFICATE_ISSUED, certificate=str(certificate.id), service=str(service.id),
        organization=service.organization_id, run=str(run.id), until=expires_at.isoformat(), by=by,
    )  # fmt: skip
    return Held(certificate, expires_at)


async def revoke(session: AsyncSession, held: Held, *, reason: str, by: str) -> None:
    """For good. Raises `CertificateRevoked`."""
    row = held.row
    await session.refresh(row, with_for_update=True)
    if row.revoked_at is not None:
        raise CertificateRevoked(id=row.id)
    row.revoked_at, row.revoked_by, row.revoked_reason = clock.now(), by, reason
    await session.flush()
    await log.append(
        session, Event.CERTIFICATE_REVOKED, certificate=str(row.id), service=str(row.service_id),
        reason=reason, by=by,
    )  # fmt: skip


async def get(session: AsyncSession, certificate_id: UUID) -> Held:
    """A certificate: everybody may look at it. Raises `CertificateNotFound`."""
    row = await session.get(ConformanceCertificate, certificate_id)
    if row is None:
        raise CertificateNotFound(id=certificate_id)
    return _held(row, await _ends(session))


async def list_certificates(
    session: AsyncSession, *, service_id: UUID | None, after: UUID | None, limit: int
) -> list[Held]:
    """Every certificate that was ever issued, by id."""
    statement = select(ConformanceCertificate).order_by(ConformanceCertificate.id).limit(limit)
    if service_id is not None:
        statement = statement.where(ConformanceCertificate.service_id == service_id)
    if after is not None:
        statement = statement.where(ConformanceCertificate.id > after)
    ends = await _ends(session)
    return [_held(row, ends) for row in await session.scalars(statement)]


async def of_services(session: AsyncSession, services: Collection[UUID]) -> dict[UUID, list[Held]]:
    """Every certificate of each service, the oldest first."""
    ends = await _ends(session)
    statement = select(ConformanceCertificate).where(
        ConformanceCertificate.service_id.in_(services)
    )
    found: dict[UUID, list[Held]] = {}
    for row in await session.scalars(statement.order_by(ConformanceCertificate.issued_at)):
        found.setdefault(row.service_id, []).append(_held(row, ends))
    return found


async def in_force(
    session: AsyncSession, services: Sequence[UUID] | None = None
) -> dict[UUID, Held]:
    """By service the newest certificate that is in force now."""
    now, ends = clock.now(), await _ends(session)
    statement = select(ConformanceCertificate).where(
        ConformanceCertificate.revoked_at.is_(None), ConformanceCertificate.expires_at > now
    )
    if services is not None:
        statement = statement.where(ConformanceCertificate.service_id.in_(services))
    rows = await session.scalars(statement.order_by(ConformanceCertificate.issued_at))
    found = [_held(row, ends) for row in rows]
    return {each.row.service_id: each for each in found if each.ends_at > now}


async def revocations(session: AsyncSession, *, issuer: str) -> dict[str, Any]:
    """The claims of the revocation list: what says that it is in force and no longer is."""
    now, ends = clock.now(), await _ends(session)
    statement = select(ConformanceCertificate).where(ConformanceCertificate.expires_at > now)
    rows = await session.scalars(statement.order_by(ConformanceCertificate.id))
    listed = []
    for held in (_held(row, ends) for row in rows):
        if held.row.revoked_at is not None:
            listed.append(_entry(held, held.row.revoked_at, held.row.revoked_reason or ""))
        elif held.ends_at <= now:
            listed.append(_entry(held, held.ends_at, _SUPERSEDED))
    at = int(now.timestamp())
    until = at + int(_LIST_LIVES.total_seconds())
    return {"iss": issuer, "iat": at, "exp": until, "revoked": listed}


def _entry(held: Held, at: datetime, reason: str) -> dict[str, str]:
    at_ = at.astimezone(TOKYO).isoformat(timespec="seconds")
    return {"id": str(held.row.id), "at": at_, "reason": reason}


def _held(row: ConformanceCertificate, ends: Mapping[str, datetime]) -> Held:
    named = [ends[name] for name in row.claims["profiles"] if name in ends]
    return Held(row, min([row.expires_at, *named]))


async def _ends(session: AsyncSession) -> dict[str, datetime]:
    """When versions of profiles end, of those that are to end."""
    its = select(Profile.name, Profile.version, Profile.sunset_at)
    found = await session.execute(its.where(Profile.sunset_at.is_not(None)))
    return {f"{name}/{version}": at for name, version, at in found if at is not None}


def _check_run(service: ConformanceService, run: ConformanceRun) -> None:
    if run.kind != RunKind.FULL:
        raise _not_passed(run, "it is no whole run", "全規則の試験ではない")
    if run.state != RunState.PASSED or run.ended_at is None:
        raise _not_passed(run, f"it is {run.state}", f"状態 {run.state}")
    if clock.now() - run.ended_at > FRESH:
        raise _not_passed(run, "it is too old", "試験が古い")
    if service.withdrawn_at is not None:
        raise _not_passed(run, "its service is withdrawn", "サービスが取り下げ済み")
    same = (service.sandbox_url, service.dataset) == (run.sandbox_url, run.dataset)
    if not same or not set(service.classes) <= set(run.classes):
        raise _not_passed(
            run, "its service has changed since", "試験後にサービスの登録が変更された"
        )


def _not_passed(run: ConformanceRun, why: str, why_ja: str) -> RunNotPassed:
    return RunNotPassed(id=run.id, why=why, why_ja=why_ja, days=FRESH.days)
