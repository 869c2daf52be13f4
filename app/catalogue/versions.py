"""Versions: which one readers get. Earlier versions stay readable by number."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue.refusals import LicenseMissing, VersionNotFound
from app.kit import clock
from app.models.datasets import DataClass, Dataset, Version, VersionState
from app.query.fields import Field


async def get(session: AsyncSession, dataset_id: str, number: int) -> Version:
    """One version. Raises `VersionNotFound`."""
    found = await session.get(Version, (dataset_id, number))
    if found is None:
        raise VersionNotFound(dataset=dataset_id, number=number)
    return found


async def published_fields(
    session: AsyncSession, dataset_id: str, number: int
) -> tuple[Field, ...]:
    """The fields of a version that readers got. Raises `VersionNotFound`."""
    version = await get(session, dataset_id, number)
    if version.state != VersionState.PUBLISHED:
        raise VersionNotFound(dataset=dataset_id, number=number)
    return tuple(Field.from_json(each) for each in version.fields)


async def list_versions(session: AsyncSession, dataset_id: str) -> Sequence[Version]:
    """All versions of a dataset, newest first."""
    statement = select(Version).where(Version.dataset_id == dataset_id)
    return (await session.scalars(statement.order_by(Version.number.desc()))).all()


async def publish(session: AsyncSession, dataset: Dataset, version: Version, *, by: str) -> None:
    """Make a version the one readers get, in one commit: no reader sees half of it.

    Raises `LicenseMissing` for public data without a licence. An earlier version may be published
    again: that is how a publisher goes back.
    """
    if dataset.data_class == DataClass.PUBLIC and not dataset.license:
        raise LicenseMissing(dataset=dataset.id)
    now = clock.now()
    dataset.current_version = version.number
    dataset.modified_at = now
    version.state = VersionState.PUBLISHED
    version.published_at = version.published_at or now
    version.published_by = by
    await log.append(
        session, Event.VERSION_PUBLISHED, dataset=dataset.id, version=version.number, by=by
    )
