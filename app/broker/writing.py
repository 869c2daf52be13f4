"""What every write of records into a hosted version does alike; decides nothing, and logs no write."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.catalogue import editions
from app.catalogue.refusals import DatasetInvalid, LicenseMissing, NoKey
from app.kit import clock
from app.kit.errors import Fault
from app.models.datasets import DataClass, Dataset, Version, VersionState
from app.query.fields import EDGES, Field
from app.tables import write as tables
from app.tables.layout import geometry_edges, hosted_table, place_columns, table_name


async def current(session: AsyncSession, dataset_id: str) -> Version | None:
    """The version that readers get, locked; None where there is none yet."""
    found: Version | None = await session.scalar(
        select(Version)
        .join(Dataset, Dataset.id == Version.dataset_id)
        .where(Dataset.id == dataset_id, Version.number == Dataset.current_version)
        .with_for_update(of=Version)
    )
    return found


def fields_of(dataset: Dataset, version: Version | None) -> list[Field]:
    """The fields that records are checked against. Raises what keeps records out altogether."""
    if version is None and dataset.fields is None:
        raise DatasetInvalid(faults=[_no_fields()])
    if version is None and dataset.data_class == DataClass.PUBLIC and not dataset.license:
        raise LicenseMissing(dataset=dataset.id)
    declared = version.fields if version is not None else dataset.fields
    fields = [Field.from_json(each) for each in declared or ()]
    if not any(field.key for field in fields):
        raise NoKey(dataset=dataset.id)
    return fields


async def open_version(session: AsyncSession, dataset: Dataset, client: str) -> Version:
    """An empty first version, which readers get from this transaction on."""
    now = clock.now()
    highest = await session.scalar(
        select(Version.number).where(Version.dataset_id == dataset.id)
        .order_by(Version.number.desc()).limit(1)
    )  # fmt: skip
    version = Version(
        dataset_id=dataset.id,
        number=(highest or 0) + 1,
        state=VersionState.PUBLISHED,
        revision=0,
        table_name=table_name(uuid4()),
        fields=dataset.fields or [],
        row_count=0,
        created_at=now,
        changed_at=now,
        published_at=now,
        published_by=client,
    )
    fields = [Field.from_json(each) for each in version.fields]
    await tables.create_empty(session, hosted_table(version.table_name, fields))
    session.add(version)
    dataset.current_version = version.number
    dataset.announced_at = now
    await audit.append(
        session,
        Event.VERSION_PUBLISHED,
        dataset=dataset.id,
        version=version.number,
        license=dataset.license,
        by=client,
    )
    await session.flush()
    return version


def _no_fields() -> Fault:
    return Fault(
        "/fields",
        "fields_missing",
        "項目が決まっていません。ファイルを登録するか、fields を宣言してください。",
        "The fields are not known yet: load a file, or declare them.",
    )


async def store(
    session: AsyncSession,
    version: Version,
    fields: Sequence[Field],
    values: Sequence[dict[str, Any]],
) -> Sequence[tables.Outcome]:
    """Insert or replace by key, as one revision where anything differs. Keys are distinct."""
    revision = version.revision + 1
    table = hosted_table(version.table_name, fields)
    written = await tables.upsert(session, table, fields, values, revision)
    if written.has_changes:
        _advance(version, revision, added=written.added)
        _widen(version, fields, values)
        await session.flush()
        await editions.begin(session, version)
    return written.outcomes


def _advance(version: Version, revision: int, *, added: int) -> None:
    version.revision = revision
    version.row_count += added
    version.changed_at = clock.now()


def _widen(version: Version, fields: Sequence[Field], values: Sequence[dict[str, Any]]) -> None:
    """Let the extent hold the places just written."""
    edges = geometry_edges(fields)
    if edges is None:
        place = place_columns(fields)
        if place is None:
            return
        edges = (place[1], place[0], place[1], place[0])
    for edge, column, choose in zip(EDGES, edges, (min, min, max, max), strict=True):
        found = [row[column] for row in values if row.get(column) is not None]
        found += [held for held in [getattr(version, edge)] if held is not None]
        if found:
            setattr(version, edge, choose(found))


async def end(
    session: AsyncSession,
    version: Version,
    fields: Sequence[Field],
    keys: Sequence[dict[str, Any]],
) -> int:
    """End the records that have these keys (values by column), in one revision. Returns how many."""
    table = hosted_table(version.table_name, fields)
    revision = version.revision + 1
    ended = 0
    for key in keys:
        ended += await tables.delete(session, table, fields, key, revision)
    if ended:
        _advance(version, revision, added=-ended)
        await session.flush()
        await editions.begin(session, version)
    return ended
