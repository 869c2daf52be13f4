"""A decision explained is the decision made: the same question, asked and supposed."""

from typing import Any
from uuid import uuid4

import pytest

from app.api.state import Platform
from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role, Zone
from app.parties.seed import OPERATOR
from tests.stock import PURPOSE, agreed, path, stocked
from tests.world import KENKO, SAKAI, Party, World

ROWS = [{"no": "1", "name": "架空", "size": 3}]


async def explained(world: World, party: Party, dataset: str, **more: Any) -> dict[str, Any]:
    operator = await world.token(await world.party(OPERATOR, Role.OPERATOR), "admin:read")
    body = {"client": party.id, "dataset": dataset, "purpose": PURPOSE, **more}
    response = await world.client.post("/v1/admin/decisions/explain", json=body, headers=operator)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


async def test_what_is_explained_as_allowed_is_what_a_read_gives(world: World) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, party, columns=["no", "size"])

    told = await explained(world, party, dataset, bound=True)
    headers = await world.token(party, f"dataset:{dataset}:read")
    read = await world.client.get(path(dataset), params={"purpose": PURPOSE}, headers=headers)

    assert (told["decision"], told["ground"], told["agreement"]) == (
        "allow",
        "agreement",
        agreement,
    )
    assert told["columns"] == ["no", "size"] == list(read.json()["records"][0])
    assert told["agreements"] == [
        {"id": agreement, "purpose": PURPOSE, "state": "active", "refused": None}
    ]


@pytest.mark.parametrize("change", ["suspend", "revoke", None])
async def test_what_is_explained_as_refused_is_refused_for_that_reason(
    world: World, change: str | None
) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, steward = await agreed(world, dataset, party)
    headers = await world.token(party, f"dataset:{dataset}:read")
    if change is not None:
        changed = await world.client.post(
            f"/v1/agreements/{agreement}/{change}", json={"reason": "試験"}, headers=steward
        )
        assert changed.status_code == 200, changed.text
    purpose = PURPOSE if change else "statistics"

    told = await explained(world, party, dataset, purpose=purpose, bound=True)
    read = await world.client.get(path(dataset), params={"purpose": purpose}, headers=headers)

    assert told["decision"] == "deny" and told["columns"] == []
    assert told["refused"]["code"] == read.json()["code"]
    assert (
        told["rule"]
        == {"suspend": "in-force", "revoke": "not-revoked", None: "purpose-agreed"}[change]
    )
    assert told["refused"]["en"] == read.json()["detail"]
    assert [each["refused"]["code"] for each in told["agreements"]] == [read.json()["code"]]


async def test_another_time_zone_and_proof_can_be_supposed(world: World) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, party)
    personal = await world.dataset(SAKAI, data_class="personal")
    later = clock.now().replace(year=clock.now().year + 2).isoformat()

    codes = [
        (await explained(world, party, dataset, bound=True, **supposed))["refused"]["code"]
        for supposed in ({"at": later}, {"zone": "lgwan"}, {"action": "write"})
    ]

    assert codes == ["agreement_expired", "zone_not_allowed", "action_not_agreed"]
    assert (await explained(world, party, dataset))["refused"]["code"] == "token_not_bound"
    unbound = await explained(world, party, personal)
    assert unbound["refused"]["code"] == "token_not_bound"
    assert (await explained(world, party, personal, bound=True))["ground"] == "own"


async def test_personal_data_is_explained_with_the_agreement_that_a_token_would_be_for(
    world: World,
) -> None:
    dataset = await world.dataset(KENKO, data_class="personal")
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, party, columns=["name"])

    told = await explained(world, party, dataset, bound=True, agreement=agreement)
    unnamed = await explained(world, party, dataset, bound=True)
    another = await explained(world, party, dataset, bound=True, agreement=str(uuid4()))

    assert (told["decision"], told["agreement"], told["columns"]) == ("allow", agreement, ["name"])
    assert told["assumes"][-1] == f"for the agreement {agreement}"
    assert unnamed["refused"]["code"] == "agreement_not_named"
    assert another["refused"]["code"] == "no_agreement"


async def test_what_a_replica_that_is_cut_off_would_say_is_explained_so(
    world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    monkeypatch.setattr(platform.decider, "_seconds_behind", lambda: 301.0)

    told = await explained(world, party, dataset)

    assert told["refused"]["code"] == "facts_too_old"


async def test_who_may_ask_and_that_it_is_logged(world: World) -> None:
    hidden = await world.dataset(KENKO, hidden=True)
    party = await world.party(SAKAI, Role.DEVELOPER, zone=Zone.INTERNET)
    coordinator = await world.party(SAKAI, Role.COORDINATOR)
    body = {"client": party.id, "dataset": hidden}

    shown = [
        await world.client.post(
            "/v1/admin/decisions/explain", json=body, headers=await world.token(*asking)
        )
        for asking in ((coordinator, "admin:read"), (party, "agreements:write"))
    ]
    await explained(world, party, hidden)

    assert [(each.status_code, each.json()["code"]) for each in shown] == [
        (404, "dataset_not_found"),
        (403, "insufficient_scope"),
    ]
    entry = (await world.log(Event.DECISION_EXPLAINED))[0]
    assert (entry["client"], entry["dataset"], entry["decision"]) == (party.id, hidden, "deny")
    assert await world.log(Event.RECORDS_REFUSED, Event.RECORDS_READ) == []
