"""Who may read and write what, asked from outside: every class, ground and state of an agreement."""

import base64
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role, Zone
from tests.oauth import senders
from tests.stock import KEYED, PURPOSE, Spec, agreed, path, put, reader, stocked
from tests.world import KENKO, SAKAI, Party, World

OTHER_UNIT = "271004-digital"  # of the same body as KENKO
ROWS = [{"no": "1", "name": "架空", "size": 3}]
SECRET: tuple[Spec, ...] = (*KEYED, ("lat", "latitude"), ("lon", "longitude"))
PLACED = [{"no": "1", "name": "架空", "size": 3, "lat": 34.5, "lon": 135.5}]


async def ask(
    world: World, dataset: str, headers: dict[str, str], **asked: str
) -> tuple[int, str | None]:
    """The status of a read for the agreed purpose, and the code of its refusal."""
    params = {"purpose": PURPOSE, **asked}
    response = await world.client.get(path(dataset), params=params, headers=headers)
    return response.status_code, response.json().get("code")


async def write(world: World, dataset: str, headers: dict[str, str]) -> tuple[int, str | None]:
    response = await world.client.post(path(dataset), json=[{"no": "2"}], headers=headers)
    return response.status_code, response.json().get("code")


async def basic(world: World, party: Party, scope: str) -> dict[str, str]:
    proof = base64.b64encode(f"{party.id}:{party.secret}".encode()).decode()
    response = await world.client.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "scope": scope},
        headers={"Authorization": f"Basic {proof}"},
    )
    assert response.status_code == 200, response.text
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


async def granted(
    world: World, dataset: str, **terms: Any
) -> tuple[dict[str, str], str, dict[str, str]]:
    """A token under a fresh agreement of another body, the agreement's id and the steward."""
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, steward = await agreed(world, dataset, party, **terms)
    actions = terms.get("actions", ["read"])
    scope = " ".join(f"dataset:{dataset}:{action}" for action in actions)
    return await world.token(party, scope), agreement, steward


@pytest.mark.parametrize("data_class", ["public", "internal", "restricted"])
async def test_without_a_token_only_public_data_is_read_and_nothing_is_written(
    world: World, data_class: str
) -> None:
    dataset = await stocked(world, ROWS, data_class=data_class)

    answer = await ask(world, dataset, {})

    assert answer == ((200, None) if data_class == "public" else (401, "token_required"))
    assert await write(world, dataset, {}) == (401, "token_required")


@pytest.mark.parametrize(
    ("organization", "data_class", "read", "wrote"),
    [
        (KENKO, "public", 200, 200),
        (KENKO, "internal", 200, 200),
        (KENKO, "restricted", 200, 200),
        (OTHER_UNIT, "internal", 200, None),
    ],
)
async def test_the_own_body_reads_what_is_internal_and_the_own_unit_writes(
    world: World, organization: str, data_class: str, read: int, wrote: int | None
) -> None:
    dataset = await stocked(world, ROWS, data_class=data_class)
    headers = await reader(world, dataset, organization)

    assert (await ask(world, dataset, headers))[0] == read
    if wrote is not None:
        writer = await world.token(await world.party(organization), f"dataset:{dataset}:write")
        assert (await write(world, dataset, writer))[0] == wrote
        assert await ask(world, dataset, writer) == (
            (200, None) if data_class == "public" else (403, "insufficient_scope")
        )
    assert (await write(world, dataset, headers)) == (403, "insufficient_scope")


@pytest.mark.parametrize(
    ("organization", "data_class", "action"),
    [
        (SAKAI, "internal", "read"),
        (SAKAI, "restricted", "read"),
        (SAKAI, "public", "write"),
        (SAKAI, "internal", "write"),
        (OTHER_UNIT, "restricted", "read"),
        (OTHER_UNIT, "internal", "write"),
        (OTHER_UNIT, "public", "write"),
    ],
)
async def test_no_token_is_issued_to_whom_no_rule_would_allow(
    world: World, organization: str, data_class: str, action: str
) -> None:
    dataset = await stocked(world, ROWS, data_class=data_class)
    party = await world.party(organization)

    response = await senders.asked(world, party, f"dataset:{dataset}:{action}")

    assert (response.status_code, response.json().get("error")) == (400, "invalid_scope")


