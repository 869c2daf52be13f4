"""A folder of this machine that the deployment lends. Leaves it by no link and no dots."""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from app.connectors.errors import FolderNotLent, SourceBroken, SourceRefused, SourceUnreachable
from app.connectors.places.place import MOST_ENTRIES, PIECE, Entry, Opened, Place, missing, when

_INTO: Final = os.O_RDONLY | os.O_DIRECTORY


class FolderPlace(Place):
    """A folder. Links are followed before it is judged where something lies."""

    def __init__(self, base: str, lent: tuple[Path, ...]) -> None:
        self._base, self._lent = base, lent
        self.host = Path(base).name

    def folder(self) -> Path:
        """The folder, if it lies in one that was lent. Raises `FolderNotLent`."""
        try:
            folder = Path(self._base).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise FolderNotLent(folder=self._base) from None
        if not folder.is_dir() or self._root(folder) is None:
            raise FolderNotLent(folder=self._base)
        return folder

    async def check(self) -> None:
        """That it is lent, and can be read."""
        await asyncio.to_thread(self._listed, "")

    async def look(self, path: str) -> Entry:
        """What is at a path, if it lies in the folder."""
        found = await asyncio.to_thread(lambda: self._found(self.folder(), path))
        if found is None:
            raise missing(self.host, path)
        return found

    async def entries(self, folder: str) -> AsyncGenerator[Entry, None]:
        """Plain files, and folders."""
        for each in await asyncio.to_thread(self._listed, folder):
            yield each

    @asynccontextmanager
    async def read(
        self, entry: Entry, known: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Opened | None]:
        """The bytes of the very file that was looked at."""
        del known
        with await asyncio.to_thread(self._open, entry) as file:
            yield Opened(_pieces(file, entry, self.host), entry.proof)

    def _root(self, path: Path) -> Path | None:
        """The folder that was lent in which a path lies, none of whose parts is a link."""
        lent = (root.resolve() for root in self._lent)
        return next((root for root in lent if path.is_relative_to(root)), None)

    def _listed(self, folder: str) -> list[Entry]:
        base, found = self.folder(), []
        with self._told(folder):
            if not (base / folder).resolve().is_relative_to(base):
                raise missing(self.host, folder)
            with os.scandir(base / folder) as names:
                for at, each in enumerate(names):
                    if at >= MOST_ENTRIES:
                        raise SourceBroken(source=self.host, at="crowded", detail=MOST_ENTRIES)
                    path = f"{folder}/{each.name}" if folder else each.name
                    entry = self._found(base, path)
                    if entry is not None:
                        found.append(entry)
        return found

    def _found(self, base: Path, path: str) -> Entry | None:
        """A plain file or a folder; nothing else, and nothing outside."""
        with self._told(path):
            try:
                real = (base / path).resolve(strict=True)
                told = real.stat()
            except FileNotFoundError:
                return None
        is_folder = stat.S_ISDIR(told.st_mode)
        if not real.is_relative_to(base) or not (is_folder or stat.S_ISREG(told.st_mode)):
            return None
        tag = f"{told.st_ino}-{told.st_mtime_ns}"
        return Entry(path, is_folder, told.st_size, when(told.st_mtime), tag, (real, told))

    def _open(self, entry: Entry) -> BinaryIO:
        """Never through a link: any part may have become one since it was looked at."""
        real: Path = entry.own[0]
        root = self._root(real)
        if root is None:
            raise FolderNotLent(folder=self._base)
        *way, name = real.relative_to(root).parts
        at = None
        try:
            at = os.open(root, _INTO)
            for part in way:
                above, at = at, os.open(part, _INTO | os.O_NOFOLLOW, dir_fd=at)
                os.close(above)
            number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        except PermissionError as exc:
            raise SourceRefused(source=self.host, at="permission") from exc
        except OSError as exc:
            raise SourceUnreachable(source=self.host, at="connection") from exc
        finally:
            if at is not None:
                os.close(at)
        return os.fdopen(number, "rb", buffering=0)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as exc:
            raise SourceRefused(source=self.host, at="permission") from exc
        except (
            OSError,
            ValueError,
            RuntimeError,
        ) as exc:  # no such folder, a NUL, a circle of links
            raise missing(self.host, path) from exc


async def _pieces(file: BinaryIO, entry: Entry, host: str) -> AsyncIterator[bytes]:
    """The file's bytes. Raises `SourceBroken` where somebody wrote to it meanwhile."""
    seen: os.stat_result = entry.own[1]
    left = seen.st_size
    try:
        while left >= 0 and (piece := await asyncio.to_thread(file.read, PIECE)):
            left -= len(piece)
            yield piece
        told = await asyncio.to_thread(os.fstat, file.fileno())
    except OSError as exc:
        raise SourceBroken(source=host, at="cut_off") from exc
    if left != 0 or (told.st_size, told.st_mtime_ns) != (seen.st_size, seen.st_mtime_ns):
        raise SourceBroken(source=host, at="moving")
