"""Fixed-length files by a layout: texts of any encoding, EBCDIC, packed and zoned numbers."""

import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats.guidance import FileRefused
from app.formats.readers.fixed import ebcdic
from app.formats.readers.fixed.layout import fixed_layout
from tests.formats.reading import Taken, take


def layout(*columns: tuple[Any, ...], **more: Any) -> dict[str, Any]:
    """Columns as (label, start, length, type, scale); CP932 records that end with their line."""
    keys = ("label", "start", "length", "type", "scale")
    made = [dict(zip(keys, column, strict=False)) for column in columns]
    return {"encoding": "cp932", "columns": made, **more}


NAMED = (("番号", 1, 4), ("名称", 5, 12), ("面積", 17, 6))


def packed(number: int, length: int) -> bytes:
    """COMP-3: the digits, and D for less than nothing."""
    return bytes.fromhex(f"{abs(number):0{length * 2 - 1}d}{'d' if number < 0 else 'c'}")


def zoned(number: int, length: int) -> bytes:
    """EBCDIC zoned decimal, its sign in the last zone."""
    digits = f"{abs(number):0{length}d}"
    last = (0xD0 if number < 0 else 0xC0) | int(digits[-1])
    return bytes([0xF0 | int(digit) for digit in digits[:-1]] + [last])


def double(text: str) -> bytes:
    """Double-byte EBCDIC without shifts."""
    rows = ebcdic._table()[1]
    places = {
        mark: bytes([first, 0x40 + at])
        for first, row in rows.items()
        for at, mark in enumerate(row)
    }
    return b"".join(places[mark] for mark in text)


def rows_of(taken: Taken) -> list[list[str]]:
    return [list(row.values())[4:] for row in taken.rows]


def test_bytes_are_cut_where_the_layout_says() -> None:
    data = "0001中之島公園   10.6\n0002大阪城      1,050\n".encode("cp932")

    taken = take(data, fixed_width=layout(*NAMED))

    assert taken.survey.table.format == "fixed_width"
    assert rows_of(taken) == [["0001", "中之島公園", "10.6"], ["0002", "大阪城", "1050"]]
    assert taken.types == {"番号": "code", "名称": "text", "面積": "decimal"}


def test_characters_can_be_counted_instead() -> None:
    data = "0001中之島公園\r\n0002橋\r\n".encode()
    told = layout(("番号", 1, 4), ("名称", 5, 5), encoding="utf-8", unit="characters")

    assert rows_of(take(data, fixed_width=told)) == [["0001", "中之島公園"], ["0002", "橋"]]


def test_records_without_line_ends_are_cut_by_their_length() -> None:
    data = "0001公園0002学校".encode("euc_jp")
    told = layout(("番号", 1, 4), ("名称", 5, 4), encoding="euc_jp", record_length=8)

    assert rows_of(take(data, fixed_width=told)) == [["0001", "公園"], ["0002", "学校"]]


def test_a_character_cut_in_two_rejects_its_row() -> None:
    data = "0001公園\n0002 公園\n0003橋梁\n".encode("cp932")

    taken = take(data, fixed_width=layout(("番号", 1, 4), ("名称", 5, 4)))

    assert [row[0] for row in rows_of(taken)] == ["0001", "0003"]
    assert [(line, code) for line, _, code in taken.codes] == [(2, "half_character")]


def test_ebcdic_with_shifts_packed_and_zoned_numbers_is_read() -> None:
    name = b"\x0e" + double("大阪市") + b"\x0f"
    record = (
        "A1".encode("cp037") + name + packed(-12345, 4) + zoned(678, 5) + (258).to_bytes(4, "big")
        + double("公園")
    )  # fmt: skip
    told = layout(
        ("記号", 1, 2),
        ("市", 3, 8),
        ("金額", 11, 4, "packed", 2),
        ("数", 15, 5, "zoned"),
        ("人口", 20, 4, "integer"),
        ("種別", 24, 4, "graphic"),
        encoding="cp939",
        record_length=len(record),
    )

    taken = take(record * 2, fixed_width=told)

    assert rows_of(taken)[1] == ["A1", "大阪市", "-123.45", "678", "258", "公園"]
    assert taken.types["金額"] == "decimal"
    assert taken.types["人口"] == "integer"


