"""The desk at which agents stand: jobs are given here, and sealed pieces taken in. Opens none.

One agent has a job at a time. A piece is taken from the one that has it, and no more of them than
the asker keeps up with: the rest waits with the agent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from app.kit import clock
from app.kit.db import Database
from app.kit.errors import AppError, Kind

MOST_WAITING: Final = 8  # pieces of an answer, of half a megabyte
_LOOK_S: Final = 0.1
_ROOM_S: Final = 0.05
_PATIENT_S: Final = 5.0
_JUST_REVOKED: Final = timedelta(minutes=1)  # longer than anybody waits

_BY_KEY: Final = """
WITH told AS (
    UPDATE agent SET seen_at = $2::timestamptz
    WHERE kid = $1 AND (seen_at IS NULL OR seen_at < $2::timestamptz - interval '30 seconds')
)
SELECT id, organization_id, sources, zone FROM agent WHERE kid = $1 AND revoked_at IS NULL
"""
_NEWS: Final = """
SELECT DISTINCT organization_id, zone, source, NULL::uuid AS revoked FROM agent_job
WHERE state = 'waiting' AND wanted_until > $1
UNION ALL SELECT NULL, NULL, NULL, id FROM agent WHERE revoked_at > $2
"""
_GIVE: Final = """
UPDATE agent_job SET state = 'given', agent_id = $1, attempt = attempt + 1, heard_at = $4
WHERE id = (
    SELECT id FROM agent_job
    WHERE organization_id = $2 AND state = 'waiting' AND source = ANY($3::text[])
      AND wanted_until > $4 AND zone = $5
      AND (agreement_id IS NULL OR EXISTS (
          SELECT FROM agreement WHERE agreement.id = agreement_id
          AND agreement.state = 'active' AND valid_until > $4))
    ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED
) AND EXISTS (SELECT FROM agent WHERE id = $1 AND revoked_at IS NULL)
RETURNING id, attempt, source, wanted, answer_to
"""
_HEAR: Final = """
UPDATE agent_job SET heard_at = $4
WHERE id = $1 AND attempt = $2 AND agent_id = $3 AND state = 'given' AND wanted_until > $4
RETURNING taken
"""
_TAKE_IN: Final = """
INSERT INTO agent_piece (job_id, attempt, position, data) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""


class AgentUnknown(AppError):
    """The key is no agent's, or that of one that was revoked."""

    kind = Kind.UNAUTHENTICATED
    code = "agent_unknown"
    ja = "この鍵のエージェントは登録されていないか、失効しています。登録し直してください。"
    en = "The key is no agent's, or its agent was revoked. Enrol it anew."


class JobOver(AppError):
    """Nobody waits for the answer any more, or another agent gives it."""

    kind = Kind.GONE
    code = "agent_job_over"
    ja = "仕事 {id} は終了しているか、別のエージェントに渡されています。中止してください。"
    en = "The job {id} is over, or was given to another agent. Leave it."


class AnswerWaits(AppError):
    """The asker has not yet taken what is there."""

    kind = Kind.UNAVAILABLE
    code = "agent_answer_waits"
    ja = "受け取り側が追いついていません。同じ断片をもう一度送ってください。"
    en = "The asker has not caught up. Send the same piece again."


@dataclass(frozen=True, slots=True)
class Known:
    """An agent that has proven itself."""

    id: UUID
    organization_id: str
    sources: frozenset[str]
    zone: str


@dataclass(frozen=True, slots=True)
class Given:
    """A job in an agent's hands."""

    id: UUID
    attempt: int
    source: str
    wanted: dict[str, Any]
    answer_to: dict[str, Any]


