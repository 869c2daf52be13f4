"""The door to consents for providers and consumers. It tells each its own names of people alone."""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from joserfc import jwt
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import (
    SCOPED_CODES,
    AgreementsWriter,
    PlatformDep,
    Reading,
    Writing,
    require,
)
from app.api.dataset_shapes import DatasetId
from app.api.ownership import NotThePublisher, Owned, owner_code
from app.api.paging import Cursor, Limit, PageOut, after_id, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug, Time
from app.api.state import Platform
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.consents import Consent, ConsentText, Method
from app.models.parties import Role
from app.oauth.keys import ALGORITHM
from app.policy.facts import Caller
from app.subjects import consents
from app.subjects.receipts import TYPE, receipt_of

router = APIRouter(prefix="/v1/consents", tags=["Consents"], max_body_size=LONGEST_BODY)
_CODES: Final = (*SCOPED_CODES, "token_not_bound")
_GIVING: Final = (
    *_CODES, owner_code(), "dataset_not_found", "nothing_to_consent_to",
)  # fmt: skip
_JOSE: Final = "application/jose"
RECEIPT: Final[dict[str, Any]] = {
    "description": "A JWS (RFC 7515) of the platform's key, its `typ` `consent-receipt+jwt`",
    "content": {_JOSE: {"schema": {"type": "string"}}},
}


class ConsentTokenNotBound(AppError):
    """Whom a consent is of is personal: it is told to whom the token is bound to alone."""

    kind = Kind.FORBIDDEN
    code = "token_not_bound"
    ja = "同意の操作には、送信者の鍵に結び付いたトークン（DPoP か mTLS）が必要です。"
    en = "Consents need a token that is bound to its sender's key (DPoP or mTLS)."


def _bound(caller: Caller) -> Caller:
    if not caller.bound:
        raise ConsentTokenNotBound
    return caller


async def party_of(caller: AgreementsWriter) -> Caller:
    """A steward or developer of a party, by a bound token."""
    return _bound(caller)


async def provider_of(
    caller: Annotated[Caller, require(scope="agreements:write", role=Role.STEWARD)],
) -> Caller:
    """A provider's steward, by a bound token."""
    return _bound(caller)


PartyDep = Annotated[Caller, Depends(party_of)]
ProviderDep = Annotated[Caller, Depends(provider_of)]


class TextIn(InShape):
    """What a person is to be asked for."""

    dataset: Slug
    consumer: Name
    purpose: Slug

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"dataset": "residents", "consumer": "271403", "purpose": "welfare"}
        }
    )


class TextOut(OutShape):
    """What is to be shown, word for word. `body` is what `sha256` is the hash of."""

    sha256: str
    dataset: str = Field(validation_alias="dataset_id")
    provider_id: str
    consumer_id: str
    purpose: str
    columns: list[str]
    valid_until: Time
    ja: str
    en: str
    body: str


class ConsentIn(InShape):
    """A consent on paper: who signed, and the hash of the text that they signed."""

    person: Name = Field(description="the provider's own name for the person")
    text_sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    valid_until: AwareDatetime | None = Field(
        default=None, description="never later than the agreement's end, which is the default"
    )

    model_config = ConfigDict(
        json_schema_extra={"example": {"person": "k4…", "text_sha256": "9f" * 32}}
    )


class ConsentOut(OutShape):
    """A consent as one of its parties may know it."""

    id: UUID
    person: str | None = Field(
        description="the asking organisation's own name for the person; null: it has none any more"
    )
    dataset: str = Field(validation_alias="dataset_id")
    provider_id: str
    consumer_id: str
    purpose: str
    columns: list[str]
    text_sha256: str
    method: str
    given_at: Time
    valid_until: Time
    withdrawn_at: Time | None
    state: str = Field(description="in_force, withdrawn or expired")


@router.post(
    "/texts",
    response_model=TextOut,
    summary="Get the text that a person is to be shown",
    responses=problems(*_GIVING),
)
async def make_text(asked: TextIn, caller: ProviderDep, session: Writing) -> ConsentText:
    """Made of the agreement in force, the catalogue and the purpose. The same until one changes."""
    await _own_dataset(session, asked.dataset, caller)
    return await consents.offer(
        session, dataset_id=asked.dataset, consumer_id=asked.consumer, purpose=asked.purpose
    )


@router.post(
    "",
    status_code=201,
    response_model=ConsentOut,
    summary="Record a consent given on paper",
    responses=problems(
        *_GIVING,
        "consent_text_not_in_force",
        "person_not_named",
        "consent_already_given",
        "consent_period_invalid",
    ),
)
async def record_consent(
    paper: ConsentIn, caller: ProviderDep, platform: PlatformDep, session: Writing
) -> ConsentOut:
    """By the provider's steward, who keeps the paper. In force with the consumer's next read."""
    mine = caller.client.organization_id
    shown = await consents.get_text(session, paper.text_sha256)
    await _own_dataset(session, shown.dataset_id, caller)
    who = await platform.linker.person(mine, paper.person)
    given = await consents.give(
        session, names={} if who is None else await platform.linker.names(who),
        text_sha256=paper.text_sha256, valid_until=paper.valid_until, method=Method.PAPER,
        acr=None, by=caller.client.actor,
    )  # fmt: skip
    return _shown(given, paper.person)


