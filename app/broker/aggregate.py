"""Aggregates: decided, logged and held as reads are; never a record.

Where records are only counted, everybody but their own organisation gets whole blocks of them
(`app.broker.counted`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from app.broker import shape
from app.broker.ask import Answer, Ask, has_tag, tagged
from app.broker.asked import Asked, asker_of
from app.broker.counted import CellsNotFormed, Counted, NotCountedSo, check
from app.broker.grouped import Asking, group_body, grouping_of, make_plan, read_asked
from app.broker.held import Held, HeldAnswers, Key
from app.broker.people import some_of, whom_of
from app.broker.permitted import RowsNotTold, permitted
from app.broker.pins import Pins
from app.broker.plan import Plan, soon
from app.broker.recording import Recorder, is_counted_only
from app.broker.snapshot import Known, Snapshot
from app.catalogue.entries import VersionEntry
from app.kit import clock
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.policy.cells import NotByCells, check_by_cells
from app.policy.facts import Action
from app.policy.suppression import Suppression
from app.policy.verdicts import Allow
from app.query.refusals import ColumnNotVisible
from app.query.subjects import SubjectByNameOnly, check_grouping, names_asked
from app.tables.aggregate import Groups
from app.tables.read import TableReader
from app.tables.sql import Reading

_MOST_AT_ONCE: Final = 4  # each may look at every row: pages of records find a connection too


class OnlyAsPublished(AppError):
    """Two states of a dataset whose records are only counted, compared, would tell of one person."""

    kind = Kind.FORBIDDEN
    code = "only_as_published"
    ja = (
        "データセット {dataset} の集計は、公開中の版だけを対象とします。"
        "version と as_of を除いてください。"
    )
    en = (
        "Aggregates of the dataset {dataset} are of the version that is published now only. Leave"
        " out version and as_of."
    )


class Aggregator:
    """Answers `GET /v1/datasets/{id}/aggregate`. One a process."""

    def __init__(
        self,
        database: Database,
        snapshot: Snapshot,
        asked: Asked,
        recorder: Recorder,
        *,
        issuer: str,
        cache_bytes: int,
    ) -> None:
        self._snapshot = snapshot
        self._asked = asked
        self._recorder = recorder
        self._pins = Pins(database)
        self._issuer = issuer
        self._reader = TableReader(database.pool)
        self._counted = Counted(self._reader)
        self._held = HeldAnswers(cache_bytes)
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)  # the others wait

    async def read(self, ask: Ask) -> Answer:
        """Answer one question, or raise the refusal (which then stands in the log)."""
        known = await self._snapshot.dataset(ask.dataset_id)
        ask = self._asked.people.opened(known, ask)
        version, allow = await self._asked.version(known, ask, Action.AGGREGATE)
        rules = known.entry.suppression if allow.ground != "own" else None
        if rules is not None:
            version = await self._as_published(known, version, ask)
        key, held = await self._route(known, version, allow, ask, rules)
        plan = held.plan
        if (
            ask.if_none_match is not None
            and not plan.is_tagged_by_bytes
            and has_tag(ask.if_none_match, plan.etag)
        ):
            receipt = await self._record(known, ask, allow, Held(plan))
            return self._answer(plan, allow, receipt, not_modified=True)
        if held.body is None:
            held = await self._fetch(key, held, known, ask, rules)
        receipt = await self._record(known, ask, allow, held)
        answer = self._answer(plan, allow, receipt, body=held.body, next_link=held.next_link)
        return tagged(answer, ask.if_none_match) if plan.is_tagged_by_bytes else answer

    async def _as_published(self, known: Known, version: VersionEntry, ask: Ask) -> VersionEntry:
        """The version as of its last publishing, and no other."""
        current = known.entry.version
        asked = ask.parameter("version") or ask.parameter("as_of")
        if asked is not None or current is None or version.number != current.number:
            refusal = OnlyAsPublished(dataset=known.entry.id)
            raise await self._asked.refused(known, ask, refusal)
        return replace(version, revision=known.entry.released)

    async def _route(
        self,
        known: Known,
        version: VersionEntry,
        allow: Allow,
        ask: Ask,
        rules: Suppression | None,
    ) -> tuple[Key, Held]:
        """The plan, remembered with its answer for the same question on the same rows."""
        readings = await self._asked.readings(ask)
        key = (ask.dataset_id, version.number, version.revision, allow.columns, allow.bounds, rules,
               ask.raw_query, ask.representation, ask.path, *readings.items())  # fmt: skip
        held = self._held.find(key)
        if held is not None and held.plan.version.source is version.source:
            return key, held
        joined = {}
        if rules is None:
            joined = await self._asked.joined(known, version, allow, ask)
        people = await self._asked.about(known, version, ask)
        about = Asking(version, allow, joined, self._issuer, readings, rules, people)
        try:
            plan = await self._planned(ask, about)
            if rules is not None:
                _check_rows(version, allow, ask, rules)
                check(plan, rules)
        except ColumnNotVisible as refusal:
            raise await self._asked.not_visible(known, ask, refusal) from None
        except (NotCountedSo, RowsNotTold, SubjectByNameOnly) as refusal:
            raise await self._asked.refused(known, ask, refusal) from None
        held = Held(plan)
        if not plan.may_change and people is None:
            self._held.hold(key, held)
        return key, held

    async def _planned(self, ask: Ask, about: Asking) -> Plan:
        people = about.people
        if people is not None and people.changed is not None:
            question, grouping = await soon(ask, read_asked, ask, about)
            check_grouping(grouping, people.changed.name)
            names = names_asked(question, people.changed.name)
            about = replace(about, people=await self._asked.people.asked_by(people, names))
        return await soon(ask, make_plan, ask, about)

    async def _fetch(
        self, key: Key, held: Held, known: Known, ask: Ask, rules: Suppression | None
    ) -> Held:
        plan = held.plan
        async with self._turns:
            groups = await self._groups(plan, known, ask, rules)
        next_link = plan.link_to(groups.last, self._issuer) if groups.more else None
        if next_link is not None:
            await self._pins.note(known, plan.version.number)
        body = await asyncio.to_thread(group_body, plan, groups, next_link, rules)
        people = await self._people_of(plan)
        answered = Held(plan, body, groups.records, next_link, groups=groups.count, people=people)
        self._held.fill(key, held, answered)
        return answered

    async def _groups(
        self, plan: Plan, known: Known, ask: Ask, rules: Suppression | None
    ) -> Groups:
        if rules is not None:
            try:
                return await self._counted.groups(plan, rules)
            except CellsNotFormed as refusal:
                raise await self._asked.refused(known, ask, refusal) from None
        revisions = tuple(joined.version.revision for joined in plan.joined)
        reading = Reading(plan.question, plan.revision, revisions, clock.now())
        if plan.figures is None:
            raise LookupError("the plan is one of records")
        return await self._reader.groups(plan.version.source, plan.sources, reading, plan.figures)

    async def _people_of(self, plan: Plan) -> tuple[str, ...] | None:
        """Whom the records are about that went in; None: more than are told, or nobody knows."""
        if plan.about is None:
            return ()
        if plan.about.subject is None:
            return None
        revisions = tuple(joined.version.revision for joined in plan.joined)
        counted = replace(plan.question, after=None, limit=None)
        reading = Reading(counted, plan.revision, revisions, clock.now())
        source, subject = plan.version.source, plan.about.subject
        return await self._reader.people(source, plan.sources, reading, subject)

    async def _record(self, known: Known, ask: Ask, allow: Allow, held: Held) -> int | None:
        """No record, no data: `rows` are the records that went in, `groups` what came out."""
        plan, asker = held.plan, asker_of(ask)
        columns = grouping_of(plan).fields
        for joined in plan.joined:
            if not is_counted_only(joined.known, joined.allow):
                await self._recorder.write(
                    joined.known, asker, joined.allow, version=joined.version.number,
                    rows=held.rows, columns=_of_join(columns, joined.join.name),
                    groups=held.groups,
                    **some_of(joined.known.entry.facts, joined.version.revision),
                )  # fmt: skip
        return await self._recorder.record(
            known, asker, allow, version=plan.version.number, rows=held.rows,
            columns=[name for name in columns if name in plan.version.fields],
            groups=held.groups, **whom_of(plan.about, held.people, plan.revision),
        )  # fmt: skip

    def _answer(self, plan: Plan, allow: Allow, receipt: int | None, **parts: Any) -> Answer:
        return Answer(
            media_type=shape.media_type(plan),
            etag=None if plan.is_tagged_by_bytes else plan.etag,
            receipt=receipt,
            is_public=allow.ground == "public",
            **parts,
        )


def _check_rows(version: VersionEntry, allow: Allow, ask: Ask, rules: Suppression) -> None:
    """Small cells stay untold only where whole ones are counted. Raises `RowsNotTold`.

    A condition that parts them would let two counts be subtracted: none is counted under it.
    """
    condition = permitted(ask.dataset_id, version, allow)
    try:
        if condition is not None:
            check_by_cells(condition, rules.dimensions)
    except NotByCells:
        raise RowsNotTold(dataset=ask.dataset_id) from None


def _of_join(columns: Sequence[str], join: str) -> list[str]:
    return [name.removeprefix(f"{join}.") for name in columns if name.startswith(f"{join}.")]
