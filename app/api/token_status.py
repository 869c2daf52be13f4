"""The doors of RFC 7009 and RFC 7662: end a token, ask about a token. Decides nothing."""

from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from app.api.access import PlatformDep
from app.api.oauth import NO_STORE, OAuthErrorOut, shown_certificate
from app.api.parameters import reads_own_parameters
from app.api.problem import problems
from app.api.state import Platform
from app.kit.certificates import Certificate
from app.oauth import introspection, revocation
from app.oauth.assertions import TYPE as ASSERTION_TYPE
from app.oauth.forms import LONGEST_BODY, read_form

router = APIRouter(tags=["OAuth"], max_body_size=4 * LONGEST_BODY)
_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["token"],
                    "properties": {
                        "token": {"type": "string"},
                        "token_type_hint": {"type": "string", "description": "not read"},
                        "client_id": {"type": "string"},
                        "client_assertion_type": {"type": "string", "const": ASSERTION_TYPE},
                        "client_assertion": {"type": "string"},
                    },
                },
                "example": {
                    "token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9…",
                    "client_assertion_type": ASSERTION_TYPE,
                    "client_assertion": "eyJhbGciOiJFUzI1NiIsImtpZCI6Ii4uLiJ9…",
                },
            }
        },
    }
}
_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": OAuthErrorOut, "description": "The request is refused"},
    401: {"model": OAuthErrorOut, "description": "Client authentication failed"},
    429: {"model": OAuthErrorOut, "description": "Too many requests: `slow_down`"},
    503: problems()[503],
}


class TokenStatusOut(BaseModel):
    """What a token says (RFC 7662, 2.2); `active: false` stands alone."""

    active: bool
    token_type: str | None = None
    scope: str | None = None
    client_id: str | None = None
    exp: int | None = None
    iat: int | None = None
    jti: str | None = None
    iss: str | None = None
    aud: str | None = None
    sub: str | None = None
    org: str | None = None
    zone: str | None = None
    cnf: dict[str, Any] | None = None
    agr: str | None = None
    pur: str | None = None
    acr: str | None = None
    auth_time: int | None = None
    act: dict[str, Any] | None = None

    model_config = ConfigDict(json_schema_extra={"example": {"active": False}})


async def _read(
    request: Request, platform: Platform
) -> tuple[dict[str, str], str | None, Certificate | None]:
    content_type = request.headers.get("content-type")
    form = read_form(content_type, request.scope["query_string"], await request.body())
    certificate = shown_certificate(platform, request.scope)
    return form, request.headers.get("authorization"), certificate


@router.post(
    revocation.PATH,
    response_model=None,
    summary="Revoke an access token",
    openapi_extra=_FORM,
    responses={200: {"description": "The token is no longer valid, if it was yours"}, **_REFUSALS},
)
@reads_own_parameters
async def revoke_token(request: Request, platform: PlatformDep) -> Response:
    """End one of your own tokens before it expires (RFC 7009), on every replica.

    Authenticate as at `/oauth/token`. A token that is unknown, expired or another client's gets
    the same 200 and nothing happens to it.
    """
    await platform.revocation.answer(*await _read(request, platform))
    return Response(headers=NO_STORE)


@router.post(
    introspection.PATH,
    response_model=TokenStatusOut,
    summary="Ask about an access token",
    openapi_extra=_FORM,
    responses=_REFUSALS,
)
@reads_own_parameters
async def introspect_token(request: Request, platform: PlatformDep) -> Response:
    """Whether a token is valid now, and what it says (RFC 7662).

    Authenticate as at `/oauth/token`. You see your own tokens; an operator's client sees all.
    Of every other token the answer is `active: false`, whatever the reason.
    """
    status = await platform.introspection.answer(*await _read(request, platform))
    return JSONResponse(status, headers=NO_STORE)
