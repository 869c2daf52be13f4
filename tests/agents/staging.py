"""Agents for the examples of the document: what no document can hold, a key's proof for one."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from joserfc.jwk import ECKey

from app.kit import clock
from app.models.agents import AgentJob, JobState
from app.outpost.proving import prove
from tests.conftest import ISSUER
from tests.world import KENKO, World

_KEYS: dict[str, ECKey] = {}


def enrolment_of(code: str, key: ECKey) -> dict[str, Any]:
    """What an agent with this code and key enrols by."""
    agent_id, secret, _ = code.split(".")
    public = key.as_dict(private=False)
    proof = hmac.new(secret.encode(), key.thumbprint().encode(), hashlib.sha256).hexdigest()
    _KEYS[agent_id] = key
    its = {name: public[name] for name in ("kty", "crv", "x", "y")}
    return {"agent": agent_id, "key": its, "proof": proof}


async def agent_with_job(
    world: World, enrolment: dict[str, Any], name: str, body: bytes
) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers of an enrolled agent for one call, and the job that it has."""
    now = clock.now()
    job = AgentJob(
        id=uuid4(), organization_id=KENKO, zone="internet", source="kokuho", wanted={},
        state=JobState.GIVEN, agent_id=UUID(enrolment["agent"]), attempt=1, taken=0, asked_at=now, heard_at=now,
        wanted_until=now + timedelta(hours=1),
    )  # fmt: skip
    async with world.platform.database.writing() as session:
        session.add(job)
    path = {"job_id": job.id, "attempt": 1, "position": 0}
    method, _, template = name.partition(" ")
    uri = ISSUER + template.format(**path)
    return {"DPoP": prove(_KEYS[enrolment["agent"]], method, uri, body)}, path
