"""Coordinates of other systems as GeoJSON in CRS84: which axis comes first, and where it lies there.

An authority's own order holds where a system is named by its URN or its address; a bare `EPSG:6668`
is longitude first, as everybody writes it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from app.formats.crs import System

Axis = Literal["auto", "xy", "yx"]
# urn:ogc:def:crs:EPSG::6668, http://www.opengis.net/def/crs/EPSG/0/6668, EPSG:6668, …epsg.xml#6668
_NUMBER: Final = re.compile(r"epsg(?:\.xml)?[:/#]+(?:[0-9.]*[:/])?([0-9]{4,6})/?$", re.IGNORECASE)
_BY_AUTHORITY: Final = re.compile(
    r"^(?:urn:(?:x-)?ogc:def:crs:|https?://www\.opengis\.net/def/crs/)"
)


class NoPlace(ValueError):
    """A system that nobody here knows, or positions that are none."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A system of coordinates, and whether its second coordinate is the one to the east."""

    system: "System"
    is_turned: bool

    def lonlat(self, numbers: list[float], dimension: int) -> list[tuple[float, float]]:
        """Positions that stand in a row, in CRS84 without their heights. Raises `NoPlace`."""
        if dimension not in (2, 3) or len(numbers) % dimension:
            raise NoPlace
        one, other = numbers[::dimension], numbers[1::dimension]
        x, y = (other, one) if self.is_turned else (one, other)
        if self.system.is_same:
            return list(zip(x, y, strict=True))
        import numpy as np  # noqa: PLC0415 - most processes never meet a map

        turned = self.system.convert(np.column_stack([x, y]))
        return [(float(each[0]), float(each[1])) for each in turned]


@lru_cache(maxsize=64)
def reference(name: str, axis: Axis = "auto") -> Reference:
    """The system of a name. Raises `NoPlace`."""
    from app.formats.crs import CRS84, epsg_system  # noqa: PLC0415 - brings PROJ along

    found = _NUMBER.search(name)
    system = (
        CRS84 if name.upper().endswith("CRS84") else epsg_system(int(found[1])) if found else None
    )
    if system is None:
        raise NoPlace
    if axis != "auto":
        return Reference(system, axis == "yx")
    by_authority = _BY_AUTHORITY.match(name) is not None
    first = system.crs.axis_info[0].direction.lower() if system.crs.axis_info else "east"
    return Reference(system, by_authority and first == "north")


def turned(geometry: Any, to: Reference) -> Any:
    """A GeoJSON geometry of another system, in CRS84. Raises `NoPlace`."""
    if not isinstance(geometry, dict):
        raise NoPlace
    if geometry.get("type") == "GeometryCollection":
        parts = geometry.get("geometries")
        if not isinstance(parts, list):
            raise NoPlace
        return {"type": "GeometryCollection", "geometries": [turned(each, to) for each in parts]}
    return {"type": geometry.get("type"), "coordinates": _turned(geometry.get("coordinates"), to)}


def _turned(part: Any, to: Reference) -> Any:
    """A position, or a list of what has positions in it; those of a line are turned at once."""
    if not isinstance(part, list):
        raise NoPlace
    if not part or (isinstance(part[0], list) and (not part[0] or isinstance(part[0][0], list))):
        return [_turned(each, to) for each in part]
    is_one = not isinstance(part[0], list)
    positions = [part] if is_one else part
    try:
        numbers = [float(each) for position in positions for each in position[:2]]
        found = [list(each) for each in to.lonlat(numbers, 2)]
    except (TypeError, ValueError) as exc:
        raise NoPlace from exc
    return found[0] if is_one else found
