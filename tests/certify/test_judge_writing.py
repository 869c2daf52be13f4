"""The judge that writes is judged: what it finds, what it never does, and what it leaves behind."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.certify import reports
from app.certify.cases.writing import batch, remove
from app.certify.client import Server
from app.certify.judge import CASES, WRITTEN, Outcome, Report, judge
from app.certify.kept import packed, unpacked
from app.certify.ledger import Ledger
from app.certify.lent import NotOurs, PrefixUnfit, SandboxNotClean, SandboxNotLent
from app.certify.lint import Standard
from app.certify.stage import set_stage
from tests.certify.mutants import BASE
from tests.certify.mutants_write import MUTANTS
from tests.certify.writing_provider import TOKEN, Writing

STANDARD = Standard.read()
NAME = "sandbox-facilities"
PREFIX = "judge-"
RULES = {each["id"] for each in STANDARD.document.root["x-rules"] if each["class"] in WRITTEN}
SHORT = RULES - {"IDEMP-06"}  # 10 MB are sent where they are looked at, and not by every mutant
Watch = Callable[[httpx.Request], None]


def transport(made: Writing, watch: Watch | None = None) -> httpx.AsyncBaseTransport:
    inner = httpx.ASGITransport(app=made)
    if watch is None:
        return inner

    class Watched(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
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


async def test_the_provider_that_writes_passes_every_class_and_holds_what_it_held() -> None:
    made = Writing()
    before = dict(made.records)

    report = await judged(made, "core", "query", "write", "changes")

    assert report.broken == [] and report.passed
    kept = {each.rule for each in report.verdicts if each.outcome is Outcome.KEPT}
    assert kept >= RULES
    assert made.records == before
    assert report.wrote > 50 and report.left == ()
    print(report.asked)


def test_every_rule_of_the_classes_that_write_has_a_case_and_a_mutant() -> None:
    assert {name.partition(" ")[0] for name in MUTANTS} == set(CASES.known) & RULES == RULES


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_provider_that_breaks_one_rule_is_told_that_rule_and_no_other(name: str) -> None:
    rule, made = name.partition(" ")[0], MUTANTS[name]()

    report = await judged(made, only=SHORT | {rule})

    assert {each.rule: [w.seen for w in each.wrong] for each in report.broken}.keys() == {rule}
    wrong = report.broken[0].wrong[0]
    assert wrong.expected and wrong.exchange.curl().startswith("curl -i ")
    assert TOKEN not in reports.as_json(report)
    assert not [key for key in made.records if key.startswith(PREFIX)]
