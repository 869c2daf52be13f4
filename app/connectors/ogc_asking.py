"""What a server of features is asked of a question, and what its answers are as rows. Asks nobody itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from app.connectors import ogc_places
from app.connectors.documents import Document
from app.connectors.errors import SourceBroken, SourceChanged
from app.connectors.ogc_places import Axis, NoPlace, Reference, reference
from app.query.cql_writing import Writer, all_of, conjuncts
from app.query.fields import Field, FieldType, geometry_of
from app.query.geometry import boxes_around
from app.query.question import (
    Between,
    Both,
    Box,
    Compare,
    Condition,
    Either,
    IsNull,
    Not,
    OneOf,
    Question,
)

Filters = Literal["none", "properties", "cql2"]
_ROOM: Final = 0.0001  # degrees, some ten metres: what systems of coordinates differ by
_LONGEST_FILTER: Final = 6_000
_MOST_PASSED_OVER: Final = 10_000
_CRS84: Final = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
# Parameters that mean something else than the property of the same name.
_RESERVED: Final = frozenset(
    ("bbox", "bbox-crs", "crs", "cursor", "datetime", "f", "filter", "filter-crs", "filter-lang",
     "limit", "offset", "page", "properties", "q", "sortby", "startindex", "token")
)  # fmt: skip
# Texts that we keep but for blanks and full-width letters, which `string` says that there are none
# of: a phone or a code of a local government is brought into one form.
_TEXTS: Final = frozenset({FieldType.TEXT, FieldType.CODE})
# JSON Schema's types, by format where there is one, and ours whose values compare alike.
_ALIKE: Final[Mapping[str, frozenset[FieldType]]] = {
    "string": _TEXTS,
    "integer": frozenset({FieldType.INTEGER}),
    "number": frozenset({FieldType.INTEGER, FieldType.DECIMAL}),
    "boolean": frozenset({FieldType.BOOLEAN}),
    "date": frozenset({FieldType.DATE}),
    "date-time": frozenset({FieldType.DATETIME}),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """How rows are made of features."""

    geometry: str | None = "geometry"
    id: str | None = None
    axis: Axis = "auto"


@dataclass(frozen=True, slots=True)
class Can:
    """What a collection is asked by: fields with their types, in which way, and which place."""

    types: Mapping[str, str]
    filters: Filters
    place: str | None  # the field that is a feature's geometry, where it can be asked by a box

    def part(self, question: Question) -> Question:
        """What of a question the server answers. An order is always ours."""
        parts = [] if question.where is None else list(conjuncts(question.where))
        kept = [each for each in parts if self._takes(each)]
        where = question.where if len(kept) == len(parts) else all_of(kept)
        if where is not None and len(quote(self.text(where))) > _LONGEST_FILTER:
            where, kept = None, []
        box = _box(question) if self._has_place(question) else None
        else_asked = (question.box, question.near, question.after, question.joins, question.order)
        is_whole = len(kept) == len(parts) and not any(else_asked) and not question.count
        if not is_whole or question.offset > _MOST_PASSED_OVER:
            return Question(question.fields, where=where, box=box, limit=None)
        return Question(question.fields, where, limit=question.limit, offset=question.offset)

    def _has_place(self, question: Question) -> bool:
        """Whether a record's place is the feature's geometry, and no field that is made of others."""
        place = geometry_of(question.fields)
        return place is not None and place.name == self.place

    def text(self, where: Condition) -> str:
        """A condition that `part` kept, as CQL2."""
        return Writer(self._knows).text(where)

    def parameters(self, question: Question) -> dict[str, str]:
        """The parameters of a question that `part` gave, but for its box and its bounds."""
        if question.where is None:
            return {}
        if self.filters == "cql2":
            return {"filter": self.text(question.where), "filter-lang": "cql2-text"}
        return {
            each.field.name: str(each.value)
            for each in conjuncts(question.where)
            if isinstance(each, Compare)
        }

    def _knows(self, field: Field) -> bool:
        return field.type in _ALIKE.get(self.types.get(field.name, ""), frozenset())

    def _takes(self, condition: Condition) -> bool:
        if self.filters == "none" or Writer(self._knows).parted(condition)[0] is None:
            return False
        if self.filters == "cql2":
            return _is_plain(condition)
        # 17-069r4, 7.15.5: equality of text; a comma or a star may mean more than itself.
        if not isinstance(condition, Compare) or condition.op != "=":
            return False
        return condition.field.name.lower() not in _RESERVED and _is_word(condition.value)


def _is_word(value: object) -> bool:
    if isinstance(value, str):
        return bool(value) and not set(value) & set(",*%")
    return type(value) is int


def _is_plain(condition: Condition, *, turned: bool = False) -> bool:
    """What every server holds alike. Texts are equal, and that is all: they have no order, case or
    pattern that is everybody's, and an empty one is none of ours."""
    match condition:
        case Compare(field, op, _):
            return field.type not in _TEXTS or (op == "=" and not turned)
        case OneOf(Field() as field, _):
            return field.type not in _TEXTS or not turned
        case Between(field, _, _) | IsNull(Field() as field):
            return field.type not in _TEXTS
        case Not(part):
            return _is_plain(part, turned=True)  # and stays so: twice turned is not what it was
        case Both(parts) | Either(parts):
            return all(_is_plain(each, turned=turned) for each in parts)
    return False


