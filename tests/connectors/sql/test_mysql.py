"""MariaDB as a source: the contract, what goes wrong at it, and what its columns hold."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from app.connectors import sql_mysql_wire
from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import Known, Means
from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from app.kit.outbound import Allowed, Outbound
from app.query.fields import Field, FieldType
from app.query.question import Compare, Not, Order, Question
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.sources import means
from tests.connectors.sql.mariadb import PASSWORD, MariaDb
from tests.kit.test_outbound import _certificate

ROWS: list[Row] = [{"no": "1", "name": "架空、第一"}, {"no": "2", "name": '架空"第二"\\'}]
_TABLE = "施設 `一覧` %s"
_QUOTED = "`施設 ``一覧`` %s`"


class TestMariaDb(Contract):
    """A table of a real server, by a user who may only read."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, mariadb: MariaDb) -> AsyncIterator[Stage]:
        database = mariadb.database("contract")
        mariadb.owner.select_db(database)
        mariadb.run(f"CREATE TABLE {_QUOTED} (no varchar(10) PRIMARY KEY, name varchar(100))")

        async def add(row: Row) -> None:
            mariadb.run(f"INSERT INTO {_QUOTED.replace('%', '%%')} VALUES (%s, %s)", *row.values())

        for row in ROWS:
            await add(row)
        async with means() as its:
            told = mariadb.settings(database)
            connector = SqlConnector(SqlSettings.model_validate(told), its)

            async def go_away() -> None:
                connector.settings = connector.settings.model_copy(update={"port": 9})

            selection = SqlSelection.model_validate({"table": _TABLE, "watermark": "no"})
            yield Stage(
                connector, selection, ROWS, add, go_away, mariadb.open_now, PASSWORD, [_TABLE]
            )


@pytest_asyncio.fixture(loop_scope="session")
async def its() -> AsyncIterator[Means]:
    """A way out to this machine."""
    async with means() as made:
        yield made


@pytest.fixture(scope="module")
def here(mariadb: MariaDb) -> str:
    """A database of the reader's, and one that is closed to it."""
    mariadb.run("DROP DATABASE IF EXISTS closed")
    mariadb.run("CREATE DATABASE closed")
    mariadb.run("CREATE TABLE closed.t (a int)")
    name = mariadb.database("here")
    mariadb.owner.select_db(name)
    for statement in _SCHEMA:
        mariadb.run(statement)
    return name


_SCHEMA = (
    "CREATE TABLE t (a int COMMENT '番号', 名称 varchar(10)) ENGINE=InnoDB",
    "CREATE FUNCTION w() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO t VALUES (1, ''); RETURN 1; END",
    "CREATE VIEW writes AS SELECT w() AS a",
    "CREATE VIEW slow AS SELECT a, SLEEP(30) AS s FROM (SELECT 1 AS a) x",
    "CREATE TABLE gone (a int)",
    "CREATE VIEW hollow AS SELECT a FROM gone",
    "DROP TABLE gone",
    "CREATE VIEW large AS SELECT seq, REPEAT('架', 100) AS text FROM seq_1_to_3000000",
    "CREATE VIEW wide AS SELECT REPEAT('x', 9000000) a, REPEAT('x', 9000000) b",
    "CREATE TABLE lying (a varchar(50)) CHARACTER SET latin1",
    "GRANT EXECUTE ON here.* TO reader@'%'",
)


async def _taken(its: Means, settings: dict[str, object], selection: dict[str, object]) -> bytes:
    made = SqlConnector(SqlSettings.model_validate(settings), its)
    async with made.harvest(SqlSelection.model_validate(selection)) as got:
        assert got is not None
        return b"".join([piece async for piece in got.pieces])


