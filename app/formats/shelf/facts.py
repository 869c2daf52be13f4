"""What is told of open data, whatever the standard: values only. Looks nothing up."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from app.query.fields import Field

# What XML 1.0 (2.2) has no place for: one such character would break every feed that holds it.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def plain(text: str) -> str:
    """The text without the characters that no XML document may hold, so that all forms agree."""
    return _NO_XML.sub("", text)


@dataclass(frozen=True, slots=True)
class File:
    """A ready-made file of the published version, served under `…/files/{name}`."""

    name: str
    kind: str  # a key of `forms.FILE_KINDS`
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Service:
    """A door through which programs ask. Paths lead on from the issuer."""

    id: str
    title_ja: str
    title_en: str
    path: str
    description_path: str
    conforms_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """A version that readers got and can still ask for by number."""

    number: int
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """What is told of one dataset. `extent` is west, south, east, north in degrees."""

    id: str
    title_ja: str
    title_en: str | None
    description_ja: str | None
    description_en: str | None
    publisher_id: str
    publisher_ja: str
    publisher_en: str | None
    steward_name: str
    steward_email: str | None
    license: str
    update_frequency: str
    legal_basis: str | None
    source_system: str | None
    keywords: Sequence[str]
    profile: tuple[str, int] | None
    temporal: tuple[date | None, date | None]
    extent: tuple[float, float, float, float] | None
    rows: int
    version: int
    issued_at: datetime
    modified_at: datetime
    score: Decimal | None = None  # of its quality, 0 to 100
    fields: Sequence[Field] = ()  # those that everybody sees; of one dataset only
    versions: Sequence[EarlierVersion] = ()  # newest first; of one dataset only
    files: Sequence[File] = ()
    absent: Sequence[tuple[str, str]] = ()  # (kind, reason) of files not there; of one dataset only


@dataclass(frozen=True, slots=True)
class Announced:
    """The newest thing that happened to a dataset on the shelf. `withdrawn`: why it left."""

    id: str
    title_ja: str
    title_en: str | None
    description_ja: str | None
    publisher_id: str
    publisher_ja: str
    version: int
    issued_at: datetime
    at: datetime
    withdrawn: str | None
