"""Whoever must act is told: signed, in order, at least once, however long a receiver is away."""

import asyncio
import base64
import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.api.state import Platform
from app.audit.events import Event
from app.findings import deliveries
from app.findings.findings import Sighting, report
from app.findings.sending import Messenger, mail_of
from app.kit.mail import Mailer, MailNotSent, Relay, one_line
from app.kit.outbound import Allowed, Bounds, Outbound
from app.kit.settings import Settings
from app.models.findings import Severity
from app.models.parties import Role
from app.tasks.worker import Crew, work
from tests.conftest import ISSUER
from tests.oauth.certificates import Authority
from tests.world import KENKO, SAKAI, World

CHANNELS = "/v1/alert-channels"
SENDER = "urban-os@city.example.jp"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Webhooks may go to this machine, and mail leaves from here."""
    return Settings(
        home=tmp_path_factory.mktemp("home"),
        public_url=ISSUER,
        outbound_allow="127.0.0.1",
        mail_from=SENDER,
        smtp_url="smtp://127.0.0.1:1",
    )


@dataclass(slots=True)
class Receiver:
    """An HTTP server that keeps what it was sent. `status` is what it says to it."""

    status: int = 204
    wait_s: float = 0.0
    port: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        named = (line.split(": ", 1) for line in head.splitlines()[1:] if line)
        lines = {name.lower(): value for name, value in named}
        body = await reader.readexactly(int(lines["content-length"]))
        await asyncio.sleep(self.wait_s)
        if self.status < 300:
            self.got.append((lines, body))
            self.arrived.set()
        more = "Location: http://127.0.0.1:1/\r\n" if self.status == 302 else ""
        writer.write(f"HTTP/1.1 {self.status} X\r\nConnection: close\r\n{more}\r\n".encode())
        await writer.drain()
        writer.close()

    @property
    def ids(self) -> list[str]:
        """The findings that arrived, in order."""
        return [orjson.loads(body)["data"]["subject"]["id"] for _, body in self.got]


@asynccontextmanager
async def receiving(**how: Any) -> AsyncIterator[Receiver]:
    made = Receiver(**how)
    server = await asyncio.start_server(made.speak, "127.0.0.1", made.port)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def messenger(platform: Platform) -> AsyncIterator[Messenger]:
    outbound = Outbound(Allowed.parse("127.0.0.1"))
    yield Messenger(outbound, lambda: platform.sealer, None)
    await outbound.close()


async def steward(world: World, organization: str = KENKO) -> dict[str, str]:
    party = await world.party(organization, Role.STEWARD)
    return await world.token(party, "findings:read findings:write")


async def declared(world: World, headers: dict[str, str], target: str, **more: Any) -> Any:
    body = {"kind": "webhook", "target": target, **more}
    response = await world.client.post(CHANNELS, json=body, headers=headers)
    assert response.status_code == 201, response.text
    return response.json()


async def removed(world: World, headers: dict[str, str], channel: Any) -> None:
    gone = await world.client.delete(f"{CHANNELS}/{channel['id']}", headers=headers)
    assert gone.status_code == 204


async def seen(world: World, *subjects: str, **change: Any) -> None:
    told: dict[str, Any] = {
        "rule": "bulk_read", "subject_kind": "client", "severity": Severity.HIGH, "ja": "試験です",
        "en": "A test", "due_in": timedelta(days=3), "owner_id": KENKO, **change,
    }  # fmt: skip
    async with world.platform.database.writing() as session:
        await report(session, *(Sighting(**told, subject_id=each) for each in subjects))


async def deliver(world: World, messenger: Messenger, channel: Any) -> timedelta | None:
    return await deliveries.deliver(world.platform.database, messenger, UUID(channel["id"]))


async def waited(world: World, channel: Any) -> None:
    """The pause after a failure is over."""
    await world.platform.database.pool.execute(
        "UPDATE alert_delivery SET next_at = now() WHERE channel_id = $1 AND state = 'waiting'",
        UUID(channel["id"]),
    )


async def state_of(world: World, headers: dict[str, str], channel: Any) -> dict[str, Any]:
    listed = (await world.client.get(CHANNELS, headers=headers)).json()
    (mine,) = [each for each in listed if each["id"] == channel["id"]]
    found: dict[str, Any] = mine
    return found


async def test_a_webhook_is_signed_as_the_standard_says_and_the_secret_is_shown_once(
    world: World, messenger: Messenger
) -> None:
    headers = await steward(world)
    async with receiving() as receiver:
        channel = await declared(world, headers, f"http://127.0.0.1:{receiver.port}/hook")
        await seen(world, "c-signed")
        await deliver(world, messenger, channel)

    ((sent, body),) = receiver.got
    key = base64.b64decode(channel["secret"].removeprefix("whsec_"))
    signed = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert sent["webhook-signature"] == f"v1,{digest}"
    assert orjson.loads(body)["type"] == "finding.opened"
    shown = await state_of(world, headers, channel)
    assert "secret" not in shown and shown["delivered_at"] is not None
    stored = await world.platform.database.pool.fetchval(
        "SELECT sealed_secret FROM alert_channel WHERE id = $1", UUID(channel["id"])
    )
    assert key not in stored and channel["secret"].encode() not in stored
    await removed(world, headers, channel)


async def test_a_receiver_that_was_away_gets_all_of_it_afterwards_in_order(
    world: World, messenger: Messenger
) -> None:
    headers = await steward(world)
    async with receiving() as first:
        port = first.port
    channel = await declared(world, headers, f"http://127.0.0.1:{port}/hook")
    for subject in ("c-1", "c-2", "c-3"):
        await seen(world, subject)
    waits = [await deliver(world, messenger, channel)]
    away = await state_of(world, headers, channel)

    async with receiving(port=port, status=500) as broken:
        await waited(world, channel)
        waits.append(await deliver(world, messenger, channel))
    async with receiving(port=port) as back:
        early = await deliver(world, messenger, channel)
        await waited(world, channel)
        last = await deliver(world, messenger, channel)

    assert all(wait and wait > timedelta(0) for wait in (*waits, early))
    assert (broken.ids, back.ids, last) == ([], ["c-1", "c-2", "c-3"], None)
    assert away["failure"].startswith("outbound_unreachable") and away["waiting_since"]
    well = await state_of(world, headers, channel)
    assert (well["failure"], well["failed_at"], well["waiting_since"]) == (None, None, None)
    await removed(world, headers, channel)


async def test_a_message_that_nobody_takes_is_given_up_and_the_channel_says_so(
    world: World, messenger: Messenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await steward(world)
    monkeypatch.setattr(deliveries, "_MOST_TRIES", 2)
    async with receiving(status=302) as receiver:
        channel = await declared(world, headers, f"http://127.0.0.1:{receiver.port}/hook")
        await seen(world, "c-elsewhere")
        await deliver(world, messenger, channel)
        await waited(world, channel)
        receiver.status = 410
        await deliver(world, messenger, channel)
        receiver.status = 204
        await seen(world, "c-next")
        await deliver(world, messenger, channel)

    assert receiver.ids == ["c-next"]
    states = await world.platform.database.pool.fetch(
        "SELECT state, attempts FROM alert_delivery WHERE channel_id = $1 ORDER BY id",
        UUID(channel["id"]),
    )
    assert [tuple(each) for each in states] == [("failed", 2), ("delivered", 1)]
    await removed(world, headers, channel)


async def test_a_slow_receiver_is_left_after_a_while_and_delays_no_rule(
    world: World, messenger: Messenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await steward(world)
    monkeypatch.setattr("app.findings.sending._BOUNDS", Bounds(seconds=0.1))
    async with receiving(wait_s=5.0) as receiver:
        channel = await declared(world, headers, f"http://127.0.0.1:{receiver.port}/hook")
        await seen(world, "c-slow")
        sending = asyncio.create_task(deliver(world, messenger, channel))
        await asyncio.sleep(0.02)
        async with asyncio.timeout(4.5):
            await seen(world, "c-slow-too")
            beside = await deliver(world, messenger, channel)
            wait = await sending

    assert beside is not None and wait is not None
    assert (await state_of(world, headers, channel))["failure"].startswith("outbound_unreachable")
    await removed(world, headers, channel)


async def test_a_worker_that_died_between_is_followed_by_another_with_the_same_id(
    world: World, messenger: Messenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await steward(world)

    async def killed(*_: Any) -> None:
        raise ConnectionError

    async with receiving() as receiver:
        channel = await declared(world, headers, f"http://127.0.0.1:{receiver.port}/hook")
        await seen(world, "c-twice")
        with monkeypatch.context() as patch, pytest.raises(ConnectionError):
            patch.setattr(deliveries, "_note", killed)
            await deliver(world, messenger, channel)
        await deliver(world, messenger, channel)

    first, second = (sent["webhook-id"] for sent, _ in receiver.got)
    assert first == second
    await removed(world, headers, channel)


async def test_of_a_flood_the_first_are_told_and_how_many_more_there_are(
    world: World, messenger: Messenger
) -> None:
    headers = await steward(world)
    async with receiving() as receiver:
        channel = await declared(world, headers, f"http://127.0.0.1:{receiver.port}/hook")
        await seen(world, *(f"c-flood-{at}" for at in range(45)))
        while await deliver(world, messenger, channel) is not None:
            pass

    messages = [orjson.loads(body) for _, body in receiver.got]
    assert [each["type"] for each in messages] == ["finding.opened"] * 20 + ["finding.more"]
    assert messages[-1]["data"]["count"] == 25 and "25" in mail_of(messages[-1])[0]
    assert len(await world.log(Event.FINDING_OPENED)) == 45
    await removed(world, headers, channel)


async def test_nobody_is_showered_with_tests(world: World) -> None:
    headers = await steward(world)
    channel = await declared(world, headers, "https://hooks.example.jp/")
    tries = [
        await world.client.post(f"{CHANNELS}/{channel['id']}/test", headers=headers)
        for _ in range(3)
    ]

    put_down = await world.platform.database.pool.fetchval(
        "SELECT count(*) FROM alert_delivery WHERE channel_id = $1", UUID(channel["id"])
    )
    assert ([each.status_code for each in tries], put_down) == ([202] * 3, 1)
    await removed(world, headers, channel)


async def test_a_receiver_that_takes_its_time_takes_nobody_elses(
    world: World, messenger: Messenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await steward(world)
    monkeypatch.setattr(deliveries, "_TURN_S", 0.01)
    async with receiving(wait_s=0.02) as receiver:
        channel = await declared(world, headers, f"http://127.0.0.1:{receiver.port}/hook")
        await seen(world, "c-turn-1", "c-turn-2")
        turns = [await deliver(world, messenger, channel) for _ in range(3)]

    assert turns == [timedelta(0), timedelta(0), None]
    assert sorted(receiver.ids) == ["c-turn-1", "c-turn-2"]
    await removed(world, headers, channel)


async def test_what_nobody_took_for_a_quarter_of_a_year_is_forgotten(
    world: World, messenger: Messenger
) -> None:
    headers = await steward(world)
    pool = world.platform.database.pool
    channel = await declared(world, headers, "https://hooks.example.jp/")
    await seen(world, "c-old")
    await pool.execute("UPDATE alert_delivery SET created_at = created_at - interval '91 days'")
    await seen(world, "c-young")

    await deliveries.forget_delivered(pool)

    kept = await pool.fetch("SELECT message FROM alert_delivery WHERE state = 'waiting'")
    assert [orjson.loads(each[0])["data"]["subject"]["id"] for each in kept] == ["c-young"]
    await removed(world, headers, channel)


async def test_each_is_told_of_its_own_and_of_what_is_bad_enough(
    world: World, messenger: Messenger
) -> None:
    kenko, sakai = await steward(world), await steward(world, SAKAI)
    operator = await world.party("272027", Role.OPERATOR)
    admin = await world.token(operator, "findings:read findings:write")
    async with receiving() as one, receiving() as two, receiving() as three:
        made = [
            (
                kenko,
                await declared(world, kenko, f"http://127.0.0.1:{one.port}/", min_severity="high"),
            ),
            (sakai, await declared(world, sakai, f"http://127.0.0.1:{two.port}/")),
            (
                admin,
                await declared(world, admin, f"http://127.0.0.1:{three.port}/", for_operators=True),
            ),
        ]
        await seen(world, "c-low", severity=Severity.LOW)
        await seen(world, "c-high")
        await seen(world, "c-nobodys", owner_id=None)
        for _, channel in made:
            await deliver(world, messenger, channel)

    assert (one.ids, two.ids, three.ids) == (["c-high"], [], ["c-low", "c-high", "c-nobodys"])
    theirs = await world.client.delete(f"{CHANNELS}/{made[0][1]['id']}", headers=sakai)
    assert (theirs.status_code, theirs.json()["code"]) == (404, "alert_channel_not_found")
    body = {"kind": "webhook", "target": "https://example.jp/", "for_operators": True}
    refused = await world.client.post(CHANNELS, json=body, headers=sakai)
    assert (refused.status_code, refused.json()["code"]) == (403, "operators_only")
    for headers, channel in made:
        await removed(world, headers, channel)


@pytest.mark.parametrize(
    "target",
    ["http://8.8.8.8/", "https://10.0.0.1/", "https://169.254.169.254/latest",
     "https://[::1]/", "https://user:word@hooks.example.jp/", "ftp://hooks.example.jp/"],
)  # fmt: skip
async def test_an_address_that_is_nobodys_business_is_refused(world: World, target: str) -> None:
    body = {"kind": "webhook", "target": target}

    response = await world.client.post(CHANNELS, json=body, headers=await steward(world))

    assert (response.status_code, response.json()["code"]) == (422, "outbound_refused")


async def test_a_name_that_turns_inwards_later_is_refused_when_it_is_asked(
    world: World, platform: Platform
) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["192.168.1.1"]

    headers = await steward(world)
    channel = await declared(world, headers, "https://hooks.example.jp/")
    outbound = Outbound(resolve=resolve)
    await seen(world, "c-rebound")

    await deliver(world, Messenger(outbound, lambda: platform.sealer, None), channel)
    await outbound.close()

    shown = await state_of(world, headers, channel)
    assert shown["failure"].startswith(("outbound_refused", "outbound_unreachable"))
    await removed(world, headers, channel)


async def test_a_real_worker_sends_the_test_message(
    world: World, platform: Platform, messenger: Messenger
) -> None:
    headers = await steward(world)
    stop = asyncio.Event()
    working = asyncio.create_task(work(platform.database, stop, Crew(messenger=messenger)))
    async with receiving() as receiver:
        channel = await declared(world, headers, f"http://127.0.0.1:{receiver.port}/hook")
        asked = await world.client.post(f"{CHANNELS}/{channel['id']}/test", headers=headers)
        async with asyncio.timeout(20):
            await receiver.arrived.wait()
        stop.set()
        await working

    assert asked.status_code == 202
    assert orjson.loads(receiver.got[0][1])["type"] == "channel.test"
    await removed(world, headers, channel)


# --- mail ----------------------------------------------------------------------------------------


class Inbox:
    """What an SMTP server was handed."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=default)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 OK"


