"""JSON as sources write it: a number keeps its digits, and text that is not what it says is refused."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from app.connectors.errors import SourceBroken
from app.formats.individual_number import holds_number
from app.kit.outbound import Answer, Streamed

# RFC 8259, 8.1 has UTF-8 alone; some old servers say what they speak instead.
_CHARSETS: Final = {
    "utf-8": "utf-8-sig", "utf8": "utf-8-sig", "us-ascii": "ascii", "shift_jis": "cp932",
    "windows-31j": "cp932", "cp932": "cp932", "sjis": "cp932", "euc-jp": "euc_jp",
}  # fmt: skip
_SAFE_DIGITS: Final = 19  # from so many on an integer is kept as it is written


def _refused(word: str) -> None:
    raise ValueError(word)  # NaN and Infinity are no JSON (RFC 8259, 6)


def _kept(number: str) -> orjson.Fragment:
    return orjson.Fragment(number.encode())


def _whole_kept(number: str) -> int | orjson.Fragment:
    return int(number) if len(number) < _SAFE_DIGITS else _kept(number)


def _whole(number: str) -> int | Decimal:
    return int(number) if len(number) < _SAFE_DIGITS else Decimal(number)


# How numbers are read: written again as they came, reckoned with exactly, or as Python has them.
KEPT: Final[Mapping[str, Any]] = {
    "parse_float": _kept, "parse_int": _whole_kept, "parse_constant": _refused,
}  # fmt: skip
EXACT: Final[Mapping[str, Any]] = {
    "parse_float": Decimal, "parse_int": _whole, "parse_constant": _refused,
}  # fmt: skip
PLAIN: Final[Mapping[str, Any]] = {"parse_float": Decimal, "parse_constant": _refused}


# Numbers that a float may say in other digits: with a power, with many, or a nought at the end.
# Looked for in texts too, and coarsely: what is found there is read the slow way, no less rightly.
_COARSE: Final = bytes(
    ord("0") if byte in b"0123456789.-+" else ord("e") if byte in b"eE" else ord("x")
    for byte in range(256)
)
_POWER: Final = b"0e0"
_MANY_DIGITS: Final = b"0" * 16
_NOUGHT_AT_END: Final = re.compile(rb"\.[0-9]*0(?![0-9])")


def plain(answer: Streamed | Answer, body: bytes) -> Any:
    """The same for who answers at once, with numbers as Python has them: a float only where it
    says the very digits that came. Raises `SourceBroken`."""
    kind = answer.headers.get("content-type", "").lower()
    if "charset" not in kind and _are_like_floats(body):
        try:
            return orjson.loads(body)
        except ValueError:
            pass  # the other reader says what is wrong with it, or takes it all the same
    return parsed(answer, body, PLAIN)


def _are_like_floats(body: bytes) -> bool:
    coarse = body.translate(_COARSE)
    if _POWER in coarse or _MANY_DIGITS in coarse:
        return False
    return _NOUGHT_AT_END.search(body) is None


def parsed(answer: Streamed | Answer, body: bytes, numbers: Mapping[str, Any]) -> Any:
    """The JSON of an answer whose whole body is given. Raises `SourceBroken`."""
    _, _, named = answer.headers.get("content-type", "").lower().partition("charset=")
    charset = named.partition(";")[0].strip('" ') or "utf-8"
    codec = _CHARSETS.get(charset)
    if codec is None:
        said = "?" if holds_number(charset.encode()) else charset[:20]
        raise SourceBroken(source=answer.host, at="charset", detail=said)
    try:
        text = body.decode(codec)
    except UnicodeDecodeError as exc:
        raise SourceBroken(source=answer.host, at="charset", detail=charset) from exc
    if text.lstrip()[:1] == "<":
        raise SourceBroken(source=answer.host, at="html")
    try:
        return json.loads(text, **numbers)
    except (ValueError, RecursionError, InvalidOperation) as exc:
        raise SourceBroken(source=answer.host, at="format", detail="JSON") from exc
