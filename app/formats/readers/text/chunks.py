"""Cuts a stream into UTF-8 chunks of whole lines; it never holds more than one long line."""

import codecs
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.formats.guidance import FileRefused
from app.formats.readers.text.encoding import Encoding

CHUNK_BYTES = 4 << 20
LINE_BYTES = 10 << 20
_READ = 1 << 20
_SMALL_TAIL = 64 << 10  # a shorter end is joined to the chunk before it, so notes stay in one piece


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of the file as UTF-8 (a quoted cell may still run on into the next chunk)."""

    data: bytes
    read: int  # bytes of the source consumed so far
    last: bool

    def text(self) -> str:
        """The same as text. Strict: what was decoded once must decode again."""
        return self.data.decode("utf-8")


def chunks(
    open_stream: Callable[[], BinaryIO], encoding: Encoding, size: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """The file's chunks in order; the last one is marked."""
    waiting: Chunk | None = None
    for chunk in _cut(open_stream, encoding, size):
        if waiting is None:
            waiting = chunk
        elif chunk.last and len(chunk.data) < _SMALL_TAIL:
            waiting = Chunk(waiting.data + chunk.data, chunk.read, last=True)
        else:
            yield waiting
            waiting = chunk
    if waiting is not None:
        yield Chunk(waiting.data, waiting.read, last=True)


def _cut(open_stream: Callable[[], BinaryIO], encoding: Encoding, size: int) -> Iterator[Chunk]:
    rest, read, lines = b"", encoding.bom, 0
    recode = recoder(encoding.name)
    with open_stream() as stream:
        stream.read(encoding.bom)
        while True:
            raw = stream.read(min(size, _READ))
            read += len(raw)
            rest += recode(raw)
            if not raw:
                yield Chunk(rest, read, last=True)
                return
            if len(rest) < size:
                continue
            end = _last_line_end(rest)
            if end == 0:
                if len(rest) > LINE_BYTES:
                    raise FileRefused("line_too_long", line=lines + 1, limit_mb=LINE_BYTES >> 20)
                continue
            lines += count_lines(rest[:end])
            yield Chunk(rest[:end], read, last=False)
            rest = rest[end:]


def recoder(name: str) -> Callable[[bytes], bytes]:
    """Turns bytes of an encoding, as they come, into UTF-8."""
    if name == "utf-8":
        return lambda raw: raw  # checked by the probe; a line end never splits a character
    decoder = codecs.getincrementaldecoder(name)("strict")
    return lambda raw: decoder.decode(raw, final=not raw).encode("utf-8")


def _last_line_end(data: bytes) -> int:
    """Where the last whole line ends: after LF, or, in a file of bare CRs, after CR."""
    end = data.rfind(b"\n") + 1
    if end:
        return end
    return data.rfind(b"\r", 0, len(data) - 1) + 1  # a CR at the very end may belong to a CRLF


def count_lines(data: bytes) -> int:
    """How many line ends `data` holds; CRLF, LF and CR each count as one."""
    feeds = data.count(b"\n")
    returns = data.count(b"\r")
    return feeds + returns - data.count(b"\r\n") if returns else feeds


class Lines:
    """A chunk's lines for `csv.reader`, which runs on into the next chunk inside a quoted cell.

    `begin` is called before each record, so that the end of a chunk at a record's end stops the
    reader and the end of a chunk inside a record pulls the next chunk.
    """

    def __init__(self, source: Iterator[Chunk], first_line: int) -> None:
        self._source = source
        self._lines = io.StringIO("", newline="")
        self._asked = 0
        self.line = first_line  # the number of the next line
        self.record_line = first_line
        self.chunk: Chunk | None = None

    def feed(self, chunk: Chunk) -> None:
        """Go on with `chunk`; the one before must be used up."""
        self.chunk = chunk
        self._lines = io.StringIO(chunk.text(), newline="")

    def begin(self) -> None:
        """A new record starts."""
        self._asked = 0
        self.record_line = self.line

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._lines.readline()
        while not line:
            if self._asked == 0:
                raise StopIteration
            following = next(self._source, None)
            if following is None:
                raise FileRefused("unclosed_quote", line=self.record_line)
            self.feed(following)
            line = self._lines.readline()
        self._asked += 1
        self.line += 1
        return line
