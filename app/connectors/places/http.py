"""Files of a Web server by their addresses. It lists nothing: a path is an address, query and all."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from app.connectors.errors import SourceError
from app.connectors.frame import MOST_SECONDS, SILENT_SECONDS, Known
from app.connectors.places.place import LOOK, Entry, Opened, Place
from app.connectors.web import Web, below, check_is_no_page, conditions, host_of, validators
from app.kit.outbound import Bounds

BOUNDS: Final = Bounds(
    most_bytes=1 << 40, seconds=MOST_SECONDS, silent_seconds=SILENT_SECONDS
)  # the take-in has the limit that counts


class HttpPlace(Place):
    """What stands below an address."""

    lists = False

    def __init__(self, base: str, web: Web) -> None:
        self._base, self._web = base, web
        self.host = host_of(base)

    async def check(self) -> None:
        """That somebody answers who takes our credentials."""
        await self._web.check_answers(self._base)

    async def look(self, path: str) -> Entry:
        """Asked when it is read: a server need not answer HEAD as it answers GET."""
        return Entry(path)

    async def entries(self, _folder: str) -> AsyncGenerator[Entry, None]:
        """Nothing."""
        nothing: tuple[Entry, ...] = ()
        for each in nothing:
            yield each

    @asynccontextmanager
    async def read(
        self, entry: Entry, known: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Opened | None]:
        """The answer, unless the server says that it is what `known` is of."""
        headers = conditions(Known(known) if known is not None else None)
        url = below(self._base, entry.path)
        async with self._web.get(url, bounds=BOUNDS, headers=headers) as answer:
            if answer.status == 304:
                yield None
                return
            check_is_no_page(answer)
            yield Opened(answer.pieces, validators(answer.headers))

    def name_of(self, entry: Entry) -> str:
        """The last part of the address, without what is asked there."""
        return unquote(urlsplit(entry.path).path.rpartition("/")[2])

    async def has(self, path: str) -> bool:
        """Whether the server gives something there."""
        try:
            async with self._web.get(below(self._base, path), bounds=LOOK) as answer:
                check_is_no_page(answer)
        except SourceError as refusal:
            if refusal.at not in ("missing", "html"):
                raise
            return False
        return True
