"""The wire shapes of programmes and their projects."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from app.api.shapes import InShape, Name, OutShape, Slug, Text, Time
from app.conformance.services import Class
from app.models.programmes import ProgrammeKind, ProjectState
from app.programmes.description import ProjectDescription, ThousandYen
from app.programmes.programmes import Said
from app.programmes.projects import Move
from app.systems.description import Year

LayoutVersion = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,62}/[1-9][0-9]{0,5}$", max_length=70)
]
Classes = Annotated[list[Class], Field(max_length=6)]
Layouts = Annotated[list[LayoutVersion], Field(max_length=100)]
_PROGRAMME: dict[str, Any] = {
    "title": "公共施設案内サービス導入支援",
    "kind": "support",
    "fiscal_year": 2027,
    "classes": ["core", "query"],
    "profiles": ["public-facility/1"],
}
_PROJECT: dict[str, Any] = {
    "title": "公共施設案内の再構築",
    "requested_thousand_yen": 5000,
    "total_cost_thousand_yen": 12000,
    "linkage_needed": "施設一覧と空き状況を標準インタフェースで受け取る。",
}


class ProgrammeSaid(InShape):
    """A programme. `gated`: whether what it requires must be there before an approval; left out, it
    must for support and need not for a subsidy."""

    model_config = ConfigDict(json_schema_extra={"example": {**_PROGRAMME}})

    title: Name
    kind: ProgrammeKind
    fiscal_year: Year
    classes: Classes = Field(default_factory=list, description="Conformance classes it requires")
    profiles: Layouts = Field(
        default_factory=list, description="Layouts it requires, as name/version"
    )
    gated: bool | None = None

    def told(self) -> Said:
        """For the service."""
        return Said(
            self.title, self.kind, self.fiscal_year, self.classes, self.profiles, self.gated
        )


class ProgrammeIn(ProgrammeSaid):
    """A programme to keep. `organization`: who runs it, if not your own."""

    organization: Slug | None = None


class ProgrammePut(ProgrammeSaid):
    """What it is, said anew and whole. `revision`: the one that you read."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_PROGRAMME,
                "title": "公共施設案内サービス導入支援（改定）",
                "revision": 1,
            }
        }
    )

    revision: Annotated[int, Field(ge=1)] | None = None


class ProgrammeOut(OutShape):
    """A programme as it is now."""

    id: UUID
    organization: str = Field(validation_alias="organization_id")
    title: str
    kind: ProgrammeKind
    fiscal_year: int
    classes: list[str]
    profiles: list[str]
    gated: bool
    revision: int
    created_at: Time
    changed_at: Time
    changed_by: str


class ProjectIn(InShape):
    """A project to keep, as a draft. `organization`: whose it is, if not your own."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "programme": "6f2d8b1e-0c3a-4b1f-9f57-2a7c1e5d9b40", "description": {**_PROJECT}
            }
        }
    )  # fmt: skip

    programme: UUID
    organization: Slug | None = None
    description: ProjectDescription


class ProjectPut(InShape):
    """What it is, said anew and whole. `revision`: the one that you read."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"revision": 1, "description": {**_PROJECT}}}
    )

    revision: Annotated[int, Field(ge=1)] | None = None
    description: ProjectDescription


class ProjectMove(InShape):
    """The state that a project is brought to. `granted_thousand_yen`: with `approved`; left out, what
    was asked for. `revision`: the one that you read, so that nothing is decided but what you saw."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"to": "submitted", "revision": 1, "note": "交付申請書を提出"}
        }
    )

    to: ProjectState
    granted_thousand_yen: ThousandYen | None = None
    note: Text | None = None
    revision: Annotated[int, Field(ge=1)] | None = None

    def told(self) -> Move:
        """For the service."""
        return Move(self.to, self.granted_thousand_yen, self.note, self.revision)


class ProjectOut(OutShape):
    """A project as it stands."""

    id: UUID
    programme: UUID = Field(validation_alias="programme_id")
    organization: str = Field(validation_alias="organization_id")
    state: ProjectState
    granted_thousand_yen: int | None
    description: dict[str, Any]
    revision: int
    created_at: Time
    changed_at: Time
    changed_by: str


class ProjectRevisionOut(OutShape):
    """What a project was said to be, and where it stood, from a time on."""

    revision: int
    state: ProjectState
    granted_thousand_yen: int | None
    description: dict[str, Any]
    note: str | None
    at: Time
    by: str


class LackOut(OutShape):
    """Something that is required and neither certified nor planned, with its mend."""

    requirement: str
    service: UUID | None
    since: Time | None
    code: str
    ja: str
    en: str


class GateOut(OutShape):
    """Whether a project may be approved. `open`: nothing is missing, or the gate is off."""

    gated: bool
    open: bool
    required: list[str]
    missing: list[LackOut]
