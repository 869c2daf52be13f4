"""The change feed: decided, cut and logged like every read. Keeps a copy true, and no more."""

from typing import Final
from urllib.parse import urlencode

import orjson

from app.broker.decide import Decider
from app.broker.feed_steps import CursorExpired, FeedAsk, Step, Steps
from app.broker.paged import Page
from app.broker.people import some_of
from app.broker.pins import Pins
from app.broker.recording import Recorder
from app.broker.snapshot import Snapshot
from app.broker.versions_asked import (
    while_kept,
)
from app.kit import clock
from app.kit.db import Database
from app.query.positions import FeedPosition, encode_feed

_MOST_STEPS: Final = 50  # publications without anything to tell that one call passes over


class ChangeFeed:
    """Answers `GET /v1/datasets/{id}/changes`. One a process."""

    def __init__(
        self,
        database: Database,
        snapshot: Snapshot,
        decider: Decider,
        recorder: Recorder,
        *,
        issuer: str,
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._steps = Steps(decider)
        self._recorder = recorder
        self._pins = Pins(database)
        self._issuer = issuer

    async def read(self, ask: FeedAsk) -> Page:
        """The changes behind a position, or the records as they are where there is none.

        Raises the refusal (which then stands in the log), `NoVersion`, `NoKey`,
        `ColumnNotVisible`, `InvalidCursor`, `CursorExpired`.
        """
        known = await self._snapshot.dataset(ask.dataset_id)
        await self._steps.check(known, ask.asker)
        with while_kept(CursorExpired()):
            async with self._database.reading() as session:
                step = await self._steps.step(session, known, ask)
        if step.position.begins:
            await self._pins.note(known, step.version.number)
        receipt = await self._recorder.record(
            known, ask.asker, step.allow, version=step.version.number, rows=len(step.events),
            columns=_names(step), feed=True,
            **some_of(known.entry.facts, step.reached.revision),
        )  # fmt: skip
        next_link = self._link(ask, step.position) if step.more else None
        body = self._body(ask, step, next_link)
        return Page(body, next_link, receipt, step.allow.ground == "public")

    def _link(self, ask: FeedAsk, position: FeedPosition) -> str:
        asked = {"since": encode_feed(position), "limit": str(ask.limit)}
        if ask.asker.purpose is not None:
            asked["purpose"] = ask.asker.purpose
        return f"{self._issuer}/v1/datasets/{ask.dataset_id}/changes?{urlencode(asked)}"

    def _body(self, ask: FeedAsk, step: Step, next_link: str | None) -> bytes:
        links = []
        if next_link is not None:
            links.append({"rel": "next", "href": next_link, "type": "application/json"})
        head = {"dataset": ask.dataset_id, "numberReturned": len(step.events)}
        tail = {
            "next": encode_feed(step.position),
            "links": links,
            "meta": {
                "source": "hosted",
                "stale": False,
                "age_seconds": 0,
                "revision": step.reached.revision,
                "updated_at": step.reached.began_at.astimezone(clock.TOKYO),
            },
        }
        changes = b",".join(step.events)
        return orjson.dumps(head)[:-1] + b',"changes":[' + changes + b"]," + orjson.dumps(tail)[1:]


def _names(step: Step) -> list[str]:
    return [name for name in step.version.fields if name in step.allow.columns]
