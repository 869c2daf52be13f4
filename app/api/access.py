"""Who calls and with which session: the dependencies of the doors. Decides nothing about data."""

import contextlib
import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import OAuth2
from starlette.types import Scope

from app.api.lacking import InsufficientScope, RoleMissing, SecondFactorNeeded
from app.api.limits import admit, admit_unproven
from app.api.sessions import PlatformDep, Reading, Writing, platform_of
from app.api.state import Platform
from app.kit import clock
from app.kit.certificates import CertificateUnreadable
from app.kit.errors import AppError, Kind
from app.models.parties import Role
from app.oauth import scopes
from app.oauth.authority import TokenOfReader
from app.oauth.keys import ALGORITHM
from app.oauth.refusals import InvalidProof
from app.oauth.tokens import TWO_FACTORS, InvalidToken, PersonGrant, Verified
from app.policy.facts import Caller, CitizenCaller, ClientFacts
from app.signin.sessions import SECOND_FACTOR_LASTS

__all__ = ["PlatformDep", "Reading", "Writing", "platform_of"]  # and what is defined here

# Asked by machines that watch this process, and cheap.
_UNCOUNTED: Final = frozenset({"/healthz", "/readyz", "/metrics"})
METADATA_PATH: Final = "/.well-known/oauth-protected-resource"
_SCHEMES: Final = ("bearer", "dpop")


class TokenMissing(AppError):
    """The operation needs a token and none was shown."""

    kind = Kind.UNAUTHENTICATED
    code = "token_required"
    ja = "アクセストークンが必要です。/oauth/token で取得し、Authorization: Bearer で送ります。"
    en = "An access token is needed: get one at /oauth/token, send it as Authorization: Bearer."


class AuthorizationMalformed(InvalidToken):
    """The Authorization header is given twice or holds no token."""

    code = "authorization_malformed"
    ja = "Authorization ヘッダは Bearer か DPoP のトークン一つだけにしてください。"
    en = "The Authorization header must hold one token, as Bearer or as DPoP."


class TokenNotAsBound(InvalidToken):
    """A token of a sender's key was sent as Bearer, or a token of none as DPoP (RFC 9449, 7.1)."""

    ja = "トークンは {scheme} として送ってください（cnf の有無で決まります）。"
    en = "Send the token as {scheme}: whether it has cnf decides."


class ProofRefused(InvalidToken):
    """The proof beside a token that is bound to a key is missing, wrong or used before."""

    code = "invalid_dpop_proof"
    ja = InvalidProof.ja
    en = InvalidProof.en


class CertificateNotAsBound(InvalidToken):
    """A token bound to a certificate came without it, or with another one (RFC 8705, 3)."""

    ja = (
        "トークンは別のクライアント証明書に結び付いています。取得時の証明書で接続してください"
        "（{why}）。"
    )
    en = "The token is bound to a client certificate: connect with the one it was got with ({why})."


class TokenOfCitizen(InvalidToken):
    """A citizen's token was shown at a door of staff and machines: it opens none of them."""

    ja = "住民のアクセストークンで使えるのは /v1/me だけです。"
    en = "A citizen's access token opens nothing but /v1/me."


def _remembered(platform: Platform, token: str, scope: Scope) -> Caller | None:
    """The caller when everything about it is in memory: no await. None says nothing.

    Who proves a key with each request is never here: that proof is to be used up first. Nor is who
    acts for a person, or is spoken for by another platform: of them the registry is asked too.
    """
    verified = platform.tokens.remembered(token)
    if verified is None or verified.jkt is not None:
        return None
    if verified.person is not None or verified.citizen is not None or verified.spoken is not None:
        return None
    if verified.x5t is not None:
        _require_certificate(platform, scope, verified.x5t)
    client = platform.clients.held(verified.client_id)
    if client is None or client.revoked or client.organization_id != verified.organization_id:
        return None
    return _caller(client, verified)


