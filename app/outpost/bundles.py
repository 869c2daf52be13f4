"""Bundles: answers as a file, where no network leads out. Signed by the agent, sealed for its platform.

A bundle is a first line that names the agent, the sealed pieces of each answer, a line each, and the
agent's signature over all of them. Nothing of it is believed before the whole file was proven.
"""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

from joserfc.jwk import ECKey

from app.connectors.relayed import END, Wanted, check_end
from app.kit.errors import AppError, Kind
from app.outpost import signed
from app.outpost.answering import Answerer
from app.outpost.envelopes import Pinned
from app.outpost.sealed import LONGEST, seal
from app.outpost.signed import BUNDLE, WordRefused

_FIRST: Final = b"urbanos-agent-bundle 1 "


class BundleRefused(AppError):
    """The file is no bundle that may be taken; `why` says in which respect."""

    kind = Kind.INVALID
    code = "agent_bundle_refused"
    ja = "{path} は取り込めません（{why_ja}）。エージェントで新しく書き出してください。"
    en = "{path} cannot be taken: {why}. Export it anew at the agent."

    def __init__(self, path: Path, why: str, why_ja: str) -> None:
        super().__init__(path=path, why=why, why_ja=why_ja)


@dataclass(frozen=True, slots=True)
class Item:
    """One answer of a bundle."""

    source: str
    agreement: str
    selection: dict[str, Any]
    pieces: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was proven whole and its agent's."""

    number: int
    organization: str
    issuer: str
    items: tuple[Item, ...]
    digest: str  # of all lines but the last

    def place(self, at: int) -> str:
        """What the pieces of an item are bound to."""
        return f"{self.number}:{at}"


async def write(
    path: Path, answerer: Answerer, pinned: Pinned, key: ECKey, number: int
) -> list[Item]:
    """Harvest all that is allowed into a new file. Raises `SourceError`, and leaves no file then."""
    beside = path.with_name(f"{path.name}.part")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            items = await _write(_Hashing(file), answerer, pinned, key, number)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return items


class _Hashing:
    """A file, and the hash of what was written into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def line(self, told: bytes) -> None:
        """One line more."""
        self._file.write(told + b"\n")
        self.digest.update(told + b"\n")


async def _write(
    file: _Hashing, answerer: Answerer, pinned: Pinned, key: ECKey, number: int
) -> list[Item]:
    file.line(_FIRST + pinned.agent_id.encode())
    items: list[Item] = []
    for source in answerer.allowance.sources:
        for each in answerer.allowance.shown(source):
            wanted = Wanted("harvest", source, each["agreement"], each["select"])
            place, pieces = f"{number}:{len(items)}", 0
            async with aclosing(answerer.messages(wanted)) as messages:
                async for message in messages:
                    if message.startswith(END):
                        check_end(message, source)
                    sealed = await asyncio.to_thread(
                        seal, message, pinned.bundle_key, place, pieces
                    )
                    await asyncio.to_thread(file.line, sealed.encode())
                    pieces += 1
            items.append(Item(source, each["agreement"], each["select"], pieces))
    claims = {
        "iss": pinned.agent_id, "aud": pinned.issuer, "org": pinned.organization, "number": number,
        "sha256": file.digest.hexdigest(), "items": [asdict(each) for each in items],
    }  # fmt: skip
    file.line(signed.sign(key, BUNDLE, claims).encode())
    return items


def agent_named(path: Path) -> UUID:
    """The agent whose bundle it says to be; nothing is proven yet. Raises `BundleRefused`."""
    with path.open("rb") as file:
        first = file.readline(LONGEST)
    try:
        if not first.startswith(_FIRST):
            raise ValueError
        return UUID(first[len(_FIRST) :].strip().decode("ascii"))
    except ValueError:
        raise BundleRefused(
            path, "it is no bundle", "エージェントの書き出しファイルではありません"
        ) from None


def proven(path: Path, key: ECKey, agent_id: UUID) -> Bundle:
    """The bundle, once all of the file is what the agent signed. Raises `BundleRefused`. Blocks."""
    digest, last = hashlib.sha256(), b""
    for line in _lines(path):
        digest.update(last)
        last = line
    try:
        claims = signed.opened(
            last.strip().decode("ascii", "replace"), BUNDLE, {key.thumbprint(): key}
        )
        if (claims["iss"], claims["sha256"]) != (str(agent_id), digest.hexdigest()):
            raise WordRefused("it was changed", "書き換えられています")
        items = tuple(Item(**each) for each in claims["items"])
        names = (str(claims["org"]), str(claims["aud"]))
        return Bundle(int(claims["number"]), *names, items, digest.hexdigest())
    except WordRefused as wrong:
        raise BundleRefused(path, str(wrong.named["why"]), str(wrong.named["why_ja"])) from None
    except (KeyError, TypeError, ValueError):
        raise BundleRefused(
            path, "it is no bundle", "エージェントの書き出しファイルではありません"
        ) from None


def pieces(path: Path, bundle: Bundle) -> Iterator[tuple[int, int, bytes]]:
    """(item, position, sealed) of a bundle that was proven. Blocks.

    Raises `BundleRefused`, at the end too: who changed the file since shows there alone.
    """
    lines = _lines(path)
    digest = hashlib.sha256(next(lines, b""))
    for at, item in enumerate(bundle.items):
        for position in range(item.pieces):
            line = next(lines, None)
            if line is None:
                raise BundleRefused(path, "it breaks off", "途中で切れています")
            digest.update(line)
            yield at, position, line.strip()
    if digest.hexdigest() != bundle.digest:
        raise BundleRefused(path, "it was changed", "書き換えられています")


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, none of them held if it is longer than a piece can be."""
    with path.open("rb") as file:
        while line := file.readline(LONGEST):
            if not line.endswith(b"\n"):
                raise BundleRefused(path, "it breaks off", "途中で切れています")
            yield line
