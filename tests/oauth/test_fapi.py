"""What the FAPI 2.0 Security Profile's test plan asks of an authorization server, by its names."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from app.oauth.authorization import PATH as AUTHORIZE
from app.oauth.pushed import PATH as PAR
from tests.oauth.senders import TOKEN_PATH, proof
from tests.oauth.signing_in import CALLBACK, Attempt, Browser, an_app, challenge_of, signed_in, told
from tests.world import Party, World

USERINFO = "/oauth/userinfo"
Wrong = Callable[[Party], dict[str, Any]]
_FAPI = "fapi2-security-profile-final-"
_RSA = RSAKey.generate_key(2048)


def _asserting(**wrong: Any) -> Wrong:
    return lambda app: {"client_assertion": app.assertion(**wrong)}


NOT_PUSHED: dict[str, tuple[Wrong, str]] = {
    "par-ensure-pkce-required": (
        lambda _: {"without": ("code_challenge", "code_challenge_method")},
        "invalid_request",
    ),
    "par-plain-pkce-rejected": (lambda _: {"code_challenge_method": "plain"}, "invalid_request"),
    "par-plain-pkce-rejected-unnamed": (
        lambda _: {"without": ("code_challenge_method",)},
        "invalid_request",
    ),
    "ensure-request-object-without-redirect-uri-fails": (
        lambda _: {"without": ("redirect_uri",)},
        "invalid_request",
    ),
    "ensure-registered-redirect-uri": (
        lambda _: {"redirect_uri": f"{CALLBACK}/other"},
        "invalid_request",
    ),
    "ensure-response-type-code-idtoken-fails": (
        lambda _: {"response_type": "code id_token"},
        "unsupported_response_type",
    ),
    "ensure-response-type-token-fails": (
        lambda _: {"response_type": "token"},
        "unsupported_response_type",
    ),
    "par-authorization-request-containing-request_uri-form-param": (
        lambda _: {"request_uri": "urn:ietf:params:oauth:request_uri:x"},
        "invalid_request",
    ),
    "ensure-mismatched-dpop-jkt-fails": (
        lambda _: {"dpop_jkt": "x" * 43, "proven": True},
        "invalid_request",
    ),
    "ensure-signed-client-assertion-with-RS256-fails": (
        _asserting(header={"alg": "RS256"}, key=_RSA),
        "invalid_client",
    ),
    "ensure-client-assertion-with-exp-is-5-minutes-in-past-fails": (
        _asserting(exp=int(time.time()) - 300, iat=int(time.time()) - 350),
        "invalid_client",
    ),
    "ensure-client-assertion-with-wrong-aud-fails": (
        _asserting(aud="https://other.example"),
        "invalid_client",
    ),
    "ensure-client-assertion-with-no-sub-fails": (_asserting(without=("sub",)), "invalid_client"),
    "ensure-invalid-client-assertions-fail": (
        _asserting(key=ECKey.generate_key("P-256")),
        "invalid_client",
    ),
}


@pytest.mark.parametrize("module", NOT_PUSHED)
async def test_what_the_profile_forbids_is_refused_when_it_is_pushed(
    world: World, module: str
) -> None:
    wrong, error = NOT_PUSHED[module]
    app = await an_app(world)

    response = await Attempt(world, app).push(**wrong(app))

    assert response.json()["error"] == error, response.text
    assert response.status_code == (401 if error == "invalid_client" else 400)


@pytest.mark.fapi(f"{_FAPI}ensure-client-assertion-in-token-endpoint")
@pytest.mark.fapi(f"{_FAPI}ensure-client-id-in-token-endpoint")
async def test_a_code_is_redeemed_by_a_proven_client_under_its_own_name(world: World) -> None:
    app, other = await an_app(world), await an_app(world)
    attempt = Attempt(world, app)
    code = await attempt.code(await signed_in(world))
    unproven = ("client_assertion", "client_assertion_type")

    answers = [
        await attempt.redeem(code, without=unproven),
        await attempt.redeem(code, client_id=other.id),
    ]

    assert [each.json()["error"] for each in answers] == ["invalid_client"] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"without": ("code_verifier",)}, id="ensure-pkce-code-verifier-required"),
        pytest.param({"code_verifier": "x" * 43}, id="incorrect-pkce-code-verifier-rejected"),
        pytest.param({"proven": False}, id="ensure-holder-of-key-required"),
        pytest.param({"redirect_uri": f"{CALLBACK}?"}, id="another-redirect-uri"),
        pytest.param({"without": ("redirect_uri",)}, id="no-redirect-uri"),
    ],
)
async def test_a_code_needs_what_only_the_app_that_asked_can_show(
    world: World, wrong: dict[str, Any]
) -> None:
    attempt = Attempt(world, await an_app(world))
    code = await attempt.code(await signed_in(world))

    refused = await attempt.redeem(code, **wrong)

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    # Somebody's wrong guess does not take the code from whom it belongs to.
    assert (await attempt.redeem(code)).status_code == 200


@pytest.mark.parametrize(
    "bound",
    [
        pytest.param(
            lambda key: {"proven": True}, id="token-endpoint-fails-with-mismatched-dpop-proof-jkt"
        ),
        pytest.param(
            lambda key: {"dpop_jkt": key.thumbprint()},
            id="token-endpoint-fails-with-mismatched-dpop-jkt",
        ),
    ],
)
@pytest.mark.fapi(f"{_FAPI}ensure-dpop-auth-code-binding-success")
@pytest.mark.fapi(f"{_FAPI}ensure-dpopproof-at-par-endpoint-binding-success")
async def test_a_code_bound_to_a_key_is_redeemed_with_that_key_alone(
    world: World, bound: Callable[[ECKey], dict[str, Any]]
) -> None:
    attempt = Attempt(world, await an_app(world))
    code = await attempt.code(await signed_in(world), **bound(attempt.key))
    other = proof(ECKey.generate_key("P-256"), "POST", TOKEN_PATH)

    refused = await attempt.redeem(code, shown=other)

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert (await attempt.redeem(code)).status_code == 200


@pytest.mark.fapi(f"{_FAPI}ensure-authorization-code-is-bound-to-client")
async def test_another_client_cannot_redeem_the_code(world: World) -> None:
    app, other = await an_app(world), await an_app(world)
    attempt = Attempt(world, app)
    code = await attempt.code(await signed_in(world))
    thief = Attempt(world, other, verifier=attempt.verifier, key=attempt.key)

    refused = await thief.redeem(code)

    assert refused.json()["error"] == "invalid_grant"
    assert (await attempt.redeem(code)).status_code == 200


@pytest.mark.fapi(f"{_FAPI}attempt-reuse-authorization-code-after-one-second")
async def test_a_code_shown_again_is_refused_and_ends_its_token(world: World) -> None:
    attempt = Attempt(world, await an_app(world))
    code = await attempt.code(await signed_in(world))
    answer = (await attempt.redeem(code)).json()
    token = answer["access_token"]

    def headers() -> dict[str, str]:
        shown = proof(attempt.key, "GET", USERINFO, token=token)
        return {"Authorization": f"DPoP {token}", "DPoP": shown}

    before = await world.client.get(USERINFO, headers=headers())
    again = await attempt.redeem(code)
    after = await world.client.get(USERINFO, headers=headers())

    assert (before.status_code, after.status_code) == (200, 401)
    assert again.json()["error"] == "invalid_grant"


@pytest.mark.fapi(f"{_FAPI}ensure-token-endpoint-fails-with-expired-auth-code")
async def test_a_code_is_good_for_a_minute(world: World) -> None:
    attempt = Attempt(world, await an_app(world))
    code = await attempt.code(await signed_in(world))
    age = "UPDATE authorization_code SET expires_at = expires_at - interval '62 s'"
    await world.platform.database.pool.execute(age)

    refused = await attempt.redeem(code)

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


@pytest.mark.fapi(f"{_FAPI}par-attempt-reuse-request_uri")
@pytest.mark.fapi(f"{_FAPI}par-ensure-reused-request-uri-prior-to-auth-completion-succeeds")
async def test_a_request_may_be_looked_at_again_until_it_is_answered(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world)
    request_uri = await Attempt(world, app).request_uri()
    await Browser(world).visit(app.id, request_uri)
    page = (await browser.visit(app.id, request_uri)).text

    first = await browser.allow(app.id, request_uri)
    again = await browser.visit(app.id, request_uri)
    pressed = await browser.answer(page)

    assert "code" in first
    assert again.status_code == pressed.status_code == 400
    assert "invalid_request_uri" in again.text


@pytest.mark.fapi(f"{_FAPI}par-attempt-to-use-expired-request_uri")
async def test_a_request_that_nobody_came_with_in_time_is_gone(world: World) -> None:
    app = await an_app(world)
    request_uri = await Attempt(world, app).request_uri()
    age = "UPDATE pushed_request SET expires_at = expires_at - interval '91 s'"
    await world.platform.database.pool.execute(age)

    response = await (await signed_in(world)).visit(app.id, request_uri)

    assert response.status_code == 400 and "invalid_request_uri" in response.text


@pytest.mark.fapi(f"{_FAPI}par-attempt-to-use-request_uri-for-different-client")
async def test_a_request_of_another_client_is_unknown(world: World) -> None:
    app, other = await an_app(world), await an_app(world)
    request_uri = await Attempt(world, app).request_uri()

    response = await (await signed_in(world)).visit(other.id, request_uri)

    assert response.status_code == 400 and "Location" not in response.headers


@pytest.mark.fapi(f"{_FAPI}ensure-unsigned-authorization-request-without-using-par-fails")
@pytest.mark.fapi(f"{_FAPI}ensure-different-nonce-inside-and-outside-request-object")
@pytest.mark.fapi(f"{_FAPI}ensure-different-state-inside-and-outside-request-object")
@pytest.mark.fapi(f"{_FAPI}state-only-outside-request-object-not-used")
@pytest.mark.parametrize(
    "query", ["nonce=other", "state=other", "redirect_uri=https://evil.example"]
)
async def test_what_was_not_pushed_is_refused_with_a_page(world: World, query: str) -> None:
    app = await an_app(world)
    browser = await signed_in(world)
    pushed = f"client_id={app.id}&request_uri={await Attempt(world, app).request_uri()}"
    plain = f"client_id={app.id}&response_type=code&redirect_uri={CALLBACK}&scope=openid"

    answers = [
        await world.client.get(f"{AUTHORIZE}?{asked}", headers=browser.cookies)
        for asked in (f"{pushed}&{query}", plain, f"{pushed}&client_id={app.id}")
    ]

    assert [each.status_code for each in answers] == [400, 400, 400]
    assert all("Location" not in each.headers for each in answers)
    assert all(each.headers["content-type"].startswith("text/html") for each in answers)


@pytest.mark.fapi(f"{_FAPI}par-attempt-invalid-http-method")
async def test_requests_are_pushed_by_post_alone(world: World) -> None:
    response = await world.client.put(PAR, data={})

    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


@pytest.mark.fapi(f"{_FAPI}user-rejects-authentication")
async def test_the_app_is_told_that_somebody_did_not_let_it(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world)
    page = await browser.visit(app.id, await Attempt(world, app).request_uri())

    answer = told(await browser.answer(page.text, "deny"))

    assert answer == {"error": "access_denied", "state": "xyz", "iss": world.platform.issuer}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"nonce": "n" * 64}, id="ensure-authorization-request-with-64-char-nonce"),
        pytest.param({"nonce": "n" * 384}, id="ensure-authorization-request-with-long-nonce"),
        pytest.param({"state": "s" * 1000}, id="ensure-authorization-request-with-long-state"),
        pytest.param({"without": ("state",)}, id="ensure-authorization-request-without-state"),
        pytest.param({"without": ("nonce",)}, id="ensure-authorization-request-without-nonce"),
        pytest.param({"scope": "email openid"}, id="ensure-other-scope-order-succeeds"),
    ],
)
async def test_state_and_nonce_come_back_as_they_were_sent_or_not_at_all(
    world: World, asked: dict[str, Any]
) -> None:
    app = await an_app(world)
    attempt = Attempt(world, app)
    browser = await signed_in(world)

    answer = await browser.allow(app.id, await attempt.request_uri(**asked))
    granted = (await attempt.redeem(answer["code"])).json()

    keys = await world.platform.keys.get()
    claims = jwt.decode(granted["id_token"], keys.public[keys.current_kid]).claims
    left_out = asked.get("without", ())
    assert answer.get("state") == (None if "state" in left_out else asked.get("state", "xyz"))
    assert claims.get("nonce") == (None if "nonce" in left_out else asked.get("nonce", "n-1"))
    assert granted["scope"] == asked.get("scope", "openid")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda now: {"nbf": now, "exp": now + 60}, id="check-dpop-proof-nbf-exp"),
        pytest.param(lambda now: {"iat": now - 10}, id="dpopproof-with-iat-10seconds-before"),
        pytest.param(lambda now: {"iat": now + 10}, id="dpopproof-with-iat-10seconds-after"),
    ],
)
async def test_clocks_may_differ_a_little(
    world: World, said: Callable[[int], dict[str, Any]]
) -> None:
    attempt = Attempt(world, await an_app(world))
    code = await attempt.code(await signed_in(world), proven=True)
    shown = proof(attempt.key, "POST", TOKEN_PATH, **said(int(time.time())))

    response = await attempt.redeem(code, shown=shown)

    assert response.status_code == 200, response.text


@pytest.mark.fapi(f"{_FAPI}access-token-type-header-case-sensitivity")
async def test_the_scheme_of_a_token_is_read_in_any_case(world: World) -> None:
    sender = await Attempt(world, await an_app(world)).sender(await signed_in(world))
    headers = sender.headers(USERINFO)
    headers["Authorization"] = headers["Authorization"].replace("DPoP", "dPoP")

    assert (await world.client.get(USERINFO, headers=headers)).status_code == 200


def test_the_challenge_is_that_of_the_standards_example() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
