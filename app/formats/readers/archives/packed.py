"""Reads members of a zip that nobody vouches for; it writes no member under a name of the zip's.

What is unpacked is counted as it comes: a zip bomb lies about its sizes.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, cast

from app.formats.guidance import FileRefused
from app.formats.stored import StoredFile

_MOST_MEMBERS = 20_000
_MOST_DIRECTORY = 8 << 20  # bytes of names and sizes; the module reads them all at once
# Deflate packs at most 1,032 : 1. Sheets of empty styled cells reach about 60 : 1, tables 5 to 30.
_RATIO = 120
_FREE = 256 << 20
_MOST = 16 << 30
_TAIL = 66 << 10
_WIDE, _LOCATOR = 56, 20  # bytes of the zip64 records before the end (APPNOTE 4.3.14, 4.3.15)


class Package:
    """A zip's members by name."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._limit = min(max(_FREE, _RATIO * size), _MOST)
        self._unpacked: dict[str, int] = {}
        self.names = tuple(info.filename for info in archive.infolist() if not info.is_dir())

    def declared_size(self, name: str) -> int:
        """How large the member says it is."""
        return self._archive.getinfo(name).file_size

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The member's bytes. Raises `FileRefused` where it is damaged, locked or a bomb."""
        with _refusing():
            stream = self._archive.open(name)
        with stream:
            yield cast(BinaryIO, io.BufferedReader(_Counted(stream, self, name), 1 << 16))

    def read(self, name: str, most: int) -> bytes:
        """The whole of a small member; refused where it is larger than `most` bytes."""
        with self.open(name) as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise FileRefused("file_dangerous")
        return data

    def close(self) -> None:
        """Give the file back."""
        self._archive.close()

    def count(self, name: str, size: int) -> None:
        """Note that `size` bytes of a member were unpacked, whatever its header said."""
        self._unpacked[name] = max(size, self._unpacked.get(name, 0))
        if sum(self._unpacked.values()) > self._limit:
            raise FileRefused("file_dangerous")


class _Counted(io.RawIOBase):
    """A member's stream that tells its package how much came out."""

    def __init__(self, stream: IO[bytes], package: Package, name: str) -> None:
        self._stream, self._package, self._name = stream, package, name
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _refusing():
            data = self._stream.read(len(buffer))
        self._size += len(data)
        self._package.count(self._name, self._size)
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_package(file: StoredFile) -> Iterator[Package]:
    """The zip. Raises `FileRefused` where it is none, or one that nobody makes in good faith."""
    check_directory(file)
    with _refusing():
        archive = zipfile.ZipFile(file.path)
    package = Package(archive, file.size)
    try:
        if len(set(package.names)) < len(package.names):
            raise FileRefused("file_dangerous")  # which of two equal names is meant?
        yield package
    finally:
        package.close()


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as exc:  # "password required", and nothing else
        if isinstance(exc, NotImplementedError):
            raise FileRefused("file_damaged") from exc
        raise FileRefused("file_encrypted") from exc
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error) as exc:
        raise FileRefused("file_damaged") from exc


def check_directory(
    file: StoredFile, most_members: int = _MOST_MEMBERS, most_directory: int = _MOST_DIRECTORY
) -> None:
    """How many members there are and how long their list is, before it is read (APPNOTE 4.3.16)."""
    with file.path.open("rb") as stream:
        stream.seek(max(file.size - _TAIL, 0))
        tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise FileRefused("file_damaged")
    count, length = struct.unpack("<HI", tail[at + 10 : at + 16])
    # The wide record counts where it stands whole before its locator, as `zipfile` takes it: one
    # that lies about elsewhere would hide a long list behind a short one.
    wide = at - _LOCATOR - _WIDE
    is_wide = tail.startswith(b"PK\x06\x07", max(at - _LOCATOR, 0))
    if is_wide and wide >= 0 and tail.startswith(b"PK\x06\x06", wide):
        count, length = struct.unpack("<QQ", tail[wide + 32 : wide + 48])
    if count > most_members or length > most_directory:
        raise FileRefused("file_dangerous")
