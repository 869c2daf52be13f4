"""What is left of a value under a mask: what PostgreSQL makes of a hosted one, over plain values.

Pure. No value leaves it unmasked.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, assert_never

import orjson

from app.kit.clock import TOKYO
from app.query.codes import prefecture_code
from app.query.fields import FieldType
from app.query.geojson import read_geometry
from app.query.masks import Masked, Way
from app.query.mesh import COLUMNS_A_DEGREE, NUDGE, ROWS_A_DEGREE, SQUARE, WEST

Pads = Mapping[str, tuple[bytes, bytes]]
_DIGITS: Final = 32
_SIDES: Final = (640, 80, 8, 4, 2, 1)
_ROWS: Final = 100 * SQUARE
_COLUMNS: Final = 80 * SQUARE
_LEAST: Final = -(2**63)


def mask_of(masked: Masked, pads: Pads) -> Callable[[Any], Any]:
    """What makes of a value what may leave; of none it makes none."""
    made = _made(masked, pads)
    return lambda value: None if value is None else made(value)


def _made(  # noqa: C901 - one arm for each case of a closed set
    masked: Masked, pads: Pads
) -> Callable[[Any], Any]:
    field, number = masked.field, masked.mask.number
    match masked.mask.way:
        case Way.DROP:
            return lambda _: None
        case Way.PSEUDONYMISE:
            inner, outer = pads[field.column]
            return lambda value: _stand_in(inner, outer, str(value))
        case Way.YEAR if field.type is FieldType.MONTH:
            return lambda value: int(value[:4])
        case Way.YEAR:
            return lambda value: _in_japan(value).year
        case Way.MONTH:
            return lambda value: f"{_in_japan(value):%Y-%m}"
        case Way.PREFECTURE:
            return lambda value: prefecture_code(value[:2])
        case Way.BIN if field.type is FieldType.INTEGER:
            return lambda value: max(int(_band(Decimal(value), number)), _LEAST)
        case Way.BIN:
            return lambda value: _band(value, number)
        case Way.FIRST:
            length = int(number)
            return lambda value: value[:length] if len(value) > length else None
        case Way.ROUND:
            places = Decimal(1).scaleb(-int(number))
            return lambda value: float(Decimal(repr(value)).quantize(places, ROUND_HALF_UP))
        case Way.MESH:
            return _middle(field.type, int(number))
        case _:
            assert_never(masked.mask.way)


def _stand_in(inner: bytes, outer: bytes, text: str) -> str:
    """HMAC-SHA-256 (RFC 2104, 2) of its padded keys."""
    within = hashlib.sha256(inner + text.encode()).digest()
    return hashlib.sha256(outer + within).hexdigest()[:_DIGITS]


def _in_japan(value: date) -> date:
    return value.astimezone(TOKYO) if isinstance(value, datetime) else value


def _band(value: Decimal, width: Decimal) -> Decimal:
    """The lower edge of the band. Not by division: a quotient is rounded."""
    edge = value - (value % width + width) % width
    return edge.normalize() if edge else Decimal(0)


def _middle(kind: FieldType, level: int) -> Callable[[Any], Any]:
    if kind is FieldType.LATITUDE:
        return lambda value: _row_middle(value, level)
    if kind is FieldType.LONGITUDE:
        return lambda value: _column_middle(value, level)
    return lambda value: _point_middle(value, level)


def _point_middle(text: str, level: int) -> str | None:
    shape = read_geometry(text)
    if shape is None:
        return None
    latitude = _row_middle((shape.south + shape.north) / 2, level)
    longitude = _column_middle((shape.west + shape.east) / 2, level)
    if latitude is None or longitude is None:
        return None
    return orjson.dumps({"type": "Point", "coordinates": [longitude, latitude]}).decode()


def _row_middle(latitude: float, level: int) -> float | None:
    middle = _square_middle(math.floor(latitude * ROWS_A_DEGREE + NUDGE), _ROWS, level)
    return None if middle is None else middle / ROWS_A_DEGREE


def _column_middle(longitude: float, level: int) -> float | None:
    at = math.floor((longitude - WEST) * COLUMNS_A_DEGREE + NUDGE)
    middle = _square_middle(at, _COLUMNS, level)
    return None if middle is None else middle / COLUMNS_A_DEGREE + WEST


def _square_middle(at: int, end: int, level: int) -> float | None:
    if not 0 <= at < end:
        return None
    side = _SIDES[level - 1]
    return at - at % side + side / 2
