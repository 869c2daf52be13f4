"""SQLite as a source: the contract, what goes wrong at it, and what its columns hold."""

import secrets
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.sources import means

ROWS: list[Row] = [{"no": "1", "name": "架空、第一"}, {"no": "2", "name": '架空"第二"\\'}]


class TestSqlite(Contract):
    """A file that somebody else goes on writing to."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, tmp_path: Path) -> AsyncIterator[Stage]:
        path = tmp_path / f"{secrets.token_hex(4)} ?%41.sqlite3"
        owner = sqlite3.connect(path, isolation_level=None)
        owner.execute('CREATE TABLE "施設 ""一覧""" (no TEXT PRIMARY KEY, name TEXT)')

        async def add(row: Row) -> None:
            owner.execute('INSERT INTO "施設 ""一覧""" VALUES (?, ?)', tuple(row.values()))

        for row in ROWS:
            await add(row)
        held = _open_of(path)

        async def go_away() -> None:
            owner.close()
            path.unlink()

        async with means("", tmp_path) as its:
            told = {"dialect": "sqlite", "database": str(path)}
            connector = SqlConnector(SqlSettings.model_validate(told), its)
            selection = SqlSelection.model_validate({"table": '施設 "一覧"', "watermark": "no"})
            yield Stage(
                connector,
                selection,
                ROWS,
                add,
                go_away,
                lambda: max(_open_of(path) - held, 0),
                tables=['施設 "一覧"'],
            )
        owner.close()


def _open_of(path: Path) -> int:
    """How many descriptors of this process lead to a file."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            found += str(each.readlink()).startswith(str(path))
        except OSError:
            continue
    return found
