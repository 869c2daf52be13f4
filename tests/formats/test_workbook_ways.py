"""Two ways of reading one workbook give the same cells, and what was written is read back."""

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats.individual_number import holds_number
from app.formats.readers.sheets import sheet_cells
from app.formats.readers.sheets import xlsx as reader
from app.formats.readers.sheets.cell_values import number_text
from tests.formats.workbooks import (
    cells,
    ods,
    opened,
    raw_xlsx,
    sheet_part,
    texts,
    xlsx,
)


def _slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "plain_cells", lambda _chunk: None)
    monkeypatch.setattr(reader, "plain_text", lambda _chunk: None)


@pytest.mark.parametrize(
    "rows",
    [
        texts(("a", "b"), ("1", "&lt;2&gt; &amp;#13; &#x3042;")),
        '<row><c t="str"><v>a</v></c><c t="str"><v>b</v></c></row><row><c><v>1</v></c><c><v>2</v></c></row>',
        texts(("a", "b")) + "<row r='2'><c r='A2'><v>1</v></c><c r='B2'><v>2</v></c></row>",
        texts(("a", "b"))
        + '<row r="2"><!-- <c r="A9"><v>7</v></c> --><c r="A2"><v>1</v></c></row>',
        texts(("a", "b")) + '<row r="2"><c r="A2" t="str"><v><![CDATA[</row>]]></v></c></row>',
        texts(("a", "b"))
        + '\n <row r="2">\n <c r="A2" s="0" t="n"><v>1</v></c>\n</row>\r\n<row r="4"/>\n',
        texts(("a", "b"))
        + '<row r="2"><c r="A2" t="str"><v>x\r\ny\rz</v></c><c r="B2" t="b"><v>1</v></c></row>',
        texts(("a", "b"))
        + '<row r="2"><c r="A2"><f t="shared" ref="A2" si="0">1+1</f><v>2</v></c><c r="B2"><f t="shared" si="0"/><v>2</v></c></row>',
        texts(("a", "b"))
        + '<row r="2"><c r="A2" cm="1"><v>1</v></c><c r="B2" t="inlineStr"><is><r><t>x</t></r><r><t xml:space="preserve"> y</t></r></is></c></row>',
    ],
)
def test_unusual_xml_reads_as_the_usual(
    rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, slow = tmp_path / "fast", tmp_path / "slow"
    fast.mkdir()
    slow.mkdir()
    quick = cells(opened(raw_xlsx(rows), fast)[0])
    _slowly(monkeypatch)

    assert cells(opened(raw_xlsx(rows), slow)[0]) == quick


def test_prefixed_names_and_utf16_are_read(tmp_path: Path) -> None:
    inner = sheet_part(texts(("番号", "名称"), ("1", "甲")))
    prefixed = inner.replace("</", "</x:").replace("<", "<x:").replace("<x:/x:", "</x:")
    prefixed = prefixed.replace("xmlns=", "xmlns:x=")

    for number, part in enumerate(
        (prefixed.encode(), ('<?xml version="1.0" encoding="UTF-16"?>' + inner).encode("utf-16"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert cells(opened(raw_xlsx(part), folder)[0]) == [["1", "甲"]]


@given(st.text(alphabet="<>/cr=\"' vtis12AB&;", max_size=60))
def test_no_broken_row_is_taken_by_the_pattern(noise: str) -> None:
    rows = f'<row r="1"><c r="A1"><v>1</v></c>{noise}<c r="B1"><v>2</v></c></row>'

    found = sheet_cells.plain_cells(rows.encode())

    if found is not None:
        import xml.etree.ElementTree as ET  # noqa: PLC0415

        tree = ET.fromstring(f"<d>{rows}</d>")
        values = [cell.findtext("v") for cell in tree.iter("c") if cell.findtext("v")]
        assert found["value"].to_list() == values


_TEXT = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"
    ),
    max_size=12,
).map(lambda text: f"字{text}")
_NUMBER = st.one_of(
    st.integers(-(10**14), 10**14).filter(lambda number: not holds_number(str(number).encode())),
    st.decimals(-(10**6), 10**6, places=4, allow_nan=False).map(float),
)
_DATE = st.dates(dt.date(1901, 1, 1), dt.date(2200, 1, 1))
_COLUMNS = st.lists(st.sampled_from(["text", "number", "date", "boolean"]), min_size=2, max_size=5)


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    kinds = draw(_COLUMNS)
    one = {"text": _TEXT, "number": _NUMBER, "date": _DATE, "boolean": st.booleans()}
    rows = draw(
        st.lists(st.tuples(*(one[kind] for kind in kinds)).map(list), min_size=2, max_size=6)
    )
    return kinds, rows


def _meant(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, str):
        return value
    return number_text(repr(value))


@settings(max_examples=40, deadline=None)
@given(_tables())
def test_any_table_written_as_a_workbook_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, given_table: tuple[list[str], list[list[Any]]]
) -> None:
    kinds, rows = given_table
    head = [f"{kind}の列{at}" for at, kind in enumerate(kinds)]
    expected = [[_meant(value) for value in row] for row in rows]

    as_xlsx = xlsx([head, *rows])
    as_ods = ods([head, *([_ods(value) for value in row] for row in rows)])

    for data in (as_xlsx, as_ods):
        table = opened(data, tmp_path_factory.mktemp("book"))[0]
        assert list(table.head.labels) == head
        assert cells(table) == expected


def _ods(value: Any) -> Any:
    if isinstance(value, bool):
        return ("boolean", "booleanvalue", str(value).lower(), str(value).upper())
    if isinstance(value, dt.date):
        return ("date", "datevalue", value.isoformat(), f"{value:%Y/%m/%d}")
    if isinstance(value, str):
        return ("string", "stringvalue", value, value)
    return ("float", "value", repr(value), repr(value))


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15))
def test_a_number_keeps_its_value_but_for_noise(number: float) -> None:
    text = number_text(repr(number))

    assert "e" not in text.lower()
    assert math.isclose(float(text), number, rel_tol=1e-14, abs_tol=0)
