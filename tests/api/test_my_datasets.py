"""One's own rights, listed: what is said of each dataset is what asking for it gives."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import event

from app.models.parties import Role, Zone
from app.parties.seed import OPERATOR
from tests.stock import KEYED, PURPOSE, agreed, many, path, stocked
from tests.world import KENKO, SAKAI, World

MINE = "/v1/me/datasets"
ROWS = [{"no": "1", "name": "架空", "size": 3}]
SOME_RESTRICTED = (*KEYED[:2], ("size", "integer", {"visibility": "restricted"}))
CLASSES = ("public", "internal", "restricted", "personal", "specific-personal")


async def mine(world: World, headers: dict[str, str], **asked: Any) -> dict[str, dict[str, Any]]:
    """What is listed by id, page after page."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        answer = await world.client.get(MINE, params=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        found |= {each["id"]: each for each in answer.json()["items"]}
        if answer.json()["next"] is None:
            return found
        asked = {**asked, "cursor": answer.json()["next"]}


async def test_what_is_listed_is_what_asking_gives(world: World) -> None:
    datasets = [await stocked(world, ROWS, data_class=each) for each in CLASSES[:3]]
    party = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, datasets[1], party)
    await agreed(world, datasets[1], party, purpose="health")
    ended, steward = await agreed(world, datasets[2], party)
    revoked = await world.client.post(
        f"/v1/agreements/{ended}/revoke", json={"reason": "試験"}, headers=steward
    )
    assert revoked.status_code == 200, revoked.text
    single = await stocked(world, ROWS, data_class="internal")
    only, _ = await agreed(world, single, party)
    headers = await world.bound(party, "agreements:write")

    listed = await mine(world, headers)
    unbound = await mine(world, await world.bearer(party, "agreements:write"))
    reading = await world.token(party, f"dataset:{datasets[1]}:read")
    read = await world.client.get(path(datasets[1]), params={"purpose": PURPOSE}, headers=reading)

    public, internal, restricted = (listed[each] for each in datasets)
    assert (public["read"]["ground"], public["read"]["purposes"]) == ("public", [])
    assert public["write"]["code"] == "no_agreement"
    assert internal["read"] == internal["aggregate"]
    assert internal["read"]["purposes"] == [PURPOSE, "health"]
    assert internal["read"]["agreement"] is None  # each purpose has its own
    assert listed[single]["read"]["agreement"] == only
    assert internal["write"]["code"] == "action_not_agreed"
    assert restricted["read"] == {
        "allowed": False, "ground": None, "agreement": None, "purposes": [],
        "code": "agreement_revoked",
    }  # fmt: skip
    assert unbound[datasets[1]] == internal
    for action in ("read", "aggregate", "write"):
        assert unbound[datasets[2]][action]["code"] == "token_not_bound"
    assert read.status_code == 200


async def test_what_is_listed_is_what_an_explanation_says(world: World) -> None:
    """Class by class, zone by zone, for the own unit, another of the body, and another body."""
    datasets = [
        await world.dataset(KENKO, data_class=each, zone=zone.value)
        for each in CLASSES
        for zone in (Zone.INTERNET, Zone.LGWAN)
    ]
    admin = await world.token(await world.party(OPERATOR, Role.OPERATOR), "admin:read")
    parties = [await world.party(each, Role.DEVELOPER) for each in (KENKO, "271004-digital", SAKAI)]

    for party in parties:
        listed = await mine(world, await world.token(party, "agreements:write"))
        for dataset in datasets:
            for action in ("read", "aggregate", "write"):
                supposed = {"client": party.id, "dataset": dataset, "action": action}
                explained = await world.client.post(
                    "/v1/admin/decisions/explain", json={**supposed, "purpose": PURPOSE},
                    headers=admin,
                )  # fmt: skip
                told = listed[dataset][action]
                refused = explained.json()["refused"]
                assert told["allowed"] == (explained.json()["decision"] == "allow"), supposed
                assert told["code"] == (refused and refused["code"]), supposed
                assert told["ground"] == explained.json()["ground"], supposed


async def test_with_views_only_purposes_are_told_for_which_something_leaves(world: World) -> None:
    dataset = await stocked(world, ROWS, SOME_RESTRICTED, data_class="internal")
    await viewed(world, dataset, PURPOSE, {"columns": ["name"]})
    await viewed(world, dataset, "health", {"columns": ["size"]})
    city = await world.party(SAKAI, Role.DEVELOPER)
    unit = await world.party("271004-digital", Role.DEVELOPER)
    for purpose in (PURPOSE, "health"):
        await agreed(world, dataset, city, purpose=purpose, columns=["no", "name"])
    known = [each["code"] for each in (await world.client.get("/v1/purposes")).json()]

    told, given = [], []
    for party in (city, unit):
        listed = await mine(world, await world.token(party, "agreements:write"))
        headers = await world.token(party, f"dataset:{dataset}:read")
        answers = {
            each: await world.client.get(path(dataset), params={"purpose": each}, headers=headers)
            for each in known
        }
        told.append(listed[dataset]["read"]["purposes"])
        given.append([each for each, answer in answers.items() if answer.status_code == 200])

    assert told == given
    assert told == [[PURPOSE], [each for each in known if each != "health"]]


