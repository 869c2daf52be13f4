"""A request and an agreement in every state, and every step that somebody could take there."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements import agreements, drafts, exclusions, negotiation, requests
from app.agreements.proposals import Proposal
from app.agreements.requests import Granted
from app.agreements.terms import AskedTerms
from app.kit import clock
from app.kit.errors import AppError
from app.models.agreements import AccessRequest, Agreement
from app.policy.facts import ClientFacts
from tests.agreements import model
from tests.agreements.model import CITY, MEMBERS, PEOPLE, Agreed, Asked, Who
from tests.agreements.stage import Stage, outcome_of

LEAVERS = {
    "revoked later": Who(CITY, False, "revoked later"),
    "moved later": Who(CITY, False, "moved later"),
    "steward revoked later": Who(model.BUREAU, True, "steward revoked later"),
}
# Where everything is tried; elsewhere only what makes an agreement.
BASIC = (
    "draft", "draft of another day", "requested", "requested by both", "countered", "expired",
    "over", "countered, over", "rejected", "withdrawn", "approved, active",
)  # fmt: skip
OTHER = Proposal(legal_basis="別の条例")
Act = Callable[[AsyncSession, Any, ClientFacts], Awaitable[Any]]
Thing = Asked | Agreed | None


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody does something to something, and what they should be told."""

    verb: str
    place: str
    who: str
    act: Act
    thing: Thing
    expected: str


