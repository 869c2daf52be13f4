"""The classes `secure` and `push`: each rule has a provider that breaks it, and what was lent to the
judge is shown to nobody."""

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import typer

from app.certify import client as asking
from app.certify import receiver as receiving
from app.certify import reports
from app.certify.client import Exchange, Server
from app.certify.judge import Outcome, Report, judge
from app.certify.kept import packed
from app.certify.lent import Callback, Client, Lent
from app.certify.lint import Standard
from app.cli.lending import Files, read_lent
from app.models.parties import Role
from tests.certify.mutants import BASE, RECORDS
from tests.certify.mutants import provider as reference
from tests.certify.mutants_secure import MUTANTS
from tests.certify.notifying import PUBLIC, TUNNEL
from tests.certify.secure_provider import (
    GUARDED,
    HIDDEN,
    KEY,
    SecureProvider,
    lent,
    quiet,
    whole,
)
from tests.cli.test_demo import Home
from tests.conformance.vendor import sandbox
from tests.stock import PURPOSE, Spec, agreed, stocked
from tests.world import KENKO, SAKAI, World

STANDARD = Standard.read()
SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}), ("name", "text", {}), ("note", "text", {}),
)  # fmt: skip
ROWS = [{"no": str(number), "name": f"架空 {number}", "note": "備考"} for number in range(3)]
PREFIX = "judge-"
# Rules of `core` that tokens show as well.
ALSO = {"CACHE-03", "ERROR-06"}
# For these the judge waits in vain; for the others as long as a busy machine takes.
IN_VAIN = {
    "nothing is told", "nothing is sent again", "silence is an answer", "nothing is replayed",
    "revoked is good",
}  # fmt: skip
Reports = dict[str, Report]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def rules(*classes: str) -> set[str]:
    told = STANDARD.document.root["x-rules"]
    return {each["id"] for each in told if each["class"] in classes}


async def judged(
    provider: SecureProvider, *classes: str, only: set[str] | None = None, **more: Any
) -> Report:
    port = free_port()
    provider.tunnel = f"http://127.0.0.1:{port}"
    given = lent(port, **{"expired_token": provider.token(exp=1), **more})
    async with httpx.AsyncClient(transport=provider) as http, quiet(provider):
        server = Server(
            BASE, http, 1e6, settle_seconds=0, token=provider.token(), prefix=PREFIX, lent=given
        )
        return await judge(server, STANDARD, classes, dataset=PUBLIC, only=only)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def found() -> Reports:
    """The report on each mutant: all of a class at once, for they mostly wait. Those that tell of
    changes come first and by themselves: they are answered within a moment or ask again."""

    async def one(fault: str) -> Report:
        provider = SecureProvider(frozenset({fault}), out=out)
        patience = {"patience_s": 2.5 if fault in IN_VAIN else 30.0}
        if MUTANTS[fault].startswith("PUSH"):
            return await judged(provider, "push", only=rules("push"), **patience)
        only = rules("secure") | {MUTANTS[fault]}
        return await judged(provider, "secure", only=only, **patience)

    told: Reports = {}
    async with httpx.AsyncClient() as out:
        for is_push in (True, False):
            faults = [each for each in MUTANTS if MUTANTS[each].startswith("PUSH") is is_push]
            reports_ = await asyncio.gather(*map(one, faults))
            told |= dict(zip(faults, reports_, strict=True))
    return told


def test_every_rule_of_both_classes_has_a_mutant() -> None:
    assert set(MUTANTS.values()) - ALSO == rules("secure", "push")


@pytest.mark.parametrize("fault", MUTANTS)
async def test_a_provider_with_one_fault_is_told_its_rule_and_no_other(
    found: Reports, fault: str
) -> None:
    report = found[fault]

    assert [each.rule for each in report.broken] == [MUTANTS[fault]]
    wrong = report.broken[0].wrong[0]
    assert wrong.expected and wrong.seen and wrong.exchange.curl().startswith("curl -i ")


async def test_a_server_that_asks_for_nonces_is_judged_as_any_other() -> None:
    provider = SecureProvider(frozenset({"a nonce is asked for"}))

    report = await judged(provider, "secure", only=rules("secure"))

    assert [(each.rule, each.why, each.wrong) for each in report.verdicts
            if each.outcome is not Outcome.KEPT] == []  # fmt: skip


