"""`urbanos audit`: is the log as it was written, a file that lets others see it, and how long it is
kept. Changes nothing but that period."""

import os
import stat
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from app.cli.shell import Shell, members, run
from app.cli.words import Json, note, said, show_json, show_one

if TYPE_CHECKING:
    from app.audit.checkpoints import Signed
    from app.audit.verify import Verdict

app = typer.Typer(no_args_is_help=True, help="The audit log. 監査ログ。")
CHECK_FAILED = 4


@app.command("verify")
def verify_log(as_json: Json = False) -> None:
    """Walk the hash chain; exit 4 with the first broken entry. ハッシュ連鎖を検証する。"""

    async def act(shell: Shell) -> "Verdict":
        from app.audit.verify import verify  # noqa: PLC0415

        return await verify(shell.database.pool)

    found = run(act)
    if as_json:
        show_json({
            "entries": found.entries, "is_whole": found.is_whole,
            "broken_at": found.broken_at, "reason": found.reason, "dropped": found.dropped,
        })  # fmt: skip
    elif found.is_whole:
        typer.echo(_whole(found))
    else:
        typer.echo(
            said(
                f"{found.broken_at} 番目の記録に異常があります（{found.reason}）。",
                f"The log is broken at entry {found.broken_at} ({found.reason}).",
            )
        )
    if not found.is_whole:
        raise typer.Exit(CHECK_FAILED)


def _whole(found: "Verdict") -> str:
    if not found.dropped:
        return said(
            f"{found.entries} 件すべて正常です。", f"All {found.entries} entries are whole."
        )
    return said(
        f"{found.entries} 件すべて正常です（うち最初の {found.dropped} 件は保存期間を過ぎたためハッシュのみ）。",
        f"All {found.entries} entries are whole; of the first {found.dropped}, let go after their"
        " period, the hashes.",
    )


@app.command("retention")
def show_retention(
    keep_days: Annotated[
        int | None, typer.Option(min=365, max=36_500, help="Keep entries so long. 保存日数")
    ] = None,
    keep_all: Annotated[bool, typer.Option("--keep-all", help="For ever. 無期限")] = False,
    as_json: Json = False,
) -> None:
    """Show or set how long entries are kept. 記録の保存期間を表示・設定する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.audit import retention  # noqa: PLC0415

        if keep_days is None and not keep_all:
            async with shell.database.reading() as session:
                return members(await retention.find(session), "id", "hash")
        async with shell.database.writing() as session:
            kept = await retention.set_period(session, keep_days, by=shell.by)
            return members(kept, "id", "hash")

    if keep_days is not None and keep_all:
        raise typer.BadParameter("--keep-days, --keep-all")
    show_one(run(act), as_json)


@app.command("export")
def export_log(
    file: Annotated[Path, typer.Argument(help="Where to write; `-` for standard output")],
    first: Annotated[
        int | None, typer.Option("--from", min=1, help="Of the first; default: the oldest kept")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", min=1, help="Of the last; default: the newest")
    ] = None,
) -> None:
    """Write entries with their proof, for deploy/verify_log.py. 検証用に書き出す。"""

    async def act(shell: Shell) -> tuple[int, int]:
        from app.audit import export  # noqa: PLC0415

        pool = shell.database.pool
        signed, key = await _signed(shell)
        begin = first or await export.first_kept(pool)
        head, end = await export.head(pool, signed, key, begin, last)
        with _new(file) as written:
            written.write(head)
            async for lines in export.entries(pool, begin, end):
                written.write(lines)
        return begin, end

    begin, end = run(act)
    note(
        f"記録 {begin}～{end} を書き出しました。検証: python3 deploy/verify_log.py {file}",
        f"Wrote entries {begin} to {end}. Verify them: python3 deploy/verify_log.py {file}",
    )


def _new(file: Path) -> AbstractContextManager[BinaryIO]:
    """The file that is written: for its owner alone, because it says who read what."""
    if file == Path("-"):
        return nullcontext(sys.stdout.buffer)
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        written = os.fdopen(opened, "wb")
        if stat.S_ISREG(os.fstat(opened).st_mode):  # and no pipe
            os.fchmod(opened, 0o600)  # it may have been there, for others to read
            written.truncate()
    except OSError as exc:
        why = exc.strerror
        ja, en = f"{file} に書き込めません（{why}）。", f"{file} cannot be written ({why})."
        raise typer.BadParameter(said(ja, en)) from exc
    return written


async def _signed(shell: Shell) -> "tuple[Signed, str]":
    """The newest checkpoint, of all that is written where it fits, and the key of the log."""
    from app.audit.checkpoints import LogKeeper, origin_of  # noqa: PLC0415
    from app.audit.tree import LogBroken  # noqa: PLC0415
    from app.oauth.keys import open_sealer  # noqa: PLC0415

    sealer = await open_sealer(shell.database.pool, shell.settings.secret_key)
    keeper = LogKeeper(shell.database.pool, sealer, origin_of(shell.settings.issuer))
    with suppress(LogBroken):  # whoever verifies the file sees where
        await keeper.keep()
    return await keeper.checkpoint(), await keeper.key()
