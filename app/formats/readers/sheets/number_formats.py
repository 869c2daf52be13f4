"""What a spreadsheet's number format makes of a number: date, time, padded code; pure.

ECMA-376 part 1, 18.8.30 and 18.8.31. The value is what the sheet shows, so 123 under the format
00000 is 00123; but separators, currencies and percent signs are dress, and are left off.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a number is shown as."""

    NUMBER = "number"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    ELAPSED = "elapsed"
    MONTH = "month"
    PADDED = "padded"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """One format, as far as it changes what is stored."""

    kind: Kind = Kind.NUMBER
    has_seconds: bool = False
    pieces: tuple[tuple[bool, str], ...] = ()  # of a padded number: (is digits, text) in order
    smaller: tuple[tuple[float, "NumberFormat"], ...] = ()  # (up to, format) that go before

    def padded(self, number: int) -> str:
        """The number with the zeros and marks of the format (`000-0000`: 53 is 000-0053)."""
        for limit, fitting in self.smaller:
            if number <= limit:
                return fitting.padded(number)
        places = "".join(text for is_digits, text in self.pieces if is_digits)
        if not places:
            return str(number)
        least = len(places) - places.index("0") if "0" in places else 0
        digits = str(number).rjust(least, "0").rjust(len(places))
        shown, start, end = [], 0, len(digits) - len(places)  # the first run takes what is over
        for is_digits, text in self.pieces:
            if not is_digits:
                shown.append(text)
                continue
            end += len(text)
            shown.append(digits[start:end].strip())
            start = end
        return "".join(shown)


PLAIN = NumberFormat()

_DATE, _TIME = NumberFormat(Kind.DATE), NumberFormat(Kind.TIME)
_SECONDS = NumberFormat(Kind.TIME, has_seconds=True)
# 18.8.30: the formats that are never written out, with those of Japanese Excel (27 to 36, 50 to 58).
_BUILT_IN = (
    dict.fromkeys((14, 15, 16, 27, 28, 29, 30, 31, 35, 36, 50, 51, 53, 54, 56, 57, 58), _DATE)
    | dict.fromkeys((17, 34, 52, 55), NumberFormat(Kind.MONTH))
    | dict.fromkeys((18, 20, 32), _TIME)
    | dict.fromkeys((19, 21, 33, 45, 47), _SECONDS)
    | {22: NumberFormat(Kind.DATETIME), 46: NumberFormat(Kind.ELAPSED, has_seconds=True)}
)
_SECTION = re.compile(r'(?:"[^"]*"|\\.|[^;"])+', re.DOTALL)
_UP_TO = re.compile(r"\[<=?([0-9]+)\]")
_PIECE = re.compile(r'([0#]+)|"([^"]*)"|[\\!](.)|[_*].|([-() :　－])', re.DOTALL)
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|!(.)|[_*](.)', re.DOTALL)
_BRACKET = re.compile(r"\[(?!(?:h+|m+|s+)\])[^\]]*\]", re.IGNORECASE)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_GENERAL = re.compile(r"general|g/標準|標準|@", re.IGNORECASE)
_AM_PM = re.compile(r"am/pm|a/p|上午/下午|午前/午後", re.IGNORECASE)
_MINUTES = re.compile(r"(?<=h)([^a-z]*)m+|m+([^a-z]*)(?=s)", re.IGNORECASE)


def built_in(number: int) -> NumberFormat:
    """The format that goes by its number alone."""
    return _BUILT_IN.get(number, PLAIN)


def number_format(code: str) -> NumberFormat:
    """What the format `code` makes of a number that is not negative."""
    sections = _sections(code)
    bounds = [_UP_TO.search(section) for section in sections[:-1]]
    if bounds and all(bounds):
        return _conditional(sections, [float(bound[1]) for bound in bounds if bound])
    return _section_format(sections[0])


def _conditional(sections: list[str], limits: list[float]) -> NumberFormat:
    """Japanese Excel's own for postal codes: `[<=999]000;[<=9999]000-00;000-0000`."""
    made = [NumberFormat(Kind.PADDED, pieces=_pieces(section) or ()) for section in sections]
    if not any(_is_code(each.pieces) for each in made):
        return _section_format(sections[-1])
    smaller = tuple(zip(limits, made[:-1], strict=True))
    return NumberFormat(Kind.PADDED, pieces=made[-1].pieces, smaller=smaller)


def _sections(code: str) -> list[str]:
    """The parts between semicolons that stand in no quotes and behind no backslash."""
    return [found[0] for found in _SECTION.finditer(code)] or [""]


def _section_format(section: str) -> NumberFormat:
    bare = _BRACKET.sub("", _LITERAL.sub("", section))
    if _GENERAL.search(bare):
        return PLAIN
    timed = _AM_PM.sub("", bare).lower()
    if not re.search(r"[0#?]", re.sub(r"s\.0+", "s", timed)):
        return _moment(timed)
    pieces = _pieces(section)
    return NumberFormat(Kind.PADDED, pieces=pieces) if pieces and _is_code(pieces) else PLAIN


def _moment(timed: str) -> NumberFormat:
    """Dates and times; `m` beside hours or seconds means minutes (18.8.31)."""
    has_seconds = "s" in timed
    if _ELAPSED.search(timed):
        return NumberFormat(Kind.ELAPSED, has_seconds)
    has_time = "h" in timed or has_seconds
    dates = _MINUTES.sub("", timed) if has_time else timed
    has_year, has_day = bool(re.search("[yegb]", dates)), bool(re.search("[da]", dates))
    if has_year or has_day or "m" in dates:
        if has_time:
            return NumberFormat(Kind.DATETIME, has_seconds)
        is_month = has_year and "m" in dates and not has_day
        return NumberFormat(Kind.MONTH if is_month else Kind.DATE)
    return NumberFormat(Kind.TIME, has_seconds) if has_time else PLAIN


def _pieces(section: str) -> tuple[tuple[bool, str], ...] | None:
    """Runs of 0 and # with the texts between them; None for an amount (. , % E ?)."""
    rest, pieces = _BRACKET.sub("", section), []
    while rest:
        found = _PIECE.match(rest)
        if found is None:
            return None
        digits, quoted, escaped, mark = found.groups()
        if text := digits or quoted or escaped or mark:
            pieces.append((bool(digits), text))
        rest = rest[found.end() :]
    return tuple(pieces)


def _is_code(pieces: tuple[tuple[bool, str], ...]) -> bool:
    """Zeros before the number are shown on purpose: 0000, 000-0000, 0#-####-####."""
    runs = [text for is_digits, text in pieces if is_digits]
    return "00" in "".join(runs) or (len(runs) > 1 and "0" in runs[0])
