"""Citizens sign in at providers of their own: how surely, to which apps, and as nobody by name."""

import asyncio
import re
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt

from app.api.handlers import routes_of
from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from app.oauth.tokens import claims_of
from app.parties import clients
from app.parties.seed import OPERATOR
from app.policy.assurance import Level
from app.signin import citizen_providers
from app.signin.citizens import LONGEST, forget_citizens
from app.signin.sessions import hash_of
from tests.citizens.browsing import HANAKO, TARO, CitizensBrowser
from tests.conftest import ISSUER
from tests.oauth.exchanging import exchange, service
from tests.oauth.senders import Sender, sender
from tests.oauth.signing_in import CALLBACK, Attempt, an_app, signed_in, told
from tests.oauth.test_token_status import about
from tests.world import KENKO, Party, World

_OWN: Final = ("/v1/me/consents", "/v1/me/accesses")
_HOLES: Final = {"{number}": "1", "{key:path}": "x", "{item:path}": "x"}
_EVERYTHING: Final = "openid me me:consents me:accesses"
_LOW, _SUBSTANTIAL, _HIGH = (level.acr for level in Level)


async def test_one_citizen_at_the_apps_of_two_cities_is_called_by_names_that_nobody_can_join(
    browser: CitizensBrowser, world: World, city: Party
) -> None:
    osaka = await an_app(world, organization=KENKO, staff_of=(), citizens=True)
    await browser.sign_in(HANAKO)

    both = [await browser.tokens(each, scope=_EVERYTHING) for each in (city, osaka)]
    again = await browser.tokens(city, scope=_EVERYTHING)

    kinds = [(claims_of(each["access_token"]), claims_of(each["id_token"])) for _, each in both]
    (access, identity), (other_access, other_identity) = kinds
    assert access["sub"] == identity["sub"] == claims_of(again[1]["id_token"])["sub"]
    assert access["sub"] != other_access["sub"] and identity["sub"] != other_identity["sub"]
    assert (identity["acr"], access["acr"]) == (_HIGH, _HIGH)
    of_all = {"iss", "aud", "acr", "iat", "exp", "nonce", "scope", "zone", "ep"}
    for ours, theirs in ((access, other_access), (identity, other_identity)):
        assert {name for name in ours if ours[name] == theirs.get(name)} <= of_all
    assert not {"auth_time", "amr", "sid", "name", "email"} & (access.keys() | identity.keys())
    assert 60 <= access["exp"] - access["iat"] <= 300 and access["cnf"]["jkt"]


async def test_an_app_is_told_a_name_and_how_surely_and_nothing_else(
    browser: CitizensBrowser, city: Party, client: httpx.AsyncClient
) -> None:
    await browser.sign_in(HANAKO, "substantial")
    sent = await browser.sender(city, "openid me")

    about = await client.get("/oauth/userinfo", headers=sent.headers("/oauth/userinfo"))

    sub = claims_of(sent.token)["sub"]
    assert (about.status_code, about.json()) == (200, {"sub": sub, "acr": _SUBSTANTIAL})


async def test_no_session_no_code_and_no_entry_of_the_log_says_who_signed_in(
    browser: CitizensBrowser, world: World, city: Party, platform: Platform
) -> None:
    issuer = (await _provider(platform, browser.provider)).issuer
    await browser.sign_in(HANAKO)
    sent = await browser.sender(city)
    person = await platform.linker.signed_in(issuer, HANAKO)
    names = [name for its in (await platform.linker.names(person)).values() for name in its]

    entries = repr(await world.log())
    pool = platform.database.pool
    sessions = repr([dict(row) for row in await pool.fetch("SELECT * FROM citizen_session")])
    under_way = repr([dict(row) for row in await pool.fetch("SELECT * FROM citizen_sign_in")])
    codes = repr([dict(row) for row in await pool.fetch("SELECT * FROM authorization_code")])

    sub = claims_of(sent.token)["sub"]
    assert sub in names
    known = (HANAKO, *names, person.value.hex(), repr(person.value)[2:-1])
    assert all(each not in kept for each in known for kept in (entries, sessions, under_way))
    # A code names her as the app's own organisation does, and nothing of hers beside it.
    assert sub in codes and all(each not in codes for each in known if each not in names)
    assert Event.CITIZEN_SIGNED_IN in {entry["event"] for entry in await world.log()}
    with pytest.raises(AssertionError):  # the same search finds what is there
        assert all(each not in f"{entries}{sub}" for each in known)


