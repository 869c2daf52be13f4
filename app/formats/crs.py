"""Coordinate systems: found by name, held against coordinates, turned into CRS84; worker only.

It never opens the network: what needs a grid file is done by the best way that needs none.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj._network import set_network_enabled
from pyproj.aoi import AreaOfInterest
from pyproj.exceptions import CRSError
from pyproj.transformer import TransformerGroup

from app.formats.guidance import FileRefused, Notice
from app.formats.labels import fold
from app.query.geojson import LATITUDES, LONGITUDES

set_network_enabled(active=False)

Coordinates = NDArray[np.float64]  # n × 2: x (east, longitude) before y
Convert = Callable[[Coordinates], Coordinates]

_JAPAN: Final = AreaOfInterest(LONGITUDES[0], LATITUDES[0], LONGITUDES[1], LATITUDES[1])
_JGD2011: Final = 6668
# Longitudes and latitudes of these are CRS84's own to a metre, which no map shows: kept as they are.
_SAME: Final = frozenset({4326, 4979, 4612, _JGD2011})
_NAMED: Final = {
    "jgd2011": _JGD2011, "jgd2000": 4612, "tokyo": 4301, "wgs84": 4326,
    "世界測地系": _JGD2011, "日本測地系2011": _JGD2011, "日本測地系2000": 4612,
    "日本測地系": 4301, "旧日本測地系": 4301,
}  # fmt: skip
# Zone n of the plane rectangular system is this number and n (EPSG).
_ZONES: Final = {_JGD2011: 6668, 4612: 2442, 4301: 30160, 4326: 6668}
_ROMAN: Final = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii",
                 "xiv", "xv", "xvi", "xvii", "xviii", "xix")  # fmt: skip
_LONGEST_FIRST: Final = sorted(_NAMED, key=len, reverse=True)
_ZONE: Final = re.compile(r"第?([0-9]{1,2}|[ivx]+)系|zone([0-9]{1,2}|[ivx]+)")
_EPSG: Final = re.compile(r"(?:epsg:+(?:[0-9.]*:)?|^)([0-9]{4,6})$")
_CRS84: Final = re.compile(r"crs:?84$")
_DECIMALS: Final = 9  # of a degree: a tenth of a millimetre, where conversions begin to rustle


@dataclass(frozen=True, slots=True)
class System:
    """A coordinate system as a file or its publisher names it."""

    crs: CRS
    name: str
    epsg: int | None

    @property
    def is_geographic(self) -> bool:
        """Whether its coordinates are degrees."""
        return bool(self.crs.is_geographic)

    @property
    def is_same(self) -> bool:
        """Whether its coordinates are CRS84's own."""
        return self.epsg in _SAME or self.name == "CRS84"

    def convert(self, xy: Coordinates) -> Coordinates:
        """Longitudes and latitudes; infinite where the system does not reach."""
        if self.is_same:
            return xy
        transformer, _ = _transformer(self.crs)
        x, y = transformer.transform(xy[:, 0], xy[:, 1])
        return np.round(np.column_stack([x, y]), _DECIMALS)

    @property
    def metres(self) -> float:
        """How exact the conversion is."""
        return 0.0 if self.is_same else _transformer(self.crs)[1]


CRS84: Final = System(CRS.from_user_input("OGC:CRS84"), "CRS84", None)


