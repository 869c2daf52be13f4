"""The platform keeps every rule of the class `push`, by its own judge: a real client, a real worker,
and a receiver behind a host of its own."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.certify.client import Server
from app.certify.judge import Outcome, judge
from app.certify.lent import Callback, Client, Lent
from app.certify.lint import Standard
from app.kit.outbound import Allowed, Bounds, Outbound
from app.tasks.worker import Crew, work
from tests.oauth.certificates import Authority
from tests.stock import Spec, stocked
from tests.subscriptions.stage import notifier_of
from tests.world import World

STANDARD = Standard.read()
HOST = "hooks.example.jp"
SPECS: tuple[Spec, ...] = (("no", "code", {"key": True}), ("name", "text"))


async def resolved(host: str, _port: int) -> list[str]:
    """Every name is somewhere outside, but for those that are not."""
    return ["127.0.0.1"] if host == "localhost" else ["93.184.216.34"]


async def here(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@asynccontextmanager
async def tunnel(to: int, shown: ssl.SSLContext) -> AsyncIterator[int]:
    """Ends TLS and leads on, as what stands before a receiver does; its port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            within, out = await asyncio.open_connection("127.0.0.1", to)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(pump(reader, out), pump(within, writer))

    server = await asyncio.start_server(lead, "127.0.0.1", 0, ssl=shown)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_the_platform_keeps_every_rule_of_push(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.kit.webhooks._FIRST_PAUSE", timedelta(seconds=0.4))
    monkeypatch.setattr("app.tasks.notify._BOUNDS", Bounds(seconds=0.8))
    authority = Authority(tmp_path)
    certificate = authority.issue("hooks", use=ExtendedKeyUsageOID.SERVER_AUTH, host=HOST)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(certificate.pem, certificate.key)
    trusted = ssl.create_default_context(cafile=authority.pem)
    out = Outbound(Allowed.parse(HOST), trusted=trusted, resolve=here)
    asked = Outbound(resolve=resolved)
    monkeypatch.setattr(world.platform, "outbound", asked)
    dataset = await stocked(world, [{"no": "1", "name": "架空"}], SPECS)
    party, port, stop = await world.party(), free_port(), asyncio.Event()
    working = asyncio.create_task(
        work(
            world.platform.database, stop, Crew(notifier=notifier_of(world, out)),
            heartbeat=timedelta(seconds=0.1),
        )
    )  # fmt: skip
    transport = httpx.ASGITransport(app=world.client._transport.app)  # type: ignore[attr-defined]
    async with tunnel(port, shown) as outside, httpx.AsyncClient(transport=transport) as http:
        given = Lent(
            Client(party.id, party.key), world.platform.issuer, patience_s=10.0, hang_s=1.2,
            callback=Callback(f"https://{HOST}:{outside}", "127.0.0.1", port),
        )  # fmt: skip
        base = str(world.client.base_url)
        server = Server(base, http, 1e6, settle_seconds=0, prefix="judge-", lent=given)
        rules = {f"PUSH-0{at}" for at in range(1, 7)}
        report = await judge(server, STANDARD, ["push"], dataset=dataset, only=rules)
    stop.set()
    await working
    await out.close()
    await asked.close()

    told = [(each.rule, each.outcome, each.why, each.wrong) for each in report.verdicts]
    assert [each for each in told if each[1] is not Outcome.KEPT] == []
    assert {each[0] for each in told} == rules
    left = await world.platform.database.pool.fetchval("SELECT count(*) FROM subscription")
    assert left == 0
