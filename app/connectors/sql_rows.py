"""A database whose driver blocks and gives rows: read in one thread, a batch at a time. Names no driver."""

import csv
import io
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import Select, literal_column, select
from sqlalchemy.sql.elements import ClauseElement

from app.connectors.errors import SourceBroken
from app.connectors.sql_lines import Line
from app.connectors.sql_reading import Asked, Cell, Column, Holds, Reading, relation_of
from app.connectors.sql_threads import Thread

Make = Callable[[Any], Any]


class ByRows(Reading):
    """What one connection reads."""

    def __init__(self, line: Line, thread: Thread, host: str) -> None:
        self._line = line
        self._thread = thread
        self._host = host

    @abstractmethod
    def told(self, about: str = "-") -> AbstractContextManager[None]:
        """What the driver and the server say, as it is said of a source."""

    @abstractmethod
    def shown(self, asked: Asked, found: Column) -> Cell:
        """A column as it is read."""

    @abstractmethod
    def maker(self, asked: Asked, found: Column) -> Make:
        """What makes a value of what the driver gives."""

    def as_told(self, found: Column, holds: Holds | None) -> Column:
        """Where times are days, as they are wherever there was no type for a day."""
        are_days = found.holds is Holds.MOMENT and holds is Holds.DATE
        return replace(found, holds=Holds.DATE) if are_days else found

    async def found(self, sql: str, schema: str, name: str) -> list[tuple[Any, ...]]:
        """What a catalogue has of the columns of a table. Raises `SourceBroken` where it has none."""
        rows = [each for each in await self._few(sql, (schema, name), name) if each[0] == name]
        if not rows:  # what we may not read is told as what is not: by this it is told apart
            probe: Select[Any] = (
                select(literal_column("1")).select_from(relation_of(schema, name, ()))
                .where(literal_column("1") == literal_column("0"))
            )  # fmt: skip
            await self._few(*self.compiled(probe), name)
            raise SourceBroken(source=self._host, at="missing", detail=name)
        return rows

    async def few(self, statement: ClauseElement) -> list[tuple[Any, ...]]:
        """All rows at once."""
        return await self._few(*self.compiled(statement))

    async def _few(
        self, sql: str, values: Sequence[Any], about: str = "-"
    ) -> list[tuple[Any, ...]]:
        with self.told(about):
            return await self._thread.run(self._line.few, sql, values)

    async def batches(self, asked: Asked) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """No more than a batch is held."""
        makers = [self.maker(asked, found) for found in asked.columns]
        await self._ask(asked)
        while rows := await self._do(lambda: _made(makers, self._line.next_rows())):
            yield rows

    async def csv(self, asked: Asked) -> AsyncGenerator[bytes, None]:
        """The rows as they come."""
        makers = [self.maker(asked, found) for found in asked.columns]
        cells = [_cell(asked, found) for found in asked.columns]
        await self._ask(asked)
        yield _lines([tuple(each.name for each in asked.columns)])
        while rows := await self._do(lambda: _made(makers, self._line.next_rows())):
            yield await self._do(partial(_written, cells, rows))

    async def _ask(self, asked: Asked) -> None:
        cells = [self.shown(asked, found) for found in asked.columns]
        with self.told():
            await self._thread.run(self._line.ask, *self.compiled(asked.statement(cells)))

    async def _do(self, made: Callable[[], Any]) -> Any:
        with self.told():
            return await self._thread.run(made)


def either(make: Make) -> Make:
    """A day that is none of this calendar stays what is written."""

    def made(text: Any) -> Any:
        try:
            return make(text)
        except ValueError:
            return text

    return made


def _made(makers: Sequence[Make], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return [
        tuple(
            None if value is None else make(value) for make, value in zip(makers, row, strict=True)
        )
        for row in rows
    ]


def _cell(asked: Asked, found: Column) -> Make:
    """What makes a cell of a file of a value."""
    match found.holds:
        case Holds.BOOLEAN:
            return int
        case Holds.INSTANT:
            return lambda value: _time(value, UTC, "+00:00")
        case Holds.MOMENT:
            return lambda value: _time(value, None, asked.time_zone or "")
        case _:
            return _plain


def _time(value: datetime | str, zone: Any, suffix: str) -> str:
    if isinstance(value, str):
        return value
    at = value if zone is None else value.astimezone(zone)
    return at.replace(tzinfo=None).isoformat(" ") + suffix


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value


def _written(cells: Sequence[Make], rows: Sequence[Sequence[Any]]) -> bytes:
    return _lines(_made(cells, rows))


def _lines(rows: Sequence[tuple[Any, ...]]) -> bytes:
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue().encode()
