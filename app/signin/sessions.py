"""Sessions of people who signed in with a browser. Never keeps the secret that opens one."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from app.kit import clock
from app.kit.db import Database

LONGEST: Final = timedelta(hours=8)  # a working day
IDLE: Final = timedelta(minutes=30)
SECOND_FACTOR_LASTS: Final = timedelta(minutes=15)  # how long it covers what needs one
_SEEN_EVERY: Final = timedelta(minutes=1)  # one write a minute and session, not one a request
_SECRET_CHARS: Final = 43  # 256 random bits
MOST_FAILURES: Final = 5  # in a row; then whoever holds the session signs in anew

# A change that is under way is waited for: it ends the sessions that it finds, not one to come.
_OPEN: Final = """
INSERT INTO person_session
    (secret_sha256, person_id, methods, signed_in_at, second_factor_at, seen_at, expires_at, failures)
SELECT $1, p.id, $3, $4, $5, $6, $7, 0 FROM person p
WHERE p.id = $2 AND p.disabled_at IS NULL AND ($8::text IS NULL OR p.password_hash = $8)
FOR SHARE RETURNING person_id
"""
_FIND: Final = """
SELECT s.person_id, s.methods, s.signed_in_at, s.second_factor_at, s.seen_at
FROM person_session s
JOIN person p ON p.id = s.person_id JOIN organization o ON o.id = p.organization_id
LEFT JOIN identity_provider i ON i.id = p.provider_id
WHERE s.secret_sha256 = $1 AND s.expires_at > $2 AND s.seen_at > $3 AND s.failures < $4
  AND num_nonnulls(p.disabled_at, o.valid_to, i.disabled_at) = 0
"""
_SEEN: Final = "UPDATE person_session SET seen_at = $2 WHERE secret_sha256 = $1"
# One statement: of two that rotate one session at once, one gets a new one, the other nothing.
_ROTATE: Final = """
WITH old AS (DELETE FROM person_session WHERE secret_sha256 = $1 AND expires_at > $3 RETURNING *)
INSERT INTO person_session
    (secret_sha256, person_id, methods, signed_in_at, second_factor_at, seen_at, expires_at, failures)
SELECT $2, person_id, $4, signed_in_at, $3, $3, expires_at, 0 FROM old RETURNING person_id
"""
# Counted before it is judged: of many tries that come together no more are judged than of these.
_TRY: Final = f"""
UPDATE person_session SET failures = failures + 1
WHERE secret_sha256 = $1 AND failures < {MOST_FAILURES} RETURNING true
"""  # noqa: S608 - a number of ours
_CLEAR: Final = "UPDATE person_session SET failures = 0 WHERE secret_sha256 = $1"
_END: Final = "DELETE FROM person_session WHERE secret_sha256 = $1 RETURNING person_id"
_END_ALL: Final = "DELETE FROM person_session WHERE person_id = $1"
_COUNT: Final = """
SELECT count(*) FROM person_session
WHERE person_id = $1 AND expires_at > $2 AND seen_at > $3 AND failures < $4
"""
_FORGET: Final = "DELETE FROM person_session WHERE expires_at < $1 OR seen_at < $2"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is signed in, and what they have proven."""

    person_id: str
    methods: tuple[str, ...]  # RFC 8176
    signed_in_at: datetime
    second_factor_at: datetime | None

    @property
    def has_second_factor(self) -> bool:
        """Whether a second factor was proven lately enough for what needs one."""
        at = self.second_factor_at
        return at is not None and clock.now() - at <= SECOND_FACTOR_LASTS


class Sessions:
    """Opens, finds, rotates and ends sessions. One a process."""

    def __init__(self, database: Database) -> None:
        self._pool: asyncpg.Pool[Any] = database.pool

    async def open(
        self,
        person_id: str,
        methods: tuple[str, ...],
        *,
        second_factor: bool = False,
        signed_in_at: datetime | None = None,
        password_hash: str | None = None,
    ) -> str | None:
        """The secret of a new session, for the browser alone.

        None: the person was shut out since they were judged, or has another password than the one
        of `password_hash`, by which they were.

        A session is always a new one: a secret that somebody planted opens nothing. Apps are told
        when its person signed in: now, unless that was earlier, elsewhere.
        """
        secret = secrets.token_urlsafe(32)
        now = clock.now()
        proven_at = now if second_factor else None
        opened = await self._pool.fetchval(
            _OPEN, hash_of(secret), person_id, list(methods), signed_in_at or now, proven_at, now,
            now + LONGEST, password_hash,
        )  # fmt: skip
        return None if opened is None else secret

    async def find(self, secret: str | None) -> SignedIn | None:
        """Whose session the secret opens: None for an unknown, ended or idle one."""
        if secret is None or len(secret) != _SECRET_CHARS:
            return None
        now = clock.now()
        row = await self._pool.fetchrow(_FIND, hash_of(secret), now, now - IDLE, MOST_FAILURES)
        if row is None:
            return None
        if now - row["seen_at"] > _SEEN_EVERY:
            await self._pool.execute(_SEEN, hash_of(secret), now)
        return SignedIn(
            row["person_id"], tuple(row["methods"]), row["signed_in_at"], row["second_factor_at"]
        )

    async def step_up(self, secret: str, methods: tuple[str, ...]) -> str | None:
        """The new secret of a session whose person has proven a second factor now.

        The old secret opens nothing any more. None: it opened nothing before.
        """
        new = secrets.token_urlsafe(32)
        person_id = await self._pool.fetchval(
            _ROTATE, hash_of(secret), hash_of(new), clock.now(), list(methods)
        )
        return None if person_id is None else new

    async def take_try(self, secret: str) -> bool:
        """Count a password or code that is shown in a session; whether it may be judged.

        It is the session's count and not its account's: whoever guesses at the sign-in page keeps
        nobody who is inside from a second factor, and whoever found a session has a few tries.
        """
        return await self._pool.fetchval(_TRY, hash_of(secret)) is not None

    async def forget_tries(self, secret: str) -> None:
        """Begin to count anew: what was shown is right."""
        await self._pool.execute(_CLEAR, hash_of(secret))

    async def end(self, secret: str) -> str | None:
        """End a session; the person's id, None where there was none."""
        ended: str | None = await self._pool.fetchval(_END, hash_of(secret))
        return ended

    async def count(self, person_id: str) -> int:
        """How many sessions of a person are open."""
        now = clock.now()
        open_now: int = await self._pool.fetchval(_COUNT, person_id, now, now - IDLE, MOST_FAILURES)
        return open_now

    async def end_all(self, person_id: str) -> None:
        """End every session of a person."""
        await self._pool.execute(_END_ALL, person_id)


def csrf_of(secret: str) -> str:
    """What a form of this session must bring along; nobody without the secret can make it."""
    told = hmac.digest(secret.encode(), b"csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(told).rstrip(b"=").decode()


def is_csrf_of(secret: str, shown: str | None) -> bool:
    """Whether a form came from a page of this session."""
    return shown is not None and hmac.compare_digest(csrf_of(secret).encode(), shown.encode())


async def forget_sessions(pool: "asyncpg.Pool[Any]") -> None:
    """Delete sessions that have run out."""
    now = clock.now()
    await pool.execute(_FORGET, now, now - IDLE)


def hash_of(secret: str) -> bytes:
    """What is kept of a secret that we made.

    A plain hash is enough: it is random, nobody can guess it from a list.
    """
    return hashlib.sha256(secret.encode()).digest()
