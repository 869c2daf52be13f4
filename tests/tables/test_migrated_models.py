"""The migrations against the models: they say the same, and each takes away what it brought."""

import asyncio
import secrets
from typing import Final

import asyncpg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from app.models import (
    agents,
    conformance,
    connectors,
    moving,
    procurement,
    programmes,
    subscriptions,
    systems,
)
from app.models.base import Base
from tests.conftest import TEMPLATE
from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import _move

# The revision before each, the tables that it brings, newest first; and what stays of others.
BROUGHT: Final = (
    ("0047", ("subscription", "notice")),
    ("0044", ("owner_export", "carried_record")),
    (
        "0043",
        (
            "programme",
            "project",
            "project_revision",
            "joint_procurement",
            "joint_participant",
            "shared_solution",
        ),
    ),
    ("0041", ("conformance_service", "conformance_run", "conformance_certificate")),
    ("0039", ("agent", "agent_job", "agent_piece")),
    ("0038", ("connector_stream", "stream_message")),
    ("0037", ("harvest_count",)),
    ("0036", ("system", "system_revision", "diagnosis", "lock_in_weights", "duplicate_decision")),
    ("0035", ("connector", "connector_feed", "harvest")),
)
STAYS: Final = ("run", "signing_key")
_MAPPING = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'run' AND column_name = 'mapping'"


async def test_the_tables_are_those_of_the_models_and_go_again(template: DatabaseServer) -> None:
    rooms = (
        agents.Agent, conformance.ConformanceService, connectors.Feed, moving.OwnerExport,
        procurement.SharedSolution, programmes.Project, subscriptions.Notice, systems.System,
    )  # fmt: skip
    assert all(room.metadata is Base.metadata for room in rooms)
    name = f"m_{secrets.token_hex(5)}"
    url = await template.make_database(name, template=TEMPLATE)  # which the migrations made
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        differing = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Base.metadata)
        )
    await engine.dispose()

    left: dict[str, list[str | None]] = {}
    plain = await asyncpg.connect(dsn_of(url))
    for before, tables in BROUGHT:
        there = [await plain.fetchval("SELECT to_regclass($1)", each) for each in tables]
        assert None not in there, before
        await plain.close()
        await asyncio.to_thread(_move, url, command.downgrade, before)
        plain = await asyncpg.connect(dsn_of(url))
        left[before] = [await plain.fetchval("SELECT to_regclass($1)", each) for each in tables]
    stays = [await plain.fetchval("SELECT to_regclass($1)", each) for each in STAYS]
    columns = await plain.fetchval(_MAPPING)
    await plain.close()
    await template.drop_database(name)

    ours = [*STAYS, *(each for _, tables in BROUGHT for each in tables)]
    assert [each for each in differing if any(f"'{name}'" in repr(each) for name in ours)] == []
    assert left == {before: [None] * len(tables) for before, tables in BROUGHT}
    assert (stays, columns) == (list(STAYS), 0)
