"""MySQL and MariaDB for the kind `sql`: a read-only snapshot over one connection. Never writes.

The driver blocks, so it has a thread. It connects to nothing: it is given a socket.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import LargeBinary, Select, cast, func, literal, literal_column, select
from sqlalchemy.dialects.mysql import CHAR
from sqlalchemy.dialects.mysql.pymysql import dialect
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import TableClause

from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.frame import Means
from app.connectors.sql_lines import CONNECT_SECONDS
from app.connectors.sql_mysql_wire import Connection, no_mysql, told
from app.connectors.sql_reading import (
    Asked,
    Cell,
    Column,
    Holds,
    Reading,
    Tongue,
    relation_of,
    zone,
)
from app.connectors.sql_shapes import SqlSettings
from app.connectors.sql_texts import check_sample
from app.connectors.sql_threads import Thread

_DIALECT: Final = dialect()
_SAMPLE: Final = 200  # rows
_COLUMNS: Final = """
SELECT table_name, column_name, data_type, column_type, column_comment, column_key,
  character_set_name, numeric_precision
FROM information_schema.columns WHERE table_schema = %s AND table_name = %s
ORDER BY ordinal_position
"""
_TABLES: Final = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
ORDER BY 1, 2 LIMIT %s
"""
_HOLDS: Final = {
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"),
                    Holds.TEXT),
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit"),
                    Holds.INTEGER),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"),
                    Holds.BINARY),
    **dict.fromkeys(("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
                     "multipolygon", "geometrycollection"), Holds.SHAPE),
    "decimal": Holds.DECIMAL, "float": Holds.FLOAT, "double": Holds.FLOAT, "date": Holds.DATE,
    "datetime": Holds.MOMENT, "timestamp": Holds.INSTANT,
}  # fmt: skip
_BARE: Final = (Holds.INTEGER, Holds.DECIMAL, Holds.FLOAT, Holds.DATE, Holds.MOMENT, Holds.INSTANT)
_UTF8: Final = CHAR(charset="utf8mb4")


@asynccontextmanager
async def reading(
    settings: SqlSettings, means: Means, seconds: int, charset: str | None = None
) -> AsyncIterator["MySqlReading"]:
    """A read-only snapshot, over one connection to an address that was judged."""
    del charset
    thread, host = Thread(), settings.source
    made = Connection(settings, seconds)
    thread.stop = made.stop
    try:
        with told(host, "-"):
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await means.outbound.addresses(
                    host, settings.asked_port, is_plain=settings.tls == "off"
                )
            await thread.run(made.open, found)
        yield MySqlReading(made, thread, host)
    finally:
        await thread.close(made.close)


class _Tongue(Tongue):
    """Its own collations take much for equal, so texts are compared as their bytes in UTF-8."""

    def cell(self, asked: Asked, found: Column) -> Cell:
        """A column; a text by the bytes that it really has."""
        cell: Cell = asked.relation.c[found.name]
        if found.charset == "latin1" and asked.charset is not None:
            return cast(cast(cell, LargeBinary), CHAR(charset=asked.charset))
        return cell + literal_column("0") if found.type.startswith("bit") else cell

    def by_code_point(self, text: Cell) -> Cell:
        """Bytes of UTF-8 are in the order of code points."""
        return cast(cast(text, _UTF8), LargeBinary)

    def like(self, text: Cell, pattern: str) -> Cell:
        """In the collation that takes nothing for another."""
        return super().like(cast(text, _UTF8).collate("utf8mb4_bin"), pattern)

    def is_nothing(self, cell: Cell, found: Column) -> Cell | None:
        """0000-00-00, which it has for a day that nobody knows."""
        is_time = found.holds in (Holds.DATE, Holds.MOMENT, Holds.INSTANT)
        return cell == literal_column("0") if is_time else None

    def ordered(self, cell: Cell, *, descending: bool) -> tuple[Cell, ...]:
        """It has no word for where what is unknown goes."""
        return cell.is_(None), cell.desc() if descending else cell.asc()


