"""A request for records as the doors hand it over, and the answer they get back: plain values."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import StrEnum

from app.policy.facts import Caller


class Representation(StrEnum):
    """The forms that records can be had in."""

    JSON = "json"
    GEOJSON = "geojson"
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    XLSX = "xlsx"


@dataclass(frozen=True, slots=True)
class Ask:
    """One question as it came: parameters unread, the caller known or none."""

    dataset_id: str
    parameters: tuple[tuple[str, str], ...]
    representation: Representation
    caller: Caller | None
    request_id: str
    raw_query: bytes = b""
    if_none_match: str | None = None
    key: str | None = None  # one record by its key
    offset: int = 0  # records passed over, for doors whose standard pages by number
    path: str | None = None  # of the door that asks, for its links; None: the Linkage Interface's

    def parameter(self, name: str) -> str | None:
        """The first value of a parameter."""
        return next((value for given, value in self.parameters if given == name), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. Exactly one of `body` and `stream` is given; neither for 304."""

    media_type: str
    etag: str | None
    body: bytes | None = None
    stream: AsyncGenerator[bytes, None] | None = None
    not_modified: bool = False
    receipt: int | None = None  # the number of the log's entry
    next_link: str | None = None
    is_public: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=())
