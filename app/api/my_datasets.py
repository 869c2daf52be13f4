"""The door to one's own rights: every dataset with what the caller may do. Gives no record."""

import asyncio
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field

from app.api.access import CALLER_CODES, CallerDep, PlatformDep
from app.api.paging import Cursor, PageOut, after, page
from app.api.problem import problems
from app.api.shapes import OutShape
from app.api.tagged import tagged
from app.broker.rights import Held, Right
from app.models.datasets import DataClass
from app.models.parties import Zone
from app.policy.facts import Action

router = APIRouter(prefix="/v1/me", tags=["Datasets"])
_MOST: Final = 10_000


class RightOut(OutShape):
    """Whether an action is allowed. `purposes`: one of them is to be given; none: none is needed."""

    allowed: bool
    ground: str | None = Field(description="public, own, body or agreement")
    agreement: str | None = Field(description="null where each purpose has one of its own")
    purposes: list[str]
    code: str | None = Field(description="what refuses, as the refusal itself would say")


class MyDatasetOut(OutShape):
    """A dataset with what the caller may do."""

    id: str
    title_ja: str
    title_en: str | None
    publisher: str
    data_class: DataClass
    zone: Zone
    read: RightOut
    aggregate: RightOut
    write: RightOut

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "shelters",
                "title_ja": "指定避難所一覧",
                "title_en": "Shelters",
                "publisher": "271004-kenko",
                "data_class": "internal",
                "zone": "internet",
                "read": {
                    "allowed": True,
                    "ground": "agreement",
                    "agreement": "6e61da9b-7bd7-42f5-af16-d9962d0ff15f",
                    "purposes": ["disaster-response"],
                    "code": None,
                },
                "aggregate": {
                    "allowed": True,
                    "ground": "agreement",
                    "agreement": "6e61da9b-7bd7-42f5-af16-d9962d0ff15f",
                    "purposes": ["disaster-response"],
                    "code": None,
                },
                "write": {
                    "allowed": False,
                    "ground": None,
                    "agreement": None,
                    "purposes": [],
                    "code": "action_not_agreed",
                },
            }
        }
    )


@router.head("/datasets", include_in_schema=False)
@router.get(
    "/datasets",
    response_model=PageOut[MyDatasetOut],
    summary="List every dataset with one's own rights",
    responses=problems(*CALLER_CODES, "invalid_cursor")
    | {304: {"description": "One's copy is still right"}},
)
async def list_my_datasets(
    request: Request,
    caller: CallerDep,
    platform: PlatformDep,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="At most so many entries")] = 1_000,
    cursor: Cursor = None,
) -> Response:
    """By the rules that decide each request, now and at this listener. A token is supposed to have
    the scope of each dataset, and to be in all else like the one shown: which of them a token in
    hand may name is in its own scope."""
    found = await platform.rights.listed(caller, after=after(cursor), most=limit + 1)
    listed = page(found, limit, lambda each: each.listed.facts.id)
    return tagged(request, await asyncio.to_thread(_encoded, listed))


def _encoded(listed: dict[str, Any]) -> bytes:
    return orjson.dumps({**listed, "items": [_shown(each) for each in listed["items"]]})


def _shown(held: Held) -> dict[str, Any]:
    facts = held.listed.facts
    return {
        "id": facts.id,
        "title_ja": held.listed.title_ja,
        "title_en": held.listed.title_en,
        "publisher": facts.publisher_id,
        "data_class": facts.data_class,
        "zone": facts.zone,
        **{action.value: _right(held.rights[action]) for action in Action},
    }


def _right(right: Right) -> dict[str, Any]:
    return {
        "allowed": right.allowed,
        "ground": right.ground,
        "agreement": right.agreement_id,
        "purposes": right.purposes,
        "code": right.reason,
    }
