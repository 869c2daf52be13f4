"""Owner exports: asked for, approved where it must be, made by one worker, kept for a week.

Reads no record. A state changes under the lock of its row, and a worker that was silent for too
long finds that the attempt is no longer its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.jobs import queue
from app.kit import clock
from app.kit.db import Database
from app.kit.errors import AppError
from app.models.datasets import Dataset
from app.models.moving import ExportState, OwnerExport
from app.models.parties import Organization
from app.moving.refusals import (
    ExportGivenUp,
    ExportNeedsAnother,
    ExportNotFound,
    ExportNotSealed,
    ExportUnderWay,
    ExportWaits,
)
from app.policy.facts import may_be_one
from app.policy.rules import RANK

KEPT: Final = timedelta(days=7)
OPEN_CLASSES: Final = frozenset({"public", "internal"})
_UNDER_WAY: Final = (ExportState.WAITING, ExportState.QUEUED, ExportState.RUNNING)
_LOST_AFTER: Final = timedelta(days=1)
_WAITS_FOR: Final = timedelta(days=14)


class NotMine(Exception):
    """The export has ended, or another worker has taken it over."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for. `classes_up_to`: the highest class of a dataset that goes."""

    organization_id: str
    classes_up_to: str
    zone: str
    purpose: str | None
    recipient: str | None
    by: str
    via: str


@dataclass(frozen=True, slots=True)
class Made:
    """An archive that stands whole in the store."""

    size: int
    sha256: str
    kid: str
    counts: Mapping[str, int]


def store_key(export_id: UUID) -> str:
    """Where the archive is kept."""
    return f"exports/{export_id}.zip"


def check_sealed(classes: str, purpose: str | None, recipient: str | None) -> None:
    """Refuse to let out what is above internal unsealed, or for no reason. `ExportNotSealed`."""
    if recipient is not None:
        from pyrage import RecipientError, x25519  # noqa: PLC0415 - a server that only reads needs none

        try:
            x25519.Recipient.from_str(recipient)
        except RecipientError as exc:
            raise ExportNotSealed(
                classes=classes, why="the key is none", why_ja="鍵の形式が違います"
            ) from exc
    if classes in OPEN_CLASSES:
        return
    if purpose is None or recipient is None:
        lacking = "purpose" if purpose is None else "recipient"
        raise ExportNotSealed(
            classes=classes, why=f"{lacking} is missing", why_ja=f"{lacking} がありません"
        )


async def ask(session: AsyncSession, asked: Asked) -> OwnerExport:
    """Put an export in the queue, or have it wait for a second person.

    Raises `ExportNotSealed`, `ExportUnderWay`.
    """
    check_sealed(asked.classes_up_to, asked.purpose, asked.recipient)
    # Two who ask at once are ordered by the body's row.
    await session.get_one(Organization, asked.organization_id, with_for_update=True)
    under_way = await session.scalar(
        select(OwnerExport.id).where(
            OwnerExport.organization_id == asked.organization_id, OwnerExport.state.in_(_UNDER_WAY)
        )
    )
    if under_way is not None:
        raise ExportUnderWay(organization=asked.organization_id, id=under_way)
    is_open = asked.classes_up_to in OPEN_CLASSES
    export = OwnerExport(
        id=uuid4(), organization_id=asked.organization_id, classes_up_to=asked.classes_up_to,
        zone=asked.zone, purpose=asked.purpose, recipient=asked.recipient, members_done=0,
        state=ExportState.QUEUED if is_open else ExportState.WAITING,
        asked_by=asked.by, asked_via=asked.via, asked_at=clock.now(),
    )  # fmt: skip
    session.add(export)
    await session.flush()
    if is_open:
        await _enqueue(session, export)
    await log.append(
        session, Event.EXPORT_ASKED, export=str(export.id), organization=export.organization_id,
        classes_up_to=export.classes_up_to, purpose=export.purpose, by=asked.by,
    )  # fmt: skip
    return export


