"""What goes wrong over each transport, each with its own outcome, and nothing left open (counted)."""

import asyncio
import secrets
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from app.connectors.errors import SourceError
from app.connectors.file import FileConnector, FileSelection
from app.connectors.frame import Known, Means
from app.connectors.places import ftp as ftp_module
from app.connectors.places import s3 as s3_module
from app.connectors.places import sftp as sftp_module
from app.connectors.places import webdav as dav_module
from app.connectors.places.choosing import Chosen, chosen
from app.connectors.places.opening import opened_place
from app.connectors.places.s3 import signed
from app.connectors.places.settings import AccessKey, PlaceSettings
from app.kit.outbound import Allowed, Bounds, Outbound, OutboundRefused
from tests.connectors.places import servers
from tests.connectors.places.servers import PASSWORD, USER, Serving
from tests.connectors.sources import Asked, means, reply, web

_OTHER_KEY = "SHA256:" + "A" * 43


def _made(settings: dict[str, Any], its: Means) -> FileConnector:
    return FileConnector(PlaceSettings.model_validate(settings), its)


async def taken(connector: FileConnector, **selection: Any) -> bytes | None:
    async with connector.harvest(FileSelection.model_validate(selection)) as got:
        return None if got is None else b"".join([piece async for piece in got.pieces])


