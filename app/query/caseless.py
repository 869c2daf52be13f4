"""CASEI and ACCENTI (CQL2, 21-065r2, 7.4 and 7.5) of a text, in the very terms of the database.

The tables are handed to PostgreSQL, so that both agree whatever its collation and its version of
Unicode: what is left to it is normalising, which differs for characters younger than Python's
Unicode only (none of them in the Basic Multilingual Plane). Never applied to what is stored.
"""

import re
import unicodedata
from functools import cache
from typing import Final

from app.query.question import Folding

# Letters with a stroke or without a dot: Unicode takes them for letters of their own.
_STROKES: Final = str.maketrans("ØøŁłĐđĦħŦŧƀɃƗɨɄʉĿŀıȷ", "OoLlDdHhTtbBIiUuLlij")
# Marks that combine with any letter. A dakuten is none of them (21-065r2, 7.5): か is not が.
_MARKS: Final = (
    range(0x300, 0x370), range(0x1AB0, 0x1B00), range(0x1DC0, 0x1E00), range(0x20D0, 0x2100),
    range(0xFE20, 0xFE30),
)  # fmt: skip
# What needs no table: ASCII, kana and kanji in all their widths, Hangul. Most texts hold no more.
_PLAIN: Final = "\x01-\x7f\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff01-\uffee"
NOT_PLAIN: Final = f"[^{_PLAIN}]"
_NOT_PLAIN: Final = re.compile(NOT_PLAIN)
SHARP_S: Final = ("ß", "ss")  # the one letter that becomes two
Table = tuple[str, str]  # letters, and what becomes of each; those behind the end are dropped


@cache
def cases() -> Table:
    """Full case folding of fully decomposed text, ASCII and the sharp s apart."""
    letters = [chr(at) for at in (*range(0x80, 0xD800), *range(0xE000, 0x20000))]
    changed = [
        (each, folded)
        for each in letters
        if len(folded := _simple(each)) == 1
        and folded != each
        and unicodedata.normalize("NFKD", each) == each
    ]
    return "".join(each for each, _ in changed), "".join(folded for _, folded in changed)


def _simple(letter: str) -> str:
    return SHARP_S[0] if letter == "ẞ" else letter.casefold()


@cache
def accents() -> Table:
    """Letters with strokes and their plain ones; then the marks that are dropped."""
    letters = "".join(chr(each) for each in _STROKES)
    plain = "".join(str(chr(each)) for each in _STROKES.values())
    return letters + "".join(chr(at) for marks in _MARKS for at in marks), plain


@cache
def _translation(by: Folding) -> dict[int, str | None]:
    letters, become = cases() if by is Folding.CASEI else accents()
    return {ord(each): become[at] if at < len(become) else None for at, each in enumerate(letters)}


def folded(by: Folding, text: str) -> str:
    """The text without its case and width, or without its accents."""
    if by is Folding.CASEI:
        if not _NOT_PLAIN.search(text):
            return _lower(unicodedata.normalize("NFKC", text))
        text = _lower(unicodedata.normalize("NFKD", text)).translate(_translation(by))
        return unicodedata.normalize("NFKC", text.replace(*SHARP_S))
    if not _NOT_PLAIN.search(text):
        return unicodedata.normalize("NFC", text)
    text = unicodedata.normalize("NFD", text).translate(_translation(by))
    return unicodedata.normalize("NFC", text)


_ASCII: Final = {at: chr(at + 32) for at in range(0x41, 0x5B)}


def _lower(text: str) -> str:
    return text.translate(_ASCII)


_PATTERN: Final = re.compile(r"(\\.|%|_)", re.DOTALL)


def folded_pattern(by: Folding, pattern: str) -> str:
    """A pattern of LIKE, folded between its wildcards: a full-width ％ does not become one."""
    pieces: list[str] = []
    plain = ""
    for piece in _PATTERN.split(pattern):
        if piece in ("%", "_"):
            pieces += [_escaped(folded(by, plain)), piece]
            plain = ""
        else:
            plain += piece[1:] if piece[:1] == "\\" else piece
    return "".join([*pieces, _escaped(folded(by, plain))])


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)
