"""The ids that CKAN's clients keep: UUIDs that follow from our own names. Nothing is stored.

A UUID of the shelf is a version 5 one (RFC 9562, 5.5) whose first 48 bits are those of the SHA-256 of
the name instead: PostgreSQL has SHA-256 and no SHA-1, so by these an index finds the thing again.
"""

import hashlib
import re
from typing import Final
from uuid import UUID, uuid5

HEAD_BYTES: Final = 6
_SHELF: Final = UUID("6f1d3c52-8a0e-5b7d-9c41-2e7a94d0b6f3")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
# What CKAN takes as a name (ckan.logic.validators, name_validator).
_NAME: Final = re.compile(r"[a-z0-9_-]{2,100}\Z")
_THEME: Final = re.compile(r"theme-([0-9a-f]{12})\Z")


def package_id(dataset_id: str) -> str:
    """The id of a dataset's package."""
    return _shelf_id("package", dataset_id)


def resource_id(dataset_id: str, form: str) -> str:
    """The id of one form of a dataset, whichever version it holds."""
    return _shelf_id("resource", dataset_id, form)


def organization_id(organization: str) -> str:
    """The id of a publisher."""
    return _shelf_id("organization", organization)


def theme_id(theme: str) -> str:
    """The id of a theme, as a group and as a tag."""
    return _shelf_id("theme", theme)


def theme_name(theme: str) -> str:
    """A theme's name as a group: CKAN's have ASCII letters only."""
    return theme if _NAME.match(theme) else f"theme-{_head(theme).hex()}"


def head_of(asked: str) -> bytes | None:
    """What a UUID, or the name of a theme, is looked up by; None where it is neither."""
    if _UUID.match(asked):
        return UUID(asked).bytes[:HEAD_BYTES]
    made = _THEME.match(asked)
    return bytes.fromhex(made[1]) if made else None


def _shelf_id(kind: str, name: str, *parts: str) -> str:
    tail = uuid5(_SHELF, "/".join((kind, name, *parts))).bytes[HEAD_BYTES:]
    return str(UUID(bytes=_head(name) + tail))


def _head(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:HEAD_BYTES]
