"""What a caller meets: the headers, the refusals in each dialect, quotas, and what the log keeps."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.api.state import Platform
from app.audit.events import Event
from app.broker.ask import Ask, Representation
from app.broker.limits import Rates
from app.kit.settings import Settings
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.conftest import ISSUER
from tests.limits.conftest import Clock
from tests.stock import path, stocked
from tests.world import SAKAI, World

Limited = Callable[[Rates], None]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, rate_exports=2)


def _ask_of(dataset: str) -> Ask:
    """What the test client's own address asks."""
    return Ask(dataset, (), Representation.CSV, None, "", origin="127.0.0.1")


async def _operator(world: World) -> dict[str, str]:
    party = await world.party(OPERATOR, Role.OPERATOR, Role.AUDITOR)
    return await world.token(party, "admin:read admin:write")


async def test_a_flood_is_refused_and_who_waits_as_told_is_let_in(
    client: httpx.AsyncClient, world: World, limited: Limited, clock: Clock
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    limited(Rates(address=5))

    answers = [await client.get(path(dataset)) for _ in range(6)]
    refused = answers[-1]
    wait = int(refused.headers["Retry-After"])
    clock.seconds += wait
    after = await client.get(path(dataset))

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["RateLimit-Policy"] == '"address";q=5;w=60'
    assert answers[0].headers["RateLimit"].startswith('"address";r=4;t=')
    assert refused.json()["code"] == "rate_limited"
    assert f"{wait} seconds" in refused.json()["detail"]
    assert refused.headers["RateLimit"] == f'"address";r=0;t={wait}'
    assert after.status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "/v1/datasets",
        "/v1/datasets/{}",
        "/v1/datasets/{}/aggregate",
        "/v1/datasets/{}/changes",
        "/ogc/collections",
        "/api/3/action/package_list",
        "/v1/terms",
        "/oauth/jwks",
    ],
)
async def test_every_door_is_limited_also_where_it_names_no_caller(
    client: httpx.AsyncClient, world: World, limited: Limited, address: str
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    limited(Rates(address=1))

    first = await client.get(address.format(dataset))
    second = await client.get(address.format(dataset))

    assert first.status_code != 429
    assert '"address";r=0' in first.headers["RateLimit"]
    assert second.status_code == (503 if "/api/3/" in address else 429)  # as CKAN's clients know it
    assert int(second.headers["Retry-After"]) >= 1


async def test_no_header_of_the_client_makes_it_another_address(
    client: httpx.AsyncClient, limited: Limited
) -> None:
    limited(Rates(address=2))

    statuses = [
        (
            await client.get(
                "/v1/terms",
                headers={
                    "X-Forwarded-For": f"192.0.2.{at}",
                    "Forwarded": f"for=192.0.2.{at}",
                    "Authorization": f"Bearer guess-{at}",
                },
            )
        ).status_code
        for at in range(3)
    ]

    assert statuses == [200, 200, 429]


async def test_guessing_tokens_is_counted_by_the_address(
    client: httpx.AsyncClient, world: World, limited: Limited
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    limited(Rates(address=2))

    statuses = [
        (await client.get(path(dataset), headers={"Authorization": f"Bearer no-{at}"})).status_code
        for at in range(3)
    ]

    assert statuses == [401, 401, 429]


async def test_a_client_is_counted_by_itself_and_its_flood_is_one_entry_in_the_log(
    client: httpx.AsyncClient, world: World, limited: Limited
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    one = await world.token(await world.party(), f"dataset:{dataset}:read")
    other = await world.token(await world.party(), f"dataset:{dataset}:read")
    limited(Rates(client=3, address=1))

    statuses = [(await client.get(path(dataset), headers=one)).status_code for _ in range(8)]
    others = await client.get(path(dataset), headers=other)

    assert statuses == [200] * 3 + [429] * 5
    assert others.status_code == 200
    assert [entry["code"] for entry in await world.log(Event.CALL_REFUSED)] == ["rate_limited"]


async def test_a_quota_stops_a_client_on_one_dataset_before_its_source_is_asked(
    client: httpx.AsyncClient, world: World, limited: Limited, clock: Clock
) -> None:
    dataset = await stocked(world, [{"no": "1"}], data_class="restricted")
    party = await world.party()
    admin = await _operator(world)
    mine = await world.token(party, f"dataset:{dataset}:read")
    limited(Rates(client=100, client_dataset=50))
    subject = {"client_id": party.id, "dataset_id": dataset}
    asked = f"{path(dataset)}?purpose=own-duty"

    made = await client.put(
        "/v1/admin/quotas", json={**subject, "requests_per_minute": 2}, headers=admin
    )
    answers = [await client.get(asked, headers=mine) for _ in range(4)]
    japanese = await client.get(asked, headers={**mine, "Accept-Language": "ja"})
    listed = await client.get("/v1/admin/quotas", headers=admin)
    clock.seconds += int(answers[-1].headers["Retry-After"])
    later = await client.get(asked, headers=mine)
    removed = await client.delete("/v1/admin/quotas", params=subject, headers=admin)
    freed = [(await client.get(asked, headers=mine)).status_code for _ in range(4)]

    assert made.status_code == 200, made.text
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[-1].json()["code"] == "quota_exceeded"
    assert '"client-dataset";r=0' in answers[-1].headers["RateLimit"]
    assert "割当" in japanese.json()["detail"]
    assert listed.json()[0]["requests_per_minute"] == 2
    assert later.status_code == 200
    assert removed.status_code == 204
    assert freed == [200] * 4
    assert len(await world.log(Event.RECORDS_READ)) == 2 + 1 + 4
    assert [entry["reason"] for entry in await world.log(Event.RECORDS_REFUSED)] == [
        "quota_exceeded"
    ]
    assert len(await world.log(Event.QUOTA_SET, Event.QUOTA_REMOVED)) == 2


async def test_a_quota_of_a_dataset_is_all_its_callers_together(
    client: httpx.AsyncClient, world: World, limited: Limited
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    admin = await _operator(world)
    mine = await world.token(await world.party(), f"dataset:{dataset}:read")
    limited(Rates())
    body = {"dataset_id": dataset, "requests_per_minute": 3}
    await client.put("/v1/admin/quotas", json=body, headers=admin)

    statuses = [
        (await client.get(path(dataset), headers=headers)).status_code
        for headers in ({}, mine, {}, mine)
    ]

    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize(
    "body",
    [
        {"requests_per_minute": 5},
        {"client_id": "nobody", "requests_per_minute": 5},
        {"dataset_id": "nothing", "requests_per_minute": 5},
        {"dataset_id": "nothing", "requests_per_minute": 0},
    ],
)
async def test_a_quota_for_nothing_is_refused(
    client: httpx.AsyncClient, world: World, body: dict[str, object]
) -> None:
    response = await client.put("/v1/admin/quotas", json=body, headers=await _operator(world))

    assert response.status_code == 422


async def test_only_the_operator_sets_quotas(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party(SAKAI, Role.DEVELOPER)
    headers = await world.token(party, "agreements:write")
    body = {"client_id": party.id, "requests_per_minute": 10**6}

    refused = await client.put("/v1/admin/quotas", json=body, headers=headers)
    hidden = await client.get("/v1/admin/quotas", headers=headers)

    assert (refused.status_code, hidden.status_code) == (403, 403)


async def test_wrong_secrets_are_counted_by_address_and_lock_nobody_else_out(
    client: httpx.AsyncClient, world: World, limited: Limited, platform: Platform, clock: Clock
) -> None:
    party = await world.party()
    form = {**party.form("dataset:x:read"), "client_assertion": party.assertion(aud="wrong")}
    limited(Rates(token_address=3, token_client=3))

    answers = [await client.post("/oauth/token", data=form) for _ in range(5)]
    wait = int(answers[-1].headers["Retry-After"])
    clock.seconds += wait
    after = await client.post("/oauth/token", data=form)

    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
    assert answers[-1].json()["error"] == "slow_down"
    assert str(wait) in answers[-1].json()["error_description"]
    assert after.status_code == 401
    await platform.limits.token_client(party.id)  # which nobody has used up
    refusals = [entry["code"] for entry in await world.log(Event.TOKEN_REFUSED)]
    assert refusals == ["invalid_client"] * 3 + ["slow_down", "invalid_client"]


async def test_a_client_gets_only_so_many_tokens_a_minute(
    client: httpx.AsyncClient, world: World, limited: Limited
) -> None:
    dataset = await stocked(world, [])
    party = await world.party()
    limited(Rates(token_client=2))

    statuses = [
        (await client.post("/oauth/token", data=party.form(f"dataset:{dataset}:read"))).status_code
        for _ in range(3)
    ]

    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("address", ["/oauth/revoke", "/oauth/introspect"])
async def test_a_client_asks_of_its_tokens_only_so_often_a_minute(
    client: httpx.AsyncClient, world: World, limited: Limited, address: str
) -> None:
    party = await world.party()
    limited(Rates(token_client=2))

    answers = [await client.post(address, data=party.form("x", token="x")) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["error"] == "slow_down"
    refusals = [(entry["path"], entry["code"]) for entry in await world.log(Event.TOKEN_REFUSED)]
    assert refusals == [(address, "slow_down")]


async def test_guesses_at_registration_tokens_are_counted_by_address(
    client: httpx.AsyncClient, limited: Limited
) -> None:
    limited(Rates(token_address=2))

    answers = [await client.post("/oauth/register", json={}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert answers[-1].json()["error"] == "slow_down"


async def test_one_patient_client_holds_only_its_share_of_exports(
    client: httpx.AsyncClient, world: World, platform: Platform
) -> None:
    dataset = await stocked(world, [{"no": f"{at}", "name": "長" * 300} for at in range(3_000)])
    headers = await world.token(await world.party(), f"dataset:{dataset}:read")
    broker = platform.broker
    begun = [broker._begin_export(_ask_of(dataset)) for _ in range(2)]

    refused = await client.get(path(dataset), params={"f": "csv"})
    others = await client.get(path(dataset), params={"f": "csv"}, headers=headers)
    for exporter in begun:
        broker._end_export(exporter)
    again = await asyncio.gather(
        *(client.get(path(dataset), params={"f": "csv"}) for _ in range(2))
    )

    assert refused.status_code == 429
    assert refused.json()["code"] == "export_share_taken"
    assert others.status_code == 200
    assert [answer.status_code for answer in again] == [200, 200]
    assert not broker._exporting


async def test_a_request_is_counted_in_a_few_microseconds(
    platform: Platform, limited: Limited
) -> None:
    limited(Rates(address=10**6))
    began = time.process_time()

    for _ in range(5_000):
        await platform.limits.request(None, "192.0.2.1", "r")

    assert (time.process_time() - began) / 5_000 < 50e-6  # some 5 on a quiet machine
