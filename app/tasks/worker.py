"""The worker: takes jobs from the queue until it is told to stop. Serves no request."""

import asyncio
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
import structlog
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job, Schedule
from sqlalchemy.exc import DBAPIError

from app.catalogue import runs
from app.conformance import runs as official
from app.findings.deliveries import deliver
from app.findings.sending import Messenger
from app.jobs.queue import ALERTS, CHANGED, EXAMINE, FILES, HARVEST, LOAD, MOVING, NOTIFY
from app.kit.db import SESSION_SETTINGS, Database, DatabaseUnavailable, plain_dsn
from app.kit.errors import AppError
from app.kit.folders import sweep
from app.kit.key_places import SecretKeyUnusable
from app.kit.store import Store, StoreUnusable
from app.moving import requests as exports
from app.subscriptions.notices import call_for
from app.subscriptions.notices import keep_up as notify_due
from app.tasks.alerts import watch_log
from app.tasks.attempt import attempt
from app.tasks.examine import Examiner
from app.tasks.files import keep_up, make_files
from app.tasks.harvest import Harvester, Later, give_up, settle
from app.tasks.keep_log import keep_log
from app.tasks.measure import measure
from app.tasks.notices import give_notices
from app.tasks.notify import Notifier
from app.tasks.owner_export import Mover, keep_exports, make_export
from app.tasks.stream import Streamer
from app.tasks.tidy import tidy
from app.tasks.words import keep_words

log = structlog.get_logger()
_MOST_TRIES: Final = 5
_MOST_WAITS: Final = 200  # of a harvest: for another one, for its source, for the database
# How long a job's worker may be silent before another takes the job over.
_HEARTBEAT: Final = timedelta(seconds=10)
_LOOK: Final = timedelta(seconds=5)  # for jobs that nobody has told of
_LAST_SECONDS: Final = 5.0  # for what was cut off to end
_HELD_AGAIN: Final = timedelta(seconds=5)
_LOOKED_AGAIN: Final = timedelta(minutes=1)  # how often the rules' turn calls for what is due
_PASSING = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError,
            asyncpg.OperatorInterventionError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError,
            DatabaseUnavailable, DBAPIError, StoreUnusable, SecretKeyUnusable)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Crew:
    """What a worker can do beside loads and what every worker does; without one, others do that.

    `store`: the making of files; with a `mover`, owner exports too. `messenger`: the looking for
    findings and telling of them. `harvester`: harvests of connectors; `streamer`: the listening to
    their sources. `examiner`: official runs. `notifier`: the telling of subscribers.
    `certificate_until`: when the listener's certificate ends, where known.
    """

    store: Store | None = None
    messenger: Messenger | None = None
    harvester: Harvester | None = None
    streamer: Streamer | None = None
    examiner: Examiner | None = None
    mover: Mover | None = None
    notifier: Notifier | None = None
    certificate_until: datetime | None = None


ALONE: Final = Crew()


