"""The tree's functions agree with the definition in RFC 6962, and forged proofs prove nothing."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.merkle import (
    Frontier,
    consistency_spans,
    fold,
    full_root,
    grown,
    hashes_in,
    inclusion_spans,
    is_consistent,
    leaf_hash,
    outside_spans,
    place_in_tiles,
    root_by_inclusion,
    subtrees,
)

LEAVES = [leaf_hash(hashlib.sha256(b"%d" % at).digest()) for at in range(1_100)]
SIZES = st.integers(1, 1_100)


def naive(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*path(index, leaves[:k]), naive(leaves[k:])]
    return [*path(index - k, leaves[k:]), naive(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2."""
    if m == len(leaves):
        return [] if whole else [naive(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*subproof(m, leaves[:k], whole), naive(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), naive(leaves[:k])]


def of(spans: Sequence[tuple[int, int]]) -> list[bytes]:
    return [naive(LEAVES[lo:hi]) for lo, hi in spans]


def flipped(hashes: Sequence[bytes], at: int) -> list[bytes]:
    return [bytes([h[0] ^ 1]) + h[1:] if n == at else h for n, h in enumerate(hashes)]


@given(SIZES, st.data())
def test_an_inclusion_proof_is_the_standards_and_gives_the_root(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))

    proof = of(inclusion_spans(index, size))

    root = naive(LEAVES[:size])
    assert proof == path(index, LEAVES[:size])
    assert root_by_inclusion(index, size, LEAVES[index], proof) == root
    assert root_by_inclusion(index, size, LEAVES[index - 1], proof) != root or size == 1
    assert root_by_inclusion(index, size, LEAVES[index], [*proof, root]) is None
    assert root_by_inclusion(size, size, LEAVES[index], proof) is None
    for at in range(len(proof)):
        assert root_by_inclusion(index, size, LEAVES[index], flipped(proof, at)) != root


@given(SIZES, st.data())
def test_a_consistency_proof_is_the_standards_and_knows_a_fork(
    new: int, data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, new))
    before, after = naive(LEAVES[:old]), naive(LEAVES[:new])

    proof = of(consistency_spans(old, new))

    assert proof == subproof(old, LEAVES[:new], True)
    assert is_consistent(old, before, new, after, proof)
    assert not is_consistent(old, naive(LEAVES[1 : old + 1]), new, after, proof)
    assert not is_consistent(old, before, new, naive(LEAVES[1 : new + 1]), proof)
    assert not is_consistent(new, after, old, before, proof) or old == new
    for at in range(len(proof)):
        assert not is_consistent(old, before, new, after, flipped(proof, at))


def test_hashes_of_other_lengths_are_no_proof() -> None:
    (left, right), root = LEAVES[:2], naive(LEAVES[:2])

    assert root_by_inclusion(1, 2, right, [left]) == root
    assert root_by_inclusion(1, 2, right[8:], [left + right[:8]]) is None
    assert not is_consistent(1, left, 2, root, [right, b""])
    assert not is_consistent(1, left, 2, root, [right[:31]])


def test_every_log_begins_with_the_empty_one_and_with_no_other_root() -> None:
    after = naive(LEAVES[:5])

    assert is_consistent(0, naive([]), 5, after, [])
    assert not is_consistent(0, after, 5, after, [])
    assert not is_consistent(0, naive([]), 0, after, [])


@given(SIZES, st.data())
def test_what_lies_outside_of_a_range_gives_the_root_with_it(
    size: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(first + 1, size))

    spans = outside_spans(first, end, size)

    covered = [at for lo, hi in spans for at in range(lo, hi)]
    assert sorted([*covered, *range(first, end)]) == list(range(size))
    assert spans == sorted(spans)
    assert len(spans) <= 2 * size.bit_length()


@given(st.lists(st.integers(0, 400), max_size=6))
def test_tiles_that_grow_in_steps_give_every_root(steps: list[int]) -> None:
    tiles: dict[tuple[int, int], bytes] = {}
    frontier = Frontier()
    for step in steps:
        leaves = (LEAVES * 3)[frontier.size : frontier.size + step]
        last = {level: (number, tiles[level, number]) for level, number in sorted(tiles)}
        changed = grown(last, leaves)
        assert all(tile.startswith(tiles.get(place, b"")) for place, tile in changed.items())
        tiles |= changed
        for leaf in leaves:
            frontier.add(leaf)

    for size in {frontier.size, frontier.size // 2, frontier.size * 2 // 3}:
        places = [place_in_tiles(*subtree) for subtree in subtrees((0, size))]
        root = fold([full_root(hashes_in(tiles[tile][part])) for tile, part in places])
        assert root == naive((LEAVES * 3)[:size])
    assert frontier.root() == naive((LEAVES * 3)[: frontier.size])


@pytest.mark.parametrize("size", [255, 256, 257, 65_535, 65_536, 65_537])
def test_tiles_of_a_large_tree_have_the_shape_of_the_standard(size: int) -> None:
    leaves = [LEAVES[at % 1_000] for at in range(size)]

    tiles = grown({}, leaves)

    assert {level for level, _ in tiles} == {level for level in range(3) if size >> (8 * level)}
    for level, number in tiles:
        width = min(256, (size >> (8 * level)) - 256 * number)
        assert len(tiles[level, number]) == 32 * width
