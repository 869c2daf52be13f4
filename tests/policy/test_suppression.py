"""Sums over few people cannot be worked out from any answers, whatever is asked and subtracted."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.policy.cells import MOST_COMPARISONS, Cells, Dimension, NotByCells, Told, check_by_cells
from app.policy.suppression import LEAST_K, UNTOLD, blocks_of
from app.query.fields import Field, FieldType
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Either,
    IsNull,
    Like,
    Not,
    OneOf,
)

Key = tuple[int, ...]
Table = dict[Key, int]
Equation = tuple[tuple[int, ...], int]  # which cells are added up, and to what
Ask = Callable[[Cells, Sequence[str], Condition | None], list[Told]]
FIELDS = [Field(f"d{at}", "", "", FieldType.INTEGER) for at in range(3)]


def cells_of(table: Table, k: int) -> Cells:
    """As the broker makes them; values are their own ranks."""
    keys = sorted(table)
    dimensions = []
    for at in range(len(keys[0]) if keys else 0):
        values = range(1 + max(key[at] for key in keys))
        dimensions.append(Dimension(f"d{at}", f"d{at}", list(values), [str(v) for v in values]))
    people = [table[key] for key in keys]
    return Cells.of(dimensions, keys, people, people, k)


def answer(cells: Cells, by: Sequence[str], where: Condition | None) -> list[Told]:
    return cells.answer(by, where)


def naive(k: int) -> Ask:
    """What is often done: every sum over fewer than k is hidden, every other is told."""

    def ask(cells: Cells, by: Sequence[str], where: Condition | None) -> list[Told]:
        open_ = Cells.of(cells.dimensions, cells.keys, cells.people, cells.records, 1)
        return [
            each if (each.people or 0) >= k else Told(each.ranks, None, None)
            for each in open_.answer(by, where)
        ]

    return ask


def conditions(cells: Cells) -> Iterator[tuple[Condition | None, Callable[[Key], bool]]]:
    """Every set of base cells that a condition can select: any at all."""
    yield None, lambda _key: True
    for number in range(1, len(cells.keys) + 1):
        for chosen in itertools.combinations(cells.keys, number):
            parts = tuple(
                Both(tuple(Compare(FIELDS[at], "=", value) for at, value in enumerate(key)))
                for key in chosen
            )
            yield Either(parts), set(chosen).__contains__


def everything_told(cells: Cells, ask: Ask) -> Iterator[Equation]:
    """The answers to all that may be asked, as sums over base cells."""
    names = [each.name for each in cells.dimensions]
    for where, holds in conditions(cells):
        for number in range(len(names) + 1):
            for by in itertools.combinations(names, number):
                places = [names.index(name) for name in by]
                for told in ask(cells, by, where):
                    if told.people is None:
                        continue
                    yield (
                        tuple(
                            int(holds(key) and tuple(key[at] for at in places) == told.ranks)
                            for key in cells.keys
                        ),
                        told.people,
                    )


def span(rows: Sequence[Sequence[int]]) -> list[list[Fraction]]:
    """A basis of all that follows from the equations by adding and subtracting, exactly."""
    basis: list[list[Fraction]] = []
    for row in rows:
        left = reduced(basis, row)
        if any(left):
            lead = next(at for at, value in enumerate(left) if value)
            left = [value / left[lead] for value in left]
            basis = [
                [a - other[lead] * b for a, b in zip(other, left, strict=True)] for other in basis
            ]
            basis.append(left)
    return basis


def reduced(basis: Sequence[Sequence[Fraction]], row: Sequence[int]) -> list[Fraction]:
    """What is left of a row once all that the basis says is taken away."""
    left = [Fraction(value) for value in row]
    for known in basis:
        lead = next(at for at, value in enumerate(known) if value)
        left = [a - left[lead] * b for a, b in zip(left, known, strict=True)]
    return left


def isolated(cells: Cells, k: int, ask: Ask) -> list[Any]:
    """Groups of one to k-1 people whose number follows from the answers."""
    basis = span([cellwise for cellwise, _ in set(everything_told(cells, ask))])
    found = []
    for chosen in itertools.product((0, 1), repeat=len(cells.keys)):
        people = sum(itertools.compress(cells.people, chosen))
        if 0 < people < k and not any(reduced(basis, chosen)):
            found.append(chosen)
    return found


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, int]:
    k = draw(st.integers(LEAST_K, 6))
    depth = draw(st.integers(1, 3))
    keys = st.tuples(*[st.integers(0, 2)] * depth)
    people = st.one_of(st.integers(1, k - 1), st.integers(1, 3 * k))
    return draw(st.dictionaries(keys, people, min_size=1, max_size=6)), k


@settings(max_examples=60, derandomize=True, database=None)
@given(tables())
def test_no_sequence_of_questions_isolates_fewer_than_k(drawn: tuple[Table, int]) -> None:
    table, k = drawn

    assert isolated(cells_of(table, k), k, answer) == []


@settings(max_examples=60, derandomize=True, database=None)
@given(tables())
def test_what_is_told_is_true(drawn: tuple[Table, int]) -> None:
    table, k = drawn
    cells = cells_of(table, k)

    for cellwise, people in everything_told(cells, answer):
        assert people == sum(itertools.compress(cells.people, cellwise))
        assert people >= k


def test_hiding_small_sums_alone_would_be_found_out() -> None:
    table: Table = {(0, 0): 8, (0, 1): 2, (1, 0): 9, (1, 1): 7}

    assert isolated(cells_of(table, 5), 5, naive(5)) != []
    assert isolated(cells_of(table, 5), 5, answer) == []


@settings(max_examples=200, derandomize=True, database=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)),
        st.integers(1, 20),
        min_size=1,
    ),
    st.integers(3, 12),
)
def test_every_block_has_k_people_and_hides_each_small_cell_among_others(
    table: Table, k: int
) -> None:
    keys = sorted(table)

    blocks = blocks_of(keys, [table[key] for key in keys], k)

    if sum(table.values()) < k:
        assert set(blocks) == {UNTOLD}
        return
    assert UNTOLD not in blocks
    for block in set(blocks):
        members = [table[key] for key, number in zip(keys, blocks, strict=True) if number == block]
        assert sum(members) >= k
        assert len(members) > 1 or members[0] >= k


def test_totals_by_the_first_dimension_stay_whole_where_each_has_k() -> None:
    table: Table = {(ward, band): 2 + 7 * (band == 0) for ward in range(4) for band in range(5)}

    told = cells_of(table, 5).answer(["d0"], None)

    assert [each.people for each in told] == [17] * 4


def test_a_small_cell_is_not_named_and_a_total_that_it_would_follow_from_is_withheld() -> None:
    cells = cells_of({(0, 0): 1, (1, 0): 9, (1, 1): 8, (2, 1): 30}, 5)

    by_both = cells.answer(["d0", "d1"], None)
    by_first = cells.answer(["d0"], None)

    assert by_both == [Told((1, 0), 9, 9), Told((2, 1), 30, 30)]
    assert by_first == [Told((1,), None, None), Told((2,), 30, 30)]
    assert cells.answer([], None) == [Told((), 48, 48)]


def test_too_few_and_nobody_look_the_same() -> None:
    few, nobody = cells_of({(0,): 1, (1,): 1}, 5), cells_of({}, 5)

    assert few.answer([], None) == nobody.answer([], None) == [Told((), None, None)]
    assert few.answer(["d0"], None) == []
    some = cells_of({(0,): 9, (1,): 1, (2,): 9}, 5)
    small, empty = (Compare(FIELDS[0], "=", value) for value in (1, 7))
    assert some.answer(["d0"], small) == some.answer(["d0"], empty) == []
    assert some.answer([], small) == some.answer([], empty) == [Told((), None, None)]


@pytest.mark.parametrize(
    ("where", "cells"),
    [
        (Compare(FIELDS[0], ">", 0), [(1,)]),
        (OneOf(FIELDS[0], (0, 5)), [(0,)]),
        (Between(FIELDS[0], 0, 1), [(0,), (1,)]),
        (Not(Compare(FIELDS[0], "=", 0)), [(1,)]),
        (IsNull(FIELDS[0]), [(2,)]),
        (Not(IsNull(FIELDS[0])), [(0,), (1,)]),
        (Either((IsNull(FIELDS[0]), Compare(FIELDS[0], "<>", 0))), [(1,), (2,)]),
        (Both((Constant(True), Compare(FIELDS[0], "<=", 0))), [(0,)]),
        (Constant(False), []),
    ],
)
def test_conditions_on_dimensions_are_judged_as_sql_does(
    where: Condition, cells: list[Key]
) -> None:
    dimension = Dimension("d0", "d0", [0, 1, None], ["0", "1", "null"])
    made = Cells.of([dimension], [(0,), (1,), (2,)], [9, 9, 9], [9, 9, 9], 5)

    assert [each.ranks for each in made.answer(["d0"], where)] == cells


@pytest.mark.parametrize(
    "where", [Like(FIELDS[0], "%"), Compare(FIELDS[1], "=", 1), Not(Like(FIELDS[0], "a"))]
)
def test_a_condition_that_could_part_a_cell_is_refused(where: Condition) -> None:
    with pytest.raises(NotByCells):
        check_by_cells(where, ["d0"])
    with pytest.raises(NotByCells):
        cells_of({(0,): 9}, 5).answer([], where)


def test_a_condition_too_long_to_be_judged_for_every_cell_is_refused() -> None:
    many = tuple(Compare(FIELDS[0], "=", at) for at in range(MOST_COMPARISONS + 1))

    check_by_cells(Either(many[:-1]), ["d0"])
    with pytest.raises(NotByCells):
        check_by_cells(Not(Either(many)), ["d0"])
