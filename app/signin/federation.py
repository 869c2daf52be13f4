"""Sign-in through an organisation's OpenID Connect provider: code, PKCE S256, state, nonce, iss.

Believes nothing that did not come from the provider to which this browser was sent, and keeps none
of the tokens that it gets.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson

from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.kit.outbound import Outbound
from app.models.providers import IdentityProvider
from app.signin import providers
from app.signin.claims import Reading, read_claims
from app.signin.discovery import Discovery
from app.signin.id_tokens import is_since
from app.signin.relying import (
    LONGEST_ANSWER,
    Answered,
    ProviderDisabled,
    RelyingParty,
    Sent,
    SignInNotBegun,
    address,
)
from app.signin.sessions import LONGEST, hash_of

LASTS: Final = timedelta(minutes=10)
_BEGIN: Final = """
INSERT INTO sign_in_under_way
    (state_sha256, provider_id, browser_sha256, sealed, return_to, person_id, begun_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
# Another browser's state is not found, and stays that browser's to use.
_TAKE: Final = """
DELETE FROM sign_in_under_way
WHERE state_sha256 = $1 AND provider_id = $2 AND browser_sha256 = $3 AND expires_at > $4
RETURNING sealed, return_to, person_id, begun_at
"""
_FORGET: Final = "DELETE FROM sign_in_under_way WHERE expires_at < $1"


class NoSecondFactor(AppError):
    """The provider did not say that a second factor was proven."""

    kind = Kind.FORBIDDEN
    code = "no_second_factor"
    ja = "認証プロバイダーが二要素認証を確認しませんでした。組織の管理者に連絡してください。"
    en = "The identity provider did not vouch for a second factor. Ask who runs it."


class SomebodyElse(AppError):
    """Another person signed in at the provider than the one who was to prove a second factor."""

    kind = Kind.FORBIDDEN
    code = "somebody_else"
    ja = "サインイン中の職員とは別の職員として認証されました。サインアウトしてからやり直してください。"
    en = "Somebody else signed in than who is signed in here. Sign out, then begin anew."


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a sign-in: who it is at the provider, and what that means here."""

    provider_id: str
    subject: str
    reading: Reading
    signed_in_at: datetime  # there: it may have been long before they came here
    second_factor: bool  # proven in this very sign-in
    return_to: str
    step_up_for: str | None

    @property
    def methods(self) -> tuple[str, ...]:
        """How they signed in, for the session: by federation; and mfa of RFC 8176."""
        return ("fed", "mfa") if self.second_factor else ("fed",)


@dataclass(frozen=True, slots=True)
class _Begun:
    sent: Sent
    return_to: str
    person_id: str | None
    begun_at: datetime
    again: bool


class Federation:
    """Sends people to their provider, and reads what comes back. One a process."""

    def __init__(
        self, database: Database, outbound: Outbound, sealer: Sealer, *, issuer: str
    ) -> None:
        self._database = database
        self._pool: asyncpg.Pool[Any] = database.pool
        self._outbound = outbound
        self._sealer = sealer
        self._issuer = issuer
        self._discovery = Discovery(outbound)
        self._relying = RelyingParty(outbound, sealer, self._discovery)

    async def begin(
        self,
        provider_id: str,
        browser: str,
        return_to: str,
        *,
        again: bool = False,
        step_up_for: str | None = None,
    ) -> str:
        """The address of the provider that this browser is to be sent to.

        `again`: a session that is open there already will not do. `step_up_for` is the person who
        is to sign in anew there, with a second factor.
        """
        entry = await self._entry(provider_id)
        provider = entry.provider
        if step_up_for and not (provider.acr_values or provider.amr_values):
            raise NoSecondFactor
        metadata = await self._relying.metadata(provider)
        state, sent = secrets.token_urlsafe(32), Sent()
        again = again or step_up_for is not None
        kept = orjson.dumps([sent.nonce, sent.verifier, again])
        sealed = self._sealer.seal(kept, about=_about(provider_id))
        now = clock.now()
        await self._pool.execute(
            _BEGIN, hash_of(state), provider_id, hash_of(browser), sealed, return_to, step_up_for, now,
            now + LASTS,
        )  # fmt: skip
        asked = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": self._redirect_uri(provider_id),
            "scope": metadata.scope,
            "state": state,
            **sent.as_asked(),
        }
        if again:
            asked |= {"prompt": "login", "max_age": "0"}
        if step_up_for and provider.acr_values:
            asked["acr_values"] = " ".join(provider.acr_values)
        return address(metadata, asked)

    async def finish(self, provider_id: str, browser: str, answer: Mapping[str, str]) -> Told:
        """Who signed in, by the provider's answer that this browser brought back.

        The answer is used up, whatever comes of it.
        """
        begun = await self._take(provider_id, browser, answer.get("state", ""))
        entry = await self._entry(provider_id)
        provider = entry.provider
        answered = await self._relying.answered(
            provider,
            begun.sent,
            answer,
            redirect_uri=self._redirect_uri(provider_id),
            key_name=providers.key_name(provider_id),
            not_before_s=begun.begun_at.timestamp() if begun.again else None,
        )
        claims = await self._completed(provider, answered)
        reading = read_claims(claims, provider, entry.domains)
        # Somebody who proved two factors at the provider this morning has not proven them now.
        is_now = is_since(claims, begun.begun_at.timestamp())
        is_proven = reading.second_factor and is_now
        if begun.person_id and not is_proven:
            raise NoSecondFactor
        now = clock.now()
        return Told(
            provider.id, claims["sub"], reading, now if is_now else _signed_in_at(claims, now),
            is_proven, begun.return_to, begun.person_id,
        )  # fmt: skip

    async def _entry(self, provider_id: str) -> providers.Entry:
        async with self._database.reading() as session:
            provider = await providers.get(session, provider_id)
            entry = await providers.entry_of(session, provider)
        if provider.disabled_at is not None:
            raise ProviderDisabled(provider=provider.id)
        return entry

    async def _take(self, provider_id: str, browser: str, state: str) -> _Begun:
        row = None
        if 0 < len(state) <= LONGEST_ANSWER:
            row = await self._pool.fetchrow(
                _TAKE, hash_of(state), provider_id, hash_of(browser), clock.now()
            )
        if row is None:
            raise SignInNotBegun
        nonce, verifier, again = orjson.loads(
            self._sealer.unseal(row["sealed"], about=_about(provider_id))
        )
        sent = Sent(nonce, verifier)
        return _Begun(sent, row["return_to"], row["person_id"], row["begun_at"], again)

    async def _completed(self, provider: IdentityProvider, answered: Answered) -> dict[str, Any]:
        """The claims with those that the provider tells at its userinfo endpoint alone."""
        claims, token, metadata = answered.claims, answered.access_token, answered.metadata
        needed = {"email", "email_verified", provider.group_claim or "email"}
        if needed <= claims.keys() or metadata.userinfo_endpoint is None:
            return claims
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            return claims
        answer = await self._outbound.fetch(
            "GET", metadata.userinfo_endpoint, headers={"Authorization": f"Bearer {token}"}
        )
        if answer.status != 200:
            return claims
        told = answer.json_object()
        if told.get("sub") != claims["sub"]:
            return claims  # OpenID Connect Core 1.0, 5.3.2: of another nothing may be used
        names = ("email", "email_verified", "name", "preferred_username", provider.group_claim)
        taken = {name: told[name] for name in names if name in told}
        # One address is never proven by what was said of another.
        kept = {k: v for k, v in claims.items() if k != "email_verified" or "email" not in taken}
        return {**kept, **taken}

    def _redirect_uri(self, provider_id: str) -> str:
        return f"{self._issuer}/sign-in/callback/{provider_id}"


def _signed_in_at(claims: Mapping[str, Any], now: datetime) -> datetime:
    """When the provider says that somebody signed in there; as long ago as can be where it does not.

    An app that wants a sign-in of now must not be told of this morning's as one.
    """
    ago_s = now.timestamp() - claims.get("auth_time", 0)
    is_told = 0 <= ago_s <= LONGEST.total_seconds()
    return now - (timedelta(seconds=ago_s) if is_told else LONGEST)


async def forget_under_way(pool: "asyncpg.Pool[Any]") -> None:
    """Delete sign-ins that never came back."""
    await pool.execute(_FORGET, clock.now())


def _about(provider_id: str) -> str:
    return f"sign_in:{provider_id}"
