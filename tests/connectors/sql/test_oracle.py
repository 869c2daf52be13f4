"""Oracle: what its driver is let do, and what goes wrong at its listener.

No server of it can be had here. A listener that says what it is told to shows what becomes of a
connection; of rows, what its dictionary and its driver give is handed to the reading itself.
"""

import asyncio
import os
import signal
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from pydantic import ValidationError

from app.connectors import sql_oracle, sql_oracle_wire
from app.connectors.errors import (
    SourceBroken,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import Means
from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from app.connectors.sql_oracle import OracleReading
from app.connectors.sql_reading import Reading
from app.connectors.sql_threads import Thread
from app.kit.outbound import Allowed, Outbound
from app.query.fields import Field, FieldType
from app.query.question import Question
from tests.connectors.sources import means
from tests.kit.test_outbound import _certificate

_ACCEPT, _REFUSE, _REDIRECT, _DATA, _RESEND = 2, 4, 5, 6, 11


def _settings(port: int, **more: object) -> SqlSettings:
    told = {
        "dialect": "oracle", "host": "127.0.0.1", "port": port, "database": "svc.example.jp",
        "user": "reader", "password": "hidden-word-9", "tls": "off", **more,
    }  # fmt: skip
    return SqlSettings.model_validate(told)


@pytest_asyncio.fixture(loop_scope="session")
async def its() -> AsyncIterator[Means]:
    """A way out to this machine."""
    async with means() as made:
        yield made


def _packet(kind: int, body: bytes, *, is_long: bool = False) -> bytes:
    """Of a listener with two bytes of length, of a server that has taken us on with four."""
    size = struct.pack(">I", len(body) + 8) if is_long else struct.pack(">HH", len(body) + 8, 0)
    return size + bytes([kind, 0, 0, 0]) + body


def _refusal(code: int) -> bytes:
    told = f"(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4))))"
    return _packet(_REFUSE, b"\0\0" + struct.pack(">H", len(told)) + told.encode())


def _redirect(port: int) -> bytes:
    told = f"(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT={port}))\0(DESCRIPTION=())".encode()
    return _packet(_REDIRECT, struct.pack(">H", len(told)) + told)


def _acceptance(unit: int) -> bytes:
    head = struct.pack(">HH", 318, 0) + bytes(20)
    return _packet(_ACCEPT, head + struct.pack(">I", unit) + bytes(5) + bytes(12))


def _error(code: int) -> bytes:
    """An error of the server, in its numbers of variable length: nearly all of them are none."""
    told = f"ORA-{code:05}: x".encode()
    number = b"\x02" + struct.pack(">H", code)
    body = b"\x04" + bytes(28) + number + b"\0" + bytes(2) + bytes([len(told)]) + told
    return _packet(_DATA, b"\0\0" + body, is_long=True)


@asynccontextmanager
async def _listening(said: Sequence[bytes], **more: Any) -> AsyncIterator[tuple[int, bytearray]]:
    """Says one thing to each that is said to it; its port, and what it has heard."""
    heard = bytearray()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for each in said:
                heard.extend(await reader.read(5_000))
                writer.write(each)
            if said and not more.get("ssl"):
                writer.write_eof()
            heard.extend(await reader.read())
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, **more)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def _is_drivers(process: psutil.Process) -> bool:
    return "app.connectors.sql_oracle_child" in process.cmdline()


async def _nobody_is_left() -> bool:
    """No process of the driver's, and no thread."""
    for _ in range(100):
        threads = [each for each in threading.enumerate() if each.name.startswith("sql")]
        if not threads and not any(map(_is_drivers, psutil.Process().children())):
            return True
        await asyncio.sleep(0.02)
    return False


_FAULTS: dict[str, tuple[list[bytes], type[SourceError], str]] = {
    "no such service": ([_refusal(12514)], SourceBroken, "missing"),
    "too many": ([_refusal(12519)], SourceSlow, "pace"),
    "a wrong password": ([_acceptance(8192), _error(1017)], SourceRefused, "credentials"),
    "no right to sign in": ([_acceptance(8192), _error(1045)], SourceRefused, "permission"),
    "an older server": ([_packet(_ACCEPT, struct.pack(">HH", 313, 0) + bytes(20)
        + struct.pack(">I", 8192) + bytes(17))], SourceBroken, "server"),
    "units of no size": ([_acceptance(0), bytes(50)], SourceBroken, "format"),
    "no packet": ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], SourceBroken, "format"),
    "half a packet": ([_acceptance(8192)[:20]], SourceBroken, "cut_off"),
    "nothing": ([], SourceSlow, "silence"),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(_FAULTS))
