"""The operator's shell: settings and the database for one command. What it does, services do."""

import asyncio
import getpass
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from app.cli.words import note, said
from app.formats.individual_number import Watch
from app.formats.number_refusal import IndividualNumberRefused, Where

if TYPE_CHECKING:
    from app.kit.db import Database
    from app.kit.embedded import EmbeddedServer
    from app.kit.settings import Settings
    from app.models.base import Base

Result = TypeVar("Result")
Choice = TypeVar("Choice", bound=StrEnum)
USAGE = 2


@dataclass(frozen=True, slots=True)
class Shell:
    """What a command works with. `by` stands in the log for what it changes."""

    settings: "Settings"
    database: "Database"
    by: str


def read_settings(**given: Any) -> "Settings":
    """The settings of the environment; what the command line gives goes before."""
    from pydantic import ValidationError  # noqa: PLC0415

    from app.kit.settings import Settings  # noqa: PLC0415

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        from app.api.input_words import japanese  # noqa: PLC0415

        for error in exc.errors():
            name = "_".join(map(str, error["loc"])).upper()
            context = error.get("ctx", {})
            told = context.get("ja") or japanese(error["type"], context) or error["msg"]
            note(f"設定 URBANOS_{name} に誤りがあります: {told}",
                 f"The setting URBANOS_{name} is wrong: {error['msg']}")  # fmt: skip
        raise typer.Exit(USAGE) from exc


def told_in(path: Path) -> bytes:
    """What a file tells a command. Raises `IndividualNumberRefused`: it would be stored."""
    told = path.read_bytes()
    lines = Watch().feed(told, last=True)
    if lines:
        raise IndividualNumberRefused(
            Where(f"ファイルの{lines[0]}行目", f"line {lines[0]} of the file")
        )
    return told


@asynccontextmanager
async def embedded_server(settings: "Settings") -> "AsyncIterator[EmbeddedServer | None]":
    """The embedded server, stopped at the end; None where the settings name another."""
    if settings.database_url is not None:
        yield None
        return
    from app.kit import embedded  # noqa: PLC0415

    server = await embedded.start(settings.home / "db")
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def embedded_or(settings: "Settings") -> AsyncIterator[str]:
    """The address to work on: the setting's, or that of the embedded server."""
    async with embedded_server(settings) as server:
        yield server.url if server is not None else str(settings.database_url)


@asynccontextmanager
async def address_of(settings: "Settings") -> AsyncIterator[str]:
    """The address to work on. Beside a process that holds the embedded server, that very server."""
    from app.kit.embedded import EmbeddedDatabaseInUse  # noqa: PLC0415
    from app.kit.embedded_place import address_beside  # noqa: PLC0415

    in_use = False
    try:
        async with embedded_or(settings) as url:
            yield url
    except EmbeddedDatabaseInUse:
        in_use = True
    if in_use:
        yield address_beside(settings.home / "db")


def run(act: Callable[[Shell], Awaitable[Result]]) -> Result:
    """Do something with the database, which must be migrated. Raises `DatabaseUnavailable`."""
    return asyncio.run(_run(act))


async def _run(act: Callable[[Shell], Awaitable[Result]]) -> Result:
    import asyncpg  # noqa: PLC0415
    from sqlalchemy.exc import InterfaceError, OperationalError  # noqa: PLC0415

    from app.kit.db import Database, DatabaseUnavailable  # noqa: PLC0415
    from app.kit.migrations import require_newest  # noqa: PLC0415

    settings = read_settings()
    async with address_of(settings) as url:
        await require_newest(url)
        database = await Database.open(url, connections=4)
        try:
            return await act(Shell(settings, database, operator()))
        except (asyncpg.PostgresConnectionError, OperationalError, InterfaceError) as exc:
            raise DatabaseUnavailable from exc
        finally:
            await database.close()


def operator() -> str:
    """Who stands in the log: the person at the shell of the machine."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name
        return "cli"


def members(row: "Base", *hidden: str) -> dict[str, Any]:
    """A stored thing as its members, without what may not be shown."""
    columns = row.__table__.columns.keys()
    return {name: getattr(row, name) for name in columns if name not in hidden}


def one_of(choices: type[Choice], value: str, option: str) -> Choice:
    """The value as one of a closed set; a usage error that names the set."""
    try:
        return choices(value)
    except ValueError:
        known = ", ".join(choices)
        told = said(
            f"{value!r} はありません。{known} のどれかにしてください。",
            f"There is no {value!r}. Give one of {known}.",
        )
        raise typer.BadParameter(told, param_hint=option) from None