async def test_who_signed_in_less_surely_than_an_app_asks_is_sent_to_sign_in_more_surely(
    browser: CitizensBrowser, world: World, city: Party
) -> None:
    await browser.sign_in(HANAKO, "low")
    attempt = Attempt(world, city)
    name = await attempt.request_uri(scope=_EVERYTHING, acr_values=f"{_HIGH} {_SUBSTANTIAL}")

    sent_on = await browser.visit(city.id, name)
    ways = await browser.here.get(sent_on.headers["location"])
    page = await browser.sign_in(
        HANAKO, "substantial", sent_on.headers["location"].partition("return_to=")[2]
    )
    asked = await browser.visit(city.id, name)

    assert sent_on.status_code == 303 and "level=substantial" in sent_on.headers["location"]
    assert browser.provider in ways.text and page.status_code == 303
    assert "試験アプリ" in asked.text and asked.status_code == 200
    redeemed = await attempt.redeem(told(await browser.press(asked.text))["code"])
    assert claims_of(redeemed.json()["id_token"])["acr"] == _SUBSTANTIAL


async def test_a_provider_that_can_do_no_better_ends_in_a_refusal_and_not_in_a_circle(
    browser: CitizensBrowser, world: World, city: Party
) -> None:
    name = await Attempt(world, city).request_uri(scope="me", acr_values=_HIGH)
    first = await browser.visit(city.id, name)
    await browser.sign_in(HANAKO, "low")

    second = await browser.visit(city.id, name)

    assert first.status_code == 303 and "/me/sign-in" in first.headers["location"]
    assert told(second)["error"] == "unmet_authentication_requirements"
    (entry,) = await world.log(Event.CODE_REFUSED)
    assert (entry["why"], entry.get("person")) == ("level", None)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"scope": "openid me admin:read"}, "invalid_scope"),
        ({"scope": "me:consents profile"}, "invalid_scope"),
        ({"scope": "me dataset:d-1:read"}, "invalid_scope"),
        ({"scope": "me", "acr_values": "urn:urbanos:acr:2"}, "invalid_request"),
        ({"scope": "openid", "acr_values": _HIGH}, "invalid_request"),
    ],
)
async def test_no_sign_in_asks_for_the_rights_of_a_citizen_and_of_staff_at_once(
    world: World, city: Party, asked: dict[str, Any], error: str
) -> None:
    response = await Attempt(world, city).push(**asked)

    assert (response.status_code, response.json()["error"]) == (400, error)


async def test_citizens_sign_in_to_no_app_that_was_not_opened_to_them_or_is_no_more(
    browser: CitizensBrowser, world: World, city: Party, client: httpx.AsyncClient
) -> None:
    closed = await Attempt(world, await an_app(world)).push(scope="me")
    await browser.sign_in(HANAKO)
    sent = await browser.sender(city, "openid me")
    attempt = Attempt(world, city)
    pushed = await attempt.request_uri(scope="me")
    async with world.platform.database.writing() as session:
        await clients.set_sign_in(
            session, city.id, redirect_uris=[CALLBACK], staff_of=[], citizens=False, by="test"
        )
    world.platform.live.changed("client", city.id)

    visited = await browser.visit(city.id, pushed)
    shown = await client.get("/oauth/userinfo", headers=sent.headers("/oauth/userinfo"))

    assert (closed.status_code, closed.json()["error"]) == (400, "unauthorized_client")
    assert told(visited)["error"] == "access_denied"
    assert (shown.status_code, shown.json()["code"]) == (401, "invalid_token")


async def test_a_session_of_a_citizen_opens_no_page_of_staff_and_theirs_none_of_a_citizen(
    browser: CitizensBrowser, world: World, city: Party
) -> None:
    await browser.sign_in(HANAKO)
    secret = browser.here.cookies["urbanos-citizen"]
    staff = await signed_in(world)
    of_staff = await Attempt(world, await an_app(world)).request_uri()
    of_citizens = await Attempt(world, city).request_uri(scope="me")
    swapped = {"Cookie": f"urbanos={secret}; urbanos-citizen={staff.secret}"}

    pages = [
        await world.client.get(path, headers=swapped)
        for path in ("/account", "/account/totp", "/me")
    ]
    by_staff = await staff.visit(city.id, of_citizens)
    crossed = await world.client.post(
        "/consent", data={"csrf": "x", "client_id": city.id, "request_uri": of_citizens},
        headers=staff.cookies,
    )  # fmt: skip
    by_citizen = await browser.visit(city.id, of_staff)

    assert [page.status_code for page in pages] == [303, 303, 303]
    assert "/me/sign-in" in by_staff.headers["location"]
    assert crossed.status_code == 403
    assert by_citizen.status_code == 400  # a request of another client's


