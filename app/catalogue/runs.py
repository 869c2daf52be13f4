"""Runs: a file on its way to becoming a version. Their state, their rejects, their end."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue import versions
from app.catalogue.refusals import (
    DatasetWithdrawn,
    NeverHosted,
    NoKey,
    NoVersion,
    RunEnded,
    RunNotFinished,
    RunNotFound,
)
from app.formats.guidance import Notice, guidance
from app.formats.told import as_told
from app.kit import clock
from app.models.datasets import (
    DataClass,
    Dataset,
    DatasetState,
    Reject,
    Run,
    RunState,
    Upload,
    Version,
    VersionState,
)

REJECTS_A_PAGE: Final = 1_000
FINAL: Final = frozenset({RunState.OK, RunState.DEGRADED, RunState.FAILED})
_CLAIM: Final = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:run, 0))")
_CLAIM_SECONDS: Final = 10.0


class RunCancelled(Exception):
    """The run is to stop; what it has made is rolled back."""


class RunHeld(Exception):
    """Another worker is making the run's version: look again later."""


def check_can_load(dataset: Dataset) -> None:
    """Refuse records of a dataset that is withdrawn or metadata only (特定個人情報)."""
    if dataset.data_class == DataClass.SPECIFIC_PERSONAL:
        raise NeverHosted(dataset=dataset.id)
    if dataset.state == DatasetState.WITHDRAWN:
        raise DatasetWithdrawn(id=dataset.id, reason=dataset.withdrawn_reason)


@dataclass(frozen=True, slots=True)
class How:
    """What is asked of a file beside loading it.

    `corrects`: the run whose rejected rows it holds. `told`: the publisher's word on how it is to
    be read (`app.formats.told.Told`). The rows of a `delta` take the place of those of the same
    key; all others stay.
    """

    corrects: UUID | None = None
    told: Mapping[str, Any] | None = None
    delta: bool = False
    mapping: Sequence[Mapping[str, Any]] | None = None


async def start(
    session: AsyncSession,
    dataset: Dataset,
    *,
    run_id: UUID,
    upload: tuple[UUID, int],
    how: How,
    by: str,
    via: str | None = None,
) -> Run:
    """Note a run for an upload (id, bytes). The caller enqueues its job in the same transaction.

    `via`: the client by which a person handed it in; None: nobody's but their own.
    """
    run = Run(
        id=run_id,
        dataset_id=dataset.id,
        upload_id=upload[0],
        corrects_run_id=how.corrects,
        delta=how.delta,
        told=as_told(**how.told) if how.told else None,
        mapping=[dict(step) for step in how.mapping] if how.mapping is not None else None,
        state=RunState.QUEUED,
        bytes_total=upload[1],
        bytes_done=0,
        rows_read=0,
        rows_accepted=0,
        rows_rejected=0,
        cells_repaired=0,
        notices=[],
        unchanged=False,
        created_at=clock.now(),
        created_by=by,
        created_via=via,
    )
    session.add(run)
    await log.append(session, Event.RUN_STARTED, dataset=dataset.id, run=str(run_id), by=by)
    return run


async def get(session: AsyncSession, run_id: UUID, *, lock: bool = False) -> Run:
    """One run. Raises `RunNotFound`."""
    found = await session.get(Run, run_id, with_for_update=lock or None)
    if found is None:
        raise RunNotFound(id=run_id)
    return found


async def check_takes_delta(session: AsyncSession, dataset: Dataset) -> None:
    """Refuse a delta where there is nothing, or no key, to put its rows behind."""
    if dataset.current_version is None:
        raise NoVersion(dataset=dataset.id)
    version = await session.get_one(Version, (dataset.id, dataset.current_version))
    if not any(field["key"] for field in version.fields):
        raise NoKey(dataset=dataset.id)


async def check_correctable(session: AsyncSession, run_id: UUID, dataset_id: str) -> Run:
    """The run whose rejected rows are sent again: finished, of this dataset, with a kept version."""
    run = await get(session, run_id)
    if run.dataset_id != dataset_id:
        raise RunNotFound(id=run_id)
    if run.version_number is None:
        raise RunNotFinished(id=run_id, state=run.state)
    # Locked until the correcting run is noted: retention then sees it.
    base = await session.get_one(
        Version, (dataset_id, run.version_number), with_for_update={"read": True}
    )
    versions.check_kept(base)
    return run


async def list_rejects(
    session: AsyncSession, run_id: UUID, *, after: int = 0, limit: int = REJECTS_A_PAGE
) -> Sequence[Reject]:
    """Rejected cells in the order of the file, one more than asked; `after` is a reject's id."""
    statement = select(Reject).where(Reject.run_id == run_id)
    if after:
        last = await session.get(Reject, after)
        if last is not None:
            place = tuple_(Reject.line, Reject.id)
            statement = statement.where(place > tuple_(literal(last.line), literal(last.id)))
    statement = statement.order_by(Reject.line, Reject.id).limit(limit + 1)
    return (await session.scalars(statement)).all()


async def labels(session: AsyncSession, run: Run) -> dict[str, str]:
    """By their names, what the fields that the run's file was read into are called."""
    version = None
    if run.version_number is not None:
        version = await session.get(Version, (run.dataset_id, run.version_number))
    dataset = await session.get_one(Dataset, run.dataset_id)
    fields = (version.fields if version else dataset.fields) or []
    guessed = {each["field"]: each["label"] for each in run.columns or []}
    return guessed | {each["name"]: each["label"] for each in fields}


