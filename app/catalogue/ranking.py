"""The order of what a search by words finds: where the words stand, and how they are spelt.

Each level (see `standing`) is asked for by itself, so that a word that every entry has costs no more
than its first page: what many have is found by walking down the order, what few have by the index.
Beneath all of them comes what is like the words without having them.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    cast,
    collate,
    exists,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Text

from app.catalogue import standing
from app.catalogue.hits import Place
from app.catalogue.indexing import UNMADE
from app.catalogue.standing import HEADS, LEVELS, LIKE, UNREAD
from app.models.datasets import Dataset
from app.models.search import DatasetWords
from app.query.grams import likeness
from app.query.words import Spellings

_FEW: Final = 1_000  # so many are put in order here; of more, the database reads the first
_WALKED: Final = 1_000  # titles that are looked at in order before the index is asked
_PASSED: Final = 1_000  # entries that are passed over for a sample
_SAMPLED: Final = 100  # entries whose whole texts are looked at before the index is asked
_COMMON: Final = 3  # hits in a sample that tell of many
_LEAST_BATCH: Final = 40
_LEAST_FILTERED: Final = 400  # where conditions drop some of a batch
_MOST_BATCH: Final = 10_000
_ENOUGH: Final = 3  # exact hits with which nobody means another word
_MOST_LIKE: Final = 20
_MOST_COMPARED: Final = 200
_LIKE_ENOUGH: Final = 0.5
_LEAST_FOR_LIKE: Final = 3  # characters of a word that can be misspelt and still be known
_SETTINGS: Final = {
    "enable_seqscan": "off",
    # What is forbidden counts as costly, and what is costly would be compiled: half a second.
    "jit": "off",
    # A plan for any words would be one for words that half of the entries have.
    "plan_cache_mode": "force_custom_plan",
}


Conditions = Sequence[ColumnElement[bool]]
Sample = dict[int, list[Place]]  # by level


@dataclass(frozen=True, slots=True)
class _Asked:
    """A search: terms, conditions on `Dataset`, and the entries that these leave, if few."""

    terms: Sequence[Spellings]
    conditions: Conditions
    ids: Sequence[str] | None
    is_whole: bool  # every entry has its words
    samples: dict[Place | None, Sample] = field(default_factory=dict)


async def ranked(
    session: AsyncSession,
    terms: Sequence[Spellings],
    conditions: Conditions,
    after: Place | None,
    most: int,
) -> list[Place]:
    """The first `most` hits behind `after`. `conditions` on `Dataset`: who may see it, the rest."""
    ids = await _narrowed(session, conditions)
    async with _planned(session) as is_whole:
        asked = _Asked(terms, conditions, ids, is_whole)
        found = await _exact(session, asked, after, most)
        if len(found) < most:
            alike = await _alike_if_few(session, asked, found if after is None else None)
            found += [place for place in alike if after is None or place > after]
    return found[:most]


async def count(session: AsyncSession, terms: Sequence[Spellings], conditions: Conditions) -> int:
    """How many hits there are, with what is only like the words."""
    ids = await _narrowed(session, conditions)
    statement = select(func.count()).select_from(DatasetWords).join(Dataset, _same())
    if ids is not None:
        statement = statement.where(DatasetWords.dataset_id == func.any(_texts(ids)))
    statement = statement.where(standing.holds(terms), *conditions)
    async with _planned(session) as is_whole:
        number = await session.scalar(statement) or 0
        asked = _Asked(terms, conditions, ids, is_whole)
        return number if number >= _ENOUGH else number + len(await _alike_if_few(session, asked))


@asynccontextmanager
async def _planned(session: AsyncSession) -> AsyncIterator[bool]:
    """Statements that go by an index, come what may; whether every entry has its words.

    The planner cannot know that the texts of a row lie elsewhere and cost more than the row. The
    settings are the transaction's own, and are as they were afterwards: what fails ends it.
    """
    some_unmade = exists().where(DatasetWords.made_as == literal(UNMADE, literal_execute=True))
    before = [func.current_setting(name) for name in _SETTINGS]
    ours = [func.set_config(*each, True) for each in _SETTINGS.items()]
    is_unmade, *told = (await session.execute(select(some_unmade, *before, *ours))).one()
    yield not is_unmade
    before_us = zip(_SETTINGS, told, strict=False)
    await session.execute(select(*(func.set_config(*each, True) for each in before_us)))


async def _narrowed(session: AsyncSession, conditions: Conditions) -> Sequence[str] | None:
    """The entries that meet the conditions, where these leave few."""
    if len(conditions) <= 1:  # who may see what, which leaves nearly all
        return None
    return await _if_few(session, select(Dataset.id).where(*conditions))


async def _if_few(session: AsyncSession, statement: Select[str]) -> Sequence[str] | None:
    """The ids of a statement; None where they are many."""
    some = statement.limit(_FEW + 1).subquery()
    ids: list[str] = await session.scalar(select(func.array_agg(some.c[0]))) or []
    return ids if len(ids) <= _FEW else None


async def _exact(
    session: AsyncSession, asked: _Asked, after: Place | None, most: int
) -> list[Place]:
    """The first hits behind `after` that have the words."""
    found: list[Place] = []
    if after is None or after.level < HEADS:
        found = await _heads(session, asked, after, most)
    if len(found) >= most:
        return found
    ids = asked.ids
    if ids is None and not await _is_common(session, asked, after):
        ids = await _if_few(
            session,
            select(DatasetWords.dataset_id).where(standing.reached(asked.terms, LEVELS - 1)),
        )
    if ids is None:
        found += await _lower(session, asked, after, most - len(found), found)
    else:
        few = await _few(session, asked, ids)
        found = [place for place in few if after is None or place > after]
    if len(found) < most and not asked.is_whole:
        found += await _unmade(session, asked, after, most - len(found))
    return found[:most]


async def _heads(
    session: AsyncSession, asked: _Asked, after: Place | None, most: int
) -> list[Place]:
    """The first hits that have the words in title or kana."""
    if asked.ids is None and (after is None or after.level == 0):
        walked = await _walked(session, asked, after, most)
        if len(walked) >= most:
            return walked
    found: list[Place] = []
    size = max(_LEAST_FILTERED if len(asked.conditions) > 1 else _LEAST_BATCH, most + most // 2)
    while len(found) < most:
        rows = (await session.execute(_heads_batch(asked, after, size))).all()
        found += [Place(level, length, id_) for id_, length, level, is_met in rows if is_met]
        if len(rows) < size:
            break
        after = Place(rows[-1].level, rows[-1].length, rows[-1].dataset_id)
        size = min(4 * size, _MOST_BATCH)
    return found[:most]


async def _walked(
    session: AsyncSession, asked: _Asked, after: Place | None, most: int
) -> list[Place]:
    """The first hits of the best level among the next titles in order."""
    each = _in_order(after, DatasetWords.title).limit(_WALKED).subquery()
    statement = (
        select(each.c.dataset_id, each.c.length)
        .join(Dataset, Dataset.id == each.c.dataset_id)
        .where(standing.in_title(asked.terms, each.c.title), *asked.conditions)
        .order_by(each.c.length, collate(each.c.dataset_id, "C"))
        .limit(most)
    )
    rows = await session.execute(statement)
    return [Place(0, length, id_) for id_, length in rows]


def _in_order(after: Place | None, *columns: SQLColumnExpression[Any]) -> Select[Any]:
    """Entries from the shortest title on."""
    statement = select(DatasetWords.dataset_id, DatasetWords.length, *columns)
    if after is not None:
        statement = statement.where(
            tuple_(DatasetWords.length, _id()) > tuple_(literal(after.length), literal(after.id))
        )
    return statement.order_by(DatasetWords.length, _id())


def _id() -> ColumnElement[str]:
    # By code point, as Python sorts: a database's own order may pass over hyphens.
    return collate(DatasetWords.dataset_id, "C")


def _heads_batch(asked: _Asked, after: Place | None, size: int) -> Select[Any]:
    """The next entries by title and kana, and whether each meets the conditions."""
    level = standing.head_level(asked.terms)
    statement = select(DatasetWords.dataset_id, DatasetWords.length, level.label("level"))
    if asked.ids is None:
        statement = statement.where(standing.reached(asked.terms, HEADS - 1))
    else:
        statement = statement.where(DatasetWords.dataset_id == func.any(_texts(asked.ids)))
    statement = statement.where(level < HEADS)
    if after is not None:
        place = tuple_(literal(after.level), literal(after.length), literal(after.id))
        statement = statement.where(tuple_(level, DatasetWords.length, _id()) > place)
    batch = statement.order_by(level, DatasetWords.length, _id()).limit(size).subquery()
    is_met = exists().where(Dataset.id == batch.c.dataset_id, *asked.conditions)
    order = (batch.c.level, batch.c.length, collate(batch.c.dataset_id, "C"))
    return select(batch, is_met).order_by(*order)


async def _is_common(session: AsyncSession, asked: _Asked, after: Place | None) -> bool:
    """Whether so many have the words that the index would name too many."""
    here = after if after is not None and HEADS <= after.level < LEVELS else None
    sample = await _sample(session, asked, here)
    return sum(map(len, sample.values())) >= _COMMON


async def _sample(session: AsyncSession, asked: _Asked, after: Place | None) -> Sample:
    """The hits of each level among the next entries in order."""
    known = asked.samples.get(after)
    if known is not None:
        return known
    made = DatasetWords.made_as != UNMADE
    passed = _in_order(after).where(made).limit(_PASSED).subquery()
    rows = await session.execute(
        select(DatasetWords.dataset_id, DatasetWords.length, DatasetWords.parts)
        .join(passed, passed.c.dataset_id == DatasetWords.dataset_id)
        .join(Dataset, _same())
        .where(*asked.conditions)
        .order_by(passed.c.length, collate(passed.c.dataset_id, "C"))
        .limit(_SAMPLED)
    )
    found: Sample = defaultdict(list)
    for id_, length, parts in rows:
        level = standing.best(asked.terms, parts)
        if level is not None:
            found[level].append(Place(level, length, id_))
    asked.samples[after] = found
    return found


async def _lower(
    session: AsyncSession,
    asked: _Asked,
    after: Place | None,
    most: int,
    better: Sequence[Place],
) -> list[Place]:
    """Of many hits the first ones beneath title and kana, level by level."""
    found: list[Place] = []
    has_others = any(len(each) > 1 for each in asked.terms)
    for level in range(max(HEADS, after.level if after else 0), LEVELS):
        if level % 2 and not has_others:  # those of other spellings
            continue
        here = after if after and after.level == level else None
        known = {place.id for place in (*better, *found)}
        wanted = most - len(found)
        sampled = (await _sample(session, asked, here))[level]
        if len(sampled) < wanted:
            sampled = await _level(session, asked, _Level(level, known), here, wanted)
        found += sampled[:wanted]
        if len(found) >= most:
            break
    return found


@dataclass(frozen=True, slots=True)
class _Level:
    """A level beneath title and kana; `known` are hits of better ones."""

    number: int
    known: set[str]


async def _level(
    session: AsyncSession, asked: _Asked, level: _Level, after: Place | None, most: int
) -> list[Place]:
    """The first `most` hits of a level: read in order, a batch at a time, and looked at."""
    found: list[Place] = []
    size = max(_LEAST_BATCH, most + most // 2)
    while len(found) < most:
        batch = await _batch(session, asked, level, after, size)
        for id_, length, parts in await _entries(session, [*batch], asked.conditions):
            if standing.best(asked.terms, parts) == level.number:
                found.append(Place(level.number, length, id_))
        if len(batch) < size:
            break
        last = next(reversed(batch))
        after = Place(level.number, batch[last], last)
        size = min(4 * size, _MOST_BATCH)
    return sorted(found)[:most]


async def _batch(
    session: AsyncSession, asked: _Asked, level: _Level, after: Place | None, size: int
) -> dict[str, int]:
    """Entries that have the level's grams, in order, with their lengths."""
    statement = _in_order(after).where(standing.reached(asked.terms, level.number))
    if level.known:
        statement = statement.where(DatasetWords.dataset_id != func.all(_texts(level.known)))
    # Not by the order's index: it would be walked to its end.
    in_order = statement.order_by(None).order_by(DatasetWords.length + 0, _id())
    return {id_: length for id_, length in await session.execute(in_order.limit(size))}


