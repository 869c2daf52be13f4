"""The wire shapes of profiles: what a layout looks like coming in and going out."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.api.dataset_shapes import FieldIn, FieldName, FieldOut, MappingStepIn, ProfileRef
from app.api.shapes import InShape, Moment, Name, OutShape, PlainText, Slug, Text, Time
from app.formats.profiles.matching import How
from app.models.profiles import ProfileState

Version = Annotated[int, Field(ge=1, le=10_000)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500), PlainText]
Number = Annotated[float, Field(allow_inf_nan=False)]
Operator = Literal["<", "<=", "==", "!="]
MOST_RECORDS = 1_000


def _can_be_said_again(records: list[Any]) -> list[Any]:
    """RFC 8259, 6 and 8: JSON has no NaN, and half a surrogate pair is no character."""
    try:
        json.dumps(records, ensure_ascii=False, allow_nan=False).encode()
    except (UnicodeEncodeError, ValueError) as exc:
        raise PydanticCustomError("json_invalid", "NaN or a lone surrogate is no JSON.") from exc
    return records


Records = Annotated[
    list[Any], Field(min_length=1, max_length=MOST_RECORDS), AfterValidator(_can_be_said_again)
]


class ProfileFieldIn(FieldIn):
    """One column of a layout, and how else files spell its heading."""

    variants: Annotated[list[Name], Field(max_length=40, default_factory=list)]


class LimitRuleIn(InShape):
    """What a value must keep to. A pattern is held against the whole text, in linear time."""

    field: FieldName
    min: Number | None = None
    max: Number | None = None
    min_length: Annotated[int, Field(ge=0, le=100_000)] | None = None
    max_length: Annotated[int, Field(ge=0, le=100_000)] | None = None
    pattern: Pattern | None = None


class CompareRuleIn(InShape):
    """One field against another, such as `["starts_on", "<=", "ends_on"]`."""

    compare: tuple[FieldName, Operator, FieldName]


class NeedRuleIn(InShape):
    """`required` must be given when `when` is."""

    when: FieldName
    required: FieldName


class AreaIn(InShape):
    """Where records may lie: municipalities by code, and a box west, south, east, north."""

    municipalities: Annotated[list[Name], Field(max_length=2_000)] | None = None
    bbox: (
        tuple[
            Annotated[float, Field(ge=-180, le=180)],
            Annotated[float, Field(ge=-90, le=90)],
            Annotated[float, Field(ge=-180, le=180)],
            Annotated[float, Field(ge=-90, le=90)],
        ]
        | None
    ) = None


class AreaRuleIn(InShape):
    """The area of the records."""

    area: AreaIn


RuleIn = LimitRuleIn | CompareRuleIn | NeedRuleIn | AreaRuleIn


class ProfileIn(InShape):
    """A version of a layout. Once published it never changes; a draft may be sent again."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "park",
                "version": 1,
                "title_ja": "公園",
                "fields": [
                    {"name": "no", "label": "番号", "type": "code", "key": True},
                    {"name": "name", "label": "名称", "type": "text", "variants": ["公園名"]},
                    {"name": "area_m2", "label": "面積", "type": "decimal", "unit": "㎡"},
                ],
                "rules": [{"field": "area_m2", "min": 0}],
            }
        }
    )

    name: Slug
    version: Version
    title_ja: Name
    title_en: Name | None = None
    edition: Name | None = None
    fields: Annotated[list[ProfileFieldIn], Field(min_length=1, max_length=1_500)]
    rules: Annotated[list[RuleIn], Field(max_length=1_000, default_factory=list)]
    mapping: Annotated[list[MappingStepIn], Field(max_length=1_500)] | None = None
    draft: bool = False


