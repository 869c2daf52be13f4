"""Sessions of the doors: reading ones never commit, writing ones do before the response starts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from sqlalchemy import event, inspect
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.state import Platform

# What this process remembers by table: (kind, attribute with its id), as the database notifies it.
_REMEMBERED: Final = {
    "client": ("client", "id"),
    "dataset": ("dataset", "id"),
    "version": ("dataset", "dataset_id"),
    "agreement": ("dataset", "dataset_id"),
    "purpose_view": ("dataset", "dataset_id"),
    "organization": ("all", "id"),
    "purpose": ("all", "code"),
    "signing_key": ("keys", "state"),
    "person": ("person", "id"),
    "identity_provider": ("all", "id"),
    "quota": ("quota", "whole"),
}


def platform_of(request: Request) -> Platform:
    """The objects of this process."""
    platform: Platform = request.app.state.platform
    return platform


PlatformDep = Annotated[Platform, Depends(platform_of)]


def _tell(session: AsyncSession, request: Request, platform: Platform) -> None:
    """Let whoever decides who manages a dataset note in the log what is done for another body."""
    session.info["log"] = platform.log
    session.info["act"] = f"{request.method} {request.url.path[:200]}"


async def _reading(request: Request, platform: PlatformDep) -> AsyncIterator[AsyncSession]:
    async with platform.database.reading() as session:
        _tell(session, request, platform)
        yield session


async def _writing(request: Request, platform: PlatformDep) -> AsyncIterator[AsyncSession]:
    changed: set[tuple[str, str]] = set()
    async with platform.database.writing() as session:
        _tell(session, request, platform)

        def note(flushed: Any, _context: object) -> None:
            for thing in [*flushed.new, *flushed.dirty, *flushed.deleted]:
                told = _REMEMBERED.get(inspect(thing).mapper.local_table.name)
                if told is not None:
                    changed.add((told[0], getattr(thing, told[1])))

        event.listen(session.sync_session, "after_flush", note)
        yield session
    # Others hear of it by notification. Whoever asks here next sees what was written.
    for kind, key in changed:
        platform.live.changed(kind, key)


# For a door that waits for its client between judging and writing: no session is held meanwhile.
reading_in = asynccontextmanager(_reading)
writing_in = asynccontextmanager(_writing)

# scope="function": the session is closed, and committed, before the response starts.
Reading = Annotated[AsyncSession, Depends(_reading, scope="function")]
Writing = Annotated[AsyncSession, Depends(_writing, scope="function")]
