"""Coordinates in columns of another system, which the publisher names, become 緯度 and 経度."""

import pytest
from pyproj import Transformer

from app.formats.guidance import FileRefused
from tests.formats.reading import fields, take

CITY_HALL = (138.3194, 34.8668)  # synthetic, in Shizuoka


def metres(epsg: int) -> tuple[float, float]:
    """East and north."""
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(*CITY_HALL)
    return east, north


@pytest.mark.parametrize(
    ("north", "east"), [("X座標", "Y座標"), ("北距", "東距"), ("X", "Y"), ("Northing", "Easting")]
)
def test_metres_in_columns_become_places_and_stay_beside_them(north: str, east: str) -> None:
    y, x = metres(6676)

    taken = take(f"名称,{north},{east}\na,{x},{y}\nb,,\n", crs="JGD2011 8系")

    assert float(taken.values("latitude")[0]) == pytest.approx(CITY_HALL[1], abs=1e-8)
    assert float(taken.values("longitude")[0]) == pytest.approx(CITY_HALL[0], abs=1e-8)
    assert list(taken.types)[:3] == ["名称", north, east]
    assert taken.values("latitude")[1] == ""
    assert "coordinates_converted" in taken.notices


def test_letters_are_the_axes_of_the_system() -> None:
    x, y = metres(3100)  # UTM: x goes east

    taken = take(f"名称,X,Y\na,{x},{y}\n", crs="EPSG:3100")

    assert float(taken.values("latitude")[0]) == pytest.approx(CITY_HALL[1], abs=1e-8)


def test_degrees_of_tokyo_datum_are_moved_and_the_old_ones_kept() -> None:
    lon, lat = Transformer.from_crs(4326, 4301, always_xy=True).transform(*CITY_HALL)
    dms = f"{int(lat)}°{int(lat % 1 * 60)}'{lat % 1 * 60 % 1 * 60:.4f}\""

    taken = take(
        f"名称,緯度,経度\na,{lat},{lon}\nb,{dms.replace(chr(34), '″')},{lon}\n", crs="Tokyo"
    )

    for found in taken.values("latitude"):
        assert float(found) == pytest.approx(CITY_HALL[1], abs=1e-4)
    assert float(taken.values("longitude")[0]) == pytest.approx(CITY_HALL[0], abs=1e-4)
    assert abs(float(taken.rows[0]["latitude"]) - lat) > 0.002
    assert taken.types["元の座標（北）"] == "text"
    assert str(lat) in taken.rows[0].values()


def test_a_declared_dataset_gets_its_places_too() -> None:
    y, x = metres(6676)
    declared = fields(name="text", 緯度="latitude", 経度="longitude")

    taken = take(f"name,X座標,Y座標\na,{x},{y}\nb,abc,{y}\n", declared, crs="EPSG:6676")

    assert float(taken.values("緯度")[0]) == pytest.approx(CITY_HALL[1], abs=1e-8)
    assert (3, "緯度", "invalid_coordinate") in taken.codes


@pytest.mark.parametrize(
    ("text", "crs", "code"),
    [
        ("名称,定員\na,1\n", "EPSG:6676", "no_coordinates_to_convert"),
        ("名称,X座標,Y座標\na,34.8,138.3\n", "EPSG:6676", "crs_conflict"),
        ("名称,X座標,Y座標\na,1,2\n", "EPSG:9999999", "crs_unknown"),
    ],
)
def test_what_cannot_be_of_the_system_is_refused(text: str, crs: str, code: str) -> None:
    with pytest.raises(FileRefused) as exc:
        take(text, crs=crs)

    assert exc.value.code == code


def test_a_system_whose_degrees_are_ours_changes_nothing() -> None:
    taken = take("名称,緯度,経度\na,34.8668,138.3194\n", crs="JGD2011")

    assert taken.values("latitude") == ["34.8668"]
    assert "coordinates_converted" not in taken.notices
