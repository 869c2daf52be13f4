"""Small rules on the characters of a cell; text itself is never folded, only trimmed."""

import re
import unicodedata

# What is cut from both ends of every cell, beside what Unicode calls white space.
BLANKS = " \t\r\n\v\f\u00a0\u3000\u200b\ufeff"
NULLS = frozenset({"", "NULL", "null", "Null", "-", "－", "―", "ー", "‐", "—", "–", "N/A", "n/a"})
# Outside a ward or a zone: null where a code is asked for, a word where text is.
NO_CODE = "区域外"

_FULL_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−－ー─"), "-")


class CellError(ValueError):
    """A cell that its field's type does not take; `code` is the reject code."""

    def __init__(self, code: str, hint: str | None = None) -> None:
        self.code = code
        self.hint = hint
        super().__init__(code)


def is_null(text: str) -> bool:
    """Whether a trimmed cell says that there is no value."""
    return text in NULLS


def ascii_digits(text: str) -> str:
    """Full-width ASCII as ASCII: for numbers, dates and codes, never for names."""
    return text if text.isascii() else text.translate(_FULL_ASCII)


def ascii_dashes(text: str) -> str:
    """Every look-alike of the hyphen as `-`."""
    return text if text.isascii() else text.translate(_DASHES)


_CLASSES = (
    (re.compile(r"[0-9０-９]"), "9"),
    (re.compile(r"[A-Za-zＡ-Ｚａ-ｚ]"), "A"),
    (re.compile(r"[ぁ-ゟ]"), "あ"),
    (re.compile(r"[ァ-ヺー-ヿｦ-ﾟ]"), "ア"),
    (re.compile(r"[\u3400-\u9fff\uf900-\ufaff々〆\U00020000-\U0003ffff]"), "漢"),
)
_RUN = re.compile(r"(.)\1{2,}", re.DOTALL)
_CLASS_LENGTH = 40


def value_class(raw: str) -> str:
    """The shape of a value without the value: `北区12-3` is `漢漢99-9`, long runs as `9+`."""
    shape = raw
    for pattern, mark in _CLASSES:
        shape = pattern.sub(mark, shape)
    shape = "".join(mark if _is_kept(mark) else "?" for mark in shape)
    shape = _RUN.sub(r"\1+", shape)
    return shape if len(shape) <= _CLASS_LENGTH else shape[:_CLASS_LENGTH] + "…"


def _is_kept(mark: str) -> bool:
    """Punctuation, blanks and symbols say nothing of a person; other scripts' letters might."""
    return mark in "9Aあア漢" or unicodedata.category(mark)[0] in "PSZ"
