"""A row that a source tells is judged as a row of a file is, and its fault is its own."""

from typing import Any

import pytest

from app.catalogue.streams import Reject
from app.query.fields import Field
from app.tasks.typed import How, typed
from tests.connectors.farm import FIELDS

A, B = {"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空第二"}
_FIELDS = tuple(Field.from_json(each) for each in FIELDS)
_GAP = {"no": "1234 5678", "name": "90" + "18"}  # as it is printed on one card


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"no": 1, "name": "架空", "members": [{"no": 7}, {"no": 8}]}, None),  # no document of rows
        ({"no": "20261129", "name": "0930"}, None),
        ({"no": "12345678", "name": "90" + "18"}, None),  # by chance: one row is no majority
        (_GAP, "individual_number_refused"),
        ({}, "no_data_rows"),
        ({"名称": "架空"}, "column_missing"),
    ],
)
def test_a_row_that_comes_alone_is_judged_as_one_and_typed_as_among_many(
    row: dict[str, Any], code: str | None
) -> None:
    how = How(_FIELDS, None)

    (alone,) = typed([row], how)
    among = typed([A, row, B], how)[1]

    if code is None:
        assert alone == among != code
        assert isinstance(alone, dict)
        assert alone["no"] == str(row["no"])
    else:
        assert isinstance(alone, Reject)
        assert alone.code == code
        assert isinstance(among, Reject)


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59+09:00", "0001-01-01"])
def test_a_moment_that_means_never_stops_no_other_row(end: str) -> None:
    at = {"name": "at", "column": "at", "label": "時刻", "type": "datetime"}
    how = How((*_FIELDS, Field.from_json(at)), None)

    never, now = typed([{**A, "at": end}, {**B, "at": "2026-04-01T09:00:00+09:00"}], how)

    assert isinstance(never, Reject)
    assert (never.code, never.field) == ("invalid_datetime", "at")
    assert isinstance(now, dict)
