"""The rule about projects: what was approved and is no longer certified or planned is a finding.

It tells of one thing once, as the rules about sources do: a finding that somebody has closed opens
again only by what ran out since, and one that nobody has closed when all is well.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.findings import values
from app.findings.findings import STANDING, Sighting, report, resolve
from app.findings.rules import Rule
from app.kit import clock
from app.kit.db import Database
from app.models.findings import Finding
from app.models.programmes import Programme, Project, ProjectState
from app.programmes.coverage import lacks_of_all
from app.programmes.gate import Lack

RULE: Final = "project_uncovered"
SUBJECT: Final = "project"
_NOTE: Final = (
    "証明書か計画がそろったか、プロジェクトが終了しました。"
    " / Certificates or plans are there again, or the project has ended."
)
_Case = tuple[Project, Programme, list[Lack]]


async def look_at_projects(database: Database) -> None:
    """Open what is found, and close what is well again."""
    async with database.writing() as session:
        ruling = await values.get(session, RULE)
        wrong = await _uncovered(session)
        told = await _told(session, wrong)
        if ruling.enabled:
            news = [
                each for each in wrong.values() if told.get(_id(each), _since(each)) <= _since(each)
            ]
            await report(session, *(_sighting(ruling.rule, each) for each in news))


async def _uncovered(session: AsyncSession) -> dict[str, _Case]:
    """Approved projects of programmes whose gate is on, with what they lack."""
    asked = (
        select(Project, Programme)
        .join(Programme, Programme.id == Project.programme_id)
        .where(
            Project.state == ProjectState.APPROVED,
            Programme.gated.is_(True),
            func.cardinality(Programme.classes) + func.cardinality(Programme.profiles) > 0,
        )
    )
    projects = [(project, programme) for project, programme in await session.execute(asked)]
    found = await lacks_of_all(session, projects)
    return {
        str(project.id): (project, programme, lacks)
        for (project, programme), lacks in zip(projects, found, strict=True)
        if lacks
    }


def _id(case: _Case) -> str:
    return str(case[0].id)


def _since(case: _Case) -> datetime:
    """Since when the newest of it is missing."""
    project, programme, lacks = case
    changed = max(project.changed_at, programme.changed_at)
    return max(each.since or changed for each in lacks)


async def _told(session: AsyncSession, wrong: Mapping[str, _Case]) -> dict[str, datetime]:
    """Until when each has been told of: what stands, until now; what is well is closed here."""
    told: dict[str, datetime] = {}
    standing = select(Finding).where(Finding.rule == RULE, Finding.state.in_(STANDING))
    for finding in await session.scalars(standing.with_for_update()):
        if finding.subject_id in wrong:
            told[finding.subject_id] = clock.now()
        else:
            await resolve(session, finding, note=_NOTE, by=f"rule:{RULE}")
    closed: Sequence[tuple[str, datetime | None]] = [
        (subject, at)
        for subject, at in await session.execute(
            select(Finding.subject_id, func.max(Finding.closed_at))
            .where(
                Finding.rule == RULE, Finding.subject_id.in_(wrong), Finding.closed_at.is_not(None)
            )
            .group_by(Finding.subject_id)
        )
    ]
    for subject, at in closed:
        if at is not None:
            told.setdefault(subject, at)
    return told


def _sighting(rule: Rule, case: _Case) -> Sighting:
    project, programme, lacks = case
    named = {
        "title": project.title, "programme": programme.title, "project": project.id,
        "count": len(lacks), "first_ja": lacks[0].fault.ja, "first_en": lacks[0].fault.en,
    }  # fmt: skip
    return Sighting(
        rule=rule.name,
        subject_kind=SUBJECT,
        subject_id=str(project.id),
        severity=rule.severity,
        ja=rule.ja.format(**named),
        en=rule.en.format(**named),
        due_in=timedelta(days=rule.due_days),
        owner_id=project.organization_id,
    )
