"""Citizens' sign-in at providers of their own, and their sessions. Keeps nothing that names anybody.

Asks a provider for no name, mail or address. Who it is stays a reference that the caller makes
and that is kept sealed: this module cannot tell whom it stands for.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson

from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.kit.outbound import Outbound
from app.models.citizens import CitizenProvider
from app.policy.assurance import Level
from app.signin import citizen_providers
from app.signin.discovery import Discovery
from app.signin.relying import (
    LONGEST_ANSWER,
    ProviderDisabled,
    RelyingParty,
    Sent,
    SignInNotBegun,
    address,
)
from app.signin.sessions import IDLE, hash_of

LONGEST: Final = timedelta(hours=1)  # at a counter or at home, another may sit down next
_LASTS: Final = timedelta(minutes=10)
_SEEN_EVERY: Final = timedelta(minutes=1)
_SECRET_CHARS: Final = 43
_BEGIN: Final = """
INSERT INTO citizen_sign_in
    (state_sha256, provider_id, browser_sha256, sealed, return_to, begun_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
# Another browser's state is not found, and stays that browser's to use.
_TAKE: Final = """
DELETE FROM citizen_sign_in
WHERE state_sha256 = $1 AND provider_id = $2 AND browser_sha256 = $3 AND expires_at > $4
RETURNING sealed, return_to, begun_at
"""
_OPEN: Final = """
INSERT INTO citizen_session
    (secret_sha256, sealed_person, provider_id, level, signed_in_at, seen_at, expires_at)
SELECT $1, $2, p.id, $4, $5, $5, $6 FROM citizen_provider p
WHERE p.id = $3 AND p.disabled_at IS NULL FOR SHARE RETURNING true
"""
_FIND: Final = """
SELECT sealed_person, level, signed_in_at, seen_at FROM citizen_session
WHERE secret_sha256 = $1 AND expires_at > $2 AND seen_at > $3
"""
_SEEN: Final = "UPDATE citizen_session SET seen_at = $2 WHERE secret_sha256 = $1"
_END: Final = "DELETE FROM citizen_session WHERE secret_sha256 = $1 RETURNING true"
_FORGET: Final = "DELETE FROM citizen_session WHERE expires_at < $1 OR seen_at < $2"
_FORGET_UNDER_WAY: Final = "DELETE FROM citizen_sign_in WHERE expires_at < $1"


class AssuranceUnknown(AppError):
    """The provider did not say how surely, or in a word that the registry does not know."""

    kind = Kind.FORBIDDEN
    code = "assurance_unknown"
    ja = "認証プロバイダーが本人確認の強さを示しませんでした。別の方法でサインインしてください。"
    en = "The identity provider did not say how surely you signed in. Sign in another way."


@dataclass(frozen=True, slots=True)
class ToldOfCitizen:
    """What came of a sign-in: what the provider calls the citizen, and how sure that is."""

    provider_id: str
    issuer: str
    subject: str = field(repr=False)
    level: Level
    return_to: str


@dataclass(frozen=True, slots=True)
class SignedInCitizen:
    """Whose browser it is, and how surely. `reference` is for the linker alone."""

    reference: bytes = field(repr=False)
    level: Level
    signed_in_at: datetime


class CitizenSignIn:
    """Sends citizens to their provider, and reads what comes back. One a process."""

    def __init__(
        self, database: Database, outbound: Outbound, sealer: Sealer, *, issuer: str
    ) -> None:
        self._database = database
        self._pool: asyncpg.Pool[Any] = database.pool
        self._sealer = sealer
        self._issuer = issuer
        self._relying = RelyingParty(outbound, sealer, Discovery(outbound))

    async def begin(
        self, provider_id: str, browser: str, return_to: str, *, wanted: Level | None
    ) -> str:
        """The address of the provider that this browser is to be sent to.

        Each sign-in is a new one there: browsers of citizens are shared.
        """
        provider = await self._provider(provider_id)
        metadata = await self._relying.metadata(provider)
        state, sent = secrets.token_urlsafe(32), Sent()
        now = clock.now()
        kept = orjson.dumps([sent.nonce, sent.verifier])
        sealed = self._sealer.seal(kept, about=_about(provider_id))
        await self._pool.execute(
            _BEGIN, hash_of(state), provider_id, hash_of(browser), sealed, return_to, now,
            now + _LASTS,
        )  # fmt: skip
        asked = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": self._redirect_uri(provider_id),
            "scope": "openid",
            "state": state,
            "prompt": "login",
            "max_age": "0",
            "acr_values": " ".join(citizen_providers.acrs_reaching(provider, wanted)),
            **sent.as_asked(),
        }
        return address(metadata, asked)

    async def finish(
        self, provider_id: str, browser: str, answer: Mapping[str, str]
    ) -> ToldOfCitizen:
        """Who signed in, by the provider's answer that this browser brought back.

        The answer is used up, whatever comes of it.
        """
        state, row = answer.get("state", ""), None
        if 0 < len(state) <= LONGEST_ANSWER:
            row = await self._pool.fetchrow(
                _TAKE, hash_of(state), provider_id, hash_of(browser), clock.now()
            )
        if row is None:
            raise SignInNotBegun
        provider = await self._provider(provider_id)
        kept = self._sealer.unseal(row["sealed"], about=_about(provider_id))
        answered = await self._relying.answered(
            provider,
            Sent(*orjson.loads(kept)),
            answer,
            redirect_uri=self._redirect_uri(provider_id),
            key_name=citizen_providers.key_name(provider_id),
            not_before_s=row["begun_at"].timestamp(),
        )
        level = provider.levels.get(str(answered.claims.get("acr")))
        if level is None:
            raise AssuranceUnknown
        subject = answered.claims["sub"]
        return ToldOfCitizen(provider.id, provider.issuer, subject, Level(level), row["return_to"])

    async def _provider(self, provider_id: str) -> CitizenProvider:
        async with self._database.reading() as session:
            provider = await citizen_providers.get(session, provider_id)
        if provider.disabled_at is not None:
            raise ProviderDisabled(provider=provider.id)
        return provider

    def _redirect_uri(self, provider_id: str) -> str:
        return callback_of(self._issuer, provider_id)


