"""The judge is judged: for each rule there is a provider that breaks it, and it names exactly that."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from app.certify import client as asking
from app.certify import judge as judging
from app.certify import reports
from app.certify.client import NoAnswer, Server
from app.certify.judge import CASES, JUDGED, ClassNotJudged, Outcome, Report, judge
from app.certify.kept import packed, unpacked
from app.certify.lint import Standard
from app.models.parties import Role
from tests.api.test_suppression import counted
from tests.certify.mutants import BASE, MUTANTS, PROVIDER, Transport, counts, provider
from tests.cli.test_demo import Home
from tests.serving import served
from tests.world import KENKO, World

STANDARD = Standard.read()
READ = ("core", "query")  # what is seen by reading alone
# For what the reference provider gives no occasion: others' writes, an end, other platforms, and
# small groups. Each has its mutant, and a server that keeps it.
UNSEEN = {"PAGE-03", "ERROR-08", "ERROR-09", "QUERY-13"}


async def judged(
    transport: httpx.AsyncBaseTransport, *classes: str, only: set[str] | None = None
) -> Report:
    async with httpx.AsyncClient(transport=transport) as http:
        server = Server(BASE, http, 1e6, settle_seconds=0)  # its data are as old as this process
        return await judge(server, STANDARD, classes or READ, only=only)


async def test_the_reference_provider_breaks_no_rule() -> None:
    report = await judged(Transport())

    assert report.broken == []
    assert report.passed
    unseen = {each.rule for each in report.verdicts if each.outcome is Outcome.NOT_SHOWN}
    assert unseen == UNSEEN


def test_every_rule_that_is_judged_has_a_mutant_and_a_case() -> None:
    rules = {each["id"] for each in STANDARD.document.root["x-rules"] if each["class"] in READ}

    assert set(MUTANTS) | {"PAGE-03"} == rules <= set(CASES.known)
    assert {each["class"] for each in STANDARD.document.root["x-rules"]} == set(JUDGED)


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({"deprecation": "@1900000000", "sunset": "Wed, 01 Apr 2037 00:00:00 GMT"}, None),
        ({"deprecation": "@1900000000"}, "no Sunset"),
        ({"deprecation": "soon", "sunset": "Wed, 01 Apr 2037 00:00:00 GMT"}, "Deprecation: soon"),
        ({"deprecation": "@1900000000", "sunset": "Wed, 01 Apr 2020 00:00:00 GMT"}, "2020"),
        ({"deprecation": "@1500000000", "sunset": "Wed, 01 Apr 2020 00:00:00 GMT"}, "200"),
    ],
)
async def test_the_announcement_of_an_end_is_read(
    headers: dict[str, str], seen: str | None
) -> None:
    def announces(told: Any) -> None:
        told.headers.update(headers)

    report = await judged(Transport(answer=announces), "core", only={"ERROR-08"})

    (verdict,) = report.verdicts
    assert verdict.outcome is (Outcome.BROKEN if seen else Outcome.KEPT)
    assert seen is None or seen in verdict.wrong[0].seen


@pytest.mark.parametrize(
    ("wards", "total", "outcome"),
    [
        ({"271021": 48, "271039": None, "271047": None}, 70, Outcome.KEPT),
        ({"271021": 48, "271039": None}, None, Outcome.KEPT),
        ({"271021": 48, "271039": None}, 49, Outcome.BROKEN),
        ({"271021": 48, "271039": 1, "271047": None}, 70, Outcome.BROKEN),
    ],
)
async def test_what_follows_by_subtraction_is_found(
    wards: dict[str, int | None], total: int | None, outcome: Outcome
) -> None:
    report = await judged(Transport(answer=counts(wards, total)), "query", only={"QUERY-13"})

    assert [each.outcome for each in report.verdicts] == [outcome]


@pytest.mark.parametrize("rule", MUTANTS)
async def test_a_provider_that_breaks_one_rule_is_told_that_rule_and_no_other(rule: str) -> None:
    report = await judged(MUTANTS[rule]())

    assert [each.rule for each in report.broken] == [rule]
    (verdict,) = report.broken
    wrong = verdict.wrong[0]
    assert wrong.expected and wrong.seen
    assert wrong.exchange.curl().startswith("curl -i ")
    assert (verdict.ja, verdict.en, verdict.rationale_ja, verdict.rationale_en) == _words(rule)
    assert not report.passed


def _words(rule: str) -> tuple[str, ...]:
    (found,) = [each for each in STANDARD.document.root["x-rules"] if each["id"] == rule]
    return found["ja"], found["en"], found["why_ja"], found["why_en"]


async def test_the_same_seed_asks_the_same() -> None:
    first, again = await judged(Transport()), await judged(Transport())

    assert first.asked == again.asked
    assert reports.as_json(first) == reports.as_json(again)


async def test_a_class_without_cases_is_not_said_to_be_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "JUDGED", ("core", "query"))

    with pytest.raises(ClassNotJudged, match="core, query"):
        await judged(Transport(), "core", "changes")


async def test_the_platform_breaks_no_rule(world: World) -> None:
    await sandbox_on(world)
    await counted(world)
    transport = httpx.ASGITransport(app=world.client._transport.app)  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=transport) as http:
        server = Server(str(world.client.base_url), http, 1e6)
        report = await judge(server, STANDARD, READ, dataset="sandbox-facilities")

    assert [
        (each.rule, wrong.expected, wrong.seen, wrong.exchange.url)
        for each in report.broken
        for wrong in each.wrong
    ] == []
    unseen = {each.rule for each in report.verdicts if each.outcome is Outcome.NOT_SHOWN}
    assert unseen == {"PAGE-03", "ERROR-08"}  # it has no writer here, and no end


async def sandbox_on(world: World) -> None:
    """The provider's own dataset, on the platform."""
    told = json.loads((PROVIDER / "dataset.json").read_text("utf-8"))
    steward = await world.party(KENKO, Role.STEWARD)
    scope = "catalogue:write dataset:sandbox-facilities:write"
    body = {
        "id": told["id"], "title_ja": told["title_ja"], "steward": {"name": "試験係"},
        "license": told["license"], "update_frequency": "irregular", "data_class": "public",
        "fields": [
            {name: value for name, value in each.items() if value is not None}
            for each in told["fields"]
        ],
    }  # fmt: skip
    headers = await world.token(steward, "catalogue:write")
    added = await world.client.post("/v1/datasets", json=body, headers=headers)
    assert added.status_code == 201, added.text
    headers = await world.token(steward, scope)
    sent = await world.client.post(
        f"/v1/datasets/{told['id']}/records", json=provider.RECORDS, headers=headers
    )
    assert sent.json()["rejected"] == 0, sent.text


