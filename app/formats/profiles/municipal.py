"""The municipal standard open datasets (自治体標準オープンデータセット) as layouts; data only, no I/O else.

`municipal.json` was made once from public documents and published files. A released version never
changes: a correction is a new edition at the end of its list.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from app.formats.profiles.layout import LayoutField, ProfileLayout
from app.query.fields import Field, FieldType

_NUMBERS: Final = frozenset({FieldType.INTEGER, FieldType.DECIMAL})
# Heights and elevations go below zero; nothing else that these lists count does.
_MAY_BE_NEGATIVE: Final = frozenset({"elevation", "height"})
_PERIODS: Final = (("starts_on", "ends_on"), ("permit_starts_on", "permit_expires_on"))


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A built-in profile version and how sure its columns are."""

    layout: ProfileLayout
    confidence: str
    source: str


@cache
def built_in() -> tuple[BuiltIn, ...]:
    """All editions of all municipal standard open datasets, by name and version."""
    stored = json.loads(Path(__file__).with_name("municipal.json").read_text(encoding="utf-8"))
    return tuple(
        BuiltIn(
            layout=_layout(profile, edition),
            confidence=edition["confidence"],
            source=stored["source"],
        )
        for profile in stored["profiles"]
        for edition in profile["versions"]
    )


def _layout(profile: Mapping[str, Any], edition: Mapping[str, Any]) -> ProfileLayout:
    fields = tuple(_field(at, column) for at, column in enumerate(edition["columns"], 1))
    return ProfileLayout(
        name=profile["name"],
        version=edition["version"],
        fields=fields,
        title_ja=profile["title_ja"],
        title_en=profile["title_en"],
        edition=edition["edition"],
        rules=tuple(_rules([each.field for each in fields])),
    )


def _field(at: int, column: Mapping[str, Any]) -> LayoutField:
    level, blank = column.get("level"), column.get("blank", False)
    codes = column.get("codes")
    return LayoutField(
        field=Field(
            name=column["name"],
            column=f"c{at:03}",
            label=column["label"],
            type=FieldType(column["type"]),
            key=column.get("key", False),
            required=level == "required" and not blank,
            unit=column.get("unit"),
            code_list=tuple((word, word) for word in codes) if codes else None,
        ),
        variants=tuple(column.get("variants", ())),
        level=level,
        format=column.get("format"),
        may_be_blank=blank,
    )


def _rules(fields: list[Field]) -> list[dict[str, Any]]:
    """Counts are not negative, and a period does not end before it begins."""
    names = {field.name for field in fields}
    counts = [
        {"field": field.name, "min": 0}
        for field in fields
        if field.type in _NUMBERS and field.name not in _MAY_BE_NEGATIVE
    ]
    periods = [{"compare": [a, "<=", b]} for a, b in _PERIODS if {a, b} <= names]
    return counts + periods
