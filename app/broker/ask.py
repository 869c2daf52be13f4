"""A request for records as the doors hand it over, and the answer they get back: plain values."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from app.policy.facts import Caller
from app.query.fields import Field
from app.query.question import Condition
from app.tables.encode import Form

Parameters = tuple[tuple[str, str], ...]


class Representation(StrEnum):
    """The forms that records can be had in."""

    JSON = "json"
    GEOJSON = "geojson"
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    XLSX = "xlsx"


@dataclass(frozen=True, slots=True)
class Translated:
    """A question in our parameters, and the conditions that none of them can say."""

    parameters: Parameters
    conditions: tuple[Condition, ...] = ()


# From parameters as they came, on these fields, of which the caller sees these.
Translate = Callable[[Parameters, Mapping[str, Field], frozenset[str]], Translated]


@dataclass(frozen=True, slots=True)
class Link:
    """A link of an answer (RFC 8288)."""

    rel: str
    href: str
    type: str


@dataclass(frozen=True, slots=True)
class Bare:
    """For a door with an envelope of its own: the body is the rows alone, as `form` has them.

    A page's rows are parted by commas, a stream's by line ends; neither has a header.
    """

    form: Form
    number: str | None = None  # the row's number, under this name before the fields
    limit: int | None = None  # of a stream, where it may be larger than a page's


@dataclass(frozen=True, slots=True)
class Ask:
    """One question as it came: parameters unread, the caller known or none.

    A door whose standard has parameters of its own says how they are read with `translate`, which
    is called once it is decided what the caller may see; it must depend on nothing else.
    """

    dataset_id: str
    parameters: Parameters
    representation: Representation
    caller: Caller | None
    request_id: str
    raw_query: bytes = b""
    if_none_match: str | None = None
    key: str | None = None  # one record by its key
    item: str | None = None  # one record by the id of its feature (RFC 7946, 3.2)
    offset: int = 0  # records passed over, for doors whose standard pages by number
    path: str | None = None  # of the door that asks, for its links; None: the Linkage Interface's
    translate: Translate | None = None
    links: tuple[Link, ...] = ()  # of the answer, beside `self` and `next`
    bare: Bare | None = None
    origin: str = ""  # the address that asks, where nobody has proven who it is

    def parameter(self, name: str) -> str | None:
        """The first value of a parameter."""
        for given, value in self.parameters:  # asked for again and again: no generator
            if given == name:
                return value
        return None


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
    fields: tuple[Field, ...] = ()  # those of the rows, in order
    matched: int | None = None  # where the number of all that match was asked for
    headers: tuple[tuple[str, str], ...] = field(default=())


def has_tag(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison against each tag of the list."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def tag_of(body: bytes) -> str:
    """The name of an answer that another dataset's rows or the time may change: its bytes'."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def tagged(answer: Answer, if_none_match: str | None) -> Answer:
    """The answer with its bytes for its name."""
    etag = tag_of(answer.body or b"")
    if if_none_match is not None and has_tag(if_none_match, etag):
        return replace(answer, etag=etag, body=None, not_modified=True)
    return replace(answer, etag=etag)
