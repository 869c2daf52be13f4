"""The stored tree over the log: grown behind the entries, read for roots and proofs.

It takes in nothing that does not fit: an entry is a leaf only once its chain to the leaf before
has been computed anew. It never changes an entry, and appending never waits for it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from app.audit.merkle import (
    GENESIS,
    HASH_BYTES,
    TILE_WIDTH,
    Span,
    entry_hash,
    fold,
    full_root,
    grown,
    hashes_in,
    leaf_hash,
    place_in_tiles,
    subtrees,
)

_AT_ONCE: Final = 20_000
Driver: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"
# One process grows the tree; the others leave it to that one.
_ALONE: Final = "SELECT pg_try_advisory_xact_lock(hashtext('urbanos.log_tree'))"
# One step down the primary key a level: 256 to the power of 8 leaves are more than a log has.
_LAST: Final = """
SELECT last.* FROM generate_series(0, 7) AS each (level) CROSS JOIN LATERAL (
    SELECT * FROM log_tile WHERE log_tile.level = each.level ORDER BY number DESC LIMIT 1
) AS last
"""
_NEXT: Final = """
SELECT seq, body, hash FROM log_entry WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3
"""
_KEEP: Final = """
INSERT INTO log_tile (level, number, hashes) VALUES ($1, $2, $3)
ON CONFLICT (level, number) DO UPDATE SET hashes = EXCLUDED.hashes
"""
_TILES: Final = """
SELECT level, number, hashes FROM log_tile
WHERE (level, number) IN (SELECT * FROM unnest($1::smallint[], $2::bigint[]))
"""


class LogBroken(Exception):
    """The entries do not fit what the tree holds of them: somebody changed the log."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"the log does not fit its tree at entry {seq}")
        self.seq = seq


async def grow(pool: "asyncpg.Pool[Any]") -> bool:
    """Add the next entries to the tree. Whether there may be more; raises `LogBroken`."""
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(_ALONE):
            return False
        last = {row[0]: (row[1], row[2]) for row in await connection.fetch(_LAST)}
        size, leaf = _end_of(last)
        head = await connection.fetchrow("SELECT seq, hash FROM log_head")
        if head is None or head["seq"] < size:
            raise LogBroken(size)
        rows = await connection.fetch(_NEXT, size, head["seq"], _AT_ONCE)
        previous = await _previous(connection, size, leaf)
        leaves, newest = await asyncio.to_thread(_chained, size, previous, rows)
        is_more = len(rows) == _AT_ONCE
        if not is_more and (size + len(rows), newest) != (head["seq"], head["hash"]):
            raise LogBroken(size + len(rows) + 1)
        changed = await asyncio.to_thread(grown, last, leaves)
        await connection.executemany(_KEEP, [(*place, tile) for place, tile in changed.items()])
        return is_more


def _end_of(last: dict[int, tuple[int, bytes]]) -> tuple[int, bytes | None]:
    """The tree's size and its last leaf."""
    if 0 not in last:
        return 0, None
    number, hashes = last[0]
    return number * TILE_WIDTH + len(hashes) // HASH_BYTES, hashes[-HASH_BYTES:]


async def _previous(connection: Driver, size: int, leaf: bytes | None) -> bytes:
    """The hash of the last entry in the tree, which must be the one that the tree took in."""
    if leaf is None:
        return GENESIS
    found: bytes | None = await connection.fetchval(
        "SELECT hash FROM log_entry WHERE seq = $1", size
    )
    if found is None or leaf_hash(found) != leaf:
        raise LogBroken(size)
    return found


def _chained(
    size: int, previous: bytes, rows: Sequence[asyncpg.Record]
) -> tuple[list[bytes], bytes]:
    """The leaves of entries that follow each other without a gap, and the hash of the last."""
    leaves: list[bytes] = []
    for expected, (seq, body, stored) in enumerate(rows, start=size + 1):
        previous = entry_hash(previous, body)
        if (seq, stored) != (expected, previous):
            raise LogBroken(expected)
        leaves.append(leaf_hash(previous))
    return leaves, previous


async def size_of(pool: "asyncpg.Pool[Any]") -> int:
    """How many entries the tree holds."""
    last = await pool.fetchrow(
        "SELECT * FROM log_tile WHERE level = 0 ORDER BY number DESC LIMIT 1"
    )
    return 0 if last is None else _end_of({0: (last["number"], last["hashes"])})[0]


async def roots_of(pool: "asyncpg.Pool[Any]", spans: Sequence[Span]) -> list[bytes]:
    """The hashes of nodes of the tree, which holds all their leaves. One query.

    Raises `LogBroken` where tiles were taken away.
    """
    places = [[place_in_tiles(*subtree) for subtree in subtrees(span)] for span in spans]
    wanted = {tile for parts in places for tile, _ in parts}
    levels, numbers = [level for level, _ in wanted], [number for _, number in wanted]
    rows = await pool.fetch(_TILES, levels, numbers)
    tiles = {(row[0], row[1]): row[2] for row in rows}
    return [
        fold([_root_in(tiles.get(tile, b""), part, lo) for tile, part in parts])
        for (lo, _), parts in zip(spans, places, strict=True)
    ]


def _root_in(tile: bytes, part: slice, lo: int) -> bytes:
    if len(tile) < part.stop:
        raise LogBroken(lo + 1)
    return full_root(hashes_in(tile[part]))
