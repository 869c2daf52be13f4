"""What was announced of open data as an Atom feed, a page of it. Pure; tells nothing but facts.

RFC 4287, paged as RFC 5005 says; what has left the shelf is a tombstone (RFC 6721). An entry is a
dataset: its id is the dataset's own address and never changes, and a new version moves it to the
front with a new `updated`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from app.formats.shelf.dcat import dataset_address
from app.formats.shelf.facts import Announced

MEDIA_TYPE: Final = "application/atom+xml"
_SPACES: Final = (
    'xmlns="http://www.w3.org/2005/Atom" xmlns:at="http://purl.org/atompub/tombstones/1.0"'
)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """One page. `name` is the feed's own address, the same on every page."""

    name: str
    here: str
    following: str | None
    publisher: str | None
    updated_at: datetime
    items: Sequence[Announced]


def feed(page: FeedPage, issuer: str) -> bytes:
    """The page as XML."""
    return "".join(_lines(page, issuer)).encode()


def _lines(page: FeedPage, issuer: str) -> Iterator[str]:
    title = "オープンデータの更新" + (f"（{page.publisher}）" if page.publisher else "")
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<feed {_SPACES} xml:lang="ja">\n'
    yield f"<id>{escape(page.name)}</id>\n<title>{escape(title)}</title>\n"
    yield f"<updated>{page.updated_at.isoformat()}</updated>\n"
    yield f"<author><name>{escape(page.publisher or '都市OS')}</name></author>\n"
    yield _link("self", page.here, MEDIA_TYPE)
    yield _link("first", page.name, MEDIA_TYPE)
    if page.following is not None:
        yield _link("next", page.following, MEDIA_TYPE)
    yield _link("alternate", f"{issuer}/opendata/catalog", "text/html")
    for item in page.items:
        yield from _entry(item, issuer) if item.withdrawn is None else _tombstone(item, issuer)
    yield "</feed>\n"


def _link(rel: str, address: str, media_type: str) -> str:
    return f'<link rel="{rel}" type="{media_type}" href={quoteattr(address)}/>\n'


def _entry(item: Announced, issuer: str) -> Iterator[str]:
    about = dataset_address(item.id, issuer)
    is_first = item.at == item.issued_at
    kind = ("published", "公開") if is_first else ("changed", "更新")
    yield f"<entry>\n<id>{escape(about)}</id>\n"
    yield f"<title>{escape(item.title_ja)}（第{item.version}版）</title>\n"
    yield f"<updated>{item.at.isoformat()}</updated>\n"
    yield f"<published>{item.issued_at.isoformat()}</published>\n"
    yield f"<author><name>{escape(item.publisher_ja)}</name></author>\n"
    yield f'<category term="{kind[0]}" label="{kind[1]}"/>\n'
    yield f'<summary type="text">{escape(item.description_ja or item.title_ja)}</summary>\n'
    yield _link("alternate", about, "text/html")
    yield _link("related", f"{about}.jsonld", "application/ld+json")
    yield "</entry>\n"


def _tombstone(item: Announced, issuer: str) -> Iterator[str]:
    about = dataset_address(item.id, issuer)
    yield f"<at:deleted-entry ref={quoteattr(about)} when={quoteattr(item.at.isoformat())}>\n"
    yield f"<at:by><name>{escape(item.publisher_ja)}</name></at:by>\n"
    yield f"<at:comment>{escape(item.title_ja)}: {escape(item.withdrawn or '')}</at:comment>\n"
    yield "</at:deleted-entry>\n"
