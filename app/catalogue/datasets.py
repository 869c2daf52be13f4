"""Datasets of the catalogue: registered, changed, withdrawn, found. Never touches a record."""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue import indexing, profiles
from app.catalogue.declared import check_joins, check_subject, checked_suppression
from app.catalogue.fields import declare
from app.catalogue.profile_refusals import ProfileIsDraft, ProfileSunset
from app.catalogue.refusals import (
    DatasetExists,
    DatasetInvalid,
    DatasetNotFound,
    DatasetNotWithdrawn,
    LicenseMissing,
    ProfileNotFound,
)
from app.formats.mapping import check_mapping
from app.kit import clock
from app.kit.errors import Fault
from app.models.datasets import DataClass, Dataset, DatasetState, Version
from app.models.parties import Organization
from app.models.profiles import Profile
from app.query.fields import Field

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewDataset:
    """What a publisher says of a dataset. `fields` None: taken from the first file."""

    title_ja: str
    steward_name: str
    update_frequency: str
    id: str | None = None
    title_en: str | None = None
    title_kana: str | None = None
    description_ja: str | None = None
    description_en: str | None = None
    publisher_id: str | None = None
    steward_email: str | None = None
    data_class: str = DataClass.RESTRICTED
    zone: str = "internet"
    license: str | None = None
    legal_basis: str | None = None
    source_system: str | None = None
    themes: tuple[str, ...] = ()
    temporal_start: date | None = None
    temporal_end: date | None = None
    hidden: bool = False
    reading: Mapping[str, Any] | None = None
    retention: Mapping[str, Any] | None = None
    profile: tuple[str, int] | None = None
    fields: Sequence[Mapping[str, Any]] | None = None
    mapping: Sequence[Mapping[str, Any]] | None = None
    joins: Sequence[Mapping[str, Any]] | None = None
    suppression: Mapping[str, Any] | None = None
    subject: str | None = None


async def register(session: AsyncSession, new: NewDataset, *, by: str) -> Dataset:
    """Enter a dataset in the catalogue. Raises `DatasetInvalid` with pointers, `DatasetExists`."""
    faults: list[Fault] = []
    publisher = await session.get(Organization, new.publisher_id)
    if publisher is None:
        faults.append(_fault("/publisher", "unknown_organization", "組織が登録されていません。",
                             "The organisation is not registered."))  # fmt: skip
    dataset_id = new.id or f"ds-{secrets.token_hex(5)}"
    if not _ID.match(dataset_id):
        faults.append(_fault("/id", "invalid_id", "英小文字・数字・ハイフンで2〜63文字にしてください。",
                             "Use 2 to 63 lower-case letters, digits and hyphens."))  # fmt: skip
    fields, mapping = await _declared(session, new, faults)
    new = replace(new, mapping=mapping)
    _check_mapping(new.mapping, fields, faults)
    await _check_joins(session, new.joins or (), fields or (), faults)
    suppression = checked_suppression(new.suppression, fields or (), faults)
    check_subject(new.subject, new.data_class, fields, faults)
    _check_period(new.temporal_start, new.temporal_end, faults)
    if faults:
        raise DatasetInvalid(faults=faults)
    if await session.get(Dataset, dataset_id) is not None:
        raise DatasetExists(id=dataset_id)
    dataset = _row(replace(new, suppression=suppression), dataset_id, fields, by)
    session.add(dataset)
    await indexing.keep(session, dataset)
    await log.append(
        session, Event.DATASET_ADDED, dataset=dataset_id, data_class=dataset.data_class, by=by
    )
    return dataset


def _row(new: NewDataset, dataset_id: str, fields: tuple[Field, ...] | None, by: str) -> Dataset:
    now = clock.now()
    return Dataset(
        id=dataset_id,
        **{
            name: getattr(new, name)
            for name in (
                "title_ja", "title_en", "title_kana", "description_ja", "description_en",
                "publisher_id", "steward_name", "steward_email", "data_class", "zone", "license",
                "update_frequency", "legal_basis", "source_system", "hidden", "temporal_start",
                "temporal_end", "subject",
            )
        },
        themes=list(new.themes),
        reading=dict(new.reading) if new.reading is not None else None,
        retention=dict(new.retention) if new.retention is not None else None,
        profile_name=new.profile[0] if new.profile else None,
        profile_version=new.profile[1] if new.profile else None,
        fields=[field.as_json() for field in fields] if fields is not None else None,
        mapping=[dict(step) for step in new.mapping] if new.mapping is not None else None,
        joins=[dict(join) for join in new.joins] if new.joins is not None else None,
        suppression=dict(new.suppression) if new.suppression is not None else None,
        state=DatasetState.ACTIVE,
        created_at=now,
        created_by=by,
        modified_at=now,
    )  # fmt: skip


