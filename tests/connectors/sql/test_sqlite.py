"""SQLite as a source: the contract, what goes wrong at it, and what its columns hold."""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import ValidationError

from app.connectors import sql_sqlite
from app.connectors.errors import (
    CannotAnswer,
    FolderNotLent,
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceSlow,
)
from app.connectors.frame import Known, Means
from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from app.query.fields import Field, FieldType
from app.query.question import Compare, Order, Question
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.sources import means

ROWS: list[Row] = [{"no": "1", "name": "架空、第一"}, {"no": "2", "name": '架空"第二"\\'}]


class TestSqlite(Contract):
    """A file that somebody else goes on writing to."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, tmp_path: Path) -> AsyncIterator[Stage]:
        path = tmp_path / f"{secrets.token_hex(4)} ?%41.sqlite3"
        owner = sqlite3.connect(path, isolation_level=None)
        owner.execute("PRAGMA synchronous = OFF")
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


_SCHEMA = """
CREATE TABLE t (a INTEGER, b TEXT);
CREATE TABLE gone (a INTEGER);
CREATE VIEW hollow AS SELECT a FROM gone;
DROP TABLE gone;
CREATE VIEW slow AS WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT max(a) AS a FROM n;
CREATE TABLE held (i, r, t, b, n);
INSERT INTO held VALUES (9223372036854775807, 0.1, '架,空', x'00ff', NULL);
"""


@pytest_asyncio.fixture(loop_scope="session")
async def its(tmp_path: Path) -> AsyncIterator[Means]:
    """A folder that is lent, with a database in it."""
    folder = tmp_path / "lent"
    folder.mkdir()
    (tmp_path / "other").mkdir()
    for each in (folder, tmp_path / "other"):
        owner = sqlite3.connect(each / "a.sqlite3")
        owner.executescript(f"PRAGMA synchronous = OFF;{_SCHEMA}")
        owner.close()
    (folder / "link.sqlite3").symlink_to(tmp_path / "other" / "a.sqlite3")
    (folder / "by").symlink_to(tmp_path / "other")
    (folder / "a.csv").write_text("a,b\n" * 1_000)
    whole = (folder / "a.sqlite3").read_bytes()
    (folder / "torn.sqlite3").write_bytes(whole[: len(whole) // 2])
    async with means("", folder) as made:
        yield made


def _made(its: Means, path: str, **selection: object) -> tuple[SqlConnector, SqlSelection]:
    told = {"dialect": "sqlite", "database": f"{its.folders[0]}/{path}"}
    chosen = SqlSelection.model_validate({"table": "t", **selection})
    return SqlConnector(SqlSettings.model_validate(told), its), chosen


async def _taken(made: SqlConnector, selection: SqlSelection, known: Known | None = None) -> bytes:
    async with made.harvest(selection, known) as got:
        return b"" if got is None else b"".join([piece async for piece in got.pieces])


# name: the file and the selection, and the class and place that is told.
_FAULTS: dict[str, tuple[str, dict[str, object], type[SourceError], str]] = {
    "no such file": ("none.sqlite3", {}, SourceBroken, "missing"),
    "no SQLite": ("a.csv", {}, SourceBroken, "format"),
    "half a file": ("torn.sqlite3", {"table": "held"}, SourceBroken, "format"),
    "no such table": ("a.sqlite3", {"table": "none"}, SourceBroken, "missing"),
    "no name": ("a.sqlite3", {"table": 't"; DROP TABLE t; --'}, SourceBroken, "missing"),
    "another schema": ("a.sqlite3", {"schema": "temp"}, SourceBroken, "missing"),
    "a column renamed": ("a.sqlite3", {"columns": ["c"]}, SourceChanged, "shape"),
    "a view of what is gone": ("a.sqlite3", {"table": "hollow"}, SourceChanged, "shape"),
    "too slow": ("a.sqlite3", {"table": "slow", "statement_seconds": 1}, SourceSlow, "silence"),
}


@pytest.mark.parametrize("fault", list(_FAULTS))
async def test_what_is_wrong_is_told_apart(its: Means, fault: str) -> None:
    path, selection, kind, at = _FAULTS[fault]
    made, chosen = _made(its, path, **selection)

    with pytest.raises(SourceError) as refused:
        await _taken(made, chosen)

    assert (type(refused.value), refused.value.at) == (kind, at)
    assert str(its.folders[0]) not in refused.value.words("en")
    assert _open_of(its.folders[0]) == 0


@pytest.mark.parametrize("path", ["link.sqlite3", "by/a.sqlite3", "../other/a.sqlite3"])
async def test_no_path_leads_out_of_a_folder_that_is_lent(its: Means, path: str) -> None:
    made, chosen = _made(its, path)

    with pytest.raises(FolderNotLent):
        made.check_settings()
    with pytest.raises(FolderNotLent):
        await _taken(made, chosen)


async def test_a_file_that_another_has_locked_is_waited_for_and_told(
    its: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_sqlite, "_BUSY_SECONDS", 0.1)
    made, chosen = _made(its, "a.sqlite3")
    owner = sqlite3.connect(its.folders[0] / "a.sqlite3", isolation_level=None)
    owner.execute("BEGIN EXCLUSIVE")

    with pytest.raises(SourceSlow) as refused:
        await _taken(made, chosen)
    owner.close()

    assert refused.value.passes
    assert await _taken(made, chosen) == b"a,b\n"


async def test_a_statement_that_nobody_waits_for_ends(its: Means) -> None:
    made, chosen = _made(its, "a.sqlite3", table="slow")
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await _taken(made, chosen)

    assert time.monotonic() - began < 2
    assert _open_of(its.folders[0]) == 0


@pytest.mark.parametrize(("charset", "told"), [(None, None), ("ujis", None), ("cp932", "①髙")])
async def test_texts_of_another_charset_are_told_or_read(
    its: Means, charset: str | None, told: str | None
) -> None:
    owner = sqlite3.connect(its.folders[0] / "a.sqlite3")
    owner.execute("INSERT INTO t VALUES (1, CAST(? AS TEXT))", ("①髙".encode("cp932"),))
    owner.commit()
    owner.close()
    made, chosen = _made(its, "a.sqlite3", charset=charset)
    field = Field("b", "b", "b", FieldType.TEXT)
    asked = Question((field,), where=Compare(field, "=", "①髙"), limit=None)

    if told is None:
        with pytest.raises(SourceBroken) as refused:
            await _taken(made, chosen)
        assert refused.value.at == "charset"
        return
    assert await _taken(made, chosen) == f"a,b\n1,{told}\n".encode()
    async with made.fetch(chosen, asked) as got:
        assert got is not None
        assert [row async for rows in got.batches for row in rows] == [{"b": told}]


async def test_texts_in_another_order_than_ours_are_not_paged_through(its: Means) -> None:
    owner = sqlite3.connect(its.folders[0] / "utf16.sqlite3")
    owner.executescript(
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (b TEXT); INSERT INTO t VALUES ('Ａ'), ('𠮷')"
    )
    owner.close()
    made, chosen = _made(its, "utf16.sqlite3", types={"b": "text"})
    field = Field("b", "b", "b", FieldType.TEXT)
    held = Compare(field, ">", "Ａ")

    for asked in (Question((field,), order=(Order(field),)), Question((field,), where=held)):
        assert made.part(chosen, asked) == asked
        with pytest.raises(CannotAnswer):
            async with made.fetch(chosen, asked):
                pass
    async with made.fetch(chosen, Question((field,), where=held, limit=None)) as got:
        assert got is not None
        assert {"b": "𠮷"} in [row async for rows in got.batches for row in rows]


async def test_a_file_that_lies_as_it_lay_is_not_read_again(its: Means) -> None:
    made, chosen = _made(its, "a.sqlite3", table="held")
    async with made.harvest(chosen) as got:
        assert got is not None
        known = Known(json.loads(json.dumps(got.validators)))
        first = b"".join([piece async for piece in got.pieces])
    again = await _taken(made, chosen, known)
    owner = sqlite3.connect(its.folders[0] / "a.sqlite3")
    owner.execute("PRAGMA journal_mode = WAL")
    owner.execute("INSERT INTO held VALUES (1, 1, '', '', '')")
    owner.commit()

    third = await _taken(made, chosen, known)
    owner.close()

    assert first == 'i,r,t,b,n\n9223372036854775807,0.1,"架,空",00ff,\n'.encode()
    assert again == b""
    assert third == first + b"1,1,,,\n"


async def test_a_mark_is_of_the_kind_of_its_values(its: Means) -> None:
    owner = sqlite3.connect(its.folders[0] / "a.sqlite3", isolation_level=None)
    owner.execute("INSERT INTO t VALUES (9, 'a'), (10, 'b')")
    made, chosen = _made(its, "a.sqlite3", watermark="a", overlap=1)
    async with made.harvest(chosen) as got:
        assert got is not None
        assert got.validators is not None
        known = Known(got.validators)
    owner.execute("INSERT INTO t VALUES (11, 'c')")

    later = await _taken(made, chosen, known)
    owner.close()

    assert later == b"a,b\n9,a\n10,b\n11,c\n"


@pytest.mark.parametrize(
    "told",
    [
        {"database": "a.sqlite3"}, {"database": "/a", "host": "db.example.jp"},
        {"dialect": "mysql", "database": "a", "user": "b", "password": "c"},
    ],
)  # fmt: skip
def test_settings_are_of_a_file_or_of_a_server(told: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SqlSettings.model_validate({"dialect": "sqlite", **told})
