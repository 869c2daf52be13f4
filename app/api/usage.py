"""The door to usage: counts of reads, refusals and writes, and key figures. Names no row.

The operator and the auditor see all; a provider sees what was asked of its own data.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, fields
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, unquote

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api.access import SCOPED_CODES, AuditReader, CatalogueWriter
from app.api.ownership import Owned, owner_code
from app.api.paging import Cursor, Limit, WrongCursor, after, cursor_of
from app.api.problem import problems
from app.api.sessions import PlatformDep, Reading
from app.api.shapes import OutShape
from app.api.state import Platform
from app.audit import kpi, report
from app.audit.report import Asked, By, Period, Used
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind

router = APIRouter(prefix="/v1/admin", tags=["Usage"])
own_router = APIRouter(prefix="/v1/organizations", tags=["Usage"])
_SLASH: Final = "/"
_MOST: Final = timedelta(days=3_660)
_YEAR: Final = timedelta(days=365)
_COMPUTED: Final = ("=", "+", "-", "@", "\t", "\r")
_CSV: Final = "text/csv; charset=utf-8"
First = Annotated[
    date | None, Query(alias="from", description="first day, in Japan; default: a year before")
]
Last = Annotated[date | None, Query(alias="to", description="last day; default: today")]
Name = Annotated[str | None, Query(max_length=100)]
Form = Annotated[Literal["json", "csv"], Query(alias="f", description="`csv`: for Excel, in UTF-8")]


class DaysWrong(AppError):
    """The days are turned round, or more than ten years."""

    kind = Kind.MALFORMED
    code = "days_wrong"
    ja = "from は to 以前の日付とし、期間は10年以内にしてください。"
    en = "Give a `from` that is not after `to`, and at most ten years."

    def __init__(self) -> None:
        super().__init__(faults=[Fault("from", self.code, self.ja, self.en)])


class UsedOut(OutShape):
    """One line. `key` is empty where nobody is named: no token was shown, no purpose told."""

    period: str
    key: str
    reads: int
    rows: int
    refusals: int
    writes: int
    public_reads: int


class UsageOut(OutShape):
    """Lines by period and key. `counted_to` is the last entry of the log that they count."""

    items: list[UsedOut]
    counted_to: int
    next: str | None = None


class ValueOut(OutShape):
    """A month's figure; null where there is nothing to divide by."""

    month: str
    value: float | int | None


class KpiOut(OutShape):
    """A figure: its name, its formula over entries of the log, its unit and its months."""

    id: str
    name_ja: str
    name_en: str
    formula_ja: str
    formula_en: str
    unit: str
    values: list[ValueOut]


class KpisOut(OutShape):
    """All figures. `counted_to` is the last entry of the log that they count."""

    series: list[KpiOut]
    counted_to: int


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}}
}


@router.get(
    "/usage",
    response_model=UsageOut,
    summary="Show usage",
    responses={**problems(*SCOPED_CODES, "invalid_cursor", "days_wrong"), **_ANSWERS},
)
async def show_usage(  # noqa: PLR0913, PLR0917 - what it can be asked for
    caller: AuditReader,
    platform: PlatformDep,
    first: First = None,
    last: Last = None,
    period: Period = Period.MONTH,
    by: By = By.DATASET,
    dataset: Name = None,
    organization: Annotated[
        str | None, Query(max_length=100, description="as provider or as consumer")
    ] = None,
    client: Name = None,
    f: Form = "json",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Reads, rows, refusals and writes as the log has them, and reads of public data.

    The counts are brought up to date every minute, each entry once; they stay when entries are let
    go after the log's period. As CSV the page says `counted_to` and `next` in the headers
    `Linkage-Counted-To` and `Linkage-Next`.
    """
    days = _days(first, last)
    asked = Asked(*days, period, by, dataset=dataset, organization=organization, client=client)
    return await _answer(platform, asked, f, limit, cursor)


@own_router.get(
    "/{organization_id}/usage",
    response_model=UsageOut,
    summary="Show the usage of one's data",
    responses={
        **problems(*SCOPED_CODES, owner_code(), "invalid_cursor", "days_wrong"),
        **_ANSWERS,
    },
)
async def show_own_usage(  # noqa: PLR0913, PLR0917 - what it can be asked for
    organization_id: str,
    caller: CatalogueWriter,
    platform: PlatformDep,
    session: Reading,
    first: First = None,
    last: Last = None,
    period: Period = Period.MONTH,
    by: By = By.DATASET,
    dataset: Name = None,
    f: Form = "json",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """What was asked of the organisation's data, for its stewards; never of anybody else's."""
    await Owned.check_publisher(session, organization_id, caller)
    asked = Asked(*_days(first, last), period, by, dataset=dataset, provider=organization_id)
    return await _answer(platform, asked, f, limit, cursor)


@router.get(
    "/kpi",
    response_model=KpisOut,
    summary="Show the key figures",
    responses=problems(*SCOPED_CODES, "days_wrong"),
)
async def show_kpis(
    caller: AuditReader, platform: PlatformDep, first: First = None, last: Last = None
) -> dict[str, Any]:
    """Figures by month with their formulas, from the same counts as the usage."""
    pool = platform.database.pool
    found = await kpi.series(pool, *_days(first, last))
    told = [
        {name: getattr(each.kpi, name) for name in KpiOut.model_fields if name != "values"}
        | {"values": each.values}
        for each in found
    ]
    return {"series": told, "counted_to": await report.counted(pool)}


def _days(first: date | None, last: date | None) -> tuple[date, date]:
    """The days that are asked for. Raises `DaysWrong`."""
    last = last or clock.now().astimezone(clock.TOKYO).date()
    if not 1900 <= last.year <= 9000:
        raise DaysWrong
    first = first or last - _YEAR
    if not timedelta() <= last - first <= _MOST:
        raise DaysWrong
    return first, last


async def _answer(
    platform: Platform, asked: Asked, form: str, limit: int, cursor: str | None
) -> Any:
    """A page as JSON, or as CSV with the same facts about it in its headers."""
    pool = platform.database.pool
    counted_to = await report.counted(pool)
    found = await report.used(pool, asked, after=_after(cursor), limit=limit + 1)
    kept = found[:limit]
    further = None
    if len(found) > limit:
        further = cursor_of(f"{kept[-1].period}{_SLASH}{quote(kept[-1].key)}")
    if form == "json":
        return {"items": kept, "counted_to": counted_to, "next": further}
    headers = {"Linkage-Counted-To": str(counted_to)}
    if further is not None:
        headers["Linkage-Next"] = further
    return Response(_csv(kept), media_type=_CSV, headers=headers)


def _after(cursor: str | None) -> tuple[str, str] | None:
    named = after(cursor)
    if named is None:
        return None
    period, slash, key = named.partition(_SLASH)
    if not slash:
        raise WrongCursor
    return period, unquote(key)


def _csv(lines: Sequence[Used]) -> str:
    """With a head and a BOM, for Excel; a text that Excel would compute is told as text."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow([each.name for each in fields(Used)])
    for line in lines:
        writer.writerow([_told(cell) for cell in astuple(line)])
    return "\ufeff" + written.getvalue()


def _told(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_COMPUTED) else cell
