"""Local government codes: what is mended, what is refused, what is never guessed."""

import csv
from pathlib import Path
from typing import Any

import pytest

from app.query.codes import AmbiguousCode, CodeError, WrongCheckDigit, local_government_code

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("271004", "271004"),
        ("27100", "271004"),  # check digit gone
        ("271004.0", "271004"),  # from Excel
        ("２７１００４", "271004"),
        (" 271004 ", "271004"),
        ("92011", "092011"),  # leading zero gone: 92 is no prefecture
        ("092011", "092011"),
        ("09201", "092011"),
        ("1100", "011002"),  # both gone
        ("11002", "011002"),  # 埼玉 has no municipality 002
        ("27383", "273830"),  # 青森 has none with 738
        ("011002", "011002"),
    ],
)
def test_a_code_is_mended_where_only_one_reading_is_possible(text: Any, code: Any) -> None:
    assert local_government_code(text) == code


@pytest.mark.parametrize("text", ["271005", "271003", "092012"])
def test_a_wrong_check_digit_is_named(text: Any) -> None:
    with pytest.raises(WrongCheckDigit):
        local_government_code(text)


def test_five_digits_that_can_be_two_codes_are_not_guessed() -> None:
    # 12106 is 121061 (a ward's number in 千葉市) without check digit, or 012106 (岩見沢市) without zero.
    with pytest.raises(AmbiguousCode):
        local_government_code("12106")


@pytest.mark.parametrize(
    "text", ["", "27", "2710040", "480001", "000000", "abc", "2.7E+5", "99999"]
)
def test_what_is_no_code_is_refused(text: Any) -> None:
    with pytest.raises(CodeError):
        local_government_code(text)


@pytest.mark.skipif(not REFERENCE.exists(), reason="left out: ../shared/reference is absent")
@pytest.mark.parametrize(
    ("file", "column"),
    [("local_governments.csv", "local_government_code"), ("wards.csv", "ward_code")],
)
def test_every_code_of_the_reference_tables_verifies_and_is_found_again_from_five_digits(
    file: Any, column: Any
) -> None:
    with (REFERENCE / file).open(encoding="utf-8-sig", newline="") as stream:
        codes = [row[column] for row in csv.DictReader(stream)]

    assert codes
    assert [local_government_code(code) for code in codes] == codes
    assert [local_government_code(code[:5]) for code in codes] == codes
