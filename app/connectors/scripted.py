"""The kind `scripted`: a source whose every word was written by a test. Is installed nowhere.

For the tests of whoever builds on connectors: of the platform, and of other kinds' authors.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import orjson

from app.connectors.errors import CannotAnswer, SourceError
from app.connectors.frame import (
    Capabilities,
    Changes,
    Connector,
    Harvest,
    Known,
    Proposal,
    Rows,
    Shape,
)
from app.query.question import Question

_LOOK_S: Final = 0.02


@dataclass(slots=True)
class Script:
    """What a scripted source has, what is wrong with it, and what it was asked, in order."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    wrong: SourceError | None = None
    asked: list[str] = field(default_factory=list)
    open_now: int = 0
    tells: list[Changes] = field(default_factory=list)  # to who listens, one behind the other
    forgotten: list[Mapping[str, Any]] = field(default_factory=list)


class ScriptedSettings(Shape):
    """Which script: they are known by name, so that settings stay plain data."""

    script: str


class ScriptedSelection(Shape):
    """All of its rows."""


class ScriptedConnector(Connector[ScriptedSettings, ScriptedSelection]):
    """Answers from `scripts`."""

    kind = "scripted"
    title_ja = "台本（試験用）"
    title_en = "Scripted (for tests)"
    settings_shape: ClassVar[type[Shape]] = ScriptedSettings
    selection_shape: ClassVar[type[Shape]] = ScriptedSelection
    capabilities = Capabilities(
        answers=True, pages=True, streams=True, notices_changes=True, discovers=True
    )
    scripts: ClassVar[dict[str, Script]] = {}

    def _asked(self, what: str) -> Script:
        script = self.scripts[self.settings.script]
        script.asked.append(what)
        if script.wrong is not None:
            raise script.wrong
        return script

    async def check(self, selection: ScriptedSelection | None = None) -> None:
        """As the script says."""
        self._asked("check")

    @asynccontextmanager
    async def harvest(
        self, selection: ScriptedSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The rows as JSON lines."""
        script = self._asked("harvest")
        lines = [orjson.dumps(row) + b"\n" for row in script.rows[:first]]
        digest = hashlib.sha256(b"".join(lines)).hexdigest()
        script.open_now += 1
        try:
            if known is not None and known.validators.get("sha256") == digest:
                yield None
            else:
                yield Harvest(_each(lines), "rows.ndjson", None, {"sha256": digest})
        finally:
            script.open_now -= 1

    def part(self, selection: ScriptedSelection, question: Question) -> Question:
        """A page of all rows, where no condition and no order is asked; all of them otherwise."""
        if _is_of_all(question):
            return Question(question.fields, limit=question.limit, offset=question.offset)
        return Question(question.fields, limit=None)

    @asynccontextmanager
    async def fetch(
        self, selection: ScriptedSelection, question: Question, known: Known | None = None
    ) -> AsyncIterator[Rows | None]:
        """A page of all rows; it knows neither conditions nor orders, and says so."""
        script = self._asked("fetch")
        if not _is_of_all(question):
            why_ja = "条件と並べ替えは扱えません"
            raise CannotAnswer(connector=self.kind, why="it cannot filter or sort", why_ja=why_ja)
        names = [each.name for each in question.fields]
        end = None if question.limit is None else question.offset + question.limit
        page = script.rows[question.offset : end]
        script.open_now += 1
        try:
            yield Rows(_batch([{name: row.get(name) for name in names} for row in page]))
        finally:
            script.open_now -= 1

    @asynccontextmanager
    async def listen(
        self, selection: ScriptedSelection, position: Mapping[str, Any] | None = None
    ) -> AsyncIterator[AsyncIterator[Changes]]:
        """What the script tells, from where it was kept; then what is added to it."""
        script = self._asked("listen")
        script.open_now += 1
        try:
            yield self._told(script, position["told"] if position else 0)
        finally:
            script.open_now -= 1

    async def _told(self, script: Script, at: int) -> AsyncIterator[Changes]:
        while True:
            if script.wrong is not None:
                raise script.wrong
            if at == len(script.tells):
                await asyncio.sleep(_LOOK_S)
                continue
            at += 1
            yield replace(script.tells[at - 1], position={"told": at})

    async def forget(self, selection: ScriptedSelection, position: Mapping[str, Any]) -> None:
        """Note that nobody listens any more."""
        self._asked("forget").forgotten.append(position)

    async def discover(self) -> Sequence[Proposal]:
        """Itself."""
        script = self._asked("discover")
        names = dict.fromkeys(name for row in script.rows for name in row)
        return [Proposal("rows", {}, tuple({"name": name} for name in names))]


def _is_of_all(question: Question) -> bool:
    return not any((
        question.where, question.box, question.near, question.after, question.order, question.joins
    ))  # fmt: skip


async def _batch(rows: list[dict[str, Any]]) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    yield rows


async def _each(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line
