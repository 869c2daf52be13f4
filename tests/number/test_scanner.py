"""What reads as an individual number and what does not, wherever the text is cut."""

import random
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from app.formats.code_columns import CodeColumn
from app.formats.guarding import guarded
from app.formats.guidance import FileRefused
from app.formats.individual_number import Watch, holds_number, is_number, is_split, mask
from app.formats.number_in_files import check_others
from app.formats.opening import open_tables
from app.formats.stored import StoredFile
from app.formats.told import Told
from tests.formats.test_geo_readers import geopackage
from tests.number.searched import HYPHENED, PROBE, SPACED, WIDE

NUMBERS: Final = [
    PROBE,
    WIDE,
    SPACED,
    HYPHENED,
    "１２３４　５６７８　９０１８",
    "1234－5678－9018",
    "1234ー5678ー9018",
    "1234‐5678−9018",
    "1234 - 5678 - 9018",
    "123456 789018",
    "123-456-789-018",
    "12 34 56 78 90 18",
    "1 2 3 4 5 6 7 8 9 0 1 8",
    "12345678-9018",
    "1234-56789018",
    "1234\u200b56789018",
    "番号123456789018です",
    "A123456789018B",
    "No.123456789018",
    "-123456789018,5",
    "123456789018.0",
    "1.23456789018E+11",
    r"\u0031\u00323456789018",
    r"1234\uff0d5678\uFF0D9018",
    r"1234\u30005678\u20119018",
    r"1\u002e23456789018\u0045+11",
    "&#49;&#x32;3456789018",
    "2024-04-01 1234 5678 9018",
]
OTHERS: Final = [
    "1234567890123",  # a corporate number has thirteen
    "0123456789018",
    "123456789019",  # a wrong check digit
    "000000000000",
    "135.123456789018",
    "123456789018.5",
    "202401101600",  # ten past four
    "20240110-1600",
    "00000000-0000-4000-8000-123456789018",
    "{00000000-0001-0000-0000-123456789018}",
    "deadbeefdeadbeefdead123456789018",
    "0x123456789018",
    "0101000000e17a14ae" * 4 + "a123456789018b" + "0101000000e17a14ae" * 4,  # a geometry (EWKB)
    "+818012345676",
    "1234-5678-9018-1234",  # a bank card
    "271403-123456a8",  # an id of ours
    "第622080146400号",  # a dealer's permit
    "06-6208-8181",
    "53394525 2",
]


@pytest.mark.parametrize("text", NUMBERS)
def test_each_way_of_writing_a_number_is_seen_and_masked(text: str) -> None:
    assert holds_number(text.encode())
    assert not holds_number(mask(f"a {text} b").encode())
    assert holds_number(f"東京都,{text}\n".encode()) and mask("東京都") == "東京都"


@pytest.mark.parametrize("text", OTHERS)
def test_what_has_twelve_digits_and_is_another_thing_is_let_through(text: str) -> None:
    assert not holds_number(text.encode())
    assert mask(text) == text


def test_the_check_digit_is_that_of_the_ordinance() -> None:
    """By the formula as it is printed: from the lowest digit, n + 1 up to the sixth, then n - 5."""

    def check(eleven: str) -> int:
        digits = [int(digit) for digit in reversed(eleven)]
        weights = [n + 1 if n <= 6 else n - 5 for n in range(1, 12)]
        rest = sum(p * q for p, q in zip(digits, weights, strict=True)) % 11
        return 0 if rest <= 1 else 11 - rest

    chance = random.Random(11)
    for _ in range(2_000):
        eleven = f"{chance.randrange(1, 10**11):011}"
        right = [last for last in "0123456789" if is_number((eleven + last).encode())]
        assert right == [str(check(eleven))]


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_tells_the_same_lines_however_it_is_cut(seed: int) -> None:
    chance = random.Random(seed)
    pieces = ["東京", "ab", "\n", "12", "1234567890123", "x1234567 ", ",", "１３丁目"]
    text, lines = "", []
    for _ in range(30):
        text += "".join(chance.choice(pieces) for _ in range(chance.randint(0, 3_000))) + "\n"
        lines.append(text.count("\n") + 1)
        text += chance.choice([PROBE, "１２３４　５６７８　９０１８", HYPHENED]) + "\n"
    data, watch, at, found = text.encode(), Watch(), 0, []

    while at < len(data):
        size = chance.choice([97, 997, 5_000, 70_000, 200_000])
        found += watch.feed(data[at : at + size])
        at += size
    found += watch.feed(b"", last=True)

    assert found == lines


def test_a_layer_that_nobody_asked_for_is_looked_at_too(tmp_path: Path) -> None:
    path = geopackage(tmp_path, "one", "two")
    tables = partial(open_tables, StoredFile(path, tmp_path), Told())
    check_others(tables, tables()[0])

    with closing(sqlite3.connect(path)) as database:
        for (name,) in [*database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]:
            database.execute(f'DROP TRIGGER "{name}"')  # their functions are GDAL's
        database.execute("UPDATE two SET 名称 = ?", (SPACED,))
        database.commit()

    with pytest.raises(FileRefused, match="名称: 1"):
        check_others(tables, tables()[0])


def test_the_name_of_the_sheet_that_is_read_is_looked_at_and_not_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    (table,) = open_tables(StoredFile(path, tmp_path), Told())
    named = SimpleNamespace(name=f"表{SPACED}", head=table.head, format="xls")

    with pytest.raises(FileRefused, match=r"\*\*\*") as refusal:
        guarded(StoredFile(path, tmp_path), Told(), lambda: cast(Any, SimpleNamespace(table=named)))

    assert not holds_number(refusal.value.words("ja").encode())


def test_two_cells_are_one_number_where_one_shows_the_gap_of_the_card() -> None:
    assert is_split("1234 5678", "9018") and is_split("１２３４", "５６７８　９０１８")
    assert not is_split("12345678", "9018")  # two quantities
    assert not is_split("1234 5678", "9019")
    assert not is_split("6208-8181", "")


def test_a_value_is_a_code_only_in_company() -> None:
    towns, alone = CodeColumn(), CodeColumn()
    for at in range(100):
        towns.count(f"302010{at:03}000")
    towns.count(PROBE)
    alone.count(PROBE)

    like = [f"302010{at:03}000" for at in range(100)]
    assert sum(map(is_number, (each.encode() for each in like))) > 0
    assert all(towns.excuses(each) for each in like)
    assert not towns.excuses(PROBE) and not alone.excuses(PROBE)


def test_a_column_of_numbers_is_no_column_of_codes() -> None:
    column, chance = CodeColumn(), random.Random(1)
    numbers = [each for each in (f"12345{chance.randrange(10**7):07}" for _ in range(5_000))]
    numbers = [each for each in numbers if is_number(each.encode())]
    for each in numbers:
        column.count(each)

    assert len(numbers) > 300
    assert not any(map(column.excuses, numbers))
