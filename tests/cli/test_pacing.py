"""The token endpoint on a real socket, asked too much at once, too slowly, and too deeply."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import psutil
import pytest
from fastapi import FastAPI

from app.cli import pacing
from app.cli.serving import _config, _Server
from app.kit.settings import Settings
from tests.world import World

HEAD = b"POST /oauth/token HTTP/1.1\r\nHost: urbanos.test\r\n"


@asynccontextmanager
async def serving(app: FastAPI, settings: Settings) -> AsyncIterator[int]:
    """The port of the application behind the server that `urbanos serve` has."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen(100)
        server = _Server(_config(app, settings), lambda: None)
        task = asyncio.create_task(server.serve(sockets=[port]))
        yield port.getsockname()[1]
        server.should_exit = server.force_exit = True
        await task


async def answered(port: int, *pieces: bytes, every_s: float = 0.0) -> bytes:
    """What the server says to a request that comes in pieces; nothing where it cuts it off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Authorization: Bearer " + b"A" * (1 << 20),
        HEAD + b"X-A: b\r\n" * 150_000,
        b"POST /oauth/token?" + b"a" * (1 << 20),
    ],
)
async def test_a_head_of_a_megabyte_is_cut_off_before_it_is_kept(
    app: FastAPI, settings: Settings, head: bytes
) -> None:
    pieces = [head[at : at + 65_536] for at in range(0, len(head), 65_536)]

    async with serving(app, settings) as port:
        before = psutil.Process().memory_info().rss
        said = await asyncio.gather(*(answered(port, *pieces) for _ in range(20)))
        grown = psutil.Process().memory_info().rss - before

    # Who still sends when it is closed may not get to read the answer.
    assert all(each == b"" or each.startswith(b"HTTP/1.1 431 ") for each in said)
    assert grown < 64 << 20


async def test_who_is_told_of_the_head_is_told_in_words(app: FastAPI, settings: Settings) -> None:
    async with serving(app, settings) as port:
        said = await answered(port, HEAD + b"X-A: " + b"b" * 65_536, b"b" * 65_536, every_s=0.05)

    assert said.startswith(b"HTTP/1.1 431 ")
    assert b"head_too_long" in said and b"128KB" in said


async def test_a_head_and_a_body_that_hardly_come_are_not_waited_for(
    app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "_HEAD_S", 0.3)
    monkeypatch.setattr(pacing, "_BODY_S", 0.3)
    body = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 900\r\n\r\n"

    async with serving(app, settings) as port:
        began = time.monotonic()
        said = await asyncio.gather(
            answered(port),
            answered(port, *[bytes([each]) for each in HEAD[:20]], every_s=0.05),
            answered(port, HEAD + body, *[b"a"] * 20, every_s=0.05),
        )
        taken = time.monotonic() - began

    assert all(each == b"" or each.startswith(b"HTTP/1.1 408 ") for each in said)
    assert said[0].startswith(b"HTTP/1.1 408 ")
    assert taken < 8


async def test_what_comes_in_pieces_but_comes_is_answered(
    app: FastAPI, settings: Settings, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "_LEAST_BYTES", 1)
    monkeypatch.setattr(pacing, "_BODY_S", 0.2)
    dataset = await world.dataset(data_class="internal")
    form = urlencode((await world.party()).form(f"dataset:{dataset}:read")).encode()
    length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(form)
    kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
    pieces = [form[at : at + 100] for at in range(0, len(form), 100)]

    async with serving(app, settings) as port:
        said = await answered(port, HEAD, kind, length, *pieces, every_s=0.06)
        twice = await answered(
            port, HEAD + b"Content-Length: 0\r\n\r\n", HEAD + b"Content-Length: 0\r\n"
            b"Connection: close\r\n\r\n", every_s=0.1,
        )  # fmt: skip

    assert said.startswith(b"HTTP/1.1 200 ") and b"access_token" in said
    assert twice.count(b"HTTP/1.1 4") == 2


async def test_details_nested_without_end_are_refused(app: FastAPI, world: World) -> None:
    deep = "[" * 2_000 + "]" * 2_000
    party = await world.party()
    form = party.form("dataset:x:read", authorization_details=deep)

    answer = await world.client.post("/oauth/token", data=form)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_authorization_details")


async def test_what_is_no_http_is_told_in_words(app: FastAPI, settings: Settings) -> None:
    async with serving(app, settings) as port:
        said = await answered(port, "GET /v1/datasets?q=避難 HTTP/1.1\r\n\r\n".encode())

    assert said.startswith(b"HTTP/1.1 400 ") and b"not_http" in said


async def test_the_head_of_an_answer_leaves_with_its_body_and_alone_where_none_comes() -> None:
    sent: list[bytes] = []
    said = asyncio.Protocol()

    class Wire(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            sent.append(bytes(data))

        def close(self) -> None:
            sent.append(b"closed")

        def get_protocol(self) -> asyncio.Protocol:
            return said

    joining = pacing.Joining(Wire(), asyncio.get_running_loop())
    joining.write(b"HTTP/1.1 200 OK\r\n\r\n")
    joining.write(b"body")
    joining.write(b"more")
    joining.write(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    await asyncio.sleep(0)
    joining.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    joining.close()

    assert sent == [
        b"HTTP/1.1 200 OK\r\n\r\nbody", b"more", b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n", b"closed",
    ]  # fmt: skip
    assert joining.get_protocol() is said
