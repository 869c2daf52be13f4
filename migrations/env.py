"""Runs migrations over one asyncpg connection. The URL comes from the caller, never from a file."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.models.tables import Base


def run(connection: Connection) -> None:
    """Run all steps in one transaction that waits at most 10 s for any lock."""
    connection.execute(text("SET lock_timeout = '10s'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    """Open the one connection."""
    url = context.config.attributes["url"]
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(connect_and_run())
