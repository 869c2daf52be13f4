"""A publisher's mapping as data: what it can say and what is refused."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from app.formats.addresses import normal_address
from app.formats.guidance import FileRefused
from app.formats.mapping import check_mapping
from app.query.fields import Field, FieldType
from tests.formats.reading import Taken, fields, take


@pytest.mark.parametrize(
    ("label", "heading"),
    [
        ("都道府県コード", "都道府県コ―ド"),  # U+2015
        ("名称（カナ）", "名称(ｶﾅ)"),
        ("所在地_連結表記", "所在地＿連結標記"),
        ("ＩＤ", "id"),
        ("名　称", "名称"),
        ("FAX番号", "ＦＡＸ番号"),
    ],
)
def test_headings_match_across_width_case_blanks_and_look_alike_dashes(
    label: Any, heading: Any
) -> None:
    declared = [Field("wanted", "c001", label, FieldType.TEXT, required=True)]

    assert take(f"x,{heading}\n1,甲\n", declared).values("wanted") == ["甲"]


def test_a_field_matches_by_its_label_then_its_name_then_the_standards_other_label() -> None:
    declared = [
        Field("address", "c001", "所在地_連結表記", FieldType.TEXT),
        Field("kind", "c002", "種類", FieldType.TEXT),
    ]

    taken = take("住所,kind,余り\n北区,公立,x\n", declared)

    assert (taken.rows[0]["address"], taken.rows[0]["kind"]) == ("北区", "公立")
    assert taken.notices == ["unknown_column"]


def test_a_required_field_without_a_column_refuses_the_file_and_names_the_headings() -> None:
    declared = [Field("id", "c001", "識別子", FieldType.CODE, required=True)]

    with pytest.raises(FileRefused) as refused:
        take("番号,名称\n1,甲\n", declared)

    assert refused.value.code == "column_missing"
    assert "識別子" in refused.value.words("ja")
    assert "番号、名称" in refused.value.words("ja")


def test_a_field_without_a_column_is_empty_and_reported() -> None:
    taken = take("a\n1\n", fields(a="code", b="text"))

    assert taken.values("b") == [""]
    assert taken.notices == ["field_without_column"]


def test_steps_pick_translate_set_and_normalise() -> None:
    mapping: list[dict[str, Any]] = [
        {"to": "age", "from": ["年齢", "対象年齢"], "pattern": r"^(\d+)歳"},
        {"to": "kind", "from": ["種別"], "codes": {"公立": "1", "私立": "2"}, "default": None},
        {"to": "city", "constant": "271004"},
        {"to": "plain", "from": ["住所"], "normalize": "address"},
    ]
    declared = fields(age="integer", kind="code", city="code", plain="text", 住所="text")

    taken = take("対象年齢,種別,住所\n１２歳～,公立,１丁目２－３\n全員,国立,2\n", declared, mapping)

    assert [taken.values(name) for name in ("age", "kind", "city", "plain", "住所")] == [
        ["12", ""],
        ["1", ""],
        ["271004", "271004"],
        ["1丁目2-3", "2"],
        ["１丁目２－３", "2"],
    ]


def test_a_value_that_the_codes_do_not_list_is_refused_without_a_default() -> None:
    mapping = [{"to": "kind", "from": ["種別"], "codes": {"公立": "1"}}]

    taken = take("種別,x\n公立,a\n国立,b\n", fields(kind="code", x="text"), mapping)

    assert taken.codes == [(3, "kind", "not_in_code_list")]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"to": "nobody", "constant": "1"}, "mapping_unknown_target"),
        ({"to": "a", "constant": "1", "if": "x"}, "mapping_unknown_key"),
        ({"to": "a"}, "mapping_bad_step"),
        ({"to": "a", "from": "A"}, "mapping_bad_step"),
        ({"to": "a", "from": [], "pattern": "x"}, "mapping_bad_step"),
        ({"to": "a", "from": ["A"], "constant": "1"}, "mapping_bad_step"),
        ({"to": "a", "from": ["A"], "codes": {"x": 1}}, "mapping_bad_step"),
        ({"to": "a", "from": ["A"], "normalize": "magic"}, "mapping_bad_step"),
        ({"to": "a", "from": ["A"], "pattern": "("}, "mapping_bad_regex"),
        ({"to": "a", "from": ["A"], "pattern": r"(a)(b)"}, "mapping_bad_regex"),
        ({"to": "a", "from": ["A"], "pattern": r"(?=a)b"}, "mapping_bad_regex"),
        ({"to": "a", "from": ["A"], "pattern": r"(a)\1"}, "mapping_bad_regex"),
        ({"to": "a", "from": ["A"], "pattern": "x" * 501}, "mapping_bad_step"),
    ],
)
def test_a_wrong_step_is_refused_with_its_number(step: Any, code: Any) -> None:
    _, faults = check_mapping(fields(a="text"), [step])

    assert [fault.code for fault in faults] == [code]
    assert faults[0].details["step"] == 1


def test_a_field_is_mapped_once() -> None:
    steps = [{"to": "a", "constant": "1"}, {"to": "a", "constant": "2"}]

    _, faults = check_mapping(fields(a="text"), steps)

    assert [fault.code for fault in faults] == ["mapping_target_twice"]


def test_a_pattern_that_backtracks_catastrophically_elsewhere_runs_in_linear_time() -> None:
    mapping = [{"to": "a", "from": ["A"], "pattern": r"^((?:a+)+)$"}]

    taken = take(f"A,B\n{'a' * 5000}!,1\n", fields(a="text"), mapping)

    assert taken.values("a") == [""]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("大阪市北区架空１丁目２－３", "大阪市北区架空1丁目2-3"),
        ("本町5‐9−1", "本町5-9-1"),
        ("センタービル２Ｆ", "センタービル2Ｆ"),
        ("髙槻市１ー２", "髙槻市1-2"),
    ],
)
def test_an_address_is_normalised_in_its_figures_only(text: Any, plain: Any) -> None:
    assert normal_address(text) == plain


def made_by(expression: str, text: str, kind: str = "text", **step: Any) -> Taken:
    declared = [replace(fields(a=kind)[0], unit="円" if "unit" in step else None)]
    return take(text, declared, [{"to": "a", "expression": expression, **step}])


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("name.ja", "text", "架空会館"),
        ("name.en || name.ja", "text", "架空会館"),
        ("join('・', tags[].label)", "text", "風呂・庭"),
        ("tags[?size > `1`].label | [0]", "text", "庭"),
        ("length(tags)", "integer", "2"),
        ("no", "code", "0012"),
        ("to_number(price)", "decimal", "12.5"),
        ("!tags", "boolean", "f"),
        ("tags[0]", "text", '{"label":"風呂","size":1}'),
        ("merge(name, `{}`).ja", "text", "架空会館"),
        ("opened", "date", "2022-04-01"),
        ("nothing.at.all", "text", ""),
    ],
)
def test_an_expression_makes_a_value_of_a_nested_row(
    expression: str, kind: str, value: str
) -> None:
    row = (
        '{"no":"0012","name":{"ja":"架空会館"},"price":12.50,"opened":"令和4年4月1日",'
        '"tags":[{"label":"風呂","size":1},{"label":"庭","size":2}]}\n'
    )

    assert made_by(expression, row + row, kind).values("a") == [value, value]


@pytest.mark.parametrize("text", ["x,x.y\n2,1\n", "x.y,x\n1,2\n"])
def test_a_heading_with_a_dot_beside_its_beginning_is_itself_in_any_order(text: str) -> None:
    assert made_by("join('-', [x, \"x.y\"])", text).values("a") == ["2-1"]


def test_a_row_that_an_expression_fails_on_is_refused_and_the_others_are_taken() -> None:
    deep = "[" * 900 + "]" * 900
    rows = f'{{"parts":["1","2"]}}\n{{"parts":[1]}}\n{{"parts":"x"}}\n{{"parts":{deep}}}\n'

    taken = made_by("parts == parts && join('-', parts)", rows)

    assert taken.values("a") == ["1-2"]
    assert [(line, code) for line, _, code in taken.codes][:2] == [
        (2, "expression_failed"), (3, "expression_failed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "expression",
    [
        "[@,@][]|" * 20 + "@",
        "[@,@]|" * 25 + "to_string(@)",
        "join('',[a,a])|" + "join('',[@,@])|" * 25 + "@",
        "big|" + "map(&[@,@],@)[]|" * 10 + "@",
        "big[?contains(@, `1`) || @ == @]",
        "[big,big]|" + "[@,@]|" * 15 + "@ == @",
    ],
)
def test_a_hostile_expression_is_stopped_at_each_row_and_holds_nobody_up(expression: str) -> None:
    row = json.dumps({"a": "x" * 100, "big": [list(range(60))] * 60}) + "\n"
    began = time.perf_counter()

    taken = made_by(expression, row * 10)

    assert {code for _, _, code in taken.codes} == {"expression_too_costly"}
    assert len(taken.codes) == 10
    assert time.perf_counter() - began < 2


def test_columns_that_an_expression_names_are_taken_and_others_are_kept_beside() -> None:
    taken = made_by("x.y", '{"x":{"y":"1","z":"2"},"w":"3"}\n')

    assert taken.rows[0]["_extras"] == '{"w":"3"}'


@pytest.mark.parametrize(
    ("unit", "text", "value"),
    [
        ("千円", "1,200", "1200000"), ("千円", "1.5千円", "1500"), ("百万円", "▲0.25", "-250000"),
        ("円", "7", "7"), ("億円", "１２３４５６７８９．１２３４５６７８", "12345678912345678"),
    ],
)  # fmt: skip
def test_an_amount_in_another_unit_becomes_one_in_the_fields_own(
    unit: str, text: str, value: str
) -> None:
    taken = made_by("v", f'{{"v":"{text}"}}\n', "integer", unit=unit)

    assert taken.values("a") == [value]
    assert made_by("v", '{"v":"3本"}\n{"v":"約3"}\n', "integer", unit=unit).codes[-1][2] == (
        "invalid_decimal"
    )


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"expression": "a.", }, "mapping_bad_expression"),
        ({"expression": "shell('rm')"}, "mapping_bad_expression"),
        ({"expression": "(" * 600 + "a" + ")" * 600}, "mapping_bad_step"),
        ({"expression": "!" * 900 + "a"}, "mapping_bad_expression"),
        ({"expression": "a" + ".a" * 400}, "mapping_bad_expression"),
        ({"expression": "a", "from": ["a"]}, "mapping_bad_step"),
        ({"expression": "a", "unit": "円"}, "mapping_without_unit"),
    ],
)  # fmt: skip
def test_an_expression_that_is_none_or_too_large_is_refused_before_a_row_is_read(
    step: Any, code: str
) -> None:
    _, faults = check_mapping(fields(a="text"), [{"to": "a", **step}])

    assert [fault.code for fault in faults] == [code]


def test_a_unit_that_says_nothing_of_the_fields_own_is_refused() -> None:
    declared = [replace(fields(a="decimal")[0], unit="ha")]

    for unit, wrong in (("㎡", []), ("坪", []), ("円", ["mapping_other_unit"])):
        _, faults = check_mapping(declared, [{"to": "a", "from": ["面積"], "unit": unit}])
        assert [fault.code for fault in faults] == wrong
