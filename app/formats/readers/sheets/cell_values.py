"""From what a workbook stores to the text that a cell means; it knows no rows and no columns."""

import math
import re
from collections.abc import Callable
from datetime import date

import polars as pl

from app.formats.readers.sheets.number_formats import PLAIN, Kind, NumberFormat
from app.formats.text import BLANKS

_DAY = 86_400
_LAST_DAY = 2_958_465  # 9999-12-31
_EPOCH = (date(1899, 12, 30) - date(1970, 1, 1)).days
_DAYS_TO_1904 = 1462
_NO_SUCH_DAY = 60  # Excel's 29 February 1900; the days before it count from one day later

_PLAIN_NUMBER = r"^(?:0|-?[1-9][0-9]{0,14}|-?(?:0|[1-9][0-9]{0,6})\.[0-9]{0,7}[1-9])$"
_LONG_NUMBER = r"^-?(?:0|[1-9][0-9]{0,14})\.[0-9]*[1-9]$"
_MAYBE_NOISE = r"(?:000|999)[0-9]{0,4}$"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def number_text(raw: str) -> str:
    """A stored number without exponent and without the noise of its last bits; else as it is.

    What a sum leaves behind (0.30000000000000004) is noise where fifteen digits, which is all
    that a sheet calculates with, are at most twelve and zeros.
    """
    try:
        number = float(raw)
    except ValueError:
        return raw
    if not math.isfinite(number):
        return raw
    text = repr(number)
    if len(text) > 16:
        rounded = f"{number:.15g}"
        if len(rounded.partition("e")[0].strip("-0.").replace(".", "")) <= 12:
            text = rounded
    mantissa, _, exponent = text.partition("e")
    if exponent:
        mantissa = _shifted(mantissa, int(exponent))
    plain = mantissa.removesuffix(".0")
    return "0" if plain == "-0" else plain


def _shifted(mantissa: str, exponent: int) -> str:
    """The digits with the point where the exponent puts it."""
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, part = mantissa.lstrip("-").partition(".")
    digits, point = whole + part, len(whole) + exponent
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}".rstrip("0")
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}".rstrip("0").rstrip(".")


def numbers(raw: pl.Series, shown: NumberFormat, *, is_1904: bool) -> pl.Series:
    """Stored numbers as their format means them; what the format cannot show stays a number."""
    if shown.kind is Kind.NUMBER:
        return _plain(raw)
    values = raw.cast(pl.Float64, strict=False)
    if shown.kind is Kind.PADDED:
        whole = (values >= 0) & (values < 1e15) & (values.round(0) == values)
        made = _mapped(raw, lambda text: shown.padded(int(float(text))), whole)
    else:
        made = moments(values, shown, is_1904=is_1904)
    return made if made.null_count() == raw.null_count() else made.zip_with(
        made.is_not_null(), _plain(raw)
    )  # fmt: skip


def _plain(raw: pl.Series) -> pl.Series:
    odd = ~raw.str.contains(_PLAIN_NUMBER)
    if not odd.any():
        return raw
    # A long number that is its own shortest form, and does not end in noise, is plain as well.
    shortest = (raw == raw.cast(pl.Float64, strict=False).cast(pl.String)).fill_null(value=False)
    odd &= ~(shortest & raw.str.contains(_LONG_NUMBER) & ~raw.str.contains(_MAYBE_NOISE))
    return raw if not odd.any() else _mapped(raw, number_text, odd, others=raw)


def _mapped(
    raw: pl.Series, change: Callable[[str], str], where: pl.Series, others: pl.Series | None = None
) -> pl.Series:
    """`change` of the texts that `where` marks; `others` (or null) for the rest."""
    at = where.fill_null(value=False).arg_true()
    result = (
        others if others is not None else raw.new_from_index(0, 0).extend_constant(None, len(raw))
    )
    if at.is_empty():
        return result
    texts = [change(text) for text in raw.gather(at).to_list()]
    return result.scatter(at, pl.Series(texts, dtype=pl.String))


def moments(values: pl.Series, shown: NumberFormat, *, is_1904: bool) -> pl.Series:
    """Serial numbers of days as dates and times in ISO form; null where there is no such day."""
    seconds = (values * _DAY).round(0)
    seconds = seconds.set((seconds < 0) | (seconds >= (_LAST_DAY + 1) * _DAY), None)
    seconds = seconds.cast(pl.Int64, strict=False)
    if shown.kind is Kind.ELAPSED:
        return _clock(seconds, has_seconds=shown.has_seconds)
    if shown.kind is Kind.TIME:
        return _clock(seconds % _DAY, has_seconds=shown.has_seconds)
    days = seconds // _DAY
    if is_1904:
        days = days + _DAYS_TO_1904
    else:
        days = days.set((days == 0) | (days == _NO_SUCH_DAY), None)
        days = days + (days < _NO_SUCH_DAY).cast(pl.Int64)
    dates = (days + _EPOCH).cast(pl.Int32, strict=False).cast(pl.Date)
    if shown.kind is Kind.MONTH:
        return dates.dt.to_string("%Y-%m")
    written = dates.dt.to_string("%Y-%m-%d")
    if shown.kind is Kind.DATE:
        return written
    return written + "T" + _clock(seconds % _DAY, has_seconds=True)


def _clock(seconds: pl.Series, *, has_seconds: bool) -> pl.Series:
    """HH:MM, with :SS where the format shows them or they are not zero; hours may pass 24."""

    def two(part: pl.Series) -> pl.Series:
        return part.cast(pl.String).str.zfill(2)

    short = two(seconds // 3600) + ":" + two(seconds // 60 % 60)
    long = short + ":" + two(seconds % 60)
    return long if has_seconds else long.zip_with((seconds % 60 != 0).fill_null(value=False), short)


def iso_moments(raw: pl.Series, shown: NumberFormat) -> pl.Series:
    """Cells of type `d` (18.18.11), which hold ISO 8601 already, as their format shows them."""
    cut = raw.str.replace(r"Z$", "").str.replace(r"\.[0-9]+$", "")
    if shown.kind in (Kind.TIME, Kind.ELAPSED):
        return cut.str.replace(r"^.*T", "")
    if shown.kind is Kind.MONTH:
        return cut.str.slice(0, 7)
    if shown.kind is Kind.DATE:
        return cut.str.slice(0, 10)
    return cut.str.replace("T00:00:00$", "") if shown is PLAIN else cut


def unescaped(texts: pl.Series) -> tuple[pl.Series, int]:
    """Texts with `_x000D_` and its like decoded (22.9.2.19), and how many characters had to go.

    NUL and halves of surrogate pairs are no text: U+FFFD stands for each.
    """
    marked = texts.str.contains("_x", literal=True).fill_null(value=False)
    if not marked.any():
        return texts, 0
    lost = 0

    def decoded(text: str) -> str:
        nonlocal lost
        plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
        if not _UNSTORABLE.search(plain):
            return plain
        joined = plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        kept, count = _UNSTORABLE.subn("\ufffd", joined)
        lost += count
        return kept

    return _mapped(texts, decoded, marked, others=texts), lost


def filled(texts: pl.Series) -> pl.Series:
    """The texts, null where nothing but blanks stands."""
    blank = (texts.str.strip_chars(BLANKS) == "").fill_null(value=False)
    return texts.set(blank, None) if blank.any() else texts
