"""Who acts is the person, whatever apps they use; and what binds needs their second factor."""

from typing import Any

import asyncpg
import httpx
import pytest

from app.audit.events import Event
from app.models.parties import Role
from app.oauth.tokens import TWO_FACTORS
from tests.agreements.test_access import AGREEMENTS, REQUESTS, WHY, ask
from tests.oauth.people import acting, somebody
from tests.oauth.senders import Sender
from tests.world import KENKO, SAKAI, World

CITY = "271004"  # its stewards stand above its bureau: they could play both sides
SCOPE = "agreements:write"


async def post(world: World, sender: Sender, path: str, body: Any = None) -> httpx.Response:
    return await world.client.post(path, json=body or {}, headers=sender.headers(path, "POST"))


async def signed_in(
    world: World, person_id: str, *, organization: str = CITY, ago_s: int = 0, second: bool = True
) -> Sender:
    """Somebody in an app of its own."""
    app = await world.party(organization)
    return await acting(world, app, person_id, SCOPE, second_factor=second, ago_s=ago_s)


async def requested(world: World, sender: Sender) -> dict[str, Any]:
    dataset = await world.dataset()
    asked = await ask(world, dataset, sender.headers(REQUESTS, "POST"))
    assert asked.status_code == 201, asked.text
    made: dict[str, Any] = asked.json()
    return made


async def test_one_person_through_two_apps_is_one_person(world: World) -> None:
    person = await somebody(world, CITY, Role.STEWARD)
    one, other = [await signed_in(world, person) for _ in range(2)]
    request = await requested(world, one)

    approved = await post(world, other, f"{REQUESTS}/{request['id']}/approve")

    assert one.party.id != other.party.id
    assert (approved.status_code, approved.json()["code"]) == (403, "same_person")
    assert [entry["code"] for entry in await world.log(Event.CALL_REFUSED)] == ["same_person"]


async def test_two_people_through_one_app_are_two(world: World) -> None:
    app = await world.party(CITY)
    people = [await somebody(world, CITY, Role.STEWARD) for _ in range(2)]
    one, other = [await acting(world, app, each, SCOPE, second_factor=True) for each in people]
    request = await requested(world, one)

    made = (await post(world, other, f"{REQUESTS}/{request['id']}/approve")).json()
    ended = (await post(world, one, f"{AGREEMENTS}/{made['id']}/revoke", WHY)).json()

    assert [made["requested_by"], made["approved_by"]] == people
    assert ended["state_changed_by"] == people[0]
    assert (request["offers"][0]["made_by"], request["offers"][0]["made_via"]) == (
        people[0],
        app.id,
    )
    assert [entry["by"] for entry in await world.log(Event.ACCESS_REQUESTED)] == [people[0]]
    assert [entry["by"] for entry in await world.log(Event.ACCESS_DECIDED)] == [people[1]]


async def test_a_person_does_not_take_the_offer_that_they_made_through_another_app(
    world: World,
) -> None:
    person = await somebody(world, CITY, Role.STEWARD)
    one, other = [await signed_in(world, person) for _ in range(2)]
    request = await requested(world, one)
    await post(world, one, f"{REQUESTS}/{request['id']}/counter", {"columns": ["name"]})

    accepted = await post(world, other, f"{REQUESTS}/{request['id']}/accept", {"offer": 2})

    assert (accepted.status_code, accepted.json()["code"]) == (403, "same_person")


async def test_the_database_compares_the_people_too(world: World) -> None:
    person = await somebody(world, CITY, Role.STEWARD)
    request = await requested(world, await signed_in(world, person))

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(
            "UPDATE access_request SET state = 'approved', decided_by = $2, decided_at = now()"
            " WHERE id = $1",
            request["id"],
            person,
        )


