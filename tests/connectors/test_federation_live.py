"""Platforms that broker each other's data at request time: what passes, and what goes round."""

from typing import Any

from app.models.parties import Role
from tests.connectors.other import Other
from tests.stock import KEYED, declared, path, stocked
from tests.world import KENKO

_ROWS = [{"no": str(at), "name": f"施設{at}", "size": at} for at in range(30)]
_TYPES = {"no": "code", "name": "text", "size": "integer"}


async def _live(at: Other, dataset: str, of: Other, theirs: str) -> None:
    """Have a dataset of one platform answered live by another's."""
    steward = await at.world.token(await at.world.party(KENKO, Role.STEWARD), "catalogue:write")
    selection = {"dataset": theirs, "types": _TYPES}
    feed = {"dataset": dataset, "mode": "live", "selection": selection}
    body = {"kind": "linkage", "name": "連携", "settings": {"base": of.base}, "feeds": [feed]}
    added = await at.world.client.post("/v1/connectors", json=body, headers=steward)
    assert added.status_code == 201, added.text
    at.world.platform.live.changed("dataset", dataset)


async def _read(at: Other, dataset: str, **query: Any) -> Any:
    reader = await at.world.token(await at.world.party(), f"dataset:{dataset}:read")
    asked = {"purpose": "own-duty", **query}
    return await at.world.client.get(path(dataset), params=asked, headers=reader)


async def test_what_another_platform_has_is_answered_as_if_it_were_here(
    other: Other, third: Other
) -> None:
    theirs = await stocked(other.world, _ROWS)
    ours = await third.world.dataset(data_class="internal", fields=declared(KEYED))
    await _live(third, ours, other, theirs)

    plain = await _read(third, ours, limit=5)
    asked = await _read(third, ours, filter="size > 20 AND name LIKE '%2%'", sort="-size", limit=3)

    assert [row["no"] for row in plain.json()["records"]] == ["0", "1", "2", "3", "4"]
    assert [row["no"] for row in asked.json()["records"]] == ["29", "28", "27"]
    assert asked.json()["meta"].get("done_here", []) == []
    assert other.door.heads[-1]["linkage-via"] == third.base


async def test_platforms_that_broker_each_other_end_with_a_clear_refusal(
    other: Other, third: Other
) -> None:
    here = await third.world.dataset(data_class="public", fields=declared(KEYED))
    there = await other.world.dataset(data_class="public", fields=declared(KEYED))
    for at, dataset in ((third, here), (other, there)):
        await at.world.platform.database.pool.execute(
            "UPDATE dataset SET license = 'CC-BY-4.0' WHERE id = $1", dataset
        )
    await _live(third, here, other, there)
    await _live(other, there, third, here)
    before = len(other.door.heads) + len(third.door.heads)

    refused = await _read(third, here)

    assert (refused.status_code, refused.json()["code"]) == (508, "federation_loop")
    assert len(other.door.heads) + len(third.door.heads) - before <= 3
