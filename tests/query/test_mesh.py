"""Grid squares of JIS X 0410: known codes, and squares that hold their points."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.query.codes import designated_city, prefecture_code
from app.query.mesh import DIGITS, mesh_code


@pytest.mark.parametrize(
    ("latitude", "longitude", "code"),
    [
        (35.681236, 139.767125, "53394611"),  # 東京駅
        (34.702485, 135.495951, "52350349"),  # 大阪駅
        (43.068661, 141.350755, "64414288"),  # 札幌駅
        (26.2125, 127.6875, "39272555"),  # a corner in Naha belongs to the square north-east of it
    ],
)
def test_known_squares(latitude: float, longitude: float, code: str) -> None:
    assert mesh_code(latitude, longitude, 3) == code
    assert mesh_code(latitude, longitude, 1) == code[:4]
    assert mesh_code(latitude, longitude, 2) == code[:6]


def corner(code: str) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """South-west corner and sides of a square, spelled out as the standard has it."""
    south, west = Fraction(int(code[:2]), 1) * 2 / 3, Fraction(int(code[2:4]) + 100)
    high, wide = Fraction(2, 3), Fraction(1)
    for at, parts in ((4, 8), (6, 10)):
        if len(code) > at:
            high, wide = high / parts, wide / parts
            south, west = south + int(code[at]) * high, west + int(code[at + 1]) * wide
    for digit in map(int, code[8:]):
        high, wide = high / 2, wide / 2
        south, west = south + (digit > 2) * high, west + (digit % 2 == 0) * wide
    return south, west, high, wide


@given(st.floats(0, 66.6), st.floats(100, 179.99), st.integers(1, 6))
def test_a_square_holds_its_point(latitude: float, longitude: float, level: int) -> None:
    code = mesh_code(latitude, longitude, level)

    assert code is not None
    assert len(code) == DIGITS[level - 1]
    south, west, high, wide = corner(code)
    hair = Fraction(1, 10**11)
    assert south - hair <= Fraction(latitude) < south + high
    assert west - hair <= Fraction(longitude) < west + wide


def test_every_corner_written_in_decimals_belongs_to_its_own_square() -> None:
    for row, column in itertools.product(range(19_200, 44_000, 7), (22_720, 22_721, 25_007)):
        if row % 3 == 0:  # such corners have an end in decimals
            latitude, longitude = float(Fraction(row, 960)), float(Fraction(column, 640) + 100)
            code = mesh_code(latitude, longitude, 6)
            assert code is not None
            assert corner(code)[:2] == (Fraction(row, 960), Fraction(column, 640) + 100)


@pytest.mark.parametrize("point", [(-0.1, 135), (66.7, 135), (35, 99.9), (35, 180), (35, -135)])
def test_outside_the_grid_there_is_no_square(point: tuple[float, float]) -> None:
    assert mesh_code(*point, 3) is None


@pytest.mark.parametrize(
    ("code", "city", "prefecture"),
    [
        ("271276", "271004", "270008"),  # 大阪市北区
        ("271411", "271403", "270008"),  # 堺市堺区
        ("141313", "141305", "140007"),  # 川崎市川崎区, after Yokohama's wards
        ("401315", "401307", "400009"),  # 福岡市東区, after Kitakyushu's
        ("131016", "131016", "130001"),  # 千代田区 is a municipality itself
        ("272027", "272027", "270008"),  # 岸和田市
        ("270008", "270008", "270008"),
    ],
)
def test_wards_belong_to_their_city(code: str, city: str, prefecture: str) -> None:
    assert (designated_city(code), prefecture_code(code)) == (city, prefecture)
