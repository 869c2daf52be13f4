"""Rules over columns of a file find what the same rules find record by record."""

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from app.formats.profiles.column_rules import broken_rows
from app.formats.profiles.rules import broken
from app.query.fields import Field, FieldType
from tests.formats.reading import fields, take

FIELDS = [
    Field("low", "c001", "low", FieldType.INTEGER),
    Field("high", "c002", "high", FieldType.INTEGER),
    Field("word", "c003", "word", FieldType.TEXT),
    Field("opens", "c004", "opens", FieldType.TIME),
    Field("closes", "c005", "closes", FieldType.TIME),
    Field("latitude", "c006", "latitude", FieldType.LATITUDE),
    Field("longitude", "c007", "longitude", FieldType.LONGITUDE),
    Field("town", "c008", "town", FieldType.LOCAL_GOVERNMENT_CODE),
]
RULES: list[dict[str, Any]] = [
    {"field": "low", "min": 0, "max": 50},
    {"field": "word", "min_length": 2, "max_length": 4},
    {"field": "word", "pattern": "[ab]+"},
    {"compare": ["low", "<=", "high"]},
    {"compare": ["opens", "<", "closes"]},
    {"when": "opens", "required": "closes"},
    {"area": {"bbox": [135.0, 34.0, 136.0, 35.0], "municipalities": ["271004"]}},
]
numbers = st.none() | st.integers(-5, 60)
times = st.none() | st.sampled_from(["09:00", "17:30", "24:00", "09:00:30"])
rows = st.fixed_dictionaries(
    {
        "low": numbers,
        "high": numbers,
        "word": st.none() | st.text("abc", min_size=1, max_size=6),
        "opens": times,
        "closes": times,
        "latitude": st.none() | st.sampled_from([34.5, 35.5]),
        "longitude": st.none() | st.sampled_from([135.5, 136.5]),
        "town": st.none() | st.sampled_from(["271004", "271403"]),
    }
)


@given(st.lists(rows, min_size=1, max_size=6), st.sampled_from(RULES))
def test_columns_and_records_agree(table: list[dict[str, Any]], rule: dict[str, Any]) -> None:
    columns = [
        pl.Series(
            [None if row[f.name] is None else str(row[f.name]) for row in table], dtype=pl.String
        )
        for f in FIELDS
    ]

    by_column = {
        (row, FIELDS[at].name, error.code)
        for row, at, error in broken_rows([rule], FIELDS, columns)
    }

    by_record = {
        (row, fault.pointer[1:], fault.code)
        for row, values in enumerate(table)
        for fault in broken([rule], FIELDS, values)
    }
    # A record names the first limit that it breaks, a column all of them.
    assert {(row, name) for row, name, _ in by_column} == {
        (row, name) for row, name, _ in by_record
    }
    assert by_record <= by_column


def test_a_row_that_breaks_a_rule_of_its_profile_is_rejected_with_the_rule() -> None:
    declared = fields(name="text", opens="time", closes="time")

    taken = take(
        "name,opens,closes\n甲,9:00,17:00\n乙,18:00,17:00\n",
        declared,
        rules=[{"compare": ["opens", "<", "closes"]}],
    )

    assert taken.codes == [(3, "opens", "rule_compare")]
    assert taken.values("name") == ["甲"]
