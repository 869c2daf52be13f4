"""Ending one token before it expires (RFC 7009). A client ends its own tokens and no other's."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.audit.log import Log
from app.kit import clock
from app.kit.certificates import Certificate
from app.kit.db import Database
from app.kit.live import Live
from app.oauth.grants import TokenEndpoint
from app.oauth.refusals import shown_token
from app.oauth.tokens import SKEW_S, InvalidToken, TokenVerifier, Verified
from app.policy.facts import ClientFacts

PATH: Final = "/oauth/revoke"
_REVOKE: Final = text("""
INSERT INTO revoked_token (jti, client_id, revoked_at, expires_at)
VALUES (:jti, :client_id, :revoked_at, :expires_at) ON CONFLICT DO NOTHING RETURNING true
""")
_FORGET: Final = "DELETE FROM revoked_token WHERE expires_at < $1"


class Revocation:
    """Ends tokens and records it. One a process."""

    def __init__(
        self, database: Database, live: Live, log: Log, door: TokenEndpoint, tokens: TokenVerifier
    ) -> None:
        self._database = database
        self._live = live
        self._log = log
        self._door = door
        self._tokens = tokens

    async def answer(
        self,
        form: Mapping[str, str],
        authorization: str | None,
        certificate: Certificate | None = None,
    ) -> None:
        """End the token if it is the caller's. Nothing tells whether it was (RFC 7009, 2.2)."""
        caller = await self._door.prove(form, authorization, path=PATH, certificate=certificate)
        token = shown_token(form, caller.client_id)
        try:
            verified = await self._tokens.verify(token, of_citizens=True)
        except InvalidToken as exc:
            await self._no_effect(caller, why=exc.named["why"])
            return
        if verified.client_id != caller.client_id:
            await self._no_effect(caller, why="foreign", jti=verified.jti)
        elif not await self._revoke(caller, verified):
            await self._no_effect(caller, why="revoked", jti=verified.jti)
        # The others hear of it by notification. Whoever asks here next is refused.
        self._live.changed("token", verified.jti)

    async def _revoke(self, caller: ClientFacts, verified: Verified) -> bool:
        """Whether this call ended it; another may have done so at the same moment."""
        expires_at = datetime.fromtimestamp(verified.exp, UTC)
        async with self._database.writing() as session:
            if not await end_token(session, verified.jti, verified.client_id, expires_at):
                return False
            await audit.append(
                session,
                Event.TOKEN_REVOKED,
                client=caller.client_id,
                organization=caller.organization_id,
                jti=verified.jti,
            )
        return True

    async def _no_effect(self, caller: ClientFacts, **facts: Any) -> None:
        await self._log.write(
            Event.TOKEN_NOT_REVOKED,
            client=caller.client_id,
            organization=caller.organization_id,
            **facts,
        )


async def end_token(session: AsyncSession, jti: str, client_id: str, expires_at: datetime) -> bool:
    """End a token before its time; whether this call was the one that did."""
    told = {
        "jti": jti,
        "client_id": client_id,
        "revoked_at": clock.now(),
        # Kept a little longer than the token is valid: the replicas' clocks differ.
        "expires_at": expires_at + timedelta(seconds=2 * SKEW_S),
    }
    return bool(await session.scalar(_REVOKE, told))


async def forget_revoked(pool: "asyncpg.Pool[Any]") -> None:
    """Delete the revocations of tokens that have expired: those are refused without them."""
    await pool.execute(_FORGET, clock.now())
