"""How access requests and offers look on the wire. Decides nothing."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    model_validator,
)

from app.agreements.proposals import KEEP, Proposal
from app.agreements.rows import MOST_CHARACTERS
from app.agreements.standing import shown_state, waiting
from app.agreements.terms import AskedTerms
from app.api.shapes import InShape, Name, OutShape, PlainText, Slug, Text, Time
from app.models.agreements import AccessRequest
from app.policy.facts import Action

_COLUMNS = Annotated[list[Name] | None, Field(max_length=1000)]
_ROWS = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS), PlainText] | None,
    Field(
        description="Only the rows that meet this: CQL2 Text over any of the dataset's fields",
        examples=["ward = '北区' AND capacity >= 100"],
    ),
]
_PER_DAY = Annotated[
    int | None,
    Field(
        ge=1,
        le=2_000_000_000,
        description="Requests a day, of all clients of the consumer, or of each member",
    ),
]


class Agreed(StrEnum):
    """What an agreement is on; who may read may also count."""

    READ = Action.READ.value
    WRITE = Action.WRITE.value


class RequestIn(InShape):
    """What a consumer asks for. `columns` absent: all; period absent: from now to 31 March."""

    dataset: Slug
    purpose: Slug
    legal_basis: Text
    group: Slug | None = Field(
        default=None,
        description="A tenant group that your organisation operates: for its members of each day",
    )
    draft: bool = Field(default=False, description="Seen by nobody else until it is submitted")
    actions: Annotated[list[Agreed], Field(min_length=1, max_length=2, default=[Agreed.READ])]
    columns: _COLUMNS = None
    rows: _ROWS = None
    per_day: _PER_DAY = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    reason: Text | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "dataset": "shelters",
                "purpose": "disaster-response",
                "legal_basis": "災害対策基本法第49条の7",
                "columns": ["name", "address", "capacity"],
            }
        }
    )

    def terms(self) -> AskedTerms:
        """The same as the service takes it."""
        told = self.model_dump(exclude={"dataset", "draft"})
        told["actions"] = tuple(Action(each) for each in self.actions)
        return AskedTerms(**{**told, "columns": self.columns and tuple(self.columns)})


class ApprovalIn(InShape):
    """What the steward grants; absent: as asked. Less is possible, more is not.

    `rows` only where the request named none: another condition is a counter-offer.
    """

    columns: _COLUMNS = None
    rows: _ROWS = None
    per_day: _PER_DAY = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    reason: Text | None = None
    offer: int | None = Field(
        default=None, ge=1, le=100_000, description="Approve only if this is the newest offer"
    )

    model_config = ConfigDict(json_schema_extra={"example": {"columns": ["name", "address"]}})


class RejectionIn(InShape):
    """Why the request is refused."""

    reason: Text

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "利用目的が不明確です。"}})


class ProposalIn(InShape):
    """Other terms; absent: as they stand. `rows` and `per_day` null: taken away."""

    purpose: Slug | None = None
    legal_basis: Text | None = None
    actions: Annotated[list[Agreed], Field(min_length=1, max_length=2)] | None = None
    columns: _COLUMNS = None
    rows: _ROWS = None
    per_day: _PER_DAY = None
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    reason: Text | None = None

    model_config = ConfigDict(
        json_schema_extra={"example": {"columns": ["name"], "reason": "住所は提供できません。"}}
    )

    def proposal(self) -> Proposal:
        """The same as the service takes it."""
        told = self.model_dump()
        for name in ("actions", "columns"):
            told[name] = None if told[name] is None else tuple(told[name])
        if told["actions"] is not None:
            told["actions"] = tuple(Action(each) for each in told["actions"])
        for name in {"rows", "per_day"} - self.model_fields_set:
            told[name] = KEEP
        return Proposal(**told)


class DraftPatch(ProposalIn):
    """How a draft is to be worded otherwise; absent: as it is."""

    model_config = ConfigDict(json_schema_extra={"example": {"columns": ["name", "capacity"]}})


class AcceptanceIn(InShape):
    """Which offer is accepted: the newest, by its number."""

    offer: int = Field(ge=1, le=100_000)

    model_config = ConfigDict(json_schema_extra={"example": {"offer": 2}})


class OfferOut(OutShape):
    """One offer of one side, as it was made."""

    number: int
    side: str
    purpose: str
    legal_basis: str
    actions: list[str]
    columns: list[str]
    rows: str | None
    per_day: int | None
    valid_from: Time
    valid_until: Time
    reason: str | None
    made_by: str = Field(description="The person who acted, or the client that acted for itself")
    made_via: str = Field(description="The client")
    made_at: Time


class WaitingOut(OutShape):
    """Who must answer, since when and until when; after that the request has expired."""

    organization: str
    roles: list[str] = Field(description="A client with one of these roles")
    since: Time
    due_at: Time


class RequestOut(OutShape):
    """An access request. Its terms are those of the newest offer.

    `state` says `expired` once nobody has answered in time.
    """

    id: UUID
    dataset: str = Field(validation_alias="dataset_id")
    provider_id: str
    consumer_id: str
    group: str | None = Field(
        validation_alias="group_id", description="For whose members the consumer asks"
    )
    amends: UUID | None = Field(description="The agreement that it would take the place of")
    purpose: str
    legal_basis: str
    reason: str | None
    actions: list[str]
    columns: list[str]
    rows: str | None
    per_day: int | None
    valid_from: Time
    valid_until: Time
    state: str
    requested_by: str
    requested_at: Time
    decided_by: str | None
    decided_at: Time | None
    decision_reason: str | None
    waiting_for: WaitingOut | None = None
    offers: list[OfferOut]

    @model_validator(mode="wrap")
    @classmethod
    def _as_of_now(cls, asked: Any, make: ModelWrapValidatorHandler["RequestOut"]) -> "RequestOut":
        made = make(asked)
        if isinstance(asked, AccessRequest):
            made.state = shown_state(asked.state, asked.due_at).value
            waits = waiting(asked)
            made.waiting_for = None if waits is None else WaitingOut.model_validate(waits)
        return made
