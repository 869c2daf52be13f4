"""Collections of messy files scored cell by cell against the tables that come with them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.formats.reading import Taken, take

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)
SPECTRUM = DATA / "messy/csv-spectrum"
CSVKIT = DATA / "messy/csvkit"
# The collection's own expectation contradicts its file: another telephone number stands there.
CONTRADICTED = {"location_coordinates": "Contact Phone Number"}


def as_published(taken: Taken) -> list[dict[str, str]]:
    """The rows by heading, each cell as it came."""
    labels = taken.survey.head.labels
    names = [field.name for field in taken.survey.fields]
    return [
        {label: {**row, **raw}[name] for label, name in zip(labels, names, strict=True)}
        for row, raw in zip(taken.rows, taken.originals, strict=True)
    ]


def cells(taken: Taken) -> list[list[str]]:
    names = [field.name for field in taken.survey.fields]
    return [[row[name] for name in names] for row in taken.rows]


@pytest.mark.parametrize(
    "name",
    [
        "comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "location_coordinates",
        "newlines", "newlines_crlf", "quotes_and_newlines", "simple", "simple_crlf", "utf8",
    ],
)  # fmt: skip
def test_every_file_of_the_spectrum_is_read_as_its_json_says(name: str) -> None:
    found: Any = json.loads((SPECTRUM / f"json/{name}.json").read_bytes())
    expected: list[dict[str, Any]] = found if isinstance(found, list) else [found]

    rows = as_published(take((SPECTRUM / f"csvs/{name}.csv").read_bytes()))

    # One line end within a text, whatever the file's own (app/DECISIONS.md).
    expected = [{k: v.replace("\r\n", "\n") if isinstance(v, str) else v for k, v in row.items()}
                for row in expected]  # fmt: skip
    for contradicted in filter(None, [CONTRADICTED.get(name)]):
        rows = [{**row, contradicted: ""} for row in rows]
        expected = [{**row, contradicted: ""} for row in expected]
    assert rows == expected


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("dummy.csv.gz", "dummy.csv"),
        ("dummy.csv.bz2", "dummy.csv"),
        ("dummy.xls", "dummy.csv"),
        ("dummy.xlsx", "dummy.csv"),
        ("testjson.json", "testjson_converted.csv"),
        ("testjson_nested.json", "testjson_nested_converted.csv"),
        ("testjson_multiline.json", "testjson_multiline_converted.csv"),
        ("test_date_format.csv", "test_date_format_converted.csv"),
    ],
)
def test_a_file_and_its_converted_table_are_equal(file: str, table: str) -> None:
    one, other = (take((CSVKIT / name).read_bytes()) for name in (file, table))

    assert cells(one) == cells(other)
    names = [label.replace("/", ".") for label in other.survey.head.labels]  # nested.date
    assert list(one.survey.head.labels) == names
    assert cells(one), "an empty table is equal to any other"


@pytest.mark.parametrize(
    ("book", "table"),
    [("test.xls", "testxls_converted.csv"), ("test.xlsx", "testxlsx_converted.csv")],
)
def test_a_workbook_gives_its_tables_rows_and_refuses_the_one_with_a_cell_too_many(
    book: str, table: str
) -> None:
    """The table was made by cutting that cell off; we would rather ask."""
    one, other = (take((CSVKIT / name).read_bytes()) for name in (book, table))
    width = len(one.survey.fields)

    known = [row[:width] for row in cells(other)]

    assert [code for _, _, code in one.codes] == ["too_many_cells"]
    assert len(cells(one)) == len(known) - 1
    for row in cells(one):
        assert any(_same(row, each) for each in known), row


def _same(one: list[str], other: list[str]) -> bool:
    return all(a == b or _number(a) == _number(b) for a, b in zip(one, other, strict=True))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
