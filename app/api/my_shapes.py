"""What a citizen is shown of consents and reads, in both languages. Names no official."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.shapes import OutShape, Time
from app.audit.accesses import Access
from app.kit import clock
from app.models.consents import Consent
from app.subjects.words import Named, Words, words_of


class NamedOut(OutShape):
    """A thing as it is called; `en` is null where it has no English name."""

    id: str
    ja: str
    en: str | None


class AccessOut(BaseModel):
    """One time that somebody read what is held about the citizen."""

    entry: int = Field(description="its number in the log")
    at: Time
    dataset: NamedOut
    provider: NamedOut = Field(description="who holds the data")
    reader: NamedOut | None = Field(description="who read; null: the log names no organisation")
    purpose: NamedOut | None
    agreement: str | None
    fields: list[NamedOut]
    among_all: bool = Field(
        description="one of a read of so many people that the log does not tell them one by one"
    )


class ConsentOut(BaseModel):
    """One consent of the citizen's."""

    id: UUID
    dataset: NamedOut
    provider: NamedOut
    consumer: NamedOut
    purpose: NamedOut
    fields: list[NamedOut]
    text_sha256: str
    method: str
    acr: str | None
    given_at: Time
    valid_until: Time
    withdrawn_at: Time | None
    in_force: bool


class UsedConsentOut(ConsentOut):
    """One consent of the citizen's, and every use of it."""

    uses: list[AccessOut] = Field(description="newest first")
    uses_cut: bool = Field(description="there are older ones: `GET /v1/me/accesses` has all")


class ConsentsOut(BaseModel):
    """All of a citizen's consents, the newest first."""

    items: list[UsedConsentOut]


class OfferOut(OutShape):
    """What is to be shown before somebody consents, word for word."""

    sha256: str
    ja: str
    en: str
    valid_until: Time
    page: str = Field(description="where the citizen is shown it, and consents or does not")


@dataclass(frozen=True, slots=True)
class Uses:
    """The newest reads about somebody, and whether there are older ones."""

    accesses: Sequence[Access]
    is_cut: bool

    def of(self, consent: Consent) -> list[Access]:
        """The reads that this consent was for: by its consumer, for its purpose, while it was."""
        end = min(consent.withdrawn_at or consent.valid_until, consent.valid_until)
        on = (consent.dataset_id, consent.consumer_id, consent.purpose)
        return [
            each
            for each in self.accesses
            if (each.dataset, each.consumer, each.purpose) == on
            and consent.given_at <= each.at < end
        ]


async def words_for(
    session: AsyncSession, consents: Iterable[Consent], accesses: Iterable[Access]
) -> Words:
    """What all that they speak of is called."""
    things = [(c.dataset_id, (c.provider_id, c.consumer_id), c.purpose) for c in consents]
    things += [(a.dataset, (a.provider, a.consumer or ""), a.purpose or "") for a in accesses]
    return await words_of(
        session,
        datasets={dataset for dataset, _, _ in things},
        organizations={each for _, parties, _ in things for each in parties},
        purposes={purpose for _, _, purpose in things},
    )


def access_out(access: Access, words: Words) -> dict[str, Any]:
    """A read as its citizen is told of it."""
    reader, purpose = access.consumer, access.purpose
    return {
        "entry": access.seq,
        "at": access.at,
        "dataset": _called(words.datasets, access.dataset),
        "provider": _called(words.organizations, access.provider),
        "reader": reader and _called(words.organizations, reader),
        "purpose": purpose and _called(words.purposes, purpose),
        "agreement": access.agreement,
        "fields": words.fields(access.dataset, access.columns),
        "among_all": access.among_all,
    }


def used_consent_out(consent: Consent, words: Words, uses: Uses) -> dict[str, Any]:
    """A consent with the reads that it was for."""
    told = [access_out(each, words) for each in uses.of(consent)]
    return {**consent_out(consent, words), "uses": told, "uses_cut": uses.is_cut}


def consent_out(consent: Consent, words: Words) -> dict[str, Any]:
    """A consent as its citizen is told of it."""
    same = ("id", "text_sha256", "method", "acr", "given_at", "valid_until", "withdrawn_at")
    return {
        **{name: getattr(consent, name) for name in same},
        "dataset": _called(words.datasets, consent.dataset_id),
        "provider": _called(words.organizations, consent.provider_id),
        "consumer": _called(words.organizations, consent.consumer_id),
        "purpose": _called(words.purposes, consent.purpose),
        "fields": words.fields(consent.dataset_id, consent.columns),
        "in_force": is_in_force(consent),
    }


def is_in_force(consent: Consent) -> bool:
    """Whether anything is read by it now."""
    return consent.withdrawn_at is None and clock.now() < consent.valid_until


def _called(words: Mapping[str, Named], id_: str) -> Named:
    return words.get(id_) or Named(id_, id_, None)