async def test_what_was_made_is_taken_away_whatever_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fails(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.certify.drill._Course._replay", fails)
    async with httpx.AsyncClient() as out:
        provider = SecureProvider(out=out)
        report = await judged(provider, "push", only=rules("push"))

    assert report.broken
    assert (provider.subscriptions, provider.written) == ({}, {})
    keys = [
        record["no"] for each in provider.heard if each.method == "POST" and b'"no"' in each.content
        for record in json.loads(each.content)
    ]  # fmt: skip
    assert keys and all(key.startswith(PREFIX) for key in keys)


async def test_without_what_it_needs_a_rule_is_not_shown_and_the_others_are_judged() -> None:
    provider = SecureProvider()
    async with httpx.AsyncClient(transport=provider) as http:
        server = Server(BASE, http, 1e6, lent=Lent(guarded=GUARDED))
        report = await judge(server, STANDARD, ["secure", "push"], only=rules("secure", "push"))

    assert report.broken == [] and report.unseen == ["push"] and not report.passed
    unseen = {each.rule: each for each in report.verdicts if each.outcome is Outcome.NOT_SHOWN}
    assert rules("secure", "push") - set(unseen) == {"AUTH-01", "AUTH-02", "AUTH-03"}
    assert "--client-id" in str(unseen["AUTH-05"].why)
    assert "--callback" in str(unseen["PUSH-01"].why_ja)
    assert not [each for each in provider.heard if each.url.path.startswith("/oauth")]


# --- servers that mean ill ------------------------------------------------------------------------


def _lies(host: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, json={"issuer": BASE, "token_endpoint": host})


def _echoes(request: httpx.Request) -> httpx.Response:
    form = request.content.decode()
    told = {"error": form, "error_description": form}
    return httpx.Response(400, json=told, headers={"x-echo": form[-1500:]})


def _html(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, html="<h1>Welcome</h1>")


class _Endless(httpx.AsyncByteStream):
    def __init__(self, piece: bytes, pause: float) -> None:
        self.piece, self.pause = piece, pause

    async def __aiter__(self) -> Any:
        while True:
            yield self.piece
            await asyncio.sleep(self.pause)


def _never_ends(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=_Endless(b" " * 1_000_000, 0))


def _drips(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=_Endless(b" ", 0.05))


ELSEWHERE = "https://elsewhere.example.jp/token"
TOKEN, METADATA = "/oauth/token", "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    ("path", "does", "said"),
    [
        (TOKEN, _drips, "no whole answer within"),
        (TOKEN, _never_ends, "the answer is over"),
        (TOKEN, _html, "HTTP 200 text/html"),
        (TOKEN, _echoes, "HTTP 400"),
        (TOKEN, lambda _: httpx.Response(307, headers={"location": ELSEWHERE}), "HTTP 307"),
        (METADATA, _lies(ELSEWHERE), "lead to https://elsewhere.example.jp/token"),
        (METADATA, _lies("http://[::1"), "lead to http://[::1"),
        (METADATA, _html, "do not name it"),
    ],
)
async def test_a_token_endpoint_that_means_ill_is_told_and_gets_no_secret_away(
    path: str,
    does: Callable[[httpx.Request], httpx.Response],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "LONGEST_S", 0.3)
    provider, asked = SecureProvider(), list[httpx.Request]()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.path == path:
            return does(request)
        return await provider.handle_async_request(request)

    secret = "p&ss/wörd secret"
    client = Client("judge", None, secret)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        server = Server(BASE, http, 1e6, lent=Lent(client=client, guarded=GUARDED))
        report = await judge(server, STANDARD, ["secure"], only=rules("secure"))

    assert report.passed and report.gave_up is None
    (unseen,) = [each for each in report.verdicts if each.rule == "AUTH-04"]
    assert said in str(unseen.why)
    assert {each.url.host for each in asked} == {httpx.URL(BASE).host}
    whole = packed(report).decode() + "".join(reports.written(report, f) for f in reports.FORMS)
    assert secret not in whole and "p%26ss" not in whole and "client_assertion" not in whole


