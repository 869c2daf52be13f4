"""`urbanos keys`: the keys that sign tokens. Never shows a private half."""

from typing import Annotated

import typer

from app.cli.shell import Shell, run
from app.cli.words import Json, show_one

app = typer.Typer(no_args_is_help=True, help="The keys that sign tokens. トークンの署名鍵。")


@app.callback()
def group() -> None:
    """Keep `rotate` a command of a group: a group of one would become the command itself."""


@app.command()
def rotate(
    emergency: Annotated[
        bool, typer.Option("--emergency", help="Drop the present key at once: its tokens end")
    ] = False,
    early: Annotated[
        bool, typer.Option("--early", help="Sign with a key published for less than 24 hours")
    ] = False,
    as_json: Json = False,
) -> None:
    """Sign with the next key; tokens of the present one live on. 署名鍵を更新する。"""

    async def act(shell: Shell) -> str:
        from app.oauth.keys import open_sealer  # noqa: PLC0415
        from app.oauth.keys import rotate as change_over  # noqa: PLC0415

        sealer = await open_sealer(shell.database.pool, shell.settings.secret_key)
        async with shell.database.writing() as session:
            return await change_over(session, sealer, by=shell.by, emergency=emergency, early=early)

    show_one({"kid": run(act)}, as_json)
