"""`urbanos run`: how a load goes, and its end. Loads nothing."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.connector_words import as_run
from app.cli.shell import Shell, members, run
from app.cli.words import Json, show_one

if TYPE_CHECKING:
    from app.models.datasets import Run

app = typer.Typer(no_args_is_help=True, help="Loads. 取込。")
Id = Annotated[UUID, typer.Argument(metavar="RUN")]


def _shown(found: "Run") -> dict[str, Any]:
    return members(found, "header")


@app.command()
def show(run_id: Id, as_json: Json = False) -> None:
    """How far a load or a connector's run is, or how it ended. 取込・収集の状況を表示する。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import runs  # noqa: PLC0415
        from app.models.connectors import Harvest  # noqa: PLC0415

        async with shell.database.reading() as session:
            harvest = await session.get(Harvest, run_id)
            if harvest is None:
                return _shown(await runs.get(session, run_id))
            told = members(harvest, "attempt", "validators")
            return told if as_json else as_run(told)

    show_one(run(act), as_json)


@app.command()
def cancel(run_id: Id, as_json: Json = False) -> None:
    """Stop a load; it leaves no version. 取込を取り消す。"""

    async def act(shell: Shell) -> dict[str, Any]:
        from app.catalogue import runs  # noqa: PLC0415

        async with shell.database.writing() as session:
            return _shown(await runs.cancel(session, run_id, by=shell.by))

    show_one(run(act), as_json)