async def find_caller(platform: Platform, scope: Scope) -> Caller | None:
    """The caller, or None when no token was shown. Every request comes by here and is counted.

    Raises `InvalidToken` for a token that is wrong or whose client was revoked, however long it
    would still live, for one that is not sent by whom it is bound to, and `RateLimited`; for every
    one of a citizen `TokenOfCitizen`: who it is `scope` keeps for the doors of citizens.
    """
    if "counted" in scope:  # asked before in this request
        if (refusal := scope["counted"]) is not None:
            raise refusal
        return scope.get("caller")
    scope["counted"] = None
    try:
        caller = await _proven(platform, scope)
    except InvalidToken as refusal:
        scope["counted"] = refusal
        await admit(platform, scope, None)  # who guesses tokens is counted by its address
        raise
    if isinstance(caller, CitizenCaller):
        await _keep_out(platform, scope, caller)
        return None
    if caller is not None:
        scope["caller"] = caller
    await admit(platform, scope, caller)
    return caller


async def _keep_out(platform: Platform, scope: Scope, citizen: CitizenCaller) -> None:
    """Count a citizen's request as its client's, and refuse it wherever nobody asks for citizens."""
    scope["citizen"] = citizen
    await admit(platform, scope, Caller(citizen.client, frozenset()))
    refusal = TokenOfCitizen(why="citizen", holder=citizen.client.client_id)
    challenge(platform, refusal, error="invalid_token", bound=citizen.proves_each)
    scope["counted"] = refusal
    raise refusal


async def _proven(platform: Platform, scope: Scope) -> Caller | CitizenCaller | None:
    shown = _shown(platform, scope)
    if shown is None:
        return None
    scheme, token = shown
    try:
        known = _remembered(platform, token, scope) if scheme == "bearer" else None
        if known is not None:
            return known
        verified = await platform.tokens.verify(token, of_citizens=True)
        caller = await _registered(platform, verified)
        if caller.proves_each != (scheme == "dpop"):
            raise TokenNotAsBound(scheme="DPoP" if caller.proves_each else "Bearer", why="scheme")
        if verified.jkt is not None:
            await _prove(platform, scope, token, verified.jkt)
        if verified.x5t is not None:
            _require_certificate(platform, scope, verified.x5t)
        return caller
    except InvalidToken as refusal:
        challenge(platform, refusal, error=_error_of(refusal), bound=scheme == "dpop")
        raise


async def count_request(request: Request, platform: PlatformDep) -> None:
    """A dependency of the whole application: no request passes uncounted."""
    path = request.url.path
    if path in _UNCOUNTED:
        return
    if path.startswith("/oauth/") and request.method == "POST":
        await admit_unproven(platform, request.scope)
        return
    with contextlib.suppress(InvalidToken):  # the operation says whether it wants a token
        await find_caller(platform, request.scope)


async def _registered(platform: Platform, verified: Verified) -> Caller | CitizenCaller:
    client, citizen = await platform.authority.of(verified), verified.citizen
    if citizen is None:
        return _caller(client, verified)
    by_key = verified.jkt is not None
    return CitizenCaller(client, citizen.subject, citizen.level, verified.scope, by_key)


def _caller(client: ClientFacts, verified: Verified) -> Caller:
    return Caller(
        client,
        verified.scope,
        verified.jkt is not None or verified.x5t is not None,
        verified.agreement_id,
        verified.purpose,
        _second_factor_at(verified.person),
        proves_each=verified.jkt is not None,
    )


def _second_factor_at(person: PersonGrant | None) -> datetime | None:
    if person is None or person.acr != TWO_FACTORS:
        return None
    return datetime.fromtimestamp(person.auth_time, UTC)


def _require_certificate(platform: Platform, scope: Scope, x5t: str) -> None:
    """The request came with the token's certificate (RFC 8705, 3), or `CertificateNotAsBound`."""
    try:
        shown = platform.edge.certificate_of(scope)
    except CertificateUnreadable as wrong:
        raise CertificateNotAsBound(why="certificate_unreadable") from wrong
    if shown is None:
        raise CertificateNotAsBound(why="no_certificate")
    if not hmac.compare_digest(shown.thumbprint, x5t):
        raise CertificateNotAsBound(why="certificate")


