"""The migration that brings agents, up and down; and it says what the models say."""

import asyncio
import secrets

import asyncpg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from app.models.agents import Agent
from app.models.base import Base
from tests.conftest import TEMPLATE
from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import _move

_OURS = ("agent", "agent_job", "agent_piece")


async def test_the_tables_are_those_of_the_models_and_go_again(template: DatabaseServer) -> None:
    assert Agent.metadata is Base.metadata
    name = f"m_{secrets.token_hex(5)}"
    url = await template.make_database(name, template=TEMPLATE)  # which the migrations made
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Base.metadata)
        )
    await engine.dispose()

    await asyncio.to_thread(_move, url, command.downgrade, "0036")
    plain = await asyncpg.connect(dsn_of(url))
    left = [await plain.fetchval("SELECT to_regclass($1)", each) for each in _OURS]
    await plain.close()
    await template.drop_database(name)

    assert [each for each in found if any(f"'{name}'" in repr(each) for name in _OURS)] == []
    assert left == [None, None, None]
