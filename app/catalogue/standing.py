"""Where the words of a search stand in an entry, as conditions on `DatasetWords`. Asks nothing.

A hit's level is that of its worst word: 0, the title has it as it was asked; 1, in another
spelling; 2, the title's kana; and so on down the parts.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    and_,
    any_,
    case,
    cast,
    false,
    func,
    literal,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Integer, Text

from app.catalogue.indexing import PARTS, UNMADE
from app.models.search import DatasetWords
from app.query.folding import pattern_of
from app.query.grams import but_for, grams_of
from app.query.words import Spellings

LEVELS: Final = 2 * len(PARTS)
UNREAD: Final = LEVELS  # the level of entries of which nothing is made yet
LIKE: Final = LEVELS + 1  # from here on stands what is only like the words
SEARCHED_FOR_LIKE: Final = (0, 1, 2)  # the parts that are short enough for it
# The parts that stand beside the row, as it is kept, and the levels that they make.
_BESIDE: Final = (DatasetWords.title, DatasetWords.kana)
HEADS: Final = 2 * len(_BESIDE)
_EXACT_BY_GRAMS: Final = 2  # characters: longer words are looked for in the text itself
_PARTING: Final = "\x1f"
_SIGNS: Final = re.compile(r"[\\%_]")
_ESCAPED: Final = r"\\\g<0>"


def best(terms: Sequence[Spellings], parts: Sequence[str]) -> int | None:
    """The level of the worst term at its best; None where one does not stand at all."""
    worst = 0
    for spellings in terms:
        found = (
            _level_of(part, at)
            for part, text in enumerate(parts)
            for at, spelling in enumerate(spellings)
            if spelling in text
        )
        at_best = min(found, default=None)
        if at_best is None:
            return None
        worst = max(worst, at_best)
    return worst


def head_level(terms: Sequence[Spellings]) -> ColumnElement[int]:
    """The level by title and kana alone; `HEADS` where a term stands in neither."""
    return func.greatest(*(_head_level(each) for each in terms))


def _head_level(spellings: Spellings) -> ColumnElement[int]:
    ways: list[tuple[ColumnElement[bool], ColumnElement[int]]] = []
    for part, column in enumerate(_BESIDE):
        for level, some in ((0, spellings[:1]), (1, spellings[1:])):
            if some:
                ways.append((_holds(column, some), literal(2 * part + level)))
    return case(*ways, else_=literal(HEADS))


def in_title(terms: Sequence[Spellings], title: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """The title has every term as it was asked."""
    return and_(*(_holds(title, spellings[:1]) for spellings in terms))


def reached(terms: Sequence[Spellings], level: int) -> ColumnElement[bool]:
    """Every term stands where it makes this level or a better one, as far as grams tell."""
    return and_(*(_term(each, level) for each in terms))


def holds(terms: Sequence[Spellings]) -> ColumnElement[bool]:
    """Every term stands somewhere: what a search finds, but for what is only like the words.

    Said so that the index finds the rows by each term's grams, and only the text is looked at then.
    """
    by_index = [or_(_is_unmade(), _term(each, LEVELS - 1)) for each in terms]
    long = [each for each in terms if any(len(one) > _EXACT_BY_GRAMS for one in each)]
    exact = and_(true(), *map(_stands_whole, long))
    return and_(*by_index, case((_is_unmade(), _unmade_holds(terms)), else_=exact))


def _stands_whole(spellings: Spellings) -> ColumnElement[bool]:
    """Looked for beside the row first: the whole text is far away."""
    whole = func.array_to_string(DatasetWords.parts, _PARTING)
    return or_(*(_holds(text, spellings) for text in (*_BESIDE, whole)))


def in_text(terms: Sequence[Spellings]) -> ColumnElement[bool]:
    """Every term stands somewhere, by the text alone: no index is asked."""
    return and_(DatasetWords.made_as != UNMADE, *map(_stands_whole, terms))


def unmade(terms: Sequence[Spellings]) -> ColumnElement[bool]:
    """Entries of which nothing is made yet whose title or description has every term."""
    return and_(_is_unmade(), _unmade_holds(terms))


def _is_unmade() -> ColumnElement[bool]:
    # Said in the statement: its index is used for this value only.
    return DatasetWords.made_as == literal(UNMADE, literal_execute=True)


def _unmade_holds(terms: Sequence[Spellings]) -> ColumnElement[bool]:
    text = DatasetWords.parts[1]
    return and_(
        *(or_(*(text.regexp_match(pattern_of(each)) for each in spellings)) for spellings in terms)
    )


def _term(spellings: Spellings, level: int) -> ColumnElement[bool]:
    """One of the spellings stands in a part that makes the level or a better one.

    By its grams: of a longer spelling the text itself has the last word.
    """
    ways = [
        grams_of(spelling, part)
        for part in range(len(PARTS))
        for at, spelling in enumerate(spellings)
        if _level_of(part, at) <= level
    ]
    return _any_of(ways)


def _any_of(ways: Iterable[Sequence[int]]) -> ColumnElement[bool]:
    """The row has all grams of one of the ways. Those of a single gram are one question."""
    single = sorted({way[0] for way in ways if len(way) == 1})
    several = [DatasetWords.grams.contains(_array(way)) for way in ways if len(way) > 1]
    overlaps = [DatasetWords.grams.overlap(_array(single))] if single else []
    return or_(false(), *overlaps, *several)


def _level_of(part: int, spelling: int) -> int:
    return 2 * part + (1 if spelling else 0)


def _holds(text: SQLColumnExpression[str], spellings: Iterable[str]) -> ColumnElement[bool]:
    """The text has one of the spellings: one question however many there are."""
    patterns = [f"%{_SIGNS.sub(_ESCAPED, each)}%" for each in spellings]
    return text.like(any_(cast(patterns, ARRAY(Text()))))


def _array(numbers: Sequence[int]) -> ColumnElement[Any]:
    return cast(list(numbers), ARRAY(Integer()))


def misspelt(term: str) -> ColumnElement[bool]:
    """The term but for one character stands in a short part."""
    return _any_of(
        [but_for(term, at, part) for part in SEARCHED_FOR_LIKE for at in range(len(term))]
    )
