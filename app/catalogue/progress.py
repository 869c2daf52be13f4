"""How far an organisation has come with its first dataset. Read from what is there; keeps nothing."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import opendata
from app.kit.errors import AppError
from app.models.datasets import Dataset, DatasetState, Run, RunState


@dataclass(frozen=True, slots=True)
class Progress:
    """The dataset that has come furthest, its newest run that ended, and what readers get of it."""

    dataset_id: str | None = None
    profile: tuple[str, int] | None = None
    licensed: bool = False
    published: bool = False
    is_open: bool = False
    run_id: UUID | None = None
    version: int | None = None  # that the run made
    rejected: int = 0


async def progress_of(session: AsyncSession, organization_id: str) -> Progress:
    """The progress of an organisation; of several datasets the one that has come furthest."""
    has_run = exists().where(Run.dataset_id == Dataset.id)
    dataset = await session.scalar(
        select(Dataset)
        .where(Dataset.publisher_id == organization_id, Dataset.state == DatasetState.ACTIVE.value)
        .order_by(Dataset.current_version.is_(None), ~has_run, Dataset.created_at, Dataset.id)
        .limit(1)
    )
    if dataset is None:
        return Progress()
    run = await session.scalar(
        select(Run)
        .where(Run.dataset_id == dataset.id, Run.finished_at.is_not(None))
        .where(Run.state.in_((RunState.OK, RunState.DEGRADED)))
        .order_by(Run.created_at.desc(), Run.id)
        .limit(1)
    )
    named = dataset.profile_name and dataset.profile_version
    return Progress(
        dataset_id=dataset.id,
        profile=(dataset.profile_name or "", dataset.profile_version or 0) if named else None,
        licensed=bool(dataset.license),
        published=dataset.current_version is not None,
        is_open=await _is_open(session, dataset.id),
        run_id=run.id if run else None,
        version=run.version_number if run else None,
        rejected=run.rows_rejected if run else 0,
    )


async def _is_open(session: AsyncSession, dataset_id: str) -> bool:
    try:
        await opendata.get_open(session, dataset_id)
    except AppError:
        return False
    return True
