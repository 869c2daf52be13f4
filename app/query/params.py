"""Query parameters of a records request to a `Question`. Refuses what it does not know."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from app.kit import clock
from app.query import cql
from app.query.fields import Field, FieldType, geometry_of, place_of
from app.query.literals import NotOfType, not_comparable, read_literal
from app.query.question import (
    Both,
    Box,
    Compare,
    Condition,
    Join,
    Near,
    OneOf,
    Order,
    Question,
    Words,
)
from app.query.refusals import ColumnNotVisible, wrong
from app.query.unknown import no_field, no_join, unknown, unknown_in_filter
from app.query.words import Readings, read_terms, searched, spell

DEFAULT_LIMIT: Final = 100
MOST_SORTED: Final = 16  # a position holds them all, and PostgreSQL's functions take 100 arguments
MOST_ROWS: Final = 10_000
MOST_RADIUS_METRES: Final = 20_100_000  # half the Earth's girth, and a little
PLACE: Final = "geometry"  # what a filter calls a record's place
_UNITS: Final[Mapping[str, tuple[str, str]]] = {
    "radius": ("（メートル、単位は書きません）", " of metres, without the unit"),
    "lat": ("（度）", " of degrees"),
    "lon": ("（度）", " of degrees"),
}
_MOMENT: Final = Field("as_of", "", "", FieldType.DATETIME)
ASKING: Final = frozenset(
    {
        "filter", "filter-lang", "q", "bbox", "lat", "lon", "radius", "fields", "sort", "limit",
        "cursor", "count", "version", "as_of", "expand", "labels", "originals", "f", "bom", "charset", "purpose",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """What may be asked: the fields of a version, which of them the caller sees, the joins."""

    fields: Mapping[str, Field]
    visible: frozenset[str]
    joins: Mapping[str, Join]
    readings: Readings = field(default_factory=dict)  # of the words of `q`
    # Fields that are shown by less than their values, as they leave. They are not visible: they can
    # be chosen, and named for nothing else.
    masked: Mapping[str, Field] = field(default_factory=dict)

    def find(self, name: str) -> Field:
        """The visible field of this name, or one of a joined dataset as `join.field`.

        Raises `ColumnNotVisible` for a hidden one and `UnknownParameter` for none.
        """
        joined, dot, inner = name.partition(".")
        if dot and joined in self.joins:
            for field in self.joins[joined].fields:
                if field.name == inner:
                    return replace(field, name=name)
        field_here = self.fields.get(name)
        if field_here is None:
            raise unknown_in_filter(name, self.visible)
        if name not in self.visible:
            raise ColumnNotVisible(names=name)
        return field_here

    def place(self, name: str) -> tuple[Field, ...]:
        """What `name` says of a record's place: a geometry, or latitude and longitude.

        `geometry` is the place that every record has, unless a field is called so. Raises what
        `find` raises, `InvalidQuestion`.
        """
        if name == PLACE and PLACE not in self.fields:
            needs_place(self, "filter")
            geometry = geometry_of(self.fields.values())
            return (geometry,) if geometry else place_of(self.fields.values()) or ()
        field = self.find(name)
        if name not in self.fields:
            raise wrong(
                "filter",
                "参照先のデータセットの位置では絞り込めません。",
                "a joined dataset's places cannot be asked for.",
            )
        return (field,)


def read_question(
    given: Sequence[tuple[str, str]], known: Known, asking: frozenset[str] = ASKING
) -> Question:
    """All parameters of a request as one question. The cursor is read later, by its holder.

    `asking` are the parameters that a refusal may name beside the fields.

    Raises `UnknownParameter`, `InvalidQuestion`, `InvalidFilter`, `ColumnNotVisible`.
    """
    asked: dict[str, str] = {}
    conditions: list[Condition] = []
    joins = _joins(dict(given).get("expand"), known)
    known = replace(known, joins={join.name: join for join in joins})
    equalities: dict[str, list[str]] = {}
    for name, value in given:
        if name in ASKING:
            if name in asked:
                raise wrong(name, "一度だけ指定してください。", "give it once.", "repeated")
            asked[name] = value
            continue
        _known_name(name, known, asking)
        equalities.setdefault(name, []).extend(value.split(",") if "," in value else [value])
    for name, values in equalities.items():
        conditions.append(_equality(name, known.find(name), values))
    near = _near(asked)
    box = read_box(asked.get("bbox"))
    if near is not None:
        needs_place(known, "lat")
    if box is not None:
        needs_place(known, "bbox")
    conditions += _said(asked, known)
    return Question(
        fields=_fields(asked.get("fields"), known),
        where=_all(conditions),
        box=box,
        near=near,
        order=_order(asked.get("sort"), known, near),
        limit=_limit(asked.get("limit")),
        count=read_flag(asked, "count"),
        joins=joins,
    )


def _known_name(name: str, known: Known, asking: frozenset[str]) -> None:
    joined = name.partition(".")[0]
    if name not in known.fields and joined not in known.joins:
        raise unknown(name, known.visible, asking)


def _all(conditions: list[Condition]) -> Condition | None:
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else Both(tuple(conditions))


def _equality(name: str, field: Field, values: list[str]) -> Condition:
    try:
        literals = tuple(read_literal(field, value) for value in values)
    except NotOfType as exc:
        raise wrong(name, exc.ja, exc.en) from None
    return Compare(field, "=", literals[0]) if len(literals) == 1 else OneOf(field, literals)


def _said(asked: Mapping[str, str], known: Known) -> Iterator[Condition]:
    """What is said in a language of its own."""
    if "filter" in asked:
        yield _filter(asked, known)
    if "q" in asked:
        yield read_words(asked["q"], known)


def _filter(asked: Mapping[str, str], known: Known) -> Condition:
    language = asked.get("filter-lang", "cql2-text")
    if language == "cql2-text":
        return cql.parse_text(asked["filter"], known.find, known.place)
    if language == "cql2-json":
        return cql.parse_json(asked["filter"], known.find, known.place)
    raise wrong(
        "filter-lang",
        "cql2-text か cql2-json を指定してください。",
        "give cql2-text or cql2-json.",
    )


def read_words(text: str, known: Known) -> Words:
    """`q`: words that stand in the fields of text which the caller may see (QUERY-09).

    Raises `InvalidQuestion`.
    """
    terms = read_terms(text)
    if not terms:
        raise wrong("q", "探す語を指定してください。", "give at least one word.", "no_words")
    seen = [field for name, field in known.fields.items() if name in known.visible]
    fields = searched(seen)
    if not fields:
        raise wrong(
            "q",
            "全文検索できる文字の項目がありません。項目名での条件か filter= を使ってください。",
            "there is no field of text to search. Ask by a field's name, or with filter=.",
            "no_text_fields",
        )
    return Words(fields, spell(terms, known.readings))


def read_number(asked: Mapping[str, str], name: str) -> float:
    """A finite number. Raises `InvalidQuestion`."""
    try:
        value = float(asked[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        ja, en = _UNITS.get(name, ("", ""))
        raise wrong(name, f"数値{ja}を指定してください。", f"give a number{en}.")
    return value


def read_moment(text: str) -> datetime:
    """`as_of`: RFC 3339 with an offset, or a date (its first moment in Japan). Not to come.

    Raises `InvalidQuestion`.
    """
    try:
        moment = read_literal(_MOMENT, text.replace(" ", "+"))  # a + that nobody encoded
    except NotOfType:
        raise wrong(
            "as_of",
            "オフセット付きの日時か日付です（例 2026-04-01T09:00:00+09:00）。",
            "give a time with an offset, such as 2026-04-01T09:00:00+09:00, or a date.",
        ) from None
    if not isinstance(moment, datetime) or moment > clock.now():
        raise wrong(
            "as_of",
            "過去の時刻を指定してください。",
            "give a time that has passed: what readers will get is not known.",
            "in_the_future",
        )
    return moment


def read_flag(asked: Mapping[str, str], name: str) -> bool:
    """`true` or `false`, absent is false. Raises `InvalidQuestion`."""
    value = asked.get(name, "false")
    if value not in ("true", "false"):
        raise wrong(name, "true か false を指定してください。", "give true or false.")
    return value == "true"


def _near(asked: Mapping[str, str]) -> Near | None:
    present = [name for name in ("lat", "lon", "radius") if name in asked]
    if not present:
        return None
    if len(present) < 3:
        raise wrong(
            present[0],
            "lat・lon・radius は三つとも指定してください（radius はメートル）。",
            "give all three of lat, lon and radius (in metres).",
        )
    latitude, longitude, radius = (read_number(asked, name) for name in ("lat", "lon", "radius"))
    if not -90 <= latitude <= 90:
        raise wrong("lat", "緯度は-90から90です。", "latitude goes from -90 to 90.")
    if not -180 <= longitude <= 180:
        raise wrong("lon", "経度は-180から180です。", "longitude goes from -180 to 180.")
    if not 0 < radius <= MOST_RADIUS_METRES:
        raise wrong("radius", "0より大きいメートル数です。", "give metres above 0.")
    return Near(latitude, longitude, radius)


def read_box(text: str | None) -> Box | None:
    """`west,south,east,north` in degrees. Raises `InvalidQuestion`."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) == 4:
        west, south, east, north = (read_number({"bbox": part}, "bbox") for part in parts)
        if -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90:
            return Box(west, south, east, north)
        seen = _box_seen(west, south, east, north)
    else:
        seen = (f"値が{len(parts)}個です。", f"{len(parts)} values are no box:")
    raise wrong(
        "bbox",
        f"{seen[0]}西,南,東,北 の順に経度・緯度の度で指定してください（例 135.4,34.6,135.6,34.8）。",
        f"{seen[1]} give west,south,east,north in degrees, such as 135.4,34.6,135.6,34.8.",
    )


