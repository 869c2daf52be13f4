"""The door to subscriptions: who wants to be told of changes, and where. Sends nothing itself."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import URL

from app.api.access import CALLER_CODES, CallerDep, PlatformDep, Reading, Writing
from app.api.dataset_shapes import DatasetId, LinkOut
from app.api.feed_openapi import FEED_CODES
from app.api.paging import Cursor, WrongCursor, after, cursor_of
from app.api.problem import language_of, problems
from app.api.sessions import writing_in
from app.api.shapes import LONGEST_BODY, InShape, OutShape, PlainText, Time
from app.api.state import Platform
from app.api.versions import challenged
from app.broker.following import edition_at
from app.broker.idempotent import find_answer, remember_answer
from app.broker.recording import Asker
from app.kit.errors import AppError, Kind
from app.models.subscriptions import Notice, Subscription
from app.policy.facts import Caller
from app.query.params import DEFAULT_LIMIT, MOST_ROWS
from app.subscriptions import notices, subscriptions
from app.subscriptions.refusals import SubscriptionOfPerson
from app.subscriptions.subscriptions import Added, NewSubscription

router = APIRouter(prefix="/v1/subscriptions", tags=["Subscriptions"], max_body_size=LONGEST_BODY)
_MINE: Final = (*CALLER_CODES, "subscription_for_clients")
_FOUND: Final = (*_MINE, "subscription_not_found")
_RIGHT: Final = (
    *dict.fromkeys((*FEED_CODES, "dataset_has_no_key")),
    "subscription_for_clients",
)
_SHOWN: Final = 20  # notices
_JSON: Final = "application/json"


class NotJson(AppError):
    """The body is of another media type."""

    kind = Kind.UNSUPPORTED
    code = "unsupported_media_type"
    ja = "Content-Type は application/json にしてください。"
    en = "Content-Type must be application/json."


def takes_json(request: Request) -> None:
    """Raises `NotJson` before the body is looked at."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise NotJson


async def client_of(caller: CallerDep) -> Caller:
    """The caller, which is a system. Raises `SubscriptionOfPerson`."""
    if caller.client.person_id is not None:
        raise SubscriptionOfPerson
    return caller


Client = Annotated[Caller, Depends(client_of)]


class SubscriptionIn(InShape):
    """Which dataset, and where notices go: https, and outside of every private network."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "dataset": "shelters",
                "url": "https://sign.example.jp/hooks/linkage",
            }
        }
    )

    dataset: DatasetId
    url: Annotated[str, Field(min_length=1, max_length=2_000), PlainText]


class SubscriptionOut(OutShape):
    """A subscription. `stopped` when the receiver answered 410 or took nothing for over 24 hours, or
    the right to it ended: `stopped_code` and `stopped_reason` say which. `failure` is of the last try,
    null where it was taken; `position` is what it was told up to."""

    id: str
    dataset: str
    url: str
    state: Literal["active", "failing", "stopped"]
    purpose: str | None
    position: str
    created_at: Time
    last_delivered_at: Time | None
    failure: str | None
    stopped_at: Time | None
    stopped_code: str | None
    stopped_reason: str | None


class SubscriptionMadeOut(SubscriptionOut):
    """A new subscription. Its `secret` signs the notices, and is shown this once."""

    secret: str


class ChangeNoticeOut(OutShape):
    """What became of one notice. `next_at`: when it is sent next, while it waits."""

    id: str
    since: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    created_at: Time
    next_at: Time | None
    ended_at: Time | None
    failure: str | None


class SubscriptionDetailOut(SubscriptionOut):
    """A subscription with its newest notices, newest first."""

    notices: list[ChangeNoticeOut]


class SubscriptionPageOut(OutShape):
    """One page of the caller's subscriptions."""

    numberReturned: int  # noqa: N815 - the interface's own name
    subscriptions: list[SubscriptionOut]
    links: list[LinkOut]


class ReplayIn(InShape):
    """From which position of the change feed on."""

    model_config = ConfigDict(json_schema_extra={"example": {"since": "WyJ2YWNjIiwxMjAxXQ"}})

    since: Annotated[str, Field(min_length=1, max_length=1_000)]


