"""A GeoPackage of many features through a real worker: its pace, and what it holds in memory."""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely

from tests.bench.figures import Figure
from tests.bench.loads import peak_of
from tests.bench.stage import Stage

_MB = 1 << 20
_FIELDS: list[dict[str, Any]] = [
    {"name": "parcel", "label": "地番", "type": "code", "key": True},
    {"name": "shape", "label": "ジオメトリ", "type": "geometry"},
]


async def shapes(stage: Stage) -> list[Figure]:
    """200,000 features, with --soak 2,000,000."""
    count = 2_000_000 if stage.is_soak else 200_000
    await stage.register("bench-shapes", "public", _FIELDS)
    path = stage.folder / "shapes.gpkg"
    await asyncio.to_thread(write, path, count)
    worker = stage.spawn("worker")
    watching = asyncio.create_task(peak_of(worker))
    began = time.perf_counter()
    try:
        run = await stage.load("bench-shapes", path)
        seconds = time.perf_counter() - began
    finally:
        await asyncio.sleep(0.1)
        watching.cancel()
        peak = await watching
        worker.stop()
        path.unlink()
    assert run["rows_accepted"] == count, run
    return [
        Figure(f"worker's peak, {count:,} features", "MB", (peak / _MB,), wanted_below=1_000),
        Figure("features loaded", "/s", (count / seconds,)),
    ]


def write(path: Path, count: int) -> None:
    """Parcels of half a millidegree, in JGD2011, without a spatial index."""
    dice = np.random.default_rng(20260401)
    x, y = dice.uniform(135, 136, count), dice.uniform(34, 35, count)
    numbers = np.array([f"{at:08}" for at in range(count)], dtype=object)
    pyogrio.raw.write(
        path,
        shapely.to_wkb(shapely.box(x, y, x + 5e-4, y + 5e-4)),
        [numbers],
        np.array(["地番"], dtype=object),
        field_mask=None,
        geometry_type="Polygon",
        crs="EPSG:6668",
        driver="GPKG",
        layer_options={"SPATIAL_INDEX": "NO"},
    )
