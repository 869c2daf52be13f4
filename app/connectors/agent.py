"""The kind `agent`: a source in a closed network, asked by an agent that stands there.

It knows neither where the source is nor who we are to it: that is the agent's alone, and nothing of
it is ever kept here.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from app.connectors.errors import CannotAnswer, SourceBroken, SourceUnreachable
from app.connectors.frame import (
    Capabilities,
    Connector,
    Harvest,
    Known,
    Proposal,
    Rows,
    Shape,
)
from app.connectors.relayed import DATA, END, HEAD, Wanted, What, check_end, not_spoken, read_json
from app.connectors.relayed_questions import batches_of, moment, part_of, to_json
from app.query.question import Question

SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_MOST_PROPOSALS = 1_000


class AgentSettings(Shape):
    """The source by the name that its agents have for it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"source": "kokuho"}, {"source": "kokuho", "reach": "file"}]
        }
    )

    source: SourceName
    reach: Literal["network", "file"] = Field(
        "network", description="file: an agent without a way out, whose bundles are carried here"
    )


class AgentSelection(Shape):
    """What of the source feeds the dataset, and under which agreement its keeper lets it be had."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"agreement": "2026-014", "select": {"table": "facility"}}]}
    )

    agreement: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="As the agent's side has written it beside what it allows. The id of an"
        " agreement here: nothing is asked while that is not in force, and who reads under another"
        " is refused"
    )
    select: dict[str, JsonValue] = Field(
        default_factory=dict, description="As the source's own kind takes a selection"
    )


class AgentConnector(Connector[AgentSettings, AgentSelection]):
    """Has the work done, and gives on what comes."""

    kind = "agent"
    title_ja = "エージェント（閉域網）"
    title_en = "Agent (in a closed network)"
    settings_shape: ClassVar[type[Shape]] = AgentSettings
    selection_shape: ClassVar[type[Shape]] = AgentSelection
    capabilities = Capabilities(
        answers=True, notices_changes=True, sends_changes=True, discovers=True
    )

    async def check(self, selection: AgentSelection | None = None) -> None:
        """Has the agent check the source, within what its side allows."""
        await self._told(self._wanted("check", selection))

    @asynccontextmanager
    async def harvest(
        self, selection: AgentSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The agent's harvest, piece by piece as it comes."""
        wanted = self._wanted("harvest", selection, known, first)
        async with self._asked(wanted) as messages:
            head = await self._head(messages)
            if head.get("unchanged") is True:
                yield None
                return
            pieces = self._pieces(messages)
            async with aclosing(pieces):
                yield Harvest(
                    pieces, _text(head.get("name")), _object(head.get("told")),
                    _object(head.get("validators")), head.get("delta") is True,
                    head.get("is_empty") is True,
                )  # fmt: skip

    def part(self, selection: AgentSelection, question: Question) -> Question:
        """Fields, and what they must be equal to: what the source can leave out stays there."""
        return part_of(question)

    @asynccontextmanager
    async def fetch(
        self, selection: AgentSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """The agent's rows. One whose bundles are carried here answers nothing."""
        if self.settings.reach == "file" or question != part_of(question):
            why, why_ja = "it answers no such question", "この問い合わせには対応していません"
            raise CannotAnswer(connector=self.kind, why=why, why_ja=why_ja)
        wanted = self._wanted("fetch", selection, known)
        async with self._asked(replace(wanted, question=to_json(question))) as messages:
            head = await self._head(messages)
            if head.get("unchanged") is True:
                yield None
                return
            batches = batches_of(self._pieces(messages), self.settings.source)
            async with aclosing(batches):
                yield Rows(batches, moment(head.get("as_of")), _object(head.get("validators")))

    async def discover(self) -> Sequence[Proposal]:
        """What the agent's side allows; it looks for nothing else."""
        told = await self._told(self._wanted("discover", None))
        listed = told.get("allows")
        if not isinstance(listed, list):
            raise not_spoken(self.settings.source)
        try:
            selections = [AgentSelection.model_validate(each) for each in listed[:_MOST_PROPOSALS]]
        except ValidationError:
            raise not_spoken(self.settings.source) from None
        return [
            Proposal(f"{self.settings.source} {number}", each.model_dump())
            for number, each in enumerate(selections, 1)
        ]

    def _wanted(
        self, what: What, selection: AgentSelection | None, known: Known | None = None,
        first: int | None = None,
    ) -> Wanted:  # fmt: skip
        agreement = selection.agreement if selection is not None else None
        select = selection.select if selection is not None else None
        proof = dict(known.validators) if known is not None else None
        by_file = self.settings.reach == "file"
        return Wanted(what, self.settings.source, agreement, select, proof, first, by_file=by_file)

    @asynccontextmanager
    async def _asked(self, wanted: Wanted) -> AsyncIterator[AsyncIterator[bytes]]:
        if self.means.relay is None:  # a process that lends none
            raise SourceUnreachable(source=self.settings.source, at="agent")
        async with self.means.relay(wanted) as messages:
            yield messages

    async def _told(self, wanted: Wanted) -> dict[str, Any]:
        """What a short answer says; all of it is read, its end too."""
        async with self._asked(wanted) as messages:
            head = await self._head(messages)
            async for _ in self._pieces(messages):
                raise not_spoken(self.settings.source)
            return head

    async def _head(self, messages: AsyncIterator[bytes]) -> dict[str, Any]:
        first = await anext(messages, b"")
        if first.startswith(END):
            check_end(first, self.settings.source)
        if not first.startswith(HEAD):
            raise not_spoken(self.settings.source)
        return read_json(first, self.settings.source)

    async def _pieces(self, messages: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for message in messages:
            if message.startswith(DATA):
                yield message[1:]
                continue
            if not message.startswith(END):
                raise not_spoken(self.settings.source)
            check_end(message, self.settings.source)
            return
        raise SourceBroken(source=self.settings.source, at="cut_off")


def _text(told: object) -> str | None:
    return told if isinstance(told, str) else None


def _object(told: object) -> dict[str, Any] | None:
    return told if isinstance(told, dict) else None
