"""The ways to a source: its own authority, our certificate, a proxy; and what fails on them in words."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import trustme

from app.connectors.errors import SourceError
from app.connectors.frame import Means, parted
from app.connectors.http_json import HttpJsonConnector, HttpJsonSelection, HttpJsonSettings
from app.connectors.kinds import Kinds
from app.connectors.linkage import LinkageConnector
from app.connectors.linkage_shapes import LinkageSelection, LinkageSettings
from app.kit.outbound import Allowed, Outbound, OutboundRefused
from app.kit.trace import sent as traceparent
from tests.connectors.farm import Farm
from tests.connectors.sources import Asked, Web, means, reply

ROWS = [{"no": 1, "name": "架空"}]
NAMES = {"source.test": ["127.0.0.1"], "other.test": ["127.0.0.1"], "proxy.test": ["127.0.0.1"],
         "inside.test": ["10.9.9.9"]}  # fmt: skip
PAST = datetime.now(UTC) - timedelta(days=1)


@dataclass(slots=True)
class Place:
    """One TLS server, and who vouches for whom."""

    authority: trustme.CA
    server: Web
    tls: ssl.SSLContext
    good: trustme.LeafCert
    expired: trustme.LeafCert

    @property
    def pem(self) -> str:
        return self.authority.cert_pem.bytes().decode()

    def shows(self, certificate: trustme.LeafCert) -> None:
        certificate.configure_cert(self.tls)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place() -> AsyncIterator[Place]:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    good = authority.issue_cert("source.test")
    made = Web(lambda _: reply(ROWS))
    server = await asyncio.start_server(made.speak, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    old = authority.issue_cert("source.test", not_after=PAST)
    async with server:
        yield Place(authority, made, tls, good, old)


@dataclass(slots=True)
class Proxy:
    """A small HTTP proxy that asks for a password, and leads every name to this machine."""

    port: int = 0
    asked: list[str] = field(default_factory=list)

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        self.asked.append(f"{method} {target}")
        if "proxy-authorization: basic dxnlcjpoawrkzw4td29yzc01" not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        port = urlsplit(target if "//" in target else f"//{target}").port
        there, to = await asyncio.open_connection("127.0.0.1", port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            to.write(head.encode("latin-1"))
        passing = {asyncio.create_task(_pass(*each)) for each in ((reader, to), (there, writer))}
        await asyncio.wait(passing)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    server = await asyncio.start_server(made.speak, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


@asynccontextmanager
async def connected(
    place: Place,
    connection: Mapping[str, Any],
    host: str = "source.test",
    allow: str = "127.0.0.0/8",
    port: int = 0,
) -> AsyncIterator[HttpJsonConnector]:
    async def resolve(name: str, _port: int) -> list[str]:
        if name not in NAMES:
            raise OSError("no such name")
        return NAMES[name]

    outbound = Outbound(Allowed.parse(allow), resolve=resolve)
    settings = {"base": f"https://{host}:{port or place.server.port}/", "connection": connection}
    try:
        yield HttpJsonConnector(HttpJsonSettings.model_validate(settings), Means(outbound))
    finally:
        await outbound.close()


async def asked_of(connector: HttpJsonConnector) -> str:
    """`ok`, or where the way ended."""
    try:
        connector.check_settings()
        await connector.check(HttpJsonSelection.model_validate({}))
    except SourceError as refusal:
        return f"{refusal.told_as}:{refusal.at}"
    except OutboundRefused as refusal:
        return f"refused: {refusal.named['why']}"
    return "ok"


def client_of(authority: trustme.CA, **more: Any) -> dict[str, str]:
    made = authority.issue_cert("platform.test", **more)
    chain = b"".join(each.bytes() for each in made.cert_chain_pems)
    return {"certificate": chain.decode(), "key": made.private_key_pem.bytes().decode()}


async def test_a_source_is_trusted_by_its_own_authority_and_each_fault_of_tls_is_told_apart(
    place: Place,
) -> None:
    found = {}
    for name, host, certificate, told in (
        ("well", "source.test", place.good, {"authority": place.pem}),
        ("unknown", "source.test", place.good, {}),
        ("other authority", "source.test", place.good,
         {"authority": trustme.CA().cert_pem.bytes().decode()}),
        ("other name", "other.test", place.good, {"authority": place.pem}),
        ("expired", "source.test", place.expired, {"authority": place.pem}),
    ):  # fmt: skip
        place.shows(certificate)
        async with connected(place, told, host) as connector:
            found[name] = await asked_of(connector)
    place.shows(place.good)

    assert found == {
        "well": "ok",
        "unknown": "unreachable:tls_authority",
        "other authority": "unreachable:tls_authority",
        "other name": "unreachable:tls_name",
        "expired": "unreachable:tls_expired",
    }


@contextmanager
def strict(place: Place) -> Iterator[int]:
    """A server that asks for a certificate, and tells by an alert what it thinks of it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    place.authority.configure_trust(tls)
    place.good.configure_cert(tls)
    tls.verify_mode = ssl.CERT_REQUIRED

    def speak(plain: socket.socket) -> None:
        with plain.dup() as raw:
            try:
                with tls.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(10_000)
                    secure.sendall(reply(ROWS))
            except OSError:
                with suppress(OSError):
                    while raw.recv(10_000):
                        pass  # a reset would overtake the alert

    def serve() -> None:
        with suppress(OSError):  # closed
            while True:
                speak(listening.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    serving.join(5)


async def test_a_source_that_asks_for_a_certificate_gets_ours_and_a_strangers_is_told(
    place: Place,
) -> None:
    found = []
    with strict(place) as port:
        for told in (
            {"client": client_of(place.authority)},
            {},
            {"client": client_of(trustme.CA())},
            {"client": client_of(place.authority, not_after=PAST)},
        ):
            async with connected(place, {"authority": place.pem, **told}, port=port) as connector:
                found.append(await asked_of(connector))

    assert found == ["ok", *["unreachable:tls_client"] * 3]


async def test_our_certificate_does_not_follow_a_redirect_to_another_origin(place: Place) -> None:
    shown: list[bool] = []

    class Other(Web):
        async def speak(self, reader: Any, writer: asyncio.StreamWriter) -> None:
            shown.append(bool(writer.get_extra_info("peercert")))
            await super().speak(reader, writer)

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    place.authority.configure_trust(tls)
    place.authority.issue_cert("other.test").configure_cert(tls)
    tls.verify_mode = ssl.CERT_OPTIONAL
    other = Other(lambda _: reply(ROWS))
    server = await asyncio.start_server(other.speak, "127.0.0.1", 0, ssl=tls)
    other.port = server.sockets[0].getsockname()[1]
    place.server.answer = lambda _: reply(
        b"", "302 Found", Location=f"https://other.test:{other.port}/"
    )
    told = {"authority": place.pem, "client": client_of(place.authority)}
    async with server, connected(place, told) as connector:
        found = await asked_of(connector)
    place.server.answer = lambda _: reply(ROWS)

    assert (found, shown) == ("ok", [False])


async def test_a_proxy_is_gone_through_and_judged_and_so_is_what_stands_behind_it(
    place: Place, proxy: Proxy
) -> None:
    address = f"http://proxy.test:{proxy.port}"
    known = {"login": {"user": "user", "password": "hidden-word-5"}}
    wrong = {"login": {"user": "user", "password": "hidden-word-4"}}
    cases: dict[str, tuple[str, str, dict[str, Any]]] = {
        "well": ("source.test", "127.0.0.0/8", {"url": address, **known}),
        "wrong password": ("source.test", "127.0.0.0/8", {"url": address, **wrong}),
        "no proxy": ("source.test", "127.0.0.0/8", {"url": "http://proxy.test:9"}),
        "proxy not listed": ("source.test", "source.test", {"url": address, **known}),
        "literal not listed": ("source.test", "source.test",
                               {"url": f"http://127.0.0.1:{proxy.port}", **known}),
        "behind it a private address": ("inside.test", "127.0.0.0/8", {"url": address, **known}),
        "behind it no name": ("nobody.test", "127.0.0.0/8", {"url": address, **known}),
        "behind it a listed name": ("nobody.test", "127.0.0.0/8,nobody.test", {"url": address, **known}),
    }  # fmt: skip
    found = {}
    place.shows(place.authority.issue_cert("source.test", "nobody.test"))
    for name, (host, allow, told) in cases.items():
        async with connected(
            place, {"authority": place.pem, "proxy": told}, host, allow
        ) as connector:
            found[name] = await asked_of(connector)
    place.shows(place.good)

    assert found == {
        "well": "ok",
        "wrong password": "unreachable:proxy",
        "no proxy": "unreachable:proxy",
        "proxy not listed": "refused: it is not https",
        "literal not listed": "refused: it is not https",
        "behind it a private address": "refused: its address is not public",
        "behind it no name": "refused: its name is not known here",
        "behind it a listed name": "ok",
    }
    assert proxy.asked == [
        f"CONNECT {host}:{place.server.port}" for host in ("source.test", "source.test", "nobody.test")
    ]  # fmt: skip


@dataclass
class Shown(Web):
    """Keeps who has shown a certificate."""

    shown: list[bool] = field(default_factory=list)

    async def speak(self, reader: Any, writer: asyncio.StreamWriter) -> None:
        self.shown.append(bool(writer.get_extra_info("peercert")))
        await super().speak(reader, writer)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def both(place: Place) -> AsyncIterator[tuple[Shown, Shown]]:
    """Two origins of one authority, which both take a certificate and do without."""
    made: list[Shown] = []
    async with AsyncExitStack() as stack:
        for name in ("source.test", "other.test"):
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            place.authority.configure_trust(tls)
            place.authority.issue_cert(name).configure_cert(tls)
            tls.verify_mode = ssl.CERT_OPTIONAL
            each = Shown(lambda _: reply(ROWS))
            server = await asyncio.start_server(each.speak, "127.0.0.1", 0, ssl=tls)
            each.port = server.sockets[0].getsockname()[1]
            await stack.enter_async_context(server)
            made.append(each)
        yield made[0], made[1]


_BASIC = {"auth": {"type": "basic", "user": "u", "password": "hidden-word-9"}}
_STATIONS = {"feed": "gbfs_stations", "path": "gbfs.json"}
# What each kind that speaks HTTP is told of a source, and asked.
_KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "http_json": ("http_json", {"base": "{}/", **_BASIC}, {}),
    "ckan": ("ckan", {"base": "{}", "key": "hidden-word-9"}, None),
    "a resource of ckan": ("ckan", {"base": "{}", "key": "hidden-word-9"}, {"package": "p", "name": "n"}),
    "ogc": ("ogc", {"base": "{}", **_BASIC}, None),
    "wfs": ("ogc", {"base": "{}", "speaks": "wfs", **_BASIC}, None),
    "linkage": ("linkage", {"base": "{}"}, None),
    "file": ("file", {"base": "{}/", **_BASIC}, {"path": "a.csv"}),
    "dav": ("file", {"base": "davs:{}/", **_BASIC}, None),
    "s3": ("file", {"base": "s3://x", "endpoint": "{}"}, None),
    "soap": ("soap", {"wsdl": "{}/?wsdl", **_BASIC}, None),
    "xml_feed": ("xml_feed", {"base": "{}/", **_BASIC}, {}),
    "gtfs_rt": ("gtfs_rt", {"base": "{}/", **_BASIC}, {"feed": "alerts"}),
    "a feed of gbfs": ("gtfs_rt", {"base": "{}/", **_BASIC}, _STATIONS),
    "ngsi": ("ngsi", {"base": "{}", **_BASIC}, {"type": "T"}),
}  # fmt: skip


