"""The small parts that profiles stand on: patterns, addresses in parts, labels, the default mapping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.formats.profiles.address_parts import split_address
from app.formats.profiles.layout import LayoutField, default_mapping
from app.formats.profiles.municipal import built_in
from app.formats.profiles.patterns import is_full_match, refused_because
from app.query.fields import Field, FieldType


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|a)*b", "((a*)b)*", "(a+){10}", "(?:a{1,9}){1,9}", r"(a)\1", "(?=a)a", "(?<!a)b",
     "(?P<x>a)(?P=x)", "(", "x{1000}{1000}", "a" * 501],
)  # fmt: skip
def test_a_pattern_that_could_run_for_ever_is_refused(pattern: str) -> None:
    assert refused_because(pattern) is not None


@pytest.mark.parametrize(
    "pattern",
    [r"\w{90}", r"[a[\w]]{90}", r"(\w\w){20}", r"((\w{9}){9}){9}", r"\w{9}{9}{9}", r"\pL{90}", r"\w" * 90,
     r"[^]\w]{90}", r"(?x)\w {9}", r"(?ix:a+) +", "a{99999999999999999999}"],
)  # fmt: skip
def test_a_pattern_that_compiles_to_megabytes_is_refused(pattern: str) -> None:
    assert refused_because(pattern) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        r"\w{1,20}",
        r"\d{3}-\d{4}",
        r"[0-9A-Za-z_]{1,64}",
        r"[ぁ-んァ-ヶー]{1,100}",
        r"\p{Hiragana}{1,50}",
        r".{0,1000}",
        r"\u{3042}",
        "[0-9]{4}",
        "^[a-z]+$",
        "(?:[0-9]{2}-)+[0-9]",
        r"[(a+)]+",
        r"\(a+\)+",
        r"\p{Han}+",
        r"A|B",
        r"\\1",
    ],
)
def test_a_plain_pattern_is_taken(pattern: str) -> None:
    assert refused_because(pattern) is None


def test_a_pattern_is_held_against_the_whole_text() -> None:
    assert is_full_match("[0-9]{4}", "1234")
    assert not is_full_match("[0-9]{4}", "12345")
    assert not is_full_match("^[0-9]{4}$", "1234\n")
    assert is_full_match("a|b", "b")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("静岡県焼津市駅北5丁目2-11", ("静岡県", "焼津市", "駅北5丁目", "2-11")),
        ("大阪府大阪市北区中之島1-3-20", ("大阪府", "大阪市北区", "中之島", "1-3-20")),
        ("千葉県市川市八幡1-1-1", ("千葉県", "市川市", "八幡", "1-1-1")),
        ("東京都千代田区霞が関二丁目1-1", ("東京都", "千代田区", "霞が関二丁目", "1-1")),
        (
            "大阪府南河内郡千早赤阪村大字水分180",
            ("大阪府", "南河内郡千早赤阪村", "大字水分", "180"),
        ),
        ("奈良県大和郡山市北郡山町248", ("奈良県", "大和郡山市", "北郡山町", "248")),
        ("奈良県高市郡明日香村大字岡55", ("奈良県", "高市郡明日香村", "大字岡", "55")),
        ("焼津市田尻", (None, "焼津市", "田尻", None)),
    ],
)
def test_an_address_is_split_where_there_is_one_reading(
    text: str, parts: tuple[str | None, ...]
) -> None:
    found = split_address(text)

    assert found is not None
    assert (found.prefecture, found.municipality, found.town, found.block) == parts


@pytest.mark.parametrize(
    "text",
    ["三重県四日市市諏訪町1-5", "石川県野々市市三納一丁目1", "愛知県蒲郡市旭町17-1", "東京都大島町元町1", "本町1-1",
     "大阪府", ""],
)  # fmt: skip
def test_an_address_of_two_readings_or_none_is_left_whole(text: str) -> None:
    assert split_address(text) is None


def test_what_the_record_says_of_its_municipality_settles_the_reading() -> None:
    found = split_address("四日市市諏訪町1-5", prefecture="三重県", municipality="四日市市")

    assert found is not None
    assert (found.prefecture, found.municipality, found.town) == ("三重県", "四日市市", "諏訪町")
    assert split_address("三重県津市栄町1", prefecture="奈良県") is None


@given(st.text(max_size=30))
def test_the_parts_of_an_address_are_the_address(text: str) -> None:
    found = split_address(text)

    if found is not None:
        parts = (found.prefecture, found.municipality, found.town, found.block)
        assert "".join(part or "" for part in parts) == text


def test_the_default_mapping_never_takes_another_columns_label() -> None:
    fields = [
        LayoutField(Field("name", "c001", "名称", FieldType.TEXT), variants=("公園名",)),
        LayoutField(Field("facility", "c002", "施設名", FieldType.TEXT)),
        LayoutField(Field("no", "c003", "NO", FieldType.CODE), variants=("番号",)),
    ]
    own = [{"to": "no", "constant": "1"}]

    steps = default_mapping(fields, own)

    assert steps[0] == own[0]
    assert [step["to"] for step in steps] == ["no", "name"]
    assert steps[1]["from"][:2] == ["名称", "公園名"]
    assert "施設名" not in steps[1]["from"]


def test_a_layout_field_comes_back_as_it_was_stored() -> None:
    for each in built_in():
        for field in each.layout.fields:
            assert LayoutField.from_json(field.as_json()) == field


def test_the_sources_own_words_are_kept() -> None:
    toilets = next(
        b for b in built_in() if (b.layout.name, b.layout.version) == ("public-toilet", 2)
    )
    by_label = {each.field.label: each for each in toilets.layout.fields}

    assert (toilets.confidence, toilets.layout.edition) == (
        "official-extract",
        "A 2026-08-01 (3.09)",
    )
    assert by_label["名称"].field.required
    assert by_label["所在地_連結表記"].level == "required"
    assert by_label["男性トイレ総数"].field.type is FieldType.INTEGER
    assert by_label["男性トイレ総数"].format == "数値（半角数字）"
    assert by_label["車椅子使用者用トイレ有無"].field.type is FieldType.BOOLEAN
