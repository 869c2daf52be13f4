"""What goes wrong at transport feeds, feeds of news and alerts, and SOAP services: one table.

Each fault strikes each of them at one place of its way, and has an outcome of its own; nothing is
left open (counted).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.connectors import gtfs_rt, soap, xml_feed
from app.connectors.errors import (
    SourceBroken,
    SourceChanged,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import AnyConnector, Means, Shape
from app.connectors.kinds import _OWN, Kinds
from app.kit.outbound import Allowed, Outbound, OutboundRefused
from tests.connectors.feeds import Office, atom, telegram
from tests.connectors.soap_server import ENVELOPES, Service, enveloped, fault
from tests.connectors.sources import Asked, Web, means, reply, web
from tests.connectors.test_gtfs_rt import Bicycles, feed, vehicle

_SKEWED = datetime(2036, 11, 29, tzinfo=UTC)
_CP932 = "架空".encode("cp932")


@dataclass(frozen=True, slots=True)
class Way:
    """A source that works, but for what strikes at one place, and what is its own in going wrong."""

    kind: str
    base: str  # the member of the settings, and what is below the server's address
    path: str
    selection: dict[str, Any]
    works: Callable[[str], Callable[[Asked], bytes]]  # given the server's address
    strikes: Callable[[Asked], bool]
    charset: bytes
    shape: bytes
    clock: tuple[bytes, str] | None = None  # and where that is told

    def made(self, address: str, its: Means) -> tuple[AnyConnector, Shape]:
        """A connector to it, and what is selected."""
        kind = Kinds().get(self.kind)
        settings = kind.settings_shape.model_validate({self.base: address + self.path})
        return kind(settings, its), kind.selection_shape.model_validate(self.selection)


def _office(_: str) -> Callable[[Asked], bytes]:
    office = Office()
    office.publish(telegram("E1"))
    return office.answer


def _bicycles(address: str) -> Callable[[Asked], bytes]:
    system = Bicycles([{"station_id": "1", "name": "a", "num_vehicles_available": "1"}])
    system.base = address
    return system.answer


def _service(address: str) -> Callable[[Asked], bytes]:
    return Service([{"no": "1", "name": "a"}], base=address).answer


_11 = ENVELOPES["1.1"]
WAYS = {
    "vehicles": Way(
        "gtfs_rt", "base", "/", {"feed": "vehicle_positions"},
        lambda _: lambda _: reply(feed(vehicle("v1"))), lambda _: True,
        reply(feed(vehicle("ascii")).replace(b"ascii", b"\x81 \x81 \x81")),
        reply(b"\x0a\x05\x0a\x032.0\x12\x06\x0a\x02a1\x2a\x00"),  # an alert
        (reply(feed(seconds_ago=-86_400)), "ahead"),
    ),
    "stations": Way(
        "gtfs_rt", "base", "/gbfs.json", {"feed": "gbfs_stations"}, _bicycles,
        lambda asked: asked.path in ("/station_status.json", "/again"),
        reply(b'{"data":{"stations":"' + _CP932 + b'"}}'), reply({"data": {"station": []}}),
        (reply({"last_updated": _SKEWED.isoformat(), "data": {"stations": []}}), "ahead"),
    ),
    "entries": Way(
        "xml_feed", "base", "/", {}, lambda _: lambda _: reply(atom([("1", "a", "/1")])),
        lambda _: True, reply(b"<feed>" + _CP932 + b"</feed>"), reply(b"<report/>"),
    ),
    "alerts": Way(
        "xml_feed", "base", "/", {"read": {"type": "jma"}}, _office,
        lambda asked: asked.path != "/", reply(b"<Report>" + _CP932 + b"</Report>"),
        reply(b"<Report/>"), (reply(telegram("E1", sent=_SKEWED.isoformat())), "ahead"),
    ),
    "wsdl": Way(
        "soap", "wsdl", "/service", {"operation": "GetShelters"}, _service,
        lambda asked: asked.method == "GET", reply(b"<a>" + _CP932 + b"</a>", kind="text/xml"),
        reply(b'<d:definitions xmlns:d="http://schemas.xmlsoap.org/wsdl/"/>', kind="text/xml"),
    ),
    "service": Way(
        "soap", "wsdl", "/service", {"operation": "GetShelters", "rows": "shelters/shelter"},
        _service, lambda asked: asked.method == "POST",
        reply(b"<a>" + _CP932 + b"</a>", kind="text/xml"), enveloped(_11, "<other/>"),
        (fault(_11, "MessageExpired"), "clock"),
    ),
}  # fmt: skip
# What the server says instead, and the class and place that is told of every way.
FAULTS: dict[str, tuple[bytes, type[SourceError], str]] = {
    "half an answer": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<a", SourceBroken, "cut_off",
    ),
    "a gigantic header": (
        b"HTTP/1.1 200 OK\r\nX-Large: " + b"x" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n[]",
        SourceBroken, "cut_off",
    ),
    "a web page": (reply(b"<html>sign in</html>", kind="text/html"), SourceBroken, "html"),
    "too often": (reply(b"", "429 Too Many", Retry_After="3600"), SourceSlow, "pace"),
    "an error of its own": (reply(b"", "500 Oops"), SourceBroken, "server"),
    "nobody there": (reply(b"", "404 Not Found"), SourceBroken, "missing"),
    "a wrong key": (reply(b"", "401 Unauthorized"), SourceRefused, "credentials"),
    "no permission": (reply(b"", "403 Forbidden"), SourceRefused, "permission"),
    "a redirect in circles": (reply(b"", "302 Found", Location="/again"), SourceBroken, "redirect"),
    "compressed": (reply(b"\x1f\x8b", Content_Encoding="gzip"), SourceBroken, "format"),
}  # fmt: skip


async def taken(made: tuple[AnyConnector, Shape]) -> bytes:
    """All that a harvest gives."""
    connector, selection = made
    async with connector.harvest(selection) as got:
        assert got is not None
        return b"".join([piece async for piece in got.pieces])


@asynccontextmanager
async def struck(way: Way, said: bytes) -> AsyncIterator[tuple[Web, tuple[AnyConnector, Shape]]]:
    """A source of which one place says something else; nothing of it is open at the end."""
    before = asyncio.all_tasks()
    async with web(lambda _: b"") as server, means() as its:
        works = way.works(server.base)
        server.answer = lambda asked: said if way.strikes(asked) else works(asked)
        yield server, way.made(server.base, its)
        for _ in range(100):
            if server.open_now == 0:
                break
            await asyncio.sleep(0.01)
        assert server.open_now == 0
    await asyncio.sleep(0)  # the client's own reader ends a turn of the loop after its answer
    assert asyncio.all_tasks() - before == set()


@pytest.mark.parametrize("name", sorted(_OWN))
def test_the_examples_of_a_kind_are_true(name: str) -> None:
    kind = Kinds().get(name)
    for shape in (kind.settings_shape, kind.selection_shape):
        examples = shape.model_json_schema()["examples"]
        assert [shape.model_validate(each) for each in examples]


@pytest.mark.parametrize("way", WAYS)
async def test_each_fault_is_told_apart_and_leaves_nothing_open(way: str) -> None:
    its = WAYS[way]
    own: dict[str, tuple[bytes, type[SourceError], str]] = {
        "another charset": (its.charset, SourceBroken, "charset"),
        "another shape": (its.shape, SourceChanged, "shape"),
    }
    told = {}
    for name, (said, _, _) in (FAULTS | own).items():
        async with struck(its, said) as (_, made):
            with pytest.raises(SourceError) as refused:
                await taken(made)
            assert refused.value.words("ja") != refused.value.words("en")
            told[name] = (type(refused.value), refused.value.at)

    assert told == {name: (kind, at) for name, (_, kind, at) in (FAULTS | own).items()}


@pytest.mark.parametrize("way", [name for name, each in WAYS.items() if each.clock])
async def test_clocks_that_differ_are_told(way: str) -> None:
    said, at = WAYS[way].clock or (b"", "")
    async with struck(WAYS[way], said) as (_, made):
        with pytest.raises(SourceError) as refused:
            await taken(made)

    assert refused.value.at == at


@pytest.mark.parametrize("way", WAYS)
async def test_a_source_that_hangs_is_slow_and_one_that_is_not_there_unreachable(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, names in (
        (gtfs_rt, ["_BOUNDS"]), (xml_feed, ["_FEED", "_TELEGRAM"]), (soap, ["_DOCUMENT", "_ANSWER"]),
    ):  # fmt: skip
        for name in names:
            quick = replace(getattr(module, name), silent_seconds=0.2)
            monkeypatch.setattr(module, name, quick)
    async with struck(WAYS[way], b"") as (server, made):
        server.hang = True
        with pytest.raises(SourceSlow):
            await taken(made)
    async with means() as its, means("") as nowhere:
        with pytest.raises(SourceUnreachable) as refused:
            await taken(WAYS[way].made("http://127.0.0.1:9", its))
        connector, selection = WAYS[way].made("http://127.0.0.1:9", nowhere)
        with pytest.raises(OutboundRefused):
            connector.check_settings()
        with pytest.raises(OutboundRefused):
            await connector.check(selection)

    assert refused.value.at == "connection"


async def test_a_certificate_that_has_expired_is_told_of_every_kind(tmp_path: Path) -> None:
    file = _expired(tmp_path)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(file)
    trusted = ssl.create_default_context(cafile=str(file))

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=ours)
    outbound = Outbound(Allowed.parse("127.0.0.1"), trusted=trusted, resolve=resolve)
    address = f"https://city.example.jp:{server.sockets[0].getsockname()[1]}"
    told = {}
    async with server:
        for name in ("vehicles", "entries", "wsdl"):
            with pytest.raises(SourceError) as refused:
                await taken(WAYS[name].made(address, Means(outbound)))
            told[name] = refused.value.at[:3]
    await outbound.close()

    assert told == dict.fromkeys(("vehicles", "entries", "wsdl"), "tls")


def _expired(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "city.example.jp")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=9)).not_valid_after(now - timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("city.example.jp")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "expired.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file
