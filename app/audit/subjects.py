"""Whom an entry is about: digests with a salt for each name, so that a salt deleted ends them.

The log itself holds how many they are and one hash of their digests; never a name.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from app.kit.db import LOST, DatabaseUnavailable

_SALT_BYTES: Final = 32
_ADD: Final = """
INSERT INTO subject_salt (organization_id, name, salt)
SELECT $1, wanted.name, wanted.salt FROM unnest($2::text[], $3::bytea[]) AS wanted (name, salt)
ON CONFLICT DO NOTHING
"""
_DIGESTS: Final = """
SELECT name, sha256(salt || convert_to($1 || name, 'UTF8')) AS digest
FROM subject_salt WHERE organization_id = $1 AND name = ANY($2::text[])
"""


@dataclass(frozen=True, slots=True)
class Whom:
    """The people of one read, as their organisation names them; None: too many to tell each."""

    organization_id: str
    dataset_id: str
    names: Collection[str] | None


@dataclass(frozen=True, slots=True)
class Told:
    """What the log is told of them: the entry's own facts, and what stands beside it."""

    facts: dict[str, Any]
    digests: Sequence[bytes]


class Subjects:
    """Makes digests of people. One a process."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def told(self, whom: Whom) -> Told:
        """How the log tells of them. Raises `DatabaseUnavailable`."""
        if whom.names is None:
            return Told({"subjects_all": True}, (everybody(whom.dataset_id),))
        try:
            digests = await self._digests(whom.organization_id, list(dict.fromkeys(whom.names)))
        except LOST as exc:
            raise DatabaseUnavailable from exc
        told = await asyncio.to_thread(hash_of, digests)
        return Told({"subjects": len(digests), "subjects_sha256": told}, digests)

    async def _digests(self, organization_id: str, names: list[str]) -> list[bytes]:
        if not names:
            return []
        async with self._pool.acquire(timeout=10) as connection:
            found = dict(await connection.fetch(_DIGESTS, organization_id, names))
            missing = [name for name in names if name not in found]
            if missing:
                salts = [secrets.token_bytes(_SALT_BYTES) for _ in missing]
                await connection.execute(_ADD, organization_id, missing, salts)
                found |= dict(await connection.fetch(_DIGESTS, organization_id, missing))
        return list(found.values())


def hash_of(digests: Collection[bytes]) -> str:
    """`subjects_sha256`: of the digests in their order, one behind the other."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def everybody(dataset_id: str) -> bytes:
    """What stands for a digest where a read was about more people than are told one by one."""
    return hashlib.sha256(f"everybody of {dataset_id}".encode()).digest()
