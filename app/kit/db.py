"""The way to PostgreSQL: one SQLAlchemy engine for services, one asyncpg pool for bulk and reads."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeAlias

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.exc import TimeoutError as NoneFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.ext.asyncio import create_async_engine as create_engine

from app.kit.errors import AppError, Kind

# Times leave with the offset of Japan (interface.md); a session never waits for ever on a lock.
SESSION_SETTINGS = {
    "timezone": "Asia/Tokyo",
    "application_name": "urbanos",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "10min",
    # A statement whose process was killed ends too, and its locks with it.
    "client_connection_check_interval": "2s",
}


# A connection of asyncpg's own, or one lent by the pool.
Driver: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"


# How the driver says that the database is lost, its own confusion on the way there too. A task that
# lives as long as its process outlives each of them.
LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class DatabaseUnavailable(AppError):
    """PostgreSQL cannot be reached now; the caller may try again."""

    kind = Kind.UNAVAILABLE
    code = "database_unavailable"
    ja = "データベースに接続できません。しばらくしてから再試行してください。"
    en = "The database cannot be reached at present. Try again shortly."


@contextmanager
def _told() -> Iterator[None]:
    """Every connection is lent for longer than a request should wait: that passes."""
    try:
        yield
    except NoneFree as exc:
        raise DatabaseUnavailable from exc


def plain_dsn(url: str) -> str:
    """The URL as asyncpg reads it, from any spelling that SQLAlchemy takes."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def _as_it_is(connection: "asyncpg.Connection[Any]") -> None:
    """Spare the round trip of RESET ALL and its like, a tenth of a read's time.

    Nobody sets anything, listens, or takes a session's lock on a lent connection; an open
    transaction and listeners are ended by asyncpg before this.
    """


class Database:
    """Both ways to one database. Made by `open`, closed by `close`."""

    def __init__(self, url: str, engine: AsyncEngine, pool: "asyncpg.Pool[Any]") -> None:
        self.url = url
        self.engine = engine
        self.pool = pool
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    async def open(cls, url: str, *, connections: int = 10) -> "Database":
        """Connect. Raises `DatabaseUnavailable` when the server does not answer."""
        async_url = make_url(url).set(drivername="postgresql+asyncpg")
        engine = create_engine(
            async_url,
            pool_size=max(2, connections // 2),
            max_overflow=connections,
            pool_pre_ping=True,
            pool_timeout=10,
            connect_args={"server_settings": SESSION_SETTINGS},
        )
        try:
            pool = await asyncpg.create_pool(
                plain_dsn(url),
                min_size=1,
                max_size=connections,
                server_settings=SESSION_SETTINGS,
                command_timeout=None,
                reset=_as_it_is,
            )
        except (OSError, asyncpg.PostgresError) as exc:
            raise DatabaseUnavailable from exc
        return cls(url, engine, pool)

    async def server_version(self) -> int:
        """The major version of PostgreSQL."""
        return int(await self.pool.fetchval("SHOW server_version_num")) // 10_000

    async def close(self) -> None:
        """Close both. Running statements are cut off after a moment."""
        await self.engine.dispose()
        await self.pool.close()

    @staticmethod
    async def driver_of(session: AsyncSession) -> Driver:
        """The driver's connection inside the session's transaction, for COPY and the like."""
        connection = await session.connection()
        await connection.exec_driver_sql("SELECT 1")  # opens the transaction on the wire
        raw = await connection.get_raw_connection()
        driver: Driver = raw.driver_connection  # type: ignore[assignment]
        return driver

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that never commits. Raises `DatabaseUnavailable` where none becomes free."""
        with _told():
            async with self._sessions() as session:
                yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A session that commits when the block ends well and rolls back when it does not.

        Raises `DatabaseUnavailable` where none becomes free.
        """
        with _told():
            async with self._sessions() as session, session.begin():
                yield session
