"""Collections for the tests of the OGC door, points with times and polygons, and how they are asked."""

from typing import Any

import httpx

from tests.stock import Spec, stocked
from tests.world import World

GEOJSON = "application/geo+json"
HTML = "text/html; charset=utf-8"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
OGC = "http://www.opengis.net/def/rel/ogc/1.0/"
POINTS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("size", "integer"),
    ("day", "date"),
    ("seen_at", "datetime"),
    ("latitude", "latitude"),
    ("longitude", "longitude"),
)
SHAPES: tuple[Spec, ...] = (("no", "code", {"key": True}), ("name", "text"), ("area", "geometry"))


def point(at: int) -> dict[str, Any]:
    """The point number `at`: eastward by a hundredth of a degree; each third without a time."""
    timed = at % 3 != 0
    return {
        "no": f"{at:04}",
        "name": f"公園{at}",
        "size": at,
        "day": f"2026-04-{at % 28 + 1:02}" if timed else None,
        "seen_at": f"2026-04-{at % 28 + 1:02}T09:00:00+09:00" if timed else None,
        "latitude": 34.5 + (at % 50) / 100,
        "longitude": 135 + (at // 50) / 100,
    }


def square(at: int, side: float = 0.005) -> dict[str, Any]:
    """The square number `at`: a hundredth of a degree east of the one before."""
    west, south = 135 + at / 100, 34.5
    ring = [[west, south], [west + side, south], [west + side, south + side], [west, south + side]]
    area = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    return {"no": f"{at:04}", "name": f"地区{at}", "area": area}


async def points(world: World, count: int, **more: Any) -> str:
    """A collection of points; its id."""
    return await stocked(world, [point(at) for at in range(1, count + 1)], POINTS, **more)


async def squares(world: World, count: int) -> str:
    """A collection of squares; its id."""
    return await stocked(world, [square(at) for at in range(1, count + 1)], SHAPES)


def items(collection: str, item: str | None = None) -> str:
    return f"/ogc/collections/{collection}/items" + (f"/{item}" if item is not None else "")


async def got(client: httpx.AsyncClient, path: str, **asked: Any) -> dict[str, Any]:
    response = await client.get(path, params=asked or None)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def ids(client: httpx.AsyncClient, collection: str, **asked: Any) -> list[Any]:
    found = await got(client, items(collection), **asked)
    return [feature["id"] for feature in found["features"]]


async def refused(client: httpx.AsyncClient, path: str, **asked: Any) -> tuple[int, str]:
    response = await client.get(path, params=asked or None)
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def links_of(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(link["rel"], link["type"]): link["href"] for link in document["links"]}
