"""Cases of the class `core`: limits, next links, cursors, orders, parameters and versions."""

from urllib.parse import parse_qs, urlsplit

from app.certify.cases.asking import Findings, expect, one_page, records_of, wrong
from app.certify.client import Server
from app.certify.judge import CASES, not_unless
from app.certify.stage import Stage, next_of


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
        if elsewhere.status in {403, 404, 410}:  # not everything that is listed can be read
            continue
        for each in expect(elsewhere, 400, "invalid_cursor"):
            yield each


def _cursor_in(href: str | None) -> str | None:
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
