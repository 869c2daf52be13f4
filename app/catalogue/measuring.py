"""Counts a version once it is made and keeps the counts beside it; never keeps a restricted cell.

The same version at the same revision is counted the same whenever it is counted: what lay outside
it on that day (the version that readers had before) is remembered with the counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, func, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from app.formats.quality.measures import Measures, Previous, RejectCount
from app.formats.quality.score import Entry, assess
from app.kit import clock
from app.models.datasets import DataClass, Dataset, Reject, Run, Version, VersionState
from app.models.quality import Quality
from app.query.fields import Field, FieldType
from app.tables import measure
from app.tables.measure import FIRST

_STALE_A_PASS: Final = 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a run knows of the rows that did not get into its version."""

    run_id: UUID
    corrects_run_id: UUID | None
    rows_read: int
    rows_rejected: int
    notices: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Made:
    """A version to count, also one that is not written down yet (`number` None)."""

    dataset_id: str
    number: int | None
    table_name: str
    fields: tuple[Field, ...]
    revision: int
    run: Loaded | None

    @classmethod
    def of(cls, version: Version, run: Run | None) -> "Made":
        """A stored version, made by `run` if by any."""
        told = None
        if run is not None:
            told = Loaded(
                run.id, run.corrects_run_id, run.rows_read, run.rows_rejected, run.notices
            )
        return cls(
            dataset_id=version.dataset_id,
            number=version.number,
            table_name=version.table_name,
            fields=fields_of(version),
            revision=version.revision,
            run=told,
        )

    @property
    def source(self) -> tuple[str, Sequence[Field], int]:
        """Table, fields and revision."""
        return self.table_name, self.fields, self.revision


def entry_of(dataset: Dataset) -> Entry:
    """What the score needs of the catalogue's entry."""
    return Entry(
        license=dataset.license,
        frequency=dataset.update_frequency,
        is_public=dataset.data_class == DataClass.PUBLIC,
        is_linked=bool(dataset.profile_name or dataset.joins),
    )


async def recount(session: AsyncSession, dataset: Dataset, version: Version) -> Measures:
    """Count a stored version as it is now."""
    stored = await session.get(Quality, (version.dataset_id, version.number))
    known = Measures.from_json(stored.measures) if stored is not None else None
    run = await session.get(Run, version.run_id) if version.run_id else None
    return await count(session, dataset, Made.of(version, run), known)


async def keep(
    session: AsyncSession, dataset: Dataset, version: Version, counted: Measures
) -> Quality:
    """Keep the counts of a version, and the score that follows from them on its first day."""
    found = assess(counted, fields_of(version), entry_of(dataset), timedelta(0))
    kept = Quality(
        dataset_id=version.dataset_id,
        number=version.number,
        revision=version.revision,
        measured_at=clock.now(),
        measures=counted.as_json(),
        score=found.total,
    )
    merged = await session.merge(kept)
    await session.flush()
    return merged


async def missing(session: AsyncSession) -> list[tuple[str, int]]:
    """Some published versions that were never counted, or written to since: (dataset, number)."""
    statement = (
        select(Version.dataset_id, Version.number)
        .outerjoin(
            Quality, (Quality.dataset_id == Version.dataset_id) & (Quality.number == Version.number)
        )
        .where(
            Version.state == VersionState.PUBLISHED,
            func.coalesce(Quality.revision, -1) < Version.revision,
        )
        .order_by(Version.changed_at)
        .limit(_STALE_A_PASS)
    )
    return [(row[0], row[1]) for row in await session.execute(statement)]


async def keep_up(session: AsyncSession, dataset_id: str, number: int) -> None:
    """Count a version as it is now and keep the counts; nothing where its rows are gone by now."""
    dataset = await session.get_one(Dataset, dataset_id)
    version = await session.get_one(Version, (dataset_id, number))
    if version.state == VersionState.PUBLISHED:
        await keep(session, dataset, version, await recount(session, dataset, version))


async def count(
    session: AsyncSession, dataset: Dataset, made: Made, known: Measures | None
) -> Measures:
    """All counts of a version at its revision. `known`: what was counted of it before.

    It takes seconds where there are millions of rows, and no lock: count first, then lock.
    """
    rows, columns = await measure.count_columns(session, *made.source)
    repaired = await measure.count_repaired(session, *made.source)
    rejected = await _rejected(session, made.run)
    uncorrected, shift = await _corrected(session, made, known)
    return Measures(
        rows=rows,
        columns=columns,
        repaired=tuple((name, repaired[name]) for name in _at_fault(repaired, made, dataset)),
        rejected=rejected,
        rows_rejected=made.run.rows_rejected if made.run else 0,
        rows_doubled=sum(each.rows for each in rejected if each.code == "duplicate_key"),
        rows_uncorrected=uncorrected,
        exponents=tuple(_exponents(made.run.notices)) if made.run else (),
        previous=await _previous(session, dataset, made, known),
        run=str(made.run.run_id) if made.run else None,
        row_shift=shift,
    )


