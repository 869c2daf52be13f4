"""Malformed requests go to a certified server and to ours: ours is never laxer, and says the same."""

import asyncio
import hmac
import json
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey, RSAKey

from app.api.state import Platform
from app.models.parties import AuthMethod
from app.oauth.authorization import PATH as AUTHORIZE
from app.oauth.pushed import PATH as PAR
from app.parties import clients
from tests.bench.stage import free_port
from tests.oauth import npm
from tests.oauth.senders import TOKEN_PATH
from tests.oauth.signing_in import CALLBACK, Attempt, Browser, signed_in, told
from tests.world import ASSERTION_TYPE, KENKO, SAKAI, Party, World

USERINFO: Final = "/oauth/userinfo"
_RSA: Final = RSAKey.generate_key(2048)
_STRANGER: Final = ECKey.generate_key("P-256")


@dataclass(slots=True)
class Side:
    """One of the two servers: how it is asked, the apps that it knows, somebody signed in there."""

    world: World
    http: httpx.AsyncClient
    app: Party
    other: Party
    browser: Browser | None  # ours; the oracle signs in whoever comes

    def attempt(self, app: Party | None = None, **own: Any) -> Attempt:
        return Attempt(self.world, app or self.app, at=self.http, **own)

    async def back(self, app: Party, request_uri: str) -> httpx.Response:
        """The last answer before the app's own address is asked."""
        if self.browser is not None:
            response = await self.browser.visit(app.id, request_uri)
            allowed = response.status_code == 200
            return await self.browser.answer(response.text) if allowed else response
        query = urlencode({"client_id": app.id, "request_uri": request_uri})
        response = await self.http.get(f"{AUTHORIZE}?{query}")
        while response.is_redirect and not response.headers["Location"].startswith(CALLBACK):
            response = await self.http.get(response.headers["Location"])
        return response

    async def code(self, attempt: Attempt, **asked: Any) -> str:
        request_uri = await attempt.request_uri(**asked)
        return told(await self.back(attempt.app, request_uri))["code"]

    async def token(self, attempt: Attempt) -> dict[str, Any]:
        response = await attempt.redeem(await self.code(attempt))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


Case = Callable[[Side], Awaitable[httpx.Response]]


# --- a client that proves itself wrongly, at both endpoints --------------------------------------


def _now() -> int:
    return int(time.time())


ASSERTED: Final[dict[str, Callable[[Party], dict[str, Any]]]] = {
    "aud_list": lambda app: {"aud": [app.issuer]},
    "aud_of_the_endpoint": lambda app: {"aud": app.issuer + TOKEN_PATH},
    "aud_of_another": lambda app: {"aud": "https://other.example"},
    "aud_with_a_slash": lambda app: {"aud": f"{app.issuer}/"},
    "no_aud": lambda app: {"without": ("aud",)},
    "ten_years": lambda app: {"exp": _now() + 315_360_000},
    "no_exp": lambda app: {"without": ("exp",)},
    "exp_is_no_number": lambda app: {"exp": "soon"},
    "expired": lambda app: {"exp": _now() - 300, "iat": _now() - 350},
    "not_yet": lambda app: {"nbf": _now() + 300},
    "iat_ahead": lambda app: {"iat": _now() + 300, "exp": _now() + 350},
    "no_jti": lambda app: {"without": ("jti",)},
    "no_sub": lambda app: {"without": ("sub",)},
    "no_iss": lambda app: {"without": ("iss",)},
    "iss_of_another": lambda app: {"iss": "another"},
    "sub_of_another": lambda app: {"sub": "another"},
    "unsigned": lambda _: {},
    "hs256_with_the_public_key": lambda _: {},
    "rs256": lambda app: {"header": {"alg": "RS256"}, "key": _RSA},
    "key_of_another": lambda app: {"key": _STRANGER},
    "key_in_the_header": lambda app: {
        "key": _STRANGER,
        "header": {"jwk": _STRANGER.as_dict(private=False), "kid": _STRANGER.thumbprint()},
    },
    "type_of_an_access_token": lambda app: {"header": {"typ": "at+jwt"}},
}


