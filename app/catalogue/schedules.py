"""When a harvest is due: cron in the time of Japan. Knows no clock of its own."""

from datetime import UTC, datetime

from app.kit.clock import TOKYO

_FIELDS = 5  # a sixth would be seconds, and the worker looks once a minute


def next_after(schedule: str, moment: datetime) -> datetime | None:
    """The first time of a schedule after a moment; None where it is no schedule, or never comes."""
    if len(schedule.split()) != _FIELDS:
        return None
    from croniter import croniter  # noqa: PLC0415 - a server that only reads never needs it
    from croniter.croniter import CroniterError  # noqa: PLC0415

    try:
        found: datetime = croniter(schedule, moment.astimezone(TOKYO)).get_next(datetime)
    except (CroniterError, ValueError, KeyError, TypeError):
        return None
    return found.astimezone(UTC)
