"""`urbanos usage`: who used what, counted from the log up to now. Changes nothing but the counts."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shell import Shell, one_of, run
from app.cli.words import Json, language, show_many

if TYPE_CHECKING:
    from app.audit.kpi import Series
    from app.audit.report import Used

_COLUMNS = ("period", "key", "reads", "rows", "refusals", "writes", "public_reads")
_MOST = 100_000


def usage(  # noqa: PLR0913, PLR0917 - what it can be asked for
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Default: a year before")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Default: today")
    ] = None,
    period: Annotated[str, typer.Option(help="day, month")] = "month",
    by: Annotated[
        str, typer.Option(help="total, dataset, provider, consumer, client, purpose, reason")
    ] = "dataset",
    dataset: Annotated[str | None, typer.Option()] = None,
    organization: Annotated[str | None, typer.Option(help="As provider or consumer")] = None,
    client: Annotated[str | None, typer.Option()] = None,
    kpi: Annotated[bool, typer.Option("--kpi", help="The key figures. 指標の推移")] = False,
    as_json: Json = False,
) -> None:
    """Show usage by month or day, or the key figures. 利用状況と指標を表示する。"""

    async def act(shell: Shell) -> "list[Used] | list[Series]":
        from app.audit import kpi as figures  # noqa: PLC0415
        from app.audit import metering, report  # noqa: PLC0415
        from app.kit import clock  # noqa: PLC0415

        pool = shell.database.pool
        end = (last or clock.now().astimezone(clock.TOKYO)).date()
        begin = first.date() if first else end - timedelta(days=365)
        await metering.count(pool)
        if kpi:
            return await figures.series(pool, begin, end)
        asked = report.Asked(
            begin, end, one_of(report.Period, period, "--period"), one_of(report.By, by, "--by"),
            dataset=dataset, organization=organization, client=client,
        )  # fmt: skip
        return await report.used(pool, asked, after=None, limit=_MOST)

    found = run(act)
    rows = _figures(found) if kpi else [asdict(each) for each in found]
    show_many(rows, as_json, ("id", "name", "month", "value", "unit") if kpi else _COLUMNS)


def _figures(found: Any) -> list[dict[str, Any]]:
    """A line a figure and month."""
    named = f"name_{language()}"
    return [
        {
            "id": each.kpi.id, "name": getattr(each.kpi, named), "month": value.month,
            "value": value.value, "unit": each.kpi.unit,
        }
        for each in found
        for value in each.values
    ]  # fmt: skip
