"""Boxes on the globe, in degrees (CRS84). Plain arithmetic, no map projection."""

import math
from typing import Final

from app.query.question import Box, Near

EARTH_METRES: Final = 6_371_008.8  # mean radius R1 of GRS 80 (Moritz 2000)
_DEGREE_METRES: Final = math.radians(EARTH_METRES)
_NEAR_POLE: Final = 89.0
_ROOM: Final = 1.01  # distances between shapes are right within 0.5 %


def boxes_of(box: Box) -> tuple[Box, ...]:
    """The box, parted in two where it crosses the antimeridian (west above east)."""
    if box.west <= box.east:
        return (box,)
    return (
        Box(box.west, box.south, 180.0, box.north),
        Box(-180.0, box.south, box.east, box.north),
    )


def box_reaching(edges: tuple[float, float, float, float], metres: float | None) -> Box | None:
    """A box that holds all that lies at most so many metres from one with these edges.

    None where it nears a pole or spans the globe.
    """
    west, south, east, north = edges
    if not metres:
        return Box(west, south, east, north)
    half_height = metres / _DEGREE_METRES * _ROOM
    south, north = south - half_height, north + half_height
    widest = max(abs(south), abs(north))
    if widest >= _NEAR_POLE:
        return None
    half_width = half_height / math.cos(math.radians(widest))
    west, east = west - half_width, east + half_width
    if east - west >= 360:
        return None
    return Box(west + 360 * (west < -180), south, east - 360 * (east > 180), north)


def boxes_around(near: Near) -> tuple[Box, ...]:
    """Boxes that hold the whole circle; none where the circle nears a pole or spans the globe."""
    half_height = near.radius / _DEGREE_METRES
    south, north = near.latitude - half_height, near.latitude + half_height
    widest = max(abs(south), abs(north))
    if widest >= _NEAR_POLE:
        return ()
    half_width = half_height / math.cos(math.radians(widest))
    if half_width >= 180:
        return ()
    west, east = near.longitude - half_width, near.longitude + half_width
    return boxes_of(Box(west + 360 * (west < -180), south, east - 360 * (east > 180), north))
