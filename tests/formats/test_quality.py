"""The arithmetic of the score, for any counts: parts, limits and reasons."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.formats.quality.measures import ColumnCount, Measures, Previous, RejectCount
from app.formats.quality.score import PROMISED, WEIGHTS, Entry, assess
from app.formats.quality.score_words import DIMENSION_WORDS
from app.query.fields import Field, FieldType

FIELDS = (
    Field("no", "c001", "番号", FieldType.CODE, key=True),
    Field("name", "c002", "名称", FieldType.TEXT, required=True),
    Field("size", "c003", "定員", FieldType.INTEGER),
)
ENTRY = Entry("CC-BY-4.0", "monthly", is_public=True, is_linked=True)


@st.composite
def measures(draw: st.DrawFn) -> Measures:
    rows = draw(st.integers(0, 1000))
    few = st.integers(0, rows)
    doubled, wrong = draw(st.integers(0, 50)), draw(st.integers(0, 50))
    rejected = [RejectCount("duplicate_key", "no", doubled, (2,))] if doubled else []
    rejected += [RejectCount("invalid_integer", "size", wrong, (3,))] if wrong else []
    columns = []
    for field in FIELDS:
        filled = rows if field.key or field.required else draw(few)
        unknown = draw(st.integers(0, filled)) if field.type is FieldType.TEXT else 0
        columns.append(ColumnCount(field.name, filled, unknown))
    keys = draw(st.integers(0, 100))
    before = Previous(1, 0, draw(st.booleans()), keys, draw(st.integers(0, keys)))
    repaired = draw(few)
    return Measures(
        rows=rows,
        columns=tuple(columns),
        repaired=(("size", repaired),) if repaired else (),
        rejected=tuple(rejected),
        rows_rejected=doubled + wrong,
        rows_doubled=doubled,
        rows_uncorrected=draw(st.integers(0, 5)),
        previous=draw(st.sampled_from([None, before])),
    )


@given(measures(), st.sampled_from(list(PROMISED)), st.integers(0, 2_000), st.booleans())
def test_parts_add_up_and_a_dimension_is_whole_only_where_none_of_its_rules_failed(
    counted: Measures, frequency: str, days: int, is_linked: bool
) -> None:
    entry = Entry("CC-BY-4.0", frequency, is_public=True, is_linked=is_linked)

    found = assess(counted, FIELDS, entry, timedelta(days=days))

    assert set(found.scores) == set(WEIGHTS) == set(DIMENSION_WORDS)
    assert all(0 <= score <= 100 for score in found.scores.values())
    assert found.total == sum(Decimal(w * found.scores[n]) / 100 for n, w in WEIGHTS.items())
    at_fault = {each.dimension for each in found.failed}
    assert at_fault == {name for name, score in found.scores.items() if score < 100}


@given(measures())
def test_counts_come_back_from_the_store_as_they_went(counted: Measures) -> None:
    assert Measures.from_json(counted.as_json()) == counted


@given(st.integers(0, 500), st.integers(0, 500))
def test_freshness_only_falls_with_age(days: int, more: int) -> None:
    counted = Measures(rows=1, columns=tuple(ColumnCount(each.name, 1) for each in FIELDS))

    scores = [
        assess(counted, FIELDS, ENTRY, timedelta(days=age)).scores["freshness"]
        for age in (days, days + more)
    ]

    assert scores[0] >= scores[1]


@pytest.mark.parametrize(
    ("license_", "is_open"),
    [
        ("CC-BY-4.0", True),
        ("CC BY 4.0", True),
        ("CC-BY-SA-4.0", True),
        ("CC0", True),
        ("CC-BY-2.1-JP", True),
        ("PDL1.0", True),
        ("ODbL-1.0", True),
        ("政府標準利用規約（第2.0版）", True),
        ("CC-BY-ND-4.0", False),
        ("CC-BY-NC-SA-4.0", False),
        ("CC-BY-4.0 (変更禁止)", False),
        ("", False),
    ],
)
def test_only_licences_that_let_anyone_use_change_and_pass_on_are_open(
    license_: Any, is_open: Any
) -> None:
    counted = Measures(rows=1, columns=tuple(ColumnCount(each.name, 1) for each in FIELDS))
    entry = Entry(license_, "monthly", is_public=True, is_linked=True)

    assert assess(counted, FIELDS, entry, timedelta(0)).stars == (5 if is_open else 0)