def _box_seen(west: float, south: float, east: float, north: float) -> tuple[str, str]:
    """What is wrong with four numbers."""
    if max(abs(west), abs(east)) <= 90 < max(abs(south), abs(north)) <= 180:
        return "緯度と経度が逆のようです。", "latitude seems to stand before longitude:"
    if -90 <= north < south <= 90:
        return "南の緯度が北の緯度より大きくなっています。", "the south lies above the north:"
    return "度の範囲を超えています。", "that is beyond all degrees:"


def needs_place(known: Known, parameter: str) -> None:
    """A place is a column too: who may not see it may not search by it, nor get it as geometry.

    A distance (`lat`) is asked of coordinates, everything else of the geometry where there is one.
    Raises `InvalidQuestion` (of `parameter`), `ColumnNotVisible`.
    """
    geometry = geometry_of(known.fields.values())
    place = place_of(known.fields.values())
    if geometry is not None and parameter != "lat":
        needed: tuple[Field, ...] = (geometry,)
    elif place is not None:
        needed = place
    elif geometry is not None:
        raise wrong(
            parameter,
            "点の座標（緯度・経度）を持たないデータセットです。bbox= で範囲を指定してください。",
            "the dataset has shapes, not points: ask for an area with bbox=.",
        )
    else:
        raise wrong(
            parameter, "位置を持たないデータセットです。", "the dataset has no coordinates."
        )
    shown = known.masked if parameter == "f" else ()  # what is shown is not asked for
    hidden = [f.name for f in needed if f.name not in known.visible and f.name not in shown]
    if hidden:
        raise ColumnNotVisible(names=", ".join(hidden))


