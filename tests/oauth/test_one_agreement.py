"""Personal data is read by whom an agreement names, with a bound token for that agreement alone."""

import json
import secrets
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.models.parties import Role
from tests.oauth.senders import TOKEN_PATH, Sender, asked, proof, sender, under
from tests.stock import KEYED, PURPOSE, Spec, agreed, path, stocked
from tests.world import KENKO, SAKAI, Party, World

ROWS: list[dict[str, Any]] = [{"no": "1", "name": "架空", "size": 3}]
OTHER_PURPOSE = "own-duty"


async def get(world: World, caller: Sender, dataset: str, purpose: str = PURPOSE) -> httpx.Response:
    where = path(dataset)
    headers = caller.headers(where)
    return await world.client.get(where, params={"purpose": purpose}, headers=headers)


async def consumer(world: World, dataset: str, **terms: Any) -> tuple[Party, str, dict[str, str]]:
    """A party of another body with an agreement, the agreement's id, and the steward's token."""
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, steward = await agreed(world, dataset, party, **terms)
    return party, agreement, steward


async def test_personal_data_is_read_under_one_agreement_and_no_longer_once_it_is_revoked(
    world: World,
) -> None:
    dataset = await stocked_by_sender(world)
    party, agreement, steward = await consumer(world, dataset, columns=["no", "name"])
    caller = await sender(
        world, party, f"dataset:{dataset}:read", authorization_details=under(agreement)
    )

    before = await get(world, caller, dataset)
    revoked = await world.client.post(
        f"/v1/agreements/{agreement}/revoke", json={"reason": "試験"}, headers=steward
    )
    after = await get(world, caller, dataset)

    assert caller.answer["expires_in"] == 60
    assert caller.answer["authorization_details"] == json.loads(under(agreement))
    assert (before.status_code, revoked.status_code) == (200, 200), before.text
    assert before.json()["records"] == [{"no": "1", "name": "架空"}]
    assert (after.status_code, after.json()["code"]) == (403, "agreement_revoked")
    read = await world.log(Event.RECORDS_READ)
    assert [(e["client"], e["agreement"]) for e in read] == [(party.id, agreement)]


async def stocked_by_sender(
    world: World,
    rows: list[dict[str, Any]] = ROWS,
    specs: tuple[Spec, ...] = KEYED,
    data_class: str = "personal",
) -> str:
    """A dataset with records that its own publisher wrote with a bound token."""
    dataset = await stocked(world, [], specs, data_class=data_class)
    owner = await sender(world, await world.party(KENKO), f"dataset:{dataset}:write")
    where = path(dataset)
    wrote = await world.client.post(where, json=rows, headers=owner.headers(where, "POST"))
    assert wrote.status_code == 200, wrote.text
    return dataset


async def test_ones_own_personal_data_needs_no_agreement_but_a_bound_token(world: World) -> None:
    dataset = await stocked_by_sender(world)
    owner = await sender(world, await world.party(KENKO), f"dataset:{dataset}:read")

    answer = await get(world, owner, dataset)

    assert owner.answer["expires_in"] == 60
    assert "authorization_details" not in owner.answer
    assert (answer.status_code, answer.json()["records"]) == (200, ROWS)


async def test_another_organisations_personal_data_is_not_granted_without_naming_the_agreement(
    world: World,
) -> None:
    dataset = await world.dataset(data_class="personal")
    party, agreement, _ = await consumer(world, dataset)
    scope = f"dataset:{dataset}:read"

    unnamed = await asked(world, party, scope)
    unbound = await world.client.post(
        "/oauth/token", data=party.form(scope, authorization_details=under(agreement))
    )

    assert unnamed.json()["error"] == "invalid_scope"
    assert "the agreement in authorization_details" in unnamed.json()["error_description"]
    assert unbound.json()["error"] == "invalid_authorization_details"


