"""Ready-made files: which datasets have them, which are made, missing, or no longer wanted.

It touches entries only: bytes are the store's, and who gets them is the broker's word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.formats.shelf.facts import File
from app.kit import clock
from app.models.datasets import DataClass, Dataset, DatasetState, Version, VersionState
from app.models.files import VersionFile
from app.query.fields import Field

# No copies of restricted and personal data lie about: for those the live export works.
KEPT_CLASSES: Final = (DataClass.PUBLIC, DataClass.INTERNAL)
_SUPERSEDED: Final = timedelta(days=1)  # whoever began with an old revision may end with it
_PAUSE: Final = timedelta(minutes=5)  # between two makings of a dataset that is written to
_OVERDUE: Final = timedelta(minutes=30)  # a big one takes minutes; a store that is away, for ever
_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Format:
    """One form of a file: what its name ends in, and its media type."""

    suffix: str
    media_type: str


FORMATS: Final[Mapping[str, Format]] = {
    "csv": Format(".csv", "text/csv; charset=utf-8; header=present"),
    "csv-excel": Format("-excel.csv", "text/csv; charset=utf-8; header=present"),
    "geojson": Format(".geojson", "application/geo+json"),
    "parquet": Format(".parquet", "application/vnd.apache.parquet"),
    "xlsx": Format(".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "geopackage": Format(".gpkg", "application/geopackage+sqlite3"),
    "pmtiles": Format(".pmtiles", "application/vnd.pmtiles"),
}


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of one version, or why there is none. `seen_by` are the version's columns, each with
    its visibility, as the rules judge them."""

    dataset_id: str
    title: str
    version: int
    revision: int
    format: str
    columns: tuple[str, ...]
    seen_by: tuple[tuple[str, str | None], ...]
    rows: int
    size: int
    sha256: str
    reason: str | None
    made_at: datetime

    @property
    def name(self) -> str:
        """The name under which these very bytes stay."""
        written = f"-r{self.revision}" if self.revision else ""
        return f"{self.dataset_id}-v{self.version}{written}{FORMATS[self.format].suffix}"

    @property
    def latest_name(self) -> str:
        """The name under which the dataset's latest file of this form is found."""
        return self.dataset_id + FORMATS[self.format].suffix

    @property
    def key(self) -> str:
        """Where it is in the store."""
        return store_key(self.dataset_id, self.version, self.revision, self.format)


def store_key(dataset_id: str, version: int, revision: int, form: str) -> str:
    """Where a file is in the store: of our own words only."""
    return f"{dataset_id}/v{version}/r{revision}/records{FORMATS[form].suffix}"


def why_none(data_class: str, *, aggregate_only: bool) -> str | None:
    """Why a dataset has no ready-made files at all. Here and in `_keeps_files` that is said."""
    if data_class not in KEPT_CLASSES:
        return "class_not_kept"
    return "aggregate_only" if aggregate_only else None


def has_none(dataset: Dataset) -> bool:
    """Whether no files are made of the dataset."""
    aggregate_only = dataset.suppression is not None
    return why_none(dataset.data_class, aggregate_only=aggregate_only) is not None


def _keeps_files() -> ColumnElement[bool]:
    """The same of a row."""
    return and_(Dataset.data_class.in_(KEPT_CLASSES), Dataset.suppression.is_(None))


async def load_files(session: AsyncSession, dataset_id: str) -> tuple[FileEntry, ...]:
    """All files of a dataset's published versions, newest first."""
    statement = (
        select(VersionFile, Version.fields, Dataset.title_ja)
        .join(Dataset, Dataset.id == VersionFile.dataset_id)
        .join(
            Version,
            and_(
                Version.dataset_id == VersionFile.dataset_id,
                Version.number == VersionFile.version_number,
            ),
        )
        .where(VersionFile.dataset_id == dataset_id, VersionFile.removed_at.is_(None))
        .order_by(VersionFile.version_number.desc(), VersionFile.revision.desc())
    )
    found = (await session.execute(statement)).all()
    return tuple(
        _entry(file, title, [Field.from_json(each) for each in fields])
        for file, fields, title in found
    )


async def current(
    session: AsyncSession, versions: Sequence[Version]
) -> dict[str, tuple[File, ...]]:
    """By dataset the files of these versions' present rows, as the shelf tells of them.

    One statement however many datasets.
    """
    wanted = [(each.dataset_id, each.number, each.revision) for each in versions]
    place = (VersionFile.dataset_id, VersionFile.version_number, VersionFile.revision)
    rows = await session.scalars(
        select(VersionFile).where(
            tuple_(*place).in_(wanted),
            VersionFile.removed_at.is_(None),
            VersionFile.reason.is_(None),
        )
    )
    found: dict[str, dict[str, File]] = {}
    for each in rows:
        name = each.dataset_id + FORMATS[each.format].suffix
        file = File(name, each.format, each.size or 0, each.sha256 or "")
        found.setdefault(each.dataset_id, {})[each.format] = file
    return {
        dataset_id: tuple(made[form] for form in FORMATS if form in made)
        for dataset_id, made in found.items()
    }


async def absent(session: AsyncSession, version: Version) -> tuple[tuple[str, str], ...]:
    """The formats of a version's present rows that have no file, each with the reason."""
    rows = await session.execute(
        select(VersionFile.format, VersionFile.reason).where(
            VersionFile.dataset_id == version.dataset_id,
            VersionFile.version_number == version.number,
            VersionFile.revision == version.revision,
            VersionFile.removed_at.is_(None),
        )
    )
    known = {form: reason for form, reason in rows}
    reasons = ((form, known.get(form, "being_made")) for form in FORMATS)
    return tuple((form, reason) for form, reason in reasons if reason is not None)