async def _prove(platform: Platform, scope: Scope, token: str, jkt: str) -> None:
    """Use up the request's proof that it was sent with the token's key (RFC 9449, 7)."""
    shown = [value for name, value in scope["headers"] if name == b"dpop"]
    uri = platform.issuer + path_of(scope)
    method = scope.get("method_sent", scope["method"])  # a POST may stand for another method
    try:
        await platform.proofs.take(shown, method, uri, token=token, jkt=jkt)
    except InvalidProof as wrong:
        raise ProofRefused(why=wrong.why, **wrong.named) from wrong


def path_of(scope: Scope) -> str:
    """The path as it was sent, below the address that the outside sees."""
    raw: bytes = scope["raw_path"]
    root = scope.get("app_root_path", scope.get("root_path", ""))
    return raw.removeprefix(root.encode()).decode("latin-1")


def _error_of(refusal: InvalidToken) -> str:
    """The error of the challenge (RFC 6750, 3.1; RFC 9449, 7.1)."""
    return refusal.code if isinstance(refusal, ProofRefused) else "invalid_token"


def _shown(platform: Platform, scope: Scope) -> tuple[str, str] | None:
    """Scheme and token of the one Authorization header (RFC 6750, 2.1), None without a header."""
    shown: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
    if not shown:
        return None
    scheme, _, token = shown[0].decode("latin-1").partition(" ")
    scheme = scheme.lower()
    if len(shown) > 1 or scheme not in _SCHEMES or not token:
        refusal = AuthorizationMalformed(why="header")
        challenge(platform, refusal, error="invalid_request")
        raise refusal
    return scheme, token.strip()


def challenge(
    platform: Platform,
    refusal: AppError,
    *,
    error: str | None,
    scope: str = "",
    bound: bool = False,
) -> None:
    """Put the WWW-Authenticate header on a refusal (RFC 6750, 3; RFC 9449, 7.1; RFC 9728, 5.1).

    Both ways to send a token are named; what is wrong is said to the one that was tried.
    """
    parts = [f'error="{error}"'] if error else []
    if scope:
        parts.append(f'scope="{scope}"')
    parts.append(f'resource_metadata="{platform.issuer}{METADATA_PATH}"')
    tried = ", ".join(parts)
    algorithms = f'algs="{ALGORITHM}"'
    refusal.headers["WWW-Authenticate"] = (
        f"DPoP {algorithms}, {tried}" if bound else f"Bearer {tried}, DPoP {algorithms}"
    )


# Shown in OpenAPI only: the token itself is read by `find_caller`.
_scheme = OAuth2(
    flows=OAuthFlows(
        clientCredentials=OAuthFlowClientCredentials(
            tokenUrl="/oauth/token", scopes=scopes.MEANINGS
        )
    ),
    scheme_name="clientCredentials",
    description="client_credentials with private_key_jwt (RFC 7523), client_secret_basic or"
    " tls_client_auth (RFC 8705)",
    auto_error=False,
)
Shown = Annotated[object, Depends(_scheme)]


async def caller_of(request: Request, platform: PlatformDep, _shown: Shown) -> Caller:
    """The caller; raises `TokenMissing` or `InvalidToken`. No other platform's reader."""
    caller = await find_caller(platform, request.scope)
    if caller is None:
        refusal = TokenMissing()
        challenge(platform, refusal, error=None)
        raise refusal
    if caller.client.spoken_by is not None:  # nothing is done in the reader's name
        own = TokenOfReader(why="spoken_by", holder=caller.client.client_id)
        challenge(platform, own, error="invalid_token", bound=True)
        raise own
    return caller


