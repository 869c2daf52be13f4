"""The judge that writes is judged: what it finds, what it never does, and what it leaves behind."""

import asyncio
import json
import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from app.certify import reports
from app.certify.cases import making
from app.certify.cases.writing import batch, remove
from app.certify.client import NoAnswer, Server
from app.certify.judge import CASES, WRITTEN, Outcome, Report, judge
from app.certify.kept import packed, unpacked
from app.certify.ledger import Ledger
from app.certify.lent import Client, Lent
from app.certify.lint import Standard
from app.certify.sandbox import NotOurs, PrefixUnfit, SandboxNotClean, SandboxNotLent
from app.certify.stage import Stage, set_stage
from app.formats.incoming import read_record
from app.kit.errors import AppError
from app.models.parties import Role
from app.query.fields import Field, FieldType
from tests import nursery
from tests.certify.mutants import BASE, DATASET, RECORDS
from tests.certify.mutants_write import MUTANTS
from tests.certify.test_judge import sandbox_on
from tests.certify.writing_provider import TOKEN, Record, Writing
from tests.cli.test_demo import Home
from tests.serving import served
from tests.world import KENKO, World

STANDARD = Standard.read()
NAME = "sandbox-facilities"
PREFIX = "judge-"
RULES = {each["id"] for each in STANDARD.document.root["x-rules"] if each["class"] in WRITTEN}
SHORT = RULES - {"IDEMP-06"}  # 10 MB are sent where they are looked at, and not by every mutant
Watch = Callable[[httpx.Request], None]


def transport(made: Writing, watch: Watch | None = None) -> httpx.AsyncBaseTransport:
    inner = httpx.ASGITransport(app=made)

    class Watched(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if watch is not None:
                watch(request)
            return await inner.handle_async_request(request)

    return Watched()


async def judged(
    made: Writing, *classes: str, watch: Watch | None = None, only: set[str] | None = None, **lent: Any
) -> Report:  # fmt: skip
    async with httpx.AsyncClient(transport=transport(made, watch)) as http:
        given = {"token": TOKEN, "prefix": PREFIX, "settle_seconds": 0, **lent}
        server = Server(BASE, http, 1e6, **given)
        return await judge(server, STANDARD, classes or WRITTEN, dataset=NAME, only=only)


async def test_the_platform_passes_both_classes(world: World) -> None:
    await sandbox_on(world)
    steward = await world.party(KENKO, Role.STEWARD)
    lent = Lent(Client(steward.id, steward.key), world.platform.issuer)
    inner = httpx.ASGITransport(app=world.client._transport.app)  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=inner) as http:
        server = Server(str(world.client.base_url), http, 1e6, lent=lent, prefix=PREFIX)
        report = await judge(server, STANDARD, WRITTEN, dataset=NAME, only=RULES)

    assert [
        (each.rule, wrong.expected, wrong.seen) for each in report.broken for wrong in each.wrong
    ] == []
    unseen = {each.rule for each in report.verdicts if each.outcome is Outcome.NOT_SHOWN}
    assert unseen == {"CHANGE-08"}  # every public dataset of the world has a key
    assert (report.wrote, report.left) == (report.removed, ())


def test_every_rule_of_the_classes_that_write_has_a_case_and_a_mutant() -> None:
    broken = {name.partition(" ")[0] for name in MUTANTS}

    assert broken == RULES | {"PAGE-03"} <= set(CASES.known)


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_provider_that_breaks_one_rule_is_told_that_rule_and_no_other(name: str) -> None:
    rule, made = name.partition(" ")[0], MUTANTS[name]()

    report = await judged(made, only=SHORT | {rule})

    assert {each.rule: [w.seen for w in each.wrong] for each in report.broken}.keys() == {rule}
    wrong = report.broken[0].wrong[0]
    assert wrong.expected and wrong.exchange.curl().startswith("curl -i ")
    assert TOKEN not in reports.as_json(report)
    assert not [key for key in made.records if key.startswith(PREFIX)]


async def test_a_change_that_brings_a_part_is_told_by_what_it_lacks() -> None:
    report = await judged(MUTANTS["CHANGE-03 a part"](), only={"CHANGE-03"})

    (wrong,) = report.broken[0].wrong
    assert wrong.expected.endswith("as it became: {'note': '試験86401'}")
    assert wrong.seen == "{'note': '(left out)'}"


