"""The order of what a search by words finds: where the words stand, and how they are spelt.

A hit's level is that of its worst word: 0, the title has it as it was asked; 1, in another
spelling; 2, the title's kana; and so on down the parts. Beneath all of them comes what is like the
words without having them. Each level is asked for by itself, so that a word that every entry has
costs no more than its first page.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, cast, collate, false, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Integer, Text

from app.catalogue.indexing import PARTS
from app.models.datasets import Dataset
from app.models.search import DatasetWords
from app.query.grams import but_for, grams_of, likeness
from app.query.refusals import InvalidCursor
from app.query.words import Spellings, has_kanji

_KANA: Final = PARTS.index("kana")
_LEVELS: Final = 2 * len(PARTS)
LIKE: Final = _LEVELS  # the level of what is only like the words
_FEW: Final = 1_000  # so many are put in order here; of more, the database reads the first
_LEAST_BATCH: Final = 40
_MOST_BATCH: Final = 10_000
_ENOUGH: Final = 3  # exact hits with which nobody means another word
_MOST_LIKE: Final = 20
_MOST_COMPARED: Final = 200
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
    narrowed = await _narrowed(session, conditions)
    async with _by_grams(session):
        few = await _few(session, terms, conditions, narrowed)
        if few is None:
            return await _first(session, terms, conditions, after, most)
    return [place for place in few if after is None or place > after][:most]


async def _first(
    session: AsyncSession,
    terms: Sequence[Spellings],
    conditions: Conditions,
    after: Place | None,
    most: int,
) -> list[Place]:
    """Of many hits the first ones, level by level."""
    found: list[Place] = []
    for level in range(after.level if after else 0, _LEVELS):
        if not any(level in _levels(each) for each in terms):
            continue
        here = after if after and after.level == level else None
        asked = _Level(terms, level, {place.id for place in found})
        found += await _level(session, asked, conditions, here, most - len(found))
        if len(found) >= most:
            break
    return found


@dataclass(frozen=True, slots=True)
class _Level:
    """The hits of one level; `known` are hits of better ones."""

    terms: Sequence[Spellings]
    level: int
    known: set[str]


async def _level(
    session: AsyncSession, asked: _Level, conditions: Conditions, after: Place | None, most: int
) -> list[Place]:
    """The first `most` hits of a level: read in order, a batch at a time, and looked at."""
    found: list[Place] = []
    size = max(_LEAST_BATCH, most + most // 2)
    while len(found) < most:
        batch = await _batch(session, asked, after, size)
        for id_, length, parts in await _entries(session, [*batch], conditions):
            if _best(asked.terms, parts) == asked.level:
                found.append(Place(asked.level, length, id_))
        if len(batch) < size:
            break
        last = next(reversed(batch))
        after = Place(asked.level, batch[last], last)
        size = min(4 * size, _MOST_BATCH)
    return sorted(found)[:most]


async def _batch(
    session: AsyncSession, asked: _Level, after: Place | None, size: int
) -> dict[str, int]:
    """Entries that have the level's grams, in order, with their lengths."""
    # By code point, as Python sorts: a database's own order may pass over hyphens.
    id_ = collate(DatasetWords.dataset_id, "C")
    statement = select(DatasetWords.dataset_id, DatasetWords.length).where(
        _reached(asked.terms, asked.level)
    )
    if asked.known:
        statement = statement.where(DatasetWords.dataset_id != func.all(_texts(asked.known)))
    if after is not None:
        statement = statement.where(
            tuple_(DatasetWords.length, id_) > tuple_(literal(after.length), literal(after.id))
        )
    rows: Iterable[Any] = await session.execute(
        statement.order_by(DatasetWords.length, id_).limit(size)
    )
    return {named: length for named, length in rows}


async def _some(session: AsyncSession, condition: ColumnElement[bool]) -> Sequence[str] | None:
    """The entries that meet a condition on their words; None where they are many."""
    statement = select(DatasetWords.dataset_id).where(condition).limit(_FEW + 1)
    ids = (await session.scalars(statement)).all()
    return ids if len(ids) <= _FEW else None


@asynccontextmanager
async def _by_grams(session: AsyncSession) -> AsyncIterator[None]:
    """Statements that go by an index, come what may.

    The planner takes a gram that nothing has for one that many have, and would read everything in
    vain.
    """
    names = ("enable_indexscan", "enable_indexonlyscan", "enable_seqscan")
    # What is forbidden counts as costly, and what is costly would be compiled: half a second.
    off = (*names, "jit")
    await session.execute(select(*(func.set_config(name, "off", True) for name in off)))
    yield
    await session.execute(select(*(func.set_config(name, "on", True) for name in names)))


