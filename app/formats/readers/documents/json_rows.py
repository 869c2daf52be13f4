"""Rows of JSON: a list of records or of lists, one record, or one value a line; streaming.

Nested objects become columns by dotted labels, four deep; lists, and what lies deeper, stay JSON
text. null, "", {} and [] are empty. Columns are the union of all keys, in order of appearance.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from app.formats.guidance import FileRefused, Notice
from app.formats.readers.documents.json_lists import Found, ListsFound, elements_at, lists_in
from app.formats.readers.documents.json_values import (
    DOUBLED,
    UNSTORABLE,
    Number,
    Spoilt,
    Window,
    as_text,
    decode,
    plain_number,
)
from app.formats.readers.documents.row_batches import SAMPLE_ROWS, Row, gathered, sample_of
from app.formats.readers.head import header_at
from app.formats.readers.text.chunks import chunks
from app.formats.readers.text.encoding import Encoding, probe
from app.formats.readers.text.layout import MAX_COLUMNS
from app.formats.readers.text.records import CELL_CHARACTERS
from app.formats.stored import StoredFile
from app.formats.table import Batch, Head, Table, WrongRow
from app.formats.told import Told

_DEEP = 4
_SCALAR = "値"
_OF_LINES = (".ndjson", ".jsonl")
_PLAIN = "\0"  # the key of a record that is a plain value; no object's key: none holds a NUL here
_unstorable = UNSTORABLE.search
_RAW = 10_000  # characters of a line that could not be read, as the clerk gets it back

Item = tuple[int, Any]  # line (or number) of a record, and what was read there


@dataclass(frozen=True)
class JsonTable:
    """The records that `items` gives, pass after pass."""

    format: str
    name: str
    text: Encoding
    items: Callable[["_Progress"], Iterator[Item]]
    columns: Mapping[str, str] | None = None  # label: the key it stands for, where told
    more: tuple[Notice, ...] = ()

    @property
    def encoding(self) -> str:
        """The encoding as a report shows it."""
        return self.text.label

    @cached_property
    def head(self) -> Head:
        """All keys of the file: one pass."""
        return self._plan[0]

    @cached_property
    def _plan(self) -> tuple[Head, tuple[str, ...], int]:
        """The head, the keys behind its labels, and how many first records are no rows."""
        keys: dict[str, None] = {}
        first: list[Item] = []
        lists, plain = 0, False
        for line, value in self.items(_Progress()):
            if len(first) < SAMPLE_ROWS:
                first.append((line, value))
            if isinstance(value, list):
                lists = max(lists, len(value))
            elif isinstance(value, dict):
                _keys_of("", value, keys, 1)
            else:
                plain = plain or not isinstance(value, Spoilt)
            width = max(len(keys), lists)
            if width > MAX_COLUMNS:
                raise FileRefused("too_many_columns", columns=width, limit=MAX_COLUMNS)
        if plain and not keys and not lists:
            keys[_PLAIN] = None
        return self._headed(list(keys), first, 0 if keys else lists)

    def _headed(
        self, keys: list[str], first: list[Item], lists: int
    ) -> tuple[Head, tuple[str, ...], int]:
        skip, labels, header_line = 0, [_label(key) for key in keys], 0
        if lists:
            keys = _list_keys(lists)
            skip, labels = _list_labels(first, lists)
            header_line = first[0][0] if skip else -1
        if self.columns is not None:
            labels, keys = list(self.columns), list(self.columns.values())
        if not labels:
            raise FileRefused("no_data_rows")
        rows = [_row(line, value, keys) for line, value in first[skip:]]
        head = Head(
            labels=tuple(labels),
            header_line=header_line if header_line >= 0 else None,
            sample=sample_of(rows, len(labels)),
            notices=(*self.more, *((Notice("no_header"),) if header_line < 0 else ())),
        )
        return head, tuple(keys), skip

    def batches(self) -> Iterator[Batch]:
        """The records in order."""
        head, keys, skip = self._plan
        progress = _Progress()

        def rows() -> Iterator[Row]:
            for at, (line, value) in enumerate(self.items(progress)):
                if at >= skip:
                    yield _row(line, value, keys)

        return gathered(rows(), len(head.labels), lambda: progress.read)


@dataclass(slots=True)
class _Progress:
    read: int = 0


def tables(file: StoredFile, told: Told) -> list[Table]:
    """Every list of records in the document, or the lines of an NDJSON file."""
    text = probe(file.open, told=told.encoding)
    lines = _line_kind(file, text)
    columns = _told_columns(told.rows)
    if lines is not None:
        read = _lines if lines == "lines" else _values
        return [JsonTable("ndjson", "", text, lambda seen: read(file.open, text, seen), columns)]
    if told.rows is not None:
        return [_told_table(file, text, told.rows.get("rows", ""), columns)]
    return _document(file, text, told)


def _line_kind(file: StoredFile, text: Encoding) -> str | None:
    """`lines` for a value on each line, `values` for one after another, None for one document."""
    with file.open() as stream:
        window = Window(stream, text)
        opening = window.peek()
        line = window.first_line()
        if line is not None and _is_value(line):
            window.value()
            # A file of lines may have one, whose own lists are no rows.
            is_single = not window.peek() and file.suffix in _OF_LINES
            return "lines" if is_single or window.peek() == opening else None
        if opening != "{" or line is None:
            return None
        try:
            window.value()
        except ValueError:
            return _broken_first(window)
        return "values" if window.peek() == "{" else None


def _broken_first(window: Window) -> str | None:
    """A first line that is broken: the second says whether each line is a record."""
    if not (window.first_line() or "").rstrip().endswith("}"):
        return None
    window.skip_line()
    return "lines" if _is_value(window.first_line() or "") else None


def _is_value(line: str) -> bool:
    try:
        return isinstance(decode(line), dict | list | Spoilt)
    except (ValueError, RecursionError):
        return False


def _document(file: StoredFile, text: Encoding, told: Told) -> list[Table]:
    found = lists_in(file.open, text)
    chosen = found.chosen if told.table is None else found.all
    if not chosen and found.is_record:
        return [_listed(file, text, Found(None, 1))]
    if not chosen:
        raise FileRefused("json_rows_unknown", names=_names(found))
    return [_listed(file, text, each) for each in chosen]


def _names(found: ListsFound) -> str:
    return "、".join(found.others[:20]) or "-"


def _listed(file: StoredFile, text: Encoding, found: Found) -> JsonTable:
    pointer = found.pointer
    more = (Notice("json_one_record"),) if pointer is None else ()

    def items(seen: _Progress) -> Iterator[Item]:
        return elements_at(file.open, text, pointer, seen)

    return JsonTable("json", (pointer or "").lstrip("/"), text, items, more=more)


def _told_table(
    file: StoredFile, text: Encoding, pointer: object, columns: Mapping[str, str] | None
) -> JsonTable:
    """The list at the pointer that the publisher gave (RFC 6901; "" is the document itself)."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise FileRefused("rows_wrong", name="rows")
    table = _listed(file, text, Found(pointer, 0))
    return JsonTable("json", "", text, table.items, columns)


