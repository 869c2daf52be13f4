"""Positions in a change feed and in a comparison: opaque to the client, checked when they come back.

Like a cursor they grant nothing, and are bound to the dataset and to the fields that were visible.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from app.query.refusals import InvalidCursor

_MOST_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """How far a consumer has come. `edition` is the last one that it has had whole.

    `at` is the place inside the edition after it, 0 at its beginning. While the consumer still gets
    the records of `edition` itself, `begins` is true and `at` the last row that it got.
    """

    dataset_id: str
    seen_by: str  # the fields that were visible: with others the copy would be another one
    edition: int
    at: int
    begins: bool


@dataclass(frozen=True, slots=True)
class DiffPosition:
    """A place in a comparison, with the two row sets and the counts, which never change."""

    dataset_id: str
    seen_by: str
    versions: tuple[int, int]
    revisions: tuple[int, int]
    counts: tuple[int, int, int]
    after: tuple[int, int]  # rank and row


def digest_of(names: Iterable[str]) -> str:
    """A set of field names in short."""
    return hashlib.blake2b("\x00".join(sorted(names)).encode(), digest_size=6).hexdigest()


def encode_feed(position: FeedPosition) -> str:
    """The position as URL-safe text."""
    phase = "s" if position.begins else "c"
    return _pack([position.dataset_id, position.seen_by, phase, position.edition, position.at])


def decode_feed(text: str, *, dataset_id: str) -> FeedPosition:
    """Read a position of this dataset's feed. Raises `InvalidCursor`."""
    match _unpack(text):
        case [str(named), str(seen_by), "s" | "c" as phase, int(edition), int(at)] if (
            named == dataset_id and _are_counts([edition, at]) and edition > 0
        ):
            return FeedPosition(named, seen_by, edition, at, phase == "s")
    raise InvalidCursor


def encode_diff(position: DiffPosition) -> str:
    """The position as URL-safe text."""
    return _pack(
        [
            position.dataset_id,
            position.seen_by,
            *position.versions,
            *position.revisions,
            *position.counts,
            *position.after,
        ]
    )


def decode_diff(text: str, *, dataset_id: str, versions: tuple[int, int]) -> DiffPosition:
    """Read a position in the comparison of these versions. Raises `InvalidCursor`."""
    match _unpack(text):
        case [str(named), str(seen_by), *numbers] if (
            named == dataset_id
            and len(numbers) == 9
            and _are_counts(numbers)
            and tuple(numbers[:2]) == versions
        ):
            a, b, c, d, e, f, g, h, i = numbers
            return DiffPosition(named, seen_by, (a, b), (c, d), (e, f, g), (h, i))
    raise InvalidCursor


def _are_counts(numbers: list[Any]) -> bool:
    return all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def _pack(parts: list[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def _unpack(text: str) -> Any:
    if len(text) > _MOST_CHARACTERS:
        raise InvalidCursor
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return orjson.loads(packed)
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
