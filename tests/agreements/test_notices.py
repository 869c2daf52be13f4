"""Both sides are told that an agreement ends: 60, 30 and 7 days before, each once, never late."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.tasks.notices import give_notices
from tests.agreements.test_access import AGREEMENTS, REQUESTS, WHY, acting, ask, change
from tests.world import KENKO, SAKAI, World


async def ending(
    world: World, days: int = 100
) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """An agreement that ends in so many days, with the consumer's and the steward's headers."""
    dataset = await world.dataset()
    _, consumer = await acting(world, SAKAI, Role.DEVELOPER)
    _, steward = await acting(world, KENKO, Role.STEWARD)
    end = (clock.now() + timedelta(days=days)).isoformat()
    request = (await ask(world, dataset, consumer, valid_until=end)).json()["id"]
    path = f"{REQUESTS}/{request}/approve"
    approved = await world.client.post(path, json={}, headers=steward)
    return approved.json(), consumer, steward


async def told(
    world: World, agreement: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *before: float
) -> list[int]:
    """Let the job run so many days before the end; the notices that the log has of it."""
    end = datetime.fromisoformat(agreement["valid_until"])
    for days in before:
        with monkeypatch.context() as patch:
            moment = end - timedelta(days=days)
            patch.setattr(clock, "now", lambda moment=moment: moment)
            await give_notices(world.platform.database)
    log = await world.log(Event.AGREEMENT_ENDS)
    return [entry["days"] for entry in log if entry["agreement"] == agreement["id"]]


async def test_each_notice_is_given_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    agreement, _, _ = await ending(world)

    given = await told(world, agreement, monkeypatch, 61, 59.9, 59, 30, 29, 7, 6, 0.1, -1)

    assert given == [60, 30, 7]


async def test_after_a_pause_only_the_nearest_is_given(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement, _, _ = await ending(world)

    assert await told(world, agreement, monkeypatch, 61, 5) == [7]


async def test_what_was_agreed_late_needs_no_earlier_notice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement, _, _ = await ending(world, days=20)

    assert await told(world, agreement, monkeypatch, 19, 6) == [7]


async def test_what_has_ended_otherwise_is_not_told_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement, consumer, _ = await ending(world)
    await change(world, agreement, "revoke", consumer)

    assert await told(world, agreement, monkeypatch, 59, 29, 6) == []


async def test_both_sides_see_what_is_to_be_done_and_a_stranger_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement, consumer, steward = await ending(world)
    _, stranger = await acting(world, "272027", Role.DEVELOPER)
    await told(world, agreement, monkeypatch, 59, 29)
    get = world.client.get

    async def seen(headers: dict[str, str]) -> list[dict[str, Any]]:
        items = (await get(f"{AGREEMENTS}/notices", headers=headers)).json()["items"]
        return [each for each in items if each["agreement"] == agreement["id"]]

    both = [await seen(consumer), await seen(steward)]
    later = {"purpose": "statistics"}
    amending = await world.client.post(
        f"{AGREEMENTS}/{agreement['id']}/amend", json=later, headers=consumer
    )

    assert both[0] == both[1]
    (notice,) = both[0]
    assert (notice["days"], notice["purpose_ja"], notice["amendment"]) == (30, "災害対応", None)
    assert (notice["provider_id"], notice["consumer_id"]) == (KENKO, SAKAI)
    assert "/amend" in notice["todo_ja"]
    assert await seen(stranger) == []
    (waiting,) = await seen(steward)
    assert waiting["amendment"] == amending.json()["id"]
    assert amending.json()["id"] in waiting["todo_en"]
    assert (await change(world, agreement, "suspend", steward)).json()["state_reason"] == WHY[
        "reason"
    ]
