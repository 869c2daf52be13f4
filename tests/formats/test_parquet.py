"""Parquet: what the file declares is taken at its word, and every value keeps its text."""

import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats.guidance import FileRefused
from app.formats.individual_number import holds_number
from tests.formats.reading import fields, take


def parquet(frame: pl.DataFrame, **options: Any) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out, **options)
    return out.getvalue()


def test_types_are_those_of_the_file() -> None:
    tokyo = datetime(2024, 4, 1, 9, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    frame = pl.DataFrame(
        {
            "数": [1, 2],
            "率": [0.5, 1e-7],
            "額": [Decimal("1.50"), Decimal("-2.00")],
            "有無": [True, False],
            "開設": [date(2024, 4, 1), None],
            "時刻": [time(9, 30), time(23, 59, 59)],
            "更新": [tokyo, tokyo],
            "記録": [datetime(2024, 4, 1, 9, 30, 15, 500000)] * 2,
            "名称": ["公園", "学校"],
            "コード": [27100, 27102],
        }
    )

    taken = take(parquet(frame))

    assert taken.survey.table.format == "parquet"
    assert list(taken.types.values()) == [
        "integer", "decimal", "decimal", "boolean", "date", "time", "datetime", "datetime", "text",
        "code",
    ]  # fmt: skip
    assert list(taken.rows[1].values())[4:] == [
        "2", "0.0000001", "-2.00", "f", "", "23:59:59", "2024-04-01T09:30:00+09:00",
        "2024-04-01T09:30:15.500000+09:00", "学校", "27102",
    ]  # fmt: skip


def test_lists_and_structs_are_json_text() -> None:
    frame = pl.DataFrame(
        {"n": [1], "tags": [["芝生", "遊具"]], "at": [{"lat": 34.7, "day": date(2024, 4, 1)}]}
    )

    row = take(parquet(frame)).rows[0]

    assert row["tags"] == '["芝生","遊具"]'
    assert json.loads(row["at"]) == {"lat": 34.7, "day": "2024-04-01"}


def test_coordinates_are_known_by_their_headings() -> None:
    frame = pl.DataFrame({"lat": [34.7, 34.8], "lon": [135.5, 135.6]})

    assert take(parquet(frame)).types == {"lat": "latitude", "lon": "longitude"}


def test_bytes_are_left_out_with_a_word() -> None:
    taken = take(parquet(pl.DataFrame({"a": [1, 2], "photo": [b"\x89", b"\x90"]})))

    assert taken.types == {"a": "integer"}
    assert "column_unreadable" in taken.notices


def test_a_geoparquet_column_in_degrees_is_a_shape() -> None:
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB"}},
    }
    frame = pl.DataFrame({"id": ["a"], "geometry": [shapely.to_wkb(shapely.Point(135.5, 34.7))]})
    metres = {
        **geo,
        "columns": {
            "geometry": {"encoding": "WKB", "crs": {"id": {"authority": "EPSG", "code": 6674}}}
        },
    }

    taken = take(parquet(frame, metadata={"geo": json.dumps(geo)}))

    assert taken.types["geometry"] == "geometry"
    assert taken.rows[0]["geometry"] == '{"type":"Point","coordinates":[135.5,34.7]}'
    assert "column_unreadable" in take(parquet(frame, metadata={"geo": json.dumps(metres)})).notices


def test_a_nul_spoils_its_row_and_not_a_number_is_none() -> None:
    taken = take(parquet(pl.DataFrame({"a": ["x\0", "y", "z"], "b": [1.0, float("nan"), 2.0]})))

    assert taken.values("a") == ["z"]
    assert [(line, code) for line, _, code in taken.codes] == [
        (1, "nul_character"),
        (2, "invalid_decimal"),
    ]


def test_large_unsigned_numbers_stay_exact() -> None:
    taken = take(parquet(pl.DataFrame({"n": pl.Series([2**64 - 1, 1], dtype=pl.UInt64)})))

    assert taken.values("n")[0] == str(2**64 - 1)


def test_rows_come_in_batches_and_blank_ones_are_counted() -> None:
    frame = pl.DataFrame({"a": [None, *range(120_000)]})

    taken = take(parquet(frame))

    assert taken.counts[0] == 120_000
    assert (taken.rows[0]["_line"], taken.rows[-1]["_line"]) == ("2", "120001")
    assert "blank_rows_skipped" in taken.notices


@pytest.mark.parametrize("cut", [8, 100, -1])
def test_a_damaged_file_is_refused_as_damaged(cut: int) -> None:
    with pytest.raises(FileRefused) as refused:
        take(parquet(pl.DataFrame({"a": range(1000)}))[:cut])

    assert refused.value.code == "file_damaged"


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(FileRefused) as refused:
        take(parquet(pl.DataFrame({str(at): [1] for at in range(2001)})))

    assert refused.value.code == "too_many_columns"


_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.sampled_from(["公園", 'a"b', "改\n行", "0012", None]),
            "integer": st.none()
            | st.integers(-(2**63), 2**63 - 1).filter(
                lambda number: not holds_number(str(number).encode())
            ),
            "decimal": st.none() | st.decimals(-1000, 1000, places=3),
            "boolean": st.none() | st.booleans(),
            "date": st.none() | st.dates(date(1900, 1, 1)),
            "datetime": st.datetimes(datetime(1900, 1, 1), timezones=st.just(UTC)),
        }
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=30, deadline=None)
@given(_ROWS)
def test_what_is_written_as_parquet_reads_back_the_same(rows: list[dict[str, Any]]) -> None:
    schema = {
        "text": pl.String(),
        "integer": pl.Int64(),
        "decimal": pl.Decimal(10, 3),
        "boolean": pl.Boolean(),
        "date": pl.Date(),
        "datetime": pl.Datetime("us", "UTC"),
    }

    taken = take(
        parquet(pl.DataFrame(rows, schema=schema)), fields(**{name: name for name in schema})
    )

    assert [
        {
            "text": row["text"] or None,
            "integer": int(row["integer"]) if row["integer"] else None,
            "decimal": Decimal(row["decimal"]) if row["decimal"] else None,
            "boolean": row["boolean"] == "t" if row["boolean"] else None,
            "date": date.fromisoformat(row["date"]) if row["date"] else None,
            "datetime": datetime.fromisoformat(row["datetime"]),
        }
        for row in taken.rows
    ] == rows