async def test_a_client_with_a_secret_reaches_nothing_above_internal(world: World) -> None:
    internal = await stocked(world, ROWS, data_class="internal")
    restricted = await stocked(world, ROWS, data_class="restricted")
    party = await world.party(KENKO, by_secret=True)

    headers = await basic(world, party, f"dataset:{internal}:read")

    assert await ask(world, internal, headers) == (200, None)
    assert await ask(world, restricted, headers) == (403, "client_authentication_too_weak")
    refused = await world.client.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "scope": f"dataset:{restricted}:read"},
        auth=(party.id, party.secret or ""),
    )
    assert refused.json().get("error") == "invalid_scope"


async def end_by(world: World, verb: str, agreement: str, steward: dict[str, str]) -> None:
    path_ = f"/v1/agreements/{agreement}/{verb}"
    ended = await world.client.post(path_, json={"reason": "調査"}, headers=steward)
    assert ended.status_code == 200, ended.text


@pytest.mark.parametrize(
    ("verb", "code"), [("suspend", "agreement_suspended"), ("revoke", "agreement_revoked")]
)
@pytest.mark.parametrize("data_class", ["internal", "restricted"])
async def test_an_agreement_that_is_ended_stops_the_token_that_still_lives(
    world: World, verb: str, code: str, data_class: str
) -> None:
    dataset = await stocked(world, ROWS, data_class=data_class)
    headers, agreement, steward = await granted(world, dataset, actions=["read", "write"])
    assert await ask(world, dataset, headers) == (200, None)
    assert await write(world, dataset, headers) == (200, None)

    await end_by(world, verb, agreement, steward)

    assert await ask(world, dataset, headers) == (403, code)
    assert await write(world, dataset, headers) == (403, code)
    assert [entry["reason"] for entry in await world.log(Event.RECORDS_REFUSED)] == [code, code]


async def test_the_end_of_an_agreement_needs_no_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    soon = clock.now() + timedelta(seconds=60)
    headers, _, _ = await granted(world, dataset, valid_until=soon.isoformat())
    assert await ask(world, dataset, headers) == (200, None)

    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: soon + timedelta(seconds=1))
        late = await ask(world, dataset, headers)

    assert late == (403, "agreement_expired")
    assert await ask(world, dataset, headers) == (200, None)


async def test_an_agreement_that_has_not_begun_gives_nothing_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    begins = clock.now() + timedelta(days=2)
    ends = begins + timedelta(days=30)
    await agreed(world, dataset, party, valid_from=begins.isoformat(), valid_until=ends.isoformat())
    early = await senders.asked(world, party, f"dataset:{dataset}:read")
    assert early.json().get("error") == "invalid_scope"
    # A second agreement gives the token; what counts for a read is the one of its purpose.
    await agreed(world, dataset, party, purpose="health")
    headers = await world.token(party, f"dataset:{dataset}:read")

    assert await ask(world, dataset, headers) == (403, "agreement_not_started")
    assert await ask(world, dataset, headers, purpose="health") == (200, None)


async def test_the_purpose_is_asked_for_known_and_agreed(world: World) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    headers, _, _ = await granted(world, dataset)

    none = await world.client.get(path(dataset), headers=headers)

    assert (none.status_code, none.json().get("code")) == (403, "purpose_required")
    for purpose, code in (
        ("health", "purpose_not_agreed"),
        ("curiosity", "purpose_unknown"),
        ("", "purpose_unknown"),
        ("\x00", "purpose_unknown"),
        (PURPOSE + " ", "purpose_unknown"),
        (PURPOSE.upper(), "purpose_unknown"),
        ("x" * 30_000, "purpose_unknown"),
    ):
        assert await ask(world, dataset, headers, purpose=purpose) == (403, code)
    assert len(await world.log(Event.RECORDS_REFUSED)) == 8


