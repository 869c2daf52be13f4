"""What goes out goes to judged addresses alone (threats: SSRF by connector, JWKS, webhook)."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.kit.outbound import (
    Allowed,
    Bounds,
    Cause,
    Outbound,
    OutboundRefused,
    OutboundUnreachable,
    OutboundUnusable,
    is_public,
)

_NOT_PUBLIC = (
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "203.0.113.1",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1",
    "64:ff9b:1::1", "100::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1",
)  # fmt: skip


class Listener:
    """An HTTP server that gives one answer, and knows what it was asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.port = 0

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


def _answer(body: bytes = b"{}", *head: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in head)
    said = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{lines}\r\n"
    return said.encode() + body


@asynccontextmanager
async def listening(
    answer: bytes, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Listener]:
    made = Listener(answer)
    server = await asyncio.start_server(made.speak, host, port, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


@asynccontextmanager
async def going_out(
    allow: str = "",
    *,
    names: dict[str, list[str]] | None = None,
    trusted: ssl.SSLContext | None = None,
) -> AsyncIterator[Outbound]:
    """An outbound client for which every name is as `names` says."""

    async def resolve(host: str, _port: int) -> list[str]:
        return (names or {})[host]

    made = Outbound(Allowed.parse(allow), resolve=resolve if names else None, trusted=trusted)
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize("address", _NOT_PUBLIC)
async def test_an_address_that_is_not_public_is_refused_however_it_is_named(address: str) -> None:
    bracketed = f"[{address}]" if ":" in address else address
    async with going_out(names={"idp.example.jp": [address]}) as outbound:
        with pytest.raises(OutboundRefused):
            await outbound.fetch("GET", f"https://{bracketed}/")
        with pytest.raises(OutboundRefused):
            await outbound.fetch("GET", "https://idp.example.jp/")


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
async def test_another_spelling_of_this_machine_is_refused(host: str) -> None:
    async with going_out() as outbound:
        with pytest.raises((OutboundRefused, OutboundUnreachable)):
            await outbound.fetch("GET", f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://idp.example.jp/", "//idp.example.jp", "https:///x", "",
     "https://name:word@idp.example.jp/", "https://idp.example.jp:99999/", "http://idp.example.jp/",
     "https://good.example.jp\\@127.0.0.1/", "https://127.0.0.1\t/"],
)  # fmt: skip
async def test_what_is_no_https_address_is_refused(url: str) -> None:
    async with going_out(
        names={"idp.example.jp": ["8.8.8.8"], "good.example.jp": ["10.0.0.1"]}
    ) as outbound:
        with pytest.raises(OutboundRefused):
            await outbound.fetch("GET", url)


_NO_NAMES = ("a..b.jp", "a" * 64 + ".jp", "xn--.jp", "xn--a.jp", ".jp")


@pytest.mark.parametrize("host", _NO_NAMES)
async def test_a_host_that_no_name_can_be_is_refused_before_it_is_asked(host: str) -> None:
    async with going_out() as outbound:
        with pytest.raises(OutboundRefused):
            outbound.check(f"https://{host}/")
        with pytest.raises(OutboundRefused):
            await outbound.fetch("GET", f"https://{host}/")


async def test_a_name_that_the_resolver_cannot_spell_is_not_reached() -> None:
    async with going_out() as outbound:
        with pytest.raises(OutboundUnreachable):
            await outbound.fetch("GET", "https://a.example.jp../")


@pytest.mark.parametrize(
    ("allow", "refused"), [("", True), ("other.example.jp", True), ("idp.lgwan", False),
                           ("10.0.0.0/8", False)]
)  # fmt: skip
def test_a_plain_address_is_refused_before_it_is_asked_unless_the_deployment_may_list_it(
    allow: str, refused: bool
) -> None:
    outbound = Outbound(Allowed.parse(allow))
    try:
        outbound.check("http://idp.lgwan/")
        told = ""
    except OutboundRefused as refusal:
        told = refusal.words("en")

    assert ("it is not https" in told) == refused
    assert ("URBANOS_OUTBOUND_ALLOW" in told) == refused


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    async with going_out(names={"idp.example.jp": ["8.8.8.8", "10.0.0.1"]}) as outbound:
        with pytest.raises(OutboundRefused):
            await outbound.fetch("GET", "https://idp.example.jp/")


