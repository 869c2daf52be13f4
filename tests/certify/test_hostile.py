"""A judged server that means ill: it fills memory, never ends, pleads, invents records, and speaks to
the terminal of whoever judges it."""

import asyncio
import gzip
import json
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from app.certify import client as asking
from app.certify import reports
from app.certify.cases import writing as feed
from app.certify.client import Exchange, NoAnswer, Server
from app.certify.judge import Outcome, Report, Verdict, judge
from app.certify.kept import packed
from app.certify.lint import Standard
from app.cli.official import _unseen
from tests.certify.mutants import BASE, Transport
from tests.certify.notifying import PUBLIC
from tests.certify.secure_provider import SecureProvider, lent
from tests.certify.test_judge_writing import PREFIX, judged
from tests.certify.writing_provider import TOKEN, Record, Refused, Writing

STANDARD = Standard.read()


@pytest.mark.parametrize(
    ("encoding", "layers", "said"),
    [("gzip", 1, "the answer is over"), ("gzip, gzip", 2, "packed as gzip, gzip")],
)
async def test_what_unfolds_to_more_than_an_answer_may_have_is_not_unfolded(
    encoding: str, layers: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LARGEST", 100_000)
    body = b" " * 20_000_000
    for _ in range(layers):
        body = gzip.compress(body, 1)

    def answer(_request: httpx.Request) -> httpx.Response:
        answer = httpx.Response(200, stream=httpx.ByteStream(body))
        answer.headers["content-encoding"] = encoding
        return answer

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(NoAnswer, match=said):
            await Server(BASE, http, 1e6).get("/v1/health")


async def test_an_answer_that_is_packed_as_was_asked_for_is_read() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        body = gzip.compress(b'{"a": 1}')
        answer = httpx.Response(200, stream=httpx.ByteStream(body))
        answer.headers["content-encoding"] = "gzip"
        return answer

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        told = await Server(BASE, http, 1e6).get("/v1/health")

    assert told.json == {"a": 1}


async def test_a_feed_that_is_too_large_to_be_held_is_told_and_not_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Swells(Writing):
        asked = 0

        def page(self, _place: Any, _limit: int) -> tuple[list[Any], str, bool]:
            self.asked += 1
            return [{"id": "x", "text": "x" * 30_000}], "1", True

    monkeypatch.setattr(feed, "_MOST_BYTES", 100_000)
    made = Swells()
    report = await judged(made, only={"CHANGE-02"})

    (verdict,) = report.broken
    assert "no more than 100000 bytes" in verdict.wrong[0].expected
    assert made.asked == 4


async def test_who_answers_each_question_slowly_is_given_up_and_what_was_seen_is_told() -> None:
    class Slow(httpx.AsyncBaseTransport):
        inner = Transport()

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(0.02)
            return await self.inner.handle_async_request(request)

    given = lent(1, patience_s=0.0)
    async with httpx.AsyncClient(transport=Slow()) as http:
        server = Server(BASE, http, 1e6, longest_s=0.3, lent=given, settle_seconds=0)
        report = await judge(server, STANDARD, ["core"])

    assert "not through within" in str(report.gave_up) and not report.passed
    assert 0 < len(report.verdicts) < 38


async def test_who_took_such_records_before_cannot_plead_that_the_catalogue_tells_too_little() -> (
    None
):
    class Pleads(Writing):
        """Takes one batch, so that something was written, and no other."""

        batches = 0

        def upserted(self, records: list[Record]) -> dict[str, Any]:
            self.batches += 1
            return super().upserted(records)

        def wrong_in(self, record: Record) -> list[str]:
            return ["name"] if self.batches > 1 else super().wrong_in(record)

    report = await judged(Pleads(), only={"IDEMP-01", "IDEMP-02", "IDEMP-05"})

    assert [each.rule for each in report.broken] == ["IDEMP-01", "IDEMP-02", "IDEMP-05"]


async def test_records_that_a_server_invents_under_the_prefix_are_not_all_told_nor_its_secrets() -> (
    None
):
    class Invents(Writing):
        async def delete(self, request: Any) -> Any:
            like = next(iter(self.records.values()))
            for number in range(150):
                key = f"{PREFIX}{TOKEN}{number}{'x' * 1_000}"
                self.records[key] = {**like, "no": key}
            raise Refused("record_not_found" if "nothing" in str(request.url) else "body_too_large")

    report = await judged(Invents(), only={"IDEMP-03"})

    assert 1 < len(report.left) <= 100
    assert max(map(len, report.left)) <= 300
    whole = packed(report).decode() + "".join(reports.written(report, f) for f in reports.FORMS)
    assert TOKEN not in whole


async def test_without_a_dataset_that_was_named_nothing_is_written_whatever_else_was_lent() -> None:
    provider = SecureProvider()
    async with httpx.AsyncClient(transport=provider) as http:
        server = Server(
            BASE, http, 1e6, token=provider.token(), prefix=PREFIX, settle_seconds=0,
            lent=lent(1, callback=None),
        )  # fmt: skip
        report = await judge(server, STANDARD, ["secure"], only={"AUTH-01", "AUTH-05"})

    written = [each.url.path for each in provider.heard if each.method in {"POST", "DELETE"}]
    assert report.broken == [] and report.wrote == 0
    assert written and not [path for path in written if path.startswith("/v1/datasets")]


async def test_a_subscription_that_is_not_ended_is_told_in_every_report() -> None:
    class Keeps(SecureProvider):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE":
                return httpx.Response(500)
            return await super().handle_async_request(request)

    provider = Keeps(frozenset({"http is taken"}))
    async with httpx.AsyncClient(transport=provider) as http:
        server = Server(BASE, http, 1e6, settle_seconds=0, lent=lent(1, callback=None))
        report = await judge(server, STANDARD, ["push"], dataset=PUBLIC, only={"PUSH-06"})

    (path,) = report.subscriptions
    assert path == f"/v1/subscriptions/{next(iter(provider.subscriptions))}"
    for form in reports.FORMS:
        assert path in reports.written(report, form)


async def test_what_a_server_says_gives_no_order_to_a_terminal_and_breaks_no_file() -> None:
    def orders(told: Any) -> None:
        if told.status >= 400:
            told.json = {**told.json, "code": "x\u001b[2J\u009b1m\u202e\uffff\r"}

    async with httpx.AsyncClient(transport=Transport(answer=orders)) as http:
        server = Server(BASE, http, 1e6, settle_seconds=0)
        report = await judge(server, STANDARD, ["core"], only={"QUERY-01"})

    assert report.broken
    for form in ("text", "junit", "html"):
        told = reports.written(report, form)
        assert not {*told} & {*"\u001b\u009b\u202e\uffff"} and (form != "text" or "\r" not in told)
    ElementTree.fromstring(reports.junit(report))


@pytest.mark.parametrize(("unseen", "missing"), [(6, 0), (7, 7)])
def test_a_class_of_which_most_was_not_shown_is_no_certificate(unseen: int, missing: int) -> None:
    """A dataset can be described so that nothing of it can be asked."""
    verdicts = tuple(
        Verdict(
            f"QUERY-{number:02}", "query", "", "",
            Outcome.NOT_SHOWN if number <= unseen else Outcome.KEPT, (), "no number", "数値なし",
        )
        for number in range(1, 14)
    )  # fmt: skip
    report = Report(BASE, "1.0.0", ("query",), 0, verdicts, 1)

    rules, why = _unseen(report)

    assert report.passed and len(rules) == missing
    assert why == (("数値なし", "no number") if missing else ("", ""))


def test_what_is_kept_of_one_answer_is_bounded_whatever_its_headers_are() -> None:
    headers = {f"x-{number}": "y" * 50_000 for number in range(100)}
    server = Server(BASE, httpx.AsyncClient(), secrets={"s" * 1_000_000})

    kept = Exchange(
        "GET", BASE + "/" + "z" * 10**6, {}, 200, headers, b"b" * 10**6, "e" * 10**6
    ).trimmed(server.hidden)

    size = len(json.dumps([kept.url, dict(kept.headers), kept.body.decode(), kept.error]))
    assert size < 100_000
