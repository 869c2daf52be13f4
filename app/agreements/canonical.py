"""The terms of an agreement as bytes that anyone can make again, and their hash. Reads nothing.

Canonical JSON (RFC 8785). Of its rules those on numbers and on keys beyond ASCII are the hard ones;
terms hold text, lists of text and small whole numbers under ASCII keys, for which sorted keys, no
blanks and the shortest escapes are all of it. So it needs no library of its own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson


def canonical(terms: Mapping[str, str | int | Sequence[str]]) -> str:
    """The terms as canonical JSON."""
    return orjson.dumps(dict(terms), option=orjson.OPT_SORT_KEYS).decode()


def sha256_of(text: str) -> str:
    """The SHA-256 of the text's bytes (UTF-8), in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def utc(time: datetime) -> str:
    """The one spelling of a time in terms: UTC, to the microsecond, as the database keeps it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
