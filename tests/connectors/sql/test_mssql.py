"""SQL Server: what its driver is let do, and what goes wrong at it.

No server of it can be had here. `tds` speaks its protocol, and understands no SQL.
"""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.connectors import sql_mssql
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
from app.kit.outbound_refusals import OutboundRefused
from app.query.fields import Field, FieldType
from app.query.question import Question
from tests.connectors.sources import means
from tests.connectors.sql.tds import (
    DONE,
    KNOWS,
    NO_TLS,
    TLS,
    Tds,
    error,
    packets_of,
    prelogin,
    routing,
    rows_of,
    serving,
    welcome,
)
from tests.kit.test_outbound import _certificate

_CATALOGUE = ["nvarchar", "nvarchar", "nvarchar", "int", "int", "int", "nvarchar", "int"]


def _columns(*types: tuple[str, str, int, int, int]) -> tuple[str, bytes]:
    """What the catalogue says of `t`: name, type, length, precision and scale of each column."""
    return "sys.columns", rows_of(_CATALOGUE, [("t", *each, None, 0) for each in types])


def _settings(port: int, **more: object) -> SqlSettings:
    told = {
        "dialect": "mssql", "host": "127.0.0.1", "port": port, "database": "d", "user": "u",
        "password": "合言葉", "tls": "off", **more,
    }  # fmt: skip
    return SqlSettings.model_validate(told)


@pytest_asyncio.fixture(loop_scope="session")
async def its() -> AsyncIterator[Means]:
    """A way out to this machine."""
    async with means() as made:
        yield made


async def _nobody_is_left(tds: Tds) -> bool:
    for _ in range(100):
        if tds.open_now == 0 and not any(
            each.name.startswith("sql") for each in threading.enumerate()
        ):
            return True
        await asyncio.sleep(0.02)
    return False


_ONE = _columns(("no", "int", 4, 10, 0))
# name: what the server is told to say, and the class and place that is told of it.
_FAULTS: dict[str, tuple[dict[str, Any], type[SourceError], str]] = {
    "a wrong password": ({"login": error(18456)}, SourceRefused, "credentials"),
    "a database that is closed": ({"login": error(4060, 18456)}, SourceRefused, "permission"),
    "a table that is closed": ({"answers": [KNOWS, _ONE, ("SELECT TOP", error(229))]}, SourceRefused, "permission"),
    "no such table": ({"answers": [KNOWS, ("SELECT 1", error(208))]}, SourceBroken, "missing"),
    "a view of what is gone": ({"answers": [KNOWS, _ONE, ("SELECT TOP", error(4413))]}, SourceChanged, "shape"),
    "a lock": ({"answers": [KNOWS, _ONE, ("SELECT TOP", error(1222))]}, SourceSlow, "silence"),
    "too many": ({"login": error(10928)}, SourceSlow, "pace"),
    "another error": ({"answers": [KNOWS, _ONE, ("SELECT TOP", error(8134))]}, SourceBroken, "server"),
    "no TLS for us": ({"encryption": 3}, SourceUnreachable, "tls"),
    "TLS for the password alone": ({"encryption": 0}, SourceUnreachable, "tls"),
    "packets of a gigabyte": ({"login": welcome(packets_of("1073741824"))}, SourceBroken, "too_long"),
    "half a login": ({"login": welcome()[:30]}, SourceBroken, "format"),
    "a text without an end": ({"answers": [KNOWS, _ONE, ("SELECT TOP", rows_of(["nvarchar(max)"], [("a",)])[:-20])]},
        SourceBroken, "format"),
    "a catalogue of another shape": ({"answers": [KNOWS, ("sys.columns", rows_of(["nvarchar"], [("t",)]))]},
        SourceBroken, "format"),
    "an answer of another shape": ({"answers": [("COLLATIONPROPERTY", rows_of(["int"], [(1,), (2,)]))]},
        SourceBroken, "format"),
    "no token": ({"login": b"\x01\x02\x03"}, SourceBroken, "format"),
    "a row of two answers": ({"answers": [KNOWS, _ONE, ("SELECT TOP", rows_of(["int"], [(1,)])[:-12]
        + b"\x11\0\0\0" + bytes(8) + rows_of(["int"], [(2,)]))]}, SourceBroken, "format"),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(_FAULTS))
async def test_what_is_wrong_is_told_apart(its: Means, fault: str) -> None:
    said, kind, at = _FAULTS[fault]

    async with serving(Tds(**said)) as tds:
        with pytest.raises(SourceError) as refused:
            await SqlConnector(_settings(tds.port), its).check(SqlSelection(table="t"))

        assert (type(refused.value), refused.value.at) == (kind, at)
        assert "合言葉" not in str(refused.value)
        assert await _nobody_is_left(tds)


