"""The wire shapes of joint procurements and of the catalogue of shared solutions."""

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from app.api.shapes import InShape, Name, OutShape, Slug, Text, Time
from app.procurement.joint import Address, JointDescription
from app.procurement.solutions import Said
from app.systems.description import Function

_JOINT: dict[str, Any] = {
    "title": "自治体チャットツール共同調達",
    "starts_on": "2027-04-01",
    "ends_on": "2030-03-31",
    "lots": [{"name": "職員向けチャット", "function": "business-chat"}],
    "classes": ["core"],
    "know_how": ["LGWAN側の端末からは閲覧のみとする運用にした。"],
    "documents": [{"title": "調達仕様書", "url": "https://www.example.jp/chat/spec.pdf"}],
}
_SOLUTION: dict[str, Any] = {
    "name": "架空施設予約（共同利用）",
    "function": "facility-reservation",
    "users": ["271403"],
    "licence": "Apache-2.0",
    "contact": "共同利用担当 06-0000-0000",
    "how_to_join": "利用申込書を提出し、負担金の協定を結ぶ。",
}


class JointIn(InShape):
    """A joint procurement to keep. `lead`: who leads it, if not your own organisation."""

    model_config = ConfigDict(json_schema_extra={"example": {"description": {**_JOINT}}})

    lead: Slug | None = None
    description: JointDescription


class JointPut(InShape):
    """What it is, said anew and whole. `revision`: the one that you read."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"revision": 1, "description": {**_JOINT}}}
    )

    revision: Annotated[int, Field(ge=1)] | None = None
    description: JointDescription


class ParticipantIn(InShape):
    """A body that takes part. `since`: its first day; left out, that of the contract."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"organization": "273015", "since": "2028-04-01"}}
    )

    organization: Slug
    since: date | None = None


class ParticipantOut(OutShape):
    """A body that takes part from a day on."""

    organization: str = Field(validation_alias="organization_id")
    since: date
    added_at: Time


class JointOut(OutShape):
    """A joint procurement as its lead describes it, with those who take part beside the lead."""

    id: UUID
    lead: str
    revision: int
    description: dict[str, Any]
    participants: list[ParticipantOut]
    created_at: Time
    changed_at: Time
    changed_by: str


class CandidateReasonOut(OutShape):
    """Why a body could join."""

    code: str
    ja: str
    en: str


class CandidateOut(OutShape):
    """A system elsewhere that the joint contract could replace. `joins_on`: from when on."""

    system: UUID
    name: str
    organization: str
    function: str
    contract_until: date
    joins_on: date
    reasons: list[CandidateReasonOut]


class SolutionSaid(InShape):
    """What an owner says of a solution that others may use. `contact`: a desk, no person."""

    model_config = ConfigDict(json_schema_extra={"example": {**_SOLUTION}})

    name: Name
    function: Function = Field(description="As in the system inventory")
    service: UUID | None = Field(default=None, description="Of the list of certified services")
    users: Annotated[list[Slug], Field(max_length=2000)] = Field(
        default_factory=list, description="The organisations that use it"
    )
    licence: Name
    terms: Text | None = None
    contact: Name
    documentation_url: Address | None = None
    how_to_join: Text

    def told(self) -> Said:
        """For the service."""
        return Said(**self.model_dump(exclude={"organization"}))


class SolutionIn(SolutionSaid):
    """A solution for the catalogue. `organization`: its owner, if not your own."""

    organization: Slug | None = None


class SolutionOut(OutShape):
    """A solution of the catalogue. `state`: `certified` while a certificate is in force, `declared`
    where a service was registered and is not certified, else `none`."""

    id: UUID
    organization: str
    name: str
    function: str
    users: list[str]
    licence: str
    terms: str | None
    contact: str
    documentation_url: str | None
    how_to_join: str
    service: UUID | None
    state: Literal["certified", "declared", "none"]
    certificate: UUID | None
    certified_until: Time | None
    changed_at: Time
