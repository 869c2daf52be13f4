"""Characters and pairs of characters as numbers, by which an index finds texts. Pure.

A text that contains a term holds all grams of the term; the converse is to be checked where the
term is longer than a pair.
"""

from collections.abc import Iterable
from itertools import pairwise


def grams(text: str, part: int = 0) -> set[int]:
    """Signed 32-bit numbers of every character and pair of a folded text; of each part its own."""
    found = {_number(ord(one), 0, part) for one in text}
    found |= {_number(ord(one), ord(two), part) for one, two in pairwise(text)}
    return found


def grams_of(term: str, part: int = 0) -> list[int]:
    """The fewest grams that say as much: pairs, or the character where it is alone."""
    if len(term) == 1:
        return [_number(ord(term), 0, part)]
    pairs = pairwise(term)
    return sorted({_number(ord(one), ord(two), part) for one, two in pairs})


def but_for(term: str, at: int, part: int = 0) -> list[int]:
    """The grams of a term that stay whatever stands at one place of it."""
    kept = {_number(ord(one), 0, part) for i, one in enumerate(term) if i != at}
    for i, (one, two) in enumerate(pairwise(term)):
        if i not in range(at - 1, at + 2):
            kept.add(_number(ord(one), ord(two), part))
    return sorted(kept)


def likeness(asked: Iterable[str], text: str) -> float:
    """How many of the characters and pairs of the terms stand in a text, 0 to 1."""
    wanted = {each for term in asked for each in (*term, *map("".join, pairwise(term)))}
    return sum(each in text for each in wanted) / len(wanted) if wanted else 0.0


def _number(one: int, two: int, part: int) -> int:
    """Mixed, because an index must not take one pair for another that is near."""
    mixed = (one * 0x9E3779B1 + two * 0x85EBCA77 + part * 0xC2B2AE3D) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    mixed ^= mixed >> 13
    return mixed - (1 << 32) if mixed >= 1 << 31 else mixed
