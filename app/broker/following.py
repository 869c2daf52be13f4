"""Who may be told that a dataset changes, and whether it did for them. Lets no record leave: those are
had from the change feed, which decides and records each read by itself."""

from dataclasses import dataclass, replace
from typing import Final

from app.broker.decide import Decider
from app.broker.feed_steps import CursorExpired, FeedAsk, Steps
from app.broker.recording import Asker
from app.broker.snapshot import Known, Snapshot
from app.broker.versions_asked import while_kept
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.policy.facts import Action, Caller
from app.policy.verdicts import Deny, Reason
from app.query.positions import FeedPosition, decode_feed, encode_feed
from app.query.refusals import InvalidCursor

SUBSCRIBE: Final = "subscribe"


class ClientIsRevoked(AppError):
    """Nobody is told for a client that was revoked, not even of public data."""

    kind = Kind.FORBIDDEN
    code = Reason.CLIENT_REVOKED.value
    ja = "クライアントは失効しています。"
    en = "The client has been revoked."


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of the feed since a position: where it ends now, and whether there is news."""

    position: str
    is_news: bool


class Following:
    """Judges subscriptions for one listener. Who is told must be one who may read."""

    def __init__(self, database: Database, snapshot: Snapshot, decider: Decider) -> None:
        self._database = database
        self._snapshot = snapshot
        self._decider = decider
        self._steps = Steps(decider)

    async def begin(self, dataset_id: str, asker: Asker) -> str:
        """The position from which on the caller is told: the end of the feed.

        It needs a right to read the feed, and a scope of its own. Raises as the feed does.
        """
        known = await self._asked(dataset_id, asker)
        async with self._database.reading() as session:
            newest = await self._steps.newest(session, known, _reading(known, asker))
        return encode_feed(newest)

    async def edition_of(self, dataset_id: str, since: str, asker: Asker) -> int:
        """The edition that a position of the caller's stands behind. Raises as the feed does."""
        known = await self._asked(dataset_id, asker)
        ask = FeedAsk(dataset_id, since, 1, _reading(known, asker))
        with while_kept(CursorExpired()):
            async with self._database.reading() as session:
                await self._steps.step(session, known, ask)
        return edition_at(dataset_id, since)

    async def check(self, dataset_id: str, asker: Asker) -> None:
        """Judge anew a right that was had. Raises the refusal."""
        known = await self._snapshot.dataset(dataset_id)
        if asker.caller is not None and asker.caller.client.revoked:
            raise ClientIsRevoked
        await self._steps.check(known, _reading(known, asker), again=True)

    async def moved(self, dataset_id: str, since: str, asker: Asker) -> Moved:
        """Whether somebody who may still read would be told anything behind a position.

        What changed in fields or rows that they may not see is none. Raises as the feed does, but
        for a position that leads nowhere any more: that is news too.
        """
        known = await self._snapshot.dataset(dataset_id)
        asker = _reading(known, asker)
        async with self._database.reading() as session:
            newest = encode_feed(await self._steps.newest(session, known, asker))
        try:
            with while_kept(CursorExpired()):
                async with self._database.reading() as session:
                    ask = FeedAsk(dataset_id, since, 1, asker)
                    step = await self._steps.step(session, known, ask)
        except (CursorExpired, InvalidCursor):
            return Moved(newest, is_news=True)
        return Moved(newest, is_news=bool(step.events) or step.more)

    async def _asked(self, dataset_id: str, asker: Asker) -> Known:
        known = await self._snapshot.dataset(dataset_id)
        await self._steps.check(known, _reading(known, asker))
        scope = f"dataset:{known.entry.id}:{SUBSCRIBE}"
        if asker.caller is None or scope not in asker.caller.scope:
            lacks = Deny(Reason.SCOPE, {"scope": scope}, "scope")
            raise await self._decider.refused(
                known, asker.caller, lacks, asker.purpose, asker.request_id
            )
        return known


def edition_at(dataset_id: str, since: str) -> int:
    """The last edition that a position is behind. Raises `InvalidCursor`."""
    position: FeedPosition = decode_feed(since, dataset_id=dataset_id)
    return position.edition


def _reading(known: Known, asker: Asker) -> Asker:
    """The same as one who reads: whoever is told of changes needs no second scope to be judged."""
    caller: Caller | None = asker.caller
    if caller is None:
        return asker
    scope = caller.scope | {f"dataset:{known.entry.id}:{Action.READ.needs}"}
    return replace(asker, caller=replace(caller, scope=scope))
