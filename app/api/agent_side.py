"""The door of agents in closed networks: they come here by themselves, each request proven by their
key. Gives nothing but jobs of the agent's own organisation, and reads no answer.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import ConfigDict, Field, StringConstraints

from app.agents import registry
from app.agents.desk import Known
from app.api.access import PlatformDep, path_of
from app.api.problem import problems
from app.api.sessions import Reading, Writing
from app.api.shapes import InShape, OutShape
from app.audit.events import Event
from app.connectors.agent import SourceName
from app.kit.errors import AppError, Kind
from app.oauth.proofs import read_proof
from app.oauth.refusals import InvalidProof
from app.outpost.envelopes import sign_job, sign_keys
from app.outpost.proving import names_body
from app.outpost.sealed import LONGEST

router = APIRouter(prefix="/v1/agent", tags=["Agents"], max_body_size=LONGEST)
_SEALED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/jose": {
                "schema": {"type": "string"},
                "example": "eyJhbGciOiJFQ0RILUVTIn0…",
            }
        },
    }
}
_PROVEN = ("agent_proof_wrong", "agent_unknown", "agent_zone_not_allowed")
Number = Annotated[int, Path(ge=0, le=2**31 - 1)]
_KEY = "C4-kJkGt0dLpm2cZKW0nTBu0EXAaZ2u6mKnvDvSHbRU"


class AgentProofWrong(AppError):
    """The request does not come with the proof of a key."""

    kind = Kind.UNAUTHENTICATED
    code = "agent_proof_wrong"
    ja = "DPoP プルーフが正しくありません: {mend_ja}"
    en = "The DPoP proof is wrong: {mend_en}"

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        # RFC 9110, 15.5.2: a 401 says how; RFC 9449, 7.1.
        self.headers["WWW-Authenticate"] = 'DPoP error="invalid_dpop_proof", algs="ES256"'


class EnrolmentIn(InShape):
    """The agent's key, and what proves that it knows its code."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "agent": "7b0e6a52-3d1c-4f7e-9a55-0a3f0d8e2b11",
                "key": {"kty": "EC", "crv": "P-256", "x": _KEY, "y": _KEY},
                "proof": "0" * 64,
            }
        }
    )

    agent: UUID
    key: dict[str, Any]
    proof: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="HMAC-SHA256 of the key's RFC 7638 thumbprint, keyed with the code's secret"
    )


class JobsIn(InShape):
    """What the agent's side allows to be served, and how long it waits for a job."""

    model_config = ConfigDict(json_schema_extra={"example": {"sources": ["kokuho"], "wait": 0}})

    sources: Annotated[list[SourceName], Field(max_length=200)]
    wait: Annotated[float, Field(ge=0, le=25)] = 25


class PlatformKeysOut(OutShape):
    """The platform's keys, signed by one of them (`agent-keys+jwt`)."""

    keys: str


class EnvelopeOut(OutShape):
    """A job, signed (`agent-job+jwt`)."""

    envelope: str


async def agent_of(request: Request, platform: PlatformDep) -> Known:
    """The agent whose key signed the proof of this very request, its body too.

    Of a stranger's nothing is kept, not even that it was used.
    """
    shown = [value for name, value in request.scope["headers"] if name == b"dpop"]
    uri = platform.issuer + path_of(request.scope)
    body = await request.body()
    try:
        proof = read_proof(shown, request.method, uri)
        if not names_body(shown[0], body):
            mend_ja, mend_en = "body_sha256 は本文の SHA-256 です。", "body_sha256 is of the body."
            raise AgentProofWrong(mend_ja=mend_ja, mend_en=mend_en)
        known = await platform.desk.agent_of(proof.jkt)
        registry.check_zone(known.zone, platform.zone)
        await platform.proofs.take(shown, request.method, uri)
    except InvalidProof as wrong:
        raise AgentProofWrong(**wrong.named) from wrong
    return known


AgentDep = Annotated[Known, Depends(agent_of)]


@router.post(
    "/enrolment", response_model=PlatformKeysOut, summary="Enrol an agent",
    responses=problems(
        "agent_key_wrong", "agent_key_taken", "agent_enrolment_refused", "agent_zone_not_allowed"
    ),
)  # fmt: skip
async def enrol(body: EnrolmentIn, session: Writing, platform: PlatformDep) -> dict[str, str]:
    """By its code. The key's private half stays with the agent."""
    keys = await platform.keys.get()
    proven = (body.agent, body.key, body.proof)
    agent = await registry.enrol(session, platform.sealer, *proven, zone=platform.zone)
    told = registry.pinned(agent, platform.issuer, keys.jwks)
    return {"keys": sign_keys(keys.current, agent.id, told)}


@router.post("/keys", response_model=PlatformKeysOut, summary="Get the platform's keys",
             responses=problems(*_PROVEN))  # fmt: skip
async def keys(agent: AgentDep, session: Reading, platform: PlatformDep) -> dict[str, str]:
    """Believed by an agent where a key signed them that it believes already."""
    found = await registry.get(session, agent.id, agent.organization_id)
    held = await platform.keys.get()
    told = registry.pinned(found, platform.issuer, held.jwks)
    return {"keys": sign_keys(held.current, agent.id, told)}


@router.post(
    "/jobs", response_model=EnvelopeOut, summary="Wait for a job",
    responses={**problems(*_PROVEN), 204: {"description": "Nothing yet: ask again"}},
)  # fmt: skip
async def next_job(body: JobsIn, request: Request, agent: AgentDep, platform: PlatformDep) -> Any:
    """One job, given to nobody else meanwhile. It is over for whoever is silent for a while."""
    offered = frozenset(body.sources)
    given = await platform.desk.next_job(agent, offered, body.wait, request.is_disconnected)
    if given is None:
        return Response(status_code=204)
    await platform.log.write(
        Event.AGENT_JOB_GIVEN, agent=str(agent.id), organization=agent.organization_id,
        job=str(given.id), attempt=given.attempt, what=given.wanted["what"], source=given.source,
        agreement=given.wanted["agreement"],
    )  # fmt: skip
    held = await platform.keys.get()
    signed = (platform.issuer, agent.id, given.id, given.attempt, given.wanted, given.answer_to)
    return {"envelope": sign_job(held.current, *signed)}


@router.post(
    "/jobs/{job_id}/{attempt}/alive", status_code=204, summary="Say that a job is under way",
    responses=problems(*_PROVEN, "agent_job_over"),
)  # fmt: skip
async def alive(job_id: UUID, attempt: Number, agent: AgentDep, platform: PlatformDep) -> None:
    """Refused once nobody waits for the answer."""
    await platform.desk.hear(agent, job_id, attempt)


@router.put(
    "/jobs/{job_id}/{attempt}/pieces/{position}", status_code=204, summary="Send a sealed piece",
    responses=problems(*_PROVEN, "agent_job_over", "agent_answer_waits"), openapi_extra=_SEALED,
)  # fmt: skip
async def send_piece(
    job_id: UUID, attempt: Number, position: Number, request: Request, agent: AgentDep,
    platform: PlatformDep,
) -> None:  # fmt: skip
    """A JWE (ECDH-ES, A256GCM) for the key of the envelope. It waits while the asker is behind."""
    sealed = await request.body()
    await platform.desk.take_in(agent, job_id, attempt, position, sealed)