@dataclass(slots=True)
class Places:
    """A request and an agreement in each state, made by the services while the clock is moved.

    The database's clock stays, and takes no time before it: so now is sixty days ahead.
    """

    stage: Stage
    now: datetime
    asked: dict[str, Asked] = field(default_factory=dict)
    agreed: dict[str, Agreed] = field(default_factory=dict)

    async def does(self, act: Act, thing: Thing, who: str, ago: float = 0) -> Any:
        """Do something for good, some days ago."""
        at = self.now - timedelta(days=ago)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "now", lambda: at)
            async with self.stage.world.platform.database.writing() as session:
                return await act(session, await _found(session, thing), self.stage.people[who])

    async def ask(
        self, name: str, who: str = "asker", *, ago: float = 0, days: int = 50, **more: Any
    ) -> Asked:
        end = self.now + timedelta(days=days - ago)
        make = drafts.write if more.pop("draft", False) else requests.ask
        terms = AskedTerms("statistics", "条例", valid_until=end, **more)
        made = await self.does(
            lambda session, _, by: make(session, self.stage.dataset, terms, by=by), None, who, ago
        )
        author = (PEOPLE | LEAVERS)[who]
        asked = Asked(made.id, made.state, author, made.due_at, end, group=bool(made.group_id))
        self.asked[name] = asked
        return asked

    async def counter(self, asked: Asked, who: str, ago: float = 0) -> None:
        made = await self.does(self.counters(OTHER), asked, who, ago)
        asked.state, asked.offer, asked.due_at = made.state, made.offer_number, made.due_at
        asked.offered_by = (PEOPLE | LEAVERS)[who]

    async def approve(self, name: str, asked: Asked, ago: float = 0) -> Agreed:
        made = await self.does(self.approves(Granted()), asked, "steward", ago)
        asked.state = "approved"
        agreed = Agreed(made.id, made.valid_until, group=asked.group)
        self.agreed[name] = agreed
        return agreed

    def approves(self, granted: Granted) -> Act:
        return lambda session, asked, by: requests.approve(
            session, asked, self.stage.dataset, granted, by=by
        )

    def accepts(self, number: int) -> Act:
        return lambda session, asked, by: negotiation.accept(
            session, asked, self.stage.dataset, number, by=by
        )

    def counters(self, other: Proposal) -> Act:
        return lambda session, asked, by: negotiation.counter(
            session, asked, self.stage.dataset, other, by=by
        )

    def amends(self, other: Proposal) -> Act:
        return lambda session, agreed, by: negotiation.amend(
            session, agreed, self.stage.dataset, other, by=by
        )

    def changes(self, verb: str) -> Act:
        return lambda session, agreed, by: getattr(agreements, verb)(
            session, agreed, self.stage.dataset, reason="-", by=by
        )

    def leaves_out(self, verb: str, member: str) -> Act:
        return lambda session, agreed, by: getattr(exclusions, verb)(
            session, agreed, self.stage.dataset, member, reason="-", by=by
        )

    def ends(self, verb: str) -> Act:
        if verb == "withdrawn":
            return lambda session, asked, by: requests.withdraw(session, asked, by=by)
        return lambda session, asked, by: requests.reject(
            session, asked, self.stage.dataset, reason="-", by=by
        )

    def drafting(self, verb: str) -> Act:
        if verb == "give-up":
            return lambda session, asked, by: drafts.withdraw(session, asked, by=by)
        if verb == "submit":
            return lambda session, asked, by: drafts.submit(
                session, asked, self.stage.dataset, by=by
            )
        return lambda session, asked, by: drafts.edit(
            session, asked, self.stage.dataset, OTHER, by=by
        )

    def asks(self, **change: Any) -> Act:
        dataset = replace(self.stage.dataset, **change.pop("of", {}))
        terms = AskedTerms(**{"purpose": "statistics", "legal_basis": "条例", **change})
        return lambda session, _, by: requests.ask(session, dataset, terms, by=by)

    async def fill(self) -> None:
        """Every state."""
        await self.ask("draft", draft=True)
        await self.ask("draft of another day", draft=True, ago=60)
        await self.ask("requested")
        await self.ask("requested by both", "both")
        await self.ask("requested by an app itself", "app itself")
        drafted = await self.ask("drafted by both, submitted", "both", draft=True)
        made = await self.does(self.drafting("submit"), drafted, "colleague")
        drafted.state, drafted.due_at = made.state, made.due_at
        drafted.offered_by = PEOPLE["colleague"]
        await self.ask("bounded", rows="name = '北'", per_day=10, columns=("name",))
        await self.ask("expired", ago=31, days=80)
        await self.ask("over", ago=20, days=19)
        await self.counter(await self.ask("countered"), "steward")
        await self.counter(await self.ask("countered by both"), "both")
        await self.counter(await self.ask("countered, over", ago=20, days=19), "steward", 19.5)
        for verb in ("rejected", "withdrawn"):
            ended = await self.ask(verb)
            await self.does(self.ends(verb), ended, "both")
            ended.state = verb
        given_up = await self.ask("draft given up", draft=True)
        await self.does(self.drafting("give-up"), given_up, "asker")
        given_up.state = "withdrawn"
        await self._fill_agreements()
        await self._fill_amendments()
        await self._fill_leavers()

    async def _fill_agreements(self) -> None:
        for verb, state in (("", "active"), ("suspend", "suspended"), ("revoke", "revoked")):
            agreed = await self.approve(state, await self.ask(f"approved, {state}"))
            if verb:
                await self.does(self.changes(verb), agreed, "steward")
                agreed.state = state
        await self.approve("expired", await self.ask("approved, expired", ago=60), ago=59)
        shared = await self.ask("approved for a group", group=self.stage.group)
        await self.approve("group", shared)
        ended = await self.approve(
            "group, revoked", await self.ask("approved", group=self.stage.group)
        )
        await self.does(self.changes("revoke"), ended, "steward")
        ended.state = "revoked"
        bounds: dict[str, Any] = {"rows": "name = '北'", "per_day": 10, "columns": ("name",)}
        both = await self.ask("approved with bounds", group=self.stage.group, **bounds)
        await self.approve("bounded group", both)

    async def _amended(self, name: str, agreed: Agreed, who: str) -> Asked:
        made = await self.does(self.amends(OTHER), agreed, who)
        asked = Asked(made.id, made.state, PEOPLE[who], made.due_at, made.valid_until, agreed)
        self.asked[name] = asked
        return asked

    async def _fill_amendments(self) -> None:
        await self._amended("amending", self.agreed["active"], "asker")
        await self._amended("amending, by the provider", self.agreed["active"], "steward")
        former = await self.approve("superseded", await self.ask("approved, superseded"))
        late = [
            await self._amended(f"too late, by {who}", former, who) for who in ("asker", "steward")
        ]
        newer = await self._amended("approved, amended", former, "asker")
        await self.approve("second version", newer)
        former.state = "superseded"
        assert [each.state for each in late] == ["requested", "countered"]

    async def _fill_leavers(self) -> None:
        gone = await self.ask("requested by one who is gone", "revoked later")
        moved = await self.ask("requested by one who moved", "moved later")
        theirs = await self.ask("countered by one who is gone")
        await self.counter(theirs, "steward revoked later")
        gone.author_gone = theirs.author_gone = moved.author_moved = True
        pool, of = self.stage.world.platform.database.pool, self.stage.people
        for name in ("revoked later", "steward revoked later"):
            await pool.execute(
                "UPDATE client SET revoked_at = now() WHERE id = $1", of[name].client_id
            )
        await pool.execute(
            "UPDATE client SET zone = 'lgwan' WHERE id = $1", of["moved later"].client_id
        )

    async def told(self, step: Step) -> str:
        """What a step is answered with. It is undone."""
        async with self.stage.undone() as session:
            try:
                thing = await _found(session, step.thing)
                await step.act(session, thing, self.stage.people[step.who])
                await session.flush()
            except AppError as refusal:
                return outcome_of(refusal)
            return "ok"

    async def first_surprise(self, verb: str, expected: str = "") -> str | None:
        """The first step of this kind, and expected to be told so, that is answered otherwise."""
        for step in self.steps():
            if step.verb == verb and expected in step.expected:
                try:
                    told = await self.told(step)
                except DBAPIError:
                    told = "stopped by the database alone"
                if told != step.expected:
                    return f"{step.who}, {step.verb}, {step.place}: {told}, not {step.expected}"
        return None

    def steps(self) -> Iterator[Step]:
        """Everything, by everybody, everywhere."""
        yield from self._wrong_terms()
        for who, each in PEOPLE.items():
            yield Step("ask", "", who, self.asks(), None, model.ask(each))
            shared = self.asks(group=self.stage.group)
            yield Step("ask", "group", who, shared, None, model.ask(each, group=True))
            for place, asked in self.asked.items():
                for verb, act, expected in self._on_request(place, asked, each):
                    yield Step(verb, place, who, act, asked, expected)
            for place, agreed in self.agreed.items():
                for verb, act, expected in self._on_agreement(agreed, each):
                    yield Step(verb, place, who, act, agreed, expected)

    def _on_request(self, place: str, asked: Asked, who: Who) -> Iterator[tuple[str, Act, str]]:
        yield "approve", self.approves(Granted()), model.approve(asked, who)
        yield "accept", self.accepts(asked.offer), model.accept(asked, who)
        if place in ("requested", "countered"):
            stale = asked.offer + 1
            refused = model.approve(asked, who, stale=True)
            yield "approve", self.approves(Granted(offer=stale)), refused
            yield "accept", self.accepts(stale), model.accept(asked, who, stale=True)
        if place in BASIC:
            basis = Proposal(legal_basis="新条例")
            yield "counter", self.counters(basis), model.counter(asked, who)
            for verb in ("rejected", "withdrawn"):
                yield verb, self.ends(verb), model.end(asked, who, verb)
        if place in BASIC and (
            asked.state == "draft" or asked.shown() in ("requested", "withdrawn")
        ):
            for verb in ("edit", "submit", "give-up"):
                yield verb, self.drafting(verb), model.draft(asked, who, verb)

    def _on_agreement(self, agreed: Agreed, who: Who) -> Iterator[tuple[str, Act, str]]:
        later = Proposal(valid_until=clock.now() + timedelta(days=99))
        yield "amend", self.amends(later), model.amend(agreed, who)
        for verb, state in (("suspend", "suspended"), ("resume", "active"), ("revoke", "revoked")):
            yield verb, self.changes(verb), model.change(agreed, who, state)
        for verb in ("exclude", "include"):
            for town in (MEMBERS[0], "273821") if agreed.group else MEMBERS[:1]:
                expected = model.leave_out(agreed, who, town)
                yield verb, self.leaves_out(verb, town), expected

    def _wrong_terms(self) -> Iterator[Step]:
        """What is wrong whoever says it, each by somebody who may say something there."""
        soon, past = clock.now() + timedelta(days=1), clock.now() - timedelta(days=1)
        wrong: dict[str, dict[str, Any]] = {
            "purpose_unknown": {"purpose": "no-such"},
            "columns_required": {"columns": ()},
            "unknown_column": {"columns": ("no_such",)},
            "unknown_parameter": {"rows": "no_such = 1"},
            "rows_too_long": {"rows": "name = '" + "x" * 2_000 + "'"},
            "period_order": {"valid_until": past},
            "period_too_long": {"valid_until": clock.now() + timedelta(days=9_999)},
            "never_brokered": {"of": {"data_class": "specific-personal"}},
        }
        for fault, change in wrong.items():
            yield Step("ask", fault, "asker", self.asks(**change), None, f"terms_invalid {fault}")
        for fault, granted in (
            ("unknown_column", Granted(columns=("capacity",))),
            ("other_rows", Granted(rows="name = '南'")),
            ("wider_than_asked", Granted(per_day=11)),
            ("wider_than_asked", Granted(valid_from=past)),
            ("invalid_filter", Granted(rows="name =")),
        ):
            place = "requested" if fault == "invalid_filter" else "bounded"
            yield self._wrong("approve", place, "steward", self.approves(granted), fault)
        for fault, place, other in (
            ("nothing_changed", "bounded", Proposal(columns=("name", "name"))),
            ("amended_start", "amending", Proposal(valid_from=soon)),
            ("unknown_parameter", "requested", Proposal(rows="no_such = 1")),
            ("purpose_unknown", "requested", Proposal(purpose="no-such")),
        ):
            yield self._wrong("counter", place, "steward", self.counters(other), fault)

    def _wrong(self, verb: str, place: str, who: str, act: Act, fault: str) -> Step:
        return Step(verb, place, who, act, self.asked[place], f"terms_invalid {fault}")


async def _found(session: AsyncSession, thing: Thing) -> AccessRequest | Agreement | None:
    if isinstance(thing, Asked):
        return await requests.get_request(session, thing.id, lock=True)
    return None if thing is None else await agreements.get_agreement(session, thing.id, lock=True)
