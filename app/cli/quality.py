"""`urbanos quality`: the score of a version, and whether counting again gives the same. Reads only."""

from typing import Annotated, Any

import typer

from app.cli.shell import Shell, run
from app.cli.words import Json, language, said, show_json, show_many

CHECK_FAILED = 4
_Id = Annotated[str, typer.Argument(metavar="DATASET")]
_Number = Annotated[int | None, typer.Option("--version", help="The published one if absent")]


def quality(
    dataset: _Id,
    number: _Number = None,
    check: Annotated[
        bool, typer.Option("--check", help="Count again; exit 4 if it differs. 数え直して照合")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the quality of a version with its mends. 版の品質と直し方を表示する。"""

    async def act(shell: Shell) -> tuple[dict[str, Any], list[str]]:
        from app.catalogue import datasets, versions  # noqa: PLC0415
        from app.catalogue import quality as service  # noqa: PLC0415

        async with shell.database.reading() as session:
            found = await datasets.get(session, dataset)
            told = await service.report(session, found, number, viewer=found.publisher_id)
            version = await versions.get(session, dataset, told["version"])
            return told, await service.differences(session, found, version) if check else []

    told, differing = run(act)
    if as_json:
        show_json({**told, **({"differing": differing} if check else {})})
    else:
        _show(told)
    if differing:
        names = ", ".join(differing)
        typer.echo(
            said(f"数え直すと違います: {names}", f"Counted again, these differ: {names}"), err=True
        )
        raise typer.Exit(CHECK_FAILED)


def _show(told: dict[str, Any]) -> None:
    """The total, a line a dimension, a line a mend."""
    in_words = language()
    score = f"{told['score']} / 100, {'★' * told['stars'] or '-'}"
    typer.echo(f"{told['dataset']} {said('版', 'version')} {told['version']}: {score}")
    dimensions = [{**each, "label": each[f"label_{in_words}"]} for each in told["dimensions"]]
    show_many(dimensions, False, ("label", "score", "weight", "points"))
    for failed in told["failed"]:
        typer.echo(f"- {failed[f'mend_{in_words}']}")