async def _narrowed(session: AsyncSession, conditions: Conditions) -> Sequence[str] | None:
    """The entries that meet the conditions, where these leave few."""
    if len(conditions) <= 1:  # who may see what, which leaves nearly all
        return None
    ids = await session.scalars(select(Dataset.id).where(*conditions).limit(_FEW + 1))
    return found if len(found := ids.all()) <= _FEW else None


async def count(session: AsyncSession, terms: Sequence[Spellings], conditions: Conditions) -> int:
    """How many hits there are, with what is only like the words."""
    narrowed = await _narrowed(session, conditions)
    async with _by_grams(session):
        few = await _few(session, terms, conditions, narrowed)
    if few is not None:
        return len(few)
    statement = select(func.count()).select_from(DatasetWords).join(Dataset, _same())
    return await session.scalar(statement.where(holds(terms), *conditions)) or 0


def holds(terms: Sequence[Spellings]) -> ColumnElement[bool]:
    """Every term stands somewhere, as far as grams tell, as a condition on `DatasetWords`."""
    return _reached(terms, _LEVELS - 1)


def _same() -> ColumnElement[bool]:
    return Dataset.id == DatasetWords.dataset_id


def _reached(terms: Sequence[Spellings], level: int) -> ColumnElement[bool]:
    """Every term stands where it makes this level or a better one."""
    return and_(*(_term(each, level) for each in terms))


def _term(spellings: Spellings, level: int) -> ColumnElement[bool]:
    """One of the spellings stands in a part that makes the level or a better one."""
    ways = [
        _stands(spelling, part)
        for part in range(len(PARTS))
        for at, spelling in enumerate(spellings)
        if _level_of(part, at) <= level and _can_stand(spelling, part)
    ]
    return or_(false(), *ways)


def _levels(spellings: Spellings) -> set[int]:
    """The levels that the spellings of a term can make."""
    return {
        _level_of(part, at)
        for part in range(len(PARTS))
        for at, spelling in enumerate(spellings)
        if _can_stand(spelling, part)
    }


def _can_stand(spelling: str, part: int) -> bool:
    return part != _KANA or not has_kanji(spelling)


def _level_of(part: int, spelling: int) -> int:
    return 2 * part + (1 if spelling else 0)


def _stands(spelling: str, part: int) -> ColumnElement[bool]:
    """By its grams: of a longer spelling the text itself has the last word."""
    return DatasetWords.grams.contains(_array(grams_of(spelling, part)))


def _array(numbers: Sequence[int]) -> ColumnElement[Any]:
    return cast(list(numbers), ARRAY(Integer()))


async def _few(
    session: AsyncSession,
    terms: Sequence[Spellings],
    conditions: Conditions,
    ids: Sequence[str] | None,
) -> list[Place] | None:
    """All hits in order, where they are few; None where they are many. `ids`: only among these."""
    holding = await _some(session, holds(terms))
    ids = ids if holding is None else holding
    if ids is None:
        return None
    found = []
    for id_, length, parts in await _entries(session, ids, conditions):
        level = _best(terms, parts)
        if level is not None:
            found.append(Place(level, length, id_))
    if len(found) < _ENOUGH:
        found += await _alike(session, terms, conditions, {place.id for place in found})
    return sorted(found)


async def _entries(
    session: AsyncSession, ids: Sequence[str], conditions: Conditions
) -> Sequence[Any]:
    if not ids:
        return []
    wanted = _texts(ids)
    statement = (
        select(DatasetWords.dataset_id, DatasetWords.length, DatasetWords.parts)
        .join(Dataset, _same())
        # Said of both, so that neither is read for the other's sake.
        .where(DatasetWords.dataset_id == func.any(wanted), Dataset.id == func.any(wanted))
        .where(*conditions)
    )
    return (await session.execute(statement)).all()


def _texts(values: Iterable[str]) -> ColumnElement[Any]:
    return cast(list(values), ARRAY(Text()))


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
    near = (
        select(DatasetWords.dataset_id)
        .where(*(or_(*_misspelt(each)) for each in asked))
        .order_by(DatasetWords.length, collate(DatasetWords.dataset_id, "C"))
        .limit(_MOST_COMPARED)
    )
    ids = (await session.scalars(near)).all()
    found: list[Place] = []
    for id_, length, parts in await _entries(session, ids, conditions):
        text = " ".join(parts[at] for at in _SEARCHED_FOR_LIKE)
        alike = likeness(asked, text)
        if id_ not in known and alike >= _LIKE_ENOUGH:
            found.append(Place(LIKE + round((1 - alike) * 1_000), length, id_))
    return sorted(found)[:_MOST_LIKE]


def _misspelt(term: str) -> Iterator[ColumnElement[bool]]:
    for part in _SEARCHED_FOR_LIKE:
        for at in range(len(term)):
            yield DatasetWords.grams.contains(_array(but_for(term, at, part)))
