"""Who wants something of a closed network asks here: puts a job on the desk and opens the answer.

The key that opens it is made for the one job and never leaves this process: what stands between, the
database too, holds sealed pieces alone. An answer that broke off is never given as if it were whole.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import orjson
from joserfc.jwk import ECKey

from app.agents.registry import bundle_key
from app.connectors.errors import SourceBroken, SourceRefused, SourceUnreachable
from app.connectors.relayed import (
    END,
    HEAD,
    Relay,
    Wanted,
    agreement_of,
    end_of,
    not_spoken,
)
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.outpost.sealed import MessageUnreadable, unseal

_WANTED: Final = timedelta(minutes=2)  # it is wanted for so long since its asker last said so
_MOST_ATTEMPTS: Final = 3
_LONGEST_WANTED: Final = 256 * 1024  # of a job, that an envelope holds signed
_SHORTEST_LOOK_S: Final = 0.02
_LONGEST_LOOK_S: Final = 0.25

_SERVES: Final = """
SELECT EXISTS (SELECT FROM agent WHERE organization_id = $1 AND zone = $2 AND $3 = ANY(sources)
AND kid IS NOT NULL AND revoked_at IS NULL)
"""
# Of what is the organisation's to give: its own, or what it feeds for another.
_IN_FORCE: Final = """
SELECT EXISTS (
    SELECT FROM agreement
    WHERE id = $1 AND state = 'active' AND valid_from <= $3 AND valid_until > $3
      AND (provider_id = $2 OR dataset_id IN (
          SELECT dataset_id FROM connector_feed JOIN connector ON connector.id = connector_id
          WHERE organization_id = $2))
)
"""
_ASK: Final = """
INSERT INTO agent_job (id, organization_id, zone, source, agreement_id, wanted, answer_to, state,
                       attempt, taken, asked_at, wanted_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0, 0, $8, $9)
"""
_LEAVE: Final = "DELETE FROM agent_job WHERE id = $1"
_LOOK: Final = """
UPDATE agent_job SET wanted_until = $2 WHERE id = $1 RETURNING state, attempt, heard_at
"""
_TAKE: Final = """
WITH gone AS (
    DELETE FROM agent_piece WHERE job_id = $1 AND attempt = $2 AND position = $3 RETURNING data
), told AS (
    UPDATE agent_job SET taken = $3 + 1, wanted_until = $4
    WHERE id = $1 AND EXISTS (SELECT FROM gone)
)
SELECT data FROM gone
"""
_GIVE_AGAIN: Final = """
UPDATE agent_job SET state = 'waiting', agent_id = NULL WHERE id = $1 AND attempt = $2
"""
_DROP_PIECES: Final = "DELETE FROM agent_piece WHERE job_id = $1"
_BROUGHT: Final = """
SELECT agent_job.id, place, agent.id AS agent, sealed_bundle_key
FROM agent_job JOIN agent ON agent.id = agent_id
WHERE agent_job.organization_id = $1 AND agent_job.zone = $2 AND source = $3 AND state = 'brought'
  AND ($4::jsonb IS NULL OR wanted = $4::jsonb) AND revoked_at IS NULL
ORDER BY asked_at DESC LIMIT 1
"""
_ALL_BROUGHT: Final = """
SELECT wanted FROM agent_job JOIN agent ON agent.id = agent_id
WHERE agent_job.organization_id = $1 AND agent_job.zone = $2 AND source = $3 AND state = 'brought'
  AND revoked_at IS NULL
ORDER BY asked_at DESC
"""
_PIECE: Final = "SELECT data FROM agent_piece WHERE job_id = $1 AND attempt = 0 AND position = $2"
_FORGET: Final = "DELETE FROM agent_job WHERE wanted_until < $1"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an asker waits: for an agent, and for a sign of the one that has the job."""

    unclaimed_seconds: float = 30.0
    silent_seconds: float = 10.0


