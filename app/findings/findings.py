"""Findings (指摘): opened by rules, answered by whoever owns them. Never opened twice while one
stands, never changed once closed; each step is in its history and in the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import (
    Boolean,
    ColumnElement,
    case,
    func,
    literal,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.findings import deliveries
from app.findings.refusals import (
    FindingAcknowledged,
    FindingClosed,
    FindingInvalid,
    FindingNotFound,
)
from app.kit import clock
from app.kit.errors import Fault
from app.models.findings import Finding, FindingChange, FindingState, Severity
from app.models.parties import Organization, Role
from app.models.people import Person

STANDING: Final = (FindingState.OPEN.value, FindingState.ACKNOWLEDGED.value)
RANK: Final[Mapping[str, int]] = {each.value: rank for rank, each in enumerate(Severity)}
_LONGEST: Final = timedelta(days=366)
_BY_RULE: Final = "rule:"
_AT_ONCE: Final = 500  # rows a statement: it takes so many parameters
_STANDS = Finding.state.in_(STANDING)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What somebody or something saw: what about, how bad, and in words what is to be done.

    `owner_id` None: the operators must act. `times`: how often it was seen since the last look.
    """

    rule: str
    subject_kind: str
    subject_id: str
    severity: Severity
    ja: str
    en: str
    due_in: timedelta
    owner_id: str | None = None
    dataset_id: str | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which findings are listed. `owners` None: everybody's; `after`: the last of the page before."""

    owners: Sequence[str] | None
    state: str | None = None
    rule: str | None = None
    dataset_id: str | None = None
    overdue: bool = False
    after: UUID | None = None
    limit: int = 100


async def report(
    session: AsyncSession, *sightings: Sighting, is_logged: bool = True
) -> Sequence[Finding]:
    """Open a finding for each sighting, or count it on the one that stands.

    Call it at the end of a transaction: the entries of the log come last. Without `is_logged` they
    wait for `log_late`.
    """
    if not sightings:
        return []
    merged = _merged(sightings)
    news: dict[UUID, bool] = {}
    for start in range(0, len(merged), _AT_ONCE):
        news |= await _open_or_count(session, merged[start : start + _AT_ONCE], is_logged)
    found = select(Finding).where(Finding.id.in_(news)).order_by(Finding.id)
    all_of_them = (await session.scalars(found.execution_options(populate_existing=True))).all()
    opened = [finding for finding in all_of_them if news[finding.id]]
    session.add_all(
        FindingChange(
            finding_id=finding.id, at=finding.opened_at, by=f"{_BY_RULE}{finding.rule}",
            state=finding.state,
        )
        for finding in opened
    )  # fmt: skip
    await deliveries.announce(session, opened)
    if is_logged:
        await audit.append_all(session, [_opening(finding) for finding in opened])
    return all_of_them


def _merged(sightings: Sequence[Sighting]) -> list[Sighting]:
    """One a rule and subject, in an order that no two transactions can wait for each other in."""
    merged: dict[tuple[str, str, str, str], Sighting] = {}
    for seen in sightings:
        key = (seen.rule, seen.subject_kind, seen.subject_id, seen.dataset_id or "")
        before = merged.get(key)
        if before is not None:
            worst = max(before.severity, seen.severity, key=lambda each: RANK[each])
            seen = replace(seen, severity=worst, times=before.times + seen.times)  # noqa: PLW2901
        merged[key] = seen
    return [merged[key] for key in sorted(merged)]


async def _open_or_count(
    session: AsyncSession, sightings: Sequence[Sighting], is_logged: bool
) -> dict[UUID, bool]:
    """The findings, and whether each was opened now. One statement however many."""
    now = clock.now()
    new = insert(Finding).values([_row(seen, now, is_logged) for seen in sightings])
    worse = _rank(new.excluded.severity) > _rank(Finding.severity)
    statement = new.on_conflict_do_update(
        index_elements=["rule", "subject_kind", "subject_id", "dataset_id"],
        # Written out: a parameter's value is nothing that an index could be known by.
        index_where=text("state IN ('open', 'acknowledged')"),
        set_={
            "seen": Finding.seen + new.excluded.seen,
            "last_seen_at": func.greatest(Finding.last_seen_at, new.excluded.last_seen_at),
            "severity": case((worse, new.excluded.severity), else_=Finding.severity),
            "due_at": case(
                (worse, func.least(Finding.due_at, new.excluded.due_at)), else_=Finding.due_at
            ),
            "ja": new.excluded.ja,
            "en": new.excluded.en,
        },
    ).returning(Finding.id, literal_column("xmax = 0", Boolean))
    return {finding_id: is_new for finding_id, is_new in await session.execute(statement)}


