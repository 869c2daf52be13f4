"""The pipeline of a read: decide, route, fetch, shape, record. The only way that records leave."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from app.broker import shape
from app.broker.ask import Answer, Ask, Representation, has_tag, tagged
from app.broker.asked import Asked, asker_of
from app.broker.conversions import CONVERTED, Conversions
from app.broker.decide import Decider
from app.broker.held import Held, HeldAnswers, Key
from app.broker.masked import masks_for, told_by
from app.broker.pins import Pins
from app.broker.plan import LONG_QUERY_BYTES, ORIGINALS, Plan, make_plan
from app.broker.recording import Recorder, is_counted_only
from app.broker.snapshot import Known, Snapshot
from app.catalogue.entries import VersionEntry
from app.formats.writers.order import MOST_SHEET_ROWS
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.policy.facts import Caller
from app.policy.verdicts import Allow
from app.query.refusals import ColumnNotVisible
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


class TooManyExports(AppError):
    """As many whole downloads are running as this process allows."""

    kind = Kind.TOO_MANY
    code = "too_many_exports"
    ja = "同時に実行できる一括取得の数を超えています。少し待って再試行してください。"
    en = "Too many bulk downloads are running. Try again in a moment."

    def __init__(self) -> None:
        super().__init__()
        self.headers["Retry-After"] = "10"


class ExportShareTaken(AppError):
    """As many whole downloads are running as one client, or one address, may run at once."""

    kind = Kind.TOO_MANY
    code = "export_share_taken"
    ja = "一つの利用者が同時に実行できる一括取得は{most}件です。終わってから再試行してください。"
    en = "One caller may run {most} bulk downloads at once. Try again when one of yours has ended."

    def __init__(self, most: int) -> None:
        super().__init__(most=most)
        self.headers["Retry-After"] = "10"


class Broker:
    """Answers questions about hosted datasets. One a process."""

    def __init__(  # noqa: PLR0913 - one a process, made in one place
        self,
        *,
        database: Database,
        snapshot: Snapshot,
        decider: Decider,
        recorder: Recorder,
        sealer: Sealer,
        issuer: str,
        cache_bytes: int,
        most_exports: int,
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._asked = Asked(database, snapshot, decider)
        self._recorder = recorder
        self._sealer = sealer
        self._pins = Pins(database)
        self._issuer = issuer
        self._reader = TableReader(database.pool)
        self._held = HeldAnswers(cache_bytes)
        self._conversions = Conversions()
        self._exports = 0
        self._most_exports = most_exports  # of one caller at once; 0 is without limit
        self._exporting: Counter[str] = Counter()

    async def read(self, ask: Ask) -> Answer:
        """Answer one question, or raise the refusal (which then stands in the log)."""
        known = await self._snapshot.dataset(ask.dataset_id)
        purpose = ask.parameter("purpose")
        version, allow = await self._asked.version(known, ask)
        if allow.ground != "own" and ask.parameter(ORIGINALS) not in (None, "false"):
            raise await self._asked.not_visible(known, ask, ColumnNotVisible(names=ORIGINALS))
        key, held = await self._route(known, version, allow, ask)
        plan = held.plan
        if plan.is_one_record and held.body is None:
            held = await self._fetch_one(key, held, known, ask, purpose, allow)
        if ask.if_none_match is not None and _matches(ask.if_none_match, plan):
            receipt = await self._record(known, ask, purpose, allow, plan, 0)
            return self._answer(plan, allow, receipt, not_modified=True)
        if plan.is_streamed:
            return await self._stream(known, ask, purpose, allow, plan)
        if held.body is None:
            held = await self._fetch(key, held, ask)
        receipt = await self._record(known, ask, purpose, allow, plan, held.rows, held.joined)
        parts = {"body": held.body, "next_link": held.next_link, "matched": held.matched}
        answer = self._answer(plan, allow, receipt, **parts)
        return tagged(answer, ask.if_none_match) if plan.joined else answer

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
        key = (ask.dataset_id, version.number, version.revision, allow.columns, allow.rows,
               ask.raw_query,
               ask.representation, ask.key, ask.item, ask.offset, ask.path, ask.bare,
               *told_by(allow, ask.caller), *readings.items())  # fmt: skip
        held = self._held.find(key)
        if held is not None and held.plan.version is version:
            return key, held
        joined = await self._asked.joined(known, version, allow, ask)
        try:
            masks = masks_for(known.entry, version, allow, ask.caller, self._sealer)
            made = (ask, version, allow, joined, self._issuer, readings, masks)
            # A long filter takes longer to read than others should wait.
            is_long = len(ask.raw_query) > LONG_QUERY_BYTES
            plan = await asyncio.to_thread(make_plan, *made) if is_long else make_plan(*made)
        except ColumnNotVisible as refusal:
            raise await self._asked.not_visible(known, ask, refusal) from None
        held = Held(plan)
        if not plan.joined:  # another dataset's rows, and the time of day, may change its answer
            self._held.hold(key, held)
        return key, held

    async def _fetch_one(
        self, key: Key, held: Held, known: Known, ask: Ask, purpose: str | None, allow: Allow
    ) -> Held:
        """One record; that there is none is an answer too, and stands in the log."""
        if held.plan.is_streamed:
            rows = await self._count_for_log(held.plan)
        else:
            held = await self._fetch(key, held, ask)
            rows = held.rows
        if rows == 0:
            await self._record(known, ask, purpose, allow, held.plan, 0)
            named = (ask.key if ask.key is not None else ask.item or "")[:_MOST_KEY_CHARACTERS]
            raise RecordNotFound(dataset=held.plan.dataset_id, key=named)
        return held

    async def _fetch(self, key: Key, held: Held, ask: Ask) -> Held:
        plan = held.plan
        reading = _reading(plan)
        rows = await self._reader.page(plan.version.source, plan.sources, reading, plan.wording)
        if plan.is_one_record:
            if rows.count == 0:
                return held
            answered = Held(plan, shape.record_body(plan, rows), 1, joined=rows.joined)
        else:
            matched = await self._matched(plan, reading, rows) if plan.question.count else None
            next_link = plan.link_to(rows.last, self._issuer) if rows.more else None
            if next_link is not None:
                known = await self._snapshot.dataset(plan.dataset_id)
                await self._pins.note(known, plan.version.number)
            body = shape.page_body(plan, rows, matched, next_link)
            answered = Held(plan, body, rows.count, next_link, rows.joined, matched)
        self._held.fill(key, held, answered)
        return answered

    async def _matched(self, plan: Plan, reading: Reading, rows: Rows) -> int:
        """How many records the question matches, on all its pages: counted where nobody knows."""
        if plan.matches_all and not plan.joined and plan.revision == plan.version.revision:
            return plan.version.row_count
        question = plan.question
        if question.after is None and not question.offset and not rows.more:
            return rows.count
        counting = replace(reading, question=replace(question, after=None))
        return await self._reader.count(plan.version.source, plan.sources, counting)

    async def _stream(
        self, known: Known, ask: Ask, purpose: str | None, allow: Allow, plan: Plan
    ) -> Answer:
        """The log has the number of rows before the first of them leaves."""
        exporter = self._begin_export(ask)
        try:
            rows = 0
            if not is_counted_only(known, allow):
                rows = await self._count_for_log(plan)
            receipt = await self._record(known, ask, purpose, allow, plan, rows)
        except BaseException:
            self._end_export(exporter)
            raise
        pieces = self._pieces(plan, exporter)  # which ends it
        # The first piece is waited for: until then a refusal can still be told as one.
        first = await anext(pieces, b"")
        return self._answer(plan, allow, receipt, stream=_behind(first, pieces))

    async def _pieces(self, plan: Plan, exporter: str) -> AsyncGenerator[bytes, None]:
        reading = _reading(plan)
        if plan.representation is Representation.XLSX and plan.question.limit is None:
            # One more than fits shows that not all do.
            cut = replace(plan.question, limit=MOST_SHEET_ROWS + 1)
            reading = replace(reading, question=cut)
        rows = self._reader.stream(plan.version.source, plan.sources, reading, plan.wording)
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

    async def _record(
        self,
        known: Known,
        ask: Ask,
        purpose: str | None,
        allow: Allow,
        plan: Plan,
        rows: int,
        beside: Sequence[int] = (),
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
                )  # fmt: skip
        told = plan.masks_told
        return await self._recorder.record(
            known, asker, allow, version=plan.version.number, rows=rows,
            columns=[field.name for field in plan.question.fields],
            **({"masks": told} if told else {}),
        )  # fmt: skip

    def _answer(self, plan: Plan, allow: Allow, receipt: int | None, **parts: Any) -> Answer:
        return Answer(
            media_type=shape.media_type(plan),
            etag=None if plan.joined else plan.etag,
            receipt=receipt,
            is_public=allow.ground == "public",
            fields=plan.question.fields,
            **parts,
        )


def _reading(plan: Plan) -> Reading:
    revisions = tuple(joined.version.revision for joined in plan.joined)
    return Reading(plan.question, plan.revision, revisions, clock.now(), pads=plan.masks.pads)


async def _behind(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        if first:
            yield first
        async for piece in rest:
            yield piece


def _matches(if_none_match: str, plan: Plan) -> bool:
    """Whether the asker has this very answer; with a join that shows only once it is made."""
    return not plan.joined and has_tag(if_none_match, plan.etag)
