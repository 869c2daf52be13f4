"""The log as a file that `deploy/verify_log.py` verifies without this server. Reads only."""

from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import orjson

from app.audit.checkpoints import Signed
from app.audit.merkle import outside_spans
from app.audit.proofs import LogUnprovable, NotSignedYet, nodes
from app.kit.errors import AppError, Kind

MEDIA_TYPE: Final = "application/x-ndjson"
_FORMAT: Final = "urbanos-log-1"
_AT_ONCE: Final = 1_000
_DROPPED: Final = "SELECT dropped FROM log_retention"
# Of the entry before, also where that was the last to be let go; before entry 1 stands a constant.
_HASH: Final = """
SELECT hash FROM log_entry WHERE seq = $1
UNION ALL SELECT hash FROM log_retention WHERE dropped = $1
"""
_ENTRIES: Final = """
SELECT seq, body, hash FROM log_entry WHERE seq >= $1 AND seq < $2 ORDER BY seq
"""


class EntriesLetGo(AppError):
    """Entries that were asked for were let go after their period; their hashes are in the tree."""

    kind = Kind.NOT_FOUND
    code = "log_entries_let_go"
    ja = (
        "記録 {dropped} までは保存期間を過ぎたため削除されています（ハッシュは残っています）。"
        "from は {next} 以上にしてください。"
    )
    en = (
        "Entries up to {dropped} were let go after their period; their hashes stay."
        " Give a `from` of {next} or more."
    )


async def first_kept(pool: "asyncpg.Pool[Any]") -> int:
    """The number of the first entry that was not let go."""
    return int(await pool.fetchval(_DROPPED)) + 1


async def head(
    pool: "asyncpg.Pool[Any]", signed: Signed, key: str, first: int, last: int | None
) -> tuple[bytes, int]:
    """The first line, which proves the entries of the others, and the number of the last entry.

    Raises `NotSignedYet`, `EntriesLetGo`, `LogUnprovable`.
    """
    last = signed.size if last is None else last
    if not 1 <= first <= last <= signed.size:
        raise NotSignedYet(size=signed.size, asked=f"{first}-{last}")
    kept = await first_kept(pool)
    if first < kept:
        raise EntriesLetGo(dropped=kept - 1, next=kept)
    proof = await nodes(pool, outside_spans(first - 1, last, signed.size))
    previous = await pool.fetchval(_HASH, first - 1)
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
    """The other lines, some at a time. Entries never change, so no transaction is held open.

    Breaks off with `LogUnprovable` where some were let go meanwhile: a file cut short would say
    that somebody cut it.
    """
    for start in range(first, last + 1, _AT_ONCE):
        end = min(start + _AT_ONCE, last + 1)
        rows = await pool.fetch(_ENTRIES, start, end)
        if len(rows) < end - start and await first_kept(pool) > start:
            raise LogUnprovable
        yield b"".join(
            orjson.dumps(
                {"seq": seq, "body": body, "hash": stored.hex()}, option=orjson.OPT_APPEND_NEWLINE
            )
            for seq, body, stored in rows
        )
