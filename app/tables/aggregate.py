"""Groups of a hosted table's rows and their figures, as PostgreSQL writes them. No Python rows.

The figures are exact: whole numbers add up beyond 64 bits, and degrees are added as decimals, so
that the order in which rows are met never shows.
"""

from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    case,
    cast,
    extract,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import JSON, BigInteger, Date, Integer, Numeric, Text, TypeEngine

from app.query.codes import DESIGNATED_CITIES
from app.query.fields import Field, FieldType, edge_columns
from app.query.grouping import Bucket, Group, Grouping, Metric, Work
from app.query.mesh import DIGITS, SQUARE
from app.tables.buckets import (
    band,
    constant,
    in_japan,
    mesh_column,
    mesh_row,
    prefecture,
    whole,
)
from app.tables.encode import json_object, json_text
from app.tables.layout import sql_type
from app.tables.sql import Sorted, Statements


@dataclass(frozen=True, slots=True)
class Groups:
    """One page of groups as PostgreSQL encoded it."""

    body: bytes  # the groups, comma-separated
    count: int
    more: bool
    last: tuple[Any, ...]  # the position of the last group, where more follow
    records: int  # that went into the groups of the page


@dataclass(frozen=True, slots=True)
class Figures:
    """How groups are written: JSON objects, or arrays of texts for CSV."""

    grouping: Grouping
    as_texts: bool = False


def groups(parts: Statements, figures: Figures) -> Select[Any]:
    """One row: the groups as text, how many, whether more follow, the last position, the records."""
    limit = literal(parts.question.limit, BigInteger(), literal_execute=True)
    grouped = _grouped(parts, figures.grouping)
    order = _order(grouped, figures.grouping)
    position = func.json_build_array(*(_exact(by, kind) for by, _, kind in order))
    statement = select(
        _document(grouped, figures).label("document"),
        position.label("position"),
        grouped.c.records,
    ).order_by(*(by.asc() for by, _, _ in order))  # nulls last, as ascending puts them
    if parts.question.after is not None:
        statement = statement.where(parts.behind(order))
    ordered = statement.limit(limit + literal(1, literal_execute=True)).subquery("ordered")
    numbered = select(func.row_number().over().label("n"), ordered).subquery("page")
    on_page = numbered.c.n <= limit
    return select(
        func.string_agg(numbered.c.document, literal(",")).filter(on_page),
        func.least(func.count(), limit),
        func.count() > limit,
        func.max(cast(numbered.c.position, Text())).filter(numbered.c.n == limit),
        cast(func.coalesce(func.sum(numbered.c.records).filter(on_page), 0), BigInteger()),
    )


@dataclass(frozen=True, slots=True)
class BaseCells:
    """The finest groups of a dataset whose records are only counted."""

    groups: tuple[Group, ...]
    people: Field | None  # whose sum is the people of a cell; None: each record is one
    most: int


def base_cells(parts: Statements, wanted: BaseCells) -> Select[Any]:
    """One row: the cells with somebody in them as text, and how many there are.

    Of each the ranks of its values, the values as JSON text, the people, the records. A number of
    people below nought is none.
    """
    keys = [key_of(parts, each).label(f"k{at}") for at, each in enumerate(wanted.groups)]
    people = literal(1, Integer()) if wanted.people is None else parts.column(wanted.people)
    rows = (
        select(*keys, people.label("people"))
        .select_from(parts.rows())
        .where(*parts.conditions(), people > whole(0))
        .subquery("rows")
    )
    by = [rows.c[key.name] for key in keys]
    counted = func.sum(rows.c.people).label("people"), func.count().label("records")
    cells = (
        select(*by, *counted)
        .group_by(*by)
        .limit(literal(wanted.most + 1, BigInteger(), literal_execute=True))
        .subquery("cells")
    )
    found = [cells.c[key.name] for key in keys]
    ranks = [func.dense_rank().over(order_by=key) for key in found]
    texts = [_key_text(each, key) for each, key in zip(wanted.groups, found, strict=True)]
    told = func.json_build_array(*ranks, *texts, cells.c.people, cells.c.records)
    each = select(cast(told, Text()).label("told")).subquery("each")
    return select(func.string_agg(each.c.told, literal(",")), func.count())


def _grouped(parts: Statements, grouping: Grouping) -> Subquery:
    """Keys k0…, figures m0… and the number of records of each group."""
    keys = [key_of(parts, each).label(f"k{at}") for at, each in enumerate(grouping.groups)]
    values = [
        parts.column(each.field).label(f"v{at}")
        for at, each in enumerate(grouping.metrics)
        if each.field is not None
    ]
    # Keys are computed once, beneath: their constants are parameters, and two of the same value
    # are not the same to GROUP BY.
    rows = (
        select(*keys, *values, constant("").label("_"))
        .select_from(parts.rows())
        .where(*parts.conditions())
        .subquery("rows")
    )
    by = [rows.c[key.name] for key in keys]
    worked = [_figure(rows, at, each).label(f"m{at}") for at, each in enumerate(grouping.metrics)]
    return (
        select(*by, *worked, func.count().label("records"))
        .select_from(rows)
        .group_by(*by)
        .subquery("grouped")
    )


def _figure(rows: Subquery, at: int, metric: Metric) -> ColumnElement[Any]:
    if metric.field is None:
        return func.count()
    column = rows.c[f"v{at}"]
    match metric.work:
        case Work.COUNT:
            return func.count(column)
        case Work.DISTINCT:
            return func.count(column.distinct())
        case Work.SUM:
            return func.sum(_added(metric.field, column))
        case Work.AVG:
            return func.avg(_added(metric.field, column))
        case Work.MIN:
            return func.min(column)
        case Work.MAX:
            return func.max(column)
        case _:
            assert_never(metric.work)


