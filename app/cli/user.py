"""`urbanos user`: members of staff, by the same services as /v1/admin/users. Takes no password."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import Shell, members, one_of, run
from app.cli.words import Json, note, said, show_many, show_one

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.models.people import Person
    from app.signin.changes import SetUpLink

app = typer.Typer(no_args_is_help=True, help="Members of staff who sign in. サインインする職員。")
Who = Annotated[str, typer.Argument(metavar="USER", help="Id or mail address")]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role", help="operator, coordinator, steward, developer or auditor; several times"
    ),
]
_COLUMNS = ("id", "organization_id", "name", "email", "roles", "has_second_factor", "disabled_at")
_HIDDEN = ("password_hash", "totp_sealed", "totp_step", "totp_confirmed_at", "failures")


def _shown(person: "Person") -> dict[str, Any]:
    return {
        **members(person, *_HIDDEN),
        "has_password": person.has_password,
        "has_second_factor": person.has_second_factor,
    }


def _show_with_link(person: "Person", link: "SetUpLink | None", as_json: bool) -> None:
    told = {} if link is None else {"link": link.url, "link_expires_at": link.expires_at}
    show_one({**_shown(person), **told}, as_json)
    if link is not None:
        note(
            "リンクは今だけ表示されます。信頼できる方法で本人に渡してください（24時間以内・一度だけ有効）。",
            "The link is shown only now. Hand it on by a way you trust: it works once, for 24 hours.",
        )


async def _find(session: "AsyncSession", who: str, *, lock: bool = False) -> "Person":
    from app.parties import people  # noqa: PLC0415

    found = await people.find_by_email(session, who, lock=lock) if "@" in who else None
    return found if found is not None else await people.get(session, who, lock=lock)


@app.command("list")
def list_all(
    organization: Annotated[str | None, typer.Option(help="Only of this organisation")] = None,
    as_json: Json = False,
) -> None:
    """List members of staff, disabled ones too. 職員を一覧する。"""

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.parties import people  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await people.list_people(session, organization_id=organization, limit=10_000)
        return [_shown(each) for each in found]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def show(user: Who, as_json: Json = False) -> None:
    """Show one. 職員を表示する。"""

    async def act(shell: Shell) -> "Person":
        async with shell.database.reading() as session:
            return await _find(session, user)

    show_one(_shown(run(act)), as_json)


@app.command()
def add(
    organization: Annotated[str, typer.Option(help="271004-kenko")],
    name: Annotated[str, typer.Option()],
    email: Annotated[str, typer.Option(help="What the person signs in with")],
    role: Roles = None,
    as_json: Json = False,
) -> None:
    """Add one; prints a link to set a password. 職員を登録する（パスワード設定リンクを表示）。"""

    async def act(shell: Shell) -> "tuple[Person, SetUpLink]":
        from app.models.parties import Role  # noqa: PLC0415
        from app.parties import people  # noqa: PLC0415
        from app.signin import changes  # noqa: PLC0415

        roles = [one_of(Role, each, "--role") for each in role or ()]
        new = people.NewPerson(organization, name, email, roles)
        async with shell.database.writing() as session:
            person = await people.add(session, new, by=shell.by)
            issuer = shell.settings.issuer
            return person, await changes.make_link(session, person, issuer, by=shell.by)

    _show_with_link(*run(act), as_json)


@app.command()
def roles(
    user: Who,
    role: Roles = None,
    none: Annotated[bool, typer.Option("--none", help="Take every role")] = False,
    as_json: Json = False,
) -> None:
    """Give these roles and no others. 役割を置き換える。"""
    if none == bool(role):
        raise typer.BadParameter(
            said(
                "--role で新しい役割をすべて指定するか、--none ですべて外してください。",
                "Give every role that is to hold by --role, or take all by --none.",
            )
        )

    async def act(shell: Shell) -> "Person":
        from app.models.parties import Role  # noqa: PLC0415
        from app.parties import people  # noqa: PLC0415

        given = [one_of(Role, each, "--role") for each in role or ()]
        async with shell.database.writing() as session:
            person = await _find(session, user)
            return await people.set_roles(session, person.id, given, by=shell.by)

    show_one(_shown(run(act)), as_json)


@app.command()
def disable(user: Who, as_json: Json = False) -> None:
    """Let one in no more; sessions and tokens end at once. 利用を停止する。"""

    async def act(shell: Shell) -> "Person":
        from app.parties import people  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await people.disable(session, (await _find(session, user)).id, by=shell.by)

    show_one(_shown(run(act)), as_json)


@app.command()
def enable(user: Who, as_json: Json = False) -> None:
    """Let one in again. 利用を再開する。"""

    async def act(shell: Shell) -> "Person":
        from app.parties import people  # noqa: PLC0415

        async with shell.database.writing() as session:
            return await people.enable(session, (await _find(session, user)).id, by=shell.by)

    show_one(_shown(run(act)), as_json)


@app.command()
def reset(
    user: Who,
    password: Annotated[bool, typer.Option(help="Take the password, print a link")] = True,
    totp: Annotated[bool, typer.Option(help="Take the second factor")] = False,
    as_json: Json = False,
) -> None:
    """Take a password, a second factor or both; ends all sessions. パスワード・二要素を再設定する。"""
    if not (password or totp):
        raise typer.BadParameter(
            said(
                "--no-password だけでは何も再設定されません。--totp も指定してください。",
                "With --no-password alone nothing is taken: add --totp.",
            )
        )

    async def act(shell: Shell) -> "tuple[Person, SetUpLink | None]":
        from app.signin import changes  # noqa: PLC0415

        async with shell.database.writing() as session:
            person = await _find(session, user, lock=True)
            await changes.reset(session, person, password=password, totp=totp, by=shell.by)
            if not password:
                return person, None
            issuer = shell.settings.issuer
            return person, await changes.make_link(session, person, issuer, by=shell.by)

    _show_with_link(*run(act), as_json)
