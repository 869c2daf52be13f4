"""Cases of the class `push`: what a subscriber hears of a change, how it is signed, and what happens
when it does not answer. What they look at is one exercise (`app.certify.drill`).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator
from typing import Final

from app.certify.cases.asking import Findings, code_of, expect, wrong
from app.certify.client import Exchange, Server
from app.certify.drill import (
    FAILING,
    GONE,
    SLOW,
    STEADY,
    Drill,
    check_may,
    drilled,
    since_of,
    told,
)
from app.certify.granted import entitled
from app.certify.judge import CASES, NotShown, Wrong, not_unless
from app.certify.receiver import Notice
from app.certify.stage import Stage
from app.certify.subscribing import path_of, subscribe, unsubscribe

_CLOCKS_DIFFER_S: Final = 300
_GROWS: Final = 1.2  # the next interval is longer by so much at least: waiting is never exact
_INSIDE: Final = (
    "https://127.0.0.1/x", "https://[::1]/x", "https://10.0.0.1/x", "https://192.168.0.1/x",
    "https://169.254.169.254/latest/meta-data", "https://localhost/x",
)  # fmt: skip


def _notice(drill: Drill, notice: Notice, name: str = STEADY) -> Exchange:
    """A notice as a report shows it: what was sent to the judge."""
    kept = {each: value for each, value in notice.headers.items() if each != "host"}
    return Exchange("POST", drill.hooks[name].url, kept, given=notice.body)


async def _heard(server: Server, stage: Stage) -> Drill:
    """The exercise, where notices came. Raises `NotShown`: whether they must is PUSH-01's to say."""
    drill = await drilled(server, stage)
    not_unless(
        STEADY in drill.hooks and drill.hooks[STEADY].notices, "no notice came", "通知が届きません"
    )
    return drill


def _dropped(drill: Drill) -> str:
    """What came beside the notices: a receiver that is flooded may miss one."""
    return f" ({drill.dropped} connections were dropped)" if drill.dropped else ""


@CASES.of("PUSH-01")
async def a_notice_is_signed_with_a_secret_shown_once(server: Server, stage: Stage) -> Findings:
    drill = await drilled(server, stage)
    *_, last = drill.made.values()
    if last.status != 201 or not _key_of(last):
        seen = code_of(last) if last.status != 201 else "no such secret"
        yield wrong(last, "201 with a secret that begins with whsec_", seen)
        return
    secret = str(drill.made[STEADY].member("secret")).encode()
    for each in drill.shown:
        if secret in each.body or each.member("secret") is not None:
            yield wrong(each, "a subscription without its secret", "the secret stands in it")
    heard = drill.hooks[STEADY].notices
    if not heard:
        not_unless(
            drill.changed, "nothing changed meanwhile; lend something to write to"
            " (--dataset with --sandbox-prefix, and a token or a client that may)",
            "変更がありません。--dataset と --sandbox-prefix、書き込めるトークンかクライアントを指定して"
            "ください",
        )  # fmt: skip
        expected = f"a notice within {server.lent.patience_s:.0f} s of a change"
        yield wrong(last, expected, f"none{_dropped(drill)}")
    for notice in heard:
        for fault in _signature(notice, _key_of(drill.made[STEADY])):
            yield wrong(_notice(drill, notice), *fault)
            return


def _key_of(made: Exchange) -> bytes:
    """The key that a secret stands for; none where it is no secret."""
    secret = made.member("secret")
    if not isinstance(secret, str) or not secret.startswith("whsec_"):
        return b""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return b""


def _signature(notice: Notice, key: bytes) -> Iterator[tuple[str, str]]:
    """What is wrong with how a notice is signed (Standard Webhooks)."""
    name, sent = notice.headers.get("webhook-id", ""), notice.headers.get("webhook-timestamp", "")
    if not name or "." in name:
        yield "a webhook-id without a full stop", name or "none"
    is_near = sent.isascii() and sent.isdigit() and len(sent) < 12
    if not is_near or abs(int(sent) - notice.sent_at) > _CLOCKS_DIFFER_S:
        yield f"webhook-timestamp in seconds, near {int(notice.sent_at)}", sent or "none"
    signed = f"{name}.{sent}.".encode() + notice.body
    right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = notice.headers.get("webhook-signature", "")
    if f"v1,{right}" not in given.split(" "):
        yield f"webhook-signature with v1,{right}", given or "none"


