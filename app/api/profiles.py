"""The door to profiles: standard layouts as data."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from app.api.access import SCOPED_CODES, CatalogueWriter, Reading, Writing
from app.api.dataset_shapes import FieldIn, FieldOut
from app.api.problem import problems
from app.api.shapes import InShape, Name, OutShape, Slug, Time
from app.catalogue import profiles

router = APIRouter(prefix="/v1/profiles", tags=["Profiles"])
_Version = Annotated[int, Path(ge=1, le=10_000)]


class ProfileIn(InShape):
    """A version of a layout. Once registered it never changes."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "park",
                "version": 1,
                "title_ja": "公園",
                "fields": [{"name": "no", "label": "番号", "type": "code", "key": True}],
            }
        }
    )

    name: Slug
    version: Annotated[int, Field(ge=1, le=10_000)]
    title_ja: Name
    title_en: Name | None = None
    fields: Annotated[list[FieldIn], Field(min_length=1, max_length=1_500)]


class ProfileOut(OutShape):
    """A version of a layout."""

    name: str
    version: int
    title_ja: str
    title_en: str | None
    fields: list[FieldOut]
    created_at: Time


@router.get("", response_model=list[ProfileOut], summary="List profiles", responses=problems())
async def list_profiles(session: Reading) -> Any:
    """Every version of every layout."""
    return await profiles.list_profiles(session)


@router.get(
    "/{name}/{version}",
    response_model=ProfileOut,
    summary="Show one profile version",
    responses=problems("profile_not_found"),
)
async def show_profile(name: Slug, version: _Version, session: Reading) -> Any:
    """The fields of a layout, with Japanese labels, units and code lists."""
    return await profiles.get(session, name, version)


@router.post(
    "",
    response_model=ProfileOut,
    status_code=201,
    summary="Register a profile version",
    responses=problems(*SCOPED_CODES, "dataset_invalid", "profile_exists"),
)
async def add_profile(body: ProfileIn, caller: CatalogueWriter, session: Writing) -> Any:
    """Add a layout as data: a new field of city life needs no deploy."""
    return await profiles.add(
        session,
        name=body.name,
        version=body.version,
        titles=(body.title_ja, body.title_en),
        fields=[field.model_dump() for field in body.fields],
        by=caller.client.client_id,
    )
