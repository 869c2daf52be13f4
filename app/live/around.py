"""A place as bounds of two fields, for a source that knows no places: never narrower than the place.

Pure. What the place itself is, is judged of every record that comes.
"""

from collections.abc import Sequence
from typing import Final

from app.query.fields import Field, geometry_of, place_of
from app.query.geometry import boxes_around, boxes_of
from app.query.question import Between, Both, Box, Condition, Either, Question

_ROOM: Final = 1e-6  # degrees, a tenth of a metre: two ways of reckoning differ by less


def around(question: Question, fields: Sequence[Field]) -> Condition | None:
    """Bounds of latitude and longitude; None where there are none to be told."""
    place = place_of(fields)
    if place is None:
        return None
    told = []
    if question.box is not None and geometry_of(fields) is None:  # a geometry goes by all of it
        told.append(_within(boxes_of(question.box), place))
    if question.near is not None and (boxes := boxes_around(question.near)):
        told.append(_within(boxes, place))
    if len(told) < 2:
        return told[0] if told else None
    return Both(tuple(told))


def _within(boxes: Sequence[Box], place: tuple[Field, Field]) -> Condition:
    latitude, longitude = place
    parts = tuple(
        Both((
            Between(latitude, box.south - _ROOM, box.north + _ROOM),
            Between(longitude, box.west - _ROOM, box.east + _ROOM),
        ))
        for box in boxes
    )  # fmt: skip
    return parts[0] if len(parts) == 1 else Either(parts)
