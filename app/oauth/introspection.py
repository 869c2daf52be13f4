"""What a token says, for clients that may know of it (RFC 7662). All else is `active: false`."""

from collections.abc import Mapping
from typing import Any, Final

from app.audit.events import Event
from app.audit.log import Log
from app.kit.certificates import Certificate
from app.models.parties import Role
from app.oauth.authority import Authority
from app.oauth.grants import TokenEndpoint
from app.oauth.refusals import shown_token
from app.oauth.tokens import InvalidToken, TokenVerifier, Verified, claims_of
from app.policy.facts import ClientFacts

PATH: Final = "/oauth/introspect"
_TOLD: Final = (
    "scope",
    "client_id",
    "exp",
    "iat",
    "jti",
    "iss",
    "aud",
    "sub",
    "org",
    "zone",
    # Only where the token carries them: its binding (RFC 7800), the agreement it is for, and how
    # the person that it acts for signed in and through whom it acts (RFC 8693, 4.1).
    "cnf",
    "agr",
    "pur",
    "acr",
    "auth_time",
    "act",
)


class Introspection:
    """Judges tokens for those who may ask, and records who asked about which. One a process."""

    def __init__(
        self,
        log: Log,
        door: TokenEndpoint,
        tokens: TokenVerifier,
        authority: Authority,
    ) -> None:
        self._log = log
        self._door = door
        self._tokens = tokens
        self._authority = authority

    async def answer(
        self,
        form: Mapping[str, str],
        authorization: str | None,
        certificate: Certificate | None = None,
    ) -> dict[str, Any]:
        """The token's claims, or `active: false` and no word more (RFC 7662, 2.2)."""
        caller = await self._door.prove(form, authorization, path=PATH, certificate=certificate)
        token = shown_token(form, caller.client_id)
        jti, why = None, None
        try:
            verified = await self._tokens.verify(token, of_citizens=True)
            jti, why = verified.jti, await self._withheld(caller, verified)
        except InvalidToken as exc:
            why = exc.named["why"]
        await self._log.write(
            Event.TOKEN_INTROSPECTED,
            client=caller.client_id,
            organization=caller.organization_id,
            jti=jti,
            active=why is None,
            why=why,
        )
        return _describe(token) if why is None else {"active": False}

    async def _withheld(self, caller: ClientFacts, verified: Verified) -> str | None:
        """Why a right token is not shown to the caller; None when it is."""
        if verified.client_id != caller.client_id and Role.OPERATOR not in caller.roles:
            return "foreign"
        try:
            await self._authority.of(verified)
        except InvalidToken as exc:
            return str(exc.named["why"])
        return None


def _describe(token: str) -> dict[str, Any]:
    claims = claims_of(token)
    # RFC 9449, 6.2: a token bound to a key is of another type.
    bound = "jkt" in claims.get("cnf", {})
    told: dict[str, Any] = {name: claims[name] for name in _TOLD if name in claims}
    return {"active": True, "token_type": "DPoP" if bound else "Bearer", **told}
