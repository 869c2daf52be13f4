"""`urbanos programme`: support and subsidy programmes at the shell, and projects from a sheet."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from app.cli.shell import Shell, one_of, run, told_in
from app.cli.words import Json, show_many, show_one

app = typer.Typer(no_args_is_help=True, help="Support and subsidy programmes. 支援・補助事業。")
_COLUMNS = ("id", "organization", "fiscal_year", "kind", "title", "requires", "gated")
_PROJECT_COLUMNS = ("id", "organization", "title", "state", "requested", "granted")
Owner = Annotated[str, typer.Option("--owner", help="The organisation that runs it")]
Classes = Annotated[str, typer.Option("--class", help="Required classes: core,query")]
Layouts = Annotated[str, typer.Option("--profile", help="Required layouts: aed/1,…")]
Gate = Annotated[bool | None, typer.Option("--gate/--no-gate", help="Unset: as the kind has it")]


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List every programme. 事業を一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.programmes import programmes  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await programmes.list_programmes(session, programmes.Wanted(limit=10_000))
        return [
            {
                "id": each.id, "organization": each.organization_id, "title": each.title,
                "fiscal_year": each.fiscal_year, "kind": each.kind, "gated": each.gated,
                "requires": " ".join((*each.classes, *each.profiles)),
            }
            for each in found
        ]  # fmt: skip

    show_many(run(act), as_json, _COLUMNS)


@app.command("import")
def import_sheet(  # noqa: PLR0913, PLR0917 - each is an option of the command
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    title: Annotated[str, typer.Option(help="Of the programme")],
    year: Annotated[int, typer.Option(min=1980, max=2100, help="Fiscal year")],
    owner: Owner,
    kind: Annotated[str, typer.Option(help="support or subsidy")] = "subsidy",
    classes: Classes = "",
    layouts: Layouts = "",
    gate: Gate = None,
    as_json: Json = False,
) -> None:
    """Take submitted projects in from a CSV sheet: all of it or nothing. 申請一覧を取り込む。

    The programme is added if it is not there; one that is there stays as it is.
    """
    content = told_in(file)

    async def act(shell: Shell) -> dict[str, Any]:
        from app.models.programmes import ProgrammeKind  # noqa: PLC0415
        from app.programmes import intake, programmes, sheet  # noqa: PLC0415

        gives = one_of(ProgrammeKind, kind, "--kind")
        lines = sheet.read(content)
        said = programmes.Said(title, gives, year, _words(classes), _words(layouts), gate)
        async with shell.database.writing() as session:
            programme = await programmes.find(session, owner, said)
            if programme is None:
                programme = await programmes.add(session, owner, said, by=shell.by)
            counts = await intake.take_in(session, programme, lines, by=shell.by)
            return {"programme": programme.id, "gated": programme.gated, **counts}

    show_one(run(act), as_json)


@app.command()
def projects(programme: Annotated[UUID, typer.Argument()], as_json: Json = False) -> None:
    """List the projects of a programme. 事業のプロジェクトを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.programmes import programmes  # noqa: PLC0415
        from app.programmes import projects as kept  # noqa: PLC0415

        async with shell.database.reading() as session:
            await programmes.get(session, programme, None)
            wanted = kept.Wanted(None, programme_id=programme, limit=10_000)
            found = await kept.list_projects(session, wanted)
        return [
            {
                "id": each.id, "organization": each.organization_id, "title": each.title,
                "state": each.state, "granted": each.granted_thousand_yen,
                "requested": each.description.get("requested_thousand_yen"),
            }
            for each in found
        ]  # fmt: skip

    show_many(run(act), as_json, _PROJECT_COLUMNS)


def _words(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
