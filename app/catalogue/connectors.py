"""Connectors as an organisation keeps them: settings, secrets sealed, and what each feeds.

Gives no secret out but to who opens a connector, asks no source, and commits nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from pydantic import ValidationError
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue.schedules import next_after
from app.connectors.frame import AnyConnector, Means, Shape, joined, parted
from app.connectors.kinds import Kinds, opened
from app.formats.mapping import check_mapping
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import AppError, Fault, Kind
from app.models.connectors import ConnectorEntry, Feed, Mode
from app.models.datasets import DataClass, Dataset
from app.query.fields import Field

MOST_FEEDS: Final = 200
# How a dataset is fed, and what its kind must be able to do for it.
_MODES: Final = {Mode.HARVEST: "harvests", Mode.LIVE: "answers", Mode.STREAM: "streams"}


class ConnectorNotFound(AppError):
    """No such connector of the caller's organisation."""

    kind = Kind.NOT_FOUND
    code = "connector_not_found"
    ja = "コネクタ {id} は見つかりません。GET /v1/connectors で一覧を確認してください。"
    en = "There is no connector {id}. GET /v1/connectors lists yours."


class ConnectorInvalid(AppError):
    """What was said of the connector is wrong; `faults` says where."""

    kind = Kind.INVALID
    code = "connector_invalid"
    ja = "コネクタの登録内容に誤りがあります。errors を確認してください。"
    en = "What was said of the connector is wrong. See errors."


class FeedNotFound(AppError):
    """The connector feeds no such dataset, or it has to be said which of several is meant."""

    kind = Kind.INVALID
    code = "connector_feed_not_found"
    ja = "コネクタ {id} の対象データセットを dataset で一つ指定してください（登録: {known}）。"
    en = "Say with dataset which of the datasets of the connector {id} is meant: {known}."


class FeedStreams(AppError):
    """A dataset that is listened to is not harvested: an older state would take the newer one's place."""

    kind = Kind.CONFLICT
    code = "connector_feed_streams"
    ja = "データセット {dataset} は stream で受信中です。収集するには mode を harvest に変えてください。"
    en = "The dataset {dataset} is fed by a stream. To harvest it, change its mode to harvest."


class FeedIsLive(AppError):
    """Readers would not get what is harvested: they are answered by the source."""

    kind = Kind.CONFLICT
    code = "feed_is_live"
    ja = "データセット {dataset} は live です。収集するには mode を harvest に変更してください。"
    en = "The dataset {dataset} is live. Change its mode to harvest to have it harvested."


