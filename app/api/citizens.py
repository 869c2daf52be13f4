"""Which citizen calls: the dependency of the doors that are a citizen's own. Opens nothing else."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request

from app.api.access import (
    CALLER_CODES,
    Shown,
    TokenMissing,
    TokenOfCitizen,
    challenge,
    find_caller,
    lacks_scope,
)
from app.api.sessions import PlatformDep
from app.api.state import Platform
from app.kit.errors import AppError, Kind
from app.oauth.tokens import InvalidToken
from app.policy.assurance import Level
from app.policy.facts import CitizenCaller, ClientFacts
from app.subjects.linker import PersonRef

CITIZEN_CODES: Final = (*CALLER_CODES, "citizens_only", "insufficient_scope", "acr_insufficient")


class CitizensOnly(AppError):
    """Staff and machines have nothing here that would be theirs."""

    kind = Kind.FORBIDDEN
    code = "citizens_only"
    ja = "住民本人のサインインで得たトークンが必要です。職員やシステムのトークンでは使えません。"
    en = "This needs a token of a citizen who signed in: neither staff nor a system has one."


class AcrInsufficient(AppError):
    """The citizen signed in, and not surely enough (RFC 9470, 3)."""

    kind = Kind.FORBIDDEN
    code = "acr_insufficient"
    ja = "この操作には本人確認の強さ {wanted} 以上のサインインが必要です（現在は {level}）。acr_values={acr} でサインインし直してください。"
    en = "This needs a sign-in as sure as {wanted}, and yours is {level}: sign in again with acr_values={acr}."


@dataclass(frozen=True, slots=True)
class Citizen:
    """Who calls: the person for the linker alone, how surely, and through which client."""

    person: PersonRef
    level: Level
    client: ClientFacts


async def find_citizen(request: Request, platform: Platform) -> CitizenCaller | None:
    """The citizen whose token was shown; None for a caller who is none. Raises `TokenMissing`."""
    with suppress(TokenOfCitizen):
        if await find_caller(platform, request.scope) is None:
            refusal = TokenMissing()
            challenge(platform, refusal, error=None)
            raise refusal
    found: CitizenCaller | None = request.scope.get("citizen")
    return found


def own(scope: str) -> Any:
    """A dependency that gives the citizen who let the app have `scope`, and is sure enough."""

    async def required(request: Request, platform: PlatformDep, _shown: Shown) -> Citizen:
        caller = await find_citizen(request, platform)
        if caller is None:
            raise CitizensOnly
        if scope not in caller.scope:
            raise lacks_scope(platform, scope, bound=caller.proves_each)
        check_level(platform, caller.level, bound=caller.proves_each)
        return Citizen(await _person(platform, caller), caller.level, caller.client)

    return Depends(required)


def check_level(platform: Platform, level: Level, *, bound: bool = False) -> None:
    """Raises `AcrInsufficient`, with the challenge of RFC 9470, 3."""
    wanted = platform.citizen_assurance
    if level.reaches(wanted):
        return
    refusal = AcrInsufficient(wanted=wanted.value, level=level.value, acr=wanted.acr)
    challenge(platform, refusal, error="insufficient_user_authentication", bound=bound)
    refusal.headers["WWW-Authenticate"] += f', acr_values="{wanted.acr}"'
    raise refusal


async def _person(platform: Platform, caller: CitizenCaller) -> PersonRef:
    """Whom the name in the token names: nobody, once they were forgotten."""
    client = caller.client
    person = await platform.linker.person(client.organization_id, caller.subject)
    if person is None:
        refusal = InvalidToken(why="citizen_unknown", holder=client.client_id)
        challenge(platform, refusal, error="invalid_token", bound=caller.proves_each)
        raise refusal
    return person


ConsentsOf = Annotated[Citizen, own("me:consents")]
AccessesOf = Annotated[Citizen, own("me:accesses")]
