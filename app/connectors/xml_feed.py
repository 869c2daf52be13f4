"""The kind `xml_feed`: entries of RSS and Atom, and the alerts of the JMA (気象庁防災情報XML).

A telegram is asked for once. What was cancelled or has expired never passes for what is in force,
and a drill never for what is real.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal

import structlog
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.connectors import jma
from app.connectors.connection import Connection
from app.connectors.errors import SourceBroken, SourceChanged, SourceError
from app.connectors.feed_entries import COLUMNS, entries
from app.connectors.feed_memory import Memory
from app.connectors.frame import (
    SILENT_SECONDS,
    Capabilities,
    Changes,
    Connector,
    Harvest,
    Known,
    Means,
    Proposal,
    Shape,
)
from app.connectors.records import Record, as_csv, check_columns, digest
from app.connectors.web import (
    Address,
    NoProof,
    Proof,
    Web,
    below,
    check_is_no_page,
    conditions,
    host_of,
    is_same_origin,
    joined,
    validators,
)
from app.connectors.whole import asking, whole
from app.kit import clock
from app.kit.outbound import Bounds

log = structlog.get_logger()
_FEED: Final = Bounds(most_bytes=16 << 20, seconds=300, silent_seconds=SILENT_SECONDS)
_TELEGRAM: Final = Bounds(most_bytes=4 << 20, seconds=60, silent_seconds=SILENT_SECONDS)
_AT_ONCE: Final = 200  # changes that a stream is told of
_MOST_HELD: Final = 1_000_000  # places of the telegrams of one harvest,
_MOST_PLACES: Final = 200_000  # and of all alerts that are known then
# What may be amiss with one telegram, while others are well.
_OF_ONE: Final = ("missing", "format", "charset", "shape", "too_long", "too_many", "ahead")
_MOST_LEFT: Final = 3  # that are amiss of a few; of many, a tenth
_Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Code = Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{2,10}$")]
_Column = Annotated[str, StringConstraints(pattern=r"^[a-z_]{2,40}$")]
_Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]{1,253}$")]


class XmlFeedSettings(Shape):
    """Where feeds are, and how we prove ourselves there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"base": "https://www.data.jma.go.jp/developer/xml/feed/"}]}
    )

    base: Address
    auth: Proof = Field(default_factory=NoProof)
    connection: Connection = Field(default_factory=Connection)


class Entries(Shape):
    """The entries themselves, of RSS or Atom."""

    type: Literal["entries"] = "entries"


class Alerts(Shape):
    """What the telegrams say that the entries lead to (気象庁防災情報XML), a record a place.

    One status alone: drills (訓練) and tests (試験) are a dataset of their own or none. An event
    stays until it is taken back, replaced, or `keep_days` old. Where what has ended is left out and
    nothing is in force, readers get no record. Who wants one always says that `empty_is_an_answer`
    is false: the last that ended then stands alone, marked.
    """

    type: Literal["jma"]
    status: Literal["通常", "訓練", "試験"] = "通常"
    titles: Annotated[list[_Word], Field(min_length=1, max_length=50)] | None = Field(
        default=None, description="Control/Title; of all where none is named"
    )
    areas: Annotated[list[_Code], Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Beginnings of area codes: 27 is 大阪府"
    )
    ended: Literal["marked", "left_out"] = "marked"
    empty_is_an_answer: bool = True
    keep_days: Annotated[int, Field(ge=1, le=60)] = 7
    most_telegrams: Annotated[int, Field(ge=1, le=5_000)] = Field(
        default=500, description="Asked for in one harvest; the next one goes on"
    )
    hosts: Annotated[list[_Host], Field(max_length=10)] = Field(
        default_factory=list, description="That may have telegrams, beside the feed's own"
    )


