"""What is left of a column under a mask, as PostgreSQL works it out. No value leaves it unmasked.

The key of a stand-in is a parameter of the statement, never part of its text.
"""

from collections.abc import Sequence
from typing import Any, Final, assert_never

from sqlalchemy import ColumnElement, and_, case, cast, extract, func
from sqlalchemy.types import BigInteger, Double, LargeBinary, Numeric, Text

from app.query.fields import Field, FieldType, edge_columns
from app.query.masks import Mask, Masked, Way
from app.query.mesh import COLUMNS_A_DEGREE, ROWS_A_DEGREE, SQUARE, WEST
from app.tables.buckets import (
    band,
    constant,
    constant_number,
    in_japan,
    mesh_column,
    mesh_row,
    prefecture,
    whole,
)
from app.tables.layout import sql_type
from app.tables.sql import Getter, Statements

_DIGITS: Final = 32  # hexadecimal: 128 bits
_SIDES: Final = (640, 80, 8, 4, 2, 1)  # of a square by its level, in the finest rows or columns
_ROWS: Final = 100 * SQUARE  # the grid ends there
_COLUMNS: Final = 80 * SQUARE
_LEAST: Final = -(2**63)


def shown(parts: Statements, field: Field, masks: Sequence[Masked]) -> ColumnElement[Any]:
    """The field's column, or what its mask leaves of it."""
    for each in masks:
        if each.field.name == field.name:  # a joined one is named after its join
            return _masked(parts, each.field, each.mask)
    return parts.column(field)


def _masked(  # noqa: C901 - one arm for each case of a closed set
    parts: Statements, field: Field, mask: Mask
) -> ColumnElement[Any]:
    column, number = parts.table.c[field.column], int(mask.number)
    match mask.way:
        case Way.DROP:
            return cast(None, sql_type(field.type))
        case Way.PSEUDONYMISE:
            return _stand_in(parts, column, field.column)
        case Way.YEAR if field.type is FieldType.MONTH:
            return cast(func.left(column, whole(4)), BigInteger())
        case Way.YEAR:
            return cast(extract("year", _moment(field, column)), BigInteger())
        case Way.MONTH:
            return func.to_char(_moment(field, column), constant("YYYY-MM"))
        case Way.PREFECTURE:
            return prefecture(column)
        case Way.BIN if field.type is FieldType.INTEGER:
            # The lowest band has no edge that is a number of 64 bits. Of null there is no greatest.
            edge = func.greatest(band(column, mask.number), constant_number(_LEAST))
            return case((column.is_not(None), cast(edge, BigInteger())))
        case Way.BIN:
            return band(column, mask.number)
        case Way.FIRST:
            is_longer = func.char_length(column) > whole(number)
            return case((is_longer, func.left(column, whole(number))))
        case Way.ROUND:
            return cast(func.round(cast(column, Numeric()), whole(number)), Double())
        case Way.MESH:
            return _middle(parts, field, number)
        case _:
            assert_never(mask.way)


def _moment(field: Field, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return in_japan(column, is_date=field.type is FieldType.DATE)


def _stand_in(parts: Statements, column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """HMAC-SHA-256 (RFC 2104) of the value as text; its padded keys come with the reading."""
    inner = parts.bind(_pad(name, 0), LargeBinary())
    outer = parts.bind(_pad(name, 1), LargeBinary())
    value = func.convert_to(cast(column, Text()), constant("UTF8"), type_=LargeBinary())
    digest = _sha256(outer, _sha256(inner, value))
    return func.left(func.encode(digest, constant("hex")), whole(_DIGITS))


def _sha256(key: ColumnElement[Any], message: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.sha256(key.op("||", return_type=LargeBinary())(message), type_=LargeBinary())


def _pad(column: str, at: int) -> Getter:
    return lambda reading: reading.pads[column][at]


def _middle(parts: Statements, field: Field, level: int) -> ColumnElement[Any]:
    """Of a coordinate the middle of its row or column of squares; of a shape the point of both.

    Outside the grid nothing is left.
    """
    if field.type is FieldType.LATITUDE:
        return _row_middle(parts.table.c[field.column], level)
    if field.type is FieldType.LONGITUDE:
        return _column_middle(parts.table.c[field.column], level)
    west, south, east, north = (parts.table.c[edge] for edge in edge_columns(field))
    latitude = _row_middle((south + north) / constant_number(2.0), level)
    longitude = _column_middle((west + east) / constant_number(2.0), level)
    point = func.json_build_object(
        constant("type"), constant("Point"),
        constant("coordinates"), func.json_build_array(longitude, latitude),
    )  # fmt: skip
    known = and_(latitude.is_not(None), longitude.is_not(None))
    return case((known, cast(point, Text())))


def _row_middle(latitude: ColumnElement[Any], level: int) -> ColumnElement[Any]:
    middle = _square_middle(mesh_row(latitude), _ROWS, level)
    return middle / constant_number(float(ROWS_A_DEGREE))


def _column_middle(longitude: ColumnElement[Any], level: int) -> ColumnElement[Any]:
    middle = _square_middle(mesh_column(longitude), _COLUMNS, level)
    return middle / constant_number(float(COLUMNS_A_DEGREE)) + constant_number(float(WEST))


def _square_middle(at: ColumnElement[Any], end: int, level: int) -> ColumnElement[Any]:
    side = _SIDES[level - 1]
    first: ColumnElement[Any] = cast(at - at % whole(side), Double())
    inside = and_(at >= whole(0), at < whole(end))
    return case((inside, first + constant_number(side / 2)))