def _assertion(app: Party, name: str) -> str:
    right = app.assertion(**ASSERTED[name](app))
    _, payload, _ = right.split(".")
    if name == "unsigned":
        return _encoded(b'{"alg":"none"}') + f".{payload}."
    if name == "hs256_with_the_public_key":
        head = f'{{"alg":"HS256","kid":"{app.key.thumbprint()}"}}'
        told = f"{_encoded(head.encode())}.{payload}"
        mark = hmac.digest(app.key.as_pem(private=False), told.encode(), "sha256")
        return f"{told}.{_encoded(mark)}"
    return right


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _asserting(name: str, endpoint: str) -> Case:
    async def at_par(side: Side) -> httpx.Response:
        return await side.attempt().push(client_assertion=_assertion(side.app, name))

    async def at_token(side: Side) -> httpx.Response:
        # Who the client is is asked before what it shows: a code of no worth tells them apart.
        assertion = _assertion(side.app, name)
        return await side.attempt().redeem("x" * 43, client_assertion=assertion)

    return at_par if endpoint == "par" else at_token


# --- wrong requests ------------------------------------------------------------------------------


def _pushing(**wrong: Any) -> Case:
    return lambda side: side.attempt().push(**wrong)


def _redeeming(asked: dict[str, Any] | None = None, **wrong: Any) -> Case:
    async def case(side: Side) -> httpx.Response:
        attempt = side.attempt()
        return await attempt.redeem(await side.code(attempt, **(asked or {})), **wrong)

    return case


def _proving(path: str, **wrong: Any) -> Case:
    async def case(side: Side) -> httpx.Response:
        attempt = side.attempt()
        made = {name: value(side) if callable(value) else value for name, value in wrong.items()}
        shown = attempt.proof(path, **made)
        if path == PAR:
            return await attempt.push(shown=shown)
        return await attempt.redeem(await side.code(attempt), shown=shown)

    return case


def _reading(
    scheme: str = "DPoP", *, kind: str = "access_token", other_key: bool = False, **wrong: Any
) -> Case:
    async def case(side: Side) -> httpx.Response:
        attempt = side.attempt()
        token = (await side.token(attempt))[kind]
        if other_key:
            attempt.key = ECKey.generate_key("P-256")
        made = {"method": "GET", "token": token} | wrong
        shown = {} if scheme == "Bearer" else {"DPoP": attempt.proof(USERINFO, **made)}
        headers = {"Authorization": f"{scheme} {token}", **shown}
        return await side.http.get(USERINFO, headers=headers)

    return case


async def assertion_replayed(side: Side) -> httpx.Response:
    assertion = side.app.assertion()
    await side.attempt().request_uri(client_assertion=assertion)
    return await side.attempt().push(client_assertion=assertion)


async def assertion_replayed_at_another_endpoint(side: Side) -> httpx.Response:
    attempt, assertion = side.attempt(), side.app.assertion()
    code = await side.code(attempt, client_assertion=assertion)
    return await attempt.redeem(code, client_assertion=assertion)


async def two_methods(side: Side) -> httpx.Response:
    return await side.http.post(PAR, data=_form(side), auth=httpx.BasicAuth(side.app.id, "secret"))


async def a_secret_beside_the_assertion(side: Side) -> httpx.Response:
    return await side.attempt().push(client_secret="secret")


async def client_id_of_another(side: Side) -> httpx.Response:
    return await side.attempt().push(client_id=side.other.id)


async def said_twice(side: Side) -> httpx.Response:
    form = [*_form(side).items(), ("state", "abc")]
    return await _sent(side, PAR, urlencode(form))


async def said_twice_at_the_token_endpoint(side: Side) -> httpx.Response:
    attempt = side.attempt()
    form = [
        *_form(side).items(), ("grant_type", "authorization_code"),
        ("code", await side.code(attempt)), ("code_verifier", attempt.verifier),
        ("code", "another"),
    ]  # fmt: skip
    return await _sent(side, TOKEN_PATH, urlencode(form))


async def no_form(side: Side) -> httpx.Response:
    return await side.http.post(PAR, json=_form(side))


