"""Local accounts: a password, a code, and how often somebody may be wrong.

Says one thing of an unknown address, a wrong password, a lock and a closed account, and takes
equally long over each.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from app.audit.events import Event
from app.audit.log import Log
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.signin import totp
from app.signin.passwords import is_password_of
from app.signin.sessions import Sessions

FREE_FAILURES: Final = 5  # then a lock, twice as long with each further one
FIRST_LOCK_S: Final = 30
LONGEST_LOCK_S: Final = 900  # whoever guesses must not keep a colleague out for long

_ACCOUNT: Final = """
SELECT p.id, p.password_hash, p.totp_sealed, p.totp_confirmed_at,
       p.disabled_at IS NULL AND o.valid_to IS NULL AND p.provider_id IS NULL AS may_sign_in
FROM person p JOIN organization o ON o.id = p.organization_id WHERE {who}
"""
_FIND: Final = _ACCOUNT.format(who="lower(p.email) = lower($1)")
_GET: Final = _ACCOUNT.format(who="p.id = $1")
# Counted before it is judged, and locked at once: of many tries that come together on any number
# of replicas no more are judged than of one after another. Who was locked yesterday begins anew.
_COUNT: Final = f"""
UPDATE person SET failures = tried.n, locked_until = CASE WHEN tried.n >= {FREE_FAILURES} THEN
    $2::timestamptz + make_interval(secs =>
        least({FIRST_LOCK_S} * power(2, tried.n - {FREE_FAILURES}), {LONGEST_LOCK_S})) END
FROM (
    SELECT id, CASE WHEN locked_until < $2::timestamptz - interval '1 day' THEN 1
                    ELSE least(failures, 50) + 1 END AS n
    FROM person WHERE id = $1 AND coalesce(locked_until, '-infinity') <= $2 FOR UPDATE
) tried
WHERE person.id = tried.id RETURNING tried.n
"""  # noqa: S608 - the numbers above, and nothing from outside
_CLEAR: Final = "UPDATE person SET failures = 0, locked_until = NULL WHERE id = $1"
# Of two who show one code at once, one is let in (RFC 6238, 5.2).
_USE_STEP: Final = """
UPDATE person SET totp_step = $2 WHERE id = $1 AND coalesce(totp_step, -1) < $2 RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Proven:
    """Who somebody is, and how they have shown it (RFC 8176)."""

    person_id: str
    methods: tuple[str, ...]
    password_hash: str = field(repr=False)  # the one that was judged

    @property
    def second_factor(self) -> bool:
        """Whether both factors were shown."""
        return "otp" in self.methods


class Accounts:
    """Judges what people sign in with. One a process."""

    def __init__(self, database: Database, sealer: Sealer, log: Log, sign_ins: Sessions) -> None:
        self._pool: asyncpg.Pool[Any] = database.pool
        self._sealer = sealer
        self._log = log
        self._sign_ins = sign_ins

    async def sign_in(self, email: str, password: str, code: str, request: str) -> str | None:
        """The secret of a new session of who signs in. None for everybody else, whatever the reason."""
        proven = await self._prove(email, password, code, request)
        if proven is None:
            return None
        person_id = proven.person_id
        secret = await self._sign_ins.open(
            person_id, proven.methods, second_factor=proven.second_factor,
            password_hash=proven.password_hash,
        )  # fmt: skip
        if secret is None:
            await self._refused(person_id, "changed", request)
            return None
        await self._pool.execute(_CLEAR, person_id)
        await self._log.write(
            Event.SIGNED_IN, person=person_id, methods=proven.methods, request=request
        )
        return secret

    async def _prove(self, email: str, password: str, code: str, request: str) -> Proven | None:
        """Who has shown who they are; the refusal of everybody else is in the log.

        Who has set up a second factor shows it here: half of what proves them opens nothing, and
        nobody learns which half was wrong.
        """
        row = await self._pool.fetchrow(_FIND, email)
        person_id = row["id"] if row is not None else None
        methods: tuple[str, ...] = ("pwd",)
        counting = self._count(row["id"] if row is not None and row["may_sign_in"] else "")
        why = await self._why_not(row, password, counting)
        if why is None and row is not None and row["totp_confirmed_at"] is not None:
            why = None if await self._use_code(row, code) else "code"
            methods = ("pwd", "otp")
        if why is not None or row is None:
            await self._refused(person_id, why or "unknown", request)
            return None
        return Proven(row["id"], methods, row["password_hash"])

    async def is_password(self, person_id: str, secret: str, password: str, request: str) -> bool:
        """Whether who holds the session of this secret knows the password. Failures count."""
        row = await self._pool.fetchrow(_GET, person_id)
        why = await self._why_not(row, password, self._sign_ins.take_try(secret))
        return await self._settle(person_id, secret, why, request)

    async def is_code(self, person_id: str, secret: str, code: str, request: str) -> bool:
        """Whether who holds the session of this secret has the second factor. Failures count."""
        row = await self._pool.fetchrow(_GET, person_id)
        why: str | None = "code"
        if row is None or row["totp_confirmed_at"] is None:
            why = "none"
        elif not await self._sign_ins.take_try(secret):
            why = "locked"
        elif await self._use_code(row, code):
            why = None
        return await self._settle(person_id, secret, why, request)

    async def _settle(self, person_id: str, secret: str, why_not: str | None, request: str) -> bool:
        """Forget the failures of who was right in a session; note those of who was not."""
        if why_not is None:
            await self._sign_ins.forget_tries(secret)
            return True
        await self._refused(person_id, why_not, request)
        return False

    async def _refused(self, person_id: str | None, why: str, request: str) -> None:
        await self._log.write(Event.SIGN_IN_REFUSED, person=person_id, why=why, request=request)

    async def _why_not(
        self, row: "asyncpg.Record | None", password: str, counting: Awaitable[bool]
    ) -> str | None:
        """Why the password opens nothing now: for the log alone.

        The try is counted while the hash is made, which takes much longer: that it was counted,
        or that there is nobody to count it for, cannot be told from outside.
        """
        counted, is_right = await asyncio.gather(
            counting,
            is_password_of(row["password_hash"] if row is not None else None, password),
        )
        if row is None:
            return "unknown"
        if not row["may_sign_in"]:
            return "closed"
        if not counted:
            return "locked"
        return None if is_right else "password"

    async def _count(self, person_id: str) -> bool:
        """Count a try of an account; whether it may be judged.

        Nobody waits for the disk: a count that a crash forgets is no loss, and the wait would tell
        an account that exists from one that does not.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = off")
            return await connection.fetchval(_COUNT, person_id, clock.now()) is not None

    async def _use_code(self, row: "asyncpg.Record", code: str) -> bool:
        sealed, person_id = row["totp_sealed"], row["id"]
        secret = self._sealer.unseal(sealed, about=about_totp(person_id)).decode()
        step = totp.step_of(secret, code, clock.now())
        if step is None:
            return False
        return await self._pool.fetchval(_USE_STEP, person_id, step) is not None


def about_totp(person_id: str) -> str:
    """What a person's sealed secret is bound to: one put into another's row opens nothing."""
    return f"totp:{person_id}"
