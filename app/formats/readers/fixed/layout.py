"""The layout of a fixed-length file as data: checked here, once; it reads no record."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.formats.guidance import FileRefused
from app.formats.readers.fixed.ebcdic import FAMILY
from app.query.fields import FieldType

ENCODINGS = {
    "cp932": "cp932", "shift_jis": "cp932", "euc_jp": "euc_jp", "utf-8": "utf-8",
    "ascii": "ascii", "latin-1": "latin-1", **{name: name for name in FAMILY},
    "cp290": "cp930",  # its single bytes
}  # fmt: skip
TYPES = ("text", "graphic", "zoned", "packed", "integer")
_KEYS = frozenset(
    {"encoding", "unit", "record_length", "columns", "schema", "skip_records", "trailer", "only",
     "headers"}
)  # fmt: skip
DATES = ("western", "era")
_MOST_COLUMNS = 2000  # as of delimited texts, whose module brings tables along
_MOST_LENGTH = 1 << 20
_BIGINT_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a record: bytes (or characters) from `start`, counted from 0."""

    label: str
    start: int
    length: int
    type: str = "text"
    scale: int = 0
    date: str | None = None  # `western` (20261129) or `era` (5081129, R081129)
    empty: frozenset[str] = frozenset()  # what stands for no value

    @property
    def end(self) -> int:
        """The place behind its last byte."""
        return self.start + self.length

    @property
    def field_type(self) -> FieldType | None:
        """What its numbers are; None for text, whose values will tell."""
        if self.date is not None:
            return FieldType.DATE
        if self.type in ("text", "graphic"):
            return None
        digits = self.length * 2 - 1 if self.type == "packed" else self.length
        whole = self.scale == 0 and (digits <= _BIGINT_DIGITS or self.type == "integer")
        return FieldType.INTEGER if whole else FieldType.DECIMAL


Mark: TypeAlias = tuple[Column, frozenset[str]]  # a place, and what stands there


@dataclass(frozen=True, slots=True)
class Trailer:
    """What says how much a file holds: the last `records`, or all that bear the `mark`.

    `count` counts the data; each of `sums` is the sum of the column of its label. Where several
    records bear the mark, what they say adds up.
    """

    records: int = 0
    mark: Mark | None = None
    count: Column | None = None
    sums: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class FixedLayout:
    """How the records of a file are cut.

    `record_length` None: a record ends with its line. `only` is what marks a record as data (the
    2 of a 全銀 file), `headers` what marks one that is none.
    """

    encoding: str
    columns: tuple[Column, ...]
    is_bytes: bool = True
    record_length: int | None = None
    skip_records: int = 0
    trailer: Trailer = Trailer()
    only: Mark | None = None
    headers: Mark | None = None

    @property
    def has_marks(self) -> bool:
        """Whether each record has to be looked at before it is known for data."""
        return any(each is not None for each in (self.trailer.mark, self.only, self.headers))

    @property
    def width(self) -> int:
        """The place behind the last column."""
        return max(column.end for column in self.columns)


def fixed_layout(told: Mapping[str, Any]) -> FixedLayout:
    """The layout that a publisher told. Starts are counted from 1, as record books do.

    Raises `FileRefused` (`fixed_width_layout`) with the place that is wrong.
    """
    for key in told:
        if key not in _KEYS:
            raise _wrong(str(key))
    encoding = ENCODINGS.get(str(told.get("encoding", "cp932")).lower())
    if encoding is None:
        raise _wrong("encoding")
    if told.get("unit", "bytes") not in ("bytes", "characters"):
        raise _wrong("unit")
    length = told.get("record_length")
    if length is not None:
        length = _whole(told, "record_length", 1, _MOST_LENGTH)
    made = FixedLayout(
        encoding=encoding,
        columns=_columns(told),
        is_bytes=told.get("unit", "bytes") == "bytes",
        record_length=length,
        skip_records=_whole(told, "skip_records", 0, 1000, 0),
        trailer=_trailer(told.get("trailer")),
        only=_mark(told.get("only"), "only"),
        headers=_mark(told.get("headers"), "headers"),
    )
    return _checked(made)