class XmlFeedSelection(Shape):
    """Which feed below the base, and what of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"path": "city/news.rdf"},
                {
                    "path": "extra.xml",
                    "read": {
                        "type": "jma",
                        "titles": ["気象特別警報・警報・注意報"],
                        "areas": ["27"],
                    },
                },
            ]
        }
    )

    path: Annotated[str, StringConstraints(max_length=1_000)] = ""
    read: Annotated[Entries | Alerts, Field(discriminator="type")] = Field(default_factory=Entries)
    columns: Annotated[list[_Column], Field(min_length=1, max_length=30)] | None = None
    poll_seconds: Annotated[int, Field(ge=10, le=3_600)] = Field(
        default=60, description="How often a stream of its changes looks"
    )

    @property
    def given(self) -> Sequence[str]:
        """The columns that are wanted; all where none is named."""
        return self.columns or self._every

    @property
    def _every(self) -> Sequence[str]:
        return jma.COLUMNS if isinstance(self.read, Alerts) else COLUMNS

    @model_validator(mode="after")
    def _has_columns(self) -> "XmlFeedSelection":
        check_columns(self.columns, self._every)
        return self


@dataclass(frozen=True, slots=True)
class _State:
    """What a feed comes to now, and what proves it."""

    records: Sequence[Record] = field(repr=False)
    validators: Mapping[str, Any]
    is_empty: bool = False  # and that is what it comes to


@dataclass(frozen=True, slots=True)
class _Feed:
    """What a feed lists now; None for its entries where they are those that we know."""

    url: str
    entries: list[dict[str, Any]] | None = field(repr=False)
    validators: Mapping[str, Any]


class XmlFeedConnector(Connector[XmlFeedSettings, XmlFeedSelection]):
    """RSS, Atom and the disaster feeds of the JMA."""

    kind = "xml_feed"
    title_ja = "フィード（RSS・Atom・気象庁防災情報XML）"
    title_en = "Feeds (RSS, Atom, alerts of the JMA)"
    settings_shape: ClassVar[type[Shape]] = XmlFeedSettings
    selection_shape: ClassVar[type[Shape]] = XmlFeedSelection
    capabilities = Capabilities(streams=True, notices_changes=True, discovers=True)

    def __init__(self, settings: XmlFeedSettings, means: Means) -> None:
        super().__init__(settings, means)
        self._web = Web(means.outbound, settings.auth, settings.connection.way)

    def check_settings(self) -> None:
        """Raises `OutboundRefused`."""
        self._web.check(self.settings.base)

    async def check(self, selection: XmlFeedSelection | None = None) -> None:
        """Read the feed, and of alerts the newest telegram."""
        if selection is None:
            await self._web.check_answers(self.settings.base)
            return
        feed = await self._feed(selection, None)
        if isinstance(selection.read, Alerts):
            for entry in (feed.entries or [])[:1]:
                await self._event(feed.url, entry, selection.read)

    @asynccontextmanager
    async def harvest(
        self, selection: XmlFeedSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The entries, or all alerts that we know of, as CSV."""
        state = await self._state(selection, known, first)
        if state is None:
            yield None
            return
        pieces = as_csv(selection.given, state.records[:first])
        name = f"{selection.read.type}.csv"
        yield Harvest(pieces, name, None, state.validators, is_empty=state.is_empty)

    @asynccontextmanager
    async def listen(
        self, selection: XmlFeedSelection, position: Mapping[str, Any] | None = None
    ) -> AsyncIterator[AsyncIterator[Changes]]:
        """What a look at the feed finds changed since the last, an alert that expires among it."""
        async with aclosing(self._looks(selection, position or {})) as looks:
            yield looks

    async def _looks(
        self, selection: XmlFeedSelection, position: Mapping[str, Any]
    ) -> AsyncGenerator[Changes, None]:
        key = "key" if isinstance(selection.read, Alerts) else "id"
        known, marks = position.get("known"), dict(position.get("marks", {}))
        while True:
            state = await self._state(selection, Known(known) if known is not None else None)
            if state is not None:
                found = {str(each[key]): each for each in state.records}
                now = await asyncio.to_thread(_marks, found)
                left = [name for name in {**now, **marks} if marks.get(name) != now.get(name)]
                for at in range(0, max(len(left), 1), _AT_ONCE):
                    part = left[at : at + _AT_ONCE]
                    rows = [_cut(found[name], selection.given) for name in part if name in found]
                    gone = [{key: name} for name in part if name not in found]
                    marks = _taken(marks, now, part)
                    if at + _AT_ONCE >= len(left):  # sooner, a break would lose what follows
                        known = dict(state.validators)
                    yield Changes(rows, gone, {"known": known, "marks": marks})
            await asyncio.sleep(selection.poll_seconds)

    async def discover(self) -> Sequence[Proposal]:
        """The feed at the base itself, with the titles of what it lists."""
        feed = await self._feed(XmlFeedSelection(), None)
        fields = tuple({"name": name} for name in COLUMNS)
        found = [Proposal("entries", {}, fields)]
        links = [str(each["link"]) for each in feed.entries or ()]
        if any("/developer/xml/" in each for each in links):  # where the JMA has its telegrams
            fields = tuple({"name": name} for name in jma.COLUMNS)
            found.append(Proposal("jma", {"read": {"type": "jma"}}, fields))
        return found

    async def _state(
        self, selection: XmlFeedSelection, known: Known | None, first: int | None = None
    ) -> _State | None:
        """All that is known now; None where it is what `known` proves."""
        if isinstance(selection.read, Alerts):
            return await self._alerts(selection, selection.read, known, first)
        feed = await self._feed(selection, known)
        if feed.entries is None:
            return None
        sha256 = await asyncio.to_thread(digest, feed.entries)
        if known is not None and known.validators.get("sha256") == sha256:
            return None
        return _State(feed.entries, {**feed.validators, "sha256": sha256})

    async def _alerts(
        self, selection: XmlFeedSelection, read: Alerts, known: Known | None, first: int | None
    ) -> _State | None:
        memory = await asyncio.to_thread(Memory.of, known)
        # That a feed has not changed helps only who remembers what it said.
        remembers = bool(memory.events or memory.seen)
        feed = await self._feed(selection, known if remembers else None)
        asked, is_all = await self._learn(memory, feed, read, first)
        found = await asyncio.to_thread(_known_alerts, host_of(feed.url), memory, read)
        packed = await asyncio.to_thread(memory.as_validators)
        sha256 = await asyncio.to_thread(digest, found)
        if not asked and known is not None and known.validators.get("sha256") == sha256:
            return None
        # The rest is asked for the next time, whether the feed changes until then or not.
        told = dict(feed.validators) if is_all and packed else {}
        # Who has forgotten what was in force, or sees nothing listed at all, cannot say that it ended.
        knows = remembers or (known is None and bool(feed.entries))
        is_empty = read.empty_is_an_answer and knows and is_all and not found
        return _State(found, {**told, **packed, "sha256": sha256}, is_empty)

    async def _feed(self, selection: XmlFeedSelection, known: Known | None) -> _Feed:
        base = self.settings.base
        url = below(base, selection.path) if selection.path else base
        async with self._web.get(url, bounds=_FEED, headers=conditions(known)) as answer:
            if answer.status == 304:
                told = known.validators if known is not None else {}
                kept = {name: told[name] for name in ("etag", "last_modified") if name in told}
                return _Feed(url, None, kept)
            check_is_no_page(answer)
            found = await entries(answer.host, answer.pieces)
            return _Feed(url, found, validators(answer.headers) or {})

    async def _learn(
        self, memory: Memory, feed: _Feed, read: Alerts, first: int | None
    ) -> tuple[int, bool]:
        """Ask for the telegrams that are new, the newest first. How many, and whether none is left."""
        if feed.entries is None:
            return 0, True
        wanted, new = await asyncio.to_thread(_new, memory, feed.entries, read.titles)
        asked = new[: min(first or read.most_telegrams, read.most_telegrams)]
        came: list[tuple[Mapping[str, Any], jma.Event]] = []
        left: list[SourceError] = []
        places = 0
        for entry in asked:
            try:
                event = await self._event(feed.url, entry, read)
            except (SourceBroken, SourceChanged) as refusal:
                left.append(_left(refusal))
                continue
            came.append((entry, event))
            places += len(event.areas)
            if places > _MOST_HELD:
                raise SourceBroken(source=host_of(feed.url), at="too_many", detail=_MOST_HELD)
        _check_left(left, len(asked), knows=bool(came or memory.events))
        await asyncio.to_thread(memory.forget_all_but, wanted)
        for entry, event in reversed(came):  # the oldest first
            memory.learn(entry, event, read.status)
        return len(came), len(came) == len(new)

    async def _event(self, feed_url: str, entry: Mapping[str, Any], read: Alerts) -> jma.Event:
        """What an entry's telegram says."""
        url = joined(feed_url, str(entry["link"] or ""))
        if not is_same_origin(url, feed_url) and host_of(url) not in read.hosts:
            raise SourceBroken(source=host_of(feed_url), at="redirect")
        found = await whole(asking(self._web, self.settings.base, url), url, _TELEGRAM)
        if found is None:
            raise SourceBroken(source=host_of(url), at="status", detail=304)
        event = await asyncio.to_thread(jma.event_of, found.host, found.body, url)
        jma.check_clock(found.host, event, clock.now())
        return event