async def test_a_citizens_token_is_refused_at_every_door_that_is_not_a_citizens(
    app: FastAPI, browser: CitizensBrowser, city: Party, client: httpx.AsyncClient, world: World
) -> None:
    await browser.sign_in(HANAKO)
    sent = await browser.sender(city, _EVERYTHING)
    dataset = await world.dataset(data_class="public")
    doors = {
        (method, re.sub(r"\{[^}]+\}", lambda hole: _HOLES.get(hole[0]) or dataset, route.path))
        for route in routes_of(app.routes)
        for method in (route.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}
        if not route.path.startswith((*_OWN, "/me/", "/oauth/")) and route.path != "/me"
    }

    async def ask(method: str, path: str) -> None:
        answer = await client.request(method, path, headers=sent.headers(path, method))
        if answer.status_code == 401 and "invalid_token" in answer.headers["WWW-Authenticate"]:
            return
        # Where it is not refused no token is looked at: whoever has none is answered alike.
        nobody = await client.request(method, path)
        assert answer.status_code == nobody.status_code, (method, path, answer.text)

    await asyncio.gather(*(ask(*door) for door in doors))
    assert len(doors) > 150


async def test_tokens_of_staff_and_machines_open_no_door_of_a_citizen(
    app: FastAPI, world: World, client: httpx.AsyncClient
) -> None:
    machine = await sender(world, await world.party(OPERATOR, Role.OPERATOR), "admin:read")
    person = await Attempt(world, await an_app(world)).sender(await signed_in(world))
    some_id = str(uuid4())
    doors = {
        (method, re.sub(r"\{[^}]+\}", some_id, route.path))
        for route in routes_of(app.routes)
        for method in (route.methods or set()) & {"GET", "POST", "PUT", "PATCH", "DELETE"}
        if route.path.startswith(_OWN)
    }
    query = {"dataset": "d", "consumer": "c", "purpose": "p"}

    assert len(doors) == 5
    for sent in (machine, person):
        for method, where in doors:
            asked = query if where.endswith("/offer") else {}
            headers = sent.headers(where, method)
            answer = await client.request(method, where, params=asked, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "citizens_only"), where


async def test_a_machine_is_given_no_scope_of_a_citizen(
    world: World, city: Party, client: httpx.AsyncClient
) -> None:
    for party in (city, await world.party(OPERATOR, Role.OPERATOR)):
        answer = await client.post("/oauth/token", data=party.form("me me:consents admin:read"))
        assert "me" not in answer.json().get("scope", "").split(), answer.text
        alone = await client.post("/oauth/token", data=party.form("me me:consents"))
        assert (alone.status_code, alone.json()["error"]) == (400, "invalid_scope")


async def test_a_citizens_token_is_exchanged_for_nothing_and_its_app_may_end_it(
    browser: CitizensBrowser, city: Party, client: httpx.AsyncClient, world: World
) -> None:
    await browser.sign_in(HANAKO)
    sent = await browser.sender(city)
    taker = await service(world, city)

    exchanged = await exchange(world, taker, sent.token)
    known = await client.post("/oauth/introspect", data=about(city, sent.token))
    foreign = await client.post("/oauth/introspect", data=about(taker, sent.token))
    await client.post("/oauth/revoke", data=about(city, sent.token))
    after = await client.get("/v1/me/consents", headers=sent.headers("/v1/me/consents"))

    assert exchanged.status_code == 400 and "access_token" not in exchanged.json()
    assert (known.json()["active"], known.json()["acr"]) == (True, _HIGH)
    assert foreign.json() == {"active": False}
    assert after.status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "me:consents admin:read"},
        {"scope": "openid"},
        {"scope": "admin:read"},
        {"acr": "urn:urbanos:acr:2", "auth_time": 1},
        {"acr": "urn:urbanos:loa:utmost"},
        {"acr": None},
        {"cnf": None},
        {"act": {"sub": "x"}, "via": [["x", "y"]]},
        {"agr": "a", "pur": "p"},
        {"auth_time": "now"},
        {"org": KENKO},
        {"sub": "a" * 26},
    ],
)
async def test_what_mixes_a_citizen_with_others_is_no_token_though_we_signed_it(
    browser: CitizensBrowser, city: Party, client: httpx.AsyncClient, world: World,
    wrong: dict[str, Any],
) -> None:  # fmt: skip
    await browser.sign_in(HANAKO)
    sent = await browser.sender(city, "me:consents")
    full = {k: v for k, v in {**claims_of(sent.token), **wrong}.items() if v is not None}
    keys = await world.platform.keys.get()
    header = {"alg": "ES256", "typ": "at+jwt", "kid": keys.current_kid}
    forged = replace(sent, token=jwt.encode(header, full, keys.current, algorithms=["ES256"]))

    for door in ("/v1/me/consents", "/v1/admin/organizations"):
        answer = await client.get(door, headers=forged.headers(door))
        assert answer.status_code == 401, answer.text
    right = await client.get("/v1/me/consents", headers=sent.headers("/v1/me/consents"))
    assert right.status_code == 200


