"""Sign-in through organisations' own providers: real ones of others, two at once."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.state import Platform
from app.audit.events import Event
from app.kit import clock
from app.kit.settings import Settings
from app.models.parties import Role
from app.parties import people
from app.parties.people import NewPerson
from app.parties.seed import OPERATOR
from app.policy.facts import PersonFacts
from app.signin.sessions import SignedIn
from tests.bench.stage import free_port
from tests.conftest import ISSUER
from tests.oauth.people import acting
from tests.signin.external import Browser, External, running
from tests.world import World

CITY: Final = "osaka-idp"
TOWN: Final = "sakai-idp"
GROUPS: Final = {
    "stewards": {"organization": "271004-kenko", "roles": ["steward"]},
    "developers": {"roles": ["developer"]},
    "elsewhere": {"organization": "271004"},
}

Open = Callable[[], Browser]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A deployment that may ask this machine: its providers run here."""
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, outbound_allow="127.0.0.1")


def _person(email: str, *groups: str, **more: Any) -> dict[str, Any]:
    claims = {"email": email, "email_verified": True, "name": "大阪 花子", "groups": list(groups)}
    return {"claims": {**claims, **more.pop("claims", {})}, **more}


def _body(
    provider: str, organization: str, issuer: str, domain: str, **more: Any
) -> dict[str, Any]:
    return {
        "id": provider,
        "organization": organization,
        "name": "試験",
        "issuer": issuer,
        "client_id": "urban-os",
        "domains": [domain],
        "group_claim": "groups",
        "acr_values": ["urn:example:mfa"],
        **more,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def admin(platform: Platform, client: httpx.AsyncClient) -> dict[str, str]:
    """The header of an operator."""
    world = World(platform, client)
    operator = await world.party(OPERATOR, Role.OPERATOR)
    return await world.token(operator, "admin:read admin:write")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def external(
    client: httpx.AsyncClient, admin: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, dict[str, Any]]]:
    """Two providers, registered. What their people are is changed by who is put in here."""
    city, town = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    secret = secrets.token_urlsafe(24)
    for body in (
        _body(CITY, "271004", city, "city.example.jp", groups=GROUPS),
        _body(TOWN, "271403", town, "town.example.jp", client_secret=secret,
              default_roles=["auditor"], amr_values=["otp"]),
    ):  # fmt: skip
        added = await client.post("/v1/admin/identity-providers", json=body, headers=admin)
        assert added.status_code == 201, added.text
    keys = (await client.get(f"/sign-in/with/{CITY}/jwks")).json()
    shared = {"client_id": "urban-os"}
    by_key = {
        **shared,
        "redirect_uris": [f"{ISSUER}/sign-in/callback/{CITY}"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": keys,
    }
    by_secret = {
        **shared,
        "redirect_uris": [f"{ISSUER}/sign-in/callback/{TOWN}"],
        "client_secret": secret,
    }
    of_city = {
        "hanako": _person("hanako@city.example.jp", "stewards", "developers", "chess"),
        "plain": _person("plain@city.example.jp"),
        "unproven": _person("unproven@city.example.jp", claims={"email_verified": False}),
        "foreign": _person("boss@town.example.jp", "stewards"),
        "local": _person("local@city.example.jp", "stewards"),
        "torn": _person("torn@city.example.jp", "stewards", "elsewhere"),
        "leaver": _person("leaver@city.example.jp", "stewards"),
        "strong": _person("strong@city.example.jp", acr="urn:example:mfa"),
        "other": _person("other@city.example.jp", acr="urn:example:mfa"),
    }
    of_town = {
        "jiro": _person("jiro@town.example.jp", "stewards", amr=["pwd", "otp"]),
        "hanako": _person("hanako@town.example.jp"),
    }
    running_there = [
        External(city, by_key, of_city),
        External(town, by_secret, of_town, algorithm="RS256", claims_at_userinfo=True),
    ]
    async with running(tmp_path_factory.mktemp("npm"), running_there):
        yield {"city": of_city, "town": of_town}


@pytest_asyncio.fixture(loop_scope="session")
async def open_browser(app: FastAPI) -> AsyncIterator[Open]:
    """Opens browsers that have never been here."""
    opened: list[Browser] = []

    def another() -> Browser:
        transport = httpx.ASGITransport(app=app)
        opened.append(Browser(httpx.AsyncClient(transport=transport, base_url=ISSUER)))
        return opened[-1]

    yield another
    for browser in opened:
        await browser.here.aclose()
        await browser.there.aclose()


async def _session(platform: Platform, browser: Browser) -> SignedIn:
    found = await platform.sign_ins.find(browser.here.cookies.get("urbanos"))
    assert found is not None
    return found


async def _refusals(world: World) -> list[tuple[str, str]]:
    """At which provider the log says that somebody was refused, and why."""
    return [(each["provider"], each["code"]) for each in await world.log(Event.SIGN_IN_REFUSED)]


async def _facts(platform: Platform, browser: Browser) -> PersonFacts:
    return await platform.people.get((await _session(platform, browser)).person_id)


async def test_two_organisations_staff_sign_in_each_by_their_own_provider(
    external: dict[str, Any], open_browser: Open, platform: Platform, world: World
) -> None:
    in_city, in_town = open_browser(), open_browser()

    back = await in_city.sign_in(CITY, "hanako", "/account?x=1")
    await in_town.sign_in(TOWN, "jiro")

    hanako, jiro = await _facts(platform, in_city), await _facts(platform, in_town)
    assert (back.status_code, back.headers["location"]) == (303, "/account?x=1")
    assert (hanako.organization_id, set(hanako.roles)) == ("271004-kenko", {"steward", "developer"})
    assert (jiro.organization_id, set(jiro.roles)) == ("271403", {"auditor"})
    entries = await world.log(Event.SIGNED_IN)
    assert [(each["provider"], each["person"]) for each in entries] == [
        (CITY, hanako.person_id),
        (TOWN, jiro.person_id),
    ]
    assert "example.jp" not in str(await world.log())


async def test_the_same_login_at_two_providers_is_two_people(
    external: dict[str, Any], open_browser: Open, platform: Platform
) -> None:
    first, second, again = open_browser(), open_browser(), open_browser()

    await first.sign_in(CITY, "hanako")
    await second.sign_in(TOWN, "hanako")
    await again.sign_in(CITY, "hanako")

    of_city, of_town = await _facts(platform, first), await _facts(platform, second)
    assert of_city.person_id != of_town.person_id
    assert (await _facts(platform, again)).person_id == of_city.person_id


async def test_what_the_provider_says_of_two_factors_counts_as_the_registry_has_it(
    external: dict[str, Any], open_browser: Open, platform: Platform
) -> None:
    by_acr, by_amr, by_none = open_browser(), open_browser(), open_browser()

    await by_acr.sign_in(CITY, "strong")
    await by_amr.sign_in(TOWN, "jiro")
    await by_none.sign_in(CITY, "plain")

    assert (await _session(platform, by_acr)).second_factor_at is not None
    assert (await _session(platform, by_amr)).second_factor_at is not None
    plain = await _session(platform, by_none)
    assert (plain.second_factor_at, plain.methods) == (None, ("fed",))


async def test_somebody_in_no_group_has_no_role(
    external: dict[str, Any], open_browser: Open, platform: Platform
) -> None:
    browser = open_browser()

    await browser.sign_in(CITY, "plain")

    facts = await _facts(platform, browser)
    assert (facts.organization_id, set(facts.roles)) == ("271004", set())


async def test_who_leaves_a_group_loses_its_roles_at_the_next_sign_in(
    external: dict[str, Any],
    open_browser: Open,
    platform: Platform,
    client: httpx.AsyncClient,
    admin: dict[str, str],
) -> None:
    browser = open_browser()
    await browser.sign_in(CITY, "leaver")
    before = await _facts(platform, browser)
    kept = (await client.get(f"/v1/admin/identity-providers/{CITY}", headers=admin)).json()
    names = ("domains", "group_claim", "groups", "acr_values", "amr_values")
    vouching = {name: kept[name] for name in names}
    path = f"/v1/admin/identity-providers/{CITY}/vouching"

    changed = await client.put(path, json={**vouching, "groups": {}}, headers=admin)
    await browser.sign_in(CITY, "leaver")
    after = await _facts(platform, browser)
    await client.put(path, json=vouching, headers=admin)

    assert changed.status_code == 200, changed.text
    assert (set(before.roles), before.organization_id) == ({"steward"}, "271004-kenko")
    assert (set(after.roles), after.organization_id) == (set(), "271004")
    assert after.person_id == before.person_id


@pytest.mark.parametrize(
    ("login", "code"),
    [("unproven", "email_unproven"), ("foreign", "email_unproven"), ("torn", "groups_disagree"),
     ("nobody", "provider_refused")],
)  # fmt: skip
async def test_whom_the_provider_may_not_vouch_for_is_not_let_in(
    external: dict[str, Any],
    open_browser: Open,
    platform: Platform,
    world: World,
    login: str,
    code: str,
) -> None:
    browser = open_browser()

    refused = await browser.sign_in(CITY, login)

    assert refused.status_code in (403, 409)
    assert refused.headers["content-type"].startswith("text/html")
    assert code in refused.text and "<b>no</b>" not in refused.text
    assert "urbanos" not in browser.here.cookies
    (entry,) = await world.log()
    assert (entry["event"], entry["provider"], entry["code"]) == (Event.SIGN_IN_REFUSED, CITY, code)
    async with platform.database.reading() as session:
        assert await people.find_by_email(session, f"{login}@city.example.jp") is None


async def test_an_address_that_is_somebodys_already_is_never_linked(
    external: dict[str, Any], open_browser: Open, platform: Platform, world: World
) -> None:
    async with platform.database.writing() as session:
        new = NewPerson("271004", "現地 一郎", "Local@city.example.jp", {Role.OPERATOR})
        before = (await people.add(session, new, by="test")).id

    refused = await open_browser().sign_in(CITY, "local")

    assert "email_belongs_to_another" in refused.text
    assert await _refusals(world) == [(CITY, "email_belongs_to_another")]
    async with platform.database.reading() as session:
        person = await people.get(session, before)
    assert (person.provider_id, person.subject, person.roles) == (None, None, ["operator"])


async def test_who_was_shut_out_here_does_not_get_in_by_the_provider(
    external: dict[str, Any], open_browser: Open, platform: Platform, world: World
) -> None:
    browser = open_browser()
    await browser.sign_in(TOWN, "hanako")
    person = (await _session(platform, browser)).person_id
    async with platform.database.writing() as session:
        await people.disable(session, person, by="test")

    refused = await browser.sign_in(TOWN, "hanako")

    assert "person_shut_out" in refused.text
    assert await _refusals(world) == [(TOWN, "person_shut_out")]
    async with platform.database.writing() as session:
        await people.enable(session, person, by="test")


async def test_a_disabled_provider_lets_nobody_in_and_shuts_its_people_out(
    external: dict[str, Any],
    open_browser: Open,
    platform: Platform,
    client: httpx.AsyncClient,
    admin: dict[str, str],
    world: World,
) -> None:
    inside, under_way = open_browser(), open_browser()
    await inside.sign_in(TOWN, "jiro")
    person = (await _session(platform, inside)).person_id
    app = await acting(world, await world.party("271403"), person, "agreements:write")
    address = await under_way.begin(TOWN)
    path = f"/v1/admin/identity-providers/{TOWN}"

    await client.post(f"{path}/disable", headers=admin)
    begun = await open_browser().here.get(f"/sign-in/with/{TOWN}")
    ended = await under_way.here.get(await under_way.at_provider(address, "jiro"))
    gone = await platform.sign_ins.find(inside.here.cookies.get("urbanos"))
    asked = await client.get("/v1/groups", headers=app.headers("/v1/groups"))
    await client.post(f"{path}/enable", headers=admin)
    again = await inside.sign_in(TOWN, "jiro")

    assert "provider_disabled" in begun.text and "provider_disabled" in ended.text
    assert await _refusals(world) == [(TOWN, "provider_disabled")]
    assert "provider_disabled" in [e["code"] for e in await world.log(Event.CALL_REFUSED)]
    assert (gone, asked.status_code, again.status_code) == (None, 401, 303)
    let = await client.get("/v1/groups", headers=app.headers("/v1/groups"))
    assert let.status_code == 200


async def test_the_address_leads_to_its_organisations_provider(
    external: dict[str, Any], open_browser: Open
) -> None:
    browser = open_browser()
    asked = await browser.here.get("/sign-in/with", params={"return_to": "//evil.example"})
    csrf = asked.text.partition('name="csrf" value="')[2].partition('"')[0]
    form = {"csrf": csrf, "email": "Jiro@TOWN.example.jp", "return_to": "//evil.example"}

    sent = await browser.here.post("/sign-in/with", data=form)
    unknown = await browser.here.post("/sign-in/with", data={**form, "email": "a@example.org"})
    forged = await browser.here.post("/sign-in/with", data={**form, "csrf": "x"})

    assert sent.headers["location"] == f"/sign-in/with/{TOWN}?return_to=%2Faccount"
    assert (unknown.status_code, forged.status_code) == (404, 403)
    assert "no_provider_for_domain" in unknown.text and "form_not_ours" in forged.text


async def test_an_answer_counts_once_and_in_the_browser_that_asked(
    external: dict[str, Any], open_browser: Open, world: World
) -> None:
    mine, theirs = open_browser(), open_browser()
    back = await mine.at_provider(await mine.begin(CITY), "plain")
    await theirs.begin(CITY)
    elsewhere = back.replace(CITY, TOWN)

    stolen = await theirs.here.get(back)
    at_another = await mine.here.get(elsewhere)
    changed = await mine.here.get(back.replace("state=", "state=x"))
    own = await mine.here.get(back)
    replayed = await mine.here.get(back)

    assert own.status_code == 303
    for refused in (stolen, at_another, changed, replayed):
        assert refused.status_code == 403 and "sign_in_not_begun" in refused.text
    assert "urbanos" not in theirs.here.cookies
    assert await _refusals(world) == [
        (provider, "sign_in_not_begun") for provider in (CITY, TOWN, CITY, CITY)
    ]


async def test_an_answer_after_ten_minutes_is_too_late(
    external: dict[str, Any],
    open_browser: Open,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser = open_browser()
    back = await browser.at_provider(await browser.begin(CITY), "plain")
    later = clock.now() + timedelta(minutes=10, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)

    late = await browser.here.get(back)

    assert "sign_in_not_begun" in late.text
    assert await _refusals(world) == [(CITY, "sign_in_not_begun")]


async def test_the_request_to_the_provider_has_pkce_and_nothing_secret(
    external: dict[str, Any], open_browser: Open, platform: Platform
) -> None:
    asked = parse_qs(urlsplit(await open_browser().begin(CITY)).query)

    stored = await platform.database.pool.fetch("SELECT * FROM sign_in_under_way")
    assert asked["code_challenge_method"] == ["S256"] and len(asked["code_challenge"][0]) == 43
    assert asked["scope"] == ["openid profile email groups"]
    assert asked["state"] != asked["nonce"]
    assert not any(asked[name][0] in str(row) for row in stored for name in ("state", "nonce"))


async def test_a_second_factor_is_proven_at_the_provider_by_the_same_person(
    external: dict[str, Any], open_browser: Open, platform: Platform
) -> None:
    browser = open_browser()
    await browser.sign_in(CITY, "strong")
    before = browser.here.cookies["urbanos"]
    first = await _session(platform, browser)

    sent = await browser.here.get("/sign-in/again", params={"return_to": "/account?step"})
    asked = parse_qs(urlsplit(sent.headers["location"]).query)
    back = await browser.here.get(await browser.at_provider(sent.headers["location"], "strong"))

    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    assert asked["acr_values"] == ["urn:example:mfa"]
    assert (back.status_code, back.headers["location"]) == (303, "/account?step")
    now = await _session(platform, browser)
    assert now.second_factor_at and first.second_factor_at
    assert now.second_factor_at > first.second_factor_at
    assert now.signed_in_at == first.signed_in_at
    assert await platform.sign_ins.find(before) is None


@pytest.mark.parametrize(
    ("login", "code"), [("plain", "no_second_factor"), ("other", "somebody_else")]
)
async def test_a_second_factor_of_somebody_else_or_none_is_none(
    external: dict[str, Any],
    open_browser: Open,
    platform: Platform,
    world: World,
    login: str,
    code: str,
) -> None:
    browser = open_browser()
    await browser.sign_in(CITY, "plain")
    before = await _session(platform, browser)
    sent = await browser.here.get("/sign-in/again")
    browser.there.cookies.clear()  # somebody else, at another provider's session

    refused = await browser.here.get(await browser.at_provider(sent.headers["location"], login))

    assert code in refused.text
    assert await _refusals(world) == [(CITY, code)]
    assert await _session(platform, browser) == before


async def test_two_first_sign_ins_at_once_make_one_person(
    external: dict[str, Any], open_browser: Open, platform: Platform
) -> None:
    both = [open_browser(), open_browser()]
    backs = [await each.at_provider(await each.begin(CITY), "other") for each in both]

    answers = await asyncio.gather(
        *(each.here.get(back) for each, back in zip(both, backs, strict=True))
    )

    assert [each.status_code for each in answers] == [303, 303]
    assert len({(await _facts(platform, each)).person_id for each in both}) == 1
