"""Hashing of client secrets with argon2id, off the event loop. Never keeps or logs a secret."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's second profile (19 MiB, 2 passes): secrets are random, so memory is spared for requests.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_AT_ONCE = asyncio.Semaphore(2)

# What an unknown client's secret is compared with, so that it takes as long as a known one's:
# the hash of random bytes that nobody kept, made with the parameters above.
NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$"
    "v4khSxYFJSDT25adxFhedg$PCJLmtqF53/QdAeJsVXMWlcSsgGL035liduwyfyTZ7E"
)


async def hash_secret(secret: str) -> str:
    """The argon2id hash of a secret, to be stored in its place."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_hasher.hash, secret)


async def is_secret_of(hashed: str, secret: str) -> bool:
    """Whether `secret` is what was hashed. A hash that cannot be read matches nothing."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_verify, hashed, secret)


def _verify(hashed: str, secret: str) -> bool:
    try:
        return _hasher.verify(hashed, secret)
    except (VerificationError, InvalidHashError):
        return False
