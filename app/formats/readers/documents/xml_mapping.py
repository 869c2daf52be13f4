"""Which elements of an XML document are rows, and where their cells stand; data, checked here.

Paths are XPath's (location steps, `..`, `@attribute`, `text()`, `[@a='b']`, `[1]`), with two
liberties: a name without a prefix means that name in any namespace, and the path of the rows is
matched while the document streams, so it is plain steps only: /Report/Body/Item, //Item.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from app.formats.guidance import FileRefused
from app.formats.readers.text.layout import MAX_COLUMNS

SEPARATOR = ";"
_LONGEST = 500
_NAME = r"[^\W\d][\w.-]*"
_STEP = re.compile(rf"(?:({_NAME}):)?({_NAME}|\*)")
# A name test of a relative path: no axis, no function, no attribute, nothing within quotes.
_BARE = re.compile(rf"'[^']*'|\"[^\"]*\"|@?{_NAME}(?::{_NAME})?(?:\(|::)?")
_ALLOWED = re.compile(rf"(?:{_NAME}|::|[\s/.@*:=\[\]()0-9]|'[^']*'|\"[^\"]*\")+")
_AXES = frozenset({"ancestor", "ancestor-or-self", "parent", "child", "self", "descendant"})
_FUNCTIONS = frozenset({"text(", "node(", "local-name(", "name(", "position(", "last("})


@dataclass(frozen=True)
class XmlMapping:
    """The rows' path and the cells' paths."""

    shown: str
    steps: tuple[tuple[str | None, str], ...]  # (namespace or None for any, name or *)
    is_anywhere: bool
    labels: tuple[str, ...]
    paths: tuple[Any, ...] = field(repr=False)  # compiled

    def is_row(self, path: Sequence[tuple[str, str]]) -> bool:
        """Whether the element at the end of `path` ((namespace, name) pairs from the root) is one."""
        count = len(self.steps)
        if len(path) < count or (len(path) != count and not self.is_anywhere):
            return False
        return all(
            (name in ("*", here[1])) and (space is None or space == here[0])
            for (space, name), here in zip(self.steps, path[-count:], strict=True)
        )

    def is_named(self, path: Sequence[str]) -> bool:
        """The same by names alone, whatever their namespaces."""
        count = len(self.steps)
        if len(path) < count or (len(path) != count and not self.is_anywhere):
            return False
        pairs = zip(self.steps, path[-count:], strict=True)
        return all(name in ("*", here) for (_, name), here in pairs)

    def cells(self, element: Any) -> list[str | None]:
        """The cells of one row; several values of one path stand together, parted by ;."""
        return [_joined(path(element)) for path in self.paths]


def local(tag: str) -> tuple[str, str]:
    """Namespace and name of an element's tag."""
    if tag.startswith("{"):
        space, _, name = tag[1:].partition("}")
        return space, name
    return "", tag


def xml_mapping(told: Mapping[str, Any]) -> XmlMapping:
    """The mapping that a publisher told; without columns they are still to be found.

    Raises `FileRefused` (`rows_wrong`).
    """
    rows, columns = told.get("rows"), told.get("columns")
    spaces = told.get("namespaces") or {}
    if not isinstance(rows, str) or not rows or len(rows) > _LONGEST:
        raise FileRefused("rows_wrong", name="rows")
    if not _is_texts(spaces):
        raise FileRefused("rows_wrong", name="namespaces")
    if columns is None:
        columns = {}
    elif not _is_texts(columns) or not columns or len(columns) > MAX_COLUMNS:
        raise FileRefused("rows_wrong", name="columns")
    return XmlMapping(
        shown=rows,
        steps=tuple(_step(part, spaces) for part in rows.lstrip("/").split("/")),
        is_anywhere=rows.startswith("//") or not rows.startswith("/"),
        labels=tuple(columns),
        paths=tuple(compiled(path, spaces, label) for label, path in columns.items()),
    )


def _is_texts(pairs: object) -> bool:
    return isinstance(pairs, Mapping) and all(
        isinstance(word, str) and word and len(word) <= _LONGEST
        for pair in pairs.items() for word in pair
    )  # fmt: skip


def _step(part: str, spaces: Mapping[str, str]) -> tuple[str | None, str]:
    found = _STEP.fullmatch(part)
    if found is None or (found[1] and found[1] not in spaces):
        raise FileRefused("rows_wrong", name="rows")
    return (spaces[found[1]] if found[1] else None), found[2]


def compiled(path: str, spaces: Mapping[str, str], label: str) -> Any:
    """One cell's path. Raises `FileRefused` where it is no path of ours."""
    wrong = FileRefused("rows_wrong", name=f"columns.{label}")
    if not _ALLOWED.fullmatch(path) or path.count("//") > 1 or path.count("[") > 4:
        raise wrong
    if path.startswith("//") or not _AXES.issuperset(re.findall(rf"({_NAME})::", path)):
        raise wrong  # it would look through the whole document for each row
    if any(call not in _FUNCTIONS for call in re.findall(rf"{_NAME}\(", path)):
        raise wrong
    try:
        return etree.XPath(
            _BARE.sub(_any_space, path),
            namespaces=dict(spaces) or None,
            regexp=False,
            smart_strings=False,
        )
    except etree.XPathError as exc:
        raise wrong from exc


def _any_space(found: re.Match[str]) -> str:
    token = found[0]
    if token[0] in "'\"@" or ":" in token or token.endswith("(") or token in ("and", "or"):
        return token
    return f"*[local-name()='{token}']"


def _joined(found: Any) -> str | None:
    if not isinstance(found, list):
        return str(found) or None
    texts = (_text(each) for each in found)
    return SEPARATOR.join(filter(None, texts)) or None


def _text(found: Any) -> str:
    if isinstance(found, str):
        return found.strip()
    return "".join(found.itertext()).strip()
