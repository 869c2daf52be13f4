"""Our own kinds keep to the contract, each with a real server or real files."""

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from app.connectors.errors import SourceUnreachable
from app.connectors.file import FileConnector, FileSelection, FileSettings
from app.connectors.http_json import HttpJsonConnector, HttpJsonSelection, HttpJsonSettings
from app.connectors.scripted import (
    Script,
    ScriptedConnector,
    ScriptedSelection,
    ScriptedSettings,
)
from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.databases import PASSWORD, Foreign, foreign_database
from tests.connectors.example_kind import LibraryConnector, LibrarySelection, LibrarySettings
from tests.connectors.sources import Asked, means, reply, web
from tests.database import DatabaseServer

ROWS: list[Row] = [{"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空、第二"}]


class TestScripted(Contract):
    """The one that ships for tests."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        script = Script(list(ROWS))
        name = secrets.token_hex(4)
        ScriptedConnector.scripts[name] = script

        async def add(row: Row) -> None:
            script.rows.append(row)

        async def go_away() -> None:
            script.wrong = SourceUnreachable(source="scripted", at="connection")

        async with means() as its:
            connector = ScriptedConnector(ScriptedSettings(script=name), its)
            yield Stage(
                connector,
                ScriptedSelection(),
                ROWS,
                add,
                go_away,
                lambda: script.open_now,
                tables=["rows"],
            )


class TestHttpJson(Contract):
    """With a key, and one page that can say that it has not changed."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        rows = list(ROWS)

        def answer(asked: Asked) -> bytes:
            assert asked.headers["x-api-key"] == "hidden-key-1"
            tag = f'"{len(rows)}"'
            if asked.headers.get("if-none-match") == tag:
                return reply(b"", "304 Not Modified", ETag=tag)
            return reply({"items": rows}, ETag=tag)

        async with web(answer) as server, means() as its:
            told = {
                "base": f"{server.base}/v1/shelters",
                "auth": {"type": "api_key", "key": "hidden-key-1"},
            }
            connector = HttpJsonConnector(HttpJsonSettings.model_validate(told), its)
            selection = HttpJsonSelection.model_validate({"rows": "/items"})

            async def add(row: Row) -> None:
                rows.append(row)

            async def go_away() -> None:
                connector.settings = connector.settings.model_copy(
                    update={"base": "http://127.0.0.1:9/"}
                )

            yield Stage(
                connector,
                selection,
                ROWS,
                add,
                go_away,
                lambda: server.open_now,
                "hidden-key-1",
                ["items"],
            )


def _csv(rows: list[Row]) -> bytes:
    return "".join(
        ",".join(f'"{cell}"' for cell in each) + "\n"
        for each in (rows[0], *(r.values() for r in rows))
    ).encode()


class TestFileByHttp(Contract):
    """With a password, and a time of the last change."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        rows = list(ROWS)

        def answer(asked: Asked) -> bytes:
            assert asked.headers["authorization"].startswith("Basic ")
            when = f"Sun, 29 Nov 2026 0{len(rows)}:00:00 GMT"
            if asked.headers.get("if-modified-since") == when:
                return reply(b"", "304 Not Modified")
            return reply(_csv(rows), kind="text/csv", Last_Modified=when)

        async with web(answer) as server, means() as its:
            told = {
                "base": server.base,
                "auth": {"type": "basic", "user": "u", "password": "hidden-word-2"},
            }
            connector = FileConnector(FileSettings.model_validate(told), its)

            async def add(row: Row) -> None:
                rows.append(row)

            async def go_away() -> None:
                connector.settings = connector.settings.model_copy(
                    update={"base": "http://127.0.0.1:9/"}
                )

            yield Stage(
                connector,
                FileSelection(path="a.csv"),
                ROWS,
                add,
                go_away,
                lambda: server.open_now,
                "hidden-word-2",
            )


class TestExample(Contract):
    """The one that shows authors how small a kind is."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self) -> AsyncIterator[Stage]:
        rows = list(ROWS)

        def answer(asked: Asked) -> bytes:
            assert asked.headers["x-api-key"] == "hidden-word-4"
            tag = f'"{len(rows)}"'
            if asked.headers.get("if-none-match") == tag:
                return reply(b"", "304 Not Modified")
            is_list = asked.path == "/loans/kita.csv"
            return reply(_csv(rows), kind="text/csv", ETag=tag) if is_list else reply(b"", "404 -")

        async with web(answer) as server, means() as its:
            told = {"base": server.base, "key": "hidden-word-4"}
            connector = LibraryConnector(LibrarySettings.model_validate(told), its)

            async def add(row: Row) -> None:
                rows.append(row)

            async def go_away() -> None:
                gone = {"base": "http://127.0.0.1:9"}
                connector.settings = connector.settings.model_copy(update=gone)

            yield Stage(
                connector, LibrarySelection(branch="kita"), ROWS, add, go_away,
                lambda: server.open_now, "hidden-word-4",
            )  # fmt: skip


class TestFileInFolder(Contract):
    """The newest file of a folder that is lent."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, tmp_path: Path) -> AsyncIterator[Stage]:
        rows = list(ROWS)
        (tmp_path / "a-1.csv").write_bytes(_csv(rows))

        async def add(row: Row) -> None:
            rows.append(row)
            (tmp_path / "a-2.csv").write_bytes(_csv(rows))
            os.utime(tmp_path / "a-1.csv", (1, 1))

        async def go_away() -> None:
            for each in tmp_path.iterdir():
                each.unlink()

        def open_now() -> int:
            its = Path("/proc/self/fd")
            return sum(
                str(each.resolve()).startswith(str(tmp_path))
                for each in its.iterdir()
                if each.is_symlink()
            )

        async with means("", tmp_path) as its:
            connector = FileConnector(FileSettings(base=str(tmp_path)), its)
            yield Stage(
                connector,
                FileSelection(path="a-*.csv"),
                ROWS,
                add,
                go_away,
                open_now,
                tables=["a-1.csv"],
            )


_TABLE = '施設 "一覧"'
_QUOTED = '"' + _TABLE.replace('"', '""') + '"'


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def source(embedded: DatabaseServer) -> AsyncIterator[Foreign]:
    """A database of somebody else's."""
    async with foreign_database(embedded) as made:
        yield made


class TestSql(Contract):
    """A table of a real PostgreSQL, by a user who may only read."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, source: Foreign) -> AsyncIterator[Stage]:
        async with means() as its:
            await source.owner.execute(f"DROP TABLE IF EXISTS {_QUOTED}")
            await source.owner.execute(f"CREATE TABLE {_QUOTED} (no text PRIMARY KEY, name text)")
            await source.owner.execute(f"GRANT SELECT ON {_QUOTED} TO {source.user}")
            records = [tuple(row.values()) for row in ROWS]
            await source.owner.copy_records_to_table(_TABLE, records=records)
            connector = SqlConnector(SqlSettings.model_validate(source.settings()), its)

            async def add(row: Row) -> None:
                await source.owner.execute(f"INSERT INTO {_QUOTED} VALUES ($1, $2)", *row.values())

            async def go_away() -> None:
                connector.settings = connector.settings.model_copy(update={"port": 9})

            selection = SqlSelection.model_validate({"table": _TABLE, "watermark": "no"})
            yield Stage(
                connector,
                selection,
                ROWS,
                add,
                go_away,
                lambda: source.open_now,
                PASSWORD,
                [_TABLE],
            )