# --- where it writes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lent", "refusal"),
    [
        ("write", {"token": None}, SandboxNotLent),
        ("changes", {"prefix": None}, SandboxNotLent),
        ("core", {"prefix": "000", "clean": True}, PrefixUnfit),
        ("core", {"prefix": "judge/%"}, PrefixUnfit),
    ],
)
async def test_without_a_loan_the_class_is_refused_before_anything_is_asked(
    name: str, lent: dict[str, Any], refusal: type[AppError]
) -> None:
    asked: list[httpx.Request] = []

    with pytest.raises(refusal):
        await judged(Writing(), name, watch=asked.append, **lent)

    assert asked == []


async def test_a_client_that_gets_no_token_is_told_and_nothing_is_written() -> None:
    sent: list[httpx.Request] = []
    lent = Lent(Client("judge", None, "a-secret"))

    with pytest.raises(SandboxNotLent, match="metadata of the authorization server"):
        await judged(Writing(), token=None, lent=lent, watch=sent.append)

    assert {each.method for each in sent} == {"GET"}


async def test_a_server_that_leads_away_is_not_followed_with_a_write() -> None:
    hosts: set[str] = set()

    class Away(httpx.AsyncBaseTransport):
        inner = httpx.ASGITransport(app=Writing())

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            hosts.add(request.url.host)
            if request.method != "GET":
                return httpx.Response(307, headers={"Location": "http://else.test" + RECORDS})
            return await self.inner.handle_async_request(request)

    async with httpx.AsyncClient(transport=Away()) as http:
        server = Server(BASE, http, 1e6, token=TOKEN, prefix=PREFIX)
        report = await judge(server, STANDARD, WRITTEN, dataset=NAME, only=SHORT)

    assert hosts == {"sandbox.test"}
    assert {"IDEMP-01", "CHANGE-01"} <= {each.rule for each in report.broken}


async def test_an_entry_of_another_name_is_not_written_to() -> None:
    sent: list[httpx.Request] = []
    entry = {"id": "real-data", "version": 1, "fields": []}

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        told = {"datasets": []} if request.url.path == "/v1/datasets" else entry
        return httpx.Response(200, json=told)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        server = Server(BASE, http, 1e6, token=TOKEN, prefix=PREFIX)
        with pytest.raises(NoAnswer):
            await judge(server, STANDARD, WRITTEN, dataset=NAME)

    assert [each.method for each in sent] == ["GET", "GET"]
    assert sent[1].url.path == DATASET


async def test_no_case_can_write_what_is_not_under_the_prefix() -> None:
    async with httpx.AsyncClient(transport=transport(Writing())) as http:
        server = Server(BASE, http, 1e6, token=TOKEN, prefix=PREFIX)
        stage = await set_stage(server, NAME, 0)
        asked = server.asked
        with pytest.raises(NotOurs, match="not lent"):
            batch(server, stage, [])
        server.ledger = Ledger(NAME)
        for record in ({"no": "0001"}, {"no": None}, {}):
            with pytest.raises(NotOurs):
                batch(server, stage, [{"no": PREFIX + "1"}, record])
            with pytest.raises(NotOurs):
                await remove(server, stage, record)
        with pytest.raises(NotOurs, match="not lent"):
            batch(server, replace(stage, entry={**stage.entry, "id": "other"}), [])

    assert server.asked == asked


# --- what it leaves -------------------------------------------------------------------------------


def _left_before(made: Writing) -> Record:
    record: Record = {**next(iter(made.records.values())), "no": f"{PREFIX}old"}
    made.records[record["no"]] = record
    return record


async def test_what_another_run_left_is_told_and_removed_only_where_that_is_asked_for() -> None:
    made = Writing()
    before = dict(made.records)
    _left_before(made)

    with pytest.raises(SandboxNotClean, match=f"{PREFIX}old"):
        await judged(made)
    assert made.log == []
    report = await judged(made, only={"IDEMP-03", "CHANGE-07"}, clean=True)

    assert report.passed and made.records == before


