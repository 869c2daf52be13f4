"""Whatever is written, loaded, published, gone back to and let go, a follower's copy stays true."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.kit import clock
from app.models.parties import Role
from app.tasks.tidy import let_versions_go
from tests.following import Follower, held
from tests.stock import path, stocked
from tests.world import KENKO, World

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.long]
NUMBERS = st.sampled_from([f"{at}" for at in range(8)])
ROWS = st.dictionaries(NUMBERS, st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6)
AGES = timedelta(days=30)


class Feed(RuleBasedStateMachine):
    """One dataset, its publisher, and two consumers: one eager, one slow."""

    world: World
    client: httpx.AsyncClient
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    @initialize(rows=ROWS)
    def begin(self, rows: dict[str, str]) -> None:
        self.loaded: list[int] = []
        self.published: set[int] = {1}
        self.run(self._begin(rows))

    async def _begin(self, rows: dict[str, str]) -> None:
        records = [{"no": no, "name": name} for no, name in rows.items()]
        self.dataset = await stocked(self.world, records)
        party = await self.world.party(KENKO, Role.STEWARD)
        scope = f"catalogue:write dataset:{self.dataset}:write"
        self.headers = await self.world.token(party, scope)
        self.base = f"/v1/datasets/{self.dataset}"
        kept = {"retention": {"keep_versions": 1}}
        patched = await self.client.patch(self.base, json=kept, headers=self.headers)
        assert patched.status_code == 200, patched.text
        self.eager = Follower(self.client, self.dataset)
        self.slow = Follower(self.client, self.dataset)

    @rule(rows=ROWS)
    def write(self, rows: dict[str, str]) -> None:
        records = [{"no": no, "name": name} for no, name in rows.items()]
        sent = self.run(self.client.post(path(self.dataset), json=records, headers=self.headers))
        assert sent.status_code == 200, sent.text

    @rule(number=NUMBERS)
    def delete(self, number: str) -> None:
        gone = self.run(self.client.delete(path(self.dataset, number), headers=self.headers))
        assert gone.status_code in (204, 404)

    @rule(rows=ROWS, publishes=st.sampled_from([True, True, False]))
    def load(self, rows: dict[str, str], publishes: bool) -> None:
        lines = "\n".join(f"{no},{name}," for no, name in rows.items())
        file = f"no,name,size\n{lines}".encode()
        run = self.run(self.world.load(self.headers, self.dataset, file))
        assert run["state"] == "ok"
        if run["version_number"] not in self.loaded:
            self.loaded.append(run["version_number"])
        if publishes:
            self.publish_number(run["version_number"])

    @precondition(lambda self: self.loaded)
    @rule(at=st.integers(0, 100))
    def publish(self, at: int) -> None:
        self.publish_number(self.loaded[at % len(self.loaded)])

    def publish_number(self, number: int) -> None:
        sent = self.run(
            self.client.post(f"{self.base}/versions/{number}/publish", headers=self.headers)
        )
        if sent.status_code == 410:
            assert sent.json()["code"] == "version_dropped"
            return
        assert sent.status_code == 200, sent.text
        self.published.add(number)

    @rule(at=st.integers(0, 100))
    def go_back(self, at: int) -> None:
        number = sorted(self.published)[at % len(self.published)]
        sent = self.run(
            self.client.post(f"{self.base}/rollback", json={"to": number}, headers=self.headers)
        )
        assert sent.status_code == 200 or sent.json()["code"] == "version_dropped", sent.text

    @rule(limit=st.integers(1, 4))
    def follow(self, limit: int) -> None:
        self.run(self.eager.step(limit))

    @rule(limit=st.integers(1, 2))
    def follow_slowly(self, limit: int) -> None:
        self.run(self.slow.step(limit))

    @rule(rows=ROWS, limit=st.integers(1, 3))
    def follow_while_others_write(self, rows: dict[str, str], limit: int) -> None:
        self.run(self._at_once(rows, limit))

    async def _at_once(self, rows: dict[str, str], limit: int) -> None:
        writes = [
            self.client.post(path(self.dataset), json=[{"no": no, "name": n}], headers=self.headers)
            for no, n in rows.items()
        ]
        following = asyncio.gather(self.eager.step(limit), self.slow.step(limit))
        answers = await asyncio.gather(*writes)
        await following
        assert {answer.status_code for answer in answers} == {200}

    @rule()
    def let_versions_go_much_later(self) -> None:
        now = clock.now
        clock.now = lambda: now() + AGES
        try:
            self.run(let_versions_go(self.world.platform.database))
        finally:
            clock.now = now

    def teardown(self) -> None:
        if not hasattr(self, "dataset"):
            return
        for follower in (self.eager, self.slow):
            self.run(follower.catch_up(limit=3))
            assert follower.replica == self.run(held(self.client, self.dataset))
            self.run(follower.step())
            assert follower.replica == self.run(held(self.client, self.dataset))


async def test_a_copy_stays_true_whatever_happens(client: httpx.AsyncClient, world: World) -> None:
    Feed.world, Feed.client, Feed.loop = world, client, asyncio.get_running_loop()

    await asyncio.to_thread(
        run_state_machine_as_test,
        Feed,
        settings=settings(
            max_examples=8,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