async def test_a_secret_reaches_no_personal_data_with_any_proof(world: World) -> None:
    dataset = await world.dataset(data_class="personal")
    party = await world.party(KENKO, by_secret=True)
    assert party.secret is not None

    response = await world.client.post(
        TOKEN_PATH,
        data={"grant_type": "client_credentials", "scope": f"dataset:{dataset}:read"},
        auth=(party.id, party.secret),
        headers={"DPoP": proof(ECKey.generate_key("P-256"), "POST", TOKEN_PATH)},
    )

    assert response.json()["error"] == "invalid_scope"


async def test_a_token_for_one_agreement_reads_nothing_for_another_purpose(world: World) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party, agreement, _ = await consumer(world, dataset)
    await agreed(world, dataset, party, purpose=OTHER_PURPOSE)
    scope = f"dataset:{dataset}:read"
    free = await sender(world, party, scope)
    under_one = await sender(world, party, scope, authorization_details=under(agreement))

    answers = [
        await get(world, caller, dataset, purpose)
        for caller in (free, under_one)
        for purpose in (PURPOSE, OTHER_PURPOSE)
    ]

    assert [a.status_code for a in answers] == [200, 200, 200, 403]
    assert answers[-1].json()["code"] == "purpose_not_agreed"


async def test_a_token_for_one_agreement_is_not_widened_by_a_second_agreement(
    world: World,
) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party, narrow, _ = await consumer(world, dataset, columns=["no"])
    await agreed(world, dataset, party, columns=["no", "name", "size"])
    scope = f"dataset:{dataset}:read"
    caller = await sender(world, party, scope, authorization_details=under(narrow))

    answer = await get(world, caller, dataset)

    assert answer.json()["records"] == [{"no": "1"}]


async def test_personal_columns_need_the_agreement_named_too(world: World) -> None:
    specs: tuple[Spec, ...] = (*KEYED[:2], ("phone", "text", {"visibility": "personal"}))
    row = {"no": "1", "name": "架空", "phone": "000"}
    dataset = await stocked_by_sender(world, [row], specs, data_class="restricted")
    party, agreement, _ = await consumer(world, dataset, columns=["no", "phone"])
    scope = f"dataset:{dataset}:read"
    free = await sender(world, party, scope)
    named = await sender(world, party, scope, authorization_details=under(agreement))

    shown = [(await get(world, caller, dataset)).json()["records"] for caller in (free, named)]

    assert (free.answer["expires_in"], named.answer["expires_in"]) == (300, 60)
    assert shown == [[{"no": "1"}], [{"no": "1", "phone": "000"}]]


async def test_of_two_agreements_on_open_data_either_may_be_named(world: World) -> None:
    """What everybody may read of it for the other purpose is no answer to that."""
    specs = (*KEYED[:2], ("size", "integer", {"visibility": "restricted"}))
    dataset = await stocked(world, ROWS, specs)
    party, first, _ = await consumer(world, dataset)
    second, _ = await agreed(world, dataset, party, purpose=OTHER_PURPOSE)

    for agreement, purpose in ((first, PURPOSE), (second, OTHER_PURPOSE)):
        caller = await sender(
            world, party, f"dataset:{dataset}:read", authorization_details=under(agreement)
        )
        answer = await get(world, caller, dataset, purpose)

        assert answer.json()["records"] == ROWS


async def test_nothing_but_what_the_agreement_covers_is_granted_beside_it(world: World) -> None:
    dataset = await world.dataset()
    own = await world.dataset(SAKAI)
    public = await world.dataset(data_class="public")
    party, agreement, _ = await consumer(world, dataset, actions=["read", "write"])
    scope = (
        f"dataset:{dataset}:read dataset:{dataset}:write dataset:{own}:read"
        f" dataset:{public}:read agreements:write"
    )

    response = await asked(world, party, scope, authorization_details=under(agreement))

    assert response.json()["scope"] == f"dataset:{dataset}:read"


async def test_the_answer_has_the_actions_that_were_granted_of_those_that_were_asked(
    world: World,
) -> None:
    dataset = await world.dataset()
    party, agreement, _ = await consumer(world, dataset, actions=["read", "write"])
    both = under(agreement, "read", "write")

    response = await asked(world, party, f"dataset:{dataset}:read", authorization_details=both)

    assert response.json()["authorization_details"] == json.loads(under(agreement, "read"))


