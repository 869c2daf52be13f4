"""Story 1's file, read with its profile and mapping as data; duplicates are the database's."""

import json
from pathlib import Path
from typing import Any

from app.formats.intake import Block, Survey
from app.query.fields import Field, FieldType
from tests.formats.reading import take

STORY_DATA = Path(__file__).parents[1] / "stories" / "data"

FILE = (STORY_DATA / "vaccine_sites_20220401.csv").read_text("utf-8")

PROFILE: list[tuple[str, str, FieldType, dict[str, Any]]] = [
    ("site_id", "No", FieldType.CODE, {"key": True, "required": True}),
    ("name", "医療機関名", FieldType.TEXT, {"required": True}),
    ("name_kana", "フリガナ", FieldType.KANA, {}),
    ("municipality", "自治体", FieldType.LOCAL_GOVERNMENT_CODE, {"required": True}),
    ("ward", "区", FieldType.LOCAL_GOVERNMENT_CODE, {}),
    ("address", "所在地", FieldType.TEXT, {}),
    ("address_normalized", "所在地（正規化）", FieldType.TEXT, {}),
    ("phone", "電話番号", FieldType.PHONE, {}),
    ("age_min", "対象年齢（下限）", FieldType.INTEGER, {}),
    ("age_max", "対象年齢（上限）", FieldType.INTEGER, {}),
    (
        "maker",
        "メーカー",
        FieldType.CODE,
        {"code_list": (("pfizer", "ファイザー"), ("moderna", "モデルナ"))},
    ),
    ("booking", "予約方法", FieldType.TEXT, {}),
    ("latitude", "緯度", FieldType.LATITUDE, {}),
    ("longitude", "経度", FieldType.LONGITUDE, {}),
    ("updated_on", "更新日", FieldType.DATE, {}),
]
MAPPING: list[dict[str, Any]] = [
    {"to": "municipality", "constant": "271004"},
    {
        "to": "ward",
        "from": ["区"],
        "codes": {"北区": "271276", "福島区": "271039", "阿倍野区": "271195", "港区": "271071"},
    },
    {"to": "address_normalized", "from": ["所在地", "住所"], "normalize": "address"},
    {"to": "age_min", "from": ["対象年齢"], "pattern": r"^(\d+)歳"},
    {"to": "age_max", "from": ["対象年齢"], "pattern": r"[～~〜-](\d+)歳"},
    {
        "to": "maker",
        "from": ["ワクチン"],
        "codes": {"ファイザー": "pfizer", "ファイザー(小児用)": "pfizer", "モデルナ": "moderna"},
    },
]


def fields() -> list[Field]:
    return [
        Field(name, f"c{number:03d}", label, kind, **more)
        for number, (name, label, kind, more) in enumerate(PROFILE, 1)
    ]


def read() -> tuple[Survey, list[Block]]:
    data = FILE.replace("\n", "\r\n").encode("cp932")
    taken = take(data, fields(), MAPPING)
    return taken.survey, taken.blocks


def rows() -> list[dict[str, str]]:
    return take(FILE.replace("\n", "\r\n").encode("cp932"), fields(), MAPPING).rows


def test_eight_rows_are_read_and_two_are_rejected_with_their_lines_and_codes() -> None:
    found, made = read()

    rejects = [reject for block in made for reject in block.rejects]

    assert found.table.encoding == "cp932"
    assert found.head.header_line == 2
    assert sum(block.rows for block in made) == 8
    assert {(r.row, r.line, r.code) for r in rejects} == {
        (6, 8, "coordinate_out_of_area"),
        (8, 10, "invalid_date"),
    }
    assert {r.hint for r in rejects if r.row == 6} == {"looks_swapped"}
    assert sum(block.accepted for block in made) == 6  # row 7 falls to the database's key


def test_the_first_record_has_the_values_of_the_story() -> None:
    first = rows()[0]

    assert first["site_id"] == "1"
    assert first["phone"] == "06-0000-0001"
    assert first["name_kana"] == "キタウメダナイカ"
    assert first["address"] == "大阪市北区架空１丁目２－３"
    assert first["address_normalized"] == "大阪市北区架空1丁目2-3"
    assert first["updated_on"] == "2022-04-01"
    assert (first["age_min"], first["age_max"]) == ("12", "")
    assert (first["municipality"], first["ward"]) == ("271004", "271276")
    assert (first["latitude"], first["longitude"]) == ("34.7052", "135.4983")


def test_every_way_to_write_a_date_and_an_age_in_the_file_is_read() -> None:
    assert [row["updated_on"] for row in rows()] == [
        *["2022-04-01"] * 4,
        "2022-03-28",
        "2022-04-01",
    ]
    assert [(row["age_min"], row["age_max"]) for row in rows()] == [
        ("12", ""),
        ("5", "11"),
        ("12", ""),
        ("18", ""),
        ("12", ""),
        ("5", "11"),
    ]
    assert [row["maker"] for row in rows()] == ["pfizer", "pfizer", "moderna", "moderna"] + [
        "pfizer"
    ] * 2


def test_rare_characters_of_names_survive() -> None:
    names = [row["name"] for row in rows()]

    assert names[1] == "\u9ad9橋小児科（架空）"
    assert names[2] == "中之島医院①号館（架空）"


def test_the_original_text_is_kept_where_a_cell_was_repaired() -> None:
    first = json.loads(rows()[0]["_original"])

    assert first["phone"] == "０６－００００－０００１"
    assert first["updated_on"] == "R4.4.1"
    assert first["name_kana"] == "ｷﾀｳﾒﾀﾞﾅｲｶ"
    assert "name" not in first


def test_a_rejected_line_can_be_sent_again_alone_after_mending() -> None:
    _, made = read()
    header = FILE.splitlines()[1]
    rejected = next(r for b in made for r in b.rejects if r.code == "invalid_date")
    mended = f"{header}\r\n{rejected.raw_line}\r\n".replace("R4.13.1", "R4.3.1").encode()

    (block,) = take(mended, fields(), MAPPING).blocks

    assert (block.accepted, block.rejects) == (1, [])


def test_the_notice_names_the_title_line_that_was_skipped() -> None:
    found, _ = read()

    assert [(n.code, n.details) for n in found.notices] == [
        ("title_skipped", {"count": 1, "first": 1})
    ]
