"""The shelf's pages as sitemaps (sitemaps.org 0.9), for search engines. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape

MOST_ADDRESSES: Final = 50_000  # of one sitemap, as the protocol says
MEDIA_TYPE: Final = "application/xml"
_SPACE: Final = "http://www.sitemaps.org/schemas/sitemap/0.9"
_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def sitemap(pages: Iterable[tuple[str, datetime]]) -> bytes:
    """Pages with the time of their last change."""
    entries = "".join(
        f"<url><loc>{escape(address)}</loc><lastmod>{at.isoformat(timespec='seconds')}</lastmod></url>\n"
        for address, at in pages
    )
    return f'{_XML}<urlset xmlns="{_SPACE}">\n{entries}</urlset>\n'.encode()


def index(addresses: Iterable[str]) -> bytes:
    """Where the sitemaps are, when there is more than one."""
    entries = "".join(f"<sitemap><loc>{escape(each)}</loc></sitemap>\n" for each in addresses)
    return f'{_XML}<sitemapindex xmlns="{_SPACE}">\n{entries}</sitemapindex>\n'.encode()
