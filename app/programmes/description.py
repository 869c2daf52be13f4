"""What an organisation says of a project. Words and numbers only; it judges nothing."""

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.systems.description import Story, Words

ThousandYen = Annotated[int, Field(ge=0, le=10**12)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class CoveragePlan(_Said):
    """By when and by whom something that is required will be certified. `service` none: of all."""

    requirement: Words = Field(description="A class, or a layout as name/version")
    service: UUID | None = None
    until: Annotated[date, Field(ge=date(2000, 1, 1))]
    responsible: Words = Field(description="Who sees to it: a unit or a company")
    note: Story | None = None


class ProjectDescription(_Said):
    """Everything that is said of a project."""

    title: Words
    # Of the list of certified and declared services, and of the organisation's own inventory.
    services: Annotated[list[UUID], Field(max_length=50, default_factory=list)]
    systems: Annotated[list[UUID], Field(max_length=100, default_factory=list)]
    requested_thousand_yen: ThousandYen | None = None
    total_cost_thousand_yen: ThousandYen | None = None
    linkage_needed: Story | None = None
    plans: Annotated[list[CoveragePlan], Field(max_length=200, default_factory=list)]
    note: Story | None = None
