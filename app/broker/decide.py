"""Gathers the facts of a request and has the rules judge them. A refusal is logged, then raised."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from app.audit.events import Event
from app.audit.log import Log
from app.broker.limits import LimiterUnavailable, Limits, RateLimited
from app.broker.refusals import DatasetIsLive, LogBehind, refusal_of
from app.broker.snapshot import Judged, Known, Snapshot
from app.catalogue.entries import VersionEntry
from app.catalogue.refusals import DatasetNotFound, DatasetWithdrawn
from app.kit import clock
from app.kit.errors import AppError
from app.policy.facts import Action, AgreementFacts, Caller, ClientFacts, DatasetFacts, Facts
from app.policy.moments import same_until
from app.policy.rules import decide, looked_at, tables
from app.policy.staleness import LOG_BOUND_S, is_of_now, still_known, waits_for_log
from app.policy.verdicts import Allow, Deny, Reason

_MOST_JUDGED: Final = 1_024  # verdicts on one dataset that are remembered


@dataclass(frozen=True, slots=True)
class Supposed:
    """A request that nobody has made: its token has the scope that it needs."""

    client: ClientFacts
    action: Action
    purpose: str | None = None
    zone: str | None = None  # None: this listener's
    at: datetime | None = None  # None: now
    bound: bool = False
    agreement_id: str | None = None  # the one that the token is for


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict with the facts that it was judged by, and each agreement's part in it."""

    facts: Facts
    verdict: Allow | Deny
    agreements: tuple[tuple[AgreementFacts, Reason | None], ...]


