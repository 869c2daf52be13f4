"""The wire shapes of the catalogue: what a dataset looks like coming in and going out."""

from datetime import date
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, computed_field

from app.api.reading_shapes import ReadingIn
from app.api.shapes import InShape, Name, OutShape, PlainText, Slug, Text, Time
from app.models.datasets import DataClass
from app.models.parties import Zone
from app.policy.suppression import LEAST_K
from app.query.fields import FieldType, Visibility
from app.query.grouping import MOST_GROUPED

FieldName = Annotated[str, StringConstraints(min_length=1, max_length=60), PlainText]
Dimension = Annotated[str, StringConstraints(min_length=1, max_length=100), PlainText]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=200), PlainText]
DatasetId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
Theme = Annotated[str, StringConstraints(min_length=1, max_length=60), PlainText]
Frequency = Literal[
    "continuous", "hourly", "daily", "weekly", "monthly", "quarterly", "annual", "irregular",
    "once",
]  # fmt: skip

SUBJECT = "The field that holds the publisher's name for the person whom a record is about"


class StewardShape(InShape):
    """The post that answers for the data, and where to write to it."""

    name: Name
    email: Email | None = None


class ProfileRef(InShape):
    """A version of a standard layout."""

    name: Slug
    version: Annotated[int, Field(ge=1, le=10_000)]


class FieldIn(InShape):
    """One field: its name on the wire, the Japanese label, and what it holds."""

    name: FieldName
    label: Name | None = None
    type: FieldType
    key: bool = False
    required: bool = False
    unit: Name | None = None
    code_list: dict[Name, Name] | None = None
    visibility: Visibility | None = None
    description: Text | None = None


class JoinIn(InShape):
    """Another dataset whose record stands beside each record on `expand`."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
    dataset: DatasetId
    here: FieldName
    there: FieldName
    as_of: FieldName | None = None
    stale_after_seconds: Annotated[int, Field(ge=1, le=10**9)] | None = None


class SuppressionShape(InShape):
    """Records are only counted: everybody but the publisher gets sums over k people or more.

    `dimensions` are what may be grouped by, the one whose totals matter most first; `count` is the
    field whose sum is the people, absent where each record is one. Records that are written are
    counted from the next publishing of their version on: two states so near could be compared.
    """

    k: Annotated[int, Field(ge=LEAST_K, le=1_000_000)]
    dimensions: Annotated[list[Dimension], Field(min_length=1, max_length=MOST_GROUPED)]
    count: FieldName | None = None


class MappingStepIn(InShape):
    """How one field is got from the columns of a file."""

    to: FieldName
    from_: list[Name] | None = Field(default=None, alias="from", max_length=50)
    expression: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] | None = Field(
        default=None, description="JMESPath over the row, in place of `from`: `name.ja`"
    )
    constant: Text | None = None
    pattern: Annotated[str, StringConstraints(max_length=500)] | None = None
    codes: dict[Name, Text] | None = None
    default: Text | None = None
    unit: Name | None = Field(
        default=None, description="That the source writes amounts in; they become the field's own"
    )
    normalize: Name | None = None


class RetentionShape(InShape):
    """How long versions are kept: the newest so many, and those read from within so many days.
    Both absent: all. None in use is ever let go, nor one that followers of changes still need."""

    keep_versions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    keep_days: Annotated[int, Field(ge=1, le=36_500)] | None = None


class DatasetIn(InShape):
    """A dataset to register. The class is `restricted` unless said otherwise."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "parks",
                "title_ja": "公園一覧",
                "title_en": "Parks",
                "steward": {"name": "建設局 公園課", "email": "parks@example.jp"},
                "data_class": "public",
                "license": "CC-BY-4.0",
                "update_frequency": "monthly",
                "fields": [
                    {"name": "no", "label": "番号", "type": "code", "key": True},
                    {"name": "name", "label": "名称", "type": "text", "required": True},
                ],
            }
        }
    )

    id: DatasetId | None = None
    title_ja: Name
    title_en: Name | None = None
    title_kana: Name | None = None
    description_ja: Text | None = None
    description_en: Text | None = None
    publisher: Name | None = Field(default=None, description="Your own organisation if absent")
    steward: StewardShape
    data_class: DataClass = DataClass.RESTRICTED
    zone: Zone = Zone.INTERNET
    license: Name | None = None
    update_frequency: Frequency
    legal_basis: Text | None = None
    source_system: Name | None = None
    themes: Annotated[list[Theme], Field(max_length=20, default_factory=list)]
    temporal_start: date | None = Field(default=None, description="First day the data speak of")
    temporal_end: date | None = None
    hidden: bool = False
    reading: ReadingIn | None = None
    retention: RetentionShape | None = None
    profile: ProfileRef | None = None
    fields: Annotated[list[FieldIn], Field(min_length=1, max_length=1_500)] | None = None
    mapping: Annotated[list[MappingStepIn], Field(max_length=1_500)] | None = None
    joins: Annotated[list[JoinIn], Field(max_length=10)] | None = None
    suppression: SuppressionShape | None = None
    subject: FieldName | None = Field(default=None, description=SUBJECT)


