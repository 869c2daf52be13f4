"""Writes reads into the log before they leave; reads of public data are counted, not listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.audit.events import Event
from app.audit.log import Log
from app.audit.subjects import Subjects, Whom
from app.audit.usage import Usage
from app.broker.decide import who_and_what
from app.broker.snapshot import Known
from app.policy.facts import Caller
from app.policy.verdicts import Allow


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, what for, and by which request."""

    caller: Caller | None
    purpose: str | None
    request_id: str


def is_counted_only(known: Known, allow: Allow) -> bool:
    """Reads of public data are counted, not listed."""
    return known.entry.facts.data_class == "public" and allow.ground == "public"


class Recorder:
    """No record, no data: above `public` the entry is committed before the answer leaves."""

    def __init__(self, log: Log, usage: Usage, subjects: Subjects) -> None:
        self._log = log
        self._usage = usage
        self._subjects = subjects

    async def record(
        self,
        known: Known,
        asker: Asker,
        allow: Allow,
        *,
        version: int,
        rows: int,
        columns: Sequence[str],
        **more: Any,
    ) -> int | None:
        """Count or log one read; the number of the log's entry, where there is one."""
        if is_counted_only(known, allow):
            client = asker.caller.client.client_id if asker.caller else None
            self._usage.note(known.entry.id, client)
            return None
        return await self.write(
            known, asker, allow, version=version, rows=rows, columns=columns, **more
        )

    async def write(
        self,
        known: Known,
        asker: Asker,
        allow: Allow,
        *,
        version: int,
        rows: int,
        columns: Sequence[str],
        whom: Whom | None = None,
        **more: Any,
    ) -> int:
        """Log one read; the number of the entry. `whom`: the people whom it was about."""
        about: Sequence[bytes] = ()
        if whom is not None:
            told = await self._subjects.told(whom)
            more, about = {**more, **told.facts}, told.digests
        return await self._log.write(
            Event.RECORDS_READ,
            about,
            version=version,
            rows=rows,
            columns=list(columns),
            ground=allow.ground,
            agreement=allow.agreement_id,
            request=asker.request_id,
            **more,
            **who_and_what(known, asker.caller, asker.purpose),
        )
