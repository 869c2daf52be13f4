"""Walks the log from its beginning and names the first entry that does not fit. Changes nothing.

An entry must fit the one before it, the tree that was grown behind it, and what was signed of that
tree: whoever writes the whole chain anew still has the tree and the signature against him. Of
entries that were let go the tree has the leaves, and an entry behind them must tell of it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson

from app.audit.events import Event
from app.audit.merkle import (
    GENESIS,
    HASH_BYTES,
    TILE_WIDTH,
    Frontier,
    entry_hash,
    hashes_in,
    leaf_hash,
)
from app.audit.notes import Checkpoint, Note, NoteRefused, Verifier
from app.audit.tree import Driver

_TILES_AT_ONCE: Final = 20
_AT_ONCE: Final = TILE_WIDTH * _TILES_AT_ONCE
_ENTRIES: Final = "SELECT seq, body, hash FROM log_entry ORDER BY seq"
_LEAVES: Final = """
SELECT number, hashes FROM log_tile WHERE level = 0 AND number >= $1 AND number < $2
"""
_SIGNED: Final = """
SELECT size, root, note, (SELECT verifier FROM log_key) AS verifier
FROM log_checkpoint ORDER BY size DESC LIMIT 1
"""
_DROPPED: Final = "SELECT dropped, hash FROM log_retention"
_TELLS: Final = f'"event":"{Event.LOG_DROPPED}"'  # canonical, and no text can hold its quotes
_GROWN: Final = """
SELECT coalesce(max(number * $1 + length(hashes) / $2), 0) FROM log_tile WHERE level = 0
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk found. `broken_at` is the number of the first entry that is wrong or missing.

    `entries` counts also those that were let go after their period: the first `dropped`.
    Reasons: `entry_changed` does not fit the entry before, `entry_missing`, `entry_rewritten`: the
    chain is whole but the tree holds another entry, `end_missing`, `checkpoint_differs`: what was
    signed up to this entry is another log, `checkpoint_forged`: our key did not sign it,
    `boundary_changed`: what is said to have been let go last is not what the tree has there,
    `drop_untold`: no entry tells that so much was let go.
    """

    entries: int
    broken_at: int | None
    reason: str | None
    dropped: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every entry stands as it was written."""
        return self.broken_at is None


class _Walk:
    """Where a walk is: the entries so far, and the root over them where something was signed."""

    def __init__(self, kept: asyncpg.Record | None, signed_size: int) -> None:
        self.dropped: int = kept["dropped"] if kept else 0
        self.previous: bytes = kept["hash"] if kept else GENESIS
        self.is_told = self.dropped == 0
        self.tree = Frontier()
        self.root = self.tree.root()  # of what the checkpoint speaks of
        self._signed_size = signed_size
        self._last_leaf = leaf_hash(GENESIS)  # of what was let go

    def pass_over(self, tiles: Mapping[int, bytes]) -> None:
        """Go on over leaves whose entries were let go, as far as there are leaves."""
        while self.tree.size < self.dropped:
            number, at = divmod(self.tree.size, TILE_WIDTH)
            leaves = hashes_in(tiles.get(number, b""))[at : at + self.dropped - self.tree.size]
            if not leaves:
                return
            for leaf in leaves:
                self._add(leaf)
            self._last_leaf = leaves[-1]

    def begin(self) -> tuple[int, str] | None:
        """Whether the entries that are kept follow on what was let go."""
        if self.tree.size < self.dropped:
            return self.tree.size + 1, "entry_missing"
        if leaf_hash(self.previous) != self._last_leaf:
            return max(self.dropped, 1), "boundary_changed"
        return None

    def take(
        self, rows: Sequence[asyncpg.Record], tiles: Mapping[int, bytes]
    ) -> tuple[int, str] | None:
        """Go on over these entries; the first that does not fit and why, if there is one."""
        for expected, (seq, body, stored) in enumerate(rows, start=self.tree.size + 1):
            if seq != expected:
                return expected, "entry_missing"
            self.previous = entry_hash(self.previous, body)
            if self.previous != stored:
                return expected, "entry_changed"
            leaf = leaf_hash(stored)
            number, at = divmod(seq - 1, TILE_WIDTH)
            if tiles.get(number, b"")[at * HASH_BYTES : (at + 1) * HASH_BYTES] not in (leaf, b""):
                return expected, "entry_rewritten"
            self._add(leaf)
            self.is_told = self.is_told or (_TELLS in body and self._tells(body))
        return None

    def _add(self, leaf: bytes) -> None:
        self.tree.add(leaf)
        if self.tree.size == self._signed_size:
            self.root = self.tree.root()

    def _tells(self, body: str) -> bool:
        told = orjson.loads(body)
        return (told.get("event"), told.get("last")) == (Event.LOG_DROPPED, self.dropped)