async def optional_caller_of(
    request: Request, platform: PlatformDep, _shown: Shown
) -> Caller | None:
    """The caller, None when no token was shown; a wrong token is refused all the same."""
    return await find_caller(platform, request.scope)


CallerDep = Annotated[Caller, Depends(caller_of)]
OptionalCaller = Annotated[Caller | None, Depends(optional_caller_of)]


def lacks_scope(platform: Platform, scope: str, *, bound: bool) -> InsufficientScope:
    """The refusal of a token without the scope, with its challenge."""
    refusal = InsufficientScope(scope=scope)
    challenge(platform, refusal, error="insufficient_scope", scope=scope, bound=bound)
    return refusal


def require(*, scope: str | None = None, role: Role | None = None) -> Any:
    """A dependency that gives the caller if its token has `scope` and its client has `role`.

    Without `role` it has one of those that may carry the scope.
    """
    return Depends(_requirement(scope, role))


def _requirement(scope: str | None, role: Role | None) -> Callable[..., Awaitable[Caller]]:
    async def required(caller: CallerDep, platform: PlatformDep) -> Caller:
        if scope is not None and scope not in caller.scope:
            raise lacks_scope(platform, scope, bound=caller.proves_each)
        needed = scopes.FIXED.get(scope or "", frozenset()) if role is None else {role}
        # Asked of the roles as they are: one that was taken away leaves its scope in the token.
        if needed and caller.client.roles.isdisjoint(needed):
            raise RoleMissing(role=" / ".join(sorted(needed)))
        return caller

    return required


async def second_factor_of(caller: CallerDep, platform: PlatformDep) -> None:
    """Let by whom no person stands behind, or one who proved a second factor lately.

    Approving and revoking need it (trust.md, People). Raises `SecondFactorNeeded`.
    """
    if caller.client.person_id is None:
        return
    at = caller.second_factor_at
    if at is None or clock.now() - at > SECOND_FACTOR_LASTS:
        refusal = SecondFactorNeeded(minutes=int(SECOND_FACTOR_LASTS.total_seconds() // 60))
        challenge(platform, refusal, error=refusal.code, bound=caller.proves_each)
        refusal.headers["WWW-Authenticate"] += (
            f', acr_values="{TWO_FACTORS}", max_age={int(SECOND_FACTOR_LASTS.total_seconds())}'
        )
        raise refusal


StepUp = Depends(second_factor_of)
AdminReader = Annotated[Caller, require(scope="admin:read")]
Operator = Annotated[Caller, require(scope="admin:read", role=Role.OPERATOR)]


async def admin_writer_of(
    caller: Annotated[Caller, require(scope="admin:write", role=Role.OPERATOR)],
    platform: PlatformDep,
) -> Caller:
    """An operator who, in person, has proven both factors lately.

    One factor must add no client either: that would be an operator whom nobody asks for a second.
    """
    await second_factor_of(caller, platform)
    return caller


AdminWriter = Annotated[Caller, Depends(admin_writer_of)]
AuditReader = Annotated[Caller, require(scope="audit:read")]
CatalogueWriter = Annotated[Caller, require(scope="catalogue:write", role=Role.STEWARD)]
OrganizationWriter = Annotated[Caller, require(scope="organization:write")]
Inviter = Annotated[Caller, require(scope="invitations:write")]
AgreementsWriter = Annotated[Caller, require(scope="agreements:write")]


def inviting_within(caller: Caller) -> str | None:
    """The body that an `Inviter` lets in for; None: every one, for an operator."""
    return None if Role.OPERATOR in caller.client.roles else caller.client.body_id


# The codes that every operation with a caller may refuse with; for `problems(…)`.
CALLER_CODES: Final = ("token_required", "invalid_token", "authorization_malformed")
SCOPED_CODES: Final = (*CALLER_CODES, "insufficient_scope", "role_missing")
ADMIN_CODES: Final = (*SCOPED_CODES, "insufficient_user_authentication")  # of an `AdminWriter`
