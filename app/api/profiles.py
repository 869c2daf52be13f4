"""The door to the registry of profiles: standard layouts as data, their states and their end."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from app.api.access import SCOPED_CODES, PlatformDep, Reading, Writing
from app.api.problem import problems
from app.api.profile_access import (
    LIVING_CODES,
    LivingProfile,
    PathVersion,
    RegistrarDep,
    ending_headers,
)
from app.api.profile_shapes import (
    DiffOut,
    MigrationOut,
    ProfileIn,
    ProfileOut,
    ProfilePatch,
    ProfileSummary,
    Version,
)
from app.api.shapes import LONGEST_BODY, Slug
from app.api.tagged import tagged
from app.catalogue import profile_course, profile_schema, profiles
from app.catalogue.profile_course import Course
from app.catalogue.profiles import NewProfile
from app.formats.profiles.layout_diff import as_mapping, diff
from app.models.profiles import Profile, ProfileState

router = APIRouter(prefix="/v1/profiles", tags=["Profiles"], max_body_size=LONGEST_BODY)
_OWNED = (*SCOPED_CODES, "not_the_profile_owner", "profile_invalid")
_SCHEMA: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/schema+json": {"schema": {"type": "object"}}}},
    304: {"description": "One's copy is still right"},
}


def _summary(profile: Profile) -> dict[str, Any]:
    """A stored version as the list wants it."""
    successor = {"name": profile.successor_name, "version": profile.successor_version}
    return {
        **{name: getattr(profile, name) for name in profile.__table__.columns.keys()},  # noqa: SIM118
        "state": profiles.state_of(profile),
        "owner": profile.owner_id,
        "field_count": len(profile.fields),
        "successor": successor if profile.successor_name else None,
    }


def _shown(profile: Profile) -> dict[str, Any]:
    """A stored version with its columns."""
    layout = profiles.layout_of(profile)
    return {
        **_summary(profile),
        "fields": [each.as_json() for each in layout.fields],
        "mapping": profiles.mapping_of(profile),
    }


@router.get("", response_model=list[ProfileSummary], summary="List profiles", responses=problems())
async def list_profiles(
    session: Reading,
    name: Annotated[Slug | None, Query(description="All versions of one profile")] = None,
    state: ProfileState | None = None,
) -> Any:
    """Every version of every layout, the built-in municipal standard datasets among them."""
    found = await profiles.list_profiles(session, name=name, state=state)
    return [_summary(each) for each in found]


@router.get(
    "/{name}/diff",
    response_model=DiffOut,
    summary="Compare two versions of a profile",
    responses=problems("profile_not_found"),
)
async def compare_versions(
    name: Slug,
    session: Reading,
    before: Annotated[Version, Query(alias="from")],
    after: Annotated[Version, Query(alias="to")],
) -> Any:
    """Fields added, removed and renamed; labels, types, units, code lists and duties changed."""
    return await _difference(session, (name, before), (name, after))


async def _difference(session: Reading, before: tuple[str, int], after: tuple[str, int]) -> Any:
    old = profiles.layout_of(await profiles.get(session, *before))
    new = profiles.layout_of(await profiles.get(session, *after))
    return as_mapping(diff(old, new))


@router.get(
    "/{name}/{version}",
    response_model=ProfileOut,
    summary="Show one profile version",
    responses=problems(*LIVING_CODES),
)
async def show_profile(profile: LivingProfile) -> Any:
    """The fields of a layout with labels, known spellings, units and code lists, and its rules.

    A version that is to end says so: `Deprecation` (RFC 9745), `Sunset` (RFC 8594). After its
    end the answer is 410 with a link to the migration note.
    """
    return _shown(profile)


@router.get(
    "/{name}/{version}/schema",
    summary="JSON Schema of a record",
    response_class=Response,
    responses=problems(*LIVING_CODES) | _SCHEMA,
)
async def show_schema(request: Request, profile: LivingProfile, platform: PlatformDep) -> Response:
    """JSON Schema 2020-12. Rules that it has no words for stand under `x-rules`."""
    made = profile_schema.record_schema(profiles.layout_of(profile), platform.issuer)
    headers = ending_headers(profile, platform.issuer)
    media_type = "application/schema+json"
    return tagged(request, orjson.dumps(made), media_type=media_type, headers=headers)


@router.get(
    "/{name}/{version}/migration",
    response_model=MigrationOut,
    summary="How to move on from a profile version",
    responses=problems("profile_not_found"),
)
async def show_migration(name: Slug, version: PathVersion, session: Reading) -> Any:
    """The note of whoever ended the version, the successor, and what changes. Stays after the end."""
    profile = await profiles.get(session, name, version)
    changes = None
    if profile.successor_name == name and profile.successor_version is not None:
        changes = await _difference(session, (name, version), (name, profile.successor_version))
    return {**_summary(profile), "changes": changes}


@router.post(
    "",
    response_model=ProfileOut,
    status_code=201,
    summary="Register a profile version",
    responses=problems(*_OWNED, "profile_exists"),
)
async def add_profile(body: ProfileIn, who: RegistrarDep, session: Writing) -> Any:
    """Add a layout as data: a new field of city life needs no deploy.

    The name belongs to the body that used it first; built-in names to the operator, who comes with
    admin:write.
    """
    given = body.model_dump(exclude={"fields", "rules", "mapping"})
    new = NewProfile(
        **given,
        fields=[field.model_dump() for field in body.fields],
        rules=[rule.model_dump(exclude_none=True, mode="json") for rule in body.rules],
        mapping=_steps(body),
    )
    return _shown(await profiles.add(session, new, who))


def _steps(body: ProfileIn) -> list[dict[str, Any]] | None:
    if body.mapping is None:
        return None
    return [step.model_dump(by_alias=True, exclude_unset=True) for step in body.mapping]


@router.patch(
    "/{name}/{version}",
    response_model=ProfileOut,
    summary="Publish, deprecate or end a profile version",
    responses=problems(*_OWNED, *LIVING_CODES),
)
async def change_state(
    name: Slug, version: PathVersion, body: ProfilePatch, who: RegistrarDep, session: Writing
) -> Any:
    """Only the body that registered it and the operator may. Fields and rules never change."""
    profile = await profiles.get(session, name, version)
    given = body.model_dump(exclude={"successor"})
    successor = (body.successor.name, body.successor.version) if body.successor else None
    course = Course(**given, successor=successor)
    return _shown(await profile_course.set_course(session, profile, course, who))
