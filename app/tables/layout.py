"""The physical form of a hosted version: one typed table, its columns and indexes.

It must never hold a name from outside as an identifier: columns are c001…, tables are named by us.
"""

from collections.abc import Sequence
from typing import Any, Final, assert_never
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Double,
    FromClause,
    Index,
    MetaData,
    Numeric,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.types import TypeEngine

from app.query.fields import Field, FieldType, edge_columns, geometry_of, place_of

SCHEMA: Final = "hosted"
ROW: Final = "_row"  # 1-based position in the file, then in order of arrival
LINE: Final = "_line"  # source line
ORIGINAL: Final = "_original"  # JSON of the cells as they came, where normalising changed them
EXTRAS: Final = "_extras"  # JSON of the cells that no field takes, by their heading
SINCE: Final = "_since"  # first revision that holds the row
UNTIL: Final = "_until"  # first revision that no longer does
# The row number as a field that no dataset can have declared: conditions may speak of it, nobody
# from outside can.
ROW_NUMBER: Final = Field("#row", ROW, "", FieldType.INTEGER)
_INDEXED: Final = frozenset({FieldType.CODE, FieldType.LOCAL_GOVERNMENT_CODE})
_MOST_INDEXES: Final = 8


def table_name(run_or_version: UUID) -> str:
    """The name of a version's table."""
    return f"v_{run_or_version.hex}"


def sql_type(field_type: FieldType) -> TypeEngine[Any]:
    """The column type that holds a field."""
    match field_type:
        case FieldType.INTEGER:
            return BigInteger()
        case FieldType.DECIMAL:
            return Numeric()
        case FieldType.BOOLEAN:
            return Boolean()
        case FieldType.DATE:
            return Date()
        case FieldType.DATETIME:
            return DateTime(timezone=True)
        case FieldType.LATITUDE | FieldType.LONGITUDE:
            return Double()
        case (
            FieldType.TEXT
            | FieldType.CODE
            | FieldType.LOCAL_GOVERNMENT_CODE
            | FieldType.PHONE
            | FieldType.POSTAL_CODE
            | FieldType.URL
            | FieldType.EMAIL
            | FieldType.KANA
            | FieldType.TIME
            | FieldType.MONTH
            | FieldType.FISCAL_YEAR
            | FieldType.GEOMETRY
        ):
            return Text()
        case _:
            assert_never(field_type)


def hosted_table(name: str, fields: Sequence[Field]) -> Table:
    """The version's table as SQLAlchemy sees it, with its indexes (`_indexes` says which)."""
    table = Table(
        name,
        MetaData(schema=SCHEMA),
        Column(ROW, BigInteger(), nullable=False),
        Column(LINE, BigInteger()),
        Column(ORIGINAL, Text()),
        Column(EXTRAS, Text()),
        Column(SINCE, BigInteger(), nullable=False, server_default=text("0")),
        Column(UNTIL, BigInteger()),
        *(Column(name, kind) for field in fields for name, kind in _columns(field)),
    )
    _indexes(table, fields)
    return table


def _columns(field: Field) -> list[tuple[str, TypeEngine[Any]]]:
    found = [(field.column, sql_type(field.type))]
    if field.type is FieldType.GEOMETRY:
        found += [(edge, Double()) for edge in edge_columns(field)]
    return found


def value_columns(fields: Sequence[Field]) -> list[str]:
    """Every column that holds a value of the fields, or what follows from one."""
    return [name for field in fields for name, _ in _columns(field)]


def geometry_edges(fields: Sequence[Field]) -> tuple[str, str, str, str] | None:
    """The edges of the geometry that is the records' place, where there is one."""
    geometry = geometry_of(fields)
    return edge_columns(geometry) if geometry is not None else None


def box_of(rows: FromClause, edges: tuple[str, str, str, str]) -> ColumnElement[Any]:
    """The bounds as a box: the expression that is indexed."""
    west, south, east, north = (rows.c[edge] for edge in edges)
    return func.box(func.point(west, south), func.point(east, north))


def place_columns(fields: Sequence[Field]) -> tuple[str, str] | None:
    """The columns of latitude and longitude, where the dataset has both."""
    place = place_of(fields)
    return (place[0].column, place[1].column) if place else None


def _indexes(table: Table, fields: Sequence[Field]) -> None:
    """Position; the key, unique among rows in force; the place; codes; beginnings and ends.

    The key's index ends in `_until`, whose nulls are alike: one row in force for each key, and
    the index serves readers of every revision (a partial one would serve none of them).
    """
    Index(f"{table.name}_row", table.c[ROW])
    keys = [field.column for field in fields if field.key]
    if keys:
        Index(
            f"{table.name}_key",
            *(table.c[column] for column in keys),
            table.c[UNTIL],
            unique=True,
            postgresql_nulls_not_distinct=True,
        )
    place = place_columns(fields)
    if place is not None:
        latitude, longitude = (table.c[column] for column in place)
        Index(f"{table.name}_place", func.point(longitude, latitude), postgresql_using="gist")
    edges = geometry_edges(fields)
    if edges is not None:
        Index(f"{table.name}_box", box_of(table, edges), postgresql_using="gist")
    # A batch's changes are the rows that begin or end with it: few, and none while nothing is
    # written.
    since, until = table.c[SINCE], table.c[UNTIL]
    Index(f"{table.name}_since", since, table.c[ROW], postgresql_where=since > 0)
    Index(f"{table.name}_until", until, table.c[ROW], postgresql_where=until.is_not(None))
    codes = [f for f in fields if f.type in _INDEXED and [f.column] != keys]
    for field in codes[:_MOST_INDEXES]:
        Index(f"{table.name}_{field.column}", table.c[field.column], table.c[ROW])
