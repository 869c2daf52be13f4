"""Whoever does what and when: services and database allow what a small model allows, no more."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
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

from app.agreements import agreements, negotiation, requests
from app.agreements.agreements import shown_state as shown_agreement
from app.agreements.proposals import Proposal
from app.agreements.requests import Granted
from app.agreements.standing import ANSWER_WITHIN, shown_state
from app.agreements.terms import AskedTerms, DatasetTerms
from app.cli.agreement import terms_of
from app.kit import clock
from app.kit.errors import AppError
from app.models.agreements import AccessRequest, Agreement
from app.models.parties import Role
from app.parties.clients import load_client_facts
from app.policy.facts import ClientFacts
from tests.world import KENKO, SAKAI, World

pytestmark = pytest.mark.long
CITY = "271004"  # asks its own bureau, and its stewards stand above it: they could play both sides
PEOPLE = {
    "asker": (CITY, Role.DEVELOPER),
    "both": (CITY, Role.STEWARD),
    "both too": (CITY, Role.STEWARD),
    "steward": (KENKO, Role.STEWARD),
    "stranger": (SAKAI, Role.STEWARD),
}
CONSUMERS = {"asker", "both", "both too"}
STEWARDS = {"both", "both too", "steward"}
WHO = st.sampled_from(["both", "both", "both too", "asker", "steward", "steward", "stranger"])
AT = st.integers(0, 100)
PERIOD = timedelta(days=50)
ENDS = {"approved", "rejected", "withdrawn"}
MOVES = {
    ("active", "suspended"),
    ("active", "revoked"),
    ("suspended", "active"),
    ("suspended", "revoked"),
}


@dataclass
class Asked:
    """What the model knows of a request."""

    id: UUID
    state: str
    offered_by: str
    due_at: datetime
    valid_until: datetime
    amends: "Agreed | None" = None
    offer: int = 1

    def shown(self) -> str:
        waits = self.state in ("requested", "countered")
        return "expired" if waits and self.due_at <= clock.now() else self.state


@dataclass
class Agreed:
    """What the model knows of an agreement."""

    id: UUID
    valid_until: datetime
    state: str = "active"
    version: int = 1

    def shown(self) -> str:
        is_over = self.valid_until <= clock.now() and self.state in ("active", "suspended")
        return "expired" if is_over else self.state


class Lifecycle(RuleBasedStateMachine):
    """One dataset, five people of three organisations, and time that passes."""

    world: World
    loop: asyncio.AbstractEventLoop
    people: dict[str, ClientFacts]
    dataset: DatasetTerms

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.agreed: list[Agreed] = []
        self.real = clock.now
        self.passed = timedelta()
        self.offers = 0
        clock.now = lambda: self.real() + self.passed

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def outcome(self, act: Callable[[AsyncSession], Awaitable[Any]]) -> tuple[str, Any]:
        """What a service says: `ok` and the thing, or the code of its refusal."""

        async def tried() -> tuple[str, Any]:
            try:
                async with self.world.platform.database.writing() as session:
                    return "ok", await act(session)
            except AppError as exc:
                return exc.code, None

        found: tuple[str, Any] = self.run(tried())
        return found

    def does_database_allow(self, statement: str, *values: Any) -> bool:
        """Whether PostgreSQL would take a change; it is undone."""

        async def tried() -> bool:
            async with self.world.platform.database.pool.acquire() as connection:
                change = connection.transaction()
                await change.start()
                try:
                    await connection.execute(statement, *values)
                except asyncpg.CheckViolationError:
                    return False
                finally:
                    await change.rollback()
                return True

        allowed: bool = self.run(tried())
        return allowed

    @initialize(who=st.sampled_from(sorted(CONSUMERS)))
    def begin(self, who: str) -> None:
        self.ask_of(who)
        self.conclude(self.asked[0], "ok", lambda session, request: requests.approve(
            session, request, self.dataset, Granted(), by=self.people["steward"]
        ))  # fmt: skip
        self.ask_of("both")

    @rule(who=st.sampled_from(sorted(CONSUMERS)))
    def ask(self, who: str) -> None:
        self.ask_of(who)

    def ask_of(self, who: str) -> None:
        end = clock.now() + PERIOD
        terms = AskedTerms("statistics", "条例", valid_until=end)
        code, made = self.outcome(
            lambda session: requests.ask(session, self.dataset, terms, by=self.people[who])
        )
        assert code == "ok"
        self.asked.append(Asked(made.id, "requested", who, made.due_at, end))

    @rule(at=AT, who=WHO)
    def approve(self, at: int, who: str) -> None:
        asked = self.asked[-1 - at % min(len(self.asked), 2)]
        expected = self.turn(asked, "requested") or (
            "same_person" if who == asked.offered_by
            else "not_the_steward" if who not in STEWARDS
            else self.conclusion(asked)
        )  # fmt: skip
        self.conclude(asked, expected, lambda session, request: requests.approve(
            session, request, self.dataset, Granted(), by=self.people[who]
        ))  # fmt: skip

    @rule(at=AT, who=WHO, stale=st.sampled_from([0, 0, 0, 1]))
    def accept(self, at: int, who: str, stale: int) -> None:
        asked = self.asked[-1 - at % min(len(self.asked), 2)]
        number = asked.offer + stale
        expected = self.turn(asked, "countered") or (
            "offer_replaced" if stale
            else "not_the_requester" if who not in CONSUMERS
            else "same_person" if who == asked.offered_by
            else self.conclusion(asked)
        )  # fmt: skip
        self.conclude(asked, expected, lambda session, request: negotiation.accept(
            session, request, self.dataset, number, by=self.people[who]
        ))  # fmt: skip

    def turn(self, asked: Asked, needed: str) -> str | None:
        ended = {"expired": "access_request_expired"} | dict.fromkeys(
            ENDS, "access_request_decided"
        )
        state = asked.shown()
        return ended.get(state) or (None if state == needed else "other_side_answers")

    def conclusion(self, asked: Asked) -> str:
        if asked.valid_until <= clock.now():
            return "terms_invalid"
        is_late = asked.amends is not None and asked.amends.shown() != "active"
        return "wrong_agreement_state" if is_late else "ok"

    def conclude(
        self,
        asked: Asked,
        expected: str,
        act: Callable[[AsyncSession, AccessRequest], Awaitable[Agreement]],
    ) -> None:
        async def locked(session: AsyncSession) -> Agreement:
            return await act(session, await requests.get_request(session, asked.id, lock=True))

        code, made = self.outcome(locked)
        assert code == expected
        if code != "ok":
            return
        asked.state = "approved"
        new = Agreed(made.id, made.valid_until)
        if asked.amends is not None:
            asked.amends.state = "superseded"
            new.version = asked.amends.version + 1
        assert (made.version, made.requested_by != made.approved_by) == (new.version, True)
        self.agreed.append(new)

    @rule(at=AT, who=WHO)
    def counter(self, at: int, who: str) -> None:
        asked = self.asked[-1 - at % min(len(self.asked), 2)]
        state = asked.shown()
        may, code = (
            (STEWARDS, "not_the_steward")
            if state == "requested"
            else (CONSUMERS, "not_the_requester")
        )
        is_over = asked.valid_until <= clock.now()
        expected = self.turn(asked, state) or (
            code if who not in may else "terms_invalid" if is_over else "ok"
        )
        self.offers += 1  # so that no two offers are the same
        basis = Proposal(legal_basis=f"条例第{self.offers}条")

        async def other(session: AsyncSession) -> AccessRequest:
            request = await requests.get_request(session, asked.id, lock=True)
            by = self.people[who]
            return await negotiation.counter(session, request, self.dataset, basis, by=by)

        got, made = self.outcome(other)
        assert got == expected
        if got == "ok":
            asked.state = "countered" if state == "requested" else "requested"
            asked.offer, asked.offered_by = asked.offer + 1, who
            asked.due_at = made.offered_at + ANSWER_WITHIN
            assert [each.number for each in made.offers] == list(range(1, asked.offer + 1))

    @rule(at=AT, who=WHO, verb=st.sampled_from(["rejected", "withdrawn"]))
    def end(self, at: int, who: str, verb: str) -> None:
        asked = self.asked[-1 - at % min(len(self.asked), 2)]
        may, refused = (
            (STEWARDS, "not_the_steward")
            if verb == "rejected"
            else (CONSUMERS, "not_the_requester")
        )
        expected = self.turn(asked, asked.shown()) or ("ok" if who in may else refused)

        async def ended(session: AsyncSession) -> AccessRequest:
            request, by = await requests.get_request(session, asked.id, lock=True), self.people[who]
            if verb == "rejected":
                return await requests.reject(session, request, self.dataset, reason="-", by=by)
            return await requests.withdraw(session, request, by=by)

        code, _ = self.outcome(ended)
        assert code == expected
        if code == "ok":
            asked.state = verb

    @precondition(lambda self: self.agreed)
    @rule(at=AT, who=WHO)
    def amend(self, at: int, who: str) -> None:
        agreed = self.agreed[-1 - at % min(len(self.agreed), 2)]
        expected = (
            "wrong_agreement_state" if agreed.shown() != "active"
            else "not_a_party" if who == "stranger" else "ok"
        )  # fmt: skip
        end = clock.now() + PERIOD

        async def proposed(session: AsyncSession) -> AccessRequest:
            found = await agreements.get_agreement(session, agreed.id, lock=True)
            later, by = Proposal(valid_until=end), self.people[who]
            return await negotiation.amend(session, found, self.dataset, later, by=by)

        code, made = self.outcome(proposed)
        assert code == expected
        if code == "ok":
            state = "requested" if who in CONSUMERS else "countered"
            assert made.state == state
            self.asked.append(Asked(made.id, state, who, made.due_at, end, agreed))

    @precondition(lambda self: self.agreed)
    @rule(at=AT, who=WHO, verb=st.sampled_from(["suspend", "resume", "revoke"]))
    def change(self, at: int, who: str, verb: str) -> None:
        agreed = self.agreed[-1 - at % min(len(self.agreed), 2)]
        target = {"suspend": "suspended", "resume": "active", "revoke": "revoked"}[verb]
        if (agreed.shown(), target) not in MOVES:
            expected = "wrong_agreement_state"
        elif verb == "resume":
            expected = "ok" if who in STEWARDS else "not_the_steward"
        else:
            expected = "not_a_party" if who == "stranger" else "ok"

        async def changed(session: AsyncSession) -> Agreement:
            found = await agreements.get_agreement(session, agreed.id, lock=True)
            act = getattr(agreements, verb)
            done: Agreement = await act(
                session, found, self.dataset, reason="-", by=self.people[who]
            )
            return done

        code, _ = self.outcome(changed)
        assert code == expected
        if code == "ok":
            agreed.state = target

    @rule(days=st.sampled_from([1, 1, 5, 29, 31]))
    def time_passes(self, days: int) -> None:
        self.passed += timedelta(days=days)

    @rule(
        at=AT,
        who=WHO,
        aim=st.sampled_from(
            ["requested", "countered", "approved", "rejected", "withdrawn", "expired", "draft"]
        ),
    )
    def write_a_request_by_hand(self, at: int, who: str, aim: str) -> None:
        asked = self.asked[-1 - at % min(len(self.asked), 2)]
        may = asked.shown() in ("requested", "countered") and aim in ENDS
        may = may and (aim != "approved" or who != asked.offered_by)

        allowed = self.does_database_allow(
            "UPDATE access_request SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1",
            asked.id, aim, self.people[who].client_id, clock.now(),
        )  # fmt: skip

        assert allowed is may

    @precondition(lambda self: self.agreed)
    @rule(
        at=AT,
        aim=st.sampled_from(["active", "suspended", "revoked", "superseded", "expired", "draft"]),
    )
    def write_an_agreement_by_hand(self, at: int, aim: str) -> None:
        agreed = self.agreed[-1 - at % min(len(self.agreed), 2)]

        allowed = self.does_database_allow(
            "UPDATE agreement SET state = $2, state_changed_at = $3 WHERE id = $1",
            agreed.id, aim, clock.now(),
        )  # fmt: skip

        assert allowed is ((agreed.shown(), aim) in MOVES)

    def teardown(self) -> None:
        try:
            self.run(self._compare())
        finally:
            clock.now = self.real

    async def _compare(self) -> None:
        async with self.world.platform.database.reading() as session:
            for asked in self.asked:
                request = await requests.get_request(session, asked.id)
                assert shown_state(request.state, request.due_at) == asked.shown()
                assert len(request.offers) == asked.offer
            for agreed in self.agreed:
                found = await agreements.get_agreement(session, agreed.id)
                assert shown_agreement(found.state, found.valid_until) == agreed.shown()


async def test_nothing_happens_that_the_model_does_not_allow(world: World) -> None:
    dataset_id = await world.dataset()
    pool = world.platform.database.pool
    parties = {name: await world.party(body, role) for name, (body, role) in PEOPLE.items()}
    Lifecycle.people = {
        name: await load_client_facts(pool, party.id) for name, party in parties.items()
    }
    async with world.platform.database.reading() as session:
        Lifecycle.dataset = await terms_of(session, dataset_id)
    Lifecycle.world, Lifecycle.loop = world, asyncio.get_running_loop()

    await asyncio.to_thread(
        run_state_machine_as_test,
        Lifecycle,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # to find the shortest way to a fault takes a minute
            suppress_health_check=list(HealthCheck),
        ),
    )
