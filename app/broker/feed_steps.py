"""What the change feed tells from a position on, decided and cut. Records nothing: no record of it may
leave but by the feed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.broker.decide import Decider
from app.broker.permitted import seen_as
from app.broker.recording import Asker
from app.broker.snapshot import Known
from app.broker.versions_asked import (
    allow_for,
    entry_of,
    plainly_permitted,
    refuse_renamed,
    visible_key,
)
from app.catalogue import editions
from app.catalogue.entries import VersionEntry
from app.catalogue.refusals import NoVersion, VersionDropped
from app.formats.incoming import key_text
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.editions import Edition
from app.policy.verdicts import Allow
from app.query.positions import FeedPosition, decode_feed, digest_of
from app.query.question import Condition
from app.query.refusals import InvalidCursor
from app.tables import feed
from app.tables.differences import RowSet
from app.tables.feed import Happened

_MOST_STEPS: Final = 50  # publications without anything to tell that one call passes over


class CursorExpired(AppError):
    """Changes from there on are no longer kept, or the fields that may be seen have changed."""

    kind = Kind.GONE
    code = "cursor_expired"
    ja = (
        "この since からはたどれません（変更の保存期間を過ぎたか、キーまたは閲覧できる項目が変わりました）。"
        "since なしで最初から読み直してください。"
    )
    en = (
        "Changes cannot be followed from this since: they are no longer kept, or the key or the"
        " fields that you may see have changed. Begin anew without since."
    )


@dataclass(frozen=True, slots=True)
class FeedAsk:
    """What a consumer asks: where it stands, and how many changes it takes."""

    dataset_id: str
    since: str | None
    limit: int
    asker: Asker


@dataclass(frozen=True, slots=True)
class Step:
    """What one look at the feed found, and where it leads."""

    version: VersionEntry
    allow: Allow
    reached: Edition
    events: Sequence[bytes]
    position: FeedPosition
    more: bool


class Steps:
    """Looks at the feed for one listener. One a process."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    async def check(self, known: Known, asker: Asker, *, again: bool = False) -> None:
        """Judge the feed as a whole, before any of it is looked at; counted unless it was before.

        Raises the refusal (which then stands in the log), `NoVersion`, `NoKey`, `ColumnNotVisible`.
        """
        current = known.entry.version
        allow = await allow_for(self._decider, known, current, asker, again=again)
        await refuse_renamed(self._decider, known, asker)
        if current is None:
            raise NoVersion(dataset=known.entry.id)
        await visible_key(self._decider, known, current, allow, asker)

    async def newest(self, session: AsyncSession, known: Known, asker: Asker) -> FeedPosition:
        """Where a consumer stands who has had all that there is."""
        newest = await editions.newest(session, known.entry.id)
        if newest is None:
            raise NoVersion(dataset=known.entry.id)
        version, allow = await self._version(session, known, newest, asker)
        await plainly_permitted(self._decider, known, version, allow, asker)
        seen_by = digest_of(seen_as(allow.columns, allow.bounds))
        return FeedPosition(known.entry.id, seen_by, newest.number, 0, begins=False)

    async def step(self, session: AsyncSession, known: Known, ask: FeedAsk) -> Step:
        """The first stretch of the feed behind the position that has something to tell."""
        if ask.since is None:
            position = await self._beginning(session, known)
        else:
            position = decode_feed(ask.since, dataset_id=ask.dataset_id)
        step = await self._stretch(session, known, position, ask)
        for _ in range(_MOST_STEPS):
            if step.events or not step.more:
                break
            step = await self._stretch(session, known, step.position, ask)
        return step

    async def _beginning(self, session: AsyncSession, known: Known) -> FeedPosition:
        newest = await editions.newest(session, known.entry.id)
        if newest is None:
            raise NoVersion(dataset=known.entry.id)
        return FeedPosition(known.entry.id, "", newest.number, 0, begins=True)

    async def _stretch(
        self, session: AsyncSession, known: Known, position: FeedPosition, ask: FeedAsk
    ) -> Step:
        base = await editions.find(session, known.entry.id, position.edition)
        if base is None:
            raise InvalidCursor
        version, allow = await self._version(session, known, base, ask.asker)
        seen_by = digest_of(seen_as(allow.columns, allow.bounds))
        if ask.since is not None and position.seen_by != seen_by:
            raise CursorExpired
        where = await plainly_permitted(self._decider, known, version, allow, ask.asker)
        position = replace(position, seen_by=seen_by)
        at = _At(session, base, version, allow, where, position, ask.limit)
        if position.begins:
            return await self._present(at)
        following = await editions.find(session, known.entry.id, base.number + 1)
        if following is None:
            return Step(version, allow, base, (), at.position, more=False)
        if following.version_number == base.version_number:
            return await self._batches(at, following)
        return await self._publication(at, known, following, ask.asker)

    async def _version(
        self, session: AsyncSession, known: Known, edition: Edition, asker: Asker
    ) -> tuple[VersionEntry, Allow]:
        """The version of an edition, decided with its own columns and its key visible."""
        try:
            version = await entry_of(session, known, edition.version_number)
        except VersionDropped:
            raise CursorExpired from None
        allow = await allow_for(self._decider, known, version, asker, again=True)
        await visible_key(self._decider, known, version, allow, asker)
        return version, allow

    async def _present(self, at: "_At") -> Step:
        """The records of the edition that the consumer began with, however much was written since."""
        rows = RowSet(at.version.source, at.base.revision, at.where)
        found = await feed.present(
            at.session, rows, at.allow.columns, after=at.position.at, limit=at.limit
        )
        page, is_cut = found[: at.limit], len(found) > at.limit
        times = await _times(at, page)
        events = [
            _event(each, f"{at.base.number}.s{each.place}", at.version, times(each))
            for each in page
        ]
        if is_cut:
            position = replace(at.position, at=page[-1].place)
        else:
            position = replace(at.position, at=0, begins=False)
        return await self._done(at, at.base, events, position, is_cut)

    async def _batches(self, at: "_At", following: Edition) -> Step:
        """What batches of records did to the version that the consumer has: one edition each."""
        last = await editions.last_of_version(at.session, following)
        found = await feed.batches(
            at.session, at.version.source, at.allow.columns, at.where,
            after=(following.revision, at.position.at), until=last.revision, limit=at.limit,
        )  # fmt: skip
        page, is_cut = found[: at.limit], len(found) > at.limit
        times = await _times(at, page)
        shift = at.base.number - at.base.revision  # a run of editions counts as its revisions do
        events = [
            _event(each, f"{each.revision + shift}.{each.place}", at.version, times(each))
            for each in page
        ]
        if is_cut:
            edition = page[-1].revision + shift - 1
            position = replace(at.position, edition=edition, at=page[-1].place)
        else:
            position = replace(at.position, edition=last.number, at=0)
        return await self._done(at, last, events, position, is_cut)

    async def _publication(self, at: "_At", known: Known, following: Edition, asker: Asker) -> Step:
        """What another version, newer or older, changed of each record."""
        if following.differences is None:
            raise CursorExpired
        version, allow = await self._version(at.session, known, following, asker)
        if allow.bounds != at.allow.bounds:
            raise CursorExpired  # what is in force of the one may be out of reach of the other
        where = await plainly_permitted(self._decider, known, version, allow, asker)
        found = await feed.publication(
            at.session,
            following.differences,
            (
                RowSet(at.version.source, at.base.revision, at.where),
                RowSet(version.source, following.revision, where),
            ),
            (at.allow.columns, allow.columns),
            after=at.position.at,
            limit=at.limit,
        )
        page, is_cut = found[: at.limit], len(found) > at.limit
        events = [
            _event(each, f"{following.number}.{each.place}", version, following.began_at)
            for each in page
        ]
        if is_cut:
            position = replace(at.position, at=page[-1].place)
        else:
            seen_by = digest_of(seen_as(allow.columns, allow.bounds))
            position = replace(at.position, seen_by=seen_by, edition=following.number, at=0)
        now_at = replace(at, version=version, allow=allow)
        return await self._done(now_at, following, events, position, is_cut)

    async def _done(
        self,
        at: "_At",
        reached: Edition,
        events: Sequence[bytes],
        position: FeedPosition,
        is_cut: bool,
    ) -> Step:
        newest = await editions.newest(at.session, at.base.dataset_id)
        more = is_cut or (newest is not None and newest.number > position.edition)
        return Step(at.version, at.allow, reached, events, position, more)


@dataclass(frozen=True, slots=True)
class _At:
    """Where one look at the feed stands."""

    session: AsyncSession
    base: Edition
    version: VersionEntry
    allow: Allow
    where: Condition | None  # what every record that is told of must meet, or have met
    position: FeedPosition
    limit: int


async def _times(at: _At, page: Sequence[Happened]) -> Any:
    """When each change happened; of rows that came with the version, when readers got that."""
    revisions = {each.revision for each in page} | {0}
    found = await editions.times_of(
        at.session, at.base.dataset_id, at.base.version_number, revisions
    )
    first = found.get(0, at.base.began_at)
    return lambda each: found.get(each.revision, first)


def _event(each: Happened, identity: str, version: VersionEntry, changed_at: datetime) -> bytes:
    """One change; the record's bytes as PostgreSQL wrote them."""
    about: dict[str, Any] = {
        "id": identity,
        "op": "delete" if each.record is None else "upsert",
        "key": key_text(each.key),
        "changed_at": changed_at.astimezone(clock.TOKYO),
        "version": version.number,
        "revision": each.revision,
    }
    if each.record is not None:
        about["record"] = orjson.Fragment(each.record)
    return orjson.dumps(about)