class ProfilePatch(InShape):
    """Where a version is to go. What is deprecated or ends needs a note on how to move."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "state": "deprecated",
                "sunset_at": "2028-03-31T00:00:00+09:00",
                "note_ja": "版2では番号が id になりました。POST /v1/profiles/park/convert で変換できます。",
                "note_en": "In version 2 the number became id.",
            }
        }
    )

    state: ProfileState
    deprecated_at: Moment | None = None
    sunset_at: Moment | None = None
    successor: ProfileRef | None = None
    note_ja: Text | None = None
    note_en: Text | None = None


class ProfileFieldOut(FieldOut):
    """One column of a layout. `level` and `format` are the standard's own words."""

    variants: list[str] = Field(default_factory=list)
    level: str | None = None
    format: str | None = None


class ProfileSummary(OutShape):
    """A version of a layout without its fields."""

    name: str
    version: int
    title_ja: str
    title_en: str | None
    edition: str | None
    state: ProfileState
    field_count: int
    owner: str | None = Field(description="The organisation that registered it; null: built in")
    created_at: Time
    published_at: Time | None
    deprecated_at: Time | None
    sunset_at: Time | None
    successor: ProfileRef | None
    note_ja: str | None
    note_en: str | None


class ProfileOut(ProfileSummary):
    """A version of a layout."""

    source: str | None
    confidence: str | None = Field(
        description="How sure the columns are, where they were collected"
    )
    fields: list[ProfileFieldOut]
    rules: list[dict[str, Any]]
    mapping: list[dict[str, Any]] = Field(description="The steps that read a file of this layout")


class FieldBrief(OutShape):
    """A field by name and label."""

    name: str
    label: str
    type: str
    required: bool


class RenamedOut(OutShape):
    """One field under two names."""

    from_: FieldBrief = Field(alias="from")
    to: FieldBrief


class ChangedOut(OutShape):
    """What changed of a field that both versions have."""

    name: str
    from_: Any = Field(alias="from")
    to: Any


class DiffOut(OutShape):
    """From one version to another. A renamed field is neither added nor removed."""

    added: list[FieldBrief]
    removed: list[FieldBrief]
    renamed: list[RenamedOut]
    relabelled: list[ChangedOut]
    retyped: list[ChangedOut]
    required: list[ChangedOut]
    unit: list[ChangedOut]
    code_list: list[ChangedOut]


class MigrationOut(OutShape):
    """How to move on from a version; told after its end too."""

    name: str
    version: int
    state: ProfileState
    deprecated_at: Time | None
    sunset_at: Time | None
    successor: ProfileRef | None
    note_ja: str | None
    note_en: str | None
    changes: DiffOut | None = Field(description="To the successor, where it is of the same name")


class BothFault(OutShape):
    """One wrong place, in both languages."""

    pointer: str
    code: str
    ja: str
    en: str


class CheckedOut(OutShape):
    """What is wrong with the records. Pointers begin with the record's position."""

    records: int
    invalid: int
    faults: list[BothFault]
    truncated: bool = Field(description="There are more faults than are listed")


class ConvertedRecord(OutShape):
    """A record of the other version, and what could not be said in it."""

    record: dict[str, Any]
    notes: list[BothFault]


class ConvertedOut(OutShape):
    """The records in their order."""

    profile: str
    from_: int = Field(alias="from")
    to: int
    records: list[ConvertedRecord]


class MatchIn(InShape):
    """The headings of a file; `filled` says of each column whether any row has a value."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"labels": ["NO", "名称", "名称_カナ", "住所", "緯度", "経度", "設置位置"]}
        }
    )

    labels: Annotated[list[Annotated[str, StringConstraints(max_length=500)]], Field(min_length=1, max_length=2_000)]  # fmt: skip
    filled: Annotated[list[bool], Field(max_length=2_000)] | None = None


class FoundOut(OutShape):
    """A heading, the field that it is, and by what it was recognised."""

    label: str
    field: str
    how: How


class MatchOut(OutShape):
    """How well the headings agree with a version of a profile."""

    profile: str
    version: int
    accepted: bool = Field(description="Sure enough to be taken without asking")
    score: float
    share: float = Field(description="Of the profile's columns, those found")
    known: float = Field(description="Of the file's headings, those found")
    distinct: float = Field(description="Of what sets the profile apart, the part found")
    matched: list[FoundOut]
    missing: list[str]
    unknown: list[str]
    mapping: list[dict[str, Any]]