@pytest.mark.parametrize(
    ("second", "ago_s", "status"),
    [(True, 0, 201), (True, 14 * 60, 201), (True, 15 * 60 + 5, 401), (False, 0, 401)],
)
@pytest.mark.parametrize("verb", ["approve", "accept"])
async def test_what_binds_needs_a_second_factor_of_the_last_fifteen_minutes(
    world: World, verb: str, second: bool, ago_s: int, status: int
) -> None:
    steward = await signed_in(world, await somebody(world, CITY, Role.STEWARD))
    consumer = await somebody(world, SAKAI, Role.DEVELOPER)
    request = await requested(world, await signed_in(world, consumer, organization=SAKAI))
    path = f"{REQUESTS}/{request['id']}"
    if verb == "accept":
        await post(world, steward, f"{path}/counter", {"columns": ["name"]})
        person, organization, body = consumer, SAKAI, {"offer": 2}
    else:
        person, organization, body = await somebody(world, CITY, Role.STEWARD), CITY, {}
    sender = await signed_in(world, person, organization=organization, ago_s=ago_s, second=second)

    answer = await post(world, sender, f"{path}/{verb}", body)

    assert answer.status_code == status, answer.text
    if status == 401:
        told = answer.headers["WWW-Authenticate"]
        assert answer.json()["code"] == "insufficient_user_authentication"
        assert 'error="insufficient_user_authentication"' in told
        assert f'acr_values="{TWO_FACTORS}"' in told and "max_age=900" in told
        assert await world.log(Event.ACCESS_DECIDED) == []


async def test_an_offer_of_the_provider_needs_it_for_it_is_its_approval(world: World) -> None:
    provider = await somebody(world, KENKO, Role.STEWARD)
    strong, weak = [
        await signed_in(world, provider, organization=KENKO, second=each) for each in (True, False)
    ]
    consumer = await signed_in(
        world, await somebody(world, SAKAI, Role.DEVELOPER), organization=SAKAI, second=False
    )
    asked = f"{REQUESTS}/{(await requested(world, consumer))['id']}"
    other, back = {"columns": ["name"]}, {"columns": ["capacity"]}

    countered = [await post(world, each, f"{asked}/counter", other) for each in (weak, strong)]
    again = await post(world, consumer, f"{asked}/counter", back)
    made = (await post(world, strong, f"{asked}/approve")).json()
    amend = f"{AGREEMENTS}/{made['id']}/amend"
    amended = [await post(world, each, amend, other) for each in (weak, strong, consumer)]

    refused = [countered[0], amended[0]]
    assert {each.json()["code"] for each in refused} == {"insufficient_user_authentication"}
    assert [each.status_code for each in countered] == [401, 200]
    assert again.status_code == 200
    assert [each.status_code for each in amended] == [401, 201, 201]


async def test_revoking_needs_it_and_stopping_for_the_time_being_does_not(world: World) -> None:
    people = [await somebody(world, CITY, Role.STEWARD) for _ in range(2)]
    one, other = [await signed_in(world, each) for each in people]
    request = await requested(world, one)
    made = (await post(world, other, f"{REQUESTS}/{request['id']}/approve")).json()
    weak = await signed_in(world, people[0], second=False)

    revoked = await post(world, weak, f"{AGREEMENTS}/{made['id']}/revoke", WHY)
    suspended = await post(world, weak, f"{AGREEMENTS}/{made['id']}/suspend", WHY)

    assert (revoked.status_code, revoked.json()["code"]) == (
        401,
        "insufficient_user_authentication",
    )
    assert suspended.json()["state"] == "suspended"


@pytest.mark.parametrize(
    "gone",
    [
        "UPDATE client SET revoked_at = now() WHERE id = $1 AND $2 <> ''",
        "UPDATE person SET disabled_at = now() WHERE id = $2 AND $1 <> ''",
    ],
)
async def test_an_offer_of_who_is_no_longer_trusted_is_not_taken(world: World, gone: str) -> None:
    person = await somebody(world, SAKAI, Role.DEVELOPER)
    one = await signed_in(world, person, organization=SAKAI)
    request = await requested(world, one)
    steward = await signed_in(world, await somebody(world, KENKO, Role.STEWARD))
    await world.platform.database.pool.execute(gone, one.party.id, person)

    approved = await post(world, steward, f"{REQUESTS}/{request['id']}/approve")

    assert approved.json()["code"] == "requester_revoked"
