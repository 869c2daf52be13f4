"""Walks the log from its beginning and names the first entry that does not fit. Changes nothing.

An entry must fit the one before it, the tree that was grown behind it, and what was signed of that
tree: whoever writes the whole chain anew still has the tree and the signature against him.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from app.audit.merkle import GENESIS, HASH_BYTES, TILE_WIDTH, Frontier, entry_hash, leaf_hash
from app.audit.notes import Checkpoint, Note, NoteRefused, Verifier

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
_GROWN: Final = """
SELECT coalesce(max(number * $1 + length(hashes) / $2), 0) FROM log_tile WHERE level = 0
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk found. `broken_at` is the number of the first entry that is wrong or missing.

    Reasons: `entry_changed` does not fit the entry before, `entry_missing`, `entry_rewritten`: the
    chain is whole but the tree holds another entry, `end_missing`, `checkpoint_differs`: what was
    signed up to this entry is another log, `checkpoint_forged`: our key did not sign it.
    """

    entries: int
    broken_at: int | None
    reason: str | None

    @property
    def is_whole(self) -> bool:
        """Whether every entry stands as it was written."""
        return self.broken_at is None


class _Walk:
    """Where a walk is: the entries so far, and the root over them where something was signed."""

    def __init__(self, signed_size: int) -> None:
        self.previous = GENESIS
        self.tree = Frontier()
        self.root = self.tree.root()  # of what the checkpoint speaks of
        self._signed_size = signed_size

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
            self.tree.add(leaf)
            if seq == self._signed_size:
                self.root = self.tree.root()
        return None


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
        walk = _Walk(signed["size"] if signed else 0)
        entries = await connection.cursor(_ENTRIES)
        while rows := await entries.fetch(_AT_ONCE):
            first = walk.tree.size // TILE_WIDTH
            found = await connection.fetch(_LEAVES, first, first + _TILES_AT_ONCE)
            tiles: dict[int, bytes] = {row[0]: row[1] for row in found}
            broken = await asyncio.to_thread(walk.take, rows, tiles)
            if broken is not None:
                return Verdict(broken[0] - 1, *broken)
    return _at_the_end(walk, head, signed, grown)


def _at_the_end(
    walk: _Walk, head: asyncpg.Record | None, signed: asyncpg.Record | None, grown: int
) -> Verdict:
    size = walk.tree.size
    if head is None or (head["seq"], head["hash"]) != (size, walk.previous):
        return Verdict(size, size + 1, "end_missing")
    if grown > size or (signed is not None and signed["size"] > size):
        return Verdict(size, size + 1, "end_missing")
    if signed is not None and signed["root"] != walk.root:
        return Verdict(size, signed["size"], "checkpoint_differs")
    if signed is not None and not _is_ours(signed):
        return Verdict(size, signed["size"], "checkpoint_forged")
    return Verdict(size, None, None)


def _is_ours(signed: asyncpg.Record) -> bool:
    """Whether the log's key signed what stands in the row."""
    try:
        note, key = Note.parse(signed["note"]), Verifier.parse(signed["verifier"] or "")
    except NoteRefused:
        return False
    said = Checkpoint(key.name, signed["size"], signed["root"])
    return note.text == said.text and note.is_signed_by(key)
