"""The door to findings: seen and answered by whoever owns them, all of them by the operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import Reading, Writing
from app.api.dataset_shapes import DatasetId
from app.api.finding_access import (
    READING_CODES,
    FindingsReader,
    FindingsWriter,
    acting_for,
    check_operator,
    owners_for,
)
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Moment, OutShape, Slug, Text, Time
from app.findings import findings
from app.findings.findings import Wanted
from app.models.findings import Finding, FindingChange, FindingState, Severity
from app.policy.facts import Caller

router = APIRouter(prefix="/v1/findings", tags=["Findings"], max_body_size=LONGEST_BODY)
_CHANGING = (*READING_CODES, "finding_closed")
_EXAMPLE: dict[str, Any] = {"note": "利用者に確認しました。年次集計のための一括取得です。"}


class NoteIn(InShape):
    """What is said about it, if anything. Name nobody whose data it is."""

    model_config = ConfigDict(json_schema_extra={"example": {**_EXAMPLE}})

    note: Text | None = None


class ReasonIn(InShape):
    """Why nothing is to be done."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"reason": "試験用データの一括取得でした。"}}
    )

    reason: Text


class FindingPatch(InShape):
    """What is to change of who acts, and by when."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"owner": "271004-kenko", "person": None}},
    )

    owner: Slug | None = None
    person: Annotated[str, StringConstraints(max_length=80, pattern=r"^person:[!-~]+$")] | None = (
        None
    )
    due_at: Moment | None = None


class SubjectOut(OutShape):
    """What it is about."""

    kind: str
    id: str


class ChangeOut(OutShape):
    """One step: who, when, and what they said. `state` is as it was from then on."""

    at: Time
    by: str
    state: FindingState
    note: str | None


class FindingOut(OutShape):
    """A finding. `owner` must act, null: the operators; `seen` counts how often it happened."""

    id: UUID
    rule: str
    subject: SubjectOut
    dataset: str | None
    severity: Severity
    ja: str
    en: str
    owner: str | None
    person: str | None
    state: FindingState
    seen: int
    opened_at: Time
    last_seen_at: Time
    due_at: Time
    closed_at: Time | None


class FindingWithHistoryOut(FindingOut):
    """A finding with every step since it was opened."""

    history: list[ChangeOut]


@dataclass(frozen=True, slots=True)
class _Filter:
    """What a list of findings is cut down to."""

    state: FindingState | None
    rule: str | None
    dataset: str | None
    overdue: bool


def _filter(
    state: FindingState | None = None,
    rule: Annotated[str | None, Query(max_length=63, pattern="^[a-z_]+$")] = None,
    dataset: DatasetId | None = None,
    overdue: Annotated[bool, Query(description="Only those that stand past their time")] = False,
) -> _Filter:
    return _Filter(state, rule, dataset, overdue)


@router.get(
    "",
    response_model=PageOut[FindingOut],
    summary="List findings",
    responses=problems(*READING_CODES, "invalid_cursor"),
)
async def list_findings(
    caller: FindingsReader,
    session: Reading,
    only: Annotated[_Filter, Depends(_filter)],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Those of one's own organisation and below it, newest first; operators and auditors see all."""
    owners = await owners_for(session, caller)
    wanted = Wanted(
        owners, only.state, only.rule, only.dataset, only.overdue, after_id(cursor), limit
    )
    found = page(await findings.list_findings(session, wanted), limit, lambda each: each.id)
    return {**found, "items": [shown(each) for each in found["items"]]}


@router.get(
    "/{finding_id}",
    response_model=FindingWithHistoryOut,
    summary="Show one finding with its history",
    responses=problems(*READING_CODES),
)
async def show_finding(finding_id: UUID, caller: FindingsReader, session: Reading) -> Any:
    """What was found, what is to be done, and what has been."""
    owners = await owners_for(session, caller)
    return await _with_history(session, await findings.get(session, finding_id, owners))


@router.post(
    "/{finding_id}/acknowledge",
    response_model=FindingWithHistoryOut,
    summary="Say that somebody looks into it",
    responses=problems(*_CHANGING, "finding_acknowledged"),
)
async def acknowledge_finding(
    finding_id: UUID, body: NoteIn, caller: FindingsWriter, session: Writing
) -> Any:
    """It stands, and goes on counting, until it is resolved or dismissed; nobody is told anew.

    What goes on by agreement, as a job of the night does, is acknowledged and its `due_at` put off.
    """
    finding = await _mine(session, finding_id, caller)
    await findings.acknowledge(session, finding, note=body.note, by=caller.client.actor)
    return await _with_history(session, finding)


@router.post(
    "/{finding_id}/resolve",
    response_model=FindingWithHistoryOut,
    summary="Say that it is mended",
    responses=problems(*_CHANGING),
)
async def resolve_finding(
    finding_id: UUID, body: NoteIn, caller: FindingsWriter, session: Writing
) -> Any:
    """For good: if the same happens again, that is a new finding."""
    finding = await _mine(session, finding_id, caller)
    await findings.resolve(session, finding, note=body.note, by=caller.client.actor)
    return await _with_history(session, finding)


@router.post(
    "/{finding_id}/dismiss",
    response_model=FindingWithHistoryOut,
    summary="Say why nothing is to be done",
    responses=problems(*_CHANGING),
)
async def dismiss_finding(
    finding_id: UUID, body: ReasonIn, caller: FindingsWriter, session: Writing
) -> Any:
    """The reason stands in the history; if the same happens again, that is a new finding."""
    finding = await _mine(session, finding_id, caller)
    await findings.dismiss(session, finding, reason=body.reason, by=caller.client.actor)
    return await _with_history(session, finding)


@router.patch(
    "/{finding_id}",
    response_model=FindingWithHistoryOut,
    summary="Change who acts, or by when",
    responses=problems(*_CHANGING, "finding_invalid", "operators_only"),
)
async def change_finding(
    finding_id: UUID, body: FindingPatch, caller: FindingsWriter, session: Writing
) -> Any:
    """What is left out stays. Only operators give a finding to another organisation."""
    finding, given = await _mine(session, finding_id, caller), body.model_fields_set
    if "owner" in given and body.owner != finding.owner_id:
        check_operator(caller)
    await findings.assign(
        session, finding, by=caller.client.actor,
        owner_id=body.owner if "owner" in given else finding.owner_id,
        person_id=body.person if given & {"person", "owner"} else finding.person_id,
        due_at=body.due_at or finding.due_at,
    )  # fmt: skip
    return await _with_history(session, finding)


async def _mine(session: AsyncSession, finding_id: UUID, caller: Caller) -> Finding:
    return await findings.get(session, finding_id, await acting_for(session, caller), lock=True)


async def _with_history(session: AsyncSession, finding: Finding) -> dict[str, Any]:
    steps: Sequence[FindingChange] = await findings.history_of(session, finding)
    return {**shown(finding), "history": steps}


def shown(finding: Finding) -> dict[str, Any]:
    """A finding as it is shown."""
    return {
        "id": finding.id,
        "rule": finding.rule,
        "subject": {"kind": finding.subject_kind, "id": finding.subject_id},
        "dataset": finding.dataset_id,
        "severity": finding.severity,
        "ja": finding.ja,
        "en": finding.en,
        "owner": finding.owner_id,
        "person": finding.person_id,
        "state": finding.state,
        "seen": finding.seen,
        "opened_at": finding.opened_at,
        "last_seen_at": finding.last_seen_at,
        "due_at": finding.due_at,
        "closed_at": finding.closed_at,
    }
