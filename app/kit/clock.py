"""The one place that time comes from, so that a test can move it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

TOKYO = ZoneInfo("Asia/Tokyo")


def now() -> datetime:
    """The present moment with an offset (UTC)."""
    return datetime.now(UTC)
