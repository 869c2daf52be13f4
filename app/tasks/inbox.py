"""A feed's inbox as its listener has it: messages that the server has kept for it. Takes none away."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg

from app.connectors.frame import Message
from app.connectors.inbox import SECRET_HEADER
from app.kit.db import LOST, Database, DatabaseUnavailable
from app.models.connectors import Stream

_LOOK_S: Final = 0.5
_AT_ONCE: Final = 100  # messages,
_MOST_BYTES: Final = 4 << 20  # and bytes of them; of one message, all
_NEXT: Final = """
SELECT number, body FROM (
    SELECT number, body, sum(octet_length(body)) OVER (ORDER BY number) - octet_length(body) AS before
    FROM stream_message WHERE dataset_id = $1 AND number > $2
) waiting WHERE before < $4 ORDER BY number LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class FeedInbox:
    """Messages of one feed, in the order in which they came."""

    database: Database = field(repr=False)
    dataset_id: str
    url: str
    headers: Mapping[str, str] = field(repr=False)

    async def next(self, after: int, seconds: float) -> Sequence[Message]:
        """Those behind a number; none where so long none came."""
        ends_at = asyncio.get_running_loop().time() + seconds
        while True:
            found = await self._waiting(after)
            if found or asyncio.get_running_loop().time() >= ends_at:
                return [Message(row["number"], row["body"]) for row in found]
            await asyncio.sleep(_LOOK_S)

    async def _waiting(self, after: int) -> Sequence[asyncpg.Record]:
        """A kind asks, and a database that is lost is no fault of it. Raises `DatabaseUnavailable`."""
        asked = (self.dataset_id, after, _AT_ONCE, _MOST_BYTES)
        try:
            found: list[asyncpg.Record] = await self.database.pool.fetch(_NEXT, *asked)
        except LOST as exc:
            raise DatabaseUnavailable from exc
        return found


def open_inbox(database: Database, base: str, connector_id: UUID, stream: Stream) -> FeedInbox:
    """An inbox with a secret of its own. Who knows the one that the source was told last is heard
    until the source knows this one: what it tells meanwhile may be told by nothing else."""
    secret = secrets.token_urlsafe(32)
    stream.former_sha256 = stream.former_sha256 or stream.secret_sha256
    stream.secret_sha256 = hashlib.sha256(secret.encode()).digest()
    url = f"{base.rstrip('/')}/v1/connectors/{connector_id}/notifications"
    return FeedInbox(database, stream.dataset_id, url, {SECRET_HEADER: secret})
