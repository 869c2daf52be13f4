"""The door for invitations: made by the operator or a coordinator, accepted with the code alone."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from app.api.access import (
    SCOPED_CODES,
    Inviter,
    PlatformDep,
    Reading,
    StepUp,
    Writing,
    inviting_within,
)
from app.api.clients import AddedClientOut
from app.api.dataset_shapes import Email
from app.api.limits import origin_of
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug, Time
from app.models.onboarding import Invitation
from app.models.parties import Role, Zone
from app.parties import clients, invitations

router = APIRouter(tags=["Invitations"], max_body_size=LONGEST_BODY)


class InvitationIn(InShape):
    """Who is invited, where you will send the code, and as what."""

    organization: Name
    email: Email
    roles: Annotated[list[Role], Field(min_length=1, max_length=4, default=[Role.STEWARD])]

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "organization": "273830",
                "email": "soumu@vill.example.jp",
                "roles": ["steward"],
            }
        }
    )


class InvitationOut(OutShape):
    """An invitation, without its code."""

    id: UUID
    organization_id: str
    email: str
    roles: list[str]
    created_at: Time
    created_by: str
    expires_at: Time
    ended_at: Time | None
    accepted_at: Time | None
    client_id: str | None


class MadeInvitationOut(OutShape):
    """The invitation and its code: shown here and never again."""

    invitation: InvitationOut
    code: str


class AcceptanceIn(InShape):
    """The code, and the client to be made. Without `jwks` it gets a secret."""

    code: Annotated[str, Field(min_length=1, max_length=200)]
    client_id: Slug | None = None
    client_name: Name | None = None
    jwks: dict[str, Any] | None = Field(default=None, description="one or two public P-256 keys")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "code": "K2ZQ7XWN-3MHA6T5B-QY4PDLCE-V2RJ7UGK-NS6FIX3O",
                "client_name": "総務課の端末",
            }
        }
    )


@router.post(
    "/v1/admin/invitations",
    status_code=201,
    response_model=MadeInvitationOut,
    summary="Invite an organisation",
    dependencies=[StepUp],  # what it becomes is a client, whom nobody asks for a second factor
    responses=problems(
        *SCOPED_CODES,
        "insufficient_user_authentication",
        "organization_not_found",
        "organization_invalid",
        "organization_closed",
        "invitation_not_yours",
        "role_not_invited",
    ),
)
async def invite(
    body: InvitationIn, caller: Inviter, session: Writing
) -> invitations.MadeInvitation:
    """Hand the code on by a way you trust: it works once, for 14 days, and is shown only here."""
    new = invitations.NewInvitation(body.organization, body.email, body.roles)
    by, within = caller.client.actor, inviting_within(caller)
    return await invitations.invite(session, new, by=by, within=within)


@router.get(
    "/v1/admin/invitations",
    response_model=PageOut[InvitationOut],
    summary="List invitations",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_invitations(
    caller: Inviter, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Open, accepted and ended ones; a coordinator sees those of its own body."""
    found = await invitations.list_invitations(
        session, within=inviting_within(caller), after=after_id(cursor), limit=limit + 1
    )
    return page(found, limit, lambda invitation: invitation.id)


@router.post(
    "/v1/admin/invitations/{invitation_id}/revoke",
    response_model=InvitationOut,
    summary="Take an invitation back",
    responses=problems(*SCOPED_CODES, "invitation_not_found", "invitation_settled"),
)
async def take_back(invitation_id: UUID, caller: Inviter, session: Writing) -> Invitation:
    """Its code opens nothing any more."""
    by, within = caller.client.actor, inviting_within(caller)
    return await invitations.take_back(session, invitation_id, by=by, within=within)


@router.post(
    "/v1/invitations/accept",
    status_code=201,
    response_model=AddedClientOut,
    summary="Accept an invitation",
    responses=problems(
        "invitation_refused",
        "too_many_attempts",
        "client_invalid",
        "client_exists",
        "jwks_invalid",
        "organization_closed",
    ),
)
async def accept_invitation(
    body: AcceptanceIn, request: Request, platform: PlatformDep, session: Writing
) -> clients.AddedClient:
    """No token is needed: the code is the proof. It makes your organisation's client, once."""
    async with platform.database.writing() as counting:
        may_try = await invitations.count_attempt(
            counting, body.code, source=origin_of(request.scope)
        )
    if not may_try:
        raise invitations.TooManyAttempts
    applicant = invitations.Applicant(
        zone=Zone(platform.zone), id=body.client_id, name=body.client_name, jwks=body.jwks
    )
    return await invitations.accept(session, body.code, applicant)
