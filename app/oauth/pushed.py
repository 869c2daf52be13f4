"""Pushed authorization requests (RFC 9126): checked when they come, kept under a random name.

A browser brings the name and nothing else; what is asked for never goes through its address.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson

from app.kit import clock
from app.kit.certificates import Certificate
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.oauth.authorization import Asked, read_authorization
from app.oauth.grants import TokenEndpoint
from app.oauth.proofs import Proofs
from app.oauth.refusals import OAuthRefused
from app.policy.facts import ClientFacts

PATH: Final = "/oauth/par"
LIFETIME_S: Final = 90
# A browser that came in time has this long for the sign-in, the second factor and the consent.
_OPEN_FOR: Final = timedelta(minutes=10)
_URN: Final = "urn:ietf:params:oauth:request_uri:"
_KEEP: Final = """
INSERT INTO pushed_request (request_sha256, client_id, asked, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5)
"""
_OPEN: Final = """
UPDATE pushed_request SET opened_at = COALESCE(opened_at, $3),
    expires_at = CASE WHEN opened_at IS NULL THEN $4 ELSE expires_at END
WHERE request_sha256 = $1 AND client_id = $2 AND expires_at > $3 RETURNING asked, created_at
"""
_FORGET: Final = "DELETE FROM pushed_request WHERE expires_at < $1"


class RequestUnknown(AppError):
    """No open request of this client has this name: it is made up, answered or too old."""

    kind = Kind.MALFORMED
    code = "invalid_request_uri"
    ja = "サインインの要求がないか、期限切れか、回答済みです。アプリからやり直してください。"
    en = "The request to sign in is unknown, too old or answered. Begin again from the app."


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for somebody's answer."""

    client_id: str
    key: bytes  # its place in the database
    asked: Asked
    created_at: datetime


class PushedRequests:
    """Takes requests from clients and finds them again for a browser. One a process."""

    def __init__(
        self, database: Database, door: TokenEndpoint, proofs: Proofs, issuer: str
    ) -> None:
        self._database = database
        self._door = door
        self._proofs = proofs
        self._issuer = issuer

    async def push(
        self,
        form: Mapping[str, str],
        authorization: str | None,
        proofs: Sequence[bytes],
        certificate: Certificate | None = None,
    ) -> str:
        """The request URI of a request that is right, or `OAuthRefused`; the log has that first."""
        client = await self._door.prove(form, authorization, path=PATH, certificate=certificate)
        try:
            uri = self._issuer + PATH
            jkt = await self._proofs.take(proofs, "POST", uri) if proofs else None
            asked = read_authorization(form, client, self._issuer, jkt)
        except OAuthRefused as refusal:
            await self._door.record_refusal(refusal, client.client_id, path=PATH)
            raise
        return await self._keep(client, asked)

    async def _keep(self, client: ClientFacts, asked: Asked) -> str:
        request_uri = _URN + secrets.token_urlsafe(32)
        now = clock.now()
        kept = orjson.dumps(asked.as_json()).decode()
        expires_at = now + timedelta(seconds=LIFETIME_S)
        await self._database.pool.execute(
            _KEEP, _key_of(request_uri), client.client_id, kept, now, expires_at
        )
        return request_uri

    async def open(self, client: ClientFacts, request_uri: str) -> Pending:
        """The client's request of this name, or `RequestUnknown`.

        An address that the client has given up since leads nowhere any more.
        """
        now = clock.now()
        key = _key_of(request_uri)
        row = await self._database.pool.fetchrow(_OPEN, key, client.client_id, now, now + _OPEN_FOR)
        if row is None:
            raise RequestUnknown
        asked = Asked.from_json(orjson.loads(row["asked"]))
        if asked.redirect_uri not in client.redirect_uris:
            raise RequestUnknown
        return Pending(client.client_id, key, asked, row["created_at"])


async def forget_pushed(pool: "asyncpg.Pool[Any]") -> None:
    """Delete the requests that nobody can answer any more."""
    await pool.execute(_FORGET, clock.now())


def _key_of(request_uri: str) -> bytes:
    return hashlib.sha256(request_uri.encode()).digest()
