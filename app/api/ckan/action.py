"""What an action of CKAN's is here: its parameters, its words, and what answers it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from app.api.ckan.asked import Call
from app.api.state import Platform

Given = ParamSpec("Given")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Here:
    """What an action works with."""

    platform: Platform
    request_id: str
    origin: str

    @property
    def issuer(self) -> str:
        """The base of every link."""
        return self.platform.issuer

    async def look(
        self,
        find: Callable[Concatenate[AsyncSession, Given], Awaitable[Found]],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Found:
        """What a service finds. No session stays open: the broker needs a connection of its own."""
        async with self.platform.database.reading() as session:
            return await find(session, *args, **kwargs)


Run = Callable[[Call, Here], Awaitable[Any]]  # a result, or its bytes


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `known` are all parameters that it takes, those without effect here too."""

    run: Run
    known: frozenset[str]
    words: str  # what it does, in Japanese and English


def action(run: Run, known: str, words: str) -> Action:
    """An action whose parameters are listed with spaces between."""
    return Action(run, frozenset(known.split()), words)
