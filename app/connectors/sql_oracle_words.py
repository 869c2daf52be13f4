"""How Oracle says what `query.matches` means. Asks no server, and imports no driver.

To it '' is null, a char has its blanks, and a date a time.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Text, bindparam, cast, column, func, literal_column
from sqlalchemy.dialects.oracle import TIMESTAMP
from sqlalchemy.dialects.oracle.base import (
    OracleCompiler,
    OracleDialect,
    OracleIdentifierPreparer,
)
from sqlalchemy.sql.elements import ColumnElement

from app.connectors.sql_reading import Asked, Cell, Column, Holds, Tongue

_MOST_DIGITS: Final = 38
_MOST_BYTES: Final = 4_000  # of a text that is compared
_MICROSECONDS: Final = 6
_MOMENT: Final[Cell] = literal_column("'YYYY-MM-DD HH24:MI:SS.FF6'")
_DAY: Final[Cell] = literal_column("'YYYY-MM-DD'")
_INSTANT: Final[Cell] = literal_column("'YYYY-MM-DD HH24:MI:SS.FF6TZH:TZM'")


class _Quoting(OracleIdentifierPreparer):
    """Every name as the catalogue has it: one of small letters would go unquoted else, in capitals."""

    def _requires_quotes(self, value: str) -> bool:
        del value
        return True


class _Compiler(OracleCompiler):
    """Of any version: until 23ai there are no words for true and false."""

    def visit_true(self, expr: Any, **kw: Any) -> str:
        """What is so of every row."""
        del expr, kw
        return "1 = 1"

    def visit_false(self, expr: Any, **kw: Any) -> str:
        """What is so of none."""
        del expr, kw
        return "1 = 0"


class Oracle(OracleDialect):
    """Of 12.1 and later: the driver speaks with none before."""

    supports_statement_cache = True
    preparer = _Quoting
    statement_compiler = _Compiler

    def __init__(self) -> None:
        super().__init__(paramstyle="numeric")


class Words(Tongue):
    """`is_unicode`: whether its texts are in UTF-8, so that it has every one, and in our order."""

    def __init__(self, *, is_unicode: bool = True) -> None:
        self.has_code_points = self.orders_texts = is_unicode

    def cell(self, asked: Asked, found: Column) -> Cell:
        """A column: a char without its blanks, a time as far as we can tell it."""
        del asked
        cell: Cell = column(found.name)
        if found.holds is Holds.PADDED:
            return func.rtrim(cell)
        if found.holds is Holds.DATE:
            return func.trunc(cell)
        if found.type.startswith("TIMESTAMP") and _digits(found.type) > _MICROSECONDS:
            # TIMESTAMP(9) would be no microsecond that was read of it.
            is_instant = found.holds is Holds.INSTANT
            return cast(cell, _TIMES[is_instant])
        is_wide = found.type.startswith("NVARCHAR")  # UTF-16, which has another order
        return func.to_char(cell) if is_wide and self.orders_texts else cell

    def has(self, text: str) -> bool:
        """'' it has not; where it is not in UTF-8, nor do we know what else, and what it has not
        becomes a question mark."""
        if not text or len(text.encode()) > _MOST_BYTES:
            return False
        return self.has_code_points or (text.isascii() and "?" not in text)

    def has_like(self, pattern: str) -> bool:
        """Of texts in UTF-8."""
        del pattern
        return self.has_code_points

    def like(self, text: Cell, pattern: str) -> Cell:
        """A backslash before a sign that needs none is an error to it."""
        return super().like(text, _escaped(pattern))

    def number(self, value: Decimal) -> Decimal | float:
        """Of 38 digits at most."""
        _, digits, exponent = value.as_tuple()
        before, after = len(digits) + int(exponent), max(0, -int(exponent))
        return value if max(before, 0) + after <= _MOST_DIGITS else float(value)

    def about(self, value: float) -> Cell:
        """As binary: its numbers end at 1e126."""
        return func.to_binary_double(bindparam(None, repr(value), Text()))

    def moment(self, value: datetime, found: Column) -> Cell:
        """As a text: its driver would bind a date without the fraction of its second."""
        if found.holds is Holds.INSTANT:
            told = value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
            return func.to_timestamp_tz(bindparam(None, f"{told}+00:00", Text()), _INSTANT)
        told = value.isoformat(" ", "microseconds")
        return func.to_timestamp(bindparam(None, told, Text()), _MOMENT)

    def day(self, value: date) -> Cell:
        """As a text."""
        return func.to_date(bindparam(None, value.isoformat(), Text()), _DAY)

    def is_so(self, cell: Cell, wanted: bool) -> ColumnElement[bool]:
        """Since 23ai it has booleans."""
        return cell == literal_column("TRUE" if wanted else "FALSE")


_TIMES: Final = {False: TIMESTAMP(), True: TIMESTAMP(timezone=True)}
WORDS: Final = Words()


def holds(type_: str, scale: int | None) -> Holds:
    """What a type of its catalogue holds."""
    if type_ == "NUMBER":
        return Holds.INTEGER if scale == 0 else Holds.DECIMAL
    if type_.startswith("TIMESTAMP"):
        return Holds.INSTANT if "TIME ZONE" in type_ else Holds.MOMENT
    return _HOLDS.get(type_, Holds.OTHER)


# A clob cannot be compared.
_HOLDS: Final = {
    "VARCHAR2": Holds.TEXT, "NVARCHAR2": Holds.TEXT, "CHAR": Holds.PADDED, "NCHAR": Holds.PADDED,
    "FLOAT": Holds.DECIMAL, "BINARY_FLOAT": Holds.FLOAT, "BINARY_DOUBLE": Holds.FLOAT,
    "DATE": Holds.MOMENT, "BOOLEAN": Holds.BOOLEAN, "RAW": Holds.BINARY, "BLOB": Holds.BINARY,
    "SDO_GEOMETRY": Holds.SHAPE,
}  # fmt: skip


def _digits(type_: str) -> int:
    told = type_.partition("(")[2].partition(")")[0]
    return int(told) if told.isdigit() else _MICROSECONDS


def _escaped(pattern: str) -> str:
    made, is_escaped = [], False
    for sign in pattern:
        if is_escaped:
            made.append(f"\\{sign}" if sign in "\\%_" else sign)
        elif sign != "\\":
            made.append(sign)
        is_escaped = sign == "\\" and not is_escaped
    return "".join(made)
