"""The pipeline of a write: decide, check each record, store the good ones, record."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.broker.answer import RecordNotFound
from app.broker.batch_checked import refuse_broken, refuse_doubles, result_of
from app.broker.decide import Decider, who_and_what
from app.broker.idempotent import find_answer, remember_answer
from app.broker.one_record import key_values
from app.broker.people import People, SubjectIsKey, SubjectNotTold, are_renamed
from app.broker.permitted import RowsNotTold, permitted
from app.broker.permitted_writes import is_permitted, refuse_outside
from app.broker.recording import Asker
from app.broker.snapshot import Known, Snapshot
from app.broker.versions_asked import refused
from app.broker.writing import current, end, fields_of, open_version, store
from app.catalogue import approval, profiles, runs
from app.formats.incoming import read_record
from app.kit.db import Database
from app.kit.errors import Fault
from app.models.datasets import Dataset, Version
from app.policy.facts import Action, Caller
from app.policy.verdicts import Allow
from app.query.fields import Field
from app.tables import write as tables


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to write as they came."""

    dataset_id: str
    records: Sequence[Any]
    body_sha256: str
    idempotency_key: str | None
    caller: Caller | None
    request_id: str


class Writer:
    """Writes records of hosted datasets. One a process."""

    def __init__(
        self, database: Database, snapshot: Snapshot, decider: Decider, people: People
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._decider = decider
        self._people = people

    async def check(self, dataset_id: str, caller: Caller | None, request_id: str) -> None:
        """Raise the refusal (which then stands in the log) before a body is read for nothing."""
        await self._allowed(dataset_id, caller, request_id)

    async def upsert(self, batch: Batch) -> dict[str, Any]:
        """Insert or replace records by key; the good ones are stored though others are wrong.

        The use was counted by `check`.

        Raises the refusal (which then stands in the log), `NoKey`, `IdempotencyKeyReused`.
        """
        known, allow = await self._allowed(
            batch.dataset_id, batch.caller, batch.request_id, again=True
        )
        client = batch.caller.client.client_id if batch.caller else ""
        records, nobody = await self._in_stored_names(known, batch)
        async with self._database.writing() as session:
            dataset = await session.get_one(Dataset, batch.dataset_id, with_for_update=True)
            key, request = batch.idempotency_key, _request_hash(batch)
            before = await find_answer(session, client, key, request)
            if before is not None:
                return before
            answer = await _take(session, dataset, client, records, allow, nobody)
            await remember_answer(session, client, key, request, answer)
            await _log(session, known, batch.caller, batch.request_id, answer)
        self._snapshot.changed(batch.dataset_id)
        return answer

    async def delete(
        self, dataset_id: str, key: str, caller: Caller | None, request_id: str
    ) -> None:
        """End one record. Raises the refusal, `NoKey`, `RecordNotFound`."""
        known, allow = await self._allowed(dataset_id, caller, request_id)
        if not await self._deleted(known, allow, key, caller, request_id):
            raise RecordNotFound(dataset=dataset_id, key=key)
        self._snapshot.changed(dataset_id)

    async def _deleted(
        self, known: Known, allow: Allow, key: str, caller: Caller | None, request_id: str
    ) -> bool:
        """Whether there was such a record; that there is none stands in the log as well.

        One that may not be had is none.
        """
        dataset_id = known.entry.id
        async with self._database.writing() as session:
            dataset = await session.get_one(Dataset, dataset_id, with_for_update=True)
            runs.check_can_load(dataset)
            await approval.check_records(session, dataset)
            version = await current(session, dataset_id)
            found = version is not None and await _end_record(session, version, key, allow)
            answer = {
                "version": version.number if version is not None else None,
                "revision": version.revision if version is not None else 0,
                "deleted": int(found),
            }
            await _log(session, known, caller, request_id, answer)
        return found

    async def _allowed(
        self, dataset_id: str, caller: Caller | None, request_id: str, *, again: bool = False
    ) -> tuple[Known, Allow]:
        known = await self._snapshot.dataset(dataset_id)
        allow = await self._decider.allow(
            known, caller, Action.WRITE, None, request_id, again=again
        )
        asker = Asker(caller, None, request_id)
        if allow.bounds:
            await self._refuse_untold(known, allow, asker)
        if are_renamed(known.entry.facts, caller):
            await self._refuse_by_name(known, asker)
        return known, allow

    async def _refuse_by_name(self, known: Known, asker: Asker) -> None:
        """Records are not found by a name that only their publisher knows, nor named by no field."""
        dataset, subject = known.entry.id, known.entry.fields.get(known.entry.facts.subject or "")
        if subject is None:
            raise await refused(self._decider, known, asker, SubjectNotTold(dataset=dataset))
        if subject.key:
            raise await refused(self._decider, known, asker, SubjectIsKey(dataset=dataset))

    async def _in_stored_names(
        self, known: Known, batch: Batch
    ) -> tuple[Sequence[Any], Mapping[int, Fault]]:
        """The records as they are to be stored, and what is wrong with those about nobody."""
        facts, caller = known.entry.facts, batch.caller
        if caller is None or not are_renamed(facts, caller):
            return batch.records, {}
        return await self._people.incoming(facts, caller, batch.records)

    async def _refuse_untold(self, known: Known, allow: Allow, asker: Asker) -> None:
        """Where there is no version yet, whoever may have some rows only does not begin it."""
        version = known.entry.version
        try:
            if version is None:
                raise RowsNotTold(dataset=known.entry.id)
            permitted(known.entry.id, version, allow)
        except RowsNotTold as refusal:
            raise await refused(self._decider, known, asker, refusal) from None


def _request_hash(batch: Batch) -> str:
    return hashlib.sha256(f"{batch.dataset_id}\x00{batch.body_sha256}".encode()).hexdigest()


async def _take(
    session: AsyncSession,
    dataset: Dataset,
    client: str,
    records: Sequence[Any],
    allow: Allow,
    nobody: Mapping[int, Fault],
) -> dict[str, Any]:
    """Store the good records; a dataset without a version begins with the first good one."""
    runs.check_can_load(dataset)
    await approval.check_records(session, dataset)
    version = await current(session, dataset.id)
    fields = fields_of(dataset, version)
    read = [read_record(record, fields, allow.columns) for record in records]
    for at, fault in nobody.items():
        read[at].faults.append(fault)
    refuse_broken(read, fields, await profiles.rules_of(session, dataset))
    refuse_doubles(read)
    if version is not None:
        await refuse_outside(session, version, fields, read, allow)
    good = [each.values for each in read if not each.faults]
    if version is None and good:
        version = await open_version(session, dataset, client)
    outcomes: Sequence[tables.Outcome] = ()
    if version is not None and good:
        outcomes = await store(session, version, fields, good)
    following = iter(outcomes)
    results = [
        result_of(at, each, None if each.faults else next(following))
        for at, each in enumerate(read)
    ]
    return {
        "dataset": dataset.id,
        "version": version.number if version is not None else None,
        "revision": version.revision if version is not None else 0,
        "accepted": len(good),
        "rejected": len(read) - len(good),
        "results": results,
    }


async def _end_record(session: AsyncSession, version: Version, key: str, allow: Allow) -> bool:
    fields = [Field.from_json(each) for each in version.fields]
    wanted = key_values(fields, version.dataset_id, key)
    if not await is_permitted(session, version, fields, wanted, allow):
        return False
    return await end(session, version, fields, [wanted]) > 0


async def _log(
    session: AsyncSession,
    known: Known,
    caller: Caller | None,
    request_id: str,
    answer: Mapping[str, Any],
) -> None:
    await audit.append(
        session,
        Event.RECORDS_WRITTEN,
        version=answer["version"],
        revision=answer["revision"],
        rows=answer.get("accepted"),
        rejected=answer.get("rejected"),
        deleted=answer.get("deleted"),
        request=request_id,
        **who_and_what(known, caller, None),
    )
