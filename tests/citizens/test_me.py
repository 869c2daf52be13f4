"""A citizen's own doors and page: what they consented to, who read what about them, and its end."""

import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import KeySet

from app.oauth.tokens import claims_of
from app.policy.assurance import Level
from tests.citizens.browsing import HANAKO, JIRO, TARO, CitizensBrowser, hidden
from tests.oauth.senders import Sender
from tests.oauth.signing_in import an_app
from tests.stock import PURPOSE, path
from tests.subjects.consenting import Register, register
from tests.world import KENKO, SAKAI, Party, World

CONSENTS, ACCESSES = "/v1/me/consents", "/v1/me/accesses"


@pytest_asyncio.fixture(loop_scope="session")
async def provider_app(world: World) -> Party:
    """An app of the organisation that holds the register."""
    return await an_app(world, organization=KENKO, staff_of=(), citizens=True)


@dataclass(slots=True)
class Citizen:
    """Somebody who is signed in surely enough, and has a record in a register of others'."""

    sent: Sender
    register: Register
    client: httpx.AsyncClient
    browser: httpx.AsyncClient

    async def get(self, where: str, **query: str) -> httpx.Response:
        return await self.client.get(where, params=query, headers=self.sent.headers(where))

    async def post(self, where: str, body: dict[str, Any] | None = None) -> httpx.Response:
        headers = self.sent.headers(where, "POST")
        return await self.client.post(where, json=body, headers=headers)

    async def offer(self) -> dict[str, Any]:
        """What the app is given to let her read."""
        on = {"dataset": self.register.dataset, "consumer": SAKAI, "purpose": PURPOSE}
        answer = await self.get(f"{CONSENTS}/offer", **on)
        assert answer.status_code == 200, answer.text
        offer: dict[str, Any] = answer.json()
        return offer

    async def consent(self) -> dict[str, Any]:
        """Read the text on its page, and consent to it there."""
        shown = await self.browser.get((await self.offer())["page"])
        assert shown.status_code == 200, shown.text
        given = await self.browser.post("/me/consents", data=answered(shown.text, "give"))
        assert given.status_code == 303, given.text
        (consent,) = await self.consents()
        return consent

    async def consents(self) -> list[dict[str, Any]]:
        """Hers on this register."""
        items = (await self.get(CONSENTS)).json()["items"]
        return [each for each in items if each["dataset"]["id"] == self.register.dataset]


def answered(page: str, answer: str) -> dict[str, str]:
    """What one of the two buttons sends."""
    return {**hidden(page), "answer": answer}


async def _citizen(
    browser: CitizensBrowser, app: Party, found: Register, login: str = HANAKO
) -> Citizen:
    """Signed in at the app of who holds the register, whose name for them stands in a record."""
    await browser.sign_in(login)
    sent = await browser.sender(app)
    where = path(found.dataset)
    name = claims_of(sent.token)["sub"]
    row = {"no": login, "who": name, "name": "架空", "size": 7}
    wrote = await found.world.client.post(
        where, json=[row], headers=found.own.headers(where, "POST")
    )
    assert wrote.status_code == 200, wrote.text
    return Citizen(sent, found, found.world.client, browser.here)


async def test_the_path_of_a_citizen_from_the_sign_in_to_the_last_read(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 2)
    hanako = await _citizen(browser, provider_app, found)
    before = await found.seen()

    consent = await hanako.consent()
    read = await found.seen()
    listed = (await hanako.get(CONSENTS)).json()["items"]
    accesses = (await hanako.get(ACCESSES)).json()["items"]
    ended = await hanako.post(f"{CONSENTS}/{consent['id']}/withdraw")
    withdrawn_at = time.monotonic()
    after = await found.seen()

    assert (before, read, after) == ([], [HANAKO], [])
    assert time.monotonic() - withdrawn_at < 5
    assert ended.status_code == 200 and ended.json()["withdrawn_at"]
    (mine,) = listed
    assert mine["id"] == consent["id"] and mine["in_force"] and not mine["uses_cut"]
    (use,) = mine["uses"]
    assert use == accesses[0]
    assert use["reader"]["id"] == SAKAI and use["reader"]["ja"] == "堺市"
    assert use["provider"]["id"] == KENKO and use["dataset"]["id"] == found.dataset
    assert use["purpose"]["id"] == PURPOSE and use["purpose"]["en"]
    assert {each["id"] for each in use["fields"]} == {"no", "name", "size"}
    told = repr(await world.log())
    for names in (await found.of(1), {KENKO: {claims_of(hanako.sent.token)["sub"]}}):
        assert not any(name in told for each in names.values() for name in each)
    assert HANAKO not in told


