"""Relations of shapes are those of GEOS, distances are metres, and names of places are guarded."""

import json
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from app.query.fields import Field, FieldType
from app.query.geojson import Shape
from app.query.params import Known, read_question
from app.query.question import Relation, Spatial
from app.query.refusals import ColumnNotVisible, InvalidQuestion, UnknownParameter
from app.query.relations import distances, relate

GEOD = Geod(ellps="GRS80")
STEPS = st.integers(0, 4)
POSITIONS = st.tuples(STEPS, STEPS)


def polygon(ends: tuple[tuple[int, int], tuple[int, int]]) -> shapely.Geometry:
    (a, b), (c, d) = ends
    return shapely.box(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1)


GEOMETRIES = st.one_of(
    POSITIONS.map(shapely.Point),
    st.lists(POSITIONS, min_size=2, max_size=4, unique=True).map(shapely.LineString),
    st.tuples(POSITIONS, POSITIONS).map(polygon),
    st.lists(POSITIONS, min_size=1, max_size=3).map(shapely.MultiPoint),
)
ASKED = {
    Relation.INTERSECTS: shapely.intersects, Relation.DISJOINT: shapely.disjoint,
    Relation.EQUALS: shapely.equals, Relation.TOUCHES: shapely.touches,
    Relation.WITHIN: shapely.within, Relation.CONTAINS: shapely.contains,
    Relation.OVERLAPS: shapely.overlaps, Relation.CROSSES: shapely.crosses,
}  # fmt: skip


def shape(geometry: shapely.Geometry) -> Shape:
    return Shape(shapely.to_geojson(geometry), *shapely.bounds(geometry))


@settings(max_examples=150, derandomize=True, database=None)
@given(st.lists(GEOMETRIES, min_size=1, max_size=5), GEOMETRIES)
def test_each_relation_is_read_from_the_records_side(
    records: list[shapely.Geometry], asked: shapely.Geometry
) -> None:
    geometries = np.array([*records, None, shapely.Point()], dtype=object)

    for relation, function in ASKED.items():
        found = relate(relation, geometries, shape(asked))
        assert found.tolist() == [bool(function(one, asked)) for one in records] + [False, False]


def test_a_shape_that_crosses_itself_spoils_no_other_answer() -> None:
    bow = shapely.from_wkt("POLYGON((0 0, 2 2, 2 0, 0 2, 0 0))")
    geometries = np.array([bow, shapely.Point(1.5, 1), shapely.Point(9, 9)], dtype=object)

    found = relate(Relation.INTERSECTS, geometries, shape(shapely.box(1.2, 0.8, 2, 1.2)))

    assert found.tolist() == [True, True, False]


def geodesic(one: shapely.Geometry, other: shapely.Geometry) -> float:
    """The least of many distances between points on both; 0 where they meet."""
    if shapely.intersects(one, other):
        return 0.0
    ends = [shapely.get_coordinates(shapely.segmentize(each, 0.02)) for each in (one, other)]
    a, b = (np.repeat(ends[0], len(ends[1]), 0), np.tile(ends[1], (len(ends[0]), 1)))
    return float(np.min(GEOD.inv(a[:, 0], a[:, 1], b[:, 0], b[:, 1])[2]))


@settings(max_examples=60, derandomize=True, database=None)
@given(st.data())
def test_distances_are_metres_within_half_a_percent(data: st.DataObject) -> None:
    def somewhere(size: float) -> shapely.Geometry:
        lon, lat = data.draw(st.floats(128, 145)), data.draw(st.floats(26, 45))
        ring = data.draw(
            st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=4)
        )
        at = shapely.MultiPoint([(lon + size * x, lat + size * y) for x, y in ring])
        return shapely.convex_hull(at)

    one, other = somewhere(0.1), somewhere(0.5)
    expected = geodesic(one, other)

    found = distances(np.array([one], dtype=object), other)[0]

    if expected < 1_000_000:
        # Half a percent of the sphere, and what is missed between the points compared.
        assert found == pytest.approx(expected, rel=0.0056, abs=1_200)