class DatasetPatch(InShape):
    """What may change of an entry. Absent: stays as it is."""

    model_config = ConfigDict(json_schema_extra={"example": {"license": "CC-BY-4.0"}})

    title_ja: Name | None = None
    title_en: Name | None = None
    title_kana: Name | None = None
    description_ja: Text | None = None
    description_en: Text | None = None
    steward: StewardShape | None = None
    license: Name | None = None
    update_frequency: Frequency | None = None
    legal_basis: Text | None = None
    source_system: Name | None = None
    themes: Annotated[list[Theme], Field(max_length=20)] | None = None
    temporal_start: date | None = None
    temporal_end: date | None = None
    hidden: bool | None = None
    fields: Annotated[list[FieldIn], Field(min_length=1, max_length=1_500)] | None = None
    mapping: Annotated[list[MappingStepIn], Field(max_length=1_500)] | None = None
    reading: ReadingIn | None = None
    retention: RetentionShape | None = None
    joins: Annotated[list[JoinIn], Field(max_length=10)] | None = None
    suppression: SuppressionShape | None = None
    subject: FieldName | None = Field(default=None, description=SUBJECT)


class FieldOut(OutShape):
    """One field as the catalogue shows it."""

    name: str
    label: str
    type: FieldType
    key: bool
    required: bool
    unit: str | None
    code_list: dict[str, str] | None
    visibility: Visibility | None
    description: str | None


class StewardOut(OutShape):
    """The post that answers for the data."""

    name: str
    email: str | None


class PublisherOut(OutShape):
    """The organisation that publishes the data."""

    id: str
    name_ja: str
    name_en: str | None


class LinkOut(OutShape):
    """Where to go from here."""

    rel: str
    href: str


class DatasetOut(OutShape):
    """One entry of the catalogue: what exists is told, whoever asks, unless it is hidden."""

    id: str
    title_ja: str
    title_en: str | None
    description_ja: str | None
    description_en: str | None
    publisher: PublisherOut
    steward: StewardOut
    data_class: DataClass
    zone: Zone
    license: str | None
    update_frequency: str
    legal_basis: str | None
    source_system: str | None
    themes: list[str]
    temporal_start: date | None
    temporal_end: date | None
    hidden: bool
    retention: RetentionShape | None
    suppression: SuppressionShape | None
    subject: str | None
    profile: ProfileRef | None
    state: str
    withdrawn_reason: str | None
    version: int | None
    modified_at: Time
    fields: list[FieldOut]
    links: list[LinkOut]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def notice_ja(self) -> str | None:
        """What readers should know before they ask."""
        if self.suppression is None:
            return None
        return (
            f"レコードは提供しません。{'・'.join(self.suppression.dimensions)} で区分した集計だけを、"
            f"{self.suppression.k}以上の区分について提供します（小さい区分と、差し引きで分かる区分は"
            "伏せます）。"
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def notice_en(self) -> str | None:
        """The same in English."""
        if self.suppression is None:
            return None
        return (
            f"Records are not given: only aggregates by {', '.join(self.suppression.dimensions)}, of"
            f" groups of {self.suppression.k} or more (smaller ones, and those that would follow from"
            " them, are withheld)."
        )


class CatalogueOut(OutShape):
    """One page of the catalogue."""

    numberReturned: int  # noqa: N815 - the interface's own name
    datasets: list[DatasetOut]
    links: list[LinkOut]


class WithdrawalIn(InShape):
    """Why the dataset ends (readers are told), or comes back."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "施設の統合により終了"}})

    reason: Text
