"""What a provider that is hostile, broken or impersonated may try, and what comes of it."""

import base64
import hmac
import html
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from fastapi import FastAPI
from joserfc.jwk import ECKey, OctKey
from starlette.responses import JSONResponse, Response

from app.api.state import Platform
from app.audit.events import Event
from app.kit import clock
from app.kit.settings import Settings
from app.models.parties import OrganizationKind, Role
from app.parties import organizations, people
from app.parties.organizations import NewOrganization
from app.signin import providers
from app.signin.providers import GroupMeans, Vouching
from app.signin.sessions import LONGEST
from tests.bench.stage import free_port
from tests.conftest import ISSUER
from tests.portal.browser import forms_of
from tests.serving import served
from tests.signin.hostile import CLIENT, Hostile, HostileServer, elsewhere, unsigned
from tests.world import World


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A deployment that may ask this machine: the hostile provider runs here."""
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, outbound_allow="127.0.0.1")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[HostileServer]:
    port = free_port()
    made = HostileServer(f"http://127.0.0.1:{port}")
    async with served(made.app, port):
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def hostile(server: HostileServer, world: World) -> Hostile:
    """A registered provider that a test turns hostile."""
    made = server.issuer()
    made.name = await world.provider(made.issuer)
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has never been here."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as opened:
        yield opened


async def _asked(browser: httpx.AsyncClient, hostile: Hostile) -> dict[str, str]:
    """What the provider is asked when this browser begins a sign-in."""
    sent = await browser.get(f"/sign-in/with/{hostile.name}")
    assert sent.status_code == 303, sent.text
    return {
        name: each[0] for name, each in parse_qs(urlsplit(sent.headers["location"]).query).items()
    }


async def _back(
    browser: httpx.AsyncClient, hostile: Hostile, asked: dict[str, str], **changed: Any
) -> httpx.Response:
    """The platform's answer to an answer that is right but for what is named."""
    answer = {"state": asked["state"], "code": "c", "iss": hostile.issuer, **changed}
    told = {name: value for name, value in answer.items() if value is not None}
    return await browser.get(f"/sign-in/callback/{hostile.name}", params=told)


Made = Callable[[Hostile, str], str | None]
_OTHER: Final = ECKey.generate_key("P-256")
_SMALL: Final = rsa.generate_private_key(65537, 1024)
_HS: Final = {"alg": "HS256", "kid": "ec"}


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _with(**claims: Any) -> Made:
    return lambda hostile, nonce: hostile.signed(hostile.claims(nonce, **claims))


def _headed(key: Any = None, **header: Any) -> Made:
    def made(hostile: Hostile, nonce: str) -> str:
        signing = hostile.rsa if key == "rsa" else key
        return hostile.signed(hostile.claims(nonce), key=signing, header=header)

    return made


def _by_public_key(hostile: Hostile, nonce: str) -> str:
    """HS256 with what everybody knows: the public key as the secret."""
    signed = unsigned(hostile.claims(nonce), _HS).rpartition(".")[0]
    secret = hostile.key.as_pem(private=False)
    return f"{signed}.{_b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _tampered(hostile: Hostile, nonce: str) -> str:
    head, _, signature = hostile.signed(hostile.claims(nonce)).split(".")
    body = unsigned(hostile.claims(nonce, sub="boss"), {}).split(".")[1]
    return f"{head}.{body}.{signature}"


def _ec_as_rsa(hostile: Hostile, nonce: str) -> str:
    return hostile.signed(hostile.claims(nonce), key=hostile.rsa, header={"alg": "RS256"})


