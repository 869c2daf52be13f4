"""Runs migrations over one asyncpg connection. The URL comes from the caller, never from a file."""

import asyncio

from alembic import context
from sqlalchemy import Connection, make_url, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.models.tables import Base


def is_ours(thing: object, name: str | None, kind: str, reflected: bool, _other: object) -> bool:
    """Leave out of comparisons what no ORM class stands for: the queue's tables, the epoch."""
    table = getattr(thing, "table", thing)
    known = getattr(table, "name", None) in Base.metadata.tables
    return known and not (reflected and kind == "index" and name == "ix_log_entry_dataset")


def run(connection: Connection) -> None:
    """Run all steps in one transaction that waits at most 10 s for any lock."""
    connection.execute(text("SET lock_timeout = '10s'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=Base.metadata, include_object=is_ours)
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    """Open the one connection."""
    # However it is spelt: `postgresql://` alone would be read as another driver's.
    url = make_url(context.config.attributes["url"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(connect_and_run())
