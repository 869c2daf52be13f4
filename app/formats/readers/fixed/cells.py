"""Cells of a fixed-length record: texts, packed, zoned and binary numbers; it mends nothing.

Packed decimal (COMP-3): two digits a byte, the last half-byte the sign. Zoned decimal: a digit in
the low half of each byte, the sign in the high half of the last one.
"""

from collections.abc import Callable
from typing import Final

from app.formats.dates import plain_date
from app.formats.readers.fixed import ebcdic
from app.formats.readers.fixed.layout import Column
from app.formats.text import CellError

_MINUS = frozenset({0xB, 0xD})
_PLUS = frozenset({0xA, 0xC, 0xE, 0xF})
# Zones of zoned digits in ASCII: plain digits (3), and a negative last digit as COBOL compilers
# on open systems write it (7).
_ASCII_ZONES = {0x3: "", 0x7: "-"}
_BLANK = {"ascii": 0x20, "ebcdic": 0x40}
# The first digit of a date of seven, as mainframes code the eras.
_ERAS: Final = {"1": "M", "2": "T", "3": "S", "4": "H", "5": "R"}

ReadCell = Callable[[bytes], str]


class Spoilt(ValueError):
    """A cell that cannot be read; its text is the reject code."""


def reader_of(column: Column, encoding: str) -> ReadCell:
    """What takes the bytes of `column` to their text, or raises `Spoilt`."""
    read = _plain_reader(column, encoding)
    if column.date is None and not column.empty:
        return read
    return lambda cell: dated(read(cell), column)


def _plain_reader(column: Column, encoding: str) -> ReadCell:
    if column.type == "packed":
        return lambda cell: _scaled(packed(cell), column.scale)
    if column.type == "zoned":
        family = "ebcdic" if encoding in ebcdic.FAMILY else "ascii"
        return lambda cell: _scaled(zoned(cell, family), column.scale)
    if column.type == "integer":
        return lambda cell: _scaled(binary(cell), column.scale)
    if column.type == "graphic":
        return _graphic if encoding in ebcdic.NAMES else lambda cell: text(cell, encoding)
    return lambda cell: text(cell, encoding)


def dated(found: str, column: Column) -> str:
    """A day as YYYY-MM-DD; nothing for zeros, blanks, and what the layout says means nothing."""
    plain = found.strip()
    if plain in column.empty:
        return ""
    if column.date is None:
        return found
    if not plain.strip("0"):
        return ""
    try:
        if column.date == "western":
            return plain_date(plain)
        era, digits = _ERAS.get(plain[0], plain[0].upper()), plain[1:]
        if era not in _ERAS.values() or len(digits) != 6:
            raise Spoilt("invalid_date")
        return plain_date(f"{era}{digits[:2]}.{digits[2:4]}.{digits[4:]}")
    except CellError as exc:
        raise Spoilt(exc.code) from exc


def text(cell: bytes, encoding: str) -> str:
    """The text of a cell, blanks and all; a cell of NULs alone is empty."""
    if not cell.strip(b"\0"):
        return ""
    try:
        made = ebcdic.decode(cell, encoding) if encoding in ebcdic.NAMES else cell.decode(encoding)
    except ebcdic.Unknown as exc:
        raise Spoilt("unknown_character") from exc
    except ValueError as exc:
        raise Spoilt("half_character") from exc
    return _without_nul(made)


def _graphic(cell: bytes) -> str:
    if not cell.strip(b"\0"):
        return ""
    try:
        return _without_nul(ebcdic.decode_double(cell))
    except ebcdic.Unknown as exc:
        raise Spoilt("unknown_character") from exc
    except ebcdic.Half as exc:
        raise Spoilt("half_character") from exc


def _without_nul(made: str) -> str:
    if "\0" in made:
        raise Spoilt("nul_character")
    return made


def packed(cell: bytes) -> str:
    """The digits of a packed decimal with their sign; empty for a cell of NULs or of blanks."""
    if not cell.strip(b"\0") or not cell.strip(b"\x40") or not cell.strip(b"\x20"):
        return ""
    digits, sign = cell.hex()[:-1], cell[-1] & 0x0F
    if not digits.isdigit() or sign not in _PLUS | _MINUS:
        raise Spoilt("invalid_packed")
    return ("-" if sign in _MINUS else "") + digits


def zoned(cell: bytes, family: str) -> str:
    """The digits of a zoned decimal with their sign; empty for a cell of blanks or NULs."""
    if not cell.strip(bytes([_BLANK[family]])) or not cell.strip(b"\0"):
        return ""
    body = cell.lstrip(bytes([_BLANK[family]]))
    digits = "".join(f"{byte & 0x0F:x}" for byte in body)
    zones = [byte >> 4 for byte in body]
    plain = 0x3 if family == "ascii" else 0xF
    if not digits.isdigit() or any(zone != plain for zone in zones[:-1]):
        raise Spoilt("invalid_zoned")
    if family == "ascii":
        if zones[-1] not in _ASCII_ZONES:
            raise Spoilt("invalid_zoned")
        return _ASCII_ZONES[zones[-1]] + digits
    if zones[-1] not in _PLUS | _MINUS:
        raise Spoilt("invalid_zoned")
    return ("-" if zones[-1] in _MINUS else "") + digits


def binary(cell: bytes) -> str:
    """A binary number (COMP): big-endian, two's complement; empty for no bytes."""
    return str(int.from_bytes(cell, "big", signed=True)) if cell else ""


def _scaled(digits: str, scale: int) -> str:
    """Without leading zeros, and with the point that the layout implies."""
    if not digits:
        return ""
    sign, plain = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    if scale:
        plain = plain.zfill(scale + 1)
        whole, part = plain[:-scale].lstrip("0") or "0", "." + plain[-scale:]
    else:
        whole, part = plain.lstrip("0") or "0", ""
    return f"{sign if plain.strip('0') else ''}{whole}{part}"
