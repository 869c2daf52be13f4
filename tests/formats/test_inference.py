"""Which fields a file gets that nobody declared; a guess never costs a row."""

from typing import Any

import pytest

from tests.formats.reading import take


def one(label: str, *cells: str) -> tuple[str, list[str]]:
    """The type chosen for a column of these cells, and the notices."""
    text = f"名称,{label}\n" + "".join(f'x{n},"{cell}"\n' for n, cell in enumerate(cells))
    taken = take(text)
    assert taken.counts[1] == len(cells), "a guessed type must not reject"
    return taken.types[label], taken.notices


@pytest.mark.parametrize(
    ("label", "cells", "kind"),
    [
        ("定員", ["12", "1,200", "", "-5", "３"], "integer"),
        ("割合", ["0.5", "12", "1,234.5"], "decimal"),
        ("建物コード", ["1", "2"], "code"),
        ("管理番号", ["0012", "0013"], "code"),
        ("値", ["0012", "0013"], "code"),  # a leading zero is never lost
        ("値", ["0012", "あ"], "text"),
        ("郵便番号", ["5300001", "530-0002"], "postal_code"),
        ("電話番号", ["06-0000-0001", "(054)626-1139", "なし", *["06-0000-0002"] * 20], "phone"),
        ("名称_カナ", ["ｶﾅ", "カナ"], "kana"),
        ("ﾌﾘｶﾞﾅ", ["ｶﾅ"], "kana"),
        ("更新日", ["20240401", "R6.4.1", "令和6年4月1日"], "date"),
        ("更新日", ["45107", "45108"], "date"),
        ("人口", ["45107", "45108"], "integer"),
        ("開始", ["9:00", "24:00"], "time"),
        ("開始", ["9:00", "日没"], "text"),
        ("都道府県コ―ド又は市区町村コ―ド", ["222127", "222127"], "local_government_code"),
        ("市区町村コード", ["212", "213"], "code"),
        ("URL", ["https://a.example/", "http://b.example/"], "url"),
        ("定員", ["1,200人", "80人", "3"], "integer"),
        ("定員", ["12人", "3台"], "text"),  # two units are two meanings
        ("料金", ["500円", "1,000円"], "integer"),
        ("料金", ["500円", "1千円"], "text"),
        ("料金", ["500円", "600"], "text"),  # yen or thousands of yen: nobody knows
        ("面積", ["12.5㎡", "8㎡"], "decimal"),
        ("車椅子対応", ["有", "無", ""], "boolean"),
        ("車椅子対応", ["○", "", "○"], "boolean"),
        ("車椅子対応", ["該当", "非該当"], "boolean"),
        ("区分", ["1", "0"], "integer"),  # may be a code or an amount as well
        ("車椅子対応", ["有", "1"], "text"),
        ("対象月", ["R5.2月分", "令和５年３月", "2023-04"], "month"),
        ("対象月", ["202304", "202305"], "integer"),
        ("年度", ["令和5年度", "2024年度", "H30年度"], "fiscal_year"),
        ("型", ["R5", "R6"], "text"),  # a model of something, not a year
        ("日程", ["20250331 20250403", "20250401"], "text"),
        ("備考", ["", ""], "text"),
    ],
)
def test_a_type_is_chosen_on_every_row(label: Any, cells: Any, kind: Any) -> None:
    assert one(label, *cells)[0] == kind


def test_one_cell_far_down_that_does_not_fit_keeps_the_column_as_text_and_says_so() -> None:
    kind, notices = one("定員", *["5"] * 30_000, "少々")

    assert kind == "text"
    assert "mixed_values" in notices


def test_numbers_that_excel_has_cut_stay_text_and_are_reported() -> None:
    kind, notices = one("法人番号", "1.23E+12", "1.23E+12")

    assert kind == "text"
    assert "exponents_kept" in notices


@pytest.mark.parametrize(
    ("lat", "lon"), [("緯度", "経度"), ("lat", "lng"), ("Latitude", "Longitude"), ("Y", "X")]
)
def test_coordinates_are_known_by_name_and_range(lat: Any, lon: Any) -> None:
    types = take(f"name,{lon},{lat}\na,135.5,34.7\nb,135.6,34.8\n").types

    assert (types[lat], types[lon]) == ("latitude", "longitude")