async def work(
    database: Database, stop: asyncio.Event, crew: Crew = ALONE, *,
    heartbeat: timedelta = _HEARTBEAT,
) -> None:  # fmt: skip
    """Take jobs until `stop` is set; a running job is finished first.

    A job whose worker has been silent for `heartbeat` is taken over.
    Raises `ConnectionError` when the queue's connection is lost: the queue itself would wait on a
    dead one for ever.
    """
    await asyncio.to_thread(sweep)
    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        plain_dsn(database.url), server_settings=SESSION_SETTINGS
    )
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _connection: lost.set())
    queue = _queue(database, connection)
    _enlist(queue, database, crew)
    running = asyncio.create_task(
        queue.run(dequeue_timeout=min(_LOOK, heartbeat), batch_size=2, heartbeat_timeout=heartbeat)
    )
    told, cut = asyncio.create_task(stop.wait()), asyncio.create_task(lost.wait())
    listening = asyncio.create_task(crew.streamer.run()) if crew.streamer is not None else None
    try:
        await asyncio.wait({running, told, cut}, return_when=asyncio.FIRST_COMPLETED)
        queue.shutdown.set()
        await asyncio.wait({running, cut}, return_when=asyncio.FIRST_COMPLETED)
        if lost.is_set():
            raise ConnectionError("the queue's connection was lost")
        await running
    finally:
        tasks = [task for task in (running, told, cut, listening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_LAST_SECONDS)
        await connection.close(timeout=2)


def _enlist(queue: PgQueuer, database: Database, crew: Crew) -> None:
    if crew.store is not None:
        _make_files_too(queue, database, crew.store)
    if crew.messenger is not None:
        _tell_too(queue, database, crew.messenger, crew.certificate_until)
    if crew.harvester is not None:
        _harvest_too(queue, crew.harvester)
    if crew.examiner is not None:
        _examine_too(queue, crew.examiner)
    if crew.mover is not None and crew.store is not None:
        _move_too(queue, crew.mover, crew.store)
    if crew.notifier is not None:
        _notify_too(queue, crew.notifier)


def _queue(database: Database, connection: "asyncpg.Connection[Any]") -> PgQueuer:
    """The jobs that a worker knows."""
    queue = PgQueuer(AsyncpgDriver(connection))

    @queue.entrypoint(LOAD, concurrency_limit=2)
    async def run_load(job: Job) -> None:
        await _try_load(database, job)

    @queue.schedule("tidy", "*/10 * * * *")
    async def run_tidy(_schedule: Schedule) -> None:
        await tidy(database)

    @queue.schedule("measure", "*/10 * * * *")
    async def run_measure(_schedule: Schedule) -> None:
        await measure(database)

    @queue.schedule("notices", "20 * * * *")
    async def run_notices(_schedule: Schedule) -> None:
        await give_notices(database)

    @queue.schedule("words", "* * * * *")
    async def run_words(_schedule: Schedule) -> None:
        await _unless_stopped(queue, keep_words(database))

    @queue.schedule("log", "* * * * *")
    async def run_log(_schedule: Schedule) -> None:
        await _unless_stopped(queue, keep_log(database))

    return queue


def _tell_too(
    queue: PgQueuer, database: Database, messenger: Messenger, certificate_until: datetime | None
) -> None:
    """The jobs of a worker that looks for findings and tells of them."""

    @queue.schedule("alerts", "* * * * *")
    async def run_alerts(_schedule: Schedule) -> None:
        await _unless_stopped(queue, watch_log(database, certificate_until))

    @queue.entrypoint(ALERTS, concurrency_limit=4)
    async def run_deliver(job: Job) -> None:
        channel = UUID(orjson.loads(job.payload or b"{}")["channel"])
        try:
            wait = await deliver(database, messenger, channel)
        except _PASSING as exc:
            raise RetryRequested(_HELD_AGAIN) from exc
        if wait is not None and wait < _LOOKED_AGAIN:
            raise RetryRequested(wait)


def _make_files_too(queue: PgQueuer, database: Database, store: Store) -> None:
    """The jobs of a worker that has a store."""

    @queue.entrypoint(
        FILES, concurrency_limit=2
    )  # over all workers: a large making holds up no small one
    async def run_files(job: Job) -> None:
        told = orjson.loads(job.payload or b"{}")
        making = make_files(database, store, told["dataset"], told["version"])
        try:
            if not await _unless_stopped(queue, making):
                raise RetryRequested(timedelta(0))
        except _PASSING as exc:
            log.warning("files.interrupted", **told, error=type(exc).__name__, why=_why(exc))
            if job.attempts + 1 < _MOST_TRIES:
                raise RetryRequested(timedelta(seconds=2 ** (job.attempts + 1))) from exc

    @queue.schedule("files", "*/5 * * * *")
    async def run_keep_up(_schedule: Schedule) -> None:
        await _unless_stopped(queue, keep_up(database, store))


def _harvest_too(queue: PgQueuer, harvester: Harvester) -> None:
    """The jobs of a worker that asks sources."""

    # Most of the time they wait for a source: a slow one is to hold up no other.
    @queue.entrypoint(HARVEST, concurrency_limit=16)
    async def run_harvest(job: Job) -> None:
        await _try_harvest(queue, harvester, job)

    @queue.schedule("harvests", "* * * * *")
    async def run_due(_schedule: Schedule) -> None:
        await _unless_stopped(queue, harvester.begin_due())


async def _try_harvest(queue: PgQueuer, harvester: Harvester, job: Job) -> None:
    harvest_id = UUID(orjson.loads(job.payload or b"{}")["harvest_id"])
    try:
        if not await _unless_stopped(queue, harvester.harvest(harvest_id)):
            raise RetryRequested(timedelta(0))
    except RetryRequested:
        raise
    except Later as later:
        raise RetryRequested(later.after) from later
    except _PASSING as exc:
        told = {"harvest": str(harvest_id), "error": type(exc).__name__}
        log.warning("harvest.interrupted", **told, why=_why(exc))
        if job.attempts < _MOST_WAITS:
            raise RetryRequested(_HELD_AGAIN) from exc
        await give_up(harvester.database, harvest_id)
    except Exception as exc:  # noqa: BLE001
        # The outermost loop of the worker: a fault of a kind, which may be anybody's, ends this
        # harvest and not the others. Its words may hold a row or a secret.
        log.error("harvest.failed", harvest=str(harvest_id), error=type(exc).__name__)
        await give_up(harvester.database, harvest_id)


def _examine_too(queue: PgQueuer, examiner: Examiner) -> None:
    """The jobs of a worker that has the judge."""

    @queue.entrypoint(EXAMINE, concurrency_limit=4)  # each may hold a sandbox's records
    async def run_examine(job: Job) -> None:
        await _try_examine(queue, examiner, job)

    @queue.schedule("recheck", "40 18 * * *")  # 03:40 in Japan
    async def run_nightly(_schedule: Schedule) -> None:
        await _unless_stopped(queue, examiner.nightly())

    @queue.schedule("lost_runs", "*/10 * * * *")
    async def run_lost(_schedule: Schedule) -> None:
        await _unless_stopped(queue, examiner.end_lost())


def _notify_too(queue: PgQueuer, notifier: Notifier) -> None:
    """The jobs of a worker that tells subscribers of changes."""

    @queue.entrypoint(CHANGED, concurrency_limit=4)
    async def run_changed(job: Job) -> None:
        try:
            await call_for(notifier.database, orjson.loads(job.payload or b"{}")["dataset"])
        except _PASSING as exc:
            raise RetryRequested(_HELD_AGAIN) from exc

    # Most of the time they wait for a receiver: a slow one is to hold up no other.
    @queue.entrypoint(NOTIFY, concurrency_limit=32)
    async def run_notify(job: Job) -> None:
        try:
            wait = await notifier.notify(orjson.loads(job.payload or b"{}")["subscription"])
        except _PASSING as exc:
            raise RetryRequested(_HELD_AGAIN) from exc
        if wait is not None and wait < _LOOKED_AGAIN:
            raise RetryRequested(wait)

    @queue.schedule("subscriptions", "* * * * *")
    async def run_due(_schedule: Schedule) -> None:
        await _unless_stopped(queue, notify_due(notifier.database))


async def _try_examine(queue: PgQueuer, examiner: Examiner, job: Job) -> None:
    run_id = UUID(orjson.loads(job.payload or b"{}")["run_id"])
    try:
        if not await _unless_stopped(queue, examiner.examine(run_id)):
            raise RetryRequested(timedelta(0))
    except RetryRequested:
        raise
    except _PASSING as exc:
        told = {"run": str(run_id), "error": type(exc).__name__}
        log.warning("examination.interrupted", **told, why=_why(exc))
        if job.attempts + 1 < _MOST_TRIES:
            raise RetryRequested(_HELD_AGAIN) from exc
        await _give_up_official(examiner, run_id)
    except Exception as exc:  # noqa: BLE001
        # The outermost loop of the worker. What a sandbox said is in its words.
        log.error("examination.failed", run=str(run_id), error=type(exc).__name__)
        await _give_up_official(examiner, run_id)


def _move_too(queue: PgQueuer, mover: Mover, store: Store) -> None:
    """The jobs of a worker that makes owner exports."""

    @queue.entrypoint(MOVING, concurrency_limit=1)  # each reads all that somebody has
    async def run_export(job: Job) -> None:
        await _try_export(queue, mover, store, job)

    @queue.schedule("exports", "*/10 * * * *")
    async def run_keep_exports(_schedule: Schedule) -> None:
        await _unless_stopped(queue, keep_exports(mover.database, store))


async def _try_export(queue: PgQueuer, mover: Mover, store: Store, job: Job) -> None:
    export_id = UUID(orjson.loads(job.payload or b"{}")["export_id"])
    try:
        if not await _unless_stopped(queue, make_export(mover, store, export_id)):
            raise RetryRequested(timedelta(0))
    except RetryRequested:
        raise
    except (*_PASSING, asyncpg.UndefinedTableError) as exc:  # a version was let go meanwhile
        log.warning(
            "export.interrupted", export=str(export_id), error=type(exc).__name__, why=_why(exc)
        )
        if job.attempts + 1 < _MOST_TRIES:
            raise RetryRequested(_HELD_AGAIN) from exc
        await _give_up_export(mover, export_id)
    except Exception as exc:  # noqa: BLE001
        # The outermost loop of the worker. Its words may hold a row.
        log.error("export.failed", export=str(export_id), error=type(exc).__name__)
        await _give_up_export(mover, export_id)


async def _give_up_export(mover: Mover, export_id: UUID) -> None:
    async with mover.database.writing() as session:
        await exports.give_up(session, export_id)


async def _give_up_official(examiner: Examiner, run_id: UUID) -> None:
    async with examiner.database.writing() as session:
        await official.give_up(session, run_id)


async def _unless_stopped(queue: PgQueuer, work: Coroutine[Any, Any, None]) -> bool:
    """Do what can be begun again at any time; False where the worker was told to stop before."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(queue.shutdown.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        is_done = doing.done()
    finally:
        doing.cancel()
        stopping.cancel()
        await asyncio.wait({doing})
    if is_done:
        doing.result()
    return is_done


def _why(exc: Exception) -> str | None:
    """What an operator can do about it, where that is known. Other errors may hold a row."""
    if isinstance(exc, AppError):
        return exc.words("en")
    return exc.strerror if isinstance(exc, OSError) else None


async def _try_load(database: Database, job: Job) -> None:
    run_id = UUID(orjson.loads(job.payload or b"{}")["run_id"])
    try:
        await attempt(database, run_id)
        await settle(database, run_id)
    except runs.RunHeld as exc:
        raise RetryRequested(_HELD_AGAIN) from exc
    except _PASSING as exc:
        log.warning("load.interrupted", run=str(run_id), error=type(exc).__name__, why=_why(exc))
        if job.attempts + 1 < _MOST_TRIES:
            raise RetryRequested(timedelta(seconds=2 ** (job.attempts + 1))) from exc
        await _give_up(database, run_id)
    except Exception:
        # The outermost loop of the worker: a fault of ours ends this run, not the others.
        log.exception("load.failed", run=str(run_id))
        await _give_up(database, run_id)


async def _give_up(database: Database, run_id: UUID) -> None:
    async with database.writing() as session:
        run = await runs.get(session, run_id, lock=True)
        await runs.fail(
            session,
            run,
            "internal_error",
            "内部エラーのため取込を中止しました。運営者に取込番号を伝えてください。",
            "The load was given up after an internal error. Tell the operator the run's id.",
        )
    await settle(database, run_id)


async def work_for_ever(
    database: Database, crew: Crew = ALONE, *, reconnect_seconds: float = 2,
    heartbeat: timedelta = _HEARTBEAT,
) -> None:  # fmt: skip
    """Work until SIGTERM or SIGINT, over every loss of the database."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    while not stop.is_set():
        try:
            await work(database, stop, crew, heartbeat=heartbeat)
        except _PASSING as exc:
            log.warning("worker.lost_database", error=type(exc).__name__)
            await asyncio.sleep(reconnect_seconds)