async def test_a_report_shows_no_token_assertion_or_secret_though_the_server_says_them_all() -> (
    None
):
    provider, secrets = SecureProvider(frozenset({"errors show the token"})), set[str]()

    async def answer(request: httpx.Request) -> httpx.Response:
        said = await provider.handle_async_request(request)
        shown = request.headers.get("authorization", "")
        secrets.update(word for word in shown.split() if len(word) > 40)
        if request.url.path == TOKEN:
            secrets.add(said.json()["access_token"])
        if request.method == "POST" and request.url.path == "/v1/subscriptions":
            secrets.add(said.json().get("secret", "whsec_none"))
            return httpx.Response(500, json={"you": said.json(), "sent": shown})
        return said

    given = lent(free_port(), expired_token=provider.token(exp=1))
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        server = Server(BASE, http, 1e6, token=provider.token(), prefix=PREFIX, lent=given)
        only = rules("secure", "push") | {"ERROR-06"}
        report = await judge(server, STANDARD, ["secure", "push"], only=only)

    assert {"ERROR-06", "PUSH-01", "PUSH-06"} <= {each.rule for each in report.broken}
    whole = packed(report).decode() + "".join(reports.written(report, f) for f in reports.FORMS)
    # A forged token, and one of a secret that the judge never learnt, open nothing.
    real = {each for each in secrets if each in server.secrets or each == server.token}
    assert len(real) > 3
    assert not [each for each in real if each in whole or each[:60] in whole]


def test_a_secret_that_is_cut_in_two_is_not_shown_by_its_half() -> None:
    secret = "s" * 4_000
    server = Server(BASE, httpx.AsyncClient(), secrets={secret})

    def shown(body: bytes) -> str:
        return Exchange("GET", BASE, {}, body=body).trimmed(server.hidden).body.decode()

    assert shown(b"x" + secret.encode() + b"y") == "x…y"
    assert "ss" not in shown(b"x" * 100 + secret.encode() * 60)


async def test_a_client_secret_goes_to_the_named_authorization_server_alone() -> None:
    provider, asked = SecureProvider(), dict[str, str]()
    named = "https://login.example.jp/realm"

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host != "login.example.jp":
            return await provider.handle_async_request(request)
        asked[request.url.path] = request.headers.get("authorization", "")
        if request.url.path == "/token":
            told = {"access_token": provider.token(), "token_type": "Bearer"}
            return httpx.Response(200, json=told)
        return httpx.Response(200, json={"issuer": named, "token_endpoint": f"{named[:-6]}/token"})

    given = Lent(Client("a b", None, "s:e"), named, guarded=GUARDED)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        server = Server(BASE, http, 1e6, lent=given)
        report = await judge(server, STANDARD, ["secure"], only={"AUTH-04"})

    assert asked == {
        "/.well-known/oauth-authorization-server/realm": "", "/token": "Basic YStiOnMlM0Fl",
    }  # fmt: skip
    assert "cannot read" in str(report.verdicts[0].why)


async def test_a_flood_of_notices_is_bounded_and_what_is_no_notice_is_dropped() -> None:
    port = free_port()
    callback = Callback(TUNNEL, "127.0.0.1", port)
    async with receiving.receiving(callback, 0.2) as receiver, httpx.AsyncClient() as http:
        where = receiver.hook(204).url.replace(TUNNEL, f"http://127.0.0.1:{port}/base")
        unknown = await http.post(f"http://127.0.0.1:{port}/other", content=b"{}")
        large = await asyncio.gather(
            http.post(where, content=b"x" * 100_000), return_exceptions=True
        )
        junk = await _raw(port, b"\x16\x03\x01 no HTTP\r\n\r\n")
        for _ in range(8):
            flood = (http.post(where, content=b"{}") for _ in range(45))
            await asyncio.gather(*flood, return_exceptions=True)

    (hook,) = receiver.hooks.values()
    assert unknown.status_code == 404
    assert isinstance(large[0], httpx.TransportError) and junk == b""
    assert len(hook.notices) <= receiving._MOST
    assert len(hook.notices) + receiver.dropped == 8 * 45 + 2