@pytest.mark.parametrize(
    ("said", "kind", "at"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", SourceBroken, "format"),
        (b"\x04\x01\0\x08\0\0\0\0", SourceBroken, "format"),
        (prelogin(NO_TLS)[:13], SourceBroken, "cut_off"),
        (b"", SourceSlow, "silence"),
        (None, SourceUnreachable, "connection"),
    ],
)
async def test_what_is_no_sql_server_is_told_and_hears_no_password(
    its: Means,
    monkeypatch: pytest.MonkeyPatch,
    said: bytes | None,
    kind: type[SourceError],
    at: str,
) -> None:
    monkeypatch.setattr(sql_mssql, "CONNECT_SECONDS", 0.3)
    heard = bytearray()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(1000))
        if said:
            writer.write(said)
            writer.write_eof()
        heard.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = 9 if said is None else server.sockets[0].getsockname()[1]
        with pytest.raises(SourceError) as refused:
            await SqlConnector(_settings(port), its).check()

    assert (type(refused.value), refused.value.at) == (kind, at)
    assert "合言葉".encode("utf-16-le") not in heard


async def test_a_server_that_sends_elsewhere_is_not_followed(its: Means) -> None:
    reached = 0

    async def reach(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal reached
        reached += 1
        writer.close()

    other = await asyncio.start_server(reach, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    async with other:
        for host in ("127.0.0.1", "localhost", "127.0.0.1\\inst"):
            for login in (routing(host, port) + DONE, welcome(routing(host, port))):
                async with serving(Tds(login=login)) as tds:
                    with pytest.raises(SourceBroken) as refused:
                        await SqlConnector(_settings(tds.port), its).check()
                    assert await _nobody_is_left(tds)

    assert (refused.value.at, reached) == ("redirect", 0)


async def test_an_address_that_is_not_allowed_is_not_connected_to_and_a_name_is_asked_once() -> (
    None
):
    names: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        names.append(host)
        return ["127.0.0.1"] if len(names) == 1 else ["10.0.0.1"]

    async with serving(Tds()) as tds:
        open_out = Outbound(Allowed.parse("db.example.jp,127.0.0.1"), resolve=resolve)
        closed = Outbound(Allowed.parse("192.168.0.0/16"), resolve=resolve)
        await SqlConnector(_settings(tds.port, host="db.example.jp"), Means(open_out)).check()
        with pytest.raises(OutboundRefused):
            await SqlConnector(_settings(tds.port), Means(closed)).check()
        await open_out.close()
        await closed.close()

    assert names == ["db.example.jp", "127.0.0.1"]
    assert len(tds.statements) == 2  # of the first alone


async def test_a_server_is_known_by_its_certificate(tmp_path: Path) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async def told(host: str, ca: str) -> str:
        settings = _settings(tds.port, host=host, tls="verify", ca=ca)
        try:
            await SqlConnector(settings, Means(outbound)).check()
        except SourceError as refused:
            return refused.at
        return "fine"

    outbound = Outbound(Allowed.parse("127.0.0.1"), resolve=resolve)
    found = []
    for days in (1, -1):
        file = _certificate(tmp_path, "db.example.jp", days=days)
        theirs = file.read_text()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(file)
        async with serving(Tds(TLS, tls=tls)) as tds:
            found += [await told("db.example.jp", theirs), await told("other.example.jp", theirs)]
            other = _certificate(tmp_path, "db.example.jp").read_text()
            found.append(await told("db.example.jp", other))
            assert await _nobody_is_left(tds)
            assert "合言葉".encode("utf-16-le") not in tds.heard  # it is scrambled, and in TLS
    async with serving(Tds(NO_TLS)) as tds:
        found.append(await told("db.example.jp", theirs))
        assert len(tds.heard) < 100  # a greeting, and no login
    await outbound.close()

    assert found == ["fine", "tls", "tls", "tls_expired", "tls", "tls", "tls"]


# type, length, precision and scale of the catalogue; what comes over the wire; value and cell.
_HELD: list[tuple[tuple[str, int, int, int], tuple[str, Any], Any, str]] = [
    (("int", 4, 10, 0), ("int", -3), -3, "-3"),
    (("bigint", 8, 19, 0), ("bigint", 2**63 - 1), 2**63 - 1, "9223372036854775807"),
    (("bit", 1, 1, 0), ("bit", 1), True, "1"),
    (("real", 4, 24, 0), ("real", 0.1), 0.1, "0.1"),
    (("decimal", 17, 38, 10), ("decimal(38,10)", -(10**37) - 1),
     Decimal("-1000000000000000000000000000.0000000001"), "-1000000000000000000000000000.0000000001"),
    (("date", 3, 10, 0), ("date", 738_975), date(2024, 3, 31), "2024-03-31"),
    (("datetime", 8, 23, 3), ("datetime2(3)", (738_975, 86_399_997)),
     datetime(2024, 3, 31, 23, 59, 59, 997000, timezone(timedelta(hours=9))), "2024-03-31 23:59:59.997000"),
    (("datetimeoffset", 10, 34, 7), ("datetimeoffset(6)", (738_975, 1_000_001, 540)),
     datetime(2024, 3, 31, 0, 0, 1, 1, UTC), "2024-03-31 00:00:01.000001+00:00"),
    (("uniqueidentifier", 16, 0, 0), ("nvarchar(max)", "0E984725-C51C-4BF4-9960-E1C80E27ABA0"),
     "0E984725-C51C-4BF4-9960-E1C80E27ABA0", "0E984725-C51C-4BF4-9960-E1C80E27ABA0"),
    (("varchar", 10, 0, 0), ("nvarchar(max)", "髙,𠮷"), "髙,𠮷", '"髙,𠮷"'),
    (("nvarchar", -1, 0, 0), ("nvarchar(max)", None), None, ""),
]  # fmt: skip


async def test_a_column_is_read_as_what_it_holds(its: Means) -> None:
    names = [f"c{at}" for at in range(len(_HELD))]
    told = [(name, *each[0]) for name, each in zip(names, _HELD, strict=True)]
    rows = rows_of([each[1][0] for each in _HELD], [[each[1][1] for each in _HELD]] * 2)
    fields = tuple(Field(each, each, each, FieldType.TEXT) for each in names)

    async with serving(Tds(answers=[KNOWS, _columns(*told), ("FROM [dbo].[t]", rows)])) as tds:
        made = SqlConnector(_settings(tds.port), its)
        async with made.fetch(SqlSelection(table="t"), Question(fields, limit=None)) as got:
            assert got is not None
            found = [row async for batch in got.batches for row in batch]
        async with made.harvest(SqlSelection(table="t")) as whole:
            assert whole is not None
            text = b"".join([piece async for piece in whole.pieces]).decode()
        assert await _nobody_is_left(tds)

    assert [list(row.values()) for row in found] == [[each[2] for each in _HELD]] * 2
    assert text.split("\n")[1:3] == [",".join(each[3] for each in _HELD)] * 2
    assert all("SELECT" in each or "SET " in each for each in tds.statements)


async def test_a_harvest_by_rowversion_is_of_what_has_come_since(its: Means) -> None:
    columns = _columns(("no", "int", 4, 10, 0), ("v", "timestamp", 8, 0, 0))
    mark = ("max([dbo]", rows_of(["nvarchar", "int"], [("0x00000000000007D1", 1)]))
    total = ("count(*) AS", rows_of(["int"], [(2,)]))
    rows = ("FROM [dbo].[t]", rows_of(["int", "nvarchar"], [(2, "00000000000007D1")]))
    had = {"watermark": "0x00000000000007D0", "rows": 1, "total": 1, "deltas": 0}

    async with serving(Tds(answers=[KNOWS, columns, mark, total, rows])) as tds:
        made = SqlConnector(_settings(tds.port), its)
        chosen = SqlSelection.model_validate({"table": "t", "watermark": "v"})
        async with made.harvest(chosen, Known(had)) as got:
            assert got is not None
            text = b"".join([piece async for piece in got.pieces])

    assert (got.delta, text) == (True, b"no,v\n2,00000000000007D1\n")
    assert "WHERE [dbo].[t].[v] >= convert(varbinary(8), @P1, 1)" in tds.statements[-1]


async def test_a_database_is_discovered(its: Means) -> None:
    tables = ("SELECT TOP (@P1)", rows_of(["nvarchar"] * 2, [("dbo", "t")]))
    column = rows_of(_CATALOGUE, [("t", "番号", "nvarchar", 20, 0, 0, "主キー", 1),
                                  ("t", "at", "datetime2", 8, 27, 7, None, 0)])  # fmt: skip
    async with serving(Tds(answers=[KNOWS, tables, ("sys.columns", column)])) as tds:
        [found] = await SqlConnector(_settings(tds.port), its).discover()

    assert found.selection == {"schema": "dbo", "table": "t", "types": {"at": "moment"}}
    assert found.fields == (
        {"name": "番号", "type": "nvarchar(10)", "comment": "主キー"},
        {"name": "at", "type": "datetime2(7)"},
    )


async def test_whoever_is_cancelled_leaves_nothing_at_work(its: Means) -> None:
    async with serving(Tds(answers=[KNOWS, _ONE])) as tds:
        tds.answers.append(("SELECT TOP", b""))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await SqlConnector(_settings(tds.port), its).check(SqlSelection(table="t"))

        assert await _nobody_is_left(tds)