async def two_proofs(side: Side) -> httpx.Response:
    attempt = side.attempt()
    shown = [("DPoP", attempt.proof(PAR)), ("DPoP", attempt.proof(PAR))]
    return await side.http.post(PAR, data=_form(side), headers=shown)


async def proof_replayed(side: Side) -> httpx.Response:
    attempt = side.attempt()
    shown = attempt.proof(TOKEN_PATH)
    await attempt.redeem(await side.code(attempt), shown=shown)
    return await attempt.redeem(await side.code(attempt), shown=shown)


async def proof_replayed_at_par(side: Side) -> httpx.Response:
    attempt = side.attempt()
    shown = attempt.proof(PAR)
    assert (await attempt.push(shown=shown)).status_code == 201
    return await attempt.push(shown=shown)


async def code_used_twice(side: Side) -> httpx.Response:
    attempt = side.attempt()
    code = await side.code(attempt)
    assert (await attempt.redeem(code)).status_code == 200
    return await attempt.redeem(code)


async def token_of_a_code_used_twice(side: Side) -> httpx.Response:
    attempt = side.attempt()
    code = await side.code(attempt)
    token = (await attempt.redeem(code)).json()["access_token"]
    await attempt.redeem(code)
    shown = attempt.proof(USERINFO, "GET", token=token)
    return await side.http.get(USERINFO, headers={"Authorization": f"DPoP {token}", "DPoP": shown})


async def code_of_another_client(side: Side) -> httpx.Response:
    attempt = side.attempt()
    code = await side.code(attempt)
    return await side.attempt(side.other, verifier=attempt.verifier, key=attempt.key).redeem(code)


async def code_of_another_sign_in(side: Side) -> httpx.Response:
    return await side.attempt().redeem(await side.code(side.attempt()))


async def key_other_than_proven(side: Side) -> httpx.Response:
    attempt = side.attempt()
    code = await side.code(attempt, proven=True)
    attempt.key = _STRANGER
    return await attempt.redeem(code)


async def key_other_than_named(side: Side) -> httpx.Response:
    attempt = side.attempt()
    return await attempt.redeem(await side.code(attempt, dpop_jkt=_STRANGER.thumbprint()))


async def request_used_twice(side: Side) -> httpx.Response:
    attempt = side.attempt()
    request_uri = await attempt.request_uri()
    told(await side.back(side.app, request_uri))
    return await side.back(side.app, request_uri)


async def request_of_another_client(side: Side) -> httpx.Response:
    return await side.back(side.other, await side.attempt().request_uri())


async def request_unknown(side: Side) -> httpx.Response:
    return await side.back(side.app, "urn:ietf:params:oauth:request_uri:made-up")


async def request_of_an_address(side: Side) -> httpx.Response:
    return await side.back(side.app, "https://evil.example/request")


async def not_pushed(side: Side) -> httpx.Response:
    asked = _form(side)
    for name in ("client_assertion", "client_assertion_type"):
        del asked[name]
    return await side.http.get(f"{AUTHORIZE}?{urlencode(asked)}")


async def client_unknown(side: Side) -> httpx.Response:
    query = urlencode({"client_id": "nobody", "request_uri": await side.attempt().request_uri()})
    return await side.http.get(f"{AUTHORIZE}?{query}")


def _form(side: Side) -> dict[str, str]:
    return {
        "client_id": side.app.id,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": side.app.assertion(),
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "openid",
        "state": "xyz",
        "code_challenge": "x" * 43,
        "code_challenge_method": "S256",
    }


async def _sent(side: Side, path: str, body: str) -> httpx.Response:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return await side.http.post(path, content=body, headers=kind)


