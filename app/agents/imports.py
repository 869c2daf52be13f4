"""Takes a bundle in that was carried here. Opens none of its pieces: who harvests does.

A bundle is taken once, and never after a newer one of the same agent.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

from joserfc.jwk import ECKey
from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.agents.registry import AgentNotFound
from app.agents.relay import brought_as
from app.audit import log
from app.audit.events import Event
from app.connectors.relayed import Wanted
from app.kit import clock
from app.models.agents import Agent, AgentJob, AgentPiece, JobState
from app.outpost import bundles
from app.outpost.bundles import Bundle, BundleRefused, Item


async def take(
    session: AsyncSession, path: Path, organization_id: str, issuer: str, *, by: str
) -> Sequence[Item]:
    """Keep the answers of a bundle until they are harvested. Raises `BundleRefused`."""
    agent_id = await asyncio.to_thread(bundles.agent_named, path)
    agent = await session.get(Agent, agent_id, with_for_update=True)
    if agent is None or agent.organization_id != organization_id:
        raise AgentNotFound(id=agent_id)
    if agent.public_jwk is None or agent.revoked_at is not None:
        raise BundleRefused(path, "its agent is revoked", "エージェントは失効しています")
    key = ECKey.import_key(agent.public_jwk)
    bundle = await asyncio.to_thread(bundles.proven, path, key, agent_id)
    if (bundle.organization, bundle.issuer) != (organization_id, issuer):
        raise BundleRefused(
            path, "it is for another organisation or platform", "別の組織か別の基盤宛てです"
        )
    if bundle.number <= agent.last_bundle:
        raise BundleRefused(
            path,
            "it, or a newer one, was taken already",
            "取り込み済みか、より新しいものが取り込み済みです",
        )
    if not {each.source for each in bundle.items} <= set(agent.sources):
        raise BundleRefused(
            path, "it brings a source that is not its agent's", "担当でない連携元を含んでいます"
        )
    agent.last_bundle = bundle.number
    await _keep(session, path, bundle, agent)
    await log.append(
        session, Event.AGENT_BUNDLE_TAKEN, agent=str(agent_id), organization=organization_id,
        number=bundle.number, sources=sorted({each.source for each in bundle.items}), by=by,
    )  # fmt: skip
    return bundle.items


async def _keep(session: AsyncSession, path: Path, bundle: Bundle, agent: Agent) -> None:
    ids = [uuid4() for _ in bundle.items]
    for at, item in enumerate(bundle.items):
        wanted = brought_as(Wanted("harvest", item.source, item.agreement, item.selection))
        its = (AgentJob.organization_id == agent.organization_id, AgentJob.source == item.source)
        old = delete(AgentJob).where(*its, AgentJob.state == JobState.BROUGHT)
        await session.execute(old.where(AgentJob.wanted == wanted))
        session.add(_job(ids[at], agent, bundle.place(at), item, wanted))
    await session.flush()
    source = bundles.pieces(path, bundle)
    while (piece := await asyncio.to_thread(next, source, None)) is not None:
        at, position, sealed = piece
        row = {"job_id": ids[at], "attempt": 0, "position": position, "data": sealed}
        await session.execute(insert(AgentPiece), [row])


def _job(job_id: UUID, agent: Agent, place: str, item: Item, wanted: dict[str, object]) -> AgentJob:
    return AgentJob(
        id=job_id, organization_id=agent.organization_id, zone=agent.zone, source=item.source,
        wanted=wanted,
        state=JobState.BROUGHT, agent_id=agent.id, attempt=0, taken=0, place=place,
        asked_at=clock.now(),
    )  # fmt: skip