async def test_who_signed_in_less_surely_is_told_how_surely_it_must_be(
    browser: CitizensBrowser, city: Party, client: httpx.AsyncClient
) -> None:
    await browser.sign_in(HANAKO, "low")
    sent = await browser.sender(city)

    answers = [
        await client.get(where, headers=sent.headers(where)) for where in (CONSENTS, ACCESSES)
    ]
    page = await browser.here.get("/me")

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (403, "acr_insufficient")
        challenge = answer.headers["WWW-Authenticate"]
        assert 'error="insufficient_user_authentication"' in challenge
        assert f'acr_values="{Level.SUBSTANTIAL.acr}"' in challenge
    assert page.status_code == 303 and "level=substantial" in page.headers["location"]


async def test_what_a_token_was_not_given_for_it_does_not_open(
    browser: CitizensBrowser, city: Party, client: httpx.AsyncClient
) -> None:
    await browser.sign_in(HANAKO)
    sent = await browser.sender(city, "me:accesses")

    consents = await client.get(CONSENTS, headers=sent.headers(CONSENTS))
    accesses = await client.get(ACCESSES, headers=sent.headers(ACCESSES))
    nobody = await client.get(CONSENTS)
    stolen = await client.get(CONSENTS, headers={"Authorization": f"Bearer {sent.token}"})

    assert (consents.status_code, consents.json()["code"]) == (403, "insufficient_scope")
    assert (accesses.status_code, nobody.status_code, stolen.status_code) == (200, 401, 401)


async def test_another_citizen_sees_and_ends_nothing_of_hers(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 1)
    hanako = await _citizen(browser, provider_app, found)
    consent = await hanako.consent()
    await found.seen()
    taro = await _citizen(browser, provider_app, found, TARO)

    listed = await taro.get(CONSENTS)
    read = await taro.get(ACCESSES)
    tried = await taro.post(f"{CONSENTS}/{consent['id']}/withdraw")

    assert listed.json() == {"items": []}
    assert read.json()["items"] == []
    assert (tried.status_code, tried.json()["code"]) == (404, "consent_not_found")
    assert await found.seen() == [HANAKO]


async def test_a_receipt_says_what_she_consented_to_and_calls_her_as_her_app_does(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 1)
    hanako = await _citizen(browser, provider_app, found)
    where = f"{CONSENTS}/{(await hanako.consent())['id']}/receipt"

    receipt = await hanako.get(where)
    taro = await _citizen(browser, provider_app, found, TARO)
    of_another = await taro.get(where)

    keys = (await world.client.get("/oauth/jwks")).json()
    told = jwt.decode(receipt.text, KeySet.import_key_set(keys), algorithms=["ES256"]).claims
    assert told["record"]["pii_principal_id"] == claims_of(hanako.sent.token)["sub"]
    assert told["event"][0]["acr"] == Level.HIGH.acr
    assert (of_another.status_code, of_another.json()["code"]) == (404, "consent_not_found")


async def test_reads_are_listed_in_pages_the_newest_first(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 1)
    hanako = await _citizen(browser, provider_app, found)
    await hanako.consent()
    for _ in range(3):
        await found.seen()

    first = (await hanako.get(ACCESSES, limit="2")).json()
    second = (await hanako.get(ACCESSES, limit="2", cursor=first["next"])).json()
    wrong = await hanako.get(ACCESSES, cursor="eA")

    entries = [each["entry"] for each in (*first["items"], *second["items"])]
    assert entries == sorted(entries, reverse=True) and len(set(entries)) == len(entries) >= 3
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")


async def test_no_app_consents_for_a_citizen_who_has_not_read_the_text(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 1)
    hanako = await _citizen(browser, provider_app, found)
    offer = await hanako.offer()

    by_app = await hanako.post(CONSENTS, {"text_sha256": offer["sha256"]})
    page = await browser.here.get(offer["page"])
    forged = await browser.here.post(
        "/me/consents", data={**answered(page.text, "give"), "csrf": "x" * 43}
    )
    refused = await browser.here.post("/me/consents", data=answered(page.text, "do-not"))
    nothing = await hanako.consents()
    agreed = await browser.here.post("/me/consents", data=answered(page.text, "give"))

    assert (by_app.status_code, forged.status_code) == (405, 403)
    assert (refused.status_code, nothing) == (303, [])
    assert all(line in page.text for line in offer["ja"].splitlines())
    assert "同意しない" in page.text and "I do not consent" in page.text
    (consent,) = await hanako.consents()
    assert agreed.status_code == 303 and consent["text_sha256"] == offer["sha256"]
    assert (consent["method"], consent["acr"]) == ("online", Level.HIGH.acr)
    assert await found.seen() == [HANAKO]


