"""The lean way out: what it takes for an answer, which connections it keeps, and where it connects."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from app.kit import lean
from app.kit.outbound import (
    Allowed,
    Bounds,
    Cause,
    Outbound,
    OutboundRefused,
    OutboundTooLong,
    OutboundUnreachable,
    OutboundUnusable,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class Server:
    """Says the next of its words to each question, on as many connections as are opened."""

    says: list[bytes] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    opened: int = 0
    port: int = 0
    closes: bool = False

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self.says.pop(0) if self.says else OK)
                await writer.drain()
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(*says: bytes, closes: bool = False) -> AsyncIterator[tuple[Server, Outbound]]:
    server, outbound = Server(list(says), closes=closes), Outbound(Allowed.parse("127.0.0.0/8"))
    listening = await asyncio.start_server(server.speak, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server, outbound
        await outbound.close()


Got = Callable[..., Awaitable[tuple[int, bytes]]]


async def _quick(
    outbound: Outbound, server: Server, path: str = "/", **headers: str
) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{server.port}{path}"
    async with outbound.quick(url, headers=headers, bounds=Bounds(seconds=2)) as answer:
        return answer.status, b"".join([piece async for piece in answer.pieces])


async def _whole(
    outbound: Outbound, server: Server, path: str = "/", **headers: str
) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{server.port}{path}"
    answer = await outbound.whole(url, headers=headers, bounds=Bounds(seconds=2))
    return answer.status, answer.body


@pytest.fixture(params=[_quick, _whole], ids=["while it comes", "whole"])
def got(request: pytest.FixtureRequest) -> Got:
    """The answer to a question, in either way that it is had."""
    made: Got = request.param
    return made


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n"


async def test_a_connection_serves_one_question_after_another(got: Got) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK
    async with served(OK, CHUNKED, interim, b"HTTP/1.1 304 Not Modified\r\n\r\n") as (server, out):
        answers = [await got(out, server) for _ in range(4)]

    assert answers == [(200, b"ok"), (200, b"ok!"), (200, b"ok"), (304, b"")]
    assert server.opened == 1


async def test_what_is_not_to_be_kept_is_not_and_what_was_closed_is_opened_anew(got: Got) -> None:
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    async with served(closing, OK, OK) as (server, out):
        await got(out, server)
        server.closes = True
        await got(out, server)
        await asyncio.sleep(0.05)
        last = await got(out, server)

    assert last == (200, b"ok")
    assert server.opened == 3


async def test_a_body_without_a_length_ends_with_its_connection(got: Got) -> None:
    async with served(b"HTTP/1.1 200 OK\r\n\r\nall of it", closes=True) as (server, out):
        assert await got(out, server) == (200, b"all of it")


@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", CHUNKED[:-5], b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok", b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    ],
    ids=["half a body", "half its chunks", "no HTTP", "a long head", "nothing", "two lengths"],
)  # fmt: skip
async def test_what_is_no_whole_answer_is_none(says: bytes, got: Got) -> None:
    async with served(says, says, says, closes=True) as (server, out):
        with pytest.raises(OutboundUnreachable):
            await got(out, server)


async def test_what_stands_behind_a_body_says_nothing_of_it_and_is_bounded(got: Got) -> None:
    behind = CHUNKED[:-2] + b"Content-Type: text/html\r\n"
    endless = behind + b"X-Long: " + b"x" * (4 << 20)
    async with served(behind + b"\r\n", endless) as (server, out):
        url = f"http://127.0.0.1:{server.port}/"
        async with out.quick(url, headers={}, bounds=Bounds(seconds=2)) as answer:
            assert b"".join([piece async for piece in answer.pieces]) == b"ok!"
            assert "content-type" not in answer.headers
        with pytest.raises(OutboundUnreachable) as refused:
            await got(out, server)

    assert refused.value.cause is not Cause.SILENCE


async def test_what_is_compressed_or_silent_is_not_taken(got: Got) -> None:
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"
    async with served(packed, b"HTTP/1.1 200 OK\r\n") as (server, out):
        with pytest.raises(OutboundUnusable):
            await got(out, server)
        url = f"http://127.0.0.1:{server.port}/"
        with pytest.raises(OutboundUnreachable):
            async with out.quick(url, headers={}, bounds=Bounds(seconds=0.1)):
                pass


async def test_bytes_that_nobody_asked_for_are_no_answer_to_the_next_question(got: Got) -> None:
    async with served(OK + OK.replace(b"ok", b"no"), OK) as (server, out):
        with pytest.raises(OutboundUnreachable):
            await got(out, server)

        assert await got(out, server) == (200, b"ok")
        assert server.opened == 2


async def test_nothing_in_an_address_or_a_header_makes_a_line_of_its_own(got: Got) -> None:
    async with served() as (server, out):
        await got(out, server, "/a b\u3042?q=\u3042&x=%E3%81%82")
        with pytest.raises(OutboundRefused):
            await got(out, server, "/", **{"X-Own": "1\r\nX-Other: 2"})

    line = server.asked[0].split(b"\r\n")[0]
    assert line == b"GET /a%20b%E3%81%82?q=%E3%81%82&x=%E3%81%82 HTTP/1.1"
    assert len(server.asked) == 1


async def test_it_connects_to_what_was_judged_and_resolves_a_name_once_for_a_connection() -> None:
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async with served() as (server, _):
        out = Outbound(Allowed.parse("127.0.0.0/8"), resolve=resolve)
        url = f"http://city.example:{server.port}/"
        for _ in range(2):
            async with out.quick(url, headers={}, bounds=Bounds()) as answer:
                assert [piece async for piece in answer.pieces] == [b"ok"]
        await out.close()
        with pytest.raises(OutboundRefused):
            async with out.quick(url, headers={}, bounds=Bounds()):
                pass

    assert asked == ["city.example", "city.example"]
    assert b"Host: city.example:" in server.asked[0]


async def test_a_large_body_waits_at_its_source_for_who_takes_it() -> None:
    size = 64 << 20
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    async with served(head + b"x" * size) as (server, out):
        url = f"http://127.0.0.1:{server.port}/"
        bounds = Bounds(most_bytes=size, seconds=20)
        async with out.quick(url, headers={}, bounds=bounds) as answer:
            await asyncio.sleep(0.1)
            [connection] = out._leanly()._open
            assert connection._waiting < 4 * lean._HIGH
            assert sum([len(piece) async for piece in answer.pieces]) == size


async def test_who_waits_for_all_of_it_waits_neither_too_long_nor_for_too_much() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n"
    async with served(begun + b"x" * 64, begun + b"x", b"HTTP/1.1 200 OK\r\n", OK) as (server, out):
        url = f"http://127.0.0.1:{server.port}/"
        with pytest.raises(OutboundTooLong):
            await out.whole(url, headers={}, bounds=Bounds(most_bytes=63))
        for bounds in (Bounds(seconds=5, silent_seconds=0.1), Bounds(seconds=0.1)):
            with pytest.raises(OutboundUnreachable) as refused:
                await out.whole(url, headers={}, bounds=bounds)
            assert refused.value.cause is Cause.SILENCE

        assert (await out.whole(url, headers={}, bounds=Bounds())).body == b"ok"
        assert len(out._leanly()._open) == 1
