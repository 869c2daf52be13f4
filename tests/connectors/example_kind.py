"""A kind in 60 lines: the nightly list of a lending library, one CSV a branch, behind a key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from app.connectors.frame import Capabilities, Connector, Harvest, Known, Means, Shape
from app.connectors.web import Address, KeyInHeader, Web, check_is_no_page, conditions, validators
from app.kit.outbound import Bounds


class LibrarySettings(Shape):
    """Where the library is. The key is sealed at rest, and never shown: its type says so."""

    base: Address
    key: Annotated[SecretStr, Field(min_length=1)]


class LibrarySelection(Shape):
    """What of it feeds one dataset."""

    branch: Annotated[str, Field(pattern=r"^[a-z]{2,20}$")]


class LibraryConnector(Connector[LibrarySettings, LibrarySelection]):
    """Lists of loans."""

    kind = "library"
    title_ja = "図書館の貸出一覧"
    title_en = "A library's lists of loans"
    settings_shape: ClassVar[type[Shape]] = LibrarySettings
    selection_shape: ClassVar[type[Shape]] = LibrarySelection
    capabilities = Capabilities(notices_changes=True)

    def __init__(self, settings: LibrarySettings, means: Means) -> None:
        super().__init__(settings, means)
        self._web = Web(means.outbound, KeyInHeader(type="api_key", key=settings.key))

    def check_settings(self) -> None:
        self._web.check(self.settings.base)  # refused before it is kept, where we may not go

    async def check(self, selection: LibrarySelection | None = None) -> None:
        if selection is None:
            await self._web.check_answers(self.settings.base)
            return
        async with self.harvest(selection):
            pass

    @asynccontextmanager
    async def harvest(
        self, selection: LibrarySelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        url = f"{self.settings.base}/loans/{selection.branch}.csv"
        async with self._web.get(
            url, bounds=Bounds(10**8, 600, 30), headers=conditions(known)
        ) as answer:
            if answer.status == 304:
                yield None  # unchanged
                return
            check_is_no_page(answer)
            yield Harvest(answer.pieces, "loans.csv", None, validators(answer.headers))
