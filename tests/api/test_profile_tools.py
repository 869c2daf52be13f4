"""What a profile is good for: records judged and converted, files recognised, a template to fill (R04)."""

import io
from typing import Any

import httpx
import jsonschema_rs
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.worksheet.worksheet import Worksheet

from app.catalogue.profile_schema import record_schema
from app.formats.profiles.checking import check_records
from app.formats.profiles.conversion import Converter
from app.formats.profiles.layout import LayoutField, ProfileLayout
from app.formats.profiles.layout_diff import pairs
from app.formats.profiles.municipal import built_in
from app.formats.profiles.template import (
    EXAMPLE_MARK,
    GUIDANCE_MARKS,
    NOTES_MARK,
    NOTES_SHEET,
    workbook,
)
from app.query.fields import Field, FieldType
from tests.api.test_profiles import V1, V2, registered, steward
from tests.world import World

LAYOUTS = {(each.layout.name, each.layout.version): each.layout for each in built_in()}
RULES: list[dict[str, Any]] = [
    {"field": "fee", "min": 0, "max": 5000},
    {"field": "name", "max_length": 5},
    {"field": "id", "pattern": "P-[0-9]{2}"},
    {"when": "fee", "required": "address"},
    {"compare": ["fee", "<=", "fee_child"]},
    {"area": {"municipalities": ["271004"], "bbox": [135.3, 34.5, 135.7, 34.8]}},
]
RULED = [
    *V2[:4],
    {"name": "fee_child", "label": "料金_こども", "type": "integer"},
    {"name": "code", "label": "コード", "type": "local_government_code"},
    {"name": "lat", "label": "緯度", "type": "latitude"},
    {"name": "lon", "label": "経度", "type": "longitude"},
]


async def test_records_are_judged_by_types_and_rules_with_pointers_in_two_languages(
    client: httpx.AsyncClient, world: World
) -> None:
    name = await registered(client, await steward(world), RULED, rules=RULES)
    good = {"id": "P-01", "name": "公園", "code": "27100", "lat": 34.7, "lon": 135.5}
    wrong: list[Any] = [
        {"id": "P-1"},
        {**good, "fee": 6000},
        {**good, "fee": 300, "address": "a", "fee_child": 100},
        {**good, "name": "長すぎる名称です", "lat": 35.2, "code": "271403", "bogus": 1},
        "no record",
    ]

    judged = await client.post(f"/v1/profiles/{name}/1/validate", json=[good, *wrong])

    found = judged.json()
    assert (judged.status_code, found["records"], found["invalid"]) == (200, 6, 5)
    assert {(each["pointer"], each["code"]) for each in found["faults"]} == {
        ("/1/name", "required_missing"),
        ("/1/id", "rule_pattern"),
        ("/2/fee", "rule_max"),
        ("/2/address", "rule_required"),
        ("/3/fee", "rule_compare"),
        ("/4/bogus", "unknown_field"),
        ("/4/name", "rule_max_length"),
        ("/4/lat", "rule_area"),
        ("/4/code", "rule_area"),
        ("/5", "not_an_object"),
    }
    assert all(each["ja"] and each["en"] for each in found["faults"])


async def test_a_judgement_lists_a_thousand_faults_at_most(
    client: httpx.AsyncClient, world: World
) -> None:
    name = await registered(client, await steward(world), V2)

    judged = await client.post(f"/v1/profiles/{name}/1/validate", json=[{"x": 1}] * 600)

    found = judged.json()
    assert (found["invalid"], len(found["faults"]), found["truncated"]) == (600, 1000, True)
    too_many = await client.post(f"/v1/profiles/{name}/1/validate", json=[{}] * 1001)
    assert too_many.status_code == 422


