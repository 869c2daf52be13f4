"""The kind `gtfs_rt`: where buses and shared bicycles are now, by GTFS Realtime and GBFS.

A feed that stands still is told, and never passes for what is so now.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.connectors import gbfs_feed, gtfs_rt_feed
from app.connectors.connection import Connection
from app.connectors.errors import SourceBroken
from app.connectors.frame import (
    SILENT_SECONDS,
    Capabilities,
    Connector,
    Harvest,
    Known,
    Means,
    Proposal,
    Rows,
    Shape,
)
from app.connectors.records import (
    Record,
    as_csv,
    check_columns,
    check_is_of_all,
    digest,
    in_batches,
)
from app.connectors.web import (
    Address,
    NoProof,
    Proof,
    Web,
    below,
    conditions,
    has_end,
    host_of,
    joined,
    validators,
)
from app.connectors.whole import Whole, asking, whole
from app.kit import clock
from app.kit.outbound import Bounds
from app.query.question import Question

_BOUNDS: Final = Bounds(most_bytes=16 << 20, seconds=60, silent_seconds=SILENT_SECONDS)
_SKEW: Final = timedelta(seconds=120)  # by which two clocks may differ
_Column = Annotated[str, StringConstraints(pattern=r"^[a-z_]{2,40}$")]


class GtfsRtSettings(Shape):
    """Where the feeds are: a folder of GTFS Realtime, or the `gbfs.json` of a GBFS system."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"base": "https://bus.example.jp/gtfs-rt/"},
                {"base": "https://cycle.example.jp/gbfs/3.0/gbfs.json"},
            ]
        }
    )

    base: Address
    auth: Proof = Field(default_factory=NoProof)
    connection: Connection = Field(default_factory=Connection)