@pytest.mark.parametrize("allow", ["127.0.0.0/8", "idp.example.jp", "IDP.example.jp., 10.0.0.0/8"])
async def test_what_the_deployment_lists_is_asked_by_its_name(allow: str) -> None:
    async with (
        listening(_answer(b'{"a":1}')) as server,
        going_out(allow, names={"idp.example.jp": ["127.0.0.1"]}) as outbound,
    ):
        got = await outbound.fetch("GET", f"http://idp.example.jp:{server.port}/x?y=1")

    assert got.json_object() == {"a": 1}
    assert server.asked[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n")
    assert f"host: idp.example.jp:{server.port}".encode() in server.asked[0].lower()


async def test_a_name_that_resolves_elsewhere_the_second_time_is_not_followed_there() -> None:
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    outbound = Outbound(Allowed.parse("127.0.0.1"), resolve=resolve)
    async with (
        listening(_answer()) as good,
        listening(_answer(), "127.0.0.2", port=good.port) as inner,
    ):
        await outbound.fetch("GET", f"http://rebind.example.jp:{good.port}/")
        assert len(asked) == 1
        with pytest.raises(OutboundRefused):
            await outbound.fetch("GET", f"http://rebind.example.jp:{good.port}/")
    await outbound.close()

    assert (len(asked), len(good.asked), inner.asked) == (2, 1, [])


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    async with listening(_answer()) as inner, going_out("127.0.0.1") as outbound:
        told = f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n"
        async with listening(told.encode()) as server:
            with pytest.raises(OutboundUnusable):
                await outbound.fetch("GET", f"http://127.0.0.1:{server.port}/")

    assert inner.asked == []


_MAKERS: dict[str, Callable[[], bytes]] = {
    "long": lambda: _answer(b"x" * 2000),
    "endless": lambda: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 2000,
    "compressed": lambda: _answer(b"\x1f\x8b", "Content-Encoding: gzip"),
    "no HTTP": lambda: b"SSH-2.0-OpenSSH\r\n\r\n",
    "cut off": lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx",
}


@pytest.mark.parametrize("name", _MAKERS)
async def test_an_answer_that_is_too_long_or_broken_is_not_used(name: str) -> None:
    async with listening(_MAKERS[name]()) as server, going_out("127.0.0.1") as outbound:
        with pytest.raises((OutboundUnusable, OutboundUnreachable)) as refused:
            await outbound.fetch(
                "GET", f"http://127.0.0.1:{server.port}/", bounds=Bounds(most_bytes=1000)
            )

    assert "SSH" not in str(refused.value)


async def test_an_answer_that_does_not_end_is_given_up() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx"

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await reader.read()  # until the other side has had enough
        writer.close()

    server = await asyncio.start_server(dribble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, going_out("127.0.0.1") as outbound:
        began = asyncio.get_running_loop().time()
        with pytest.raises(OutboundUnreachable):
            await outbound.fetch("GET", f"http://127.0.0.1:{port}/", bounds=Bounds(seconds=0.2))

    assert asyncio.get_running_loop().time() - began < 2


async def test_cookies_and_the_environments_proxy_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with (
        listening(_answer(b"{}", "Set-Cookie: a=b")) as server,
        going_out("127.0.0.1") as outbound,
    ):
        for _ in range(2):
            await outbound.fetch("GET", f"http://127.0.0.1:{server.port}/")

    assert len(server.asked) == 2
    assert b"cookie" not in server.asked[1].lower()


def _certificate(folder: Path, name: str, *, days: int = 1) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2)).not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def test_tls_is_with_the_name_that_was_asked_for_and_no_other(tmp_path: Path) -> None:
    file = _certificate(tmp_path, "idp.example.jp")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    trusted = ssl.create_default_context(cafile=str(file))
    where = {"idp.example.jp": ["127.0.0.1"], "other.example.jp": ["127.0.0.1"]}

    async with (
        listening(_answer(), tls=tls) as server,
        going_out("127.0.0.1", names=where, trusted=trusted) as outbound,
    ):
        got = await outbound.fetch("GET", f"https://idp.example.jp:{server.port}/")
        with pytest.raises(OutboundUnreachable):
            await outbound.fetch("GET", f"https://other.example.jp:{server.port}/")

    assert (got.status, names) == (200, ["idp.example.jp", "other.example.jp"])


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.999", "http://x", "a b"])
def test_a_mistyped_list_is_no_list(text: str) -> None:
    with pytest.raises(ValueError):
        Allowed.parse(text)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nx", Cause.ANSWER), (b"SSH-2.0\r\n\r\n", Cause.ANSWER)],
)  # fmt: skip
async def test_where_a_way_ended_is_told(answer: bytes, cause: Cause) -> None:
    async with listening(answer) as server, going_out("127.0.0.1") as outbound:
        with pytest.raises(OutboundUnreachable) as broken:
            await outbound.fetch("GET", f"http://127.0.0.1:{server.port}/")
        with pytest.raises(OutboundUnreachable) as nobody:
            await outbound.fetch("GET", "http://127.0.0.1:9/")
        with pytest.raises(OutboundUnreachable) as unnamed:
            await outbound.fetch("GET", "https://no-such-name.invalid/")

    assert broken.value.cause is cause
    assert nobody.value.cause is Cause.CONNECTION
    assert unnamed.value.cause is Cause.NAME


async def test_an_answer_that_is_left_half_read_lets_its_connection_go() -> None:
    gone = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 70_000)
        while await reader.read(1000):
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, going_out("127.0.0.1") as outbound:
        async with outbound.stream("GET", url, bounds=Bounds(most_bytes=10**6)) as streamed:
            first = await anext(streamed.pieces)
        await asyncio.wait_for(gone.wait(), 5)

    assert first.startswith(b"xxx")
