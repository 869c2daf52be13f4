"""Headings of files that were really published: which are of a standard layout, and which only look so.

Yaizu's parks and loudspeakers follow no standard layout, and its tsunami buildings have none of the
hazard columns of 指定緊急避難場所: nothing is claimed of them. The others share some columns with
a standard, and are something else.
"""

import json
import os
from pathlib import Path

import pytest

from app.formats.profiles.matching import Match, match
from app.formats.profiles.municipal import built_in
from tests.formats.reading import take

DATA = Path(os.environ.get("URBANOS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason=f"left out: the real files are not at {DATA} (URBANOS_REAL_DATA)"
)
LAYOUTS = [each.layout for each in built_in()]


def candidates(name: str) -> list[Match]:
    """What the headings of a file are taken for, as the loader sees them."""
    if name.endswith("geojson"):
        features = json.loads((DATA / name).read_text("utf-8"))["features"]
        return match(list(features[0]["properties"]), LAYOUTS)
    return match([field.label for field in take((DATA / name).read_bytes()).survey.fields], LAYOUTS)


REFERENCE = DATA.parent / "reference" / "municipal_standard_profiles.json"


@pytest.mark.skipif(not REFERENCE.exists(), reason="left out: the collected facts are not there")
def test_every_collected_column_is_built_in_with_its_level_and_edition() -> None:
    collected = json.loads(REFERENCE.read_text("utf-8"))["profiles"]
    built = {(each.layout.name, each.layout.edition): each for each in built_in()}

    for editions in collected.values():
        for told in editions:
            slug = told["file_slug"].rstrip("?").replace("_", "-")
            found = built.pop((slug, told["edition"]))
            fields = found.layout.fields
            assert found.confidence == told["confidence"]
            assert [each.field.label for each in fields] == [one["name"] for one in told["columns"]]
            assert [each.level for each in fields] == [one.get("level") for one in told["columns"]]
    assert built == {}


@pytest.mark.parametrize(
    ("name", "profile", "version", "share"),
    [
        ("yaizu/csv/222127_public_toilet.csv", "public-toilet", 2, 1.0),
        ("yaizu/csv/222127_preschool.csv", "preschool", 1, 1.0),
        ("yaizu/csv/222127_tourism.csv", "tourism", 1, 1.0),
        ("takamatsu/linkdata/0063.csv", "cultural-property", 1, 0.9118),
        ("takamatsu/linkdata/0066_202211.csv", "population", 1, 1.0),
        ("takamatsu/csv_cp932/0066_population_202304.csv", "population", 1, 1.0),
        ("takamatsu/csv_cp932/0066_population_202305.csv", "population", 1, 1.0),
        ("takamatsu/csv_cp932/0066_population_202306.csv", "population", 1, 1.0),
    ],
)
def test_a_file_of_a_standard_layout_is_recognised_with_its_edition(
    name: str, profile: str, version: int, share: float
) -> None:
    found = candidates(name)

    assert (found[0].profile, found[0].version, found[0].accepted) == (profile, version, True)
    assert found[0].share == share
    assert not any(each.accepted for each in found[1:])


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        # 11 columns of 22, in one cell what the layout has in two: asked, not assumed.
        ("takamatsu/csv_cp932/0002_aed.csv", "aed"),
        # 国土地理院 spells the hazards its own way and has no telephone number.
        ("shelters/emergency/271403.geojson", "evacuation-space"),
        ("yaizu/csv/222127_shiteitsunamihinanbiru.csv", None),
        ("yaizu/csv/222127_douhoumusenkokyoku.csv", None),
        ("yaizu/csv/222127_park_info.csv", None),
        ("yaizu/csv/222127_traffic_accident_2019.csv", None),
        ("yaizu/csv/急ブレーキ.csv", None),
        ("yaizu/csv/焼津市参加店舗リスト_飲食.csv", None),
        ("osaka_city/mapnavoskdat_shisetsuall.csv", None),
        ("osaka_city/opendata_2015.csv", None),
        ("osaka_city/opendata_2016.csv", None),
        ("stations/line.csv", None),
        ("stations/station.csv", None),
        ("sakai/company_images.csv", None),
        ("catalog/gtfs-jp-list.csv", None),
        ("takamatsu/linkdata/0061.csv", None),
        ("takamatsu/linkdata/0083_202104.csv", None),
        ("takamatsu/csv_cp932/0084_school_lunch_202304.csv", None),
        ("takamatsu/csv_cp932/0087_member_companies.csv", None),
    ],
)
def test_a_file_that_only_looks_like_a_standard_layout_is_not_taken_for_it(
    name: str, proposed: str | None
) -> None:
    found = candidates(name)

    assert [each.profile for each in found if each.accepted] == []
    if proposed is not None:
        assert found[0].profile == proposed
