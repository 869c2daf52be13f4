"""Members of staff sign in to apps: the whole way from a pushed request to a token in use."""

import json

from joserfc import jwt

from app.audit.events import Event
from app.models.parties import Role
from app.oauth.tokens import ONE_FACTOR, TWO_FACTORS, claims_of
from tests.oauth.senders import proof, under
from tests.oauth.signing_in import Attempt, Browser, an_app, signed_in, told
from tests.oauth.test_one_agreement import consumer, get, stocked_by_sender
from tests.world import SAKAI, World

USERINFO = "/oauth/userinfo"


async def test_an_app_gets_a_bound_token_of_the_person_who_let_it(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world, SAKAI, Role.OPERATOR)
    attempt = Attempt(world, app)
    asked = await attempt.request_uri(scope="openid profile admin:read catalogue:write")

    page = await browser.visit(app.id, asked)
    back = await browser.answer(page.text)
    answer = told(back)
    response = await attempt.redeem(answer["code"])

    assert page.status_code == 200 and "試験アプリ" in page.text and "堺 次郎" in page.text
    assert answer.keys() == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("xyz", world.platform.issuer)
    granted = response.json()
    assert granted["token_type"] == "DPoP" and "refresh_token" not in granted
    # The steward's scope was asked for and allowed, and is no operator's.
    assert granted["scope"] == "openid profile admin:read"
    path = "/v1/admin/clients"
    shown = proof(attempt.key, "GET", path, token=granted["access_token"])
    headers = {"Authorization": f"DPoP {granted['access_token']}", "DPoP": shown}
    assert (await world.client.get(path, headers=headers)).status_code == 200
    (issued,) = await world.log(Event.CODE_ISSUED)
    (token,) = await world.log(Event.TOKEN_ISSUED)
    assert issued["person"] == token["person"] == browser.person_id
    assert issued["client"] == token["client"] == app.id
    assert issued["organization"] == token["organization"] == SAKAI


async def test_the_id_token_says_who_signed_in_how_and_when(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world, second_factor=True)

    granted = await Attempt(world, app).tokens(browser, scope="openid email")

    keys = await world.platform.keys.get()
    parsed = jwt.decode(granted["id_token"], keys.public[keys.current_kid], algorithms=["ES256"])
    claims = parsed.claims
    assert parsed.header["typ"] == "JWT"
    assert (claims["iss"], claims["aud"]) == (world.platform.issuer, app.id)
    assert (claims["sub"], claims["nonce"]) == (browser.person_id, "n-1")
    assert (claims["acr"], claims["amr"]) == (TWO_FACTORS, ["pwd", "otp"])
    assert claims["exp"] - claims["iat"] == 300 and claims["auth_time"] <= claims["iat"]
    assert claims["email"].endswith("@example.jp") and "name" not in claims


async def test_userinfo_tells_as_much_as_the_scope_and_nothing_to_others(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world, SAKAI, Role.OPERATOR)
    named = await Attempt(world, app).sender(browser, scope="openid profile")
    nobody = await Attempt(world, app).sender(browser, scope="admin:read")

    by_get = await world.client.get(USERINFO, headers=named.headers(USERINFO))
    by_post = await world.client.post(USERINFO, headers=named.headers(USERINFO, "POST"))
    refused = await world.client.get(USERINFO, headers=nobody.headers(USERINFO))

    assert by_get.json() == by_post.json() == {"sub": browser.person_id, "name": "堺 次郎"}
    assert by_get.headers["Cache-Control"] == "no-store"
    assert "id_token" not in nobody.answer
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


async def test_introspection_tells_whose_token_it_is_and_how_they_signed_in(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world, second_factor=True)
    sender = await Attempt(world, app).sender(browser)
    form = {**app.form("-"), "token": sender.token}

    status = (await world.client.post("/oauth/introspect", data=form)).json()

    assert status["active"] is True
    assert (status["sub"], status["client_id"]) == (browser.person_id, app.id)
    assert (status["acr"], status["org"]) == (TWO_FACTORS, SAKAI)
    assert isinstance(status["auth_time"], int)


async def test_consent_is_asked_once_in_a_sign_in_and_then_prompt_none_renews(
    world: World,
) -> None:
    app = await an_app(world)
    browser = await signed_in(world)
    attempt = Attempt(world, app)
    early = await browser.visit(app.id, await attempt.request_uri(prompt="none"))
    await attempt.code(browser)

    again = await browser.visit(app.id, await attempt.request_uri(prompt="none"))
    other = await browser.visit(app.id, await attempt.request_uri(scope="openid email"))
    anew = await browser.visit(app.id, await attempt.request_uri(prompt="consent"))
    stranger = Browser(world)
    nobody = await stranger.visit(app.id, await attempt.request_uri(prompt="none"))

    assert told(early)["error"] == "consent_required"
    assert (await attempt.redeem(told(again)["code"])).status_code == 200
    assert other.status_code == anew.status_code == 200
    assert told(nobody)["error"] == "login_required" and told(nobody)["state"] == "xyz"