def _row(seen: Sighting, now: datetime, is_logged: bool) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "rule": seen.rule,
        "subject_kind": seen.subject_kind,
        "subject_id": seen.subject_id,
        "dataset_id": seen.dataset_id,
        "severity": seen.severity.value,
        "ja": seen.ja,
        "en": seen.en,
        "owner_id": seen.owner_id,
        "state": FindingState.OPEN.value,
        "seen": seen.times,
        "opened_at": now,
        "last_seen_at": now,
        "due_at": now + seen.due_in,
        "is_logged": is_logged,
    }


def _rank(severity: Any) -> ColumnElement[int]:
    return func.array_position(literal(list(RANK)).op("::")(literal_column("text[]")), severity)


def _opening(finding: Finding) -> str:
    return audit.body_of(
        Event.FINDING_OPENED, finding=str(finding.id), rule=finding.rule,
        subject=f"{finding.subject_kind}:{finding.subject_id}", dataset=finding.dataset_id,
        severity=finding.severity, owner=finding.owner_id, opened_at=finding.opened_at,
        by=f"{_BY_RULE}{finding.rule}",
    )  # fmt: skip


async def log_late(session: AsyncSession) -> None:
    """Write the openings that the log could not take at the time."""
    late = select(Finding).where(Finding.is_logged.is_(False)).with_for_update(skip_locked=True)
    found = (await session.scalars(late)).all()
    for finding in found:
        finding.is_logged = True
    await audit.append_all(session, [_opening(finding) for finding in found])


