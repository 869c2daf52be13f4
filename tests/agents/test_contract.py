"""The kind `agent` keeps to the contract of kinds: behind it a real agent, over a real port."""

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.api.state import Platform
from app.connectors.agent import AgentConnector, AgentSelection, AgentSettings
from app.connectors.errors import SourceUnreachable
from app.connectors.frame import Means
from app.connectors.scripted import Script, ScriptedConnector
from app.kit.outbound import Outbound
from tests.agents.outposts import AGREEMENT, Outpost, outpost
from tests.connectors.contract import Contract, Row, Stage, settled
from tests.world import KENKO, World

ROWS: list[Row] = [{"no": "1", "name": "架空第一"}, {"no": "2", "name": "架空、第二"}]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def enrolled(
    platform: Platform, client: object, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Outpost:
    """One agent for the whole file; each test says anew what it may serve."""
    world = World(platform, client)  # type: ignore[arg-type]
    await world.start()
    return await outpost(world, tmp_path_factory.mktemp("agent"), port, "kokuho")


class TestAgent(Contract):
    """A scripted source in the closed network."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, platform: Platform, enrolled: Outpost) -> AsyncIterator[Stage]:
        script = Script(list(ROWS))
        name = secrets.token_hex(4)
        ScriptedConnector.scripts[name] = script

        async def add(row: Row) -> None:
            script.rows.append(row)

        async def go_away() -> None:
            script.wrong = SourceUnreachable(source="db.lan", at="connection")

        serves = [{"agreement": AGREEMENT, "answers": ["no", "name"]}]
        allowance = enrolled.allow(
            {"kokuho": {"kind": "scripted", "settings": {"script": name}, "serves": serves}}
        )
        means = Means(Outbound(), relay=platform.relays.of(KENKO, "internet"))
        async with enrolled.serving(allowance):
            yield Stage(
                AgentConnector(AgentSettings(source="kokuho"), means),
                AgentSelection(agreement=AGREEMENT), ROWS, add, go_away, lambda: script.open_now,
                tables=["kokuho 1"],
            )  # fmt: skip

    async def test_a_harvest_that_is_left_half_read_leaves_nothing_open(self, stage: Stage) -> None:
        """As the contract has it; the tasks of this loop are also the server's and the agent's."""
        async with stage.connector.harvest(stage.selection) as got:
            assert got is not None
            async for _ in got.pieces:
                break

        assert await settled(stage) == 0
        relay = stage.connector.means.relay
        assert relay is not None
        pool = relay.func.__self__.database.pool  # type: ignore[attr-defined]
        assert await pool.fetchval("SELECT count(*) FROM agent_job") == 0
