"""Datasets that hold the same twice are found by layout, places and keys, and nothing else of them is."""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from app.models.parties import Role
from tests.stock import stocked
from tests.systems.inventory import acting
from tests.world import KENKO, SAKAI, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPECS: Final = (
    ("no", "code", {"key": True}), ("name", "text"), ("lat", "latitude"), ("lon", "longitude"),
)  # fmt: skip
KITA: Final = (34.70, 135.50)
SAKAI_PLACE: Final = (34.57, 135.48)


def _rows(numbers: Sequence[str], at: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {"no": no, "name": "架空", "lat": at[0] + place / 1000, "lon": at[1] + place / 1000}
        for place, no in enumerate(numbers)
    ]


async def _of_layout(
    world: World, numbers: Sequence[str], at: tuple[float, float], layout: str, **more: Any
) -> str:
    specs = more.pop("specs", SPECS)
    dataset = await stocked(world, _rows(numbers, at), specs, **more)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET profile_name = $2, profile_version = 1 WHERE id = $1", dataset, layout
    )
    return dataset


async def _asked(world: World, dataset: str, by: str = "271004") -> list[dict[str, Any]]:
    headers = await acting(world, by, Role.STEWARD)
    answer = await world.client.get(
        "/v1/similar-datasets", params={"dataset": dataset}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def test_a_copy_of_another_bureau_is_found_by_its_keys_and_its_places(world: World) -> None:
    ours = await _of_layout(world, ["1", "2", "3", "4"], KITA, "park-a")
    copy = await _of_layout(world, ["2", "3", "9"], KITA, "park-a", data_class="internal")
    await _of_layout(
        world, ["1", "2", "3", "4"], SAKAI_PLACE, "park-a"
    )  # the same numbers, elsewhere
    await _of_layout(world, ["1", "2", "3", "4"], KITA, "shelter-a")

    found = await _asked(world, ours)

    assert [(each["dataset"], each["area"], each["keys"]) for each in found] == [(copy, 1.0, 0.67)]
    assert (found[0]["publisher"], found[0]["layout"]) == (KENKO, "park-a/1")
    assert [each["dataset"] for each in await _asked(world, copy)] == [ours]
    # Another city could guess an internal one's keys so.
    assert await _asked(world, ours, SAKAI) == await _asked(world, copy, SAKAI) == []


async def test_other_numbers_at_the_same_places_are_alike_and_other_keys_are_not_compared(
    world: World,
) -> None:
    renamed = (("id", "code", {"key": True}), *SPECS[1:])
    ours = await _of_layout(world, ["1", "2"], KITA, "park-b")
    other = await _of_layout(world, ["8", "9"], KITA, "park-b")
    odd = await stocked(
        world, [{"id": r["no"], **{n: r[n] for n in ("name", "lat", "lon")}} for r in _rows("12", KITA)],
        renamed,
    )  # fmt: skip
    await world.platform.database.pool.execute(
        "UPDATE dataset SET profile_name = 'park-b', profile_version = 2 WHERE id = $1", odd
    )

    found = {each["dataset"]: (each["area"], each["keys"]) for each in await _asked(world, ours)}

    assert found == {other: (1.0, 0.0), odd: (1.0, None)}


async def test_what_not_everybody_knows_of_is_never_compared(world: World) -> None:
    ours = await _of_layout(world, ["1", "2"], KITA, "park-c")
    pool = world.platform.database.pool
    hidden = await _of_layout(world, ["1", "2"], KITA, "park-c")
    await pool.execute("UPDATE dataset SET hidden = true WHERE id = $1", hidden)
    closed = await _of_layout(world, ["1", "2"], KITA, "park-c", data_class="restricted")
    column = await _of_layout(world, ["1", "2"], KITA, "park-c")
    await pool.execute(
        "UPDATE dataset SET fields = jsonb_set(fields, '{0,visibility}', '\"restricted\"')"
        " WHERE id = $1", column,
    )  # fmt: skip
    gone = await _of_layout(world, ["1", "2"], KITA, "park-c")
    await pool.execute(
        "UPDATE dataset SET state = 'withdrawn', withdrawn_reason = 'x' WHERE id = $1", gone
    )
    headers = await acting(world, SAKAI, Role.STEWARD)
    refused = await world.client.get(
        "/v1/similar-datasets", params={"dataset": hidden}, headers=headers
    )
    nobody = await world.client.get("/v1/similar-datasets", params={"dataset": ours})

    assert await _asked(world, ours) == []
    assert await _asked(world, closed) == []
    assert (refused.status_code, nobody.status_code) == (404, 401)