def _told_columns(rows: Mapping[str, Any] | None) -> Mapping[str, str] | None:
    """Label: dotted key. A pointer into the record (/address/city) says the same."""
    columns = (rows or {}).get("columns")
    if columns is None:
        return None
    if not _is_columns(columns):
        raise FileRefused("rows_wrong", name="columns")
    return {label: key.lstrip("/").replace("/", ".") for label, key in columns.items()}


def _is_columns(columns: object) -> bool:
    return (
        isinstance(columns, Mapping)
        and bool(columns)
        and all(isinstance(word, str) and word for pair in columns.items() for word in pair)
    )


def _lines(open_stream: Callable[[], BinaryIO], text: Encoding, seen: _Progress) -> Iterator[Item]:
    """One value a line; a line that is none is a wrong row, and those around it are good."""
    number = 0
    for chunk in chunks(open_stream, text):
        seen.read = chunk.read
        for line in chunk.data.removesuffix(b"\n").split(b"\n"):
            number += 1
            if line.strip():
                yield number, _line(line.decode("utf-8"))


def _line(text: str) -> Any:
    try:
        value = decode(text)
    except ValueError:
        return _Broken("json_line_invalid", text)
    except RecursionError:
        return _Broken("json_too_deep", text)
    return _Broken(value.code, text) if isinstance(value, Spoilt) else value


def _values(open_stream: Callable[[], BinaryIO], text: Encoding, seen: _Progress) -> Iterator[Item]:
    """One value after another, each over several lines."""
    number = 0
    with open_stream() as stream:
        window = Window(stream, text)
        while window.peek():
            number += 1
            try:
                value = window.value()
            except ValueError as exc:
                raise FileRefused("json_invalid", record=number) from exc
            seen.read = window.read
            yield number, value


class _Broken(Spoilt):
    """A line that is no JSON, and its text."""

    __slots__ = ("text",)

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.text = text


