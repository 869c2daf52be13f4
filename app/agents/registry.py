"""Agents of organisations: registered, enrolled with a key of their own, revoked. Holds no such key.

An enrolment code is shown once. It names the key that the platform signs with, and its secret is
never sent: neither side can be taken for another by who stands between.
"""

import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import AppError, Kind
from app.models.agents import Agent, AgentJob, JobState
from app.outpost.enrolment import proof_of

CODE_LIVES: Final = timedelta(hours=24)
_SECRET_BYTES: Final = 24
_COORDINATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class AgentNotFound(AppError):
    """No such agent of the caller's organisation."""

    kind = Kind.NOT_FOUND
    code = "agent_not_found"
    ja = "エージェント {id} は見つかりません。GET /v1/agents で一覧を確認してください。"
    en = "There is no agent {id}. GET /v1/agents lists yours."


class AgentKeyWrong(AppError):
    """The key is no public P-256 key."""

    kind = Kind.INVALID
    code = "agent_key_wrong"
    ja = "key には P-256 の公開鍵（kty, crv, x, y だけのJWK）を指定してください。"
    en = "Give as key a public P-256 key: a JWK of kty, crv, x and y alone."


class AgentKeyTaken(AppError):
    """The key is that of another agent, one that was revoked perhaps."""

    kind = Kind.CONFLICT
    code = "agent_key_taken"
    ja = "この鍵は別のエージェント（失効したものを含む）が使っています。新しいフォルダで登録してください。"
    en = "The key is another agent's, revoked ones too. Enrol in a new folder."


class EnrolmentRefused(AppError):
    """The code is none, was used for another key, or has expired. Which of them is not said."""

    kind = Kind.FORBIDDEN
    code = "agent_enrolment_refused"
    ja = "登録コードが正しくないか、使用済みか、期限切れです。エージェントを登録し直してください。"
    en = "The enrolment code is wrong, used or expired. Register the agent anew."


class AgentOfOtherZone(AppError):
    """It came by a listener of another zone than the one that it was registered for."""

    kind = Kind.FORBIDDEN
    code = "agent_zone_not_allowed"
    ja = "このエージェントの区画は {zone} です。その区画の接続先に接続してください。"
    en = "This agent is of the zone {zone}. Have it come by a listener of that zone."


def check_zone(its: str, listener: str) -> None:
    """Raise `AgentOfOtherZone` unless an agent came by a listener of its own zone."""
    if its != listener:
        raise AgentOfOtherZone(zone=its)


@dataclass(frozen=True, slots=True)
class Added:
    """An agent, and the code by which it enrols: this once."""

    agent: Agent
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewAgent:
    """An agent to register: where it stands, and what it may serve."""

    organization_id: str
    name: str
    sources: Sequence[str]
    zone: str


async def add(
    session: AsyncSession, sealer: Sealer, new: NewAgent, *, signing_kid: str, by: str
) -> Added:
    """Register an agent that stands in a zone, and may serve these sources of its organisation."""
    now, secret = clock.now(), secrets.token_urlsafe(_SECRET_BYTES)
    bundle_key = ECKey.generate_key("P-256")
    agent_id = uuid4()
    agent = Agent(
        id=agent_id, organization_id=new.organization_id, name=new.name,
        sources=sorted(set(new.sources)), zone=new.zone,
        sealed_code=sealer.seal(secret.encode(), about=_code_of(agent_id)),
        code_until=now + CODE_LIVES, bundle_jwk=bundle_key.as_dict(private=False),
        sealed_bundle_key=sealer.seal(
            orjson.dumps(bundle_key.as_dict(private=True)), about=_bundles_of(agent_id)
        ),
        last_bundle=0, created_at=now, created_by=by,
    )  # fmt: skip
    session.add(agent)
    await session.flush()
    await _note(session, Event.AGENT_ADDED, agent, sources=agent.sources, zone=agent.zone, by=by)
    return Added(agent, f"{agent_id}.{secret}.{signing_kid}")


