"""Source files on their way back to their publisher: logged before the first byte leaves."""

from collections.abc import AsyncIterator

from app.audit.events import Event
from app.audit.log import Log
from app.broker.refusals import refusal_of
from app.kit.db import Database
from app.models.datasets import Dataset, Upload, Version
from app.policy.facts import Caller
from app.policy.rules import refuse_file
from app.tables import uploads


class Sources:
    """Gives a version's file to those who manage its dataset. One a process."""

    def __init__(self, database: Database, log: Log) -> None:
        self._database = database
        self._log = log

    async def release(
        self, dataset: Dataset, version: Version, upload: Upload, caller: Caller, request_id: str
    ) -> AsyncIterator[bytes]:
        """The file's bytes. The class gate holds here too. Raises `AccessRefused`."""
        about = {
            "dataset": dataset.id,
            "version": version.number,
            "client": caller.client.client_id,
            "person": caller.client.person_id,
            "consumer": caller.client.organization_id,
            "request": request_id,
        }
        deny = refuse_file(dataset.classes, caller)
        if deny is not None:
            refusal = refusal_of(deny)
            await self._log.write(Event.RECORDS_REFUSED, reason=refusal.code, **about)
            refusal.logged = True
            raise refusal
        await self._log.write(Event.SOURCE_READ, bytes=upload.size, **about)
        return uploads.pieces(self._database.pool, upload.id)