def _new(
    memory: Memory, listed: Sequence[Mapping[str, Any]], titles: Sequence[str] | None
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The entries that are wanted, and those of them that were not read yet."""
    wanted = [each for each in listed if titles is None or each["title"] in titles]
    return wanted, [each for each in wanted if not memory.has_seen(each)]


def _left(refusal: SourceError) -> SourceError:
    """What is amiss with one telegram is told to the operator, and it is asked for again; one
    alone does not keep the rest, a cancellation among them, from readers. Raises every other."""
    if refusal.at not in _OF_ONE:
        raise refusal
    log.warning("xml_feed.telegram_left", source=refusal.named["source"], at=refusal.at)
    return refusal


def _check_left(left: Sequence[SourceError], asked: int, *, knows: bool) -> None:
    """Raises the first of what is amiss where that is no longer one telegram's matter. Any number
    may be there no more, while others are: a feed lists what was deleted for days."""
    spoilt = [each for each in left if each.at != "missing"]
    is_all = len(left) == asked > _MOST_LEFT
    if left and (is_all or not knows or len(spoilt) > max(_MOST_LEFT, asked // 10)):
        raise left[0]


def _known_alerts(host: str, memory: Memory, read: Alerts) -> list[Record]:
    """What is known now, the oldest first, of the places that are wanted."""
    now = clock.now()
    memory.forget_before(now - timedelta(days=read.keep_days))
    events = sorted(memory.events.values(), key=lambda each: (each.sent, each.series))
    if sum(max(len(each.areas), 1) for each in events) > _MOST_PLACES:
        raise SourceBroken(source=host, at="too_many", detail=_MOST_PLACES)
    found: list[Record] = [record for event in events for record in event.records(now)]
    if read.areas is not None:
        beginnings = tuple(read.areas)
        found = [each for each in found if str(each.get("area_code", "")).startswith(beginnings)]
    if read.ended == "left_out":
        last = [] if read.empty_is_an_answer else found[-1:]
        found = [each for each in found if each["state"] == "in_force"] or last
    return found


def _cut(record: Record, columns: Sequence[str]) -> Record:
    return {name: record.get(name) for name in columns}


def _taken(marks: Mapping[str, str], now: Mapping[str, str], part: Sequence[str]) -> dict[str, str]:
    """The marks once some of what changed was told."""
    told = set(part)
    kept = {name: mark for name, mark in marks.items() if name not in told}
    return kept | {name: now[name] for name in part if name in now}


def _marks(found: Mapping[str, Record]) -> dict[str, str]:
    return {name: digest([each])[:16] for name, each in found.items()}
