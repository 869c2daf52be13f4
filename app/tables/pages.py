"""Statements for records: a page of them, their number, all of them. They run elsewhere."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Subquery, cast, func, literal, select
from sqlalchemy.types import BigInteger, LargeBinary, Numeric, Text, TypeEngine

from app.tables.candidates import open_texts
from app.tables.encode import IN_COLUMNS, Wording, columns, document
from app.tables.layout import ROW
from app.tables.sql import Statements

MOST_PEOPLE: Final = 10_000  # told one by one


def _ordered(parts: Statements, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """The rows in order, with the columns given."""
    order = parts.order()
    statement = (
        select(*columns)
        .select_from(parts.rows())
        .where(*parts.conditions())
        # Ascending puts nulls last already; saying so would hide the order from the index.
        .order_by(*(by.desc().nullslast() if down else by.asc() for by, down, _ in order))
    )
    if parts.question.after is not None:
        statement = statement.where(parts.behind(order))
    if parts.question.offset:
        passed = parts.bind(lambda reading: reading.question.offset, BigInteger())
        statement = statement.offset(passed)
    return statement


def _numbered(
    parts: Statements, wording: Wording, most: int, beside: Sequence[ColumnElement[Any]]
) -> Subquery:
    """At most so many rows, each with its number `n`, its `document` and its `position`."""
    position = func.json_build_array(*(_exact(by, kind) for by, _, kind in parts.order()))
    written = [document(parts, wording).label("document"), position.label("position")]
    ordered = _ordered(parts, [*written, *beside]).limit(_number(most)).subquery("ordered")
    # Numbered after sorting: beside the sort, the window would be numbered before it.
    return select(func.row_number().over().label("n"), ordered).subquery("page")


def page(parts: Statements, wording: Wording) -> Select[Any]:
    """One row: the records as text, how many, whether more follow, and the last position."""
    most = _limit(parts)
    found = [other.c[ROW].is_not(None) for other, _ in parts.joined.values()]
    beside = [each.label(f"found_{at}") for at, each in enumerate(found)]
    rows = _numbered(parts, wording, most + 1, [*beside, *_person(parts, wording)])
    limit = _number(most)
    on_page = rows.c.n <= limit
    last = func.max(cast(rows.c.position, Text())).filter(rows.c.n == limit)
    return select(
        func.string_agg(rows.c.document, literal(",")).filter(on_page),
        func.least(func.count(), limit),
        func.count() > limit,
        last,
        *(func.count().filter(on_page, rows.c[f"found_{at}"]) for at in range(len(parts.joined))),
        # Each once would be sorted for, and take the rows out of their order.
        *(
            func.array_agg(rows.c.person).filter(on_page, rows.c.person.is_not(None))
            for _ in _person(parts, wording)
        ),
    )


def _person(parts: Statements, wording: Wording) -> list[ColumnElement[Any]]:
    """Whom a row is about, where that is to be told."""
    return [] if wording.subject is None else [parts.column(wording.subject).label("person")]


def people(parts: Statements, wording: Wording) -> Select[Any]:
    """Whom all rows are about, each once: at most one more than are told one by one."""
    question = parts.question
    if question.limit is None and not question.offset and question.after is None:
        rows = select(*_person(parts, wording)).select_from(parts.rows())
        rows = rows.where(*parts.conditions())
    else:
        rows = _ordered(parts, _person(parts, wording))
        rows = rows if question.limit is None else rows.limit(_number(question.limit))
    found = rows.subquery("rows")
    once = select(found.c.person).where(found.c.person.is_not(None)).distinct()
    return select(func.array_agg(once.limit(_number(MOST_PEOPLE + 1)).subquery("people").c.person))


def spare(limit: int) -> int:
    """How many more rows are asked for than fit on a page of those that a box meets by bounds."""
    return 1 + max(4, limit // 25)


def page_by_bounds(parts: Statements, wording: Wording) -> Select[Any]:
    """One row: the records one by one, for some may yet be left out; positions from the last on the
    page; the numbers of records that bounds leave open, and their geometries where these are small.
    """
    most = _limit(parts)
    is_open, text = open_texts(parts)
    beside: list[ColumnElement[Any]] = [is_open.label("is_open"), text.label("text")]
    rows = _numbered(parts, wording, most + spare(most), beside)
    found: list[ColumnElement[Any]] = [
        func.array_agg(func.convert_to(rows.c.document, "UTF8", type_=LargeBinary())),
        func.array_agg(cast(rows.c.position, Text())).filter(rows.c.n >= _number(most)),
        func.array_agg(rows.c.n).filter(rows.c.is_open),
        func.array_agg(rows.c.text).filter(rows.c.is_open),
    ]
    return select(*found)


def _limit(parts: Statements) -> int:
    if parts.question.limit is None:
        raise LookupError("a page without a limit")
    return parts.question.limit


def _number(number: int) -> ColumnElement[int]:
    """It stands in the statement: as a parameter the planner would not know it."""
    return literal(number, BigInteger(), literal_execute=True)


def _exact(column: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """A sort value that survives JSON: a long decimal would not as a number."""
    return cast(column, Text()) if isinstance(kind, Numeric) else column


def count(parts: Statements, _wording: Wording) -> Select[Any]:
    """How many rows match."""
    statement = select(func.count()).select_from(parts.rows()).where(*parts.conditions())
    if parts.question.after is not None:
        statement = statement.where(parts.behind(parts.order()))
    return statement


def stream(parts: Statements, wording: Wording) -> Select[Any]:
    """Every row, as columns or as text."""
    as_columns = wording.form in IN_COLUMNS
    found = columns(parts, wording) if as_columns else [document(parts, wording)]
    statement = _ordered(parts, found)
    limit = parts.question.limit
    return statement if limit is None else statement.limit(_number(limit))