async def test_the_schema_is_json_schema_with_the_rules_in_it(
    client: httpx.AsyncClient, world: World
) -> None:
    name = await registered(client, await steward(world), RULED, rules=RULES)

    answer = await client.get(f"/v1/profiles/{name}/1/schema")

    schema = answer.json()
    assert answer.headers["content-type"] == "application/schema+json"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["id", "name"]
    fee, number = schema["properties"]["fee"], schema["properties"]["id"]
    assert (fee["type"], fee["minimum"], fee["maximum"]) == (["integer", "null"], 0, 5000)
    assert number["allOf"] == [{"pattern": "^(?:P-[0-9]{2})$"}]
    assert schema["properties"]["lat"]["maximum"] == 34.8
    assert schema["allOf"][0]["then"]["required"] == ["address"]
    assert schema["x-rules"] == [RULES[4], RULES[5]]


async def test_records_move_from_one_version_to_the_other(
    client: httpx.AsyncClient, world: World
) -> None:
    name = await registered(client, await steward(world), V1, V2)
    records = [
        {
            "no": "001",
            "name": "中央公園",
            "address": "大阪府架空市中央1",
            "fee": "1,200円",
            "kind": "1",
        },
        {"no": "002", "name": "北公園", "fee": "無料", "kind": "2", "fax": "06-0000-0000"},
    ]

    answer = await client.post(f"/v1/profiles/{name}/convert?from=1&to=2", json=records)

    first, second = answer.json()["records"]
    assert first["record"] == {
        "id": "001",
        "name": "中央公園",
        "address": "大阪府架空市中央1",
        "fee": 1200,
        "kind": "1",
        "email": None,
    }
    assert [(note["pointer"], note["code"]) for note in first["notes"]] == [
        ("/email", "required_missing")
    ]
    assert (second["record"]["fee"], second["record"]["kind"]) == (None, None)
    assert {(note["pointer"], note["code"]) for note in second["notes"]} == {
        ("/fee", "invalid_integer"),
        ("/kind", "not_in_code_list"),
        ("/fax", "no_place"),
        ("/email", "required_missing"),
    }


def test_an_address_goes_into_its_parts_and_back() -> None:
    old, new = LAYOUTS["public-toilet", 1], LAYOUTS["public-toilet", 2]
    record = {
        "no": "0001",
        "name": "架空便所",
        "prefecture_name": "静岡県",
        "municipality_name": "焼津市",
        "address": "静岡県焼津市駅北5丁目2-11",
        "multipurpose_toilets": 1,
        "wheelchair_toilet": True,
    }

    there = Converter.between(old, new).convert(record).record
    back = Converter.between(new, old).convert(there)

    assert there["address"] == record["address"]
    assert (there["address_prefecture"], there["address_municipality"]) == ("静岡県", "焼津市")
    assert (there["address_town"], there["address_block"]) == ("駅北5丁目", "2-11")
    assert (there["local_government_name"], there["id"]) == ("静岡県焼津市", "0001")
    assert {name: value for name, value in back.record.items() if value is not None} == record
    assert {note.code for note in back.notes} == {"required_missing"}


def test_an_address_of_two_readings_is_left_whole_and_told() -> None:
    converter = Converter.between(LAYOUTS["aed", 1], LAYOUTS["aed", 2])

    made = converter.convert({"name": "a", "address": "三重県四日市市諏訪町1-5"})
    known = converter.convert(
        {"name": "a", "address": "三重県四日市市諏訪町1-5", "municipality_name": "四日市市"}
    )

    assert made.record["address"] == "三重県四日市市諏訪町1-5"
    assert made.record["address_municipality"] is None
    assert ("/address", "address_not_split") in [(note.pointer, note.code) for note in made.notes]
    assert known.record["address_municipality"] == "四日市市"


def test_parts_without_a_whole_are_joined_to_one_address() -> None:
    converter = Converter.between(LAYOUTS["aed", 2], LAYOUTS["aed", 1])
    parts = {
        "address_prefecture": "大阪府",
        "address_municipality": "大阪市北区",
        "address_town": "中之島一丁目",
        "address_block": "3-20",
    }

    made = converter.convert({"name": "a", **parts})

    assert made.record["address"] == "大阪府大阪市北区中之島一丁目3-20"
    assert not [note for note in made.notes if note.code == "no_place"]