async def get(
    session: AsyncSession, finding_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> Finding:
    """A finding of one of the owners (None: of anybody). Raises `FindingNotFound`."""
    found = await session.get(Finding, finding_id, with_for_update=lock or None)
    if found is None or (owners is not None and found.owner_id not in owners):
        raise FindingNotFound(id=finding_id)
    return found


async def history_of(session: AsyncSession, finding: Finding) -> Sequence[FindingChange]:
    """Who did what about it, oldest first."""
    steps = select(FindingChange).where(FindingChange.finding_id == finding.id)
    return (await session.scalars(steps.order_by(FindingChange.id))).all()


async def list_findings(session: AsyncSession, wanted: Wanted) -> Sequence[Finding]:
    """Findings, newest first, one more than asked. Raises `FindingNotFound` for `after`."""
    statement = select(Finding)
    if wanted.owners is not None:
        statement = statement.where(Finding.owner_id.in_(wanted.owners))
    for column, value in (
        (Finding.state, wanted.state),
        (Finding.rule, wanted.rule),
        (Finding.dataset_id, wanted.dataset_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.overdue:
        statement = statement.where(_STANDS, Finding.due_at < clock.now())
    if wanted.after is not None:
        last = await get(session, wanted.after, wanted.owners)
        place = tuple_(literal(last.opened_at), literal(last.id))
        statement = statement.where(tuple_(Finding.opened_at, Finding.id) < place)
    statement = statement.order_by(Finding.opened_at.desc(), Finding.id.desc())
    return (await session.scalars(statement.limit(wanted.limit + 1))).all()


async def acknowledge(
    session: AsyncSession, finding: Finding, *, note: str | None, by: str
) -> None:
    """Say that somebody looks into it. Raises `FindingAcknowledged`, `FindingClosed`."""
    if finding.state == FindingState.ACKNOWLEDGED:
        raise FindingAcknowledged(id=finding.id)
    await _move(session, finding, FindingState.ACKNOWLEDGED, note, by)


async def resolve(session: AsyncSession, finding: Finding, *, note: str | None, by: str) -> None:
    """Say that what was found is mended. Raises `FindingClosed`."""
    await _move(session, finding, FindingState.RESOLVED, note, by)


async def dismiss(session: AsyncSession, finding: Finding, *, reason: str, by: str) -> None:
    """Say why nothing is to be done. Raises `FindingClosed`."""
    await _move(session, finding, FindingState.DISMISSED, reason, by)


async def settle(
    session: AsyncSession, rule: str, subject_kind: str, *subject_ids: str, by: str
) -> None:
    """Resolve what stands of a rule about subjects that are well again; nothing, if nothing does."""
    its = select(Finding).where(
        _STANDS, Finding.rule == rule, Finding.subject_kind == subject_kind,
        Finding.subject_id.in_(subject_ids),
    ).order_by(Finding.id)  # fmt: skip
    for finding in (await session.scalars(its.with_for_update())).all():
        await resolve(session, finding, note=None, by=by)


async def about(session: AsyncSession, subject_kind: str, subject_id: str) -> Sequence[Finding]:
    """Every finding about a subject, the newest first."""
    its = select(Finding).where(
        Finding.subject_kind == subject_kind, Finding.subject_id == subject_id
    )
    return (await session.scalars(its.order_by(Finding.opened_at.desc(), Finding.id))).all()


async def _move(
    session: AsyncSession, finding: Finding, state: FindingState, note: str | None, by: str
) -> None:
    _check_stands(finding)
    finding.state = state.value
    if state not in STANDING:
        finding.closed_at = clock.now()
    await _step(session, finding, note, by)


async def assign(
    session: AsyncSession,
    finding: Finding,
    *,
    owner_id: str | None,
    person_id: str | None,
    due_at: datetime,
    by: str,
) -> None:
    """Say who acts, and by when. Raises `FindingClosed`, `FindingInvalid`."""
    _check_stands(finding)
    await _check_owner(session, owner_id, person_id)
    if due_at != finding.due_at and not clock.now() < due_at <= clock.now() + _LONGEST:
        raise _wrong(
            "/due_at", "due_at_out_of_range", "今から1年以内の日時を指定してください。",
            "Give a time within a year from now.",
        )  # fmt: skip
    finding.owner_id, finding.person_id, finding.due_at = owner_id, person_id, due_at
    await _step(session, finding, None, by)


def _check_stands(finding: Finding) -> None:
    if finding.state not in STANDING:
        raise FindingClosed(id=finding.id, state=finding.state)


async def _check_owner(session: AsyncSession, owner_id: str | None, person_id: str | None) -> None:
    if owner_id is not None and await session.get(Organization, owner_id) is None:
        raise _wrong(
            "/owner", "organization_unknown", "この組織はありません。",
            "There is no such organisation.",
        )  # fmt: skip
    if person_id is None:
        return
    person = await session.get(Person, person_id)
    if person is None or person.disabled_at is not None or not _acts_for(person, owner_id):
        raise _wrong(
            "/person", "person_unknown", "担当組織の有効な職員のidを指定してください。",
            "Give the id of an active member of the owner's staff.",
        )  # fmt: skip


def _acts_for(person: Person, owner_id: str | None) -> bool:
    if owner_id is None:
        return Role.OPERATOR in person.roles
    return person.organization_id == owner_id


def _wrong(pointer: str, code: str, ja: str, en: str) -> FindingInvalid:
    return FindingInvalid(faults=[Fault(pointer, code, ja, en)])


async def _step(session: AsyncSession, finding: Finding, note: str | None, by: str) -> None:
    session.add(
        FindingChange(finding_id=finding.id, at=clock.now(), by=by, state=finding.state, note=note)
    )
    await audit.append(
        session, Event.FINDING_CHANGED, finding=str(finding.id), rule=finding.rule,
        state=finding.state, owner=finding.owner_id, person=finding.person_id,
        due_at=finding.due_at, dataset=finding.dataset_id, by=by,
    )  # fmt: skip
