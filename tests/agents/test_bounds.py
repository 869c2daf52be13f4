"""Where an agent stands, and under which agreement it is asked: neither is a label alone."""

import asyncio
import hashlib
import hmac
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey

from app.agents.relay import Relays
from app.api.state import Platform
from app.audit.events import Event
from app.connectors.agent import AgentConnector, AgentSelection, AgentSettings
from app.connectors.errors import SourceRefused, SourceUnreachable
from app.connectors.frame import Means
from app.kit.outbound import Outbound
from app.models.parties import Role
from tests.agents.outposts import outpost, steward, until
from tests.agents.test_door import BODY, POLL, Side
from tests.connectors.contract import rows_of
from tests.connectors.farm import Farm
from tests.stock import KEYED, PURPOSE, agreed, declared, path
from tests.world import KENKO, SAKAI, World

FIELDS = declared(KEYED)


def _connector(platform: Platform, zone: str = "internet") -> AgentConnector:
    relays = Relays(platform.database, lambda: platform.sealer)
    return AgentConnector(
        AgentSettings(source="kokuho"), Means(Outbound(), relay=relays.of(KENKO, zone))
    )


async def test_an_agent_comes_by_a_listener_of_its_own_zone(
    world: World, platform: Platform, port: int, tmp_path: Path
) -> None:
    body = {"name": "試験", "sources": ["kokuho"], "zone": "lgwan"}
    told = await world.client.post("/v1/agents", json=body, headers=await steward(world))
    agent_id, secret, _ = told.json()["code"].split(".")
    key = ECKey.generate_key("P-256")
    proof = hmac.new(secret.encode(), key.thumbprint().encode(), hashlib.sha256).hexdigest()
    public = {name: key.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}
    here = Side(world, await outpost(world, tmp_path, port, "kokuho"))
    await platform.database.pool.execute(
        "UPDATE agent SET zone = 'mynumber' WHERE id = $1", here.agent.id
    )

    enrolled = await world.client.post(
        "/v1/agent/enrolment", json={"agent": agent_id, "key": public, "proof": proof}
    )
    asked = await here.send("POST", POLL, BODY)

    assert told.json()["agent"]["zone"] == "lgwan"
    for refused in (enrolled, asked):
        assert (refused.status_code, refused.json()["code"]) == (403, "agent_zone_not_allowed")


async def test_a_job_of_a_zone_is_given_to_agents_that_stand_there_and_else_there_is_none(
    world: World, platform: Platform, port: int, tmp_path: Path
) -> None:
    here = Side(world, await outpost(world, tmp_path, port, "kokuho"))
    with pytest.raises(SourceUnreachable) as wrong:
        await _connector(platform, "lgwan").check()
    waiting = asyncio.create_task(_connector(platform).check())
    await until(lambda: platform.database.pool.fetchval("SELECT count(*) FROM agent_job"))
    await platform.database.pool.execute("UPDATE agent_job SET zone = 'lgwan'")
    elsewhere = await here.send("POST", POLL, BODY)
    await platform.database.pool.execute("UPDATE agent_job SET zone = 'internet'")
    given = await here.job()
    waiting.cancel()
    await asyncio.wait({waiting})

    assert wrong.value.at == "agent"
    assert (elsewhere.status_code, given.wanted.source) == (204, "kokuho")


async def test_nothing_is_asked_under_an_agreement_that_is_not_in_force_when_the_work_is_given(
    world: World, platform: Platform, port: int, tmp_path: Path
) -> None:
    here = Side(world, await outpost(world, tmp_path, port, "kokuho"))
    dataset = await world.dataset(data_class="internal", fields=FIELDS)
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    agreement, headers = await agreed(world, dataset, consumer)

    async def ask(named: str) -> Any:
        return await rows_of(_connector(platform), AgentSelection(agreement=named))

    with pytest.raises(SourceRefused) as unknown:
        await ask(str(uuid4()))
    waiting = asyncio.create_task(ask(agreement))
    await until(lambda: platform.database.pool.fetchval("SELECT count(*) FROM agent_job"))
    ended = await world.client.post(
        f"/v1/agreements/{agreement}/suspend", json={"reason": "試験"}, headers=headers
    )
    given = await here.send("POST", POLL, BODY)
    waiting.cancel()
    await asyncio.wait({waiting})
    with pytest.raises(SourceRefused) as suspended:
        await ask(agreement)

    assert ended.is_success, ended.text
    assert given.status_code == 204
    assert (unknown.value.at, suspended.value.at) == ("agreement", "agreement")
    assert await world.log(Event.AGENT_JOB_GIVEN) == []


async def test_who_reads_under_another_agreement_than_the_sources_is_refused(
    farm: Farm, world: World
) -> None:
    dataset = await world.dataset(data_class="internal", fields=FIELDS)
    readers = [
        await world.party(SAKAI, Role.DEVELOPER),
        await world.party("271004-kodomo", Role.DEVELOPER),
    ]
    agreements = [(await agreed(world, dataset, each))[0] for each in readers]
    selection = {"agreement": agreements[0]}
    feed = {"dataset": dataset, "mode": "live", "selection": selection}
    await farm.add("agent", {"source": "kaigo"}, feed)
    world.platform.live.changed("dataset", dataset)

    told = []
    for each in (*readers, await world.party()):
        headers = await world.token(each, f"dataset:{dataset}:read")
        purpose = PURPOSE if each in readers else "own-duty"
        answer = await world.client.get(path(dataset), params={"purpose": purpose}, headers=headers)
        told.append((answer.status_code, answer.json()["code"]))

    # No agent serves that source: whoever may ask hears so.
    away = (503, "live_source_unavailable")
    assert told == [away, (403, "agreement_not_of_source"), away]
    refused = await world.log(Event.RECORDS_REFUSED)
    assert [each["reason"] for each in refused] == ["agreement_not_of_source"]