def _entry(file: VersionFile, title: str, fields: Sequence[Field]) -> FileEntry:
    return FileEntry(
        dataset_id=file.dataset_id,
        title=title,
        version=file.version_number,
        revision=file.revision,
        format=file.format,
        columns=tuple(file.columns),
        seen_by=tuple((f.name, f.visibility.value if f.visibility else None) for f in fields),
        rows=file.rows,
        size=file.size or 0,
        sha256=file.sha256 or "",
        reason=file.reason,
        made_at=file.made_at,
    )


async def missing(session: AsyncSession, version: Version) -> list[str]:
    """The formats of the version's present rows that are neither made nor about to be removed."""
    there = await session.scalars(
        select(VersionFile.format).where(
            VersionFile.dataset_id == version.dataset_id,
            VersionFile.version_number == version.number,
            VersionFile.revision == version.revision,
        )
    )
    made = set(there)
    return [each for each in FORMATS if each not in made]


@dataclass(frozen=True, slots=True)
class Made:
    """What came of one format: a file's size and hash, or a reason."""

    format: str
    revision: int
    columns: tuple[str, ...]
    rows: int
    size: int | None = None
    sha256: str | None = None
    reason: str | None = None


async def add(session: AsyncSession, dataset_id: str, number: int, made: Made) -> bool:
    """List a file that is whole in the store. False where its version was let go meanwhile, or the
    dataset's class no longer has files."""
    dataset = await session.get_one(Dataset, dataset_id, with_for_update={"read": True})
    version = await session.get_one(Version, (dataset_id, number), with_for_update={"read": True})
    if version.state == VersionState.DROPPED or has_none(dataset):
        return False
    statement = insert(VersionFile).values(
        dataset_id=dataset_id,
        version_number=number,
        revision=made.revision,
        format=made.format,
        columns=list(made.columns),
        rows=made.rows,
        size=made.size,
        sha256=made.sha256,
        reason=made.reason,
        made_at=clock.now(),
    )
    await session.execute(statement.on_conflict_do_nothing())
    return True


@dataclass(frozen=True, slots=True)
class Standing:
    """How many datasets wait for files of what readers get, how many of them for too long, and how
    many files could not be made."""

    waiting: int
    overdue: int
    failed: int


async def standing(session: AsyncSession) -> Standing:
    """For operators: what is still to be made, and what is given up."""
    failed = select(func.count()).where(
        VersionFile.reason == "failed", VersionFile.removed_at.is_(None)
    )
    late = Version.changed_at < clock.now() - _OVERDUE
    waiting = _incomplete().with_only_columns(func.count(), func.count().filter(late))
    return Standing(*(await session.execute(waiting)).one(), await _one(session, failed))


async def _one(session: AsyncSession, statement: Select[int]) -> int:
    return (await session.execute(statement)).scalar_one()


async def behind(session: AsyncSession) -> Sequence[tuple[str, int]]:
    """Datasets whose readers get rows without files, with the version; those just made excepted."""
    lately = exists().where(_of_version(), VersionFile.made_at > clock.now() - _PAUSE)
    found = await session.execute(_incomplete().where(~lately).limit(_AT_ONCE))
    return [(dataset_id, number) for dataset_id, number in found]


def _of_version() -> ColumnElement[bool]:
    return and_(
        VersionFile.dataset_id == Version.dataset_id, VersionFile.version_number == Version.number
    )


def _incomplete() -> Select[str, int]:
    """Datasets with the version that readers get, where a format of its rows is neither made nor
    given up."""
    made = (
        select(func.count())
        .where(_of_version(), VersionFile.revision == Version.revision)
        .scalar_subquery()
    )
    return (
        select(Dataset.id, Version.number)
        .join(
            Version,
            and_(Version.dataset_id == Dataset.id, Version.number == Dataset.current_version),
        )
        .where(
            Dataset.state == DatasetState.ACTIVE,
            _keeps_files(),
            Version.published_at.is_not(None),
            made < len(FORMATS),
        )
    )


async def end(session: AsyncSession, dataset_id: str, number: int) -> None:
    """List the files of a version no more; the tidying job removes them."""
    await session.execute(
        update(VersionFile)
        .where(VersionFile.dataset_id == dataset_id, VersionFile.version_number == number)
        .values(removed_at=clock.now())
    )


async def end_unwanted(session: AsyncSession) -> None:
    """List no more what newer revisions have taken the place of, and what no class keeps."""
    newer = aliased(VersionFile)
    taken_over = exists().where(
        newer.dataset_id == VersionFile.dataset_id,
        newer.version_number == VersionFile.version_number,
        newer.revision > VersionFile.revision,
        newer.made_at < clock.now() - _SUPERSEDED,
    )
    kept = exists().where(Dataset.id == VersionFile.dataset_id, _keeps_files())
    await session.execute(
        update(VersionFile)
        .where(VersionFile.removed_at.is_(None), or_(taken_over, ~kept))
        .values(removed_at=clock.now())
    )


async def ended(session: AsyncSession) -> Sequence[VersionFile]:
    """Files that nobody is shown any more."""
    found = await session.scalars(select(VersionFile).where(VersionFile.removed_at.is_not(None)))
    return found.all()


async def forget(session: AsyncSession, file: VersionFile) -> None:
    """Forget the entry of a file that the store no longer has."""
    await session.execute(
        delete(VersionFile).where(
            VersionFile.dataset_id == file.dataset_id,
            VersionFile.version_number == file.version_number,
            VersionFile.revision == file.revision,
            VersionFile.format == file.format,
        )
    )