def _values(field: Field) -> st.SearchStrategy[Any]:
    if field.code_list is not None:
        return st.sampled_from([code for code, _ in field.code_list])
    kinds: dict[FieldType, st.SearchStrategy[Any]] = {
        FieldType.INTEGER: st.integers(0, 10**6),
        FieldType.DECIMAL: st.integers(0, 10**6),
        FieldType.BOOLEAN: st.booleans(),
        FieldType.LATITUDE: st.floats(20, 46),
        FieldType.LONGITUDE: st.floats(122, 154),
    }
    return kinds.get(field.type, st.text(min_size=1, max_size=12))


@st.composite
def _stories(draw: st.DrawFn) -> tuple[ProfileLayout, ProfileLayout, dict[str, Any]]:
    name = draw(st.sampled_from(sorted({name for name, version in LAYOUTS if version == 2})))
    old, new = LAYOUTS[name, 1], LAYOUTS[name, 2]
    both = [a.field for a, b in pairs(old, new) if a.field.type is b.field.type]
    chosen = draw(st.lists(st.sampled_from(both), unique=True, max_size=12))
    return old, new, {field.name: draw(_values(field)) for field in chosen}


@given(_stories())
def test_what_both_versions_have_comes_back_as_it_was(
    story: tuple[ProfileLayout, ProfileLayout, dict[str, Any]],
) -> None:
    old, new, record = story

    there = Converter.between(old, new).convert(record).record
    back = Converter.between(new, old).convert(there).record

    assert {name: back[name] for name in record} == record


async def test_a_vendor_can_try_which_profile_its_headings_are(client: httpx.AsyncClient) -> None:
    labels = [each.field.label for each in LAYOUTS["aed", 1].fields]

    found = (await client.post("/v1/profiles/match", json={"labels": labels})).json()

    assert (found[0]["profile"], found[0]["version"], found[0]["accepted"]) == ("aed", 1, True)
    assert found[0]["mapping"][1] == {"to": "no", "from": ["NO"]}
    assert not any(each["accepted"] for each in found[1:])


async def test_a_registered_profile_is_found_too_until_it_ends(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await steward(world)
    fields = [
        {"name": f"unheard_{at}", "label": f"前代未聞の項目{at}", "type": "text"} for at in range(6)
    ]
    name = await registered(client, headers, fields)
    labels = {"labels": [field["label"] for field in fields]}

    before = (await client.post("/v1/profiles/match", json=labels)).json()
    course = {"state": "sunset", "note_ja": "終了"}
    await client.patch(f"/v1/profiles/{name}/1", json=course, headers=headers)
    after = (await client.post("/v1/profiles/match", json=labels)).json()

    assert [(each["profile"], each["accepted"]) for each in before] == [(name, True)]
    assert after == []


def _sheets(data: bytes) -> tuple[Worksheet, Worksheet]:
    book = openpyxl.load_workbook(io.BytesIO(data))
    first, second = book.worksheets
    assert isinstance(first, Worksheet)
    assert isinstance(second, Worksheet)
    return first, second


def _lists(sheet: Worksheet) -> dict[str, str]:
    """Heading: what its cells may hold."""
    found = {}
    for rule in sheet.data_validations.dataValidation:
        column = str(rule.sqref).partition(":")[0].rstrip("0123456789")
        found[str(sheet[f"{column}1"].value)] = str(rule.formula1)
    return found


async def test_the_template_has_the_headings_a_guidance_row_and_drop_downs(
    client: httpx.AsyncClient,
) -> None:
    layout = LAYOUTS["preschool", 1]

    answer = await client.get("/v1/profiles/preschool/1/template.xlsx")

    sheet, notes = _sheets(answer.content)
    labels = [cell.value for cell in sheet[1]]
    assert answer.status_code == 200
    assert "filename*=UTF-8''%E5%AD%90" in answer.headers["content-disposition"]
    assert labels == [each.field.label for each in layout.fields]
    assert sheet.title == "子育て施設一覧"
    assert str(sheet["A2"].value).startswith(EXAMPLE_MARK)
    assert str(notes["A1"].value).startswith(NOTES_MARK)
    lists = _lists(sheet)
    assert lists["一時預かりの有無"] == '"有,無"'
    place = lists["種別"].rpartition("!")[2].replace("$", "")
    codes = next(each.field.code_list for each in layout.fields if each.field.label == "種別")
    assert codes is not None
    assert [row[0].value for row in notes[place]] == [label for _, label in codes]
    required = sheet["E1"].fill.fgColor.rgb
    assert (sheet["E1"].value, required) == ("名称", "FFF8CBAD")
    assert sheet["B1"].fill.fgColor.rgb != required
    assert sheet.column_dimensions["B"].width >= 14


def test_a_template_called_as_its_notes_are_has_a_sheet_of_its_own() -> None:
    field = LayoutField(Field("no", "c001", "番号", FieldType.CODE))
    made = workbook(ProfileLayout("n" * 63, 1, (field,), title_ja=NOTES_SHEET))

    names = openpyxl.load_workbook(io.BytesIO(made)).sheetnames

    assert names == ["n" * 31, NOTES_SHEET]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda each: f"{each.name}-{each.version}")
