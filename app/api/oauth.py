"""The OAuth door: token endpoint, keys and metadata, in the words of the RFCs. Decides nothing."""

from typing import Any, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from app.api.access import METADATA_PATH, PlatformDep
from app.api.parameters import reads_own_parameters
from app.api.problem import problems
from app.api.reach import reach_of
from app.api.state import Platform
from app.kit.certificates import Certificate, CertificateUnreadable
from app.oauth import identity, introspection, pushed, revocation
from app.oauth.assertions import TYPE as ASSERTION_TYPE
from app.oauth.authorization import PATH as AUTHORIZE_PATH
from app.oauth.authorization import PROMPTS
from app.oauth.code_grant import GRANT_TYPE as CODE
from app.oauth.details import TYPE as DETAILS_TYPE
from app.oauth.exchange import GRANT_TYPE as EXCHANGE
from app.oauth.forms import LONGEST_BODY, read_form
from app.oauth.grants import PATH, Granted
from app.oauth.keys import ALGORITHM
from app.oauth.new_keys import PATH as KEYS_PATH
from app.oauth.refusals import InvalidRequest
from app.oauth.scopes import CITIZEN, IDENTITY, MEANINGS
from app.oauth.speaking import ACCESS_TOKEN, JWT
from app.oauth.tokens import ONE_FACTOR, TWO_FACTORS
from app.policy.assurance import BY_ACR

router = APIRouter(tags=["OAuth"], max_body_size=4 * LONGEST_BODY)
_JWKS_PATH: Final = "/oauth/jwks"
REGISTRATION_PATH: Final = "/oauth/register"
# By their names in RFC 8414: where clients authenticate, each by the same methods.
_ENDPOINTS: Final = {
    "token_endpoint": PATH,
    "revocation_endpoint": revocation.PATH,
    "introspection_endpoint": introspection.PATH,
}
_OF_SIGN_IN: Final = {
    "pushed_authorization_request_endpoint": pushed.PATH,
    "userinfo_endpoint": identity.USERINFO_PATH,
}
_ALIASED: Final = {**_ENDPOINTS, **_OF_SIGN_IN}
_GRANTS: Final = ("client_credentials", CODE, EXCHANGE)
_METHODS: Final = ["private_key_jwt", "client_secret_basic"]
_BY_CERTIFICATE: Final = "tls_client_auth"  # RFC 8705, 2.1
# In both documents: what a token may be bound to (RFC 9449, 5.1; RFC 9396, 10; RFC 9728, 2).
_BINDING: Final = {
    "dpop_signing_alg_values_supported": [ALGORITHM],
    "authorization_details_types_supported": [DETAILS_TYPE],
}
# How people sign in: FAPI 2.0 Security Profile, 5.3.2; RFC 9207, 3; OpenID Connect Discovery, 3.
_CODE_FLOW: Final[dict[str, Any]] = {
    "response_types_supported": ["code"],
    "response_modes_supported": ["query"],
    "require_pushed_authorization_requests": True,
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
    "request_parameter_supported": False,
    "request_uri_parameter_supported": False,
    "claims_parameter_supported": False,
    "prompt_values_supported": list(PROMPTS),
    "acr_values_supported": [ONE_FACTOR, TWO_FACTORS, *BY_ACR],
    "subject_types_supported": ["public", "pairwise"],  # staff, citizens
    "id_token_signing_alg_values_supported": [ALGORITHM],
    "claims_supported": [
        "iss", "sub", "aud", "exp", "iat", "nonce", "auth_time", "acr", "amr",
        *identity.CLAIMS.values(),
    ],
}  # fmt: skip
_CERTIFICATE_BOUND: Final = "tls_client_certificate_bound_access_tokens"
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749, 5.1


class TokenOut(BaseModel):
    """A token (RFC 6749, 5.1). `scope` is what was granted, which may be less than was asked.

    `id_token` is there for an authorization code whose scope has `openid`.
    `token_type` is `DPoP` for a token that is bound to the key of a proof (RFC 9449, 5).
    """

    access_token: str
    token_type: Literal["Bearer", "DPoP"]
    expires_in: int
    scope: str
    authorization_details: list[dict[str, Any]] | None = None
    id_token: str | None = None
    issued_token_type: str | None = Field(default=None, description="of a token exchange")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "access_token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9…",
                "token_type": "Bearer",
                "expires_in": 900,
                "scope": "dataset:shelters:read",
            }
        }
    )


