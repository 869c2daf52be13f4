"""Keeps the log's tree and signs what it has become. Signs no tree that does not hold the last.

The key is made once, sealed, and never changes: it is what outsiders know the log by.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit import tree
from app.audit.merkle import EMPTY_ROOT
from app.audit.notes import LOG, Checkpoint, Note, Signer, Verifier
from app.audit.tree import LogBroken
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import LOST, DatabaseUnavailable

log = structlog.get_logger()
_LOOK_S: Final = 5.0  # the tree is at most about so far behind the entries
_SIGNED_EVERY: Final = timedelta(seconds=30)
_CONFIRMED_EVERY: Final = timedelta(hours=1)
_PLACE: Final = "log_key:1"
_KEY: Final = "SELECT verifier, sealed_private FROM log_key"
_ADD_KEY: Final = """
INSERT INTO log_key (id, verifier, sealed_private, created_at) VALUES (1, $1, $2, $3)
ON CONFLICT (id) DO NOTHING
"""
_NEWEST: Final = "SELECT * FROM log_checkpoint ORDER BY size DESC LIMIT 1"
_WITNESSED: Final = """
SELECT * FROM log_checkpoint WHERE size = (SELECT max(size) FROM log_cosignature)
"""
_COSIGNATURES: Final = (
    "SELECT line FROM log_cosignature WHERE size = $1 ORDER BY signed_at, witness"
)
_UNSIGNED: Final = """
SELECT extract(epoch FROM now() - (body::jsonb ->> 'at')::timestamptz)::float8 FROM log_entry
WHERE seq = (SELECT coalesce(max(size), 0) + 1 FROM log_checkpoint)
"""
_SIGN: Final = """
INSERT INTO log_checkpoint (size, root, note, signed_at, confirmed_at) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (size) DO UPDATE SET confirmed_at = EXCLUDED.confirmed_at
"""


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint with its note; `note` holds what witnesses signed of it as well."""

    size: int
    root: bytes
    note: str
    signed_at: datetime
    confirmed_at: datetime


class LogKeeper:
    """Grows the tree and signs it, in the background. One a zone's application; one at a time works."""

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        sealer: Sealer,
        origin: str,
        witnesses: tuple[Verifier, ...] = (),
    ) -> None:
        self.witnesses = witnesses  # whose signatures are taken
        self._pool = pool
        self._sealer = sealer
        self._origin = origin
        self._task: asyncio.Task[None] | None = None
        self._signer: Signer | None = None
        self._told: str | None = None

    async def start(self) -> None:
        """Make the key where there is none, and begin to work."""
        await self._signing()
        self._task = asyncio.create_task(self._keep_for_ever(), name="log tree")

    async def stop(self) -> None:
        """Stop; what was begun is taken back."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def key(self) -> str:
        """The key that checkpoints are verified with, as C2SP writes it."""
        return str((await self._signing()).verifier)

    async def checkpoint(self) -> Signed:
        """The newest checkpoint; raises `DatabaseUnavailable` while the log cannot be signed."""
        found = await newest(self._pool)
        if found is None:
            with contextlib.suppress(LogBroken):
                await self.keep()
            found = await newest(self._pool)
        if found is None:
            raise DatabaseUnavailable
        return found

    async def keep(self, *, now: bool = True) -> None:
        """Take in what was written and sign it: at once, or when it is time. `LogBroken`."""
        while await tree.grow(self._pool):
            pass
        last = await newest(self._pool)
        size = await tree.size_of(self._pool)
        if last is None or now or _is_time(last, size):
            await self._sign(last, size)

    async def _sign(self, last: Signed | None, size: int) -> None:
        if last is not None and size < last.size:
            raise LogBroken(size + 1)
        known = last.size if last else 0
        root, before = await tree.roots_of(self._pool, [(0, size), (0, known)])
        if before != (last.root if last else EMPTY_ROOT):
            raise LogBroken(known)
        signer = await self._signing()
        text = Checkpoint(signer.name, size, root).text
        note = str(Note(text, (signer.sign(text),)))
        await self._pool.execute(_SIGN, size, root, note, clock.now())

    async def _signing(self) -> Signer:
        if self._signer is None:
            row = await self._pool.fetchrow(_KEY)
            if row is None:
                made = Signer(self._origin, LOG, Ed25519PrivateKey.generate())
                sealed = self._sealer.seal(made.secret().encode(), about=_PLACE)
                await self._pool.execute(_ADD_KEY, str(made.verifier), sealed, clock.now())
                row = await self._pool.fetchrow(_KEY)  # another process may have been first
            assert row is not None  # noqa: S101 - just made
            secret = self._sealer.unseal(row["sealed_private"], about=_PLACE)
            self._signer = Signer.parse(secret.decode())
        return self._signer

    async def _keep_for_ever(self) -> None:
        while True:
            try:
                await self.keep(now=False)
            except LogBroken as exc:
                self._tell("log.broken", seq=exc.seq)
            except LOST as exc:
                self._tell("log.tree_waits", error=type(exc).__name__)
            else:
                self._told = None
            await asyncio.sleep(_LOOK_S)

    def _tell(self, what: str, **about: Any) -> None:
        """Once a trouble: it may last the night."""
        if self._told != what:
            log.error(what, **about)
        self._told = what


def _is_time(last: Signed, size: int) -> bool:
    wait = _SIGNED_EVERY if size != last.size else _CONFIRMED_EVERY
    return clock.now() - last.confirmed_at >= wait


def origin_of(issuer: str) -> str:
    """The log's name: its address without a scheme, and nothing that a key name may not hold."""
    return issuer.partition("://")[2].replace("+", "%2B") + "/v1/log"


async def newest(pool: "asyncpg.Pool[Any]", *, is_witnessed: bool = False) -> Signed | None:
    """The newest checkpoint, or the newest that a witness signed."""
    row = await pool.fetchrow(_WITNESSED if is_witnessed else _NEWEST)
    if row is None:
        return None
    lines = [line for (line,) in await pool.fetch(_COSIGNATURES, row["size"])]
    note = row["note"] + "".join(f"{line}\n" for line in lines)
    return Signed(row["size"], row["root"], note, row["signed_at"], row["confirmed_at"])


async def unsigned_seconds(pool: "asyncpg.Pool[Any]") -> float:
    """How long the oldest entry waits to be signed; 0 where none waits."""
    waited: float | None = await pool.fetchval(_UNSIGNED)
    return max(waited or 0.0, 0.0)