@pytest_asyncio.fixture(loop_scope="session")
async def inbox() -> AsyncIterator[tuple[Inbox, int]]:
    handler = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler), "127.0.0.1", 0)
    async with server:
        yield handler, server.sockets[0].getsockname()[1]


async def test_a_mail_says_it_in_both_languages(
    world: World, platform: Platform, inbox: tuple[Inbox, int]
) -> None:
    handler, port = inbox
    headers = await steward(world)
    mailer = Mailer(Relay.parse(f"smtp://127.0.0.1:{port}", SENDER))
    outbound = Outbound()
    target = {"kind": "mail", "target": "kikikanri@city.example.jp"}
    body = await world.client.post(CHANNELS, json=target, headers=headers)
    channel = body.json()
    await seen(world, "c-mailed", ja="対応してください。", en="Please act.")

    wait = await deliver(world, Messenger(outbound, lambda: platform.sealer, mailer), channel)

    ((to, mail),) = handler.mails
    assert (wait, to, channel["secret"]) == (None, ["kikikanri@city.example.jp"], None)
    assert mail["Subject"] == "[都市OS] high bulk_read client c-mailed"
    assert (mail["From"], mail["Auto-Submitted"]) == (SENDER, "auto-generated")
    text = mail.get_content()
    assert "対応してください。" in text and "Please act." in text
    await removed(world, headers, channel)


