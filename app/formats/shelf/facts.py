"""What is told of open data, whatever the standard: values only. Looks nothing up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime


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
    keywords: Sequence[str]
    profile: tuple[str, int] | None
    temporal: tuple[date | None, date | None]
    extent: tuple[float, float, float, float] | None
    rows: int
    version: int
    issued_at: datetime
    modified_at: datetime
