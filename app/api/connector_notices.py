"""Who may say to a connector that its source has something new. Shows a secret once, and keeps none."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Writing
from app.api.connector_shapes import AskedIn
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, OutShape
from app.catalogue import beginnings, connectors
from app.connectors.inbox import SECRET_HEADER

router = APIRouter(prefix="/v1/connectors", tags=["Connectors"], max_body_size=LONGEST_BODY)
_MINE = (*SCOPED_CODES, "connector_not_found")


class NoticesOut(OutShape):
    """Where a source sends its notices, and by what it is known."""

    dataset_id: str
    url: str
    header: str
    secret: str


@router.post(
    "/{connector_id}/notices", status_code=201, response_model=NoticesOut,
    summary="Have a source say when to harvest",
    responses=problems(
        *_MINE, "connector_feed_not_found", "connector_feed_streams", "feed_is_live"
    ),
)  # fmt: skip
async def take_notices(
    connector_id: UUID, body: AskedIn, caller: CatalogueWriter, session: Writing,
    platform: PlatformDep,
) -> dict[str, Any]:  # fmt: skip
    """The secret is shown here alone; asked for again, the one before is good no more. Nothing of a
    notice is read: it begins one harvest, at most one a minute."""
    kept = await connectors.get(session, connector_id, caller.client.organization_id, lock=True)
    secret = await beginnings.take_notices(session, kept, body.dataset, by=caller.client.actor)
    url = f"{platform.issuer}/v1/connectors/{connector_id}/notifications"
    dataset_id = kept.feed(body.dataset).dataset_id
    return {"dataset_id": dataset_id, "url": url, "header": SECRET_HEADER, "secret": secret}


@router.delete(
    "/{connector_id}/notices", status_code=204, summary="Hear no source any more",
    responses=problems(*_MINE),
)  # fmt: skip
async def take_no_notices(connector_id: UUID, caller: CatalogueWriter, session: Writing) -> None:
    """No secret is good for a harvest of this connector any more; schedules stay."""
    kept = await connectors.get(session, connector_id, caller.client.organization_id, lock=True)
    await beginnings.take_no_notices(session, kept, by=caller.client.actor)
