"""Finds individual numbers (個人番号) in text: a pure judge, which keeps and repeats none of them.

Twelve digits whose last one is the check digit of 番号法施行令第8条の検査用数字 (総務省令第85号, 5),
half or full width, in one piece or parted evenly. One hit is enough, wherever it stands; columns of
codes are told apart by `code_columns`. What else has twelve digits is told by what stands around
it: longer runs (corporate numbers, codes of goods), decimals, times of day (202401101600), UUIDs,
digests and binary in hexadecimal, mobile numbers with +81, permits (第…号).
"""

import re
from collections.abc import Iterator
from typing import Any, Final

REFUSED: Final = "individual_number_refused"  # the code of every refusal for one
_DIGITS: Final = 12
_WEIGHTS: Final = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
_BLOCK: Final = 1 << 16  # fits a processor's nearest memory: larger ones are slower
# How far two blocks overlap: the longest way to write a number, its \uXXXX escapes and all, with
# what must be seen at either side of it to know that it is one.
_MARGIN: Final = 256
_SEAM: Final = 32  # so much of the text is looked at with both blocks
OVERLAP: Final = 2 * _MARGIN + _SEAM

_SPACES: Final = "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"
_DASHES: Final = "‐‑‒–—―−ー－ｰ﹣\u2043\u2500"
_NOTHING: Final = "\u00ad\u200b\u200c\u200d\u2060\ufeff"  # shown as nothing at all
_WRITTEN: Final = (
    *((chr(0xFF10 + digit).encode(), b"%d" % digit) for digit in range(10)),
    *((sign.encode(), b"-") for sign in _SPACES + _DASHES),
    *((sign.encode(), b"") for sign in _NOTHING),
    (b" - ", b"-"),
)
# By their first two bytes: most texts have few of these, and one look tells.
_PLAIN: Final = {
    first: tuple(pair for pair in _WRITTEN if pair[0][:2] == first)
    for first in dict.fromkeys(pair[0][:2] for pair in _WRITTEN)
}
# The last bytes of full-width digits in UTF-8 stand for digits, and all bytes of the signs between
# them for nothing: so whatever holds a number holds twelve noughts, though not the other way round.
_LAST_OF_DIGITS: Final = bytes(range(0x90, 0x9A))
_BETWEEN: Final = bytes(set(b" -" + (_SPACES + _DASHES + _NOTHING + "０").encode()))
_PARTS: Final = bytes(set(_BETWEEN + b"+") - set(_LAST_OF_DIGITS))
_ASCII_DIGITS: Final = b"0123456789"
_COARSE: Final = bytes(
    ord("0")
    if byte in _ASCII_DIGITS + _LAST_OF_DIGITS
    else (ord("e") if byte in b"eE" else byte if byte in b"\\u&#" else ord("x"))
    for byte in range(256)
)
# Digits, what may stand between them, and all else.
_SHAPE: Final = bytes(
    ord("0") if byte in _ASCII_DIGITS else ord("-") if byte in b" -" else ord("x")
    for byte in range(256)
)
_NOUGHTS: Final = b"0" * _DIGITS
_WHOLE: Final = _NOUGHTS
_LONGER: Final = b"0" * (_DIGITS + 1)
_NO_DIGITS: Final = b"x" * (_DIGITS + 1)
_DIGIT_SHAPE: Final = ord("0")
_PRINTED: Final = b"0000-0000-0000"  # as on the card
_EVENLY: Final = (
    b"000-000-000-000", b"000000-000000", b"00-00-00-00-00-00", b"00000000-0000",
    b"0000-00000000", b"0-0-0-0-0-0-0-0-0-0-0-0",
)  # fmt: skip
_ESCAPE: Final = re.compile(rb"\\u([0-9a-fA-F]{4})")
# Those of digits, of the signs between them, and of what a power of ten is written with.
_ESCAPED: Final = re.compile(
    rb"\\u(?:00(?:3[0-9]|2[0bBdDeE]|45|65|[aA][0dD])|20(?:0[237-9b-dB-D]|1[0-5]|2[fF]|43|60)"
    rb"|2212|2500|30(?:00|[fF][cC])|[fF](?:[fF](?:1[0-9]|0[dD]|70)|[eE](?:63|[fF]{2})))"
)
_ENTITY: Final = re.compile(rb"&#(?:x([0-9a-fA-F]{1,5})|([0-9]{1,6}));")
_POWER: Final = re.compile(rb"(?<![0-9.])([1-9])\.([0-9]{9,11})[eE]\+?11(?![0-9])")
_POWER_NOUGHTS: Final = b"0" * 9 + b"e00"  # what every such power has, looked at coarsely
_POWERS: Final = (b"E11", b"E+11", b"e11", b"e+11")
_DATE: Final = re.compile(rb"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_TIME: Final = re.compile(_DATE.pattern + rb"(?:[01][0-9]|2[0-4])[0-5][0-9]")
_NUMBER_OF: Final = "第".encode(), "号".encode()  # of a permit (古物商許可), never of a person
_LETTER: Final = re.compile(rb"[A-Za-z_]")
_HEXADECIMAL: Final = b"0123456789abcdefABCDEF"
_UUID: Final = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)
_GUID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DIGESTS: Final = frozenset({16, 24, 32, 40, 48, 56, 64, 96, 128})  # characters of ids and hashes
_MOST_AROUND: Final = 130
_LOOSE: Final = re.compile(rf"\d(?:[ \-{_SPACES}{_DASHES}{_NOTHING}]{{0,3}}\d){{11,}}")
_DIGIT: Final = re.compile(r"\d")


