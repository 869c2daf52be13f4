"""Reads shapefiles out of a ZIP: each .shp with its neighbours is a table."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.formats.crs import System, wkt_system
from app.formats.guidance import FileRefused, Notice
from app.formats.readers.archives.members import Member, members_of
from app.formats.readers.geo.dbf import Attributes, all_cells, is_deleted
from app.formats.readers.geo.shp import Shp
from app.formats.readers.geo.table import Features, GeoTable
from app.formats.stored import StoredFile
from app.formats.table import Table
from app.formats.told import Told
from app.query.fields import FieldType

_PARTS = ("shp", "shx", "dbf", "prj", "cpg")
_MOST_WORDS = 64 << 10  # of a .prj or a .cpg


def tables(file: StoredFile, told: Told) -> list[Table]:
    """The shapefiles in the order of the archive. Raises `FileRefused`."""
    sets: dict[str, dict[str, Member]] = {}
    for member in members_of(file, "zip"):
        stem, _, suffix = member.name.rpartition(".")
        if suffix.lower() in _PARTS and not _is_of_a_system(member.name):
            sets.setdefault(stem.casefold(), {}).setdefault(suffix.lower(), member)
    found = {stem: parts for stem, parts in sets.items() if "shp" in parts}
    names = _names([parts["shp"].name for parts in found.values()])
    return [
        GeoTable(_Shapefile(file, name, parts, told), file, told)
        for name, parts in zip(names, found.values(), strict=True)
    ]


def _is_of_a_system(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith("._")


def _names(paths: list[str]) -> list[str]:
    """What stands before .shp; the whole path where that is not enough to tell them apart."""
    stems = [path[:-4] for path in paths]
    short = [stem.rpartition("/")[2] for stem in stems]
    return [
        stem if short.count(name) > 1 else name for stem, name in zip(stems, short, strict=True)
    ]


@dataclass(slots=True)
class _Shapefile:
    file: StoredFile
    name: str
    parts: Mapping[str, Member]
    told: Told
    format: str = "shapefile"
    encoding: str | None = None
    types: Mapping[str, FieldType] = field(default_factory=dict)
    _system: System | None = None
    _notices: tuple[Notice, ...] = ()

    def system(self) -> System | None:
        """What the .prj says, in ESRI's words or another's."""
        return self._system

    def notices(self) -> tuple[Notice, ...]:
        """What was found out of the attributes and the heights."""
        return self._notices

    def features(self) -> Iterator[Features]:
        """Shapes and attributes side by side, unpacked into the run's folder."""
        if "dbf" not in self.parts:
            raise FileRefused("shapefile_part_missing", name=self.name, part="dbf")
        with tempfile.TemporaryDirectory(dir=self.file.scratch) as folder:
            paths = {part: self._unpacked(part, Path(folder)) for part in ("shp", "shx", "dbf")
                     if part in self.parts}  # fmt: skip
            self._system = wkt_system(self._words("prj") or "")
            table = Attributes(paths["dbf"], self.name, self._words("cpg"), self.told.encoding)
            self.encoding, self.types = table.encoding, table.types
            shp = Shp(paths["shp"], paths.get("shx"))
            yield from self._beside(shp, table)
            self._notices = (*table.notices, *_late(shp, table))

    def _unpacked(self, part: str, folder: Path) -> Path:
        path = folder / part
        with self.parts[part].open() as packed, path.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
        return path

    def _words(self, part: str) -> str | None:
        if part not in self.parts:
            return None
        with self.parts[part].open() as stream:
            return stream.read(_MOST_WORDS).decode("utf-8", "ignore").strip("\ufeff \r\n\t\0")

    def _beside(self, shp: Shp, table: Attributes) -> Iterator[Features]:
        spans = shp.spans()
        if len(spans) != table.count:
            raise FileRefused("shapefile_broken", name=self.name, part="shp, dbf")
        labels, done = table.labels, 0
        with shp.path.open("rb") as file:
            for records in table.records():
                part = spans[done : done + len(records)]
                shapes, broken = shp.shapes(file, part)
                kept = ~is_deleted(records)
                cells = all_cells(table.cells(records), kept)
                lines = (np.flatnonzero(kept) + done + 1).tolist()
                done += len(records)
                yield Features(
                    columns=dict(zip(labels, cells, strict=True)),
                    shapes=shapes[kept],
                    first=done,
                    read=self.file.size * done // max(table.count, 1),
                    broken=_renumbered(broken, kept),
                    lines=lines,
                )
        if done < table.count:
            raise FileRefused("shapefile_broken", name=self.name, part="dbf")


def _renumbered(broken: Mapping[int, str], kept: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> dict[int, str]:  # fmt: skip
    places = np.cumsum(kept) - 1
    return {int(places[at]): text for at, text in broken.items() if kept[at]}


def _late(shp: Shp, table: Attributes) -> Iterator[Notice]:
    if table.replaced:
        yield Notice("attributes_replaced", {"count": table.replaced})
    if shp.heights:
        yield Notice("z_dropped", {"count": shp.heights})