class GtfsRtSelection(Shape):
    """Which feed: one of GTFS Realtime, or the stations of a GBFS system.

    A feed whose own time is older than `stale_after_seconds` is refused: it stands still. One that
    has become empty takes its records from readers where `empty_is_an_answer`, and only by a later
    word than the last: its own time, in its own header.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"feed": "vehicle_positions", "path": "VehiclePosition.pb"},
                {"feed": "gbfs_stations", "language": "ja"},
            ]
        }
    )

    feed: Literal["vehicle_positions", "trip_updates", "alerts", "gbfs_stations"]
    path: Annotated[str, StringConstraints(max_length=1_000)] = Field(
        default="", description="Below the base; empty: the base itself"
    )
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")] = (
        "ja"
    )
    stale_after_seconds: Annotated[int, Field(ge=30, le=31 * 86_400)] | None = 900
    empty_is_an_answer: bool | None = Field(
        default=None, description="Where nothing is said, of alerts alone: all can be over"
    )
    columns: Annotated[list[_Column], Field(min_length=1, max_length=30)] | None = None

    @property
    def takes_empty(self) -> bool:
        """Whether that there is nothing is what a feed may say."""
        told = self.empty_is_an_answer
        return self.feed == "alerts" if told is None else told

    @property
    def given(self) -> Sequence[str]:
        """The columns that are wanted; all where none is named."""
        return self.columns or self._every

    @property
    def _every(self) -> Sequence[str]:
        return gtfs_rt_feed.COLUMNS.get(self.feed, gbfs_feed.COLUMNS)

    @model_validator(mode="after")
    def _has_columns(self) -> "GtfsRtSelection":
        check_columns(self.columns, self._every)
        return self


@dataclass(frozen=True, slots=True)
class _State:
    """What a feed says, as of when, and what proves it."""

    records: Sequence[Record] = field(repr=False)
    as_of: datetime | None
    validators: Mapping[str, Any]
    is_stated: bool  # by the feed itself, whole and later than what we know of it


class GtfsRtConnector(Connector[GtfsRtSettings, GtfsRtSelection]):
    """Public transport and shared vehicles, as they are now."""

    kind = "gtfs_rt"
    title_ja = "公共交通のリアルタイム情報（GTFS Realtime・GBFS）"
    title_en = "Transport in real time (GTFS Realtime, GBFS)"
    settings_shape: ClassVar[type[Shape]] = GtfsRtSettings
    selection_shape: ClassVar[type[Shape]] = GtfsRtSelection
    capabilities = Capabilities(answers=True, notices_changes=True, discovers=True)

    def __init__(self, settings: GtfsRtSettings, means: Means) -> None:
        super().__init__(settings, means)
        self._web = Web(means.outbound, settings.auth, settings.connection.way)

    def check_settings(self) -> None:
        """Raises `OutboundRefused`."""
        self._web.check(self.settings.base)

    async def check(self, selection: GtfsRtSelection | None = None) -> None:
        """Read the feed once, and look at its clock."""
        if selection is None:
            await self._web.check_answers(self.settings.base)
        else:
            await self._state(selection, None)

    @asynccontextmanager
    async def harvest(
        self, selection: GtfsRtSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The records as CSV. A feed without entities is a heading without rows."""
        state = await self._state(selection, known)
        if state is None:
            yield None
            return
        pieces = as_csv(selection.given, state.records[:first])
        is_empty = selection.takes_empty and state.is_stated and not state.records
        name = f"{selection.feed}.csv"
        yield Harvest(pieces, name, None, state.validators, is_empty=is_empty)

    @asynccontextmanager
    async def fetch(
        self, selection: GtfsRtSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """The whole feed as it is now: it is small, and knows no questions."""
        check_is_of_all(self.kind, question)
        state = await self._state(selection, known)
        if state is None:
            yield None
            return
        batches = in_batches(selection.given, state.records)
        yield Rows(batches, state.as_of, state.validators)

    async def discover(self) -> Sequence[Proposal]:
        """The stations of a GBFS system; a folder of GTFS Realtime does not list what it has."""
        base = self.settings.base
        if not base.partition("?")[0].endswith(".json"):
            return ()
        system = await self._document(base)
        await asyncio.to_thread(gbfs_feed.addresses, host_of(base), system, "ja")
        fields = tuple({"name": name} for name in gbfs_feed.COLUMNS)
        return [Proposal("gbfs_stations", {"feed": "gbfs_stations"}, fields)]

    async def _state(self, selection: GtfsRtSelection, known: Known | None) -> _State | None:
        """What the feed says now; None where `known` proves that it says the same."""
        told = known.validators if known is not None else {}
        if selection.feed == "gbfs_stations":
            return await self._stations(selection, told)
        url = self._url(selection)
        found = await whole(self._web, url, _BOUNDS, conditions(known))
        if found is None:  # by a clock that may have stopped long ago
            self._check_clock(selection, _parsed(told.get("as_of")))
            return None
        return await asyncio.to_thread(self._read, selection, found, told)

    def _read(
        self, selection: GtfsRtSelection, found: Whole, told: Mapping[str, Any]
    ) -> _State | None:
        message = gtfs_rt_feed.read(found.host, found.body)
        as_of = gtfs_rt_feed.told_at(message)
        self._check_clock(selection, as_of)
        made = gtfs_rt_feed.records(found.host, message, selection.feed, selection.language)
        proof = {
            **(validators(found.headers) or {}),
            **_proof(as_of, hashlib.sha256(found.body).hexdigest()),
        }
        if proof["sha256"] == told.get("sha256"):
            return None
        has_time = message.header.timestamp > 0
        is_stated = has_time and has_end(found.headers) and _is_later(as_of, told)
        return _State(made, as_of, proof, is_stated)

    async def _stations(self, selection: GtfsRtSelection, told: Mapping[str, Any]) -> _State | None:
        """Both files of stations, joined; none is asked for before the system says (`ttl`)."""
        again_at = _parsed(told.get("again_at"))
        if again_at is not None and clock.now() < again_at:
            age = clock.now() - (_parsed(told.get("as_of")) or clock.now())
            most = selection.stale_after_seconds
            if most is None or age <= timedelta(seconds=most):
                return None  # an old one is asked for all the same: it may have been replaced
        url = self._url(selection)
        system = await self._document(url)
        named = await asyncio.to_thread(
            gbfs_feed.addresses, host_of(url), system, selection.language
        )
        read = {name: await self._document(joined(url, at)) for name, at in named.items()}
        information, status = (read[name] for name in gbfs_feed.FEEDS)
        as_of = gbfs_feed.told_at(status)
        self._check_clock(selection, as_of)
        made = await asyncio.to_thread(
            gbfs_feed.records, host_of(url), information, status, selection.language
        )
        proof = _proof(as_of, await asyncio.to_thread(digest, made))
        if proof["sha256"] == told.get("sha256"):
            return None
        again = clock.now() + timedelta(seconds=gbfs_feed.lasts(status))
        proof["again_at"] = again.isoformat()
        return _State(made, as_of, proof, _is_later(as_of, told))

    async def _document(self, url: str) -> dict[str, Any]:
        found = await whole(asking(self._web, self.settings.base, url), url, _BOUNDS)
        if found is None:  # no condition was set
            raise SourceBroken(source=host_of(url), at="status", detail=304)
        return await asyncio.to_thread(gbfs_feed.read, found.host, found.body)

    def _url(self, selection: GtfsRtSelection) -> str:
        base = self.settings.base
        return below(base, selection.path) if selection.path else base

    def _check_clock(self, selection: GtfsRtSelection, as_of: datetime | None) -> None:
        """Raises `SourceBroken` for a feed that stands still, or is of a time to come."""
        if as_of is None:
            return
        host, age = host_of(self.settings.base), clock.now() - as_of
        if age < -_SKEW:
            raise SourceBroken(source=host, at="ahead", detail=int(-age.total_seconds()))
        most = selection.stale_after_seconds
        if most is not None and age > timedelta(seconds=most):
            raise SourceBroken(source=host, at="stale", detail=int(age.total_seconds()))


def _proof(as_of: datetime | None, sha256: str) -> dict[str, str]:
    told = {"as_of": as_of.isoformat()} if as_of is not None else {}
    return {**told, "sha256": sha256}


def _is_later(as_of: datetime | None, told: Mapping[str, Any]) -> bool:
    before = _parsed(told.get("as_of"))
    return as_of is not None and (before is None or as_of > before)


def _parsed(moment: object) -> datetime | None:
    return datetime.fromisoformat(moment) if isinstance(moment, str) else None