async def approve(session: AsyncSession, export: OwnerExport, *, by: str, via: str) -> None:
    """A second person lets it be made. Raises `ExportWaits`, `ExportNeedsAnother`."""
    if export.state != ExportState.WAITING:
        raise ExportWaits(id=export.id, state=export.state)
    if may_be_one(by, via, export.asked_by, export.asked_via):
        raise ExportNeedsAnother(id=export.id, asker=export.asked_by)
    export.approved_by, export.approved_at = by, clock.now()
    export.state = ExportState.QUEUED
    await _enqueue(session, export)
    await log.append(
        session, Event.EXPORT_APPROVED, export=str(export.id),
        organization=export.organization_id, by=by,
    )  # fmt: skip


async def _enqueue(session: AsyncSession, export: OwnerExport) -> None:
    driver = await Database.driver_of(session)
    await queue.enqueue(driver, queue.MOVING, export_id=str(export.id))


async def cancel(session: AsyncSession, export: OwnerExport, *, by: str) -> None:
    """Ask for its end; what nobody makes ends now, and an archive that is there goes.

    Raises `ExportWaits` for what has ended otherwise.
    """
    if export.state not in (*_UNDER_WAY, ExportState.READY):
        raise ExportWaits(id=export.id, state=export.state)
    export.cancel_requested_at = clock.now()
    if export.state == ExportState.READY:
        export.expires_at = clock.now()
    elif export.state != ExportState.RUNNING:
        export.state, export.ended_at = ExportState.CANCELLED, clock.now()
    await session.flush()
    await log.append(
        session, Event.EXPORT_CANCELLED, export=str(export.id),
        organization=export.organization_id, by=by,
    )  # fmt: skip


async def get(
    session: AsyncSession, export_id: UUID, organization_id: str, *, lock: bool = False
) -> OwnerExport:
    """An export of the organisation. Raises `ExportNotFound`."""
    found = await session.get(OwnerExport, export_id, with_for_update=lock or None)
    if found is None or found.organization_id != organization_id:
        raise ExportNotFound(id=export_id)
    return found


async def list_exports(
    session: AsyncSession, organization_id: str, *, after: UUID | None, limit: int
) -> Sequence[OwnerExport]:
    """The history, newest first; `after` is the last one of the page before."""
    statement = select(OwnerExport).where(OwnerExport.organization_id == organization_id)
    last = await session.get(OwnerExport, after) if after is not None else None
    if last is not None:
        place = tuple_(OwnerExport.asked_at, OwnerExport.id)
        statement = statement.where(place < (last.asked_at, last.id))
    newest = statement.order_by(OwnerExport.asked_at.desc(), OwnerExport.id.desc())
    return (await session.scalars(newest.limit(limit))).all()


async def taken(session: AsyncSession, export: OwnerExport, *, by: str, via: str) -> None:
    """Note that the archive leaves. Raises `ExportWaits` where there is none, or none any more."""
    is_there = export.expires_at is not None and clock.now() < export.expires_at
    if export.state != ExportState.READY or not is_there:
        raise ExportWaits(id=export.id, state=export.state)
    await log.append(
        session, Event.EXPORT_TAKEN, export=str(export.id), organization=export.organization_id,
        sha256=export.sha256, by=by, client=via,
    )  # fmt: skip


# --- the worker's side ---------------------------------------------------------------------------


async def claim(session: AsyncSession, export_id: UUID) -> OwnerExport:
    """Be the one that makes it. Raises `NotMine`."""
    export = await session.get(OwnerExport, export_id, with_for_update=True)
    if export is None or export.state not in (ExportState.QUEUED, ExportState.RUNNING):
        raise NotMine
    export.state, export.attempt = ExportState.RUNNING, uuid4()
    export.started_at, export.members_done = clock.now(), 0
    return export


async def go_on(session: AsyncSession, export_id: UUID, attempt: UUID | None, members: int) -> bool:
    """Note how far it has come; False where somebody asked for its end. Raises `NotMine`."""
    export = await _mine(session, export_id, attempt)
    export.members_done = members
    if export.cancel_requested_at is None:
        return True
    export.state, export.ended_at = ExportState.CANCELLED, clock.now()
    return False