@pytest.mark.parametrize(
    "address",
    ["a@city.example.jp\r\nBcc: b@example.jp", "a@city.example.jp, b@example.jp", "a b@x.jp",
     "city.example.jp", "<a@city.example.jp>"],
)  # fmt: skip
async def test_a_mail_address_is_one_address(world: World, address: str) -> None:
    body = {"kind": "mail", "target": address}

    response = await world.client.post(CHANNELS, json=body, headers=await steward(world))

    assert (response.status_code, response.json()["code"]) == (422, "alert_channel_invalid")


def test_no_subject_ends_its_line() -> None:
    told = {
        "rule": "bulk_read", "severity": "high", "ja": "-", "en": "-", "due_at": "-", "path": "-",
        "subject": {"kind": "client", "id": "x\r\nBcc: all@example.jp\u2028y"},
    }  # fmt: skip

    subject, _ = mail_of({"type": "finding.opened", "data": told})

    assert one_line(subject).isprintable() and len(one_line("x" * 999)) == 150


async def test_where_no_mail_is_sent_a_channel_by_mail_is_refused_with_the_mend(
    world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "sends_mail", False)
    body = {"kind": "mail", "target": "kikikanri@city.example.jp"}

    response = await world.client.post(CHANNELS, json=body, headers=await steward(world))

    assert (response.status_code, response.json()["code"]) == (409, "mail_not_set_up")
    assert "URBANOS_SMTP_URL" in response.json()["detail"]