@CASES.of("PUSH-02")
async def a_notice_that_was_not_taken_is_sent_again(server: Server, stage: Stage) -> Findings:
    drill = await _heard(server, stage)
    patience = f"{server.lent.patience_s:.0f} s"
    for name, why in ((FAILING, "answered 500"), (SLOW, "did not answer")):
        notices = drill.first[name]
        if len(notices) < 2:
            seen = f"{len(notices)} notices within {patience}{_dropped(drill)}"
            yield wrong(drill.made[name], f"the notice again to a receiver that {why}", seen)
    first = drill.first[FAILING][:3]
    if len(first) == 3:
        one, two = first[1].at - first[0].at, first[2].at - first[1].at
        if two < _GROWS * one:
            yield wrong(_notice(drill, first[2], FAILING), "intervals that grow",
                        f"{one:.2f} s, then {two:.2f} s")  # fmt: skip


@CASES.of("PUSH-02")
async def an_end_is_an_end(server: Server, stage: Stage) -> Findings:
    drill = await _heard(server, stage)
    heard = len(drill.hooks[GONE].notices)
    if heard and drill.gone is not None and drill.gone.member("state") != "stopped":
        yield wrong(drill.gone, "the state stopped after 410", drill.gone.member("state"))
    if heard > 1:
        notice = drill.hooks[GONE].notices[1]
        yield wrong(_notice(drill, notice, GONE), "no notice after 410", f"{heard} notices")
    if drill.ended is not None and drill.ended.status != 204:
        yield wrong(drill.ended, "204 for the end of a subscription", code_of(drill.ended))
    for notice in drill.late()[:1]:
        yield wrong(_notice(drill, notice), "no notice after the subscription was ended", notice.id)


@CASES.of("PUSH-03")
async def a_notice_keeps_its_id(server: Server, stage: Stage) -> Findings:
    drill = await _heard(server, stage)
    ids = [each.id for each in drill.first[FAILING]]
    not_unless(len(ids) > 1, "nothing was sent again", "再送がありません")
    if ids[0] not in ids[1:]:
        again = drill.first[FAILING][1]
        yield wrong(_notice(drill, again, FAILING), f"webhook-id {ids[0]} again", again.id)
    steady = drill.hooks[STEADY].notices
    texts = {each.id: since_of(each) for each in steady}
    for notice in steady:
        if since_of(notice) != texts[notice.id]:
            yield wrong(_notice(drill, notice), "another webhook-id for another notice", notice.id)
            return


@CASES.of("PUSH-04")
async def a_notice_tells_a_position_and_no_record(server: Server, stage: Stage) -> Findings:
    drill = await _heard(server, stage)
    wanted = {"subscription": drill.id_of(STEADY), "dataset": stage.id}
    for notice in drill.hooks[STEADY].notices:
        said = told(notice)
        data = said.get("data") if isinstance(said, dict) else None
        rest = {**data, "since": None} if isinstance(data, dict) and since_of(notice) else data
        if not isinstance(said, dict) or said.get("type") != "dataset.changed":
            yield wrong(_notice(drill, notice), "the type dataset.changed", notice.body[:200])
        elif rest != {**wanted, "since": None}:
            yield wrong(_notice(drill, notice), "data with subscription, dataset and since", data)
        elif any(each.encode() in notice.body for each in drill.marks):
            yield wrong(_notice(drill, notice), "no value of a record", "what was written")
        else:
            continue
        return


@CASES.of("PUSH-05")
async def notices_come_again_from_a_position(server: Server, stage: Stage) -> Findings:
    drill = await _heard(server, stage)
    replay, hook = drill.replay, drill.hooks[STEADY]
    if replay is None:
        raise NotShown("no notice tells a position", "通知に位置がありません")
    if replay.status != 202:
        yield wrong(replay, "202", code_of(replay))
        return
    again = hook.ids()[drill.before_replay :]
    if hook.ids()[0] not in again:
        yield wrong(replay, f"the notice {hook.ids()[0]} again", f"{again[:5]}")


@CASES.of("PUSH-06")
async def a_receiver_is_outside_and_https(server: Server, stage: Stage) -> Findings:
    token = await entitled(server, f"dataset:{stage.id}:subscribe")
    host = "receiver.example.jp"
    for url in (*_INSIDE, f"http://{host}/hooks"):
        made = await subscribe(server, token, stage.id, url)
        check_may(made)
        if (path := path_of(made)) is not None:  # nobody is to be told there
            await unsubscribe(server, token, path)
        if url.startswith("https:"):
            faults: list[Wrong] = [*expect(made, 422, "url_not_allowed")]
        else:
            faults = [wrong(made, "422 for http", code_of(made))] if made.status != 422 else []
        for each in faults:
            yield each


@CASES.of("PUSH-06")
async def a_redirect_is_not_followed(server: Server, stage: Stage) -> Findings:
    drill = await _heard(server, stage)
    if drill.elsewhere is not None and drill.elsewhere.notices:
        notice = drill.elsewhere.notices[0]
        yield wrong(_notice(drill, notice), "no notice where a redirect leads", "it came")
