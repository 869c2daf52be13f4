"""JSON and NDJSON: records of any shape become rows, and what is no value is told row by row."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats.guidance import FileRefused
from app.formats.individual_number import holds_number
from tests.formats.reading import fields, take


def test_columns_are_all_keys_in_order_of_appearance() -> None:
    taken = take('{"b":"x","a":1}\n{"a":2,"c":{"d":true}}\n')

    assert taken.survey.table.format == "ndjson"
    assert taken.survey.head.labels == ("b", "a", "c.d")
    assert taken.types == {"b": "text", "a": "integer", "c.d": "boolean"}
    assert [list(row.values())[4:] for row in taken.rows] == [["x", "1", ""], ["", "2", "t"]]


def test_absent_null_and_empty_are_all_empty() -> None:
    taken = take('[{"a":"x","b":1},{"a":null,"b":2},{"a":"","b":3},{"b":4},{"a":[],"b":5}]')

    assert taken.values("a") == ["x", "", "", "", ""]


def test_lists_and_what_lies_deep_stay_json_text() -> None:
    taken = take('[{"n":1,"tags":["a",1.50],"p":{"q":{"r":{"s":{"t":"deep"}}}}}]')

    assert taken.survey.head.labels == ("n", "tags", "p.q.r.s")
    assert taken.values("tags") == ['["a",1.50]']
    assert taken.rows[0]["p_q_r_s"] == '{"t":"deep"}'


def test_numbers_keep_their_own_digits() -> None:
    taken = take('[{"a":1.10,"b":12345678901234567,"c":1e3},{"a":-0.5,"b":2,"c":2.5E-2}]')

    assert taken.values("a") == ["1.10", "-0.5"]
    assert taken.values("b")[0] == "12345678901234567"
    assert taken.values("c") == ["1000", "0.025"]


def test_a_number_larger_than_any_column_stays_exact() -> None:
    taken = take('[{"a":123456789012345678901234567890}]', fields(a="text"))

    assert taken.values("a") == ["123456789012345678901234567890"]


def test_codes_written_as_texts_keep_their_zeros() -> None:
    taken = take('[{"code":"00012"},{"code":"00013"}]')

    assert taken.values("code") == ["00012", "00013"]


@pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        ("results", '{"count":2,"next":null,"results":[{"a":1},{"a":2}]}'),
        ("data/rows", '{"meta":{"total":2},"data":{"rows":[{"a":1},{"a":2}]}}'),
        ("facilities", '{"facilities":[{"a":1},{"a":2}]}'),
    ],
)
def test_the_list_inside_an_answer_is_the_table(name: str, wrapped: str) -> None:
    taken = take(wrapped)

    assert taken.survey.table.name == name
    assert taken.values("a") == ["1", "2"]


def test_of_two_lists_one_must_be_chosen() -> None:
    document = '{"parks":[{"a":1}],"schools":[{"b":2}]}'

    with pytest.raises(FileRefused) as refused:
        take(document)

    assert refused.value.code == "several_tables"
    assert refused.value.details["names"] == "parks、schools"
    assert take(document, table="schools").values("b") == ["2"]


def test_the_publisher_says_where_the_rows_and_columns_are() -> None:
    document = '{"x":{"y/z":[{"n":{"ja":"公園"},"no":"01"}]},"other":[{"a":1},{"a":2}]}'

    taken = take(document, rows={"rows": "/x/y~1z", "columns": {"名称": "/n/ja", "番号": "no"}})

    assert taken.survey.head.labels == ("名称", "番号")
    assert taken.rows[0]["_line"] == "1"
    assert [row.cells for row in taken.survey.head.sample] == [["公園", "01"]]


def test_members_of_an_object_can_be_the_rows_with_their_names() -> None:
    document = '{"27":{"cities":{"271004":{"name":"大阪市"}}},"28":{"cities":{"281000":{"name":"神戸市"}}}}'

    taken = take(document, rows={"rows": "/*/cities/*"})

    assert taken.survey.head.labels == ("キー", "name")
    assert [row.cells for row in taken.survey.head.sample] == [
        ["271004", "大阪市"],
        ["281000", "神戸市"],
    ]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ({"rows": "x"}, "rows_wrong"),
        ({"rows": 3}, "rows_wrong"),
        ({"rows": "/none"}, "json_rows_unknown"),
        ({"rows": "/a", "columns": {}}, "rows_wrong"),
        ({"rows": "/a", "columns": {"名称": 1}}, "rows_wrong"),
    ],
)
def test_a_place_that_is_not_there_is_refused(rows: dict[str, Any], code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take('{"a":[{"b":1}]}', rows=rows)

    assert refused.value.code == code


def test_one_record_alone_is_a_table_of_one_row() -> None:
    taken = take('{"法人名":"株式会社サンミ","法人番号":"1010001045273","sns":[]}')

    assert taken.counts[:2] == (1, 1)
    assert "json_one_record" in taken.notices


def test_lists_with_a_header_are_rows() -> None:
    taken = take('[["番号","名称"],["01","公園"],["02","学校"]]')
    bare = take('[["01","公園"],["02","学校"]]')

    assert (taken.survey.head.labels, taken.counts[0]) == (("番号", "名称"), 2)
    assert (bare.survey.head.labels, bare.counts[0]) == (("列1", "列2"), 2)
    assert "no_header" in bare.notices


def test_lines_of_lists_are_rows_too() -> None:
    assert take('["a","b"]\n[1,2]\n[3,4]\n').counts[0] == 2


def test_plain_values_are_one_column() -> None:
    assert take('["大阪市","堺市"]').types == {"値": "text"}


def test_each_line_that_cannot_be_read_is_told_and_the_others_load() -> None:
    lines = [
        '{"a":"good"}',
        '{"a":"cut',
        '{"a":1,"a":2}',
        '{"a":NaN}',
        '{"a":"\\ud800"}',
        '{"a":"\\u0000"}',
        "[1]",
        '"text"',
        "[" * 5000,
        '{"a":"too good"}',
    ]

    taken = take("\n".join(lines))

    assert taken.values("a") == ["good", "too good"]
    assert [(line, code) for line, _, code in taken.codes] == [
        (2, "json_line_invalid"),
        (3, "json_duplicate_key"),
        (4, "json_not_a_number"),
        (5, "lone_surrogate"),
        (6, "nul_character"),
        (7, "json_record_not_object"),
        (8, "json_record_not_object"),
        (9, "json_too_deep"),
    ]
    assert taken.rejects[0].raw_line == '"{""a"":""cut"'
    assert "\x00" not in "".join(reject.raw_line for reject in taken.rejects)


def test_the_same_faults_inside_a_list_spoil_only_their_records() -> None:
    taken = take('[{"a":1},{"a":Infinity},{"a":1,"a":2},7,null,{},{"a":"\\udfff"},{"a":3}]')

    assert taken.values("a") == ["1", "3"]
    assert [(line, code) for line, _, code in taken.codes] == [
        (2, "json_not_a_number"),
        (3, "json_duplicate_key"),
        (4, "json_record_not_object"),
        (7, "lone_surrogate"),
    ]
    assert "blank_rows_skipped" in taken.notices


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ('[{"a":1},{"a":2', "json_invalid"),
        ('[{"a":1} {"a":2}]', "json_invalid"),
        ('[{"a":1}] rest', "json_invalid"),
        ('{"a":[{"b":1}]', "json_invalid"),
        ('{"a":{"b":1}}', "json_rows_unknown"),
        ('{"大阪府":["大阪市"],"京都府":["京都市"]}', "json_rows_unknown"),
        ("[]", "no_data_rows"),
        ("{}", "json_rows_unknown"),
        ("[" * 100_000, "file_dangerous"),
        ('{"a":' * 100_000, "file_dangerous"),
    ],
)
def test_a_document_that_is_no_table_is_refused(document: str, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        take(document)

    assert refused.value.code == code


def test_a_plain_value_among_lists_is_refused_and_not_lost() -> None:
    taken = take('[["a",1],"b",["c",2],7]')

    assert taken.counts == (4, 2, 0, {"json_record_not_object": 2})
    assert [reject.raw_line for reject in taken.rejects] == ["b", "7"]


def test_a_value_longer_than_any_cell_spoils_its_record() -> None:
    taken = take('[{"a":"' + "x" * (2 << 20) + '"},{"a":"y"}]')

    assert (taken.values("a"), taken.codes) == (["y"], [(1, None, "cell_over_limit")])


def test_a_record_of_too_many_keys_is_refused() -> None:
    with pytest.raises(FileRefused) as refused:
        take("[" + json.dumps({f"k{at}": at for at in range(2001)}) + "]")

    assert refused.value.code == "too_many_columns"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
def test_any_encoding_of_the_house_is_read(encoding: str) -> None:
    lines = '{"名称":"中之島公園①"}\n{"名称":"大阪城公園"}\n'

    assert take(lines.encode(encoding)).values("name") == ["中之島公園①", "大阪城公園"]


def test_records_over_several_lines_follow_each_other() -> None:
    assert take('{\n "a": 1\n}\n{\n "a": 2\n}\n').values("a") == ["1", "2"]


def test_a_broken_first_line_does_not_hide_that_lines_are_records() -> None:
    taken = take('{"a" 1}\n{"a":2}\n{"a":3}\n')

    assert taken.values("a") == ["2", "3"]
    assert taken.codes == [(1, None, "json_line_invalid")]


def test_two_keys_that_flatten_to_one_label_are_refused() -> None:
    assert take('[{"a.b":1,"a":{"b":2}},{"a.b":3}]').codes == [(1, None, "json_duplicate_key")]


def test_a_long_list_is_read_in_batches_whose_memory_is_bounded() -> None:
    records = ",\n".join(f'{{"no":{at},"name":"施設{at}"}}' for at in range(120_000))

    taken = take(f'{{"results":[{records}]}}')

    assert len(taken.blocks) == 3
    assert taken.counts[0] == 120_000
    assert taken.values("no")[-1] == "119999"


_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.sampled_from(["公園", 'a"b', "改\n行", "0012", "カナ,"]),
            "integer": st.integers(-(2**63), 2**63 - 1).filter(
                lambda number: not holds_number(str(number).encode())
            ),
            "decimal": st.decimals(-1000, 1000, places=3),
            "boolean": st.booleans(),
            "date": st.dates(date(1900, 1, 1)).map(str),
        }
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=30, deadline=None)
@given(_ROWS, st.booleans())
def test_what_is_written_as_json_reads_back_the_same(
    rows: list[dict[str, Any]], by_line: bool
) -> None:
    texts = [
        json.dumps({**row, "decimal": "#"}, ensure_ascii=False).replace('"#"', str(row["decimal"]))
        for row in rows
    ]
    declared = fields(
        text="text", integer="integer", decimal="decimal", boolean="boolean", date="date"
    )

    taken = take("\n".join(texts) if by_line else f"[{','.join(texts)}]", declared)

    assert [
        (
            row["text"],
            int(row["integer"]),
            Decimal(row["decimal"]),
            row["date"],
            row["boolean"] == "t",
        )
        for row in taken.rows
    ] == [
        (row["text"], row["integer"], row["decimal"], row["date"], row["boolean"]) for row in rows
    ]


def test_a_file_of_lines_may_have_one_whose_own_list_is_not_its_rows() -> None:
    taken = take('{"no":"1","items":[{"a":1},{"a":2}]}\n', name="records.ndjson")

    assert taken.survey.head.labels == ("no", "items")
    assert len(taken.rows) == 1