@pytest.mark.parametrize(
    ("kind", "cell", "code"),
    [
        ("packed", b"\x12\x34", "invalid_packed"),
        ("packed", b"\x1a\x3c", "invalid_packed"),
        ("zoned", b"\xf1\x12", "invalid_zoned"),
        ("zoned", b"\xfa\xf2", "invalid_zoned"),
        ("text", b"\x0e\x45", "half_character"),
        ("text", b"\x0f\xf1", "half_character"),
        ("text", b"\xff\xf1", "unknown_character"),
        ("graphic", b"\x45\xff", "unknown_character"),
    ],
)
def test_a_cell_that_cannot_be_read_rejects_its_row_alone(
    kind: str, cell: bytes, code: str
) -> None:
    good = {
        "packed": b"\x12\x3c",
        "zoned": b"\xf1\xf2",
        "text": b"\xc1\xc2",
        "graphic": double("公"),
    }
    told = layout(("a", 1, 2, kind), encoding="cp930", record_length=2)

    taken = take(good[kind] + cell + good[kind], fixed_width=told)

    assert [(line, field, found) for line, field, found in taken.codes] == [(2, "a", code)]
    assert taken.counts[1] == 2
    assert taken.rejects[0].raw_line == cell.hex()


def test_blank_and_zero_byte_numbers_are_empty() -> None:
    told = layout(
        ("n", 1, 3, "packed"), ("z", 4, 2, "zoned"), ("t", 6, 1), encoding="cp930", record_length=6
    )

    taken = take(b"\x00\x00\x00\x40\x40\xc1" + b"\x40\x40\x40\x00\x00\xc1", fixed_width=told)

    assert rows_of(taken) == [["", "", "A"], ["", "", "A"]]


def test_signed_digits_of_open_systems_are_read() -> None:
    told = layout(("n", 1, 3, "zoned", 1))

    assert rows_of(take("123\n12s\n 45\n", fixed_width=told)) == [["12.3"], ["-12.3"], ["4.5"]]


def test_a_length_that_does_not_divide_the_file_is_refused_with_numbers() -> None:
    with pytest.raises(FileRefused) as refused:
        take("0001AB0002C", fixed_width=layout(("番号", 1, 4), record_length=6))

    assert refused.value.code == "fixed_width_length"
    assert refused.value.details == {"size": 11, "length": 6, "rest": 5}


def test_header_and_trailer_records_are_no_rows_and_the_count_is_checked() -> None:
    told = layout(
        ("番号", 2, 4),
        skip_records=1,
        trailer={"records": 1, "count": {"start": 2, "length": 4, "type": "zoned"}},
    )

    assert rows_of(take("H....\n20001\n20002\n80002\n", fixed_width=told)) == [["0001"], ["0002"]]
    with pytest.raises(FileRefused) as refused:
        take("H....\n20001\n80002\n", fixed_width=told)
    assert refused.value.code == "fixed_width_trailer"
    assert refused.value.details == {"said": "2", "counted": 1}


def test_a_mark_tells_data_records_from_others() -> None:
    told = layout(("番号", 2, 4), only={"start": 1, "length": 1, "values": ["2"]})

    taken = take("1HEAD\n20001\n8....\n20002\n9....\n", fixed_width=told)

    assert rows_of(taken) == [["0001"], ["0002"]]
    assert [row["_line"] for row in taken.rows] == ["2", "4"]


def test_a_schema_as_csv_gives_the_layout_from_zero_or_one() -> None:
    one = fixed_layout({"encoding": "latin-1", "schema": "column,start,length\nA,1,6\nB,7,2\n"})
    zero = fixed_layout({"encoding": "latin-1", "schema": "column,start,length\nA,0,6\nB,6,2\n"})

    assert one == zero
    assert [(column.label, column.start, column.end) for column in one.columns] == [
        ("A", 0, 6),
        ("B", 6, 8),
    ]


