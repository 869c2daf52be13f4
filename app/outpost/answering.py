"""A job done here: the messages of its answer, one after the other. Sends nothing anywhere.

What goes wrong at the source is told as the platform's own connectors tell it; names of hosts of the
closed network stay in this process's log.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import orjson
import structlog

from app.connectors.errors import CannotAnswer, SourceBroken, SourceError
from app.connectors.frame import AnyConnector, Known, Means
from app.connectors.kinds import KindBroken, Kinds, contained, opened
from app.connectors.relayed import DATA, HEAD, Wanted, end_of, head_of, not_allowed
from app.connectors.relayed_questions import from_json, head_of_rows, lines_of
from app.kit.errors import AppError
from app.outpost.allowance import Allowance
from app.outpost.sealed import PIECE_BYTES

log = structlog.get_logger()


class Answerer:
    """Does jobs within what an allowance says. One a process."""

    def __init__(self, allowance: Allowance, kinds: Kinds, means: Means) -> None:
        self.allowance = allowance
        self._kinds = kinds
        self._means = means

    async def messages(self, wanted: Wanted) -> AsyncGenerator[bytes, None]:
        """Head, pieces and end. Never raises a refusal: the end tells it."""
        try:
            async with aclosing(self._work(wanted)) as work:
                async for message in work:
                    yield message
        except SourceError as wrong:
            log.warning("agent.source", source=wanted.source, code=wrong.code, at=wrong.at)
            yield end_of(wrong)
        except AppError as refusal:
            log.warning("agent.refused", source=wanted.source, code=refusal.code)
            yield end_of(_as_source(wanted.source, refusal))
        else:
            yield end_of()

    async def _work(self, wanted: Wanted) -> AsyncGenerator[bytes, None]:
        if wanted.what == "discover":
            self.allowance.source_of(wanted)
            yield HEAD + orjson.dumps({"allows": self.allowance.shown(wanted.source)})
            return
        source = self.allowance.source_of(wanted)
        kind = self._kinds.get(source.kind)
        is_of_all = wanted.what == "check" and wanted.selection is None
        selection = None if is_of_all else self.allowance.selection_of(wanted, kind)
        connector = opened(kind, source.settings, self._means)
        if wanted.what == "check":
            with contained(connector):
                await connector.check(selection)
            yield HEAD + b"{}"
            return
        answer = _fetch if wanted.what == "fetch" else _harvest
        async with aclosing(answer(connector, selection, wanted)) as pieces:
            async for message in pieces:
                yield message


async def _harvest(
    connector: AnyConnector, selection: object, wanted: Wanted
) -> AsyncGenerator[bytes, None]:
    known = Known(wanted.known) if wanted.known is not None else None
    with contained(connector):
        async with connector.harvest(selection, known, wanted.first) as got:
            yield head_of(got)
            if got is not None:
                async with aclosing(_sized(got.pieces)) as pieces:
                    async for piece in pieces:
                        yield DATA + piece


async def _fetch(
    connector: AnyConnector, selection: object, wanted: Wanted
) -> AsyncGenerator[bytes, None]:
    known = Known(wanted.known) if wanted.known is not None else None
    asked = from_json(wanted.question or {})  # which the allowance has read already
    with contained(connector):
        question = connector.part(selection, asked)
        async with connector.fetch(selection, question, known) as rows:
            yield head_of_rows(rows)
            if rows is not None:
                async with aclosing(_sized(lines_of(rows))) as pieces:
                    async for piece in pieces:
                        yield DATA + piece


async def _sized(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces, none longer than a message holds and few of them short."""
    held = bytearray()
    async for piece in pieces:
        held += piece
        while len(held) >= PIECE_BYTES:
            yield bytes(held[:PIECE_BYTES])
            del held[:PIECE_BYTES]
    if held:
        yield bytes(held)


def _as_source(source: str, refusal: AppError) -> SourceError | CannotAnswer:
    """A refusal of this side's own: what it does not reach, or a kind that is broken."""
    if isinstance(refusal, CannotAnswer):
        return refusal
    if isinstance(refusal, KindBroken):
        return SourceBroken(source=source, at="server", detail=refusal.code)
    return not_allowed(source)