async def test_an_agreement_to_read_is_none_to_write(world: World) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, party)

    response = await senders.asked(world, party, f"dataset:{dataset}:write")

    assert response.json().get("error") == "invalid_scope"


@pytest.mark.parametrize(
    "asked",
    [
        {"fields": "no,size"},
        {"filter": "size = 3"},
        {"filter": "name = 'x' OR NOT size IS NULL"},
        {"sort": "-size"},
        {"size": "3"},
        {"bbox": "135,34,136,35"},
        {"lat": "34", "lon": "135", "radius": "1000"},
        {"f": "geojson"},
        {"filter": '{"op":"=","args":[{"property":"lat"},34.5]}', "filter-lang": "cql2-json"},
    ],
)
async def test_a_column_outside_the_agreement_cannot_be_named_in_any_place(
    world: World, asked: dict[str, str]
) -> None:
    dataset = await stocked(world, PLACED, SECRET, data_class="restricted")
    headers, _, _ = await granted(world, dataset, columns=["no", "name"])
    seen = await world.client.get(path(dataset), params={"purpose": PURPOSE}, headers=headers)
    assert seen.json()["records"] == [{"no": "1", "name": "架空"}]

    assert await ask(world, dataset, headers, **asked) == (403, "column_not_visible")

    assert [entry["reason"] for entry in await world.log(Event.RECORDS_REFUSED)] == [
        "column_not_visible"
    ]


async def test_who_may_not_see_a_column_may_not_overwrite_it(world: World) -> None:
    dataset = await stocked(world, PLACED, SECRET, data_class="restricted")
    headers, _, _ = await granted(world, dataset, columns=["no", "name"], actions=["read", "write"])

    sent = await world.client.post(
        path(dataset), json=[{"no": "1", "name": "新"}, {"no": "2", "size": 9}], headers=headers
    )

    first, second = sent.json()["results"]
    assert first["status"] == "updated"
    assert [error["code"] for error in second["errors"]] == ["column_not_visible"]
    own = await world.client.get(
        path(dataset), params={"purpose": PURPOSE}, headers=await reader(world, dataset)
    )
    assert own.json()["records"] == [{**PLACED[0], "name": "新"}]


async def test_each_column_is_seen_by_those_who_may_see_its_class(world: World) -> None:
    specs: tuple[Spec, ...] = (
        ("no", "code", {"key": True}),
        ("open", "text", {"visibility": "public"}),
        ("within", "text", {"visibility": "internal"}),
        ("closed", "text", {"visibility": "restricted"}),
        ("person", "text", {"visibility": "personal"}),
    )
    row = {name: "x" for name in ("open", "within", "closed", "person")}
    dataset = await stocked(world, [{"no": "1", **row}], specs)
    unit = await reader(world, dataset, OTHER_UNIT)
    own = await reader(world, dataset)
    bearer = await world.bearer(await world.party(KENKO), f"dataset:{dataset}:read")

    async def columns(headers: dict[str, str], **asked: str) -> set[str]:
        response = await world.client.get(path(dataset), params=asked, headers=headers)
        assert response.status_code == 200, response.text
        return set(response.json()["records"][0])

    assert await columns({}) == {"no", "open"}
    assert await columns(unit) == {"no", "open"}  # no purpose: as anyone
    assert await columns(unit, purpose=PURPOSE) == {"no", "open", "within"}
    assert await columns(bearer, purpose=PURPOSE) == {"no", "open", "within"}
    assert await columns(own, purpose=PURPOSE) == {"no", *row}
    for name in ("closed", "person"):
        assert await ask(world, dataset, bearer, fields=name) == (403, "column_not_visible")
    assert await ask(world, dataset, {}, sort="within") == (403, "column_not_visible")


async def test_a_token_for_one_dataset_opens_no_other(world: World) -> None:
    datasets = [
        await stocked(world, ROWS, data_class=data_class)
        for data_class in ("internal", "restricted", "internal", "restricted")
    ]
    grants = {}
    for at, dataset in enumerate(datasets):
        if at < 2:
            grants[dataset] = await reader(world, dataset)
        else:
            grants[dataset], _, _ = await granted(world, dataset)

    passed = {
        (used, meant)
        for meant, headers in grants.items()
        for used in datasets
        if (await ask(world, used, headers))[0] == 200
    }

    assert passed == {(dataset, dataset) for dataset in datasets}


