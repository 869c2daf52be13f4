"""What is written of a condition is read as the same condition, or it is not written at all."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.query import cql
from app.query.cql_writing import NotWritable, Writer
from app.query.fields import Field, FieldType
from app.query.geojson import read_asked
from app.query.matches import matches
from app.query.question import (
    Arithmetic,
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Edge,
    Either,
    Folded,
    Folding,
    Given,
    IsNull,
    Like,
    Match,
    Not,
    OneOf,
    Relation,
    Spatial,
    Words,
)

FIELDS = {
    name: Field(name, name, name, kind)
    for name, kind in {
        "n": FieldType.INTEGER, "x": FieldType.DECIMAL, "date": FieldType.DATE,
        "at": FieldType.DATETIME, "in": FieldType.TEXT, "名 称": FieldType.TEXT,
        "b": FieldType.BOOLEAN, "g": FieldType.GEOMETRY,
    }.items()
}  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(-9, 9),
    "x": st.decimals(-9, 9, places=3, allow_nan=False),
    "date": st.dates(date(2026, 1, 1), date(2026, 1, 9)),
    "at": st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 2), timezones=st.just(UTC)),
    "in": st.text("aA'\\%_\"", max_size=4),
    "名 称": st.text("架空'\\ \n", max_size=4),
    "b": st.booleans(),
}
_SHAPES = (
    {"type": "Point", "coordinates": [135.5, 34.7]},
    {"type": "MultiPoint", "coordinates": [[135.5, 34.7], [135.6, 34.8]]},
    {"type": "LineString", "coordinates": [[135.4, 34.6], [135.6, 34.8]]},
    {"type": "Polygon", "coordinates": [
        [[135.4, 34.6], [135.6, 34.6], [135.6, 34.8], [135.4, 34.6]]]},
    {"type": "GeometryCollection", "geometries": [
        {"type": "Point", "coordinates": [135.5, 34.7]},
        {"type": "MultiPolygon", "coordinates": [
            [[[135.4, 34.6], [135.6, 34.6], [135.6, 34.8], [135.4, 34.6]]]]}]},
)  # fmt: skip


@st.composite
def _simple(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from(sorted(VALUES)))
    field, value = FIELDS[name], VALUES[name]
    op = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]))
    one = draw(value)
    made: list[Condition] = [
        Compare(field, op, one),
        OneOf(field, tuple(draw(st.lists(value, min_size=1, max_size=3)))),
        IsNull(field),
        Between(field, one, draw(value)),
        Constant(draw(st.booleans())),
    ]
    if name in ("n", "x"):
        other = Arithmetic(draw(st.sampled_from("+-*")), FIELDS["n"], Given(one))
        made.append(Match(FIELDS["x"], op, other))
    if field.type is FieldType.TEXT:
        pattern = one.replace("\\", "\\\\") + draw(st.sampled_from(["%", "_", ""]))
        made += [Like(field, pattern), Match(Folded(Folding.CASEI, field), "=", Given("a"))]
    relation = draw(st.sampled_from([Relation.INTERSECTS, Relation.DISJOINT, Relation.WITHIN]))
    shape = read_asked(draw(st.sampled_from(_SHAPES)), most=100)
    assert shape is not None
    made.append(Spatial(relation, FIELDS["g"], shape))
    return draw(st.sampled_from(made))


_CONDITIONS = st.recursive(
    _simple(),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Both(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Either(tuple(parts))),
    ),
    max_leaves=5,
)
_RECORDS = st.fixed_dictionaries(
    {
        **{name: st.none() | value for name, value in VALUES.items()},
        "g": st.none() | st.sampled_from(_SHAPES[:4]).map(lambda each: orjson.dumps(each).decode()),
    }
)


@settings(max_examples=80)
@given(_CONDITIONS, _RECORDS)
def test_what_is_written_means_the_same_when_it_is_read(
    condition: Condition, record: dict[str, Any]
) -> None:
    try:
        written = Writer(lambda _: True).text(condition)
    except NotWritable:
        assert "\\" in repr(condition)
        return

    read = cql.parse_text(written, FIELDS.__getitem__, lambda name: (FIELDS[name],))

    assert matches(read, record) == matches(condition, record)


@pytest.mark.parametrize(
    "condition",
    [
        Compare(FIELDS["in"], "=", "a\\"),
        Compare(FIELDS["in"], "=", "a\\'b"),
        Compare(FIELDS["x"], "=", Decimal("NaN")),
        Compare(Field('a"b', "a", "a", FieldType.TEXT), "=", "a"),
        Match(Edge(FIELDS["date"], last=True, moment=False), "=", Given(date(2026, 1, 31))),
        Words((FIELDS["in"],), (("a",),)),
        Not(Both((IsNull(FIELDS["n"]), Words((FIELDS["in"],), (("a",),))))),
        Spatial(Relation.INTERSECTS, None, read_asked(_SHAPES[0], most=9)),  # type: ignore[arg-type]
    ],
)
def test_what_everybody_would_not_read_alike_is_not_written(condition: Condition) -> None:
    with pytest.raises(NotWritable):
        Writer(lambda _: True).text(condition)


def test_parts_that_cannot_be_written_are_left_out_and_that_is_told() -> None:
    known, other = IsNull(FIELDS["n"]), IsNull(FIELDS["x"])
    writer = Writer(lambda field: field.name == "n")

    assert writer.parted(Both((known, Both((other, known))))) == (Both((known, known)), False)
    assert writer.parted(Either((known, other))) == (None, False)
    nested = Both((known, Both((known, known))))
    assert writer.parted(nested) == (nested, True)
