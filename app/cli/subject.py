"""`urbanos subject`: an organisation's names for people. It shows whom none of them names."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.shell import Shell, run
from app.cli.words import Json, show_one

if TYPE_CHECKING:
    from app.subjects.linker import Linker

app = typer.Typer(no_args_is_help=True, help="Names of people. 本人を示す名前。")
Organization = Annotated[str, typer.Argument(metavar="ORGANIZATION")]
_MOST: int = 10_000


async def _linker(shell: Shell) -> "Linker":
    from app.kit.db import plain_dsn  # noqa: PLC0415
    from app.oauth.keys import open_sealer  # noqa: PLC0415
    from app.subjects.linker import Linker  # noqa: PLC0415

    sealer = await open_sealer(shell.database.pool, shell.settings.secret_key)
    return Linker(plain_dsn(shell.database.url), sealer)


@app.command()
def make(
    organization: Organization,
    count: Annotated[int, typer.Option("--count", min=1, max=_MOST, help="People to name")],
) -> None:
    """Names for people, as CSV. 新しい人の名前をCSVで出力する。"""

    async def act(shell: Shell) -> list[str]:
        from app.parties import organizations  # noqa: PLC0415
        from app.subjects import naming  # noqa: PLC0415

        linker = await _linker(shell)
        try:
            async with shell.database.writing() as session:
                await organizations.get(session, organization)
                return await naming.name_people(session, linker, organization, count, by=shell.by)
        finally:
            await linker.stop()

    for line in ("name", *run(act)):
        typer.echo(line)


@app.command()
def rotate(organization: Organization, as_json: Json = False) -> None:
    """Make further names by a new key. 今後の名前を新しい鍵で作る。"""

    async def act(shell: Shell) -> int:
        from app.parties import organizations  # noqa: PLC0415
        from app.subjects import naming  # noqa: PLC0415

        linker = await _linker(shell)
        try:
            async with shell.database.writing() as session:
                await organizations.get(session, organization)
                return await naming.rotate(session, linker, organization, by=shell.by)
        finally:
            await linker.stop()

    show_one({"organization": organization, "number": run(act)}, as_json)


@app.command()
def forget(organization: Organization, as_json: Json = False) -> None:
    """Forget whom a name names; it is read from the standard input. 名前が示す本人を忘れる。

    The person's consents end, and nothing here tells any more whom they, or reads, were about.
    Records with the name stay until their organisation deletes them: have that done first.
    """
    name = typer.get_text_stream("stdin").readline().strip()

    async def act(shell: Shell) -> int:
        from app.subjects import erasure  # noqa: PLC0415
        from app.subjects.linker import PersonUnknown  # noqa: PLC0415

        linker = await _linker(shell)
        try:
            person = await linker.person(organization, name)
            if person is None:
                raise PersonUnknown(organization=organization)
            names = await linker.names(person)
            async with shell.database.writing() as session:
                ended = await erasure.forget(session, names, by=shell.by)
            await linker.forget(person)
            return ended
        finally:
            await linker.stop()

    show_one({"organization": organization, "consents": run(act)}, as_json)
