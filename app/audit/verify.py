"""Walks the hash chain from its beginning and names the first entry that does not fit."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

GENESIS: Final = hashlib.sha256(b"urbanos log 1").digest()
_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk found. `broken_at` is the number of the first entry that is wrong or missing."""

    entries: int
    broken_at: int | None
    reason: str | None  # entry_changed, entry_missing, end_missing

    @property
    def is_whole(self) -> bool:
        """Whether every entry stands as it was written."""
        return self.broken_at is None


async def verify(pool: "asyncpg.Pool[Any]") -> Verdict:
    """Check every entry against the one before it, and the last against the log's head.

    One repeatable-read transaction, read in pieces: entries written meanwhile are not looked at.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await connection.fetchrow("SELECT seq, hash FROM log_head")
        previous, expected = GENESIS, 1
        entries = connection.cursor(
            "SELECT seq, body, hash FROM log_entry ORDER BY seq", prefetch=_AT_ONCE
        )
        async for seq, body, stored in entries:
            if seq != expected:
                return Verdict(expected - 1, expected, "entry_missing")
            previous = hashlib.sha256(previous + body.encode()).digest()
            if previous != stored:
                return Verdict(expected - 1, seq, "entry_changed")
            expected += 1
    if head is None or head["seq"] != expected - 1 or head["hash"] != previous:
        return Verdict(expected - 1, expected, "end_missing")
    return Verdict(expected - 1, None, None)
