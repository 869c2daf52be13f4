"""The rules about sources: one that has changed its shape, that fails again and again, or is overdue.

They look at what the harvests and streams have left, and tell of one thing once: a finding that somebody has
closed opens again only by what happened since, and one that nobody has closed when all is well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.findings import values
from app.findings.findings import STANDING, Sighting, report, resolve
from app.findings.rules import RULES
from app.findings.values import Ruling
from app.kit import clock
from app.kit.db import Database
from app.models.connectors import ConnectorEntry, Feed, Harvest, Stream, StreamState
from app.models.datasets import Dataset, DatasetState
from app.models.findings import Finding

NextAfter = Callable[[str, datetime], datetime | None]  # of a schedule, after a moment
ABOUT: Final = ("source_changed", "source_failing", "source_overdue")
_NOTE: Final = (
    "収集が正常に戻ったか、コネクタが停止・撤去されました。"
    " / Harvests are well again, or nobody asks for them any more."
)
_STEADY: Final = timedelta(minutes=1)
_Key = tuple[str, str, str]  # rule, connector, dataset


@dataclass(frozen=True, slots=True)
class _Case:
    """Something that is wrong with a feed, since when."""

    rule: str
    since: datetime
    named: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Fed:
    """A feed with what it hangs on, read once."""

    feed: Feed
    entry: ConnectorEntry
    publisher_id: str
    failed: Harvest | None
    stream: Stream | None


@dataclass(frozen=True, slots=True)
class _Failure:
    """How a source failed last, and how often until then, one time after the other."""

    at: datetime
    told_as: str | None
    ja: str | None
    en: str | None
    times: int


async def look_at_feeds(database: Database, next_after: NextAfter) -> None:
    """Open what is found, and close what is well again."""
    async with database.writing() as session:
        rulings = {name: await values.get(session, name) for name in ABOUT}
        wrong: dict[_Key, tuple[_Fed, _Case]] = {}
        for fed in await _suspects(session):
            for case in _cases(fed, rulings, next_after):
                wrong[case.rule, str(fed.entry.id), fed.feed.dataset_id] = (fed, case)
        told = await _told(session, wrong)
        news = [
            _sighting(rulings[case.rule], fed, case)
            for key, (fed, case) in wrong.items()
            if rulings[case.rule].enabled and told.get(key, case.since) <= case.since
        ]
        await report(session, *news)


async def _suspects(session: AsyncSession) -> Sequence[_Fed]:
    """Feeds that failed last, or that a schedule asks for."""
    found = await session.execute(
        select(Feed, ConnectorEntry, Dataset.publisher_id, Harvest, Stream)
        .join(ConnectorEntry, ConnectorEntry.id == Feed.connector_id)
        .join(Dataset, Dataset.id == Feed.dataset_id)
        .outerjoin(Harvest, and_(Harvest.id == Feed.failed_in, Feed.mode != "stream"))
        .outerjoin(Stream, and_(Stream.dataset_id == Feed.dataset_id, Feed.mode == "stream"))
        .where(
            ConnectorEntry.paused.is_(False),
            Dataset.state == DatasetState.ACTIVE,
            or_(Feed.failures > 0, Feed.schedule.is_not(None), Stream.tries > 0),
        )
    )
    return [_Fed(*row) for row in found]


def _cases(fed: _Fed, rulings: Mapping[str, Ruling], next_after: NextAfter) -> list[_Case]:
    found = []
    failure = _stream_failure(fed.stream) if fed.stream is not None else _failure(fed)
    if failure is not None:
        named = {"why_ja": failure.ja or "-", "why_en": failure.en or "-"}
        most = rulings["source_failing"].values["threshold"]
        if failure.told_as == "changed":
            found.append(_Case("source_changed", failure.at, named))
        elif failure.times >= most:
            named |= {"times": str(failure.times)}
            found.append(_Case("source_failing", failure.at, named))
    due = _due(fed, next_after, timedelta(hours=rulings["source_overdue"].values["hours"]))
    if due is not None and due < clock.now():
        good = fed.feed.good_at
        since = good.astimezone(clock.TOKYO).isoformat(timespec="minutes") if good else "-"
        found.append(_Case("source_overdue", due, {"good_at": since}))
    return found


def _failure(fed: _Fed) -> _Failure | None:
    """Of the harvests."""
    last = fed.failed
    if last is None or last.ended_at is None:
        return None
    return _Failure(
        last.ended_at, last.error_class, last.error_ja, last.error_en, fed.feed.failures
    )


def _stream_failure(its: Stream) -> _Failure | None:
    """Of a stream, unless it has gone well for a while: one that breaks off at once is not well."""
    is_well = (
        its.state == StreamState.STREAMING
        and its.since is not None
        and its.since < clock.now() - _STEADY
    )
    if is_well or its.error_at is None or its.tries == 0:
        return None
    return _Failure(its.error_at, its.error_class, its.error_ja, its.error_en, its.tries)


def _due(fed: _Fed, next_after: NextAfter, grace: timedelta) -> datetime | None:
    """When a good harvest was to have come, with some grace; None where no schedule asks for one."""
    schedule, since = fed.feed.schedule, max(fed.feed.good_at or fed.entry.changed_at,
                                             fed.entry.changed_at)  # fmt: skip
    if schedule is None or since + grace >= clock.now():
        return None
    first = next_after(schedule, since)
    return None if first is None else first + grace


async def _told(session: AsyncSession, wrong: Mapping[_Key, Any]) -> dict[_Key, datetime]:
    """Until when each of them has been told of: what stands is told of already, and what stands
    without being wrong any more is closed here."""
    told: dict[_Key, datetime] = {}
    standing = select(Finding).where(Finding.rule.in_(ABOUT), Finding.state.in_(STANDING))
    for finding in await session.scalars(standing.with_for_update()):
        key = (finding.rule, finding.subject_id, finding.dataset_id or "")
        if key in wrong:
            told[key] = clock.now()
        else:
            await resolve(session, finding, note=_NOTE, by=f"rule:{finding.rule}")
    closed = (
        select(Finding.rule, Finding.subject_id, Finding.dataset_id, func.max(Finding.closed_at))
        .where(
            Finding.rule.in_(ABOUT),
            Finding.dataset_id.in_({dataset for _, _, dataset in wrong}),
            Finding.closed_at.is_not(None),
        )
        .group_by(Finding.rule, Finding.subject_id, Finding.dataset_id)
    )
    for rule, subject, dataset, at in await session.execute(closed):
        if at is not None:
            told.setdefault((rule, subject, dataset or ""), at)
    return told


def _sighting(ruling: Ruling, fed: _Fed, case: _Case) -> Sighting:
    rule = RULES[case.rule]
    named = {
        **case.named, "connector": str(fed.entry.id), "name": fed.entry.name,
        "kind": fed.entry.kind, "dataset": fed.feed.dataset_id, **ruling.values,
    }  # fmt: skip
    return Sighting(
        rule=rule.name,
        subject_kind="connector",
        subject_id=str(fed.entry.id),
        severity=rule.severity,
        ja=rule.ja.format(**named),
        en=rule.en.format(**named),
        due_in=timedelta(days=rule.due_days),
        owner_id=fed.publisher_id,
        dataset_id=fed.feed.dataset_id,
    )
