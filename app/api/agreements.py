"""The door to agreements and purposes. An agreement not one's own to see is a 404."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field, model_validator

from app.agreements import agreements, exclusions, notices, purposes
from app.api.access import SCOPED_CODES, AdminWriter, CallerDep, Reading, StepUp, Writing
from app.api.agreement_access import (
    DatasetOf,
    changing_agreement,
    visible_agreement,
    visible_parties,
)
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug, Text, Time
from app.models.agreements import Agreement, Purpose

router = APIRouter(prefix="/v1", tags=["Agreements"], max_body_size=LONGEST_BODY)


class ChangeIn(InShape):
    """Why an agreement is suspended, resumed or revoked."""

    reason: Text

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "不正利用の調査のため"}})


class AgreementOut(OutShape):
    """One version of an agreement. `state` says `expired` once its time is over."""

    id: UUID
    request_id: UUID
    dataset: str = Field(validation_alias="dataset_id")
    provider_id: str
    consumer_id: str
    group: str | None = Field(
        validation_alias="group_id",
        description="Its members of the day stand under the agreement; the consumer signed for them",
    )
    purpose: str
    legal_basis: str
    actions: list[str]
    columns: list[str]
    rows: str | None = Field(description="Only the rows that meet this (CQL2 Text); null: all")
    per_day: int | None = Field(description="Requests a day, of all clients of the consumer")
    valid_from: Time
    valid_until: Time
    state: str
    requested_by: str
    approved_by: str
    approved_at: Time
    state_changed_at: Time
    state_changed_by: str
    state_reason: str | None
    excluded: list[str] = Field(description="Members of the group that may not use it")
    series: UUID = Field(description="The id of the first version")
    version: int
    superseded_by: UUID | None
    terms_sha256: str

    @model_validator(mode="after")
    def _as_of_now(self) -> "AgreementOut":
        self.state = agreements.shown_state(self.state, self.valid_until)
        return self


class MemberIn(ChangeIn):
    """Which member of the group, and why."""

    organization: Name

    model_config = ConfigDict(
        json_schema_extra={"example": {"organization": "273210", "reason": "不正利用の調査のため"}}
    )


class NoticeOut(OutShape):
    """That an agreement ends within so many days, and what is to be done."""

    agreement: UUID
    dataset: str
    provider_id: str
    consumer_id: str
    purpose: str
    purpose_ja: str
    purpose_en: str
    valid_until: Time
    days: int = Field(description="60, 30 or 7: the nearest notice that was given")
    made_at: Time
    amendment: UUID | None = Field(description="An access request that waits to amend it")
    todo_ja: str
    todo_en: str


class PurposeOut(OutShape):
    """A purpose of use."""

    code: str
    name_ja: str
    name_en: str


class PurposeIn(InShape):
    """A purpose to be added to the controlled list."""

    code: Slug
    name_ja: Name
    name_en: Name

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"code": "tourism", "name_ja": "観光振興", "name_en": "tourism"}
        }
    )


_AGREEMENT_CODES = (*SCOPED_CODES, "agreement_not_found", "wrong_agreement_state")
_MEMBER_CODES = (*_AGREEMENT_CODES, "not_the_steward", "not_a_group_agreement", "terms_invalid")


@router.get(
    "/agreements",
    response_model=PageOut[AgreementOut],
    summary="List agreements",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_agreements(
    caller: CallerDep,
    session: Reading,
    dataset: Annotated[str | None, Query(max_length=63)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Those that the caller's organisation is a party of or stands under as a member of a group
    today; with `admin:read` all."""
    found = await agreements.list_agreements(
        session,
        parties=await visible_parties(session, caller),
        dataset_id=dataset,
        after=after_id(cursor),
        limit=limit + 1,
    )
    return page(found, limit, lambda agreement: agreement.id)


