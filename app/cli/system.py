"""`urbanos system`: the system inventory at the shell, from and to a sheet."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.shell import Shell, run
from app.cli.words import Json, note, show_many, show_one

if TYPE_CHECKING:
    from app.systems.sheet import Line

app = typer.Typer(no_args_is_help=True, help="The system inventory. 情報システム台帳。")
Id = Annotated[UUID, typer.Argument(metavar="SYSTEM")]
_COLUMNS = ("id", "organization", "name", "function", "state", "revision")


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List every system. システムを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.systems import inventory  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await inventory.list_systems(session, inventory.Wanted(None, limit=None))
        return [
            {
                "id": each.id, "organization": each.organization_id, "name": each.name,
                "function": each.function, "state": each.state, "revision": each.revision,
            }
            for each in found
        ]  # fmt: skip

    show_many(run(act), as_json, _COLUMNS)


@app.command("import")
def import_sheet(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    organization: Annotated[
        str | None, typer.Option(help="Whose they are, where the sheet says nothing")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add and change systems from a sheet (CSV, XLSX): all of it or nothing. 台帳を取り込む。"""
    lines = _lines_of(file)

    async def act(shell: Shell) -> dict[str, Any]:
        from app.api.system_findings import tell_of_plans  # noqa: PLC0415
        from app.systems import importing  # noqa: PLC0415

        async with shell.database.writing() as session:
            taken = await importing.take(session, lines, own=organization, mine=None, by=shell.by)
            told = {each.system: each.line.said for each in taken}
            await tell_of_plans(session, told, by=shell.by)
        return importing.counted(taken)

    show_one(run(act), as_json)


@app.command()
def sheet(output: Annotated[Path, typer.Option("--output", "-o")]) -> None:
    """Write every system as a CSV sheet. 台帳をCSVで書き出す。"""

    async def act(shell: Shell) -> bytes:
        from app.systems import inventory  # noqa: PLC0415
        from app.systems.sheet import written  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await inventory.list_systems(session, inventory.Wanted(None, limit=None))
        return written(found)

    output.write_bytes(run(act))
    note(f"{output} に書き出しました。", f"Written to {output}.")


@app.command()
def diagnose(system: Id, as_json: Json = False) -> None:
    """Diagnose a system and show its lock-in score. システムを診断する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.api.system_findings import diagnosed  # noqa: PLC0415
        from app.systems import inventory  # noqa: PLC0415

        async with shell.database.writing() as session:
            found = await inventory.get(session, system, None, lock=True)
            newest = await diagnosed(session, found, by=shell.by)
        parts = {part.name: float(part.points) for part in newest.score.parts}
        return {"score": float(newest.score.score), **parts}

    show_one(run(act), as_json)


def _lines_of(file: Path) -> "list[Line]":
    from app.systems.importing import lines_of  # noqa: PLC0415
    from app.systems.opening import rows_of  # noqa: PLC0415

    return lines_of(rows_of(file, file.name))
