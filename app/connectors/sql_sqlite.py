"""SQLite for the kind `sql`: a file of a folder that is lent, read and never written."""

import csv
import io
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import LargeBinary, cast, func, literal
from sqlalchemy.dialects.sqlite.pysqlite import dialect
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.selectable import TableClause

from app.connectors.errors import (
    FolderNotLent,
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import Means
from app.connectors.sql_reading import (
    BATCH,
    MOST_AT_ONCE,
    MOST_BYTES,
    Asked,
    Cell,
    Column,
    Holds,
    Reading,
    Tongue,
)
from app.connectors.sql_shapes import SqlSettings
from app.connectors.sql_threads import Thread

_DIALECT: Final = dialect()
_STEPS: Final = 10_000  # of its machine between two looks at the clock: under a millisecond
_BUSY_SECONDS: Final = 5.0
_CODECS: Final = {"cp932": "cp932", "ujis": "euc_jp", "utf8mb4": "utf-8", None: "utf-8"}
_COLUMNS: Final = (
    "SELECT name, type, pk FROM pragma_table_xinfo(?, ?) WHERE hidden <> 1 ORDER BY cid"
)
_TABLES: Final = """
SELECT 'main', name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
ORDER BY 2 LIMIT ?
"""
# Its own rule of what a declared type is apt to hold (datatype3, 3.1); days are in no form of theirs.
_HOLDS: Final = (
    (("INT",), Holds.INTEGER), (("CHAR", "CLOB", "TEXT"), Holds.TEXT), (("BLOB",), Holds.BINARY),
    (("REAL", "FLOA", "DOUB", "DEC", "NUM"), Holds.FLOAT),
)  # fmt: skip
_FAILURES: Final[dict[int, tuple[type[SourceError], str]]] = {
    sqlite3.SQLITE_CANTOPEN: (SourceUnreachable, "connection"),
    sqlite3.SQLITE_PERM: (SourceRefused, "permission"),
    sqlite3.SQLITE_AUTH: (SourceRefused, "permission"),
    sqlite3.SQLITE_NOTADB: (SourceBroken, "format"),
    sqlite3.SQLITE_CORRUPT: (SourceBroken, "format"),
    sqlite3.SQLITE_BUSY: (SourceSlow, "silence"),
    sqlite3.SQLITE_LOCKED: (SourceSlow, "silence"),
    sqlite3.SQLITE_INTERRUPT: (SourceSlow, "silence"),
    sqlite3.SQLITE_TOOBIG: (SourceBroken, "too_long"),
    sqlite3.SQLITE_IOERR: (SourceBroken, "cut_off"),
}


def lent(settings: SqlSettings, means: Means) -> Path:
    """The file, no part of whose way is a link. Raises `FolderNotLent`."""
    path = Path(settings.database)
    try:
        is_plain = path.resolve() == path
        is_lent = any(path.is_relative_to(root.resolve()) for root in means.folders)
    except (OSError, ValueError, RuntimeError):
        raise FolderNotLent(folder=str(path.parent)) from None
    if not (is_plain and is_lent):
        raise FolderNotLent(folder=str(path.parent))
    return path


@asynccontextmanager
async def reading(
    settings: SqlSettings, means: Means, seconds: int, charset: str | None = None
) -> AsyncIterator["SqliteReading"]:
    """A read-only snapshot of the file."""
    thread, name = Thread(), settings.source
    made = _File(settings, means, seconds, _CODECS[charset])
    thread.stop = made.stop
    try:
        with _told(name):
            await thread.run(made.open)
        yield SqliteReading(made, thread, name)
    finally:
        await thread.close(made.close)


class _File:
    """What the thread does. Only `stop` is called from elsewhere."""

    def __init__(self, settings: SqlSettings, means: Means, seconds: int, codec: str) -> None:
        self._settings, self._means = settings, means
        self._seconds, self._codec = seconds, codec
        self._driver: sqlite3.Connection | None = None
        self._cursor: Any = None
        self._ends_at = 0.0
        self._is_stopped = False
        self._state: dict[str, Any] = {}
        self.is_unicode = True

    def open(self) -> None:
        """Begin to read. What was a file when it was looked at, and is a link now, is not read."""
        path = lent(self._settings, self._means)
        if not path.is_file():
            raise SourceBroken(source=path.name, at="missing", detail=path.name)
        number = path.stat().st_ino
        self._state = _state(path)  # of before: what changes from now on is asked for again
        made = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_SECONDS,
            isolation_level=None, check_same_thread=False, cached_statements=0,
        )  # fmt: skip
        self._driver = made
        made.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
        made.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        made.set_progress_handler(self._is_over, _STEPS)
        made.text_factory = self._text
        self._ends_at = time.monotonic() + self._seconds
        for pragma in ("query_only = 1", "trusted_schema = 0", "cell_size_check = 1"):
            made.execute(f"PRAGMA {pragma}")
        made.execute("BEGIN")
        [(encoding,)] = made.execute("PRAGMA encoding")
        self.is_unicode = encoding == "UTF-8" and self._codec == "utf-8"
        made.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()  # the snapshot is of now
        if lent(self._settings, self._means).stat().st_ino != number:
            raise SourceBroken(source=path.name, at="moving")

    def _text(self, told: bytes) -> str:
        return told.decode(self._codec)

    def _is_over(self) -> int:
        return int(self._is_stopped or time.monotonic() > self._ends_at)

    def ask(self, sql: str, values: Sequence[Any]) -> None:
        """Run a statement; its rows are read by `next_rows`."""
        if self._driver is not None:
            self._ends_at = time.monotonic() + self._seconds
            self._cursor = self._driver.execute(sql, tuple(values))

    def next_rows(self, most: int = BATCH) -> list[tuple[Any, ...]]:
        """The next of them, none at the end."""
        found: list[tuple[Any, ...]] = []
        left = MOST_AT_ONCE
        for row in self._cursor:
            found.append(row)
            left -= sum(len(each) for each in row if isinstance(each, str | bytes))
            if len(found) == most or left < 0:
                break
        return found

    def few(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement that has few."""
        self.ask(sql, values)
        return list(self._cursor.fetchall())

    def state(self) -> dict[str, Any]:
        """The file as it lay there when it was opened."""
        return self._state

    def stop(self) -> None:
        """From outside: what is being done ends at the next look."""
        self._is_stopped = True

    def close(self) -> None:
        """Let go of the file."""
        if self._cursor is not None:
            self._cursor.close()  # until then the file stays open, whatever is closed
        if self._driver is not None:
            self._driver.close()


class _Tongue(Tongue):
    """A column may have a collation of its own; bytes have none."""

    def __init__(self, *, is_unicode: bool) -> None:
        self.has_code_points = self.orders_texts = is_unicode

    def cell(self, asked: Asked, found: Column) -> Cell:
        """A column."""
        return asked.relation.c[found.name]

    def by_code_point(self, text: Cell) -> Cell:
        """Bytes of UTF-8 are in the order of code points."""
        return cast(text, LargeBinary)

    def like(self, text: Cell, pattern: str) -> Cell:
        """Its LIKE takes A for a; GLOB does not."""
        return text.op("GLOB", is_comparison=True)(literal(_glob(pattern)))

    def number(self, value: Decimal) -> float:
        """Its driver has no decimals."""
        return float(value)


class SqliteReading(Reading):
    """What one connection reads."""

    dialect = _DIALECT

    def __init__(self, file: _File, thread: Thread, name: str) -> None:
        self._file = file
        self._thread = thread
        self._name = name
        self.tongue = _Tongue(is_unicode=file.is_unicode)

    async def columns(self, schema: str, name: str) -> list[Column]:
        """As they were declared."""
        found = await self._few(_COLUMNS, (name, schema))
        if not found:
            raise SourceBroken(source=self._name, at="missing", detail=name)
        return [Column(each[0], each[1] or "-", _holds(each[1]), key=each[2] > 0) for each in found]

    async def tables(self, most: int) -> list[tuple[str, str]]:
        """All but its own."""
        return [(each[0], each[1]) for each in await self._few(_TABLES, (most,))]

    async def few(self, statement: ClauseElement) -> list[tuple[Any, ...]]:
        """All rows at once."""
        return await self._few(*self.compiled(statement))

    async def _few(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with _told(self._name):
            return await self._thread.run(self._file.few, sql, values)

    async def batches(self, asked: Asked) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """No more than a batch is held."""
        await self._ask(asked)
        while rows := await self._next():
            yield rows

    async def csv(self, asked: Asked) -> AsyncGenerator[bytes, None]:
        """The rows as they come."""
        await self._ask(asked)
        yield _lines([tuple(each.name for each in asked.columns)])
        while True:
            with _told(self._name):
                piece = await self._thread.run(lambda: _lines(_plain(self._file.next_rows())))
            if not piece:
                return
            yield piece

    async def since(self, relation: TableClause, found: Column, mark: Any, overlap: int) -> Cell:
        """A mark is of its value's own kind, whatever the column was declared as."""
        [(kind,)] = await self.few(
            func.typeof(func.max(relation.c[found.name])).select().select_from(relation)
        )
        if kind in ("integer", "real"):
            return literal((int if kind == "integer" else float)(mark) - overlap)
        if overlap:
            raise SourceChanged(source=self._name, at="shape", detail=found.name)
        return literal(str(mark))

    async def state(self) -> dict[str, Any] | None:
        """The file and its log of late changes, as they lie there."""
        return self._file.state()

    async def _ask(self, asked: Asked) -> None:
        cells = [asked.relation.c[each.name] for each in asked.columns]
        with _told(self._name):
            await self._thread.run(self._file.ask, *self.compiled(asked.statement(cells)))

    async def _next(self) -> list[tuple[Any, ...]]:
        with _told(self._name):
            return await self._thread.run(lambda: _plain(self._file.next_rows()))


def _state(path: Path) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, each in (("file", path), ("wal", path.with_name(f"{path.name}-wal"))):
        with suppress(FileNotFoundError):
            told = each.stat()
            made[name] = [told.st_ino, told.st_size, told.st_mtime_ns]
    return made


def _holds(type_: str) -> Holds:
    told = type_.upper()
    for words, holds in _HOLDS:
        if any(word in told for word in words):
            return holds
    return Holds.OTHER


def _plain(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Bytes as hexadecimal digits."""
    return [
        tuple(each.hex() if isinstance(each, bytes) else each for each in row)
        if any(isinstance(each, bytes) for each in row)
        else row
        for row in rows
    ]


def _lines(rows: Sequence[tuple[Any, ...]]) -> bytes:
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue().encode()


def _glob(pattern: str) -> str:
    """The pattern of a LIKE as GLOB has it."""
    made, is_next_plain = [], False
    for sign in pattern:
        if not is_next_plain and sign == "\\":
            is_next_plain = True
            continue
        if not is_next_plain and sign in "%_":
            made.append("*" if sign == "%" else "?")
        else:
            made.append(f"[{sign}]" if sign in "*?[" else sign)
        is_next_plain = False
    return "".join(made)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What SQLite says, as it is said of a source."""
    try:
        yield
    except UnicodeDecodeError as exc:
        raise SourceBroken(source=name, at="charset", detail=exc.encoding) from exc
    except PermissionError as exc:
        raise SourceRefused(source=name, at="permission") from exc
    except OSError as exc:
        raise SourceUnreachable(source=name, at="connection") from exc
    except sqlite3.Error as exc:
        raise _meant(name, exc) from exc


def _meant(name: str, exc: sqlite3.Error) -> SourceError:
    number = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if number in _FAILURES:
        means, at = _FAILURES[number]
        return means(source=name, at=at, detail="SQLite" if at == "format" else MOST_BYTES)
    if "no such" in str(exc):  # a view of what is gone
        return SourceChanged(source=name, at="shape", detail="-")
    return SourceBroken(source=name, at="server", detail=number)
