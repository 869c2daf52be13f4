"""A dataset of every type, and its ready-made files, for tests of them."""

from pathlib import Path
from typing import Any

import httpx

from app.tasks.files import make_files
from tests.stock import Spec
from tests.world import World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("size", "integer"),
    ("area", "decimal"),
    ("open", "boolean"),
    ("day", "date"),
    ("at", "datetime"),
    ("lat", "latitude"),
    ("lon", "longitude"),
    ("inside", "text", {"visibility": "internal"}),
)
ROWS: list[dict[str, Any]] = [
    {
        "no": "007", "name": '第一 "公園"\n\t北, \\側', "size": -5, "area": 12.345, "open": True,
        "day": "2026-04-01", "at": "2026-04-01T09:00:00.25+09:00", "lat": 34.7, "lon": 135.5,
        "inside": "庁内",
    },
    {"no": "008", "name": "=cmd|' /C calc'!A1", "size": None, "area": 0.5, "open": False,
     "day": "1890-01-01", "at": None, "lat": 34.71, "lon": 135.51, "inside": None},
    {"no": "009", "name": "", "lat": None, "lon": None},
]  # fmt: skip
SIZE = 200 << 20
ALL = {"csv", "csv-excel", "geojson", "parquet", "xlsx", "geopackage", "pmtiles"}


async def made(world: World, dataset: str, number: int = 1) -> dict[str, Any]:
    """Have the files of a version made; the list."""
    await make_files(world.platform.database, world.platform.store, dataset, number)
    world.platform.live.changed("dataset", dataset)
    listed: dict[str, Any] = (await world.client.get(f"/v1/datasets/{dataset}/files")).json()
    return listed


def address(dataset: str, suffix: str) -> str:
    return f"/v1/datasets/{dataset}/files/{dataset}{suffix}"


async def file_of(client: httpx.AsyncClient, tmp_path: Path, dataset: str, suffix: str) -> Path:
    answer = await client.get(address(dataset, suffix))
    assert answer.status_code == 200, answer.text
    target = tmp_path / f"x{suffix}"
    target.write_bytes(answer.content)
    return target
