"""Whoever does what and when: services and database allow what a small model allows, no more."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements import agreements, drafts, exclusions, negotiation, requests
from app.agreements.agreements import shown_state as shown_agreement
from app.agreements.proposals import Proposal
from app.agreements.requests import Granted
from app.agreements.standing import ANSWER_WITHIN, shown_state
from app.agreements.terms import AskedTerms
from app.kit import clock
from app.kit.errors import AppError
from app.models.agreements import AccessRequest, Agreement
from tests.agreements import model
from tests.agreements.model import ENDS, MEMBERS, MOVES, PEOPLE, PERIOD, Agreed, Asked
from tests.agreements.stage import Stage, outcome_of, set_up
from tests.world import World

pytestmark = pytest.mark.long
# Those who can do something more often than those who cannot.
WHO = st.sampled_from(["both", "both", "both elsewhere", "colleague", "steward", *sorted(PEOPLE)])
AT = st.integers(0, 100)
VERBS = {"suspended": "suspend", "active": "resume", "revoked": "revoke"}
Act = Callable[[AsyncSession], Awaitable[Any]]
OnRequest = Callable[[AsyncSession, AccessRequest], Awaitable[Any]]


class Lifecycle(RuleBasedStateMachine):
    """One dataset, people of three organisations in apps of theirs, and time that passes."""

    stage: Stage
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.agreed: list[Agreed] = []
        self.left_out: dict[int, set[str]] = {}
        self.real = clock.now
        self.passed = timedelta()
        self.words = 0  # so that no two offers are the same
        clock.now = lambda: self.real() + self.passed

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def outcome(self, act: Act) -> tuple[str, Any]:
        """What a service says: `ok` and the thing, or its refusal."""

        async def tried() -> tuple[str, Any]:
            try:
                async with self.stage.world.platform.database.writing() as session:
                    return "ok", await act(session)
            except AppError as refusal:
                return outcome_of(refusal), None

        found: tuple[str, Any] = self.run(tried())
        return found

    def on(self, asked: Asked, act: OnRequest) -> tuple[str, Any]:
        """The same, of a step that is done to a request."""

        async def locked(session: AsyncSession) -> Any:
            return await act(session, await requests.get_request(session, asked.id, lock=True))

        return self.outcome(locked)

    def one_of(self, things: list[Any], at: int) -> Any:
        return things[-1 - at % min(len(things), 2)]

    def other(self) -> Proposal:
        self.words += 1
        return Proposal(legal_basis=f"条例第{self.words}条")

    @initialize(group=st.booleans())
    def begin(self, group: bool) -> None:
        self.ask("asker", group, False)
        self.approve(0, "steward", False)
        self.ask("both", False, False)

    @rule(who=WHO, group=st.booleans(), draft=st.booleans())
    def ask(self, who: str, group: bool, draft: bool) -> None:
        end = clock.now() + PERIOD
        asked = self.stage.group if group else None
        terms = AskedTerms("statistics", "条例", valid_until=end, group=asked)
        make, by = drafts.write if draft else requests.ask, self.stage.people[who]

        code, made = self.outcome(lambda session: make(session, self.stage.dataset, terms, by=by))

        assert code == model.ask(PEOPLE[who], group=group)
        if code == "ok":
            state = "draft" if draft else "requested"
            assert (made.state, len(made.offers)) == (state, made.offer_number)
            new = Asked(made.id, state, PEOPLE[who], made.due_at, end, group=group)
            new.offer = made.offer_number
            self.asked.append(new)

    @rule(at=AT, who=WHO, verb=st.sampled_from(["edit", "submit", "submit", "give-up"]))
    def draft(self, at: int, who: str, verb: str) -> None:
        asked, by, other = self.one_of(self.asked, at), self.stage.people[who], self.other()
        dataset = self.stage.dataset
        acts: dict[str, OnRequest] = {
            "edit": lambda session, found: drafts.edit(session, found, dataset, other, by=by),
            "submit": lambda session, found: drafts.submit(session, found, dataset, by=by),
            "give-up": lambda session, found: drafts.withdraw(session, found, by=by),
        }

        code, made = self.on(asked, acts[verb])

        assert code == model.draft(asked, PEOPLE[who], verb)
        if code == "ok" and verb == "submit":
            asked.state, asked.offer, asked.offered_by = "requested", 1, PEOPLE[who]
            asked.due_at = made.offered_at + ANSWER_WITHIN
        elif code == "ok" and verb == "give-up":
            asked.state = "withdrawn"

    @rule(at=AT, who=WHO, stale=st.sampled_from([False, False, False, True]))
    def approve(self, at: int, who: str, stale: bool) -> None:
        asked, by = self.one_of(self.asked, at), self.stage.people[who]
        granted = Granted(offer=asked.offer + 1 if stale else None)

        self.conclude(
            asked, model.approve(asked, PEOPLE[who], stale=stale),
            lambda session, request: requests.approve(
                session, request, self.stage.dataset, granted, by=by
            ),
        )  # fmt: skip

    @rule(at=AT, who=WHO, stale=st.sampled_from([False, False, False, True]))
    def accept(self, at: int, who: str, stale: bool) -> None:
        asked, by = self.one_of(self.asked, at), self.stage.people[who]
        number = asked.offer + stale

        self.conclude(
            asked, model.accept(asked, PEOPLE[who], stale=stale),
            lambda session, request: negotiation.accept(
                session, request, self.stage.dataset, number, by=by
            ),
        )  # fmt: skip

    def conclude(self, asked: Asked, expected: str, act: OnRequest) -> None:
        code, made = self.on(asked, act)
        assert code == expected
        if code != "ok":
            return
        asked.state = "approved"
        new = Agreed(made.id, made.valid_until, group=asked.group)
        if asked.amends is not None:
            asked.amends.state, new.version = "superseded", asked.amends.version + 1
            self.left_out[id(new)] = self.left_out.get(id(asked.amends), set())
        assert (made.version, made.requested_by != made.approved_by) == (new.version, True)
        self.agreed.append(new)

    @rule(at=AT, who=WHO)
    def counter(self, at: int, who: str) -> None:
        asked, by, other = self.one_of(self.asked, at), self.stage.people[who], self.other()
        state = asked.shown()

        code, made = self.on(asked, lambda session, request: negotiation.counter(
            session, request, self.stage.dataset, other, by=by
        ))  # fmt: skip

        assert code == model.counter(asked, PEOPLE[who])
        if code == "ok":
            asked.state = "countered" if state == "requested" else "requested"
            asked.offer, asked.offered_by = asked.offer + 1, PEOPLE[who]
            asked.due_at = made.offered_at + ANSWER_WITHIN
            assert [each.number for each in made.offers] == list(range(1, asked.offer + 1))

    @rule(at=AT, who=WHO, verb=st.sampled_from(["rejected", "withdrawn"]))
    def end(self, at: int, who: str, verb: str) -> None:
        asked, by = self.one_of(self.asked, at), self.stage.people[who]
        acts: dict[str, OnRequest] = {
            "rejected": lambda session, request: requests.reject(
                session, request, self.stage.dataset, reason="-", by=by
            ),
            "withdrawn": lambda session, request: requests.withdraw(session, request, by=by),
        }

        code, _ = self.on(asked, acts[verb])

        assert code == model.end(asked, PEOPLE[who], verb)
        if code == "ok":
            asked.state = verb

    @precondition(lambda self: self.agreed)
    @rule(at=AT, who=WHO)
    def amend(self, at: int, who: str) -> None:
        agreed, by = self.one_of(self.agreed, at), self.stage.people[who]
        end = clock.now() + PERIOD

        async def proposed(session: AsyncSession) -> AccessRequest:
            found = await agreements.get_agreement(session, agreed.id, lock=True)
            later = Proposal(valid_until=end)
            return await negotiation.amend(session, found, self.stage.dataset, later, by=by)

        code, made = self.outcome(proposed)

        assert code == model.amend(agreed, PEOPLE[who])
        if code == "ok":
            state = "requested" if PEOPLE[who].consumes else "countered"
            assert made.state == state
            new = Asked(made.id, state, PEOPLE[who], made.due_at, end, agreed)
            new.group = agreed.group
            self.asked.append(new)

    @precondition(lambda self: self.agreed)
    @rule(at=AT, who=WHO, aim=st.sampled_from(sorted(VERBS)))
    def change(self, at: int, who: str, aim: str) -> None:
        agreed, by = self.one_of(self.agreed, at), self.stage.people[who]

        async def changed(session: AsyncSession) -> Any:
            found = await agreements.get_agreement(session, agreed.id, lock=True)
            act = getattr(agreements, VERBS[aim])
            return await act(session, found, self.stage.dataset, reason="-", by=by)

        code, _ = self.outcome(changed)

        assert code == model.change(agreed, PEOPLE[who], aim)
        if code == "ok":
            agreed.state = aim

    @precondition(lambda self: self.agreed)
    @rule(at=AT, who=WHO, out=st.booleans(), town=st.sampled_from([*MEMBERS, "273821"]))
    def leave_out(self, at: int, who: str, out: bool, town: str) -> None:
        agreed, by = self.one_of(self.agreed, at), self.stage.people[who]

        async def changed(session: AsyncSession) -> Agreement:
            found = await agreements.get_agreement(session, agreed.id, lock=True)
            act = exclusions.exclude if out else exclusions.include
            return await act(session, found, self.stage.dataset, town, reason="-", by=by)

        code, made = self.outcome(changed)

        assert code == model.leave_out(agreed, PEOPLE[who], town)
        if code == "ok":
            known = self.left_out.setdefault(id(agreed), set())
            (known.add if out else known.discard)(town)
            assert made.excluded == sorted(known)

    @rule(days=st.sampled_from([1, 1, 5, 29, 31]))
    def time_passes(self, days: int) -> None:
        self.passed += timedelta(days=days)

    @rule(at=AT, who=WHO, aim=st.sampled_from(["draft", "requested", "countered", *sorted(ENDS)]))
    def write_a_request_by_hand(self, at: int, who: str, aim: str) -> None:
        asked = self.one_of(self.asked, at)

        allowed = self.run(self.stage.takes(
            "UPDATE access_request SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1",
            asked.id, aim, self.stage.people[who].actor, clock.now(),
        ))  # fmt: skip

        assert allowed is model.may_be_written(asked, PEOPLE[who], aim)

    @precondition(lambda self: self.agreed)
    @rule(at=AT, aim=st.sampled_from([*VERBS, "superseded", "expired"]))
    def write_an_agreement_by_hand(self, at: int, aim: str) -> None:
        agreed = self.one_of(self.agreed, at)

        allowed = self.run(self.stage.takes(
            "UPDATE agreement SET state = $2, state_changed_at = $3 WHERE id = $1",
            agreed.id, aim, clock.now(),
        ))  # fmt: skip

        assert allowed is ((agreed.shown(), aim) in MOVES)

    def teardown(self) -> None:
        try:
            self.run(self._compare())
        finally:
            clock.now = self.real

    async def _compare(self) -> None:
        async with self.stage.world.platform.database.reading() as session:
            for asked in self.asked:
                request = await requests.get_request(session, asked.id)
                assert shown_state(request.state, request.due_at) == asked.shown()
                assert len(request.offers) == asked.offer
            for agreed in self.agreed:
                found = await agreements.get_agreement(session, agreed.id)
                assert shown_agreement(found.state, found.valid_until) == agreed.shown()
                assert set(found.excluded) == self.left_out.get(id(agreed), set())


async def test_nothing_happens_that_the_model_does_not_allow(world: World) -> None:
    Lifecycle.stage, Lifecycle.loop = await set_up(world), asyncio.get_running_loop()

    await asyncio.to_thread(
        run_state_machine_as_test,
        Lifecycle,
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # to find the shortest way to a fault takes a minute
            suppress_health_check=list(HealthCheck),
        ),
    )