class OAuthErrorOut(BaseModel):
    """A refusal of an OAuth endpoint (RFC 6749, 5.2)."""

    error: str
    error_description: str
    error_description_ja: str | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": "invalid_scope",
                "error_description": "No requested scope can be granted: check roles.",
            }
        }
    )


_FORM: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "DPoP",
            "in": "header",
            "required": False,
            "description": "A proof of the key that the token is to be bound to (RFC 9449, 5)",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": list(_GRANTS)},
                        "scope": {
                            "type": "string",
                            "description": "of client credentials and token exchange",
                        },
                        "code": {"type": "string", "description": "of a sign-in"},
                        "code_verifier": {"type": "string"},
                        "redirect_uri": {"type": "string", "format": "uri"},
                        "client_id": {"type": "string"},
                        "client_assertion_type": {"type": "string", "const": ASSERTION_TYPE},
                        "client_assertion": {"type": "string"},
                        "resource": {"type": "string", "format": "uri"},
                        "authorization_details": {"type": "string"},
                        "subject_token": {
                            "type": "string",
                            "description": "of a token exchange: the access token of an official,"
                            " or what another platform signs of its reader",
                        },
                        "subject_token_type": {"type": "string", "enum": [ACCESS_TOKEN, JWT]},
                        "requested_token_type": {"type": "string", "const": ACCESS_TOKEN},
                        "audience": {"type": "string"},
                    },
                },
                "example": {
                    "grant_type": "client_credentials",
                    "scope": "dataset:shelters:read",
                    "client_assertion_type": ASSERTION_TYPE,
                    "client_assertion": "eyJhbGciOiJFUzI1NiIsImtpZCI6Ii4uLiJ9…",
                },
            }
        },
    },
}


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": OAuthErrorOut, "description": "The request, grant or scope is refused"},
    401: {"model": OAuthErrorOut, "description": "Client authentication failed"},
    429: {"model": OAuthErrorOut, "description": "Too many token requests: `slow_down`"},
    503: problems()[503],
}


@router.post(
    PATH,
    response_model=TokenOut,
    summary="Get an access token",
    openapi_extra=_FORM,
    responses=REFUSALS,
)
@reads_own_parameters
async def issue_token(request: Request, platform: PlatformDep) -> Response:
    """Client credentials (RFC 6749, 4.4), or the code of somebody who signed in (4.1.3).

    A client proves itself by `private_key_jwt`, `tls_client_auth` or, but for a code
    and an exchange, `client_secret_basic`.

    The assertion's `aud` is the issuer as one string, it lives 60 seconds at most, and its `jti`
    is used once. With a DPoP proof (RFC 9449) the token is bound to the proof's key, which
    all data above internal needs; a client registered for it gets tokens bound to its certificate (RFC
    8705), sent as `Bearer`. `authorization_details` (RFC 9396) of the type `dataset-agreement` bind it
    to one agreement; `resource` (RFC 8707) may only be the issuer. A code is used once, within 60
    seconds, with the `code_verifier` (RFC 7636) and bound to its sender; a second use ends its token.

    With a token exchange (RFC 8693) a service gets a token of its own to act for an official whose
    token an app handed to it: never for more nor for longer, ended with it, and only from apps
    that the operator named (`exchange_from`). It needs a bound token.

    Another platform exchanges what it signs of its reader (a JWT of the type `urbanos-reader+jwt`, for
    one dataset, 60 seconds at most, used once) for a token of the client that the reader has here,
    where the operator named that reader for the client by which it asks (`speaks_for`).
    """
    content_type = request.headers.get("content-type")
    form = read_form(content_type, request.scope["query_string"], await request.body())
    authorization = request.headers.get("authorization")
    proofs = [value for name, value in request.scope["headers"] if name == b"dpop"]
    granted = await platform.token_endpoint.answer(
        form, authorization, reach_of(platform), proofs, shown_certificate(platform, request.scope)
    )
    return JSONResponse(_shape(granted).model_dump(exclude_none=True), headers=NO_STORE)


