"""The pipeline of a read: decide, route, fetch, shape, record. The only way that records leave."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from app.broker import shape
from app.broker.ask import Answer, Ask, Representation, has_tag, tag_of
from app.broker.asked import Asked, asker_of
from app.broker.conversions import CONVERTED, Conversions
from app.broker.held import Held, HeldAnswers, Key
from app.broker.lively import age_of, live_ask, reader_of, takes_live, unfit
from app.broker.masked import Masks, masks_for, told_by
from app.broker.people import About, some_of, whom_of
from app.broker.pins import Pins
from app.broker.plan import ORIGINALS, Joined, Plan, make_plan, read_asked, soon
from app.broker.recording import Recorder, is_counted_only
from app.broker.refusals import ExportShareTaken, TooManyExports
from app.broker.snapshot import Known, Snapshot
from app.catalogue.entries import VersionEntry
from app.formats.writers.order import MOST_SHEET_ROWS
from app.kit import behalf, clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.live.errors import LiveDenied
from app.live.exports import export
from app.live.reader import LiveReader
from app.policy.facts import Caller
from app.policy.verdicts import Allow
from app.query.refusals import ColumnNotVisible
from app.query.subjects import SubjectByNameOnly, names_asked
from app.query.words import Readings
from app.tables.read import Rows, TableReader
from app.tables.sql import Reading

_MOST_EXPORTS: Final = 64  # being sent at once; each may hold a temporary file
_MOST_KEY_CHARACTERS: Final = 200  # of an address that a refusal repeats


class RecordNotFound(AppError):
    """No record has the key."""

    kind = Kind.NOT_FOUND
    code = "record_not_found"
    ja = "データセット {dataset} にキー {key} のレコードはありません。"
    en = "The dataset {dataset} has no record with the key {key}."


class Broker:
    """Answers questions about hosted datasets. One a process."""

    def __init__(  # noqa: PLR0913 - one a process, made in one place
        self,
        *,
        database: Database,
        snapshot: Snapshot,
        asked: Asked,
        recorder: Recorder,
        sealer: Sealer,
        issuer: str,
        cache_bytes: int,
        most_exports: int,
        live: LiveReader,
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._asked = asked
        self._people = asked.people
        self._recorder = recorder
        self._sealer = sealer
        self._pins = Pins(database)
        self._issuer = issuer
        self._reader = TableReader(database.pool)
        self._live = live
        self._held = HeldAnswers(cache_bytes)
        self._conversions = Conversions()
        self._exports = 0
        self._most_exports = most_exports  # of one caller at once; 0 is without limit
        self._exporting: Counter[str] = Counter()

    async def read(self, ask: Ask) -> Answer:
        """Answer one question, or raise the refusal (which then stands in the log)."""
        known = await self._snapshot.dataset(ask.dataset_id)
        try:
            return await self._read(known, self._people.opened(known, ask))
        except LiveDenied as refusal:  # by the platform that has the data
            raise await self._asked.refused(known, ask, refusal) from None

    async def _read(self, known: Known, ask: Ask) -> Answer:
        version, allow = await self._asked.version(known, ask, takes_live=takes_live(ask))
        if known.entry.is_live and (refusal := unfit(known.entry.id, version, ask, allow)):
            raise await self._asked.refused(known, ask, refusal)
        if allow.ground != "own" and ask.parameter(ORIGINALS) not in (None, "false"):
            raise await self._asked.not_visible(known, ask, ColumnNotVisible(names=ORIGINALS))
        key, held = await self._route(known, version, allow, ask)
        plan = held.plan
        if plan.is_one_record and held.body is None:
            held = await self._fetch_one(key, held, known, ask, allow)
        if ask.if_none_match is not None and _matches(ask.if_none_match, plan):
            receipt = await self._record(known, ask, allow, plan, 0)
            return self._answer(plan, allow, receipt, not_modified=True)
        if plan.is_streamed:
            return await self._stream(known, ask, allow, plan)
        if held.body is None:
            held = await self._fetch(key, held, ask, allow)
        receipt = await self._record(known, ask, allow, plan, held.rows, held.joined, held.people)
        parts: dict[str, Any] = {"next_link": held.next_link, "matched": held.matched}
        etag = _tag(held) if plan.is_tagged_by_bytes else plan.etag
        if ask.if_none_match is not None and has_tag(ask.if_none_match, etag):
            parts["not_modified"] = True
        else:
            parts["body"] = held.body
        return self._answer(plan, allow, receipt, etag=etag, headers=held.headers, **parts)

    async def visible(
        self, dataset_id: str, caller: Caller | None, purpose: str | None
    ) -> frozenset[str]:
        """The columns that a read would give now, none where it would be refused.

        For doors that tell what may be asked. Nothing leaves, so nothing is logged.
        """
        return await self._asked.visible(dataset_id, caller, purpose)

    async def _route(
        self, known: Known, version: VersionEntry, allow: Allow, ask: Ask
    ) -> tuple[Key, Held]:
        """The plan, remembered with its answer for the same question on the same rows."""
        readings = await self._asked.readings(ask)
        key = (ask.dataset_id, version.number, version.revision, allow.columns, allow.bounds,
               ask.raw_query,
               ask.representation, ask.key, ask.item, ask.offset, ask.path, ask.bare,
               *told_by(allow, ask.caller), *readings.items())  # fmt: skip
        held = self._held.find(key)
        if held is not None and held.plan.version is version:
            return key, held
        joined = await self._asked.joined(known, version, allow, ask)
        about = await self._asked.about(known, version, ask)
        try:
            masks = masks_for(known.entry, version, allow, ask.caller, self._sealer)
            plan = await self._planned(ask, version, allow, joined, readings, about, masks)
        except ColumnNotVisible as refusal:
            raise await self._asked.not_visible(known, ask, refusal) from None
        except SubjectByNameOnly as refusal:
            raise await self._asked.refused(known, ask, refusal) from None
        held = Held(plan)
        # Where records are about people an answer is one reader's own, and each reading is told with
        # whom it was about.
        if not plan.may_change and about is None:
            self._held.hold(key, held)
        return key, held

    async def _planned(
        self,
        ask: Ask,
        version: VersionEntry,
        allow: Allow,
        joined: Mapping[str, Joined],
        readings: Readings,
        about: About | None,
        masks: Masks,
    ) -> Plan:
        asked = (ask, version, allow, joined)
        if about is not None and about.changed is not None:
            question = await soon(ask, read_asked, *asked, readings, about, masks)
            names = names_asked(question, about.changed.name)
            about = await self._people.asked_by(about, names)
        return await soon(ask, make_plan, *asked, self._issuer, readings, about, masks)

    async def _fetch_one(self, key: Key, held: Held, known: Known, ask: Ask, allow: Allow) -> Held:
        """One record; that there is none is an answer too, and stands in the log."""
        if held.plan.is_streamed and held.plan.version.live is None:
            rows = await self._count_for_log(held.plan)
        elif held.plan.is_streamed:
            return held  # who streams from a source counts what comes
        else:
            held = await self._fetch(key, held, ask, allow)
            rows = held.rows
        if rows == 0:
            await self._record(known, ask, allow, held.plan, 0)
            raise _no_record(ask, held.plan)
        return held

    async def _fetch(self, key: Key, held: Held, ask: Ask, allow: Allow) -> Held:
        plan = held.plan
        reading = _reading(plan)
        if plan.version.live is not None:
            reader = reader_of(plan.version, ask, allow)
            with behalf.reading_for(reader):
                rows = await self._live.page(
                    await live_ask(self._live, plan, reading, allow, reader)
                )
        else:
            rows = await self._reader.page(plan.version.source, plan.sources, reading, plan.wording)
        if plan.is_one_record:
            if rows.count == 0:
                return held
            body = shape.record_body(plan, await self._in_names(plan, rows))
            answered = Held(plan, body, 1, joined=rows.joined, people=rows.people)
        else:
            matched = await self._matched(plan, reading, rows) if plan.question.count else None
            next_link = plan.link_to(rows.last, self._issuer) if rows.more else None
            if next_link is not None:
                known = await self._snapshot.dataset(plan.dataset_id)
                await self._pins.note(known, plan.version.number)
            rows = await self._in_names(plan, rows)
            body = shape.page_body(plan, rows, matched, next_link)
            answered = Held(
                plan, body, rows.count, next_link, rows.joined, matched, people=rows.people
            )
        if plan.version.live is not None:  # its answer is of now, and what it says of itself too
            answered.named_by, answered.headers = rows.body, age_of(rows.told)
        else:
            self._held.fill(key, held, answered)
        return answered

    async def _in_names(self, plan: Plan, rows: Rows) -> Rows:
        """The rows with the reader's names for the people whom they are about."""
        if plan.about is None:
            return rows
        body = await self._people.told(plan.about, plan.wording.form, rows.body, rows.people)
        return replace(rows, body=body)

    async def _matched(self, plan: Plan, reading: Reading, rows: Rows) -> int:
        """How many records the question matches, on all its pages: counted where nobody knows."""
        if rows.matched is not None:
            return rows.matched
        if plan.matches_all and not plan.joined and plan.revision == plan.version.revision:
            return plan.version.row_count
        question = plan.question
        if question.after is None and not question.offset and not rows.more:
            return rows.count
        counting = replace(reading, question=replace(question, after=None))
        return await self._reader.count(plan.version.source, plan.sources, counting)

    async def _stream(self, known: Known, ask: Ask, allow: Allow, plan: Plan) -> Answer:
        """The log has the number of rows before the first of them leaves."""
        if plan.version.live is not None:
            return await self._stream_live(known, ask, allow, plan)
        exporter = self._begin_export(ask)
        try:
            rows, people = 0, await self._people_of(plan)
            if not is_counted_only(known, allow):
                rows = await self._count_for_log(plan)
            receipt = await self._record(known, ask, allow, plan, rows, people=people)
        except BaseException:
            self._end_export(exporter)
            raise
        pieces = self._pieces(plan, exporter)  # which ends it
        # The first piece is waited for: until then a refusal can still be told as one.
        first = await anext(pieces, b"")
        return self._answer(plan, allow, receipt, stream=_behind(first, pieces))

    async def _stream_live(self, known: Known, ask: Ask, allow: Allow, plan: Plan) -> Answer:
        """The same, of what has all come from the source."""
        reader = reader_of(plan.version, ask, allow)
        with behalf.reading_for(reader):
            asked = await live_ask(self._live, plan, _reading(plan), allow, reader)
            made = await export(self._live, asked)
        exporter = None  # a source that is slow takes none of the places of those that send
        try:
            exporter = self._begin_export(ask)
            people = tuple(made.people) if made.people is not None else None
            receipt = await self._record(known, ask, allow, plan, made.count, people=people)
            if plan.is_one_record and not made.count:
                raise _no_record(ask, plan)
        except BaseException:
            made.spool.close()
            if exporter is not None:
                self._end_export(exporter)
            raise
        pieces = self._encoded(plan, made.pieces(), exporter)
        first = await anext(pieces, b"")
        stream, headers = _behind(first, pieces), age_of(made.told)
        return self._answer(plan, allow, receipt, stream=stream, headers=headers)

    async def _pieces(self, plan: Plan, exporter: str) -> AsyncGenerator[bytes, None]:
        reading = _reading(plan)
        if plan.representation is Representation.XLSX and plan.question.limit is None:
            # One more than fits shows that not all do.
            cut = replace(plan.question, limit=MOST_SHEET_ROWS + 1)
            reading = replace(reading, question=cut)
        rows = self._reader.stream(plan.version.source, plan.sources, reading, plan.wording)
        async with aclosing(self._encoded(plan, rows, exporter)) as pieces:
            async for piece in pieces:
                yield piece

    async def _encoded(
        self, plan: Plan, rows: AsyncGenerator[bytes, None], exporter: str
    ) -> AsyncGenerator[bytes, None]:
        """The rows in the names of their reader and in the form that was asked for."""
        if plan.about is not None and plan.about.changed is not None:
            rows = self._people.stream(plan.about, plan.wording.form, rows)
        is_converted = plan.representation in CONVERTED
        body = self._conversions.stream if is_converted else shape.stream_body
        try:
            async with aclosing(rows), aclosing(body(plan, rows)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._end_export(exporter)

    def _begin_export(self, ask: Ask) -> str:
        """Take a place among all and one among the caller's own; whose it is."""
        if self._exports >= _MOST_EXPORTS:
            raise TooManyExports
        exporter = ask.caller.client.client_id if ask.caller is not None else ask.origin
        if self._most_exports and self._exporting[exporter] >= self._most_exports:
            raise ExportShareTaken(self._most_exports)
        self._exports += 1
        self._exporting[exporter] += 1
        return exporter

    def _end_export(self, exporter: str) -> None:
        self._exports -= 1
        self._exporting[exporter] -= 1
        if not self._exporting[exporter]:
            del self._exporting[exporter]

    async def _count_for_log(self, plan: Plan) -> int:
        if plan.is_whole and plan.revision == plan.version.revision:
            return plan.version.row_count
        found = await self._reader.count(plan.version.source, plan.sources, _reading(plan))
        found = max(found - plan.question.offset, 0)
        return min(found, plan.question.limit) if plan.question.limit is not None else found

    async def _people_of(self, plan: Plan) -> tuple[str, ...] | None:
        """Whom the rows of a stream are about; None: more than are told, or nobody knows."""
        if plan.about is None:
            return ()
        if plan.about.subject is None:
            return None
        source, reading = plan.version.source, _reading(plan)
        return await self._reader.people(source, plan.sources, reading, plan.about.subject)

    async def _record(
        self,
        known: Known,
        ask: Ask,
        allow: Allow,
        plan: Plan,
        rows: int,
        beside: Sequence[int] = (),
        people: tuple[str, ...] | None = (),
    ) -> int | None:
        """No record, no data: above `public` the entry is committed before the answer leaves.

        `beside` counts the records of each joined dataset; where unknown, as many as there are rows.
        """
        asker = asker_of(ask)
        # Each dataset's owner sees who read its rows.
        for joined, found in zip(plan.joined, beside or [rows] * len(plan.joined), strict=True):
            if not is_counted_only(joined.known, joined.allow):
                await self._recorder.write(
                    joined.known, asker, joined.allow, version=joined.version.number, rows=found,
                    columns=[field.name for field in joined.join.fields],
                    **some_of(joined.known.entry.facts, joined.version.revision),
                )  # fmt: skip
        told = plan.masks_told
        return await self._recorder.record(
            known, asker, allow, version=plan.version.number, rows=rows,
            columns=[field.name for field in plan.question.fields],
            **({"masks": told} if told else {}),
            **whom_of(plan.about, people, plan.revision),
        )  # fmt: skip

    def _answer(
        self, plan: Plan, allow: Allow, receipt: int | None, etag: str | None = None, **parts: Any
    ) -> Answer:
        return Answer(
            media_type=shape.media_type(plan),
            etag=etag if plan.is_tagged_by_bytes else plan.etag,
            receipt=receipt,
            is_public=allow.ground == "public",
            fields=plan.question.fields,
            **parts,
        )


def _no_record(ask: Ask, plan: Plan) -> RecordNotFound:
    named = (ask.key if ask.key is not None else ask.item or "")[:_MOST_KEY_CHARACTERS]
    return RecordNotFound(dataset=plan.dataset_id, key=named)


def _reading(plan: Plan) -> Reading:
    revisions = tuple(joined.version.revision for joined in plan.joined)
    mark = plan.about.mark if plan.about is not None else ""
    pads = plan.masks.pads
    return Reading(plan.question, plan.revision, revisions, clock.now(), mark=mark, pads=pads)


async def _behind(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        if first:
            yield first
        async for piece in rest:
            yield piece


def _tag(held: Held) -> str:
    """By what of the bytes is its own, where the others say how old it is and the like."""
    if held.named_by is None:
        return tag_of(held.body or b"")
    return tag_of(held.named_by + str(held.next_link).encode())


def _matches(if_none_match: str, plan: Plan) -> bool:
    """Whether the asker has this very answer; of one that may change that shows once it is made."""
    return not plan.is_tagged_by_bytes and has_tag(if_none_match, plan.etag)