def is_number(digits: bytes) -> bool:
    """Whether twelve ASCII digits end in the right check digit. Twelve noughts are nobody's."""
    rest = (
        sum(weight * (digit - 0x30) for weight, digit in zip(_WEIGHTS, digits, strict=False)) % 11
    )
    return digits[11] - 0x30 == (0 if rest <= 1 else 11 - rest) and digits != _NOUGHTS


def may_hold(data: bytes) -> bool:
    """A coarse and quick look at UTF-8: False is certain."""
    coarse = data.translate(_COARSE, _PARTS)
    return (
        _NOUGHTS in coarse
        or _POWER_NOUGHTS in coarse  # 1.23456789018E+11; an id in hexadecimal is mostly none
        or (b"\\u" in coarse and _ESCAPED.search(data) is not None)
        or b"&#" in coarse
    )


def holds_number(data: bytes) -> bool:
    """Whether UTF-8 text holds a number."""
    return may_hold(data) and bool(Watch().feed(data, last=True))


class Watch:
    """Looks at a stream of UTF-8 as it passes by. Holds no more than one block of it."""

    __slots__ = ("_begun", "_held", "_lines", "_was_near")

    def __init__(self) -> None:
        self._held = b""
        self._lines = 0  # line ends in what has passed and is held no longer
        self._begun = False  # something has
        self._was_near = False  # the end of the block before, which this one begins with

    def feed(self, piece: bytes, *, last: bool = False) -> list[int]:
        """The lines (from 1) of the numbers that can be told now; of all with the last piece.

        Near a cut nothing is told before what comes behind it is seen: it may be more digits.
        """
        data, at = self._held + piece, 0
        found: list[int] = []
        while len(data) - at > _BLOCK:
            found += self._look(data[at : at + _BLOCK], is_end=False)
            passed = at + _BLOCK - OVERLAP
            self._lines += data.count(b"\n", at, passed)
            self._begun, at = True, passed
        self._held = data[at:]
        if last:
            found += self._look(self._held, is_end=True)
        return found

    def _look(self, block: bytes, *, is_end: bool) -> Iterator[int]:
        was_near, self._was_near = self._was_near, False
        if not may_hold(block):
            return
        plain = _plain(block)
        low = len(_plain(block[:_MARGIN])) if self._begun else 0
        high = len(plain) - (0 if is_end else len(_plain(block[-_MARGIN:])))
        for place in sorted(_places(plain)):
            if not low <= place < high or (was_near and place < low + _SEAM):
                continue  # told with the block before or behind
            self._was_near = self._was_near or (place >= high - _SEAM and not is_end)
            yield self._lines + plain.count(b"\n", 0, place) + 1


