"""What every case does with a server: a page, its records, a refusal, a finding in words."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from app.certify.client import Exchange, Server
from app.certify.judge import Wrong
from app.certify.stage import Stage

Findings = AsyncIterator[Wrong]


def wrong(exchange: Exchange, expected: str, seen: object) -> Wrong:
    """A finding whose words are cut to what a person reads."""
    return Wrong(exchange, expected, str(seen)[:500])


def code_of(exchange: Exchange) -> str:
    """The status and the code of a refusal, as it is compared."""
    code = exchange.member("code")
    return f"{exchange.status} without a code" if code is None else f"{exchange.status} {code}"


def named(stage: Stage, record: Any) -> str:
    """Which record it is, for a finding about one of many."""
    if not isinstance(record, Mapping):
        return ""
    (key,) = stage.keys([record])
    return f" (record {','.join(key)[:100]})"


def apart(one: Any, other: Any) -> tuple[str, str]:
    """What two records say where they differ: all of both would hide it."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return str(one), str(other)
    both = [
        {name: each.get(name, "(left out)") for name in {**one, **other}} for each in (one, other)
    ]
    told, given = ({name: value for name, value in each.items() if both[0][name] != both[1][name]}
                   for each in both)  # fmt: skip
    return str(told), str(given)


def expect(exchange: Exchange, status: int, code: str) -> Iterator[Wrong]:
    """That it was refused so."""
    if code_of(exchange) != f"{status} {code}":
        yield wrong(exchange, f"{status} with code {code}", code_of(exchange))


async def one_page(server: Server, stage: Stage, **query: Any) -> Exchange:
    """A page of records."""
    return await server.get(stage.path, query)


def records_of(page: Exchange) -> list[Any]:
    """The records of a page, none where it holds none."""
    records = page.member("records")
    return records if isinstance(records, list) else []


async def refusals(server: Server, stage: Stage) -> list[Exchange]:
    """Refusals of several sorts, each of which the other rules look at."""
    return [
        await server.get(stage.path, {"limit": "0"}),
        await server.get("/v1/datasets/no-such-dataset-here/records"),
        await server.get(stage.path, {"cursor": "?"}),
    ]
