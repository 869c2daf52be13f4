"""Tells workbooks, and documents that are none, by their first bytes and members; reads no cell."""

import zipfile

from app.formats.guidance import FileRefused
from app.formats.readers.archives.packed import check_directory
from app.formats.stored import StoredFile
from app.formats.told import Told

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"
_OPEN_DOCUMENT = b"mimetypeapplication/vnd.oasis.opendocument."
# In the head alone: a zip whose list of members is lost is still known for what it was.
_OFFICE_NAMES = (b"[Content_Types].xml", b"xl/workbook", b"xl/worksheets/")


def is_office(head: bytes, file: StoredFile, _told: Told) -> bool:
    """An office document of any kind: workbooks are told from others where they are opened."""
    if head.startswith(OLE):
        return True
    if not head.startswith(_ZIP):
        return False
    if _OPEN_DOCUMENT in head[:200] or any(name in head for name in _OFFICE_NAMES):
        return True
    try:
        check_directory(file)
        with zipfile.ZipFile(file.path) as archive:
            names = set(archive.namelist())
    except (FileRefused, zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return "[Content_Types].xml" in names or {"mimetype", "content.xml"} <= names
