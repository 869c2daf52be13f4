"""`urbanos finding`: what the rules have found, as /v1/findings has it for an operator."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.shell import Shell, one_of, run
from app.cli.words import Json, show_many, show_one

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.models.findings import Finding

app = typer.Typer(no_args_is_help=True, help="Findings of the alert rules. 警報ルールの指摘。")
Id = Annotated[UUID, typer.Argument(metavar="FINDING")]
_COLUMNS = ("id", "severity", "rule", "subject", "dataset", "owner", "state", "seen", "due_at")


@app.command("list")
def list_all(
    state: Annotated[
        str | None, typer.Option(help="open, acknowledged, resolved or dismissed")
    ] = None,
    rule: Annotated[str | None, typer.Option()] = None,
    dataset: Annotated[str | None, typer.Option()] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Past their time")] = False,
    as_json: Json = False,
) -> None:
    """List findings, newest first. 指摘を一覧する。"""
    from app.models.findings import FindingState  # noqa: PLC0415

    wanted = one_of(FindingState, state, "--state") if state is not None else None

    async def act(shell: Shell) -> list[dict[str, Any]]:
        from app.findings import findings  # noqa: PLC0415

        asked = findings.Wanted(None, wanted, rule, dataset, overdue, limit=10_000)
        async with shell.database.reading() as session:
            return [_shown(each) for each in await findings.list_findings(session, asked)]

    show_many(run(act), as_json, _COLUMNS)


@app.command()
def show(finding: Id, as_json: Json = False) -> None:
    """Show one, with what was done about it. 指摘と対応の履歴を表示する。"""

    async def act(_session: "AsyncSession", _finding: "Finding", _by: str) -> None:
        return None

    _show(finding, act, as_json)


@app.command()
def resolve(
    finding: Id,
    note: Annotated[str | None, typer.Option(help="Stands in its history")] = None,
    as_json: Json = False,
) -> None:
    """Say that it is mended. 対応済みにする。"""

    async def act(session: "AsyncSession", found: "Finding", by: str) -> None:
        from app.findings import findings  # noqa: PLC0415

        await findings.resolve(session, found, note=note, by=by)

    _show(finding, act, as_json)


def _show(
    finding_id: UUID,
    act: "Callable[[AsyncSession, Finding, str], Awaitable[None]]",
    as_json: bool,
) -> None:
    async def told(shell: Shell) -> dict[str, Any]:
        from app.findings import findings  # noqa: PLC0415
        from app.models import tables  # noqa: F401, PLC0415 - which a finding refers to

        async with shell.database.writing() as session:
            found = await findings.get(session, finding_id, None, lock=True)
            await act(session, found, shell.by)
            steps = await findings.history_of(session, found)
            history = [_step(each.at.isoformat(), each.state, each.by, each.note) for each in steps]
            return {**_shown(found), "history": history}

    show_one(run(told), as_json)


def _step(*parts: str | None) -> str:
    return " ".join(part for part in parts if part is not None)


def _shown(finding: "Finding") -> dict[str, Any]:
    from app.api.findings import shown  # noqa: PLC0415

    told = shown(finding)
    return {**told, "subject": f"{finding.subject_kind}:{finding.subject_id}"}
