"""Cases of the class `core`: refusals and what they say."""

from typing import Final

from app.certify.cases.asking import Findings, refusals, wrong
from app.certify.cases.values import INSIDES, JAPANESE
from app.certify.client import Exchange, Server
from app.certify.judge import CASES
from app.certify.stage import Stage

_PROBLEM: Final = "application/problem+json"
_MEMBERS: Final = ("type", "title", "status", "code", "detail", "instance", "request_id")


@CASES.of("ERROR-01")
async def every_refusal_is_a_problem(server: Server, stage: Stage) -> Findings:
    for refusal in await refusals(server, stage):
        if refusal.status >= 400 and refusal.media_type != _PROBLEM:
            yield wrong(refusal, _PROBLEM, refusal.media_type or "no media type")


@CASES.of("ERROR-02")
async def a_problem_has_its_members(server: Server, stage: Stage) -> Findings:
    for refusal in await refusals(server, stage):
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
    for refusal in await refusals(server, stage):
        told, header = refusal.member("request_id"), refusal.headers.get("x-request-id")
        if header is None or (told is not None and told != header):
            yield wrong(refusal, f"X-Request-Id: {told}", header)
        if header in seen:
            yield wrong(refusal, "another X-Request-Id for another request", f"{header} again")
        seen.add(header)


@CASES.of("ERROR-06")
async def nothing_shows_the_inside(server: Server, stage: Stage) -> Findings:
    nasty = [*await refusals(server, stage), *await _nasty(server, stage)]
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