# name: how the settings and the selection differ, and the class and place that is told.
_FAULTS: dict[str, tuple[dict[str, object], dict[str, object], type[SourceError], str]] = {
    "a wrong password": ({"password": "合言葉"}, {}, SourceRefused, "credentials"),
    "a database that is closed": ({"database": "closed"}, {}, SourceRefused, "permission"),
    "a table that is closed": ({}, {"schema": "closed"}, SourceRefused, "permission"),
    "nobody listens": ({"port": 9}, {}, SourceUnreachable, "connection"),
    "no such host": ({"host": "db.invalid"}, {}, SourceUnreachable, "name"),
    "no such table": ({}, {"table": "none"}, SourceBroken, "missing"),
    "another case": ({}, {"table": "T"}, SourceBroken, "missing"),
    "no name": ({}, {"table": "t`; DROP TABLE t; --"}, SourceBroken, "missing"),
    "a column renamed": ({}, {"columns": ["a", "b"]}, SourceChanged, "shape"),
    "a view of what is gone": ({}, {"table": "hollow"}, SourceChanged, "shape"),
    "a view that writes": ({}, {"table": "writes"}, SourceBroken, "server"),
    "too slow": ({}, {"table": "slow", "statement_seconds": 1}, SourceSlow, "silence"),
    "a row too long": ({}, {"table": "wide"}, SourceBroken, "too_long"),
    "no TLS": ({"tls": "verify"}, {}, SourceUnreachable, "tls"),
}


@pytest.mark.parametrize("fault", list(_FAULTS))
async def test_what_is_wrong_is_told_apart(
    mariadb: MariaDb, here: str, its: Means, fault: str
) -> None:
    differs, chosen, kind, at = _FAULTS[fault]

    with pytest.raises(SourceError) as refused:
        await _taken(its, mariadb.settings(here, **differs), {"table": "t", **chosen})

    assert (type(refused.value), refused.value.at) == (kind, at)
    assert mariadb.run("SELECT count(*) FROM here.t") == [(0,)]
    assert await _all_closed(mariadb)


async def _all_closed(mariadb: MariaDb) -> bool:
    for _ in range(100):
        if mariadb.open_now() == 0:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_connection_killed_in_the_midst_of_an_answer_is_told(
    mariadb: MariaDb, here: str, its: Means
) -> None:
    made = SqlConnector(SqlSettings.model_validate(mariadb.settings(here)), its)
    with pytest.raises(SourceBroken) as refused:
        async with made.harvest(SqlSelection(table="large")) as got:
            assert got is not None
            async for _ in got.pieces:
                mariadb.run("KILL USER reader")

    assert refused.value.at == "cut_off"
    assert await _all_closed(mariadb)


async def test_a_server_that_goes_and_comes_back_is_asked_again(
    mariadb: MariaDb, here: str, its: Means
) -> None:
    made = SqlConnector(SqlSettings.model_validate(mariadb.settings(here)), its)
    with pytest.raises(SourceBroken) as refused:
        async with made.harvest(SqlSelection(table="large")) as got:
            assert got is not None
            async for _ in got.pieces:
                if mariadb.owner.open:
                    await asyncio.to_thread(mariadb.stop)
    with pytest.raises(SourceUnreachable):
        await made.check()
    await asyncio.to_thread(mariadb.start)
    mariadb.owner.select_db(here)

    await made.check(SqlSelection(table="t"))

    assert (refused.value.at, refused.value.passes) == ("cut_off", True)


async def test_a_server_is_known_by_its_certificate(
    mariadb: MariaDb, here: str, tmp_path: Path
) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    def made(host: str, ca: str) -> SqlConnector:
        settings = mariadb.settings(here, host=host, tls="verify", ca=ca)
        return SqlConnector(SqlSettings.model_validate(settings), Means(outbound))

    async def told(host: str, ca: str) -> str:
        try:
            await made(host, ca).check(SqlSelection(table="t"))
        except SourceError as refused:
            return refused.at
        return "fine"

    outbound = Outbound(Allowed.parse("127.0.0.1"), resolve=resolve)
    theirs = (mariadb.folder / "server.pem").read_text()
    other = _certificate(tmp_path, "db.example.jp").read_text()
    found = [
        await told("db.example.jp", theirs),
        await told("other.example.jp", theirs),
        await told("db.example.jp", other),
    ]
    began = time.monotonic()
    with pytest.raises(TimeoutError):  # what is cancelled ends, with TLS as without
        async with asyncio.timeout(0.3):
            await made("db.example.jp", theirs).check(SqlSelection(table="slow"))
    assert time.monotonic() - began < 4
    late = _certificate(tmp_path, "db.example.jp", days=-1)
    (mariadb.folder / "server.pem").write_bytes(late.read_bytes())
    mariadb.run("FLUSH SSL")
    found.append(await told("db.example.jp", late.read_text()))
    (mariadb.folder / "server.pem").write_text(theirs)
    mariadb.run("FLUSH SSL")
    await outbound.close()

    assert found == ["fine", "tls", "tls", "tls_expired"]