def _same() -> ColumnElement[bool]:
    return Dataset.id == DatasetWords.dataset_id


async def _few(session: AsyncSession, asked: _Asked, ids: Sequence[str]) -> list[Place]:
    """All hits among a few entries, in order."""
    conditions = [standing.in_text(asked.terms), *asked.conditions]
    found = []
    for id_, length, parts in await _entries(session, ids, conditions):
        level = standing.best(asked.terms, parts)
        if level is not None:
            found.append(Place(level, length, id_))
    return sorted(found)


async def _unmade(
    session: AsyncSession, asked: _Asked, after: Place | None, most: int
) -> list[Place]:
    """The first hits among entries that have no words yet."""
    if after is not None and after.level > UNREAD:
        return []
    here = after if after is not None and after.level == UNREAD else None
    statement = _in_order(here).join(Dataset, _same())
    rows = await session.execute(
        statement.where(standing.unmade(asked.terms), *asked.conditions).limit(most)
    )
    return [Place(UNREAD, length, id_) for id_, length in rows]


async def _entries(
    session: AsyncSession, ids: Sequence[str], conditions: Conditions
) -> Sequence[Any]:
    if not ids:
        return []
    wanted = func.unnest(_texts(ids)).table_valued("id").render_derived()
    statement = (
        select(DatasetWords.dataset_id, DatasetWords.length, DatasetWords.parts)
        .join(wanted, wanted.c.id == DatasetWords.dataset_id)
        .join(Dataset, _same())
        .where(*conditions)
    )
    return (await session.execute(statement)).all()


