"""What an aggregate groups by and what it works out, read from its parameters. Knows no source."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final

from app.query.fields import NUMBER_TYPES, Field, FieldType, geometry_of, place_of
from app.query.params import ASKING, Known, read_question
from app.query.question import Question
from app.query.refusals import ColumnNotVisible, InvalidQuestion, wrong
from app.query.unknown import no_field, unknown

MOST_GROUPED: Final = 8
MOST_METRICS: Final = 20
PLACE: Final = "geometry"  # the record's place, where no field has that name
# Records are shown, groups are not: these would say nothing here.
_OF_RECORDS: Final = frozenset({"fields", "sort", "count", "labels", "originals"})
_ASKING: Final = ASKING - _OF_RECORDS | {"group_by", "metrics"}
_CALL: Final = re.compile(r"([a-z_0-9]+)\((.*)\)\Z", re.ASCII | re.DOTALL)


class Bucket(StrEnum):
    """How the values of a field are put together; `value` leaves them as they are."""

    VALUE = "value"
    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"
    FISCAL_YEAR = "fiscal_year"  # from April on
    WEEKDAY = "weekday"  # 1 is Monday (ISO 8601)
    MESH = "mesh"
    MUNICIPALITY = "municipality"
    PREFECTURE = "prefecture"
    BIN = "bin"


# What the groups of a bucket are, to be compared and paged by.
_KEYS: Final = {
    Bucket.YEAR: FieldType.INTEGER,
    Bucket.MONTH: FieldType.DATE,
    Bucket.DAY: FieldType.DATE,
    Bucket.HOUR: FieldType.DATETIME,
    Bucket.FISCAL_YEAR: FieldType.INTEGER,
    Bucket.WEEKDAY: FieldType.INTEGER,
    Bucket.MESH: FieldType.INTEGER,
    Bucket.MUNICIPALITY: FieldType.TEXT,
    Bucket.PREFECTURE: FieldType.TEXT,
    Bucket.BIN: FieldType.DECIMAL,
}
_TIMES: Final = frozenset({FieldType.DATE, FieldType.DATETIME})
_TAKES: Final = {
    **dict.fromkeys(
        (Bucket.YEAR, Bucket.MONTH, Bucket.DAY, Bucket.FISCAL_YEAR, Bucket.WEEKDAY), _TIMES
    ),
    Bucket.HOUR: frozenset({FieldType.DATETIME}),
    **dict.fromkeys(
        (Bucket.MUNICIPALITY, Bucket.PREFECTURE), frozenset({FieldType.LOCAL_GOVERNMENT_CODE})
    ),
    Bucket.BIN: NUMBER_TYPES,
}
_CALLED: Final = {each.value: each for each in (*_TAKES, Bucket.MESH)}
_NAMES: Final = (*sorted(each.value for each in _TAKES), *(f"mesh{level}" for level in range(1, 7)))


@dataclass(frozen=True, slots=True)
class Group:
    """One value that records are grouped by. `name` is what was asked for, and answers to it."""

    name: str
    bucket: Bucket
    field: Field | None  # None: the point of the record's coordinates
    level: int = 0  # of a mesh
    width: Decimal = Decimal(1)  # of a bin

    @property
    def key(self) -> Field:
        """The group's value as a field of its own: what a position of paging is read as."""
        if self.bucket is Bucket.VALUE and self.field is not None:
            return self.field
        return Field(self.name, "", self.name, _KEYS[self.bucket])


class Work(StrEnum):
    """What is worked out for each group."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    DISTINCT = "distinct"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of each group. `field` None: of the records themselves."""

    name: str
    work: Work
    field: Field | None

    @property
    def value(self) -> Field:
        """The figure as a field of its own: how it is written."""
        if self.work in (Work.MIN, Work.MAX) and self.field is not None:
            return self.field
        exact = self.work in (Work.SUM, Work.AVG)
        return Field(self.name, "", self.name, FieldType.DECIMAL if exact else FieldType.INTEGER)


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups in the order of their values, and the figures of each."""

    groups: tuple[Group, ...]
    metrics: tuple[Metric, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that an answer is made from."""
        grouped = [each.field for each in self.groups]
        named = [field.name for field in (*grouped, *(m.field for m in self.metrics)) if field]
        return tuple(dict.fromkeys(named))


def read_aggregate(given: Sequence[tuple[str, str]], known: Known) -> tuple[Question, Grouping]:
    """The conditions as of records (QUERY-08), and what is grouped and worked out.

    Raises what `read_question` raises.
    """
    asked: dict[str, str] = {}
    conditions = []
    for name, value in given:
        if name in _OF_RECORDS:
            raise unknown(name, known.visible, _ASKING)
        if name not in ("group_by", "metrics"):
            conditions.append((name, value))
            continue
        if name in asked:
            raise wrong(name, "一度だけ指定してください。", "give it once.", "repeated")
        asked[name] = value
    question = replace(read_question(conditions, known, _ASKING), fields=())
    known = replace(known, joins={join.name: join for join in question.joins})
    return question, Grouping(
        read_groups("group_by", asked.get("group_by"), known),
        _metrics(asked.get("metrics", "count"), known),
    )


def read_groups(parameter: str, text: str | None, known: Known) -> tuple[Group, ...]:
    """Fields and buckets, comma-separated; each once."""
    if text is None:
        return ()
    found: dict[str, Group] = {}
    for part in _parts(parameter, text, MOST_GROUPED):
        group = read_group(parameter, part, known)
        found.setdefault(group.name, group)
    return tuple(found.values())