class Desk:
    """One a process. However many agents wait, the database is asked once for all of them."""

    def __init__(self, database: Database, look_seconds: float = _LOOK_S) -> None:
        self._pool = database.pool
        self.look_seconds = look_seconds
        self._looking: asyncio.Task[None] | None = None
        self._turns: dict[UUID, object] = {}
        self._revoked: frozenset[UUID | None] = frozenset()
        self._waiting: frozenset[tuple[str, str, str]] = frozenset()

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def agent_of(self, kid: str) -> Known:
        """The agent of a key that was proven. Raises `AgentUnknown`."""
        row = await self._pool.fetchrow(_BY_KEY, kid, clock.now())
        if row is None:
            raise AgentUnknown
        sources = frozenset(row["sources"])
        return Known(row["id"], row["organization_id"], sources, row["zone"])

    async def next_job(
        self, agent: Known, sources: frozenset[str], seconds: float,
        is_gone: Callable[[], Awaitable[bool]],
    ) -> Given | None:  # fmt: skip
        """A job for an agent, of those sources that it offers and may serve; None after a while.

        None is given to who has gone, or has come again meanwhile: it would lie there unheard.
        Raises `AgentUnknown` for one that is revoked meanwhile.
        """
        turn = self._turns[agent.id] = object()
        mine = sorted(agent.sources & sources)
        wanted = {(agent.organization_id, agent.zone, source) for source in mine}
        given = await self._give(agent, mine)
        ends_at = asyncio.get_running_loop().time() + seconds
        while given is None and asyncio.get_running_loop().time() < ends_at:
            await self._look(ends_at)
            if agent.id in self._revoked:
                raise AgentUnknown
            if self._turns.get(agent.id) is not turn or await is_gone():
                return None
            if not wanted.isdisjoint(self._waiting):
                given = await self._give(agent, mine)
        if self._turns.get(agent.id) is turn:
            del self._turns[agent.id]
        return given

    async def hear(self, agent: Known, job_id: UUID, attempt: int) -> int:
        """The agent is at work on its job; how many pieces were taken away. Raises `JobOver`."""
        taken = await self._pool.fetchval(_HEAR, job_id, attempt, agent.id, clock.now())
        if taken is None:
            raise JobOver(id=job_id)
        return int(taken)

    async def take_in(
        self, agent: Known, job_id: UUID, attempt: int, position: int, sealed: bytes
    ) -> None:
        """Keep a piece, once there is room for it; one that is sent again is kept once.

        Raises `JobOver`, and `AnswerWaits` where there is no room for long.
        """
        ends_at = asyncio.get_running_loop().time() + _PATIENT_S
        while True:
            taken = await self.hear(agent, job_id, attempt)
            if position < taken:
                return
            if position < taken + MOST_WAITING:
                break
            if asyncio.get_running_loop().time() > ends_at:
                raise AnswerWaits
            await asyncio.sleep(_ROOM_S)
        try:
            await self._pool.execute(_TAKE_IN, job_id, attempt, position, sealed)
        except asyncpg.ForeignKeyViolationError:  # the asker left this very moment
            raise JobOver(id=job_id) from None

    async def _give(self, agent: Known, sources: list[str]) -> Given | None:
        row = await self._pool.fetchrow(
            _GIVE, agent.id, agent.organization_id, sources, clock.now(), agent.zone
        )
        if row is None:
            return None
        wanted, answer_to = orjson.loads(row["wanted"]), orjson.loads(row["answer_to"])
        return Given(row["id"], row["attempt"], row["source"], wanted, answer_to)

    async def _look(self, ends_at: float) -> None:
        """Wait for the next look at what waits; one looks for all."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_for_all(), name="agents")
        left = ends_at - asyncio.get_running_loop().time()
        await asyncio.wait({self._looking}, timeout=max(left, 0))

    async def _look_for_all(self) -> None:
        await asyncio.sleep(self.look_seconds)
        try:
            now = clock.now()
            rows = await self._pool.fetch(_NEWS, now, now - _JUST_REVOKED)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            rows = []  # whoever asks for more than a look meets the same, and says so
        self._revoked = frozenset(row["revoked"] for row in rows)
        self._waiting = frozenset(
            (row["organization_id"], row["zone"], row["source"]) for row in rows
        )
