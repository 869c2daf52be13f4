"""From bytes to COPY blocks: layout, rows, rejects and what is kept."""

import csv
import io
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats.guidance import FileRefused
from app.formats.readers.text.chunks import LINE_BYTES
from app.formats.readers.text.delimited import read_layout
from app.formats.readers.text.encoding import Encoding
from app.formats.readers.text.layout import Layout
from app.formats.text import BLANKS, NULLS
from app.query.fields import Field, FieldType
from tests.formats.reading import fields, take


def refusal(data: bytes | str, **more: object) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        take(data, **more)  # type: ignore[arg-type]
    return refused.value


# Where the table stands


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_delimiter_and_line_end_is_found(delimiter: Any, newline: Any) -> None:
    text = newline.join(delimiter.join(row) for row in (["名称", "定員"], ["甲", "1"], ["乙", "2"]))

    taken = take(text + newline)

    assert isinstance(taken.survey.head, Layout)
    assert taken.survey.head.delimiter == delimiter
    assert taken.values("name") == ["甲", "乙"]
    assert taken.values("_line") == ["2", "3"]


def test_commas_in_the_text_of_a_tab_file_do_not_mislead() -> None:
    taken = take("名称\t説明\n甲\tはい,いいえ\n乙\ta,b,c\n")

    assert isinstance(taken.survey.head, Layout)
    assert taken.survey.head.delimiter == "\t"


@pytest.mark.parametrize(
    ("text", "header_line", "labels", "first"),
    [
        ("一覧,,\n名称,定員,備考\n甲,1,x\n", 2, ("名称", "定員", "備考"), "3"),
        ("一覧（令和4年）\n\n名称,定員\n甲,1\n", 3, ("名称", "定員"), "4"),
        ("\n\n\n名称,定員\n甲,1\n", 4, ("名称", "定員"), "5"),
        ('"一覧\n続き",\n名称,定員\n甲,1\n', 3, ("名称", "定員"), "4"),
        ('"名\n称",定員\n甲,1\n', 1, ("名\n称", "定員"), "3"),
        ("地域,2015,2016,2017\n甲,1,2,3\n", 1, ("地域", "2015", "2016", "2017"), "2"),
        ("名称,定員,,,\n甲,1,,,\n", 1, ("名称", "定員"), "2"),
        ("名称\n甲\n乙\n", 1, ("名称",), "2"),
        ("人口,,世帯\n男,女,\n1,2,3\n4,5,6\n", 1, ("人口_男", "人口_女", "世帯"), "3"),
    ],
)
def test_the_header_is_found_and_lines_keep_their_numbers(
    text: Any, header_line: Any, labels: Any, first: Any
) -> None:
    taken = take(text)

    assert taken.survey.head.header_line == header_line
    assert taken.survey.head.labels == labels
    assert taken.values("_line")[0] == first


def test_nine_metadata_rows_around_the_property_row_are_skipped() -> None:
    text = (
        "#LINK,,\n#lang,ja,\n#property,name,note\n#object_type_xsd,string,string\n1,甲,\n2,乙,x\n"
    )

    taken = take(text)

    assert taken.survey.head.labels == ("#property", "name", "note")
    assert taken.values("_line") == ["5", "6"]
    assert taken.notices == ["metadata_skipped"]


def test_a_file_without_header_is_all_data_and_says_so() -> None:
    taken = take("27102,5340000,大阪府,0\n27103,5530000,大阪府,0\n")

    assert taken.survey.head.labels == ("列1", "列2", "列3", "列4")
    assert taken.counts[0] == 2
    assert "no_header" in taken.notices


def test_duplicate_and_empty_headings_stay_apart_under_their_own_labels() -> None:
    taken = take("名称,郵便番号,郵便番号,\n甲,5300001,5300002,x\n")

    assert [field.name for field in taken.survey.fields] == [
        "name",
        "postal_code",
        "postal_code_2",
        "field_004",
    ]
    assert [field.label for field in taken.survey.fields][1:3] == ["郵便番号", "郵便番号"]
    assert {"duplicate_header", "empty_header"} <= set(taken.notices)