async def test_nobody_consents_to_what_is_not_offered_or_before_they_sign_in_surely_enough(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 1)
    hanako = await _citizen(browser, provider_app, found)
    offer = await hanako.offer()
    page = await browser.here.get(offer["page"])

    unknown = [await browser.here.get(f"/me/consents/{each}") for each in ("0" * 64, "x", "%00")]
    other = {**answered(page.text, "give"), "text": "0" * 64}
    posted = await browser.here.post("/me/consents", data=other)
    await browser.sign_in(HANAKO, "low")
    unsure = await browser.here.get(offer["page"])
    pressed = await browser.here.post("/me/consents", data=answered(page.text, "give"))

    assert [each.status_code for each in (*unknown, posted)] == [409] * 4
    assert "consent_text_not_in_force" in posted.text
    assert (unsure.status_code, pressed.status_code) == (303, 403)
    assert "level=substantial" in unsure.headers["location"]
    ways = await browser.here.get(unsure.headers["location"])
    assert "「中」以上" in ways.text and browser.provider in ways.text
    assert await found.seen() == []


async def test_who_has_no_name_anywhere_sees_an_empty_page_and_is_told_so_when_they_consent(
    browser: CitizensBrowser, world: World
) -> None:
    found = await register(world, 1)
    await browser.sign_in(JIRO)
    me = await browser.here.get("/me")
    offer = await found.offered()
    page = await browser.here.get(f"/me/consents/{offer.sha256}")

    pressed = await browser.here.post("/me/consents", data=answered(page.text, "give"))

    assert me.status_code == 200 and "同意はありません。" in me.text
    assert (pressed.status_code, "person_not_named" in pressed.text) == (409, True)


async def test_an_offer_tells_nothing_of_what_is_not_agreed_or_not_there(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 1)
    hanako = await _citizen(browser, provider_app, found)
    on = {"dataset": found.dataset, "consumer": SAKAI, "purpose": PURPOSE}
    wrong = [{each: "no-such"} for each in on]
    odd = [{"dataset": "\x00"}, {"dataset": ""}, {"person": "somebody"}]

    refused = [await hanako.get(f"{CONSENTS}/offer", **{**on, **each}) for each in wrong]
    unread = [await hanako.get(f"{CONSENTS}/offer", **{**on, **each}) for each in odd]

    assert {each.json()["code"] for each in refused} == {"nothing_to_consent_to"}
    assert [each.status_code for each in unread] == [400, 400, 400]


async def test_on_the_page_a_citizen_sees_what_was_read_and_ends_it_with_a_button(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 1)
    hanako = await _citizen(browser, provider_app, found)
    consent = await hanako.consent()
    await found.seen()

    page = await browser.here.get("/me")
    sent = {"consent": consent["id"], "csrf": hidden(page.text)["csrf"]}
    forged = await browser.here.post("/me/withdraw", data={**sent, "csrf": "x" * 43})
    still = await found.seen()
    done = await browser.here.post("/me/withdraw", data=sent)
    again = await browser.here.get("/me")

    assert page.status_code == 200 and "<script" not in page.text
    for told in ("堺市", "同意をとりやめる", "Withdraw", "見た組織", "Read by"):
        assert told in page.text
    assert (forged.status_code, still) == (403, [HANAKO])
    assert (done.status_code, await found.seen()) == (303, [])
    assert f'value="{consent["id"]}"' not in again.text and "に終わりました" in again.text


async def test_the_page_ends_nothing_of_another_citizens(
    browser: CitizensBrowser, world: World, provider_app: Party
) -> None:
    found = await register(world, 1)
    hanako = await _citizen(browser, provider_app, found)
    consent = await hanako.consent()
    await browser.sign_in(TARO)
    page = await browser.here.get("/me")

    tries = [
        await browser.here.post(
            "/me/withdraw", data={"consent": each, "csrf": hidden(page.text)["csrf"]}
        )
        for each in (consent["id"], "no id", "00000000-0000-4000-8000-000000000000")
    ]

    assert consent["id"] not in page.text
    assert [each.status_code for each in tries] == [404, 404, 404]
    assert await found.seen() == [HANAKO]
