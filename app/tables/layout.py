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
    Date,
    DateTime,
    Double,
    Index,
    MetaData,
    Numeric,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.types import TypeEngine

from app.query.fields import Field, FieldType, place_of

SCHEMA: Final = "hosted"
ROW: Final = "_row"  # 1-based position in the file, then in order of arrival
LINE: Final = "_line"  # source line
ORIGINAL: Final = "_original"  # JSON of the cells as they came, where normalising changed them
SINCE: Final = "_since"  # first revision that holds the row
UNTIL: Final = "_until"  # first revision that no longer does
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
        Column(SINCE, BigInteger(), nullable=False, server_default=text("0")),
        Column(UNTIL, BigInteger()),
        *(Column(field.column, sql_type(field.type)) for field in fields),
    )
    _indexes(table, fields)
    return table


def place_columns(fields: Sequence[Field]) -> tuple[str, str] | None:
    """The columns of latitude and longitude, where the dataset has both."""
    place = place_of(fields)
    return (place[0].column, place[1].column) if place else None


def _indexes(table: Table, fields: Sequence[Field]) -> None:
    """Position; the key, unique among rows in force; the place; codes, each with the position.

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
    codes = [f for f in fields if f.type in _INDEXED and [f.column] != keys]
    for field in codes[:_MOST_INDEXES]:
        Index(f"{table.name}_{field.column}", table.c[field.column], table.c[ROW])