def flattened(value: Any) -> tuple[dict[str, str | None], str | None]:
    """The cells of one record by dotted key, and the code of what is wrong with it."""
    if isinstance(value, dict):
        cells: dict[str, str | None] = {}
        return cells, _flatten("", value, cells, 1)
    if isinstance(value, Spoilt):
        return {}, value.code
    text, code = _cell(value)
    return {_PLAIN: text}, code


def _flatten(
    prefix: str, value: Mapping[str, Any], cells: dict[str, str | None], depth: int
) -> str | None:
    """Fill `cells`; a loop without calls for plain values, for it runs for every cell there is."""
    wrong = None
    for name, each in value.items():
        key = prefix + name
        kind = type(each)
        code: str | None = None
        text: str | None
        if kind is str and len(each) <= CELL_CHARACTERS and not _unstorable(each):
            text = each
        elif kind is dict and each and depth < _DEEP:
            wrong = _flatten(f"{key}.", each, cells, depth + 1) or wrong
            continue
        else:
            text, code = _cell(each)
        if key in cells:
            code = DOUBLED.code
        cells[key] = text
        wrong = code or wrong
    return wrong


def _keys_of(prefix: str, value: Mapping[str, Any], keys: dict[str, None], depth: int) -> None:
    """Add the keys that `value` has when it is flattened."""
    for name, each in value.items():
        if type(each) is dict and each and depth < _DEEP:
            _keys_of(f"{prefix}{name}.", each, keys, depth + 1)
        else:
            keys[prefix + name] = None


def _cell(value: Any) -> tuple[str | None, str | None]:
    """The text of one value, safe to store, and the code of what is wrong with it."""
    if isinstance(value, Number):
        return _storable(plain_number(value))
    if isinstance(value, str):
        return _storable(value)
    if value is None or value in ([], {}):
        return None, None
    if isinstance(value, bool):
        return ("true" if value else "false"), None
    if isinstance(value, Spoilt):
        return None, value.code
    try:
        return _storable(as_text(value))
    except ValueError as exc:
        return None, str(exc)
    except RecursionError:
        return None, "json_too_deep"


def _storable(text: str) -> tuple[str, str | None]:
    if len(text) > CELL_CHARACTERS:
        return text[:_RAW], "cell_over_limit"
    if UNSTORABLE.search(text):
        code = "nul_character" if "\x00" in text else "lone_surrogate"
        return UNSTORABLE.sub("\ufffd", text), code
    return text, None


def _list_keys(width: int) -> list[str]:
    return [f"{_PLAIN}{at}" for at in range(width)]


def _label(key: str) -> str:
    if key == _PLAIN:
        return _SCALAR
    return UNSTORABLE.sub("\ufffd", key).strip()


def _row(line: int, value: Any, keys: Sequence[str]) -> Row:
    if isinstance(value, list):
        made = [_cell(each) for each in value]
        wrong = next((code for _, code in made if code), None)
        cells = dict(zip(_list_keys(len(made)), (text for text, _ in made), strict=True))
    else:
        cells, wrong = flattened(value)
    if wrong is None and value not in (None, "", []) and not isinstance(value, dict):
        wanted = f"{_PLAIN}0" if isinstance(value, list) else _PLAIN
        wrong = None if keys[0] == wanted else "json_record_not_object"
    if wrong is None:
        return Row(line, [cells.get(key) for key in keys])
    raw = _shown(value.text if isinstance(value, _Broken) else cells)
    return Row(line, [cells.get(key) for key in keys], WrongRow(wrong, raw=raw))


def _shown(what: str | Mapping[str, str | None]) -> tuple[str, ...] | None:
    """The text of what could not be read, or the cells of a record that fits no column."""
    if isinstance(what, str):
        return (UNSTORABLE.sub("\ufffd", what[:_RAW]),)
    if what and all(key.startswith(_PLAIN) for key in what):
        return tuple(text or "" for text in what.values())
    return None


def _list_labels(first: list[Item], width: int) -> tuple[int, list[str]]:
    """How many of the first lists are the header, and the labels."""
    lists = [(line, value) for line, value in first if isinstance(value, list)]
    rows = [_row(line, value, _list_keys(width)) for line, value in lists]
    at = header_at(sample_of(rows, width)) if rows else None
    is_words = at == 0 and all(
        isinstance(each, str) and not isinstance(each, Number) for each in lists[0][1]
    )
    if not is_words:
        return 0, [f"列{number}" for number in range(1, width + 1)]
    named = [_label(each) for each in lists[0][1]]
    return 1, named + [""] * (width - len(named))