def _added(field: Field, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A whole number is added as it is; doubles as the decimals that they were written as."""
    return column if field.type is FieldType.INTEGER else cast(column, Numeric())


def _order(grouped: Subquery, grouping: Grouping) -> list[Sorted]:
    return [
        (grouped.c[f"k{at}"], False, sql_type(each.key.type))
        for at, each in enumerate(grouping.groups)
    ]


def _exact(column: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """A key that survives JSON: a long decimal would not as a number."""
    return cast(column, Text()) if isinstance(kind, Numeric) else column


def _document(grouped: Subquery, figures: Figures) -> ColumnElement[str]:
    grouping = figures.grouping
    by = [
        (each.name, _key_text(each, grouped.c[f"k{at}"])) for at, each in enumerate(grouping.groups)
    ]
    values = [
        (each.name, _figure_text(each, grouped.c[f"m{at}"]))
        for at, each in enumerate(grouping.metrics)
    ]
    if not figures.as_texts:
        return json_object([("by", json_object(by)), ("values", json_object(values))])
    cells = [_plain(each) for _, each in (*by, *values)]
    return cast(func.json_build_array(*cells), Text())


def _plain(json: ColumnElement[str]) -> ColumnElement[str]:
    """The text of a JSON value, whatever it is."""
    return cast(json, JSON()).op("#>>", return_type=Text())(cast(constant("{}"), ARRAY(Text())))


def _figure_text(metric: Metric, column: ColumnElement[Any]) -> ColumnElement[str]:
    if metric.work in (Work.SUM, Work.AVG):
        column = func.trim_scale(column)
    return json_text(metric.value, column)


def _key_text(group: Group, key: ColumnElement[Any]) -> ColumnElement[str]:
    """The group's value as JSON text: years, months and squares are text, as fields of them are."""
    word = Field(group.name, "", "", FieldType.TEXT)
    match group.bucket:
        case Bucket.YEAR | Bucket.FISCAL_YEAR:
            return json_text(word, func.lpad(cast(key, Text()), whole(4), constant("0")))
        case Bucket.MONTH:
            return json_text(word, func.to_char(key, constant("YYYY-MM")))
        case Bucket.MESH:
            digits = DIGITS[group.level - 1]
            return json_text(word, func.lpad(cast(key, Text()), whole(digits), constant("0")))
        case _:
            return json_text(group.key, key)


def key_of(parts: Statements, group: Group) -> ColumnElement[Any]:
    """What records are grouped by."""
    if group.bucket is Bucket.MESH:
        return _mesh(*_middle(parts, group.field), group.level)
    if group.field is None:
        raise LookupError("only a mesh may do without a field")
    column = parts.column(group.field)
    if group.bucket in (Bucket.MUNICIPALITY, Bucket.PREFECTURE):
        return _body(column, group.bucket)
    if group.bucket is Bucket.BIN:
        return band(column, group.width)
    return _time(group, column)


def _time(group: Group, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A time's bucket in Japan, or the value as it is."""
    is_date = group.field is not None and group.field.type is FieldType.DATE
    moment = in_japan(column, is_date=is_date)
    match group.bucket:
        case Bucket.YEAR:
            return cast(extract("year", moment), BigInteger())
        case Bucket.FISCAL_YEAR:
            three_months = text("interval '3 months'")
            return cast(extract("year", moment - three_months), BigInteger())
        case Bucket.WEEKDAY:
            return cast(extract("isodow", moment), BigInteger())
        case Bucket.MONTH:
            return cast(func.date_trunc(constant("month"), moment), Date())
        case Bucket.DAY:
            return column if is_date else cast(moment, Date())
        case Bucket.HOUR:
            return func.date_trunc(constant("hour"), column)  # Japan's offset is of whole hours
        case _:
            return column


def _body(column: ColumnElement[Any], bucket: Bucket) -> ColumnElement[Any]:
    """A local government code's designated city or prefecture, as `app.query.codes` has them."""
    if bucket is Bucket.PREFECTURE:
        return prefecture(column)
    wards = [
        (
            and_(column >= constant(city), column < constant(f"{city[:2]}2")),
            constant(city),
        )
        for city in reversed(DESIGNATED_CITIES)
    ]
    return case(*wards, else_=column)


def _middle(
    parts: Statements, field: Field | None
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Latitude and longitude: the record's point, or the middle of a geometry's bounds."""
    if field is None:
        return parts.place()
    west, south, east, north = (
        parts.column(Field(field.name, edge, "", FieldType.LATITUDE))
        for edge in edge_columns(field)
    )
    return (south + north) / 2, (west + east) / 2


def _mesh(
    latitude: ColumnElement[Any], longitude: ColumnElement[Any], level: int
) -> ColumnElement[Any]:
    """The square's code as a number, computed as `app.query.mesh` does."""
    row, column = mesh_row(latitude), mesh_column(longitude)
    square = whole(SQUARE)
    digits = [row // square * whole(100) + column // square]
    for side, parted in ((80, 8), (8, 10))[: level - 1]:
        digits += [_digit(row, side, parted), _digit(column, side, parted)]
    for side in (4, 2, 1)[: max(0, level - 3)]:
        digits.append(whole(1) + _digit(column, side, 2) + whole(2) * _digit(row, side, 2))
    code = digits[0]
    for digit in digits[1:]:
        code = code * whole(10) + digit
    inside = [row >= whole(0), row < whole(100 * SQUARE), column >= whole(0)]
    return case((and_(*inside, column < whole(80 * SQUARE)), code))


def _digit(eighths: ColumnElement[Any], side: int, parted: int) -> ColumnElement[Any]:
    return eighths // whole(side) % whole(parted)
