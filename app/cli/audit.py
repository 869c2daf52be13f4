"""`urbanos audit`: is the log as it was written. Reads only."""

from typing import TYPE_CHECKING

import typer

from app.cli.shell import Shell, run
from app.cli.words import Json, said, show_json

if TYPE_CHECKING:
    from app.audit.verify import Verdict

app = typer.Typer(no_args_is_help=True, help="The audit log. 監査ログ。")
CHECK_FAILED = 4


@app.callback()
def group() -> None:
    """Keep `verify` a command of a group: a group of one would become the command itself."""


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
            "broken_at": found.broken_at, "reason": found.reason,
        })  # fmt: skip
    elif found.is_whole:
        typer.echo(
            said(f"{found.entries} 件すべて正常です。", f"All {found.entries} entries are whole.")
        )
    else:
        typer.echo(
            said(
                f"{found.broken_at} 番目の記録に異常があります（{found.reason}）。",
                f"The log is broken at entry {found.broken_at} ({found.reason}).",
            )
        )
    if not found.is_whole:
        raise typer.Exit(CHECK_FAILED)
