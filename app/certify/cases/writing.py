"""What cases do with a server that they write to: batches, single reads and deletes, the change feed.

Everything that is written goes through `write`, which sends nothing that is not under the prefix, and
nothing to another dataset than the one that was lent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from app.certify.cases.asking import code_of, wrong
from app.certify.cases.making import made
from app.certify.client import Exchange, Server
from app.certify.judge import Amiss, NotShown
from app.certify.ledger import Ledger
from app.certify.sandbox import NotOurs, is_ours, key_of
from app.certify.stage import Record, Stage

_MOST_PAGES: Final = 200
_A_PAGE: Final = 1_000
_MOST_BYTES: Final = 16 * 1024 * 1024  # of the pages of one way through the feed: they are held
Change = Mapping[str, Any]
Request = tuple[str, str, Mapping[str, str], bytes]


def ledger_of(server: Server, stage: Stage) -> Ledger:
    """The account of what is written. Raises `NotOurs` where nothing, or another dataset, was lent."""
    if server.ledger is None or server.ledger.dataset != stage.id:
        raise NotOurs(f"{stage.id} was not lent")
    return server.ledger


def fresh(server: Server, stage: Stage, count: int = 1) -> list[dict[str, Any]]:
    """Records that were not made before in this run."""
    ledger = ledger_of(server, stage)
    first = ledger.number + 1
    ledger.number += count
    return [made(stage, str(server.prefix), number) for number in range(first, first + count)]


def batch(
    server: Server, stage: Stage, records: Sequence[Record], *, key: str | None = None,
    lines: bool = False,
) -> Request:  # fmt: skip
    """The request that writes records; `lines`: as NDJSON, with a blank line between them.

    Raises `NotOurs`, and notes every key before it can be sent.
    """
    ledger = ledger_of(server, stage)
    if not all(is_ours(server, stage, each) for each in records):
        raise NotOurs("a record that is not under the prefix")
    for each in records:
        ledger.sends(key_of(stage, each))
    body = b"\n\n".join(map(orjson.dumps, records)) + b"\n" if lines else orjson.dumps(records)
    told = {"content-type": "application/x-ndjson" if lines else "application/json"}
    told |= ledger.headers
    if key is not None:
        told["idempotency-key"] = key
    return "POST", server.url_of(stage.path), told, body


async def write(
    server: Server, stage: Stage, records: Sequence[Record], *, key: str | None = None,
    lines: bool = False,
) -> Exchange:  # fmt: skip
    """One batch, whatever comes of it."""
    said = await server.send(*batch(server, stage, records, key=key, lines=lines))
    note_taken(server, stage, records, said)
    return said


async def put(server: Server, stage: Stage, *records: Record, key: str | None = None) -> Exchange:
    """One batch of good records that has to be taken. Raises `Amiss` where it is not."""
    said = await write(server, stage, records, key=key)
    check_taken(server, said, records)
    return said


def check_taken(server: Server, said: Exchange, records: Sequence[Record]) -> None:
    """Raise `Amiss` unless every record of the batch was taken.

    Where the service has taken nothing yet of what was made from its catalogue, there is more to know
    than the catalogue tells, and nothing is shown: `NotShown`. One that took such records before
    cannot plead that.
    """
    told, took_before = results_of(said), server.ledger is not None and server.ledger.wrote
    if said.status != 200 or len(told) != len(records):
        raise Amiss(wrong(said, f"200 with {len(records)} results", code_of(said)))
    rejected = [each for each in told if each.get("status") == "rejected"]
    if rejected and len(rejected) == len(records) and not took_before:
        faults = str(rejected[0].get("errors"))[:300]
        raise NotShown(
            f"the service takes no record that is made from its catalogue: {faults}",
            f"カタログから作ったレコードが受け付けられません: {faults}",
        )
    if rejected:
        raise Amiss(wrong(said, "every good record accepted", rejected[0]))


def note_taken(server: Server, stage: Stage, records: Sequence[Record], said: Exchange) -> None:
    """Note what the server says that it holds."""
    ledger = ledger_of(server, stage)
    for record, result in zip(records, results_of(said), strict=False):
        if result.get("status") in {"inserted", "updated", "unchanged"}:
            ledger.took(key_of(stage, record))


def results_of(said: Exchange) -> list[Mapping[str, Any]]:
    """The results of a batch; none where the answer has none."""
    told = said.member("results")
    return (
        [each if isinstance(each, dict) else {} for each in told] if isinstance(told, list) else []
    )


def statuses(said: Exchange) -> list[Any]:
    """What became of each record, in the order sent."""
    return [each.get("status") for each in results_of(said)]


async def remove(server: Server, stage: Stage, record: Record) -> Exchange:
    """Delete one record that the judge wrote."""
    ledger = ledger_of(server, stage)
    if not is_ours(server, stage, record):
        raise NotOurs("a record that is not under the prefix")
    key = key_of(stage, record)
    said = await server.send("DELETE", server.url_of(f"{stage.path}/{key}"), ledger.headers)
    if said.status in {204, 404}:
        ledger.gone(key)
    return said


async def read(server: Server, stage: Stage, record: Record) -> Exchange:
    """One record by its key."""
    return await server.get(f"{stage.path}/{key_of(stage, record)}")


def value_in(said: Exchange, name: str) -> Any:
    """A field of the one record that was read; None where there is none."""
    record = said.member("record")
    return record.get(name) if isinstance(record, dict) else None


# --- the change feed ------------------------------------------------------------------------------


async def changes(server: Server, stage: Stage, **query: Any) -> Exchange:
    """A page of the feed, whatever it says."""
    return await server.get(f"/v1/datasets/{stage.id}/changes", query)


async def page_of_changes(server: Server, stage: Stage, **query: Any) -> Exchange:
    """A page of the feed. Raises `Amiss` where it is none."""
    page = await changes(server, stage, **query)
    after = page.member("next")
    if page.status != 200 or not isinstance(page.member("changes"), list) or not after:
        seen = code_of(page) if page.status != 200 else f"next {after!r}"
        raise Amiss(wrong(page, "200 with changes and next", seen))
    return page


def changes_in(page: Exchange) -> list[Change]:
    """The changes of a page."""
    return [each if isinstance(each, dict) else {} for each in page.member("changes")]


async def follow(
    server: Server, stage: Stage, since: str | None, *, limit: int = _A_PAGE
) -> tuple[list[Change], str]:
    """All changes from a position on, by `next` alone, and the position behind them.

    Raises `Amiss` where the feed does not come to an end.
    """
    found: list[Change] = []
    size = 0
    for _ in range(_MOST_PAGES):
        query = {"limit": limit} if since is None else {"since": since, "limit": limit}
        page = await page_of_changes(server, stage, **query)
        size += len(page.body)
        if size > _MOST_BYTES:
            raise Amiss(wrong(page, f"changes of no more than {_MOST_BYTES} bytes", size))
        told = changes_in(page)
        found, since = [*found, *told], str(page.member("next"))
        if not told:
            return found, since
    raise Amiss(wrong(page, f"an end of the feed within {_MOST_PAGES} pages", "more"))


async def position(server: Server, stage: Stage) -> str:
    """The end of the feed as it is now."""
    ledger = ledger_of(server, stage)
    _, ledger.at = await follow(server, stage, ledger.at)
    ledger.began = ledger.began or ledger.at
    return ledger.at


def ours_of(server: Server, told: Sequence[Change]) -> list[Change]:
    """Those of the changes that are of the judge's own records."""
    return [each for each in told if str(each.get("key")).startswith(str(server.prefix))]
