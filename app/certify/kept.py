"""A report as bytes to be kept, and read back whole: every form of it can be written later."""

from dataclasses import asdict
from typing import Any, Final

import orjson

from app.certify.client import Exchange
from app.certify.judge import Outcome, Report, Verdict, Wrong

_LONGEST: Final = 2_000  # of one text: what a person reads of it
_LONGEST_URL: Final = 8_000  # whole: who repeats the request is to get the same answer
_MOST_HEADERS: Final = 30


def packed(report: Report) -> bytes:
    """The report as JSON. What a server said is cut, so that none can say too much."""
    told = asdict(report)
    told["verdicts"] = [
        {**asdict(each), "wrong": [_wrong(wrong) for wrong in each.wrong]}
        for each in report.verdicts
    ]
    return orjson.dumps(told)


def unpacked(kept: bytes) -> Report:
    """The report of `packed`."""
    told = orjson.loads(kept)
    verdicts = tuple(_verdict(each) for each in told.pop("verdicts"))
    lists = {name: tuple(told.get(name, ())) for name in ("classes", "left", "subscriptions")}
    return Report(**{**told, **lists, "verdicts": verdicts})


def _wrong(wrong: Wrong) -> dict[str, Any]:
    its = wrong.exchange
    return {
        "expected": _cut(wrong.expected), "seen": _cut(wrong.seen),
        "exchange": {
            "method": its.method, "url": _cut(its.url, _LONGEST_URL), "status": its.status,
            "sent": _headers(its.sent), "headers": _headers(its.headers),
            "body": _text(its.body), "given": _text(its.given),
            "error": _cut(its.error) if its.error is not None else None,
        },
    }  # fmt: skip


def _verdict(told: dict[str, Any]) -> Verdict:
    wrong = tuple(
        Wrong(_exchange(each["exchange"]), each["expected"], each["seen"]) for each in told["wrong"]
    )
    return Verdict(**{**told, "outcome": Outcome(told["outcome"]), "wrong": wrong})


def _exchange(told: dict[str, Any]) -> Exchange:
    return Exchange(**{**told, "body": told["body"].encode(), "given": told["given"].encode()})


def _headers(headers: Any) -> dict[str, str]:
    return {
        _cut(name)[:100]: _cut(value)[:500] for name, value in [*headers.items()][:_MOST_HEADERS]
    }


def _text(body: bytes) -> str:
    return body[:_LONGEST].decode("utf-8", "replace")


def _cut(text: str, most: int = _LONGEST) -> str:
    # A header may hold what is no Unicode text.
    return text[:most].encode("utf-8", "replace").decode()