class MySqlReading(Reading):
    """What one connection reads."""

    dialect = _DIALECT

    def __init__(self, connection: Connection, thread: Thread, host: str) -> None:
        self._connection = connection
        self._thread = thread
        self._host = host
        self.tongue = _Tongue()

    async def columns(self, schema: str, name: str) -> list[Column]:
        """As the server tells them, which knows no table that we may not read."""
        found = await self._few(_COLUMNS, (schema, name), name)
        with no_mysql(self._host):
            made = [_column(each) for each in found if each[0] == name]
        if not made:  # what we may not read is told as what is not: by this it is told apart
            probe: Select[Any] = (
                select(literal_column("1")).select_from(relation_of(schema, name, ())).limit(0)
            )
            await self._few(*self.compiled(probe), name)
            raise SourceBroken(source=self._host, at="missing", detail=name)
        return made

    async def tables(self, most: int) -> list[tuple[str, str]]:
        """Of all databases but the server's own."""
        found = await self._few(_TABLES, (most,))
        with no_mysql(self._host):
            return [(each[0], each[1]) for each in found]

    async def few(self, statement: ClauseElement) -> list[tuple[Any, ...]]:
        """All rows at once."""
        return await self._few(*self.compiled(statement))

    async def _few(
        self, sql: str, values: Sequence[Any], about: str = "-"
    ) -> list[tuple[Any, ...]]:
        with told(self._host, about):
            return await self._thread.run(self._connection.few, sql, values)

    async def batches(self, asked: Asked) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """Unbuffered: no more than a batch is held."""
        makers = [_maker(asked, found) for found in asked.columns]
        cells = [self._shown(asked, found) for found in asked.columns]

        def made() -> list[tuple[Any, ...]]:
            rows = self._connection.next_rows()
            return [
                tuple(
                    None if value is None else make(value)
                    for make, value in zip(makers, row, strict=True)
                )
                for row in rows
            ]

        with told(self._host, "-"):
            await self._thread.run(self._connection.ask, *self.compiled(asked.statement(cells)))
        while rows := await self._do(made):
            yield rows

    async def csv(self, asked: Asked) -> AsyncGenerator[bytes, None]:
        """The server makes a line of each row: it is much quicker at it."""
        cells = [self._written(asked, found) for found in asked.columns]
        parts = [part for cell in cells for part in (literal_column("','"), cell)][1:]
        line = func.concat(*parts, literal_column("'\n'"))
        head = ",".join(f'"{each.name.replace(chr(34), chr(34) * 2)}"' for each in asked.columns)

        def made() -> bytes:
            return b"".join(self._connection.next_lines())

        with told(self._host, "-"):
            await self._thread.run(self._connection.ask, *self.compiled(asked.statement([line])))
        yield head.encode() + b"\n"
        while piece := await self._do(made):
            yield piece

    async def _do(self, made: Callable[[], Any]) -> Any:
        with told(self._host, "-"), no_mysql(self._host):
            return await self._thread.run(made)

    async def since(self, relation: TableClause, found: Column, mark: Any, overlap: int) -> Cell:
        """The mark, less so many or so many seconds."""
        del relation
        if found.holds in (Holds.INTEGER, Holds.DECIMAL):
            return literal(Decimal(str(mark)) - overlap)
        if not overlap:
            return literal(str(mark))
        if found.holds in (Holds.DATE, Holds.MOMENT, Holds.INSTANT):
            return func.timestampadd(
                literal_column("SECOND"), literal(-overlap), literal(str(mark))
            )
        raise SourceChanged(source=self._host, at="shape", detail=found.name)

    async def check_texts(self, asked: Asked) -> None:
        """Of columns that say latin1: in Japan they seldom are."""
        doubtful = [each for each in asked.columns if each.charset == "latin1"]
        if not doubtful:
            return
        cells = [func.hex(cast(asked.relation.c[each.name], LargeBinary)) for each in doubtful]
        sample = await self.few(select(*cells).select_from(asked.relation).limit(_SAMPLE))
        texts = [bytes.fromhex(cell) for row in sample for cell in row if cell]
        check_sample(self._host, texts, asked.charset)

    def _shown(self, asked: Asked, found: Column) -> Cell:
        """A column as text or null: what says no date is none, bits are a number, a shape GeoJSON."""
        cell = self.tongue.cell(asked, found)
        match found.holds:
            case Holds.DATE | Holds.MOMENT | Holds.INSTANT:
                return func.nullif(cell, literal_column("0"))
            case Holds.SHAPE:
                return func.st_asgeojson(cell)
            case Holds.BINARY:
                return func.hex(cell)
            case Holds.OTHER:
                return cast(cell, _UTF8)
            case _:
                return cell

    def _written(self, asked: Asked, found: Column) -> Cell:
        """A column as a cell of CSV: nothing for null, texts in quotes."""
        cell = self._shown(asked, found)
        if found.holds is Holds.INSTANT:
            cell = func.concat(cell, literal_column("'+00:00'"))
        if found.holds is Holds.MOMENT and asked.time_zone is not None:
            cell = func.concat(cell, literal(asked.time_zone))
        if found.holds not in _BARE:
            quote: Cell = literal_column("'\"'")
            doubled = func.replace(cast(cell, _UTF8), quote, literal_column("'\"\"'"))
            cell = func.concat(quote, doubled, quote)
        return func.coalesce(cell, literal_column("''"))


def _column(told: Sequence[Any]) -> Column:
    _, name, data, full, comment, key, charset, _ = told
    return Column(
        name, full, _HOLDS.get(data, Holds.OTHER), comment=comment or None, key=key == "PRI",
        charset=charset,
    )  # fmt: skip


def _maker(asked: Asked, found: Column) -> Callable[[Any], Any]:
    """What makes a value of what the server wrote."""
    place = zone(asked.time_zone)
    match found.holds:
        case Holds.INTEGER:
            return int
        case Holds.DECIMAL:
            return Decimal
        case Holds.FLOAT:
            return float
        case Holds.DATE:
            return _either(date.fromisoformat)
        case Holds.MOMENT:
            return _either(lambda text: datetime.fromisoformat(text).replace(tzinfo=place))
        case Holds.INSTANT:
            return _either(lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC))
        case _:
            return str


def _either(make: Callable[[str], Any]) -> Callable[[str], Any]:
    """A day such as 2026-04-00 is none of any calendar, and stays what is written."""

    def made(text: str) -> Any:
        try:
            return make(text)
        except ValueError:
            return text

    return made
