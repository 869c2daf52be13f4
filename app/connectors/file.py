"""The kind `file`: one file of a Web server, or of a folder that the deployment lends.

Reads no format: what the bytes are is the take-in's to find. Leaves no folder that was lent, by no
link and no dots.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Final
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.connectors.connection import Connection
from app.connectors.errors import (
    FolderNotLent,
    SourceBroken,
    SourceRefused,
    SourceUnreachable,
)
from app.connectors.frame import (
    MOST_SECONDS,
    SILENT_SECONDS,
    Capabilities,
    Connector,
    Harvest,
    Known,
    Means,
    Proposal,
    Shape,
)
from app.connectors.web import NoProof, Proof, Web, below, check_is_no_page, conditions, validators
from app.formats.individual_number import holds_number
from app.kit.outbound import Bounds

_PIECE: Final = 1 << 20
_MOST_FILES: Final = 10_000
_SHOWN_FILES: Final = 50
_INTO: Final = os.O_RDONLY | os.O_DIRECTORY
_BOUNDS: Final = Bounds(
    most_bytes=1 << 40, seconds=MOST_SECONDS, silent_seconds=SILENT_SECONDS
)  # the take-in has the limit that counts
_LOOK: Final = Bounds(most_bytes=1 << 40, seconds=15, silent_seconds=10)


def _is_shallow(path: str) -> str:
    if "**" in path or ".." in path.split("/"):
        raise PydanticCustomError("not_below", "A path has no '**' and no '..'.")
    return path


class FileSettings(Shape):
    """Where files are: an address, or an absolute folder of the server's own."""

    base: Annotated[
        str, StringConstraints(min_length=2, max_length=2_000, pattern=r"^(https?://|/)")
    ]
    auth: Proof = Field(default_factory=NoProof)
    connection: Connection = Field(default_factory=Connection)


class FileSelection(Shape):
    """Which file, and how it is read where that has to be said.

    In a folder `path` is a pattern (`daily/*.csv`), and the newest file that meets it is taken. With
    `marker`, only a file beside which there is one of that name: `{name}.done`.
    """

    path: Annotated[
        str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(_is_shallow)
    ]
    marker: (
        Annotated[str, StringConstraints(max_length=200, pattern=r"^[^/]*\{name\}[^/]*$")] | None
    ) = None
    encoding: Annotated[str, StringConstraints(max_length=20)] | None = None
    table: Annotated[str, StringConstraints(max_length=200)] | None = None
    crs: Annotated[str, StringConstraints(max_length=100)] | None = None

    @property
    def told(self) -> dict[str, str] | None:
        """The words on how the file is read."""
        words = {"encoding": self.encoding, "table": self.table, "crs": self.crs}
        return {name: word for name, word in words.items() if word is not None} or None


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    number: int  # of the file system; a name may be somebody's, and is not kept
    size: int
    mtime_ns: int

    @property
    def validators(self) -> dict[str, Any]:
        return {"number": self.number, "size": self.size, "mtime_ns": self.mtime_ns}


