"""Official runs: asked for, made by one worker, ended. Asks no sandbox itself.

A state changes under the lock of its row, and a worker that was silent for too long finds that the
attempt is no longer its own.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.conformance import services
from app.conformance.refusals import (
    ReportNotThere,
    RunEnded,
    RunGivenUp,
    RunNotFound,
    RunsTooMany,
    RunUnderWay,
    SandboxTokenMissing,
)
from app.formats.individual_number import masked_json
from app.jobs import queue
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.errors import AppError
from app.models.conformance import ConformanceRun, ConformanceService, RunKind, RunState

MOST_SECONDS: Final[Mapping[str, int]] = {RunKind.FULL: 900, RunKind.SMOKE: 120}
MOST_A_DAY: Final = 24
_DAY: Final = timedelta(days=1)
_LOST_AFTER: Final = timedelta(hours=3)


class NotMine(Exception):
    """The run has ended, or another worker has taken it over."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs to make a run, read once. `layouts`: JSON Schemas of the records of the
    standard layouts, by name/version."""

    run_id: UUID
    attempt: UUID
    kind: RunKind
    url: str
    dataset: str | None
    classes: tuple[str, ...]
    layouts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    service_id: UUID | None = None
    lent: Mapping[str, Any] | None = None
    sealed_proof: bytes | None = field(default=None, repr=False)
    prefix: str | None = None
    sealed_token: bytes | None = field(default=None, repr=False)

    def token(self, open_sealer: Callable[[], Sealer]) -> str | None:
        """The token that was lent, if one was. Raises `SecretKeyUnusable`."""
        if self.sealed_token is None or self.service_id is None:
            return None
        return services.token_of(open_sealer(), self.service_id, self.sealed_token)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge said. `gave_up`: why it could not go on to the end."""

    passed: bool
    broken: tuple[str, ...]
    standard: str
    profile: str | None
    requests: int
    report: bytes
    gave_up: str | None = None
    standard_until: datetime | None = None  # when the major version of the standard ends
    unseen: tuple[str, ...] = ()  # rules without which nothing was shown of a class
    why_unseen: tuple[str, str] = ("", "")  # in Japanese and English


async def ask(
    session: AsyncSession, service: ConformanceService, *, by: str | None,
    kind: RunKind = RunKind.FULL,
) -> ConformanceRun:  # fmt: skip
    """Put a run in the queue. Raises `RunUnderWay`, `RunsTooMany`, `SandboxTokenMissing`."""
    await session.refresh(service, with_for_update=True)
    written = [each for each in service.classes if each in services.WRITTEN]
    is_lent = service.sandbox_prefix and (service.has_token or service.lent is not None)
    if kind is RunKind.FULL and written and not is_lent:
        raise SandboxTokenMissing(service=service.id, classes=", ".join(written))
    under_way = await _under_way(session, service.id)
    if under_way is not None:
        raise RunUnderWay(service=service.id, id=under_way)
    if by is not None:
        await _check_pace(session, service.id)
    run = ConformanceRun(
        id=uuid4(), service_id=service.id, kind=kind, state=RunState.QUEUED, broken=[],
        sandbox_url=service.sandbox_url, dataset=service.dataset, classes=service.classes,
        created_at=clock.now(), created_by=by,
    )  # fmt: skip
    session.add(run)
    await session.flush()
    await queue.enqueue(await Database.driver_of(session), queue.EXAMINE, run_id=str(run.id))
    await log.append(
        session, Event.CONFORMANCE_ASKED, service=str(service.id), run=str(run.id), kind=kind.value,
        sandbox=run.sandbox_url, by=by or "schedule",
    )  # fmt: skip
    return run


async def claim(session: AsyncSession, run_id: UUID) -> Work:
    """Be the one that makes the run. Raises `NotMine`."""
    run = await session.get(ConformanceRun, run_id, with_for_update=True)
    if run is None or run.ended_at is not None:
        raise NotMine
    run.state, run.attempt, run.started_at = RunState.RUNNING, uuid4(), clock.now()
    service = await session.get_one(ConformanceService, run.service_id)
    is_there = service.sandbox_url == run.sandbox_url  # what was lent is for one address
    work = Work(
        run.id, run.attempt, RunKind(run.kind), run.sandbox_url, run.dataset, tuple(run.classes),
        service_id=service.id, lent=service.lent if is_there else None,
        sealed_proof=service.sealed_proof if is_there else None,
    )  # fmt: skip
    # What may be written to is one dataset, and a nightly look never writes.
    if not is_there or service.dataset != run.dataset or work.kind is not RunKind.FULL:
        return work
    return replace(work, prefix=service.sandbox_prefix, sealed_token=service.sealed_token)


async def end(session: AsyncSession, work: Work, judged: Judged) -> ConformanceRun:
    """Write what the judge said. Raises `NotMine`."""
    run = await _mine(session, work)
    _keep(run, judged)
    await _end(session, run, RunState.PASSED if judged.passed else RunState.FAILED)
    return run


async def end_refused(
    session: AsyncSession, work: Work, refusal: AppError, judged: Judged | None = None
) -> ConformanceRun:
    """The sandbox could not be judged, or not to the end. Raises `NotMine`."""
    run = await _mine(session, work)
    if judged is not None:
        _keep(run, judged)
    _note_error(run, refusal)
    await _end(session, run, RunState.ERROR)
    return run


async def end_cancelled(session: AsyncSession, work: Work) -> None:
    """Somebody asked for its end. Raises `NotMine`."""
    await _end(session, await _mine(session, work), RunState.CANCELLED)


