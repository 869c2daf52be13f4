"""The door to the change feed: who asks, from where on. What may leave is the broker's word."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.access import OptionalCaller, PlatformDep
from app.api.dataset_shapes import DatasetId
from app.api.feed_openapi import FEED_ANSWER, FEED_CODES
from app.api.problem import problems
from app.api.versions import challenged, paged
from app.broker.feed_steps import FeedAsk
from app.broker.recording import Asker
from app.kit.errors import AppError
from app.query.params import DEFAULT_LIMIT, MOST_ROWS

router = APIRouter(tags=["Records"])


@router.get(
    "/v1/datasets/{dataset_id}/changes",
    summary="Follow changes",
    responses={
        200: FEED_ANSWER,
        **problems(*FEED_CODES, "dataset_has_no_key", "cursor_expired"),
    },
    response_class=Response,
)
async def follow_changes(
    dataset_id: DatasetId,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    since: Annotated[str | None, Query(max_length=1_000, description="`next` of before")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = DEFAULT_LIMIT,
    purpose: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Begin without `since`: the records as they are, then every change, gap-free, each at least
    once, in order for each record. Keep `next` and come back with it."""
    asker = Asker(caller, purpose, request.scope["request_id"])
    try:
        page = await platform.feed.read(FeedAsk(dataset_id, since, limit, asker))
    except AppError as refusal:
        raise challenged(platform, refusal) from None
    return paged(page)
