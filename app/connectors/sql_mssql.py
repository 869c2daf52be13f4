"""SQL Server for the kind `sql`: rows of one connection. Never writes, and goes where nobody sends it."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import cast, func, literal, literal_column
from sqlalchemy.dialects.mssql import DATETIME2, NVARCHAR
from sqlalchemy.sql.selectable import TableClause

from app.connectors.errors import SourceChanged
from app.connectors.frame import Means
from app.connectors.sql_lines import CONNECT_SECONDS
from app.connectors.sql_mssql_wire import Connection, told
from app.connectors.sql_mssql_words import MsSql, Words, holds
from app.connectors.sql_reading import Asked, Cell, Column, Holds, zone
from app.connectors.sql_rows import ByRows, Make
from app.connectors.sql_shapes import SqlSettings
from app.connectors.sql_threads import Thread

_DIALECT: Final = MsSql()
_DATETIME2: Final[Any] = DATETIME2(7)  # type: ignore[no-untyped-call]
# A table's columns, with what was said of them (MS_Description) and those of its key.
_COLUMNS: Final = """
SELECT o.name, c.name, t.name, c.max_length, c.precision, c.scale,
  CAST(d.value AS nvarchar(4000)), CASE WHEN k.column_id IS NULL THEN 0 ELSE 1 END
FROM sys.objects o JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.columns c ON c.object_id = o.object_id
JOIN sys.types t ON t.user_type_id =
  CASE WHEN c.system_type_id = 240 THEN c.user_type_id ELSE c.system_type_id END
LEFT JOIN sys.extended_properties d ON d.class = 1 AND d.major_id = c.object_id
  AND d.minor_id = c.column_id AND d.name = 'MS_Description'
LEFT JOIN (sys.index_columns k JOIN sys.indexes i ON i.object_id = k.object_id
  AND i.index_id = k.index_id AND i.is_primary_key = 1)
  ON k.object_id = c.object_id AND k.column_id = c.column_id
WHERE s.name = %s AND o.name = %s AND o.type IN ('U', 'V') ORDER BY c.column_id
"""
_TABLES: Final = """
SELECT TOP (%s) s.name, o.name FROM sys.objects o JOIN sys.schemas s ON s.schema_id = o.schema_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 ORDER BY 1, 2
"""
_TOLD_BY_SCALE: Final = ("datetime2", "datetimeoffset", "time")
_OF_TWO_BYTES: Final = ("nchar", "nvarchar")
_OF_LENGTH: Final = (*_OF_TWO_BYTES, "char", "varchar", "binary", "varbinary")


@asynccontextmanager
async def reading(
    settings: SqlSettings, means: Means, seconds: int, charset: str | None = None
) -> AsyncIterator["MsSqlReading"]:
    """Over one connection to an address that was judged."""
    del charset
    thread, host = Thread(), settings.source
    made = Connection(settings, seconds)
    thread.stop = made.stop
    try:
        with told(host):
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await means.outbound.addresses(
                    host, settings.asked_port, is_plain=settings.tls == "off"
                )
                await thread.run(made.open, found)
        yield MsSqlReading(made, thread, host)
    finally:
        await thread.close(made.close)


class MsSqlReading(ByRows):
    """What one connection reads."""

    dialect = _DIALECT

    def __init__(self, line: Connection, thread: Thread, host: str) -> None:
        super().__init__(line, thread, host)
        self.tongue = Words(knows_utf8=line.knows_utf8)

    def told(self, about: str = "-") -> AbstractContextManager[None]:
        """What the driver and the server say, as it is said of a source."""
        return told(self._host, about)

    async def columns(self, schema: str, name: str) -> list[Column]:
        """As the server tells them, which knows no table that we may not read."""
        with self.told(name):
            return [_column(each) for each in await self.found(_COLUMNS, schema, name)]

    async def tables(self, most: int) -> list[tuple[str, str]]:
        """Of this database, but for the server's own."""
        with self.told():
            return [(each[0], each[1]) for each in await self._few(_TABLES, (most,))]

    def shown(self, asked: Asked, found: Column) -> Cell:
        """A column as it is read: what the driver has no value for as a text."""
        cell = self.tongue.cell(asked, found)
        match found.holds:
            case Holds.BINARY:
                return func.convert(literal_column("varchar(max)"), cell, literal_column("2"))
            case Holds.SHAPE:
                name = found.name.replace("]", "]]")
                return literal_column(f"[{name}].STAsText()")
            case Holds.OTHER:
                return cast(cell, NVARCHAR())
            case Holds.TEXT | Holds.PADDED if not found.type.startswith("n"):
                return cast(cell, NVARCHAR())  # the server knows its code pages best
            case _:
                return cell

    def maker(self, asked: Asked, found: Column) -> Make:
        """What makes a value of what the driver gives."""
        place = zone(asked.time_zone)
        if found.holds is Holds.MOMENT:
            return lambda value: value.replace(tzinfo=place)
        return _shortest if found.type == "real" else _as_it_is

    def marked(self, top: Cell, found: Column) -> Cell:
        """Times to their last digit; a rowversion as its digits."""
        if found.holds in (Holds.DATE, Holds.MOMENT):
            top = top if found.type == "date" else cast(top, _DATETIME2)
            return func.convert(literal_column("nvarchar(40)"), top, literal_column("126"))
        if found.holds is Holds.INSTANT:
            return func.convert(literal_column("nvarchar(40)"), top, literal_column("127"))
        if found.holds is Holds.BINARY:
            return func.convert(literal_column("nvarchar(40)"), top, literal_column("1"))
        return cast(top, NVARCHAR())

    async def since(self, relation: TableClause, found: Column, mark: Any, overlap: int) -> Cell:
        """The mark, less so many or so many seconds."""
        del relation
        if found.holds in (Holds.INTEGER, Holds.DECIMAL):
            return literal(Decimal(str(mark)) - overlap)
        if found.holds in _MARKS:
            type_, style = _MARKS[found.holds]
            told = func.convert(literal_column(type_), literal(str(mark)), literal_column(style))
            return func.dateadd(literal_column("second"), literal(-overlap), told)
        if overlap:
            raise SourceChanged(source=self._host, at="shape", detail=found.name)
        if found.holds is Holds.BINARY:
            return func.convert(
                literal_column("varbinary(8)"), literal(str(mark)), literal_column("1")
            )
        return literal(str(mark))


_MARKS: Final = {
    Holds.DATE: ("datetime2(7)", "126"), Holds.MOMENT: ("datetime2(7)", "126"),
    Holds.INSTANT: ("datetimeoffset(7)", "127"),
}  # fmt: skip


def _column(told: tuple[Any, ...]) -> Column:
    _, name, type_, length, precision, scale, comment, key = told
    full = type_
    if type_ in _OF_LENGTH:
        most = length // 2 if type_ in _OF_TWO_BYTES else length
        full = f"{type_}({'max' if length < 0 else most})"
    elif type_ in _TOLD_BY_SCALE:
        full = f"{type_}({scale})"
    elif type_ in ("decimal", "numeric"):
        full = f"{type_}({precision},{scale})"
    return Column(name, full, holds(full), comment=comment or None, key=bool(key))


def _as_it_is(value: Any) -> Any:
    return value


def _shortest(value: float) -> float:
    """A number of single precision by as few digits as tell it."""
    told = struct.pack("<f", value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if struct.pack("<f", short) == told:
            return short
    return value
