"""A register of people that a consumer sees by masks alone. All of it is invented."""

import csv
import hmac
import io
import json
from dataclasses import dataclass
from typing import Any, Final

from tests.rows.town import ask, consumer_of
from tests.stock import PURPOSE, Spec, stocked
from tests.versioned import base, publish, steward_of
from tests.world import SAKAI, World

SPECS: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("born", "date"),
    ("moved", "datetime"),
    ("pay", "integer"),
    ("rate", "decimal"),
    ("post", "postal_code"),
    ("area", "local_government_code"),
    ("lat", "latitude"),
    ("lon", "longitude"),
    ("ward", "text"),
)
MASKS: Final = {
    "no": "pseudonymise",
    "name": "drop",
    "born": "year",
    "moved": "month",
    "pay": "bin(100000)",
    "rate": "bin(0.5)",
    "post": "first(3)",
    "area": "prefecture",
    "lat": "mesh3",
    "lon": "mesh3",
}
OTHER: Final = "271004-digital"  # of the same body: it needs no agreement
# The first row holds what no answer to the consumer may hold, in any of its parts.
SECRETS: Final = (
    "R-8801", "hisui", "1987-03", "03-14", "2021-07-19", "05:06:07", "8712345", "7.77", "5998123",
    "599-8123", "271403", "34.51237", "135.48761",
)  # fmt: skip
OLD: Final = b"""no,name,born,moved,pay,rate,post,area,lat,lon,ward
R-8801,hisui,1987-03-14,2021-07-19T05:06:07+09:00,8712345,7.77,5998123,271403,34.51237,135.48761,north
R-1,aoba,1990-01-31,2020-01-01T00:30:00+09:00,-5,0.5,5900001,271004,34.7,135.5,south
"""
NEW: Final = (
    OLD + b"R-2,sora,1999-12-31,2022-12-31T23:30:00+09:00,100000,-0.2,,131016,35.6,139.7,\n"
)
SHOWN: Final = {
    "born": 1987, "moved": "2021-07", "pay": 8_700_000, "rate": 7.5, "post": "599",
    "area": "270008", "lat": 34.5125, "lon": 135.49375, "ward": "north",
}  # fmt: skip


@dataclass(slots=True)
class Town:
    """The dataset, and the tokens of its consumer, of another one and of its own organisation."""

    dataset: str
    asking: dict[str, str]
    other: dict[str, str]
    own: dict[str, str]


async def town(
    world: World,
    view: dict[str, Any] | None = None,
    *,
    loaded: bool = False,
    columns: list[str] | None = None,
) -> Town:
    """A view, and two that it bounds, each on a ground of its own; `loaded` from files in two versions."""
    people = [] if loaded else [_record(row) for row in csv.DictReader(io.StringIO(NEW.decode()))]
    dataset = await stocked(world, people, SPECS, data_class="internal")
    for file in (OLD, NEW) if loaded else ():
        await publish(world, await steward_of(world), dataset, file)
    agreed = [name for name, *_ in SPECS] if columns is None else columns
    _, asking = await consumer_of(world, dataset, None, columns=agreed)
    other = await world.token(await world.party(OTHER), f"dataset:{dataset}:read")
    own = await world.token(await world.party(), f"dataset:{dataset}:read")
    declared = await declare(world, dataset, view or {"masks": MASKS})
    assert declared.status_code == 200, declared.text
    return Town(dataset, asking, other, own)


def _record(row: dict[str, str]) -> dict[str, Any]:
    numbers = {name: json.loads(row[name]) for name in ("pay", "rate", "lat", "lon")}
    return {name: numbers.get(name, text) or None for name, text in row.items()}


async def declare(world: World, dataset: str, view: dict[str, Any]) -> Any:
    where = f"{base(dataset)}/purposes/{PURPOSE}"
    return await world.client.put(where, json=view, headers=await steward_of(world))


async def stand_in(world: World, dataset: str, field: str, value: str, who: str = SAKAI) -> str:
    """What stands for a value, worked out here from the key that lies sealed."""
    pool, sealer = world.platform.database.pool, world.platform.sealer
    sealed = await pool.fetchval("SELECT sealed FROM pseudonym_key WHERE dataset_id = $1", dataset)
    secret = sealer.unseal(sealed, about=f"pseudonyms of {dataset}")
    key = hmac.digest(secret, f'["{dataset}", "{who}", "{field}"]'.encode(), "sha256")
    return hmac.digest(key, value.encode(), "sha256").hex()[:32]


async def records(world: World, town: Town, who: dict[str, str], **query: str) -> Any:
    """The records of an answer that is expected to be given."""
    answer = await ask(world, f"/v1/datasets/{town.dataset}/records", who, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["records"]
