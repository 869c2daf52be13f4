"""The doors of apps that people sign in to: pushed requests, discovery, who somebody is.

Decides nothing; the person's own pages are the portal's.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from app.api.access import SCOPED_CODES, PlatformDep, Shown, lacks_scope
from app.api.citizens import find_citizen
from app.api.oauth import NO_STORE, REFUSALS, server_metadata, shown_certificate
from app.api.parameters import reads_own_parameters
from app.api.problem import problems
from app.oauth import identity, pushed
from app.oauth.assertions import TYPE as ASSERTION_TYPE
from app.oauth.authorization import PROMPTS
from app.oauth.forms import LONGEST_BODY, read_form
from app.oauth.tokens import ONE_FACTOR, TWO_FACTORS
from app.policy.assurance import BY_ACR
from app.policy.facts import Caller, CitizenCaller

router = APIRouter(tags=["OAuth"], max_body_size=4 * LONGEST_BODY)
_TEXT: Final = {"type": "string"}
_FORM: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "DPoP",
            "in": "header",
            "required": False,
            "description": "A proof of the key that the code is to be bound to (RFC 9449, 10.1)",
            "schema": _TEXT,
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": [
                        "client_id",
                        "response_type",
                        "redirect_uri",
                        "scope",
                        "code_challenge",
                        "code_challenge_method",
                    ],
                    "properties": {
                        "client_id": _TEXT,
                        "client_assertion_type": {"type": "string", "const": ASSERTION_TYPE},
                        "client_assertion": _TEXT,
                        "response_type": {"type": "string", "const": "code"},
                        "redirect_uri": {"type": "string", "format": "uri"},
                        "scope": _TEXT,
                        "code_challenge": _TEXT,
                        "code_challenge_method": {"type": "string", "const": "S256"},
                        "state": _TEXT,
                        "nonce": _TEXT,
                        "prompt": {"type": "string", "description": ", ".join(PROMPTS)},
                        "max_age": {"type": "integer"},
                        "acr_values": {
                            "type": "string",
                            "enum": [ONE_FACTOR, TWO_FACTORS, *BY_ACR],
                        },
                        "resource": {"type": "string", "format": "uri"},
                        "authorization_details": _TEXT,
                        "dpop_jkt": _TEXT,
                    },
                },
                "example": {
                    "client_id": "271403-app",
                    "response_type": "code",
                    "redirect_uri": "https://app.city.sakai.example/callback",
                    "scope": "openid agreements:write",
                    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
                    "code_challenge_method": "S256",
                    "client_assertion_type": ASSERTION_TYPE,
                    "client_assertion": "eyJhbGciOiJFUzI1NiIsImtpZCI6Ii4uLiJ9…",
                },
            }
        },
    },
}


class PushedOut(BaseModel):
    """The name of a pushed request, for `/oauth/authorize` (RFC 9126, 2.2)."""

    request_uri: str
    expires_in: int


class UserInfoOut(BaseModel):
    """Who signed in (OpenID Connect Core, 5.3): as much as the scope tells."""

    sub: str
    name: str | None = None
    email: str | None = None
    acr: str | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"sub": "person:5f0c7a1e9b3d4c2f8a6e0d1b7c9f2e34", "name": "堺 次郎"}
        }
    )


@router.post(
    pushed.PATH,
    status_code=201,
    response_model=PushedOut,
    summary="Push an authorization request",
    openapi_extra=_FORM,
    responses=REFUSALS,
)
@reads_own_parameters
async def push_request(request: Request, platform: PlatformDep) -> Response:
    """What an app asks for when somebody is to sign in to it (RFC 9126); there is no other way.

    Authenticate as at `/oauth/token`, by a key or a certificate. Then send the browser to `/oauth/authorize` with
    `client_id` and the `request_uri` of the answer, within 90 seconds. PKCE with S256 is needed;
    `dpop_jkt` or a DPoP proof binds the code to a key. There are no refresh tokens: ask again with
    `prompt=none` while the sign-in lasts.

    A `me…` scope asks a citizen, who signs in at a provider of their own: beside it only `openid`
    is taken, and `sub` is a name that no other organisation's apps are told.
    """
    content_type = request.headers.get("content-type")
    form = read_form(content_type, request.scope["query_string"], await request.body())
    proofs = [value for name, value in request.scope["headers"] if name == b"dpop"]
    certificate = shown_certificate(platform, request.scope)
    authorization = request.headers.get("authorization")
    name = await platform.pushed.push(form, authorization, proofs, certificate)
    shape = PushedOut(request_uri=name, expires_in=pushed.LIFETIME_S)
    return JSONResponse(shape.model_dump(), 201, NO_STORE)


async def _about(request: Request, platform: PlatformDep, _shown: Shown) -> dict[str, str]:
    """What is told of who signed in; of a citizen a name that is this organisation's alone."""
    citizen = await find_citizen(request, platform)
    caller: Caller | CitizenCaller = citizen or request.scope["caller"]
    if "openid" not in caller.scope:
        raise lacks_scope(platform, "openid", bound=caller.proves_each)
    if isinstance(caller, CitizenCaller):
        return {"sub": caller.subject, "acr": caller.level.acr}
    person_id = caller.client.person_id or ""  # a scope of people is in no machine's token
    return await identity.claims_about(platform.database.pool, person_id, caller.scope)


About = Annotated[dict[str, str], Depends(_about)]


@router.get(
    identity.USERINFO_PATH,
    response_model=UserInfoOut,
    summary="Show who signed in",
    responses=problems(*SCOPED_CODES),
)
async def show_person(about: About) -> Response:
    """OpenID Connect Core, 5.3. `name` needs the scope `profile`, `email` the scope `email`.

    Of a citizen there is only `sub`, which no other organisation's apps are told, and `acr`.
    """
    return JSONResponse(about, headers=NO_STORE)


@router.post(
    identity.USERINFO_PATH,
    response_model=UserInfoOut,
    summary="Show who signed in, by POST",
    responses=problems(*SCOPED_CODES),
)
async def show_person_by_post(about: About) -> Response:
    """The same as GET. The token is sent in the header alone."""
    return JSONResponse(about, headers=NO_STORE)


@router.get(
    "/.well-known/openid-configuration",
    summary="OpenID provider metadata",
    responses={400: problems()[400]},
)
async def describe_provider(platform: PlatformDep) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0, 3: what the authorization server's metadata says too."""
    return server_metadata(platform)
