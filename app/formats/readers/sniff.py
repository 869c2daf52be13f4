"""Tells JSON, XML, Parquet, feeds and archives by their first bytes; it reads no row."""

import codecs
import re
import zipfile

from app.formats.readers.archives.members import packing
from app.formats.stored import StoredFile
from app.formats.told import Told

_JSON = re.compile(
    r'\s*(?:\{\s*(?:["}]|$)|\[\s*(?:[\[{"\]]|-?[0-9.]+\s*[,\]]|$|(?:true|false|null)\b))'
)
_XML = re.compile(r"\s*<(?:\?xml\s|!DOCTYPE\s|!--|[A-Za-z_][\w.-]*(?::[\w.-]+)?[\s/>])")
_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head)[\s>]", re.I | re.S
)
_FEED = frozenset({"agency.txt", "stops.txt"})
_WIDE = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def is_json(head: bytes, _file: StoredFile, _told: Told) -> bool:
    """A JSON document, or one value a line."""
    return _JSON.match(_text(head)) is not None


def is_xml(head: bytes, _file: StoredFile, _told: Told) -> bool:
    """XML that is no web page."""
    text = _text(head)
    return _XML.match(text) is not None and _HTML.match(text) is None


def is_parquet(head: bytes, _file: StoredFile, _told: Told) -> bool:
    """Apache Parquet."""
    return head.startswith(b"PAR1")


def is_fixed_width(head: bytes, _file: StoredFile, told: Told) -> bool:
    """What its publisher says is one, or an archive of such."""
    return told.fixed_width is not None and packing(head) is None


def is_archive(head: bytes, _file: StoredFile, _told: Told) -> bool:
    """A zip that is no document, or a file under gzip, bzip2 or xz."""
    return packing(head) is not None


def is_feed(head: bytes, file: StoredFile, _told: Told) -> bool:
    """A GTFS feed: a zip with an agency.txt and a stops.txt side by side."""
    if packing(head) != "zip":
        return False
    try:
        with zipfile.ZipFile(file.path) as archive:
            return feed_folder(archive.namelist()) is not None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def feed_folder(names: list[str]) -> str | None:
    """The folder in which the feed lies: the zip itself, or one below it."""
    folders: dict[str, set[str]] = {}
    for name in names:
        folder, _, base = name.replace("\\", "/").rpartition("/")
        folders.setdefault(folder, set()).add(base.lower())
    fitting = [folder for folder, bases in folders.items() if bases >= _FEED]
    return min(fitting, key=len) if fitting else None


def _text(head: bytes) -> str:
    """The head as far as its ASCII goes, which is all that is looked at."""
    for bom, name in _WIDE:
        if head.startswith(bom):
            return head[2:].decode(name, "replace")
    plain = head.removeprefix(codecs.BOM_UTF8)
    if plain[1:2] == b"\0" or plain[:1] == b"\0":
        return plain.decode("utf-16-le" if plain[1:2] == b"\0" else "utf-16-be", "replace")
    return plain.decode("latin-1")