async def give_up(session: AsyncSession, run_id: UUID) -> None:
    """End a run by a fault of ours; nothing, where it has ended."""
    run = await session.get(ConformanceRun, run_id, with_for_update=True)
    if run is not None and run.ended_at is None:
        _note_error(run, RunGivenUp())
        await _end(session, run, RunState.ERROR)


async def end_lost(session: AsyncSession) -> None:
    """End what no worker makes any more."""
    lost = select(ConformanceRun.id).where(
        ConformanceRun.ended_at.is_(None), ConformanceRun.created_at < clock.now() - _LOST_AFTER
    )
    for run_id in (await session.scalars(lost)).all():
        await give_up(session, run_id)


async def cancel(session: AsyncSession, run: ConformanceRun, *, by: str) -> None:
    """Ask for a run's end; one that nobody makes yet ends now. Raises `RunEnded`."""
    if run.ended_at is not None:
        raise RunEnded(id=run.id, state=run.state)
    run.cancel_requested_at = run.cancel_requested_at or clock.now()
    await log.append(
        session, Event.CONFORMANCE_CANCELLED, service=str(run.service_id), run=str(run.id), by=by
    )
    if run.state == RunState.QUEUED:
        await _end(session, run, RunState.CANCELLED)


async def get(
    session: AsyncSession, run_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> ConformanceRun:
    """A run for a service of one of the owners (None: of anybody). Raises `RunNotFound`."""
    found = await session.get(ConformanceRun, run_id, with_for_update=lock or None)
    if found is None:
        raise RunNotFound(id=run_id)
    service = await session.get_one(ConformanceService, found.service_id)
    if owners is not None and service.organization_id not in owners:
        raise RunNotFound(id=run_id)
    return found


async def report_of(session: AsyncSession, run: ConformanceRun) -> bytes:
    """The report as it was kept. Raises `ReportNotThere`."""
    its = select(ConformanceRun.report).where(ConformanceRun.id == run.id)
    report: bytes | None = await session.scalar(its)
    if report is None:
        raise ReportNotThere(id=run.id, state=run.state)
    return report


async def list_runs(
    session: AsyncSession, owners: Sequence[str] | None, *, service_id: UUID | None = None,
    after: UUID | None = None, limit: int = 100,
) -> Sequence[ConformanceRun]:  # fmt: skip
    """The history, newest first; `after` is the last one of the page before."""
    statement = select(ConformanceRun)
    if owners is not None:
        ours = select(ConformanceService.id).where(ConformanceService.organization_id.in_(owners))
        statement = statement.where(ConformanceRun.service_id.in_(ours))
    if service_id is not None:
        statement = statement.where(ConformanceRun.service_id == service_id)
    last = await session.get(ConformanceRun, after) if after is not None else None
    if last is not None:
        place = tuple_(ConformanceRun.created_at, ConformanceRun.id)
        statement = statement.where(place < (last.created_at, last.id))
    newest = statement.order_by(ConformanceRun.created_at.desc(), ConformanceRun.id.desc())
    return (await session.scalars(newest.limit(limit))).all()


async def _under_way(session: AsyncSession, service_id: UUID) -> UUID | None:
    its = select(ConformanceRun.id).where(
        ConformanceRun.service_id == service_id, ConformanceRun.ended_at.is_(None)
    )
    found: UUID | None = await session.scalar(its)
    return found


async def _check_pace(session: AsyncSession, service_id: UUID) -> None:
    now = clock.now()
    its = select(ConformanceRun.created_at).where(
        ConformanceRun.service_id == service_id, ConformanceRun.created_by.is_not(None),
        ConformanceRun.created_at > now - _DAY,
    )  # fmt: skip
    newest = its.order_by(ConformanceRun.created_at.desc()).limit(MOST_A_DAY)
    lately = (await session.scalars(newest)).all()
    if len(lately) >= MOST_A_DAY:
        refusal = RunsTooMany(service=service_id, most=MOST_A_DAY)
        wait = lately[-1] + _DAY - now
        refusal.headers["Retry-After"] = str(int(wait.total_seconds()) + 1)
        raise refusal


async def _mine(session: AsyncSession, work: Work) -> ConformanceRun:
    run = await session.get(ConformanceRun, work.run_id, with_for_update=True)
    if run is None or run.attempt != work.attempt or run.ended_at is not None:
        raise NotMine
    return run


def _keep(run: ConformanceRun, judged: Judged) -> None:
    # What a sandbox said is kept for a person to read; an individual number in it is not.
    report = masked_json(judged.report)
    run.report, run.report_sha256 = report, hashlib.sha256(report).hexdigest()
    run.standard, run.profile, run.requests = judged.standard, judged.profile, judged.requests
    run.standard_until, run.broken = judged.standard_until, list(judged.broken)


def _note_error(run: ConformanceRun, refusal: AppError) -> None:
    run.error_code = refusal.code
    told = (refusal.words(language).replace("\x00", "\ufffd")[:1000] for language in ("ja", "en"))
    run.error_ja, run.error_en = told


async def _end(session: AsyncSession, run: ConformanceRun, state: RunState) -> None:
    run.state, run.ended_at = state, clock.now()
    await session.flush()
    await log.append(
        session, Event.CONFORMANCE_ENDED, service=str(run.service_id), run=str(run.id),
        kind=run.kind, state=state.value, broken=len(run.broken), report=run.report_sha256,
        error=run.error_code,
    )  # fmt: skip