def _at(told: Mapping[str, Any], base: str) -> dict[str, Any]:
    """What a kind is told of the source that is at a base."""
    by_dav = base.replace("https", "davs")
    return {
        key: each.replace("davs:{}", by_dav).replace("{}", base) if isinstance(each, str) else each
        for key, each in told.items()
    }


def _leading(to: str) -> Callable[[Asked], bytes]:
    def answer(asked: Asked) -> bytes:
        if asked.path.endswith("/package_show"):
            resource = {"id": "r", "name": "n", "url": f"{to}/a.csv"}
            return reply({"success": True, "result": {"resources": [resource]}})
        if asked.path == "/gbfs.json":
            feeds = [
                {"name": each, "url": f"{to}/{each}"}
                for each in ("station_information", "station_status")
            ]
            return reply(
                {
                    "version": "3.0",
                    "last_updated": "2026-11-29T00:00:00Z",
                    "ttl": 0,
                    "data": {"feeds": feeds},
                }
            )
        return reply(b"", "302 Found", Location=f"{to}/elsewhere")

    return answer


@pytest.mark.parametrize("name", _KINDS)
async def test_each_kind_goes_by_its_way_and_what_proves_us_ends_at_the_source(
    name: str, place: Place, proxy: Proxy, both: tuple[Shown, Shown]
) -> None:
    source, other = both
    source.shown, other.shown, other.asked, proxy.asked = [], [], [], []
    base = f"https://source.test:{source.port}"
    source.answer = _leading(f"https://other.test:{other.port}")
    kind_name, told, selected = _KINDS[name]
    login = {"user": "user", "password": "hidden-word-5"}
    connection = {
        "authority": place.pem, "client": client_of(place.authority),
        "proxy": {"url": f"http://proxy.test:{proxy.port}", "login": login},
    }  # fmt: skip
    kind = Kinds().get(kind_name)
    settings = kind.settings_shape.model_validate({**_at(told, base), "connection": connection})
    async with connected(place, {}) as any_of_them:
        connector = kind(settings, any_of_them.means)
        connector.check_settings()
        selection = None if selected is None else kind.selection_shape.model_validate(selected)
        with suppress(SourceError):  # what other.test says is of no kind
            await connector.check(selection)

    assert source.shown and all(source.shown)
    assert other.shown and not any(other.shown)
    assert {each.split()[1] for each in proxy.asked} == {
        f"source.test:{source.port}", f"other.test:{other.port}",
    }  # fmt: skip
    assert "authorization" not in {key for asked in other.asked for key in asked.headers}
    assert "hidden-word" not in repr(other.asked)


