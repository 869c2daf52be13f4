"""Every change that the normalisers make to a cell has its rule, and every rule its words."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.formats.dates import DateOrder
from app.formats.quality.repairs import AS_MEANT, RULES, rule_of
from app.formats.text import CellError
from app.formats.values import normaliser
from app.query.fields import Field, FieldType

CODES = (("01", "避難所"), ("02", "給水所"))
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def field(kind: str, *, unit: str | None = None, codes: bool = False) -> Field:
    return Field("f", "c001", "f", FieldType(kind), unit=unit, code_list=CODES if codes else None)


@pytest.mark.parametrize(
    ("kind", "before", "rule"),
    [
        ("integer", "１２０", "full_width_digits"),
        ("integer", "1,200", "thousands_separator"),
        ("integer", "１，２００人", "unit_removed"),
        ("integer", "▲5", "minus_sign"),
        ("integer", "−5", "minus_sign"),
        ("integer", "-0", "minus_sign"),
        ("integer", "+5", "plus_sign_removed"),
        ("integer", "12.0", "decimal_point_removed"),
        ("integer", "007", "leading_zeros_removed"),
        ("decimal", ".5", "decimal_point_completed"),
        ("decimal", "5.", "decimal_point_removed"),
        ("decimal", "0０.5", "leading_zeros_removed"),
        ("date", "令和4年4月1日", "era_date"),
        ("date", "㍻29.7.1", "era_date"),
        ("date", "R4.4.1", "era_date"),
        ("date", "44698", "excel_serial_date"),
        ("date", "2022年4月1日（金）", "weekday_removed"),
        ("date", "2022/4/1 0:00", "midnight_removed"),
        ("date", "2022/4/1", "date_notation"),
        ("date", "20220401", "date_notation"),
        ("date", "２０２２-０４-０１", "full_width_digits"),
        ("datetime", "2022-04-01T09:30", "japan_time_assumed"),
        ("datetime", "2022-04-01", "japan_time_assumed"),
        ("datetime", "2022-04-01T00:30:00Z", "datetime_notation"),
        ("datetime", "R4.4.1 10:00", "era_date"),
        ("month", "R5.2月分", "era_date"),
        ("month", "2024年4月", "date_notation"),
        ("month", "２０２４-０４", "full_width_digits"),
        ("fiscal_year", "令和5年度", "era_date"),
        ("fiscal_year", "2023年度", "date_notation"),
        ("decimal", "1,200名", "unit_removed"),
        ("time", "0.375", "excel_time_fraction"),
        ("time", "9時30分", "time_notation"),
        ("time", "０９：３０", "full_width_digits"),
        ("local_government_code", "27100", "check_digit_completed"),
        ("local_government_code", "011002.0", "decimal_point_removed"),
        ("local_government_code", "11002", "leading_zero_restored"),
        ("local_government_code", "1100", "zero_and_check_digit_restored"),
        ("local_government_code", "２７１００４", "full_width_digits"),
        ("phone", "06(6613)0160", "phone_brackets"),
        ("phone", "TEL:06-6613-0160", "phone_word_removed"),
        ("phone", "06‐6613‐0160", "dash_unified"),
        ("phone", "06-6613 -0160", "blanks_removed"),
        ("postal_code", "〒530－0001", "postal_mark_removed"),
        ("postal_code", "5300001", "postal_hyphen"),
        ("postal_code", "５３０-０００１", "full_width_digits"),
        ("kana", "ｷﾀｸ", "kana_width"),
        ("url", "ｈttp://example.jp/", "url_width"),
        ("email", "ａ@example.jp", "full_width_digits"),
        ("boolean", "有", "boolean_word"),
        ("latitude", "34度41分", "degrees_minutes_seconds"),
        ("latitude", "北緯34.7", "hemisphere_removed"),
        ("latitude", "34.7N", "hemisphere_removed"),
        ("latitude", "３４．７", "full_width_digits"),
        ("latitude", "34.", "decimal_point_removed"),
        ("code", "Ａ０１", "full_width_digits"),
        ("code", "A　1", "full_width_digits"),
    ],
)
def test_a_repair_is_called_by_the_weightiest_of_its_rules(
    kind: str, before: str, rule: str
) -> None:
    where = field(kind, unit="人" if kind == "integer" else None)

    after = normaliser(where)(before)

    assert after != before
    assert rule_of(where, before, after) == rule


def test_the_order_of_month_and_day_is_part_of_the_rule() -> None:
    where = field("date")

    rules = {
        order: rule_of(where, "6/1/2023", normaliser(where, order)("6/1/2023"))
        for order in (DateOrder.MONTH_FIRST, DateOrder.DAY_FIRST)
    }

    assert rules == {
        DateOrder.MONTH_FIRST: "month_first_date",
        DateOrder.DAY_FIRST: "day_first_date",
    }


@pytest.mark.parametrize("before", ["135.5", None, "大阪", "34.9"])
def test_a_coordinate_that_its_own_cell_does_not_give_came_from_its_partners_column(
    before: str | None,
) -> None:
    assert rule_of(field("latitude"), before, "34.7") == "coordinates_swapped"


def test_a_label_of_a_code_list_is_told_from_a_misspelt_code() -> None:
    where = field("code", codes=True)

    assert rule_of(where, "避難所", "01") == "label_to_code"
    assert rule_of(where, "０１", "01") == "full_width_digits"


def test_every_rule_speaks_both_languages() -> None:
    assert all(rule.ja and rule.en and rule.ja != rule.en for rule in RULES.values())
    assert set(RULES) >= AS_MEANT
    assert not RULES["mapping_applied"].can_be_refused


# --- every change that values.py makes has a rule -------------------------------------------------

number = st.integers(-10_000, 10_000_000).flatmap(
    lambda n: st.sampled_from(
        [
            str(n),
            f"{n:,}",
            f"{n}人",
            f"▲{abs(n)}",
            f"00{abs(n)}",
            f"{n}.0",
            f"+{abs(n)}",
            f"{n}．５",
        ]
    )
)
day = st.dates().flatmap(
    lambda d: st.sampled_from(
        [
            f"{d.year}/{d.month}/{d.day}",
            f"{d.year}年{d.month}月{d.day}日（月）",
            f"{d:%Y%m%d}",
            f"R{d.year % 30 + 1}.{d.month}.{d.day}",
            f"昭和{d.year % 60 + 1}年{d.month}月{d.day}日",
            f"{d.month}/{d.day}/{d.year}",
            f"{d.isoformat()} 0:00",
            str(40_000 + d.toordinal() % 9_000),
        ]
    )
)
moment = st.tuples(
    day, st.sampled_from(["", " 9:30", "T09:30:00", " 9時", " 9:30+09:00", "Z"])
).map("".join)
time = st.times().flatmap(
    lambda t: st.sampled_from([f"{t.hour}:{t.minute}", f"{t.hour}時{t.minute}分", "0.25", f"{t}"])
)
degree = st.floats(20, 154).flatmap(
    lambda d: st.sampled_from(
        [f"{d:.6f}", f"{d:.0f}.", f"{d:.4f}N", f"北緯{d:.0f}度12分", f"{d:.0f}°5'6\""]
    )
)
digits = st.text("0123456789０１２３-－‐ー ()（）〒TEL電話.", min_size=3, max_size=14)
TEXTS = {
    FieldType.INTEGER: number,
    FieldType.DECIMAL: number,
    FieldType.DATE: day,
    FieldType.DATETIME: moment,
    FieldType.TIME: time,
    FieldType.MONTH: st.dates().map(lambda d: f"{d.year}年{d.month}月"),
    FieldType.FISCAL_YEAR: st.dates().map(lambda d: f"{d.year}年度"),
    FieldType.LATITUDE: degree,
    FieldType.LONGITUDE: degree,
    FieldType.PHONE: digits,
    FieldType.POSTAL_CODE: st.text("0123456789〒-－ ", min_size=7, max_size=9),
    FieldType.LOCAL_GOVERNMENT_CODE: st.from_regex(r"[0-9]{4,6}(\.0)?", fullmatch=True),
    FieldType.BOOLEAN: st.sampled_from(["1", "有", "×", "ＴＲＵＥ", "no"]),
    FieldType.URL: st.just("https://example.jp/a"),
    FieldType.EMAIL: st.just("a@example.jp"),
    FieldType.KANA: st.text("ｱｶﾞﾊﾟ アか", min_size=1),
}


@given(st.data(), st.sampled_from(list(FieldType)), st.sampled_from(list(DateOrder)), st.booleans())
def test_every_change_of_a_cell_has_a_rule_of_its_own(
    data: st.DataObject, kind: FieldType, order: DateOrder, is_wide: bool
) -> None:
    where = field(kind.value, unit="人" if kind is FieldType.INTEGER else None)
    before = data.draw(TEXTS.get(kind, st.text(max_size=12))).strip()
    before = before.translate(FULL_WIDTH) if is_wide else before
    try:
        after = normaliser(where, order)(before)
    except CellError:
        assume(False)
    assume(after != before)

    rule = rule_of(where, before, after)

    assert rule in RULES
    assert rule not in ("notation_unified", "coordinates_swapped"), (before, after)


@given(st.sampled_from(list(FieldType)), st.text(max_size=20))
def test_any_text_that_is_changed_has_some_rule(kind: FieldType, text: str) -> None:
    before = text.strip()
    try:
        after = normaliser(field(kind.value))(before)
    except CellError:
        return

    assert after == before or rule_of(field(kind.value), before, after) in RULES
