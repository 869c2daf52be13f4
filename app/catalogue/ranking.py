"""The order of what a search by words finds: where the words stand, and how they are spelt.

A hit's level is that of its worst word: 0, the title has it as it was asked; 1, in another
spelling; 2, the title's kana; and so on down the parts. Beneath all of them comes what is like the
words without having them. Each level is asked for by itself, so that a word that every entry has
costs no more than its first page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, cast, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Integer, Text

from app.catalogue.indexing import PARTS
from app.models.datasets import Dataset
from app.models.search import DatasetWords
from app.query.grams import LONGEST_EXACT, but_for, grams_of, likeness
from app.query.refusals import InvalidCursor
from app.query.words import Spellings

_LEVELS: Final = 2 * len(PARTS)
LIKE: Final = _LEVELS  # the level of what is only like the words
_FEW: Final = 300  # hits that are ranked here, in one go
_ENOUGH: Final = 3  # exact hits with which nobody means another word
_MOST_LIKE: Final = 20
_LIKE_ENOUGH: Final = 0.5
_LEAST_FOR_LIKE: Final = 3  # characters of a word that can be misspelt and still be known
_SEARCHED_FOR_LIKE: Final = (0, 1, 2)  # the parts that are short enough for it


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a hit stands in the order; whole and unique, so that a page can go on behind it."""

    level: int
    length: int
    id: str

    def __str__(self) -> str:
        return f"{self.level}:{self.length}:{self.id}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """What `str` wrote. Raises `InvalidCursor`."""
        level, _, rest = text.partition(":")
        length, _, id_ = rest.partition(":")
        if not (id_ and _is_small(level) and _is_small(length)):
            raise InvalidCursor
        return cls(int(level), int(length), id_)


def _is_small(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 9


Conditions = Sequence[ColumnElement[bool]]


async def ranked(
    session: AsyncSession,
    terms: Sequence[Spellings],
    conditions: Conditions,
    after: Place | None,
    most: int,
) -> list[Place]:
    """The first `most` hits behind `after`. `conditions` are on `Dataset`."""
    few = await _few(session, terms, conditions)
    if few is not None:
        behind = [place for place in few if after is None or place > after]
        return behind[:most]
    found: list[Place] = []
    for level in range(after.level if after else 0, _LEVELS):
        exact = _at(terms, level)
        if exact is None:
            continue
        found += await _level(session, [exact, *conditions], level, after, most - len(found))
        if len(found) >= most:
            break
    return found


async def count(session: AsyncSession, terms: Sequence[Spellings], conditions: Conditions) -> int:
    """How many hits there are, with what is only like the words."""
    few = await _few(session, terms, conditions)
    if few is not None:
        return len(few)
    statement = select(func.count()).select_from(DatasetWords).join(Dataset, _same())
    return await session.scalar(statement.where(holds(terms), *conditions)) or 0


def holds(terms: Sequence[Spellings]) -> ColumnElement[bool]:
    """Every term stands somewhere, as a condition on `DatasetWords`."""
    return and_(*(_term(each, _LEVELS - 1) for each in terms))


def _same() -> ColumnElement[bool]:
    return Dataset.id == DatasetWords.dataset_id


async def _level(
    session: AsyncSession, conditions: Conditions, level: int, after: Place | None, most: int
) -> list[Place]:
    statement = (
        select(DatasetWords.length, DatasetWords.dataset_id)
        .join(Dataset, _same())
        .where(*conditions)
        .order_by(DatasetWords.length, DatasetWords.dataset_id)
        .limit(most)
    )
    if after is not None and after.level == level:
        position = tuple_(DatasetWords.length, DatasetWords.dataset_id)
        statement = statement.where(position > tuple_(literal(after.length), literal(after.id)))
    return [Place(level, *row) for row in await session.execute(statement)]


def _at(terms: Sequence[Spellings], level: int) -> ColumnElement[bool] | None:
    """Hits of exactly this level; None where no spelling can make one."""
    if level % 2 and all(len(each) == 1 for each in terms):
        return None
    reached = and_(*(_term(each, level) for each in terms))
    if level == 0:
        return reached
    return and_(reached, ~and_(*(_term(each, level - 1) for each in terms)))


def _term(spellings: Spellings, level: int) -> ColumnElement[bool]:
    """One of the spellings stands in a part that makes the level or a better one."""
    ways = [
        _stands(spelling, part)
        for part in range(len(PARTS))
        for at, spelling in enumerate(spellings)
        if _level_of(part, at) <= level
    ]
    return or_(*ways)


def _level_of(part: int, spelling: int) -> int:
    return 2 * part + (1 if spelling else 0)


def _stands(spelling: str, part: int) -> ColumnElement[bool]:
    held = DatasetWords.grams.contains(_array(grams_of(spelling, part)))
    if len(spelling) <= LONGEST_EXACT:
        return held
    text = DatasetWords.parts[part + 1]
    return and_(held, func.strpos(text, cast(spelling, Text())) > 0)


def _array(numbers: Sequence[int]) -> ColumnElement[Any]:
    return cast(list(numbers), ARRAY(Integer()))


async def _few(
    session: AsyncSession, terms: Sequence[Spellings], conditions: Conditions
) -> list[Place] | None:
    """All hits in order, where they are few; None where they are many."""
    rows = await _candidates(session, [_all_grams(terms), *conditions])
    if len(rows) > _FEW:
        return None
    found = []
    for id_, length, parts in rows:
        level = _best(terms, parts)
        if level is not None:
            found.append(Place(level, length, id_))
    if len(found) < _ENOUGH:
        found += await _alike(session, terms, conditions, {place.id for place in found})
    return sorted(found)


async def _candidates(session: AsyncSession, conditions: Conditions) -> Sequence[Any]:
    statement = (
        select(DatasetWords.dataset_id, DatasetWords.length, DatasetWords.parts)
        .join(Dataset, _same())
        .where(*conditions)
        .limit(_FEW + 1)
    )
    return (await session.execute(statement)).all()


def _all_grams(terms: Sequence[Spellings]) -> ColumnElement[bool]:
    return and_(
        *(
            or_(
                *(
                    DatasetWords.grams.contains(_array(grams_of(spelling, part)))
                    for part in range(len(PARTS))
                    for spelling in spellings
                )
            )
            for spellings in terms
        )
    )


def _best(terms: Sequence[Spellings], parts: Sequence[str]) -> int | None:
    """The level of the worst term at its best; None where one does not stand at all."""
    worst = 0
    for spellings in terms:
        levels = (
            _level_of(part, at)
            for part, text in enumerate(parts)
            for at, spelling in enumerate(spellings)
            if spelling in text
        )
        best = min(levels, default=None)
        if best is None:
            return None
        worst = max(worst, best)
    return worst


async def _alike(
    session: AsyncSession, terms: Sequence[Spellings], conditions: Conditions, known: set[str]
) -> list[Place]:
    """Entries that have the words but for a character of each, the most alike first."""
    asked = [spellings[0] for spellings in terms]
    if any(len(each) < _LEAST_FOR_LIKE for each in asked):
        return []
    near = and_(*(or_(*_misspelt(each)) for each in asked))
    found = []
    for id_, length, parts in await _candidates(session, [near, *conditions]):
        text = " ".join(parts[at] for at in _SEARCHED_FOR_LIKE)
        alike = likeness(asked, text)
        if id_ not in known and alike >= _LIKE_ENOUGH:
            found.append(Place(LIKE + round((1 - alike) * 1_000), length, id_))
    return sorted(found)[:_MOST_LIKE]


def _misspelt(term: str) -> Iterator[ColumnElement[bool]]:
    for part in _SEARCHED_FOR_LIKE:
        for at in range(len(term)):
            yield DatasetWords.grams.contains(_array(but_for(term, at, part)))