FORGED: Final[dict[str, tuple[Made, str]]] = {
    "absent": (lambda _hostile, _nonce: None, "absent"),
    "no token": (lambda _hostile, _nonce: "a.b", "malformed"),
    "unsigned": (lambda h, n: unsigned(h.claims(n), {"alg": "none"}), "alg"),
    "unsigned with kid": (lambda h, n: unsigned(h.claims(n), {"alg": "None", "kid": "ec"}), "alg"),
    "empty signature": (lambda h, n: unsigned(h.claims(n), {"alg": "ES256", "kid": "ec"}), "signature"),
    "zero signature": (
        lambda h, n: unsigned(h.claims(n), {"alg": "ES256", "kid": "ec"}, bytes(64)), "signature"),
    "by the public key": (_by_public_key, "alg"),
    "by the client's secret": (_headed(OctKey.import_key("s" * 32), **_HS), "alg"),
    "another's key": (_headed(_OTHER), "signature"),
    "another's key, brought along": (_headed(_OTHER, jwk=_OTHER.as_dict(private=False)), "signature"),
    "unknown key": (_headed(_OTHER, kid="new"), "key"),
    "two keys, none named": (_headed(kid=None), "key"),
    "an EC key's name for RS256": (_ec_as_rsa, "key"),
    "an RSA key's name for ES256": (_headed(kid="rsa"), "key"),
    "critical header": (lambda h, n: unsigned(h.claims(n), {"alg": "ES256", "kid": "ec", "crit": ["x"]}), "alg"),
    "an access token": (_headed(typ="at+jwt"), "header"),
    "tampered": (_tampered, "signature"),
    "of another issuer": (_with(iss="https://idp.example.jp"), "iss"),
    "of an issuer with a slash more": (lambda h, n: h.signed(h.claims(n, iss=h.issuer + "/")), "iss"),
    "for another": (_with(aud="other"), "aud"),
    "for many": (_with(aud=[CLIENT, "other"]), "aud"),
    "for many, to another": (_with(aud=[CLIENT, "other"], azp="other"), "azp"),
    "to another": (_with(azp="other"), "azp"),
    "for nobody": (_with(aud=None), "aud"),
    "expired": (_with(exp=1_700_000_000), "exp"),
    "for ever": (_with(exp=None), "exp"),
    "expiry that is no time": (_with(exp=True), "exp"),
    "of yesterday": (_with(iat=1_700_000_000), "iat"),
    "of tomorrow": (_with(iat=4_000_000_000), "iat"),
    "not yet": (_with(nbf=4_000_000_000), "nbf"),
    "another nonce": (_with(nonce="x" * 43), "nonce"),
    "no nonce": (_with(nonce=None), "nonce"),
    "nobody": (_with(sub=""), "sub"),
    "a number": (_with(sub=7), "sub"),
    "a long name": (_with(sub="x" * 256), "sub"),
    "a name with NUL": (_with(sub="a\x00b"), "sub"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_id_token_lets_nobody_in(
    hostile: Hostile, browser: httpx.AsyncClient, world: World, name: str
) -> None:
    made, why = FORGED[name]
    asked = await _asked(browser, hostile)
    hostile.id_token = made(hostile, asked["nonce"])

    refused = await _back(browser, hostile, asked)

    assert refused.status_code == 401 and "id_token_refused" in refused.text
    assert "urbanos" not in browser.cookies
    assert [entry["why"] for entry in await world.log(Event.SIGN_IN_REFUSED)] == [why]


@pytest.mark.parametrize(
    "made",
    [_with(), _with(aud=[CLIENT]), _with(aud=["other", CLIENT], azp=CLIENT), _with(azp=CLIENT),
     _headed("rsa", alg="RS256", kid="rsa"), _headed("rsa", alg="PS256", kid="rsa"),
     _headed(typ="JWT")],
)  # fmt: skip
async def test_a_right_id_token_lets_in_whoever_signed_in(
    hostile: Hostile, browser: httpx.AsyncClient, made: Made
) -> None:
    asked = await _asked(browser, hostile)
    hostile.id_token = made(hostile, asked["nonce"])

    let_in = await _back(browser, hostile, asked)

    assert (let_in.status_code, "urbanos" in browser.cookies) == (303, True), let_in.text


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"iss": "https://idp.example.jp"}, "answer_of_another"), ({"iss": None}, "answer_of_another"),
     ({"iss": "https://idp.example.jp", "error": "access_denied"}, "answer_of_another"),
     ({"code": None}, "provider_refused"), ({"code": "x" * 5_000}, "provider_refused"),
     ({"code": None, "error": "access_denied", "error_description": "<script>"}, "provider_refused"),
     ({"code": ["a", "b"]}, "answer_unreadable"), ({"state": None}, "sign_in_not_begun")],
)  # fmt: skip
async def test_an_answer_that_is_not_this_providers_is_not_redeemed(
    hostile: Hostile, browser: httpx.AsyncClient, world: World, changed: dict[str, Any], code: str
) -> None:
    asked = await _asked(browser, hostile)

    refused = await _back(browser, hostile, asked, **changed)

    (entry,) = await world.log(Event.SIGN_IN_REFUSED)
    assert (entry["provider"], entry["code"]) == (hostile.name, code)
    assert refused.status_code in (400, 403) and code in refused.text
    assert "<script>" not in refused.text
    assert "token" not in hostile.asked


