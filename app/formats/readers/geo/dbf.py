"""Reads the attribute table of a shapefile (dBASE III); its encoding is decided by its bytes."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.formats.guidance import FileRefused, Notice
from app.formats.readers.text.encoding import ENCODINGS, NAMES
from app.query.fields import FieldType

_HEADER: Final = 32
_TRIED: Final = ("utf-8", "cp932", "euc_jp")
_FEW: Final = 0.01  # of the filled cells; more that cannot be read is another encoding
_BATCH: Final = 20_000
_DECLARED: Final = {
    "utf8": "utf-8", "65001": "utf-8", "shiftjis": "cp932", "sjis": "cp932", "cp932": "cp932",
    "932": "cp932", "ansi932": "cp932", "windows31j": "cp932", "ms932": "cp932", "mskanji": "cp932",
    "eucjp": "euc_jp", "51932": "euc_jp", "cp51932": "euc_jp",
}  # fmt: skip
_DELETED: Final = ord("*")
Records = NDArray[np.uint8]  # n × the length of a record


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and where it stands in a record."""

    raw_name: bytes
    kind: str
    start: int
    length: int
    decimals: int

    @property
    def is_text(self) -> bool:
        """Whether its bytes are characters of the file's encoding."""
        return self.kind == "C"

    def cells(self, records: Records) -> list[bytes]:
        """The bytes of each record, without blanks and NULs at their ends."""
        part = np.ascontiguousarray(records[:, self.start : self.start + self.length])
        return [cell.strip(b" \0") for cell in part.view(f"S{self.length}").ravel().tolist()]


