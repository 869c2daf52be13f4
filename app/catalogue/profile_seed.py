"""The built-in profiles, put into the registry where they are missing; it changes none that is there."""

from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.formats.profiles.municipal import BuiltIn, built_in
from app.kit import clock
from app.models.profiles import Profile

SEED = "seed"


async def seed(session: AsyncSession) -> int:
    """Add the municipal standard open datasets that are not there yet; how many were added."""
    wanted = {(each.layout.name, each.layout.version): each for each in built_in()}
    names = tuple_(Profile.name, Profile.version)
    known = (
        await session.execute(select(Profile.name, Profile.version).where(names.in_(wanted)))
    ).all()
    missing = [each for key, each in wanted.items() if key not in {tuple(row) for row in known}]
    if not missing:
        return 0
    statement = insert(Profile).values([_row(each) for each in missing]).on_conflict_do_nothing()
    added = len((await session.execute(statement.returning(Profile.name))).all())
    if added:
        await log.append(session, Event.PROFILE_ADDED, count=added, by=SEED)
    return added


def _row(each: BuiltIn) -> dict[str, Any]:
    layout, now = each.layout, clock.now()
    return {
        "name": layout.name,
        "version": layout.version,
        "title_ja": layout.title_ja,
        "title_en": layout.title_en,
        "fields": [field.as_json() for field in layout.fields],
        "rules": [dict(rule) for rule in layout.rules],
        "edition": layout.edition,
        "source": each.source,
        "confidence": each.confidence,
        "created_at": now,
        "created_by": SEED,
        "published_at": now,
    }
