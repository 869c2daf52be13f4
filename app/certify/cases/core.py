"""Cases of the class `core`: catalogue, schema, records with paging, errors, times, codes, caches."""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any, Final, NoReturn

import jsonschema_rs
import orjson

from app.certify.cases.values import DATE, INSIDES, JAPANESE, TIME, is_code
from app.certify.client import Exchange, Server
from app.certify.judge import CASES, Wrong, not_unless
from app.certify.stage import Stage, next_of

_PROBLEM: Final = "application/problem+json"
_NEEDED: Final = (
    "id", "title_ja", "publisher", "steward", "data_class", "zone", "update_frequency", "fields",
)  # fmt: skip
_MEMBERS: Final = ("type", "title", "status", "code", "detail", "instance", "request_id")
Findings = AsyncIterator[Wrong]


def wrong(exchange: Exchange, expected: str, seen: object) -> Wrong:
    """A finding whose words are cut to what a person reads."""
    return Wrong(exchange, expected, str(seen)[:500])


def code_of(exchange: Exchange) -> str:
    """The status and the code of a refusal, as it is compared."""
    return f"{exchange.status} {exchange.member('code')}"


def expect(exchange: Exchange, status: int, code: str) -> Iterator[Wrong]:
    """That it was refused so."""
    if code_of(exchange) != f"{status} {code}":
        yield wrong(exchange, f"{status} with code {code}", code_of(exchange))


async def one_page(server: Server, stage: Stage, **query: Any) -> Exchange:
    """A page of records."""
    return await server.get(stage.path, query)


def records_of(page: Exchange) -> list[Any]:
    """The records of a page, none where it holds none."""
    records = page.member("records")
    return records if isinstance(records, list) else []


# --- schema ---------------------------------------------------------------------------------------


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
            yield wrong(page, f"a value of the schema at /{where}", fault.message)


@CASES.of("SCHEMA-02")
async def fields_have_one_name(server: Server, stage: Stage) -> Findings:
    names = [each.get("name") for each in stage.fields]
    schema = await server.get(f"/v1/datasets/{stage.id}/schema")
    told = schema.member("properties")
    if not isinstance(told, dict) or not set(names) <= set(told):
        yield wrong(schema, f"the fields {names} as properties", list(told or ()))
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
            yield wrong(page, "null where a field has no value", f"left out {left}, empty {empty}")
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
            yield wrong(listed, "every entry with its members", f"{entry.get('id')}: {missing}")
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
            yield wrong(page, f"coordinates {wanted}", given)
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
            yield wrong(sheet, f"{[record.get(n) for n in texts]}", [row.get(n) for n in texts])
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


# --- pages ----------------------------------------------------------------------------------------


@CASES.of("PAGE-01")
async def limits_are_kept_and_never_cut_in_silence(server: Server, stage: Stage) -> Findings:
    page = await server.get(stage.path)
    if len(records_of(page)) != min(100, len(stage.records)):
        yield wrong(page, "100 records by default, or all", len(records_of(page)))
    for limit in ("0", "-1", "10001", "ten"):
        refused = await one_page(server, stage, limit=limit)
        for each in expect(refused, 400, "invalid_parameter"):
            yield each