async def test_what_is_wrong_is_told_apart(
    its: Means, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    said, kind, at = _FAULTS[fault]
    monkeypatch.setattr(sql_oracle, "CONNECT_SECONDS", 2.0 if said else 0.5)

    async with _listening(said) as (port, heard):
        with pytest.raises(SourceError) as refused:
            await SqlConnector(_settings(port), its).check()

    assert (type(refused.value), refused.value.at) == (kind, at)
    assert await _nobody_is_left()
    assert b"hidden-word-9" not in heard
    assert f"HOST={os.uname().nodename})".encode() not in heard


async def test_nobody_listens(its: Means) -> None:
    with pytest.raises(SourceUnreachable) as refused:
        await SqlConnector(_settings(9), its).check()

    assert refused.value.at == "connection"


async def test_a_listener_that_sends_elsewhere_is_not_followed(
    its: Means, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # An alias of a file that the server names would do as well as an address.
    monkeypatch.setenv("TNS_ADMIN", str(tmp_path))
    async with _listening([b""]) as (other, reached):
        (tmp_path / "tnsnames.ora").write_text(
            f"alias=(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT={other})))"
        )
        alias = b"alias\0(DESCRIPTION=())"
        whole = _redirect(other)
        for said in (
            [whole],
            [whole[:10], whole[10:]],
            [_packet(_RESEND, b"") + _packet(_REDIRECT, struct.pack(">H", len(alias)) + alias)],
        ):
            async with _listening(said) as (port, _):
                with pytest.raises(SourceBroken) as refused:
                    await SqlConnector(_settings(port), its).check()
                assert refused.value.at == "redirect"

    assert not reached
    assert await _nobody_is_left()


async def test_what_ends_the_driver_by_force_ends_a_process_of_its_own(its: Means) -> None:
    async with _listening([b""] * 9) as (port, heard):
        asking = asyncio.create_task(SqlConnector(_settings(port), its).check())
        for _ in range(500):
            if heard:
                break
            await asyncio.sleep(0.01)
        [child] = [each for each in psutil.Process().children() if _is_drivers(each)]
        environment = child.environ()
        child.send_signal(signal.SIGSEGV)
        with pytest.raises(SourceBroken) as refused:
            await asking

    assert refused.value.at == "format"
    assert set(environment) <= {"PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "LC_CTYPE"}
    assert await _nobody_is_left()


async def test_no_more_processes_are_begun_than_there_are_places(
    its: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr(sql_oracle_wire, "_PLACES_FREE", places)

    async with _listening([b""] * 9) as (port, heard):
        first, waiting = (
            asyncio.create_task(SqlConnector(_settings(port), its).check()) for _ in range(2)
        )
        for _ in range(500):
            if heard:
                break
            await asyncio.sleep(0.01)
        at_once = [each for each in psutil.Process().children() if _is_drivers(each)]
        waiting.cancel()
        ended = await asyncio.wait({waiting}, timeout=1)
        first.cancel()
        await asyncio.wait({first})

    assert (len(at_once), ended[0]) == (1, {waiting})
    assert await _nobody_is_left()
    assert places.acquire(blocking=False)


@pytest.mark.parametrize(
    ("said", "at"),
    [
        (b"\xff\xff\xff\xff", "too_long"), (b"\0\0\0\x02{x", "format"), (b"\0\0\0\x02[]", "format"),
        (b'\0\0\0\x14{"wrong":{"at":"x"}}', "format"), (b"\0\0", "format"),
        (b'\0\0\0\x02{}\0\0\0\x02{}\0\0\0\x0c{"rows":[1]}', "format"),
    ],
)  # fmt: skip
async def test_what_the_process_of_the_driver_says_is_not_trusted(
    its: Means, monkeypatch: pytest.MonkeyPatch, said: bytes, at: str
) -> None:
    told = f"import sys; sys.stdout.buffer.write({said!r}); sys.stdout.flush(); sys.stdin.read()"
    monkeypatch.setattr(sql_oracle_wire, "_CHILD", ("-c", told if len(said) > 2 else ""))

    async with _listening([]) as (port, _):
        with pytest.raises(SourceBroken) as refused:
            await SqlConnector(_settings(port), its).check(SqlSelection(table="T"))

    assert refused.value.at == at
    assert await _nobody_is_left()


async def test_a_listener_is_known_by_its_certificate(tmp_path: Path) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async def told(host: str, ca: str) -> str:
        settings = _settings(port, host=host, tls="verify", ca=ca)
        with pytest.raises(SourceError) as refused:
            await SqlConnector(settings, Means(outbound)).check()
        return refused.value.at

    outbound = Outbound(Allowed.parse("127.0.0.1"), resolve=resolve)
    found = []
    for days, host in ((1, "db.example.jp"), (1, "other.example.jp"), (-1, "db.example.jp")):
        file = _certificate(tmp_path, "db.example.jp", days=days)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(file)
        async with _listening([_refusal(12514)], ssl=tls) as (port, heard):
            found.append((await told(host, file.read_text()), b"SERVICE_NAME" in heard))
    await outbound.close()

    assert found == [("missing", True), ("tls", False), ("tls_expired", False)]


@pytest.mark.parametrize(
    "service", ["x)(ADDRESS=(HOST=10.0.0.1))", "ldap://dir.example.jp/x", "/etc/x?wallet=y", "a b"]
)
def test_a_service_is_a_name_and_no_descriptor(service: str) -> None:
    with pytest.raises(ValidationError):
        _settings(1521, database=service)


class _Driver:
    """Rows as the process of the driver gives them."""

    is_unicode = True
    at_once = 0

    def __init__(self, answer: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self._answer = answer
        self._rows: list[tuple[Any, ...]] = []
        self.asked: list[tuple[str, list[Any]]] = []

    def ask(self, sql: str, values: Sequence[Any]) -> None:
        self.asked.append((sql, list(values)))
        self._rows = list(self._answer(sql))

    def next_rows(self) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows, []
        return rows

    def few(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        self.ask(sql, values)
        return self.next_rows()


class _Given(SqlConnector):
    """Reads of such a driver."""

    driver: _Driver

    @asynccontextmanager
    async def _reading(self, *_: Any) -> AsyncIterator[Reading]:
        thread = Thread()
        try:
            yield OracleReading(self.driver, thread, "db")  # type: ignore[arg-type]
        finally:
            await thread.close(lambda: None)


# Of the dictionary: type, length, precision and scale; what the driver gives; value and cell.
_HELD: list[tuple[tuple[str, int, int | None, int | None], Any, Any, str]] = [
    (("NUMBER", 22, 38, 0), "12345678901234567890123456789012345678",
     12345678901234567890123456789012345678, "12345678901234567890123456789012345678"),
    (("NUMBER", 22, None, None), "0.10", Decimal("0.10"), "0.10"),
    (("BINARY_DOUBLE", 8, None, None), 0.1, 0.1, "0.1"),
    (("DATE", 7, None, None), "2026-04-01 23:59:59.000000",
     datetime(2026, 4, 1, 23, 59, 59, tzinfo=timezone(timedelta(hours=9))), "2026-04-01 23:59:59"),
    (("DATE", 7, None, None), "-4712-01-01 00:00:00", "-4712-01-01 00:00:00", "-4712-01-01 00:00:00"),
    (("TIMESTAMP(9) WITH TIME ZONE", 13, None, 9), "2026-04-01 00:00:00.000001",
     datetime(2026, 4, 1, 0, 0, 0, 1, UTC), "2026-04-01 00:00:00.000001+00:00"),
    (("DATE", 7, None, None), "2026-04-01", date(2026, 4, 1), "2026-04-01"),
    (("VARCHAR2", 40, None, None), None, None, ""), (("CHAR", 4, None, None), "架", "架", "架"),
    (("RAW", 4, None, None), "00FF", "00FF", "00FF"),
]  # fmt: skip


_DAYS = "C%6"  # who chooses says that there is no time in it


async def test_a_column_is_read_as_what_it_holds(its: Means) -> None:
    names = [f"C%{at}" for at in range(len(_HELD))]
    fields = tuple(Field(each, each, each, FieldType.TEXT) for each in names)
    made = _Given(_settings(1), its)

    def answer(sql: str) -> list[tuple[Any, ...]]:
        if "all_tab_columns" not in sql:
            return [tuple(each[1] for each in _HELD)]
        told = [
            ("施設", n, *each[0], None, "1" if n == names[0] else "0")  # numbers come as texts
            for n, each in zip(names, _HELD, strict=True)
        ]
        return [*told, ("施設", "OBJ", "OWNERS_TYPE", 1, None, None, None, "0")]

    made.driver = _Driver(answer)
    chosen = SqlSelection.model_validate({"table": "施設", "types": {_DAYS: "date"}})
    async with made.fetch(chosen, Question(fields, limit=3)) as got:
        assert got is not None
        [row] = [row async for batch in got.batches for row in batch]
    async with made.harvest(chosen) as whole:
        assert whole is not None
        head, line, _ = b"".join([p async for p in whole.pieces]).decode().split("\n")

    assert list(row.values()) == [each[2] for each in _HELD]
    assert (head.split(","), line) == (names, ",".join(each[3] for each in _HELD))
    async with made._reading() as reading:
        found = await reading.columns("READER", "施設")
    assert [each.key for each in found] == [True] + [False] * (len(_HELD) - 1)
    assert made.driver.asked[0][1] == ["READER", "施設"]
    sql, values = made.driver.asked[1]
    assert sql.startswith('SELECT "C%0", "C%1", "C%2", to_char(CAST("C%3" AS TIMESTAMP), ')
    assert 'to_char(trunc("C%6"), ' in sql
    assert sql.rstrip().endswith('FROM "READER"."施設"\n FETCH FIRST 3 ROWS ONLY')
    assert values == []
