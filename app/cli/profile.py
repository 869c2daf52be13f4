"""`urbanos profile`: the registry of standard layouts, and their Excel templates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import Shell, members, run
from app.cli.words import Json, note, show_many, show_one

if TYPE_CHECKING:
    from app.models.profiles import Profile

app = typer.Typer(no_args_is_help=True, help="Standard layouts. 標準レイアウト（プロファイル）。")
Name = Annotated[str, typer.Argument(metavar="PROFILE")]
Number = Annotated[int | None, typer.Option("--version", help="The newest in use if absent")]
_COLUMNS = ("name", "version", "title_ja", "edition", "state", "fields")


@app.command("list")
def list_all(
    name: Annotated[str | None, typer.Argument(metavar="[PROFILE]")] = None,
    as_json: Json = False,
) -> None:
    """List versions of layouts. プロファイルを一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.catalogue import profiles  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await profiles.list_profiles(session, name=name)
            return [
                {
                    **members(each, "rules", "mapping"),
                    "state": profiles.state_of(each).value,
                    "fields": len(each.fields),
                }
                for each in found
            ]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def show(name: Name, version: Number = None, as_json: Json = False) -> None:
    """Show a version and its fields. プロファイルの項目を表示する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import profiles  # noqa: PLC0415

        found = await _find(shell, name, version)
        told = {**members(found), "state": profiles.state_of(found).value}
        if as_json:
            return told
        named = [f"{each['name']} ({each['label']}, {each['type']})" for each in found.fields]
        return {**told, "fields": named, "rules": len(found.rules)}

    show_one(run(act), as_json)


@app.command()
def template(
    name: Name,
    version: Number = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="PROFILE_vN.xlsx if absent")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the Excel template. Excelテンプレートを書き出す。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import profiles  # noqa: PLC0415
        from app.formats.profiles.template import workbook  # noqa: PLC0415

        found = await _find(shell, name, version)
        path = output or Path(f"{found.name}_v{found.version}.xlsx")
        try:
            path.write_bytes(workbook(profiles.layout_of(found)))
        except OSError as exc:
            raise typer.BadParameter(f"{path}: {exc.strerror}") from exc
        return {"profile": found.name, "version": found.version, "file": str(path)}

    show_one(run(act), as_json)


async def _find(shell: Shell, name: str, version: int | None) -> "Profile":
    """The version asked for, else the newest that a dataset can be registered on."""
    from app.catalogue import profiles  # noqa: PLC0415
    from app.catalogue.refusals import ProfileNotFound  # noqa: PLC0415

    async with shell.database.reading() as session:
        if version is not None:
            return await profiles.get(session, name, version)
        usable = [
            layout.version for layout in await profiles.layouts(session) if layout.name == name
        ]
        if not usable:
            raise ProfileNotFound(name=name, version="-")
        return await profiles.get(session, name, max(usable))


async def add_built_in(url: str) -> None:
    """Put the built-in profiles into a migrated database where they are missing."""
    from app.catalogue.profile_seed import seed  # noqa: PLC0415
    from app.kit.db import Database  # noqa: PLC0415

    database = await Database.open(url, connections=2)
    try:
        async with database.writing() as session:
            added = await seed(session)
    finally:
        await database.close()
    if added:
        note(
            f"標準プロファイル {added} 件を登録しました。", f"Registered {added} standard profiles."
        )