@pytest.mark.parametrize("known", [True, False])
async def test_nobody_is_let_in_for_an_organisation_that_was_closed(
    hostile: Hostile, browser: httpx.AsyncClient, world: World, *, known: bool
) -> None:
    unit = NewOrganization(
        f"271004-{hostile.name}", OrganizationKind.UNIT, "閉課", parent_id="271004"
    )
    vouching = Vouching(
        [f"{hostile.name}.example.jp"], "groups", {"closing": GroupMeans([Role.STEWARD], unit.id)}
    )
    async with world.platform.database.writing() as session:
        await organizations.add(session, unit, by="test")
        await providers.vouch(session, hostile.name, vouching, by="test")
    if known:
        first = await _asked(browser, hostile)
        hostile.id_token = hostile.signed(hostile.claims(first["nonce"], groups=["closing"]))
        assert (await _back(browser, hostile, first)).status_code == 303
    async with world.platform.database.writing() as session:
        today = clock.now().astimezone(clock.TOKYO).date()
        await organizations.close(session, unit.id, on=today, successor_id=None, by="test")
    browser.cookies.clear()
    asked = await _asked(browser, hostile)
    hostile.id_token = hostile.signed(hostile.claims(asked["nonce"], groups=["closing"]))

    refused = await _back(browser, hostile, asked)

    assert refused.status_code == 403 and "person_shut_out" in refused.text
    assert "urbanos" not in browser.cookies
    assert [e["code"] for e in await world.log(Event.SIGN_IN_REFUSED)] == ["person_shut_out"]
    assert len(await world.log(Event.SIGNED_IN)) == known


async def test_an_answer_without_issuer_counts_where_the_provider_never_names_it(
    hostile: Hostile, browser: httpx.AsyncClient
) -> None:
    del hostile.document["authorization_response_iss_parameter_supported"]
    asked = await _asked(browser, hostile)
    hostile.id_token = hostile.signed(hostile.claims(asked["nonce"]))

    let_in = await _back(browser, hostile, asked, iss=None)

    assert let_in.status_code == 303


@pytest.mark.parametrize(
    "changed",
    [{"issuer": "https://idp.example.jp"}, {"token_endpoint": None}, {"token_endpoint": 7},
     {"jwks_uri": "http://169.254.169.254/jwks"}, {"jwks_uri": "file:///etc/passwd"},
     {"authorization_endpoint": "javascript:alert(1)"}, {"token_endpoint": "http://10.0.0.1/"}],
)  # fmt: skip
async def test_a_document_that_is_not_the_issuers_or_leads_inside_sends_nobody_anywhere(
    hostile: Hostile, browser: httpx.AsyncClient, changed: dict[str, Any]
) -> None:
    hostile.document |= changed

    refused = await browser.get(f"/sign-in/with/{hostile.name}")

    assert refused.status_code in (422, 503)
    assert "location" not in refused.headers


@pytest.mark.parametrize("host", ["a..b.jp", "a" * 64 + ".jp", "xn--.jp"])
async def test_an_endpoint_at_a_host_that_cannot_be_is_a_refusal_and_in_the_log(
    hostile: Hostile, browser: httpx.AsyncClient, platform: Platform, world: World, host: str
) -> None:
    asked = await _asked(browser, hostile)
    hostile.document |= {"token_endpoint": f"https://{host}/token"}
    platform.federation._discovery._documents.clear()  # ten minutes later

    refused = await _back(browser, hostile, asked)

    assert refused.status_code == 422 and "outbound_refused" in refused.text
    assert "urbanos" not in browser.cookies
    assert [entry["code"] for entry in await world.log(Event.SIGN_IN_REFUSED)] == [
        "outbound_refused"
    ]


_BROKEN: Final[dict[str, Callable[[Any], Response]]] = {
    "redirects": elsewhere("http://169.254.169.254/"),
    "fails": lambda _request: Response(status_code=500),
    "no JSON": lambda _request: Response("<html>"),
    "no object": lambda _request: JSONResponse([]),
    "too long": lambda _request: Response(b" " * 300_000),
}
_BREAKS: Final = (
    *(("openid-configuration", how) for how in _BROKEN),
    ("token", "redirects"), ("token", "fails"), ("token", "no object"),
    ("jwks", "redirects"), ("jwks", "no JSON"),
)  # fmt: skip


