"""Oracle for the kind `sql`: a read-only snapshot over one connection. Never writes, and goes where
nobody sends it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import cast, column, func, literal, literal_column
from sqlalchemy.dialects.oracle import TIMESTAMP, VARCHAR2
from sqlalchemy.sql.selectable import TableClause
from sqlalchemy.types import UserDefinedType

from app.connectors.errors import SourceChanged
from app.connectors.frame import Means
from app.connectors.sql_lines import CONNECT_SECONDS
from app.connectors.sql_oracle_wire import Connection, told
from app.connectors.sql_oracle_words import Oracle, Words, holds
from app.connectors.sql_reading import BATCH, MOST_AT_ONCE, Asked, Cell, Column, Holds, zone
from app.connectors.sql_rows import ByRows, Make, either
from app.connectors.sql_shapes import SqlSettings
from app.connectors.sql_threads import Thread

_DIALECT: Final = Oracle()
_COLUMNS: Final = """
SELECT c.table_name, c.column_name, c.data_type, c.data_length, c.data_precision, c.data_scale,
  m.comments, (SELECT COUNT(*) FROM all_constraints k JOIN all_cons_columns n
    ON n.owner = k.owner AND n.constraint_name = k.constraint_name
    WHERE k.constraint_type = 'P' AND k.owner = c.owner AND k.table_name = c.table_name
    AND n.column_name = c.column_name)
FROM all_tab_columns c LEFT JOIN all_col_comments m
  ON m.owner = c.owner AND m.table_name = c.table_name AND m.column_name = c.column_name
WHERE c.owner = :1 AND c.table_name = :2 ORDER BY c.column_id
"""
_TABLES: Final = """
SELECT owner, table_name FROM (
  SELECT owner, table_name FROM all_tables WHERE nested = 'NO' AND secondary = 'N'
    AND dropped = 'NO'
  UNION ALL SELECT owner, view_name FROM all_views)
