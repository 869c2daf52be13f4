"""The pipeline of a read: decide, route, fetch, shape, record. The only way that records leave."""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from app.audit.log import Log
from app.audit.usage import Usage
from app.broker import shape
from app.broker.ask import Answer, Ask, Representation
from app.broker.conversions import CONVERTED, Conversions
from app.broker.decide import Decider
from app.broker.held import Held, HeldAnswers, Key
from app.broker.pins import Pins
from app.broker.plan import ORIGINALS, Joined, Plan, joins_of, make_plan
from app.broker.recording import Asker, Recorder, is_counted_only
from app.broker.snapshot import Known, Snapshot
from app.broker.versions_asked import allow_for, refuse_columns
from app.catalogue.entries import VersionEntry, load_version, load_version_at
from app.catalogue.refusals import NoVersion, VersionNotFound
from app.formats.writers.order import MOST_SHEET_ROWS
from app.kit import clock
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.policy.rules import Allow
from app.query import cursor as cursors
from app.query.params import read_moment
from app.query.refusals import ColumnNotVisible, wrong
from app.tables.read import TableReader
from app.tables.sql import Reading

_MOST_EXPORTS: Final = 64  # being sent at once; each may hold a temporary file


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


class Broker:
    """Answers questions about hosted datasets. One a process."""

    def __init__(
        self,
        *,
        database: Database,
        snapshot: Snapshot,
        decider: Decider,
        log: Log,
        usage: Usage,
        issuer: str,
        cache_bytes: int,
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._decider = decider
        self._recorder = Recorder(log, usage)
        self._pins = Pins(database)
        self._issuer = issuer
        self._reader = TableReader(database.pool)
        self._held = HeldAnswers(cache_bytes)
        self._conversions = Conversions()
        self._exports = 0

    async def read(self, ask: Ask) -> Answer:
        """Answer one question, or raise the refusal (which then stands in the log)."""
        known = await self._snapshot.dataset(ask.dataset_id)
        purpose = ask.parameter("purpose")
        try:
            version = await self._version(known, ask)
        except AppError:
            # Who may not read the dataset is told that, and not which versions it has.
            await self._allow(known, known.entry.version, ask, purpose)
            raise
        allow = await self._allow(known, version, ask, purpose)
        if version is None or not (version.published or allow.ground == "own"):
            raise self._no_version(known, version)
        if allow.ground != "own" and ask.parameter(ORIGINALS) not in (None, "false"):
            raise await self._not_visible(known, ask, ColumnNotVisible(names=ORIGINALS))
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
        answer = self._answer(plan, allow, receipt, body=held.body, next_link=held.next_link)
        return _tagged(answer, ask.if_none_match) if plan.joined else answer

    async def _version(self, known: Known, ask: Ask) -> VersionEntry | None:
        """The version asked for: by number, by time, by cursor, or the current one."""
        number = None
        asked, cursor = ask.parameter("version"), ask.parameter("cursor")
        if (as_of := ask.parameter("as_of")) is not None:
            if asked is not None:
                raise wrong("as_of", "version とは併用できません。", "does not go with version.")
            async with self._database.reading() as session:
                return await load_version_at(session, ask.dataset_id, read_moment(as_of))
        if asked is not None:
            if not (asked.isascii() and asked.isdigit() and 0 < len(asked) < 10):
                raise wrong("version", "版の番号です。", "give a version's number.")
            number = int(asked)
        if cursor is not None:
            position = cursors.decode(cursor, dataset_id=ask.dataset_id)
            number = position.version if number is None else number
        current = known.entry.version
        if number is None or (current is not None and current.number == number):
            return current
        async with self._database.reading() as session:
            return await load_version(session, ask.dataset_id, number)

    async def _allow(
        self, known: Known, version: VersionEntry | None, ask: Ask, purpose: str | None
    ) -> Allow:
        return await allow_for(self._decider, known, version, _asker(ask, purpose))

    def _no_version(self, known: Known, version: VersionEntry | None) -> AppError:
        if version is None:
            return NoVersion(dataset=known.entry.id)
        return VersionNotFound(dataset=known.entry.id, number=version.number)

    async def _route(
        self, known: Known, version: VersionEntry, allow: Allow, ask: Ask
    ) -> tuple[Key, Held]:
        """The plan, remembered with its answer for the same question on the same rows."""
        key = (ask.dataset_id, version.number, version.revision, allow.columns, ask.raw_query,
               ask.representation, ask.key, ask.offset, ask.path)  # fmt: skip
        held = self._held.find(key)
        if held is not None and held.plan.version is version:
            return key, held
        joined = await self._joined(known, version, ask)
        try:
            plan = make_plan(ask, version, allow.columns, joined, self._issuer)
        except ColumnNotVisible as refusal:
            raise await self._not_visible(known, ask, refusal) from None
        held = Held(plan)
        if not plan.joined:  # another dataset's rows, and the time of day, may change its answer
            self._held.hold(key, held)
        return key, held

    async def _not_visible(
        self, known: Known, ask: Ask, refusal: ColumnNotVisible
    ) -> ColumnNotVisible:
        """The refusal of a hidden column, written to the log."""
        asker = _asker(ask, ask.parameter("purpose"))
        return await refuse_columns(self._decider, known, [refusal.named["names"]], asker)

    async def _joined(self, known: Known, version: VersionEntry, ask: Ask) -> dict[str, Joined]:
        """The datasets to look up beside, each decided for this caller as if asked alone."""
        wanted = (ask.parameter("expand") or "").split(",")
        versions: dict[str, VersionEntry] = {}
        allowed: dict[str, tuple[Known, Allow]] = {}
        for declared in known.entry.joins:
            if declared["name"] not in wanted:
                continue
            other = await self._snapshot.dataset(declared["dataset"])
            beside = await self._beside(other, ask)
            allow = await self._allow(other, beside, ask, ask.parameter("purpose"))
            if beside is None:
                raise NoVersion(dataset=other.entry.id)
            versions[declared["name"]] = beside
            allowed[declared["name"]] = (other, allow)
        joins = joins_of(replace(known.entry, version=version), versions)
        return {
            name: Joined(
                replace(
                    join,
                    fields=tuple(f for f in join.fields if f.name in allowed[name][1].columns),
                ),
                versions[name],
                *allowed[name],
            )
            for name, join in joins.items()
        }

    async def _beside(self, other: Known, ask: Ask) -> VersionEntry | None:
        """The joined dataset's version: of the same time, where one was asked for."""
        as_of = ask.parameter("as_of")
        if as_of is None:
            return other.entry.version
        try:
            async with self._database.reading() as session:
                return await load_version_at(session, other.entry.id, read_moment(as_of))
        except AppError:
            # Who may not read the dataset is told that, and not which versions it has.
            await self._allow(other, other.entry.version, ask, ask.parameter("purpose"))
            raise

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
            raise RecordNotFound(dataset=held.plan.dataset_id, key=ask.key)
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
            matched = None
            if plan.question.count:
                counting = replace(reading, question=replace(plan.question, after=None))
                matched = await self._reader.count(plan.version.source, plan.sources, counting)
            next_link = plan.link_to(rows.last, self._issuer) if rows.more else None
            if next_link is not None:
                known = await self._snapshot.dataset(plan.dataset_id)
                await self._pins.note(known, plan.version.number)
            body = shape.page_body(plan, rows, matched, next_link)
            answered = Held(plan, body, rows.count, next_link, rows.joined)
        self._held.fill(key, held, answered)
        return answered

    async def _stream(
        self, known: Known, ask: Ask, purpose: str | None, allow: Allow, plan: Plan
    ) -> Answer:
        """The log has the number of rows before the first of them leaves."""
        if self._exports >= _MOST_EXPORTS:
            raise TooManyExports
        rows = 0
        if not is_counted_only(known, allow):
            rows = await self._count_for_log(plan)
        receipt = await self._record(known, ask, purpose, allow, plan, rows)
        pieces = self._pieces(plan)
        # The first piece is waited for: until then a refusal can still be told as one.
        first = await anext(pieces, b"")
        return self._answer(plan, allow, receipt, stream=_behind(first, pieces))

    async def _pieces(self, plan: Plan) -> AsyncGenerator[bytes, None]:
        reading = _reading(plan)
        if plan.representation is Representation.XLSX and plan.question.limit is None:
            # One more than fits shows that not all do.
            cut = replace(plan.question, limit=MOST_SHEET_ROWS + 1)
            reading = replace(reading, question=cut)
        rows = self._reader.stream(plan.version.source, plan.sources, reading, plan.wording)
        is_converted = plan.representation in CONVERTED
        body = self._conversions.stream if is_converted else shape.stream_body
        self._exports += 1
        try:
            async with aclosing(rows), aclosing(body(plan, rows)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._exports -= 1

    async def _count_for_log(self, plan: Plan) -> int:
        if plan.is_whole and plan.revision == plan.version.revision:
            return plan.version.row_count
        found = await self._reader.count(plan.version.source, plan.sources, _reading(plan))
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
        asker = _asker(ask, purpose)
        # Each dataset's owner sees who read its rows.
        for joined, found in zip(plan.joined, beside or [rows] * len(plan.joined), strict=True):
            if not is_counted_only(joined.known, joined.allow):
                await self._recorder.write(
                    joined.known, asker, joined.allow, version=joined.version.number, rows=found,
                    columns=[field.name for field in joined.join.fields],
                )  # fmt: skip
        return await self._recorder.record(
            known, asker, allow, version=plan.version.number, rows=rows,
            columns=[field.name for field in plan.question.fields],
        )  # fmt: skip

    def _answer(self, plan: Plan, allow: Allow, receipt: int | None, **parts: Any) -> Answer:
        return Answer(
            media_type=shape.media_type(plan),
            etag=None if plan.joined else plan.etag,
            receipt=receipt,
            is_public=allow.ground == "public",
            **parts,
        )


def _asker(ask: Ask, purpose: str | None) -> Asker:
    return Asker(ask.caller, purpose, ask.request_id)


def _reading(plan: Plan) -> Reading:
    revisions = tuple(joined.version.revision for joined in plan.joined)
    return Reading(plan.question, plan.revision, revisions, clock.now())


async def _behind(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        if first:
            yield first
        async for piece in rest:
            yield piece


def _matches(if_none_match: str, plan: Plan) -> bool:
    """Whether the asker has this very answer; with a join that shows only once it is made."""
    return not plan.joined and _has_tag(if_none_match, plan.etag)


def _has_tag(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: weak comparison against each tag of the list."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def _tagged(answer: Answer, if_none_match: str | None) -> Answer:
    """An answer that another dataset's rows or the time may change: its bytes are its name."""
    etag = f'"{hashlib.blake2b(answer.body or b"", digest_size=12).hexdigest()}"'
    if if_none_match is not None and _has_tag(if_none_match, etag):
        return replace(answer, etag=etag, body=None, not_modified=True)
    return replace(answer, etag=etag)
