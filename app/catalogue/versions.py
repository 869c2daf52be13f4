"""Versions: which one readers get. Earlier versions stay readable by number until let go."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue import approval, editions, indexing
from app.catalogue.refusals import (
    DatasetWithdrawn,
    LicenseMissing,
    NeverPublished,
    SchemaChangeUnconfirmed,
    SourceNotFound,
    VersionDropped,
    VersionNotFound,
)
from app.catalogue.schema_changes import Change, SchemaChange, incompatible, schema_changes
from app.jobs import queue
from app.kit import clock
from app.kit.db import Database
from app.kit.errors import Fault
from app.models.datasets import (
    DataClass,
    Dataset,
    DatasetState,
    Run,
    Upload,
    Version,
    VersionState,
)
from app.query.fields import Field

_WORDS = {
    Change.REMOVED: ("項目がなくなります。", "The field goes."),
    Change.RETYPED: ("型が {before} から {after} に変わります。", "Its type goes from {before} to {after}."),
    Change.REKEYED: ("キーかどうかが変わります。", "It joins or leaves the key."),
    Change.UNIT_CHANGED: ("単位が {before} から {after} に変わります。", "Its unit goes from {before} to {after}."),
    Change.VISIBILITY_CHANGED: ("閲覧できる範囲が変わります。", "Who may see it changes."),
}  # fmt: skip


async def get(session: AsyncSession, dataset_id: str, number: int) -> Version:
    """One version. Raises `VersionNotFound`."""
    found = await session.get(Version, (dataset_id, number))
    if found is None:
        raise VersionNotFound(dataset=dataset_id, number=number)
    return found


def check_kept(version: Version) -> None:
    """Refuse a version whose rows were let go. Raises `VersionDropped`."""
    if version.state == VersionState.DROPPED:
        dropped_at = (version.dropped_at or clock.now()).astimezone(clock.TOKYO)
        raise VersionDropped(
            dataset=version.dataset_id,
            number=version.number,
            dropped_at=dropped_at.date().isoformat(),
        )


async def published_fields(
    session: AsyncSession, dataset_id: str, number: int
) -> tuple[Field, ...]:
    """The fields of a version that readers got. Raises `VersionNotFound`."""
    version = await get(session, dataset_id, number)
    if version.published_at is None:
        raise VersionNotFound(dataset=dataset_id, number=number)
    return tuple(Field.from_json(each) for each in version.fields)


async def fields_at(session: AsyncSession, dataset_id: str, moment: datetime) -> tuple[Field, ...]:
    """The fields of the version that readers got at a moment. Raises `NothingAtThatTime`."""
    edition = await editions.at(session, dataset_id, moment)
    return await published_fields(session, dataset_id, edition.version_number)


async def list_versions(session: AsyncSession, dataset_id: str) -> Sequence[Version]:
    """All versions of a dataset, newest first."""
    statement = select(Version).where(Version.dataset_id == dataset_id)
    return (await session.scalars(statement.order_by(Version.number.desc()))).all()


async def source_of(session: AsyncSession, version: Version) -> Upload:
    """The file that a version was loaded from. Raises `VersionDropped`, `SourceNotFound`."""
    check_kept(version)
    upload = await find_source(session, version)
    if upload is None:
        raise SourceNotFound(dataset=version.dataset_id, number=version.number)
    return upload


async def find_source(session: AsyncSession, version: Version) -> Upload | None:
    """The file that a version was loaded from, if it came from one."""
    if version.run_id is None:
        return None
    run = await session.get_one(Run, version.run_id)
    return await session.get(Upload, run.upload_id)


async def publish(
    session: AsyncSession,
    dataset: Dataset,
    version: Version,
    *,
    by: str,
    via: str | None = None,
    confirmed: bool = False,
) -> None:
    """Make a version the one readers get, in one commit: no reader sees half of it.

    `via` is the client by which a person does it.

    Publishing again what readers had before is how a publisher goes back, and stands in the log as
    that. Raises `LicenseMissing` for public data without a licence, `SchemaChangeUnconfirmed` where
    readers of the present version could not read this one, `SecondPersonNeeded` where whoever
    loaded it may not publish it, `VersionDropped`, `DatasetWithdrawn`.
    """
    await session.refresh(dataset, with_for_update=True)
    await session.refresh(version, with_for_update=True)
    check_kept(version)
    _check_open_to_readers(dataset)
    loader = await approval.check(session, dataset, version, by=by, via=via or by)
    instead_of = dataset.current_version
    if not confirmed:
        await _check_schema(session, dataset, version)
    goes_back = version.published_at is not None and instead_of != version.number
    now = clock.now()
    dataset.current_version = version.number
    dataset.modified_at = dataset.announced_at = now
    version.state = VersionState.PUBLISHED
    version.published_at = version.published_at or now
    version.published_by = by
    version.released_revision = version.revision
    await session.flush()
    await editions.begin(session, version)
    await indexing.keep(session, dataset)  # its fields may have other headings
    event = Event.VERSION_ROLLED_BACK if goes_back else Event.VERSION_PUBLISHED
    await log.append(
        session, event, dataset=dataset.id, version=version.number, instead_of=instead_of,
        license=dataset.license, loaded_by=loader, by=by,
    )  # fmt: skip
    driver = await Database.driver_of(session)
    await queue.enqueue(driver, queue.FILES, dataset=dataset.id, version=version.number)


def _check_open_to_readers(dataset: Dataset) -> None:
    if dataset.state == DatasetState.WITHDRAWN:
        raise DatasetWithdrawn(id=dataset.id, reason=dataset.withdrawn_reason)
    if dataset.data_class == DataClass.PUBLIC and not dataset.license:
        raise LicenseMissing(dataset=dataset.id)


async def roll_back(session: AsyncSession, dataset: Dataset, version: Version, *, by: str) -> None:
    """Have readers get again what they had: nothing to confirm. Raises `NeverPublished` and more."""
    if version.published_at is None:
        raise NeverPublished(dataset=dataset.id, number=version.number)
    await publish(session, dataset, version, by=by, confirmed=True)


async def _check_schema(session: AsyncSession, dataset: Dataset, version: Version) -> None:
    if dataset.current_version is None:
        return
    current = await get(session, dataset.id, dataset.current_version)
    old, new = ([Field.from_json(each) for each in one.fields] for one in (current, version))
    found = incompatible(schema_changes(old, new))
    if found:
        raise SchemaChangeUnconfirmed(
            dataset=dataset.id,
            number=version.number,
            current=current.number,
            faults=[_fault(change) for change in found],
        )


def _fault(change: SchemaChange) -> Fault:
    ja, en = _WORDS[change.change]
    told = {"before": change.before or "-", "after": change.after or "-"}
    return Fault(
        f"/fields/{change.field}", change.change.value, ja.format(**told), en.format(**told)
    )