CASES: Final[dict[str, Case]] = {
    **{
        f"{endpoint}_assertion_{name}": _asserting(name, endpoint)
        for endpoint in ("par", "token")
        for name in ASSERTED
    },
    **{
        case.__name__: case
        for case in (
            assertion_replayed,
            assertion_replayed_at_another_endpoint,
            two_methods,
            a_secret_beside_the_assertion,
            client_id_of_another,
            said_twice,
            said_twice_at_the_token_endpoint,
            no_form,
            two_proofs,
            proof_replayed,
            proof_replayed_at_par,
            code_used_twice,
            token_of_a_code_used_twice,
            code_of_another_client,
            code_of_another_sign_in,
            key_other_than_proven,
            key_other_than_named,
            request_used_twice,
            request_of_another_client,
            request_unknown,
            request_of_an_address,
            not_pushed,
            client_unknown,
        )
    },
    "par_no_assertion": _pushing(without=("client_assertion", "client_assertion_type")),
    "par_no_assertion_type": _pushing(without=("client_assertion_type",)),
    "par_wrong_assertion_type": _pushing(client_assertion_type="urn:x"),
    "par_no_client_id": _pushing(without=("client_id",)),
    "par_no_pkce": _pushing(without=("code_challenge", "code_challenge_method")),
    "par_no_challenge": _pushing(without=("code_challenge",)),
    "par_plain_pkce": _pushing(code_challenge_method="plain"),
    "par_pkce_method_unnamed": _pushing(without=("code_challenge_method",)),
    "par_short_challenge": _pushing(code_challenge="x" * 42),
    "par_long_challenge": _pushing(code_challenge="x" * 44),
    "par_odd_challenge": _pushing(code_challenge="+" * 43),
    "par_other_redirect_uri": _pushing(redirect_uri="https://evil.example/callback"),
    "par_longer_redirect_uri": _pushing(redirect_uri=f"{CALLBACK}/more"),
    "par_redirect_uri_with_fragment": _pushing(redirect_uri=f"{CALLBACK}#x"),
    "par_no_redirect_uri": _pushing(without=("redirect_uri",)),
    "par_no_response_type": _pushing(without=("response_type",)),
    "par_response_type_token": _pushing(response_type="token"),
    "par_response_type_none": _pushing(response_type="none"),
    "par_hybrid": _pushing(response_type="code id_token"),
    "par_mode_fragment": _pushing(response_mode="fragment"),
    "par_mode_form_post": _pushing(response_mode="form_post"),
    "par_mode_unknown": _pushing(response_mode="x"),
    "par_request_uri": _pushing(request_uri="urn:ietf:params:oauth:request_uri:x"),
    "par_request_object": _pushing(request="eyJhbGciOiJub25lIn0.e30."),
    "par_registration": _pushing(registration="{}"),
    "par_id_token_hint": _pushing(id_token_hint="x"),
    "par_prompt_none_and_login": _pushing(prompt="none login"),
    "par_prompt_unknown": _pushing(prompt="x"),
    "par_negative_age": _pushing(max_age="-1"),
    "par_age_is_no_number": _pushing(max_age="x"),
    "par_wrong_resource": _pushing(resource="x"),
    "par_odd_dpop_jkt": _pushing(dpop_jkt="x"),
    "par_other_dpop_jkt": _pushing(dpop_jkt="x" * 43, proven=True),
    "par_proof_for_another_address": _proving(PAR, htu="https://other.example/oauth/par"),
    "par_proof_for_another_path": _proving(PAR, htu=lambda side: side.app.issuer + TOKEN_PATH),
    "par_proof_for_another_method": _proving(PAR, htm="GET"),
    "par_old_proof": _proving(PAR, iat=lambda _: _now() - 600),
    "par_early_proof": _proving(PAR, iat=lambda _: _now() + 600),
    "par_proof_is_no_jwt": _pushing(shown="x"),
    "token_no_code": _redeeming(without=("code",)),
    "token_made_up_code": lambda side: side.attempt().redeem("x" * 43),
    "token_no_verifier": _redeeming(without=("code_verifier",)),
    "token_wrong_verifier": _redeeming(code_verifier="x" * 43),
    "token_short_verifier": _redeeming(code_verifier="x" * 42),
    "token_no_redirect_uri": _redeeming(without=("redirect_uri",)),
    "token_other_redirect_uri": _redeeming(redirect_uri=f"{CALLBACK}/more"),
    "token_no_proof": _redeeming(proven=False),
    "token_no_assertion": _redeeming(without=("client_assertion", "client_assertion_type")),
    "token_no_grant_type": _redeeming(without=("grant_type",)),
    "token_grant_type_unknown": _redeeming(grant_type="x"),
    "token_grant_type_password": _redeeming(grant_type="password"),
    "token_wrong_resource": _redeeming(resource="x"),
    "token_proof_for_another_path": _proving(TOKEN_PATH, htu=lambda s: s.app.issuer + PAR),
    "token_proof_for_another_method": _proving(TOKEN_PATH, htm="PUT"),
    "token_old_proof": _proving(TOKEN_PATH, iat=lambda _: _now() - 600),
    "token_early_proof": _proving(TOKEN_PATH, iat=lambda _: _now() + 600),
    "token_proof_without_jti": _proving(TOKEN_PATH, without=("jti",)),
    "token_proof_without_iat": _proving(TOKEN_PATH, without=("iat",)),
    "token_proof_of_another_type": _proving(TOKEN_PATH, header={"typ": "JWT"}),
    "token_proof_by_another_key": _proving(TOKEN_PATH, signed_by=_STRANGER),
    "token_proof_with_a_private_key": _proving(
        TOKEN_PATH, header={"jwk": _STRANGER.as_dict(private=True)}, signed_by=_STRANGER
    ),
    "read_as_bearer": _reading("Bearer"),
    "read_without_ath": _reading(token=None),
    "read_with_another_ath": _reading(ath="x" * 43),
    "read_with_a_proof_for_another_path": _reading(htu="https://other.example/oauth/userinfo"),
    "read_with_a_proof_for_another_method": _reading(htm="POST"),
    "read_with_an_old_proof": _reading(iat=0),
    "read_with_another_key": _reading(other_key=True),
    "read_with_an_id_token": _reading(kind="id_token"),
}