async def test_a_code_of_a_citizen_is_redeemed_once_and_its_token_ends_with_a_second_use(
    browser: CitizensBrowser, world: World, city: Party, client: httpx.AsyncClient
) -> None:
    await browser.sign_in(HANAKO)
    attempt = Attempt(world, city)
    page = await browser.visit(city.id, await attempt.request_uri(scope="openid me"))
    code = told(await browser.press(page.text))["code"]
    answer = (await attempt.redeem(code)).json()
    sent = Sender(city, answer["access_token"], answer, attempt.key)
    before = await client.get("/oauth/userinfo", headers=sent.headers("/oauth/userinfo"))

    again = await attempt.redeem(code)
    after = await client.get("/oauth/userinfo", headers=sent.headers("/oauth/userinfo"))

    assert (before.status_code, again.status_code, after.status_code) == (200, 400, 401)


async def test_an_app_that_was_allowed_once_in_a_sign_in_asks_silently_and_another_citizen_anew(
    browser: CitizensBrowser, world: World, city: Party
) -> None:
    await browser.sign_in(HANAKO)
    _, first = await browser.tokens(city, scope="openid me")
    silent = await browser.visit(
        city.id, await Attempt(world, city).request_uri(scope="openid me", prompt="none")
    )
    await browser.sign_in(TARO)
    other = await browser.visit(
        city.id, await Attempt(world, city).request_uri(scope="openid me", prompt="none")
    )
    _, second = await browser.tokens(city, scope="openid me")

    assert "code" in told(silent) and told(other)["error"] == "consent_required"
    subs = [claims_of(each["id_token"])["sub"] for each in (first, second)]
    assert subs[0] != subs[1]


async def test_a_word_of_a_provider_that_nobody_explained_lets_nobody_in(
    browser: CitizensBrowser, world: World, provider: str
) -> None:
    levels = {"urn:example:card": Level.HIGH}
    async with world.platform.database.writing() as session:
        before = (await citizen_providers.get(session, provider)).levels
        await citizen_providers.set_levels(session, provider, levels, by="test")
    try:
        refused = await browser.sign_in(HANAKO, "low")
    finally:
        async with world.platform.database.writing() as session:
            kept = {acr: Level(level) for acr, level in before.items()}
            await citizen_providers.set_levels(session, provider, kept, by="test")

    assert refused.status_code == 403 and "assurance_unknown" in refused.text
    (entry,) = await world.log(Event.CITIZEN_SIGN_IN_REFUSED)
    assert entry["code"] == "assurance_unknown"


async def test_an_answer_brought_by_another_browser_signs_nobody_in(
    browser: CitizensBrowser, app: FastAPI, provider: str
) -> None:
    began = await browser.here.get(f"/me/sign-in/with/{provider}")
    back = await browser.at_provider(began.headers["location"], HANAKO, "high")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as victim:
        planted = await victim.get(back)

    own = await browser.here.get(back)
    again = await browser.here.get(back)

    assert (planted.status_code, own.status_code, again.status_code) == (403, 303, 403)