# --- servers that mean ill ------------------------------------------------------------------------

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def speaking(speak: Speak) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await speak(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _never_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def _html(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = b"<html>Welcome</html>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _leads_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    to = b"http://169.254.169.254/latest/meta-data"
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: " + to + b"\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("speak", "said"),
    [
        (_hangs, "no whole answer within"),
        (_never_ends, "the answer is over"),
        (_html, "the answer is text/html, which is no JSON"),
        (_leads_away, "the answer is HTTP 302"),
    ],
)
async def test_a_server_that_cannot_be_judged_is_told_and_costs_little(
    speak: Speak, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LONGEST_S", 2.0)
    async with speaking(speak) as base, httpx.AsyncClient() as http:
        with pytest.raises(NoAnswer) as refused:
            await judge(Server(base, http, 1e6), STANDARD, ["core"])

    assert said in (refused.value.exchange.error or "")
    assert refused.value.exchange.url.startswith(base)


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ("SCHEMA-02", "without ['kana'], and with ['yomi'] that are no fields"),
        ("SCHEMA-04", "sandbox-facilities without license"),
        ("CODE-04", "99 (record 0001)"),
        ("PAGE-01", "200 without a code"),
        ("QUERY-02", "1: without ['0002'], and with [] that do not meet it"),
    ],
)
async def test_a_finding_names_the_record_or_the_member_that_is_to_be_mended(
    rule: str, seen: str
) -> None:
    report = await judged(MUTANTS[rule](), only={rule})

    assert report.broken[0].wrong[0].seen == seen


async def test_a_record_that_is_none_is_told_as_what_it_is() -> None:
    def odd(told: Any) -> None:
        if told.path.endswith("/records") and told.query.get("limit") == "100":
            told.json = {**told.json, "records": [5]}

    report = await judged(Transport(answer=odd), only={"SCHEMA-01"})

    assert report.broken[0].wrong[0].seen == '5 is not of type "object"'


async def test_a_wrong_address_or_dataset_is_told_with_what_was_answered() -> None:
    async with httpx.AsyncClient(transport=Transport()) as http:
        with pytest.raises(NoAnswer) as address:
            await judge(Server(f"{BASE}/v1", http, 1e6), STANDARD, ["core"])
        with pytest.raises(NoAnswer) as dataset:
            await judge(Server(BASE, http, 1e6), STANDARD, ["core"], dataset="none")

    told = address.value.exchange
    assert "HTTP 404" in (told.error or "") and "before /v1" in (told.error or "")
    assert "/v1 より前" in (told.error_ja or "")
    assert dataset.value.exchange.url == f"{BASE}/v1/datasets/none"


async def test_a_next_link_that_leads_elsewhere_is_never_followed() -> None:
    def away(told: Any) -> None:
        if told.path.endswith("/records") and told.status == 200 and "limit" in told.query:
            body = told.json
            body["links"] = [{"rel": "next", "href": "http://169.254.169.254/latest"}]
            told.json = body

    with pytest.raises(NoAnswer, match="leads to another server"):
        await judged(Transport(answer=away))