@pytest.mark.parametrize("name", _KINDS)
async def test_a_proxy_where_nobody_may_go_is_refused_with_the_settings(name: str) -> None:
    kind_name, told, _ = _KINDS[name]
    proxied = {"connection": {"proxy": {"url": "http://10.9.9.9:3128"}}}
    kind = Kinds().get(kind_name)
    settings = {**_at(told, "https://h.test"), **proxied}
    async with means() as its:
        connector = kind(kind.settings_shape.model_validate(settings), its)
        with pytest.raises(OutboundRefused):
            connector.check_settings()


async def test_a_token_of_another_platform_is_asked_for_by_the_same_way(
    place: Place, proxy: Proxy, both: tuple[Shown, Shown]
) -> None:
    source, other = both
    source.shown, other.shown, proxy.asked = [], [], []
    source.answer = _leading(f"https://other.test:{other.port}")
    settings = {
        "base": f"https://source.test:{source.port}",
        "auth": {"type": "client_secret", "client_id": "c", "client_secret": "hidden-word-9"},
        "connection": {"authority": place.pem, "client": client_of(place.authority)},
    }
    async with connected(place, {}) as any_of_them:
        connector = LinkageConnector(LinkageSettings.model_validate(settings), any_of_them.means)
        with pytest.raises(SourceError):
            await connector.check(LinkageSelection(dataset="d"))

    assert (source.shown, other.shown) == ([True], [])  # nobody is sent on for a token


