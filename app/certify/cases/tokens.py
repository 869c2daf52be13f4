"""Cases of the class `secure`: who may read what, with which token, and for what purpose.

Forged tokens are made of nothing but what the judge was given. No case writes but where a sandbox was lent.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from joserfc.jwk import ECKey

from app.certify.cases.asking import Findings, code_of, expect, records_of, wrong
from app.certify.cases.writing import ledger_of, remove
from app.certify.client import Exchange, Server
from app.certify.forged import forged
from app.certify.granted import (
    Token,
    call,
    new_token,
    proof,
    revoke,
    token_for,
)
from app.certify.guarded import Guarded, guarded_of, read_guarded, readable, reading
from app.certify.judge import CASES, NotShown, not_unless
from app.certify.sandbox import key_fields, key_of
from app.certify.stage import Stage
from app.certify.subscribing import path_of, subscribe, unsubscribe

_BOUND_ONLY: Final = ("restricted", "personal")
_REVOKED_WITHIN_S: Final = 5.0
_NOT_THERE: Final = (404, 405, 501)  # of a server that has no such class
_OF_ITSELF: Final = ("id", "instance", "request_id")


# --- who asks -------------------------------------------------------------------------------------


@CASES.of("AUTH-01")
async def without_a_token_nothing_above_public(server: Server, stage: Stage) -> Findings:
    guarded = await guarded_of(server)
    refused = await read_guarded(server, None, guarded)
    for each in expect(refused, 401, "token_required"):
        yield each
    for tail in ("records/1", "aggregate", "changes"):
        where = f"{guarded.base}/{tail}"
        answer = await call(server, None, "GET", where, {"purpose": server.lent.purpose})
        if answer.status < 400:
            yield wrong(answer, "401 with code token_required", answer.status)
    challenge = refused.headers.get("www-authenticate", "")
    if refused.status == 401 and "bearer" not in challenge.lower():
        yield wrong(refused, "WWW-Authenticate that names Bearer", challenge or "none")


@CASES.of("AUTH-01")
async def nobody_writes_or_subscribes_without_a_token(server: Server, stage: Stage) -> Findings:
    await guarded_of(server)
    async for what, answer in _attempts(server, None, stage):
        if answer.status != 401:
            yield wrong(answer, f"401 with code token_required for {what}", code_of(answer))


async def _attempts(
    server: Server, token: Token | None, stage: Stage
) -> AsyncIterator[tuple[str, Exchange]]:
    """A write and a subscription, where the server has either and the judge may try; what should be
    made of them is taken away at once."""
    wrote = await _attempt(server, token, stage)
    made = await subscribe(server, token, stage.id, "https://receiver.example.jp/hooks")
    if (path := path_of(made)) is not None:
        await unsubscribe(server, token, path)
    for what, answer in (("a write", wrote), ("a subscription", made)):
        if answer is not None and answer.status not in _NOT_THERE:
            yield what, answer


async def _attempt(server: Server, token: Token | None, stage: Stage) -> Exchange | None:
    """A write of a record that no server should take; None where no sandbox was lent."""
    keys = key_fields(stage)
    if server.ledger is None or not keys:
        return None
    record = {name: f"{server.prefix}{secrets.token_hex(4)}" for name in keys}
    key = key_of(stage, record)
    ledger_of(server, stage).sends(key)
    given = [{**record, "no-such-field-here": "x"}]
    wrote = await call(server, token, "POST", stage.path, given=given)
    if wrote.member("accepted"):
        ledger_of(server, stage).took(key)
        await remove(server, stage, record)  # what reads reckons with the records as they were
    return wrote


@CASES.of("AUTH-02")
async def public_data_need_no_token(server: Server, stage: Stage) -> Findings:
    for path in ("/v1/datasets", f"/v1/datasets/{stage.id}", stage.path):
        answer = await call(server, None, "GET", path)
        if answer.status != 200:
            yield wrong(answer, "200 without a token", code_of(answer))


@CASES.of("AUTH-03")
async def a_forged_token_is_refused_even_for_public_data(server: Server, stage: Stage) -> Findings:
    guarded = await _guarded_or_none(server)
    paths = ["/v1/datasets", stage.path, *([guarded.path] if guarded else [])]
    for what, token in forged(server, stage, await _good_or_none(server)):
        for path in paths:
            query = {"purpose": server.lent.purpose} if guarded and path == guarded.path else None
            answer = await call(server, token, "GET", path, query)
            if code_of(answer) != "401 invalid_token":
                yield wrong(answer, f"401 with code invalid_token for {what}", code_of(answer))
                break


async def _guarded_or_none(server: Server) -> Guarded | None:
    try:
        return await guarded_of(server)
    except NotShown:
        return None


async def _good_or_none(server: Server) -> Token | None:
    try:
        return (await reading(server))[1]
    except NotShown:
        return None


@CASES.of("AUTH-03")
async def a_revoked_token_is_refused(server: Server, stage: Stage) -> Findings:
    guarded = await guarded_of(server)
    await readable(server)
    token = await new_token(server, guarded.scope)
    before = await read_guarded(server, token, guarded, limit=1)
    told = code_of(before)
    not_unless(before.status == 200, f"a new token reads nothing: {told}", f"読めません（{told}）")
    await revoke(server, token)
    within = min(_REVOKED_WITHIN_S, server.lent.patience_s)
    until = time.monotonic() + within
    while True:
        after = await read_guarded(server, token, guarded, limit=1)
        if after.status != 200 or time.monotonic() > until:
            break
        await asyncio.sleep(0.2)
    for each in expect(after, 401, "invalid_token"):
        yield replace(each, expected=f"{each.expected}, {within:.0f} s after its end")


# --- how a token is sent --------------------------------------------------------------------------


@CASES.of("AUTH-04")
async def a_token_comes_in_one_header_alone(server: Server, stage: Stage) -> Findings:
    guarded, token, _ = await readable(server)
    bare = await read_guarded(server, None, guarded)
    not_unless(bare.status >= 400, "it is read without a token", "トークンなしで読めます")
    url = server.url_of(guarded.path)
    shown = token.shown("GET", url)
    rest = {"authorization": "", **{n: v for n, v in shown.items() if n != "authorization"}}
    query = {"purpose": server.lent.purpose, "access_token": token.text}
    asked = await call(server, None, "GET", guarded.path, query, **rest)
    if asked.status not in (400, 401):
        yield wrong(asked, "400 or 401 for a token in the URL", code_of(asked))
    form = f"access_token={token.text}".encode()
    sent = {**rest, "content-type": "application/x-www-form-urlencoded"}
    where = f"{url}?{urlencode({'purpose': server.lent.purpose})}"
    told = await server.send("GET", where, sent, form)
    if told.status < 400:
        yield wrong(told, "401 for a token in a body", code_of(told))


@CASES.of("AUTH-04")
async def a_bond_is_proven_with_each_request(server: Server, stage: Stage) -> Findings:
    guarded, token, _ = await readable(server)
    if token.bond is None:
        other = ECKey.generate_key("P-256")
        answer = await read_guarded(server, replace(token, bond=other), guarded)
        if answer.status != 401:
            yield wrong(answer, "401 for a token without a bond, sent as DPoP", code_of(answer))
        return
    url = server.url_of(guarded.path)
    as_dpop = f"DPoP {token.text}"
    ways = {
        "sent as Bearer": {"authorization": f"Bearer {token.text}"},
        "without a proof": {"authorization": as_dpop},
        "with another key's proof": _with(as_dpop, ECKey.generate_key("P-256"), "GET", url, token),
        "with a proof of another method": _with(as_dpop, token.bond, "POST", url, token),
        "with a proof of another address": _with(as_dpop, token.bond, "GET", f"{url}/x", token),
        "with a proof of another token": {
            "authorization": as_dpop, "dpop": proof(token.bond, "GET", url, "another"),
        },
    }  # fmt: skip
    query = {"purpose": server.lent.purpose}
    for what, headers in ways.items():
        answer = await call(server, None, "GET", guarded.path, query, **headers)
        if answer.status != 401:
            yield wrong(answer, f"401 for a bound token {what}", code_of(answer))


def _with(scheme: str, key: ECKey, method: str, url: str, token: Token) -> dict[str, str]:
    return {"authorization": scheme, "dpop": proof(key, method, url, token.text)}


@CASES.of("AUTH-05")
async def a_scope_that_is_missing_is_named(server: Server, stage: Stage) -> Findings:
    guarded, _, _ = await readable(server)
    token = await _without_scope(server, stage, guarded)
    answer = await read_guarded(server, token, guarded)
    for each in expect(answer, 403, "insufficient_scope"):
        yield each
    said = answer.body.decode("utf-8", "replace") + answer.headers.get("www-authenticate", "")
    if answer.status == 403 and guarded.scope not in said:
        yield wrong(answer, f"the scope {guarded.scope} in the words", answer.member("detail"))


@CASES.of("AUTH-05")
async def a_write_and_a_subscription_need_their_scopes(server: Server, stage: Stage) -> Findings:
    await readable(server)
    scope = f"dataset:{stage.id}:read"
    token = await token_for(server, scope)
    not_unless(
        token.scope == (scope,), "every token may write or subscribe",
        "どのトークンにも登録か購読のスコープがあります",
    )  # fmt: skip
    async for what, answer in _attempts(server, token, stage):
        for each in expect(answer, 403, "insufficient_scope"):
            yield replace(each, expected=f"{each.expected} for {what}")


async def _without_scope(server: Server, stage: Stage, guarded: Guarded) -> Token:
    """A token for anything else. Raises `NotShown`."""
    for scope in (
        f"dataset:{stage.id}:read",
        *(f"dataset:{guarded.id}:{action}" for action in ("write", "subscribe")),
    ):
        try:
            token = await token_for(server, scope)
        except NotShown:
            continue
        if guarded.scope not in token.scope:
            return token
    raise NotShown(
        f"the lent client gets no token without {guarded.scope}",
        f"{guarded.scope} を含まないトークンが得られません",
    )


# --- what for, and what of it ---------------------------------------------------------------------


@CASES.of("AUTH-06")
async def a_purpose_is_needed(server: Server, stage: Stage) -> Findings:
    guarded, token, _ = await readable(server)
    told: list[tuple[str | None, str]] = [
        (None, "purpose_required"), ("no-such-purpose-of-use", "purpose_unknown"),
    ]  # fmt: skip
    if server.lent.other_purpose is not None:
        told.append((server.lent.other_purpose, "purpose_not_agreed"))
    for purpose, code in told:
        for each in expect(await read_guarded(server, token, guarded, purpose=purpose), 403, code):
            yield each


@CASES.of("AUTH-07")
async def a_field_that_may_not_be_seen_may_not_be_named(server: Server, stage: Stage) -> Findings:
    guarded, token, page = await readable(server)
    given = {name for record in records_of(page) if isinstance(record, dict) for name in record}
    named = server.lent.hidden_field
    if named is not None and named in given:
        yield wrong(page, f"records without {named}", sorted(given))
        return
    hidden = named or next((each for each in guarded.fields if given and each not in given), None)
    not_unless(
        hidden, "no field is known that the lent client may not see; name one with --hidden-field",
        "閲覧を許可されていない項目が分かりません。--hidden-field で指定してください",
    )  # fmt: skip
    offers = (await server.get("/v1/health")).member("conformance")
    allowed = {"403 column_not_visible"}
    if "query" not in (offers if isinstance(offers, list) else ()):
        allowed.add("400 unknown_parameter")  # QUERY-01: it has none of them
    for query in (
        {"fields": hidden}, {"sort": hidden}, {str(hidden): "x"}, {"filter": f"{hidden} IS NULL"},
    ):  # fmt: skip
        answer = await read_guarded(server, token, guarded, **query)
        if code_of(answer) not in allowed:
            yield wrong(answer, "403 with code column_not_visible", code_of(answer))


@CASES.of("AUTH-08")
async def what_may_not_be_known_is_not_there(server: Server, stage: Stage) -> Findings:
    hidden = server.lent.hidden
    not_unless(
        hidden, "no dataset is known that may not be known; name one with --hidden",
        "存在を知らせてはならないデータセットが分かりません。--hidden で指定してください",
    )  # fmt: skip
    nothing = f"n{secrets.token_hex(len(str(hidden)))}"[: max(2, len(str(hidden)))]
    token = await _good_or_none(server)
    for shown in (None, token) if token else (None,):
        for tail in ("", "/schema", "/records"):
            there = await call(server, shown, "GET", f"/v1/datasets/{hidden}{tail}")
            absent = await call(server, shown, "GET", f"/v1/datasets/{nothing}{tail}")
            if _told(there, str(hidden)) != _told(absent, nothing):
                yield wrong(there, f"what is said of {nothing}: {code_of(absent)}", code_of(there))
        listed = await call(server, shown, "GET", "/v1/datasets", {"limit": 1000})
        if f'"{hidden}"'.encode() in listed.body:
            yield wrong(listed, f"a list without {hidden}", "it is listed")


def _told(answer: Exchange, name: str) -> tuple[Any, ...]:
    """What an answer says, whatever it is asked about."""
    body = answer.json
    if isinstance(body, dict):
        body = {each: value for each, value in body.items() if each not in _OF_ITSELF}
    return answer.status, answer.media_type, orjson.dumps(body).replace(name.encode(), b"")


@CASES.of("AUTH-09")
async def above_internal_a_token_is_bound(server: Server, stage: Stage) -> Findings:
    guarded, token, _ = await readable(server)
    not_unless(
        guarded.data_class in _BOUND_ONLY, f"{guarded.id} is not above internal",
        f"{guarded.id} は庁内を超える区分ではありません",
    )  # fmt: skip
    if token.bond is None:
        yield wrong(
            await read_guarded(server, token, guarded),
            "403 with code token_not_bound",
            "200: it was read",
        )
        return
    answer = await read_guarded(server, await _unbound(server, stage, guarded), guarded)
    not_unless(
        code_of(answer) != "403 insufficient_scope", f"no token without a bond leads to {guarded.id}",
        f"結び付きのないトークンでは {guarded.id} に届きません",
    )  # fmt: skip
    for each in expect(answer, 403, "token_not_bound"):
        yield each
    if answer.status == 403 and not any(
        each in str(answer.member("detail")) for each in ("DPoP", "RFC 9449", "RFC 8705", "mTLS")
    ):
        yield wrong(answer, "how a bound token is got, in the words", answer.member("detail"))


async def _unbound(server: Server, stage: Stage, guarded: Guarded) -> Token:
    """A token without a bond, for other data where none is given for these. Raises `NotShown`."""
    try:
        return await token_for(server, guarded.scope, bound=False)
    except NotShown:
        return await token_for(server, f"dataset:{stage.id}:read", bound=False)


# --- rules of other classes, of which public data show less ---------------------------------------


@CASES.of("CACHE-03")
async def what_is_above_public_is_kept_by_nobody_else(server: Server, stage: Stage) -> Findings:
    _, _, page = await readable(server)
    told = page.headers.get("cache-control", "")
    if "private" not in told and "no-store" not in told:
        yield wrong(page, "Cache-Control with private or no-store", told or "none")


@CASES.of("ERROR-06")
async def no_answer_shows_a_token(server: Server, stage: Stage) -> Findings:
    guarded, token, _ = await readable(server)
    for path in (stage.path, guarded.path, "/v1/datasets/no-such-dataset-here/records"):
        for query in ({"limit": "0"}, {"access_token": token.text}):
            answer = await call(server, token, "GET", path, query)
            if token.text.encode() in answer.body:
                yield wrong(answer, "words without the token", "the token stands in the answer")
