"""The base cells of a version whose records are only counted, and what may be told of them. Pure.

It answers from whole blocks only (`app.policy.suppression`). A group that a small cell would follow
from is withheld, and one in which there may be nobody at all is not even named: what is small and
what is empty look the same.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.policy.suppression import UNTOLD, Key, blocks_of
from app.query.fields import Field
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Either,
    IsNull,
    Not,
    OneOf,
)

Truth = bool | None  # None: unknown, as in SQL
Test = Callable[[Key], Truth]
_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": lambda one, other: bool(one == other),
    "<>": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}


MOST_COMPARISONS: Final = 50  # each is made for every cell


class NotByCells(Exception):
    """A condition that might part a base cell, or of which that cannot be said, or too long a one."""


def check_by_cells(where: Condition, fields: Collection[str]) -> None:
    """Refuse what is no plain comparison of these fields. Raises `NotByCells`."""
    parts, compared = [where], 0
    while parts:
        match parts.pop():
            case Both(inner) | Either(inner):
                parts.extend(inner)
            case Not(one):
                parts.append(one)
            case Constant():
                pass
            case (
                Compare(Field() as field)
                | OneOf(Field() as field)
                | Between(Field() as field)
                | IsNull(Field() as field)
            ):
                compared += 1
                if field.name not in fields or compared > MOST_COMPARISONS:
                    raise NotByCells
            case _:
                raise NotByCells


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension: its values by rank, in order, null last; `texts` are how they are written."""

    name: str  # as it was declared
    field: str | None  # of the field that it is, None for a bucket
    values: Sequence[Any]
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Told:
    """One group: the ranks of its values, and its figures, None where they are withheld."""

    ranks: Key
    people: int | None
    records: int | None


@dataclass(slots=True, eq=False)
class Cells:
    """Every base cell with somebody in it: ranks of its values, people, records, block."""

    dimensions: tuple[Dimension, ...]
    keys: Sequence[Key]
    people: Sequence[int]
    records: Sequence[int]
    blocks: Sequence[int]
    sizes: Mapping[int, int]  # cells of each block

    @classmethod
    def of(
        cls,
        dimensions: Sequence[Dimension],
        keys: Sequence[Key],
        people: Sequence[int],
        records: Sequence[int],
        k: int,
    ) -> "Cells":
        """The cells with their blocks."""
        blocks = blocks_of(keys, people, k)
        sizes: dict[int, int] = defaultdict(int)
        for block in blocks:
            sizes[block] += 1
        return cls(tuple(dimensions), keys, people, records, blocks, sizes)

    def answer(self, by: Sequence[str], where: Condition | None) -> list[Told]:
        """Groups by some of the dimensions, in the order of their values. Raises `NotByCells`."""
        places = [[each.name for each in self.dimensions].index(name) for name in by]
        holds = self._test(where) if where is not None else None
        groups: dict[Key, list[int]] = defaultdict(list)
        for at, key in enumerate(self.keys):
            if holds is None or holds(key):
                groups[tuple([key[place] for place in places])].append(at)
        if not by:
            groups.setdefault((), [])
        told = (self._told(ranks, cells) for ranks, cells in sorted(groups.items()))
        return [each for each in told if each is not None]

    def _told(self, ranks: Key, cells: Sequence[int]) -> Told | None:
        met: dict[int, int] = defaultdict(int)
        for at in cells:
            met[self.blocks[at]] += 1
        whole = [block != UNTOLD and self.sizes[block] == size for block, size in met.items()]
        if whole and all(whole):
            people, records = (sum(of[at] for at in cells) for of in (self.people, self.records))
            return Told(ranks, people, records)
        # The group of everything is there whoever is in it; any other only if that is told anyway.
        return Told(ranks, None, None) if any(whole) or not ranks else None

    def _test(self, part: Condition) -> Test:
        """Whether a cell meets a condition on dimensions."""
        match part:
            case Both(parts):
                return _all_of([self._test(each) for each in parts])
            case Either(parts):
                return _any_of([self._test(each) for each in parts])
            case Not(inner):
                return _not(self._test(inner))
            case Constant(value):
                return lambda _key: value
            case Compare() | OneOf() | Between() | IsNull():
                return self._by_value(part)
            case _:
                raise NotByCells

    def _by_value(self, part: "Compare | OneOf | Between | IsNull") -> Test:
        """The condition judged once for each value that the dimension has."""
        named = part.field.name if isinstance(part.field, Field) else None
        for place, dimension in enumerate(self.dimensions):
            if named is not None and dimension.field == named:
                truths = [_judge(part, value) for value in dimension.values]
                return lambda key: truths[key[place]]
        raise NotByCells


def _judge(part: "Compare | OneOf | Between | IsNull", value: Any) -> Truth:
    if isinstance(part, IsNull):
        return value is None
    if value is None:
        return None
    match part:
        case Compare(_, op, other):
            return _ORDER[op](value, other)
        case OneOf(_, values):
            return value in values
        case Between(_, low, high):
            return bool(low <= value <= high)


def _all_of(tests: Sequence[Test]) -> Test:
    def judge(key: Key) -> Truth:
        truth: Truth = True
        for test in tests:
            found = test(key)
            if found is False:
                return False
            truth = truth and found
        return truth

    return judge


def _any_of(tests: Sequence[Test]) -> Test:
    def judge(key: Key) -> Truth:
        truth: Truth = False
        for test in tests:
            found = test(key)
            if found:
                return True
            truth = None if found is None else truth
        return truth

    return judge


def _not(test: Test) -> Test:
    def judge(key: Key) -> Truth:
        found = test(key)
        return None if found is None else not found

    return judge