def fields_of(version: Version) -> tuple[Field, ...]:
    """The version's fields."""
    return tuple(Field.from_json(each) for each in version.fields)


def mapped_fields(dataset: Dataset) -> frozenset[str]:
    """The fields whose values the publisher's own mapping makes."""
    makes = {"pattern", "codes", "normalize"}
    return frozenset(step["to"] for step in dataset.mapping or () if makes & set(step))


def _at_fault(repaired: dict[str, int], made: Made, dataset: Dataset) -> list[str]:
    """The repaired fields where the file could have been better: yes and no have no one spelling,
    a label of a code list is as good as its code, and a mapping is the publisher's wish."""
    as_meant = mapped_fields(dataset)
    return [
        field.name
        for field in made.fields
        if field.name in repaired
        and field.name not in as_meant
        and field.type is not FieldType.BOOLEAN
        and field.code_list is None
    ]


async def _rejected(session: AsyncSession, run: Loaded | None) -> tuple[RejectCount, ...]:
    if run is None:
        return ()
    rows = func.count(func.distinct(Reject.row))
    lines = func.array_agg(
        aggregate_order_by(Reject.line, Reject.line, Reject.id), type_=ARRAY(BigInteger())
    )
    statement = (
        select(Reject.code, Reject.field, rows, lines[1:FIRST])
        .where(Reject.run_id == run.run_id)
        .group_by(Reject.code, Reject.field)
        .order_by(rows.desc(), Reject.code, Reject.field)
    )
    return tuple(
        RejectCount(code, field, wrong, tuple(first))
        for code, field, wrong, first in await session.execute(statement)
    )


def _exponents(notices: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [
        (each["details"]["label"], each["details"]["count"])
        for each in notices
        if each["code"] == "exponents_kept"
    ]


async def _corrected(session: AsyncSession, made: Made, known: Measures | None) -> tuple[int, int]:
    """Rejected rows of the corrected run that were not sent again; where its own rows begin."""
    if known is not None:
        return known.rows_uncorrected, known.row_shift
    if made.run is None or made.run.corrects_run_id is None:
        return 0, 0
    corrected = await session.get_one(Run, made.run.corrects_run_id)
    place = (made.dataset_id, corrected.version_number)
    earlier = await session.get(Quality, place)
    waiting = corrected.rows_rejected
    if earlier is not None:
        waiting += Measures.from_json(earlier.measures).rows_uncorrected
    base = await session.get_one(Version, place)
    is_there = base.state != VersionState.DROPPED
    shift = await measure.last_row(session, base.table_name) if is_there else 0
    return max(0, waiting - made.run.rows_read), shift


async def _previous(
    session: AsyncSession, dataset: Dataset, made: Made, known: Measures | None
) -> Previous | None:
    """The version that readers had before, compared by its keys."""
    if not any(field.key for field in made.fields):
        return None
    remembered = known.previous if known is not None else None
    if known is not None and remembered is None:
        return None
    before = await _before(session, made, remembered)
    if before is None:
        return remembered  # its rows are gone; what was counted on the day stays
    was = replace(
        Made.of(before, None), revision=remembered.revision if remembered else before.revision
    )
    return await _compared(session, dataset, made, was)


async def _before(session: AsyncSession, made: Made, remembered: Previous | None) -> Version | None:
    statement = select(Version).where(
        Version.dataset_id == made.dataset_id, Version.state == VersionState.PUBLISHED
    )
    if made.number is not None:
        statement = statement.where(Version.number < made.number)
    if remembered is not None:
        statement = statement.where(Version.number == remembered.number)
    found: Version | None = await session.scalar(statement.order_by(Version.number.desc()).limit(1))
    return found


async def _compared(session: AsyncSession, dataset: Dataset, made: Made, was: Made) -> Previous:
    number = was.number or 0
    names = [[each.name for each in one.fields if each.key] for one in (was, made)]
    if names[0] != names[1]:
        rows, _ = await measure.count_columns(session, was.table_name, (), was.revision)
        return Previous(number, was.revision, is_same_key=False, keys=rows, kept=0)
    keys, kept = await measure.count_keys(session, was.source, made.source)
    first: tuple[str, ...] = ()
    if kept < keys and _may_name_keys(dataset, (*was.fields, *made.fields)):
        first = await measure.first_lost(session, was.source, made.source)
    return Previous(number, was.revision, is_same_key=True, keys=keys, kept=kept, first_lost=first)


def _may_name_keys(dataset: Dataset, fields: tuple[Field, ...]) -> bool:
    """Only what everybody reads anyway is kept beside the counts."""
    return dataset.data_class == DataClass.PUBLIC and all(
        field.visibility in (None, "public") for field in fields if field.key
    )
