"""The operator's quotas: set, taken back, and all of them as one value. Counts nothing."""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.datasets import Dataset
from app.models.parties import Client
from app.models.quotas import Quota

# Requests a minute by client and dataset; None stands for every one of them together.
Quotas = Mapping[tuple[str | None, str | None], int]


class QuotaNotFound(AppError):
    """No quota is set for the subject."""

    kind = Kind.NOT_FOUND
    code = "quota_not_found"
    ja = "その割当はありません。GET /v1/admin/quotas で一覧を確認してください。"
    en = "There is no such quota. GET /v1/admin/quotas lists them."


class QuotaSubjectUnknown(AppError):
    """The quota is for nothing, or for what does not exist."""

    kind = Kind.INVALID
    code = "quota_subject_unknown"
    ja = "割当の対象がありません。存在する client_id か dataset_id、または両方を指定してください。"
    en = "The quota is for nothing that exists. Give client_id, dataset_id or both, as registered."


async def listed(session: AsyncSession) -> Sequence[Quota]:
    """All of them, by client and dataset."""
    return (await session.scalars(select(Quota).order_by(Quota.client_id, Quota.dataset_id))).all()


async def load_quotas(session: AsyncSession) -> Quotas:
    """All of them as one value to look up in."""
    return {(q.client_id, q.dataset_id): q.requests_per_minute for q in await listed(session)}


async def put(
    session: AsyncSession,
    client_id: str | None,
    dataset_id: str | None,
    requests_per_minute: int,
    *,
    by: str,
) -> Quota:
    """Set the quota of a subject, whether or not it had one."""
    if client_id is None and dataset_id is None:
        raise QuotaSubjectUnknown
    if client_id is not None and await session.get(Client, client_id) is None:
        raise QuotaSubjectUnknown
    if dataset_id is not None and await session.get(Dataset, dataset_id) is None:
        raise QuotaSubjectUnknown
    quota = await _find(session, client_id, dataset_id)
    if quota is None:
        quota = Quota(id=uuid4(), client_id=client_id, dataset_id=dataset_id)
        session.add(quota)
    quota.requests_per_minute = requests_per_minute
    quota.set_at, quota.set_by = clock.now(), by
    await session.flush()
    await audit.append(
        session, Event.QUOTA_SET, by=by, client=client_id, dataset=dataset_id,
        requests_per_minute=requests_per_minute,
    )  # fmt: skip
    return quota


async def remove(
    session: AsyncSession, client_id: str | None, dataset_id: str | None, *, by: str
) -> None:
    """Take a quota back: what the settings say holds again."""
    quota = await _find(session, client_id, dataset_id)
    if quota is None:
        raise QuotaNotFound
    await session.delete(quota)
    await session.flush()
    await audit.append(session, Event.QUOTA_REMOVED, by=by, client=client_id, dataset=dataset_id)


async def _find(
    session: AsyncSession, client_id: str | None, dataset_id: str | None
) -> Quota | None:
    chosen = select(Quota).where(
        Quota.client_id.is_not_distinct_from(client_id),
        Quota.dataset_id.is_not_distinct_from(dataset_id),
    )
    return (await session.scalars(chosen.with_for_update())).one_or_none()