@router.get(
    "",
    response_model=SubscriptionPageOut,
    summary="List one's own subscriptions",
    responses=problems(*_MINE, "invalid_cursor"),
)
async def list_subscriptions(
    request: Request,
    response: Response,
    caller: Client,
    platform: PlatformDep,
    session: Reading,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Those of the calling client, without their secrets."""
    named = _after(cursor)
    found = await subscriptions.list_of(
        session, caller.client.client_id, after=named, most=limit + 1
    )
    page, links = found[:limit], []
    if len(found) > limit:
        here = URL(f"{platform.issuer}{router.prefix}")
        following = str(here.include_query_params(limit=limit, cursor=cursor_of(page[-1].id)))
        links.append({"rel": "next", "href": following})
        response.headers["Link"] = f'<{following}>; rel="next"'
    shown = [_shown(request, each) for each in page]
    return {"numberReturned": len(shown), "subscriptions": shown, "links": links}


@router.post(
    "",
    response_model=SubscriptionMadeOut,
    status_code=201,
    summary="Subscribe to a dataset's changes",
    responses=problems(
        *_RIGHT, "url_not_allowed", "too_many_subscriptions", "idempotency_key_reused",
        NotJson.code,
    ),
    dependencies=[Depends(takes_json)],
)  # fmt: skip
async def create_subscription(
    body: SubscriptionIn,
    request: Request,
    caller: Client,
    platform: PlatformDep,
    purpose: Annotated[str | None, Query(max_length=100)] = None,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> dict[str, Any]:
    """Notices go to `url` from now on, signed as Standard Webhooks says, in order and at least once.
    They tell a position, no record: read on from it. It needs `dataset:{id}:subscribe` and the same
    right as the change feed, which is judged anew at each notice. The secret is shown here alone."""
    position = await _begin(platform, body.dataset, Asker(caller, purpose, _id_of(request)))
    host = await subscriptions.host_of(platform.outbound, body.url)
    new = NewSubscription(
        caller.client.client_id, caller.client.organization_id, body.dataset, body.url, host,
        platform.zone, caller.bound, purpose, caller.agreement_id, position,
        edition_at(body.dataset, position),
    )  # fmt: skip
    async with writing_in(request, platform) as session:
        added = await _add(session, platform, new, idempotency_key)
    return {**_shown(request, added.subscription), "secret": added.secret}


@router.get(
    "/{subscription}",
    response_model=SubscriptionDetailOut,
    summary="Read one subscription",
    responses=problems(*_FOUND),
)
async def get_subscription(
    subscription: str, request: Request, caller: Client, session: Reading
) -> dict[str, Any]:
    """Its state, why it stopped where it has, and what became of its newest notices."""
    found = await subscriptions.get(session, subscription, caller.client.client_id)
    told = await notices.list_of(session, found.id, _SHOWN)
    language = _language_of(request)
    return {**_shown(request, found), "notices": [_noticed(each, language) for each in told]}


@router.delete(
    "/{subscription}",
    status_code=204,
    summary="End a subscription",
    responses=problems(*_FOUND),
)
async def delete_subscription(subscription: str, caller: Client, session: Writing) -> None:
    """No further notice is begun once this is answered, and none is sent again."""
    found = await subscriptions.get(session, subscription, caller.client.client_id, lock=True)
    await subscriptions.remove(session, found)


@router.post(
    "/{subscription}/replay",
    status_code=202,
    summary="Send notices again",
    responses=problems(
        *_RIGHT, "subscription_not_found", "subscription_stopped", "cursor_expired",
        "invalid_cursor", NotJson.code,
    ),
    dependencies=[Depends(takes_json)],
)  # fmt: skip
async def replay_subscription(
    subscription: str, body: ReplayIn, request: Request, caller: Client, platform: PlatformDep
) -> None:
    """All notices from a position of the change feed on, in order, with the ids they had."""
    mine = caller.client.client_id
    async with platform.database.reading() as session:
        found = await subscriptions.get(session, subscription, mine)
    asker = Asker(caller, found.purpose, _id_of(request))
    try:
        edition = await platform.following.edition_of(found.dataset_id, body.since, asker)
    except AppError as refusal:
        raise challenged(platform, refusal) from None
    async with writing_in(request, platform) as session:
        held = await subscriptions.get(session, subscription, mine, lock=True)
        await notices.replay(session, held, edition)


async def _begin(platform: Platform, dataset_id: str, asker: Asker) -> str:
    try:
        return await platform.following.begin(dataset_id, asker)
    except AppError as refusal:
        raise challenged(platform, refusal) from None


async def _add(
    session: AsyncSession, platform: Platform, new: NewSubscription, key: str | None
) -> Added:
    """The subscription; the one that was made where the same request came before."""
    await subscriptions.hold(session, new.client_id)
    before = await find_answer(session, new.client_id, key, new.digest)
    if before is not None:
        found = await subscriptions.get(session, before["subscription"], new.client_id)
        return subscriptions.shown_again(found, before["position"], platform.sealer)
    added = await subscriptions.add(session, new, sealer=platform.sealer)
    # Only which one it was: the secret is kept sealed, and in one place.
    told = {"subscription": added.subscription.id, "position": new.position}
    await remember_answer(session, new.client_id, key, new.digest, told)
    return added


def _id_of(request: Request) -> str:
    found: str = request.scope["request_id"]
    return found


def _after(cursor: str | None) -> str | None:
    named = after(cursor)
    if named is not None and not subscriptions.NAME.fullmatch(named):
        raise WrongCursor
    return named


def _language_of(request: Request) -> str:
    return language_of(request.headers.get("accept-language"))


def _failed(told: dict[str, Any] | None, language: str) -> str | None:
    return None if told is None else f"{told['code']}: {told[language]}"


def _shown(request: Request, found: Subscription) -> dict[str, Any]:
    language = _language_of(request)
    return {
        "id": found.id,
        "dataset": found.dataset_id,
        "url": found.url,
        "state": found.state,
        "purpose": found.purpose,
        "position": found.position,
        "created_at": found.created_at,
        "last_delivered_at": found.last_delivered_at,
        "failure": _failed(found.failure, language),
        "stopped_at": found.stopped_at,
        "stopped_code": found.stopped_code,
        "stopped_reason": found.stopped_en if language == "en" else found.stopped_ja,
    }


def _noticed(notice: Notice, language: str) -> dict[str, Any]:
    return {
        "id": notices.name_of(notice),
        "since": notice.since,
        "state": notice.state,
        "attempts": notice.attempts,
        "created_at": notice.created_at,
        "next_at": notice.next_at if notice.state == "waiting" else None,
        "ended_at": notice.ended_at,
        "failure": _failed(notice.failure, language),
    }