async def test_a_server_that_dies_midway_is_told_with_what_it_may_hold() -> None:
    made, count = Writing(), iter(range(10**6))

    def dies(_request: httpx.Request) -> None:
        if next(count) > 60:
            raise httpx.ReadError("gone")

    report = await judged(made, only=SHORT, watch=dies)

    held = {key for key in made.records if key.startswith(PREFIX)}
    assert held and held <= set(report.left)
    assert report.gave_up is not None


async def test_records_that_a_server_keeps_are_told_in_every_report() -> None:
    class Keeps(Writing):
        async def delete(self, request: Any) -> Any:
            return Response(status_code=204)

    report = await judged(Keeps(), only={"IDEMP-03"})
    again = unpacked(packed(report))

    (key,) = report.left
    assert (report.wrote, report.removed) == (1, 0)
    for form in ("text", "json", "html"):
        assert key in reports.written(report, form)
    assert reports.written(again, "json") == reports.written(report, "json")


async def test_at_the_shell_an_interrupt_removes_what_was_written(tmp_path: Path) -> None:
    made = Writing()
    before, token = dict(made.records), tmp_path / "token"
    token.write_text(TOKEN)
    home = Home(tmp_path, 1)

    async with served(made) as port:
        words = ["certify", f"http://127.0.0.1:{port}", "--class", "write", "--dataset", NAME,
                 "--token-file", str(token), "--per-second", "200"]  # fmt: skip
        refused = await asyncio.to_thread(home.run, *words)
        lent = [*words, "--sandbox-prefix", PREFIX]
        running = nursery.Child(lent, home.environment, tmp_path / "said")
        async with asyncio.timeout(60):
            while made.records == before:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.005)
        os.kill(running.pid or 0, signal.SIGINT)
        await asyncio.to_thread(running.wait, 60)

    assert refused.returncode and "sandbox_not_lent" in refused.stderr
    assert "--sandbox-prefix" in refused.stderr
    assert running.poll()
    assert made.log and made.records == before


async def test_a_run_that_is_stopped_removes_what_it_wrote() -> None:
    made, stop = Writing(), asyncio.Event()
    before = dict(made.records)

    def written(request: httpx.Request) -> None:
        if request.method == "POST" and made.records != before:
            stop.set()

    running = asyncio.create_task(judged(made, only=SHORT, watch=written))
    await stop.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert made.log and made.records == before


# --- other vendors' datasets ----------------------------------------------------------------------


def test_what_is_made_of_each_type_is_taken_as_it_is_and_what_is_spoilt_is_not() -> None:
    fields = [
        Field("no", "no", "番号", FieldType.CODE, key=True, required=True),
        *(Field(each, each, each, each, required=True) for each in FieldType),
        Field("kind", "kind", "種別", FieldType.CODE, code_list=(("01", "公園"), ("02", "学校"))),
    ]
    told = {"id": NAME, "fields": [each.as_json() for each in fields]}
    stage = Stage(told, [], [], random.Random(0))
    names = frozenset(each.name for each in fields)

    for number in range(60):
        record = making.made(stage, PREFIX, number)
        bad, name = making.spoilt(stage, record)

        assert read_record(record, fields, names).faults == []
        (fault,) = read_record(bad, fields, names).faults
        assert fault.pointer == f"/{name}"


async def test_a_key_that_cannot_carry_the_prefix_shows_nothing_and_passes_nothing() -> None:
    sent: list[httpx.Request] = []

    class Numbered(Writing):
        def said(self, request: Any, body: Any) -> Any:
            text = json.dumps(body).replace(
                '"type": "code", "unit": null, "key": true',
                '"type": "integer", "unit": null, "key": true',
            )
            return super().said(request, json.loads(text))

    report = await judged(Numbered(), only=RULES, watch=sent.append)

    assert {each.method for each in sent} == {"GET"}
    assert report.unseen == ["write", "changes"] and not report.passed
    assert "Nothing was shown of: write, changes" in reports.text(report)
    assert "the key no cannot begin with a prefix" in {each.why for each in report.verdicts}


async def test_a_service_that_wants_more_than_its_catalogue_tells_is_not_judged_by_it() -> None:
    class Wants(Writing):
        def wrong_in(self, record: Record) -> list[str]:
            return ["name"]

    report = await judged(Wants(), only={"IDEMP-01", "IDEMP-03"})

    assert report.broken == [] and not report.passed
    assert all("takes no record" in str(each.why) for each in report.verdicts)
