"""Notes the versions that cursors were given for, so that retention waits. An hour's precision.

It must never keep a reader waiting for a writer.
"""

import time
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.broker.snapshot import Known
from app.catalogue import retention
from app.kit.db import Database

_AGAIN_SECONDS: Final = 3_600.0
_MOST: Final = 10_000
_LOCK_NOT_GOT: Final = "55P03"


class Pins:
    """One a process. The version that readers get needs no pin: retention never takes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[tuple[str, int], float] = {}

    async def note(self, known: Known, number: int) -> None:
        """A cursor for this version is about to be given."""
        current, place = known.entry.version, (known.entry.id, number)
        if current is not None and current.number == number:
            return
        now = time.monotonic()
        if now - self._noted.get(place, -_AGAIN_SECONDS) < _AGAIN_SECONDS:
            return
        if await self._written(*place):
            if len(self._noted) >= _MOST:
                self._noted.clear()
            self._noted[place] = now

    async def _written(self, dataset_id: str, number: int) -> bool:
        """False while the version is being published or let go: both end what a pin would say."""
        try:
            async with self._database.writing() as session:
                await session.execute(text("SET LOCAL lock_timeout = '200ms'"))
                await retention.pin(session, dataset_id, number)
        except DBAPIError as exc:
            if getattr(exc.orig, "sqlstate", None) != _LOCK_NOT_GOT:
                raise
            return False
        return True