def shown_certificate(platform: Platform, scope: Scope) -> Certificate | None:
    """The certificate that the client asks with, None without; or `InvalidRequest`."""
    try:
        return platform.edge.certificate_of(scope)
    except CertificateUnreadable as wrong:
        raise InvalidRequest(
            "certificate_unreadable", mend_ja=wrong.words("ja"), mend_en=wrong.words("en")
        ) from wrong


def _shape(granted: Granted) -> TokenOut:
    details = granted.details.granted(granted.scope) if granted.details else None
    return TokenOut(
        access_token=granted.issued.token,
        token_type="DPoP" if granted.bond.jkt else "Bearer",
        expires_in=granted.issued.expires_in,
        scope=" ".join(granted.scope),
        authorization_details=details.as_json() if details else None,
        id_token=granted.id_token,
        issued_token_type=granted.issued_token_type,
    )


@router.get(_JWKS_PATH, summary="Public keys of access tokens", responses=problems())
async def list_keys(platform: PlatformDep) -> dict[str, Any]:
    """The JWK set (RFC 7517): previous, current and next key."""
    keys = await platform.keys.get()
    return keys.jwks


@router.get(
    "/.well-known/oauth-authorization-server",
    summary="Authorization server metadata",
    responses={400: problems()[400]},
)
async def describe_server(platform: PlatformDep) -> dict[str, Any]:
    """What the OAuth endpoints can do (RFC 8414, 2): only what is really on."""
    return server_metadata(platform)


def server_metadata(platform: Platform) -> dict[str, Any]:
    """RFC 8414, 2, and OpenID Connect Discovery 1.0, 3, in one document."""
    methods = [*_METHODS, _BY_CERTIFICATE] if platform.mutual_tls else _METHODS
    endpoints: dict[str, Any] = {}
    for name, path in _ENDPOINTS.items():
        endpoints[name] = f"{platform.issuer}{path}"
        endpoints[f"{name}_auth_methods_supported"] = methods
        endpoints[f"{name}_auth_signing_alg_values_supported"] = [ALGORITHM]
    return {
        "issuer": platform.issuer,
        **endpoints,
        **{name: platform.issuer + path for name, path in _OF_SIGN_IN.items()},
        "authorization_endpoint": f"{platform.issuer}{AUTHORIZE_PATH}",
        "registration_endpoint": f"{platform.issuer}{REGISTRATION_PATH}",
        "client_keys_endpoint": f"{platform.issuer}{KEYS_PATH}",  # ours: no RFC names one
        "jwks_uri": f"{platform.issuer}{_JWKS_PATH}",
        "scopes_supported": sorted([*IDENTITY, *CITIZEN, *MEANINGS]),
        "grant_types_supported": sorted(platform.token_endpoint.grants),
        **_CODE_FLOW,
        **_BINDING,
        **_mutual_tls(platform),
        "service_documentation": f"{platform.issuer}/docs",
        "ui_locales_supported": ["ja", "en"],
    }


@router.get(
    METADATA_PATH,
    summary="Protected resource metadata",
    responses={400: problems()[400]},
)
async def describe_resource(platform: PlatformDep) -> dict[str, Any]:
    """What a token must be to be taken here (RFC 9728, 2)."""
    return {
        "resource": platform.issuer,
        "authorization_servers": [platform.issuer],
        "jwks_uri": f"{platform.issuer}{_JWKS_PATH}",
        "scopes_supported": _scopes(),
        "bearer_methods_supported": ["header"],
        **_BINDING,
        **({_CERTIFICATE_BOUND: True} if platform.mutual_tls else {}),
        "resource_documentation": f"{platform.issuer}/docs",
    }


def _mutual_tls(platform: Platform) -> dict[str, Any]:
    """What RFC 8705 adds (3.3; 5), only where a client can show a certificate."""
    if not platform.mutual_tls:
        return {}
    told: dict[str, Any] = {_CERTIFICATE_BOUND: True}
    if platform.mtls_url is not None:
        base = platform.mtls_url.rstrip("/")
        told["mtls_endpoint_aliases"] = {name: base + path for name, path in _ALIASED.items()}
    return told


def _scopes() -> list[str]:
    """The fixed scopes; those of datasets are named after them: dataset:{id}:read."""
    return sorted([*CITIZEN, *MEANINGS])
