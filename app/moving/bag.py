"""Writes an archive: a bag (RFC 8493) in one zip, member after member, each as it comes.

It never holds a member in memory, and what it has not closed no reader takes for whole.
"""

import asyncio
import hashlib
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

FORMAT: Final = "urbanos-owner-export-1"
MANIFEST: Final = "export.json"
SIGNATURE: Final = "export.jws"
DECLARATION: Final = "bagit.txt"
PAYLOAD: Final = "manifest-sha256.txt"
TAGS: Final = "tagmanifest-sha256.txt"
ABOUT: Final = "bag-info.txt"
READMES: Final = ("README.ja.txt", "README.en.txt")
KEYS: Final = "keys.json"
TAG_FILES: Final = (DECLARATION, ABOUT, MANIFEST, SIGNATURE, KEYS, *READMES, PAYLOAD)
DECLARED: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_AT_ONCE: Final = 256 << 10
_WHEN: Final = (1980, 1, 1, 0, 0, 0)  # the manifest says when; a zip knows no zone


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the payload. `lines`: how many rows or documents, where it holds such."""

    path: str  # from the bag's top: data/…
    size: int
    sha256: str
    lines: int | None

    def as_json(self) -> dict[str, Any]:
        """As the manifest lists it."""
        told = {"path": self.path, "size": self.size, "sha256": self.sha256}
        return told if self.lines is None else {**told, "lines": self.lines}


class Writing:
    """A member on its way into the zip: compressed beside the loop, hashed as it goes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._waiting = bytearray()
        self._hash = hashlib.sha256()
        self.size = self.lines = 0

    async def write(self, piece: bytes) -> None:
        """Add bytes."""
        self._waiting += piece
        if len(self._waiting) >= _AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = bytes(self._waiting), bytearray()
        self.size += len(waiting)
        self.lines += waiting.count(b"\n")
        await asyncio.to_thread(self._put, waiting)

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._hash.hexdigest()


class Bag:
    """An archive that is being written. `top` is the one folder that everything is in."""

    def __init__(self, path: Path, top: str) -> None:
        self.top = top
        self.members: list[Member] = []
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True)

    @asynccontextmanager
    async def member(self, path: str) -> AsyncIterator[Writing]:
        """One file of the payload, by its path below `data/`. One at a time."""
        name = f"data/{path}"
        with self._zip.open(self._info(name), "w", force_zip64=True) as file:
            writing = Writing(file)
            yield writing
            await writing.flush()
        lines = writing.lines if path.endswith(".ndjson") else None
        self.members.append(Member(name, writing.size, writing.sha256, lines))

    def finish(self, tags: dict[str, bytes]) -> None:
        """The files about the payload, and the end of the zip: only now is it one."""
        full = {DECLARATION: DECLARED, **tags, PAYLOAD: payload_manifest(self.members)}
        full[TAGS] = _listed(
            (name, hashlib.sha256(data).hexdigest()) for name, data in full.items()
        )
        for name, data in full.items():
            self._zip.writestr(self._info(name), data)
        self._zip.close()

    def abandon(self) -> None:
        """Let the file go: it gets no directory, and no reader opens it."""
        file, self._zip.fp = self._zip.fp, None
        if file is not None:
            with suppress(OSError):  # a full disk takes not even what waits
                file.close()

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(f"{self.top}/{name}", _WHEN)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
        return info


def payload_manifest(members: "list[Member]") -> bytes:
    """What RFC 8493 (2.1.3) lists the payload in."""
    return _listed((each.path, each.sha256) for each in members)


def _listed(found: Any) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in found).encode()


def manifest_bytes(told: dict[str, Any]) -> bytes:
    """The manifest as it is signed."""
    return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