@router.get(
    "/agreements/notices",
    response_model=PageOut[NoticeOut],
    summary="List agreements that end soon",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_notices(
    caller: CallerDep, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """60, 30 and 7 days before the end: those of the caller's organisation; `admin:read`: all."""
    found = await notices.list_notices(
        session,
        parties=await visible_parties(session, caller),
        after=after_id(cursor),
        limit=limit + 1,
    )
    return page(found, limit, lambda notice: notice.agreement)


@router.get(
    "/agreements/{agreement_id}",
    response_model=AgreementOut,
    summary="Show an agreement",
    responses=problems(*SCOPED_CODES, "agreement_not_found"),
)
async def show_agreement(
    agreement_id: UUID, caller: CallerDep, session: Reading, dataset_of: DatasetOf
) -> Agreement:
    """Parties, terms, state and who changed it last."""
    return (await visible_agreement(session, agreement_id, caller, dataset_of))[0]


@router.get(
    "/agreements/{agreement_id}/terms",
    response_class=Response,
    summary="Get the terms that were hashed",
    responses={
        **problems(*SCOPED_CODES, "agreement_not_found"),
        200: {
            "description": "Canonical JSON (RFC 8785); its SHA-256 is `terms_sha256`.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
    },
)
async def show_terms(
    agreement_id: UUID, caller: CallerDep, session: Reading, dataset_of: DatasetOf
) -> Response:
    """The very bytes, as they were when the agreement was made."""
    found, _ = await visible_agreement(session, agreement_id, caller, dataset_of)
    return Response(found.terms.encode(), media_type="application/json")


@router.post(
    "/agreements/{agreement_id}/suspend",
    response_model=AgreementOut,
    summary="Suspend an agreement",
    responses=problems(*_AGREEMENT_CODES, "not_a_party"),
)
async def suspend_agreement(
    agreement_id: UUID, why: ChangeIn, caller: CallerDep, session: Writing, dataset_of: DatasetOf
) -> Agreement:
    """At once, by either side (`agreements:write`) or the operator (`admin:write`)."""
    found, dataset = await changing_agreement(session, agreement_id, caller, dataset_of)
    return await agreements.suspend(session, found, dataset, reason=why.reason, by=caller.client)


@router.post(
    "/agreements/{agreement_id}/resume",
    response_model=AgreementOut,
    summary="Resume a suspended agreement",
    responses=problems(*_AGREEMENT_CODES, "not_the_steward"),
)
async def resume_agreement(
    agreement_id: UUID, why: ChangeIn, caller: CallerDep, session: Writing, dataset_of: DatasetOf
) -> Agreement:
    """By a steward of the provider alone: the operator can suspend, never release."""
    found, dataset = await changing_agreement(session, agreement_id, caller, dataset_of)
    return await agreements.resume(session, found, dataset, reason=why.reason, by=caller.client)


@router.post(
    "/agreements/{agreement_id}/revoke",
    response_model=AgreementOut,
    summary="Revoke an agreement",
    dependencies=[StepUp],
    responses=problems(*_AGREEMENT_CODES, "not_a_party", "insufficient_user_authentication"),
)
async def revoke_agreement(
    agreement_id: UUID, why: ChangeIn, caller: CallerDep, session: Writing, dataset_of: DatasetOf
) -> Agreement:
    """For good, by either side."""
    found, dataset = await changing_agreement(session, agreement_id, caller, dataset_of)
    return await agreements.revoke(session, found, dataset, reason=why.reason, by=caller.client)


@router.post(
    "/agreements/{agreement_id}/exclude",
    response_model=AgreementOut,
    summary="Stop one member's use of a group's agreement",
    responses=problems(*_MEMBER_CODES),
)
async def exclude_member(
    agreement_id: UUID, who: MemberIn, caller: CallerDep, session: Writing, dataset_of: DatasetOf
) -> Agreement:
    """At once, by a steward of the provider. The other members go on; later versions keep it."""
    found, dataset = await changing_agreement(session, agreement_id, caller, dataset_of)
    return await exclusions.exclude(
        session, found, dataset, who.organization, reason=who.reason, by=caller.client
    )


@router.post(
    "/agreements/{agreement_id}/include",
    response_model=AgreementOut,
    summary="Let a member use its group's agreement again",
    responses=problems(*_MEMBER_CODES),
)
async def include_member(
    agreement_id: UUID, who: MemberIn, caller: CallerDep, session: Writing, dataset_of: DatasetOf
) -> Agreement:
    """At once, by a steward of the provider."""
    found, dataset = await changing_agreement(session, agreement_id, caller, dataset_of)
    return await exclusions.include(
        session, found, dataset, who.organization, reason=who.reason, by=caller.client
    )


@router.get(
    "/purposes",
    response_model=list[PurposeOut],
    summary="List purposes of use",
    responses=problems(),
)
async def list_purposes(session: Reading) -> list[Purpose]:
    """The controlled list. Every read names one."""
    return await purposes.list_purposes(session)


@router.post(
    "/purposes",
    status_code=201,
    response_model=PurposeOut,
    summary="Add a purpose of use",
    responses=problems(*SCOPED_CODES, "purpose_exists"),
)
async def add_purpose(new: PurposeIn, caller: AdminWriter, session: Writing) -> Purpose:
    """A purpose, once listed, stays."""
    return await purposes.add_purpose(session, **new.model_dump(), by=caller.client.actor)
