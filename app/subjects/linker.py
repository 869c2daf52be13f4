"""Names of people that no two organisations share, and the one place that knows whom they name.

A person is a random reference that never leaves this module. Each organisation has names of its own
for them: base32(HMAC-SHA256(key of the organisation, reference)[:16]). The tables stand in a schema
of their own under a database role of their own; no other statement of ours may read them.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from app.kit.crypto import Sealer
from app.kit.db import SESSION_SETTINGS, DatabaseUnavailable
from app.kit.errors import AppError, Kind

ROLE: Final = "urbanos_linker"
NAME_CHARACTERS: Final = 26
MOST_AT_ONCE: Final = 10_000  # names in one statement
_SHAPE: Final = re.compile(rf"[a-z2-7]{{{NAME_CHARACTERS}}}")
_REFERENCE_BYTES: Final = 16
_KEY_BYTES: Final = 32
_CONNECTIONS: Final = 4
_IDENTITIES: Final = "(identities)"  # holds the key of sign-ins' digests: no organisation's id

_KEY: Final = "SELECT number, sealed FROM linker.key WHERE holder = $1 ORDER BY number DESC LIMIT 1"
# Of two that make a first key at once the one that came first is everybody's.
_ADD_KEY: Final = """
INSERT INTO linker.key (holder, number, sealed)
SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM linker.key WHERE holder = $1 AND number >= $2)
ON CONFLICT DO NOTHING
"""
_ADD_PEOPLE: Final = "INSERT INTO linker.person (ref) SELECT unnest($1::bytea[])"
_ADD_NAMES: Final = """
INSERT INTO linker.name (organization_id, name, person_ref, key_number)
SELECT $1, unnest($2::text[]), unnest($3::bytea[]), $4 ON CONFLICT DO NOTHING
"""
_TRANSLATE: Final = """
SELECT mine.name, mine.person_ref, theirs.name AS theirs
FROM linker.name mine LEFT JOIN linker.name theirs
    ON theirs.organization_id = $3 AND theirs.person_ref = mine.person_ref AND theirs.key_number = $4
WHERE mine.organization_id = $1 AND mine.name = ANY($2::text[])
"""
_STORED: Final = """
SELECT mine.name, array_agg(theirs.name) AS theirs
FROM linker.name mine JOIN linker.name theirs USING (person_ref)
WHERE mine.organization_id = $1 AND mine.name = ANY($2::text[]) AND theirs.organization_id = $3
GROUP BY mine.name
"""
_PERSON: Final = "SELECT person_ref FROM linker.name WHERE organization_id = $1 AND name = $2"
_NAMES: Final = "SELECT organization_id, name FROM linker.name WHERE person_ref = $1"
_BY_OLDER_KEYS: Final = """
SELECT organization_id FROM linker.name WHERE person_ref = $1 GROUP BY organization_id
HAVING max(key_number) < (SELECT max(number) FROM linker.key WHERE holder = organization_id)
"""
_IDENTITY: Final = "SELECT person_ref FROM linker.identity WHERE digest = $1"
_ADD_IDENTITY: Final = "INSERT INTO linker.identity (digest, person_ref) VALUES ($1, $2)"
_IS_KNOWN: Final = "SELECT EXISTS (SELECT FROM linker.person WHERE ref = $1)"
_FORGET: Final = "DELETE FROM linker.person WHERE ref = $1"


class PersonUnknown(AppError):
    """The organisation has no such name, or whom it named was forgotten."""

    kind = Kind.NOT_FOUND
    code = "person_unknown"
    ja = "組織 {organization} に、その名前の本人はいません（名前は標準入力から1行で読みます）。"
    en = "That is no name of a person at {organization}. It is read as one line of the standard input."


def can_be_name(text: str) -> bool:
    """Whether it has the form of a name, whoever's."""
    return _SHAPE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class PersonRef:
    """Who somebody is, for the linker alone. It shows itself to nobody, a log least of all."""

    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Key:
    number: int
    secret: bytes = field(repr=False)

    def name(self, reference: bytes) -> str:
        digest = hmac.digest(self.secret, reference, hashlib.sha256)[:16]
        return base64.b32encode(digest).decode().rstrip("=").lower()