async def test_views_hide_neither_an_agreement_nor_why_it_does_not_carry(world: World) -> None:
    """Other purposes are tried as well, and tell less: public data alone, or no agreement at all."""
    public = await stocked(world, ROWS, SOME_RESTRICTED)
    internal = await stocked(world, ROWS, data_class="internal")
    party = await world.party(SAKAI, Role.DEVELOPER)
    for dataset in (public, internal):
        await viewed(world, dataset, "welfare", {"columns": ["no"]})
    carried, _ = await agreed(world, public, party)
    ended, steward = await agreed(world, internal, party)
    await world.client.post(
        f"/v1/agreements/{ended}/revoke", json={"reason": "試験"}, headers=steward
    )

    listed = await mine(world, await world.token(party, "agreements:write"))

    assert listed[public]["read"] == {
        "allowed": True, "ground": "agreement", "agreement": carried, "purposes": [PURPOSE],
        "code": None,
    }  # fmt: skip
    assert listed[internal]["read"]["code"] == "agreement_revoked"


async def viewed(world: World, dataset: str, purpose: str, view: dict[str, Any]) -> None:
    """Declare a view of a purpose."""
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    where = f"/v1/datasets/{dataset}/purposes/{purpose}"
    answer = await world.client.put(where, json=view, headers=steward)
    assert answer.status_code == 200, answer.text


async def test_hidden_ones_are_their_publishers_to_see_and_nobody_lists_without_a_token(
    client: httpx.AsyncClient, world: World
) -> None:
    hidden = await world.dataset(KENKO, hidden=True)
    own = await world.token(await world.party(KENKO, Role.DEVELOPER), "agreements:write")
    other = await world.token(await world.party(SAKAI, Role.DEVELOPER), "agreements:write")

    nobody = await client.get(MINE)

    assert hidden in await mine(world, own)
    assert hidden not in await mine(world, other)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "token_required")


async def test_pages_meet_and_a_copy_is_not_sent_again(
    client: httpx.AsyncClient, world: World
) -> None:
    for _ in range(5):
        await world.dataset()
    headers = await world.token(await world.party(SAKAI, Role.DEVELOPER), "agreements:write")

    whole = await client.get(MINE, headers=headers)
    again = await client.get(MINE, headers={**headers, "If-None-Match": whole.headers["etag"]})
    wrong = [
        await client.get(f"{MINE}?{asked}", headers=headers)
        for asked in ("limit=10001", "limit=0", "cursor=%20", "lmit=3")
    ]

    assert list(await mine(world, headers, limit=2)) == [e["id"] for e in whole.json()["items"]]
    assert again.status_code == 304
    assert "private" in whole.headers["cache-control"]
    assert [each.status_code for each in wrong] == [400] * 4


@contextmanager
def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement of the test's own requests meanwhile, by either way; no background task's."""
    seen: list[str] = []
    asking = asyncio.current_task()
    engine = world.platform.database.engine.sync_engine

    def by_engine(_c: Any, _u: Any, statement: str, *_more: Any) -> None:
        if asyncio.current_task() is asking:
            seen.append(statement)

    with monkeypatch.context() as patch:
        for name in ("fetch", "fetchval", "fetchrow", "execute"):
            asked = getattr(asyncpg.Pool, name)

            async def by_pool(
                self: Any, query: str, *args: Any, _asked: Any = asked, **more: Any
            ) -> Any:
                if asyncio.current_task() is asking:
                    seen.append(query)
                return await _asked(self, query, *args, **more)

            patch.setattr(asyncpg.Pool, name, by_pool)
        event.listen(engine, "before_cursor_execute", by_engine)
        yield seen
        event.remove(engine, "before_cursor_execute", by_engine)


async def test_ten_thousand_take_as_many_statements_as_a_hundred(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await world.token(await world.party(SAKAI, Role.DEVELOPER), "agreements:write")
    asked = {"limit": 10_000}
    await mine(world, headers, **asked)  # the purposes are in memory from here on
    statements, listed = [], []

    for numbers in (range(100), range(100, 10_000)):
        await many(world.platform.database.pool, [f"many-{at:05}" for at in numbers])
        with counted(world, monkeypatch) as seen:
            answer = await world.client.get(MINE, params=asked, headers=headers)
        statements.append(seen)
        listed.append(len(answer.json()["items"]))

    assert listed[0] >= 100 and listed[1] == 10_000
    assert 1 <= len(statements[0]) == len(statements[1]) <= 5, statements
