"""Judges the log by the rules, each entry once: what a rule saw, what it remembers, the findings it
opens and how far it has come are one transaction. Never reads an entry twice, nor the whole log."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, literal, select
from sqlalchemy import tuple_ as tuple_of
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import reading
from app.findings import values
from app.findings.findings import Sighting, report
from app.findings.rules import RULES, DatasetNow, Hit, Key, Rule, Tally, threshold_of
from app.findings.values import Ruling
from app.kit import clock
from app.kit.db import Database
from app.models.datasets import Dataset, Version
from app.models.findings import AlertMark, AlertTally
from app.models.parties import Organization

_AT_ONCE: Final = 5_000  # entries a transaction
_MOST_SECONDS: Final = 20.0  # of one rule: the others want their turn, and it goes on next time
_REMEMBERED: Final = timedelta(days=8)  # longer than any window

Sums = dict[Key, tuple[Hit, int, int]]  # the last hit, the amount that was too much, how often


async def judge_log(database: Database, name: str) -> None:
    """Judge what was written since the last time, for some seconds at most."""
    until = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < until:
        async with database.writing() as session:
            if not await judge_some(session, RULES[name]):
                return


async def judge_some(session: AsyncSession, rule: Rule) -> bool:
    """Judge the next entries; whether there may be more. A rule that somebody else judges waits."""
    driver = await Database.driver_of(session)
    mark = await session.get(
        AlertMark, rule.name, with_for_update={"skip_locked": True}, populate_existing=True
    )
    head = await reading.head(driver)  # now that nobody else moves the mark: never behind it
    if mark is None:  # held by another worker, or a rule that is new here: it begins at the end
        begin = insert(AlertMark).values(rule=rule.name, seq=head).on_conflict_do_nothing()
        await session.execute(begin)
        return False
    ruling = await values.get(session, rule.name)
    if not ruling.enabled:
        mark.seq = head
        return False
    last = min(head, mark.seq + _AT_ONCE)
    entries = await reading.span(driver, mark.seq, last, rule.events)
    hits = [hit for _, entry in entries if (hit := rule.read(entry, ruling.values))]
    mark.seq = last
    await _judge_hits(session, ruling, hits)
    return last < head


async def _judge_hits(session: AsyncSession, ruling: Ruling, hits: list[Hit]) -> None:
    datasets = await _datasets(session, {hit.key.dataset for hit in hits})
    organizations = await _known_organizations(session, hits)
    tallies = await _load(session, ruling, {hit.key for hit in hits})
    over = _fold(ruling, hits, datasets, tallies)
    await _store(session, ruling.rule, {key: t for key, t in tallies.items() if t.is_changed})
    sightings = [
        _sighting(ruling, hit, amount, times, datasets, organizations)
        for hit, amount, times in over.values()
    ]
    await report(session, *sightings)


def _fold(
    ruling: Ruling,
    hits: Iterable[Hit],
    datasets: Mapping[str, DatasetNow],
    tallies: dict[Key, Tally],
) -> Sums:
    """Add up in the order of the log. What was too much is not counted a second time."""
    over: Sums = {}
    for hit in hits:
        dataset = datasets.get(hit.key.dataset)
        is_open = dataset is not None and dataset.data_class == "public"
        amount = hit.amount if hit.amount is not None else (dataset.rows if dataset else 0)
        tally = tallies[hit.key]
        if hit.amount == 0:
            tally.clear()
        elif amount and not (hit.amount is None and is_open):
            total = tally.add(hit.at, amount)
            if total >= threshold_of(ruling.values, dataset):
                _, _, before = over.get(hit.key, (hit, 0, 0))
                over[hit.key] = (hit, total, before + 1)
                tally.clear()
    return over


def _sighting(
    ruling: Ruling,
    hit: Hit,
    amount: int,
    times: int,
    datasets: Mapping[str, DatasetNow],
    organizations: frozenset[str],
) -> Sighting:
    rule, entry = ruling.rule, hit.facts
    dataset = datasets.get(hit.key.dataset)
    named: dict[str, Any] = {
        "client": "-", "consumer": "-", "purpose": "-",
        **{name: value for name, value in entry.items() if value is not None},
        **ruling.values,
        "code": entry.get("reason") or entry.get("code") or "-",
        "days": entry.get("days", "-"),
        "amount": amount,
        "threshold": threshold_of(ruling.values, dataset),
    }  # fmt: skip
    owner = entry.get("organization") if rule.owner == "organization" else None
    if owner not in organizations:
        owner = None
    if rule.owner == "publisher" and dataset is not None:
        owner = dataset.publisher_id
    return Sighting(
        rule=rule.name,
        subject_kind=hit.key.kind,
        subject_id=hit.key.id,
        severity=rule.sooner.get(entry.get("days", 0), rule.severity),
        ja=rule.ja.format(**named),
        en=rule.en.format(**named),
        due_in=timedelta(days=rule.due_days),
        owner_id=owner,
        dataset_id=hit.key.dataset if dataset is not None else None,
        times=times,
    )


async def _datasets(session: AsyncSession, ids: set[str]) -> dict[str, DatasetNow]:
    """The datasets with how many rows their current version has."""
    statement = (
        select(Dataset.id, Dataset.publisher_id, Dataset.data_class, Version.row_count)
        .outerjoin(
            Version,
            (Version.dataset_id == Dataset.id) & (Version.number == Dataset.current_version),
        )
        .where(Dataset.id.in_(ids))
    )
    found = await session.execute(statement)
    return {id_: DatasetNow(body, data_class, rows or 0) for id_, body, data_class, rows in found}


async def _known_organizations(session: AsyncSession, hits: Iterable[Hit]) -> frozenset[str]:
    named = {hit.facts.get("organization") for hit in hits} - {None}
    found = await session.scalars(select(Organization.id).where(Organization.id.in_(named)))
    return frozenset(found)


async def _load(session: AsyncSession, ruling: Ruling, keys: set[Key]) -> dict[Key, Tally]:
    window = ruling.values.get("window_minutes", 1)
    place = tuple_of(AlertTally.subject_kind, AlertTally.subject_id, AlertTally.dataset_id)
    kept = select(AlertTally).where(AlertTally.rule == ruling.rule.name, place.in_(list(keys)))
    found = {
        Key(each.subject_kind, each.subject_id, each.dataset_id): each.amounts
        for each in await session.scalars(kept)
    }
    return {key: Tally(found.get(key, {}), window) for key in keys}


async def _store(session: AsyncSession, rule: Rule, tallies: Mapping[Key, Tally]) -> None:
    now = clock.now()
    rows = [
        {"rule": rule.name, "subject_kind": key.kind, "subject_id": key.id,
         "dataset_id": key.dataset, "amounts": tally.stored(), "changed_at": now}
        for key, tally in sorted(tallies.items())
    ]  # fmt: skip
    if rows:
        new = insert(AlertTally)
        await session.execute(
            new.on_conflict_do_update(
                index_elements=["rule", "subject_kind", "subject_id", "dataset_id"],
                set_={"amounts": new.excluded.amounts, "changed_at": new.excluded.changed_at},
            ),
            rows,
        )
    await _forget(session, rule, now)


async def _forget(session: AsyncSession, rule: Rule, now: datetime) -> None:
    old = AlertTally.changed_at < literal(now - _REMEMBERED)
    if rule.events:
        await session.execute(delete(AlertTally).where(AlertTally.rule == rule.name, old))
