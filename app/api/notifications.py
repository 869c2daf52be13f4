"""The door where sources send what they have to tell. Keeps it for who listens; reads nothing of it.

Who sends proves by a secret, which the source was told and we know by its digest alone.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response

from app.api.access import PlatformDep
from app.api.limits import admit
from app.api.problem import problems
from app.api.sessions import reading_in, writing_in
from app.catalogue import streams
from app.connectors.inbox import LONGEST, SECRET_HEADER
from app.kit.errors import AppError, Kind

router = APIRouter(prefix="/v1/connectors", tags=["Connectors"], max_body_size=LONGEST)


class NotificationRefused(AppError):
    """No stream of this connector waits for who has this secret."""

    kind = Kind.UNAUTHENTICATED
    code = "notification_refused"
    ja = "通知を受け取れません。{header} の秘密が、受信中の購読のものではありません。"
    en = "No notification is taken: the secret in {header} is of no stream that listens now."

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
    """For sources that were subscribed to by us, and for nobody else. What is sent is taken in the
    order in which it came."""
    async with reading_in(request, platform) as session:
        dataset_id = await streams.find_listening(session, connector_id, secret)
    if dataset_id is None:
        await admit(platform, request.scope, None)  # so often may secrets be guessed
        raise NotificationRefused
    body = await request.body()
    async with writing_in(request, platform) as session:
        is_kept = await streams.put(session, dataset_id, body)
    if not is_kept:
        raise NotificationRefused
    return Response(status_code=204)
