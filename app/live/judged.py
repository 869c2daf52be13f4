"""A question on plain records: which meet it, in which order, and which of them make the page.

Pure. It is asked of every record of a source, whatever the source has judged already.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

from app.live.copies import Record
from app.query.fields import Field, geometry_of, place_of
from app.query.geojson import Shape
from app.query.geometry import EARTH_METRES, boxes_of
from app.query.matches import matches, stands
from app.query.question import Box, Near, Question, Relation, Spatial

DISTANCE: Final = "\x00distance"  # beside a record's fields; no field has such a name


def chosen(
    records: Iterable[Record], question: Question, fields: Sequence[Field]
) -> Iterator[Record]:
    """Those that belong to the answer, on this page or another; their distance beside them."""
    where, near, place = question.where, question.near, place_of(fields)
    in_box = None
    if question.box is not None:
        in_box = _in_box(question.box, geometry_of(fields), place)
    for record in records:
        if where is not None and matches(where, record, place=place) is not True:
            continue
        if in_box is not None and not in_box(record):
            continue
        if near is None:
            yield record
        elif (metres := _metres(record, near, place)) is not None and metres <= near.radius:
            yield {**record, DISTANCE: metres}


def ordered(records: list[Record], question: Question) -> list[Record]:
    """In the question's order; those without a value last, whichever way."""
    for by in reversed(question.order):
        name = by.field.name
        known = [each for each in records if each[name] is not None]
        known.sort(key=itemgetter(name), reverse=by.descending)
        records = known + [each for each in records if each[name] is None]
    return sorted(records, key=itemgetter(DISTANCE)) if question.near is not None else records


def _in_box(
    box: Box, geometry: Field | None, place: tuple[Field, Field] | None
) -> Callable[[Record], bool]:
    if geometry is not None:
        name, shapes = geometry.name, [_shape(each) for each in boxes_of(box)]
        asked = [Spatial(Relation.INTERSECTS, geometry, shape) for shape in shapes]
        return lambda record: (
            record[name] is not None and any(stands(each, record[name]) for each in asked)
        )
    if place is None:
        return lambda _: False
    latitude, longitude = place[0].name, place[1].name
    parts = boxes_of(box)

    def within(record: Record) -> bool:
        lat, lon = record[latitude], record[longitude]
        if lat is None or lon is None:
            return False
        return any(p.south <= lat <= p.north and p.west <= lon <= p.east for p in parts)

    return within


def _shape(box: Box) -> Shape:
    west, south, east, north = box.west, box.south, box.east, box.north
    ring = f"[[{west},{south}],[{east},{south}],[{east},{north}],[{west},{north}],[{west},{south}]]"
    text = f'{{"type":"Polygon","coordinates":[{ring}]}}'
    return Shape(text, west, south, east, north)


def _metres(record: Record, near: Near, place: tuple[Field, Field] | None) -> float | None:
    """Along the great circle (haversine), as hosted tables are asked."""
    if place is None:
        return None
    latitude, longitude = (record[each.name] for each in place)
    if latitude is None or longitude is None:
        return None
    north = math.sin(math.radians(latitude - near.latitude) / 2) ** 2
    east = math.sin(math.radians(longitude - near.longitude) / 2) ** 2
    parallels = math.cos(math.radians(near.latitude)) * math.cos(math.radians(latitude))
    return 2 * EARTH_METRES * math.asin(math.sqrt(min(1.0, north + parallels * east)))


def position(record: Record, question: Question, number: int) -> tuple[Any, ...]:
    """Where the next page begins: behind so many records of the answer as it stands."""
    values = [record.get(by.field.name) for by in question.order]
    near = [record.get(DISTANCE, 0.0)] if question.near is not None else []
    return (*near, *values, number)