async def _outcome(ask: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(SourceError) as refused:
        await ask
    told = refused.value
    assert told.words("ja") != told.words("en")
    assert PASSWORD not in told.words("en")
    return told.told_as, told.at


async def _settled(its: Serving) -> int:
    for _ in range(100):
        if its.open_now == 0:
            break
        await asyncio.sleep(0.02)
    return its.open_now


# What is asked for otherwise than it should be, and what is then told.
_ASKED: dict[str, tuple[dict[str, Any], str, tuple[str, str]]] = {
    "a wrong password": ({"auth": {"type": "basic", "user": USER, "password": "hidden-no"}},
                         "a.csv", ("refused", "credentials")),
    "no such file": ({}, "b.csv", ("broken", "missing")),
    "no such folder": ({}, "none/*.csv", ("broken", "missing")),
    "nothing that meets the pattern": ({}, "*.tsv", ("broken", "missing")),
}  # fmt: skip


@pytest.mark.parametrize("fault", _ASKED)
@pytest.mark.parametrize("transport", ["sftp", "ftp", "ftps", "dav"])
async def test_what_is_wrong_with_what_was_asked_for_is_told_in_words(
    transport: str, fault: str, transports: dict[str, Serving]
) -> None:
    its = transports[transport]
    more, path, told = _ASKED[fault]
    its.put("faults/a.csv", b"a\n1\n")
    async with means() as ours:
        made = _made(its.at("faults", **more), ours)

        checked = await _outcome(made.check(FileSelection(path=path)))
        harvested = await _outcome(taken(made, path=path))
        at_base = None if told[1] == "missing" else await _outcome(made.check())
        gone = await _outcome(_made(its.at("nowhere", **more), ours).check())

    assert (checked, harvested, at_base or told) == (told, told, told)
    assert gone == (told if told[0] == "refused" else ("broken", "missing"))
    assert await _settled(its) == 0


@asynccontextmanager
async def _says(what: bytes, *, hang: bool) -> AsyncIterator[int]:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(what)
        if hang:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("scheme", ["sftp", "ftp", "ftps", "dav", "s3"])
@pytest.mark.parametrize(
    ("said", "hang", "told"),
    [
        (None, False, {("unreachable", "connection")}),
        (b"", True, {("slow", "silence")}),
        (b"", False, {("broken", "cut_off"), ("unreachable", "connection")}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", False,
         {("broken", "format"), ("broken", "status"), ("broken", "cut_off")}),
        (b"\0\xff" * 300, False,
         {("broken", "format"), ("broken", "cut_off"), ("broken", "charset")}),
    ],
)  # fmt: skip
async def test_who_does_not_speak_as_agreed_is_told(
    scheme: str, said: bytes | None, hang: bool, told: set[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if hang:
        quick = Bounds(seconds=0.3)
        monkeypatch.setattr(sftp_module, "_CONNECT_SECONDS", 0.3)
        monkeypatch.setattr(ftp_module, "SILENT_SECONDS", 0.3)
        monkeypatch.setattr(dav_module, "_LISTING", quick)
        monkeypatch.setattr(s3_module, "_LISTING", quick)
    settings: dict[str, Any] = {"auth": {"type": "basic", "user": "u", "password": "hidden"}}
    before = asyncio.all_tasks()
    async with _says(said or b"", hang=hang) as port, means() as ours:
        where = f"127.0.0.1:{9 if said is None else port}"
        settings["base"] = f"{scheme}://{where}/x"
        if scheme == "sftp":
            settings["host_key"] = _OTHER_KEY
        if scheme == "s3":
            settings = {"base": "s3://x/y", "endpoint": f"http://{where}"}
        made = _made(settings, ours)

        found = await _outcome(made.check())

    assert found in told
    await asyncio.sleep(0.05)
    assert {task for task in asyncio.all_tasks() - before if "speak" not in repr(task)} == set()


async def test_nobody_is_asked_who_may_not_be(transports: dict[str, Serving]) -> None:
    async with means("") as ours:
        for its in transports.values():
            its.asked.clear()
            made = _made(its.at("faults"), ours)
            with pytest.raises(OutboundRefused):
                made.check_settings()
            with pytest.raises(OutboundRefused):
                await made.check()

            assert its.asked == []


async def test_a_name_is_resolved_once_and_its_address_is_kept_to(
    sftp: Serving, ftp: Serving
) -> None:
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if asked.count(host) == 1 else ["192.0.2.1"]

    outbound = Outbound(Allowed.parse("127.0.0.0/8"), resolve=resolve)
    for its, host in ((sftp, "sftp.example.jp"), (ftp, "ftp.example.jp")):
        its.put("once/a.csv", b"a\n1\n")
        settings = its.at("once")
        settings["base"] = settings["base"].replace("127.0.0.1", host)
        assert await taken(_made(settings, Means(outbound)), path="*.csv") == b"a\n1\n"
    await outbound.close()

    assert asked == ["sftp.example.jp", "ftp.example.jp"]


# --- SFTP ----------------------------------------------------------------------------------------


async def test_a_host_key_that_is_not_the_one_that_was_given_ends_it_before_we_say_who_we_are(
    sftp: Serving,
) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    async with means() as ours:
        found = [
            await _outcome(_made(sftp.at("x", host_key=key), ours).check())
            for key in (_OTHER_KEY, other, f"[127.0.0.1]:22 {other}")
        ]

    assert found == [("unreachable", "host_key")] * 3
    assert await _settled(sftp) == 0


async def test_a_private_key_signs_in_and_a_line_of_known_hosts_is_taken(
    sftp: Serving, key: asyncssh.SSHKey
) -> None:
    sftp.put("keys/a.csv", b"a\n1\n")
    stranger = asyncssh.generate_private_key("ssh-ed25519")

    def proof(each: asyncssh.SSHKey, phrase: str | None = None) -> dict[str, Any]:
        private = each.export_private_key(passphrase=phrase, rounds=50).decode()
        told = {"type": "key_pair", "user": USER, "private_key": private}
        return told | ({"passphrase": phrase} if phrase else {})

    sealed = proof(key, "hidden-phrase")
    async with means() as ours:
        for each in (proof(key), sealed):
            made = _made(sftp.at("keys", auth=each, host_key=sftp.known_hosts), ours)
            assert await taken(made, path="a.csv") == b"a\n1\n"
        wrong = {**sealed, "passphrase": "hidden-other"}
        found = [
            await _outcome(_made(sftp.at("keys", auth=each), ours).check())
            for each in (proof(stranger), wrong, {**wrong, "private_key": "no key"})
        ]

    assert found == [("refused", "credentials")] * 3


async def test_a_file_that_may_not_be_read_is_told_apart_from_one_that_is_not_there(
    sftp: Serving,
) -> None:
    sftp.put("shut/closed.csv", b"a\n")
    async with means() as ours:
        found = await _outcome(taken(_made(sftp.at("shut"), ours), path="closed.csv"))

    assert found == ("refused", "permission")


# --- FTP -----------------------------------------------------------------------------------------


async def test_an_old_server_is_read_and_its_word_on_where_data_are_is_not_believed(
    tmp_path: Path,
) -> None:
    with servers.ftp(tmp_path, old=True, masquerade_address="192.0.2.1") as its:
        its.put("d/a-1.csv", b"a\n1\n", 1_000_000_000)
        its.put("d/a-2.csv", b"a\n2\n", 1_700_000_000)
        async with means() as ours:
            got = await taken(_made(its.at("d"), ours), path="a-*.csv")

        assert (got, "PASV" in its.asked, "MDTM" in its.asked) == (b"a\n2\n", True, True)
        assert await _settled(its) == 0


async def test_names_in_japanese_are_read_as_they_were_written(tmp_path: Path) -> None:
    with servers.ftp(tmp_path, encoding="cp932") as its:
        its.put("日次/公園１.csv", b"a\n1\n")
        async with means() as ours:
            made = _made(its.at("%E6%97%A5%E6%AC%A1", names="cp932"), ours)
            assert await taken(made, path="公園*.csv") == b"a\n1\n"
            assert [each.name for each in await made.discover()] == ["公園１.csv"]


@pytest.mark.parametrize("wrong", ["another authority", "over", "another name", "no TLS at all"])
async def test_a_server_that_cannot_show_who_it_is_gets_no_password(
    tmp_path: Path, wrong: str
) -> None:
    name = "other.example.jp" if wrong == "another name" else "127.0.0.1"
    file = servers.certificate(tmp_path, name, days=-1 if wrong == "over" else 1)
    known = servers.certificate(tmp_path, name) if wrong == "another authority" else file
    with servers.ftp(tmp_path, None if wrong == "no TLS at all" else file) as its:
        settings = its.at("", ca=known.read_text().partition("-----END PRIVATE KEY-----")[2])
        settings["base"] = settings["base"].replace("ftp://", "ftps://")
        async with means() as ours:
            found = await _outcome(_made(settings, ours).check())

        assert found == (
            ("broken", "format") if wrong == "no TLS at all" else ("unreachable", "tls")
        )
        assert "PASS" not in its.asked


@pytest.mark.parametrize("transport", ["sftp", "ftp"])
async def test_a_folder_can_be_said_from_where_the_sign_in_leads(
    transports: dict[str, Serving], transport: str
) -> None:
    its = transports[transport]
    its.put("home/a.csv", b"a\n1\n")
    async with means() as ours:
        made = _made(its.at("~/home"), ours)
        await made.check()

        assert await taken(made, path="*.csv") == b"a\n1\n"


async def test_a_name_that_cannot_be_said_hides_no_other(sftp: Serving, ftp: Serving) -> None:
    for its in (sftp, ftp):
        its.put("odd/公園　１.csv", b"a\n1\n")
        (its.root / "odd" / "a\rb.csv").write_bytes(b"")
    (sftp.root / "odd" / b"\x8c\xf6.csv".decode(errors="surrogateescape")).write_bytes(b"")
    async with means() as ours:
        found = [await _made(its.at("odd"), ours).discover() for its in (sftp, ftp)]

    assert [[each.name for each in names] for names in found] == [["公園　１.csv"]] * 2


class _Strict:
    """An FTPS server that speaks TLS over data only once it has said so, as most do."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self.taken_up: list[bool] = []
        self._data: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = {
            "USER": "331 -", "PASS": "230 -", "PBSZ": "200 -", "PROT": "200 -", "TYPE": "200 -",
            "MLST": "250-\r\n size=4;modify=20261129000000;type=file; a.csv\r\n250 -",
        }  # fmt: skip
        writer.write(b"220 -\r\n")
        async with await asyncio.start_server(self._take, "127.0.0.1", 0) as data:
            while line := (await reader.readline()).decode().strip():
                command = line.partition(" ")[0]
                if command == "EPSV":
                    port = data.sockets[0].getsockname()[1]
                    writer.write(f"229 - (|||{port}|)\r\n".encode())
                elif command == "AUTH":
                    writer.write(b"234 -\r\n")
                    await writer.start_tls(self._tls)
                elif command == "RETR":
                    writer.write(b"150 -\r\n")
                    await self._send()
                    writer.write(b"226 -\r\n")
                else:
                    writer.write(f"{said[command]}\r\n".encode())
        writer.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._data.put((reader, writer))

    async def _send(self) -> None:
        _, writer = await self._data.get()
        await writer.start_tls(self._tls)
        self.taken_up.append(writer.get_extra_info("ssl_object").session_reused)
        writer.write(b"a\n1\n")
        await writer.drain()
        writer.close()


async def test_data_are_protected_once_the_command_is_accepted_and_by_the_session_we_have(
    tmp_path: Path,
) -> None:
    file = servers.certificate(tmp_path, "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    strict = _Strict(tls)
    server = await asyncio.start_server(strict.speak, "127.0.0.1", 0)
    settings = {
        "base": f"ftps://127.0.0.1:{server.sockets[0].getsockname()[1]}/",
        "ca": file.read_text().partition("-----END PRIVATE KEY-----")[2],
        "auth": {"type": "basic", "user": USER, "password": PASSWORD},
    }
    async with server, means() as ours, asyncio.timeout(10):
        got = await taken(_made(settings, ours), path="a.csv")

    assert (got, strict.taken_up) == (b"a\n1\n", [True])


# --- WebDAV --------------------------------------------------------------------------------------


def _multistatus(*hrefs: str, head: str = "") -> bytes:
    each = (
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getcontentlength>2"
        "</D:getcontentlength><D:getetag>1</D:getetag></D:prop><D:status>HTTP/1.1 200 OK</D:status>"
        "</D:propstat></D:response>"
        for href in hrefs
    )
    body = (
        f'<?xml version="1.0"?>{head}<D:multistatus xmlns:D="DAV:">{"".join(each)}</D:multistatus>'
    )
    return reply(body.encode(), "207 Multi-Status", kind="application/xml")


async def test_an_address_that_a_listing_tells_is_never_gone_to() -> None:
    listed = _multistatus(
        "/dav/", "/dav/a.csv", "http://192.0.2.1/dav/b.csv", "/elsewhere/c.csv", "/dav/..",
        "/dav/%2e%2e%2fd.csv",
    )  # fmt: skip

    def answer(asked: Asked) -> bytes:
        return listed if asked.method == "PROPFIND" else reply(b"a\n", kind="text/csv")

    async with web(answer) as server, means() as ours:
        made = _made({"base": server.base.replace("http", "dav") + "/dav"}, ours)
        names = sorted(each.name for each in await made.discover())
        got = await taken(made, path="a.csv")

    assert (names, got) == (["a.csv", "b.csv"], b"a\n")  # `b.csv` is a name below the base
    assert {asked.path for asked in server.asked} == {"/dav", "/dav/a.csv"}


@pytest.mark.parametrize(
    "said",
    [
        _multistatus("/a", head='<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]>'),
        _multistatus("/a", head='<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd">'),
        reply(b"<a>", "207 Multi-Status"),
        reply(b"<a/>", "207 Multi-Status"),
    ],
)
async def test_a_listing_that_is_made_to_harm_or_no_listing_is_refused(said: bytes) -> None:
    async with web(lambda _: said) as server, means() as ours:
        made = _made({"base": server.base.replace("http", "dav")}, ours)
        assert await _outcome(made.check()) == ("broken", "format")


_ODD = {"size": ["²", "9" * 5_000, "-1"], "modified": [
    "Fri, 31 Dec 9999 23:59:59 GMT", f"Fri, 31 Dec {'9' * 40} 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +1400", "yesterday",
]}  # fmt: skip


async def test_sizes_and_days_that_no_file_has_are_none_and_hide_no_file() -> None:
    each = [(size, "Sun, 29 Nov 2026 00:00:00 GMT") for size in _ODD["size"]]
    each += [("2", day) for day in _ODD["modified"]]
    body = "".join(
        f"<D:response><D:href>/x/{number}.csv</D:href><D:propstat><D:prop>"
        f"<D:getcontentlength>{size}</D:getcontentlength><D:getlastmodified>{day}"
        "</D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        for number, (size, day) in enumerate(each)
    )
    listed = f'<D:multistatus xmlns:D="DAV:">{body}</D:multistatus>'.encode()
    bucket = "".join(
        f"<Contents><Key>{number}.csv</Key><Size>²</Size><LastModified>{day}</LastModified></Contents>"
        for number, day in enumerate(["0001-01-01T00:00:00", "9999-12-31T23:59:59Z", "yesterday"])
    )

    def answer(asked: Asked) -> bytes:
        if asked.method == "PROPFIND":
            return reply(listed, "207 Multi-Status", kind="application/xml")
        return reply(f"<ListBucketResult>{bucket}</ListBucketResult>".encode())

    async with web(answer) as server, means() as ours:
        dav = _made({"base": server.base.replace("http", "dav") + "/x"}, ours)
        s3 = _made({"base": "s3://x", "endpoint": server.base}, ours)
        found = [len(await made.discover()) for made in (dav, s3)]
        choice = Chosen.model_validate({"path": "*.csv", "parts": {}})
        async with opened_place(dav.settings, ours) as place:
            newest = await chosen(place, choice)

    assert found == [len(each), 3]
    assert newest is not None
    assert {entry.size for entry in newest} == {None}


@pytest.mark.parametrize("said", ["229 - (|||99999|)", "229-\r\n" * 2_000])
async def test_a_port_that_no_machine_has_and_an_answer_without_end_are_no_ftp(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ftp_module, "_MOST_SAID", 1_000)
    answers = {"USER": "331 -", "PASS": "230 -", "PWD": '257 "/"', "TYPE": "200 -", "EPSV": said}

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 -\r\n")
        while command := (await reader.readline()).decode().split(" ")[0].strip():
            writer.write(f"{answers.get(command, '250 -')}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server, means() as ours, asyncio.timeout(5):
        base = f"ftp://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        assert await _outcome(_made({"base": base}, ours).check()) == ("broken", "format")


async def test_a_long_listing_is_taken_apart_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: set[bool] = set()
    made = dav_module._entry

    def entry(path: str, told: Any) -> Any:
        threads.add(threading.current_thread() is threading.main_thread())
        return made(path, told)

    monkeypatch.setattr(dav_module, "_entry", entry)
    async with web(lambda _: _multistatus("/x/a.csv")) as server, means() as ours:
        await _made({"base": server.base.replace("http", "dav") + "/x"}, ours).discover()

    assert threads == {False}


@pytest.mark.parametrize("scheme", ["dav", "s3"])
async def test_another_version_than_the_one_that_was_looked_at_is_not_taken(scheme: str) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.method == "PROPFIND":
            return _multistatus("/x/a.csv")
        is_head = asked.method == "HEAD"
        tag = '"1"' if is_head else '"2"'
        return reply(b"" if is_head else b"a\n", kind="text/csv", ETag=tag)

    async with web(answer) as server, means() as ours:
        settings = {"base": server.base.replace("http", "dav") + "/x"}
        if scheme == "s3":
            settings = {"base": "s3://x", "endpoint": server.base}
        assert await _outcome(taken(_made(settings, ours), path="a.csv")) == ("broken", "moving")


# --- S3 ------------------------------------------------------------------------------------------


def test_an_address_is_signed_as_the_service_says() -> None:
    """The example of AWS's "Authenticating Requests: Using Query Parameters"."""
    key = AccessKey.model_validate({
        "type": "access_key", "key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    })  # fmt: skip
    url = "https://examplebucket.s3.amazonaws.com/test.txt"

    made = signed("GET", url, {}, key, "us-east-1", datetime(2013, 5, 24, tzinfo=UTC), 86_400)

    assert made.endswith("=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        ("403 -", "InvalidAccessKeyId", ("refused", "credentials")),
        ("403 -", "SignatureDoesNotMatch", ("refused", "credentials")),
        ("403 -", "AccessDenied", ("refused", "permission")),
        ("404 -", "NoSuchBucket", ("broken", "missing")),
        ("400 -", "AuthorizationQueryParametersError", ("refused", "credentials")),
        ("400 -", "InvalidRequest", ("broken", "status")),
        ("503 -", "SlowDown", ("broken", "server")),
        ("307 -", "TemporaryRedirect", ("broken", "redirect")),
    ],
)
async def test_what_a_service_says_is_wrong_is_told_apart(
    status: str, code: str, told: tuple[str, str]
) -> None:
    said = reply(f"<Error><Code>{code}</Code></Error>".encode(), status, Location="/x")
    async with web(lambda _: said) as server, means() as ours:
        made = _made({"base": "s3://x/y", "endpoint": server.base}, ours)
        assert await _outcome(made.check()) == told
        assert await _outcome(made.check(FileSelection(path="*.csv"))) == told


async def test_a_refusal_that_never_ends_is_not_heard_out() -> None:
    endless = b"HTTP/1.1 403 -\r\nContent-Length: 1000000000\r\n\r\n" + b"<" * 50_000

    def answer(asked: Asked) -> bytes:
        server.hang = asked.method == "GET"
        return endless if server.hang else reply(b"", Last_Modified="-")

    async with web(answer) as server, means() as ours, asyncio.timeout(5):
        made = _made({"base": "s3://x", "endpoint": server.base}, ours)
        assert await _outcome(taken(made, path="a.csv", settle_seconds=0)) == (
            "refused", "permission",
        )  # fmt: skip


async def test_a_listing_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "_MOST_PAGES", 20)

    def answer(asked: Asked) -> bytes:
        more = f"<NextContinuationToken>{asked.query.get('continuation-token', '')}1"
        return reply(
            f"<L><IsTruncated>true</IsTruncated>{more}</NextContinuationToken></L>".encode()
        )

    async with web(answer) as server, means() as ours, asyncio.timeout(10):
        made = _made({"base": "s3://x", "endpoint": server.base}, ours)
        assert await _outcome(made.discover()) == ("broken", "loop")


async def test_all_pages_of_a_listing_are_read_and_the_secret_goes_nowhere() -> None:
    def answer(asked: Asked) -> bytes:
        at = int(asked.query.get("continuation-token", "1"))
        names = "".join(
            f"<Contents><Key>y/{number}.csv</Key><Size>2</Size><ETag>&quot;1&quot;</ETag></Contents>"
            for number in range(at * 10, at * 10 + 10)
        )
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{at + 1}</NextContinuationToken>"
        xml = f"<ListBucketResult>{names}{more if at < 3 else ''}</ListBucketResult>"
        return reply(xml.encode(), kind="application/xml")

    auth = {"type": "access_key", "key_id": "k", "secret": "hidden-secret"}
    async with web(answer) as server, means() as ours:
        made = _made({"base": "s3://x/y", "endpoint": server.base, "auth": auth}, ours)
        found = await made.discover()

    assert len(found) == 30
    assert "hidden-secret" not in repr(server.asked) + repr(made)
    assert {asked.path for asked in server.asked} == {"/x"}


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"base": "sftp://h/x", "auth": {"type": "basic", "user": "u", "password": "p"}},
        {"base": "sftp://h/x", "host_key": _OTHER_KEY},
        {"base": "sftp://h/x", "host_key": "MD5:00", "auth": {"type": "basic", "user": "u", "password": "p"}},
        {"base": "ftp://u:p@h/x"},
        {"base": "ftp://h:port/x"},
        {"base": "ftp:///x"},
        {"base": "ftp://h/x/../y"},
        {"base": "ftp://h/x/%2e%2e/y"},
        {"base": "ftp://h/x%0d%0aDELE%20a.csv"},
        {"base": "ftp://h/x", "auth": {"type": "basic", "user": "u\r\nDELE a", "password": "p"}},
        {"base": "ftps://h/x", "auth": {"type": "basic", "user": "u", "password": "p\r\nDELE a"}},
        {"base": "https://h/x", "auth": {"type": "key_pair", "user": "u", "private_key": "k"}},
        {"base": "https://h/x", "host_key": _OTHER_KEY},
        {"base": "s3://b/x"},
        {"base": "s3://b/x", "endpoint": "https://h", "auth": {"type": "basic", "user": "u", "password": "p"}},
        {"base": "ftps://h/x", "ca": "no certificate"},
        {"base": "gopher://h/x"},
        {"base": "/h/x", "auth": {"type": "key_pair", "user": "u", "private_key": "k"}},
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PlaceSettings.model_validate(given)


# --- half a file, and one that moves -------------------------------------------------------------


@pytest.mark.parametrize("transport", ["sftp", "ftp", "ftps", "dav"])
@pytest.mark.parametrize("change", ["shorter", "longer"])
async def test_a_file_that_is_written_to_while_it_is_read_is_not_taken(
    transport: str, change: str, transports: dict[str, Serving]
) -> None:
    its = transports[transport]
    body, name = b"a\n" * 3_000_000, f"{secrets.token_hex(4)}.csv"
    its.put(f"moving/{name}", body, 1_000_000_000)
    async with means() as ours:

        async def read() -> None:
            made = _made(its.at("moving"), ours)
            async with made.harvest(FileSelection(path=name)) as got:
                assert got is not None
                async for _ in got.pieces:
                    _in_place(its, name, change)

        told = await _outcome(read())

    assert told in (("broken", "moving"), ("broken", "cut_off"))
    assert await _settled(its) == 0


def _in_place(its: Serving, name: str, change: str) -> None:
    """The same file, that somebody has open and writes to."""
    path = its.root / "moving" / name
    with path.open("r+b") as file:
        if change == "longer":
            file.seek(0, 2)
            file.write(b"b\n")
        else:
            file.truncate(1_000_000)


@asynccontextmanager
async def _cutting(port: int, after: int, *, stall: bool) -> AsyncIterator[int]:
    """A way to a port that ends, or says nothing more, after so many bytes of the answer."""

    async def forward(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: float
    ) -> None:
        while left > 0 and (piece := await reader.read(65_536)):
            writer.write(piece)
            left -= len(piece)
        if left <= 0 and stall:
            await asyncio.sleep(60)
        writer.close()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its_reader, its_writer = await asyncio.open_connection("127.0.0.1", port)
        there = asyncio.create_task(forward(reader, its_writer, float("inf")))
        try:
            await asyncio.wait(
                {there, asyncio.create_task(forward(its_reader, writer, after))},
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            writer.close()
            its_writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("stall", "told"), [(False, ("broken", "cut_off")), (True, ("slow", "silence"))]
)
@pytest.mark.parametrize("transport", ["sftp", "dav"])
async def test_half_a_file_is_none(
    transports: dict[str, Serving], transport: str, stall: bool, told: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    its = transports[transport]
    its.put("half/a.csv", b"a\n" * 3_000_000)
    if stall:
        quick = Bounds(most_bytes=1 << 30, seconds=60, silent_seconds=0.5)
        monkeypatch.setattr(sftp_module, "SILENT_SECONDS", 0.5)
        monkeypatch.setattr(dav_module, "BOUNDS", quick)
    port = int(its.address.rpartition(":")[2])
    async with _cutting(port, 2_000_000, stall=stall) as way, means() as ours:
        settings = its.at("half")
        settings["base"] = settings["base"].replace(str(port), str(way))
        found = await _outcome(taken(_made(settings, ours), path="a.csv"))

    assert found == told
    assert await _settled(its) == 0


async def test_known_files_are_not_fetched_again(sftp: Serving) -> None:
    sftp.put("known/a.csv", b"a\n1\n", 1_000_000_000)
    async with means() as ours:
        made = _made(sftp.at("known"), ours)
        async with made.harvest(FileSelection(path="*.csv")) as got:
            assert got is not None
            proof = got.validators
        sftp.asked.clear()
        async with made.harvest(FileSelection(path="*.csv"), Known(proof or {})) as again:
            assert again is None

    assert sftp.asked == []
