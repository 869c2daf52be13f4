"""The Merkle tree over the log (RFC 6962, 2.1), as pure functions. Reads and writes nothing.

The leaf of an entry is its 32-byte `hash`, which chains its body to all entries before it:
    entry hash = SHA-256(hash of the entry before ‖ body as UTF-8)
    leaf hash  = SHA-256(0x00 ‖ entry hash)
    node hash  = SHA-256(0x01 ‖ left ‖ right)
So a proof, which shows the leaf hashes of strangers' entries, lets nobody test a guess of what they
say. Entry number n has the index n - 1. A span (lo, hi) stands for the leaves lo <= index < hi.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int]
HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8  # C2SP tlog-tiles
TILE_WIDTH: Final = 1 << TILE_HEIGHT
_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
EMPTY_ROOT: Final = hashlib.sha256().digest()
GENESIS: Final = hashlib.sha256(b"urbanos log 1").digest()  # stands before the first entry


def entry_hash(previous: bytes, body: str) -> bytes:
    """The hash of an entry, as the database computes it too."""
    return hashlib.sha256(previous + body.encode()).digest()


def leaf_hash(entry: bytes) -> bytes:
    """The leaf of the entry that has this hash."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node above two."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """The largest power of two below `count`: where a tree of so many leaves parts."""
    return 1 << ((count - 1).bit_length() - 1)


# --- which nodes make a proof --------------------------------------------------------------------


def inclusion_spans(index: int, size: int) -> list[Span]:
    """The nodes of an inclusion proof, from the leaf up (RFC 6962, 2.1.1)."""
    found: list[Span] = []
    lo, hi = 0, size
    while hi - lo > 1:
        middle = lo + _split(hi - lo)
        if index < middle:
            found.append((middle, hi))
            hi = middle
        else:
            found.append((lo, middle))
            lo = middle
    return found[::-1]


def consistency_spans(old: int, new: int) -> list[Span]:
    """The nodes of a proof that `new` leaves begin with the `old` ones (RFC 6962, 2.1.2)."""
    if old in (0, new):
        return []
    found: list[Span] = []
    lo, hi = 0, new
    while hi != old:
        middle = lo + _split(hi - lo)
        if old <= middle:
            found.append((middle, hi))
            hi = middle
        else:
            found.append((lo, middle))
            lo = middle
    if lo:
        found.append((lo, hi))  # otherwise it is the old root itself, which the verifier has
    return found[::-1]


def outside_spans(first: int, end: int, size: int) -> list[Span]:
    """The largest subtrees without a leaf of `first` to `end`, from left to right.

    With the leaves between them they give the root: one proof for any number of neighbours.
    """

    def look(lo: int, hi: int) -> Iterator[Span]:
        if hi <= first or lo >= end:
            yield (lo, hi)
        elif lo < first or hi > end:
            middle = lo + _split(hi - lo)
            yield from look(lo, middle)
            yield from look(middle, hi)

    return list(look(0, size)) if size else []


# --- what a proof proves -------------------------------------------------------------------------


def _may_be(proof: Sequence[bytes], spans: Sequence[Span]) -> bool:
    """Whether a proof has the right shape: hashes of other lengths could be parted elsewhere."""
    return len(proof) == len(spans) and all(len(node) == HASH_BYTES for node in proof)


def root_by_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root of the tree in which `proof` puts the leaf; None where it is no such proof."""
    spans = inclusion_spans(index, size)
    if not 0 <= index < size or not _may_be(proof, spans):
        return None
    for (_, hi), other in zip(spans, proof, strict=True):
        leaf = node_hash(other, leaf) if hi <= index else node_hash(leaf, other)
    return leaf


def is_consistent(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of `new` leaves begins with that of `old` leaves."""
    if not 0 <= old <= new:
        return False
    spans = consistency_spans(old, new)
    if not _may_be(proof, spans):
        return False
    if old == new:
        return old_root == new_root
    if old == 0:
        return old_root == EMPTY_ROOT
    nodes = list(zip(spans, proof, strict=True))
    below = nodes.pop(0)[1] if spans[0][1] == old else old_root
    was = now = below
    for (_, hi), other in nodes:
        if hi < old:
            was, now = node_hash(other, was), node_hash(other, now)
        else:
            now = node_hash(now, other)
    return was == old_root and now == new_root


# --- roots ---------------------------------------------------------------------------------------


def subtrees(span: Span) -> Iterator[tuple[int, int]]:
    """The full subtrees (height, index) that a span of the tree falls into, from left to right."""
    lo, hi = span
    while lo < hi:
        height = (hi - lo).bit_length() - 1
        yield height, lo >> height
        lo += 1 << height


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over full subtrees that get smaller from left to right."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def full_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [node_hash(left, right) for left, right in pairs]
    return hashes[0]


class Frontier:
    """The root of a tree to which one leaf is added after another. Holds a hash a level."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []  # of the full subtrees, the largest first

    def add(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        waiting = self.size
        while waiting & 1:
            leaf = node_hash(self._roots.pop(), leaf)
            waiting >>= 1
        self._roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root of what was added so far."""
        return fold(self._roots)


# --- tiles (C2SP tlog-tiles) ---------------------------------------------------------------------


def place_in_tiles(height: int, index: int) -> tuple[tuple[int, int], slice]:
    """Where a full subtree is found: the tile (level, number), and the bytes whose root it is."""
    level, above = divmod(height, TILE_HEIGHT)
    number, first = divmod(index << above, TILE_WIDTH)
    return (level, number), slice(first * HASH_BYTES, (first + (1 << above)) * HASH_BYTES)


def hashes_in(tile: bytes) -> list[bytes]:
    """The hashes of a tile or of a part of one."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def grown(last: Mapping[int, tuple[int, bytes]], leaves: Sequence[bytes]) -> dict[Span, bytes]:
    """The tiles that change when leaves are added to a tree, by (level, number).

    `last` holds the last tile of each level: its number and its hashes.
    """
    changed: dict[Span, bytes] = {}
    level, added = 0, list(leaves)
    while added:
        number, held = last.get(level, (0, b""))
        if len(held) == _TILE_BYTES:
            number, held = number + 1, b""
        held += b"".join(added)
        added = []
        for start in range(0, len(held), _TILE_BYTES):
            tile = held[start : start + _TILE_BYTES]
            changed[(level, number)] = tile
            if len(tile) == _TILE_BYTES:
                added.append(full_root(hashes_in(tile)))
            number += 1
        level += 1
    return changed
