"""Patterns given as data: only those that a linear-time engine runs, and that no reader chokes on.

A pattern runs here in Rust's regex engine, whose time is linear in the text. It also leaves the
platform in JSON Schemas, and a reader's engine may backtrack. So nested repetition is refused too,
and so is what compiles to megabytes: `\\w{90}` takes seven.
"""

import re
from functools import lru_cache
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

LONGEST_PATTERN: Final = 500
_LOOK_AROUND: Final = re.compile(r"\(\?(?:[=!]|<[=!])")
_BACK_REFERENCE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\[1-9]|\(\?P=")
_MANY: Final = re.compile(r"[*+]|\{[0-9]*,[0-9]*\}|\{[0-9]{2,}\}")  # {2} and ? repeat too little
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
# Blanks and comments inside a pattern would hide what a repetition repeats.
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z-]*x")

MOST_SIZE: Final = 1_200  # of one pattern, as `size_of` counts: a kilobyte or less each
MOST_SIZE_TOGETHER: Final = 20_000  # of the patterns of one profile
_TOKEN: Final = re.compile(r"\\[pPxuU]\{[^}]*\}|\\[pP].|\\.|\[\^?\]?|\{[0-9,]+\}|.", re.DOTALL)
_WIDE: Final = frozenset("wWpP")  # classes of hundreds of ranges, each copy 60 KB
_BROAD: Final = frozenset("dDsS")
_NARROW: Final = frozenset({r"\p{Hiragana}", r"\p{Katakana}", r"\p{Han}"})


def refused_because(pattern: str) -> tuple[str, str] | None:
    """Why a pattern is not taken, in Japanese and English; None if it is."""
    if len(pattern) > LONGEST_PATTERN:
        return (f"{LONGEST_PATTERN}文字以内にしてください", f"at most {LONGEST_PATTERN} characters")
    if _VERBOSE.search(pattern):
        return ("フラグ x は使えません", "the flag x is refused")
    if _LOOK_AROUND.search(pattern) or _BACK_REFERENCE.search(pattern):
        return (
            "先読み・後読み・後方参照は使えません",
            "look-around and back-references are refused",
        )
    if _repeats_a_repetition(pattern):
        return (
            "繰り返しの中に繰り返しや選択を入れないでください（例 (a+)+）",
            "no repetition or alternative inside a repetition, as in (a+)+",
        )
    if size_of(pattern) > MOST_SIZE:
        return (
            "繰り返しが大きすぎます。回数を減らすか、\\w の代わりに [0-9A-Za-z_] などを使ってください",
            "it repeats too much: repeat less often, or write [0-9A-Za-z_] in place of \\w",
        )
    try:
        _compiled(pattern)
    except SchemaError:
        return ("正規表現として読めません", "it cannot be read as a regular expression")
    return None


def size_of(pattern: str) -> int:
    """About how large the pattern is once every counted repetition is written out.

    The engine compiles it so, and keeps it: a short text can make ten megabytes.
    """
    totals, lasts, in_class = [0.0], [0.0], 0
    for part in _TOKEN.findall(pattern):
        opens, closes = ("[", "]") if in_class or part[0] == "[" else ("(", ")")
        if part[0] == opens:
            totals.append(0.0)
            lasts.append(0.0)
            in_class += opens == "["
        elif part == closes and len(totals) > 1:
            lasts.pop()
            lasts[-1] = max(totals.pop(), 1.0)
            totals[-1] += lasts[-1]
            in_class -= closes == "]"
        elif not in_class and part[0] == "{" and len(part) > 1:
            times = max([1, *(int(count) for count in part[1:-1].split(",") if count)])
            totals[-1] += lasts[-1] * (times - 1)
            lasts[-1] *= times
        elif in_class or part not in "*+?|^$":
            lasts[-1] = _weight(part) / (4 if in_class and len(part) == 1 else 1)
            totals[-1] += lasts[-1]
    return int(min(totals[0] + sum(totals[1:]), 2.0**53))


def _weight(part: str) -> float:
    if part[0] != "\\":
        return 1
    if part in _NARROW:
        return 4
    return 60 if part[1] in _WIDE else 8 if part[1] in _BROAD else 1


def is_full_match(pattern: str, text: str) -> bool:
    """Whether the whole of `text` is what the pattern says. The pattern was checked before."""
    try:
        _compiled(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator:
    whole = rf"\A(?:{pattern})\z"
    return SchemaValidator(core_schema.str_schema(pattern=whole, regex_engine="rust-regex"))


def _repeats_a_repetition(pattern: str) -> bool:
    """Whether a group that repeats holds a repetition or a choice: the ways multiply."""
    plain = _CLASS.sub("x", re.sub(r"\\.", "x", pattern))
    opened: list[int] = []
    for at, sign in enumerate(plain):
        if sign == "(":
            opened.append(at)
        elif sign == ")" and opened:
            inner = plain[opened.pop() + 1 : at]
            if _MANY.match(plain, at + 1) and ("|" in inner or _MANY.search(inner)):
                return True
    return False