def test_every_built_in_profile_has_a_template_that_keeps_zeros(layout: ProfileLayout) -> None:
    sheet, _ = _sheets(workbook(layout))

    for at, each in enumerate(layout.fields, 1):
        letter = openpyxl.utils.get_column_letter(at)
        style = next(
            dimension
            for dimension in sheet.column_dimensions.values()
            if (dimension.min or at) <= at <= (dimension.max or at)
            and (dimension.min is not None or dimension.index == letter)
        )
        is_text = style.number_format == "@"
        assert is_text == (
            each.field.type.value not in ("integer", "decimal", "latitude", "longitude")
        )
    assert all(str(sheet["A2"].value).startswith(mark) for mark in GUIDANCE_MARKS[:1])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("match", b'{"labels": ["\\ud800", "a\\u0000b", ""]}'),
        ("aed/convert?from=1&to=2", b'[{"name": "\\ud800", "latitude": NaN, "no": 1e999}]'),
        (
            "aed/convert?from=1&to=2",
            b'[{"\\ud800": 1, "address": {"a": 1}, "name": ["b"]}, null, 1]',
        ),
        ("aed/2/validate", b'[{"name": "\\ud800", "latitude": NaN, "\\u0000": 1}, null]'),
        ("aed/2/validate", b'[{"latitude": 1e400, "opens_at": 9, "address": "a\\u0000"}]'),
    ],
)
async def test_strange_input_gets_an_answer_or_a_refusal(
    client: httpx.AsyncClient, path: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}

    answer = await client.post(f"/v1/profiles/{path}", content=body, headers=headers)

    assert answer.status_code in (200, 400, 422), answer.text
    assert answer.json()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda each: f"{each.name}-{each.version}")
def test_every_built_in_schema_is_a_schema_that_takes_a_right_record(layout: ProfileLayout) -> None:
    schema = record_schema(layout, "https://example.jp")
    record: dict[str, Any] = {each.field.name: None for each in layout.fields}
    wanted = [each.field for each in layout.fields if each.field.required or each.field.key]
    record |= {field.name: _right(field) for field in wanted}

    validator = jsonschema_rs.Draft202012Validator(schema)

    assert [str(error.message) for error in validator.iter_errors(record)] == []
    assert not validator.is_valid(record | {"no_such_field": 1})
    assert not wanted or not validator.is_valid(record | {wanted[0].name: None})
    assert check_records([record], layout).faults == ()


def _right(field: Field) -> Any:
    if field.code_list is not None:
        return field.code_list[0][0]
    words: dict[FieldType, Any] = {
        FieldType.INTEGER: 1,
        FieldType.DECIMAL: 1.5,
        FieldType.BOOLEAN: True,
        FieldType.DATE: "2026-04-01",
        FieldType.TIME: "09:00",
        FieldType.LOCAL_GOVERNMENT_CODE: "271004",
        FieldType.URL: "https://example.jp/",
    }
    return words.get(field.type, "架空")
