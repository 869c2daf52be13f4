"""How SQL Server says what `query.matches` means. Asks no server, and imports no driver.

Its collations take much for equal, and every one of them a text for the same with blanks behind
it; so texts are compared as their bytes.
"""

from decimal import Decimal
from typing import Any, Final

from sqlalchemy import DATE, Integer, bindparam, case, cast, column
from sqlalchemy.dialects.mssql import DATETIME2, DATETIMEOFFSET, NVARCHAR, VARBINARY, VARCHAR
from sqlalchemy.dialects.mssql.base import MSDialect, MSIdentifierPreparer
from sqlalchemy.sql.elements import ColumnElement

from app.connectors.sql_reading import Asked, Cell, Column, Holds, Tongue, signs

_MOST_DIGITS: Final = 38
_MOST_LETTERS: Final = 1_900  # of UTF-16, each with a backslash before it: a pattern has 4,000
_UTF8: Final = "Latin1_General_100_BIN2_UTF8"  # since SQL Server 2019
_BINARY: Final = "Latin1_General_BIN2"
_MILLISECONDS: Final[Any] = DATETIME2(3)  # type: ignore[no-untyped-call]
_MICROSECONDS: Final[Any] = DATETIME2(6)  # type: ignore[no-untyped-call]
_INSTANT: Final[Any] = DATETIMEOFFSET(6)  # type: ignore[no-untyped-call]
_BYTES: Final[Any] = VARBINARY("max")  # type: ignore[no-untyped-call]


class _Quoting(MSIdentifierPreparer):
    """Every name, whatever words a version keeps for itself."""

    def _requires_quotes(self, value: str) -> bool:
        del value
        return True

    def _escape_identifier(self, value: str) -> str:
        """With its percents doubled, as the rest of a statement has them: it leaves them else."""
        return value.replace("]", "]]").replace("%", "%%")


class MsSql(MSDialect):
    """Of 2012 and later, whoever is asked: OFFSET and FETCH, and no text or image."""

    supports_statement_cache = True
    preparer = _Quoting
    _supports_offset_fetch = True

    def __init__(self) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            paramstyle="format", deprecate_large_types=True
        )


class Words(Tongue):
    """`knows_utf8`: whether the server has the one collation whose bytes are in our order."""

    def __init__(self, *, knows_utf8: bool = True) -> None:
        self.orders_texts = knows_utf8

    def cell(self, asked: Asked, found: Column) -> Cell:
        """A column; a time as far as we can tell it: of more digits, and of ticks of 1/300 s, none
        would be what was read of it."""
        del asked
        cell: Cell = column(found.name)
        match found.type:
            case type_ if found.holds is Holds.DATE and type_ != "date":
                return cast(cell, DATE())
            case "datetime" | "smalldatetime":
                return cast(cell, _MILLISECONDS)
            case "datetime2(7)":
                return cast(cell, _MICROSECONDS)
            case "datetimeoffset(7)":
                return cast(cell, _INSTANT)
            case _:
                return cell

    def by_code_point(self, text: Cell) -> Cell:
        """Bytes of UTF-8 are in the order of code points; those of UTF-16 are equal or not."""
        wide: Cell = cast(text, NVARCHAR())
        if self.orders_texts:
            wide = cast(wide.collate(_UTF8), VARCHAR())
        return cast(wide, _BYTES)

    def has(self, text: str) -> bool:
        """What a pattern has room for, once each of it is taken as it is."""
        return len(text.encode("utf-16-le")) // 2 <= _MOST_LETTERS

    def has_like(self, pattern: str) -> bool:
        """Of 𠮷 its `_` takes half."""
        return "_" not in signs(pattern)

    def like(self, text: Cell, pattern: str) -> Cell:
        """In a collation that takes nothing for another; it has one sign more than others."""
        return cast(text, NVARCHAR()).collate(_BINARY).like(_bracketed(pattern), escape="\\")

    def number(self, value: Decimal) -> Decimal | float:
        """Of 38 digits at most."""
        _, digits, exponent = value.as_tuple()
        before, after = len(digits) + int(exponent), max(0, -int(exponent))
        fits = max(before, 0) + after <= _MOST_DIGITS
        return value if fits else float(value)

    def is_so(self, cell: Cell, wanted: bool) -> ColumnElement[bool]:
        """It has bits."""
        return cell == bindparam(None, int(wanted), Integer())

    def ordered(self, cell: Cell, *, descending: bool) -> tuple[Cell, ...]:
        """It has no word for where what is unknown goes."""
        unknown: Any = case((cell.is_(None), 1), else_=0)
        return unknown, cell.desc() if descending else cell.asc()


WORDS: Final = Words()


def holds(type_: str) -> Holds:
    """What a type of its catalogue holds."""
    return _HOLDS.get(type_.partition("(")[0], Holds.OTHER)


# text and ntext cannot be compared; time, uniqueidentifier, xml and the rest are read as texts.
_HOLDS: Final = {
    **dict.fromkeys(("varchar", "nvarchar"), Holds.TEXT),
    **dict.fromkeys(("char", "nchar"), Holds.PADDED),
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), Holds.INTEGER),
    **dict.fromkeys(("decimal", "numeric", "money", "smallmoney"), Holds.DECIMAL),
    **dict.fromkeys(("float", "real"), Holds.FLOAT),
    **dict.fromkeys(("datetime", "smalldatetime", "datetime2"), Holds.MOMENT),
    **dict.fromkeys(("binary", "varbinary", "image", "timestamp", "rowversion"), Holds.BINARY),
    **dict.fromkeys(("geometry", "geography"), Holds.SHAPE),
    "bit": Holds.BOOLEAN, "date": Holds.DATE, "datetimeoffset": Holds.INSTANT,
}  # fmt: skip


def _bracketed(pattern: str) -> str:
    """The pattern with [ as it is."""
    made, is_escaped = [], False
    for sign in pattern:
        made.append("\\[" if sign == "[" and not is_escaped else sign)
        is_escaped = sign == "\\" and not is_escaped
    return "".join(made)