def test_totals_notes_and_blank_lines_below_the_table_are_cut_and_reported() -> None:
    text = "名称,定員,備考\n甲,1,\n,,\n乙,2,\n合　計,3,\n\n※ 令和4年現在,,\n（注）未確定,,\n"

    taken = take(text)

    assert taken.values("name") == ["甲", "乙"]
    assert taken.notices[-2:] == ["blank_rows_skipped", "footer_skipped"]
    assert taken.blocks[-1].notices[-1].details == {"first": 5, "count": 3}


def test_a_total_in_the_middle_is_data() -> None:
    assert take("名称,定員\n合計,1\n乙,2\n").values("name") == ["合計", "乙"]


@pytest.mark.parametrize(
    "text", ["ID,注意事項\n", "ID,注意事項", "ID,注意事項\n,\n", "表題\nID,名称\n"]
)
def test_a_header_alone_is_refused_as_such(text: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take(text)

    assert refused.value.code == "no_data_rows"
    assert "見出しだけで、データの行がありません" in refused.value.words("ja")


# Rows


def test_short_rows_are_filled_with_nulls_and_long_ones_with_values_are_refused() -> None:
    taken = take("a,b,c\n1,2\n1,2,3,,\n1,2,3,外\n")

    assert [(row["a"], row["c"]) for row in taken.rows] == [("1", ""), ("1", "3")]
    assert taken.codes == [(4, None, "too_many_cells")]
    assert taken.rejects[0].raw_line == "1,2,3,外"


def test_quoted_line_ends_keep_line_numbers_right() -> None:
    taken = take('名称,説明\r\n甲,"一\r\n二"\r\n乙,三\r\n')

    assert taken.values("_line") == ["2", "4"]
    assert taken.rows[0]["description"] == "一\n二"  # one way, whatever system wrote it


def test_blanks_are_cut_and_what_says_null_is_null_but_text_is_never_folded() -> None:
    cells = ["　髙橋 ", "NULL", "-", "－", "―", "N/A", "①～ｱ", " ", "null", "ー"]
    text = "番号,名称\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells))

    taken = take(text, fields(番号="code", 名称="text"))

    assert taken.values("名称") == ["髙橋", "", "", "", "", "", "①～ｱ", "", "", ""]
    assert taken.counts[2] == 0


def test_outside_the_area_is_null_for_a_code_and_a_word_for_text() -> None:
    taken = take("区,備考\n区域外,区域外\n", fields(区="code", 備考="text"))

    assert (taken.rows[0]["区"], taken.rows[0]["備考"]) == ("", "区域外")


def test_every_wrong_cell_is_named_with_line_field_and_shape_and_the_row_stays_out() -> None:
    taken = take(
        "id,day,count\n1,R4.13.1,x\n2,2022-04-01,5\n",
        fields(id="code", day="date", count="integer"),
    )

    assert taken.codes == [(2, "day", "invalid_date"), (2, "count", "invalid_integer")]
    assert [reject.value_class for reject in taken.rejects] == ["A9.99.9", "A"]
    assert {reject.row for reject in taken.rejects} == {1}
    assert taken.values("_row") == ["2"]


def test_required_and_key_fields_must_be_filled() -> None:
    declared = [
        Field("id", "c001", "id", FieldType.CODE, key=True),
        Field("name", "c002", "name", FieldType.TEXT, required=True),
    ]

    taken = take("id,name\n,甲\n2,\n3,丙\n", declared)

    assert taken.codes == [(2, "id", "required_missing"), (3, "name", "required_missing")]


def test_a_code_list_takes_codes_and_labels_and_nothing_else() -> None:
    declared = [
        Field("kind", "c001", "kind", FieldType.CODE, code_list=(("1", "公立"), ("2", "私立")))
    ]

    taken = take("kind\n1\n私立\n国立\n", declared)

    assert taken.values("kind") == ["1", "2"]
    assert taken.codes == [(4, "kind", "not_in_code_list")]
    assert taken.originals == [{}, {"kind": "私立"}]


def test_the_wrong_check_digit_is_refused_and_a_short_code_repaired() -> None:
    taken = take("code\n271005\n27383\n", fields(code="local_government_code"))

    assert taken.codes == [(2, "code", "wrong_check_digit")]
    assert taken.values("code") == ["273830"]
    assert taken.originals == [{"code": "27383"}]


def test_an_excel_exponent_is_refused_and_never_repaired() -> None:
    taken = take("法人番号\n1.23E+12\n1120101000035\n", fields(法人番号="code"))

    assert taken.codes == [(2, "法人番号", "excel_exponent")]


# Coordinates and dates: what only the column proves

PLACE = {"name": "text", "緯度": "latitude", "経度": "longitude"}


def test_one_swapped_row_is_refused_with_a_hint() -> None:
    good = "".join(f"p{n},34.7,135.5\n" for n in range(5))

    taken = take(f"name,緯度,経度\n{good}x,135.46,34.66\n", fields(**PLACE))

    assert set(taken.codes) == {
        (7, "緯度", "coordinate_out_of_area"),
        (7, "経度", "coordinate_out_of_area"),
    }
    assert {reject.hint for reject in taken.rejects} == {"looks_swapped"}


@pytest.mark.parametrize("declared", [fields(**PLACE), None])
def test_columns_swapped_as_a_whole_are_swapped_back_counted_and_reported(declared: Any) -> None:
    text = "name,緯度,経度\n" + "".join(f"p{n},135.5,34.7\n" for n in range(20)) + "q,,\n"

    taken = take(text, declared)

    lat = "緯度" if declared else "latitude"
    assert taken.values(lat) == ["34.7"] * 20 + [""]
    assert taken.counts == (21, 21, 40, {})
    assert "coordinates_swapped" in taken.notices
    assert taken.originals[0][lat] == "135.5"


def test_half_a_coordinate_is_refused() -> None:
    taken = take("name,緯度,経度\na,34.7,\nb,,135.5\nc,,\n", fields(**PLACE))

    assert taken.codes == [(2, "経度", "longitude_missing"), (3, "緯度", "latitude_missing")]
    assert taken.values("name") == ["c"]


def test_month_first_is_read_when_one_row_of_the_column_proves_it() -> None:
    taken = take("day\n6/1/2023\n6/13/2023\n45107\n", fields(day="date"))

    assert taken.values("day") == ["2023-06-01", "2023-06-13", "2023-06-30"]


def test_dates_without_proof_are_refused_where_declared_and_text_where_not() -> None:
    data = "day,x\n6/1/2023,a\n7/2/2023,b\n"

    assert {code for _, _, code in take(data, fields(day="date", x="text")).codes} == {
        "ambiguous_date"
    }
    guessed = take(data)
    assert guessed.types["day"] == "text"
    assert "ambiguous_dates" in guessed.notices


def test_a_column_with_both_orders_proves_neither() -> None:
    data = "day,x\n13/1/2023,a\n1/13/2023,b\n"

    assert take(data).types["day"] == "text"


# What bad input gets


def test_a_quote_that_is_never_closed_is_named_by_its_line() -> None:
    refused = refusal('a,b\n1,2\n3,"4\n5,6\n')

    assert (refused.code, refused.details["line"]) == ("unclosed_quote", 3)


def test_a_quote_that_swallows_the_rest_of_a_large_file_is_named_by_its_line() -> None:
    refused = refusal('a,b\n3,"4\n' + "5,6\n" * 400_000)

    assert (refused.code, refused.details["line"]) == ("unclosed_quote", 2)


def test_too_many_columns_are_refused() -> None:
    refused = refusal(",".join(f"c{n}" for n in range(10_000)) + "\n1\n")

    assert (refused.code, refused.details["columns"]) == ("too_many_columns", 10_000)


def test_two_thousand_columns_are_taken() -> None:
    text = ",".join(f"c{n}" for n in range(2000)) + "\n" + ",".join("1" * 2000) + "\n"

    declared = fields(c0="integer", c1999="integer")
    assert take(text, declared).rows[0]["c1999"] == "1"


class Endless(io.RawIOBase):
    """A line of 100 MB that counts how much of it was asked for."""

    asked = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self.asked >= 100 << 20:
            return b""
        type(self).asked += size
        return b"a" * size


def test_a_line_of_a_hundred_megabytes_is_refused_without_being_held() -> None:
    with pytest.raises(FileRefused) as refused:
        read_layout(Endless, Encoding("utf-8", 0, ambiguous=False, size=0))  # type: ignore[arg-type]

    assert refused.value.code == "line_too_long"
    assert Endless.asked < LINE_BYTES * 2


def test_a_cell_over_a_megabyte_is_refused() -> None:
    assert refusal("a,b\n1," + "x" * (1 << 21) + "\n").code == "cell_too_long"


def test_a_stray_quote_inside_a_cell_is_only_a_character() -> None:
    taken = take('a,b\n5" pipe,x\ny,z"z\n')

    assert taken.rows[0]["a"] == '5" pipe'
    assert taken.rows[1]["b"] == 'z"z'


def test_a_line_of_backslash_and_dot_cannot_end_the_copy() -> None:
    taken = take("a\nx\n\\.\ny\n", fields(a="text"))

    assert taken.values("a") == ["x", "\\.", "y"]
    assert b"\n\\.\n" not in taken.blocks[0].csv


def test_nulls_are_empty_and_never_quoted_for_copy() -> None:
    taken = take('a,b\n"",x\n', fields(a="text", b="text"))

    assert taken.blocks[0].csv == b"1,2,,,,x\n"


# Sizes


@pytest.mark.parametrize("chunk_bytes", [16, 100, 1000, 4 << 20])
@pytest.mark.parametrize("block_rows", [1, 7, 50_000])
def test_chunks_and_blocks_change_nothing_but_the_cut(chunk_bytes: Any, block_rows: Any) -> None:
    body = "".join(f'{n},"名\n称{n}",{n}\n{n}b,そのまま,{n}\n' for n in range(100))
    text = f"題\nid,name,count\n{body}合計,,9\n※注\n"

    taken = take(text, fields(id="code", name="text", count="integer"),
                 chunk_bytes=chunk_bytes, block_rows=block_rows)  # fmt: skip

    assert taken.counts == (200, 200, 0, {})
    assert taken.values("_row") == [str(n) for n in range(1, 201)]
    assert taken.values("_line")[:4] == ["3", "5", "6", "8"]
    assert all(block.rows <= block_rows for block in taken.blocks)
    assert taken.blocks[-1].bytes_read == len(text.encode())


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "cp932", "euc_jp"]
LETTERS = "aZ09 ,;\t|\"'\n髙橋①～ｱアあ亜・ー-_。、（）%#"