def _plain(block: bytes) -> bytes:
    """The same with every way of writing a digit or a sign between digits in its ASCII form."""
    if b"\\u" in block:
        block = _ESCAPE.sub(lambda found: _character(int(found[1], 16)), block)
    if b"&#" in block:
        block = _ENTITY.sub(
            lambda found: _character(int(found[1], 16) if found[1] else int(found[2])), block
        )
    for first, pairs in _PLAIN.items():
        if first in block:
            for written, plain in pairs:
                block = block.replace(written, plain)
    if any(each in block for each in _POWERS):
        block = _POWER.sub(lambda found: found[1] + found[2].ljust(11, b"0"), block)
    return block


def _character(code: int) -> bytes:
    return chr(code).encode("utf-8", "replace") if code <= 0x10FFFF else b"?"


def _places(plain: bytes) -> Iterator[int]:
    shape = b"xx" + plain.translate(_SHAPE) + b"xx"
    for at in _each(shape, _WHOLE):
        if _stands_whole(plain, at - 2):
            yield at - 2
    for at in _each(shape, _PRINTED):
        if _stands_printed(plain, shape, at):
            yield at - 2
    for form in _EVENLY:
        for at in _each(shape, form):
            if _stands_evenly(plain, shape, at, form):
                yield at - 2


def _each(shape: bytes, form: bytes) -> Iterator[int]:
    """Where the form stands with no digit before and behind it."""
    # Longer runs, of which many files are full, are put out of the way at once.
    thin = shape.replace(_LONGER, _NO_DIGITS) if form is _WHOLE else shape
    at = thin.find(form)
    while at >= 0:
        if shape[at - 1] != _DIGIT_SHAPE and shape[at + len(form)] != _DIGIT_SHAPE:
            yield at
        at = thin.find(form, at + 1)


def _stands_whole(plain: bytes, at: int) -> bool:
    digits = plain[at : at + _DIGITS]
    if not is_number(digits) or _TIME.fullmatch(digits):
        return False
    before, after = plain[max(at - 3, 0) : at], plain[at + _DIGITS : at + _DIGITS + 20]
    if before == _NUMBER_OF[0] and after.startswith(_NUMBER_OF[1]):
        return False
    if before[-1:] == b"." and before[-2:-1].isdigit():
        return False  # the fraction of a decimal
    if after[:1] == b"." and after[1:2].isdigit() and re.match(rb"\.0+(?![0-9])", after) is None:
        return False
    if before[-1:] == b"+" and digits.startswith((b"8170", b"8180", b"8190")):
        return False
    return not _is_identifier(plain, at, at + _DIGITS)


def _stands_printed(plain: bytes, shape: bytes, at: int) -> bool:
    """Four by four. A fourth four makes it another number, such as a bank card's."""
    end = at + len(_PRINTED)
    if re.match(rb"-0000(?!0)", shape[end : end + 6]) or re.search(
        rb"(?<!0)0000-$", shape[max(at - 6, 0) : at]
    ):
        return False
    return _stands_parted(plain, at - 2, end - 2)


def _stands_evenly(plain: bytes, shape: bytes, at: int, form: bytes) -> bool:
    """Other parts of one size, with no more digits and no letters of an id at either side."""
    end = at + len(form)
    if shape[end : end + 2] == b"-0" or shape[at - 2 : at] == b"0-":
        return False
    if _LETTER.match(plain[end - 2 : end - 1]) or _LETTER.match(plain[max(at - 3, 0) : at - 2]):
        return False
    digits = _digits(plain[at - 2 : end - 2])
    if len(form) == 13 and (_DATE.fullmatch(digits[:8]) or _DATE.fullmatch(digits[4:])):
        return False
    return _stands_parted(plain, at - 2, end - 2)


