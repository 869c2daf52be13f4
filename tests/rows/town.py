"""A dataset of which a consumer may have the rows of one ward, and whose ward it may not see."""

import secrets
from dataclasses import dataclass
from typing import Any, Final

import httpx

from app.models.parties import Role
from tests.stock import PURPOSE, Spec, agreed, stocked
from tests.versioned import publish, steward_of
from tests.world import SAKAI, Party, World

SPECS: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("size", "integer"),
    ("ward", "text"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
SEEN: Final = ("no", "name", "size", "lat", "lon")
NORTH: Final = "ward = 'north'"
# What no answer to the consumer may hold, nor a sum that it went into.
SECRETS: Final = ("S-8801", "S-8802", "hisui", "kohaku", "770033", "34.123", "135.987")
OLD: Final = b"""no,name,size,ward,lat,lon
N-1,aoba,10,north,34.70,135.50
N-2,midori,20,north,34.71,135.51
S-8801,hisui,770033,south,34.123,135.987
"""
NEW: Final = b"""no,name,size,ward,lat,lon
N-1,aoba,11,north,34.70,135.50
N-3,sora,30,north,34.72,135.52
S-8801,hisui,770033,south,34.123,135.987
S-8802,kohaku,770033,,34.123,135.987
"""


@dataclass(slots=True)
class Town:
    """The dataset in two versions, its consumer, and who is bounded by nothing."""

    dataset: str
    consumer: Party
    asking: dict[str, str]
    own: dict[str, str]


async def town(
    world: World, rows: str | None = NORTH, *, data_class: str = "internal", **terms: Any
) -> Town:
    """Two versions, and an agreement on some rows of them (the module uses `worker`)."""
    dataset = await stocked(world, [], SPECS, data_class=data_class)
    steward = await steward_of(world)
    await publish(world, steward, dataset, OLD)
    await publish(world, steward, dataset, NEW)
    consumer, asking = await consumer_of(world, dataset, rows, **terms)
    own = await world.token(await world.party(), f"dataset:{dataset}:read")
    return Town(dataset, consumer, asking, own)


async def consumer_of(
    world: World, dataset: str, rows: str | None, organization: str = SAKAI, **terms: Any
) -> tuple[Party, dict[str, str]]:
    """A client with an agreement on those rows, and its token."""
    consumer = await world.party(organization, Role.DEVELOPER)
    bounds = {"columns": list(SEEN), "actions": ["read", "write"], **terms}
    await agreed(world, dataset, consumer, **({"rows": rows} if rows else {}), **bounds)
    return consumer, await world.token(consumer, f"dataset:{dataset}:read")


async def ask(world: World, path: str, headers: dict[str, str], **query: str) -> httpx.Response:
    """Asked for the purpose that was agreed."""
    return await world.client.get(path, params={"purpose": PURPOSE, **query}, headers=headers)


def key() -> str:
    """A key that nothing has yet."""
    return f"N-{secrets.token_hex(4)}"
