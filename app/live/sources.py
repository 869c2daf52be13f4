"""The sources that live datasets are answered by, opened when first asked. Decides nothing.

A connector that was changed is opened anew; what was counted of it goes on.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog

from app.catalogue.connectors import open_connector, selection_of
from app.catalogue.entries import LiveFeed, VersionEntry
from app.connectors.frame import Means, Shape
from app.connectors.kinds import Kinds
from app.connectors.relayed import Relay
from app.kit.behalf import Speak
from app.kit.crypto import Sealer
from app.kit.errors import AppError
from app.kit.outbound import Outbound
from app.live.errors import LiveBroken, LiveUnavailable
from app.live.source import LiveSource
from app.live.typed import Columns
from app.query.fields import Field

log = structlog.get_logger()
_MOST: Final = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A dataset's source, ready to be asked. `name` tells it from any other, and from itself as it
    was before a change."""

    version: VersionEntry
    feed: LiveFeed
    source: LiveSource
    selection: Shape
    fields: tuple[Field, ...]
    name: Hashable
    columns: dict[tuple[str, ...], Columns] = field(default_factory=dict)  # by what rows call them


@dataclass(slots=True)
class LiveSources:
    """One a process."""

    sealer: Sealer
    kinds: Kinds
    outbound: Outbound
    lent_folders: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    relay_of: Callable[[str, str], Relay] | None = None  # to an organisation's agents in a zone
    speak: Speak | None = None
    _sources: "OrderedDict[UUID, tuple[datetime, LiveSource]]" = field(default_factory=OrderedDict)
    _opened: "OrderedDict[str, Opened]" = field(default_factory=OrderedDict)

    async def open(self, dataset: str, version: VersionEntry) -> Opened:
        """What answers for a live dataset. Raises `LiveFailed`."""
        feed = version.live
        if feed is None:
            raise LookupError("the dataset is not live")
        if feed.connector.paused:
            raise LiveUnavailable(dataset=dataset, told_as="paused")
        found = self._opened.get(dataset)
        if found is not None and found.version is version:
            self._opened.move_to_end(dataset)
            return found
        try:
            source = await self._source(feed)
            selection = selection_of(self.kinds, feed.connector, feed.selection)
        except AppError as refusal:  # of its settings: whoever reads can mend none of them
            log.warning(
                "live.not_opened", dataset=dataset, connector=str(feed.connector.id),
                code=refusal.code,
            )  # fmt: skip
            raise LiveBroken(dataset=dataset, told_as="settings") from refusal
        fields = tuple(version.fields.values())
        made = Opened(version, feed, source, selection, fields, _name(dataset, feed, fields))
        self._opened[dataset] = made
        if len(self._opened) > _MOST:
            self._opened.popitem(last=False)
        return made

    async def _source(self, feed: LiveFeed) -> LiveSource:
        entry = feed.connector
        before = self._sources.get(entry.id)
        if before is not None and before[0] == entry.changed_at:
            self._sources.move_to_end(entry.id)
            return before[1]
        lent = tuple(self.lent_folders.get(entry.organization_id, ()))
        relay = None
        if self.relay_of is not None:
            relay = self.relay_of(entry.organization_id, entry.zone)
        means = Means(self.outbound, lent, relay=relay, speak=self.speak)
        connector = await open_connector(entry, self.sealer, self.kinds, means)
        now = self._sources.get(entry.id)
        if now is not None and now[0] == entry.changed_at:  # somebody was quicker
            return now[1]
        figures = before[1].figures if before is not None else None
        made = LiveSource(connector, figures=figures)
        self._sources[entry.id] = (entry.changed_at, made)
        if len(self._sources) > _MOST:
            self._sources.popitem(last=False)
        return made

    def every(self) -> Iterator[tuple[str, LiveSource]]:
        """Those that were asked, by the id of their connector: for figures."""
        for connector_id, (_, source) in self._sources.items():
            yield str(connector_id), source


def _name(dataset: str, feed: LiveFeed, fields: Sequence[Field]) -> Hashable:
    """What tells an answer of the source from any other's, and from one to another mapping."""
    told = repr((fields, feed.mapping)).encode()
    digest = hashlib.blake2b(told, digest_size=16).digest()
    return (dataset, feed.connector.id, feed.connector.changed_at, digest)
