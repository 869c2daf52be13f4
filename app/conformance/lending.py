"""What a vendor lends the official judge for the class `secure`. What proves it is sealed, never shown."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.events import Event
from app.conformance import services
from app.conformance.refusals import ServiceInvalid
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import Fault
from app.kit.outbound import Outbound
from app.models.conformance import ConformanceService

_CURVE: Final = "P-256"


@dataclass(frozen=True, slots=True)
class Lent:
    """A client of the sandbox, and what it may look at there."""

    client_id: str
    authorization_server: str | None = None
    guarded: str | None = None
    hidden_field: str | None = None
    hidden: str | None = None
    purpose: str = "own-duty"
    other_purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What proves the client: one of the two. `key`: a private JWK."""

    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)


async def lend(
    session: AsyncSession, sealer: Sealer, outbound: Outbound, service: ConformanceService,
    lent: Lent, proof: Proof, *, by: str,
) -> None:  # fmt: skip
    """Keep it for the runs to come, instead of what there was.

    Raises `OutboundRefused`, `ServiceInvalid`.
    """
    if lent.authorization_server is not None:
        outbound.check(lent.authorization_server)
    _check(proof)
    service.lent = asdict(lent)
    service.sealed_proof = sealer.seal(orjson.dumps(asdict(proof)), about=place_of(service.id))
    await _changed(session, service, by)


async def take_back(session: AsyncSession, service: ConformanceService, *, by: str) -> None:
    """Forget it."""
    service.lent = service.sealed_proof = None
    await _changed(session, service, by)


def opened(
    sealer: Sealer, service_id: UUID, lent: Mapping[str, Any], sealed: bytes
) -> tuple[Lent, Proof]:
    """What was lent, for the judge."""
    proof = orjson.loads(sealer.unseal(sealed, about=place_of(service_id)))
    return Lent(**lent), Proof(**proof)


def place_of(service_id: UUID) -> str:
    """What the sealed proof of a service is bound to."""
    return f"conformance_service:{service_id}"


def _check(proof: Proof) -> None:
    faults = []
    if (proof.key is None) == (proof.secret is None):
        faults.append(Fault(
            "/key", "invalid_value", "key か client_secret のどちらか一つを指定してください。",
            "Give key or client_secret, and not both.",
        ))  # fmt: skip
    elif proof.key is not None and not _is_key(proof.key):
        faults.append(Fault(
            "/key", "invalid_value", "P-256 の秘密鍵を JWK（JSON の文字列）で指定してください。",
            "Give a private P-256 key as a JWK, in JSON.",
        ))  # fmt: skip
    if faults:
        raise ServiceInvalid(faults=faults)


def _is_key(text: str) -> bool:
    try:
        key = ECKey.import_key(orjson.loads(text))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return key.is_private and key.curve_name == _CURVE


async def _changed(session: AsyncSession, service: ConformanceService, by: str) -> None:
    service.changed_at, service.changed_by = clock.now(), by
    await session.flush()
    await services.note(session, Event.SERVICE_CHANGED, service)