@lru_cache(maxsize=64)
def _transformer(crs: CRS) -> tuple[Any, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a grid is not at hand is told by the accuracy
        group = TransformerGroup(
            crs,
            CRS84.crs,
            always_xy=True,
            area_of_interest=_JAPAN,  # type: ignore[arg-type]  # re-exported under another name
            allow_ballpark=False,
        )
    if not group.transformers:
        raise FileRefused("crs_unknown", name=crs.name)
    best = group.transformers[0]
    return best, max(float(best.accuracy), 0.0)


def told_system(text: str) -> System:
    """The system that a publisher names: EPSG:6674, JGD2011, Tokyo, JGD2011 6系.

    Raises `FileRefused`.
    """
    found = named_system(text)
    if found is None:
        raise FileRefused("crs_unknown", name=text[:80])
    return found


def named_system(text: str) -> System | None:
    """The system of a name, a code or a URN; None where it is none that is known."""
    plain = fold(text).replace("/", "").replace("平面直角座標", "").replace("平面直角", "")
    if _CRS84.search(plain):
        return CRS84
    if found := _EPSG.search(plain):
        return epsg_system(int(found[1]))
    name = next((each for each in _LONGEST_FIRST if plain.startswith(each)), "")
    datum = _NAMED.get(name, _JGD2011)
    if name == plain:
        return epsg_system(datum)
    zone = _ZONE.fullmatch(plain.removeprefix(name))
    if zone is None:
        return None
    word = zone[1] or zone[2]
    number = int(word) if word.isdigit() else _ROMAN.index(word) + 1 if word in _ROMAN else 0
    return epsg_system(_ZONES[datum] + number) if 1 <= number <= len(_ROMAN) else None


def epsg_system(code: int) -> System | None:
    """The system of an EPSG code."""
    try:
        return _system(CRS.from_epsg(code))
    except CRSError:
        return None


def wkt_system(text: str) -> System | None:
    """The system that a well-known text describes (a .prj, a GeoPackage); None where it is none."""
    if not text.strip().upper().startswith(("PROJCS", "GEOGCS", "PROJCRS", "GEOGCRS", "GEODCRS",
                                            "COMPD_CS", "COMPOUNDCRS", "BOUNDCRS")):  # fmt: skip
        return None
    try:
        return _system(CRS.from_wkt(text.strip()))
    except CRSError:
        return None


def _system(crs: CRS) -> System | None:
    """Without its heights; by its number where it has one, for that knows its datum best."""
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if not (crs.is_geographic or crs.is_projected):
        return None
    code = crs.to_epsg()
    if code is not None:
        crs = CRS.from_epsg(code)
    name = f"{crs.name} (EPSG:{code})" if code is not None else crs.name
    return System(crs, name, code)


@dataclass(frozen=True, slots=True)
class Settled:
    """The system that the coordinates are of, and what the clerk should know of it."""

    system: System
    notices: tuple[Notice, ...] = ()


def settle(own: System | None, told: System | None, sample: Coordinates) -> Settled:
    """Which system the coordinates are of: the file's own word first, held against a sample.

    Raises `FileRefused` (crs_missing, crs_conflict).
    """
    sample = sample[np.isfinite(sample).all(axis=1)]
    if own is not None and _can_be(own, sample):
        return Settled(own, _said(own))
    if told is not None and _can_be(told, sample):
        wrong = () if own in (None, CRS84) else (
            Notice("crs_of_file_wrong", {"name": own.name, "told": told.name}),
        )  # fmt: skip
        return Settled(told, (*wrong, *_said(told)))
    if own is not None and own is not CRS84:
        raise FileRefused("crs_conflict", name=own.name)
    if told is not None:
        raise FileRefused("crs_conflict", name=told.name)
    jgd2011 = epsg_system(_JGD2011)
    if own is None and jgd2011 is not None and _are_degrees_of_japan(sample):
        return Settled(jgd2011, (Notice("crs_assumed"),))
    raise FileRefused("crs_missing")


def _said(system: System) -> tuple[Notice, ...]:
    if system is CRS84 or system.epsg == 4326:
        return ()
    if system.is_same:
        return (Notice("crs_kept", {"name": system.name}),)
    details = {"name": system.name, "metres": f"{system.metres:g}"}
    return (Notice("crs_converted", details),)


def _can_be(system: System, sample: Coordinates) -> bool:
    """Whether any of the coordinates can be of the system.

    Degrees may lie anywhere: rows outside Japan are refused one by one. Metres must reach Japan,
    and must not be degrees of Japan: 30 metres around a zone's origin hold no city.
    """
    if not len(sample):
        return True
    if system.is_geographic:
        x, y = np.abs(sample).T
        return bool(((x <= 180) & (y <= 180)).any())
    if _are_degrees_of_japan(sample):
        return False
    x, y = system.convert(sample).T
    return bool((_between(x, LONGITUDES) & _between(y, LATITUDES)).any())


def _are_degrees_of_japan(sample: Coordinates) -> bool:
    x, y = sample.T
    near = _between(x, LONGITUDES) & _between(y, LATITUDES)
    return bool(len(sample)) and bool(near.mean() >= 0.9)


def _between(values: Coordinates, area: tuple[float, float]) -> NDArray[np.bool_]:
    return (values >= area[0]) & (values <= area[1])
