"""Which of a place's files are meant: by pattern, newest first, and only once they are whole."""

import asyncio
import re
from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.connectors.errors import SourceBroken
from app.connectors.frame import Shape
from app.connectors.places.place import MOST_ENTRIES, Entry, Place, is_plain, listed, missing
from app.formats.dates import JST, plain_date
from app.formats.text import CellError

_WILD: Final = re.compile(r"[*?[]")
_MOST_PARTS: Final = 1_000
PAUSE_SECONDS: Final = 1.0
# 20261129 or 2026-11-29, a time behind it or not; R081129 as offices name their files.
_DATED: Final = re.compile(
    r"(?<![0-9])((?:19|20)[0-9]{2}[-_.]?[0-9]{2}[-_.]?[0-9]{2})(?=(?:[-_T]?[0-9]{4}(?:[0-9]{2})?)?(?![0-9]))"
)
_ERA_DATED: Final = re.compile(r"(?<![A-Za-z0-9])([RHrh])([0-9]{2})([0-9]{2})([0-9]{2})(?![0-9])")


def _is_shallow(path: str) -> str:
    if "**" in path or ".." in path.split("/"):
        raise PydanticCustomError("not_below", "A path has no '**' and no '..'.")
    if not is_plain(path):
        raise PydanticCustomError("not_visible", "A path has no control characters.")
    return path


class Parts(Shape):
    """All files of the newest day are one table, joined in the order of their names."""

    heading_lines: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1, description="Lines that each part begins with; kept of the first alone"
    )


class Chosen(Shape):
    """Which file: a path, or a pattern (`daily/*.csv`) of which the newest file is taken.

    A file with `marker` counts once there is a file of that name beside it: `{name}.done`,
    `{stem}.end`, or one name for all. Without a marker a file counts once it has stopped growing.
    """

    path: Annotated[
        str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(_is_shallow)
    ]
    newest_by: Literal["modified", "name"] = Field(
        default="modified", description="`name`: by the date in it, such as 20261129 or R081129"
    )
    parts: Parts | None = None
    marker: (
        Annotated[
            str,
            StringConstraints(max_length=200, pattern=r"^[^/]+$"),
            AfterValidator(_is_shallow),
        ]
        | None
    ) = None
    settle_seconds: Annotated[float, Field(ge=0, le=60)] | None = Field(
        default=None,
        description="Between two looks at a file that is to be the same at both; 0: one look",
    )
    inner: (
        Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_is_shallow)]
        | None
    ) = Field(
        default=None, description="Which file of an archive (zip, tar, gz, bz2, xz): a pattern"
    )


async def chosen(place: Place, choice: Chosen) -> list[Entry] | None:
    """The file, or its parts in order; None where none is whole yet.

    Raises `SourceBroken` (`missing`) where nothing meets the pattern.
    """
    met = await matching(place, choice.path)
    found = await asyncio.to_thread(_ranked, met, choice, needs_date=place.lists)
    if not found:
        raise missing(place.host, choice.path)
    if choice.parts is not None:
        return await _parts(place, found, choice)
    for each in found:
        if await _is_done(place, each, choice):
            return [each]
    return None


def _ranked(found: list[Entry], choice: Chosen, *, needs_date: bool) -> list[Entry]:
    """The newest first; among names by their dates, those that have one."""
    if choice.newest_by == "name" and needs_date:
        found = [each for each in found if dated(each.name) is not None]
    return sorted(found, key=lambda each: _rank(each, choice), reverse=True)


async def _parts(place: Place, found: list[Entry], choice: Chosen) -> list[Entry] | None:
    """All of the newest day, if all of them are done."""
    newest = _day(found[0], choice)
    parts = [each for each in found if _day(each, choice) == newest]
    if len(parts) > _MOST_PARTS:
        raise SourceBroken(source=place.host, at="crowded", detail=_MOST_PARTS)
    for each in parts:
        if not await _is_done(place, each, choice):
            return None
    return sorted(parts, key=lambda each: each.path)


async def settled(place: Place, entries: Sequence[Entry], choice: Chosen) -> bool:
    """Whether a second look, a moment later, shows the same: nobody is writing."""
    if not place.lists or choice.marker is not None or choice.settle_seconds == 0:
        return True
    pause = PAUSE_SECONDS if choice.settle_seconds is None else choice.settle_seconds
    await asyncio.sleep(pause)
    try:
        return await looked(place, entries) == list(entries)
    except SourceBroken as refusal:
        if refusal.at != "missing":
            raise
        return False  # it was renamed


async def looked(place: Place, entries: Sequence[Entry]) -> list[Entry]:
    """Each as it is now: a listing tells less of a file than a look at it."""
    return [await place.look(each.path) for each in entries]


async def matching(place: Place, pattern: str) -> list[Entry]:
    """The files of a pattern; a part of it without a wild card is asked for by its name."""
    if not place.lists:
        if "*" in pattern:  # the other signs of a pattern stand in addresses
            raise SourceBroken(source=place.host, at="unlisted")
        return [await place.look(pattern)]
    *folders, last = [part for part in pattern.split("/") if part not in ("", ".")] or [""]
    at = [Entry("", is_folder=True)]
    for part in folders:
        at = await _below(place, at, part, folder=True)
    return await _below(place, at, last, folder=False)


async def _below(place: Place, folders: list[Entry], part: str, *, folder: bool) -> list[Entry]:
    found: list[Entry] = []
    for each in folders:
        found += await _stepped(place, each.path, part, folder=folder)
        if len(found) > MOST_ENTRIES:
            raise SourceBroken(source=place.host, at="crowded", detail=MOST_ENTRIES)
    return found


async def _stepped(place: Place, base: str, part: str, *, folder: bool) -> list[Entry]:
    path = f"{base}/{part}" if base else part
    if not _WILD.search(part):
        if folder:
            return [Entry(path, is_folder=True)]
        entry = await place.look(path)
        return [] if entry.is_folder else [entry]
    return [
        each
        async for each in listed(place, base)
        if each.is_folder is folder and fnmatchcase(each.name, part)
    ]


def dated(name: str) -> date | None:
    """The last date that a name holds."""
    found = [each[1] for each in _DATED.finditer(name)]
    found += [
        "{}{}.{}.{}".format(each[1].upper(), *each.groups()[1:])
        for each in _ERA_DATED.finditer(name)
    ]
    for text in reversed(found):
        digits = text.translate({ord(sign): None for sign in "-_."})
        try:
            return date.fromisoformat(plain_date(digits if digits.isdigit() else text))
        except CellError:
            continue
    return None


def _rank(entry: Entry, choice: Chosen) -> tuple[float, str]:
    if choice.newest_by == "name":
        day = dated(entry.name)
        return (float(day.toordinal()) if day is not None else 0.0, entry.path)
    return (entry.modified.timestamp() if entry.modified is not None else 0.0, entry.path)


def _day(entry: Entry, choice: Chosen) -> date | None:
    if choice.newest_by == "name":
        return dated(entry.name)
    return entry.modified.astimezone(JST).date() if entry.modified is not None else None


async def _is_done(place: Place, entry: Entry, choice: Chosen) -> bool:
    if choice.marker is None:
        return True
    folder, _, name = entry.path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    beside = choice.marker.replace("{name}", name).replace("{stem}", stem)
    return await place.has(f"{folder}/{beside}" if folder else beside)
