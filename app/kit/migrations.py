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


def upgrade(url: str) -> None:
    """Bring the database up to date. Blocks and runs a loop of its own: call it in a thread."""
    from alembic import command  # noqa: PLC0415 - only where something is to be migrated

    config = _config()
    config.attributes["url"] = url
    command.upgrade(config, "head")


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
