"""How words are read (避難: ひなん), both ways. Filled by the worker; here words are looked up.

It holds words of the catalogue and of open columns only: a vocabulary must not tell a name.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Select, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.search import Reading
from app.query.words import MOST_SPELLINGS, has_kanji, is_kana

_LEAST_READING: Final = 3  # shorter ones (し of 市) stand inside every other word
_LEAST_KANA: Final = 2
_LEAST_BEGINNING: Final = 3  # from here on, kana may be the beginning of a reading
_MOST_LOOKED_AT: Final = 100
_BEHIND_ALL: Final = chr(0x10FFFF)
_ROWS_A_STATEMENT: Final = 5_000


async def look_up(session: AsyncSession, terms: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By term: the words that are read as it, or the readings of it."""
    statements = [made for term in terms if (made := _statement(term)) is not None]
    if not statements:
        return {}
    found: dict[str, list[str]] = defaultdict(list)
    rows: Iterable[Any] = await session.execute(union_all(*statements))
    for term, spelling in rows:
        # A word that has another of them in it is found by that one already.
        if not any(each in spelling for each in found[term]):
            found[term].append(spelling)
    return {term: tuple(each[:MOST_SPELLINGS]) for term, each in found.items()}


def _statement(term: str) -> Select[str, str] | None:
    if is_kana(term) and len(term) >= _LEAST_KANA:
        is_meant = Reading.reading == term
        if len(term) >= _LEAST_BEGINNING:
            is_meant = Reading.reading.between(term, term + _BEHIND_ALL)
        order = (func.length(Reading.reading), func.length(Reading.word), Reading.word)
        words = select(literal(term), Reading.word).where(is_meant).order_by(*order)
        return select(words.limit(_MOST_LOOKED_AT).subquery())
    if has_kanji(term):
        is_long = func.length(Reading.reading) >= _LEAST_READING
        read = select(literal(term), Reading.reading).where(Reading.word == term, is_long)
        return select(read.order_by(Reading.reading).limit(_MOST_LOOKED_AT).subquery())
    return None


async def keep(session: AsyncSession, pairs: Iterable[tuple[str, str]]) -> None:
    """Add words with their readings; what is known already stays."""
    # In order, so that two workers that add the same words wait for each other and never crosswise.
    rows = [{"word": word, "reading": reading} for word, reading in sorted(set(pairs))]
    for at in range(0, len(rows), _ROWS_A_STATEMENT):
        some = rows[at : at + _ROWS_A_STATEMENT]
        await session.execute(insert(Reading).on_conflict_do_nothing(), some)
