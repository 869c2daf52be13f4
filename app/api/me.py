"""A citizen's own doors: what they consented to, and who read what about them. Nobody else's.

Whose things they are comes from the sign-in alone: no parameter names a person.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from app.api.access import PlatformDep, Reading, Writing
from app.api.citizens import CITIZEN_CODES, AccessesOf, ConsentsOf
from app.api.consents import RECEIPT, signed_receipt
from app.api.my_shapes import (
    AccessOut,
    ConsentOut,
    ConsentsOut,
    OfferOut,
    Uses,
    access_out,
    consent_out,
    used_consent_out,
    words_for,
)
from app.api.paging import Cursor, Limit, PageOut, WrongCursor, after, cursor_of
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY
from app.api.state import Platform
from app.audit.accesses import list_accesses
from app.subjects import consents

router = APIRouter(prefix="/v1/me", tags=["Citizens"], max_body_size=LONGEST_BODY)
_MOST_USES: Final = 1_000
OFFERED: Final = "/me/consents"  # followed by the hash of a text
_Slug = Annotated[str, Query(min_length=1, max_length=100)]
_LARGEST_ENTRY: Final = 2**63 - 1


@router.get(
    "/consents",
    response_model=ConsentsOut,
    summary="List one's own consents, with every use of them",
    responses=problems(*CITIZEN_CODES),
)
async def list_consents(
    citizen: ConsentsOf, session: Reading, platform: PlatformDep
) -> dict[str, Any]:
    """In force, withdrawn and over, the newest first; with the reads that each was for."""
    names = await platform.linker.names(citizen.person)
    found = await consents.list_of(session, names)
    uses = await uses_of(platform, names)
    words = await words_for(session, found, uses.accesses)
    return {"items": [used_consent_out(each, words, uses) for each in found]}


@router.get(
    "/consents/offer",
    response_model=OfferOut,
    summary="Show what one would consent to",
    responses=problems(*CITIZEN_CODES, "nothing_to_consent_to"),
)
async def show_offer(
    citizen: ConsentsOf, session: Writing, platform: PlatformDep,
    dataset: _Slug, consumer: _Slug, purpose: _Slug,
) -> OfferOut:  # fmt: skip
    """The text, word for word, and the page on which the citizen reads it and answers.

    No app consents for anybody: send the citizen's browser to `page`, then list the consents.
    """
    shown = await consents.offer(session, dataset_id=dataset, consumer_id=consumer, purpose=purpose)
    page_of_it = f"{platform.issuer}{OFFERED}/{shown.sha256}"
    return OfferOut(
        sha256=shown.sha256, ja=shown.ja, en=shown.en, valid_until=shown.valid_until,
        page=page_of_it,
    )  # fmt: skip


@router.post(
    "/consents/{consent_id}/withdraw",
    response_model=ConsentOut,
    summary="Withdraw a consent",
    responses=problems(*CITIZEN_CODES, "consent_not_found"),
)
async def withdraw_consent(
    consent_id: UUID, citizen: ConsentsOf, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """From the next request on nothing is read by it. What was read before stays read."""
    names = await platform.linker.names(citizen.person)
    by = citizen.client.client_id
    ended = await consents.withdraw(session, consent_id, names=names, by=by)
    return consent_out(ended, await words_for(session, [ended], ()))


@router.get(
    "/consents/{consent_id}/receipt",
    response_class=Response,
    summary="Get the receipt of one's own consent",
    responses={**problems(*CITIZEN_CODES, "consent_not_found"), 200: RECEIPT},
)
async def show_receipt(
    consent_id: UUID, citizen: ConsentsOf, session: Reading, platform: PlatformDep
) -> Response:
    """What was consented to, word for word, and whether it was withdrawn; to be kept elsewhere."""
    names = await platform.linker.names(citizen.person)
    consent = await consents.get_own(session, consent_id, names)
    person = await platform.linker.name(citizen.person, citizen.client.organization_id)
    return await signed_receipt(platform, session, consent, person)


@router.get(
    "/accesses",
    response_model=PageOut[AccessOut],
    summary="List who read what about oneself",
    responses=problems(*CITIZEN_CODES, "invalid_cursor"),
)
async def list_my_accesses(
    citizen: AccessesOf,
    session: Reading,
    platform: PlatformDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Which organisation, which fields, why and when; the newest first.

    A page may hold few or none where there is a `next`: reads of everybody are looked through.
    """
    names = await platform.linker.names(citizen.person)
    listed = await list_accesses(platform.database.pool, names, before=_before(cursor), limit=limit)
    words = await words_for(session, (), listed.found)
    return {
        "items": [access_out(each, words) for each in listed.found],
        "next": None if listed.before is None else cursor_of(str(listed.before)),
    }


async def uses_of(platform: Platform, names: consents.Names, most: int = _MOST_USES) -> Uses:
    """The newest reads about somebody, by which uses of consents are told."""
    listed = await list_accesses(platform.database.pool, names, limit=most)
    return Uses(listed.found, is_cut=listed.before is not None)


def _before(cursor: str | None) -> int | None:
    """The entry that the page before ended with, or `WrongCursor`."""
    named = after(cursor)
    if named is None:
        return None
    if not (named.isascii() and named.isdecimal()) or not 0 < int(named) <= _LARGEST_ENTRY:
        raise WrongCursor
    return int(named)