async def test_a_plain_source_that_is_listed_is_asked_through_a_proxy_too(proxy: Proxy) -> None:
    plain = Web(lambda _: reply(ROWS))
    server = await asyncio.start_server(plain.speak, "127.0.0.1", 0)
    plain.port = server.sockets[0].getsockname()[1]
    login = {"user": "user", "password": "hidden-word-5"}
    proxied = {"url": f"http://127.0.0.1:{proxy.port}", "login": login}
    settings = {"base": f"{plain.base}/", "connection": {"proxy": proxied}}
    async with server, means() as its:
        found = await asked_of(HttpJsonConnector(HttpJsonSettings.model_validate(settings), its))

    assert (found, proxy.asked[-1]) == ("ok", f"GET {plain.base}/")


async def test_many_ways_are_not_held_for_ever_and_no_connection_stays(place: Place) -> None:
    place.shows(place.good)
    async with connected(place, {}) as connector:
        outbound = connector.means.outbound
        for number in range(40):
            told = {"authority": place.pem + f"# {number}\n"}
            settings = {"base": connector.settings.base, "connection": told}
            each = HttpJsonConnector(HttpJsonSettings.model_validate(settings), Means(outbound))
            assert await asked_of(each) == "ok"
        held = len(outbound._clients._by_way)
    for _ in range(100):
        if place.server.open_now == 0:
            break
        await asyncio.sleep(0.01)

    assert held <= 33
    assert place.server.open_now == 0


