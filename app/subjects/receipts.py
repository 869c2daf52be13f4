"""What a consent receipt says: the fields of ISO/IEC TS 27560:2023 (6.3 and 6.4), filled. Signs nothing.

It names the person as whoever is handed it knows them, never as another organisation does.
"""

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit import clock
from app.models.agreements import Purpose
from app.models.consents import Consent
from app.models.parties import Organization

SCHEMA: Final = "ISO/IEC TS 27560:2023"
TYPE: Final = (
    "consent-receipt+jwt"  # of the signature's header: no other token of ours is taken for it
)


async def receipt_of(
    session: AsyncSession, consent: Consent, *, issuer: str, person: str
) -> dict[str, Any]:
    """The receipt's content as of now; a consent that was withdrawn says since when."""
    provider = await session.get_one(Organization, consent.provider_id)
    consumer = await session.get_one(Organization, consent.consumer_id)
    purpose = await session.get_one(Purpose, consent.purpose)
    return {
        "iss": issuer,
        "iat": int(clock.now().timestamp()),
        "record": {
            "schema_version": SCHEMA,
            "record_id": str(consent.id),
            "pii_principal_id": person,
        },
        "pii_processing": _processing(consent, purpose, issuer),
        "party_identification": [
            _party(provider, "PII controller"),
            _party(consumer, "third party"),
        ],
        "event": _events(consent, person),
    }


def _processing(consent: Consent, purpose: Purpose, issuer: str) -> dict[str, Any]:
    return {
        "privacy_notice": {
            "sha256": consent.text_sha256,
            "ja": consent.text.ja,
            "en": consent.text.en,
        },
        "language": ["ja", "en"],
        "purposes": [
            {
                "purpose": {"ja": purpose.name_ja, "en": purpose.name_en},
                "purpose_type": consent.purpose,
                "lawful_basis": "consent",
                "pii_information": [{"pii_type": name} for name in consent.columns],
                "pii_controllers": [consent.provider_id],
                "recipient_third_parties": [consent.consumer_id],
                "services": [consent.dataset_id],
                "collection_method": consent.method,
                "processing_method": ["disclosure"],
                "jurisdiction": "JP",
                "withdrawal_method": f"{issuer}/v1/consents/{consent.id}/withdraw",
            }
        ],
    }


def _party(organization: Organization, role: str) -> dict[str, Any]:
    name = {"ja": organization.name_ja, "en": organization.name_en or organization.name_ja}
    return {"party_id": organization.id, "party_name": name, "party_role": role}


def _events(consent: Consent, person: str) -> list[dict[str, Any]]:
    """The giving and, where there was one, the withdrawal."""
    lasts = int((consent.valid_until - consent.given_at).total_seconds())
    given: dict[str, Any] = {
        "event_time": consent.given_at.astimezone(clock.TOKYO).isoformat(),
        "valid_until": consent.valid_until.astimezone(clock.TOKYO).isoformat(),
        "validity_duration": f"PT{lasts}S",
        "entity_id": person,
        "event_type": "explicit",
        "event_state": "consent given",
    }
    if consent.acr is not None:
        given["acr"] = consent.acr
    if consent.withdrawn_at is None:
        return [given]
    at = consent.withdrawn_at.astimezone(clock.TOKYO).isoformat()
    return [given, {"event_time": at, "entity_id": person, "event_type": "explicit",
                    "event_state": "consent withdrawn"}]  # fmt: skip