async def _raw(port: int, said: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    told = await reader.read()
    writer.close()
    return told


# --- the platform itself --------------------------------------------------------------------------


async def test_the_platform_keeps_every_rule_of_secure(world: World) -> None:
    public = await stocked(world, ROWS, SPECS, data_class="public")
    guarded = await stocked(world, ROWS, SPECS, data_class="restricted")
    hidden = await world.dataset(publisher=KENKO, hidden=True)
    vendor = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, guarded, vendor, columns=["no", "name"])
    given = Lent(
        Client(vendor.id, vendor.key), world.platform.issuer, guarded, hidden=hidden,
        purpose=PURPOSE, other_purpose="statistics",
    )  # fmt: skip
    transport = httpx.ASGITransport(app=world.client._transport.app)  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=transport) as http:
        server = Server(str(world.client.base_url), http, 1e6, lent=given)
        only = rules("secure") | ALSO
        report = await judge(server, STANDARD, ["secure"], dataset=public, only=only)

    told = [(each.rule, each.outcome, each.why, each.wrong) for each in report.verdicts]
    assert [each for each in told if each[1] is not Outcome.KEPT] == []


# --- at the shell ---------------------------------------------------------------------------------


async def test_at_the_shell_one_run_of_every_class_keeps_all_and_takes_away_all_that_it_made(
    tmp_path: Path,
) -> None:
    port, home = free_port(), Home(tmp_path, 1)
    async with httpx.AsyncClient() as out:
        provider = whole(tunnel=f"http://127.0.0.1:{port}", out=out)
        (tmp_path / "key.json").write_text(json.dumps(KEY.as_dict(private=True)))
        (tmp_path / "expired").write_text(provider.token(exp=1))
        async with sandbox(secured=provider) as served, quiet(provider):
            words = [
                "certify", served.base, "--class", "core,query,changes,write,push,secure",
                "--format", "json", "--per-second", "1000", "--client-id", "judge",
                "--client-key", str(tmp_path / "key.json"), "--guarded", GUARDED, "--hidden", HIDDEN,
                "--hidden-field", "remark", "--other-purpose", "statistics",
                "--expired-token-file", str(tmp_path / "expired"), "--sandbox-prefix", PREFIX,
                "--dataset", PUBLIC,
                "--callback", TUNNEL, "--listen", f"127.0.0.1:{port}", "--patience", "20",
            ]  # fmt: skip
            done = await asyncio.to_thread(home.run, *words)

    report = json.loads(done.stdout)
    told = {each["rule"]: each["outcome"] for each in report["rules"]}
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stdout + done.stderr
    assert {told[each] for each in (*rules("changes", "write", "push", "secure"), "PAGE-03")} == {
        "kept"
    }
    assert report["records"]["written"] == report["records"]["removed"] > 40
    assert (report["records"]["left"], report["subscriptions"]["left"]) == ([], [])
    assert report["requests"] < 600
    made = provider.inner.app  # type: ignore[attr-defined]
    assert [*made.records] == [each["no"] for each in reference.RECORDS]
    assert provider.subscriptions == {}
    for each in provider.heard:
        if each.method != "GET" and each.url.path.startswith("/v1/datasets"):
            _assert_in_its_place(each)


def _assert_in_its_place(request: httpx.Request) -> None:
    if request.method == "DELETE":
        assert request.url.path.startswith(f"{RECORDS}/{PREFIX}")
        return
    text = b",".join(line for line in request.content.splitlines() if line)
    records = json.loads(text if text.startswith(b"[") else b"[" + text + b"]")
    assert (request.method, request.url.path) == ("POST", RECORDS)
    assert all(record["no"].startswith(PREFIX) for record in records)


@pytest.mark.parametrize(
    "told",
    [
        {"callback": "http://hooks.example.jp"}, {"listen": "nowhere", "callback": TUNNEL},
        {"listen": "127.0.0.1:99999", "callback": TUNNEL}, {"client_id": "judge"},
        {"client_secret": Path("secret")},
    ],
)  # fmt: skip
def test_what_is_lent_wrong_is_refused_before_anything_is_asked(told: dict[str, Any]) -> None:
    files = Files(None, None, None, None, None, "127.0.0.1:8711")

    with pytest.raises(typer.BadParameter):
        read_lent(replace(files, **told))