def test_points_are_as_far_apart_as_the_database_says_and_the_antimeridian_parts_nothing() -> None:
    records = np.array([shapely.Point(135.5, 34.7), shapely.Point(179.9, 0)], dtype=object)

    near = distances(records, shapely.Point(135.6, 34.8))[0]
    across = distances(records, shapely.Point(-179.9, 0))[1]

    half = (
        math.sin(math.radians(0.1) / 2) ** 2
        + math.cos(math.radians(34.7)) * math.cos(math.radians(34.8)) * math.sin(math.radians(0.1) / 2) ** 2
    )  # fmt: skip
    assert near == pytest.approx(2 * 6_371_008.8 * math.asin(math.sqrt(half)), rel=1e-12)
    assert across == pytest.approx(22_239, abs=1)
    far = shape(shapely.Point(135.6, 34.8))
    assert relate(Relation.DWITHIN, records, far, near + 0.01).tolist() == [True, False]
    assert relate(Relation.DWITHIN, records, far, near - 0.01).tolist() == [False, False]


def known(hidden: str = "", **types: FieldType) -> Known:
    fields = {name: Field(name, name, name, kind) for name, kind in types.items()}
    return Known(fields, frozenset(fields) - {hidden}, {})


def asked(known: Known, text: str) -> Spatial:
    question = read_question([("filter", text)], known)
    assert isinstance(question.where, Spatial)
    return question.where


INTERSECTS = "S_INTERSECTS(geometry, POINT(135 35))"
POINTS = {"lat": FieldType.LATITUDE, "lon": FieldType.LONGITUDE}


def test_geometry_names_the_place_that_a_record_has() -> None:
    area = FieldType.GEOMETRY

    assert asked(known(area=area, **POINTS), INTERSECTS).field == known(area=area).fields["area"]
    assert asked(known(**POINTS), INTERSECTS).field is None
    both = known(area=area, geometry=area)
    assert asked(both, INTERSECTS).field == both.fields["geometry"]
    named = asked(both, "S_INTERSECTS(area, POINT(135 35))")
    assert named.field == both.fields["area"]


@pytest.mark.parametrize(
    ("here", "text"),
    [
        (known("lat", **POINTS), INTERSECTS),
        (known("area", area=FieldType.GEOMETRY), INTERSECTS),
        (known("area", area=FieldType.GEOMETRY), "S_WITHIN(area, BBOX(1,2,3,4))"),
        (known("area", area=FieldType.GEOMETRY), "geometry IS NULL"),
        (known("lon", **POINTS), "geometry IS NOT NULL"),
        (known("size", size=FieldType.INTEGER, **POINTS), "1 + size * 2 > 3"),
        (known("size", size=FieldType.TEXT, **POINTS), "CASEI(ACCENTI(size)) = 'x'"),
        (known("on", on=FieldType.DATE), "T_MEETS(INTERVAL(on, '..'), INTERVAL('..', on))"),
        (known("open", open=FieldType.BOOLEAN), "NOT open"),
        (known("size", size=FieldType.INTEGER, no=FieldType.INTEGER), "no IN (1, size)"),
    ],
)
def test_a_hidden_column_cannot_be_named_in_any_place(here: Known, text: str) -> None:
    with pytest.raises(ColumnNotVisible):
        read_question([("filter", text)], here)


def test_a_place_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidQuestion):
        asked(known(size=FieldType.INTEGER), INTERSECTS)
    with pytest.raises(UnknownParameter):
        asked(known(**POINTS), "S_INTERSECTS(area, POINT(135 35))")
    tree = {"op": "isNull", "args": [{"property": "geometry"}]}
    read = read_question(
        [("filter", json.dumps(tree)), ("filter-lang", "cql2-json")], known(**POINTS)
    )
    assert read.where is not None
