"""Benchmarks of the rest: memory and start of a server, tokens, decisions, the log."""

import asyncio
import subprocess
import sys
import time
import timeit
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import psutil

from app.audit import export
from app.audit.checkpoints import newest
from app.audit.events import Event
from app.audit.log import Log
from app.audit.verify import verify
from app.kit.db import plain_dsn
from app.policy.facts import (
    Action,
    AgreementFacts,
    Caller,
    ClientFacts,
    DatasetFacts,
    Facts,
    by_organization,
)
from app.policy.rules import decide
from app.policy.verdicts import Allow, Deny
from tests.bench.figures import Figure, rounds
from tests.bench.stage import Stage, until_answers
from tests.database import REPO
from tests.stock import many

_TOKENS = 1_500
_AT_ONCE = 16


async def start(stage: Stage) -> list[Figure]:
    """From the command to the first 200, and the memory of the process that does nothing."""
    memories: list[float] = []

    async def seconds(_at: int) -> float:
        began = time.perf_counter()
        process = stage.spawn("platform")
        await until_answers(process, "/readyz")
        taken = time.perf_counter() - began
        await asyncio.sleep(2)
        memories.append(psutil.Process(process.child.pid).memory_info().rss / (1 << 20))
        process.stop()
        return taken

    (taken,) = await rounds(seconds)
    return [
        Figure("start until the first 200", "s", taken, wanted_below=1.5),
        Figure("idle memory of a serving process", "MB", tuple(memories), wanted_below=150),
    ]


async def tokens(stage: Stage) -> list[Figure]:
    """Tokens by private_key_jwt; the assertions are made beforehand."""

    async def per_second(_at: int) -> float:
        forms = [urlencode(stage.reader.form("agreements:write")).encode() for _ in range(_TOKENS)]
        began = time.perf_counter()
        await asyncio.gather(*(_ask(stage.port, forms[n::_AT_ONCE]) for n in range(_AT_ONCE)))
        return _TOKENS / (time.perf_counter() - began)

    (values,) = await rounds(per_second)
    return [Figure("tokens by private_key_jwt", "tokens/s", values)]


async def _ask(port: int, forms: list[bytes]) -> None:
    """One connection that is kept, one request after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for form in forms:
        writer.write(
            b"POST /oauth/token HTTP/1.1\r\nHost: bench\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(form), form)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()


async def decisions(stage: Stage) -> list[Figure]:
    """One judgement of a dataset with a thousand agreements, ten of them the caller's."""
    facts = _facts()
    held = by_organization(facts.agreements)

    def judged() -> Allow | Deny:
        return decide(replace(facts, agreements=held["org-7"]))

    assert isinstance(judged(), Allow)

    async def microseconds(_at: int) -> float:
        return timeit.timeit(judged, number=500) / 500 * 1e6

    (values,) = await rounds(microseconds)
    return [Figure("decision, 1,000 agreements", "µs", values)]


async def rights(stage: Stage) -> list[Figure]:
    """Ten thousand datasets with what the caller may do, beside a hundred of them."""
    await many(stage.database.pool, [f"bench-many-{at:05}" for at in range(10_000)])
    headers = await stage.token(stage.reader, "agreements:write")

    async def milliseconds(limit: int) -> float:
        began = time.perf_counter()
        answer = await stage.http.get("/v1/me/datasets", params={"limit": limit}, headers=headers)
        taken = 1_000 * (time.perf_counter() - began)
        assert len(answer.json()["items"]) == limit
        return taken

    few, all_ = await rounds(lambda _: milliseconds(100), lambda _: milliseconds(10_000))
    return [
        Figure("100 datasets with one's rights", "ms", few),
        Figure("10,000 datasets with one's rights", "ms", all_, wanted_below=1_000),
    ]


def _facts() -> Facts:
    now = datetime.now(UTC)
    agreements = tuple(
        AgreementFacts(
            id=str(number),
            consumer_id=f"org-{number % 100}",
            actions=frozenset({"read"}),
            purpose="health",
            columns=frozenset({"name", "capacity"}),
            state="active",
            valid_from=now - timedelta(days=1),
            valid_until=now + timedelta(days=1),
        )
        for number in range(1_000)
    )
    client = ClientFacts(
        client_id="c",
        organization_id="org-7",
        body_id="other",
        line=frozenset({"org-7"}),
        roles=frozenset(),
        zone="internet",
        auth_method="private_key_jwt",
        revoked=False,
    )
    columns = (("name", "internal"), ("capacity", "internal"))
    return Facts(
        action=Action.READ,
        dataset=DatasetFacts("d", "internal", "internet", "publisher", "body", columns),
        caller=Caller(client, frozenset({"dataset:d:read"}), bound=True),
        purpose="health",
        zone="internet",
        agreements=agreements,
        purposes=frozenset({"health"}),
        now=now,
    )


async def log(stage: Stage) -> list[Figure]:
    """Committed entries of many writers at once; with --soak a million, then all verified."""
    entries = Log(plain_dsn(stage.url))
    await entries.start()
    try:

        async def per_second(writers: int, number: int) -> float:
            began = time.perf_counter()
            each = number // writers
            await asyncio.gather(*(_write(entries, each) for _ in range(writers)))
            return each * writers / (time.perf_counter() - began)

        async def by_16(_at: int) -> float:
            return await per_second(16, 8_000)

        async def by_500(_at: int) -> float:
            return await per_second(500, 20_000)

        few, many = await rounds(by_16, by_500)
        if stage.is_soak:
            await per_second(500, 1_000_000)
    finally:
        await entries.stop()
    began = time.perf_counter()
    verdict = await verify(stage.database.pool)
    taken = time.perf_counter() - began
    assert verdict.is_whole, verdict
    by_script = [await _by_script(stage, verdict.entries)] if stage.is_soak else []
    return [
        Figure("log entries, 16 writers", "entries/s", few),
        Figure("log entries, 500 writers", "entries/s", many),
        Figure(f"log verified, {verdict.entries:,} entries", "s", (taken,)),
        *by_script,
    ]


async def _by_script(stage: Stage, entries: int) -> Figure:
    """The time of the script that a court's expert runs, over every entry."""
    pool, file = stage.database.pool, stage.folder / "log.jsonl"
    async with asyncio.timeout(180):  # the platform grows the tree and signs it
        while (signed := await newest(pool)) is None or signed.size < entries:  # noqa: ASYNC110
            await asyncio.sleep(1)
    key = await pool.fetchval("SELECT verifier FROM log_key")
    head, last = await export.head(pool, signed, key, 1, None)
    with file.open("wb") as written:
        written.write(head)
        async for lines in export.entries(pool, 1, last):
            written.write(lines)
    command = [sys.executable, str(REPO / "deploy" / "verify_log.py"), str(file), "--key", key]
    began = time.perf_counter()
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    return Figure(
        f"log verified by the script, {last:,} entries", "s", (time.perf_counter() - began,)
    )


async def _write(entries: Log, number: int) -> None:
    for _ in range(number):
        await entries.write(
            Event.RECORDS_READ, dataset="bench", rows=100, purpose="health", client="bench"
        )