async def test_a_harvest_tells_its_source_which_trace_it_belongs_to(farm: Farm) -> None:
    made = Web(lambda _: reply(ROWS))
    server = await asyncio.start_server(made.speak, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        connector = await farm.add(
            "http_json", {"base": made.base}, {"dataset": await farm.dataset()}
        )
        runs = [await farm.run(connector), await farm.run(connector)]

    sent = [asked.headers["traceparent"].split("-") for asked in made.asked]
    assert [each[1] for each in sent] == [run["id"].replace("-", "") for run in runs]
    assert all((each[0], len(each[2]), each[3]) == ("00", 16, "01") for each in sent)
    assert traceparent() == {}


@pytest.mark.parametrize(
    ("connection", "code"),
    [
        ({"authority": "not a certificate"}, "no_authority"),
        ({"client": {"certificate": "x", "key": "hidden-word-6"}}, "no_client_certificate"),
        ({"client": "other"}, "other_key"),
        ({"proxy": {"url": "http://user:hidden-word-6@proxy.test:1"}}, "string_pattern_mismatch"),
        ({"proxy": {"url": "socks5://proxy.test:1"}}, "string_pattern_mismatch"),
        ({"verify": False}, "extra_forbidden"),
    ],
)
async def test_a_wrong_connection_is_refused_with_its_place_and_without_its_secrets(
    farm: Farm, connection: Any, code: str
) -> None:
    if connection == {"client": "other"}:
        one, two = client_of(trustme.CA()), client_of(trustme.CA())
        connection = {"client": {"certificate": one["certificate"], "key": two["key"]}}
    body = {"kind": "http_json", "name": "試験",
            "settings": {"base": "https://source.test/", "connection": connection}}  # fmt: skip

    refused = await farm.ask("POST", "", body)

    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, code)
    assert "hidden-word" not in refused.text and "PRIVATE KEY" not in refused.text


def test_keys_and_passwords_are_parted_from_what_is_shown() -> None:
    client = client_of(trustme.CA())
    told = {"base": "https://source.test/", "connection": {
        "client": client, "proxy": {"url": "http://p.test:1", "login": {"user": "u", "password": "hidden-word-7"}},
    }}  # fmt: skip
    settings = HttpJsonSettings.model_validate(told)

    shown, secrets = parted(settings)

    assert secrets == {"connection": {
        "client": {"key": client["key"].strip()}, "proxy": {"login": {"password": "hidden-word-7"}},
    }}  # fmt: skip
    assert "PRIVATE KEY" not in repr(shown) + repr(settings) + repr(settings.connection.way)
    assert "hidden-word" not in repr(shown) + repr(settings) + repr(settings.connection.way)
