"""What an ask is about: its version and the datasets beside it, each decided for its caller.

Every door's question about records comes by here first. It reads no record.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from app.broker.ask import Ask
from app.broker.decide import Decider
from app.broker.people import About, People, SubjectNotTold, are_renamed
from app.broker.permitted import RowsNotTold, permitted_beside
from app.broker.plan import Joined, joins_of
from app.broker.recording import Asker
from app.broker.snapshot import Known, Snapshot
from app.broker.versions_asked import allow_for, refuse_columns, refused
from app.catalogue import lexicon
from app.catalogue.entries import VersionEntry, load_version, load_version_at
from app.catalogue.refusals import NoVersion, VersionNotFound
from app.kit.db import Database
from app.kit.errors import AppError
from app.policy.facts import Action, Caller
from app.policy.verdicts import Allow
from app.query import cursor as cursors
from app.query.fields import Field
from app.query.params import read_moment
from app.query.question import Condition
from app.query.refusals import ColumnNotVisible, wrong
from app.query.subjects import SubjectByNameOnly
from app.query.words import read_terms

_LARGEST: Final = 2**31 - 1  # number of a version, in the standard and in the database
_MOST_DIGITS: Final = 10


def asker_of(ask: Ask) -> Asker:
    """Who asks, what for, and by which request."""
    return Asker(ask.caller, ask.parameter("purpose"), ask.request_id)


class Asked:
    """Finds and decides, for the answers of one process."""

    def __init__(
        self, database: Database, snapshot: Snapshot, decider: Decider, people: People
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._decider = decider
        self.people = people

    async def version(
        self, known: Known, ask: Ask, action: Action = Action.READ, *, takes_live: bool = False
    ) -> tuple[VersionEntry, Allow]:
        """The version asked for, and the verdict on it; of a live dataset, to whom takes one.

        Raises the refusal (which then stands in the log), `NoVersion`, `VersionNotFound`.
        """
        try:
            version = await self._find(known, ask)
        except AppError:
            # Who may not read the dataset is told that, and not which versions it has.
            await self._allow(known, known.entry.version, ask, action)
            raise
        allow = await self._allow(known, version, ask, action, takes_live=takes_live)
        if version is None:
            raise NoVersion(dataset=known.entry.id)
        if not version.published and allow.ground != "own":
            raise VersionNotFound(dataset=known.entry.id, number=version.number)
        return version, allow

    async def about(self, known: Known, version: VersionEntry, ask: Ask) -> About | None:
        """Whom its records are about. Raises `SubjectNotTold` (logged)."""
        try:
            return self.people.about(known, version, ask.caller)
        except SubjectNotTold as refusal:
            raise await self.refused(known, ask, refusal) from None

    async def joined(
        self,
        known: Known,
        version: VersionEntry,
        allow: Allow,
        ask: Ask,
        action: Action = Action.READ,
    ) -> dict[str, Joined]:
        """The datasets to look up beside, each decided for this caller as if asked alone.

        What a join goes by must be seen on both sides: the record found tells it.
        """
        wanted = (ask.parameter("expand") or "").split(",")
        versions: dict[str, VersionEntry] = {}
        allowed: dict[str, tuple[Known, Allow]] = {}
        for declared in known.entry.joins:
            if declared["name"] not in wanted:
                continue
            other = await self._snapshot.dataset(declared["dataset"])
            beside = await self._beside(other, ask)
            # Beside another's records they are read one by one, also where those are only counted.
            others = await self._allow(other, beside, ask, Action.READ)
            if action is not Action.READ:  # what may not be counted alone is not counted beside
                counted = await self._allow(other, beside, ask, action, again=True)
                others = replace(others, columns=others.columns & counted.columns)
            if beside is None:
                raise NoVersion(dataset=other.entry.id)
            await self._refuse_renamed(known, other, declared["here"], ask)
            versions[declared["name"]] = beside
            allowed[declared["name"]] = (other, others)
        joins = joins_of(replace(known.entry, version=version), versions)
        for name, join in joins.items():
            await self._refuse_hidden(known, allow, (join.here,), ask)
            there = (join.there,) if join.as_of is None else (join.there, join.as_of)
            await self._refuse_hidden(*allowed[name], there, ask)
        return {
            name: Joined(
                replace(
                    join,
                    fields=tuple(f for f in join.fields if f.name in allowed[name][1].columns),
                    where=await self._permitted_beside(*allowed[name], versions[name], name, ask),
                ),
                versions[name],
                *allowed[name],
            )
            for name, join in joins.items()
        }

    async def _refuse_renamed(self, known: Known, other: Known, here: str, ask: Ask) -> None:
        """No names of people are changed beneath a join, nor found by one that are elsewhere."""
        if are_renamed(other.entry.facts, ask.caller):
            raise await self.refused(other, ask, SubjectNotTold(dataset=other.entry.id))
        if are_renamed(known.entry.facts, ask.caller) and here == known.entry.facts.subject:
            raise await self.refused(known, ask, SubjectByNameOnly(name=here))

    async def _permitted_beside(
        self, other: Known, allow: Allow, version: VersionEntry, join: str, ask: Ask
    ) -> Condition | None:
        """What a record there must meet to be found. Raises `RowsNotTold` (logged)."""
        try:
            return permitted_beside(other.entry.id, version, allow, join)
        except RowsNotTold as refusal:
            raise await self.refused(other, ask, refusal) from None

    async def visible(
        self, dataset_id: str, caller: Caller | None, purpose: str | None
    ) -> frozenset[str]:
        """The columns that a read would give now, none where it would be refused. Logs nothing."""
        known = await self._snapshot.dataset(dataset_id)
        verdict = await self._decider.judge(known, caller, Action.READ, purpose)
        return verdict.columns if isinstance(verdict, Allow) else frozenset()

    async def readings(self, ask: Ask) -> dict[str, tuple[str, ...]]:
        """How the words of `q` are read and what is read so, as far as is known now."""
        words = ask.parameter("q")
        if words is None:
            return {}
        async with self._database.reading() as session:
            return await lexicon.look_up(session, read_terms(words))

    async def not_visible(
        self, known: Known, ask: Ask, refusal: ColumnNotVisible
    ) -> ColumnNotVisible:
        """The refusal of a hidden column, written to the log."""
        return await refuse_columns(self._decider, known, [refusal.named["names"]], asker_of(ask))

    async def _refuse_hidden(
        self, known: Known, allow: Allow, fields: Sequence[Field], ask: Ask
    ) -> None:
        hidden = [field.name for field in fields if field.name not in allow.columns]
        if hidden:
            raise await refuse_columns(self._decider, known, hidden, asker_of(ask))

    async def refused(self, known: Known, ask: Ask, refusal: AppError) -> AppError:
        """A refusal for what a dataset's publisher declared, written to the log."""
        return await refused(self._decider, known, asker_of(ask), refusal)

    async def _find(self, known: Known, ask: Ask) -> VersionEntry | None:
        """The version asked for: by number, by time, by cursor, or the current one."""
        number = None
        asked, cursor = ask.parameter("version"), ask.parameter("cursor")
        if (as_of := ask.parameter("as_of")) is not None:
            if asked is not None:
                raise wrong("as_of", "version とは併用できません。", "does not go with version.")
            async with self._database.reading() as session:
                return await load_version_at(session, ask.dataset_id, read_moment(as_of))
        if asked is not None:
            is_number = asked.isascii() and asked.isdigit() and 0 < len(asked) <= _MOST_DIGITS
            if not is_number or int(asked) > _LARGEST:
                raise wrong("version", "版の番号です。", "give a version's number.")
            number = int(asked)
        if cursor is not None:
            position = cursors.decode(cursor, dataset_id=ask.dataset_id)
            number = position.version if number is None else number
        current = known.entry.version
        if number is None or (current is not None and current.number == number):
            return current
        async with self._database.reading() as session:
            return await load_version(session, ask.dataset_id, number)

    async def _beside(self, other: Known, ask: Ask) -> VersionEntry | None:
        """The joined dataset's version: of the same time, where one was asked for."""
        as_of = ask.parameter("as_of")
        if as_of is None:
            return other.entry.version
        try:
            async with self._database.reading() as session:
                return await load_version_at(session, other.entry.id, read_moment(as_of))
        except AppError:
            # Who may not read the dataset is told that, and not which versions it has.
            await self._allow(other, other.entry.version, ask, Action.READ)
            raise

    async def _allow(
        self,
        known: Known,
        version: VersionEntry | None,
        ask: Ask,
        action: Action,
        *,
        again: bool = False,
        takes_live: bool = False,
    ) -> Allow:
        return await allow_for(
            self._decider, known, version, asker_of(ask), action, again=again,
            takes_live=takes_live,
        )  # fmt: skip
