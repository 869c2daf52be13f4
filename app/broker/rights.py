"""What a caller may do with each of many datasets, by the rules that decide. Reads no record."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.agreements.facts import load_consumers_agreements
from app.broker.snapshot import Snapshot
from app.catalogue.listing import Listed, list_facts
from app.kit import clock
from app.kit.db import Database
from app.policy.facts import Action, AgreementFacts, Caller, Facts
from app.policy.rules import decide
from app.policy.verdicts import Allow, Reason

_SCOPES: Final = frozenset(action.needs for action in Action)
_ANY_PURPOSE: Final = frozenset({"own", "body"})  # grounds that need no certain purpose


@dataclass(frozen=True, slots=True)
class Right:
    """Whether one action would be allowed: on which ground and for which purposes, or why not."""

    allowed: bool
    ground: str | None = None
    agreement_id: str | None = None
    purposes: tuple[str, ...] = ()  # one of them is to be given; empty: none is needed
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A dataset with the caller's rights."""

    listed: Listed
    rights: Mapping[Action, Right]


class Rights:
    """Judges for one listener. One a process."""

    def __init__(self, database: Database, snapshot: Snapshot, zone: str) -> None:
        self._database = database
        self._snapshot = snapshot
        self._zone = zone

    async def listed(self, caller: Caller, *, after: str | None, most: int) -> list[Held]:
        """By id. As many statements for ten thousand datasets as for one: all facts come at once."""
        mine = caller.client.organization_id
        async with self._database.reading() as session:
            listed = await list_facts(session, viewer=mine, after=after, most=most)
        ids = [each.facts.id for each in listed]
        agreements = await load_consumers_agreements(self._database.pool, ids, mine)
        purposes = await self._snapshot.purposes()
        # Some microseconds each: thousands are longer than others should wait.
        return await asyncio.to_thread(self._judged, caller, listed, agreements, purposes)

    def _judged(
        self,
        caller: Caller,
        listed: Sequence[Listed],
        agreements: Mapping[str, tuple[AgreementFacts, ...]],
        purposes: frozenset[str],
    ) -> list[Held]:
        now = clock.now()
        found = []
        for each in listed:
            scope = frozenset({f"dataset:{each.facts.id}:{needed}" for needed in _SCOPES})
            facts = Facts(
                action=Action.AGGREGATE,
                dataset=each.facts,
                caller=replace(caller, scope=scope),
                purpose=None,
                zone=self._zone,
                agreements=agreements.get(each.facts.id, ()),
                purposes=purposes,
                now=now,
            )
            found.append(Held(each, _rights(facts)))
        return found


def _rights(facts: Facts) -> dict[Action, Right]:
    counted = read = right_of(facts)
    is_personal = facts.dataset.data_class == "personal"  # perhaps read, and not counted
    if facts.dataset.aggregate_only or is_personal:  # else who may count may read, nobody else
        read = right_of(replace(facts, action=Action.READ))
    written = right_of(replace(facts, action=Action.WRITE))
    return {Action.READ: read, Action.AGGREGATE: counted, Action.WRITE: written}


def right_of(facts: Facts) -> Right:
    """What the rules say for the purposes that could matter: those agreed on, else any one."""
    if facts.action is Action.WRITE:
        return _right(facts)
    told = [(each, _right(replace(facts, purpose=each))) for each in _purposes_to_try(facts)]
    allowed = [each for each in told if each[1].allowed]
    if not allowed:
        return told[0][1] if told else _right(facts)
    # What everybody may is said only where no purpose gives more.
    more = [each for each in allowed if each[1].ground != "public"]
    if not more:
        return allowed[0][1]
    best = more[0][1]
    if len({right.agreement_id for _, right in more}) > 1:
        best = replace(best, agreement_id=None)  # each purpose has its own
    if best.ground in _ANY_PURPOSE and not facts.dataset.views:
        return replace(best, purposes=tuple(sorted(facts.purposes)))
    return replace(best, purposes=tuple(sorted(purpose for purpose, _ in more)))


def _purposes_to_try(facts: Facts) -> list[str]:
    """Those agreed on first: their refusals tell most. Views may answer each purpose otherwise."""
    agreed = sorted({each.purpose for each in facts.agreements} & facts.purposes)
    others = sorted(facts.purposes.difference(agreed))
    if facts.dataset.views:
        return agreed + others
    return agreed or others[:1]


def _right(facts: Facts) -> Right:
    verdict = decide(facts)
    if not isinstance(verdict, Allow):
        return Right(allowed=False, reason=verdict.reason)
    return Right(True, verdict.ground, verdict.agreement_id)
