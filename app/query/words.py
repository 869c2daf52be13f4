"""What `q` asks for: terms, each in the spellings that mean the same. Pure; knows no text.

`same` words are alternatives everywhere. `related` ones (避難所 and 避難場所 differ in law) help to
find a dataset and never decide which records are an answer.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from app.query.fields import TEXT_TYPES, Field, FieldType
from app.query.folding import fold
from app.query.refusals import wrong

MOST_CHARACTERS: Final = 200
MOST_TERMS: Final = 10
MOST_SPELLINGS: Final = 30
_PARTING: Final = re.compile(r"[\s\x00-\x1f\x7f、。,\"]+")
_KANA: Final = re.compile(r"[ぁ-ゖゝゞ\-]+")
_KANJI: Final = re.compile(r"[々〇㐀-鿿豈-﫿𠀀-𯨟]")

_SEARCHED: Final = TEXT_TYPES - {FieldType.MONTH, FieldType.FISCAL_YEAR, FieldType.TIME}

Spellings = tuple[str, ...]  # folded; the first is the one asked for
Readings = Mapping[str, Iterable[str]]  # by term: words of that reading, or readings of the word


def searched(fields: Iterable[Field]) -> tuple[Field, ...]:
    """The fields that `q` looks into: text, but no times, which are text only in how they are kept."""
    return tuple(field for field in fields if field.type in _SEARCHED)


def read_terms(text: str) -> tuple[str, ...]:
    """The folded terms of a `q`, each once. Raises `InvalidQuestion`."""
    if len(text) > MOST_CHARACTERS:
        raise wrong(
            "q",
            f"{MOST_CHARACTERS}文字までです。",
            f"give {MOST_CHARACTERS} characters at most.",
            "too_long",
        )
    terms = tuple(dict.fromkeys(term for term in _PARTING.split(fold(text)) if term))
    if len(terms) > MOST_TERMS:
        raise wrong(
            "q",
            f"空白で区切った語は{MOST_TERMS}個までです。",
            f"give {MOST_TERMS} words at most.",
            "too_many_words",
        )
    return terms


def spell(
    terms: Iterable[str], readings: Readings | None = None, *, related: bool = False
) -> tuple[Spellings, ...]:
    """Each term with its other spellings: of its synonyms, then by its reading."""
    return tuple(
        tuple(dict.fromkeys(_spelt(term, (readings or {}).get(term, ()), related=related)))[
            :MOST_SPELLINGS
        ]
        for term in terms
    )


def _spelt(term: str, readings: Iterable[str], *, related: bool) -> Iterator[str]:
    yield term
    yield from _synonyms(related=False).get(term, ())
    yield from _inside(term)
    if related:
        yield from _synonyms(related=True).get(term, ())
    yield from readings


def _inside(term: str) -> Iterator[str]:
    """The term with a word in it spelt otherwise: 障害者施設 for 障がい者施設."""
    for word, others in _synonyms(related=False).items():
        if len(word) < len(term) and word in term and _is_telling(word):
            yield from (term.replace(word, other) for other in others if _is_telling(other))


def _is_telling(word: str) -> bool:
    """Whether a word inside another is that word: なごみ is no ごみ, and a single sign no word."""
    return len(word) >= (4 if is_kana(word) or word.isascii() else 2)


@cache
def _synonyms(*, related: bool) -> Mapping[str, tuple[str, ...]]:
    """By folded word: the others of its groups."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    path = Path(__file__).with_name("synonyms.csv")
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if (row["kind"] == "related") is not related:
                continue
            words = [fold(word) for word in row["words"].split()]
            for word in words:
                found[word] |= dict.fromkeys(other for other in words if other != word)
    return {word: tuple(others) for word, others in found.items()}


def is_kana(text: str) -> bool:
    """Whether folded text is kana throughout."""
    return _KANA.fullmatch(text) is not None


def has_kanji(text: str) -> bool:
    """Whether folded text has a character that is read, not spelt."""
    return _KANJI.search(text) is not None
