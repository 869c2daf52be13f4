"""Systems for tests: kept by an operator, read by whoever is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.world import World

SYSTEMS = "/v1/systems"


async def acting(world: World, organization: str, *roles: Role) -> dict[str, str]:
    """The headers of a client that keeps and reads systems."""
    party = await world.party(organization, *roles)
    scope = "systems:read" if roles == (Role.AUDITOR,) else "systems:read systems:write"
    return await world.token(party, scope)


async def operator(world: World) -> dict[str, str]:
    return await acting(world, OPERATOR, Role.OPERATOR)


async def keep(
    world: World, headers: dict[str, str], organization: str, **told: Any
) -> dict[str, Any]:
    """A system that was added."""
    body = {"organization": organization, "description": told}
    answer = await world.client.post(SYSTEMS, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    added: dict[str, Any] = answer.json()
    return added


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """What services ask the database meanwhile, whoever they do it for."""
    told: list[str] = []
    engine = world.platform.database.engine.sync_engine

    def keep_it(_c: Any, _u: Any, statement: str, *_more: Any) -> None:
        told.append(statement)

    event.listen(engine, "before_cursor_execute", keep_it)
    yield told
    event.remove(engine, "before_cursor_execute", keep_it)
