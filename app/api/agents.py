"""The door to an organisation's agents in closed networks. Shows a code once, and a key never."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.agents import registry
from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import InShape, Name, OutShape, Time
from app.connectors.agent import SourceName
from app.models.agents import Agent
from app.models.parties import Zone

router = APIRouter(prefix="/v1/agents", tags=["Agents"])
_MINE = (*SCOPED_CODES, "agent_not_found")


class AgentIn(InShape):
    """An agent to be enrolled. It is given the jobs of these sources, and of no other."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "健康課サーバ室", "sources": ["kokuho"]}}
    )

    name: Name
    sources: Annotated[list[SourceName], Field(min_length=1, max_length=200)]
    zone: Zone = Field(
        default=Zone.INTERNET,
        description="Of the network where it stands: it comes by a listener of that zone, and is"
        " given the jobs of connectors of that zone alone",
    )


class AgentOut(OutShape):
    """An agent; `kid` names its key once it is enrolled."""

    id: UUID
    organization_id: str
    name: str
    sources: list[str]
    zone: Zone
    kid: str | None
    created_at: Time
    created_by: str
    code_until: Time
    enrolled_at: Time | None
    revoked_at: Time | None
    seen_at: Time | None


class AddedOut(OutShape):
    """`code` is for `urbanos agent enrol`, and is never shown again."""

    agent: AgentOut
    code: str


@router.post(
    "", status_code=201, response_model=AddedOut, summary="Register an agent",
    responses=problems(*SCOPED_CODES, "secret_key_unusable"),
)  # fmt: skip
async def add_agent(
    body: AgentIn, caller: CatalogueWriter, session: Writing, platform: PlatformDep
) -> registry.Added:
    """Of your organisation. Its code lives a day, and enrols one key."""
    held = await platform.keys.get()
    new = registry.NewAgent(caller.client.organization_id, body.name, body.sources, body.zone)
    return await registry.add(
        session, platform.sealer, new, signing_kid=held.current_kid, by=caller.client.actor
    )


@router.get(
    "", response_model=PageOut[AgentOut], summary="List agents",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_agents(
    caller: CatalogueWriter, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Those of your organisation, revoked ones too, and when each was last heard of."""
    mine, last = caller.client.organization_id, after_id(cursor)
    found = await registry.list_agents(session, mine, after=last, limit=limit + 1)
    return page(found, limit, lambda agent: agent.id)


@router.get(
    "/{agent_id}", response_model=AgentOut, summary="Show an agent", responses=problems(*_MINE)
)
async def show_agent(agent_id: UUID, caller: CatalogueWriter, session: Reading) -> Agent:
    """Whether it is enrolled, and when it was last heard of."""
    return await registry.get(session, agent_id, caller.client.organization_id)


@router.delete(
    "/{agent_id}", status_code=204, summary="Revoke an agent", responses=problems(*_MINE)
)
async def revoke_agent(agent_id: UUID, caller: CatalogueWriter, session: Writing) -> None:
    """At once: its next request is refused, and another agent takes what it was doing."""
    agent = await registry.get(session, agent_id, caller.client.organization_id)
    await registry.revoke(session, agent, by=caller.client.actor)
