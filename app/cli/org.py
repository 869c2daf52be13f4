"""`urbanos org`: organisations and their units, by the same service as /v1/admin/organizations."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import Shell, members, one_of, run
from app.cli.words import Json, show_many, show_one

if TYPE_CHECKING:
    from app.models.parties import Organization

app = typer.Typer(no_args_is_help=True, help="Organisations and units. 組織と所属。")
Id = Annotated[str, typer.Argument(help="271004, 27100 or 271004-kenko", metavar="ID")]
Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"])]
_COLUMNS = ("id", "kind", "name_ja", "name_en", "parent_id", "valid_to")


@app.command("list")
def list_all(
    named: Annotated[str | None, typer.Argument(help="Part of a present or former name")] = None,
    kind: Annotated[str | None, typer.Option(help="city, unit, vendor, …")] = None,
    parent: Annotated[str | None, typer.Option(help="Only what is directly below")] = None,
    as_json: Json = False,
) -> None:
    """List organisations. 組織を一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.models.parties import OrganizationKind  # noqa: PLC0415
        from app.parties import organizations  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await organizations.list_organizations(
                session,
                named=named,
                kind=one_of(OrganizationKind, kind, "--kind") if kind else None,
                parent_id=parent,
                limit=10_000,
            )
        return [members(each) for each in found]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def show(organization: Id, as_json: Json = False) -> None:
    """Show one with its former names. 組織と旧称を表示する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.parties import organizations  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await organizations.get(session, organization)
            former = await organizations.list_former_names(session, found.id)
        names = [f"{each.name_ja} (until {each.until})" for each in former]
        return {**members(found), "former_names": names}

    show_one(run(act), as_json)


@app.command()
def add(  # noqa: PLR0913, PLR0917 - what an organisation is
    organization: Id,
    kind: Annotated[str, typer.Option(help="city, unit, vendor, …")],
    name_ja: Annotated[str, typer.Option()],
    name_en: Annotated[str | None, typer.Option()] = None,
    name_kana: Annotated[str | None, typer.Option()] = None,
    parent: Annotated[str | None, typer.Option()] = None,
    second_parent: Annotated[str | None, typer.Option(help="Of a joint bureau")] = None,
    valid_from: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])] = None,
    as_json: Json = False,
) -> None:
    """Add an organisation or a unit. 組織を登録する。"""

    async def act(shell: Shell) -> "Organization":
        from app.models.parties import OrganizationKind  # noqa: PLC0415
        from app.parties import organizations  # noqa: PLC0415

        new = organizations.NewOrganization(
            id=organization,
            kind=one_of(OrganizationKind, kind, "--kind"),
            name_ja=name_ja,
            name_kana=name_kana,
            name_en=name_en,
            parent_id=parent,
            second_parent_id=second_parent,
            valid_from=valid_from.date() if valid_from else None,
        )
        async with shell.database.writing() as session:
            return await organizations.add(session, new, by=shell.by)

    show_one(members(run(act)), as_json)


@app.command()
def rename(
    organization: Id,
    name_ja: Annotated[str, typer.Option()],
    since: Day,
    name_en: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Give a new name from a day on; the id stays. 改称する（idは変わらない）。"""

    async def act(shell: Shell) -> "Organization":
        from app.parties import organizations  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await organizations.rename(
                session, organization, name_ja=name_ja, name_en=name_en,
                since=since.date(), by=shell.by,
            )  # fmt: skip

    show_one(members(run(act)), as_json)


@app.command()
def close(
    organization: Id,
    on: Day,
    successor: Annotated[str | None, typer.Option(help="What takes its place")] = None,
    as_json: Json = False,
) -> None:
    """End an organisation. Its clients count as revoked at once. 廃止する。"""

    async def act(shell: Shell) -> "Organization":
        from app.parties import organizations  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await organizations.close(
                session, organization, on=on.date(), successor_id=successor, by=shell.by
            )

    show_one(members(run(act)), as_json)


@app.command()
def approval(
    organization: Id,
    needed: Annotated[str, typer.Argument(metavar="second_person|none")],
    as_json: Json = False,
) -> None:
    """Have its public data approved by a second person, or no longer. 公開を別の担当者の承認制にする。"""

    async def act(shell: Shell) -> "Organization":
        from app.models.parties import Approval  # noqa: PLC0415
        from app.parties import organizations  # noqa: PLC0415

        if needed not in (*Approval, "none"):
            raise typer.BadParameter(f"{needed!r} != {', '.join((*Approval, 'none'))}")
        wanted = None if needed == "none" else Approval(needed)
        async with shell.database.writing() as session:
            return await organizations.ask_approval(
                session, organization, approval=wanted, by=shell.by
            )

    show_one(members(run(act)), as_json)