def _stands_parted(plain: bytes, at: int, end: int) -> bool:
    digits = _digits(plain[at:end])
    return (
        is_number(digits)
        and not _TIME.fullmatch(digits)
        and not _is_decimal(plain, at, end)
        and not _is_identifier(plain, at, end)
    )


def _digits(text: bytes) -> bytes:
    return text.translate(None, b" -")


def _is_decimal(plain: bytes, at: int, end: int) -> bool:
    """Columns of decimals: 34.7052 1234 5678.5."""
    return (plain[at - 1 : at] == b"." and plain[at - 2 : at - 1].isdigit()) or (
        plain[end : end + 1] == b"." and plain[end + 1 : end + 2].isdigit()
    )


def _is_identifier(plain: bytes, at: int, end: int) -> bool:
    """Whether the digits are part of a UUID (RFC 9562) or of a hexadecimal id or digest."""
    low, high = max(at - _MOST_AROUND, 0), end + _MOST_AROUND
    first, last = at, end
    while first > low and plain[first - 1] in _HEXADECIMAL + b"-":
        first -= 1
    while last < high and plain[last : last + 1] and plain[last] in _HEXADECIMAL + b"-":
        last += 1
    around = plain[first:last]
    if plain[first - 1 : first] == b"{" and _GUID.fullmatch(around):
        return True
    if any(
        first + found.start() <= at and end <= first + found.end()
        for found in _UUID.finditer(around)
    ):
        return True
    left = around[: at - first].rpartition(b"-")[2]
    right = around[end - first :].partition(b"-")[0]
    word = left + plain[at:end] + right
    if plain[at - 2 : at] == b"0x":
        return True
    if b"-" in word or word.isdigit():
        return False
    # A word longer than any digest is binary in hexadecimal, such as a geometry (EWKB).
    return len(word) in _DIGESTS or len(word) > _MOST_AROUND


def masked(value: Any) -> Any:
    """The same value with the digits of every number in it, at any depth, as asterisks."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = str(int(value)) if 0 < value < 10**_DIGITS and value == int(value) else ""
        return mask(shown) if holds_number(shown.encode()) else value
    if isinstance(value, dict):
        return {masked(name): masked(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    return value


def masked_json(line: bytes) -> bytes:
    """A JSON document, such as an entry of a log, with the digits of every number as asterisks."""
    if not may_hold(line):
        return line
    import orjson  # noqa: PLC0415 - the command line begins with this module, and must begin at once

    return orjson.dumps(masked(orjson.loads(line)))


def mask(text: str) -> str:
    """The same text with the digits of every number in it as asterisks."""
    data = text.encode("utf-8", "replace")
    if not may_hold(data) or not holds_number(data):
        return text
    hidden = _LOOSE.sub(lambda found: _DIGIT.sub("*", found[0]), text)
    # Written in a way that only a reader of escapes would see: nothing of it is worth keeping.
    return hidden if not holds_number(hidden.encode("utf-8", "replace")) else "*" * _DIGITS


def makes_number(cells: tuple[str, ...]) -> bool:
    """Whether cells of digits that stand side by side make one number together."""
    digits = _digits(_plain("".join(cells).encode("utf-8", "replace")))
    return len(digits) == _DIGITS and digits.isdigit() and is_number(digits)


_FOUR: Final = re.compile(r"\s*\d{4}\s*")
_FOUR_FOUR: Final = re.compile(rf"\s*\d{{4}}[ \-{_SPACES}{_DASHES}]\d{{4}}\s*")


def is_split(left: str, right: str) -> bool:
    """Whether two neighbouring cells hold what is printed on one card: 1234 5678 | 9018.

    The sign within a cell tells it from two quantities that make one number by chance.
    """
    forms = (_FOUR_FOUR, _FOUR), (_FOUR, _FOUR_FOUR)
    return any(a.fullmatch(left) and b.fullmatch(right) for a, b in forms) and makes_number(
        (left.strip(), right.strip())
    )
