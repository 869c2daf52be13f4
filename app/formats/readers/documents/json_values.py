"""JSON values from a stream of text, numbers by their own digits; it never holds a whole file.

The standard library's decoder is used, not orjson: only it hands over a number's text (1.10, a
20-digit code) and every pair of an object, so that a key that stands twice is seen (RFC 8259, 4).
"""

import codecs
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO

from app.formats.guidance import FileRefused
from app.formats.readers.text.encoding import Encoding

RECORD_CHARACTERS = 10 << 20
_READ = 256 << 10
_EXPONENT = 400  # a larger one is no number that any column holds
_NOT_BLANK = re.compile(r"[^ \t\r\n]")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Number(str):
    """A number as the source writes it."""

    __slots__ = ()


class Spoilt:
    """Something that stands where a value should, and the code that says why it is none."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code


_NOT_A_NUMBER = Spoilt("json_not_a_number")
DOUBLED = Spoilt("json_duplicate_key")


def _object(pairs: list[tuple[str, Any]]) -> Any:
    made = dict(pairs)
    return made if len(made) == len(pairs) else DOUBLED


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=Number,
    parse_int=Number,
    parse_constant=lambda _: _NOT_A_NUMBER,
    strict=False,  # a bare line end in a text harms nobody
)


def decode(text: str) -> Any:
    """One value that is all of `text`. Raises `ValueError`, or `RecursionError` for a depth bomb."""
    return _DECODER.decode(text)


def plain_number(text: str) -> str:
    """A number without an exponent; otherwise digit for digit as it was written."""
    if "e" not in text and "E" not in text:
        return text
    try:
        number = Decimal(text)
    except ArithmeticError:  # an exponent of more digits than any number has
        return text
    return f"{number:f}" if abs(number.adjusted()) < _EXPONENT else text


def as_text(value: Any) -> str:
    """`value` as compact JSON again, its numbers digit for digit. Raises `ValueError` if spoilt."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Spoilt):
        raise ValueError(value.code)
    if isinstance(value, dict):
        pairs = (f"{as_text(name)}:{as_text(each)}" for name, each in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(as_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class Window:
    """A moving window on the text of a JSON document."""

    def __init__(self, stream: BinaryIO, encoding: Encoding) -> None:
        self._stream = stream
        stream.read(encoding.bom)
        self._decoder = codecs.getincrementaldecoder(encoding.name)("strict")
        self.read = encoding.bom  # bytes of the file used so far
        self._text = ""
        self._at = 0
        self._ended = False

    def _more(self, least: int = _READ) -> bool:
        """Take in at least so many bytes more; False at the end of the file."""
        if self._ended:
            return False
        raw = self._stream.read(max(least, _READ))
        self.read += len(raw)
        self._ended = not raw
        self._text = self._text[self._at :] + self._decoder.decode(raw, final=not raw)
        self._at = 0
        return True

    def peek(self) -> str:
        """The next character that is no blank, or "" at the end."""
        while True:
            found = _NOT_BLANK.search(self._text, self._at)
            if found:
                self._at = found.start()
                return found[0]
            self._at = len(self._text)
            if not self._more():
                return ""

    def take(self, character: str) -> bool:
        """Step over `character`, if it comes next."""
        if self.peek() != character:
            return False
        self._at += 1
        return True

    def first_line(self) -> str | None:
        """The text up to the line end, not used up; None where it is longer than a record is."""
        while (end := self._text.find("\n", self._at)) < 0:
            if len(self._text) - self._at > RECORD_CHARACTERS:
                return None
            if not self._more(len(self._text) - self._at):
                return self._text[self._at :]
        return self._text[self._at : end]

    def skip_line(self) -> None:
        """Step over the text up to and with the line end."""
        line = self.first_line()
        self._at = min(self._at + len(line or "") + 1, len(self._text))

    def value(self) -> Any:
        """The next value whole. Raises `ValueError` where there is none; a bomb is refused."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError as exc:
                raise FileRefused("file_dangerous") from exc
            except ValueError:
                if self._grown():
                    continue
                raise
            if end == len(self._text) and isinstance(value, Number) and self._grown():
                continue  # more digits may follow
            self._at = end
            return value

    def _grown(self) -> bool:
        waiting = len(self._text) - self._at
        if waiting > RECORD_CHARACTERS:
            return False
        return self._more(waiting)


def members(window: Window) -> Iterator[str]:
    """The keys of the object that comes next; the caller takes each value."""
    if not window.take("{"):
        raise ValueError("no object")
    if window.take("}"):
        return
    while True:
        name = window.value()
        if not isinstance(name, str) or isinstance(name, Number) or not window.take(":"):
            raise ValueError("no key")
        yield name
        if window.take("}"):
            return
        if not window.take(","):
            raise ValueError("no comma")


def elements(window: Window) -> Iterator[Any]:
    """The elements of the list that comes next, one by one."""
    if not window.take("["):
        raise ValueError("no list")
    if window.take("]"):
        return
    while True:
        yield window.value()
        if window.take("]"):
            return
        if not window.take(","):
            raise ValueError("no comma")
