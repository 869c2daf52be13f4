"""The door to the platform's terms of use: read by anyone, published by the operator, accepted."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field, StringConstraints

from app.api.access import (
    ADMIN_CODES,
    SCOPED_CODES,
    AdminWriter,
    OrganizationWriter,
    Reading,
    Writing,
)
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, OutShape, PlainText, Time
from app.models.onboarding import TermsAcceptance, TermsVersion
from app.parties import terms

router = APIRouter(tags=["Terms of use"], max_body_size=LONGEST_BODY)
_Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000), PlainText]


class TermsIn(InShape):
    """The next version. An organisation that accepted an earlier one has until `required_from`."""

    number: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    text_ja: _Text
    text_en: _Text
    valid_from: date
    required_from: date | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "text_ja": "第1条 参加団体は、登録したデータセットの内容に責任を持つ。",
                "text_en": "1. A participant answers for the datasets that it registers.",
                "valid_from": "2026-04-01",
                "required_from": "2026-07-01",
            }
        }
    )


class TermsEntryOut(OutShape):
    """A version of the terms, without its text. `in_force` is what is to be accepted now."""

    number: int
    text_sha256: str
    valid_from: date
    required_from: date
    published_at: Time
    in_force: bool


class TermsOut(OutShape):
    """A version of the terms."""

    number: int
    text_ja: str
    text_en: str
    text_sha256: str
    valid_from: date
    required_from: date
    published_at: Time


class AcceptanceOut(OutShape):
    """Who has accepted which version when, and the hash of the text it was."""

    organization_id: str
    number: int
    text_sha256: str
    accepted_at: Time
    accepted_by: str


@router.get(
    "/v1/terms",
    response_model=list[TermsEntryOut],
    summary="List the versions of the terms of use",
    responses=problems(),
)
async def list_terms(session: Reading) -> Sequence[terms.Listed]:
    """Newest first, those to come as well. GET /v1/terms/{number} has the text."""
    return await terms.listed(session)


@router.get(
    "/v1/terms/{number}",
    response_model=TermsOut,
    summary="Show a version of the terms of use",
    responses=problems("terms_not_found"),
)
async def show_terms(number: _Number, session: Reading) -> TermsVersion:
    """Its text in Japanese and English; a version never changes."""
    return await terms.get(session, number)


@router.post(
    "/v1/admin/terms",
    status_code=201,
    response_model=TermsOut,
    summary="Publish a version of the terms of use",
    responses=problems(*ADMIN_CODES, "terms_invalid"),
)
async def publish_terms(body: TermsIn, caller: AdminWriter, session: Writing) -> TermsVersion:
    """Whoever comes by invitation must accept what is in force before it hands in data."""
    new = terms.NewTerms(**body.model_dump())
    return await terms.publish(session, new, by=caller.client.actor)


@router.post(
    "/v1/terms/{number}/accept",
    response_model=AcceptanceOut,
    summary="Accept the terms of use",
    responses=problems(*SCOPED_CODES, "terms_not_found", "terms_superseded"),
)
async def accept_terms(
    number: _Number, caller: OrganizationWriter, session: Writing
) -> TermsAcceptance:
    """For your organisation, as its steward or coordinator. A second time changes nothing."""
    mine, by = caller.client.organization_id, caller.client.actor
    return await terms.accept(session, number, organization_id=mine, by=by)
