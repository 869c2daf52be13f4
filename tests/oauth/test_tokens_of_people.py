"""Access tokens of a member of staff: whose authority they carry, and when it ends."""

from typing import Any

import httpx
import pytest
from joserfc import jwt

from app.audit.events import Event
from app.models.parties import Role
from app.oauth.tokens import ONE_FACTOR, TWO_FACTORS
from app.parties import people
from tests.oauth.people import acting, somebody
from tests.oauth.senders import Sender
from tests.stock import path, stocked
from tests.world import KENKO, SAKAI, World

PATH = "/v1/admin/organizations"


async def ask(world: World, sender: Sender) -> httpx.Response:
    """List the organisations."""
    return await world.client.get(PATH, headers=sender.headers(PATH))


async def test_an_app_acts_with_the_roles_of_the_person_and_not_its_own(world: World) -> None:
    app = await world.party(KENKO, Role.STEWARD)
    clerk = await somebody(world, SAKAI, Role.STEWARD)
    scope = "organization:write catalogue:write"
    other = await somebody(world, SAKAI)

    with_role, without = [await acting(world, app, each, scope) for each in (clerk, other)]

    answers = [
        await world.client.post(
            "/v1/datasets", headers=each.headers("/v1/datasets", "POST"), json=_dataset()
        )
        for each in (with_role, without)
    ]
    assert [each.status_code for each in answers] == [201, 403], [each.text for each in answers]
    assert answers[0].json()["publisher"]["id"] == SAKAI
    assert answers[1].json()["code"] == "role_missing"


def _dataset() -> dict[str, Any]:
    return {
        "id": "d-of-a-person",
        "title_ja": "試験",
        "steward": {"name": "試験"},
        "update_frequency": "irregular",
    }


async def test_the_log_names_the_person_who_read_or_was_refused_and_the_app_that_asked(
    world: World,
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "a", "size": 1}], data_class="internal")
    app = await world.party(KENKO)
    clerk, outsider = await somebody(world, KENKO), await somebody(world, SAKAI)
    scope = f"dataset:{dataset}:read catalogue:write"

    where, versions = path(dataset), f"/v1/datasets/{dataset}/versions"
    readers = [await acting(world, app, each, scope) for each in (clerk, outsider)]
    answers = [
        await world.client.get(where, params={"purpose": "own-duty"}, headers=each.headers(where))
        for each in readers
    ]
    sent = await world.client.post(versions, headers=readers[1].headers(versions, "POST"))

    assert [each.status_code for each in (*answers, sent)] == [200, 403, 403]
    for event, who in (
        (Event.RECORDS_READ, clerk),
        (Event.RECORDS_REFUSED, outsider),
        (Event.CALL_REFUSED, outsider),
    ):
        entries = await world.log(event)
        assert [(each["client"], each["person"]) for each in entries] == [(app.id, who)], event


async def test_a_disabled_persons_token_is_refused_from_the_next_request_on(world: World) -> None:
    app = await world.party(KENKO)
    person_id = await somebody(world, SAKAI, Role.OPERATOR)
    sender = await acting(world, app, person_id, "admin:read")
    before = await ask(world, sender)

    async with world.platform.database.writing() as session:
        await people.disable(session, person_id, by="test")
    world.platform.live.changed("person", person_id)

    after = await ask(world, sender)
    assert (before.status_code, after.status_code) == (200, 401)
    assert "person_disabled" in after.json()["detail"]


async def test_a_persons_token_dies_with_the_app_that_it_was_given_to(world: World) -> None:
    app = await world.party(KENKO)
    admin = await world.party(KENKO, Role.OPERATOR)
    sender = await acting(world, app, await somebody(world, SAKAI, Role.OPERATOR), "admin:read")
    before = await ask(world, sender)

    revoked = await world.client.post(
        f"/v1/admin/clients/{app.id}/revoke", headers=await world.token(admin, "admin:write")
    )

    assert revoked.status_code == 200
    assert (before.status_code, (await ask(world, sender)).status_code) == (200, 401)


@pytest.mark.parametrize(
    "wrong",
    [
        {"acr": None},
        {"auth_time": None},
        {"acr": "urn:urbanos:acr:3"},
        {"auth_time": True},
        {"auth_time": "now"},
        {"acr": None, "auth_time": None},
        {"acr": None, "auth_time": None, "act": {"sub": "x"}},
        {"act": "x"},
        {"sub": "a-client"},
    ],
)
async def test_what_is_half_said_of_a_person_is_no_token(
    world: World, wrong: dict[str, Any]
) -> None:
    app = await world.party(KENKO)
    person_id = await somebody(world, SAKAI, Role.OPERATOR)
    good = await acting(world, app, person_id, "admin:read")
    keys = await world.platform.keys.get()
    claims = jwt.decode(good.token, keys.public[keys.current_kid], algorithms=["ES256"]).claims
    said = {name: value for name, value in (claims | wrong).items() if value is not None}
    if wrong == {"sub": "a-client"}:
        said["client_id"] = said["sub"]  # whoever it is, no person is a client
    header = {"alg": "ES256", "typ": "at+jwt", "kid": keys.current_kid}
    forged = jwt.encode(header, said, keys.current, algorithms=["ES256"])

    refused = await ask(world, Sender(app, forged, {}, good.key))

    assert (await ask(world, good)).status_code == 200
    assert refused.status_code == 401


def test_the_factors_have_names_that_stay() -> None:
    assert (ONE_FACTOR, TWO_FACTORS) == ("urn:urbanos:acr:1", "urn:urbanos:acr:2")
