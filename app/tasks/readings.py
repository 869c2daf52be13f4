"""How the words of a text are read, by a dictionary that not every deployment has. Stores nothing.

Installed with the extra `search`; without it nothing is read, and searches go by spelling alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Final

from app.query.folding import fold
from app.query.words import has_kanji, is_kana

_MOST_CHARACTERS: Final = 2_000  # of a text
_LONGEST_WORD: Final = 20
_MOST_TOGETHER: Final = 4  # words that stand together are one too: 指定・緊急・避難・場所
_PARTS_OF_SPEECH: Final = frozenset({"名詞", "接頭辞", "接尾辞", "形状詞"})


def dictionary() -> str | None:
    """The dictionary that words are read with, by name and edition; None where there is none."""
    if find_spec("sudachipy") is None or find_spec("sudachidict_core") is None:
        return None
    return f"sudachidict-core {metadata.version('sudachidict-core')}"


def read(texts: Iterable[str]) -> set[tuple[str, str]]:
    """Words of the texts that have kanji, with their readings, both folded. No names of persons.

    Takes CPU for as long as it takes: not for an event loop.
    """
    found: set[tuple[str, str]] = set()
    for text in texts:
        for line in text[:_MOST_CHARACTERS].splitlines():
            for run in _runs(_tokenizer().tokenize(line)):
                found.update(_together(run))
    return found


@cache
def _tokenizer() -> Any:
    # Here, because it brings its dictionary into memory: the worker's alone.
    from sudachipy import Dictionary, SplitMode  # noqa: PLC0415

    return Dictionary(dict="core").create(mode=SplitMode.C)


def _runs(tokens: Iterable[Any]) -> Iterator[list[tuple[str, str]]]:
    """Words that stand together, long ones whole and in their parts."""
    run: list[tuple[str, str]] = []
    for token in tokens:
        if not _is_word(token):
            yield run
            run = []
            continue
        run.append((token.surface(), token.reading_form()))
        parts = token.split(_shortest())
        if len(parts) > 1 and all(map(_is_word, parts)):
            yield [(part.surface(), part.reading_form()) for part in parts]
    yield run


@cache
def _shortest() -> Any:
    from sudachipy import SplitMode  # noqa: PLC0415

    return SplitMode.A


def _is_word(token: Any) -> bool:
    kind: Sequence[str] = token.part_of_speech()
    return kind[0] in _PARTS_OF_SPEECH and kind[2] != "人名" and token.reading_form() != "キゴウ"


def _together(run: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for begin in range(len(run)):
        for end in range(begin + 1, min(begin + _MOST_TOGETHER, len(run)) + 1):
            word = fold("".join(surface for surface, _ in run[begin:end]))
            reading = fold("".join(read for _, read in run[begin:end]))
            if len(word) <= _LONGEST_WORD and has_kanji(word) and is_kana(reading):
                yield word, reading
