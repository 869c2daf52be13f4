"""Two replicas that count in one real store: their bound together, and the store cut off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.api.state import Platform
from app.audit.events import Event
from app.broker.ask import Ask, Representation
from app.broker.limits import LimiterUnavailable, Rates
from app.kit.limits import Limit, Limiter
from app.kit.settings import Settings
from app.main import create_app
from app.policy.facts import Caller
from tests.conftest import ISSUER
from tests.limits.store import Store, free_port
from tests.stock import KEYED, path, stocked
from tests.world import World


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(
    store_program: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Store]:
    made = Store(store_program, tmp_path_factory.mktemp("store"))
    await made.start()
    # Both replicas and all who ask share one busy loop here: that is no store that is away.
    with pytest.MonkeyPatch.context() as patient:
        patient.setattr("app.kit.limits._PATIENCE_S", 10)
        yield made
    made.stop()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, rate_store=store.url)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(
    app: FastAPI, settings: Settings, database_url: str
) -> AsyncIterator[tuple[Platform, httpx.AsyncClient]]:
    """A second replica on the same database, and who asks it."""
    made = create_app(settings, database_url)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(made.router.lifespan_context(made))
        transport = httpx.ASGITransport(app=made)
        asking = httpx.AsyncClient(transport=transport, base_url=ISSUER)
        yield made.state.platform, await stack.enter_async_context(asking)


@pytest.fixture
def rates(
    platform: Platform,
    other: tuple[Platform, httpx.AsyncClient],
    monkeypatch: pytest.MonkeyPatch,
) -> Rates:
    """The same small rates for both replicas."""
    made = Rates(address=40, client=30)
    for each in (platform, other[0]):
        monkeypatch.setattr(each.limits, "rates", made)
    return made


async def test_two_replicas_together_give_no_more_than_one_limit(
    client: httpx.AsyncClient,
    other: tuple[Platform, httpx.AsyncClient],
    rates: Rates,
) -> None:
    asked = [
        asking.get("/v1/terms")
        for _ in range(3 * rates.address // 2)
        for asking in (client, other[1])
    ]

    answers = await asyncio.gather(*asked)
    statuses = [answer.status_code for answer in answers]

    assert set(statuses) == {200, 429}
    assert statuses.count(200) == rates.address


async def test_waiting_as_told_by_the_store_is_enough(store: Store) -> None:
    limiter = Limiter(store.url, window_s=0.5)
    limit = [Limit("x", "waiting", 3)]

    outcomes = [await limiter.hit(limit) for _ in range(4)]
    refused = outcomes[-1].refused
    assert refused is not None
    await asyncio.sleep(0.56)  # a window and a part; told in whole seconds
    after = await limiter.hit(limit)
    await limiter.close()

    assert [outcome.standings[0].left for outcome in outcomes] == [2, 1, 0, 0]
    assert refused.free_in_s == 1
    assert after.refused is None


async def test_a_hit_that_one_shared_limit_refuses_is_counted_by_none(store: Store) -> None:
    limiter = Limiter(store.url)
    wide, narrow = Limit("wide", "wide", 10), Limit("narrow", "narrow", 1)
    await limiter.hit([wide, narrow])

    refused = (await limiter.hit([wide, narrow])).refused
    left = (await limiter.hit([wide])).standings[0].left
    await limiter.close()

    assert refused is not None
    assert refused.limit.name == "narrow"
    assert left == 8


async def test_a_store_that_hangs_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.kit.limits._PATIENCE_S", 0.25)
    held: list[asyncio.StreamWriter] = []
    accepted = await asyncio.start_server(lambda _, giving: held.append(giving), "127.0.0.1", 0)
    port = accepted.sockets[0].getsockname()[1]
    limiter = Limiter(f"redis://127.0.0.1:{port}/0")

    async with asyncio.timeout(3):  # to wait each time would be 5
        outcomes = [await limiter.hit([Limit("x", "x", 1)]) for _ in range(20)]
    await limiter.close()
    accepted.close()
    for giving in held:
        giving.close()

    assert all(outcome.is_degraded for outcome in outcomes)
    assert [outcome.refused is None for outcome in outcomes] == [True] + [False] * 19


async def test_with_the_store_cut_off_public_data_goes_on_and_personal_data_stops(
    client: httpx.AsyncClient, world: World, platform: Platform, rates: Rates, store: Store
) -> None:
    public = await stocked(world, [{"no": "1"}])
    restricted = await stocked(world, [{"no": "1"}], data_class="restricted")
    column = ("name", "text", {"visibility": "personal"})
    columned = await stocked(world, [{"no": "1"}], (KEYED[0], column), data_class="restricted")
    personal = await stocked(world, [{"no": "1"}], data_class="restricted")
    await platform.database.pool.execute(
        "UPDATE dataset SET data_class = 'personal' WHERE id = $1", personal
    )
    platform.live.changed("dataset", personal)
    party = await world.party()
    token = await world.token(party, f"dataset:{restricted}:read")
    facts = await platform.clients.get(party.id)
    bound = Caller(facts, frozenset({f"dataset:{personal}:read"}), bound=True)
    ask = Ask(personal, (("purpose", "own-duty"),), Representation.JSON, bound, "r1")
    beside = replace(bound, scope=frozenset({f"dataset:{columned}:read"}))
    platform.limits.rates = replace(rates, client_dataset=20)
    before = await platform.broker.read(ask)

    store.stop()
    open_now = await client.get(path(public))
    restricted_now = await client.get(f"{path(restricted)}?purpose=own-duty", headers=token)
    with pytest.raises(LimiterUnavailable):
        await platform.broker.read(ask)
    with pytest.raises(LimiterUnavailable):
        await platform.broker.read(ask)
    with pytest.raises(LimiterUnavailable):  # as restricted a dataset, and a personal column
        await platform.broker.read(replace(ask, dataset_id=columned, caller=beside))
    floods = [(await client.get(path(public))).status_code for _ in range(60)]
    await store.start()
    platform.limits.limiter._away_until = 0.0
    after = await platform.broker.read(ask)

    assert before.body
    assert open_now.status_code == 200
    assert restricted_now.status_code == 200
    assert 429 in floods  # counted alone, and still counted
    assert after.body
    refused = await world.log(Event.RECORDS_REFUSED)
    assert [(entry["dataset"], entry["reason"]) for entry in refused] == [
        (personal, "limiter_unavailable"),
        (columned, "limiter_unavailable"),
    ]


async def test_a_store_that_was_never_there_does_not_stop_a_start() -> None:
    limiter = Limiter(f"valkey://127.0.0.1:{free_port()}/0")

    outcome = await limiter.hit([Limit("x", "x", 1)])
    await limiter.close()

    assert outcome.is_degraded
    assert outcome.refused is None