def _checked(made: FixedLayout) -> FixedLayout:
    if made.record_length is not None and made.width > made.record_length:
        raise _wrong("record_length")
    binary = any(column.type in ("packed", "integer") for column in made.columns)
    if binary and made.record_length is None:
        raise FileRefused("fixed_width_binary")  # a byte of a number may look like a line's end
    labels = [column.label for column in made.columns]
    for at, column in enumerate(made.trailer.sums, 1):
        if labels.count(column.label) != 1:
            raise _wrong(f"trailer.sums[{at}].label")
    if not made.is_bytes and (
        made.record_length is not None
        or made.encoding in FAMILY
        or any(column.type != "text" for column in made.columns)
    ):
        raise _wrong("unit")  # characters can only be counted in lines of text
    return made


def _columns(told: Mapping[str, Any]) -> tuple[Column, ...]:
    schema = told.get("schema")
    given = told.get("columns") if schema is None else _from_schema(schema)
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST_COLUMNS:
        raise _wrong("columns")
    return tuple(_column(each, f"columns[{at}]") for at, each in enumerate(given, 1))


def _column(given: object, where: str) -> Column:
    if not isinstance(given, Mapping):
        raise _wrong(where)
    label, kind = given.get("label", ""), given.get("type", "text")
    if not isinstance(label, str) or kind not in TYPES:
        raise _wrong(f"{where}.label" if kind in TYPES else f"{where}.type")
    column = Column(
        label=label.strip(),
        start=_whole(given, "start", 1, _MOST_LENGTH, where=where) - 1,
        length=_whole(given, "length", 1, 1 << 16, where=where),
        type=kind,
        scale=_whole(given, "scale", 0, 30, 0, where=where),
        date=_date(given.get("date"), where),
        empty=_texts(given.get("empty", []), f"{where}.empty"),
    )
    if kind == "integer" and column.length > 8:
        raise _wrong(f"{where}.length")
    return column


def _whole(
    given: Mapping[str, Any], key: str, least: int, most: int, absent: int | None = None,
    where: str = "",
) -> int:  # fmt: skip
    value = given.get(key, absent)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(f"{where}.{key}" if where else key)
    return value


def _date(given: object, where: str) -> str | None:
    if given is not None and given not in DATES:
        raise _wrong(f"{where}.date")
    return None if given is None else str(given)


def _texts(given: object, where: str) -> frozenset[str]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise _wrong(where)
    return frozenset(given)


def _trailer(given: object) -> Trailer:
    if given is None:
        return Trailer()
    if not isinstance(given, Mapping):
        raise _wrong("trailer")
    mark = _mark(given.get("mark"), "trailer.mark")
    count, sums = given.get("count"), given.get("sums", [])
    if not isinstance(sums, list):
        raise _wrong("trailer.sums")
    return Trailer(
        records=0 if mark else _whole(given, "records", 1, 100, 1, where="trailer"),
        mark=mark,
        count=None if count is None else _column(count, "trailer.count"),
        sums=tuple(_column(each, f"trailer.sums[{at}]") for at, each in enumerate(sums, 1)),
    )


def _mark(given: object, where: str) -> Mark | None:
    if given is None:
        return None
    values = given.get("values") if isinstance(given, Mapping) else None
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        raise _wrong(f"{where}.values")
    return _column(given, where), frozenset(values)


def _from_schema(schema: object) -> list[dict[str, Any]]:
    """The columns of a CSV with the headings column, start, length, as csvkit's users keep them.

    Where the first start is 0, starts are counted from 0 there.
    """
    if not isinstance(schema, str):
        raise _wrong("schema")
    rows = list(csv.DictReader(io.StringIO(schema, newline=None)))
    if not rows or not {"column", "start", "length"} <= set(rows[0]):
        raise _wrong("schema")
    made = []
    first = 0
    for at, row in enumerate(rows, 1):
        numbers = [str(row[key] or "").strip() for key in ("start", "length")]
        if not all(number.isascii() and number.isdigit() for number in numbers):
            raise _wrong(f"schema[{at}]")
        start, length = map(int, numbers)
        first = (start == 0) if at == 1 else first
        made.append({"label": row["column"] or "", "start": start + first, "length": length})
    return made


def _wrong(where: str) -> FileRefused:
    return FileRefused("fixed_width_layout", where=where)