class FileConnector(Connector[FileSettings, FileSelection]):
    """Files by HTTP(S) and of a folder."""

    kind = "file"
    title_ja = "ファイル（HTTP(S)・フォルダ）"
    title_en = "Files (HTTP(S), a folder)"
    settings_shape: ClassVar[type[Shape]] = FileSettings
    selection_shape: ClassVar[type[Shape]] = FileSelection
    capabilities = Capabilities(notices_changes=True, discovers=True)

    def __init__(self, settings: FileSettings, means: Means) -> None:
        super().__init__(settings, means)
        self._web = Web(means.outbound, settings.auth, settings.connection.way)
        self._is_folder = settings.base.startswith("/")

    def check_settings(self) -> None:
        """Raises `OutboundRefused` or `FolderNotLent`."""
        if self._is_folder:
            self._folder()
        else:
            self._web.check(self.settings.base)

    async def check(self, selection: FileSelection | None = None) -> None:
        """Look whether the file is there; of an address without a selection, whether it answers."""
        if self._is_folder:
            folder = await asyncio.to_thread(self._folder)
            if selection is not None:
                await asyncio.to_thread(self._newest, folder, selection)
            return
        if selection is None:
            await self._web.check_answers(self.settings.base)
            return
        async with self._web.get(below(self.settings.base, selection.path), bounds=_LOOK) as answer:
            check_is_no_page(answer)

    @asynccontextmanager
    async def harvest(
        self, selection: FileSelection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The file as it is; `first` is not for whole files."""
        del first
        if self._is_folder:
            folder = await asyncio.to_thread(self._folder)
            found = await asyncio.to_thread(self._newest, folder, selection)
            if known is not None and known.validators == found.validators:
                yield None
                return
            with await asyncio.to_thread(self._open, found, folder.name) as file:
                pieces = _pieces(file, found, folder.name)
                yield Harvest(pieces, found.path.name, selection.told, found.validators)
            return
        url = below(self.settings.base, selection.path)
        asking = self._web.get(url, bounds=_BOUNDS, headers=conditions(known))
        async with asking as answer:
            if answer.status == 304:
                yield None
                return
            check_is_no_page(answer)
            name = unquote(urlsplit(url).path.rpartition("/")[2]) or None
            yield Harvest(answer.pieces, name, selection.told, validators(answer.headers))

    async def discover(self) -> Sequence[Proposal]:
        """The files of a folder, newest first; a Web server does not list what it has."""
        if not self._is_folder:
            return ()
        folder = await asyncio.to_thread(self._folder)
        found = await asyncio.to_thread(self._matching, folder, "*")
        named = [each for each in found if not holds_number(each.path.name.encode())]
        newest = sorted(named, key=lambda each: -each.mtime_ns)[:_SHOWN_FILES]
        return [Proposal(each.path.name, {"path": each.path.name}) for each in newest]

    def _folder(self) -> Path:
        """The folder, if it lies in one that was lent. Raises `FolderNotLent`."""
        try:
            folder = Path(self.settings.base).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise FolderNotLent(folder=self.settings.base) from None
        if not folder.is_dir() or self._root(folder) is None:
            raise FolderNotLent(folder=self.settings.base)
        return folder

    def _root(self, path: Path) -> Path | None:
        """The folder that was lent in which a path lies, none of whose parts is a link."""
        lent = (root.resolve() for root in self.means.folders)
        return next((root for root in lent if path.is_relative_to(root)), None)

    def _newest(self, folder: Path, selection: FileSelection) -> _Found:
        found = self._matching(folder, selection.path)
        if selection.marker is not None:
            found = [each for each in found if _is_done(each.path, selection.marker)]
        if not found:
            raise SourceBroken(source=folder.name, at="missing", detail=selection.path)
        return max(found, key=lambda each: (each.mtime_ns, each.path.name))

    def _matching(self, folder: Path, pattern: str) -> list[_Found]:
        """The plain files of a pattern that lie in the folder, links followed before that is judged."""
        found = []
        try:
            for at, path in enumerate(folder.glob(pattern)):
                if at >= _MOST_FILES:
                    raise SourceBroken(source=folder.name, at="too_long", detail=_MOST_FILES)
                real = path.resolve()
                if real.is_relative_to(folder) and stat.S_ISREG((told := real.stat()).st_mode):
                    found.append(_Found(real, told.st_ino, told.st_size, told.st_mtime_ns))
        except PermissionError as exc:
            raise SourceRefused(source=folder.name, at="permission") from exc
        except (OSError, ValueError, NotImplementedError, IndexError) as exc:
            raise SourceBroken(source=folder.name, at="missing", detail=pattern) from exc
        return found

    def _open(self, found: _Found, folder: str) -> BinaryIO:
        """Never through a link: any part may have become one since it was looked at."""
        root = self._root(found.path)
        if root is None:
            raise FolderNotLent(folder=self.settings.base)
        *way, name = found.path.relative_to(root).parts
        at = None
        try:
            at = os.open(root, _INTO)
            for part in way:
                above, at = at, os.open(part, _INTO | os.O_NOFOLLOW, dir_fd=at)
                os.close(above)
            number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        except PermissionError as exc:
            raise SourceRefused(source=folder, at="permission") from exc
        except OSError as exc:
            raise SourceUnreachable(source=folder, at="connection") from exc
        finally:
            if at is not None:
                os.close(at)
        return os.fdopen(number, "rb", buffering=0)


def _is_done(path: Path, marker: str) -> bool:
    return path.with_name(marker.replace("{name}", path.name)).is_file()


async def _pieces(file: BinaryIO, found: _Found, folder: str) -> AsyncIterator[bytes]:
    """The file's bytes. Raises `SourceBroken` where somebody wrote to it meanwhile."""
    left = found.size
    try:
        while left >= 0 and (piece := await asyncio.to_thread(file.read, _PIECE)):
            left -= len(piece)
            yield piece
        told = await asyncio.to_thread(os.fstat, file.fileno())
    except OSError as exc:
        raise SourceBroken(source=folder, at="cut_off") from exc
    if left != 0 or (told.st_size, told.st_mtime_ns) != (found.size, found.mtime_ns):
        raise SourceBroken(source=folder, at="moving")