@dataclass(slots=True)
class _Asked:
    """A job under way, as its asker sees it."""

    id: UUID
    source: str
    key: ECKey
    attempt: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class Relays:
    """Relays to the agents of organisations. One a process."""

    database: Database
    open_sealer: Callable[[], Sealer]
    patience: Patience = Patience()

    def of(self, organization_id: str, zone: str) -> Relay:
        """The relay to an organisation's agents in one zone, and to nobody else's."""
        return partial(self._ask, organization_id, zone)

    @asynccontextmanager
    async def _ask(
        self, organization_id: str, zone: str, wanted: Wanted
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        agreement_id = await self._in_force(organization_id, wanted)
        if wanted.by_file:
            brought = self._brought(organization_id, zone, wanted)
            async with aclosing(brought):
                yield brought
            return
        pool, told = self.database.pool, _json(wanted.to_json())
        if len(told) > _LONGEST_WANTED:
            raise SourceBroken(source=wanted.source, at="too_long", detail=_LONGEST_WANTED)
        if not await pool.fetchval(_SERVES, organization_id, zone, wanted.source):
            raise SourceUnreachable(source=wanted.source, at="agent")
        asked = _Asked(uuid4(), wanted.source, ECKey.generate_key("P-256"))
        now = clock.now()
        await pool.execute(
            _ASK, asked.id, organization_id, zone, wanted.source, agreement_id, told,
            _json(asked.key.as_dict(private=False)), now, now + _WANTED,
        )  # fmt: skip
        messages = self._messages(pool, asked)
        try:
            async with aclosing(messages):
                yield messages
        finally:
            await asyncio.shield(_leave(pool, asked.id))

    async def _in_force(self, organization_id: str, wanted: Wanted) -> UUID | None:
        """The agreement that is named, where it is one of ours. Raises `SourceRefused` for one under
        which nothing may be had now."""
        named = agreement_of(wanted.agreement)
        if named is not None:
            told = (named, organization_id, clock.now())
            if not await self.database.pool.fetchval(_IN_FORCE, *told):
                raise SourceRefused(source=wanted.source, at="agreement", detail=named)
        return named

    async def _messages(
        self, pool: "asyncpg.Pool[Any]", asked: _Asked
    ) -> AsyncGenerator[bytes, None]:
        while True:
            sealed = await self._next(pool, asked)
            place = f"{asked.id}:{asked.attempt}"
            try:
                message = await asyncio.to_thread(unseal, sealed, asked.key, place, asked.position)
            except MessageUnreadable:
                raise not_spoken(asked.source) from None
            asked.position += 1
            yield message
            if message.startswith(END):
                return

    async def _next(self, pool: "asyncpg.Pool[Any]", asked: _Asked) -> bytes:
        """The next sealed piece, of whichever agent has the job. Raises `SourceError`."""
        loop = asyncio.get_running_loop()
        unclaimed_at, pause = loop.time(), _SHORTEST_LOOK_S
        while True:
            now = clock.now()
            if asked.attempt:
                data: bytes | None = await pool.fetchval(
                    _TAKE, asked.id, asked.attempt, asked.position, now + _WANTED
                )
                if data is not None:
                    return data
            row = await pool.fetchrow(_LOOK, asked.id, now + _WANTED)
            if row is None:
                raise SourceBroken(source=asked.source, at="cut_off")
            if row["state"] == "given":
                unclaimed_at = loop.time()
                await self._follow(pool, asked, row)
            elif loop.time() - unclaimed_at > self.patience.unclaimed_seconds:
                raise SourceUnreachable(source=asked.source, at="agent")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK_S)

    async def _follow(
        self, pool: "asyncpg.Pool[Any]", asked: _Asked, row: "asyncpg.Record"
    ) -> None:
        """Whoever has the job is the one to be read, or is silent and has lost it."""
        asked.attempt = row["attempt"]
        silent = timedelta(seconds=self.patience.silent_seconds)
        if row["heard_at"] is not None and clock.now() - row["heard_at"] < silent:
            return
        if asked.position:  # what was begun is never gone on with by another
            raise SourceBroken(source=asked.source, at="cut_off")
        if asked.attempt >= _MOST_ATTEMPTS:
            raise SourceUnreachable(source=asked.source, at="agent")
        await pool.execute(_GIVE_AGAIN, asked.id, asked.attempt)
        await pool.execute(_DROP_PIECES, asked.id)
        asked.attempt = 0

    async def _brought(
        self, organization_id: str, zone: str, wanted: Wanted
    ) -> AsyncGenerator[bytes, None]:
        """The last answer to the same question that was carried here."""
        pool = self.database.pool
        question = None if wanted.agreement is None else _json(brought_as(wanted))
        row = await pool.fetchrow(_BROUGHT, organization_id, zone, wanted.source, question)
        if row is None:
            raise SourceUnreachable(source=wanted.source, at="missing", detail="bundle")
        if wanted.what != "harvest":
            rows = await pool.fetch(_ALL_BROUGHT, organization_id, zone, wanted.source)
            kept = [orjson.loads(each["wanted"]) for each in rows]
            allows = [
                {"agreement": each["agreement"], "select": each["selection"]} for each in kept
            ]
            yield HEAD + orjson.dumps({"allows": allows})
            yield end_of()
            return
        if (wanted.known or {}).get("bundle") == row["place"]:
            yield HEAD + b'{"unchanged":true}'
            return
        key = bundle_key(row["agent"], row["sealed_bundle_key"], self.open_sealer())
        position = 0
        while (data := await pool.fetchval(_PIECE, row["id"], position)) is not None:
            try:
                message = await asyncio.to_thread(unseal, data, key, row["place"], position)
            except MessageUnreadable:
                raise not_spoken(wanted.source) from None
            yield _proven_by(row["place"], message) if message.startswith(HEAD) else message
            position += 1


def brought_as(wanted: Wanted) -> dict[str, Any]:
    """What a brought answer is found by."""
    return {"agreement": wanted.agreement, "selection": wanted.selection}


def _proven_by(place: str, head: bytes) -> bytes:
    """A head whose validators are the bundle: the source's own mean nothing to who cannot ask it."""
    told = orjson.loads(head[1:])
    return HEAD + orjson.dumps({**told, "validators": {"bundle": place}, "delta": False})


async def forget_unwanted(pool: "asyncpg.Pool[Any]") -> None:
    """Delete the jobs of askers that were killed, with what had come for them."""
    await pool.execute(_FORGET, clock.now())


async def _leave(pool: "asyncpg.Pool[Any]", job_id: UUID) -> None:
    await pool.execute(_LEAVE, job_id)


def _json(told: Any) -> str:
    return orjson.dumps(told).decode()
