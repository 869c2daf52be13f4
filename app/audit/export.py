"""The log as a file that `deploy/verify_log.py` verifies without this server. Reads only."""

from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import orjson

from app.audit.checkpoints import Signed
from app.audit.merkle import GENESIS, outside_spans
from app.audit.proofs import NotSignedYet, nodes

MEDIA_TYPE: Final = "application/x-ndjson"
_FORMAT: Final = "urbanos-log-1"
_AT_ONCE: Final = 1_000
_HASH: Final = "SELECT hash FROM log_entry WHERE seq = $1"
_ENTRIES: Final = """
SELECT seq, body, hash FROM log_entry WHERE seq >= $1 AND seq < $2 ORDER BY seq
"""


async def head(
    pool: "asyncpg.Pool[Any]", signed: Signed, key: str, first: int, last: int | None
) -> tuple[bytes, int]:
    """The first line, which proves the entries of the others, and the number of the last entry.

    Raises `NotSignedYet`, `LogUnprovable`.
    """
    last = signed.size if last is None else last
    if not 1 <= first <= last <= signed.size:
        raise NotSignedYet(size=signed.size, asked=f"{first}-{last}")
    proof = await nodes(pool, outside_spans(first - 1, last, signed.size))
    previous = GENESIS if first == 1 else await pool.fetchval(_HASH, first - 1)
    line = {
        "format": _FORMAT,
        "key": key,
        "checkpoint": signed.note,
        "first": first,
        "last": last,
        "previous": (previous or b"").hex(),
        "proof": [node.hex() for node in proof],
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE), last


async def entries(pool: "asyncpg.Pool[Any]", first: int, last: int) -> AsyncIterator[bytes]:
    """The other lines, some at a time. Entries never change, so no transaction is held open."""
    for start in range(first, last + 1, _AT_ONCE):
        rows = await pool.fetch(_ENTRIES, start, min(start + _AT_ONCE, last + 1))
        yield b"".join(
            orjson.dumps(
                {"seq": seq, "body": body, "hash": stored.hex()}, option=orjson.OPT_APPEND_NEWLINE
            )
            for seq, body, stored in rows
        )
