"""From cell to canonical text, type by type."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.formats.dates import DateOrder
from app.formats.guidance import GUIDANCE, REJECTED
from app.formats.text import CellError, value_class
from app.formats.values import normaliser
from app.query.fields import Field, FieldType


def read(kind: str, text: str, *, unit: str | None = None, order: str = "unknown") -> str:
    field = Field("f", "c001", "f", FieldType(kind), unit=unit)
    try:
        return normaliser(field, DateOrder(order))(text)
    except CellError as exc:
        assert exc.code in REJECTED
        return f"! {exc.code}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2022-04-01", "2022-04-01"),
        ("2024/4/1", "2024-04-01"),
        ("2024.4.1", "2024-04-01"),
        ("20240401", "2024-04-01"),
        ("2024年4月1日", "2024-04-01"),
        ("２０２４／０４／０１", "2024-04-01"),
        ("令和6年4月1日", "2024-04-01"),
        ("令和6年1月１日", "2024-01-01"),
        ("令和元年5月1日", "2019-05-01"),
        ("令和４年４月１日（金）", "2022-04-01"),
        ("R6.4.1", "2024-04-01"),
        ("H29/7/1", "2017-07-01"),
        ("平29. 7. 1", "2017-07-01"),
        ("昭32. 7. 1", "1957-07-01"),
        ("2024/4/1 0:00", "2024-04-01"),
        ("44698", "2022-05-17"),  # Excel serial
        ("45107", "2023-06-30"),
        ("R4.13.1", "! invalid_date"),
        ("2022-02-30", "! invalid_date"),
        ("平成40年1月1日", "! invalid_date"),
        ("R5.2月分", "! invalid_date"),
        ("日没", "! invalid_date"),
        ("月火水", "! invalid_date"),
        ("2024/4/1 13:30", "! invalid_date"),
        ("6/1/2023", "! ambiguous_date"),
    ],
)
def test_dates(text: Any, value: Any) -> None:
    assert read("date", text) == value


def test_month_first_and_day_first_are_read_only_when_the_column_proves_them() -> None:
    assert read("date", "6/1/2023", order="month_first") == "2023-06-01"
    assert read("date", "6/1/2023", order="day_first") == "2023-01-06"
    assert read("date", "13/1/2023", order="month_first") == "! invalid_date"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9:00", "09:00"),
        ("5:18", "05:18"),
        ("09:00:05", "09:00:05"),
        ("24:00", "24:00"),
        ("25:30", "25:30"),
        ("２４：００", "24:00"),
        ("9時30分", "09:30"),
        ("9時", "09:00"),
        ("0.375", "09:00"),
        ("24", "! invalid_time"),
        ("日没", "! invalid_time"),
        ("9:60", "! invalid_time"),
        ("11:00?13:30", "! invalid_time"),
    ],
)
def test_times(text: Any, value: Any) -> None:
    assert read("time", text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2022-04-01T09:30:00+09:00", "2022-04-01T09:30:00+09:00"),
        ("2022/4/1 9:30", "2022-04-01T09:30:00+09:00"),
        ("2022-04-01T00:30:00Z", "2022-04-01T00:30:00+00:00"),
        ("2022-04-01 00:30:00.5+00", "2022-04-01T00:30:00.500000+00:00"),
        ("2022-04-01 00:30:00-05", "2022-04-01T00:30:00-05:00"),
        ("R4.4.1 10:00", "2022-04-01T10:00:00+09:00"),
        ("2022-04-01", "2022-04-01T00:00:00+09:00"),
        ("2022-04-01 25:00", "! invalid_datetime"),
        ("きのう", "! invalid_datetime"),
    ],
)
def test_date_times_have_an_offset_and_it_is_japans_where_none_is_given(
    text: Any, value: Any
) -> None:
    assert read("datetime", text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", "12"),
        ("１２", "12"),
        ("1,200", "1200"),
        ("4,315", "4315"),
        ("▲5", "-5"),
        ("△5", "-5"),
        ("-5", "-5"),
        ("－５", "-5"),
        ("12.0", "12"),
        ("007", "7"),
        ("12.5", "! invalid_integer"),
        ("1,20", "! invalid_integer"),
        ("20240401 20240402", "! invalid_integer"),
        ("810人（2平方メートルあたり1人）", "! invalid_integer"),
        ("1.2E+5", "! excel_exponent"),
        ("9" * 30, "! integer_out_of_range"),
    ],
)
def test_integers(text: Any, value: Any) -> None:
    assert read("integer", text) == value


def test_a_word_that_counts_is_cut_and_a_measure_only_when_the_field_has_it() -> None:
    assert read("integer", "1,200人") == "1200"
    assert read("integer", "５ 箇所") == "5"
    assert read("integer", "12千円", unit="千円") == "12"
    assert read("integer", "12千円") == "! invalid_integer"
    assert read("integer", "810人（2平方メートルあたり1人）") == "! invalid_integer"
    assert read("decimal", "32.5 ㎡", unit="㎡") == "32.5"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.6", "0.6"),
        (".5", "0.5"),
        ("5.", "5"),
        ("０．５", "0.5"),
        ("1,234.50", "1234.50"),
        ("▲0.5", "-0.5"),
        ("少々", "! invalid_decimal"),
    ],
)
def test_decimals_keep_their_digits(text: Any, value: Any) -> None:
    assert read("decimal", text) == value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("phone", "０６－００００－０００１", "06-0000-0001"),
        ("phone", "(054)626-1139", "054-626-1139"),
        ("phone", "06(6613)0160", "06-6613-0160"),
        ("phone", "6613-0160", "6613-0160"),
        ("phone", "054-626-1139（代）", "054-626-1139（代）"),  # kept: a row is worth more
        ("postal_code", "5300001", "530-0001"),
        ("postal_code", "〒530－0001", "530-0001"),
        ("postal_code", "534", "! invalid_postal_code"),
        ("kana", "ｷﾀｳﾒﾀﾞﾅｲｶ", "キタウメダナイカ"),
        ("kana", "髙①ﾊﾟ", "髙①パ"),
        ("kana", "ｱﾞｰ｡", "ア゛ー。"),
        ("text", "髙橋①～ｱ", "髙橋①～ｱ"),
        ("code", "Ａ０１", "A01"),
        ("code", "0012", "0012"),
        ("code", "1.23E+12", "! excel_exponent"),
        ("code", "1E5", "1E5"),
        ("local_government_code", "27100", "271004"),
        ("local_government_code", "271005", "! wrong_check_digit"),
        ("local_government_code", "2.7E+05", "! excel_exponent"),
        ("url", "ＨＰなし", "! invalid_url"),
        ("url", "https://www.city.osaka.lg.jp/", "https://www.city.osaka.lg.jp/"),
        ("email", "a@b", "! invalid_email"),
        ("boolean", "○", "t"),
        ("boolean", "有", "t"),
        ("boolean", "無", "f"),
        ("boolean", "TRUE", "t"),
        ("boolean", "０", "f"),
        ("boolean", "たぶん", "! invalid_boolean"),
    ],
)
def test_words_of_each_type(kind: Any, text: Any, value: Any) -> None:
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("34.7052", "34.7052"),
        ("３４．７", "34.7"),
        ("34度41分", "34.68333333"),
        ("34°41'12\"", "34.68666667"),
        ("北緯34度41分12秒", "34.68666667"),
        ("347052", "! coordinate_out_of_area"),  # decimal point lost
        ("135.46", "! coordinate_out_of_area"),
        ("0", "! coordinate_out_of_area"),
        ("大阪", "! invalid_coordinate"),
    ],
)
def test_latitudes(text: Any, value: Any) -> None:
    assert read("latitude", text) == value


def test_a_single_swapped_coordinate_is_refused_with_a_hint() -> None:
    with pytest.raises(CellError) as refused:
        normaliser(Field("f", "c", "f", FieldType.LATITUDE))("135.46")

    assert refused.value.hint == "looks_swapped"


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        ("北区12-3", "漢漢99-9"),
        ("R4.13.1", "A9.99.9"),
        ("ｷﾀ/きた", "アア/ああ"),
        ("123456789012", "9+"),
        ("山田太郎 様", "漢+ 漢"),
        ("", ""),
        ("é", "?"),
    ],
)
def test_the_shape_of_a_value_tells_nothing_of_the_value(raw: Any, shape: Any) -> None:
    assert value_class(raw) == shape


@given(st.text())
def test_a_shape_holds_no_letter_or_digit_of_the_value(raw: Any) -> None:
    assert set(filter(str.isalnum, value_class(raw))) <= set("9Aあア漢")


@given(st.sampled_from(list(FieldType)), st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_known_code_and_reading_twice_changes_nothing(
    kind: Any, text: Any
) -> None:
    once = read(kind.value, text.strip())

    if not once.startswith("! "):
        assert read(kind.value, once) == (
            {"t": "t", "f": "f"}[once] if kind is FieldType.BOOLEAN else once
        )


def test_every_code_speaks_both_languages() -> None:
    assert all(ja and en and ja != en for ja, en in GUIDANCE.values())
