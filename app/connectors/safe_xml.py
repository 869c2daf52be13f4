"""XML of strangers, parsed: no entity is opened, nothing is looked up, and a document type is refused.

No data need a document type, and every XML bomb does (XXE, billion laughs). An element takes thirty
times the memory of its bytes, so that they are counted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from lxml import etree

from app.connectors.errors import SourceBroken

# libxml2 (xmlerror.h): an encoding that is not known, or not kept to.
_CHARSETS: Final = frozenset({31, 32, 81, *range(6000, 6005)})
_PIECE: Final = 1 << 16
_MOST: Final = 1_000_000  # elements and attributes that are held at once: some 150 MB


class Reader:
    """Elements as they come, from pieces of bytes. What its user has read, its user lets go.

    It stays in the thread that made it: libxml2 breaks where a parser goes on in another.
    """

    def __init__(self, host: str, what: str = "XML", most: int = _MOST) -> None:
        self._host, self._what, self._is_begun = host, what, False
        self._held, self._most = 0, most
        self._parser = etree.XMLPullParser(
            ("start", "end"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )

    def feed(self, piece: bytes) -> Iterator[tuple[str, Any]]:
        """The events of a piece. Raises `SourceBroken`."""
        with self._told(piece):
            self._parser.feed(piece)
            events = list(self._parser.read_events())
        for event, element in events:
            if not self._is_begun:
                self._is_begun = True
                self._check_kind(element)
            if event == "start":
                self._held += 1 + len(element.attrib)
            if self._held > self._most:
                raise SourceBroken(source=self._host, at="too_many", detail=self._most)
            yield event, element

    def let_go(self, element: Any) -> None:
        """Clear an element that has been read, and all that stood before it."""
        element.clear(keep_tail=False)
        at = element
        while (parent := at.getparent()) is not None:
            while (before := at.getprevious()) is not None:
                parent.remove(before)
            at = parent
        self._held = 0  # but for what it stands in

    def close(self) -> Any:
        """The root, once all has come. Raises `SourceBroken` where something is missing."""
        with self._told(b""):
            return self._parser.close()

    def _check_kind(self, root: Any) -> None:
        if root.getroottree().docinfo.doctype:
            at = "html" if local(root).lower() == "html" else "format"
            raise SourceBroken(source=self._host, at=at, detail=f"{self._what} (DOCTYPE)")

    @contextmanager
    def _told(self, piece: bytes) -> Iterator[None]:
        try:
            yield
        except (etree.XMLSyntaxError, LookupError) as exc:
            if getattr(exc, "code", None) in _CHARSETS:
                raise SourceBroken(source=self._host, at="charset", detail=self._what) from exc
            is_page = piece[:200].lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))
            at = "html" if is_page else "format"
            raise SourceBroken(source=self._host, at=at, detail=self._what) from exc


def document(host: str, body: bytes, what: str = "XML") -> Any:
    """The root of a whole document. Raises `SourceBroken`."""
    reader = Reader(host, what, _MOST)
    for at in range(0, max(len(body), 1), _PIECE):
        for _ in reader.feed(body[at : at + _PIECE]):
            pass
    return reader.close()


def local(element: Any) -> str:
    """An element's name without its namespace."""
    name: str = element.tag
    return name.rpartition("}")[2]


def text(element: Any) -> str | None:
    """All text within, blanks at its ends taken away; None where there is none."""
    return None if element is None else "".join(element.itertext()).strip() or None