@pytest.mark.parametrize(
    "details",
    [
        "",
        "x",
        "{}",
        "[]",
        "null",
        '["dataset-agreement"]',
        '[{"type": "dataset-agreement"}]',
        '[{"type": "other", "agreement": "ID", "actions": ["read"]}]',
        '[{"type": "dataset-agreement", "agreement": "ID", "actions": []}]',
        '[{"type": "dataset-agreement", "agreement": "ID", "actions": ["own"]}]',
        '[{"type": "dataset-agreement", "agreement": "ID", "actions": [["read"]]}]',
        '[{"type": "dataset-agreement", "agreement": "ID", "actions": ["read", "read"]}]',
        '[{"type": "dataset-agreement", "agreement": "ID", "actions": "read"}]',
        '[{"type": "dataset-agreement", "agreement": "{ID}", "actions": ["read"]}]',
        '[{"type": "dataset-agreement", "agreement": 7, "actions": ["read"]}]',
        '[{"type": "dataset-agreement", "agreement": "ID", "actions": ["read"], "more": 1}]',
        '[{"type": "dataset-agreement", "agreement": "ID", "actions": ["write"]}]',
        '[{"type": "dataset-agreement", "agreement": "NONE", "actions": ["read"]}]',
    ],
)
async def test_details_of_another_form_or_of_no_agreement_in_force_are_refused(
    world: World, details: str
) -> None:
    dataset = await world.dataset()
    party, agreement, _ = await consumer(world, dataset)
    none = "00000000-0000-4000-8000-000000000000"
    text = details.replace("ID", agreement).replace("NONE", none)

    response = await asked(world, party, f"dataset:{dataset}:read", authorization_details=text)

    assert (response.status_code, response.json()["error"]) == (
        400,
        "invalid_authorization_details",
    )


async def test_another_partys_agreement_gives_nothing(world: World) -> None:
    dataset = await world.dataset()
    _, agreement, _ = await consumer(world, dataset)
    stranger = await world.party("272027")
    scope = f"dataset:{dataset}:read"

    response = await asked(world, stranger, scope, authorization_details=under(agreement))

    assert response.json()["error"] == "invalid_authorization_details"


@pytest.fixture(name="known")
async def _known(world: World) -> dict[str, Any]:
    """Datasets of every class, own and foreign, with two agreements, and what may be granted."""
    own = {c: await world.dataset(SAKAI, data_class=c) for c in ("restricted", "personal")}
    foreign = {c: await world.dataset(data_class=c) for c in ("public", "restricted", "personal")}
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreements = {
        c: (await agreed(world, foreign[c], party))[0] for c in ("restricted", "personal")
    }
    return {"own": own, "foreign": foreign, "party": party, "agreements": agreements}


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_what_is_granted_is_what_was_asked_and_is_allowed(
    world: World, known: dict[str, Any], data: st.DataObject
) -> None:
    own, foreign, agreements = known["own"], known["foreign"], known["agreements"]
    datasets = [*own.values(), *foreign.values(), "none"]
    every = [f"dataset:{d}:{a}" for d in datasets for a in ("read", "write")]
    every += ["agreements:write", "admin:write", "admin:*", secrets.token_hex(4)]
    asks = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=8, unique=True))
    bound = data.draw(st.booleans())
    named = data.draw(st.sampled_from([None, *agreements]))
    more = {} if named is None else {"authorization_details": under(agreements[named])}

    party: Party = known["party"]
    if bound:
        response = await asked(world, party, " ".join(asks), None, **more)
    else:
        response = await world.client.post("/oauth/token", data=party.form(" ".join(asks), **more))

    if named is not None:
        may = {f"dataset:{foreign[named]}:read"} if bound else set()
    else:
        may = {"agreements:write", f"dataset:{foreign['public']}:read"}
        if bound:
            may |= {f"dataset:{foreign['restricted']}:read"}
            may |= {f"dataset:{own[c]}:{a}" for c in agreements for a in ("read", "write")}
    granted = set(response.json().get("scope", "").split())
    assert granted == set(asks) & may