def read_group(parameter: str, text: str, known: Known) -> Group:
    """One field or bucket. Raises `InvalidQuestion`, `ColumnNotVisible`."""
    called = _CALL.match(text)
    if called is None or text in known.fields:
        field = _field(parameter, text, known)
        if field.type is FieldType.GEOMETRY:
            raise wrong(
                parameter,
                f"{field.name} はジオメトリです。mesh3({field.name}) のようにまとめてください。",
                f"{field.name} is a geometry: group by mesh3({field.name}) or another level.",
                "geometry_not_comparable",
            )
        return Group(text, Bucket.VALUE, field)
    word, inside = called.group(1), called.group(2).strip()
    if re.fullmatch("mesh[1-6]", word):
        return _mesh(parameter, int(word[4:]), inside, known)
    bucket = _CALLED.get(word)
    if bucket is None or bucket is Bucket.MESH:
        raise wrong(
            parameter,
            f"{word[:100]} というまとめ方はありません（使えるのは {', '.join(_NAMES)}）。",
            f"there is no bucket {word[:100]}: take one of {', '.join(_NAMES)}.",
            "unknown_bucket",
        )
    width = Decimal(1)
    if bucket is Bucket.BIN:
        inside, _, told = (piece.strip() for piece in inside.partition(","))
        width = _width(parameter, told)
    field = _field(parameter, inside, known)
    if field.type not in _TAKES[bucket]:
        raise _not_for(parameter, word, field, sorted(_TAKES[bucket]))
    shown = f"{word}({inside},{width})" if bucket is Bucket.BIN else f"{word}({inside})"
    return Group(shown, bucket, field, width=width)


def _mesh(parameter: str, level: int, inside: str, known: Known) -> Group:
    """A grid square: of a geometry the square that holds the middle of its bounds."""
    name = f"mesh{level}({inside})"
    if inside == PLACE and inside not in known.fields:
        place = place_of(known.fields.values())
        if place is not None:
            hidden = [each.name for each in place if each.name not in known.visible]
            if hidden:
                raise ColumnNotVisible(names=", ".join(hidden))
            return Group(name, Bucket.MESH, None, level=level)
        shape = geometry_of(known.fields.values())
        if shape is None:
            raise wrong(
                parameter, "位置を持たないデータセットです。", "the dataset has no coordinates."
            )
        inside = shape.name
    field = _field(parameter, inside, known)
    if field.type is not FieldType.GEOMETRY:
        raise _not_for(parameter, f"mesh{level}", field, [PLACE])
    return Group(name, Bucket.MESH, field, level=level)


def _metrics(text: str, known: Known) -> tuple[Metric, ...]:
    found: dict[str, Metric] = {}
    for part in _parts("metrics", text, MOST_METRICS):
        metric = _metric(part, known)
        found.setdefault(metric.name, metric)
    return tuple(found.values())


def _metric(text: str, known: Known) -> Metric:
    if text == Work.COUNT:
        return Metric(text, Work.COUNT, None)
    called = _CALL.match(text)
    if called is None or called.group(1) not in list(Work):
        words = ", ".join(["count", *(f"{each.value}(…)" for each in Work)])
        raise wrong(
            "metrics",
            f"{text[:100]} は計算できません（使えるのは {words}）。",
            f"{text[:100]} cannot be worked out: take {words}.",
            "unknown_metric",
        )
    work, inside = Work(called.group(1)), called.group(2).strip()
    field = _field("metrics", inside, known)
    if work in (Work.SUM, Work.AVG) and field.type not in NUMBER_TYPES:
        raise _not_for("metrics", work.value, field, sorted(NUMBER_TYPES))
    if work is not Work.COUNT and field.type is FieldType.GEOMETRY:
        raise _not_for("metrics", work.value, field, ["count"])
    if work in (Work.MIN, Work.MAX) and field.type is FieldType.BOOLEAN:
        raise _not_for("metrics", work.value, field, ["count"])
    return Metric(f"{work.value}({inside})", work, field)


def _field(parameter: str, name: str, known: Known) -> Field:
    """The visible field; in a parameter's value an unknown one is that parameter's fault."""
    joined, dot, _ = name.partition(".")
    if name not in known.fields and not (dot and joined in known.joins):
        raise no_field(parameter, name, sorted(known.visible))
    return known.find(name)


def _not_for(parameter: str, word: str, field: Field, takes: Sequence[str]) -> InvalidQuestion:
    return wrong(
        parameter,
        f"{word} は項目 {field.name}（{field.type.value}）には使えません（対象は {', '.join(takes)}）。",
        f"{word} is not for the field {field.name} ({field.type.value}), but for"
        f" {', '.join(takes)}.",
        "wrong_type",
    )


def _width(parameter: str, text: str) -> Decimal:
    try:
        width = Decimal(text)
    except InvalidOperation:
        width = Decimal(0)
    if width.is_finite() and width > 0 and len(text) <= 30 and -30 < width.adjusted() < 30:
        return width
    raise wrong(
        parameter,
        "bin(項目,幅) の幅は0より大きい数です（例 bin(capacity,100)）。",
        "the width of bin(field,width) is a number above 0, such as bin(capacity,100).",
        "invalid_width",
    )


def _parts(parameter: str, text: str, most: int) -> list[str]:
    """What the commas part that stand in no brackets."""
    parts = [part.strip() for part in _split(text)]
    if not all(parts):
        raise wrong(parameter, "項目名を指定してください。", "name at least one field.")
    if len(parts) > most:
        raise wrong(parameter, f"{most}個までです。", f"takes {most} at most.", "too_many")
    return parts


def _split(text: str) -> Iterator[str]:
    depth = start = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth <= 0:
            yield text[start:at]
            start = at + 1
    yield text[start:]
