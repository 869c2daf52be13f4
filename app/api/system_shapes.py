"""The wire shapes of the system inventory, of kartes, duplicates and the migration board."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, PlainSerializer

from app.api.shapes import InShape, OutShape, Slug, Text, Time
from app.systems.description import Description, Function, Hosting

Points = Annotated[Decimal, PlainSerializer(float, return_type=float)]
_DESCRIPTION: dict[str, Any] = {
    "name": "統合宛名システム",
    "vendor": "架空システム株式会社",
    "function": "address-record",
    "audience": ["staff"],
    "family": "resident",
    "businesses": ["resident_register"],
    "hosting": "on_premises",
    "plan": {
        "hosting": "saas", "by": "2027-03-31",
        "skipped": {"gov_cloud": "対応するサービスが令和9年度まで提供されないため。"},
    },
    "contract": {"since": "2016-04-01", "until": "2027-03-31", "renewals": 2, "bidders": 1},
    "costs": [
        {"year": 2019, "yen": 17353369},
        {"year": 2020, "yen": 17512572},
        {"year": 2020, "yen": 4484700, "kind": "revision"},
    ],
    "data_held": ["宛名"],
    "interfaces": [{"name": "日次CSV", "standard": False}],
    "export": {"formats": ["csv"]},
    "customisation": "some",
}  # fmt: skip


class SystemIn(InShape):
    """A system to keep. `organization`: whose it is, if not your own."""

    model_config = ConfigDict(json_schema_extra={"example": {"description": {**_DESCRIPTION}}})

    organization: Slug | None = None
    description: Description


class SystemPut(InShape):
    """What it is, said anew and whole. `revision`: the one that you read."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"revision": 1, "description": {**_DESCRIPTION}}}
    )

    revision: Annotated[int, Field(ge=1)] | None = None
    description: Description


class SimilarOut(OutShape):
    """A system that does the same elsewhere."""

    id: UUID
    name: str
    organization: str


class SystemOut(OutShape):
    """A system as its organisation describes it."""

    id: UUID
    organization: str
    revision: int
    description: dict[str, Any]
    created_at: Time
    changed_at: Time
    changed_by: str


class ReusableOut(OutShape):
    """A shared solution that does the same, which could be used instead."""

    id: UUID
    name: str
    organization: str = Field(validation_alias="organization_id")
    how_to_join: str


class NewSystemOut(SystemOut):
    """A system with a warning of those that do the same already, and what could be used instead."""

    similar: list[SimilarOut]
    shared: list[ReusableOut]


class RevisionOut(OutShape):
    """What a system was said to be from a time on."""

    revision: int
    description: dict[str, Any]
    at: Time
    by: str


class PartOut(OutShape):
    """One part of a score: `points` of `weight`. `known`: false where it counts for want of facts."""

    name: str
    name_ja: str
    weight: Points
    points: Points
    known: bool
    ja: str
    en: str
    mend_ja: str | None
    mend_en: str | None


class ScoreOut(OutShape):
    """The sum of its parts, 0 (free to leave) to 100, the heaviest part first."""

    score: Points
    parts: list[PartOut]


class DiagnosisOut(OutShape):
    """What a diagnosis found, by the weights that were asked for."""

    at: Time
    by: str
    revision: int
    score: ScoreOut


class CostOut(OutShape):
    """What a fiscal year cost, in yen."""

    year: int
    yen: int


class DependantOut(OutShape):
    """Who reads a dataset of the system's: under an agreement that stands, or without one."""

    dataset: str
    consumer: str
    agreement: UUID | None = Field(description="null: its reads alone tell of it")
    purpose: str | None
    reads: int = Field(description="of the dataset by the consumer, within 90 days")
    last_read_at: Time | None


class KarteFindingOut(OutShape):
    """A finding about the system."""

    id: UUID
    rule: str
    severity: str
    state: str
    ja: str
    en: str
    due_at: Time


class KarteOut(OutShape):
    """The karte of a system. `diagnoses` newest first; `lowers_most`: where to begin."""

    system: SystemOut
    costs: list[CostOut]
    total_yen: int
    weights_version: int
    diagnoses: list[DiagnosisOut]
    lowers_most: list[PartOut]
    dependants: list[DependantOut]
    findings: list[KarteFindingOut]


class LockInOut(OutShape):
    """A system with its last score; null where it was never diagnosed."""

    id: UUID
    name: str
    organization: str
    score: Points | None
    diagnosed_at: Time | None
    heaviest: str | None = Field(description="The part that counts most")


class WeightsIn(InShape):
    """How much each part counts: whole numbers that make 100."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "weights": {
                    "contract": 15, "interfaces": 15, "export": 25, "certificate": 10,
                    "bidders": 10, "customisation": 10, "documentation": 5, "succession": 10,
                },
                "reason": "データの取り出しを重く見るため",
            }
        }
    )  # fmt: skip

    weights: Annotated[dict[str, Annotated[int, Field(ge=0, le=100)]], Field(max_length=20)]
    reason: Text


class WeightsOut(OutShape):
    """One version of the weights; 0 comes with the platform."""

    version: int
    weights: dict[str, int]
    reason: str | None
    set_at: Time | None
    set_by: str | None


class LikenessOut(OutShape):
    """Why systems are thought to be alike."""

    code: str
    ja: str
    en: str


class DuplicateDecisionIn(InShape):
    """That these systems are no duplicates of each other, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "members": [
                    "3f0c2f2e-6f0e-4a53-9d5a-0f3f5a1d2b11", "8b1f7a4c-51f1-4f0e-8a3f-2f7f0b9a6c22",
                ],
                "reason": "根拠となる法律が異なるため",
            }
        }
    )  # fmt: skip

    members: Annotated[list[UUID], Field(min_length=2, max_length=500)]
    reason: Text


class DuplicateDecisionOut(OutShape):
    """A decision that is remembered: by whom, when and why."""

    id: UUID
    function: str
    members: list[UUID]
    reason: str
    at: Time
    by: str


class DuplicateGroupOut(OutShape):
    """Systems of one function. `decision`: that all of them are no duplicates."""

    function: Function
    members: list[SimilarOut]
    reasons: list[LikenessOut]
    decision: DuplicateDecisionOut | None


class SimilarDatasetOut(OutShape):
    """A dataset that may hold the same things. `area` and `keys` are shares, 0 to 1."""

    dataset: str
    title: str
    publisher: str
    layout: str
    area: float | None = Field(description="of the smaller extent; null: one has no places")
    keys: float | None = Field(
        description="of the smaller one's first 1,000 keys; null: the key fields differ"
    )


class CellOut(OutShape):
    """One business of one body. `unexplained`: earlier places passed over without a reason."""

    business: str
    name_ja: str
    name_en: str
    system: UUID
    system_name: str
    hosting: Hosting | None
    rank: int | None
    planned: Hosting | None
    planned_rank: int | None
    unexplained: list[Hosting]


class BoardRowOut(OutShape):
    """A body with its businesses; those that stand in no cell have no system here."""

    organization: str
    name: str
    cells: list[CellOut]
    missing: list[str]
