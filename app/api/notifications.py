"""The door where sources send what they have to tell. Keeps it for who listens; reads nothing of it.

Of a dataset that is harvested the source says no more than that there is something new.

Who sends proves by a secret, which the source was told and we know by its digest alone.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response

from app.api.access import PlatformDep
from app.api.limits import admit
from app.api.problem import problems
from app.api.sessions import reading_in, writing_in
from app.catalogue import beginnings, streams
from app.connectors.inbox import LONGEST, SECRET_HEADER
from app.kit.errors import AppError, Kind

router = APIRouter(prefix="/v1/connectors", tags=["Connectors"], max_body_size=LONGEST)


class NotificationRefused(AppError):
    """Nothing of this connector waits for who has this secret."""

    kind = Kind.UNAUTHENTICATED
    code = "notification_refused"
    ja = "通知を受け取れません。{header} の秘密が、受信中の購読や収集の通知のものではありません。"
    en = (
        "No notification is taken: the secret in {header} is of no stream that listens now, and of"
        " no dataset that is harvested by notice."
    )

    def __init__(self) -> None:
        super().__init__(header=SECRET_HEADER)
        self.headers["WWW-Authenticate"] = f'Secret header="{SECRET_HEADER}"'  # RFC 9110, 15.5.2


@router.post(
    "/{connector_id}/notifications", status_code=204, summary="Notify a connector",
    responses=problems("notification_refused", "notifications_waiting"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {
                        "subscriptionId": "6562f1f0a1b2c3d4e5f60718",
                        "data": [{"id": "level:1", "type": "WaterLevelObserved", "level": 1.5}],
                    },
                }
            },
        }
    },
)  # fmt: skip
async def notify(
    connector_id: UUID, request: Request, platform: PlatformDep,
    secret: Annotated[str, Header(alias=SECRET_HEADER, max_length=200)] = "",
) -> Response:  # fmt: skip
    """For sources that were subscribed to by us, or were given a secret, and for nobody else. What
    is sent to a stream is taken in the order in which it came; else it asks for a harvest."""
    async with reading_in(request, platform) as session:
        dataset_id = await streams.find_listening(session, connector_id, secret)
        harvested = await beginnings.find_noticed(session, connector_id, secret)
        waits = harvested is not None and await beginnings.is_noticed(session, harvested)
    if harvested is not None:
        if not waits:
            async with writing_in(request, platform) as session:
                await beginnings.notice(session, connector_id, harvested)
        return Response(status_code=204)
    if dataset_id is None:
        await admit(platform, request.scope, None)  # so often may secrets be guessed
        raise NotificationRefused
    body = await request.body()
    async with writing_in(request, platform) as session:
        is_kept = await streams.put(session, dataset_id, body)
    if not is_kept:
        raise NotificationRefused
    return Response(status_code=204)