def test_coordinates_in_metres_are_only_numbers() -> None:
    types = take("name,X,Y\na,-46123.5,-147123.4\nb,-46124.5,-147124.4\n").types

    assert (types["X"], types["Y"]) == ("decimal", "decimal")


def test_metres_of_a_system_nobody_has_said_are_noticed_and_degrees_are_not() -> None:
    metres = take("名称,X座標,Y座標\na,-147123.4,-46123.5\n").notices
    degrees = take("名称,X座標,Y座標,緯度,経度\na,-147123.4,-46123.5,34.7,135.5\n").notices

    assert "coordinates_unplaced" in metres
    assert "coordinates_unplaced" not in degrees


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ID,名称\n1,a\n2,b\n", "ID"),
        ("名称,NO\na,1\nb,2\n", "NO"),
        ("コード,ID\n1,5\n2,6\n", "コード"),
        ("ID,名称\n1,a\n1,b\n", None),  # not unique
        ("ID,名称\n1,a\n,b\n", None),  # not complete
        ("名称,定員\na,1\nb,2\n", None),  # unique, but no ID
        ("番号,電話番号\n1,06-1\n1,06-2\n", None),  # what two facilities may share
        ("番号,連絡先_郵便番号\n,530-0001\n2,530-0002\n", None),
    ],
)
def test_a_key_is_chosen_only_where_it_is_named_like_one_unique_and_complete(
    text: Any, key: Any
) -> None:
    found = [field.label for field in take(text).survey.fields if field.key]

    assert found == ([key] if key else [])


def test_machine_names_are_standard_or_slugs_or_numbers_and_columns_are_physical() -> None:
    found = take(
        "緯度,totalPopulation,駐輪場 携,経度,所在地_連結標記\n34.7,1,x,135.5,y\n"
    ).survey.fields

    assert [field.name for field in found] == [
        "latitude",
        "total_population",
        "field_003",
        "longitude",
        "address",
    ]
    assert [field.column for field in found] == ["c001", "c002", "c003", "c004", "c005"]


def test_no_field_takes_the_name_of_a_query_parameter() -> None:
    names = [field.name for field in take("limit,sort,Version\na,b,c\n").survey.fields]

    assert names == ["limit_value", "sort_value", "version_value"]


def test_the_unit_of_a_column_is_kept_beside_its_numbers() -> None:
    taken = take('名称,定員\n甲,"1,200人"\n乙,80人\n')

    assert [(field.label, field.unit) for field in taken.survey.fields] == [
        ("名称", None),
        ("定員", "人"),
    ]
    assert taken.values(taken.survey.fields[1].name) == ["1200", "80"]


@pytest.mark.parametrize("cells", [["34.7052,135.4983", "34.6,135.5"], ["135.4983, 34.7052"]])
def test_two_coordinates_in_one_cell_make_a_place_and_the_cell_stays(cells: Any) -> None:
    taken = take("名称,位置\n" + "".join(f'甲,"{cell}"\n' for cell in cells))

    first = taken.rows[0]

    assert (first["latitude"], first["longitude"]) == ("34.7052", "135.4983")
    assert first["field_002"] == cells[0]


def test_a_later_file_is_read_by_what_the_first_one_implied() -> None:
    first = take('名称,位置\n甲,"34.7,135.4"\n').survey

    later = take('位置,名称\n"34.5,135.5",乙\n', first.fields, first.implied_mapping)

    assert [(row["name"], row["latitude"]) for row in later.rows] == [("乙", "34.5")]


def test_every_choice_says_on_what_it_rests_and_how_sure_it_is() -> None:
    body = "".join(f"x{n},{n},有,{n if n else 'なし'},\n" for n in range(10))

    chosen = take(f"名称,定員,有無,部屋数,備考\n{body}").survey.chosen

    told = {one.label: (one.type, one.basis, one.confidence, one.filled) for one in chosen}
    assert told == {
        "名称": ("text", "text", 1.0, 10),
        "定員": ("integer", "values", 1.0, 10),
        "有無": ("boolean", "values", 1.0, 10),
        "部屋数": ("text", "text", 0.1, 10),  # nine of ten read as numbers
        "備考": ("text", "empty", 1.0, 0),
    }