@pytest.mark.parametrize(
    ("told", "where"),
    [
        ({"encoding": "cp1047", "columns": []}, "encoding"),
        ({"encoding": "cp932", "columns": []}, "columns"),
        (
            {"encoding": "cp932", "columns": [{"label": "a", "start": 0, "length": 1}]},
            "columns[1].start",
        ),
        ({"encoding": "cp932", "columns": [{"label": "a", "start": 1}]}, "columns[1].length"),
        (layout(("a", 1, 1, "float")), "columns[1].type"),
        (layout(("a", 1, 9, "integer"), record_length=9), "columns[1].length"),
        (layout(("a", 1, 5), record_length=4), "record_length"),
        (layout(("a", 1, 5), record_length=True), "record_length"),
        (layout(("a", 1, 5), unit="words"), "unit"),
        (layout(("a", 1, 5), unit="characters", record_length=5), "unit"),
        (layout(("a", 1, 5), skip_records=-1), "skip_records"),
        (layout(("a", 1, 5), trailer={"records": 0}), "trailer.records"),
        (layout(("a", 1, 5), only={"start": 1, "length": 1, "values": []}), "only.values"),
        (layout(("a", 1, 5), widths=[5]), "widths"),
        ({"encoding": "cp932", "schema": "name,from\na,1\n"}, "schema"),
        ({"encoding": "cp932", "schema": "column,start,length\na,x,1\n"}, "schema[1]"),
    ],
)
def test_a_wrong_layout_is_refused_at_its_place(told: dict[str, Any], where: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take("abcde\n", fixed_width=told)

    assert (refused.value.code, refused.value.details) == ("fixed_width_layout", {"where": where})


@pytest.mark.parametrize("kind", ["packed", "integer"])
def test_binary_numbers_without_a_record_length_are_refused_in_their_own_words(kind: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take("abc\n", fixed_width=layout(("a", 1, 3, kind)))

    assert refused.value.code == "fixed_width_binary"


@pytest.mark.parametrize(
    "text",
    [
        "0001  中之島公園        北区  \n0002  大阪城公園        中央区\n0003  長居公園          東住吉\n" * 2,
        "\n".join(f"{at:010d}{'A' * 100}{at % 7:010d}" for at in range(10)),
        "\n".join(f"{at:06d}  Smith, John         {at:06d}" if at % 3 else f"{at:06d}  Sato Taro           {at:06d}" for at in range(9)),
    ],
)  # fmt: skip
def test_such_a_file_without_its_layout_is_asked_for_it(text: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take(text.encode("cp932"))

    assert refused.value.code == "fixed_width_unknown"


@pytest.mark.parametrize(
    "text",
    [
        "コード\n271004\n272012\n272027\n",
        "名称\n北区役所\n西区役所\n南区役所\n",
        "a,b\n0001  x  y  z  ,12345\n0002  x  y  z  ,12345\n0003  x  y  z  ,12345\n",
    ],
)
def test_a_plain_list_is_none(text: str) -> None:
    assert take(text).survey.table.format == "csv"


@pytest.mark.skipif(shutil.which("iconv") is None, reason="left out: there is no iconv here")
@pytest.mark.parametrize("name", ebcdic.NAMES)
def test_the_table_is_that_of_iconv(name: str) -> None:
    text = "ABC abc 123 ｱｲｳ 大阪市北区中之島一丁目３番２０号 ガス・①髙～－"
    coded = subprocess.run(
        ["iconv", "-f", "UTF-8", "-t", name, "-c"],
        input=text.encode(),
        capture_output=True,
        check=False,
    ).stdout
    if not coded:
        pytest.skip(f"left out: this iconv does not know {name}")
    back = subprocess.run(
        ["iconv", "-f", name, "-t", "UTF-8"],
        input=coded,
        capture_output=True,
        check=True,
    ).stdout.decode()

    assert ebcdic.decode(coded, name) == back
    assert "大阪市北区中之島一丁目" in back


_RECORDS = st.lists(
    st.tuples(
        st.integers(-(10**7) + 1, 10**7 - 1),
        st.integers(-(10**6) + 1, 10**6 - 1),
        st.integers(-(2**31), 2**31 - 1),
        st.sampled_from(["公園", "学校", "役場"]),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(_RECORDS, st.sampled_from(ebcdic.NAMES))
def test_what_is_written_in_ebcdic_reads_back_the_same(
    records: list[tuple[int, int, int, str]], encoding: str
) -> None:
    data = b"".join(
        packed(first, 4) + zoned(second, 6) + third.to_bytes(4, "big", signed=True) + b"\x0e" + double(name) + b"\x0f"
        for first, second, third, name in records
    )  # fmt: skip
    told = layout(
        ("a", 1, 4, "packed"), ("b", 5, 6, "zoned"), ("c", 11, 4, "integer"), ("d", 15, 6),
        encoding=encoding, record_length=20,
    )  # fmt: skip

    taken = take(data, fixed_width=told)

    assert [(int(a), int(b), int(c), d) for a, b, c, d in rows_of(taken)] == records