@dataclass(frozen=True, slots=True)
class NewFeed:
    """What of the source one dataset is fed by, and when."""

    dataset: str
    selection: Mapping[str, Any] = field(default_factory=dict)
    schedule: str | None = None
    mapping: Sequence[Mapping[str, Any]] | None = None
    publish: bool = False
    examples: Sequence[Mapping[str, Any]] | None = None
    mode: str = Mode.HARVEST
    stale_for_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class NewConnector:
    """A connector to keep. Settings hold secrets, and are never shown by `repr`."""

    organization_id: str
    kind: str
    name: str
    zone: str
    settings: Mapping[str, Any] = field(repr=False)
    feeds: Sequence[NewFeed] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A connector with what it feeds, by dataset."""

    entry: ConnectorEntry
    feeds: tuple[Feed, ...]

    def feed(self, dataset_id: str | None) -> Feed:
        """The feed of a dataset; of the only one where none is named. Raises `FeedNotFound`."""
        found = [each for each in self.feeds if dataset_id in (None, each.dataset_id)]
        if len(found) != 1:
            known = ", ".join(each.dataset_id for each in self.feeds) or "-"
            raise FeedNotFound(id=self.entry.id, known=known)
        return found[0]


async def add(
    session: AsyncSession, sealer: Sealer, kinds: Kinds, means: Means, new: NewConnector, *, by: str,
    via: str | None = None,
) -> Kept:  # fmt: skip
    """Keep a connector. Whoever calls has judged that its datasets are the organisation's.

    `via`: the client by which a person does it.

    Raises `ConnectorInvalid`, `KindUnknown`, and what the kind says of its settings.
    """
    settings = await _checked(kinds, new.kind, new.settings, means)
    now = clock.now()
    entry = ConnectorEntry(
        id=uuid4(), organization_id=new.organization_id, kind=new.kind, name=new.name,
        zone=new.zone, paused=new.paused, created_at=now, created_by=by, changed_at=now,
        set_by=by, set_via=via,
    )  # fmt: skip
    _seal(entry, sealer, settings)
    session.add(entry)
    await session.flush()
    feeds = await _feed(session, kinds, entry, new.feeds)
    await _note(session, Event.CONNECTOR_ADDED, entry, feeds, by)
    return Kept(entry, feeds)


async def change(  # noqa: PLR0913 - what a connector is made with, and who says so
    session: AsyncSession, sealer: Sealer, kinds: Kinds, means: Means, kept: Kept,
    changes: Mapping[str, Any], *, by: str, via: str | None = None,
) -> Kept:  # fmt: skip
    """Change name, settings, feeds, or whether it rests.

    Settings are given whole, secrets too: a secret never goes to another place than the one that
    it was given for. Feeds are given whole; one that stays as it was keeps what it knows.
    """
    entry = kept.entry
    if "settings" in changes:
        settings = await _checked(kinds, entry.kind, changes["settings"], means)
        _seal(entry, sealer, settings)
    entry.name = changes.get("name", entry.name)
    entry.paused = changes.get("paused", entry.paused)
    entry.changed_at = clock.now()
    if not changes.keys().isdisjoint(("settings", "feeds")):
        entry.set_by, entry.set_via = by, via
    feeds = kept.feeds
    if "feeds" in changes:
        feeds = await _feed(session, kinds, entry, changes["feeds"])
    if "settings" in changes:
        for each in feeds:  # another place proves nothing of what we have
            each.validators = each.version_number = None
    await session.flush()
    await _note(session, Event.CONNECTOR_CHANGED, entry, feeds, by, changed=sorted(changes))
    return Kept(entry, feeds)


async def remove(session: AsyncSession, kept: Kept, *, by: str) -> None:
    """Forget a connector, its secrets and its history; what it has loaded stays."""
    # Rows before the log, as whoever writes for a stream locks them: each would wait for the other.
    await session.execute(delete(ConnectorEntry).where(ConnectorEntry.id == kept.entry.id))
    await _note(session, Event.CONNECTOR_REMOVED, kept.entry, kept.feeds, by)


async def get(
    session: AsyncSession, connector_id: UUID, organization_id: str, *, lock: bool = False
) -> Kept:
    """A connector of an organisation. Raises `ConnectorNotFound`."""
    entry = await session.get(ConnectorEntry, connector_id, with_for_update=lock or None)
    if entry is None or entry.organization_id != organization_id:
        raise ConnectorNotFound(id=connector_id)
    return await kept(session, entry)


async def kept(session: AsyncSession, entry: ConnectorEntry) -> Kept:
    """The connector with its feeds."""
    its = select(Feed).where(Feed.connector_id == entry.id).order_by(Feed.dataset_id)
    return Kept(entry, tuple(await session.scalars(its)))


async def list_connectors(
    session: AsyncSession,
    organization_id: str | None,
    *,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Kept]:
    """Connectors of an organisation by id; of all, for the operator's shell."""
    statement = select(ConnectorEntry).order_by(ConnectorEntry.id).limit(limit)
    if organization_id is not None:
        statement = statement.where(ConnectorEntry.organization_id == organization_id)
    if after is not None:
        statement = statement.where(ConnectorEntry.id > after)
    return [await kept(session, entry) for entry in await session.scalars(statement)]


async def open_connector(
    entry: ConnectorEntry, sealer: Sealer, kinds: Kinds, means: Means
) -> AnyConnector:
    """The connector itself, with its secrets. Raises `KindUnknown`, `ConnectorInvalid` where the
    kind has changed since, and what the kind says of its settings."""
    secrets = {}
    if entry.sealed is not None:
        secrets = orjson.loads(sealer.unseal(entry.sealed, about=_place(entry.id)))
    kind = kinds.get(entry.kind)
    try:
        made = opened(kind, joined(entry.settings, secrets), means)
    except ValidationError as wrong:
        raise ConnectorInvalid(faults=_faults("/settings", wrong)) from None
    await asyncio.to_thread(made.check_settings)  # of a folder that may be slow, or a stranger's
    return made


