"""`urbanos load`: a file into a dataset, by the same run and queue as an upload over HTTP."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4

import typer

from app.cli.shell import Shell, members, run
from app.cli.words import Json, language, said, show_json
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from rich.progress import Progress

    from app.catalogue.runs import How
    from app.kit.db import Database
    from app.models.datasets import Run

_FINAL: Final = frozenset({"ok", "degraded", "failed"})
_SHOWN_REJECTS: Final = 5
_POLL_S: Final = 0.1


_STATES: Final = {
    "queued": ("待機中", "queued"),
    "running": ("取込中", "running"),
    "ok": ("受理", "accepted"),
    "degraded": ("一部受理", "partly accepted"),
    "failed": ("失敗", "failed"),
}


@dataclass(frozen=True, slots=True)
class _Done:
    """How a load went. `guessed`: the fields, where nobody declared them."""

    run: "Run"
    rejects: list[dict[str, Any]] = field(default_factory=list)
    guessed: list[dict[str, Any]] = field(default_factory=list)
    published: bool = False


class NotPublished(AppError):
    """Nobody declared the fields and the file names none: readers would get 列1, 列2, …"""

    kind = Kind.INVALID
    code = "not_published_without_header"
    ja = (
        "版 {number} は取り込みましたが、公開していません。項目が宣言されておらず、ファイルに見出しが"
        "ないため、項目名が「列1」…になります。見出し行を付けるか、fields を書いて登録し直した"
        "データセットに取り込んでください。このまま公開する場合: urbanos dataset publish {dataset}"
    )
    en = (
        "Version {number} was loaded but not published: no fields are declared and the file has no "
        "header, so the fields would be called 列1, 列2, …. Register the dataset anew, with `fields` "
        "or for a file with a header line, and load it there. To publish it as it is: "
        "urbanos dataset publish {dataset}"
    )


class RunFailed(AppError):
    """The run ended without a version."""

    kind = Kind.INVALID
    code = "run_failed"
    ja = "取込 {run} は失敗しました（{error}）: {why_ja}"
    en = "The run {run} failed ({error}): {why_en}"


def load(  # noqa: PLR0913, PLR0917 - each is an option of the command
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    dataset: Annotated[str, typer.Option()],
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish what was loaded; waits")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended")] = False,
    corrects: Annotated[
        UUID | None, typer.Option(help="Run whose rejected rows this file holds, corrected")
    ] = None,
    delta: Annotated[
        bool, typer.Option("--delta", help="Only new and changed rows, by key; the others stay")
    ] = False,
    table: Annotated[
        str | None, typer.Option(help="Sheet, layer or member of the file: its name or number")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding, where it is in doubt")] = None,
    crs: Annotated[
        str | None, typer.Option(help="CRS of coordinates, where the file does not say: EPSG:6674")
    ] = None,
    as_json: Json = False,
) -> None:
    """Load a file as a new version of a dataset. ファイルをデータセットの新しい版として取り込む。"""
    waits = wait or publish
    from app.catalogue.runs import How  # noqa: PLC0415

    told = {"table": table, "encoding": encoding, "crs": crs}
    how = How(corrects=corrects, told=told, delta=delta)

    async def act(shell: Shell) -> _Done:
        run_id = await hand_in(
            shell.database, dataset, file, how=how, by=shell.by,
            most=shell.settings.max_upload_bytes,
        )  # fmt: skip
        if not waits:
            return _Done(await _run_of(shell.database, run_id))
        # There may be no other worker; two take nothing away from each other.
        async with working(shell.database):
            ended = await follow(shell.database, run_id, quiet=as_json)
        guessed = await _guessed_fields(shell.database, ended)
        publishes = publish and ended.state != "failed" and not (guessed and _is_nameless(ended))
        if publishes:
            await publish_run(shell.database, ended, by=shell.by)
        return _Done(ended, await first_rejects(shell.database, run_id), guessed, publishes)

    done = run(act)
    ended = done.run
    if as_json:
        show_json({**members(ended, "header"), "first_rejects": done.rejects})
    else:
        report(ended, done.rejects, done.guessed)
    if publish and not done.published and ended.state != "failed":
        raise NotPublished(dataset=dataset, number=ended.version_number)
    if ended.state == "failed":
        raise RunFailed(
            run=ended.id, error=ended.error_code, why_ja=ended.error_ja, why_en=ended.error_en
        )


async def hand_in(
    database: "Database",
    dataset_id: str,
    file: Path,
    *,
    how: "How",
    by: str,
    most: int,
) -> UUID:
    """Store a file and enqueue its run, in one commit. Returns the run's id."""
    from app.catalogue import datasets, runs  # noqa: PLC0415
    from app.jobs import queue  # noqa: PLC0415
    from app.tables import uploads  # noqa: PLC0415

    upload_id, run_id = uuid4(), uuid4()
    async with database.reading() as session:
        dataset = await datasets.get(session, dataset_id)
        runs.check_can_load(dataset)
        if how.delta:
            await runs.check_takes_delta(session, dataset)
        if how.corrects is not None:
            await runs.check_correctable(session, how.corrects, dataset_id)
    _, size = await uploads.store(
        database.pool, upload_id, _pieces(file), filename=file.name[:255], most=most
    )
    async with database.writing() as session:
        found = await datasets.get(session, dataset_id)
        driver = await database.driver_of(session)
        await runs.start(
            session,
            found,
            run_id=run_id,
            upload=(upload_id, size),
            how=how,
            by=by,
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


async def _guessed_fields(database: "Database", ended: "Run") -> list[dict[str, Any]]:
    """The fields of a run's version where nobody declared them."""
    from app.catalogue import datasets, versions  # noqa: PLC0415

    async with database.reading() as session:
        found = await datasets.get(session, ended.dataset_id)
        if found.fields is not None or ended.version_number is None:
            return []
        return (await versions.get(session, ended.dataset_id, ended.version_number)).fields


def _is_nameless(ended: "Run") -> bool:
    return any(each["code"] == "no_header" for each in ended.notices)


async def first_rejects(database: "Database", run_id: UUID) -> list[dict[str, Any]]:
    """Some of a run's rejected cells, with what to do about them."""
    from app.catalogue import runs  # noqa: PLC0415

    async with database.reading() as session:
        found = await runs.list_rejects(session, run_id, limit=_SHOWN_REJECTS)
        labels = await runs.labels(session, await runs.get(session, run_id))
        return [runs.explained(each, labels) for each in found[:_SHOWN_REJECTS]]


def report(
    ended: "Run", rejects: list[dict[str, Any]], guessed: Sequence[dict[str, Any]] = ()
) -> None:
    """How a run ended, for people."""
    typer.echo(
        said(
            f"取込 {ended.id}: {_STATES[ended.state][0]}。読込 {ended.rows_read:,} 行、"
            f"受付 {ended.rows_accepted:,}、不備 {ended.rows_rejected:,}、"
            f"補正 {ended.cells_repaired:,} セル（{ended.encoding or ended.format or '-'}）",
            f"Run {ended.id}: {_STATES[ended.state][1]}. {_counted(ended.rows_read, 'row')} read, "
            f"{ended.rows_accepted:,} accepted, {ended.rows_rejected:,} rejected, "
            f"{_counted(ended.cells_repaired, 'cell')} repaired ({ended.encoding or ended.format or '-'})",
        )
    )
    for each in ended.notices:
        typer.echo(f"  {each[language()]}")
    if guessed:
        _tell_fields(guessed)
    for each in rejects:
        guidance = each[f"guidance_{language()}"]
        typer.echo(
            said(
                f"  {each['line']} 行目 {each['label'] or ''} {each['code']}: {guidance}",
                f"  line {each['line']} {each['field'] or ''} {each['code']}: {guidance}",
            )
        )


def _tell_fields(guessed: Sequence[dict[str, Any]]) -> None:
    from app.formats.guidance import type_words  # noqa: PLC0415

    told = [
        (each["label"], each["name"], type_words(each["type"], language()))
        + ((said("キー", "key"),) if each["key"] else ())
        for each in guessed
    ]
    typer.echo(said("  項目（ファイルから推定）:", "  Fields (guessed from the file):"))
    for label, *rest in told:
        typer.echo(f"    {label} ({', '.join(rest)})")


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
