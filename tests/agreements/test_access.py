"""Access is asked by one and approved by another; what ends stays ended, by service and database."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app.agreements.terms import check_period, default_end
from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role, Zone
from tests.oauth import senders
from tests.world import KENKO, SAKAI, Party, World

REQUESTS = "/v1/access-requests"
AGREEMENTS = "/v1/agreements"
WHY = {"reason": "調査のため"}


async def acting(world: World, organization: str, *roles: Role) -> tuple[Party, dict[str, str]]:
    """A client and its token for agreements."""
    party = await world.party(organization, *roles)
    return party, await world.token(party, "agreements:write")


async def ask(world: World, dataset: str, headers: dict[str, str], **change: Any) -> httpx.Response:
    asked = {
        "dataset": dataset,
        "purpose": "disaster-response",
        "legal_basis": "災害対策基本法",
        **change,
    }
    return await world.client.post(REQUESTS, json=asked, headers=headers)


async def agreed(world: World) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """An agreement in force, with the consumer's and the steward's headers."""
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, steward = await acting(world, KENKO, Role.STEWARD)
    request = (await ask(world, dataset, consumer)).json()
    approved = await world.client.post(
        f"{REQUESTS}/{request['id']}/approve", json={}, headers=steward
    )
    assert approved.status_code == 201, approved.text
    return approved.json(), consumer, steward


async def change(
    world: World, agreement: dict[str, Any], verb: str, headers: dict[str, str]
) -> httpx.Response:
    path = f"{AGREEMENTS}/{agreement['id']}/{verb}"
    return await world.client.post(path, json=WHY, headers=headers)


async def test_asked_by_one_and_approved_by_another_gives_access(world: World) -> None:
    dataset = await world.dataset()
    developer, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    approver, steward = await acting(world, KENKO, Role.STEWARD)
    asked = await ask(world, dataset, consumer)
    before = await senders.asked(world, developer, f"dataset:{dataset}:read")

    approved = await world.client.post(
        f"{REQUESTS}/{asked.json()['id']}/approve", json={"columns": ["name"]}, headers=steward
    )

    assert before.json()["error"] == "invalid_scope"
    assert approved.json()["state"] == "active"
    assert approved.json()["columns"] == ["name"]
    await world.token(developer, f"dataset:{dataset}:read")
    log = await world.log(Event.ACCESS_REQUESTED, Event.ACCESS_DECIDED)
    assert [entry["event"] for entry in log] == ["access.requested", "access.decided"]
    assert (log[0]["client"], log[1]["by"]) == (developer.id, approver.id)


async def test_nobody_approves_what_they_asked_for(world: World) -> None:
    dataset = await world.dataset()
    # A steward of the city may decide for its bureau; it asks for the city's own use.
    _, both = await acting(world, "271004", Role.STEWARD)
    request = (await ask(world, dataset, both)).json()

    approved = await world.client.post(f"{REQUESTS}/{request['id']}/approve", json={}, headers=both)

    assert (approved.status_code, approved.json()["code"]) == (403, "same_person")
    assert [entry["code"] for entry in await world.log(Event.CALL_REFUSED)] == ["same_person"]


async def test_the_database_too_refuses_one_person_for_both(world: World) -> None:
    agreement, _, _ = await agreed(world)

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(
            "INSERT INTO agreement SELECT (jsonb_populate_record(a, jsonb_build_object("
            "'id', gen_random_uuid(), 'approved_by', a.requested_by))).*"
            " FROM agreement a WHERE id = $1::uuid",
            agreement["id"],
        )


@pytest.mark.parametrize("organization", [SAKAI, "271004-digital", "270008-smartcity"])
async def test_only_the_publishers_line_decides(world: World, organization: str) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, organization, Role.DEVELOPER)
    _, other = await acting(world, organization, Role.STEWARD)
    request = (await ask(world, dataset, consumer)).json()

    approved = await world.client.post(
        f"{REQUESTS}/{request['id']}/approve", json={}, headers=other
    )

    assert (approved.status_code, approved.json()["code"]) == (403, "not_the_steward")
    assert len(await world.log(Event.CALL_REFUSED)) == 1


async def test_a_developer_of_the_publisher_does_not_decide(world: World) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, developer = await acting(world, KENKO, Role.DEVELOPER)
    request = (await ask(world, dataset, consumer)).json()

    for verb in ("approve", "reject"):
        path = f"{REQUESTS}/{request['id']}/{verb}"
        answer = await world.client.post(path, json=WHY, headers=developer)
        assert answer.json()["code"] == "not_the_steward"


async def test_a_request_is_not_found_by_a_stranger(world: World) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, stranger = await acting(world, "272027", Role.DEVELOPER)
    request = (await ask(world, dataset, consumer)).json()

    shown = await world.client.get(f"{REQUESTS}/{request['id']}", headers=stranger)
    listed = await world.client.get(REQUESTS, headers=stranger)

    assert (shown.status_code, shown.json()["code"]) == (404, "access_request_not_found")
    assert listed.json()["items"] == []


async def test_both_sides_see_the_request_in_their_list(world: World) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, steward = await acting(world, "271004", Role.STEWARD)
    request = (await ask(world, dataset, consumer)).json()

    for headers in (consumer, steward):
        listed = await world.client.get(REQUESTS, params={"dataset": dataset}, headers=headers)
        assert [item["id"] for item in listed.json()["items"]] == [request["id"]]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"columns": ["name", "secret"]}, "unknown_column"),
        ({"columns": []}, "columns_required"),
        ({"purpose": "curiosity"}, "purpose_unknown"),
        ({"valid_until": "2020-01-01T00:00:00+09:00"}, "period_order"),
        ({"valid_until": "2099-01-01T00:00:00+09:00"}, "period_too_long"),
        ({"valid_until": "2027-01-01T00:00:00"}, "timezone_aware"),
        ({"actions": ["delete"]}, "enum"),
        ({"collumns": ["name"]}, "unknown_field"),
    ],
)
async def test_wrong_terms_are_refused_with_their_place(
    world: World, wrong: dict[str, Any], code: str
) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)

    response = await ask(world, dataset, consumer, **wrong)

    assert response.status_code == 422
    assert [error["code"] for error in response.json()["errors"]] == [code]


async def test_nothing_wider_than_asked_is_approved(world: World) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, steward = await acting(world, KENKO, Role.STEWARD)
    request = (await ask(world, dataset, consumer, columns=["name"])).json()
    path = f"{REQUESTS}/{request['id']}/approve"
    later = (clock.now() + timedelta(days=800)).isoformat()

    columns = await world.client.post(path, json={"columns": ["capacity"]}, headers=steward)
    period = await world.client.post(path, json={"valid_until": later}, headers=steward)

    assert columns.json()["errors"][0]["code"] == "unknown_column"
    assert period.json()["errors"][0]["code"] == "wider_than_asked"


async def test_own_and_specific_personal_data_cannot_be_asked_for(world: World) -> None:
    own, number = (
        await world.dataset(SAKAI),
        await world.dataset(KENKO, data_class="specific-personal"),
    )
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)

    codes = [
        (await ask(world, dataset, consumer)).json()["errors"][0]["code"]
        for dataset in (own, number)
    ]

    assert codes == ["own_dataset", "never_brokered"]


async def test_a_hidden_dataset_is_not_found_by_outsiders(world: World) -> None:
    dataset = await world.dataset(hidden=True)
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)

    hidden = await ask(world, dataset, consumer)
    missing = await ask(world, "no-such-dataset", consumer)

    assert [a.json()["code"] for a in (hidden, missing)] == ["dataset_not_found"] * 2


async def test_data_of_another_zone_cannot_be_asked_for(world: World) -> None:
    dataset = await world.dataset(zone=Zone.LGWAN.value)
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)

    response = await ask(world, dataset, consumer)

    assert (response.status_code, response.json()["code"]) == (403, "zone_not_allowed")
    assert len(await world.log(Event.CALL_REFUSED)) == 1


async def test_what_is_decided_or_withdrawn_stays_so(world: World) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, steward = await acting(world, KENKO, Role.STEWARD)
    rejected = (await ask(world, dataset, consumer)).json()["id"]
    withdrawn = (await ask(world, dataset, consumer)).json()["id"]
    post = world.client.post
    assert (
        await post(f"{REQUESTS}/{rejected}/reject", json=WHY, headers=steward)
    ).status_code == 200
    assert (await post(f"{REQUESTS}/{withdrawn}/withdraw", headers=consumer)).status_code == 200

    answers = [
        await post(f"{REQUESTS}/{request}/approve", json={}, headers=steward)
        for request in (rejected, withdrawn)
    ]

    assert [a.json()["code"] for a in answers] == ["access_request_decided"] * 2
    for request in (rejected, withdrawn):
        with pytest.raises(asyncpg.CheckViolationError):
            await world.platform.database.pool.execute(
                "UPDATE access_request SET state = 'approved' WHERE id = $1::uuid", request
            )


async def test_only_the_asking_organisation_withdraws(world: World) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, steward = await acting(world, KENKO, Role.STEWARD)
    request = (await ask(world, dataset, consumer)).json()["id"]

    response = await world.client.post(f"{REQUESTS}/{request}/withdraw", headers=steward)

    assert response.json()["code"] == "not_the_requester"


async def test_two_approvals_at_once_make_one_agreement(world: World) -> None:
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, steward = await acting(world, KENKO, Role.STEWARD)
    request = (await ask(world, dataset, consumer)).json()["id"]
    path = f"{REQUESTS}/{request}/approve"

    answers = await asyncio.gather(
        *(world.client.post(path, json={}, headers=steward) for _ in range(4))
    )

    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]


async def test_either_side_and_the_operator_suspend_and_only_the_provider_releases(
    world: World,
) -> None:
    agreement, consumer, steward = await agreed(world)
    party = await world.party("270008-smartcity", Role.OPERATOR)
    operator = await world.token(party, "admin:write")

    for who in (consumer, steward, operator):
        assert (await change(world, agreement, "suspend", who)).json()["state"] == "suspended"
        refused = [
            await change(world, agreement, "resume", other) for other in (consumer, operator)
        ]
        assert [a.json()["code"] for a in refused] == ["not_the_steward"] * 2
        assert (await change(world, agreement, "resume", steward)).json()["state"] == "active"

    states = [entry["state"] for entry in await world.log(Event.AGREEMENT_CHANGED)]
    assert states == ["suspended", "active"] * 3


async def test_the_operator_cannot_revoke_and_a_stranger_cannot_see(world: World) -> None:
    agreement, _, _ = await agreed(world)
    party = await world.party("270008-smartcity", Role.OPERATOR)
    operator = await world.token(party, "admin:write")
    _, stranger = await acting(world, "272027", Role.STEWARD)

    assert (await change(world, agreement, "revoke", operator)).json()["code"] == "not_a_party"
    assert (await change(world, agreement, "suspend", stranger)).status_code == 404


async def test_revoked_is_final_for_service_and_database(world: World) -> None:
    agreement, consumer, steward = await agreed(world)
    assert (await change(world, agreement, "revoke", consumer)).json()["state"] == "revoked"

    for verb in ("resume", "suspend", "revoke"):
        answer = await change(world, agreement, verb, steward)
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_agreement_state")
    for state in ("active", "suspended"):
        with pytest.raises(asyncpg.CheckViolationError):
            await world.platform.database.pool.execute(
                "UPDATE agreement SET state = $2 WHERE id = $1::uuid", agreement["id"], state
            )


async def test_the_terms_of_an_agreement_cannot_be_changed_in_the_database(world: World) -> None:
    agreement, _, _ = await agreed(world)

    with pytest.raises(asyncpg.CheckViolationError):
        await world.platform.database.pool.execute(
            "UPDATE agreement SET columns = '{everything}', state = 'suspended'"
            " WHERE id = $1::uuid",
            agreement["id"],
        )


async def test_an_agreement_expires_by_date_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement, _, _ = await agreed(world)
    party = await world.party(SAKAI, Role.DEVELOPER)
    scope = f"dataset:{agreement['dataset']}:read"
    await world.token(party, scope)
    end = datetime.fromisoformat(agreement["valid_until"])

    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: end.astimezone(UTC))
        now = int(end.timestamp())
        late = party.assertion(iat=now, exp=now + 50)
        form = party.form(f"{scope} agreements:write", client_assertion=late)
        response = await world.client.post("/oauth/token", data=form)
        headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
        shown = await world.client.get(f"{AGREEMENTS}/{agreement['id']}", headers=headers)
        revoked = await change(world, agreement, "revoke", headers)

    assert response.json()["scope"] == "agreements:write"
    assert shown.json()["state"] == "expired"
    assert revoked.json()["code"] == "wrong_agreement_state"


async def test_a_reading_token_changes_nothing(world: World) -> None:
    agreement, _, _ = await agreed(world)
    party = await world.party(KENKO, Role.STEWARD)
    headers = await world.token(party, "catalogue:write")

    response = await change(world, agreement, "suspend", headers)

    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert len(await world.log(Event.CALL_REFUSED)) == 1


async def test_a_new_purpose_can_be_asked_for_and_is_added_once(world: World) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    operator = await world.token(party, "admin:write")
    new = {"code": "tourism", "name_ja": "観光振興", "name_en": "tourism"}

    added = [await world.client.post("/v1/purposes", json=new, headers=operator) for _ in range(2)]

    assert [a.status_code for a in added] == [201, 409]
    listed = await world.client.get("/v1/purposes")
    assert "tourism" in [purpose["code"] for purpose in listed.json()]


def test_the_default_end_is_the_next_31_march_of_japan() -> None:
    before = datetime(2026, 3, 31, 14, 59, tzinfo=UTC)  # 23:59 in Japan
    after = datetime(2026, 3, 31, 15, 0, tzinfo=UTC)  # 1 April in Japan

    assert default_end(before) == datetime(2026, 3, 31, 15, 0, tzinfo=UTC)
    assert default_end(after) == datetime(2027, 3, 31, 15, 0, tzinfo=UTC)


def test_a_period_from_29_february_may_last_five_years() -> None:
    start = datetime(2028, 2, 29, tzinfo=clock.TOKYO)

    assert check_period(start, datetime(2033, 2, 28, tzinfo=clock.TOKYO)) == []
    assert check_period(start, datetime(2033, 3, 2, tzinfo=clock.TOKYO)) != []