async def verify(pool: "asyncpg.Pool[Any]") -> Verdict:
    """Check every entry against the one before it, the tree, the checkpoint and the log's head.

    One repeatable-read transaction, read in pieces: entries written meanwhile are not looked at.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        head = await connection.fetchrow("SELECT seq, hash FROM log_head")
        signed = await connection.fetchrow(_SIGNED)
        grown = await connection.fetchval(_GROWN, TILE_WIDTH, HASH_BYTES)
        walk = _Walk(await connection.fetchrow(_DROPPED), signed["size"] if signed else 0)
        broken = await _walk_over(connection, walk)
    if broken is not None:
        return Verdict(broken[0] - 1, *broken, walk.dropped)
    return _at_the_end(walk, head, signed, grown)


async def _walk_over(connection: Driver, walk: _Walk) -> tuple[int, str] | None:
    """The first entry that does not fit and why, if there is one."""
    while walk.tree.size < walk.dropped:
        before = walk.tree.size
        await asyncio.to_thread(walk.pass_over, await _tiles(connection, before))
        if walk.tree.size == before:
            break
    broken = walk.begin()
    entries = await connection.cursor(_ENTRIES)
    while broken is None and (rows := await entries.fetch(_AT_ONCE)):
        tiles = await _tiles(connection, walk.tree.size)
        broken = await asyncio.to_thread(walk.take, rows, tiles)
    return broken


async def _tiles(connection: Driver, size: int) -> dict[int, bytes]:
    """Tiles of leaves from the one on that the next leaf stands in."""
    first = size // TILE_WIDTH
    found = await connection.fetch(_LEAVES, first, first + _TILES_AT_ONCE)
    return {row[0]: row[1] for row in found}


def _at_the_end(
    walk: _Walk, head: asyncpg.Record | None, signed: asyncpg.Record | None, grown: int
) -> Verdict:
    size = walk.tree.size

    def broken(at: int, reason: str) -> Verdict:
        return Verdict(size, at, reason, walk.dropped)

    if head is None or (head["seq"], head["hash"]) != (size, walk.previous):
        return broken(size + 1, "end_missing")
    if grown > size or (signed is not None and signed["size"] > size):
        return broken(size + 1, "end_missing")
    if signed is not None and signed["root"] != walk.root:
        return broken(signed["size"], "checkpoint_differs")
    if signed is not None and not _is_ours(signed):
        return broken(signed["size"], "checkpoint_forged")
    if not walk.is_told:
        return broken(walk.dropped, "drop_untold")
    return Verdict(size, None, None, walk.dropped)


def _is_ours(signed: asyncpg.Record) -> bool:
    """Whether the log's key signed what stands in the row."""
    try:
        note, key = Note.parse(signed["note"]), Verifier.parse(signed["verifier"] or "")
    except NoteRefused:
        return False
    said = Checkpoint(key.name, signed["size"], signed["root"])
    return note.text == said.text and note.is_signed_by(key)
