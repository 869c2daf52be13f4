"""The doors for clients that register themselves (RFC 7591), and for whoever lets them in."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from app.api.access import (
    SCOPED_CODES,
    Inviter,
    PlatformDep,
    Reading,
    StepUp,
    Writing,
    inviting_within,
)
from app.api.clients import EXAMPLE_JWKS
from app.api.oauth import NO_STORE, REGISTRATION_PATH, OAuthErrorOut
from app.api.paging import Cursor, Limit, PageOut, after, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Time
from app.models.parties import Role, Zone
from app.models.registrations import ClientRegistration, RegistrationState
from app.oauth import metadata
from app.oauth.refusals import InvalidClientMetadata, InvalidRedirectUri, InvalidRegistrationToken
from app.parties import registrations
from app.parties.client_keys import KeysInvalid
from app.parties.redirects import RedirectInvalid

router = APIRouter(tags=["Clients"], max_body_size=LONGEST_BODY)
_LONGEST_TOKEN: Final = 200
_DECIDING: Final = (
    *SCOPED_CODES,
    "insufficient_user_authentication",
    "registration_not_found",
    "registration_settled",
)


class RegistrationTokenIn(InShape):
    """For which organisation clients may register, how many, how long, as what."""

    organization: Name
    uses: Annotated[int, Field(ge=1, le=registrations.MOST_USES)] = 1
    days: Annotated[int, Field(ge=1, le=registrations.MOST_DAYS)] = 7
    roles: Annotated[list[Literal[Role.STEWARD, Role.DEVELOPER]], Field(max_length=2, default=[])]

    model_config = ConfigDict(
        json_schema_extra={"example": {"organization": "271004-kenko", "uses": 1, "days": 7}}
    )


class RegistrationTokenOut(OutShape):
    """A registration token, without itself."""

    id: UUID
    organization_id: str
    roles: list[str]
    uses_left: int
    created_at: Time
    created_by: str
    expires_at: Time


class MadeRegistrationTokenOut(OutShape):
    """The registration token (RFC 7591: initial access token): shown here and never again."""

    registration_token: RegistrationTokenOut
    token: str


class RegistrationOut(OutShape):
    """What a vendor said of its client, and what became of it."""

    client_id: str
    organization_id: str
    zone: str
    roles: list[str]
    metadata: dict[str, Any] = Field(validation_alias="told")
    registered_at: Time
    expires_at: Time
    token_id: UUID
    token_by: str
    state: str
    decided_at: Time | None
    decided_by: str | None


class ClientInformationOut(BaseModel):
    """The client as it will be (RFC 7591, 3.2.1). It exists once `approval_state` is `approved`."""

    client_id: str
    client_id_issued_at: int
    client_name: str
    token_endpoint_auth_method: str
    grant_types: list[str]
    response_types: list[str]
    redirect_uris: list[str]
    jwks: dict[str, Any]
    scope: str | None = None
    software_id: str | None = None
    software_version: str | None = None
    approval_state: Literal["pending"]
    approval_expires_at: int


_REGISTERING: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Authorization",
            "in": "header",
            "required": True,
            "description": "Bearer and the initial access token",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["client_name", "jwks"],
                    "properties": {
                        "client_name": {"type": "string"},
                        "jwks": {"type": "object"},
                        "redirect_uris": {"type": "array", "items": {"type": "string"}},
                        "grant_types": {"type": "array", "items": {"type": "string"}},
                        "response_types": {"type": "array", "items": {"type": "string"}},
                        "token_endpoint_auth_method": {"type": "string", "const": metadata.METHOD},
                        "scope": {"type": "string"},
                        "software_id": {"type": "string"},
                        "software_version": {"type": "string"},
                    },
                },
                "example": {"client_name": "保健所アプリ", "jwks": EXAMPLE_JWKS},
            }
        },
    },
}


@router.post(
    "/v1/admin/registration-tokens",
    status_code=201,
    response_model=MadeRegistrationTokenOut,
    summary="Let clients register themselves",
    responses=problems(
        *SCOPED_CODES,
        "organization_not_found",
        "organization_invalid",
        "organization_closed",
        "registration_not_yours",
        "registration_by_person",
    ),
)
async def make_token(
    body: RegistrationTokenIn, caller: Inviter, session: Writing
) -> registrations.MadeToken:
    """Hand the token on by a way you trust. What registers with it waits for another person."""
    if caller.client.person_id is None:
        raise registrations.PersonMakesToken
    new = registrations.NewToken(body.organization, body.uses, body.days, body.roles)
    by, within = caller.client.actor, inviting_within(caller)
    return await registrations.make_token(session, new, by=by, within=within)


@router.post(
    REGISTRATION_PATH,
    status_code=201,
    response_model=ClientInformationOut,
    tags=["OAuth"],
    max_body_size=4 * metadata.LONGEST_BODY,
    summary="Register a client",
    openapi_extra=_REGISTERING,
    responses={
        400: {"model": OAuthErrorOut, "description": "The metadata is refused"},
        401: {"model": OAuthErrorOut, "description": "The initial access token opens nothing"},
        429: {"model": OAuthErrorOut, "description": "Too many requests: `slow_down`"},
        503: problems()[503],
    },
)
async def register(request: Request, platform: PlatformDep, session: Writing) -> Response:
    """Dynamic registration (RFC 7591) with an initial access token. Keys are sent inline.

    The client waits until a second person approves it, 30 days at most, and gets no token before.
    Unknown metadata is ignored and missing in the answer. There is no management by the client
    itself (RFC 7592).
    """
    body = await request.body()  # before the token is locked: who sends slowly holds up nobody
    token = _bearer(request)
    try:
        opened = await registrations.use_token(session, token)
        told = metadata.read_metadata(request.headers.get("content-type"), body).as_json()
        made = await registrations.register(session, opened, told, zone=Zone(platform.zone))
    except registrations.RegistrationTokenRefused as exc:
        raise InvalidRegistrationToken(f"registration_{exc.named['why']}") from exc
    except KeysInvalid as exc:
        raise InvalidClientMetadata("jwks", **_mends(exc, "/jwks")) from exc
    except RedirectInvalid as exc:
        raise InvalidRedirectUri("redirect_uris", **_mends(exc, "")) from exc
    return JSONResponse(_information(made), 201, NO_STORE)


def _bearer(request: Request) -> str:
    shown = request.headers.getlist("authorization")
    scheme, _, token = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not 1 <= len(token) <= _LONGEST_TOKEN:
        raise InvalidRegistrationToken("registration_missing")
    return token


def _mends(wrong: KeysInvalid | RedirectInvalid, below: str) -> dict[str, str]:
    return {
        "mend_ja": " ".join(f"{below}{fault.pointer}: {fault.ja}" for fault in wrong.faults),
        "mend_en": " ".join(f"{below}{fault.pointer}: {fault.en}" for fault in wrong.faults),
    }


def _information(made: ClientRegistration) -> dict[str, Any]:
    return {
        "client_id": made.client_id,
        "client_id_issued_at": int(made.registered_at.timestamp()),
        **made.told,
        "approval_state": made.state,
        "approval_expires_at": int(made.expires_at.timestamp()),
    }


@router.get(
    "/v1/admin/registrations",
    response_model=PageOut[RegistrationOut],
    summary="List clients that registered themselves",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_registrations(
    caller: Inviter,
    session: Reading,
    state: Annotated[RegistrationState | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """What waits and what was decided; a coordinator sees those of its own body."""
    found = await registrations.list_registrations(
        session,
        state=state,
        within=inviting_within(caller),
        after=after(cursor),
        limit=limit + 1,
    )
    return page(found, limit, lambda each: each.client_id)


@router.post(
    "/v1/admin/clients/{client_id}/approve",
    response_model=RegistrationOut,
    summary="Approve a registered client",
    responses=problems(
        *_DECIDING, "registration_second_person", "client_exists", "organization_closed"
    ),
    dependencies=[StepUp],
)
async def approve(client_id: str, caller: Inviter, session: Writing) -> ClientRegistration:
    """By a member of staff who is not the one that made its registration token."""
    person, within = caller.client.person_id, inviting_within(caller)
    return await registrations.approve(session, client_id, person_id=person, within=within)


@router.post(
    "/v1/admin/clients/{client_id}/reject",
    response_model=RegistrationOut,
    summary="Reject a registered client",
    responses=problems(*_DECIDING),
    dependencies=[StepUp],
)
async def reject(client_id: str, caller: Inviter, session: Writing) -> ClientRegistration:
    """For good: the vendor may register again while its token has uses left."""
    by, within = caller.client.actor, inviting_within(caller)
    return await registrations.reject(session, client_id, by=by, within=within)
