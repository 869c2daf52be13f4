"""Spatial conditions and boxes on hosted tables, against shapely on random geometries."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest_asyncio
import shapely
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.api.state import Platform
from app.catalogue.entries import VersionEntry, load_entry
from app.kit import clock
from app.query.geojson import Shape
from app.query.question import (
    Both,
    Box,
    Compare,
    Condition,
    Either,
    Not,
    Question,
    Relation,
    Spatial,
)
from app.tables.encode import Form, Wording
from app.tables.read import TableReader
from app.tables.sql import Reading
from tests.stock import Spec, stocked
from tests.world import World

SHAPED: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("size", "integer"),
    ("shape", "geometry"),
)
POINTS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("size", "integer"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
_JUDGES = {
    Relation.INTERSECTS: shapely.intersects,
    Relation.DISJOINT: shapely.disjoint,
    Relation.EQUALS: shapely.equals,
    Relation.TOUCHES: shapely.touches,
    Relation.WITHIN: shapely.within,
    Relation.CONTAINS: shapely.contains,
    Relation.OVERLAPS: shapely.overlaps,
    Relation.CROSSES: shapely.crosses,
}


class Asked:
    """A hosted table, its geometries, and questions to both."""

    def __init__(self, world: World, version: VersionEntry, geometries: dict[str, Any]) -> None:
        self.reader = TableReader(world.platform.database.pool)
        self.version = version
        self.geometries = geometries

    def reading(self, question: Question) -> Reading:
        return Reading(question, self.version.revision, (), clock.now())

    def question(self, where: Condition | None = None, box: Box | None = None) -> Question:
        return Question(fields=(self.version.fields["no"],), where=where, box=box, limit=2_000)

    async def found(self, question: Question) -> list[str]:
        rows = await self.reader.page(
            self.version.source, (), self.reading(question), Wording(Form.RECORD, ("no",))
        )
        assert rows.count == await self.reader.count(
            self.version.source, (), self.reading(question)
        )
        return [record["no"] for record in json.loads(b"[" + rows.body + b"]")]


async def hosted(world: World, geometries: Sequence[Any], specs: Sequence[Spec] = SHAPED) -> Asked:
    records = [
        {"no": f"{at:04}", "size": at % 7, **_written(geometry, specs)}
        for at, geometry in enumerate(geometries)
    ]
    dataset = await stocked(world, records, specs)
    return Asked(
        world,
        await version_of(world, dataset),
        {f"{at:04}": geometry for at, geometry in enumerate(geometries)},
    )


async def version_of(world: World, dataset: str) -> VersionEntry:
    async with world.platform.database.reading() as session:
        version = (await load_entry(session, dataset)).version
    assert version is not None
    return version


def _written(geometry: Any, specs: Sequence[Spec]) -> dict[str, Any]:
    if specs is POINTS:
        return {} if geometry is None else {"lon": geometry.x, "lat": geometry.y}
    return {"shape": None if geometry is None else json.loads(shapely.to_geojson(geometry))}


def shape(geometry: Any) -> Shape:
    return Shape(shapely.to_geojson(geometry), *geometry.bounds)


# Whole numbers of a small grid meet, touch, equal and hold one another; random ones never would.
def _at(draw: Any) -> tuple[float, float]:
    return 135 + draw(st.integers(0, 6)) / 4, 34 + draw(st.integers(0, 6)) / 4


@st.composite
def points(draw: Any) -> Any:
    return shapely.Point(_at(draw))


@st.composite
def lines(draw: Any) -> Any:
    at = [_at(draw) for _ in range(draw(st.integers(2, 4)))]
    return shapely.LineString(at if at[0] != at[-1] or len(at) > 2 else [at[0], (134.5, 33.5)])


@st.composite
def polygons(draw: Any) -> Any:
    west, south = _at(draw)
    width, height = draw(st.integers(1, 6)) / 4, draw(st.integers(1, 6)) / 4
    outer = shapely.box(west, south, west + width, south + height)
    if draw(st.booleans()):
        outer = shapely.Polygon([(west, south), (west + width, south), (west, south + height)])
    if draw(st.booleans()):
        return outer
    hole = shapely.affinity.scale(outer, 0.5, 0.5, origin="centroid")
    return outer.difference(hole)


@st.composite
def bow_ties(draw: Any) -> Any:
    (x, y), side = _at(draw), draw(st.integers(1, 3)) / 4
    return shapely.Polygon([(x, y), (x + side, y + side), (x + side, y), (x, y + side)])


def _together(parts: list[Any]) -> Any:
    kinds = {part.geom_type for part in parts}
    if kinds == {"Point"}:
        return shapely.MultiPoint(parts)
    if kinds == {"LineString"}:
        return shapely.MultiLineString(parts)
    return shapely.unary_union(parts)


SIMPLE = st.one_of(points(), lines(), polygons())
MULTIS = st.one_of(
    *(st.lists(k, min_size=2, max_size=3).map(_together) for k in (points(), lines(), polygons()))
)
COLLECTIONS = st.lists(SIMPLE, min_size=2, max_size=3).map(shapely.GeometryCollection)
ANY = st.one_of(SIMPLE, MULTIS, COLLECTIONS)


def made(strategy: Any, number: int) -> list[Any]:
    """So many of them, the same each time."""
    found: list[Any] = []

    @settings(max_examples=number, database=None, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def collect(each: Any) -> None:
        found.append(each)

    collect()
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shaped(platform: Platform, client: httpx.AsyncClient) -> Asked:
    """200 geometries of every kind, some that cross themselves, some records without one."""
    world = World(platform, client)
    await world.start()
    drawn = [*made(ANY, 160), *made(bow_ties(), 20)]
    return await hosted(world, [*drawn, *[None] * 20])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dotted(platform: Platform, client: httpx.AsyncClient) -> Asked:
    """60 records with coordinates, some without."""
    world = World(platform, client)
    await world.start()
    return await hosted(world, [*made(points(), 50), *[None] * 10], POINTS)


def holds(part: Condition, geometry: Any, size: int) -> bool | None:
    """The condition of one record, as SQL counts truth."""
    match part:
        case Spatial(relation, _, wanted, _):
            if geometry is None:
                return None
            return judged(relation, geometry, shapely.from_geojson(wanted.text))
        case Compare(_, _, value):
            return bool(size == value)
        case Not(inner):
            truth = holds(inner, geometry, size)
            return None if truth is None else not truth
        case Both(parts):
            truths = [holds(each, geometry, size) for each in parts]
            return False if False in truths else None if None in truths else True
        case Either(parts):
            truths = [holds(each, geometry, size) for each in parts]
            return True if True in truths else None if None in truths else False
    raise LookupError(part)


def judged(relation: Relation, geometry: Any, wanted: Any) -> bool:
    try:
        return bool(_JUDGES[relation](geometry, wanted))
    except shapely.errors.GEOSException:  # too broken for it
        return bool(_JUDGES[relation](shapely.make_valid(geometry), shapely.make_valid(wanted)))


def conditions(asked: Asked) -> st.SearchStrategy[Any]:
    """Spatial conditions alone, turned round, and among others."""
    place = asked.version.fields.get("shape")
    wanted = ANY.map(shape)
    spatial = st.builds(Spatial, st.sampled_from(list(_JUDGES)), st.just(place), wanted)
    size = st.builds(
        Compare, st.just(asked.version.fields["size"]), st.just("="), st.integers(0, 6)
    )
    leaf = st.one_of(spatial, spatial, size)
    several = st.lists(leaf, min_size=1, max_size=3).map(tuple)
    tree = st.one_of(
        leaf, st.builds(Not, leaf), st.builds(Both, several), st.builds(Either, several)
    )
    return st.one_of(tree, st.builds(Not, tree))


async def tried(examples: int, strategy: Any, check: Any) -> None:
    """Hypothesis in a thread, its questions in this loop."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=examples, derandomize=True, database=None)
    @given(strategy)
    def run(example: Any) -> None:
        asyncio.run_coroutine_threadsafe(check(example), loop).result()

    await asyncio.to_thread(run)