async def enrol(
    session: AsyncSession, sealer: Sealer, agent_id: UUID, jwk: Mapping[str, Any], proof: str,
    *, zone: str,
) -> Agent:  # fmt: skip
    """Keep an agent's public key. Asked again with the same key it is as if it were the first time.

    `zone`: of the listener. Raises `AgentKeyWrong`, `AgentKeyTaken`, `AgentOfOtherZone` and
    `EnrolmentRefused`.
    """
    key = _public_key(jwk)
    kid = key.thumbprint()
    agent = await session.get(Agent, agent_id, with_for_update=True)
    if agent is None or agent.sealed_code is None or agent.revoked_at is not None:
        raise EnrolmentRefused
    secret = sealer.unseal(agent.sealed_code, about=_code_of(agent_id)).decode()
    is_known = hmac.compare_digest(proof_of(secret, kid), proof)
    if not is_known or clock.now() > agent.code_until or agent.kid not in (None, kid):
        raise EnrolmentRefused
    check_zone(agent.zone, zone)
    if agent.kid is None:
        agent.kid, agent.public_jwk = kid, dict(jwk)
        agent.enrolled_at = clock.now()
        try:
            await session.flush()
        except IntegrityError:
            raise AgentKeyTaken from None
        await _note(session, Event.AGENT_ENROLLED, agent, kid=kid, by=f"agent:{agent.id}")
    return agent


async def revoke(session: AsyncSession, agent: Agent, *, by: str) -> None:
    """From now on it is nobody; what it was doing another does."""
    if agent.revoked_at is not None:
        return
    agent.revoked_at, agent.sealed_code = clock.now(), None
    its = AgentJob.agent_id == agent.id
    left = update(AgentJob).where(its, AgentJob.state == JobState.GIVEN)
    await session.execute(left.values(heard_at=None))
    await session.flush()
    await _note(session, Event.AGENT_REVOKED, agent, by=by)


async def get(session: AsyncSession, agent_id: UUID, organization_id: str) -> Agent:
    """An agent of an organisation. Raises `AgentNotFound`."""
    found = await session.get(Agent, agent_id)
    if found is None or found.organization_id != organization_id:
        raise AgentNotFound(id=agent_id)
    return found


async def list_agents(
    session: AsyncSession, organization_id: str | None, *, after: UUID | None = None,
    limit: int = 100,
) -> list[Agent]:  # fmt: skip
    """Agents of an organisation by id, revoked ones too; of all, for the operator's shell."""
    statement = select(Agent).order_by(Agent.id).limit(limit)
    if organization_id is not None:
        statement = statement.where(Agent.organization_id == organization_id)
    if after is not None:
        statement = statement.where(Agent.id > after)
    return list(await session.scalars(statement))


def pinned(agent: Agent, issuer: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """What an agent is to know of its platform (`outpost.envelopes.Pinned`)."""
    return {
        "iss": issuer, "aud": str(agent.id), "org": agent.organization_id, "keys": jwks["keys"],
        "bundle_key": agent.bundle_jwk,
    }  # fmt: skip


def bundle_key(agent_id: UUID, sealed: bytes, sealer: Sealer) -> ECKey:
    """The key that opens the bundles of an agent."""
    return ECKey.import_key(orjson.loads(sealer.unseal(sealed, about=_bundles_of(agent_id))))


def _public_key(jwk: Mapping[str, Any]) -> ECKey:
    points = (jwk.get("x"), jwk.get("y"))
    plain = all(isinstance(each, str) and _COORDINATE.fullmatch(each) for each in points)
    if jwk.keys() == {"kty", "crv", "x", "y"} and plain and jwk["crv"] == "P-256":
        try:
            return ECKey.import_key(dict(jwk))
        except (JoseError, ValueError):
            pass
    raise AgentKeyWrong


def _code_of(agent_id: UUID) -> str:
    return f"agent_code:{agent_id}"


def _bundles_of(agent_id: UUID) -> str:
    return f"agent_bundles:{agent_id}"


async def _note(session: AsyncSession, event: Event, agent: Agent, **more: Any) -> None:
    await log.append(
        session, event, agent=str(agent.id), organization=agent.organization_id, **more
    )