def selection_of(kinds: Kinds, entry: ConnectorEntry, given: Mapping[str, Any]) -> Shape:
    """What a feed selects, as its kind takes it. Raises `ConnectorInvalid`."""
    try:
        return kinds.get(entry.kind).selection_shape.model_validate(dict(given))
    except ValidationError as wrong:
        raise ConnectorInvalid(faults=_faults("/selection", wrong)) from None


def check_steps(
    dataset: Dataset, steps: Sequence[Mapping[str, Any]] | None, at: str
) -> list[Fault]:
    """What is wrong with a mapping to the dataset's fields: an unknown target, for one."""
    if steps is None:
        return []
    if dataset.fields is None:
        return [Fault(at, "mapping_without_fields", "mapping には fields の宣言が必要です。",
                      "A mapping needs declared fields.")]  # fmt: skip
    _, wrong = check_mapping([Field.from_json(each) for each in dataset.fields], steps)
    return [Fault(at, each.code, each.words("ja"), each.words("en")) for each in wrong]


async def _checked(kinds: Kinds, name: str, given: Mapping[str, Any], means: Means) -> Shape:
    kind = kinds.get(name)
    try:
        made = opened(kind, given, means)
    except ValidationError as wrong:
        raise ConnectorInvalid(faults=_faults("/settings", wrong)) from None
    await asyncio.to_thread(made.check_settings)
    settings: Shape = made.settings
    return settings


def _seal(entry: ConnectorEntry, sealer: Sealer, settings: Shape) -> None:
    entry.settings, secrets = parted(settings)
    entry.sealed = None
    if secrets:
        entry.sealed = sealer.seal(orjson.dumps(secrets), about=_place(entry.id))


def _place(connector_id: UUID) -> str:
    """What the sealed secrets of a connector are bound to."""
    return f"connector:{connector_id}"


async def _feed(
    session: AsyncSession, kinds: Kinds, entry: ConnectorEntry, wanted: Sequence[NewFeed]
) -> tuple[Feed, ...]:
    """Make the connector feed these datasets and no others."""
    its = await session.scalars(select(Feed).where(Feed.connector_id == entry.id))
    before = {each.dataset_id: each for each in its}
    faults: list[Fault] = []
    made: list[Feed] = []
    for number, new in enumerate(wanted):
        at = f"/feeds/{number}"
        wrong = await _wrong_with(session, kinds, entry, new, at)
        if new.dataset in (each.dataset_id for each in made):
            wrong.append(_fed(at))
        faults += wrong
        if not wrong:
            made.append(_with(before.pop(new.dataset, None), entry, new))
    if faults:
        raise ConnectorInvalid(faults=faults)
    for gone in before.values():
        await session.delete(gone)
    session.add_all(made)
    await session.flush()
    return tuple(sorted(made, key=lambda each: each.dataset_id))


def _with(feed: Feed | None, entry: ConnectorEntry, new: NewFeed) -> Feed:
    mapping = [dict(step) for step in new.mapping] if new.mapping is not None else None
    if feed is None:
        feed = Feed(
            dataset_id=new.dataset, connector_id=entry.id, mode=new.mode, schedule=None, failures=0
        )
    if (feed.selection, feed.mapping) != (dict(new.selection), mapping):
        feed.validators = feed.version_number = None  # they prove nothing of another selection
    if feed.mode != new.mode:
        feed.failures, feed.failed_in = 0, None  # of harvests, which say nothing of a stream
    # What is proven of the source stays so while it is asked live: harvested again it is no change.
    if (feed.schedule, feed.mode) != (new.schedule, new.mode):
        schedule = new.schedule if new.mode == Mode.HARVEST else None
        feed.next_at = next_after(schedule, clock.now()) if schedule else None
    feed.selection, feed.mapping = dict(new.selection), mapping
    feed.schedule, feed.publish, feed.mode = new.schedule, new.publish, new.mode
    feed.examples = [dict(each) for each in new.examples] if new.examples else None
    feed.stale_for_seconds = new.stale_for_seconds
    return feed


