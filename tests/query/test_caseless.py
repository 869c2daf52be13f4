"""What CASEI and ACCENTI leave out of account, and what LIKE finds, letter by letter."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.query.caseless import folded, folded_pattern
from app.query.like import is_like
from app.query.question import Folding


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ＡＢＣ１２３", "abc123"), ("ｶﾅ", "カナ"), ("ｶﾞｯｺｳ", "ガッコウ"), ("か\u3099", "が"), ("STRASSE", "straße"),
        ("ẞ", "SS"), ("ΟΔΟΣ", "οδος"), ("Ω", "ω"), ("ÉCOLE", "e\u0301cole"), ("ᾼ", "αι"), ("（株）", "㈱"),
        ("ǅ", "ǆ"), ("ПОЕЗД", "поезд"), ("！", "!"), ("İ", "i\u0307"),
    ],
)  # fmt: skip
def test_case_and_width_do_not_count(one: str, other: str) -> None:
    assert folded(Folding.CASEI, one) == folded(Folding.CASEI, other)


@pytest.mark.parametrize(
    ("one", "other"), [("ハ", "バ"), ("はな", "ハナ"), ("髙", "高"), ("ﾊ", "ﾊﾞ"), ("é", "e")]
)
def test_another_letter_is_another_letter(one: str, other: str) -> None:
    assert folded(Folding.CASEI, one) != folded(Folding.CASEI, other)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("København", "Kobenhavn", True), ("débárquér", "debarquer", True), ("Łódź", "Lodz", True),
        ("e\u0301", "é", True), ("é", "E", False), ("が", "か", False), ("カ\u3099", "カ", False), ("Ａ", "A", False),
    ],
)  # fmt: skip
def test_accents_do_not_count_and_a_dakuten_is_none(one: str, other: str, alike: bool) -> None:
    assert (folded(Folding.ACCENTI, one) == folded(Folding.ACCENTI, other)) is alike


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("Ａ%Ｂ_", "a%b_"), ("１００％", r"100\%"), (r"Ａ\%＿", r"a\%\_"), (r"\Ａ\\", r"a\\"), ("", ""), ("ｶ%ﾞ", "カ%\u3099"),
    ],
)  # fmt: skip
def test_a_folded_pattern_keeps_its_wildcards_and_gets_no_new_ones(
    pattern: str, expected: str
) -> None:
    assert folded_pattern(Folding.CASEI, pattern) == expected


@settings(max_examples=300, derandomize=True, database=None)
@given(st.text("ab%_\\", max_size=8), st.text("ab%_", max_size=8))
def test_like_is_what_a_regular_expression_says(text: str, pattern: str) -> None:
    made = "".join({"%": ".*", "_": "."}.get(each, re.escape(each)) for each in pattern)

    assert is_like(text, pattern) is (re.fullmatch(made, text, re.DOTALL) is not None)
    assert is_like(text, re.sub(r"([\\%_])", r"\\\1", text))


def test_a_pattern_of_many_wildcards_takes_no_longer_than_its_length() -> None:
    assert not is_like("a" * 20_000, "%a" * 99 + "%b")
    assert is_like("a" * 20_000 + "b", "%a" * 99 + "%b")