_GREETING = (
    b"\x0a5.5.5-10.11.0-MariaDB\0\x01\0\0\0saltsalt\0\xff\xf7\x2d\x02\0\xff\x81\x15"
    + b"\0" * 10
    + b"saltsaltsalt\0mysql_native_password\0"
)
_FINE = b"\0\0\0\x02\0\0\0"


def _packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


_SET = (_packet(1, _FINE), _packet(1, _FINE))  # the charset, and who commits


_COLUMN = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0"
_OTHER_ROWS = b"".join(
    _packet(number, body)
    for number, body in enumerate(
        [b"\x01", _COLUMN, b"\xfe\0\0\x02\0", b"\x01a", b"\xfe\0\0\x02\0"], 1
    )
)


# What somebody who is no MySQL of ours says: to a greeting, and to what we then send.
@pytest.mark.parametrize(
    ("said", "kind", "at"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], SourceBroken, "format"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], SourceBroken, "format"),
        ([_packet(0, _GREETING)[:20]], SourceBroken, "cut_off"),
        ([_packet(0, b"\x0a")], SourceBroken, "format"),
        ([_packet(0, _GREETING), b"\xff\xff\xff\x02"], SourceBroken, "too_long"),
        ([_packet(0, _GREETING), _packet(2, _FINE), *_SET, _packet(1, b"\xfb/etc/passwd")],
         SourceBroken, "format"),
        ([_packet(0, _GREETING), _packet(2, b"\xff\x10\x04#08004Too many connections")],
         SourceSlow, "pace"),
        ([_packet(0, _GREETING), _packet(2, b"\xfemysql_clear_password\0"), _packet(4, _FINE)],
         SourceUnreachable, "tls"),
        ([_packet(0, _GREETING), _packet(2, _FINE), *_SET, *[_packet(1, _FINE)] * 5, _OTHER_ROWS],
         SourceBroken, "format"),
        ([], SourceSlow, "silence"),
    ],
)  # fmt: skip
async def test_what_is_no_mysql_is_told_and_gets_nothing(
    its: Means, monkeypatch: pytest.MonkeyPatch, said: list[bytes], kind: type[SourceError], at: str
) -> None:
    monkeypatch.setattr(sql_mysql_wire, "CONNECT_SECONDS", 0.5)
    heard = bytearray()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, each in enumerate(said, 1):
            writer.write(each)
            if number < len(said):
                heard.extend(await reader.read(1000))
        if said:
            writer.write_eof()
        heard.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        settings = {
            "dialect": "mysql", "host": "127.0.0.1", "port": server.sockets[0].getsockname()[1],
            "database": "d", "user": "u", "password": "hidden", "tls": "off",
        }  # fmt: skip
        with pytest.raises(SourceError) as refused:
            await SqlConnector(SqlSettings.model_validate(settings), its).discover()

    assert (type(refused.value), refused.value.at) == (kind, at)
    assert b"root:" not in heard and b"hidden" not in heard


@pytest.mark.parametrize(
    ("stored", "charset", "told"),
    [
        ("日本".encode("cp932"), None, None), ("カナ".encode(), None, None),
        ("日本".encode("cp932"), "cp932", "日本"), ("かな".encode("euc_jp"), "ujis", "かな"),
        ("カナ".encode("cp932"), "utf8mb4", None), ("café".encode("latin-1"), None, "café"),
    ],
)  # fmt: skip
async def test_a_table_that_lies_of_its_charset_is_told_or_read_as_it_is(
    mariadb: MariaDb, here: str, its: Means, stored: bytes, charset: str | None, told: str | None
) -> None:
    mariadb.run("TRUNCATE here.lying")
    mariadb.run("INSERT INTO here.lying VALUES (UNHEX(%s))", stored.hex())
    selection: dict[str, object] = {"table": "lying", "charset": charset}
    field = Field("a", "a", "a", FieldType.TEXT)
    asked = Question((field,), where=Compare(field, "=", told or ""), limit=None)
    made = SqlConnector(SqlSettings.model_validate(mariadb.settings(here)), its)

    if told is None:
        with pytest.raises(SourceBroken) as refused:
            await _taken(its, mariadb.settings(here), selection)
        assert refused.value.at == "charset"
        return
    assert await _taken(its, mariadb.settings(here), selection) == f'"a"\n"{told}"\n'.encode()
    async with made.fetch(SqlSelection.model_validate(selection), asked) as got:
        assert got is not None
        assert [row async for rows in got.batches for row in rows] == [{"a": told}]


