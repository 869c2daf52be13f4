"""The door to quotas: what the operator allows clients and datasets a minute. Counts nothing."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app.api.access import SCOPED_CODES, AdminReader, AdminWriter, Reading, Writing
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, OutShape, Slug, Time
from app.models.quotas import Quota
from app.parties import quotas

router = APIRouter(prefix="/v1/admin/quotas", tags=["Quotas"], max_body_size=LONGEST_BODY)
_Named = Annotated[Slug | None, Query()]


class QuotaIn(InShape):
    """For a client, for a dataset (all its callers together), or for a client on a dataset."""

    client_id: Slug | None = None
    dataset_id: Slug | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=10**6)]

    model_config = ConfigDict(
        json_schema_extra={"example": {"dataset_id": "shelters", "requests_per_minute": 1200}}
    )


class QuotaOut(OutShape):
    """A quota, and who has set it when."""

    client_id: str | None
    dataset_id: str | None
    requests_per_minute: int
    set_at: Time
    set_by: str


@router.get(
    "",
    response_model=list[QuotaOut],
    summary="List quotas",
    responses=problems(*SCOPED_CODES),
)
async def list_quotas(caller: AdminReader, session: Reading) -> Sequence[Quota]:
    """What goes before the limits of the settings."""
    return await quotas.listed(session)


@router.put(
    "",
    response_model=QuotaOut,
    summary="Set a quota",
    responses=problems(*SCOPED_CODES, "quota_subject_unknown"),
)
async def set_quota(body: QuotaIn, caller: AdminWriter, session: Writing) -> Quota:
    """In force on every replica within two seconds. A second quota of a subject replaces the first.

    A client's own quota, or its quota on a dataset, may be more than the settings give or less.
    """
    by = caller.client.actor
    return await quotas.put(session, **body.model_dump(), by=by)


@router.delete(
    "",
    status_code=204,
    summary="Take a quota back",
    responses=problems(*SCOPED_CODES, "quota_not_found"),
)
async def remove_quota(
    caller: AdminWriter, session: Writing, client_id: _Named = None, dataset_id: _Named = None
) -> None:
    """Named as it was set. What the settings say holds again."""
    await quotas.remove(session, client_id, dataset_id, by=caller.client.actor)