async def test_a_relay_that_is_away_or_not_trusted_is_said_so(inbox: tuple[Inbox, int]) -> None:
    _, port = inbox
    plain = Mailer(Relay.parse(f"smtp+starttls://127.0.0.1:{port}", SENDER))
    away = Mailer(Relay.parse("smtp://127.0.0.1:1", SENDER))

    for mailer in (plain, away):  # one that cannot be spoken to in secret is not spoken to
        with pytest.raises(MailNotSent):
            await mailer.send("a@city.example.jp", "s", "t", message_id="m")


async def test_over_tls_only_a_certificate_that_is_believed_is_spoken_to(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown = authority.issue("mail", use=ExtendedKeyUsageOID.SERVER_AUTH)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(shown.pem, shown.key)
    handler = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler), "127.0.0.1", 0, ssl=server_side)
    relay = Relay.parse(f"smtps://127.0.0.1:{server.sockets[0].getsockname()[1]}", SENDER)
    believing = Mailer(relay, trusted=ssl.create_default_context(cafile=authority.pem))

    async with server:
        with pytest.raises(MailNotSent):
            await Mailer(relay).send("a@city.example.jp", "s", "t", message_id="m1")
        await believing.send("a@city.example.jp", "s", "t", message_id="m2")

    assert [mail["Message-ID"] for _, mail in handler.mails] == ["<m2@city.example.jp>"]


@pytest.mark.parametrize(
    "url",
    ["smtp://u:word@mail.example.jp", "http://mail.example.jp", "smtps://", "smtps://h:99999"],
)
def test_a_relay_that_cannot_be_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        Relay.parse(url, SENDER)

    assert "word@" not in str(refused.value)
