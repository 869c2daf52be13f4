"""Walks through a JSON text of any length by a window; it never holds more than one value."""

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from app.formats.guidance import FileRefused
from app.formats.readers.text.encoding import Encoding

VALUE_CHARACTERS: Final = 64 << 20
_READ: Final = 1 << 20
_BLANK: Final = " \t\r\n\ufeff\x1e"  # RFC 8142 puts a record separator before each text
_DECODER: Final = json.JSONDecoder()


class Walk:
    """A place in the text. Raises `FileRefused` (`broken`, `feature_too_large`)."""

    def __init__(self, stream: BinaryIO, encoding: Encoding, broken: str) -> None:
        self._stream = stream
        stream.read(encoding.bom)
        self.read = encoding.bom  # bytes
        self._decoder = codecs.getincrementaldecoder(encoding.name)("strict")
        self._broken = broken
        self._text, self._at, self._before, self._ended = "", 0, 0, False

    def _more(self) -> bool:
        """Move the window on; False at the end of the text."""
        if self._ended:
            return False
        wanted = max(_READ, len(self._text) - self._at)  # doubling: a large value is tried rarely
        raw = self._stream.read(wanted)
        self.read += len(raw)
        self._ended = not raw
        self._before += self._at
        self._text = self._text[self._at :] + self._decoder.decode(raw, final=not raw)
        self._at = 0
        return not self._ended

    @property
    def position(self) -> int:
        """How many characters have been passed."""
        return self._before + self._at

    def refuse(self) -> FileRefused:
        """The refusal of what stands here."""
        return FileRefused(self._broken, offset=self.position + 1)

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _BLANK:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> bool:
        """Step over the next character if it is the wanted one."""
        if self.peek() != wanted:
            return False
        self._at += 1
        return True

    def expect(self, wanted: str) -> None:
        """Step over the wanted character."""
        if not self.take(wanted):
            raise self.refuse()

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                found, end = None, -1
            # A number at the very end of the window may go on behind it.
            if end >= 0 and (end < len(self._text) or self._ended):
                self._at = end
                return found
            if len(self._text) - self._at > VALUE_CHARACTERS:
                raise FileRefused("feature_too_large", limit_mb=VALUE_CHARACTERS >> 20)
            if self._ended or (not self._more() and end < 0 and self._at >= len(self._text)):
                raise self.refuse()

    def members(self) -> Iterator[str]:
        """The names of an object's members; the caller reads each value."""
        self.expect("{")
        if self.take("}"):
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise self.refuse()
            self.expect(":")
            yield name
            if self.take("}"):
                return
            self.expect(",")

    def items(self) -> Iterator[Any]:
        """The values of an array, one after the other."""
        self.expect("[")
        if self.take("]"):
            return
        while True:
            yield self.value()
            if self.take("]"):
                return
            self.expect(",")
