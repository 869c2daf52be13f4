"""`urbanos load`: a file into a dataset, by the same run and queue as an upload over HTTP."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4

import typer

from app.cli.shell import Shell, members, run
from app.cli.words import Json, language, note, said, show_json
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from rich.progress import Progress

    from app.kit.db import Database
    from app.models.datasets import Run

_FINAL: Final = frozenset({"ok", "degraded", "failed"})
_SHOWN_REJECTS: Final = 5
_POLL_S: Final = 0.1


class RunFailed(AppError):
    """The run ended without a version."""

    kind = Kind.INVALID
    code = "run_failed"
    ja = "取込 {run} は失敗しました（{error}）: {why_ja}"
    en = "The run {run} failed ({error}): {why_en}"


def load(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    dataset: Annotated[str, typer.Option()],
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish what was loaded; waits")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended")] = False,
    corrects: Annotated[
        UUID | None, typer.Option(help="Run whose rejected rows this file holds, corrected")
    ] = None,
    as_json: Json = False,
) -> None:
    """Load a file as a new version of a dataset. ファイルをデータセットの新しい版として取り込む。"""
    waits = wait or publish

    async def act(shell: Shell) -> tuple["Run", list[dict[str, Any]]]:
        run_id = await hand_in(
            shell.database, dataset, file, corrects=corrects, by=shell.by,
            most=shell.settings.max_upload_bytes,
        )  # fmt: skip
        if not waits:
            return await _run_of(shell.database, run_id), []
        # There may be no other worker; two take nothing away from each other.
        async with working(shell.database):
            ended = await follow(shell.database, run_id, quiet=as_json)
        if publish and ended.state != "failed":
            await publish_run(shell.database, ended, by=shell.by)
        return ended, await first_rejects(shell.database, run_id)

    ended, rejects = run(act)
    if as_json:
        show_json({**members(ended, "header"), "first_rejects": rejects})
    else:
        report(ended, rejects)
    if ended.state == "failed":
        raise RunFailed(
            run=ended.id, error=ended.error_code, why_ja=ended.error_ja, why_en=ended.error_en
        )


async def hand_in(
    database: "Database", dataset_id: str, file: Path, *, corrects: UUID | None, by: str, most: int
) -> UUID:
    """Store a file and enqueue its run, in one commit. Returns the run's id."""
    from app.catalogue import datasets, runs  # noqa: PLC0415
    from app.jobs import queue  # noqa: PLC0415
    from app.tables import uploads  # noqa: PLC0415

    upload_id, run_id = uuid4(), uuid4()
    async with database.writing() as session:
        found = await datasets.get(session, dataset_id)
        runs.check_can_load(found)
        if corrects is not None:
            await runs.check_correctable(session, corrects, dataset_id)
        driver = await database.driver_of(session)
        _, size = await uploads.store(
            driver, upload_id, _pieces(file), filename=file.name[:255], most=most
        )
        await runs.start(
            session, found, run_id=run_id, upload=(upload_id, size), corrects=corrects, by=by
        )
        await queue.enqueue(driver, queue.LOAD, run_id=str(run_id))
    return run_id


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            yield piece


@asynccontextmanager
async def working(database: "Database") -> AsyncIterator[None]:
    """Take jobs from the queue meanwhile, ours and others'."""
    from app.tasks.worker import work  # noqa: PLC0415

    stop = asyncio.Event()
    task = asyncio.create_task(work(database, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def follow(database: "Database", run_id: UUID, *, quiet: bool) -> "Run":
    """Wait until the run has ended, with a progress bar where somebody watches."""
    if quiet or not sys.stderr.isatty():
        return await _until_ended(database, run_id, lambda _: None)
    with _bar() as progress:
        task = progress.add_task(said("待機中", "waiting"), total=1)

        def told(now: "Run") -> None:
            progress.update(
                task,
                total=max(1, now.bytes_total),
                completed=now.bytes_total if now.state in _FINAL else now.bytes_done,
                description=now.phase or now.state,
                rows=f"{now.rows_read:,}",
            )

        return await _until_ended(database, run_id, told)


def _bar() -> "Progress":
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rows]}" + said(" 行", " rows")),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


async def _until_ended(database: "Database", run_id: UUID, told: Callable[["Run"], None]) -> "Run":
    while True:
        now = await _run_of(database, run_id)
        told(now)
        if now.state in _FINAL:
            return now
        await asyncio.sleep(_POLL_S)


async def _run_of(database: "Database", run_id: UUID) -> "Run":
    from app.catalogue import runs  # noqa: PLC0415

    async with database.reading() as session:
        return await runs.get(session, run_id)


async def publish_run(database: "Database", ended: "Run", *, by: str) -> None:
    """Make the version of a run the one that readers get."""
    from app.catalogue import datasets, versions  # noqa: PLC0415

    async with database.writing() as session:
        found = await datasets.get(session, ended.dataset_id, lock=True)
        version = await versions.get(session, ended.dataset_id, ended.version_number or 0)
        await versions.publish(session, found, version, by=by)


async def first_rejects(database: "Database", run_id: UUID) -> list[dict[str, Any]]:
    """Some of a run's rejected cells, with what to do about them."""
    from app.catalogue import runs  # noqa: PLC0415

    async with database.reading() as session:
        found = await runs.list_rejects(session, run_id, limit=_SHOWN_REJECTS)
        return [runs.explained(each) for each in found[:_SHOWN_REJECTS]]


def report(ended: "Run", rejects: list[dict[str, Any]]) -> None:
    """How a run ended, for people."""
    typer.echo(
        said(
            f"取込 {ended.id}: {ended.state}。読込 {ended.rows_read:,} 行、"
            f"受付 {ended.rows_accepted:,}、不備 {ended.rows_rejected:,}、"
            f"補正 {ended.cells_repaired:,} セル（{ended.encoding or '-'}）",
            f"Run {ended.id}: {ended.state}. {ended.rows_read:,} rows read, "
            f"{ended.rows_accepted:,} accepted, {ended.rows_rejected:,} rejected, "
            f"{ended.cells_repaired:,} cells repaired ({ended.encoding or '-'})",
        )
    )
    if ended.unchanged:
        note("同じ内容のファイルです。新しい版は作りません。", "The same file: no new version.")
    for each in rejects:
        guidance = each[f"guidance_{language()}"]
        typer.echo(
            said(
                f"  {each['line']} 行目 {each['field'] or ''} {each['code']}: {guidance}",
                f"  line {each['line']} {each['field'] or ''} {each['code']}: {guidance}",
            )
        )