def _texts(values: Iterable[str]) -> ColumnElement[Any]:
    return cast(list(values), ARRAY(Text()))


async def _alike_if_few(
    session: AsyncSession, asked: _Asked, exact: Sequence[Place] | None = None
) -> list[Place]:
    """Entries that have the words but for a character of each, where few have all; best first."""
    words = [spellings[0] for spellings in asked.terms]
    if any(len(each) < _LEAST_FOR_LIKE for each in words):
        return []
    if exact is None:
        exact = await _exact(session, asked, None, _ENOUGH)
    if len(exact) >= _ENOUGH:
        return []
    near = (
        select(DatasetWords.dataset_id)
        .where(*(standing.misspelt(each) for each in words))
        .order_by(DatasetWords.length + 0, _id())
        .limit(_MOST_COMPARED)
    )
    ids = (await session.scalars(near)).all()
    known = {place.id for place in exact}
    found: list[Place] = []
    for id_, length, parts in await _entries(session, ids, asked.conditions):
        text = " ".join(parts[at] for at in standing.SEARCHED_FOR_LIKE)
        alike = likeness(words, text)
        if id_ not in known and alike >= _LIKE_ENOUGH:
            found.append(Place(LIKE + round((1 - alike) * 1_000), length, id_))
    return sorted(found)[:_MOST_LIKE]