# type, what is written, the cell of a harvest, the value of an answer.
_HELD: list[tuple[str, str, str, object]] = [
    ("bigint unsigned", "18446744073709551615", "18446744073709551615", 18446744073709551615),
    ("decimal(40,20)", "12345678901234567890.1", "12345678901234567890.10000000000000000000",
     Decimal("12345678901234567890.10000000000000000000")),
    ("tinyint(1)", "1", "1", 1), ("bit(1)", "b'1'", "1", 1), ("bit(12)", "b'100000000001'", "2049", 2049),
    ("year", "2026", "2026", 2026), ("date", "'0000-00-00'", "", None),
    ("date", "'2026-04-00'", "2026-04-00", "2026-04-00"),
    ("datetime", "'0000-00-00 00:00:00'", "", None),
    ("datetime(3)", "'2026-04-01 00:00:00.125'", "2026-04-01 00:00:00.125+00:00",
     datetime(2026, 4, 1, 0, 0, 0, 125000, UTC)),
    ("timestamp", "'2026-04-01 09:00:00'", "2026-04-01 00:00:00+00:00", datetime(2026, 4, 1, tzinfo=UTC)),
    ("time", "'25:30:00'", '"25:30:00"', "25:30:00"), ("varchar(9)", "''", '""', ""),
    ("varchar(9)", "NULL", "", None), ("varchar(9)", "'a\"\\n,'", '"a""\n,"', 'a"\n,'),
    ("varchar(9) CHARACTER SET cp932", "'①髙'", '"①髙"', "①髙"),
    ("enum('公開','非公開')", "'公開'", '"公開"', "公開"), ("varbinary(4)", "x'00ff'", '"00FF"', "00FF"),
    ("json", """'{"a": "日"}'""", '"{""a"": ""日""}"', '{"a": "日"}'),
    ("point", "ST_GeomFromText('POINT(135.5 34.7)')",
     '"{""type"": ""Point"", ""coordinates"": [135.5, 34.7]}"',
     '{"type": "Point", "coordinates": [135.5, 34.7]}'),
    ("double", "0.1", "0.1", 0.1),
]  # fmt: skip


async def test_a_column_is_read_as_what_it_holds(mariadb: MariaDb, here: str, its: Means) -> None:
    columns = ", ".join(f"`c%{at}` {each[0]}" for at, each in enumerate(_HELD))
    mariadb.run("SET sql_mode = '', time_zone = '+09:00'")
    mariadb.run("DROP TABLE IF EXISTS held")
    mariadb.run(f"CREATE TABLE held ({columns})".replace("timestamp", "timestamp NULL"))
    mariadb.run(f"INSERT INTO held VALUES ({', '.join(each[1] for each in _HELD)})")
    names = [f"c%{at}" for at in range(len(_HELD))]
    asked = Question(tuple(Field(n, n, n, FieldType.TEXT) for n in names), limit=None)
    selection: dict[str, object] = {"table": "held", "time_zone": "+00:00"}
    made = SqlConnector(SqlSettings.model_validate(mariadb.settings(here)), its)

    _, _, line = (await _taken(its, mariadb.settings(here), selection)).decode().partition("\n")
    async with made.fetch(SqlSelection.model_validate(selection), asked) as got:
        assert got is not None
        [row] = [row async for rows in got.batches for row in rows]

    assert line == ",".join(each[2] for each in _HELD) + "\n"
    assert list(row.values()) == [each[3] for each in _HELD]


async def test_what_is_found_has_comments(mariadb: MariaDb, here: str, its: Means) -> None:
    settings = SqlSettings.model_validate(mariadb.settings(here))

    found = {each.name: each for each in await SqlConnector(settings, its).discover()}

    assert found["t"].selection == {"schema": "here", "table": "t", "types": {"a": "integer"}}
    assert found["t"].fields == (
        {"name": "a", "type": "int(11)", "comment": "番号"},
        {"name": "名称", "type": "varchar(10)"},
    )
    assert "hollow" not in found  # nothing can be read of it