async def test_a_catalogue_of_odd_types_is_judged_all_the_same() -> None:
    def odd(told: Any) -> None:
        if told.path == "/v1/datasets" and told.status == 200:
            body = told.json
            body["datasets"][0]["fields"].append({"name": "odd", "type": ["text"]})
            told.json = body

    report = await judged(Transport(answer=odd), "core")

    assert report.broken and report.gave_up is None


async def test_records_that_never_end_cost_no_more_than_so_many_bytes() -> None:
    def grows(told: Any) -> None:
        if told.path.endswith("/records"):
            at = int(told.query.get("cursor") or 0) + 1
            href = f"{BASE}{told.path}?cursor={at}"
            links = [{"rel": "next", "href": href}]
            told.status = 200
            told.json = {"records": [{"no": str(at), "x": "x" * 5_000_000}], "links": links}

    with pytest.raises(NoAnswer, match="the records are over"):
        await judged(Transport(answer=grows))


async def test_a_schema_that_refers_elsewhere_is_broken_and_nothing_is_fetched() -> None:
    asked: list[bytes] = []

    async def heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(b"")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with speaking(heard) as base:

        def leads(told: Any) -> None:
            if told.path.endswith("/schema") and told.status == 200:
                told.json = {**told.json, "allOf": [{"$ref": f"{base}/inside"}]}

        report = await judged(Transport(answer=leads))

    assert [each.rule for each in report.broken] == ["SCHEMA-01"]
    assert "refers to" in report.broken[0].wrong[0].seen
    assert asked == []


async def test_a_kept_report_is_read_back_whole() -> None:
    report = await judged(MUTANTS["ERROR-02"]())

    again = unpacked(packed(report))

    for form in reports.FORMS:
        assert reports.written(again, form) == reports.written(report, form)


async def test_a_few_rules_alone_are_asked_for_where_only_they_are_wanted() -> None:
    async with httpx.AsyncClient(transport=Transport()) as http:
        server = Server(BASE, http, 1e6)
        report = await judge(server, STANDARD, ["core"], only={"TIME-01", "PAGE-01"})

    assert {each.rule for each in report.verdicts} == {"TIME-01", "PAGE-01"}
    assert report.asked < 10


async def test_a_server_that_falls_silent_ends_the_run() -> None:
    asked = iter(range(10**6))

    def dies(told: Any) -> None:
        if next(asked) > 20:
            raise httpx.ReadError("gone")

    report = await judged(Transport(answer=dies))

    assert report.gave_up is not None
    assert not report.passed
    assert len(report.verdicts) < 30


@pytest.mark.parametrize("junk", [[], {}, {"records": [[]]}, {"records": 7}, None, "x"])
async def test_answers_of_no_known_shape_break_rules_and_not_the_judge(junk: Any) -> None:
    seen = iter(range(10**6))

    def shapeless(told: Any) -> None:
        if told.status == 200 and next(seen) > 8:
            told.json = junk

    report = await judged(Transport(answer=shapeless))

    assert len(report.broken) > 10


# --- at the shell ---------------------------------------------------------------------------------


async def test_at_the_shell_a_run_is_told_in_every_form(tmp_path: Path) -> None:
    home = Home(tmp_path, 1)

    async def run(base: str, form: str) -> Any:
        words = ("certify", base, "--class", "core", "--format", form, "--per-second", "1000")
        done = await asyncio.to_thread(home.run, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async with served(provider.app) as port:
        base = f"http://127.0.0.1:{port}"
        told = json.loads(await run(base, "json"))
        cases = ElementTree.fromstring(await run(base, "junit"))
        gone = await asyncio.to_thread(home.run, "certify", "http://127.0.0.1:1")

    assert told["passed"] is True
    assert {each["rule"] for each in told["rules"] if each["outcome"] == "not_shown"} == UNSEEN - {
        "QUERY-13"
    }
    assert len(cases.findall("testcase")) == len(told["rules"]) == 38
    assert gone.returncode == 1
    assert "This cannot be judged" in gone.stderr


async def test_a_report_is_whole_in_every_form_and_runs_nothing() -> None:
    def hostile(told: Any) -> None:
        if told.status >= 400:
            told.json = {**told.json, "instance": None, "x": "<script>alert(1)</script>\u0001"}

    report = await judged(Transport(answer=hostile))

    page, xml = reports.html(report), reports.junit(report)
    found = json.loads(reports.sarif(report))["runs"][0]["results"]
    opened = {each["ruleId"] for each in found if each.get("kind") == "open"}
    assert {each["ruleId"] for each in found} - opened == {"ERROR-02"} and opened == UNSEEN
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert ElementTree.fromstring(xml).get("failures") == "1"
    assert "× ERROR-02" in reports.text(report)
    reason = _words("ERROR-02")[3]
    assert all(reason in reports.written(report, form) for form in reports.FORMS)
    assert all(each.rule in page for each in report.verdicts)
