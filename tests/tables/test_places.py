"""Spatial conditions and boxes on hosted tables, against shapely on random geometries."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
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
    Near,
    Not,
    Question,
    Relation,
    Spatial,
)
from app.query.refusals import InvalidQuestion
from app.query.relations import relate
from app.tables.encode import Form, Wording
from app.tables.found import TooManyCandidates
from app.tables.places import Places
from app.tables.read import Rows, RowsGone, TableReader
from app.tables.sql import Reading
from tests.stock import Spec, put, stocked
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

    def __init__(
        self, world: World, dataset: str, version: VersionEntry, geometries: dict[str, Any]
    ) -> None:
        self.world = world
        self.reader = TableReader(world.platform.database.pool)
        self.dataset = dataset
        self.version = version
        self.geometries = geometries

    @classmethod
    def anew(cls, other: "Asked") -> "Asked":
        """The same with nothing found yet."""
        return cls(other.world, other.dataset, other.version, other.geometries)

    def reading(self, question: Question) -> Reading:
        return Reading(question, self.version.revision, (), clock.now())

    def question(self, where: Condition | None = None, box: Box | None = None) -> Question:
        return Question(fields=(self.version.fields["no"],), where=where, box=box, limit=2_000)

    async def rows(self, question: Question) -> Rows:
        wording = Wording(Form.RECORD, ("no",))
        return await self.reader.page(self.version.source, (), self.reading(question), wording)

    async def found(self, question: Question) -> list[str]:
        rows = await self.rows(question)
        count = await self.reader.count(self.version.source, (), self.reading(question))
        assert rows.count == count
        return _numbers(rows)


def _numbers(rows: Rows) -> list[str]:
    return [record["no"] for record in json.loads(b"[" + rows.body + b"]")]


async def hosted(world: World, geometries: Sequence[Any], specs: Sequence[Spec] = SHAPED) -> Asked:
    records = [
        {"no": f"{at:04}", "size": at % 7, **_written(geometry, specs)}
        for at, geometry in enumerate(geometries)
    ]
    dataset = await stocked(world, records, specs)
    return Asked(
        world,
        dataset,
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
    await tried(120, conditions(shaped), lambda where: as_shapely_says(shaped, where))


async def test_random_conditions_hold_for_the_points_that_shapely_says(dotted: Asked) -> None:
    await tried(50, conditions(dotted), lambda where: as_shapely_says(dotted, where))


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

    await tried(100, boxes(), check)


async def test_pages_of_a_box_of_which_nothing_is_known_yet_hold_what_it_intersects(
    shaped: Asked,
) -> None:
    asked = Asked.anew(shaped)

    async def check(given: tuple[Box, int]) -> None:
        box, limit = given
        paged: list[str] = []
        question = replace(asked.question(box=box), limit=limit)
        for _ in range(8):
            rows = await asked.rows(question)
            numbers = _numbers(rows)
            assert len(numbers) == rows.count <= limit
            paged += numbers
            if not rows.more:
                break
            question = replace(question, after=rows.last)
        everything = await shaped.found(shaped.question(box=box))
        assert paged == (everything if not rows.more else everything[: 8 * limit])

    await tried(60, st.tuples(boxes(), st.sampled_from([1, 2, 5, 30])), check)


async def test_a_page_with_few_strays_takes_one_question_and_with_many_what_meets_is_found(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = shapely.box(135.01, 34.01, 135.02, 34.02)
    stray = shapely.Polygon([(134, 33), (135.1, 33), (134, 34.1)])  # bounds reach in, it does not
    few = await hosted(world, [stray, inside, *[inside] * 5])
    many = await hosted(world, [*[stray] * 9, inside, *[inside] * 5])
    searched: list[Any] = []
    find = Places.find

    async def finding(places: Places, source: Any, reading: Reading) -> Reading:
        searched.append(reading.question.box)
        return await find(places, source, reading)

    monkeypatch.setattr(Places, "find", finding)

    pages = []
    for asked in (few, many):
        question = asked.question(box=Box(135, 34, 135.5, 34.5))
        rows = await asked.rows(replace(question, limit=3))
        pages.append((_numbers(rows), rows.more, len(searched)))

    assert pages == [
        (["0001", "0002", "0003"], True, 0),
        (["0009", "0010", "0011"], True, 1),
    ]
    _ = client


NEAR_TOKYO = st.tuples(st.floats(134.9, 136.6), st.floats(33.9, 35.6)).map(shapely.Point)


async def test_points_within_a_distance_are_those_that_a_search_by_distance_finds(
    dotted: Asked,
) -> None:
    async def check(example: tuple[Any, float]) -> None:
        centre, metres = example
        where = Spatial(Relation.DWITHIN, None, shape(centre), metres)
        near = Question(
            fields=(dotted.version.fields["no"],),
            near=Near(centre.y, centre.x, metres),
            limit=2_000,
        )
        assert await dotted.found(dotted.question(where)) == sorted(await dotted.found(near))

    await tried(40, st.tuples(NEAR_TOKYO, st.floats(1, 150_000)), check)


async def test_shapes_within_a_distance_are_found_though_their_bounds_do_not_meet(
    shaped: Asked,
) -> None:
    everything = np.array(list(shaped.geometries.values()), dtype=object)

    async def check(example: tuple[Any, float]) -> None:
        wanted, metres = example
        where = Spatial(Relation.DWITHIN, shaped.version.fields["shape"], shape(wanted), metres)
        within = relate(Relation.DWITHIN, everything, shape(wanted), metres)
        expected = [
            no for no, is_within in zip(shaped.geometries, within, strict=True) if is_within
        ]
        assert await shaped.found(shaped.question(where)) == expected

    await tried(40, st.tuples(ANY, st.floats(0, 90_000)), check)


OUTLINE = shapely.Point(135.7, 34.7).buffer(0.45)


async def test_what_is_asked_for_at_once_is_searched_for_once_and_held(
    shaped: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tables.places.FEW", 3)
    searched = []
    look = Places._among_many

    async def counted(self: Places, *asked: Any) -> Any:
        searched.append(asked)
        return await look(self, *asked)

    monkeypatch.setattr(Places, "_among_many", counted)
    asked = Asked.anew(shaped)
    field = shaped.version.fields["shape"]
    inside = asked.question(Spatial(Relation.INTERSECTS, field, shape(OUTLINE)))
    apart = asked.question(Spatial(Relation.DISJOINT, field, shape(OUTLINE)))

    answers = await asyncio.gather(*(asked.found(each) for each in [inside, apart] * 5))

    assert len(searched) == 1
    assert sorted(answers[0] + answers[1]) == [
        no for no, geometry in shaped.geometries.items() if geometry is not None
    ]


async def test_many_candidates_come_by_copy_and_many_rows_are_bits(
    shaped: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tables.places.FEW", 3)
    monkeypatch.setattr("app.tables.judge.MOST_LISTED", 5)
    monkeypatch.setattr("app.tables.judge._MOST_PENDING", 7)
    monkeypatch.setattr("app.tables.judge._BATCH_ROWS", 4)
    monkeypatch.setattr("app.tables.places._PIECE_BYTES", 1_000)
    asked = Asked.anew(shaped)

    await tried(40, conditions(asked), lambda where: as_shapely_says(asked, where))


async def test_too_many_undecided_candidates_are_refused_and_the_connection_serves_on(
    shaped: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tables.places.FEW", 3)
    monkeypatch.setattr("app.tables.judge.MOST_UNDECIDED", 4)
    asked = Asked.anew(shaped)
    where = Spatial(Relation.TOUCHES, shaped.version.fields["shape"], shape(OUTLINE))

    for _ in range(12):  # more often than the pool has connections
        with pytest.raises(TooManyCandidates):
            await asked.found(asked.question(where))

    assert len(await asked.found(asked.question())) == len(shaped.geometries)


async def test_who_asks_for_too_many_shapes_is_told_how_many_are_answered(shaped: Asked) -> None:
    field = shaped.version.fields["shape"]
    parts = [
        Spatial(Relation.INTERSECTS, field, shape(shapely.Point(135 + at / 100, 34)))
        for at in range(17)
    ]

    with pytest.raises(InvalidQuestion) as refused:
        await shaped.found(shaped.question(Both(tuple(parts))))

    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [
        ("filter", "too_many_shapes")
    ]


async def test_a_search_that_nobody_waits_for_any_more_ends(
    shaped: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tables.places.FEW", 3)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def stuck(*_: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    monkeypatch.setattr(Places, "_sort_out", stuck)
    asked = Asked.anew(shaped)
    where = Spatial(Relation.INTERSECTS, shaped.version.fields["shape"], shape(OUTLINE))
    waiting = [asyncio.create_task(asked.found(asked.question(where))) for _ in range(2)]
    await begun.wait()
    running = asked.reader._places._running
    while [search.waiting for search in running.values()] != [2]:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)

    waiting[0].cancel()
    await asyncio.sleep(0.01)
    still_looking = not ended.is_set()
    waiting[1].cancel()
    await asyncio.wait_for(ended.wait(), 5)

    assert still_looking
    monkeypatch.undo()
    assert await asked.found(asked.question(where))  # who comes later looks anew


async def test_a_version_that_was_let_go_is_gone_and_not_broken(
    client: httpx.AsyncClient, world: World
) -> None:
    asked = await hosted(world, [OUTLINE])
    where = Spatial(Relation.INTERSECTS, asked.version.fields["shape"], shape(OUTLINE))
    table = asked.version.source.table

    await world.platform.database.pool.execute(f'DROP TABLE "{table.schema}"."{table.name}"')

    with pytest.raises(RowsGone):
        await asked.found(asked.question(where))
    _ = client


async def test_a_revision_keeps_its_answer_while_records_are_written(
    client: httpx.AsyncClient, world: World
) -> None:
    here, away = shapely.Point(135.7, 34.7).buffer(0.1), shapely.Point(140, 40).buffer(0.1)
    before = await hosted(world, [here, away, here, None])
    where = Spatial(Relation.WITHIN, before.version.fields["shape"], shape(OUTLINE))
    box = Box(135.6, 34.6, 135.7, 34.7)

    moved = [{"no": f"{at:04}", **_written(there, SHAPED)} for at, there in enumerate([away, here])]
    await put(world, before.dataset, moved)
    after = Asked(world, before.dataset, await version_of(world, before.dataset), {})

    for at, question in ((0, where), (1, Not(where))):
        assert await before.found(before.question(question)) == [["0000", "0002"], ["0001"]][at]
        assert await after.found(after.question(question)) == [["0001", "0002"], ["0000"]][at]
    assert await before.found(before.question(box=box)) == ["0000", "0002"]
    assert await after.found(after.question(box=box)) == ["0001", "0002"]
    _ = client


@pytest.mark.parametrize("most_listed", [10_000, 5])
async def test_pages_of_a_spatial_filter_lose_and_double_nothing(
    shaped: Asked, monkeypatch: pytest.MonkeyPatch, most_listed: int
) -> None:
    monkeypatch.setattr("app.tables.judge.MOST_LISTED", most_listed)
    asked = Asked.anew(shaped)
    where = Spatial(Relation.INTERSECTS, shaped.version.fields["shape"], shape(OUTLINE))
    whole = asked.question(where)
    paged: list[str] = []
    after: tuple[Any, ...] | None = None

    while True:
        question = replace(whole, limit=7, after=after)
        rows = await asked.rows(question)
        paged += _numbers(rows)
        if not rows.more:
            break
        after = rows.last

    assert paged == await asked.found(whole)
    assert len(paged) > 50


async def test_a_box_reaches_the_browser_exactly(client: httpx.AsyncClient, world: World) -> None:
    ring = shapely.Polygon([(135, 34), (136, 34), (135, 35)])
    far = shapely.MultiPoint([(135.9, 34.05), (135.05, 34.9)])
    asked = await hosted(world, [ring, far, shapely.Point(135.9, 34.9), None])
    path = f"/v1/datasets/{asked.dataset}/records"

    corner = await client.get(path, params={"bbox": "135.8,34.8,136,35", "count": "true"})
    lines = await client.get(path, params={"bbox": "135.8,34.8,136,35", "f": "ndjson"})
    edge = await client.get(path, params={"bbox": "135.5,34.5,135.5,34.5"})
    around = await client.get(path, params={"bbox": "135.05,34,-170,35"})

    assert [record["no"] for record in corner.json()["records"]] == ["0002"]
    assert corner.json()["numberMatched"] == 1
    assert [json.loads(line)["no"] for line in lines.text.splitlines()] == ["0002"]
    assert [record["no"] for record in edge.json()["records"]] == ["0000"]
    assert [record["no"] for record in around.json()["records"]] == ["0000", "0001", "0002"]


async def test_a_filter_asks_for_places_in_words(client: httpx.AsyncClient, world: World) -> None:
    ring = shapely.Polygon([(135, 34), (136, 34), (135, 35)])
    asked = await hosted(world, [ring, shapely.Point(135.9, 34.9), None])
    dotted = await hosted(world, [shapely.Point(135.5, 34.5), shapely.Point(136, 35)], POINTS)

    async def numbers(dataset: str, words: str) -> list[str]:
        answer = await client.get(f"/v1/datasets/{dataset}/records", params={"filter": words})
        assert answer.status_code == 200, answer.text
        return [record["no"] for record in answer.json()["records"]]

    corner = "POLYGON((135.8 34.8, 136 34.8, 136 35, 135.8 35, 135.8 34.8))"
    near = "S_DWITHIN(geometry, POINT(135.5 34.51), 2000)"
    assert await numbers(asked.dataset, f"S_INTERSECTS(shape, {corner})") == ["0001"]
    assert await numbers(asked.dataset, f"NOT S_INTERSECTS(shape, {corner})") == ["0000"]
    assert await numbers(asked.dataset, f"S_WITHIN(shape, {corner}) OR size = 2") == [
        "0001",
        "0002",
    ]
    assert await numbers(dotted.dataset, near) == ["0000"]
    assert await numbers(dotted.dataset, f"NOT {near}") == ["0001"]