async def as_shapely_says(asked: Asked, where: Condition) -> None:
    expected = [
        no for no, geometry in asked.geometries.items()
        if holds(where, geometry, int(no) % 7) is True
    ]  # fmt: skip
    assert await asked.found(asked.question(where)) == expected


async def test_random_conditions_hold_for_the_shapes_that_shapely_says(shaped: Asked) -> None:
    await tried(300, conditions(shaped), lambda where: as_shapely_says(shaped, where))


async def test_random_conditions_hold_for_the_points_that_shapely_says(dotted: Asked) -> None:
    await tried(100, conditions(dotted), lambda where: as_shapely_says(dotted, where))


@st.composite
def boxes(draw: Any) -> Box:
    (x, y), (u, v) = _at(draw), _at(draw)
    if draw(st.booleans()):  # off the grid
        x, v = x + 0.1, v + 0.1
    kind = draw(st.sampled_from(["plain", "plain", "crossing", "world", "pole"]))
    if kind == "crossing":
        return Box(max(x, u) + 0.1, min(y, v), min(x, u) - 0.1, max(y, v))
    if kind == "world":
        return Box(-180, -90, 180, 90)
    return Box(min(x, u), min(y, v), max(x, u), 90 if kind == "pole" else max(y, v))


def parts_of(box: Box) -> list[Any]:
    sides = [(box.west, box.east)]
    if box.west > box.east:
        sides = [(box.west, 180.0), (-180.0, box.east)]
    found = []
    for west, east in sides:
        part = shapely.box(west, box.south, east, box.north)
        if part.area == 0:  # a line or a point
            part = shapely.LineString([(west, box.south), (east, box.north)])
            part = part if part.length else shapely.Point(west, box.south)
        found.append(part)
    return found


async def test_a_box_finds_what_it_intersects_and_not_what_its_bounds_do(shaped: Asked) -> None:
    async def check(box: Box) -> None:
        expected = [
            no for no, geometry in shaped.geometries.items()
            if geometry is not None and any(part.intersects(geometry) for part in parts_of(box))
        ]  # fmt: skip
        assert await shaped.found(shaped.question(box=box)) == expected

    await tried(300, boxes(), check)
