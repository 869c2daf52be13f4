"""Cases of the class `core`: tags, what is kept, and how fresh it is."""

from typing import Any

from app.certify.cases.asking import Findings, one_page, refusals, wrong
from app.certify.cases.values import TIME, is_number
from app.certify.client import Server
from app.certify.judge import CASES, not_unless
from app.certify.stage import Stage


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
    for refusal in await refusals(server, stage):
        if "no-store" not in refusal.headers.get("cache-control", ""):
            yield wrong(refusal, "Cache-Control: no-store", refusal.headers.get("cache-control"))


@CASES.of("CACHE-04")
async def answers_say_how_old_they_are(server: Server, stage: Stage) -> Findings:
    page = await one_page(server, stage, limit=1)
    meta = page.member("meta")
    told: dict[str, Any] = meta if isinstance(meta, dict) else {}
    age: Any = told.get("age_seconds")
    if not isinstance(told.get("stale"), bool) or not is_number(age) or age < 0:
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
