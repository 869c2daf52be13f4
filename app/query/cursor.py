"""Cursors: where the next page begins, opaque to the client, checked when it comes back.

A cursor grants nothing: it only names a position, and every value in it is bound as a parameter.
"""

import base64
import binascii
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson

from app.query.fields import FieldType
from app.query.literals import NotOfType, read_literal
from app.query.question import Order
from app.query.refusals import InvalidCursor


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in one unchanging set of rows. `after` ends in the row number."""

    dataset_id: str
    version: int
    revision: int
    order: str  # the sort that the position belongs to
    after: tuple[Any, ...]


def encode(cursor: Cursor) -> str:
    """The cursor as URL-safe text."""
    parts = [cursor.dataset_id, cursor.version, cursor.revision, cursor.order, *cursor.after]
    packed = orjson.dumps(parts, default=str)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


@lru_cache(maxsize=1_024)  # each hop that needs the position reads it anew
def decode(text: str, *, dataset_id: str) -> Cursor:
    """Read a cursor of this dataset. Raises `InvalidCursor`."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        parts = orjson.loads(packed)
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
    match parts:
        case [str(named), int(version), int(revision), str(order), *after] if (
            named == dataset_id and 0 <= version < 2**31 and 0 <= revision < 2**63 and after
        ):
            return Cursor(named, version, revision, order, tuple(after))
    raise InvalidCursor


def read_position(
    cursor: Cursor, order: tuple[Order, ...], signature: str, *, near: bool
) -> tuple[Any, ...]:
    """The cursor's values typed for the sort they belong to. Raises `InvalidCursor`."""
    extra = 2 if near else 1  # the distance, and the row number
    if cursor.order != signature or len(cursor.after) != len(order) + extra:
        raise InvalidCursor
    *sorted_by, row = cursor.after
    if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < 2**63:
        raise InvalidCursor
    if near:
        distance = sorted_by.pop(0)
        if not isinstance(distance, int | float) or isinstance(distance, bool):
            raise InvalidCursor
        return (float(distance), row)
    try:
        values = [
            None if value is None else read_literal(by.field, value)
            for by, value in zip(order, sorted_by, strict=True)
        ]
    except NotOfType:
        raise InvalidCursor from None
    whole = zip(order, values, strict=True)
    if any(by.field.type is FieldType.INTEGER and isinstance(at, Decimal) for by, at in whole):
        raise InvalidCursor  # no row has a number beyond 64 bits or a part of one
    return (*values, row)
