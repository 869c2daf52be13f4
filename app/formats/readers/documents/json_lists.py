"""Finds the lists of records in a JSON document, and reads one of them; it makes no rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from app.formats.guidance import FileRefused
from app.formats.readers.documents.json_values import Spoilt, Window, elements, members
from app.formats.readers.text.encoding import Encoding

# What services call the list of their answer, around which they put counts and links.
_WRAPPED = frozenset(
    {"records", "results", "items", "data", "rows", "values", "value", "list", "datasets", "@graph"}
)
KEY = "キー"  # the heading of a member's own name
_DEEP = 16
_MOST_LISTS = 1000


class Seen(Protocol):
    """Where progress is noted."""

    read: int


@dataclass(frozen=True, slots=True)
class Found:
    """A list of records."""

    pointer: str | None  # RFC 6901; None: the document itself is the one record
    count: int


@dataclass(slots=True)
class ListsFound:
    """What a document holds."""

    all: list[Found] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # lists of plain values
    plain: int = 0  # plain members of the document itself
    inner: int = 0  # its objects and lists

    @property
    def chosen(self) -> list[Found]:
        """The lists that may be meant: the outermost that is named like an answer's, or all."""
        named = [each for each in self.all if _last(each.pointer) in _WRAPPED]
        outer = min((_depth(each) for each in named), default=0)
        meant = [each for each in named if _depth(each) == outer]
        return meant if len(meant) == 1 else self.all

    @property
    def is_record(self) -> bool:
        """Whether the document is itself one record."""
        return self.plain > 0 and self.plain >= self.inner


def _depth(found: Found) -> int:
    return (found.pointer or "").count("/")


def _last(pointer: str | None) -> str:
    return (pointer or "").rpartition("/")[2]


def lists_in(open_stream: Callable[[], BinaryIO], text: Encoding) -> ListsFound:
    """All lists of records in the document. A list at the top is the only one, and is not read."""
    with open_stream() as stream:
        window = Window(stream, text)
        if window.peek() == "[":
            return ListsFound([Found("", 0)])
        found = ListsFound()
        _walk(window, "", found, 1)
        if window.peek():
            raise FileRefused("json_invalid", record=1)
    return found


def _walk(window: Window, pointer: str, found: ListsFound, depth: int) -> None:
    for name in _checked(members(window), 1):
        path = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        opening = window.peek()
        if opening == "{" and depth < _DEEP:
            found.inner += depth == 1
            _walk(window, path, found, depth + 1)
        elif opening == "[":
            found.inner += depth == 1
            _note(window, path, found)
        else:
            found.plain += depth == 1
            _value(window)


def _note(window: Window, path: str, found: ListsFound) -> None:
    count = records = 0
    for value in _checked(elements(window), 1):
        count += 1
        records += isinstance(value, dict | list | Spoilt)
    if len(found.all) + len(found.others) >= _MOST_LISTS:
        return
    if records * 2 > count:
        found.all.append(Found(path, count))
    elif count:
        found.others.append(path)


def _value(window: Window) -> Any:
    try:
        return window.value()
    except ValueError as exc:
        raise FileRefused("json_invalid", record=1) from exc


def _checked(values: Iterator[Any], first: int) -> Iterator[Any]:
    """The same; where the text is no JSON, the refusal with the record's number."""
    number = first
    try:
        for value in values:
            yield value
            number += 1
    except ValueError as exc:
        raise FileRefused("json_invalid", record=number) from exc


def elements_at(
    open_stream: Callable[[], BinaryIO], text: Encoding, pointer: str | None, seen: Seen
) -> Iterator[tuple[int, Any]]:
    """The records at `pointer`, numbered from 1; the document itself for None.

    `*` stands for every member of an object: each is a record, with its own name under `キー`.
    Raises `FileRefused` where nothing stands there.
    """
    number = 0
    with open_stream() as stream:
        window = Window(stream, text)
        tokens = pointer[1:].split("/") if pointer else []
        records = _records(window, tokens, None) if pointer is not None else _one(window, None)
        for number, value in enumerate(_checked(records, 1), 1):
            seen.read = window.read
            yield number, value
        if window.peek():
            raise FileRefused("json_invalid", record=number + 1)
    if not number and pointer:
        raise FileRefused("json_rows_unknown", names=pointer)


def _records(window: Window, tokens: list[str], name: str | None) -> Iterator[Any]:
    if not tokens:
        yield from elements(window) if window.peek() == "[" else _one(window, name)
        return
    if window.peek() != "{":
        window.value()
        return
    wanted = tokens[0].replace("~1", "/").replace("~0", "~")
    for member in members(window):
        if tokens[0] == "*":
            yield from _records(window, tokens[1:], member)
        elif member == wanted:
            yield from _records(window, tokens[1:], name)
        else:
            _skip(window)


def _one(window: Window, name: str | None) -> Iterator[Any]:
    """The value that comes next, as a record; a plain one is none."""
    value = window.value()
    if isinstance(value, dict):
        yield value if name is None else {KEY: name, **value}
    elif isinstance(value, Spoilt):
        yield value


def _skip(window: Window) -> None:
    """Step over one value, however long its lists are."""
    opening = window.peek()
    if opening == "[":
        for _ in elements(window):
            pass
    elif opening == "{":
        for _ in members(window):
            _skip(window)
    else:
        window.value()
