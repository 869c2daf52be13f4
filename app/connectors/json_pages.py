"""Pages of JSON records: how a source parts them, and what leads from one to the next. Asks nobody."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson
from pydantic import Field, StringConstraints

from app.connectors.errors import SourceChanged
from app.connectors.frame import Shape
from app.connectors.web import host_of, joined

_NEXT: Final = re.compile(r'<([^<>]*)>(?=[^,<]*;\s*rel="?(?:[a-z ]+ )?next(?:[ ";,]|$))')
ParameterName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Pointer = Annotated[str, StringConstraints(max_length=500, pattern=r"^(/([^~]|~[01])*)?$")]
PageSize = Annotated[int, Field(ge=1, le=100_000)]


class OnePage(Shape):
    """All records stand in one answer."""

    style: Literal["none"] = "none"


class ByPage(Shape):
    """`?page=1`, `?page=2`, … until one has no record, or fewer than `size`."""

    style: Literal["page"]
    parameter: ParameterName = "page"
    first: Annotated[int, Field(ge=0, le=1)] = 1
    size_parameter: ParameterName | None = None
    size: PageSize | None = None


class ByOffset(Shape):
    """`?offset=0&limit=100`, `?offset=100&limit=100`, …"""

    style: Literal["offset"]
    parameter: ParameterName = "offset"
    size_parameter: ParameterName = "limit"
    size: PageSize = 1_000


class ByCursor(Shape):
    """Each answer names the next one at `next`: a value for `parameter`, or a whole address."""

    style: Literal["cursor"]
    parameter: ParameterName = "cursor"
    next: Pointer


class ByLink(Shape):
    """`Link: <…>; rel="next"` (RFC 8288)."""

    style: Literal["link"]


Paging = Annotated[OnePage | ByPage | ByOffset | ByCursor | ByLink, Field(discriminator="style")]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: the records, and what may lead to the next."""

    document: Any
    records: list[dict[str, Any]]
    headers: Mapping[str, str]
    digest: bytes


@dataclass(slots=True)
class Walk:
    """How far we have come."""

    pages: int = 0
    rows: int = 0
    first: int = 0  # records of the first page

    def take(self, page: Page) -> None:
        """Count a page."""
        self.first = self.first if self.pages else len(page.records)
        self.pages += 1
        self.rows += len(page.records)

    def is_last(self, page: Page, size: int | None) -> bool:
        """Whether nothing follows. A source that gives fewer at a time than it was asked for is
        gone on with: only one that has given a full page ends with a shorter one."""
        return not page.records or (self.first == size and len(page.records) < self.first)


def following(page: Page, url: str, paging: Any, walk: Walk) -> str | None:
    """The address of the next page; None behind the last."""
    match paging:
        case ByLink():
            found = _NEXT.search(page.headers.get("link", ""))
            return joined(url, found[1]) if found else None
        case ByCursor(parameter=name, next=pointer):
            cursor = _cursor(page, url, pointer)
            if cursor is None:
                return None
            is_address = cursor.startswith(("http://", "https://", "/"))
            return joined(url, cursor) if is_address else asked_with(url, {name: cursor})
        case ByPage(parameter=name, first=first, size=size):
            return (
                None
                if walk.is_last(page, size)
                else asked_with(url, {name: str(first + walk.pages)})
            )
        case ByOffset(parameter=name, size=size):
            return None if walk.is_last(page, size) else asked_with(url, {name: str(walk.rows)})
    return None


def _cursor(page: Page, url: str, pointer: str) -> str | None:
    """What leads on; None where the source says that nothing does. What is neither is not taken
    for an end: half of the records would pass for all of them."""
    found = found_at(page.document, pointer)
    if found in (None, "", 0):  # and False, which is 0
        return None
    if isinstance(found, orjson.Fragment):
        return orjson.dumps(found).decode()
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise SourceChanged(source=host_of(url), at="shape", detail=pointer)
    return str(found)


def asked_with(url: str, asked: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name not in asked]  # fmt: skip
    return urlunsplit(parts._replace(query=urlencode([*kept, *asked.items()]), fragment=""))


def found_at(document: Any, pointer: str) -> Any:
    """What a JSON pointer names (RFC 6901); None where there is nothing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document
