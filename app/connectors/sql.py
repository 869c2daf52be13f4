"""The kind `sql`: a table or view of a database, read and never written.

Every name is quoted by SQLAlchemy, every value is bound, and the transaction is read-only.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any, ClassVar, Final

from sqlalchemy import func, select

from app.connectors import sql_questions
from app.connectors.errors import CannotAnswer, SourceBroken, SourceChanged, SourceRefused
from app.connectors.frame import (
    WRITTEN_HERE,
    Capabilities,
    Connector,
    Harvest,
    Known,
    Proposal,
    Rows,
    Shape,
)
from app.connectors.sql_lines import check_installed
from app.connectors.sql_reading import Asked, Column, Holds, Reading, Tongue, relation_of
from app.connectors.sql_shapes import SqlSelection, SqlSettings
from app.query.question import Question

__all__ = ["SqlConnector", "SqlSelection", "SqlSettings"]  # the kind is one, in several rooms
_MOST_PROPOSALS: Final = 200
_LOOK_SECONDS: Final = 30
# Imported when first needed: a deployment has few of them.
_DIALECTS: Final = {
    "postgresql": "app.connectors.sql_postgresql",
    "mysql": "app.connectors.sql_mysql",
    "sqlite": "app.connectors.sql_sqlite",
    "mssql": "app.connectors.sql_mssql",
    "oracle": "app.connectors.sql_oracle",
}
_DRIVERS: Final = {"mssql": "pytds", "oracle": "oracledb"}


class SqlConnector(Connector[SqlSettings, SqlSelection]):
    """PostgreSQL, MySQL and MariaDB, SQLite, SQL Server, Oracle."""

    kind = "sql"
    title_ja = "データベース（PostgreSQL・MySQL／MariaDB・SQLite・SQL Server・Oracle）"
    title_en = "Database (PostgreSQL, MySQL/MariaDB, SQLite, SQL Server, Oracle)"
    settings_shape: ClassVar[type[Shape]] = SqlSettings
    selection_shape: ClassVar[type[Shape]] = SqlSelection
    capabilities = Capabilities(
        answers=True,
        filters=True,
        sorts=True,
        pages=True,
        notices_changes=True,
        sends_changes=True,
        discovers=True,
    )

    def check_settings(self) -> None:
        """Raises `FolderNotLent` or `DriverNotInstalled`."""
        if self.settings.dialect in _DRIVERS:
            check_installed(self.settings.dialect, _DRIVERS[self.settings.dialect])
        if self.settings.dialect == "sqlite":
            _module("sqlite").lent(self.settings, self.means)

    async def check(self, selection: SqlSelection | None = None) -> None:
        """Sign in; with a selection, read one row of it."""
        async with self._reading(_LOOK_SECONDS, selection) as reading:
            if selection is not None:
                asked, _ = await self._asked(reading, selection, first=1)
                await reading.check_texts(asked)
                async with aclosing(reading.batches(asked)) as rows:
                    async for _row in rows:
                        break

    @asynccontextmanager
    async def harvest(
        self, selection: SqlSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The rows of one snapshot as CSV."""
        had = known.validators if known is not None else {}
        async with self._reading(selection.statement_seconds, selection) as reading:
            asked, columns = await self._asked(reading, selection, first)
            now = await self._state(reading, asked, selection, columns)
            deltas = had.get("deltas", 0)
            if now is not None and now == {n: v for n, v in had.items() if n != "deltas"}:
                yield None
                return
            await reading.check_texts(asked)
            asked, is_delta = await _later(reading, asked, selection, columns, had, now)
            if now is not None and selection.watermark is not None:
                now["deltas"] = deltas + 1 if is_delta else 0
            async with aclosing(reading.csv(asked)) as pieces:
                yield Harvest(pieces, f"{selection.table}.csv", WRITTEN_HERE, now, delta=is_delta)

    def part(self, selection: SqlSelection, question: Question) -> Question:
        """Its conditions as far as a database can hold them; with `types`, order and page too."""
        return sql_questions.part(selection, question, self._tongue())

    @asynccontextmanager
    async def fetch(
        self, selection: SqlSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """The rows of one snapshot."""
        del known  # asking whether anything has changed would cost as much
        if not sql_questions.is_answered(selection, question, self._tongue()):
            raise self._cannot()
        async with self._reading(selection.statement_seconds, selection) as reading:
            asked, columns = await self._asked(reading, selection)
            self._check_types(selection, columns)
            asked, columns = self._chosen(asked, question)
            held = sql_questions.held(reading, asked, columns, selection, question)
            if held is None:
                raise self._cannot()
            names = [each.name for each in held.columns]
            async with aclosing(reading.batches(held)) as batches:
                yield Rows(_named(names, batches))

    async def discover(self) -> Sequence[Proposal]:
        """The tables and views that we may read, with their columns."""
        made = []
        async with self._reading(_LOOK_SECONDS) as reading:
            for schema, name in await reading.tables(_MOST_PROPOSALS):
                try:
                    columns = await reading.columns(schema, name)
                except (SourceBroken, SourceChanged, SourceRefused):
                    continue  # a view of what is gone, say
                told = {each.name: each.holds.value for each in columns if _is_sure(each.holds)}
                selection = {"schema": schema, "table": name, **({"types": told} if told else {})}
                made.append(Proposal(name, selection, tuple(map(_field, columns))))
        return made

    def _tongue(self) -> Tongue:
        """How the dialect says things, before a server tells more of itself."""
        if self.settings.dialect not in _DRIVERS:
            return Tongue()
        made: Tongue = import_module(f"{_DIALECTS[self.settings.dialect]}_words").WORDS
        return made

    def _reading(
        self, seconds: int, selection: SqlSelection | None = None
    ) -> AbstractAsyncContextManager[Reading]:
        if self.settings.dialect in _DRIVERS:
            check_installed(self.settings.dialect, _DRIVERS[self.settings.dialect])
        charset = selection.charset if selection is not None else None
        made: AbstractAsyncContextManager[Reading] = _module(self.settings.dialect).reading(
            self.settings, self.means, seconds, charset
        )
        return made

    async def _asked(
        self, reading: Reading, selection: SqlSelection, first: int | None = None
    ) -> tuple[Asked, dict[str, Column]]:  # fmt: skip
        """The columns that are wanted, and all there are. Raises `SourceChanged`."""
        schema = self.settings.schema_of(selection.schema_name)
        types = selection.types or {}
        found = [
            reading.as_told(each, types.get(each.name))
            for each in await reading.columns(schema, selection.table)
        ]
        columns = {each.name: each for each in found}
        names = selection.columns or list(columns)
        needed = [*names, *filter(None, [selection.watermark])]
        lost = next((name for name in needed if name not in columns), None)
        if lost is not None:
            raise SourceChanged(source=self.settings.source, at="shape", detail=lost)
        asked = Asked(
            relation_of(schema, selection.table, found), tuple(columns[name] for name in names),
            limit=first, time_zone=selection.time_zone, charset=selection.charset,
        )  # fmt: skip
        return asked, columns

    def _cannot(self) -> CannotAnswer:
        return CannotAnswer(
            connector=self.kind, why="it is more than the part that it answers",
            why_ja="回答できる範囲を超えています",
        )  # fmt: skip

    def _chosen(self, asked: Asked, question: Question) -> tuple[Asked, dict[str, Column]]:
        """The columns of a question; one that is not selected can be neither had nor asked by."""
        columns = {each.name: each for each in asked.columns}
        names = dict.fromkeys(field.name for field in question.fields)
        lost = next((name for name in names if name not in columns), None)
        if lost is not None:
            raise SourceChanged(source=self.settings.source, at="shape", detail=lost)
        return replace(asked, columns=tuple(columns[name] for name in names)), columns

    def _check_types(self, selection: SqlSelection, columns: Mapping[str, Column]) -> None:
        """What an order was promised by is still so."""
        for name, holds in (selection.types or {}).items():
            found = columns.get(name)
            if found is None or found.holds is not holds:
                raise SourceChanged(source=self.settings.source, at="shape", detail=name)

    @staticmethod
    async def _state(
        reading: Reading, asked: Asked, selection: SqlSelection, columns: Mapping[str, Column]
    ) -> dict[str, Any] | None:
        """The highest mark, how many rows bear it, and how many there are; None without rows."""
        if selection.watermark is None:
            return await reading.state()
        mark = asked.relation.c[selection.watermark]
        top = select(func.max(mark)).scalar_subquery()
        found = await reading.few(
            select(
                reading.marked(func.max(mark), columns[selection.watermark]), func.count()
            ).where(mark == top)
        )
        if not found or found[0][0] is None:
            return None
        [(total,)] = await reading.few(select(func.count()).select_from(asked.relation))
        return {"watermark": found[0][0], "rows": int(found[0][1]), "total": int(total)}


async def _later(
    reading: Reading, asked: Asked, selection: SqlSelection, columns: Mapping[str, Column],
    had: Mapping[str, Any], now: Mapping[str, Any] | None,
) -> tuple[Asked, bool]:  # fmt: skip
    """Only what has come or changed, where that is known and enough."""
    mark = had.get("watermark")
    if mark is None or selection.watermark is None or now is None:
        return asked, False
    has_lost_rows = now["total"] < had.get("total", 0)
    is_turn = selection.full_every is not None and had.get("deltas", 0) + 1 >= selection.full_every
    if has_lost_rows or is_turn:
        return asked, False
    found = columns[selection.watermark]
    least = await reading.since(asked.relation, found, mark, selection.overlap)
    # Rows that bear the last mark itself come again: some of them may be new.
    where = asked.relation.c[selection.watermark] >= least
    return replace(asked, where=where), True


async def _named(
    names: Sequence[str], batches: AsyncGenerator[list[tuple[Any, ...]], None]
) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    async for rows in batches:
        yield [dict(zip(names, row, strict=True)) for row in rows]


def _is_sure(holds: Holds) -> bool:
    """Whether a column may be ordered by without a word of whoever knows its texts."""
    return holds in sql_questions.PROPOSED


def _field(found: Column) -> dict[str, str]:
    told = {"name": found.name, "type": found.type}
    return {**told, "comment": found.comment} if found.comment else told


def _module(dialect: str) -> Any:
    return import_module(_DIALECTS[dialect])
