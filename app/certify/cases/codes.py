"""Cases of the class `core`: times, dates, codes and numbers."""

from typing import Any

from app.certify.cases.asking import Findings, code_of, expect, named, one_page, records_of, wrong
from app.certify.cases.values import DATE, TIME, is_code, is_number
from app.certify.client import Exchange, Server
from app.certify.judge import CASES, not_unless
from app.certify.stage import Stage


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
                yield wrong(page, f"{name} such as 2026-04-01", f"{value}{named(stage, record)}")
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
                wanted = f"{name} as text of six digits with its check digit"
                yield wrong(page, wanted, f"{value!r}{named(stage, record)}")
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
                yield wrong(page, f"{name} as text", f"{record[name]!r}{named(stage, record)}")
                return
        for name, codes in listed.items():
            if record.get(name) is not None and record[name] not in codes:
                seen = f"{record[name]}{named(stage, record)}"
                yield wrong(page, f"{name} of {list(codes)[:10]}", seen)
                return


@CASES.of("CODE-05")
async def numbers_are_numbers(server: Server, stage: Stage) -> Findings:
    names = stage.of_type("integer", "decimal", "latitude", "longitude")
    not_unless(any(map(stage.values, names)), "no record has a number", "数値がありません")
    page = await one_page(server, stage, limit=1000)
    for record in records_of(page):
        for name in names:
            value = record.get(name)
            if value is not None and (isinstance(value, bool) or not is_number(value)):
                yield wrong(page, f"{name} as a number", f"{value!r}{named(stage, record)}")
                return
