"""Parameters of OGC API - Features (17-069r4, 7.15; 18-058r1; 19-079r2) as those of the broker.

It translates and decides nothing. What a feature is asked by, beside these, are its properties.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Final

from app.api.ogc.conformance import CRS, FILTERING
from app.api.ogc.moments import read_interval, within
from app.api.parameters import UnknownParameter
from app.broker.ask import Parameters, Translated
from app.catalogue.placed import check_placed
from app.query.fields import Field, FieldType
from app.query.literals import NotOfType, read_literal
from app.query.params import DEFAULT_LIMIT, MOST_ROWS, read_number
from app.query.question import Compare, Condition
from app.query.refusals import ColumnNotVisible, wrong

CONFORMANCE: Final = (
    CRS + "crs",
    FILTERING + "filter",
    FILTERING + "features-filter",
    FILTERING + "queryables-query-parameters",
)
CRS84: Final = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_SAME_CRS: Final = frozenset({CRS84, CRS84.replace("http:", "https:"), "[OGC:CRS84]", "OGC:CRS84"})
# The name that a draft had for CQL2 Text, under which GDAL sends what it can (up to 3.12 at least).
DRAFT_TEXT: Final = "cql-text"
LANGUAGES: Final = ("cql2-text", "cql2-json", DRAFT_TEXT)
_NARROWING: Final = frozenset({"bbox", "datetime", "filter"})
_FOR_ONE: Final = frozenset({"crs", "f", "purpose"})
_FOR_MANY: Final = (
    _FOR_ONE | _NARROWING | {"limit", "bbox-crs", "filter-lang", "filter-crs", "cursor"}
)
# Ours elsewhere, which the broker would heed before anything is translated.
_OF_ANOTHER_DOOR: Final = frozenset(
    {"version", "as_of", "expand", "originals", "charset", "bom", "labels"}
)
_ELSEWHERE: Final = {"q": "filter", "offset": "cursor", "startindex": "cursor", "count": "limit"}
# A name begins where no other goes on and is as long as a field's at most: looked for at every
# letter of a long word, it would take a time that grows with the square of its length.
_NAME: Final = r"(?<!\w)(\w{1,60})"
_ILIKE: Final = re.compile(rf"('(?:[^']|'')*')|{_NAME} ILIKE ('(?:[^']|'')*')")
_HALF_A_TIME: Final = re.compile(rf"({_NAME} (?:=|<>|<=?|>=?) '\d{{4}}-\d{{2}}-\d{{2}})T'")
_TEMPORAL: Final = frozenset({FieldType.DATE, FieldType.DATETIME})


def check_names(given: Parameters, *, one: bool) -> None:
    """Refuse what is wrong whatever the collection. Raises `UnknownParameter`, `InvalidQuestion`.

    Of a single feature nothing can be asked but its form; of many, properties are known later.
    """
    seen: set[str] = set()
    for name, value in given:
        if name in _OF_ANOTHER_DOOR or (one and name not in _FOR_ONE):
            raise UnknownParameter.of(name, _FOR_ONE if one else _FOR_MANY)
        if name in seen and name in _FOR_MANY:
            raise wrong(name, "一度だけ指定してください。", "give it once.", "repeated")
        seen.add(name)
        if name in ("crs", "bbox-crs", "filter-crs") and value not in _SAME_CRS:
            raise wrong(
                name,
                f"座標参照系は {CRS84}（経度・緯度）だけです。",
                f"the only coordinate reference system is {CRS84} (longitude, latitude).",
                "unknown_crs",
            )


def translated(
    collection_id: str, given: Parameters, fields: Mapping[str, Field], visible: frozenset[str]
) -> Translated:
    """A question for features as the broker reads one.

    Raises `NotOnTheMap`, `UnknownParameter`, `InvalidQuestion`, `ColumnNotVisible`.
    """
    check_placed(collection_id, list(fields.values()))
    asked = {name: value for name, value in given if name in _FOR_MANY}
    conditions: list[Condition] = [
        _equality(name, value, fields, visible) for name, value in given if name not in _FOR_MANY
    ]
    if "datetime" in asked:
        seen = [field for name, field in fields.items() if name in visible]
        conditions += within(read_interval(asked["datetime"]), seen)
    found = [("limit", _limit(asked.get("limit")))]
    found += [(name, asked[name]) for name in ("cursor", "purpose") if name in asked]
    if "bbox" in asked:
        found.append(("bbox", _flat(asked["bbox"])))
    found += _filter(asked, fields)
    # How many match is told once, where it must be counted: the pages behind keep to its rows.
    if "cursor" not in asked or not (conditions or _NARROWING & asked.keys()):
        found.append(("count", "true"))
    return Translated(tuple(found), tuple(conditions))


def translated_for_one(
    collection_id: str, given: Parameters, fields: Mapping[str, Field], _visible: frozenset[str]
) -> Translated:
    """The same of a single feature, which its id finds. Raises `NotOnTheMap`."""
    check_placed(collection_id, list(fields.values()))
    return Translated(tuple(pair for pair in given if pair[0] == "purpose"))


def _equality(
    name: str, value: str, fields: Mapping[str, Field], visible: frozenset[str]
) -> Condition:
    """`?property=value`, the whole value: commas part nothing here (19-079r2, 6.4)."""
    field = fields.get(name)
    if field is None:
        raise UnknownParameter.of(name, _known(name, visible))
    if name not in visible:
        raise ColumnNotVisible(names=name)
    try:
        return Compare(field, "=", read_literal(field, value))
    except NotOfType as exc:
        raise wrong(name, exc.ja, exc.en, exc.code) from None


def _known(name: str, visible: frozenset[str]) -> frozenset[str]:
    """What a refusal may name: every property where one of them is near, else the parameters."""
    if name in _ELSEWHERE:
        return frozenset({_ELSEWHERE[name]})
    near = difflib.get_close_matches(name, sorted(visible | _FOR_MANY), n=1, cutoff=0.5)
    return visible | _FOR_MANY if near else _FOR_MANY


def _limit(text: str | None) -> str:
    """A limit above the greatest is the greatest, and no error (17-069r4, 7.15.2)."""
    if text is None:
        return str(DEFAULT_LIMIT)
    if not (text.isascii() and text.isdigit()):
        return text  # refused where limits are read
    return str(MOST_ROWS if len(text) > 9 else min(int(text), MOST_ROWS))


def _flat(bbox: str) -> str:
    """Six numbers hold heights, which nothing here has: any height will do."""
    parts = bbox.split(",")
    if len(parts) != 6:
        return bbox
    low, high = (read_number({"bbox": parts[at]}, "bbox") for at in (2, 5))
    if low > high:
        raise wrong(
            "bbox", "高さの下限が上限を超えています。", "the lower height is above the upper."
        )
    return ",".join([*parts[:2], *parts[3:5]])


def _filter(asked: Mapping[str, str], fields: Mapping[str, Field]) -> Parameters:
    language = asked.get("filter-lang", LANGUAGES[0])
    if language not in LANGUAGES:
        raise wrong(
            "filter-lang",
            "cql2-text か cql2-json を指定してください。",
            "give cql2-text or cql2-json.",
        )
    if "filter" not in asked:
        return ()
    text = asked["filter"]
    if language == DRAFT_TEXT:
        language, text = LANGUAGES[0], _as_cql2(text, fields)
    return (("filter", text), ("filter-lang", language))


def _as_cql2(draft: str, fields: Mapping[str, Field]) -> str:
    """What GDAL writes as CQL and CQL2 has another word for: ILIKE, and days as half a time."""

    def day(found: re.Match[str]) -> str:
        field = fields.get(found[2])
        return f"{found[1]}'" if field is not None and field.type in _TEMPORAL else found[0]

    text = _ILIKE.sub(lambda found: found[1] or f"CASEI({found[2]}) LIKE CASEI({found[3]})", draft)
    return _HALF_A_TIME.sub(day, text)