def _box(question: Question) -> Box | None:
    """Somewhat more than is asked for, in longitudes and latitudes; None where that is the globe."""
    box = question.box
    if box is None and question.near is not None:
        around = boxes_around(question.near)
        box = around[0] if len(around) == 1 else None
    if box is None or box.west > box.east:
        return None
    return Box(
        max(box.west - _ROOM, -180.0), max(box.south - _ROOM, -90.0),
        min(box.east + _ROOM, 180.0), min(box.north + _ROOM, 90.0),
    )  # fmt: skip


def with_parameters(url: str, asked: Mapping[str, str]) -> str:
    """The address with these parameters in the place of its own of the same names, in any case."""
    parts = urlsplit(url)
    named = {name.lower() for name in asked}
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name.lower() not in named
    ]
    return urlunsplit(parts._replace(query=urlencode([*kept, *asked.items()]), fragment=""))


def features_of(page: Document, shown: Shown, *, by_wfs: bool = False) -> list[dict[str, Any]]:
    """The features of a GeoJSON answer as rows. Raises `SourceError`."""
    if not isinstance(page.body, dict) or page.body.get("type") != "FeatureCollection":
        raise SourceBroken(source=page.host, at="format", detail="GeoJSON")
    try:
        its = _told_system(page, shown.axis, by_wfs=by_wfs)
        return [_row(page, each, shown, its) for each in page.objects("features")]
    except (NoPlace, RecursionError) as exc:  # lists within lists, without a position
        raise SourceChanged(source=page.host, at="shape", detail="geometry") from exc


def _told_system(page: Document, axis: Axis, *, by_wfs: bool) -> Reference | None:
    """The system that the answer says its coordinates are of; None for CRS84 (RFC 7946, 4).

    A WFS names it within, and writes longitude first whatever the name says.
    """
    name = page.headers.get("content-crs", "").strip("<> ")
    crs = page.body.get("crs")
    if by_wfs and isinstance(crs, dict) and isinstance(crs.get("properties"), dict):
        name, axis = str(crs["properties"].get("name") or ""), "xy" if axis == "auto" else axis
    if not name or (name == _CRS84 and axis == "auto"):
        return None if axis != "yx" else reference(_CRS84, "yx")
    return reference(name, axis)


def _row(
    page: Document, feature: Mapping[str, Any], shown: Shown, its: Reference | None
) -> dict[str, Any]:
    told = feature.get("properties")
    if told is not None and not isinstance(told, dict):
        raise SourceChanged(source=page.host, at="shape", detail="properties")
    row = dict(told or {})
    if shown.id is not None:
        row[shown.id] = feature.get("id")
    if shown.geometry is not None:
        place = feature.get("geometry")
        row[shown.geometry] = (
            place if its is None or place is None else ogc_places.turned(place, its)
        )
    return row