async def _declared(
    session: AsyncSession, new: NewDataset, faults: list[Fault]
) -> tuple[tuple[Field, ...] | None, Sequence[Mapping[str, Any]] | None]:
    """Fields and mapping: those given, or the profile's, or None to take them from the first file."""
    profile = await _profile(session, new, faults)
    if new.fields is not None:
        return declare(new.fields, faults), new.mapping
    if profile is None:
        return None, new.mapping
    mapping = new.mapping if new.mapping is not None else profiles.mapping_of(profile) or None
    return tuple(Field.from_json(each) for each in profile.fields), mapping


async def _profile(session: AsyncSession, new: NewDataset, faults: list[Fault]) -> Profile | None:
    if new.profile is None:
        return None
    try:
        return await profiles.get_usable(session, *new.profile)
    except (ProfileNotFound, ProfileSunset, ProfileIsDraft) as no:
        faults.append(Fault("/profile", no.code, no.words("ja"), no.words("en")))
        return None


def _check_mapping(
    mapping: Sequence[Mapping[str, Any]] | None,
    fields: Sequence[Field] | None,
    faults: list[Fault],
) -> None:
    if mapping is None:
        return
    if fields is None:
        faults.append(_fault("/mapping", "mapping_without_fields",
                             "mapping には profile か fields の宣言が必要です。",
                             "A mapping needs declared fields or a profile."))  # fmt: skip
        return
    _, wrong = check_mapping(fields, mapping)
    faults.extend(
        Fault("/mapping", each.code, each.words("ja"), each.words("en")) for each in wrong
    )


async def _check_joins(
    session: AsyncSession,
    joins: Sequence[Mapping[str, Any]],
    here: Sequence[Field],
    faults: list[Fault],
) -> None:
    others = [await session.get(Dataset, join["dataset"]) for join in joins]
    there = await fields_of(session, *(other for other in others if other is not None))
    check_joins(joins, here, there, faults)


def _check_period(start: date | None, end: date | None, faults: list[Fault]) -> None:
    if start is not None and end is not None and end < start:
        faults.append(_fault("/temporal_end", "date_order", "temporal_start 以後の日付にしてください。",
                             "It must not be before temporal_start."))  # fmt: skip


def _fault(pointer: str, code: str, ja: str, en: str) -> Fault:
    return Fault(pointer, code, ja, en)


async def get(session: AsyncSession, dataset_id: str, *, lock: bool = False) -> Dataset:
    """One dataset, locked for change if asked. Raises `DatasetNotFound`."""
    found = await session.get(Dataset, dataset_id, with_for_update=lock or None)
    if found is None:
        raise DatasetNotFound(id=dataset_id)
    return found


async def get_visible(session: AsyncSession, dataset_id: str, *, viewer: str | None) -> Dataset:
    """One dataset, if the viewer's organisation may know of it. Raises `DatasetNotFound`."""
    dataset = await get(session, dataset_id)
    if dataset.hidden and dataset.publisher_id != viewer:
        raise DatasetNotFound(id=dataset_id)
    return dataset


async def fields_of(session: AsyncSession, *wanted: Dataset) -> dict[str, tuple[Field, ...]]:
    """By dataset: the fields of the version that readers get, else those declared, else none.

    One statement however many datasets.
    """
    current = [(each.id, each.current_version) for each in wanted if each.current_version]
    statement = select(Version.dataset_id, Version.fields).where(
        tuple_(Version.dataset_id, Version.number).in_(current)
    )
    rows: Iterable[Any] = await session.execute(statement) if current else ()
    published = {dataset_id: fields for dataset_id, fields in rows}
    return {
        each.id: tuple(
            Field.from_json(field) for field in published.get(each.id, each.fields or [])
        )
        for each in wanted
    }


async def publishers_of(session: AsyncSession, *wanted: Dataset) -> dict[str, Organization]:
    """The publishing organisations by id. One statement however many datasets."""
    ids = {each.publisher_id for each in wanted}
    rows = await session.scalars(select(Organization).where(Organization.id.in_(ids)))
    return {each.id: each for each in rows}