async def ready(session: AsyncSession, export_id: UUID, attempt: UUID | None, made: Made) -> bool:
    """The archive stands whole in the store; False where somebody asked for its end before that.
    Raises `NotMine`."""
    export = await _mine(session, export_id, attempt)
    if export.cancel_requested_at is not None:
        export.state, export.ended_at = ExportState.CANCELLED, clock.now()
        return False
    now = clock.now()
    export.state, export.ended_at, export.expires_at = ExportState.READY, now, now + KEPT
    export.size, export.sha256, export.kid = made.size, made.sha256, made.kid
    export.counts = dict(made.counts)
    await session.flush()
    await log.append(
        session, Event.EXPORT_MADE, export=str(export.id), organization=export.organization_id,
        sha256=made.sha256, size=made.size, datasets=made.counts.get("datasets"),
        rows=made.counts.get("rows"),
    )  # fmt: skip
    return True


async def is_wanted(session: AsyncSession, export_id: UUID) -> bool:
    """Whether an archive under its name may be somebody's: another worker's, or whole."""
    export = await session.get(OwnerExport, export_id)
    return export is not None and export.state in (ExportState.RUNNING, ExportState.READY)


async def give_up(session: AsyncSession, export_id: UUID, refusal: AppError | None = None) -> None:
    """End it without an archive; nothing, where it has ended."""
    export = await session.get(OwnerExport, export_id, with_for_update=True)
    if export is None or export.state not in _UNDER_WAY:
        return
    told = refusal or ExportGivenUp()
    export.state, export.ended_at = ExportState.FAILED, clock.now()
    export.error_code, export.error_ja, export.error_en = (
        told.code,
        told.words("ja"),
        told.words("en"),
    )
    await session.flush()
    await log.append(
        session, Event.EXPORT_FAILED, export=str(export.id),
        organization=export.organization_id, error=told.code,
    )  # fmt: skip


async def _mine(session: AsyncSession, export_id: UUID, attempt: UUID | None) -> OwnerExport:
    export = await session.get(OwnerExport, export_id, with_for_update=True)
    if export is None or export.attempt != attempt or export.state != ExportState.RUNNING:
        raise NotMine
    return export


async def run_out(session: AsyncSession) -> Sequence[UUID]:
    """The archives whose week is over."""
    its = select(OwnerExport.id).where(
        OwnerExport.state == ExportState.READY, OwnerExport.expires_at <= clock.now()
    )
    return (await session.scalars(its)).all()


async def expire(session: AsyncSession, export_id: UUID) -> None:
    """Note that an archive is gone."""
    export = await session.get_one(OwnerExport, export_id, with_for_update=True)
    export.state = ExportState.EXPIRED
    await log.append(
        session, Event.EXPORT_EXPIRED, export=str(export.id), organization=export.organization_id
    )


async def lost(session: AsyncSession) -> Sequence[UUID]:
    """What no worker makes any more, and what nobody has approved for two weeks."""
    now = clock.now()
    is_made = OwnerExport.state.in_((ExportState.QUEUED, ExportState.RUNNING))
    since = func.coalesce(OwnerExport.approved_at, OwnerExport.asked_at)
    its = select(OwnerExport.id).where(
        or_(
            is_made & (since < now - _LOST_AFTER),
            (OwnerExport.state == ExportState.WAITING) & (since < now - _WAITS_FOR),
        )
    )
    return (await session.scalars(its)).all()


def goes(classes: frozenset[str], up_to: str) -> bool:
    """Whether a dataset with data of these classes goes. Of specific personal data we hold nothing
    but its description."""
    known = classes - {"specific-personal"}
    return all(RANK.get(each, len(RANK)) <= RANK[up_to] for each in known)


def keeps_zone(dataset: Dataset, zone: str | None) -> bool:
    """Whether a dataset may leave by a segment: its own, or any where it is open to all."""
    is_open = (dataset.data_class, dataset.zone) == ("public", "internet")
    return zone is None or is_open or dataset.zone == zone
