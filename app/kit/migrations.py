"""The migrations: how far a database is, and bringing it up to date. Never goes down by itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from app.kit.db import DatabaseUnavailable, plain_dsn
from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from alembic.config import Config

# Beside the package: a release and its migrations come from one tree.
FOLDER: Final = Path(__file__).resolve().parents[2] / "migrations"


class DatabaseNotMigrated(AppError):
    """The database was made by another release, or by none."""

    kind = Kind.UNAVAILABLE
    code = "database_not_migrated"
    ja = "データベースの版は {found}、このプログラムの版は {wanted} です。urbanos migrate を実行してください。"
    en = "The database is at {found}, this program at {wanted}. Run: urbanos migrate"


class MigrationRefused(AppError):
    """PostgreSQL does not let this login do a step; nothing was changed."""

    kind = Kind.UNAVAILABLE
    code = "migration_refused"
    ja = "データベースが移行を拒否しました。何も変更していません: {why}"
    en = "The database refused the migration, and nothing was changed: {why}"


def upgrade(url: str) -> None:
    """Bring the database up to date. Blocks and runs a loop of its own: call it in a thread.

    Raises `MigrationRefused` where the login lacks a right.
    """
    from alembic import command  # noqa: PLC0415 - only where something is to be migrated
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    config = _config()
    config.attributes["url"] = url
    try:
        command.upgrade(config, "head")
    except DBAPIError as exc:
        refused = exc.orig.__cause__ if exc.orig is not None else None
        if not isinstance(refused, asyncpg.InsufficientPrivilegeError):
            raise
        raise MigrationRefused(why=str(refused)) from exc


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(FOLDER))
    return config


def newest() -> str:
    """The revision that this program needs: the last of the chain of files.

    Names begin with the revision (alembic.ini, file_template), and the chain has no branches.
    """
    return max(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*_*.py"))


async def current(url: str) -> str | None:
    """The revision that the database is at; None: nothing was ever migrated."""
    try:
        connection = await asyncpg.connect(plain_dsn(url), timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as exc:
        raise DatabaseUnavailable from exc
    try:
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close(timeout=2)
    return found


async def require_newest(url: str) -> None:
    """Raise `DatabaseNotMigrated` unless the database is what this program needs."""
    found, wanted = await current(url), newest()
    if found != wanted:
        raise DatabaseNotMigrated(found=found or "-", wanted=wanted)