# What a publisher may change of an entry; class and zone take a new dataset. Fields, mapping and
# reading say how the next file is read: what is loaded already stays as it is.
CHANGEABLE: Final = frozenset(
    {
        "title_ja", "title_en", "title_kana", "description_ja", "description_en", "steward_name",
        "steward_email", "license", "update_frequency", "legal_basis", "source_system", "themes",
        "hidden", "fields", "mapping", "reading", "retention", "temporal_start", "temporal_end",
        "joins", "suppression", "subject",
    }
)  # fmt: skip
# Whether everybody is told of it at all hangs on these: a change of them is news.
_SHOWN: Final = frozenset({"license", "hidden"})


async def change(
    session: AsyncSession, dataset_id: str, changes: Mapping[str, Any], *, by: str
) -> Dataset:
    """Change an entry's description. Raises `DatasetNotFound`; refuses what is not CHANGEABLE."""
    unknown = set(changes) - CHANGEABLE
    if unknown:
        raise DatasetInvalid(faults=[
            _fault(f"/{name}", "not_changeable", "変更できない項目です。", "That cannot be changed.")
            for name in sorted(unknown)
        ])  # fmt: skip
    dataset = await get(session, dataset_id, lock=True)
    faults: list[Fault] = []
    for name, value in changes.items():
        setattr(dataset, name, _as_fields(value, faults) if name == "fields" else value)
    if {"fields", "mapping"} & set(changes):
        declared = [Field.from_json(each) for each in dataset.fields] if dataset.fields else None
        _check_mapping(dataset.mapping, declared, faults)
    await _check_uses(session, dataset, changes, faults)
    _check_period(dataset.temporal_start, dataset.temporal_end, faults)
    if faults:
        raise DatasetInvalid(faults=faults)
    dataset.modified_at = clock.now()
    if _SHOWN & set(changes) and dataset.current_version and dataset.state == DatasetState.ACTIVE:
        dataset.announced_at = dataset.modified_at
    await indexing.keep(session, dataset)
    await log.append(
        session, Event.DATASET_CHANGED, dataset=dataset_id, changed=sorted(changes), by=by
    )
    return dataset


async def _check_uses(
    session: AsyncSession, dataset: Dataset, changes: Mapping[str, Any], faults: list[Fault]
) -> None:
    """What is declared of fields, against those that readers get."""
    here = (await fields_of(session, dataset))[dataset.id]
    if "joins" in changes:
        await _check_joins(session, dataset.joins or (), here, faults)
    if "suppression" in changes:
        dataset.suppression = checked_suppression(dataset.suppression, here, faults)
    if "subject" in changes:
        check_subject(dataset.subject, dataset.data_class, here or None, faults)


def _as_fields(
    given: Sequence[Mapping[str, Any]] | None, faults: list[Fault]
) -> list[dict[str, Any]] | None:
    """Declared fields as they are stored; the steward's word on types goes before any guess."""
    return [field.as_json() for field in declare(given, faults)] if given is not None else None


async def withdraw(session: AsyncSession, dataset_id: str, *, reason: str, by: str) -> Dataset:
    """End a dataset: readers get 410 with the reason. Rows and log stay; no other gets its id.

    Doing it again corrects the reason.
    """
    dataset = await get(session, dataset_id, lock=True)
    dataset.state = DatasetState.WITHDRAWN
    dataset.withdrawn_reason = reason
    dataset.modified_at = dataset.announced_at = clock.now()
    await log.append(session, Event.DATASET_WITHDRAWN, dataset=dataset_id, reason=reason, by=by)
    return dataset


async def reinstate(session: AsyncSession, dataset_id: str, *, reason: str, by: str) -> Dataset:
    """Give readers again what was withdrawn, by the same addresses. Raises `DatasetNotWithdrawn`."""
    dataset = await get(session, dataset_id, lock=True)
    if dataset.state != DatasetState.WITHDRAWN:
        raise DatasetNotWithdrawn(id=dataset_id)
    if dataset.data_class == DataClass.PUBLIC and dataset.current_version and not dataset.license:
        raise LicenseMissing(dataset=dataset_id)
    dataset.state = DatasetState.ACTIVE
    dataset.withdrawn_reason = None
    dataset.modified_at = dataset.announced_at = clock.now()
    await log.append(session, Event.DATASET_REINSTATED, dataset=dataset_id, reason=reason, by=by)
    return dataset
