"""What an agent says to the platform: believed where its own key says it of its own job.

Where it stands and under which agreement it is asked are no labels alone.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio
from joserfc.jwk import ECKey

from app.api.state import Platform
from app.audit.events import Event
from app.connectors.agent import AgentConnector, AgentSelection, AgentSettings
from app.connectors.errors import SourceBroken, SourceError, SourceRefused, SourceUnreachable
from app.connectors.frame import Means
from app.kit.outbound import Outbound
from app.models.parties import Role
from app.outpost.envelopes import Job, read_job
from app.outpost.proving import prove
from app.outpost.sealed import seal
from tests.agents.outposts import AGREEMENT, Outpost, outpost, registered, steward, until
from tests.conftest import ISSUER
from tests.connectors.contract import rows_of
from tests.connectors.farm import Farm
from tests.stock import KEYED, PURPOSE, agreed, declared, path
from tests.world import KENKO, SAKAI, World

POLL = "/v1/agent/jobs"
BODY = orjson.dumps({"sources": ["kokuho"], "wait": 0})


@dataclass(frozen=True, slots=True)
class Side:
    """The agent's side of the door, step by step."""

    world: World
    agent: Outpost

    async def send(self, method: str, path: str, body: bytes, *, proof: str | None = None) -> Any:
        shown = proof or prove(self.agent.key, method, ISSUER + path, body)
        headers = {"DPoP": shown, "Content-Type": "application/json"}
        return await self.world.client.request(method, path, content=body, headers=headers)

    async def job(self) -> Job:
        """The next job."""
        for _ in range(200):
            got = await self.send("POST", POLL, BODY)
            if got.status_code == 200:
                return read_job(got.json()["envelope"], self.agent.folder.platform()[1])
        raise AssertionError(got.text)

    async def put(self, job: Job, position: int, sealed: bytes) -> Any:
        return await self.send("PUT", f"{POLL}/{job.id}/{job.attempt}/pieces/{position}", sealed)


@pytest_asyncio.fixture(loop_scope="session")
async def side(world: World, port: int, tmp_path: Path) -> Side:
    """An enrolled agent."""
    return Side(world, await outpost(world, tmp_path, port, "kokuho"))


def _proof(key: ECKey, path: str = POLL, body: bytes = BODY, method: str = "POST") -> str:
    return prove(key, method, ISSUER + path, body)


_WRONG: dict[str, tuple[Callable[[ECKey], str], str]] = {
    "none": (lambda _: "", "agent_proof_wrong"),
    "of another body": (lambda key: _proof(key, body=b"{}"), "agent_proof_wrong"),
    "of another path": (lambda key: _proof(key, "/v1/agent/keys"), "agent_proof_wrong"),
    "of another method": (lambda key: _proof(key, method="PUT"), "agent_proof_wrong"),
    "by a key that nobody enrolled": (lambda _: _proof(ECKey.generate_key("P-256")), "agent_unknown"),
}  # fmt: skip


@pytest.mark.parametrize("name", _WRONG)
async def test_a_request_without_the_agents_own_proof_is_refused(side: Side, name: str) -> None:
    make, code = _WRONG[name]
    pool, used = side.world.platform.database.pool, "SELECT count(*) FROM used_assertion"
    before = await pool.fetchval(used)

    got = await side.send("POST", POLL, BODY, proof=make(side.agent.key) or "none")

    assert (got.status_code, got.json()["code"]) == (401, code)
    assert await pool.fetchval(used) == before  # a stranger leaves nothing behind


async def test_a_proof_is_used_once_and_a_revoked_agent_is_nobody_at_once(side: Side) -> None:
    proof = _proof(side.agent.key)
    headers = await steward(side.world)
    stranger = await side.world.token(
        await side.world.party(SAKAI, Role.STEWARD), "catalogue:write"
    )
    path = f"/v1/agents/{side.agent.id}"

    first = await side.send("POST", POLL, BODY, proof=proof)
    again = await side.send("POST", POLL, BODY, proof=proof)
    others = await side.world.client.delete(path, headers=stranger)
    revoked = await side.world.client.delete(path, headers=headers)
    after = await side.send("POST", POLL, BODY)

    assert (first.status_code, again.json()["code"]) == (204, "agent_proof_wrong")
    assert (others.status_code, revoked.status_code) == (404, 204)
    assert (after.status_code, after.json()["code"]) == (401, "agent_unknown")
    assert [each["agent"] for each in await side.world.log(Event.AGENT_REVOKED)] == [
        str(side.agent.id)
    ]


async def test_a_code_enrols_one_key_and_is_shown_once(world: World) -> None:
    told = await registered(world, "kokuho")
    agent_id, secret, _ = told["code"].split(".")
    other_id, other_secret, _ = (await registered(world, "kokuho"))["code"].split(".")
    first, second = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")

    async def enrol(key: ECKey, word: str, agent_id: str = agent_id) -> Any:
        public = key.as_dict(private=False)
        proof = hmac.new(word.encode(), key.thumbprint().encode(), hashlib.sha256).hexdigest()
        its = {name: public[name] for name in ("kty", "crv", "x", "y")}
        body = {"agent": agent_id, "key": its, "proof": proof}
        return await world.client.post("/v1/agent/enrolment", json=body)

    guessed, used = await enrol(first, "guess"), await enrol(first, secret)
    lost_answer, another = await enrol(first, secret), await enrol(second, secret)
    same_key = await enrol(first, other_secret, other_id)
    shown = await world.client.get(f"/v1/agents/{agent_id}", headers=await steward(world))

    codes = [each.status_code for each in (guessed, used, lost_answer, another)]
    assert codes == [403, 200, 200, 403]
    assert (same_key.status_code, same_key.json()["code"]) == (409, "agent_key_taken")
    assert shown.json()["kid"] == first.thumbprint()
    assert secret not in shown.text + repr(await world.log())
    assert len(await world.log(Event.AGENT_ENROLLED)) == 1


