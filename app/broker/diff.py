"""Two versions compared: a read of both, cut to the fields that the caller sees in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.broker.decide import Decider
from app.broker.paged import Page
from app.broker.people import some_of
from app.broker.permitted import seen_as
from app.broker.pins import Pins
from app.broker.recording import Asker, Recorder
from app.broker.snapshot import Known, Snapshot
from app.broker.versions_asked import (
    allow_for,
    entry_of,
    plainly_permitted,
    refuse_columns,
    refuse_renamed,
    while_kept,
)
from app.catalogue.entries import VersionEntry
from app.catalogue.refusals import NoVersion, VersionNotFound
from app.catalogue.schema_changes import schema_changes
from app.formats.incoming import key_text
from app.kit.db import Database
from app.kit.errors import AppError
from app.policy.verdicts import Allow
from app.query.positions import DiffPosition, decode_diff, digest_of, encode_diff
from app.query.question import Condition
from app.query.refusals import InvalidCursor
from app.tables import differences
from app.tables.differences import Difference, Found, RowSet
from app.tables.read import RowsGone

_START: Final = (0, 0)


@dataclass(frozen=True, slots=True)
class DiffAsk:
    """Which versions to compare, from which place on. `new` None: the one that readers get."""

    dataset_id: str
    old: int
    new: int | None
    cursor: str | None
    limit: int
    asker: Asker


@dataclass(frozen=True, slots=True)
class _Side:
    version: VersionEntry
    allow: Allow
    where: Condition | None  # what its rows must meet to be compared


class Differ:
    """Answers `GET /v1/datasets/{id}/diff`. One a process."""

    def __init__(
        self,
        database: Database,
        snapshot: Snapshot,
        decider: Decider,
        recorder: Recorder,
        *,
        issuer: str,
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._decider = decider
        self._recorder = recorder
        self._pins = Pins(database)
        self._issuer = issuer

    async def read(self, ask: DiffAsk) -> Page:
        """Counts, changes of the schema, and one page of the differences.

        Raises the refusal (which then stands in the log), `VersionNotFound`, `VersionDropped`,
        `NoVersion`, `ColumnNotVisible`, `InvalidCursor`.
        """
        known = await self._snapshot.dataset(ask.dataset_id)
        async with self._database.reading() as session:
            try:
                old = await self._side(session, known, ask.old, ask)
                new = await self._side(session, known, ask.new, ask, again=True)
            except AppError as refusal:
                if not refusal.logged:
                    await allow_for(self._decider, known, known.entry.version, ask.asker)
                raise
            visible = old.allow.columns & new.allow.columns
            by_key = await self._is_by_key(known, (old, new), visible, ask.asker)
            with while_kept(RowsGone()):
                position, page = await self._page(session, ask, (old, new), visible, by_key)
        if len(page) > ask.limit:
            for side in (old, new):
                await self._pins.note(known, side.version.number)
        receipt = await self._recorder.record(
            known, ask.asker, new.allow, version=new.version.number, rows=min(len(page), ask.limit),
            columns=[name for name in new.version.fields if name in visible],
            compared=old.version.number, **some_of(known.entry.facts, new.version.revision),
        )  # fmt: skip
        return self._answer(ask, (old, new), position, page, by_key, receipt)

    async def _side(
        self,
        session: AsyncSession,
        known: Known,
        number: int | None,
        ask: DiffAsk,
        *,
        again: bool = False,
    ) -> _Side:
        current = known.entry.version
        if number is None:
            if current is None:
                raise NoVersion(dataset=known.entry.id)
            number = current.number
        version = await entry_of(session, known, number)
        allow = await allow_for(self._decider, known, version, ask.asker, again=again)
        await refuse_renamed(self._decider, known, ask.asker)
        if not version.published and allow.ground != "own":
            raise VersionNotFound(dataset=known.entry.id, number=number)
        where = await plainly_permitted(self._decider, known, version, allow, ask.asker)
        return _Side(version, allow, where)

    async def _is_by_key(
        self, known: Known, sides: tuple[_Side, _Side], visible: frozenset[str], asker: Asker
    ) -> bool:
        """Whether rows are matched by key, which the caller then must see."""
        old, new = (list(side.version.fields.values()) for side in sides)
        if not differences.has_same_key(old, new):
            return False
        hidden = [name for name in differences.key_names(new) if name not in visible]
        if hidden:
            raise await refuse_columns(self._decider, known, hidden, asker)
        return True

    async def _page(
        self,
        session: AsyncSession,
        ask: DiffAsk,
        sides: tuple[_Side, _Side],
        visible: frozenset[str],
        by_key: bool,
    ) -> tuple[DiffPosition, Sequence[Found]]:
        """Where the page begins, and its differences, one more than asked for."""
        versions = (sides[0].version.number, sides[1].version.number)
        rows = [each for side in sides for each in side.allow.bounds]
        seen_by = digest_of(seen_as(visible, rows))
        began = None
        if ask.cursor is not None:
            began = decode_diff(ask.cursor, dataset_id=ask.dataset_id, versions=versions)
            if began.seen_by != seen_by:
                raise InvalidCursor
        revisions = began.revisions if began else tuple(side.version.revision for side in sides)
        old, new = (
            RowSet(side.version.source, revision, side.where)
            for side, revision in zip(sides, revisions, strict=True)
        )
        pairs = [
            pair
            for pair in differences.pairs_of(old.source.fields, new.source.fields, visible)
            if None not in pair
        ]
        if began is None:
            compared = differences.compare(old, new, pairs, by_key=by_key)
            counted = await differences.count(session, compared)
            removed, changed, added = (counted[kind] for kind in Difference)
            began = DiffPosition(
                ask.dataset_id, seen_by, versions, (old.revision, new.revision),
                (removed, changed, added), _START,
            )  # fmt: skip
        page = await differences.page(
            session, (old, new), pairs, visible, after=began.after, limit=ask.limit, by_key=by_key
        )
        return began, page

    def _answer(
        self,
        ask: DiffAsk,
        sides: tuple[_Side, _Side],
        began: DiffPosition,
        found: Sequence[Found],
        by_key: bool,
        receipt: int | None,
    ) -> Page:
        page = found[: ask.limit]
        next_link = self._link(ask, began, page[-1]) if len(found) > ask.limit else None
        old, new = (list(side.version.fields.values()) for side in sides)
        seen = sides[0].allow.columns | sides[1].allow.columns
        changes = [change for change in schema_changes(old, new) if change.field in seen]
        links = [{"rel": "next", "href": next_link, "type": "application/json"}]
        removed, changed, added = began.counts
        body = {
            "dataset": ask.dataset_id,
            "from": {"version": began.versions[0], "revision": began.revisions[0]},
            "to": {"version": began.versions[1], "revision": began.revisions[1]},
            "key": differences.key_names(new) if by_key else None,
            "rows": {"added": added, "removed": removed, "changed": changed},
            "schema": [change.as_json() for change in changes],
            "numberReturned": len(page),
            "differences": [_as_json(each) for each in page],
            "links": links if next_link else [],
        }
        is_public = all(side.allow.ground == "public" for side in sides)
        return Page(orjson.dumps(body), next_link, receipt, is_public)

    def _link(self, ask: DiffAsk, began: DiffPosition, last: Found) -> str:
        position = DiffPosition(
            began.dataset_id, began.seen_by, began.versions, began.revisions, began.counts,
            (differences.rank_of(last.kind), last.row),
        )  # fmt: skip
        asked = {
            "from": str(began.versions[0]),
            "to": str(began.versions[1]),
            "limit": str(ask.limit),
            "cursor": encode_diff(position),
        }
        if ask.asker.purpose is not None:
            asked["purpose"] = ask.asker.purpose
        return f"{self._issuer}/v1/datasets/{ask.dataset_id}/diff?{urlencode(asked)}"


def _as_json(each: Found) -> dict[str, Any]:
    told: dict[str, Any] = {"op": each.kind.value}
    if each.key is not None:
        told["key"] = key_text(each.key)
    if each.record is not None:
        told["record"] = orjson.Fragment(each.record)
    if each.fields:
        told["fields"] = {
            name: {"before": orjson.Fragment(before), "after": orjson.Fragment(after)}
            for name, (before, after) in each.fields.items()
        }
    return told