@pytest.mark.parametrize(("what", "how"), _BREAKS)
async def test_a_provider_that_breaks_down_is_told_of_in_words(
    hostile: Hostile, browser: httpx.AsyncClient, what: str, how: str
) -> None:
    if what == "openid-configuration":
        hostile.instead[what] = _BROKEN[how]
        refused = await browser.get(f"/sign-in/with/{hostile.name}")
    else:
        asked = await _asked(browser, hostile)
        hostile.id_token = hostile.signed(hostile.claims(asked["nonce"]))
        hostile.instead[what] = _BROKEN[how]
        refused = await _back(browser, hostile, asked)

    assert refused.status_code in (401, 403, 503)
    assert refused.headers["content-type"].startswith("text/html")


async def test_made_up_names_of_keys_do_not_keep_the_provider_busy(
    hostile: Hostile, browser: httpx.AsyncClient
) -> None:
    for place in range(4):
        asked = await _asked(browser, hostile)
        header = {"kid": f"made-up-{place}"}
        hostile.id_token = hostile.signed(hostile.claims(asked["nonce"]), header=header)
        await _back(browser, hostile, asked)

    assert hostile.asked.count("jwks") == 2
    assert hostile.asked.count("openid-configuration") == 1


async def test_a_key_that_is_new_is_found(hostile: Hostile, browser: httpx.AsyncClient) -> None:
    first = await _asked(browser, hostile)
    hostile.id_token = hostile.signed(hostile.claims(first["nonce"]))
    await _back(browser, hostile, first)
    hostile.published = [{**_OTHER.as_dict(private=False), "kid": "next"}]
    second = await _asked(browser, hostile)
    claims = hostile.claims(second["nonce"])
    hostile.id_token = hostile.signed(claims, key=_OTHER, header={"kid": "next"})

    let_in = await _back(browser, hostile, second)

    assert let_in.status_code == 303


async def test_a_key_too_small_is_none(hostile: Hostile, browser: httpx.AsyncClient) -> None:
    numbers = _SMALL.public_key().public_numbers()
    n, e = (_b64(each.to_bytes(length)) for each, length in ((numbers.n, 128), (numbers.e, 3)))
    hostile.published = [{"kty": "RSA", "kid": "small", "n": n, "e": e}]
    asked = await _asked(browser, hostile)
    header = {"alg": "RS256", "kid": "small"}
    signed = unsigned(hostile.claims(asked["nonce"]), header).rpartition(".")[0]
    signature = _SMALL.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    hostile.id_token = f"{signed}.{_b64(signature)}"

    refused = await _back(browser, hostile, asked)

    assert "id_token_refused" in refused.text


@pytest.mark.parametrize(("subject", "status"), [("hanako", 303), ("boss", 403)])
async def test_claims_of_another_subject_at_userinfo_are_not_used(
    hostile: Hostile, browser: httpx.AsyncClient, subject: str, status: int
) -> None:
    asked = await _asked(browser, hostile)
    claims = hostile.claims(asked["nonce"], email=None, email_verified=None)
    hostile.id_token = hostile.signed(claims)
    email = f"hanako@{hostile.name}.example.jp"
    hostile.userinfo = {"sub": subject, "email": email, "email_verified": True}

    answer = await _back(browser, hostile, asked)

    assert answer.status_code == status


async def test_what_is_said_of_factors_at_userinfo_counts_for_nothing(
    hostile: Hostile, browser: httpx.AsyncClient, platform: Platform
) -> None:
    vouching = Vouching([f"{hostile.name}.example.jp"], acr_values=["mfa"])
    async with platform.database.writing() as session:
        await providers.vouch(session, hostile.name, vouching, by="test")
    email = f"hanako@{hostile.name}.example.jp"
    hostile.userinfo = {"sub": "hanako", "email": email, "email_verified": True, "acr": "mfa"}
    asked = await _asked(browser, hostile)
    claims = hostile.claims(asked["nonce"], email=None, auth_time=int(time.time()))
    hostile.id_token = hostile.signed(claims)

    let_in = await _back(browser, hostile, asked)

    session_of = await platform.sign_ins.find(browser.cookies.get("urbanos"))
    assert let_in.status_code == 303
    assert session_of is not None and session_of.second_factor_at is None