async def test_a_revoked_client_and_a_bad_token_open_not_even_public_data(world: World) -> None:
    public = await stocked(world, ROWS)
    party = await world.party(KENKO)
    headers = await world.token(party, f"dataset:{public}:read")
    await world.platform.database.pool.execute(
        "UPDATE client SET revoked_at = now() WHERE id = $1", party.id
    )
    world.platform.live.changed("client", party.id)

    assert await ask(world, public, headers) == (401, "invalid_token")
    for shown in ("Bearer x", "Bearer ", "Basic eDp4", "x", ""):
        assert (await ask(world, public, {"Authorization": shown}))[0] == 401, shown
    assert await ask(world, public, {}) == (200, None)


async def test_data_of_another_zone_is_out_of_reach_here(world: World) -> None:
    dataset = await world.dataset(data_class="internal", zone="lgwan")
    party = await world.party(KENKO, zone=Zone.LGWAN)
    here = await world.party(KENKO)

    assert await ask(world, dataset, {}) == (403, "zone_not_allowed")
    for each in (party, here):
        form = each.form(f"dataset:{dataset}:read")
        assert (await world.client.post("/oauth/token", data=form)).status_code in (400, 401, 403)
    assert [e["reason"] for e in await world.log(Event.RECORDS_REFUSED)] == ["zone_not_allowed"]


@pytest.mark.parametrize("data_class", ["personal", "specific-personal"])
async def test_personal_data_never_leaves_without_a_bound_token(
    world: World, data_class: str
) -> None:
    dataset = await world.dataset(data_class=data_class)
    other = await world.dataset(data_class="internal")
    party = await world.party(KENKO, by_secret=True)
    unbound = await basic(world, party, f"dataset:{other}:read")

    code = {"personal": "token_not_bound", "specific-personal": "never_brokered"}[data_class]
    nobody = {"personal": (401, "token_required"), "specific-personal": (403, "never_brokered")}

    for tried in (ask, write):
        assert await tried(world, dataset, unbound) == (403, code)
        assert await tried(world, dataset, {}) == nobody[data_class]
    party = await world.party(KENKO)
    response = await world.client.post("/oauth/token", data=party.form(f"dataset:{dataset}:read"))
    assert response.json()["error"] == "invalid_scope"


async def test_a_join_shows_only_what_may_be_read_there_and_both_owners_see_it(
    world: World,
) -> None:
    beside = await stocked(world, ROWS, data_class="restricted")
    dataset = await stocked(world, ROWS)
    join = f'[{{"name": "beside", "dataset": "{beside}", "here": "no", "there": "no"}}]'
    await world.platform.database.pool.execute(
        "UPDATE dataset SET joins = $2::jsonb WHERE id = $1", dataset, join
    )
    world.platform.live.changed("dataset", dataset)
    headers, _, _ = await granted(world, beside, columns=["no", "name"])

    assert await ask(world, dataset, {}, expand="beside") == (401, "token_required")
    found = await world.client.get(
        path(dataset), params={"purpose": PURPOSE, "expand": "beside"}, headers=headers
    )
    hidden = await ask(world, dataset, headers, expand="beside", filter="beside.size = 3")

    assert found.json()["records"][0]["beside"] == {"no": "1", "name": "架空"}
    assert hidden[0] in (400, 403)
    read = await world.log(Event.RECORDS_READ)
    assert [(entry["dataset"], entry["rows"]) for entry in read] == [(beside, 1)]


async def test_what_is_written_by_the_publisher_is_read_back_at_once(world: World) -> None:
    dataset = await stocked(world, ROWS, data_class="internal")
    headers = await reader(world, dataset)
    await put(world, dataset, [{"no": "9"}])

    found: httpx.Response = await world.client.get(
        path(dataset), params={"purpose": PURPOSE}, headers=headers
    )

    assert [record["no"] for record in found.json()["records"]] == ["1", "9"]