class CitizenSessions:
    """Opens, finds and ends sessions of citizens. One a process."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._pool: asyncpg.Pool[Any] = database.pool
        self._sealer = sealer

    async def open(self, provider_id: str, reference: bytes, level: Level) -> str | None:
        """The secret of a new session, for the browser alone. None: the provider is shut out."""
        secret = secrets.token_urlsafe(32)
        key = hash_of(secret)
        sealed = self._sealer.seal(reference, about=_about_session(key))
        now = clock.now()
        opened = await self._pool.fetchval(
            _OPEN, key, sealed, provider_id, level.value, now, now + LONGEST
        )
        return secret if opened else None

    async def find(self, secret: str | None) -> SignedInCitizen | None:
        """Whose session the secret opens: None for an unknown, ended or idle one."""
        if secret is None or len(secret) != _SECRET_CHARS:
            return None
        key, now = hash_of(secret), clock.now()
        row = await self._pool.fetchrow(_FIND, key, now, now - IDLE)
        if row is None:
            return None
        if now - row["seen_at"] > _SEEN_EVERY:
            await self._pool.execute(_SEEN, key, now)
        reference = self._sealer.unseal(row["sealed_person"], about=_about_session(key))
        return SignedInCitizen(reference, Level(row["level"]), row["signed_in_at"])

    async def end(self, secret: str) -> bool:
        """End a session; whether there was one."""
        return await self._pool.fetchval(_END, hash_of(secret)) is not None


def callback_of(issuer: str, provider_id: str) -> str:
    """Where a provider sends citizens back to: it is entered on the provider's side."""
    return f"{issuer}/me/sign-in/callback/{provider_id}"


async def forget_citizens(pool: "asyncpg.Pool[Any]") -> None:
    """Delete sessions that have run out, and sign-ins that never came back."""
    now = clock.now()
    await pool.execute(_FORGET, now, now - IDLE)
    await pool.execute(_FORGET_UNDER_WAY, now)


def _about(provider_id: str) -> str:
    return f"citizen_sign_in:{provider_id}"


def _about_session(key: bytes) -> str:
    """What a sealed reference is bound to: one put into another's session opens nothing."""
    return f"citizen_session:{key.hex()}"
