"""Folding for searching only: spellings that a reader takes for the same become the same.

Width, case, kana, dashes, and old and new forms of characters. Pure, and never applied to what is
stored or shown. `pattern_of` says the same to a database: NFKC of a text matches the pattern of a
folded term exactly where the folded text contains the term.
"""

import csv
import unicodedata
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

# ー is typed as any dash by those who enter half-width kana, and the other way round.
_DASHES: Final = "ー‐‑‒–—―−─━﹣⁃˗➖"
_TILDES: Final = "〜∼∾⁓〰"
_SMALL_KA_KE: Final = {"ヵ": "か", "ヶ": "け", "ゕ": "か", "ゖ": "け"}  # 桜ヶ丘, 桜ケ丘
# Variation selectors (also those of the ideographic database), joiners, soft hyphen, marks of order.
_IGNORED: Final = (
    range(0xAD, 0xAE), range(0x180B, 0x180E), range(0x200B, 0x2010), range(0x202A, 0x202F),
    range(0x2060, 0x2065), range(0xFE00, 0xFE10), range(0xFEFF, 0xFF00), range(0xE0100, 0xE01F0),
)  # fmt: skip
_CASED: Final = (range(0x41, 0x588), range(0x10A0, 0x1100), range(0x1E00, 0x2000))


@cache
def table() -> dict[int, str | None]:
    """What becomes of single characters after NFKC; None: dropped."""
    found: dict[int, str | None] = dict.fromkeys(at for each in _IGNORED for at in each)
    found |= {ord(each): "-" for each in _DASHES}
    found |= {ord(each): "~" for each in _TILDES}
    # Katakana and hiragana stand 0x60 apart, ァ to ヴ and the marks of repetition ヽ and ヾ.
    found |= {at: chr(at - 0x60) for at in (*range(0x30A1, 0x30F5), 0x30FD, 0x30FE)}
    found |= {ord(each): plain for each, plain in _SMALL_KA_KE.items()}
    for at in (at for cased in _CASED for at in cased):
        lower = chr(at).lower()
        if lower != chr(at) and len(lower) == 1:
            found[at] = lower
    for row in _forms():
        found |= {ord(each): row["form"] for each in row["others"]}
    return found


def _forms() -> list[dict[str, str]]:
    path = Path(__file__).with_name("kanji_forms.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fold(text: str) -> str:
    """The text as it is searched: ﾋﾅﾝ, ヒナン and ひなん are one, and so are 廣 and 広."""
    return unicodedata.normalize("NFKC", text).translate(table())


@cache
def _sources() -> dict[str, str]:
    """By folded character: every character that becomes it."""
    found: dict[str, list[str]] = defaultdict(list)
    for at, plain in table().items():
        if plain is not None:
            found[plain].append(chr(at))
    return {plain: "".join(each) for plain, each in found.items()}


# What may stand unseen between two characters.
_UNSEEN: Final = "[" + "".join(f"{chr(one[0])}-{chr(one[-1])}" for one in _IGNORED) + "]*"


def pattern_of(term: str) -> str:
    """A folded term as a regular expression (PostgreSQL's, and Python's) over NFKC of a text."""
    return _UNSEEN.join(_class(each) for each in term)


def _class(folded: str) -> str:
    sources = _sources().get(folded, "")
    if not sources:
        return folded if folded.isalnum() else _escaped(folded)
    return "[" + "".join(_escaped(each) for each in (folded + sources)) + "]"


def _escaped(one: str) -> str:
    """ASCII signs mean something in a class or outside; escaped, each means itself."""
    return "\\" + one if one.isascii() and not one.isalnum() else one
