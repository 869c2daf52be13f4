"""Profiles: standard layouts as data. A published version never changes."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue.fields import declare
from app.catalogue.refusals import DatasetInvalid, ProfileExists, ProfileNotFound
from app.kit import clock
from app.kit.errors import Fault
from app.models.datasets import Profile


async def add(
    session: AsyncSession,
    *,
    name: str,
    version: int,
    titles: tuple[str, str | None],
    fields: Sequence[Mapping[str, Any]],
    by: str,
) -> Profile:
    """Register one version of a layout. Raises `DatasetInvalid`, `ProfileExists`."""
    faults: list[Fault] = []
    declared = declare(fields, faults)
    if faults:
        raise DatasetInvalid(faults=faults)
    if await session.get(Profile, (name, version)) is not None:
        raise ProfileExists(name=name, version=version)
    profile = Profile(
        name=name,
        version=version,
        title_ja=titles[0],
        title_en=titles[1],
        fields=[field.as_json() for field in declared],
        created_at=clock.now(),
        created_by=by,
    )
    session.add(profile)
    await log.append(session, Event.PROFILE_ADDED, profile=f"{name}/{version}", by=by)
    return profile


async def get(session: AsyncSession, name: str, version: int) -> Profile:
    """One version of a layout. Raises `ProfileNotFound`."""
    found = await session.get(Profile, (name, version))
    if found is None:
        raise ProfileNotFound(name=name, version=version)
    return found


async def list_profiles(session: AsyncSession) -> Sequence[Profile]:
    """All versions of all layouts, by name."""
    return (await session.scalars(select(Profile).order_by(Profile.name, Profile.version))).all()
