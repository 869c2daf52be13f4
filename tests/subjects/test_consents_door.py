"""Providers record consents on paper, each party sees its own and its own names, receipts prove."""

import re
from typing import Any

import httpx
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from app.models.parties import Role
from tests.oauth.senders import Sender, sender
from tests.stock import PURPOSE, path
from tests.subjects.consenting import Register, register
from tests.world import KENKO, SAKAI, World

CONSENTS = "/v1/consents"
IKEDA = "272043"


async def at_work(world: World, organization: str, *roles: Role) -> Sender:
    """A client that may speak of agreements, by a token bound to its key."""
    return await sender(world, await world.party(organization, *roles), "agreements:write")


async def post(world: World, who: Sender, where: str, body: Any = None) -> httpx.Response:
    return await world.client.post(where, json=body, headers=who.headers(where, "POST"))


async def get(world: World, who: Sender, where: str, **query: str) -> httpx.Response:
    return await world.client.get(where, params=query, headers=who.headers(where))


async def recorded(people: Register, steward: Sender, at: int = 1) -> httpx.Response:
    """The steward records that the person of a record has signed."""
    world, asked = people.world, {"consumer": SAKAI, "purpose": PURPOSE}
    text = await post(world, steward, f"{CONSENTS}/texts", {"dataset": people.dataset, **asked})
    assert text.status_code == 200, text.text
    signed = {"person": people.people[at - 1], "text_sha256": text.json()["sha256"]}
    return await post(world, steward, CONSENTS, signed)


async def test_a_consent_on_paper_lets_the_record_out_until_it_is_withdrawn(world: World) -> None:
    people = await register(world)
    steward = await at_work(world, KENKO, Role.STEWARD)

    given = await recorded(people, steward)
    while_given = await people.seen()
    again = await recorded(people, steward)
    gone = await post(world, steward, f"{CONSENTS}/{given.json()['id']}/withdraw")

    assert (given.status_code, given.json()["state"]) == (201, "in_force")
    assert (given.json()["person"], given.json()["method"]) == (people.people[0], "paper")
    assert while_given == ["1"]
    assert (again.status_code, again.json()["code"]) == (409, "consent_already_given")
    assert (gone.status_code, gone.json()["state"]) == (200, "withdrawn")
    assert await people.seen() == []


async def test_each_party_lists_its_consents_by_its_own_names_of_people(world: World) -> None:
    people = await register(world)
    steward = await at_work(world, KENKO, Role.STEWARD)
    consumer = await at_work(world, SAKAI, Role.DEVELOPER)
    given = (await recorded(people, steward)).json()
    theirs = (await people.of(1)).get(SAKAI, frozenset())

    ours = await get(world, steward, CONSENTS, dataset=people.dataset)
    listed = await get(world, consumer, CONSENTS, dataset=people.dataset)
    others = [
        await get(world, await at_work(world, *who), CONSENTS, dataset=people.dataset)
        for who in ((IKEDA, Role.STEWARD), (KENKO, Role.DEVELOPER))
    ]

    assert [(e["id"], e["person"]) for e in ours.json()["items"]] == [
        (given["id"], people.people[0])
    ]
    [told] = listed.json()["items"]
    assert re.fullmatch("[a-z2-7]{26}", told["person"])
    assert people.people[0] not in listed.text
    assert theirs <= {told["person"]} == (await people.of(1))[SAKAI]
    assert [each.json()["items"] for each in others] == [[], []]


async def test_a_receipt_is_verified_by_the_published_keys_alone_and_says_all_that_was_agreed(
    world: World,
) -> None:
    people = await register(world)
    steward = await at_work(world, KENKO, Role.STEWARD)
    consumer = await at_work(world, SAKAI, Role.DEVELOPER)
    given = (await recorded(people, steward)).json()
    where = f"{CONSENTS}/{given['id']}/receipt"
    keys = KeySet.import_key_set((await world.client.get("/oauth/jwks")).json())

    ours, theirs = await get(world, steward, where), await get(world, consumer, where)
    await post(world, steward, f"{CONSENTS}/{given['id']}/withdraw")
    after = jwt.decode((await get(world, steward, where)).text, keys, algorithms=["ES256"])

    assert ours.headers["content-type"].startswith("application/jose")
    assert jws.extract_compact(ours.content).headers()["typ"] == "consent-receipt+jwt"
    told = jwt.decode(ours.text, keys, algorithms=["ES256"]).claims
    [purpose] = told["pii_processing"]["purposes"]
    assert told["record"]["record_id"] == given["id"]
    assert told["record"]["pii_principal_id"] == people.people[0]
    assert (purpose["pii_controllers"], purpose["recipient_third_parties"]) == ([KENKO], [SAKAI])
    assert (purpose["purpose_type"], purpose["services"]) == (PURPOSE, [people.dataset])
    assert told["pii_processing"]["privacy_notice"]["sha256"] == given["text_sha256"]
    assert [each["event_state"] for each in told["event"]] == ["consent given"]
    assert told["event"][0]["valid_until"] == given["valid_until"]
    assert [each["event_state"] for each in after.claims["event"]] == [
        "consent given", "consent withdrawn",
    ]  # fmt: skip
    consumers = jwt.decode(theirs.text, keys, algorithms=["ES256"]).claims
    assert people.people[0] not in str(consumers)


async def test_consents_are_closed_to_whom_they_do_not_concern(world: World) -> None:
    people = await register(world)
    steward = await at_work(world, KENKO, Role.STEWARD)
    consumer = await at_work(world, SAKAI, Role.STEWARD)
    stranger = await at_work(world, IKEDA, Role.STEWARD)
    given = (await recorded(people, steward)).json()["id"]
    asked = {"dataset": people.dataset, "consumer": SAKAI, "purpose": PURPOSE}
    loose = await world.token(await world.party(KENKO, Role.STEWARD), "agreements:write")

    refused = [
        await post(world, consumer, f"{CONSENTS}/{given}/withdraw"),
        await post(world, stranger, f"{CONSENTS}/{given}/withdraw"),
        await get(world, stranger, f"{CONSENTS}/{given}/receipt"),
        await post(world, consumer, f"{CONSENTS}/texts", asked),
        await world.client.get(CONSENTS, headers=loose),
        await post(world, await at_work(world, KENKO, Role.DEVELOPER), f"{CONSENTS}/texts", asked),
    ]

    assert [(each.status_code, each.json()["code"]) for each in refused] == [
        (404, "consent_not_found"), (404, "consent_not_found"), (404, "consent_not_found"),
        (403, "not_the_publisher"), (403, "token_not_bound"), (403, "role_missing"),
    ]  # fmt: skip
    assert await people.seen() == ["1"]


async def test_nobody_consents_for_a_person_whom_the_provider_does_not_name(world: World) -> None:
    people = await register(world)
    steward = await at_work(world, KENKO, Role.STEWARD)
    consumers = (await people.of(1)).get(SAKAI) or {
        (await world.platform.linker.translate(people.people[:1], of=KENKO, for_=SAKAI))[
            people.people[0]
        ]
    }
    text = (await people.offered()).sha256

    answers = [
        await post(world, steward, CONSENTS, {"person": name, "text_sha256": text})
        for name in ("nobody", *consumers)
    ]
    unknown = await post(
        world, steward, CONSENTS, {"person": people.people[0], "text_sha256": "0" * 64}
    )

    assert {(each.status_code, each.json()["code"]) for each in answers} == {
        (409, "person_not_named")
    }
    assert (unknown.status_code, unknown.json()["code"]) == (409, "consent_text_not_in_force")
    assert (await people.get(path(people.dataset))).json()["records"] == []