def _fields(text: str | None, known: Known) -> tuple[Field, ...]:
    masked = known.masked
    if text is None:
        return tuple(
            masked.get(name, field)
            for name, field in known.fields.items()
            if name in known.visible or name in masked
        )
    chosen = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    if not chosen:
        raise wrong("fields", "項目名を指定してください。", "name at least one field.")
    return tuple(masked.get(name) or _own("fields", name, known) for name in chosen)


def _own(parameter: str, name: str, known: Known) -> Field:
    """A field of the dataset itself: joined ones come whole, by `expand`."""
    if name not in known.fields:
        raise no_field(parameter, name, sorted(known.visible))
    return replace(known, joins={}).find(name)


def _order(text: str | None, known: Known, near: Near | None) -> tuple[Order, ...]:
    if text is None:
        return ()
    if near is not None:
        raise wrong(
            "sort", "lat・lon の検索は近い順に固定です。", "a search by lat and lon is by distance."
        )
    orders: dict[str, Order] = {}
    if text.count(",") >= MOST_SORTED:
        raise wrong(
            "sort", f"{MOST_SORTED}項目までです。", f"sort by {MOST_SORTED} fields at most."
        )
    for part in text.split(","):
        name = part.strip()
        descending = name.startswith("-")
        field = _own("sort", name.lstrip("-+"), known)
        if field.type is FieldType.GEOMETRY:
            refused = not_comparable(field)
            raise wrong("sort", refused.ja, refused.en, refused.code)
        orders.setdefault(field.name, Order(field, descending))
    return tuple(orders.values())


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_ROWS and len(text) < 9:
        return int(text)
    raise wrong(
        "limit", f"1から{MOST_ROWS}の整数です。", f"give a whole number from 1 to {MOST_ROWS}."
    )


def _joins(text: str | None, known: Known) -> tuple[Join, ...]:
    if text is None:
        return ()
    names = dict.fromkeys(name.strip() for name in text.split(","))
    for name in names:
        if name not in known.joins:
            raise no_join(name)
    return tuple(known.joins[name] for name in names)


def signature(order: Sequence[Order], near: Near | None) -> str:
    """The sort as text: a cursor of one sort is no cursor of another."""
    if near is not None:
        return f"near:{near.latitude},{near.longitude}"
    return ",".join(f"{'-' if by.descending else ''}{by.field.name}" for by in order)
