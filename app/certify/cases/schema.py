"""Cases of the class `core`: what records, catalogue entries and forms are."""

import csv
import io
from typing import Any, Final, NoReturn

import jsonschema_rs
import orjson

from app.certify.cases.asking import Findings, expect, named, one_page, records_of, wrong
from app.certify.client import Server
from app.certify.judge import CASES, not_unless
from app.certify.stage import Stage

_NEEDED: Final = (
    "id", "title_ja", "publisher", "steward", "data_class", "zone", "update_frequency", "fields",
)  # fmt: skip


def _nothing_else(uri: str) -> NoReturn:
    """A schema is whole: the library would fetch what it refers to, files of this machine too."""
    raise ValueError(f"the schema refers to {uri}")


@CASES.of("SCHEMA-01")
async def records_are_valid(server: Server, stage: Stage) -> Findings:
    schema = await server.get(f"/v1/datasets/{stage.id}/schema")
    page = await one_page(server, stage, limit=100)
    try:
        validator = jsonschema_rs.validator_for(
            schema.json, validate_formats=False, retriever=_nothing_else
        )
    except (ValueError, TypeError) as exc:
        yield wrong(schema, "a JSON Schema", exc)
        return
    for record in records_of(page):
        fault = next(iter(validator.iter_errors(record)), None)
        if fault is not None:
            where = "/".join(map(str, fault.instance_path))
            seen = f"{fault.message[:300]}{named(stage, record)}"
            yield wrong(page, f"a value of the schema at /{where}", seen)


@CASES.of("SCHEMA-02")
async def fields_have_one_name(server: Server, stage: Stage) -> Findings:
    names = [each.get("name") for each in stage.fields]
    schema = await server.get(f"/v1/datasets/{stage.id}/schema")
    told = schema.member("properties")
    told = told if isinstance(told, dict) else {}
    missing = [name for name in names if name not in told]
    if missing or not told:
        more = [name for name in told if name not in names]
        yield wrong(schema, "every field of the catalogue entry in properties",
                    f"without {missing}, and with {more} that are no fields")  # fmt: skip
    page = await one_page(server, stage, limit=10)
    for record in records_of(page):
        more = [name for name in record if name not in names]
        if more:
            yield wrong(page, f"only the fields {names}", more)
            return


@CASES.of("SCHEMA-02")
async def labels_are_japanese_where_asked(server: Server, stage: Stage) -> Findings:
    labels = {each.get("label") for each in stage.fields}
    page = await one_page(server, stage, limit=1, labels="ja")
    not_unless(records_of(page), "there is no record", "レコードがありません")
    if not set(records_of(page)[0]) <= labels:
        yield wrong(page, f"the labels {sorted(map(str, labels))}", list(records_of(page)[0]))


@CASES.of("SCHEMA-03")
async def nothing_is_null(server: Server, stage: Stage) -> Findings:
    page = await one_page(server, stage, limit=1000)
    not_unless(records_of(page), "there is no record", "レコードがありません")
    names = [each["name"] for each in stage.fields]
    for record in records_of(page):
        left = [name for name in names if name not in record]
        empty = [name for name, value in record.items() if value == ""]
        if left or empty:
            seen = f"left out {left}, empty text in {empty}{named(stage, record)}"
            yield wrong(page, "null where a field has no value", seen)
            return


@CASES.of("SCHEMA-04")
async def entries_are_complete(server: Server, stage: Stage) -> Findings:
    listed = await server.get("/v1/datasets", {"limit": 50})
    entries = listed.member("datasets")
    for entry in entries if isinstance(entries, list) else [{}]:
        missing = [name for name in _NEEDED if entry.get(name) in (None, "")]
        if entry.get("data_class") == "public" and not entry.get("license"):
            missing.append("license")
        if missing:
            wanted = f"every entry with {', '.join(_NEEDED)}, a public one with license"
            yield wrong(listed, wanted, f"{entry.get('id')} without {', '.join(missing)}")
            return


@CASES.of("SCHEMA-05")
async def places_are_longitude_first(server: Server, stage: Stage) -> Findings:
    north, east = stage.of_type("latitude"), stage.of_type("longitude")
    not_unless(north and east, "no field is a latitude", "緯度の項目がありません")
    page = await server.get(stage.path, {"f": "geojson", "limit": 1000})
    not_unless(page.status != 406, "it makes no GeoJSON", "GeoJSONを作りません")
    features = page.member("features")
    for feature in features if isinstance(features, list) else [{}]:
        told, place = feature.get("properties") or {}, feature.get("geometry")
        point = [told.get(east[0]), told.get(north[0])]
        given = place.get("coordinates") if isinstance(place, dict) else None
        wanted = None if None in point else point
        if given != wanted:
            yield wrong(page, f"coordinates {wanted}{named(stage, told)}", given)
            return


def _as_cell(value: Any) -> str:
    if value is None:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


@CASES.of("SCHEMA-06")
async def csv_says_what_json_says(server: Server, stage: Stage) -> Findings:
    told = await one_page(server, stage, limit=50)
    sheet = await server.get(stage.path, {"f": "csv", "limit": 50})
    not_unless(sheet.status != 406, "it makes no CSV", "CSVを作りません")
    rows = list(csv.DictReader(io.StringIO(sheet.body.decode("utf-8", "replace"))))
    wanted = [{name: _as_cell(v) for name, v in each.items()} for each in records_of(told)]
    texts = stage.of_type("text", "code", "local_government_code")
    for row, record in zip(rows, wanted, strict=False):
        differing = [n for n in texts if row.get(n) != record.get(n)]
        if differing or None in row:
            right = {name: record.get(name) for name in differing} or "no more cells than headings"
            yield wrong(sheet, f"{right}{named(stage, record)}",
                        {name: row.get(name) for name in differing} or row[None])  # fmt: skip
            return
    if len(rows) != len(wanted):
        yield wrong(sheet, f"{len(wanted)} lines after the header", len(rows))
    bom = await server.get(stage.path, {"f": "csv", "limit": 1, "bom": "true"})
    if not bom.body.startswith(b"\xef\xbb\xbf") or sheet.body.startswith(b"\xef\xbb\xbf"):
        yield wrong(bom, "a BOM with bom=true alone", bom.body[:3])


@CASES.of("SCHEMA-06")
async def ndjson_has_a_record_a_line(server: Server, stage: Stage) -> Findings:
    lines = await server.get(stage.path, {"f": "ndjson", "limit": 20})
    not_unless(lines.status != 406, "it makes no NDJSON", "NDJSONを作りません")
    told = await one_page(server, stage, limit=20)
    try:
        read = [orjson.loads(line) for line in lines.body.splitlines() if line]
    except orjson.JSONDecodeError:
        read = []
    if read != records_of(told):
        yield wrong(lines, "the records of the JSON page, one a line", lines.body[:200])


@CASES.of("SCHEMA-07")
async def a_form_that_is_not_made_is_refused(server: Server, stage: Stage) -> Findings:
    page = await server.get(stage.path, {"f": "json", "limit": 1}, Accept="text/html")
    if page.status != 200 or page.media_type != "application/json":
        yield wrong(page, "200 application/json with f=json", f"{page.status} {page.media_type}")
    other = await server.get(stage.path, {"limit": 1}, Accept="image/png")
    for each in expect(other, 406, "not_acceptable"):
        yield each
