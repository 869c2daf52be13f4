"""The quality of a version as it is told: scores, the rules that failed, the mends, the trend.

What was counted is the version's; licence, links and promised frequency are the entry's as they
stand now, and the age is that of the moment. It names no cell.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue.measuring import entry_of, fields_of, recount
from app.catalogue.refusals import NoVersion, VersionNotFound
from app.formats.guidance import GUIDANCE, guidance
from app.formats.quality.measures import Measures
from app.formats.quality.score import PROMISED, WEIGHTS, Assessment, Failed, assess
from app.formats.quality.score_words import DIMENSION_WORDS, MEND_WORDS
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.datasets import DataClass, Dataset, Run, RunState, Version, VersionState
from app.models.quality import Quality
from app.query.fields import Visibility

_TOLD_TO_ALL: Final = frozenset({DataClass.PUBLIC, DataClass.INTERNAL})
_TREND: Final = 100  # versions


class QualityNotShown(AppError):
    """Figures of restricted and personal data are the publisher's own."""

    kind = Kind.FORBIDDEN
    code = "quality_not_shown"
    ja = "データセット {dataset} の品質は、提供する組織だけが閲覧できます。"
    en = "The quality of the dataset {dataset} is shown to its publisher only."


class QualityNotMeasured(AppError):
    """The version was made before versions were measured, or moments ago by writing records."""

    kind = Kind.NOT_FOUND
    code = "quality_not_measured"
    ja = "データセット {dataset} の版 {number} の品質はまだ計測中です。10分ほど後に確認してください。"
    en = "Version {number} of the dataset {dataset} is still to be measured. Ask again in ten minutes."


async def report(
    session: AsyncSession, dataset: Dataset, number: int | None, *, viewer: str | None
) -> dict[str, Any]:
    """The quality of the version that readers get, or of one by number.

    Raises `QualityNotShown`, `NoVersion`, `VersionNotFound`, `QualityNotMeasured`.
    """
    is_publisher = viewer == dataset.publisher_id
    is_told = dataset.data_class in _TOLD_TO_ALL and dataset.suppression is None
    if not is_told and not is_publisher:
        raise QualityNotShown(dataset=dataset.id)
    version = await _version(session, dataset, number, is_publisher=is_publisher)
    if not is_publisher and _is_of_people(version):
        raise QualityNotShown(dataset=dataset.id)
    kept = await session.get(Quality, (dataset.id, version.number))
    if kept is None:
        raise QualityNotMeasured(dataset=dataset.id, number=version.number)
    measures = Measures.from_json(kept.measures)
    updated_at = await _updated_at(session, version)
    age = max(clock.now() - updated_at, timedelta(0))
    found = assess(measures, fields_of(version), entry_of(dataset), age)
    labels = {field.name: field.label for field in fields_of(version)}
    return {
        "dataset": dataset.id,
        "version": version.number,
        "revision": kept.revision,
        "score": float(found.total),
        "stars": found.stars,
        "records": measures.rows,
        "updated_at": updated_at,
        "due_at": _due_at(dataset, updated_at),
        "dimensions": _dimensions(found),
        "failed": [_told(each, labels) for each in found.failed],
        "fields": _fill_rates(measures, version),
        "trend": await _trend(session, dataset.id),
    }


def _is_of_people(version: Version) -> bool:
    """Of how many people something personal is known may be told of very few."""
    return any(field.visibility is Visibility.PERSONAL for field in fields_of(version))


async def _version(
    session: AsyncSession, dataset: Dataset, number: int | None, *, is_publisher: bool
) -> Version:
    wanted = dataset.current_version if number is None else number
    if wanted is None:
        raise NoVersion(dataset=dataset.id)
    version = await session.get(Version, (dataset.id, wanted))
    if version is None or (version.state != VersionState.PUBLISHED and not is_publisher):
        raise VersionNotFound(dataset=dataset.id, number=wanted)
    return version


async def _updated_at(session: AsyncSession, version: Version) -> datetime:
    """When the data were last changed, or handed in again and found unchanged."""
    confirmed = await session.scalar(
        select(func.max(Run.finished_at)).where(
            Run.dataset_id == version.dataset_id,
            Run.version_number == version.number,
            Run.unchanged,
            Run.state.in_([RunState.OK, RunState.DEGRADED]),
        )
    )
    return max(version.changed_at, confirmed) if confirmed else version.changed_at


def _due_at(dataset: Dataset, updated_at: datetime) -> datetime | None:
    promised = PROMISED.get(dataset.update_frequency)
    return updated_at + promised if promised is not None else None


def _dimensions(found: Assessment) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label_ja": DIMENSION_WORDS[name][0],
            "label_en": DIMENSION_WORDS[name][1],
            "weight": weight,
            "score": found.scores[name],
            "points": float(found.points(name)),
        }
        for name, weight in WEIGHTS.items()
    ]


def _told(failed: Failed, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "dimension": failed.dimension,
        "code": failed.code,
        "field": failed.field,
        "rows": failed.rows,
        "first": list(failed.first),
        "mend_ja": _mend(failed, labels, "ja"),
        "mend_en": _mend(failed, labels, "en"),
    }


def _mend(failed: Failed, labels: Mapping[str, str], language: str) -> str:
    """The words of a rule of quality, or those that a rejected cell has, behind its column."""
    if failed.code in MEND_WORDS:
        ja, en = MEND_WORDS[failed.code]
        named = {"rows": failed.rows, **dict(failed.named)}
        return (en if language == "en" else ja).format(**named)
    words = guidance(failed.code, language) if failed.code in GUIDANCE else failed.code
    label = labels.get(failed.field) if failed.field is not None else None
    if label is None:
        return words
    return f"“{label}”: {words}" if language == "en" else f"「{label}」: {words}"


def _fill_rates(measures: Measures, version: Version) -> list[dict[str, Any]]:
    labels = {field.name: field.label for field in fields_of(version)}
    return [
        {
            "name": column.name,
            "label": labels[column.name],
            "filled": column.filled,
            "fill_rate": round(column.filled / measures.rows, 4) if measures.rows else 0.0,
        }
        for column in measures.columns
    ]


async def _trend(session: AsyncSession, dataset_id: str) -> list[dict[str, Any]]:
    """Every published version's score as on the day of its loading, oldest first."""
    statement = (
        select(Quality.number, Version.published_at, Quality.score)
        .join(
            Version, (Version.dataset_id == Quality.dataset_id) & (Version.number == Quality.number)
        )
        .where(Quality.dataset_id == dataset_id, Version.published_at.is_not(None))
        .order_by(Quality.number.desc())
        .limit(_TREND)
    )
    found: Sequence[Any] = (await session.execute(statement)).all()
    return [
        {"version": number, "at": at, "score": float(score)} for number, at, score in found[::-1]
    ]


async def differences(session: AsyncSession, dataset: Dataset, version: Version) -> list[str]:
    """The counts that differ from those kept, when the version is counted again: none, if right.

    Raises `QualityNotMeasured` where nothing was kept, or records were written since.
    """
    kept = await session.get(Quality, (dataset.id, version.number))
    if kept is None or kept.revision != version.revision:
        raise QualityNotMeasured(dataset=dataset.id, number=version.number)
    known = Measures.from_json(kept.measures)
    again = (await recount(session, dataset, version)).as_json()
    return sorted(name for name, value in known.as_json().items() if again[name] != value)