WHERE owner IN (SELECT username FROM all_users WHERE oracle_maintained = 'N')
ORDER BY 1, 2 FETCH FIRST :1 ROWS ONLY
"""
_OF_LENGTH: Final = ("VARCHAR2", "NVARCHAR2", "CHAR", "NCHAR", "RAW")
# Read as texts, by the words that make one of each.
_AS_TEXT: Final = {
    "ROWID": "ROWIDTOCHAR({})", "UROWID": "ROWIDTOCHAR({})", "JSON": "JSON_SERIALIZE({} RETURNING CLOB)",
    "XMLTYPE": "XMLSERIALIZE(CONTENT {} AS CLOB)", "CLOB": "{}", "NCLOB": "{}", "LONG": "{}",
}  # fmt: skip
_LOBS: Final = ("CLOB", "NCLOB", "BLOB", "LONG", "XMLTYPE", "JSON", "SDO_GEOMETRY")
_LOB_BYTES: Final = 512 * 1024  # what one is taken to have
_NUMBER_BYTES: Final = 64
_TIMES: Final = {False: TIMESTAMP(), True: TIMESTAMP(timezone=True)}
_MOMENT: Final[Cell] = literal_column("'YYYY-MM-DD HH24:MI:SS.FF6'")
_EXACT: Final[Cell] = literal_column("'YYYY-MM-DD HH24:MI:SS.FF9'")


@asynccontextmanager
async def reading(
    settings: SqlSettings, means: Means, seconds: int, charset: str | None = None
) -> AsyncIterator["OracleReading"]:
    """A read-only snapshot, over one connection to an address that was judged."""
    del charset
    thread, host = Thread(), settings.source
    made = Connection(settings, seconds)
    thread.stop = made.stop
    try:
        with told(host, settings.database):
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await means.outbound.addresses(
                    host, settings.asked_port, is_plain=settings.tls == "off"
                )
                await thread.run(made.open, found)
        yield OracleReading(made, thread, host)
    finally:
        await thread.close(made.close)


class OracleReading(ByRows):
    """What one connection reads."""

    dialect = _DIALECT

    def __init__(self, line: Connection, thread: Thread, host: str) -> None:
        super().__init__(line, thread, host)
        self._connection = line
        self.tongue = Words(is_unicode=line.is_unicode)

    def told(self, about: str = "-") -> AbstractContextManager[None]:
        """What the driver and the server say, as it is said of a source."""
        return told(self._host, about)

    async def columns(self, schema: str, name: str) -> list[Column]:
        """As the dictionary has them, which knows no table that we may not read. What no words make
        a text of, an object of a type of theirs say, is none of them."""
        with self.told(name):
            made = [_column(each) for each in await self.found(_COLUMNS, schema, name)]
        return [each for each in made if each.holds is not Holds.OTHER or _words(each) is not None]

    async def tables(self, most: int) -> list[tuple[str, str]]:
        """Of all users but the server's own."""
        with self.told():
            return [(each[0], each[1]) for each in await self._few(_TABLES, (most,))]

    async def _ask(self, asked: Asked) -> None:
        width = sum(_width(each) for each in asked.columns)
        self._connection.at_once = max(1, min(BATCH, MOST_AT_ONCE // max(1, width)))
        await super()._ask(asked)

    def shown(self, asked: Asked, found: Column) -> Cell:
        """A column as it is read: times as texts, whatever the driver makes of a zone."""
        cell = self.tongue.cell(asked, found)
        match found.holds:
            case Holds.MOMENT:
                return func.to_char(cast(cell, _TIMES[False]), _MOMENT)
            case Holds.DATE:
                return func.to_char(cell, literal_column("'YYYY-MM-DD'"))
            case Holds.INSTANT:
                return func.to_char(func.sys_extract_utc(cast(cell, _TIMES[True])), _MOMENT)
            case Holds.BINARY if found.type.startswith("RAW"):
                return func.rawtohex(cell)
            case Holds.TEXT:
                return column(found.name)
            case Holds.SHAPE:
                return func.sdo_util.to_geojson(cell)
            case Holds.OTHER:
                return literal_column((_words(found) or "{}").format(_quoted(found.name)))
            case _:
                return cell

    def maker(self, asked: Asked, found: Column) -> Make:
        """What makes a value of what the driver gives."""
        place = zone(asked.time_zone)
        match found.holds:
            case Holds.INTEGER:
                return int
            case Holds.DATE:
                return either(date.fromisoformat)
            case Holds.MOMENT:
                return either(lambda text: datetime.fromisoformat(text).replace(tzinfo=place))
            case Holds.INSTANT:
                return either(lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC))
            case Holds.DECIMAL:
                return Decimal
            case _:
                return lambda value: value

    def marked(self, top: Cell, found: Column) -> Cell:
        """Times to their last digit."""
        match found.holds:
            case Holds.DATE | Holds.MOMENT:
                return func.to_char(cast(top, _NINE[False]), _EXACT)
            case Holds.INSTANT:
                return func.to_char(func.sys_extract_utc(cast(top, _NINE[True])), _EXACT)
            case Holds.INTEGER | Holds.DECIMAL:
                return func.to_char(top, literal_column("'TM9'"))
            case _:
                return cast(top, VARCHAR2(4000))

    async def since(self, relation: TableClause, found: Column, mark: Any, overlap: int) -> Cell:
        """The mark, less so many or so many seconds."""
        del relation
        if found.holds in (Holds.INTEGER, Holds.DECIMAL):
            return literal(Decimal(str(mark)) - overlap)
        if found.holds in (Holds.DATE, Holds.MOMENT, Holds.INSTANT):
            told = func.to_timestamp(literal(str(mark)), _EXACT)
            less = func.numtodsinterval(literal(overlap), literal_column("'SECOND'"))
            if found.holds is not Holds.INSTANT:
                return told - less
            return func.from_tz(told, literal_column("'+00:00'")) - less
        if overlap:
            raise SourceChanged(source=self._host, at="shape", detail=found.name)
        return literal(str(mark))


class _Nanoseconds(UserDefinedType[Any]):
    """A time to its last digit."""

    cache_ok = True

    def __init__(self, *, has_zone: bool) -> None:
        self._has_zone = has_zone

    def get_col_spec(self, **kw: Any) -> str:
        """As CAST has it."""
        del kw
        return "TIMESTAMP(9) WITH TIME ZONE" if self._has_zone else "TIMESTAMP(9)"


_NINE: Final = {each: _Nanoseconds(has_zone=each) for each in (False, True)}


def _column(told: tuple[Any, ...]) -> Column:
    _, name, type_, length, precision, scale, comment, key = told
    full = type_
    if type_ in _OF_LENGTH:
        full = f"{type_}({int(length)})"
    elif type_ == "NUMBER" and precision is not None:
        full = f"NUMBER({int(precision)},{int(scale or 0)})"
    exact = None if scale is None else int(scale)
    return Column(name, full, holds(type_, exact), comment=comment or None, key=int(key) > 0)


def _words(found: Column) -> str | None:
    if found.type.startswith("INTERVAL"):
        return "TO_CHAR({})"
    return _AS_TEXT.get(found.type)


def _width(found: Column) -> int:
    if found.type in _LOBS:
        return _LOB_BYTES
    told = found.type.partition("(")[2].rstrip(")")
    return int(told) if told.isdigit() else _NUMBER_BYTES


def _quoted(name: str) -> str:
    return _DIALECT.identifier_preparer.quote(name)
