"""Access tokens of a member of staff: whose authority they carry, and when it ends."""

from typing import Any

import httpx
import pytest
from joserfc import jwt

from app.audit.events import Event
from app.kit import clock
from app.models.parties import OrganizationKind, Role
from app.oauth.tokens import ONE_FACTOR, TWO_FACTORS
from app.parties import organizations, people
from app.parties.organizations import NewOrganization
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
    (entry,) = await world.log(Event.DATASET_ADDED)
    assert entry["by"] == clerk


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


async def test_a_token_dies_once_the_app_may_no_longer_sign_the_persons_organisation_in(
    world: World,
) -> None:
    app = await world.party(KENKO)
    admin = await world.token(await world.party(KENKO, Role.OPERATOR), "admin:write")
    sender = await acting(world, app, await somebody(world, SAKAI, Role.OPERATOR), "admin:read")
    before = await ask(world, sender)

    taken = await world.client.put(
        f"/v1/admin/clients/{app.id}/sign-in",
        json={"redirect_uris": [], "staff_of": ["271004"]},
        headers=admin,
    )

    after = await ask(world, sender)
    assert (before.status_code, taken.status_code, after.status_code) == (200, 200, 401)
    assert [entry["why"] for entry in await world.log(Event.CALL_REFUSED)] == ["staff_of"]


@pytest.mark.parametrize(
    ("scope", "path"),
    [("admin:read", PATH), ("audit:read", "/v1/admin/audit")],
)
async def test_a_role_that_was_taken_away_opens_nothing_though_the_token_has_its_scope(
    world: World, scope: str, path: str
) -> None:
    app = await world.party(KENKO)
    person_id = await somebody(world, SAKAI, Role.OPERATOR)
    sender = await acting(world, app, person_id, scope)
    before = await world.client.get(path, headers=sender.headers(path))

    async with world.platform.database.writing() as session:
        await people.set_roles(session, person_id, [Role.STEWARD], by="test")
    world.platform.live.changed("person", person_id)

    after = await world.client.get(path, headers=sender.headers(path))
    assert (before.status_code, after.status_code) == (200, 403)
    assert after.json()["code"] == "role_missing"


async def test_no_token_of_a_person_is_taken_that_is_bound_to_nothing(world: World) -> None:
    app = await world.party(KENKO)
    good = await acting(world, app, await somebody(world, SAKAI, Role.OPERATOR), "admin:read")
    keys = await world.platform.keys.get()
    said = jwt.decode(good.token, keys.public[keys.current_kid], algorithms=["ES256"]).claims
    del said["cnf"]
    header = {"alg": "ES256", "typ": "at+jwt", "kid": keys.current_kid}
    unbound = jwt.encode(header, said, keys.current, algorithms=["ES256"])

    refused = await world.client.get(PATH, headers={"Authorization": f"Bearer {unbound}"})

    assert (await ask(world, good)).status_code == 200
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/admin/clients"),
        ("PUT", "/v1/admin/clients/x/keys"),
        ("PUT", "/v1/admin/clients/x/sign-in"),
        ("POST", "/v1/admin/clients/x/revoke"),
        ("POST", "/v1/admin/organizations"),
        ("POST", "/v1/admin/invitations"),
        ("POST", "/v1/admin/keys/rotate"),
    ],
)
async def test_one_factor_makes_nobody_whom_no_second_is_asked_of(
    world: World, method: str, path: str
) -> None:
    app = await world.party(KENKO)
    person = await somebody(world, SAKAI, Role.OPERATOR)
    scope = "admin:write invitations:write"
    once = await acting(world, app, person, scope)
    both = await acting(world, app, person, scope, second_factor=True)

    answers = [
        await world.client.request(method, path, json=[], headers=sender.headers(path, method))
        for sender in (once, both)
    ]

    assert answers[0].status_code == 401, answers[0].text
    assert answers[0].json()["code"] == "insufficient_user_authentication"
    assert answers[1].json()["code"] != "insufficient_user_authentication"


async def test_what_an_operator_does_in_person_bears_the_persons_name(world: World) -> None:
    app = await world.party(KENKO)
    person = await somebody(world, SAKAI, Role.OPERATOR)
    boss = await acting(world, app, person, "admin:write", second_factor=True)
    path = f"/v1/admin/clients/{(await world.party(SAKAI)).id}/revoke"

    await world.client.post(path, headers=boss.headers(path, "POST"))

    (entry,) = await world.log(Event.CLIENT_REVOKED)
    assert entry["by"] == person


@pytest.mark.parametrize("staff_of", [[], ["271004"]])
async def test_a_persons_token_dies_when_the_app_is_there_for_other_staff(
    world: World, staff_of: list[str]
) -> None:
    app = await world.party(KENKO)
    admin = await world.party(KENKO, Role.OPERATOR)
    sender = await acting(world, app, await somebody(world, SAKAI, Role.OPERATOR), "admin:read")
    before = await ask(world, sender)

    changed = await world.client.put(
        f"/v1/admin/clients/{app.id}/sign-in",
        json={"redirect_uris": [], "staff_of": staff_of},
        headers=await world.token(admin, "admin:write"),
    )

    after = await ask(world, sender)
    assert (before.status_code, changed.status_code, after.status_code) == (200, 200, 401)
    assert "staff_of" in after.json()["detail"]


async def test_a_persons_token_dies_with_the_persons_organisation(world: World) -> None:
    app = await world.party(KENKO)
    office = NewOrganization("271403-people", OrganizationKind.UNIT, "人事課", parent_id=SAKAI)
    async with world.platform.database.writing() as session:
        await organizations.add(session, office, by="test")
    person = await somebody(world, office.id, Role.OPERATOR)
    sender = await acting(world, app, person, "admin:read")
    before = await ask(world, sender)

    async with world.platform.database.writing() as session:
        today = clock.now().astimezone(clock.TOKYO).date()
        await organizations.close(session, office.id, on=today, successor_id=None, by="test")
    world.platform.live.changed("all", "")

    after = await ask(world, sender)
    assert (before.status_code, after.status_code) == (200, 401)
    assert "person_disabled" in after.json()["detail"]


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