# Name → what an agent answers a harvest with.
_ANSWERS: dict[str, Callable[[Job], list[bytes]]] = {
    "no JWE": lambda _: [b"none"],
    "sealed for nobody": lambda job: [_sealed(job, 0, b"H{}", key=ECKey.generate_key("P-256"))],
    "moved from another place": lambda job: [_sealed(job, 1, b"H{}")],
    "of another attempt": lambda job: [seal(b"H{}", job.answer_to, f"{job.id}:9", 0).encode()],
    "no head": lambda job: [_sealed(job, 0, b"Dno,name\n")],
    "a head that is no object": lambda job: [_sealed(job, 0, b"H[]")],
    "an end with words of its own": lambda job: [
        _sealed(job, 0, b'E{"error":"broken","at":"<script>","detail":"x"}')
    ],
    "a second head": lambda job: [_sealed(job, 0, b"H{}"), _sealed(job, 1, b"H{}")],
}  # fmt: skip


def _sealed(job: Job, position: int, message: bytes, key: ECKey | None = None) -> bytes:
    return seal(message, key or job.answer_to, f"{job.id}:{job.attempt}", position).encode()


def _connector(platform: Platform, zone: str = "internet") -> AgentConnector:
    means = Means(Outbound(), relay=platform.relays.of(KENKO, zone))
    return AgentConnector(AgentSettings(source="kokuho"), means)


async def _meanwhile(
    side: Side, platform: Platform, act: Callable[[Job], Awaitable[None]]
) -> SourceError:
    """The error of a harvest whose agent does this."""
    asking = rows_of(_connector(platform), AgentSelection(agreement=AGREEMENT))
    harvest = asyncio.create_task(asking)
    await act(await side.job())
    with pytest.raises(SourceError) as wrong:
        await asyncio.wait_for(harvest, 5)
    return wrong.value


@pytest.mark.parametrize("name", _ANSWERS)
async def test_an_answer_that_is_none_is_told_as_broken(
    side: Side, platform: Platform, name: str
) -> None:
    async def answer(job: Job) -> None:
        for position, sealed in enumerate(_ANSWERS[name](job)):
            assert (await side.put(job, position, sealed)).status_code in (204, 410)

    wrong = await _meanwhile(side, platform, answer)

    assert (type(wrong), wrong.at) == (SourceBroken, "format")


async def test_a_job_is_of_the_agent_that_has_it_and_of_nobody_else(
    side: Side, platform: Platform, port: int, tmp_path: Path
) -> None:
    other = Side(side.world, await outpost(side.world, tmp_path / "b", port, "kokuho"))

    async def answer(job: Job) -> None:
        refused = [
            await other.put(job, 0, b"x"),
            await side.send("POST", f"{POLL}/{job.id}/{job.attempt + 1}/alive", b"{}"),
            await side.send("POST", f"{POLL}/{uuid4()}/1/alive", b"{}"),
        ]
        assert [each.json()["code"] for each in refused] == ["agent_job_over"] * 3
        end = b'E{"error":"refused","at":"permission","detail":"-"}'
        await side.put(job, 0, _sealed(job, 0, end))

    wrong = await _meanwhile(side, platform, answer)

    assert (wrong.told_as, wrong.at) == ("refused", "permission")
    given = await side.world.log(Event.AGENT_JOB_GIVEN)
    assert [(each["agent"], each["agreement"]) for each in given] == [
        (str(side.agent.id), AGREEMENT)
    ]


async def test_an_agent_gets_no_job_of_a_source_that_it_was_not_registered_for(
    side: Side, platform: Platform, port: int, tmp_path: Path
) -> None:
    other = Side(side.world, await outpost(side.world, tmp_path / "c", port, "jumin"))
    waiting = asyncio.create_task(_connector(platform).check())
    pool = platform.database.pool
    await until(lambda: pool.fetchval("SELECT count(*) FROM agent_job"))

    got = await other.send("POST", POLL, BODY)  # it says that it serves `kokuho`

    assert got.status_code == 204
    assert (await side.job()).wanted.source == "kokuho"
    waiting.cancel()
    await asyncio.wait({waiting})


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
    dataset = await world.dataset(data_class="internal", fields=declared(KEYED))
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
        await ask(agreement.upper())

    assert ended.is_success, ended.text
    assert given.status_code == 204
    assert (unknown.value.at, suspended.value.at) == ("agreement", "agreement")
    assert await world.log(Event.AGENT_JOB_GIVEN) == []


async def test_who_reads_under_another_agreement_than_the_sources_is_refused(
    farm: Farm, world: World
) -> None:
    dataset = await world.dataset(data_class="internal", fields=declared(KEYED))
    readers = [
        await world.party(SAKAI, Role.DEVELOPER),
        await world.party("271004-kodomo", Role.DEVELOPER),
    ]
    agreements = [(await agreed(world, dataset, each))[0] for each in readers]
    selection = {"agreement": agreements[0].upper()}
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
