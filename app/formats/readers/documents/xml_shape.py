"""Finds what repeats in an XML document, to propose it as the rows; it keeps no value."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from app.formats.guidance import FileRefused
from app.formats.readers.documents.xml_mapping import XmlMapping, compiled, local
from app.formats.readers.text.layout import MAX_COLUMNS

_DEEP = 4  # below a row
_MOST_PATHS = 5000
# Documents that describe services and schemas hold no rows, whatever repeats in them.
_NO_DATA = (
    "http://schemas.xmlsoap.org/wsdl/",
    "http://www.w3.org/ns/wsdl",
    "http://www.w3.org/2001/XMLSchema",
    "http://schemas.xmlsoap.org/soap/envelope/",
    "http://www.w3.org/2003/05/soap-envelope",
)

Path = tuple[str, ...]


@dataclass(slots=True)
class _Seen:
    """What is known of one path."""

    count: int = 0
    siblings: int = 0  # the most under one parent
    attributes: dict[str, None] = field(default_factory=dict)
    has_text: bool = False
    has_children: bool = False


@dataclass(slots=True)
class _Open:
    path: Path
    children: dict[str, int] = field(default_factory=dict)


def proposed(
    events: Iterator[tuple[str, Any]], told: XmlMapping | None = None
) -> XmlMapping | None:
    """The mapping of the rows that are told, or of the element that repeats most; None for none."""
    seen: dict[Path, _Seen] = {}
    stack: list[_Open] = []
    for event, element in events:
        if event == "start":
            _enter(element, stack, seen)
            continue
        closed = stack.pop()
        known = seen[closed.path]
        known.has_children = known.has_children or bool(closed.children)
        known.has_text = known.has_text or bool(element.text and element.text.strip())
        element.clear(keep_tail=False)
        while element.getprevious() is not None:  # all are read and empty
            element.getparent().remove(element.getprevious())
    if told is not None:
        found = [path for path in seen if told.is_named(path)]
        return replace(_mapping(found, seen), **_place(told)) if found else None
    rows = _rows(seen)
    return None if rows is None else _mapping([rows], seen)


def _place(told: XmlMapping) -> dict[str, Any]:
    return {"shown": told.shown, "steps": told.steps, "is_anywhere": told.is_anywhere}


def _enter(element: Any, stack: list[_Open], seen: dict[Path, _Seen]) -> None:
    space, name = local(element.tag)
    if not stack and space in _NO_DATA:
        raise FileRefused("xml_rows_unknown", path=name)
    parent = stack[-1] if stack else None
    path = (*parent.path, name) if parent else (name,)
    known = seen.setdefault(path, _Seen())
    if len(seen) > _MOST_PATHS:
        raise FileRefused("xml_rows_unknown", path="/".join(path)[:200])
    known.count += 1
    known.attributes.update(dict.fromkeys(local(each)[1] for each in element.attrib))
    if parent is not None:
        parent.children[name] = parent.children.get(name, 0) + 1
        known.siblings = max(known.siblings, parent.children[name])
    stack.append(_Open(path))


def _rows(seen: dict[Path, _Seen]) -> Path | None:
    """The path that repeats most side by side and has parts; the outer one of equals."""
    fitting = [
        path for path, known in seen.items()
        if known.siblings > 1 and (known.has_children or known.attributes)
    ]  # fmt: skip
    if not fitting:
        fitting = [path for path, known in seen.items() if known.siblings > 1]
    return max(fitting, key=lambda path: (seen[path].count, -len(path)), default=None)


def _below(rows: list[Path], seen: dict[Path, _Seen]) -> Iterator[tuple[Path, _Seen]]:
    """The paths inside rows, counted from the row."""
    for path, known in seen.items():
        for row in rows:
            if path[: len(row)] == row and len(path) - len(row) <= _DEEP:
                yield path[len(row) :], known


def _mapping(rows: list[Path], seen: dict[Path, _Seen]) -> XmlMapping:
    columns: dict[str, str] = {}
    for inner, known in _below(rows, seen):
        base, label = "/".join(inner) or ".", ".".join(inner)
        for name in known.attributes:
            columns[f"{label}@{name}" if label else name] = (
                f"{base}/@*[local-name()='{name}']" if inner else f"@*[local-name()='{name}']"
            )
        if known.has_text:
            columns[label or "値"] = base if not known.has_children else f"{base}/text()"
    if not columns or len(columns) > MAX_COLUMNS:
        raise FileRefused("too_many_columns", columns=len(columns), limit=MAX_COLUMNS)
    return XmlMapping(
        shown="/" + "/".join(rows[0]),
        steps=tuple((None, name) for name in rows[0]),
        is_anywhere=False,
        labels=tuple(columns),
        paths=tuple(compiled(path, {}, label) for label, path in columns.items()),
    )
