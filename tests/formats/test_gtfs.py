"""A feed's files are tables with the reference's types and keys, and its shapes are lines."""

import pytest

from app.formats.guidance import FileRefused
from tests.formats.reading import Taken, take
from tests.formats.test_archives import packed

STOPS = """stop_id,stop_name,stop_lat,stop_lon,zone_id
S1,役場前,34.70,135.50,0001
S2,駅前,34.71,135.51,
"""
FEED: dict[str, bytes | str] = {
    "agency.txt": b"\xef\xbb\xbfagency_id,agency_name,agency_url,agency_timezone\n"
    + "5070001002430 ,大阪町バス,ＨＰなし,Asia/Tokyo\n".encode(),
    "stops.txt": STOPS,
    "routes.txt": "route_id,agency_id,route_short_name,route_type,route_color\n"
    "R1,5070001002430,1,3,000000\nR2,9999999999999,2,3,FFEE00\n",
    "trips.txt": "route_id,service_id,trip_id,shape_id\nR1,平日,T1,H1\nR1,土休日,T2,H2\n",
    "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
    "T1,5:18:00,5:18:00,S1,1\nT1,25:03:00,25:03:00,S2,2\nT2,09:00:00,09:00:00,S9,1\n",
    "calendar_dates.txt": "service_id,date,exception_type\n平日,20240401,1\n",
    "shapes.txt": "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\n"
    "H1,34.71,135.51,2\nH1,34.70,135.50,1\nH2,34.7,135.5,1\n",
    "office_jp.txt": "office_id,office_name\n",
    "license.pdf": b"%PDF-1.4",
}


def table(name: str, **changed: bytes | str) -> Taken:
    return take(packed({**FEED, **changed}), table=name)


def test_every_file_is_a_table_and_one_must_be_chosen() -> None:
    with pytest.raises(FileRefused) as refused:
        take(packed(FEED))

    assert refused.value.code == "several_tables"
    assert refused.value.details["names"] == (
        "agency、stops、routes、trips、stop_times、calendar_dates、shapes、shapes (lines)、office_jp"
    )


def test_types_are_those_of_the_reference() -> None:
    assert table("stops").types == {
        "stop_id": "code",
        "stop_name": "text",
        "stop_lat": "latitude",
        "stop_lon": "longitude",
        "zone_id": "code",
    }
    assert table("routes").types["route_color"] == "text"
    assert table("routes").values("route_color") == ["000000", "FFEE00"]
    assert table("calendar_dates").values("date") == ["2024-04-01"]


def test_hours_past_midnight_and_without_a_zero_are_times() -> None:
    taken = table("stop_times")

    assert taken.types["arrival_time"] == "time"
    assert taken.values("arrival_time") == ["05:18:00", "25:03:00", "09:00:00"]


def test_a_blank_behind_an_id_and_a_word_for_a_url_lose_no_row() -> None:
    taken = table("agency")

    assert taken.survey.table.encoding == "utf-8 with BOM"
    assert taken.values("agency_id") == ["5070001002430"]
    assert taken.counts[1] == 1


def test_keys_are_those_of_the_reference_where_they_hold() -> None:
    keys = [field.name for field in table("stop_times").survey.fields if field.key]
    doubled = table("stops", **{"stops.txt": f"{STOPS}S1,役場前,34.70,135.50,\n"})

    assert keys == ["trip_id", "stop_sequence"]
    assert "key_not_unique" in doubled.notices
    assert not any(field.key for field in doubled.survey.fields)
    assert doubled.counts[1] == 3


def test_what_refers_to_nothing_is_counted_and_kept() -> None:
    def dangling(name: str) -> list[dict[str, object]]:
        found = table(name).survey.notices
        return [notice.details for notice in found if notice.code == "reference_dangling"]

    assert dangling("stop_times") == [{"label": "stop_id", "count": 1, "table": "stops"}]
    assert dangling("routes") == [{"label": "agency_id", "count": 1, "table": "agency"}]
    assert dangling("trips") == [
        {"label": "service_id", "count": 1, "table": "calendar・calendar_dates"}
    ]
    assert table("stop_times").counts[1] == 3


def test_points_become_one_line_for_each_shape_by_their_numbers() -> None:
    taken = table("shapes (lines)")

    assert taken.types == {"shape_id": "code", "geometry": "geometry"}
    assert [(row["shape_id"], row["geometry"]) for row in taken.rows] == [
        ("H1", '{"type":"LineString","coordinates":[[135.50,34.70],[135.51,34.71]]}')
    ]
    assert taken.codes == [(4, "geometry", "shape_no_line")]
    assert table("shapes").counts[:2] == (3, 3)


def test_a_feed_in_a_folder_of_the_zip_is_found() -> None:
    taken = take(packed({f"feed/{name}": data for name, data in FEED.items()}), table="trips")

    assert (taken.survey.table.format, taken.counts[0]) == ("gtfs", 2)


def test_a_file_without_rows_and_a_stray_file_are_told() -> None:
    with pytest.raises(FileRefused) as refused:
        table("office_jp")

    assert refused.value.code == "no_data_rows"
    assert "members_left_out" in table("stops").notices


def test_an_id_is_kept_letter_by_letter_also_in_a_later_feed() -> None:
    """Realtime feeds refer to 笹岡２ by just these letters."""
    stops = {"stops.txt": STOPS.replace("S1,", "笹岡２,")}

    first = take(packed({**FEED, **stops}), table="stops.txt")
    later = take(packed({**FEED, **stops}), first.survey.fields, table="stops")

    assert first.values("stop_id")[0] == "笹岡２"
    assert later.values("stop_id")[0] == "笹岡２"