@router.get(
    "",
    response_model=PageOut[ConsentOut],
    summary="List consents",
    responses=problems(*_CODES, "invalid_cursor"),
)
async def list_consents(
    caller: PartyDep, platform: PlatformDep, session: Reading,
    dataset: Annotated[DatasetId | None, Query()] = None, limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """To a provider's stewards those on its data, to a consumer those given to it."""
    found = await consents.list_of_party(
        session, caller.client.organization_id, provides=_provides(caller), dataset_id=dataset,
        after=after_id(cursor), limit=limit + 1,
    )  # fmt: skip
    listed = page(found, limit, lambda consent: consent.id)
    names = await _names(platform, session, listed["items"], caller.client.organization_id)
    return {**listed, "items": [_shown(each, names.get(each.id)) for each in listed["items"]]}


@router.get(
    "/{consent_id}/receipt",
    response_class=Response,
    summary="Get a consent's receipt",
    responses={**problems(*_CODES, "consent_not_found"), 200: RECEIPT},
)
async def show_receipt(
    consent_id: UUID, caller: PartyDep, platform: PlatformDep, session: Reading
) -> Response:
    """Who, what, to whom, what for, until when, in the fields of ISO/IEC TS 27560. It is verified
    with the keys at `/oauth/jwks`; when that of its `kid` is no longer there, get it again."""
    consent = await _visible(session, consent_id, caller)
    names = await _names(platform, session, [consent], caller.client.organization_id)
    return await signed_receipt(platform, session, consent, names.get(consent.id, ""))


async def signed_receipt(
    platform: Platform, session: AsyncSession, consent: Consent, person: str
) -> Response:
    """The receipt under the platform's key, for whom `person` is a name of their own."""
    claims = await receipt_of(session, consent, issuer=platform.issuer, person=person)
    keys = await platform.keys.get()
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": keys.current_kid}
    return Response(
        jwt.encode(header, claims, keys.current, algorithms=[ALGORITHM]), media_type=_JOSE
    )


@router.post(
    "/{consent_id}/withdraw",
    response_model=ConsentOut,
    summary="Withdraw a consent for the person",
    responses=problems(*_CODES, "consent_not_found"),
)
async def withdraw_consent(
    consent_id: UUID, caller: ProviderDep, platform: PlatformDep, session: Writing
) -> ConsentOut:
    """By the provider's steward, at the person's word. In force with the next read."""
    mine = caller.client.organization_id
    if (await consents.get(session, consent_id)).provider_id != mine:
        raise consents.ConsentNotFound(id=consent_id)
    consent = await consents.withdraw(session, consent_id, names=None, by=caller.client.actor)
    return _shown(consent, (await _names(platform, session, [consent], mine)).get(consent.id))


async def _own_dataset(session: AsyncSession, dataset_id: str, caller: Caller) -> None:
    """Whoever runs the publisher's group has none of the publisher's names of people."""
    dataset = await Owned.dataset(session, dataset_id, caller)
    if dataset.publisher_id != caller.client.organization_id:
        raise NotThePublisher(publisher=dataset.publisher_id)


def _provides(caller: Caller) -> bool:
    return Role.STEWARD in caller.client.roles


async def _visible(session: AsyncSession, consent_id: UUID, caller: Caller) -> Consent:
    """The consent, to its parties alone. Raises `ConsentNotFound`."""
    consent, mine = await consents.get(session, consent_id), caller.client.organization_id
    if mine == consent.consumer_id or (mine == consent.provider_id and _provides(caller)):
        return consent
    raise consents.ConsentNotFound(id=consent_id)


async def _names(
    platform: Platform, session: AsyncSession, found: Sequence[Consent], mine: str
) -> dict[UUID, str]:
    """What the organisation calls the person of each consent, by its newest name."""
    theirs = await consents.names_of(session, [each.id for each in found])
    called: dict[UUID, str] = {}
    for provider in {each.provider_id for each in found}:
        names = {
            each.id: theirs[each.id]
            for each in found
            if each.provider_id == provider and each.id in theirs  # else they were forgotten
        }
        known = await platform.linker.translate(list(names.values()), of=provider, for_=mine)
        called |= {each: known[name] for each, name in names.items() if name in known}
    return called


def _shown(consent: Consent, person: str | None) -> ConsentOut:
    state = "in_force" if clock.now() < consent.valid_until else "expired"
    state = state if consent.withdrawn_at is None else "withdrawn"
    kept = {name: getattr(consent, name) for name in _COLUMNS}
    return ConsentOut(**kept, person=person, state=state)


_COLUMNS: Final = (
    "id", "dataset_id", "provider_id", "consumer_id", "purpose", "columns", "text_sha256",
    "method", "given_at", "valid_until", "withdrawn_at",
)  # fmt: skip