@CASES.of("PAGE-02")
async def next_stands_while_more_follows(server: Server, stage: Stage) -> Findings:
    size = max(1, min(len(stage.records) // 3, 50))
    not_unless(len(stage.records) > size, "there is one record", "レコードが1件です")
    page, seen, pages = await one_page(server, stage, limit=size), 0, 0
    while True:
        seen, pages = seen + len(records_of(page)), pages + 1
        href, header = next_of(page), page.headers.get("link", "")
        if (href is None) is ('rel="next"' in header or "rel=next" in header):
            yield wrong(page, "rel=next in links and in Link alike", f"links {href}, Link {header}")
            return
        if href is not None and header and f"<{href}>" not in header:
            yield wrong(page, f"the same address in both: {href}", header)
            return
        if href is None or pages > len(stage.records):
            break
        page = await server.get(href)
        if page.status != 200:
            yield wrong(page, "an address that works as it is", page.status)
            return
    if seen < len(stage.records) or pages > len(stage.records):
        yield wrong(page, f"{len(stage.records)} records over all pages, then no next", seen)


@CASES.of("PAGE-04")
async def cursors_are_of_one_question(server: Server, stage: Stage) -> Findings:
    broken = await one_page(server, stage, limit=1, cursor="no-cursor-of-yours")
    for each in expect(broken, 400, "invalid_cursor"):
        yield each
    first = await one_page(server, stage, limit=1)
    cursor = _cursor_in(next_of(first))
    not_unless(cursor, "there is one page", "1ページだけです")
    cut = await one_page(server, stage, limit=1, cursor=str(cursor)[: len(str(cursor)) // 2])
    for each in expect(cut, 400, "invalid_cursor"):
        yield each
    for other in stage.others[:1]:
        elsewhere = await server.get(
            f"/v1/datasets/{other}/records", {"limit": 1, "cursor": cursor}
        )
        for each in expect(elsewhere, 400, "invalid_cursor"):
            yield each


def _cursor_in(href: str | None) -> str | None:
    from urllib.parse import parse_qs, urlsplit  # noqa: PLC0415 - of this one case

    return parse_qs(urlsplit(href or "").query).get("cursor", [None])[0]


@CASES.of("PAGE-05")
async def numbers_are_those_of_the_page(server: Server, stage: Stage) -> Findings:
    plain = await one_page(server, stage, limit=2)
    counted = await one_page(server, stage, limit=2, count="true")
    if plain.member("numberReturned") != len(records_of(plain)):
        yield wrong(
            plain, f"numberReturned {len(records_of(plain))}", plain.member("numberReturned")
        )
    if plain.member("numberMatched") is not None:
        yield wrong(plain, "no numberMatched without count=true", plain.member("numberMatched"))
    if counted.member("numberMatched") != len(stage.records):
        yield wrong(counted, f"numberMatched {len(stage.records)}", counted.member("numberMatched"))


@CASES.of("PAGE-06")
async def the_order_is_total(server: Server, stage: Stage) -> Findings:
    not_unless(len(stage.records) > 1, "there is one record", "レコードが1件です")
    size = min(len(stage.records), 50)
    first = await one_page(server, stage, limit=size)
    again = await one_page(server, stage, limit=size)
    keys = stage.keys(records_of(first))
    if stage.keys(records_of(again)) != keys:
        yield wrong(again, f"the order of the time before: {keys[:5]}",
                    stage.keys(records_of(again))[:5])  # fmt: skip
    if keys != stage.keys()[:size]:
        yield wrong(first, f"the order of longer pages: {stage.keys()[:5]}", keys[:5])


@CASES.of("QUERY-01")
async def an_unknown_parameter_is_refused(server: Server, stage: Stage) -> Findings:
    for path in (stage.path, "/v1/datasets", f"/v1/datasets/{stage.id}"):
        told = await server.get(path, {"limt": 1})
        for each in expect(told, 400, "unknown_parameter"):
            yield each
    near = await server.get(stage.path, {"limt": 1})
    if near.status == 400 and "limit" not in str(near.json).replace("limt", ""):
        yield wrong(near, "the nearest name, limit, in the words", near.member("detail"))


@CASES.of("QUERY-10")
async def a_version_is_read_or_not_there(server: Server, stage: Stage) -> Findings:
    page = await one_page(server, stage, limit=5, version=stage.entry["version"])
    if stage.keys(records_of(page)) != stage.keys()[:5]:
        yield wrong(page, "the records of that version", f"{page.status}")
    gone = await one_page(server, stage, version=2147483647)
    for each in expect(gone, 404, "version_not_found"):
        yield each


# --- errors ---------------------------------------------------------------------------------------


async def _refusals(server: Server, stage: Stage) -> list[Exchange]:
    """Refusals of several sorts, each of which the other rules look at."""
    return [
        await server.get(stage.path, {"limit": "0"}),
        await server.get("/v1/datasets/no-such-dataset-here/records"),
        await server.get(stage.path, {"cursor": "?"}),
    ]


@CASES.of("ERROR-01")
async def every_refusal_is_a_problem(server: Server, stage: Stage) -> Findings:
    for refusal in await _refusals(server, stage):
        if refusal.status >= 400 and refusal.media_type != _PROBLEM:
            yield wrong(refusal, _PROBLEM, refusal.media_type or "no media type")


@CASES.of("ERROR-02")
async def a_problem_has_its_members(server: Server, stage: Stage) -> Findings:
    for refusal in await _refusals(server, stage):
        missing = [name for name in _MEMBERS if refusal.member(name) in (None, "")]
        if missing:
            yield wrong(refusal, f"the members {', '.join(_MEMBERS)}", f"without {missing}")
        elif refusal.member("status") != refusal.status:
            yield wrong(refusal, f"status {refusal.status}", refusal.member("status"))


@CASES.of("ERROR-03")
async def wrong_input_is_listed(server: Server, stage: Stage) -> Findings:
    refusal = await server.get(stage.path, {"limit": "0"})
    errors = refusal.member("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    if not isinstance(first, dict) or not all(first.get(n) for n in ("pointer", "code", "detail")):
        yield wrong(refusal, "errors with pointer, code and detail", errors)
    elif "limit" not in str(first["pointer"]):
        yield wrong(refusal, "a pointer that names limit", first["pointer"])


@CASES.of("ERROR-04")
async def refusals_speak_the_language_asked_for(server: Server, stage: Stage) -> Findings:
    for asked, wanted in (("ja", True), ("en", False), ("en;q=0.5, ja", True), ("fr", True)):
        refusal = await server.get(stage.path, {"limit": "0"}, Accept_Language=asked)
        said = f"{refusal.member('title')} {refusal.member('detail')}"
        if bool(JAPANESE.search(said)) is not wanted:
            language = "Japanese" if wanted else "English"
            yield wrong(refusal, f"{language} for Accept-Language: {asked}", said)


@CASES.of("ERROR-05")
async def every_request_has_an_id_of_its_own(server: Server, stage: Stage) -> Findings:
    seen = set()
    for refusal in await _refusals(server, stage):
        told, header = refusal.member("request_id"), refusal.headers.get("x-request-id")
        if header is None or (told is not None and told != header):
            yield wrong(refusal, f"X-Request-Id: {told}", header)
        if header in seen:
            yield wrong(refusal, "another id for another request", header)
        seen.add(header)


@CASES.of("ERROR-06")
async def nothing_shows_the_inside(server: Server, stage: Stage) -> Findings:
    nasty = [*await _refusals(server, stage), *await _nasty(server, stage)]
    for answer in nasty:
        found = INSIDES.search(answer.body.decode("utf-8", "replace"))
        if found:
            yield wrong(answer, "words for whoever asked", found[0])


async def _nasty(server: Server, stage: Stage) -> list[Exchange]:
    return [
        await server.get(stage.path, {"limit": "٣"}),
        await server.get(stage.path, {"cursor": "A" * 4000}),
        await server.get(stage.path, {"version": "1' OR '1'='1"}),
        await server.get(stage.path, {"version": "9" * 40}),
        await server.get(stage.path, {"f": "../../etc/passwd"}),
        await server.get("/v1/datasets/%00%ff/records"),
        await server.get("/v1/datasets", {"modified_since": "0000-13-99T99:99:99Z"}),
    ]


@CASES.of("ERROR-07")
async def wrong_input_is_no_fault_of_the_server(server: Server, stage: Stage) -> Findings:
    for answer in await _nasty(server, stage):
        if answer.status >= 500:
            yield wrong(answer, "a status of 4xx", answer.status)


# --- times, codes, numbers ------------------------------------------------------------------------


@CASES.of("TIME-01")
async def times_have_an_offset(server: Server, stage: Stage) -> Findings:
    page = await one_page(server, stage, limit=1000)
    entry = await server.get(f"/v1/datasets/{stage.id}")
    told = entry.member("modified_at")
    if not TIME.fullmatch(str(told)):
        yield wrong(entry, "modified_at as RFC 3339 with an offset", told)
    for name in stage.of_type("datetime"):
        for record in records_of(page):
            value = record.get(name)
            if value is not None and not TIME.fullmatch(str(value)):
                yield wrong(page, f"{name} as RFC 3339 with an offset", value)
                return


@CASES.of("TIME-02")
async def dates_are_of_iso(server: Server, stage: Stage) -> Findings:
    names = stage.of_type("date")
    not_unless(
        any(map(stage.values, names)), "no record has a date", "日付のあるレコードがありません"
    )
    page = await one_page(server, stage, limit=1000)
    for record in records_of(page):
        for name in names:
            value = record.get(name)
            if value is not None and not DATE.fullmatch(str(value)):
                yield wrong(page, f"{name} such as 2026-04-01", value)
                return


@CASES.of("TIME-03")
async def a_time_without_an_offset_is_refused(server: Server, stage: Stage) -> Findings:
    told = await server.get("/v1/datasets", {"modified_since": "2026-04-01T00:00:00"})
    for each in expect(told, 400, "invalid_parameter"):
        yield each
    day = await server.get("/v1/datasets", {"modified_since": "2000-01-01"})
    moment = await server.get("/v1/datasets", {"modified_since": "2000-01-01T00:00:00+09:00"})
    if day.status != 200 or _ids(day) != _ids(moment):
        yield wrong(day, "a date alone as the first moment of that day in Japan", day.status)


def _ids(listed: Exchange) -> list[Any]:
    entries = listed.member("datasets")
    return [each.get("id") for each in entries] if isinstance(entries, list) else []


@CASES.of("CODE-01")
async def municipalities_have_six_digits(server: Server, stage: Stage) -> Findings:
    names = stage.of_type("local_government_code")
    not_unless(any(map(stage.values, names)), "no record has such a code", "団体コードがありません")
    page = await one_page(server, stage, limit=1000)
    for record in records_of(page):
        for name in names:
            value = record.get(name)
            if value is not None and not is_code(value):
                yield wrong(page, f"{name} as text of six digits with its check digit", repr(value))
                return


@CASES.of("CODE-02")
async def five_digits_are_completed(server: Server, stage: Stage) -> Findings:
    six = await server.get("/v1/datasets", {"municipality": "271004"})
    five = await server.get("/v1/datasets", {"municipality": "27100"})
    if five.status != 200 or _ids(five) != _ids(six):
        yield wrong(
            five, f"the entries of 271004: {_ids(six)[:5]}", f"{five.status} {_ids(five)[:5]}"
        )


@CASES.of("CODE-03")
async def a_wrong_check_digit_is_refused(server: Server, stage: Stage) -> Findings:
    told = await server.get("/v1/datasets", {"municipality": "271005"})
    if told.status != 400 or "wrong_check_digit" not in str(told.json):
        yield wrong(told, "400 with wrong_check_digit", code_of(told))


@CASES.of("CODE-04")
async def codes_are_text_of_their_list(server: Server, stage: Stage) -> Findings:
    page = await one_page(server, stage, limit=1000)
    texts = stage.of_type("code", "phone", "postal_code", "local_government_code")
    listed = {each["name"]: each["code_list"] for each in stage.fields if each.get("code_list")}
    for record in records_of(page):
        for name in texts:
            if record.get(name) is not None and not isinstance(record[name], str):
                yield wrong(page, f"{name} as text", repr(record[name]))
                return
        for name, codes in listed.items():
            if record.get(name) is not None and record[name] not in codes:
                yield wrong(page, f"{name} of {list(codes)[:10]}", record[name])
                return


@CASES.of("CODE-05")
async def numbers_are_numbers(server: Server, stage: Stage) -> Findings:
    names = stage.of_type("integer", "decimal", "latitude", "longitude")
    not_unless(any(map(stage.values, names)), "no record has a number", "数値がありません")
    page = await one_page(server, stage, limit=1000)
    for record in records_of(page):
        for name in names:
            value = record.get(name)
            if value is not None and (isinstance(value, bool) or not _is_number(value)):
                yield wrong(page, f"{name} as a number", repr(value))
                return


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal)


# --- caches ---------------------------------------------------------------------------------------


@CASES.of("CACHE-01")
async def answers_have_a_tag(server: Server, stage: Stage) -> Findings:
    for path in (stage.path, "/v1/datasets", f"/v1/datasets/{stage.id}"):
        first, again = await server.get(path), await server.get(path)
        tag = first.headers.get("etag")
        if not tag or again.headers.get("etag") != tag:
            yield wrong(again, f"the same ETag while nothing changes: {tag}",
                        again.headers.get("etag"))  # fmt: skip
    one = await one_page(server, stage, limit=1)
    two = await one_page(server, stage, limit=2)
    if len(stage.records) > 1 and one.headers.get("etag") == two.headers.get("etag") is not None:
        yield wrong(two, "another ETag for other content", two.headers.get("etag"))


@CASES.of("CACHE-02")
async def who_has_it_is_sent_nothing(server: Server, stage: Stage) -> Findings:
    for path in (stage.path, f"/v1/datasets/{stage.id}"):
        tag = (await server.get(path)).headers.get("etag")
        not_unless(tag, "there is no ETag", "ETagがありません")
        same = await server.get(path, If_None_Match=str(tag))
        if same.status != 304 or same.body:
            yield wrong(same, "304 without a body", f"{same.status}, {len(same.body)} bytes")
        other = await server.get(path, If_None_Match='"another"')
        if other.status != 200:
            yield wrong(other, "200 for another tag", other.status)


@CASES.of("CACHE-03")
async def errors_are_not_kept(server: Server, stage: Stage) -> Findings:
    for refusal in await _refusals(server, stage):
        if "no-store" not in refusal.headers.get("cache-control", ""):
            yield wrong(refusal, "Cache-Control: no-store", refusal.headers.get("cache-control"))


@CASES.of("CACHE-04")
async def answers_say_how_old_they_are(server: Server, stage: Stage) -> Findings:
    page = await one_page(server, stage, limit=1)
    meta = page.member("meta")
    told: dict[str, Any] = meta if isinstance(meta, dict) else {}
    age: Any = told.get("age_seconds")
    if not isinstance(told.get("stale"), bool) or not _is_number(age) or age < 0:
        yield wrong(page, "meta with stale and age_seconds", meta)


@CASES.of("CACHE-05")
async def health_says_what_it_found(server: Server, stage: Stage) -> Findings:
    health = await server.get("/v1/health")
    source = health.member("source")
    reached = source.get("reachable") if isinstance(source, dict) else None
    wanted = "ok" if reached is True else "degraded"
    if reached is None or health.member("status") != wanted:
        yield wrong(health, f"status {wanted}, as source.reachable says", health.member("status"))
    if not TIME.fullmatch(str(health.member("checked_at"))):
        yield wrong(health, "checked_at as a time", health.member("checked_at"))
