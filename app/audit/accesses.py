"""Who read what about somebody, and how that is forgotten. It never learns who somebody is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.events import Event
from app.audit.log import append
from app.audit.subjects import everybody

_PUBLISHED: Final = "SELECT id FROM dataset WHERE publisher_id = ANY($1::text[])"
_LIST: Final = """
WITH wanted AS (
    SELECT sha256(salt.salt || convert_to(salt.organization_id || salt.name, 'UTF8')) AS digest
    FROM subject_salt salt JOIN unnest($1::text[], $2::text[]) AS mine (organization_id, name)
        ON (salt.organization_id, salt.name) = (mine.organization_id, mine.name)
    UNION ALL SELECT unnest($3::bytea[])
)
, newest AS (
    SELECT DISTINCT told.seq FROM wanted CROSS JOIN LATERAL (
        SELECT seq FROM log_subject
        WHERE digest = wanted.digest AND seq < coalesce($4::bigint, 9223372036854775807)
        ORDER BY seq DESC LIMIT $5
    ) told ORDER BY told.seq DESC LIMIT $5
)
SELECT newest.seq, entry.body FROM newest LEFT JOIN log_entry entry USING (seq)
ORDER BY newest.seq DESC
"""
_AT_ONCE: Final = 200
_MOST_LOOKED_AT: Final = 2_000  # of reads of everybody most may have been of others
_HELD: Final = "SELECT held_subject($1, $2, $3, $4)"
_FORGET: Final = text("""
DELETE FROM subject_salt salt
USING unnest(CAST(:organizations AS text[]), CAST(:names AS text[])) AS mine (organization_id, name)
WHERE (salt.organization_id, salt.name) = (mine.organization_id, mine.name)
""")


@dataclass(frozen=True, slots=True)
class Access:
    """One read of records about somebody.

    `among_all`: of more people than the log tells one by one, this one among them, if the read's
    conditions did not leave them out.
    """

    seq: int
    at: datetime
    dataset: str
    provider: str
    consumer: str | None
    client: str | None
    person: str | None  # the member of staff
    purpose: str | None
    ground: str | None
    agreement: str | None
    columns: tuple[str, ...]
    among_all: bool


@dataclass(frozen=True, slots=True)
class Accesses:
    """Some of the reads about somebody, newest first, and where to look on for older ones.

    `before` is None where there are none. Few may be found, or none, where there are more.
    """

    found: Sequence[Access]
    before: int | None


async def list_accesses(
    pool: "asyncpg.Pool[Any]",
    names: Mapping[str, frozenset[str]],
    *,
    before: int | None = None,
    limit: int = 100,
) -> Accesses:
    """The reads about whom `names` name, each organisation's own, before an entry."""
    pairs = _pairs(names)
    datasets = [row["id"] for row in await pool.fetch(_PUBLISHED, list(names))]
    everybodys = [everybody(each) for each in datasets]
    found: list[Access] = []
    held: dict[tuple[Any, ...], bool] = {}
    at_once = max(limit + 1, _AT_ONCE)
    for _ in range(max(1, _MOST_LOOKED_AT // at_once)):
        rows = await pool.fetch(_LIST, *pairs, everybodys, before, at_once)
        for row in rows:
            if row["body"] is None:  # the entry was let go, and what stands beside it not yet
                continue
            facts = orjson.loads(row["body"])
            if await _is_about(pool, facts, names, held):
                if len(found) == limit:
                    return Accesses(found, found[-1].seq)
                found.append(_access(row["seq"], facts))
        if len(rows) < at_once:
            return Accesses(found, None)
        before = rows[-1]["seq"]
    return Accesses(found, before)


async def _is_about(
    pool: "asyncpg.Pool[Any]",
    facts: Mapping[str, Any],
    names: Mapping[str, frozenset[str]],
    held: dict[tuple[Any, ...], bool],
) -> bool:
    """Whether a read of everybody can have been one of them: the dataset had them then."""
    if "subjects_all" not in facts:
        return True
    place = (facts["dataset"], facts["version"], facts.get("revision", 0))
    if place not in held:
        mine = list(names.get(facts["provider"], ()))
        held[place] = await pool.fetchval(_HELD, *place, mine)
    return held[place]


def _access(seq: int, facts: Mapping[str, Any]) -> Access:
    told = {
        name: facts.get(name)
        for name in ("consumer", "client", "person", "purpose", "ground", "agreement")
    }
    return Access(
        seq=seq,
        at=datetime.fromisoformat(facts["at"]),
        dataset=facts["dataset"],
        provider=facts["provider"],
        columns=tuple(facts.get("columns", ())),
        among_all="subjects_all" in facts,
        **told,
    )


async def forget_subject(
    session: AsyncSession, names: Mapping[str, frozenset[str]], *, by: str
) -> int:
    """Let the log say of nobody any more that it was about them; how many names that were.

    The log stays as it is and verifies: it says that this was done, and not of whom.
    """
    organizations, called = _pairs(names)
    gone = await session.execute(_FORGET, {"organizations": organizations, "names": called})
    await append(session, Event.SUBJECT_FORGOTTEN, by=by)
    return int(gone.rowcount)  # type: ignore[attr-defined]


def _pairs(names: Mapping[str, frozenset[str]]) -> tuple[list[str], list[str]]:
    found = [(organization, name) for organization, each in names.items() for name in each]
    return [organization for organization, _ in found], [name for _, name in found]