def cells(encoding: str) -> st.SearchStrategy[str]:
    letters = [mark for mark in LETTERS if _fits(mark, encoding)]
    return st.text(st.sampled_from(letters), max_size=8)


def _fits(mark: str, encoding: str) -> bool:
    try:
        return mark.encode(encoding).decode(encoding) is not None
    except UnicodeEncodeError:
        return False


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_table_in_any_encoding_and_delimiter_is_read_back_equal(data: Any) -> None:
    encoding = data.draw(st.sampled_from(ENCODINGS))
    delimiter = data.draw(st.sampled_from(",\t;|"))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    newline = data.draw(st.sampled_from(["\n", "\r\n"]))
    table = data.draw(st.lists(st.tuples(cells(encoding), cells(encoding)), min_size=1, max_size=8))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=newline)
    writer.writerow(["番号", "名称", "備考"])
    for number, row in enumerate(table):
        writer.writerow([f"x{number}", *row])
    declared = fields(番号="code", 名称="text", 備考="text")

    told = encoding if encoding in ("cp932", "euc_jp") else None
    taken = take(
        out.getvalue().encode(encoding), declared, encoding=told,
        chunk_bytes=data.draw(st.sampled_from([10, 64, 1 << 20])),
    )  # fmt: skip

    assert [(row["名称"], row["備考"]) for row in taken.rows] == [
        tuple(_kept(cell) for cell in row) for row in table
    ]


def _kept(cell: str) -> str:
    text = cell.strip(BLANKS)
    return "" if text in NULLS else text


def test_the_server_does_not_bring_polars_along() -> None:
    code = "import sys; import app.main; print('polars' in sys.modules)"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "False"


@pytest.mark.parametrize("declared", [None, fields(name="text", phone="phone")])
def test_a_phone_whose_leading_zero_excel_dropped_is_kept_and_told_by_its_line(
    declared: list[Field] | None,
) -> None:
    text = "name,phone\na,721234567\nb,9012345678\nc,0721-23-4567\nd,119\ne,+81721234567\n"

    taken = take(text, declared)

    (notice,) = [
        each for block in taken.blocks for each in block.notices if each.code == "leading_zero_lost"
    ]
    assert notice.details == {"label": "phone", "count": 2, "lines": "2、3"}
    assert taken.values("phone")[:2] == ["721234567", "9012345678"]