@pytest.mark.parametrize(
    "claims",
    [{"email_verified": "true"}, {"email_verified": 1}, {"email": "hanako@evil.example.jp"},
     {"email": ["hanako"]}, {"email": "hanako"}],
)  # fmt: skip
async def test_an_address_that_is_not_plainly_proven_makes_no_person(
    hostile: Hostile, browser: httpx.AsyncClient, claims: dict[str, Any]
) -> None:
    asked = await _asked(browser, hostile)
    hostile.id_token = hostile.signed(hostile.claims(asked["nonce"], **claims))

    refused = await _back(browser, hostile, asked)

    assert "email_unproven" in refused.text


@pytest.mark.parametrize(
    ("auth_time", "ago"),
    [(0, timedelta(0)), (-3_600, timedelta(hours=1)), (None, LONGEST), (-10**9, LONGEST),
     (3_600, LONGEST), (10**15, LONGEST), (-10**15, LONGEST)],
)  # fmt: skip
async def test_a_session_that_was_open_at_the_provider_is_no_sign_in_of_now(
    hostile: Hostile,
    browser: httpx.AsyncClient,
    platform: Platform,
    auth_time: int | None,
    ago: timedelta,
) -> None:
    told = {} if auth_time is None else {"auth_time": int(time.time()) + auth_time}

    let_in = await _signs_in(hostile, browser, **told)

    found = await platform.sign_ins.find(browser.cookies.get("urbanos"))
    assert let_in.status_code == 303 and found is not None
    assert abs(clock.now() - found.signed_in_at - ago) < timedelta(seconds=30)


@pytest.mark.parametrize("auth_time", [None, -3_600])
async def test_who_is_to_sign_in_anew_does_so_at_the_provider_too(
    hostile: Hostile, browser: httpx.AsyncClient, auth_time: int | None
) -> None:
    told = {} if auth_time is None else {"auth_time": int(time.time()) + auth_time}
    form = await browser.get("/sign-in?again=1")
    onward = re.search(r'href="([^"]*)"', form.text)
    assert onward is not None
    asking = await browser.get(html.unescape(onward[1]))
    _, fields = forms_of(asking)[0]
    sent = await browser.post(
        "/sign-in/with", data={**fields, "email": f"a@{hostile.name}.example.jp"}
    )

    led = await browser.get(sent.headers["location"])
    query = parse_qs(urlsplit(led.headers["location"]).query)
    asked = {name: each[0] for name, each in query.items()}
    hostile.id_token = hostile.signed(hostile.claims(asked["nonce"], **told))
    refused = await _back(browser, hostile, asked)

    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    assert (refused.status_code, "auth_time" in refused.text) == (401, True)


async def _signs_in(hostile: Hostile, browser: httpx.AsyncClient, **claims: Any) -> httpx.Response:
    asked = await _asked(browser, hostile)
    hostile.id_token = hostile.signed(hostile.claims(asked["nonce"], **claims))
    return await _back(browser, hostile, asked)


async def test_a_domain_that_was_taken_from_a_provider_lets_none_of_its_people_in_again(
    hostile: Hostile, browser: httpx.AsyncClient, platform: Platform
) -> None:
    before = await _signs_in(hostile, browser)
    async with platform.database.writing() as session:
        vouching = Vouching([f"other-{hostile.name}.example.jp"])
        await providers.vouch(session, hostile.name, vouching, by="test")

    after = await _signs_in(hostile, browser)

    assert (before.status_code, after.status_code) == (303, 403)
    assert "email_unproven" in after.text


async def test_an_address_follows_its_person_and_is_free_for_the_next(
    hostile: Hostile, browser: httpx.AsyncClient, platform: Platform
) -> None:
    old, new = (f"{name}@{hostile.name}.example.jp" for name in ("hanako", "hanako.sato"))
    await _signs_in(hostile, browser)

    moved = await _signs_in(hostile, browser, email=new)
    successor = await _signs_in(hostile, browser, sub="successor")
    back = await _signs_in(hostile, browser, email=old)

    assert [each.status_code for each in (moved, successor, back)] == [303, 303, 409]
    assert "email_belongs_to_another" in back.text
    async with platform.database.reading() as session:
        by_address = [await people.find_by_email(session, each) for each in (old, new)]
    assert [each and each.subject for each in by_address] == ["successor", "hanako"]


@pytest.mark.parametrize("local", ["a b", "x" * 65])
async def test_an_address_that_is_none_is_not_kept(
    hostile: Hostile, browser: httpx.AsyncClient, local: str
) -> None:
    await _signs_in(hostile, browser)

    refused = await _signs_in(hostile, browser, email=f"{local}@{hostile.name}.example.jp")

    assert (refused.status_code, "person_invalid" in refused.text) == (422, True)