async def test_a_disabled_provider_ends_the_sessions_that_it_opened_and_opens_no_more(
    browser: CitizensBrowser, world: World, provider: str, client: httpx.AsyncClient
) -> None:
    await browser.sign_in(HANAKO)
    inside = await browser.here.get("/me")
    operator = await world.token(
        await world.party(OPERATOR, Role.OPERATOR), "admin:read admin:write"
    )
    path = f"/v1/admin/citizen-providers/{provider}"
    ended = await client.post(f"{path}/disable", headers=operator)
    try:
        outside = await browser.here.get("/me")
        begun = await browser.here.get(f"/me/sign-in/with/{provider}")
        ways = await browser.here.get("/me/sign-in")
    finally:
        back = await client.post(f"{path}/enable", headers=operator)

    assert (inside.status_code, outside.status_code, begun.status_code) == (200, 303, 403)
    assert provider not in ways.text
    assert ended.json()["disabled_at"] and back.json()["disabled_at"] is None


async def test_a_session_of_a_citizen_lasts_an_hour_and_half_of_one_unused(
    browser: CitizensBrowser, platform: Platform
) -> None:
    await browser.sign_in(HANAKO)
    key = hash_of(browser.here.cookies["urbanos-citizen"])
    age = "UPDATE citizen_session SET {} = {} - $2::interval WHERE secret_sha256 = $1"
    statement = age.format("seen_at", "seen_at")
    await platform.database.pool.execute(statement, key, timedelta(minutes=31))

    idle = await browser.here.get("/me")
    await browser.sign_in(HANAKO)
    key = hash_of(browser.here.cookies["urbanos-citizen"])
    statement = age.format("expires_at", "expires_at")
    await platform.database.pool.execute(statement, key, LONGEST)
    over = await browser.here.get("/me")

    await forget_citizens(platform.database.pool)
    kept = "SELECT count(*) FROM citizen_session WHERE secret_sha256 = $1"
    assert (idle.status_code, over.status_code) == (303, 303)
    assert await platform.database.pool.fetchval(kept, key) == 0


async def test_who_was_forgotten_has_no_session_and_their_token_opens_nothing(
    browser: CitizensBrowser, city: Party, platform: Platform, client: httpx.AsyncClient
) -> None:
    login = "minashi-jiro"
    issuer = (await _provider(platform, browser.provider)).issuer
    await browser.sign_in(login)
    sent = await browser.sender(city)

    await platform.linker.forget(await platform.linker.signed_in(issuer, login))
    by_token = await client.get("/v1/me/consents", headers=sent.headers("/v1/me/consents"))
    page = await browser.here.get("/me")
    asked = await browser.visit(
        city.id, await Attempt(browser.world, city).request_uri(scope="me", prompt="consent")
    )

    assert by_token.status_code == 401
    assert page.status_code == asked.status_code == 303
    assert "/me/sign-in" in page.headers["location"]


async def test_operators_register_providers_of_citizens_and_only_with_levels(
    world: World, client: httpx.AsyncClient
) -> None:
    operator = await world.token(
        await world.party(OPERATOR, Role.OPERATOR), "admin:read admin:write"
    )
    body: dict[str, Any] = {
        "id": f"jpki-{secrets.token_hex(3)}", "name_ja": "公的個人認証", "name_en": "JPKI",
        "issuer": "https://jpki.example.jp", "client_id": secrets.token_hex(4),
        "levels": {"urn:example:jpki": "high"},
    }  # fmt: skip
    path = "/v1/admin/citizen-providers"

    added = await client.post(path, json=body, headers=operator)
    none = await client.post(path, json={**body, "id": "other", "levels": {}}, headers=operator)
    odd = await client.post(
        path, json={**body, "id": "other", "levels": {"a": "sure"}}, headers=operator
    )
    listed = await client.get(path, headers=operator)

    assert added.status_code == 201, added.text
    shown = added.json()
    assert shown["redirect_uri"] == f"{ISSUER}/me/sign-in/callback/{body['id']}"
    assert "private" not in added.text and "sealed" not in added.text
    jwks = await client.get(shown["jwks_uri"])
    assert [key["kty"] for key in jwks.json()["keys"]] == ["EC"] and "d" not in jwks.json()["keys"][
        0
    ]
    assert (none.status_code, odd.status_code) == (422, 422)
    assert body["id"] in {each["id"] for each in listed.json()["items"]}


async def _provider(platform: Platform, name: str) -> Any:
    async with platform.database.reading() as session:
        return await citizen_providers.get(session, name)
