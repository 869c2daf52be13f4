"""The door to needs: asked by any client, answered in public by the body in charge."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import ConfigDict, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import (
    CALLER_CODES,
    SCOPED_CODES,
    CallerDep,
    CatalogueWriter,
    PlatformDep,
    Reading,
    Writing,
)
from app.api.dataset_shapes import DatasetId, LinkOut
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Text, Time
from app.catalogue import needs
from app.catalogue.needs import NewNeed, Wanted
from app.models.needs import Need

router = APIRouter(prefix="/v1/needs", tags=["Needs"], max_body_size=LONGEST_BODY)
_Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
_ANSWER = (*SCOPED_CODES, "need_not_found", "not_the_addressee", "need_closed")


class NeedIn(InShape):
    """What is wanted, and of whom: a municipality by its code, or the publisher of a dataset.

    It is public at once: leave out names and whatever else is nobody's business.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "title": "避難所の最新の定員を知りたい",
                "text": "昨年の一覧では要配慮者用の部屋の定員が分かりません。",
                "municipality": "271004",
            }
        }
    )

    title: Name
    text: Text
    municipality: _Code | None = None
    dataset: DatasetId | None = None


class ReplyIn(InShape):
    """The body's public answer."""

    model_config = ConfigDict(json_schema_extra={"example": {"text": "来月の更新で追加します。"}})

    text: Text


class CloseIn(InShape):
    """The published dataset that answers the need."""

    model_config = ConfigDict(json_schema_extra={"example": {"dataset": "shelters"}})

    dataset: DatasetId


class ReplyOut(OutShape):
    """One public answer."""

    organization_id: str
    text: str
    replied_at: Time


class NeedOut(OutShape):
    """A need with its answers. `links` holds the dataset that closed it."""

    id: UUID
    title: str
    text: str
    municipality: str | None
    addressee: str
    dataset: str | None
    state: Literal["open", "answered", "closed"]
    asker: str
    created_at: Time
    replies: list[ReplyOut]
    closed_at: Time | None
    closed_with: str | None
    links: list[LinkOut]


@router.post(
    "",
    response_model=NeedOut,
    status_code=201,
    summary="Raise a need, or give feedback on a dataset",
    responses=problems(*CALLER_CODES, "need_unaddressed", "dataset_not_found"),
)
async def raise_need(
    body: NeedIn, caller: CallerDep, platform: PlatformDep, session: Writing
) -> Any:
    """Any client may ask. The question is public, and so is the answer."""
    new = NewNeed(body.title, body.text, body.municipality, body.dataset)
    client = caller.client
    need = await needs.raise_need(session, new, asker_id=client.organization_id, by=client.actor)
    return (await _shown(session, platform.issuer, [need]))[0]


@router.get(
    "",
    response_model=PageOut[NeedOut],
    summary="List needs",
    responses=problems("invalid_cursor", "invalid_parameter", "need_not_found"),
)
async def list_needs(
    platform: PlatformDep, session: Reading,
    municipality: Annotated[_Code | None, Query(description="Six digits")] = None,
    dataset: DatasetId | None = None,
    state: Literal["open", "answered", "closed"] | None = None,
    limit: Limit = 100, cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """What has been asked of whom and what they said to it, newest first. No token is needed."""
    wanted = Wanted(municipality, dataset, state, after_id(cursor), limit)
    found = page(await needs.list_needs(session, wanted), limit, lambda need: need.id)
    return {**found, "items": await _shown(session, platform.issuer, found["items"])}


@router.get(
    "/{need_id}",
    response_model=NeedOut,
    summary="Show one need",
    responses=problems("need_not_found"),
)
async def show_need(need_id: UUID, platform: PlatformDep, session: Reading) -> Any:
    """One need with its answers."""
    need = await needs.get(session, need_id)
    return (await _shown(session, platform.issuer, [need]))[0]


@router.post(
    "/{need_id}/reply",
    response_model=NeedOut,
    summary="Answer a need in public",
    responses=problems(*_ANSWER),
)
async def reply_to_need(
    need_id: UUID, body: ReplyIn, caller: CatalogueWriter, platform: PlatformDep, session: Writing
) -> Any:
    """A steward of the body that is addressed answers; a second thought is a second reply."""
    mine, by = caller.client.organization_id, caller.client.actor
    need = await needs.reply(session, need_id, body.text, organization_id=mine, by=by)
    return (await _shown(session, platform.issuer, [need]))[0]


@router.post(
    "/{need_id}/close",
    response_model=NeedOut,
    summary="Close a need with a dataset",
    responses=problems(*_ANSWER, "dataset_not_found", "dataset_withdrawn", "no_version_published"),
)
async def close_need(
    need_id: UUID, body: CloseIn, caller: CatalogueWriter, platform: PlatformDep, session: Writing
) -> Any:
    """The need is met by a published dataset, of whatever publisher: who asked finds it linked."""
    mine, by = caller.client.organization_id, caller.client.actor
    need = await needs.close(session, need_id, body.dataset, organization_id=mine, by=by)
    return (await _shown(session, platform.issuer, [need]))[0]


async def _shown(session: AsyncSession, issuer: str, found: Sequence[Need]) -> list[dict[str, Any]]:
    """Needs as they are shown, with their replies."""
    replies = await needs.replies_of(session, *found)
    return [
        {
            "id": each.id,
            "title": each.title,
            "text": each.text,
            "municipality": each.municipality,
            "addressee": each.addressed_id,
            "dataset": each.dataset_id,
            "state": each.state,
            "asker": each.asker_id,
            "created_at": each.created_at,
            "replies": replies[each.id],
            "closed_at": each.closed_at,
            "closed_with": each.closed_with,
            "links": _links(each, issuer),
        }
        for each in found
    ]


def _links(need: Need, issuer: str) -> list[dict[str, str]]:
    named = {
        "self": f"needs/{need.id}",
        "about": f"datasets/{need.dataset_id}" if need.dataset_id else None,
        "answer": f"datasets/{need.closed_with}" if need.closed_with else None,
    }
    return [{"rel": rel, "href": f"{issuer}/v1/{path}"} for rel, path in named.items() if path]