def explained(reject: Reject, labels: Mapping[str, str]) -> dict[str, Any]:
    """A reject with its guidance, without the row it came from."""
    codes = [reject.code, *([reject.hint] if reject.hint else [])]
    return {
        "row": reject.row,
        "line": reject.line,
        "field": reject.field,
        "label": labels.get(reject.field) if reject.field else None,
        "code": reject.code,
        "value_class": reject.value_class,
        "hint": reject.hint,
        "guidance_ja": "".join(guidance(code, "ja") for code in codes),
        "guidance_en": " ".join(guidance(code, "en") for code in codes),
    }


async def claim(session: AsyncSession, run_id: UUID) -> None:
    """Be the only one to make this run's version until the transaction ends.

    A worker that was silent for too long is taken for dead, and may not be; nor may the
    transaction of one that is. Raises `RunEnded`, and `RunHeld` after ten seconds.
    """
    give_up_at = time.monotonic() + _CLAIM_SECONDS
    while not await session.scalar(_CLAIM, {"run": str(run_id)}):
        if time.monotonic() > give_up_at:
            raise RunHeld
        await asyncio.sleep(0.1)
    state = await session.scalar(select(Run.state).where(Run.id == run_id))
    if state in FINAL:
        raise RunEnded(id=run_id, state=state)


async def cancel(session: AsyncSession, run_id: UUID, *, by: str) -> Run:
    """Ask for a run's end: a queued one ends now, a running one when its worker hears of it.

    From then on it never gets a version. Raises `RunNotFound`, `RunEnded`.
    """
    # The load's own transaction may hold a share of the row; it has not taken the row itself yet.
    run = await session.get(
        Run, run_id, populate_existing=True, with_for_update={"key_share": True}
    )
    if run is None:
        raise RunNotFound(id=run_id)
    if run.state in FINAL:
        raise RunEnded(id=run_id, state=run.state)
    if run.cancel_requested_at is None:
        run.cancel_requested_at = clock.now()
        await log.append(
            session, Event.RUN_CANCEL_ASKED, dataset=run.dataset_id, run=str(run_id), by=by
        )
    if run.state == RunState.QUEUED:
        await end_cancelled(session, run)
    return run


async def end_cancelled(session: AsyncSession, run: Run) -> None:
    """End a run that somebody has cancelled."""
    await fail(session, run, "cancelled", "取込は取り消されました。", "The load was cancelled.")


async def fail(session: AsyncSession, run: Run, code: str, ja: str, en: str) -> None:
    """End a run without a version; one that has ended stays as it is."""
    if run.state in FINAL:
        return
    run.state = RunState.FAILED
    run.error_code, run.error_ja, run.error_en = code, ja, en
    run.finished_at = clock.now()
    run.phase = None
    await log.append(
        session, Event.RUN_FINISHED, dataset=run.dataset_id, run=str(run.id), state=run.state,
        error=code,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a run has loaded. `extent` is west, south, east, north in degrees."""

    table_name: str
    fields: list[dict[str, Any]]
    rows: int
    extent: tuple[float | None, float | None, float | None, float | None]
    mapping: list[dict[str, Any]] | None = None  # by which a later file of the kind is read alike
    read_as: str | None = None


async def finish(session: AsyncSession, run: Run, loaded: Loaded) -> Version:
    """Write the version that a run has loaded, with the next number of its dataset."""
    await session.get_one(Dataset, run.dataset_id, with_for_update=True)
    highest = await session.scalar(
        select(func.max(Version.number)).where(Version.dataset_id == run.dataset_id)
    )
    now = clock.now()
    west, south, east, north = loaded.extent
    version = Version(
        dataset_id=run.dataset_id,
        number=(highest or 0) + 1,
        state=VersionState.LOADED,
        revision=0,
        table_name=loaded.table_name,
        fields=loaded.fields,
        mapping=loaded.mapping,
        read_as=loaded.read_as,
        row_count=loaded.rows,
        west=west,
        south=south,
        east=east,
        north=north,
        source_sha256=await _sha256(session, run),
        run_id=run.id,
        created_at=now,
        changed_at=now,
    )
    session.add(version)
    await _end(session, run, version.number)
    return version


async def finish_unchanged(session: AsyncSession, run: Run, version: Version) -> None:
    """End a run whose file a version holds already: no new version."""
    if run.state in FINAL:
        return
    run.unchanged = True
    same = Notice("file_unchanged", {"version": version.number, "run": str(version.run_id)})
    run.notices = [same.as_json()]
    await _end(session, run, version.number)


async def _end(session: AsyncSession, run: Run, version_number: int) -> None:
    if run.cancel_requested_at is not None:
        raise RunCancelled
    run.state = RunState.DEGRADED if run.rows_rejected else RunState.OK
    run.version_number = version_number
    run.bytes_done = run.bytes_total
    run.finished_at = clock.now()
    run.phase = None
    await log.append(
        session, Event.RUN_FINISHED, dataset=run.dataset_id, run=str(run.id), state=run.state,
        version=version_number, rows=run.rows_accepted, rejected=run.rows_rejected,
    )  # fmt: skip


async def _sha256(session: AsyncSession, run: Run) -> str | None:
    upload = await session.get_one(Upload, run.upload_id)
    return upload.sha256
