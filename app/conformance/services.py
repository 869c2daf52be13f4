"""Services that vendors register to be judged. Asks no sandbox and judges no caller; commits nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.conformance.refusals import ServiceInvalid, ServiceNotFound
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import Fault
from app.kit.outbound import Outbound
from app.models.conformance import ConformanceService
from app.query import codes
from app.query.codes import CodeError

Class = Literal["core", "query", "changes", "write", "push", "secure"]
# As the standard orders them; `core` is in all: the others stand on it.
CLASSES: Final[tuple[Class, ...]] = ("core", "query", "changes", "write", "push", "secure")
WRITTEN: Final[frozenset[str]] = frozenset(("changes", "write"))  # judged by writing to the sandbox


@dataclass(frozen=True, slots=True)
class Said:
    """What a vendor says of its service."""

    name: str
    sandbox_url: str
    dataset: str | None
    classes: Sequence[str]
    municipalities: Sequence[str]
    prefix: str | None = None  # of what the judge may write
    token: str | None = field(default=None, repr=False)  # lent to it for that


async def add(
    session: AsyncSession, outbound: Outbound, sealer: Sealer, organization_id: str, said: Said, *,
    by: str,
) -> ConformanceService:  # fmt: skip
    """Register a service. Raises `OutboundRefused`, `ServiceInvalid`."""
    now = clock.now()
    service = ConformanceService(
        id=uuid4(), organization_id=organization_id, created_at=now, created_by=by
    )
    _say(service, outbound, sealer, said, by)
    session.add(service)
    await session.flush()
    await note(session, Event.SERVICE_ADDED, service)
    return service


async def change(
    session: AsyncSession, outbound: Outbound, sealer: Sealer, service: ConformanceService,
    said: Said, *, by: str,
) -> None:  # fmt: skip
    """Say it anew and whole, the token too: it never goes to another place than the one that it was
    lent for. A certificate goes on saying what it said.

    Raises `OutboundRefused`, `ServiceInvalid`.
    """
    _say(service, outbound, sealer, said, by)
    await session.flush()
    await note(session, Event.SERVICE_CHANGED, service)


async def withdraw(session: AsyncSession, service: ConformanceService, *, by: str) -> None:
    """Take it off every list; its runs and certificates stay to be looked up, its token does not."""
    service.sealed_token = None
    service.withdrawn_at = service.changed_at = clock.now()
    service.changed_by = by
    await session.flush()
    await note(session, Event.SERVICE_WITHDRAWN, service)


async def get(
    session: AsyncSession, service_id: UUID, owners: Sequence[str] | None, *, lock: bool = False
) -> ConformanceService:
    """A service of one of the owners (None: of anybody). Raises `ServiceNotFound`."""
    found = await session.get(ConformanceService, service_id, with_for_update=lock or None)
    if found is None or found.withdrawn_at is not None:
        raise ServiceNotFound(id=service_id)
    if owners is not None and found.organization_id not in owners:
        raise ServiceNotFound(id=service_id)
    return found


async def list_services(
    session: AsyncSession, owners: Sequence[str] | None, *, after: UUID | None, limit: int
) -> Sequence[ConformanceService]:
    """Services by id."""
    statement = select(ConformanceService).where(ConformanceService.withdrawn_at.is_(None))
    if owners is not None:
        statement = statement.where(ConformanceService.organization_id.in_(owners))
    if after is not None:
        statement = statement.where(ConformanceService.id > after)
    return (await session.scalars(statement.order_by(ConformanceService.id).limit(limit))).all()


def token_of(sealer: Sealer, service_id: UUID, sealed: bytes) -> str:
    """The token that was lent. Raises `SecretKeyUnusable`."""
    return sealer.unseal(sealed, about=_place(service_id)).decode()


def _place(service_id: UUID) -> str:
    """What the sealed token of a service is bound to."""
    return f"conformance/{service_id}/token"


def _say(
    service: ConformanceService, outbound: Outbound, sealer: Sealer, said: Said, by: str
) -> None:
    outbound.check(said.sandbox_url)
    faults = [
        Fault(
            f"/municipalities/{at}", "invalid_code",
            f"{code} は検査数字まで正しい6桁の全国地方公共団体コードではありません。",
            f"{code} is no local government code of six digits with a right check digit.",
        )
        for at, code in enumerate(said.municipalities)
        if not _is_code(code)
    ]  # fmt: skip
    if "?" in said.sandbox_url or "#" in said.sandbox_url:
        faults.append(Fault(
            "/sandbox_url", "invalid_address", "/v1 の手前までのアドレスを指定してください。",
            "Give the address before /v1, without a query.",
        ))  # fmt: skip
    if (said.token and not said.prefix) or (said.prefix and said.dataset is None):
        faults.append(Fault(
            "/sandbox_prefix", "incomplete",
            "sandbox_token には sandbox_prefix を、sandbox_prefix には dataset を添えてください。",
            "Give sandbox_prefix with sandbox_token, and dataset with sandbox_prefix.",
        ))  # fmt: skip
    if faults:
        raise ServiceInvalid(faults=faults)
    service.name, service.dataset = said.name, said.dataset
    service.sandbox_prefix, service.sealed_token = said.prefix, None
    if said.token is not None:
        service.sealed_token = sealer.seal(said.token.encode(), about=_place(service.id))
    url = said.sandbox_url.rstrip("/").removesuffix("/v1")
    if url != service.sandbox_url:  # what was lent was for the other address
        service.lent = service.sealed_proof = None
    service.sandbox_url = url
    service.classes = [each for each in CLASSES if each == "core" or each in said.classes]
    service.municipalities = sorted(set(said.municipalities))
    service.changed_at, service.changed_by = clock.now(), by


def _is_code(text: str) -> bool:
    """Nothing is mended: what is published is what was said."""
    try:
        return codes.local_government_code(text) == text
    except CodeError:
        return False


async def note(session: AsyncSession, event: Event, service: ConformanceService) -> None:
    """Tell the log what became of a service."""
    await log.append(
        session, event, service=str(service.id), organization=service.organization_id,
        sandbox=service.sandbox_url, by=service.changed_by,
    )  # fmt: skip