class Decider:
    """Decides for one listener, whose zone no request can choose.

    `limits` None: for whoever judges again only what was counted when it was asked for.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        log: Log,
        zone: str,
        limits: Limits | None,
        seconds_behind: Callable[[], float],
    ) -> None:
        self._snapshot = snapshot
        self._log = log
        self._zone = zone
        self._limits = limits
        self._seconds_behind = seconds_behind

    async def judge(
        self,
        known: Known,
        caller: Caller | None,
        action: Action,
        purpose: str | None,
    ) -> Allow | Deny:
        """The rules' verdict now, on agreements in force now, or as lately as the class demands.

        The same facts are not judged again before the time can change the verdict on them.
        """
        purposes = await self._snapshot.purposes()
        key = (self._zone, action, purpose, caller.client.client_id if caller else None)
        found, now = known.judged.get(key), clock.now()
        if (
            found is not None
            and found.by == tables()
            and found.purposes is purposes
            and found.caller == caller
            and found.since <= now
            and (found.until is None or now < found.until)
            and is_of_now(self._seconds_behind())
        ):
            return found.verdict
        facts = await self._facts(known, caller, action, purpose)
        verdict = self._verdict(facts)
        is_known = purpose is None or purpose in facts.purposes  # of others there is no end
        if is_known and isinstance(verdict, Allow) and is_of_now(self._seconds_behind()):
            if len(known.judged) >= _MOST_JUDGED:
                known.judged.clear()
            until = same_until(facts)
            known.judged[key] = Judged(tables(), caller, facts.purposes, facts.now, until, verdict)
        return verdict

    async def explain(self, known: Known, supposed: Supposed) -> Explanation:
        """What a request would be told, judged as one is. Nothing leaves, nothing is logged."""
        client = supposed.client
        needed = f"dataset:{known.entry.id}:{supposed.action.needs}"
        caller = Caller(
            client,
            frozenset({needed}),
            bound=supposed.bound,
            agreement_id=supposed.agreement_id,
            purpose=supposed.purpose if supposed.agreement_id else None,
        )
        now = await self._facts(known, caller, supposed.action, supposed.purpose)
        facts = replace(now, zone=supposed.zone or now.zone, now=supposed.at or now.now)
        return Explanation(facts, self._verdict(facts), looked_at(facts, client.organization_id))

    async def _facts(
        self, known: Known, caller: Caller | None, action: Action, purpose: str | None
    ) -> Facts:
        return Facts(
            action=action,
            dataset=known.entry.facts,
            caller=caller,
            purpose=purpose,
            zone=self._zone,
            agreements=known.concerning(caller.client.organization_id if caller else None),
            purposes=await self._snapshot.purposes(),
            now=clock.now(),
        )

    def _verdict(self, facts: Facts) -> Allow | Deny:
        known_now = still_known(facts, self._seconds_behind())
        return known_now if isinstance(known_now, Deny) else decide(known_now)

    async def allow(
        self,
        known: Known,
        caller: Caller | None,
        action: Action,
        purpose: str | None,
        request: str,
        *,
        again: bool = False,
        takes_live: bool = False,
    ) -> Allow:
        """The verdict if it is yes and the limits have room; a no is logged and raised.

        `again`: on another part of what was allowed, and counted, before: under the agreement that
        carried the first part, whichever carries this one. `takes_live`: the door answers from a
        source too; any other refuses a dataset that is live.
        """
        verdict = await self.judge(known, caller, action, purpose)
        if isinstance(verdict, Allow):
            if known.entry.is_live and not takes_live:
                await self.refuse(known, caller, DatasetIsLive.code, purpose, request)
                refusal = DatasetIsLive(dataset=known.entry.id)
                refusal.logged = True
                raise refusal
            self._check_log(known, verdict)
            if not again and self._limits is not None:
                await self._count(self._limits, known, caller, verdict, purpose, request)
            return verdict
        raise await self.refused(known, caller, verdict, purpose, request)

    async def refused(
        self, known: Known, caller: Caller | None, verdict: Deny, purpose: str | None, request: str
    ) -> AppError:
        """The refusal of a no, which stands in the log by then."""
        await self.refuse(known, caller, verdict.reason, purpose, request)
        return self._as_seen_by(known, caller, verdict)

    def _check_log(self, known: Known, allow: Allow) -> None:
        """Raise `LogBehind` where delicate columns would leave while the log takes nothing."""
        behind = self._log.seconds_behind
        if behind <= LOG_BOUND_S:
            return
        facts = known.entry.facts
        classes = {
            facts.data_class,
            *(each for name, each in facts.columns if name in allow.columns),
        }
        if any(waits_for_log(each, behind) for each in classes):
            raise LogBehind(dataset=facts.id, minutes=LOG_BOUND_S // 60)

    async def _count(
        self,
        limits: Limits,
        known: Known,
        caller: Caller | None,
        allow: Allow,
        purpose: str | None,
        request: str,
    ) -> None:
        """Count an allowed use. That the limits have no room is in the log once a minute."""
        facts = known.entry.facts
        try:
            # In this order: what one body's day refuses takes nothing of a quota that all share.
            await limits.agreement(facts, allow, caller)
            await limits.dataset(facts, allow, caller)
        except (RateLimited, LimiterUnavailable) as refusal:
            client_id = caller.client.client_id if caller is not None else None
            is_open = facts.data_class == "public"
            if not is_open and limits.is_news(refusal.code, client_id, known.entry.id):
                await self.refuse(known, caller, refusal.code, purpose, request)
            raise

    async def refuse(
        self, known: Known, caller: Caller | None, reason: str, purpose: str | None, request: str
    ) -> None:
        """Write a refusal to the log."""
        await self._log.write(
            Event.RECORDS_REFUSED,
            reason=reason,
            request=request,
            **who_and_what(known, caller, purpose),
        )

    def _as_seen_by(self, known: Known, caller: Caller | None, verdict: Deny) -> AppError:
        """The refusal in words; what a caller may not know exists is not found."""
        entry = known.entry
        refusal: AppError
        mine = caller is not None and caller.client.organization_id == entry.facts.publisher_id
        if entry.hidden and not mine:
            refusal = DatasetNotFound(id=entry.id)
        elif verdict.reason is Reason.WITHDRAWN:
            refusal = DatasetWithdrawn(id=entry.id, reason=entry.withdrawn_reason)
        else:
            refusal = refusal_of(verdict)
        refusal.logged = True
        return refusal


def who_and_what(known: Known, caller: Caller | None, purpose: str | None) -> dict[str, Any]:
    """The facts that every entry about records has."""
    return {
        "dataset": known.entry.id,
        "data_class": known.entry.facts.data_class,
        "provider": known.entry.facts.publisher_id,
        "client": caller.client.client_id if caller else None,
        "person": caller.client.person_id if caller else None,
        "via": caller.client.spoken_by if caller else None,
        "consumer": caller.client.organization_id if caller else None,
        "purpose": purpose,
    }


def facts_for(known: Known, version: VersionEntry) -> DatasetFacts:
    """The dataset's facts with the columns of another version than the current one."""
    return replace(known.entry.facts, columns=known.entry.columns_of(version))