class Linker:
    """Makes names and finds whom they name. One a process."""

    def __init__(self, dsn: str, sealer: Sealer) -> None:
        self._dsn = dsn
        self._sealer = sealer
        self._pool: asyncpg.Pool[Any] | None = None
        self._opening = asyncio.Lock()

    async def stop(self) -> None:
        """Close the connections, where there are any."""
        if self._pool is not None:
            await self._pool.close()

    async def new_people(self, organization_id: str, count: int) -> list[str]:
        """An organisation's names for people whom nobody has named before."""
        pool = await self._open()
        key = await self._key(organization_id)
        references = [secrets.token_bytes(_REFERENCE_BYTES) for _ in range(count)]
        names = [key.name(reference) for reference in references]
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_ADD_PEOPLE, references)
            await connection.execute(_ADD_NAMES, organization_id, names, references, key.number)
        return names

    async def translate(self, names: Collection[str], *, of: str, for_: str) -> Mapping[str, str]:
        """What another organisation calls those whom `names` name at `of`, by these names.

        A name that `of` does not have, or no longer, is left out.
        """
        found: dict[str, str] = {}
        wanted = list(dict.fromkeys(names))
        for at in range(0, len(wanted), MOST_AT_ONCE):
            found |= await self._translate(wanted[at : at + MOST_AT_ONCE], of, for_)
        return found

    async def _translate(self, names: list[str], of: str, for_: str) -> dict[str, str]:
        pool, key = await self._open(), await self._key(for_)
        rows = await pool.fetch(_TRANSLATE, of, names, for_, key.number)
        unnamed = [row["person_ref"] for row in rows if row["theirs"] is None]
        if unnamed:
            await self._keep_names(pool, for_, unnamed, key)
        return {row["name"]: row["theirs"] or key.name(row["person_ref"]) for row in rows}

    async def _keep_names(
        self,
        pool: "asyncpg.Pool[Any]",
        organization_id: str,
        references: Iterable[bytes],
        key: _Key,
    ) -> None:
        """Whom a name names is not to be worked out from it: it is written down."""
        people = list(dict.fromkeys(references))
        names = [key.name(reference) for reference in people]
        await pool.execute(_ADD_NAMES, organization_id, names, people, key.number)

    async def every_name(
        self, names: Collection[str], *, of: str, for_: str
    ) -> Mapping[str, frozenset[str]]:
        """The same, with the older names that the other organisation's tables may still hold."""
        found: dict[str, frozenset[str]] = {}
        wanted = list(dict.fromkeys(names))
        pool = await self._open()
        for at in range(0, len(wanted), MOST_AT_ONCE):
            rows = await pool.fetch(_STORED, of, wanted[at : at + MOST_AT_ONCE], for_)
            found |= {row["name"]: frozenset(row["theirs"]) for row in rows}
        return found

    async def person(self, organization_id: str, name: str) -> PersonRef | None:
        """Whom a name of an organisation names."""
        reference = await (await self._open()).fetchval(_PERSON, organization_id, name)
        return None if reference is None else PersonRef(reference)

    async def name(self, person: PersonRef, organization_id: str) -> str:
        """The organisation's newest name for a person."""
        key = await self._key(organization_id)
        await self._keep_names(await self._open(), organization_id, (person.value,), key)
        return key.name(person.value)

    async def names(self, person: PersonRef) -> Mapping[str, frozenset[str]]:
        """Every name that a person has, older ones too, by organisation, and the newest in any case:
        what is kept by these names is to be found by whatever name comes next.
        """
        found: dict[str, set[str]] = {}
        pool = await self._open()
        for row in await pool.fetch(_BY_OLDER_KEYS, person.value):
            await self.name(person, row["organization_id"])
        for row in await pool.fetch(_NAMES, person.value):
            found.setdefault(row["organization_id"], set()).add(row["name"])
        return {organization_id: frozenset(names) for organization_id, names in found.items()}

    async def signed_in(self, issuer: str, subject: str) -> PersonRef:
        """The person whom an identity provider knows by `subject`: always the same one.

        What the provider calls them is not kept, only its digest under a key of ours.
        """
        key = await self._key(_IDENTITIES)
        told = f"{len(issuer)}:{issuer}{subject}".encode()
        digest = hmac.digest(key.secret, told, hashlib.sha256)
        pool = await self._open()
        reference = await pool.fetchval(_IDENTITY, digest)
        if reference is not None:
            return PersonRef(reference)
        made = secrets.token_bytes(_REFERENCE_BYTES)
        try:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(_ADD_PEOPLE, [made])
                await connection.execute(_ADD_IDENTITY, digest, made)
        except asyncpg.UniqueViolationError:  # they came twice at once
            return PersonRef(await pool.fetchval(_IDENTITY, digest))
        return PersonRef(made)

    async def is_known(self, person: PersonRef) -> bool:
        """Whether the person was not forgotten since."""
        known: bool = await (await self._open()).fetchval(_IS_KNOWN, person.value)
        return known

    async def rotate(self, organization_id: str) -> int:
        """Give an organisation a new key; its number. Names made from now on are by it.

        Older names name whom they named: the organisation's own tables hold them.
        """
        key = await self._key(organization_id)
        return (await self._add_key(organization_id, key.number + 1)).number

    async def forget(self, person: PersonRef) -> None:
        """Forget a person: their names and sign-ins name nobody from now on."""
        await (await self._open()).execute(_FORGET, person.value)

    async def _key(self, holder: str) -> _Key:
        row = await (await self._open()).fetchrow(_KEY, holder)
        return await self._add_key(holder, 1) if row is None else self._unsealed(holder, row)

    async def _add_key(self, holder: str, number: int) -> _Key:
        pool = await self._open()
        secret = secrets.token_bytes(_KEY_BYTES)
        sealed = self._sealer.seal(secret, about=_about(holder, number))
        await pool.execute(_ADD_KEY, holder, number, sealed)
        return self._unsealed(holder, await pool.fetchrow(_KEY, holder))

    def _unsealed(self, holder: str, row: Any) -> _Key:
        about = _about(holder, row["number"])
        return _Key(row["number"], self._sealer.unseal(row["sealed"], about=about))

    async def _open(self) -> "asyncpg.Pool[Any]":
        """Connections in the linker's role, made when they are first needed."""
        async with self._opening:
            if self._pool is None:
                try:
                    self._pool = await asyncpg.create_pool(
                        self._dsn,
                        min_size=0,
                        max_size=_CONNECTIONS,
                        server_settings={**SESSION_SETTINGS, "role": ROLE},
                    )
                except (OSError, asyncpg.PostgresError) as exc:
                    raise DatabaseUnavailable from exc
        return self._pool


def _about(holder: str, number: int) -> str:
    return f"linker key {number} of {holder}"
