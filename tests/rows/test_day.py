"""Requests a day of an agreement: of all its consumer's clients, until midnight in Japan."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.audit.events import Event
from app.kit.limits import Limit, Limiter
from app.models.parties import Role
from app.parties.quotas import Quotas
from tests.following import Follower
from tests.limits.store import Store, free_port, store_program
from tests.rows.town import ask
from tests.stock import KEYED, PURPOSE, agreed, path, stocked
from tests.world import SAKAI, World

__all__ = ["store_program"]
EVENING = datetime(2026, 4, 1, 14, 59, 30, tzinfo=UTC)  # 23:59:30 in Japan


async def bounded(
    world: World, per_day: int, data_class: str = "restricted", specs: Any = KEYED
) -> tuple[str, list[dict[str, str]]]:
    """A dataset with an agreement, and tokens of two clients of its consumer."""
    dataset = await stocked(world, [{"no": "1"}, {"no": "2"}], specs, data_class=data_class)
    clients = [await world.party(SAKAI, Role.DEVELOPER) for _ in range(2)]
    await agreed(world, dataset, clients[0], per_day=per_day, actions=["read", "write"])
    return dataset, [await world.token(each, f"dataset:{dataset}:read") for each in clients]


async def test_the_day_is_used_up_by_all_clients_together_and_new_at_midnight(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, both = await bounded(world, 3)
    moment = SimpleNamespace(now=lambda: EVENING)
    monkeypatch.setattr("app.broker.limits.clock", moment)

    answers = [await ask(world, path(dataset), both[at % 2]) for at in range(5)]
    japanese = await ask(world, path(dataset), {**both[0], "Accept-Language": "ja"})
    told_s = int(answers[-1].headers["Retry-After"])
    moment.now = lambda: EVENING + timedelta(seconds=told_s)
    after = await ask(world, path(dataset), both[1])

    assert [each.status_code for each in answers] == [200] * 3 + [429] * 2
    refused = answers[-1]
    assert refused.json()["code"] == "day_used_up"
    assert told_s == 30
    assert refused.headers["RateLimit"] == f'"agreement-day";r=0;t={told_s}'
    assert refused.headers["RateLimit-Policy"] == '"agreement-day";q=3;w=86400'
    assert "日本時間の0時" in japanese.json()["detail"]
    assert after.status_code == 200
    reasons = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
    assert reasons == ["day_used_up"] * 2  # once a minute for each client


async def test_one_request_is_one_use_however_often_it_is_judged(world: World) -> None:
    dataset, [asking, _] = await bounded(world, 5)
    follower = Follower(world.client, dataset, asking, PURPOSE)

    fed = [(await follower.ask()).status_code for _ in range(2)]
    compared = await ask(world, f"/v1/datasets/{dataset}/diff", asking, **{"from": "1", "to": "1"})
    read = [(await ask(world, path(dataset), asking)).status_code for _ in range(3)]

    assert (fed, compared.status_code, read) == ([200, 200], 200, [200, 200, 429])


async def test_the_publisher_and_other_consumers_are_not_counted(world: World) -> None:
    dataset, [asking, _] = await bounded(world, 1)
    own = await world.token(await world.party(), f"dataset:{dataset}:read")

    statuses = [(await ask(world, path(dataset), who)).status_code for who in (asking, asking, own)]

    assert statuses == [200, 429, 200]


async def test_a_day_that_is_used_up_takes_nothing_of_a_quota_that_others_share(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, [asking, _] = await bounded(world, 1)
    own = await world.token(await world.party(), f"dataset:{dataset}:read")

    async def quotas() -> Quotas:
        return {(None, dataset): 3}

    monkeypatch.setattr(world.platform.limits, "_all_quotas", quotas)

    mine = [(await ask(world, path(dataset), asking)).status_code for _ in range(5)]
    others = [(await ask(world, path(dataset), own)).status_code for _ in range(3)]

    assert mine == [200] + [429] * 4
    assert others == [200, 200, 429]


@pytest.mark.parametrize(
    ("data_class", "specs", "status"),
    [
        ("internal", KEYED, 200),
        ("internal", (*KEYED[:1], ("name", "text", {"visibility": "restricted"})), 503),
        ("restricted", KEYED, 503),
    ],
)
async def test_without_the_store_what_must_be_counted_does_not_leave(
    world: World, monkeypatch: pytest.MonkeyPatch, data_class: str, specs: Any, status: int
) -> None:
    dataset, [asking, _] = await bounded(world, 2, data_class, specs)
    limiter = Limiter(f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setattr(world.platform.limits, "limiter", limiter)

    answer = await ask(world, path(dataset), asking)
    await limiter.close()

    assert answer.status_code == status
    if status == 503:
        assert answer.json()["code"] == "limiter_unavailable"
        reasons = [each["reason"] for each in await world.log(Event.RECORDS_REFUSED)]
        assert reasons == ["limiter_unavailable"]


async def test_two_replicas_give_no_more_than_the_day_has(
    store_program: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(store_program, tmp_path_factory.mktemp("days"))
    await store.start()
    replicas = [Limiter(store.url) for _ in range(2)]
    limit = Limit("agreement-day", "a", 40, 86_400)

    outcomes = [await replicas[at % 2].hit_day(limit, EVENING) for at in range(80)]
    following = await replicas[0].hit_day(limit, datetime(2026, 4, 1, 15, tzinfo=UTC))
    for each in replicas:
        await each.close()
    store.stop()

    given = [each for each in outcomes if each.refused is None]
    assert len(given) == 40
    assert {each.standings[0].free_in_s for each in outcomes} == {30}
    assert following.refused is None
    assert not any(each.is_degraded for each in outcomes)


async def test_a_process_that_loses_the_store_remembers_what_it_gave(
    store_program: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(store_program, tmp_path_factory.mktemp("days"))
    await store.start()
    limiter, limit = Limiter(store.url), Limit("agreement-day", "b", 3, 86_400)

    before = [await limiter.hit_day(limit, EVENING) for _ in range(2)]
    store.stop()
    alone = [await limiter.hit_day(limit, EVENING) for _ in range(2)]
    await limiter.close()

    assert [each.is_degraded for each in before + alone] == [False, False, True, True]
    assert [each.refused is None for each in before + alone] == [True, True, True, False]