# Where ours says another word, or refuses what the oracle takes: (oracle's, ours, why).
_STRICTER: Final = {
    "ten_years": "an assertion lives a minute (trust.md)",
    "iat_ahead": "an assertion is not from the future",
    "type_of_an_access_token": "a JWT of another kind is no assertion (RFC 8725, 3.11)",
}
DIFFERS: Final[dict[str, tuple[str | None, str, str]]] = {
    **{f"par_assertion_{name}": (None, "invalid_client", why) for name, why in _STRICTER.items()},
    **{
        f"token_assertion_{name}": ("invalid_grant", "invalid_client", why)
        for name, why in _STRICTER.items()
    },
    "a_secret_beside_the_assertion": (None, "invalid_request", "exactly one method"),
    "par_long_challenge": (None, "invalid_request", "a SHA-256 has 43 characters"),
    "par_odd_dpop_jkt": (None, "invalid_request", "a SHA-256 has 43 characters"),
    "par_mode_fragment": (None, "invalid_request", "only query is on"),
    "par_mode_form_post": (None, "invalid_request", "only query is on"),
    "token_no_redirect_uri": (None, "invalid_grant", "it is said again (RFC 6749, 4.1.3)"),
    # The same refusal by another name.
    **{
        f"{endpoint}_assertion_sub_of_another": (
            "invalid_request",
            "invalid_client",
            "one answer to every failed authentication, so that none tells who is registered",
        )
        for endpoint in ("par", "token")
    },
    "client_id_of_another": (
        "invalid_request",
        "invalid_client",
        "one answer to every failed authentication, so that none tells who is registered",
    ),
    "proof_replayed": ("invalid_grant", "invalid_dpop_proof", "RFC 9449, 5"),
    "proof_replayed_at_par": ("invalid_request", "invalid_dpop_proof", "RFC 9449, 5"),
    "request_of_another_client": (
        "invalid_request_object",
        "invalid_request_uri",
        "all that is wrong with a request URI looks the same",
    ),
    "request_of_an_address": (
        "request_uri_not_supported",
        "invalid_request_uri",
        "all that is wrong with a request URI looks the same",
    ),
    "client_unknown": (
        "invalid_client",
        "invalid_request_uri",
        "the page does not tell who is registered",
    ),
    "par_response_type_none": (
        "invalid_request",
        "unsupported_response_type",
        "RFC 6749, 4.1.2.1",
    ),
    "par_hybrid": ("invalid_request", "unsupported_response_type", "RFC 6749, 4.1.2.1"),
    "par_mode_unknown": (
        "unsupported_response_mode",
        "invalid_request",
        "said together with the response type",
    ),
    "par_request_uri": ("request_uri_not_supported", "invalid_request", "RFC 9126, 2.1"),
    "par_request_object": (
        "request_not_supported",
        "invalid_request",
        "as every parameter that is not taken",
    ),
    "par_registration": (
        "registration_not_supported",
        "invalid_request",
        "as every parameter that is not taken",
    ),
    "read_with_another_key": ("invalid_token", "invalid_dpop_proof", "RFC 9449, 7.1"),
    "token_short_verifier": ("invalid_request", "invalid_grant", "RFC 7636, 4.6"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def oracle(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Any]]:
    """The certified server, and the apps that it was told of."""
    folder = tmp_path_factory.mktemp("oracle")
    await npm.install(folder, [npm.PROVIDER])
    issuer = f"http://127.0.0.1:{free_port()}"
    apps = [
        Party(name, KENKO, issuer, ECKey.generate_key("P-256")) for name in ("one-app", "two-app")
    ]
    task = {
        "packages": str(folder),
        "issuer": issuer,
        "jwk": {**_STRANGER.as_dict(private=True), "use": "sig", "alg": "ES256"},
        "clients": [
            {
                "id": app.id,
                "redirect_uris": [CALLBACK],
                "jwk": {**app.key.as_dict(private=False), "kid": app.key.thumbprint()},
            }
            for app in apps
        ],
    }
    process = await asyncio.create_subprocess_exec(
        npm.node(), str(npm.SCRIPTS / "oracle.mjs"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(task).encode() + b"\n")
    heard = await asyncio.wait_for(process.stdout.readline(), 30)
    assert heard == b"listening\n", heard
    async with httpx.AsyncClient(base_url=issuer) as http:
        yield {"http": http, "apps": apps}
    process.stdin.close()
    await asyncio.wait_for(process.wait(), 10)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sides(
    platform: Platform, client: httpx.AsyncClient, oracle: dict[str, Any]
) -> tuple[Side, Side]:
    """The oracle and ours; the same two apps at both, by the same keys."""
    world = World(platform, client)
    one, two = oracle["apps"]
    own = [Party(app.id, KENKO, world.platform.issuer, app.key) for app in (one, two)]
    for app in own:
        await _register(world, app)
    return (
        Side(world, oracle["http"], one, two, None),
        Side(world, world.client, own[0], own[1], await signed_in(world)),
    )


async def _register(world: World, app: Party) -> None:
    new = clients.NewClient(
        organization_id=KENKO, name="試験", auth_method=AuthMethod.PRIVATE_KEY_JWT, id=app.id,
        jwks={"keys": [app.key.as_dict(private=False)]}, redirect_uris=[CALLBACK], staff_of=[SAKAI],
    )  # fmt: skip
    async with world.platform.database.writing() as session:
        await clients.add(session, new, by="test")


def _said(response: httpx.Response) -> str | None:
    """The error that a server answered with, None where it took the request."""
    if response.is_success or response.is_redirect:
        error = re.search(r"[?&]error=([a-z_]+)", response.headers.get("Location", ""))
        return error[1] if error else None
    if "html" in response.headers["content-type"]:
        found = re.search(r"<code>([a-z_]+)</code>", response.text)
        assert found, response.text
        return found[1]
    body = response.json()
    challenge = re.search(r'error="([a-z_]+)"', response.headers.get("www-authenticate", ""))
    return str(body.get("error") or (challenge and challenge[1]))


@pytest.mark.parametrize("name", CASES)
async def test_what_a_certified_server_refuses_ours_refuses_in_the_same_words(
    sides: tuple[Side, Side], name: str
) -> None:
    theirs, ours = [_said(await CASES[name](side)) for side in sides]

    assert ours is not None
    if name in DIFFERS:
        assert (theirs, ours) == DIFFERS[name][:2]
    else:
        assert ours == theirs


async def test_what_is_right_is_taken_by_both(sides: tuple[Side, Side]) -> None:
    answers = [await side.token(side.attempt()) for side in sides]

    assert [each["token_type"] for each in answers] == ["DPoP", "DPoP"]
    assert [each["scope"] for each in answers] == ["openid", "openid"]
    assert all("refresh_token" not in each for each in answers)