async def test_who_is_not_signed_in_is_led_there_and_back(world: World) -> None:
    app = await an_app(world)
    request_uri = await Attempt(world, app).request_uri()

    response = await Browser(world).visit(app.id, request_uri)

    assert response.status_code == 303
    address = response.headers["Location"]
    assert address.startswith("/sign-in?return_to=%2Foauth%2Fauthorize%3F")
    later = await signed_in(world)
    assert "code" in await later.allow(app.id, request_uri)


async def test_two_factors_are_asked_for_where_the_app_needs_them(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world)
    attempt = Attempt(world, app)
    request_uri = await attempt.request_uri(acr_values=TWO_FACTORS, max_age="900")

    before = await browser.visit(app.id, request_uri)
    assert browser.secret is not None
    browser.secret = await world.platform.sign_ins.step_up(browser.secret, ("pwd", "otp"))
    answer = await browser.allow(app.id, request_uri)
    sent = await attempt.redeem(answer["code"])
    either = await attempt.sender(await signed_in(world), acr_values=f"{TWO_FACTORS} {ONE_FACTOR}")

    assert before.headers["Location"].startswith("/sign-in/second-factor?return_to=")
    assert _acr(sent.json()["access_token"]) == TWO_FACTORS
    assert _acr(either.token) == ONE_FACTOR


def _acr(token: str) -> str:
    return str(claims_of(token)["acr"])


async def test_a_sign_in_that_is_too_old_for_the_app_is_asked_for_again(world: World) -> None:
    app = await an_app(world)
    browser = await signed_in(world)
    attempt = Attempt(world, app)
    age = "UPDATE person_session SET signed_in_at = signed_in_at - interval '2 h'"
    await world.platform.database.pool.execute(age)

    old = await browser.visit(app.id, await attempt.request_uri(max_age="3600"))
    login = await browser.visit(app.id, await attempt.request_uri(prompt="login"))
    silent = await browser.visit(app.id, await attempt.request_uri(max_age="1", prompt="none"))
    young = await browser.visit(app.id, await attempt.request_uri(max_age="9000"))

    assert old.headers["Location"].startswith("/sign-in?")
    assert login.headers["Location"].startswith("/sign-in?")
    assert told(silent)["error"] == "login_required"
    assert young.status_code == 200


async def test_metadata_says_what_is_on_and_openid_discovery_says_the_same(world: World) -> None:
    documents = [
        (await world.client.get(f"/.well-known/{name}")).json()
        for name in ("oauth-authorization-server", "openid-configuration")
    ]

    assert documents[0] == documents[1]
    said = documents[0]
    assert said["require_pushed_authorization_requests"] is True
    assert said["response_types_supported"] == ["code"]
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["authorization_response_iss_parameter_supported"] is True
    assert "authorization_code" in said["grant_types_supported"]
    assert "refresh_token" not in said["grant_types_supported"]


async def test_personal_data_is_read_for_a_person_under_the_one_agreement_consented_to(
    world: World,
) -> None:
    dataset = await stocked_by_sender(world)
    _, agreement, _ = await consumer(world, dataset, columns=["no", "name"])
    app = await an_app(world)
    browser = await signed_in(world, SAKAI)
    attempt = Attempt(world, app)
    scope = f"openid dataset:{dataset}:read catalogue:write"

    page = await browser.visit(
        app.id, await attempt.request_uri(scope=scope, authorization_details=under(agreement))
    )
    both = under(agreement, "read", "write")
    sender = await attempt.sender(browser, scope=scope, authorization_details=both)
    answer = await get(world, sender, dataset)

    assert agreement in page.text and dataset in page.text
    assert sender.answer["scope"] == f"openid dataset:{dataset}:read"
    assert sender.answer["expires_in"] == 60
    assert sender.answer["authorization_details"] == json.loads(under(agreement))
    assert (answer.status_code, answer.json()["records"]) == (200, [{"no": "1", "name": "架空"}])


async def test_an_agreement_that_is_not_the_persons_gives_no_token(world: World) -> None:
    dataset = await stocked_by_sender(world)
    _, agreement, _ = await consumer(world, dataset, columns=["no"])
    outsider = await signed_in(world, "271004")
    attempt = Attempt(world, await an_app(world, staff_of=("271004",)))
    asked = {"scope": f"openid dataset:{dataset}:read", "authorization_details": under(agreement)}

    refused = await attempt.redeem(await attempt.code(outsider, **asked))

    assert refused.json()["error"] == "invalid_authorization_details"
