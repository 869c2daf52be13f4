"""The door to members of staff (管理). Shows a set-up link once, and never a password."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app.api.access import (
    ADMIN_CODES,
    SCOPED_CODES,
    AdminWriter,
    Operator,
    PlatformDep,
    Reading,
    Writing,
)
from app.api.dataset_shapes import Email
from app.api.paging import Cursor, Limit, PageOut, after, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Time
from app.models.parties import Role
from app.models.people import Person
from app.parties import people
from app.signin import changes

router = APIRouter(prefix="/v1/admin/users", tags=["Users"], max_body_size=LONGEST_BODY)
Roles = Annotated[list[Role], Field(max_length=5)]


class UserIn(InShape):
    """A member of staff to be added, with a local account."""

    organization_id: Name
    name: Name
    email: Email
    roles: Roles = Field(default=[])

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "organization_id": "271004-kenko",
                "name": "架空 花子",
                "email": "hanako@city.example.jp",
                "roles": ["steward"],
            }
        }
    )


class UserOut(OutShape):
    """A member of staff as the registry knows them."""

    id: str
    organization_id: str
    name: str
    email: str
    roles: list[str]
    provider_id: str | None = Field(description="who proves them; null: a local account")
    has_password: bool
    has_second_factor: bool
    created_at: Time
    created_by: str
    disabled_at: Time | None


class LinkOut(OutShape):
    """Where the person sets their password: shown here and never again, works once."""

    url: str
    expires_at: Time


class UserWithLinkOut(OutShape):
    """The member of staff and, where they are to set a password, the link for it."""

    user: UserOut
    link: LinkOut | None


class RolesIn(InShape):
    """The roles that the member of staff is to have, and no others."""

    roles: Roles

    model_config = ConfigDict(json_schema_extra={"example": {"roles": ["steward", "auditor"]}})


class ResetIn(InShape):
    """What is taken from the member of staff."""

    password: bool = True
    second_factor: bool = False

    model_config = ConfigDict(
        json_schema_extra={"example": {"password": True, "second_factor": True}}
    )


@router.post(
    "",
    status_code=201,
    response_model=UserWithLinkOut,
    summary="Add a member of staff",
    responses=problems(
        *ADMIN_CODES,
        "person_invalid",
        "person_exists",
        "organization_not_found",
        "organization_invalid",
        "organization_closed",
    ),
)
async def add_user(
    new: UserIn, caller: AdminWriter, platform: PlatformDep, session: Writing
) -> dict[str, Any]:
    """Hand the link on by a way you trust: it sets a password once, within 24 hours."""
    told = people.NewPerson(**new.model_dump())
    person = await people.add(session, told, by=caller.client.actor)
    link = await changes.make_link(session, person, platform.issuer, by=caller.client.actor)
    return {"user": person, "link": link}


@router.get(
    "",
    response_model=PageOut[UserOut],
    summary="List members of staff",
    responses=problems(*SCOPED_CODES, "invalid_cursor", "organization_invalid"),
)
async def list_users(
    caller: Operator,
    session: Reading,
    organization: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """By id, disabled ones too."""
    found = await people.list_people(
        session, organization_id=organization, after=after(cursor), limit=limit + 1
    )
    return page(found, limit, lambda person: person.id)


@router.get(
    "/{user_id}",
    response_model=UserOut,
    summary="Show a member of staff",
    responses=problems(*SCOPED_CODES, "person_not_found"),
)
async def show_user(user_id: str, caller: Operator, session: Reading) -> Person:
    """Their organisation, roles and state, and by what they sign in."""
    return await people.get(session, user_id)


@router.put(
    "/{user_id}/roles",
    response_model=UserOut,
    summary="Set a member of staff's roles",
    responses=problems(*ADMIN_CODES, "person_not_found", "roles_of_provider"),
)
async def set_roles(user_id: str, new: RolesIn, caller: AdminWriter, session: Writing) -> Person:
    """They hold from the next request on, in tokens that are out already too."""
    return await people.set_roles(session, user_id, new.roles, by=caller.client.actor)


@router.post(
    "/{user_id}/disable",
    response_model=UserOut,
    summary="Let a member of staff in no more",
    responses=problems(*ADMIN_CODES, "person_not_found"),
)
async def disable_user(user_id: str, caller: AdminWriter, session: Writing) -> Person:
    """Sessions and tokens are refused from the next request on."""
    return await people.disable(session, user_id, by=caller.client.actor)


@router.post(
    "/{user_id}/enable",
    response_model=UserOut,
    summary="Let a member of staff in again",
    responses=problems(*ADMIN_CODES, "person_not_found"),
)
async def enable_user(user_id: str, caller: AdminWriter, session: Writing) -> Person:
    """With the password and the second factor that they had; ended sessions stay ended."""
    return await people.enable(session, user_id, by=caller.client.actor)


@router.post(
    "/{user_id}/reset",
    response_model=UserWithLinkOut,
    summary="Reset a member of staff's password or second factor",
    responses=problems(*ADMIN_CODES, "person_not_found", "signs_in_elsewhere"),
)
async def reset_user(
    user_id: str, what: ResetIn, caller: AdminWriter, platform: PlatformDep, session: Writing
) -> dict[str, Any]:
    """Ends their sessions. With the password gone, the link in the answer sets another."""
    by = caller.client.actor
    person = await people.get(session, user_id, lock=True)
    await changes.reset(session, person, password=what.password, totp=what.second_factor, by=by)
    link = None
    if what.password:
        link = await changes.make_link(session, person, platform.issuer, by=by)
    return {"user": person, "link": link}