async def test_changes_alone_are_harvested_until_rows_have_gone_or_it_is_time(
    mariadb: MariaDb, here: str, its: Means
) -> None:
    mariadb.run("CREATE OR REPLACE TABLE marked (no int PRIMARY KEY, at datetime)")
    made = SqlConnector(SqlSettings.model_validate(mariadb.settings(here)), its)
    selection = SqlSelection.model_validate(
        {"table": "marked", "watermark": "at", "overlap": 60, "full_every": 3}
    )
    known: Known | None = None
    told: list[tuple[bool, int] | None] = []
    for statement in (
        "INSERT INTO marked VALUES (1, '2026-04-01 00:00:00'), (2, '2026-04-01 09:00:00')",
        "DO 0",
        "INSERT INTO marked VALUES (3, '2026-04-01 08:59:30')",  # late, and within the overlap
        "INSERT INTO marked VALUES (4, '2026-04-02 00:00:00')",
        "UPDATE marked SET at = '2026-04-03 00:00:00' WHERE no = 1",  # the third: of all rows
        "UPDATE marked SET at = '2026-04-04 00:00:00' WHERE no = 2",
        "DELETE FROM marked WHERE no = 2",
    ):
        mariadb.run(statement)
        async with made.harvest(selection, known) as got:
            if got is None:
                told.append(None)
                continue
            rows = b"".join([piece async for piece in got.pieces]).count(b"\n") - 1
            known = Known(json.loads(json.dumps(got.validators)))
        told.append((got.delta, rows))

    assert told == [
        (False, 2), None, (True, 2), (True, 3), (False, 4), (True, 2), (False, 3)
    ]  # fmt: skip


async def test_no_more_is_held_at_once_than_a_few_long_rows(
    mariadb: MariaDb, here: str, its: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_mysql_wire, "MOST_AT_ONCE", 100_000)
    mariadb.run(
        "CREATE OR REPLACE VIEW here.longer AS SELECT seq, REPEAT('a', 60000) t FROM seq_1_to_9"
    )
    made = SqlConnector(SqlSettings.model_validate(mariadb.settings(here)), its)
    selection = SqlSelection(table="longer")
    fields = (Field("seq", "seq", "seq", FieldType.INTEGER), Field("t", "t", "t", FieldType.TEXT))

    async with made.fetch(selection, Question(fields, limit=None)) as got:
        assert got is not None
        batches = [len(batch) async for batch in got.batches]
    async with made.harvest(selection) as harvest:
        assert harvest is not None
        pieces = [len(piece) async for piece in harvest.pieces]

    assert (sum(batches), max(batches)) == (9, 2)
    assert max(pieces) < 130_000 and sum(pieces) > 540_000


async def test_a_day_of_zeros_is_none_and_comes_last(
    mariadb: MariaDb, here: str, its: Means
) -> None:
    mariadb.run("CREATE OR REPLACE TABLE here.days (no int PRIMARY KEY, d date, t datetime)")
    mariadb.run("SET sql_mode = ''")
    mariadb.run("INSERT INTO here.days VALUES (1, 0, 0), (2, 20260401, 20260401), (3, NULL, NULL)")
    made = SqlConnector(SqlSettings.model_validate(mariadb.settings(here)), its)
    types = {"no": "integer", "d": "date", "t": "moment"}
    selection = SqlSelection.model_validate({"table": "days", "types": types})
    no = Field("no", "no", "no", FieldType.INTEGER)
    day, time = Field("d", "d", "d", FieldType.DATE), Field("t", "t", "t", FieldType.DATETIME)
    late = datetime(2026, 5, 1, tzinfo=UTC)
    found = []
    for asked in (
        Question((no,), order=(Order(day), Order(no)), limit=2),
        Question((no,), order=(Order(time), Order(no)), limit=2),
        Question((no,), where=Compare(day, "<", late.date()), limit=2),
        Question((no,), where=Compare(time, "<>", late), limit=2),
        Question((no,), where=Not(Compare(day, ">", late.date())), limit=2),
    ):
        part = made.part(selection, asked)
        async with made.fetch(selection, part) as got:
            assert got is not None and part == asked
            found.append([row["no"] async for batch in got.batches for row in batch])

    assert found == [[2, 1], [2, 1], [2], [2], [2]]
