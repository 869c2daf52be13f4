"""One file out of an archive, by a pattern. What is made to harm is refused; nothing is written by
a name that stands in the archive.
"""

import asyncio
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, BinaryIO, Final, TypeVar

from app.connectors.errors import SourceBroken
from app.connectors.places.place import PIECE
from app.formats.guidance import FileRefused
from app.formats.readers.archives.members import (
    MOST_BYTES,
    MOST_MEMBERS,
    Member,
    members_of,
    packing,
)
from app.formats.stored import StoredFile
from app.kit.folders import held_folder

T = TypeVar("T")
_MOST_PACKED: Final = 4 << 30
_MOST_HEAD: Final = 1 << 20
_HELD_WHOLE: Final = frozenset((
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
))  # fmt: skip
_TAR: Final = b"ustar"  # POSIX.1-2017, pax: where the magic of a header stands
_TAR_AT: Final = 257


@dataclass(frozen=True, slots=True)
class _Inner:
    name: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@asynccontextmanager
async def unpacked(
    pieces: AsyncIterator[bytes], name: str | None, pattern: str, host: str
) -> AsyncIterator[tuple[AsyncIterator[bytes], str]]:
    """The bytes and the name of the one file in an archive that meets the pattern.

    Raises `SourceBroken` and `FileRefused`.
    """
    with held_folder() as folder, ExitStack() as held:
        file = StoredFile(folder / "packed", folder, name)
        await _write(file.path, pieces, host)
        found = await _in_thread(partial(_found, file, pattern, host))
        stream = await _in_thread(partial(held.enter_context, found.open()))
        yield _read(stream), found.name.rpartition("/")[2]


async def _write(path: Path, pieces: AsyncIterator[bytes], host: str) -> None:
    size = 0
    with path.open("wb") as file:
        async for piece in pieces:
            size += len(piece)
            if size > _MOST_PACKED:
                raise SourceBroken(source=host, at="too_long", detail=_MOST_PACKED)
            await _in_thread(partial(file.write, piece))


async def _read(stream: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await _in_thread(partial(_piece, stream)):
        yield piece


async def _in_thread(work: Callable[[], T]) -> T:
    """What a thread does; who is told to stop waits for it, before what it uses is closed."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _piece(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(PIECE)
    except tarfile.TarError as exc:
        raise FileRefused("file_damaged") from exc


def _found(file: StoredFile, pattern: str, host: str) -> _Inner:
    inner = _members(file, host)
    if any(each.name.startswith("/") or ".." in each.name.split("/") for each in inner):
        raise FileRefused("file_dangerous")
    fits = [each for each in inner if _meets(each.name, pattern)]
    if not fits:
        raise SourceBroken(source=host, at="missing", detail=pattern)
    if len(fits) > 1:
        raise SourceBroken(source=host, at="many", detail=len(fits))
    return fits[0]


def _meets(name: str, pattern: str) -> bool:
    """A pattern without folders is of a file wherever it lies."""
    return fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern)


def _members(file: StoredFile, host: str) -> list[_Inner]:
    with file.open() as stream:
        kind = packing(stream.read(16))
    if kind is None and not _is_tar(file.open):
        raise SourceBroken(source=host, at="format", detail="zip / tar / gz / bz2 / xz")
    members = [Member(file.name or "", file.open, None)] if kind is None else members_of(file, kind)
    if kind != "zip" and _is_tar(members[0].open):
        return _tar_members(members[0].open)
    return [_Inner(each.name, partial(_member, each)) for each in members]


@contextmanager
def _member(member: Member) -> Iterator[IO[bytes]]:
    with closing(member.open()) as stream:
        yield stream


def _is_tar(opened: Callable[[], BinaryIO]) -> bool:
    with closing(opened()) as stream:
        return stream.read(_TAR_AT + len(_TAR))[_TAR_AT:] == _TAR


def _tar_members(opened: Callable[[], BinaryIO]) -> list[_Inner]:
    """The plain files of a tar: links and devices are none."""
    found: list[_Inner] = []
    total = 0
    with _tar(opened) as tar:
        for at, each in enumerate(tar):
            total += each.size
            if at >= MOST_MEMBERS or total > MOST_BYTES:
                raise FileRefused("file_dangerous")
            if each.isreg():
                found.append(_Inner(each.name, partial(_tar_member, opened, at)))
    return found


@contextmanager
def _tar_member(opened: Callable[[], BinaryIO], number: int) -> Iterator[IO[bytes]]:
    with _tar(opened) as tar:
        each = next(islice(tar, number, None))
        stream = tar.extractfile(each)
        assert stream is not None  # noqa: S101 - a plain file, as it was at the first look
        yield stream


class _Head(tarfile.TarInfo):
    """What stands before a file. Long names and their like are held whole, so they are bounded."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HELD_WHOLE and self.size > _MOST_HEAD:
            raise FileRefused("file_dangerous")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]


@contextmanager
def _tar(opened: Callable[[], BinaryIO]) -> Iterator[tarfile.TarFile]:
    try:
        with (
            closing(opened()) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_Head) as tar,
        ):
            yield tar
    except tarfile.TarError as exc:
        raise FileRefused("file_damaged") from exc
