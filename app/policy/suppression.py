"""Which sums may be told where people are few: cells put together to blocks of k or more. Pure.

A dataset's dimensions part its records into base cells. Cells of k people or more stand for
themselves; the others are put together with their neighbours until each block has k. Every answer
is a sum of whole blocks, so whatever can be worked out from any answers is again a sum of whole
blocks, each of k or more people: no subtraction isolates fewer. Blocks follow the order of the
dimensions, so that totals by the first of them stay whole wherever that is possible.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

LEAST_K: Final = 3  # with 2, "fewer than k" would say 1
UNTOLD: Final = -1  # all there is comes to fewer than k
Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Suppression:
    """What a publisher declares: the threshold, the dimensions in order, the field of people."""

    k: int
    dimensions: tuple[str, ...]
    count: str | None = None  # None: every record is one

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Suppression":
        """Read back what was declared."""
        return cls(stored["k"], tuple(stored["dimensions"]), stored.get("count"))


@dataclass(slots=True)
class _Block:
    cells: list[int]
    people: int


def blocks_of(keys: Sequence[Key], people: Sequence[int], k: int) -> list[int]:
    """For each base cell the number of its block, `UNTOLD` for all where they are too few.

    `people` are above nought: a cell that nobody is in is none.
    """
    blocks = [_Block([at], count) for at, count in enumerate(people)]
    whole = [block for block in blocks if block.people >= k]
    loose = [block for block in blocks if block.people < k]
    depth = len(keys[0]) if keys else 0
    for level in range(max(depth - 1, 0), -1, -1):
        if not loose:
            break
        loose = _put_together(level, keys, whole, loose, k)
    numbers = [UNTOLD] * len(keys)
    for number, block in enumerate(whole):
        for cell in block.cells:
            numbers[cell] = number
    return numbers


def _put_together(
    level: int, keys: Sequence[Key], whole: list[_Block], loose: list[_Block], k: int
) -> list[_Block]:
    """Make blocks inside each prefix of `level` dimensions; what is left goes a level up."""
    near: dict[Key, list[_Block]] = defaultdict(list)
    for block in whole:
        near[keys[block.cells[0]][:level]].append(block)
    few: dict[Key, list[_Block]] = defaultdict(list)
    for block in loose:
        few[keys[block.cells[0]][:level]].append(block)
    left: list[_Block] = []
    for prefix, found in few.items():
        made, rest = _gathered(found, k)
        whole.extend(made)
        if rest is None:
            continue
        # A block that hides small cells already is taken before a cell that could be told.
        taken = min(
            [*made, *near[prefix]], key=lambda b: (len(b.cells) == 1, b.people), default=None
        )
        if taken is None:
            left.append(rest)
        else:
            taken.cells += rest.cells
            taken.people += rest.people
    return left


def _gathered(loose: Sequence[_Block], k: int) -> tuple[list[_Block], _Block | None]:
    """Blocks of k or more, one after another, and what is left over."""
    made: list[_Block] = []
    rest = _Block([], 0)
    for block in loose:
        rest.cells += block.cells
        rest.people += block.people
        if rest.people >= k:
            made.append(rest)
            rest = _Block([], 0)
    return made, rest if rest.cells else None
