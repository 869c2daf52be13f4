"""Benchmarks of place: 100 records by bbox among a million polygons, and all that meet an outline."""

import asyncio
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson
import pyogrio.raw
import shapely

from app.broker.ask import Ask, Representation
from app.broker.plan import make_plan
from app.catalogue.entries import VersionEntry, load_entry
from app.kit import clock
from app.policy.verdicts import Allow
from app.query.geojson import read_geometry
from app.query.question import Question, Relation, Spatial
from app.tables.read import TableReader
from app.tables.sql import Reading
from tests.bench.figures import ROUNDS, Figure, rounds
from tests.bench.stage import Stage, until_answers
from tests.bench.wrk import Wrk

POLYGONS = 1_000_000
DATASET = "bench-places"
QUESTIONS = 20_000  # each another box: no answer, and nothing found, serves twice
_FIELDS: list[dict[str, Any]] = [
    {"name": "no", "label": "地番", "type": "code", "key": True},
    {"name": "kind", "label": "地目", "type": "text"},
    {"name": "area", "label": "地積", "type": "decimal"},
    {"name": "shape", "label": "ジオメトリ", "type": "geometry"},
]
_KINDS = ("宅地", "田", "畑", "山林", "雑種地")


async def places(stage: Stage) -> list[Figure]:
    """Boxes that hold about 150 of a million polygons; an outline that holds 90,000 of them."""
    version = await _loaded(stage)
    return [await _boxes(stage, version), *await _outlines(stage, version)]


async def _loaded(stage: Stage) -> VersionEntry:
    await stage.register(DATASET, "public", _FIELDS)
    path = stage.folder / "places.gpkg"
    await asyncio.to_thread(write, path, POLYGONS)
    worker = stage.spawn("worker")
    try:
        await stage.publish(await stage.load(DATASET, path))
    finally:
        worker.stop()
        path.unlink()
    async with stage.database.reading() as session:
        version = (await load_entry(session, DATASET)).version
    assert version is not None
    return version


def write(path: Path, count: int) -> None:
    """Quadrilaterals a tenth of a kilometre wide, turned every way, anywhere in a square degree."""
    dice = np.random.default_rng(20260401)
    x, y, turn = (
        dice.uniform(135, 136, count),
        dice.uniform(34, 35, count),
        dice.uniform(0, 1.6, count),
    )
    corners = turn[:, None] + np.array([0.0, 1.4, 3.1, 4.8])
    rings = np.stack(
        [x[:, None] + 4e-4 * np.cos(corners), y[:, None] + 4e-4 * np.sin(corners)], axis=2
    )
    numbers = np.array([f"{at:08}" for at in range(count)], dtype=object)
    kinds = np.array([_KINDS[at % len(_KINDS)] for at in range(count)], dtype=object)
    pyogrio.raw.write(
        path,
        shapely.to_wkb(shapely.polygons(rings)),
        [numbers, kinds, np.round(dice.uniform(50, 900, count), 2)],
        np.array(["地番", "地目", "地積"], dtype=object),
        field_mask=None,
        geometry_type="Polygon",
        crs="EPSG:6668",
        driver="GPKG",
        layer_options={"SPATIAL_INDEX": "NO"},
    )


async def _boxes(stage: Stage, version: VersionEntry) -> Figure:
    """Each answer's exact part is found anew; the limit is the same page by bounds alone."""
    reader = TableReader(stage.database.pool)
    everything = Allow(frozenset(version.fields), "own")
    dice = np.random.default_rng(1)
    paths, values, sql = [], [], ""
    for west, south in dice.uniform((135.01, 34.01), (135.97, 34.97), (QUESTIONS, 2)):
        box = f"{west:.6f},{south:.6f},{west + 0.0122:.6f},{south + 0.0122:.6f}"
        parameters = (("bbox", box), ("limit", "100"))
        ask = Ask(DATASET, parameters, Representation.JSON, None, "")
        plan = make_plan(ask, version, everything, {}, stage.issuer)
        reading = Reading(plan.question, plan.revision, (), clock.now())
        prepared = await reader._statement("page", version.source, (), reading, plan.wording)
        assert sql in ("", prepared.sql)  # one shape, one statement
        sql = prepared.sql
        values.append(prepared.values(reading))
        paths.append(f"/v1/datasets/{DATASET}/records?{urlencode(parameters)}")
    (stage.folder / "places.json").write_bytes(orjson.dumps([sql, values]))
    bare = stage.spawn("bare", questions=stage.folder / "places.json")
    try:
        await until_answers(bare, "/0")
        asked = Wrk(stage.folder, "places", stage.port, paths, {})
        limit = Wrk(
            stage.folder, "places-bare", bare.port, [f"/{at}" for at in range(QUESTIONS)], {}
        )
        found, limits = await rounds(asked.measure, limit.measure)
    finally:
        bare.stop()
    name = f"100 records by bbox among {POLYGONS:,} polygons"
    return Figure(name, "req/s", found, limits, "bare ASGI, SQL by bounds", 0.5)


async def _outlines(stage: Stage, version: VersionEntry) -> list[Figure]:
    """A ward-like outline of 720 corners, asked for the first time and again."""
    firsts: list[float] = []
    agains: list[float] = []
    for at in range(ROUNDS):
        turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        wide = 0.17 + 0.02 * np.sin(7 * turn) + 0.003 * np.sin(61 * turn + at)
        ring = np.column_stack([135.5 + wide * np.cos(turn), 34.5 + wide * np.sin(turn)])
        shape = read_geometry(shapely.to_geojson(shapely.Polygon(ring)))
        assert shape is not None
        where = Spatial(Relation.INTERSECTS, version.fields["shape"], shape)
        question = Question(fields=tuple(version.fields.values()), where=where)
        reading = Reading(question, version.revision, (), clock.now())
        reader = TableReader(stage.database.pool)
        for seconds in (firsts, agains):
            began = time.perf_counter()
            count = await reader.count(version.source, (), reading)
            seconds.append(time.perf_counter() - began)
        assert 60_000 < count < 120_000, count
    return [
        Figure("S_INTERSECTS of a ward, 90,000 records: first count", "s", tuple(firsts)),
        Figure("the same again", "s", tuple(agains)),
    ]
