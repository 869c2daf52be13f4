"""The first rows of a source before and after a mapping, and a mapping's examples. Keeps nothing.

The file is read by a process of its own: the server brings no reader of tables along.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.connectors.errors import SourceBroken
from app.connectors.frame import AnyConnector, Shape
from app.connectors.kinds import contained
from app.formats.individual_number import holds_number
from app.kit.errors import AppError, Kind
from app.kit.folders import held_folder

FIRST: Final = 20
_MOST_BYTES: Final = 64 << 20
_MOST_SECONDS: Final = 60.0
_AT_ONCE: Final = 2
Wrong = tuple[str, str, str]  # where in an example, and what in Japanese and English
# Of our environment, which holds passwords: it reads what strangers send.
_TOLD: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "TZ")


class PreviewRefused(AppError):
    """What the source sends cannot be read as a table; `code` is the take-in's own."""

    kind = Kind.INVALID
    code = "preview_refused"
    ja = "{ja}"
    en = "{en}"


class PreviewTooLarge(AppError):
    """Only a whole file can be read, and this one is too large for a look."""

    kind = Kind.TOO_LARGE
    code = "preview_too_large"
    ja = "{most} バイトを超えるファイルは試し読みできません。収集を実行してください。"
    en = "A file of more than {most} bytes cannot be previewed. Harvest it instead."


class PreviewFailed(AppError):
    """The source took too long, or gave nothing though all was asked for."""

    kind = Kind.UNAVAILABLE
    code = "preview_failed"
    ja = "試し読みに失敗しました。しばらくしてから再試行してください。"
    en = "The preview failed. Try again shortly."


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows are to be read: the dataset's fields, a mapping, and words on the file."""

    fields: Sequence[Mapping[str, Any]] | None
    mapping: Sequence[Mapping[str, Any]] | None
    told: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Trial:
    """A mapping to fields, with the examples that are to hold."""

    fields: Sequence[Mapping[str, Any]]
    mapping: Sequence[Mapping[str, Any]] | None
    examples: Sequence[Mapping[str, Any]]


class Previews:
    """Makes previews, a few at once. One a process."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def make(self, connector: AnyConnector, selection: Shape, how: Reading) -> dict[str, Any]:
        """The rows before and after. Raises `SourceError`, `PreviewRefused`, `PreviewTooLarge`."""
        async with self._free:
            try:
                async with asyncio.timeout(_MOST_SECONDS):
                    return await _preview(connector, selection, how)
            except TimeoutError as exc:
                raise PreviewFailed from exc

    async def try_examples(self, tried: Sequence[Trial]) -> list[list[list[Wrong]]]:
        """What is wrong with the examples of each mapping, by their order. Asks no source."""
        async with self._free:
            try:
                async with asyncio.timeout(_MOST_SECONDS):
                    return await _tried(tried)
            except TimeoutError as exc:
                raise PreviewFailed from exc


async def _tried(trials: Sequence[Trial]) -> list[list[list[Wrong]]]:
    told = [[each.fields, each.mapping, each.examples] for each in trials]
    with held_folder() as folder:
        asked = {"folder": str(folder), "name": None, "trials": told}
        try:
            said = await _read_by_child(asked)
        except SourceBroken as exc:  # it was ended: it took too long, or too much
            raise PreviewFailed from exc
    found: list[list[list[Wrong]]] = said["wrong"]
    return found


async def _preview(connector: AnyConnector, selection: Shape, how: Reading) -> dict[str, Any]:
    with held_folder() as folder:
        path = folder / "upload"
        with contained(connector):
            async with connector.harvest(selection, None, FIRST) as got:
                if got is None:
                    raise PreviewFailed
                await _write(path, got.pieces)
                name = got.name if got.name and not holds_number(got.name.encode()) else None
                asked = {
                "path": str(path), "name": name, "first": FIRST, "fields": how.fields,
                "mapping": how.mapping, "told": [how.told, got.told],
            }  # fmt: skip
        said = await _read_by_child(asked)
    if "refused" in said:
        code, ja, en = said["refused"]
        refusal = PreviewRefused(ja=ja, en=en)
        refusal.code = code
        raise refusal
    return said


async def _write(path: Path, pieces: AsyncIterator[bytes]) -> None:
    size = 0
    with path.open("wb") as file:
        async for piece in pieces:
            size += len(piece)
            if size > _MOST_BYTES:
                raise PreviewTooLarge(most=_MOST_BYTES)
            await asyncio.to_thread(file.write, piece)


async def _read_by_child(asked: Mapping[str, Any]) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.connectors.preview_child",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _TOLD if name in os.environ},
    )  # fmt: skip
    try:
        said, _ = await child.communicate(orjson.dumps(asked))
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    if child.returncode:
        raise SourceBroken(source=str(asked["name"] or "-"), at="format", detail="a table")
    found: dict[str, Any] = orjson.loads(said)
    return found