async def _wrong_with(
    session: AsyncSession, kinds: Kinds, entry: ConnectorEntry, new: NewFeed, at: str
) -> list[Fault]:
    dataset = await session.get_one(Dataset, new.dataset)
    faults = check_steps(dataset, new.mapping, f"{at}/mapping")
    faults += _wrong_mode(kinds.get(entry.kind), dataset, new, at)
    if new.mode == Mode.LIVE:
        faults += _wrong_live(dataset, new, at)
    try:
        kinds.get(entry.kind).selection_shape.model_validate(dict(new.selection))
    except ValidationError as wrong:
        faults += _faults(f"{at}/selection", wrong)
    other = await session.get(Feed, new.dataset)
    if other is not None and other.connector_id != entry.id:
        faults.append(_fed(at))
    if dataset.zone != entry.zone:
        faults.append(Fault(f"{at}/dataset", "other_zone", "データセットとコネクタのゾーンが違います。",
                            "The dataset and the connector are of different zones."))  # fmt: skip
    if dataset.data_class == DataClass.SPECIFIC_PERSONAL:
        faults.append(Fault(f"{at}/dataset", "metadata_only", "特定個人情報は取り込めません。",
                            "Specific personal information is never loaded."))  # fmt: skip
    if new.schedule is not None and next_after(new.schedule, clock.now()) is None:
        faults.append(Fault(f"{at}/schedule", "invalid_schedule",
                            "cron の5項目（分 時 日 月 曜日）で指定してください。例: 0 3 * * *",
                            "Give the five fields of cron: minute hour day month weekday."))  # fmt: skip
    return faults


def _wrong_mode(kind: type[AnyConnector], dataset: Dataset, new: NewFeed, at: str) -> list[Fault]:
    can = {mode for mode, can in _MODES.items() if getattr(kind.capabilities, can)}
    if new.mode not in can:
        known = ", ".join(sorted(can))
        return [Fault(f"{at}/mode", "mode_not_offered", f"この種別で使える mode は {known} です。",
                      f"This kind offers the modes: {known}.")]  # fmt: skip
    faults = []
    if new.mode == Mode.STREAM and new.schedule is not None:
        faults.append(Fault(f"{at}/schedule", "schedule_of_stream",
                            "stream は常時受信します。schedule を外してください。",
                            "A stream is listened to all the time: leave the schedule out."))  # fmt: skip
    is_known = dataset.fields is not None or dataset.current_version is None
    if new.mode == Mode.STREAM and is_known and not any(e.get("key") for e in dataset.fields or ()):
        faults.append(Fault(f"{at}/dataset", "dataset_has_no_key",
                            "stream にはキー項目（key）のある fields の宣言が必要です。",
                            "A stream needs declared fields, with a key among them."))  # fmt: skip
    return faults


def _wrong_live(dataset: Dataset, new: NewFeed, at: str) -> list[Fault]:
    """What keeps a source from being asked whenever the dataset is read."""
    faults = []
    if dataset.fields is None:
        faults.append(Fault(f"{at}/mode", "live_without_fields",
                            "live には、データセットの fields の宣言が必要です。",
                            "The mode live needs the dataset's declared fields."))  # fmt: skip
    if any(
        step.keys() & {"pattern", "expression"} for step in new.mapping or dataset.mapping or ()
    ):
        faults.append(Fault(f"{at}/mapping", "live_pattern",
                            "pattern と expression は収集でだけ使えます。live では連携元で値を作ってください。",
                            "Patterns and expressions are for harvests alone: have the source make it."))  # fmt: skip
    return faults


def _fed(at: str) -> Fault:
    return Fault(f"{at}/dataset", "dataset_has_source", "このデータセットには既にコネクタがあります。",
                 "The dataset is fed by a connector already.")  # fmt: skip


def _faults(at: str, wrong: ValidationError) -> list[Fault]:
    """Pydantic's findings without a value; `hide_input_in_errors` keeps it out of their text too."""
    return [
        Fault(
            "/".join([at, *(str(part).replace("~", "~0").replace("/", "~1") for part in each["loc"])]),
            each["type"], "値が正しくありません。JSON Schema（GET /v1/connector-kinds）を確認してください。",
            f"{each['msg']}. See GET /v1/connector-kinds.",
        )
        for each in wrong.errors(include_input=False, include_url=False, include_context=False)
    ]  # fmt: skip


async def _note(
    session: AsyncSession, event: Event, entry: ConnectorEntry, feeds: Sequence[Feed], by: str,
    **more: Any,
) -> None:  # fmt: skip
    await log.append(
        session, event, connector=str(entry.id), kind=entry.kind, zone=entry.zone,
        organization=entry.organization_id, datasets=[each.dataset_id for each in feeds],
        **more, by=by,
    )  # fmt: skip