class Attributes:
    """The table. Raises `FileRefused` (shapefile_broken, undecodable)."""

    def __init__(self, path: Path, name: str, declared: str | None, told: str | None) -> None:
        self._path = path
        self._name = name
        with path.open("rb") as file:
            head = file.read(_HEADER)
            if len(head) < _HEADER:
                raise self._broken()
            self.count, self._header, self._length = struct.unpack_from("<IHH", head, 4)
            self.columns = self._columns(file.read(max(self._header - _HEADER, 0)))
        if not self.columns or self._length < 1 + sum(each.length for each in self.columns):
            raise self._broken()
        self.replaced = 0
        self.encoding = self._encoding(declared, told)
        self.notices = self._said(declared)

    def _broken(self) -> FileRefused:
        return FileRefused("shapefile_broken", name=self._name, part="dbf")

    def _columns(self, raw: bytes) -> list[Column]:
        found, start = [], 1
        for at in range(0, len(raw) - 31, 32):
            if raw[at] == 0x0D:
                break
            kind = chr(raw[at + 11]).upper()
            length, decimals = raw[at + 16], raw[at + 17]
            if kind == "C":  # lengths above 255 go on in the second byte (FoxPro and after)
                length, decimals = length + 256 * decimals, 0
            if length:
                name = raw[at : at + 11].split(b"\0")[0].strip()
                found.append(Column(name, kind, start, length, decimals))
            start += length
        return found

    def records(self) -> Iterator[Records]:
        """All records in order; a file that ends early has fewer than it says."""
        with self._path.open("rb") as file:
            file.seek(self._header)
            left = self.count
            while left:
                raw = file.read(self._length * min(_BATCH, left))
                whole = len(raw) // self._length
                if not whole:
                    return
                left -= whole
                cut = np.frombuffer(raw, np.uint8, whole * self._length)
                yield cut.reshape(whole, self._length)

    def _encoding(self, declared: str | None, told: str | None) -> str:
        """The publisher's word, else the first encoding that reads every cell.

        Cells are cut at their column's length, often inside a character: that speaks against none.
        """
        if told is not None:
            if told not in ENCODINGS:
                raise FileRefused("encoding_unknown", name=told, known=", ".join(ENCODINGS))
            return told
        cells = 0
        wrong = dict.fromkeys(_TRIED, 0)
        for texts in self._texts():
            distinct = [cell for cell in set(texts) if not cell.isascii()]
            cells += len(distinct)
            for name in _TRIED:
                wrong[name] += sum(1 for cell in distinct if _decoded(cell, name) is None)
        said = _DECLARED.get(_plain(declared))
        order = [said, *_TRIED] if said and said != "utf-8" and wrong["utf-8"] else [*_TRIED]
        best = min(order, key=lambda name: wrong[name or ""])
        if wrong[best] > max(cells * _FEW, 0):
            raise FileRefused("undecodable", name=NAMES.get(best, best), line=1, offset=0)
        return best

    def _texts(self) -> Iterator[list[bytes]]:
        yield [column.raw_name for column in self.columns]
        for records in self.records():
            for column in self.columns:
                if column.is_text:
                    yield column.cells(records)

    def _said(self, declared: str | None) -> tuple[Notice, ...]:
        said = _DECLARED.get(_plain(declared))
        if declared is None or said == self.encoding or self._is_ascii():
            return ()
        details = {"declared": declared.strip()[:40], "name": NAMES.get(self.encoding, "")}
        return (Notice("encoding_declared_wrong", details),)

    def _is_ascii(self) -> bool:
        return all(cell.isascii() for texts in self._texts() for cell in texts)

    @property
    def labels(self) -> list[str]:
        """The headings, made distinct."""
        found: list[str] = []
        for at, column in enumerate(self.columns, 1):
            label = self._text(column.raw_name) or f"列{at}"
            name, again = label, 1
            while name in found:
                again += 1
                name = f"{label} ({again})"
            found.append(name)
        return found

    @property
    def types(self) -> dict[str, FieldType]:
        """What dBASE itself declares. Its numbers may be codes, so those are found by looking."""
        kinds = {"D": FieldType.DATE, "L": FieldType.BOOLEAN}
        pairs = zip(self.labels, self.columns, strict=True)
        return {label: kinds[each.kind] for label, each in pairs if each.kind in kinds}

    def cells(self, records: Records) -> list[list[str | None]]:
        """Every column of some records as canonical texts."""
        return [self._cells(column, records) for column in self.columns]

    def _cells(self, column: Column, records: Records) -> list[str | None]:
        raw = column.cells(records)
        read = {cell: self._cell(column, cell) for cell in set(raw)}
        if column.is_text:
            self.replaced += sum("\ufffd" in (read[cell] or "") for cell in raw)
        return [read[cell] for cell in raw]

    def _cell(self, column: Column, cell: bytes) -> str | None:
        match column.kind:
            case "C":
                return self._text(cell) or None
            case "N" | "F":
                return _number(cell.decode("ascii", "replace"))
            case "D":
                text = cell.decode("ascii", "replace")
                if len(text) == 8 and text.isdigit() and text != "00000000":
                    return f"{text[:4]}-{text[4:6]}-{text[6:]}"
                return None if text.strip("0 ") == "" else text
            case "L":
                return {b"T": "true", b"Y": "true", b"F": "false", b"N": "false"}.get(cell.upper())
            case _:
                return None  # memos and pictures stand in other files

    def _text(self, cell: bytes) -> str:
        found = _decoded(cell, self.encoding)
        return cell.decode(self.encoding, "replace") if found is None else found


def _plain(declared: str | None) -> str:
    return "".join(each for each in (declared or "").lower() if each.isalnum())


def _decoded(cell: bytes, encoding: str) -> str | None:
    """The text; the beginning of a character at the very end was cut off by the column's length."""
    for cut in range(3):
        try:
            return cell[: len(cell) - cut].decode(encoding)
        except UnicodeDecodeError as exc:
            if exc.end < len(cell) - cut or exc.reason == "invalid start byte":
                return None
    return None


def _number(text: str) -> str | None:
    """Figures as they stand; dBASE pads them with zeros behind the point, and fills with * what
    does not fit."""
    text = text.strip()
    if not text.strip("*"):
        return None
    if "." in text and "e" not in text.lower():
        text = text.rstrip("0").rstrip(".")
    return text if text not in ("", "-") else None


def is_deleted(records: Records) -> NDArray[np.bool_]:
    """Records that were deleted and not yet packed away."""
    found: NDArray[np.bool_] = records[:, 0] == _DELETED
    return found


def all_cells(
    columns: Sequence[Sequence[str | None]], kept: NDArray[np.bool_]
) -> list[list[str | None]]:
    """Columns without the rows that are not kept."""
    if kept.all():
        return [list(column) for column in columns]
    flags = kept.tolist()
    return [[cell for cell, keep in zip(column, flags, strict=True) if keep] for column in columns]
