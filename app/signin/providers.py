"""The registry of OpenID Connect providers: for whom each may vouch, and what its groups mean.

Gives out no secret; the private key made for a provider is unsealed by the sign-in alone.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from joserfc.jwk import ECKey
from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import AppError, Fault, Kind
from app.models.parties import AuthMethod, Organization, Role
from app.models.people import Person, PersonSession
from app.models.providers import IdentityProvider, ProviderDomain

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}\Z", re.ASCII)
_DOMAIN: Final = re.compile(r"(?=.{4,190}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}\Z")
_ISSUER: Final = re.compile(r"https?://[!-~]+\Z")  # visible ASCII
_MOST: Final = 200  # domains, groups, values of one provider


class ProviderNotFound(AppError):
    """No provider has this id."""

    kind = Kind.NOT_FOUND
    code = "provider_not_found"
    ja = "認証プロバイダー {provider} は登録されていません。"
    en = "There is no identity provider {provider}."


class ProviderExists(AppError):
    """The id is taken, or the issuer knows us by this client_id already."""

    kind = Kind.CONFLICT
    code = "provider_exists"
    ja = "同じidか、同じ issuer と client_id の認証プロバイダーが既にあります。"
    en = "There is an identity provider with this id, or with this issuer and client_id, already."


class ProviderInvalid(AppError):
    """What was said of the provider is wrong."""

    kind = Kind.INVALID
    code = "provider_invalid"
    ja = "認証プロバイダーの登録内容に誤りがあります。"
    en = "What was said of the identity provider is wrong."


class DomainTaken(AppError):
    """Another provider vouches for this domain."""

    kind = Kind.CONFLICT
    code = "domain_taken"
    ja = (
        "ドメイン {domain} は別の認証プロバイダーに登録されています。先にそちらから外してください。"
    )
    en = "Another identity provider vouches for {domain}. Take it from that one first."


@dataclass(frozen=True, slots=True)
class GroupMeans:
    """What membership of a provider's group gives here."""

    roles: Collection[Role] = ()
    organization: str | None = None  # where the person belongs: the provider's own, or below it

    def stored(self) -> dict[str, Any]:
        """As it stands in the registry."""
        return {
            "organization": self.organization,
            "roles": sorted({role.value for role in self.roles}),
        }


@dataclass(frozen=True, slots=True)
class Vouching:
    """For whom a provider may vouch, and what its words mean."""

    domains: Collection[str]
    group_claim: str | None = None
    groups: Mapping[str, GroupMeans] = field(default_factory=dict)
    default_roles: Collection[Role] = ()
    acr_values: Collection[str] = ()
    amr_values: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class NewProvider:
    """What is said of a provider to be added. `secret`: what it gave us, for client_secret_basic."""

    id: str
    organization_id: str
    name: str
    issuer: str
    client_id: str
    vouching: Vouching
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A provider with its domains."""

    provider: IdentityProvider
    domains: tuple[str, ...]


def key_name(provider_id: str) -> str:
    """What the sealed credential of a provider is bound to."""
    return f"identity_provider:{provider_id}"


async def add(session: AsyncSession, sealer: Sealer, new: NewProvider, *, by: str) -> Entry:
    """Add a provider. Without a secret, a key is made that we prove ourselves to it with.

    Raises `ProviderExists`, `ProviderInvalid` or `DomainTaken`.
    """
    _check(new)
    same = exists().where(
        (IdentityProvider.id == new.id)
        | (IdentityProvider.issuer == new.issuer) & (IdentityProvider.client_id == new.client_id)
    )
    if await session.scalar(select(same)):
        raise ProviderExists
    key = None if new.secret else ECKey.generate_key("P-256")
    provider = IdentityProvider(
        id=new.id,
        organization_id=await _organization(session, new.organization_id),
        name=new.name,
        issuer=new.issuer,
        client_id=new.client_id,
        auth_method=AuthMethod.PRIVATE_KEY_JWT if key else AuthMethod.CLIENT_SECRET_BASIC,
        public_jwk=_public(key) if key else None,
        sealed_private_jwk=_sealed(sealer, new.id, orjson.dumps(key.as_dict(private=True)))
        if key
        else None,
        sealed_secret=_sealed(sealer, new.id, new.secret.encode()) if new.secret else None,
        created_at=clock.now(),
        created_by=by,
    )
    await _say(session, provider, new.vouching)
    session.add(provider)
    await session.flush()
    domains = await _take(session, provider, new.vouching)
    await audit.append(
        session, Event.PROVIDER_ADDED, provider=provider.id, organization=provider.organization_id,
        issuer=provider.issuer, **_vouched(provider, domains), by=by,
    )  # fmt: skip
    return Entry(provider, domains)


async def get(session: AsyncSession, provider_id: str, *, lock: bool = False) -> IdentityProvider:
    """The provider, or `ProviderNotFound`."""
    found = await session.get(IdentityProvider, provider_id, with_for_update=lock)
    if found is None:
        raise ProviderNotFound(provider=provider_id)
    return found


async def find_by_domain(session: AsyncSession, domain: str) -> IdentityProvider | None:
    """The provider that vouches for a domain now; None where none does, or where it is disabled."""
    found: IdentityProvider | None = await session.scalar(
        select(IdentityProvider)
        .join(ProviderDomain, ProviderDomain.provider_id == IdentityProvider.id)
        .where(ProviderDomain.domain == domain.lower(), IdentityProvider.disabled_at.is_(None))
    )
    return found


async def entry_of(session: AsyncSession, provider: IdentityProvider) -> Entry:
    """The provider with its domains."""
    (entry,) = await _entries(session, [provider])
    return entry


async def list_providers(
    session: AsyncSession, *, after: str | None = None, limit: int = 100
) -> Sequence[Entry]:
    """Providers by id, disabled ones too."""
    statement = select(IdentityProvider).order_by(IdentityProvider.id).limit(limit)
    if after is not None:
        statement = statement.where(IdentityProvider.id > after)
    return await _entries(session, list(await session.scalars(statement)))


async def vouch(session: AsyncSession, provider_id: str, told: Vouching, *, by: str) -> Entry:
    """Say anew for whom a provider vouches: it counts from each person's next sign-in on."""
    provider = await get(session, provider_id, lock=True)
    await _say(session, provider, told)
    await session.execute(delete(ProviderDomain).where(ProviderDomain.provider_id == provider.id))
    domains = await _take(session, provider, told)
    await audit.append(
        session, Event.PROVIDER_CHANGED, provider=provider.id, **_vouched(provider, domains), by=by
    )
    return Entry(provider, domains)


async def disable(session: AsyncSession, provider_id: str, *, by: str) -> Entry:
    """Take a provider's word no more: those who came by it are out, with sessions and tokens."""
    provider = await get(session, provider_id, lock=True)
    if provider.disabled_at is None:
        provider.disabled_at = clock.now()
        its = select(Person.id).where(Person.provider_id == provider.id)
        await session.execute(delete(PersonSession).where(PersonSession.person_id.in_(its)))
        await audit.append(
            session, Event.PROVIDER_CHANGED, provider=provider.id, state="disabled", by=by
        )
    return await entry_of(session, provider)


async def enable(session: AsyncSession, provider_id: str, *, by: str) -> Entry:
    """Take a provider's word again."""
    provider = await get(session, provider_id, lock=True)
    if provider.disabled_at is not None:
        provider.disabled_at = None
        await audit.append(
            session, Event.PROVIDER_CHANGED, provider=provider.id, state="enabled", by=by
        )
    return await entry_of(session, provider)


async def _entries(session: AsyncSession, found: Sequence[IdentityProvider]) -> list[Entry]:
    by_provider: dict[str, list[str]] = {provider.id: [] for provider in found}
    its = select(ProviderDomain).where(ProviderDomain.provider_id.in_(by_provider))
    for each in await session.scalars(its.order_by(ProviderDomain.domain)):
        by_provider[each.provider_id].append(each.domain)
    return [Entry(provider, tuple(by_provider[provider.id])) for provider in found]


async def _say(session: AsyncSession, provider: IdentityProvider, told: Vouching) -> None:
    _check_vouching(told)
    for group, means in told.groups.items():
        if means.organization is not None:
            await _check_below(session, provider.organization_id, group, means.organization)
    provider.group_claim = told.group_claim
    provider.groups = {group: means.stored() for group, means in told.groups.items()}
    provider.default_roles = sorted({role.value for role in told.default_roles})
    provider.acr_values = sorted(set(told.acr_values))
    provider.amr_values = sorted(set(told.amr_values))


async def _check_below(session: AsyncSession, top: str, group: str, organization: str) -> None:
    """A provider puts nobody into an organisation that is neither its own nor below that."""
    line = await session.scalar(select(func.line_of(organization)))
    if top not in (line or ()):
        raise _wrong(
            f"/groups/{group}/organization", "not_below",
            f"{organization} は {top} かその下部組織ではありません。",
            f"{organization} is neither {top} nor below it.",
        )  # fmt: skip


async def _take(
    session: AsyncSession, provider: IdentityProvider, told: Vouching
) -> tuple[str, ...]:
    domains = tuple(sorted({domain.lower() for domain in told.domains}))
    taken = await session.scalar(
        select(ProviderDomain.domain).where(ProviderDomain.domain.in_(domains)).limit(1)
    )
    if taken is not None:
        raise DomainTaken(domain=taken)
    session.add_all(ProviderDomain(domain=domain, provider_id=provider.id) for domain in domains)
    return domains


async def _organization(session: AsyncSession, organization_id: str) -> str:
    found = await session.get(Organization, organization_id)
    if found is None or found.valid_to is not None:
        raise _wrong(
            "/organization", "organization_unknown", "この組織はないか、廃止されています。",
            "There is no such organisation, or it was closed.",
        )  # fmt: skip
    return found.id


def _check(new: NewProvider) -> None:
    if not _ID.fullmatch(new.id):
        raise _wrong(
            "/id", "invalid_id", "idは英小文字・数字・ハイフンの2〜63文字です。",
            "The id is 2 to 63 lower-case letters, digits and hyphens.",
        )  # fmt: skip
    # OpenID Connect Core 1.0, 2: neither query nor fragment.
    if not _ISSUER.fullmatch(new.issuer) or "?" in new.issuer or "#" in new.issuer:
        raise _wrong(
            "/issuer", "invalid_issuer", "issuer は ? や # を含まない https のアドレスです。",
            "The issuer is an https address without ? and #.",
        )  # fmt: skip


def _vouched(provider: IdentityProvider, domains: Sequence[str]) -> dict[str, Any]:
    """All that a provider's word gives, for the log: who may become what, and from when on."""
    names = ("group_claim", "groups", "default_roles", "acr_values", "amr_values")
    return {"domains": list(domains), **{name: getattr(provider, name) for name in names}}


def _check_vouching(told: Vouching) -> None:
    if Role.OPERATOR in told.default_roles:
        raise _wrong(
            "/default_roles", "operator_for_everybody",
            "運営者の役割は全員には与えられません。groups でグループを指定してください。",
            "Nobody becomes an operator by being anybody's staff: name a group in groups.",
        )  # fmt: skip
    for place, domain in enumerate(told.domains):
        if not _DOMAIN.fullmatch(domain.lower()):
            raise _wrong(
                f"/domains/{place}", "invalid_domain", "city.example.jp の形のドメインです。",
                "A domain is like city.example.jp.",
            )  # fmt: skip
    if told.groups and not told.group_claim:
        raise _wrong(
            "/group_claim", "group_claim_required", "groups には group_claim が必要です。",
            "groups needs group_claim.",
        )  # fmt: skip
    if max(len(told.domains), len(told.groups), len(told.acr_values), len(told.amr_values)) > _MOST:
        raise _wrong("/", "too_many", f"{_MOST}個までです。", f"At most {_MOST} of each.")


def _public(key: ECKey) -> dict[str, Any]:
    return {
        **key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": "ES256",
    }  # fmt: skip


def _sealed(sealer: Sealer, provider_id: str, secret: bytes) -> bytes:
    return sealer.seal(secret, about=key_name(provider_id))


def _wrong(pointer: str, code: str, ja: str, en: str) -> ProviderInvalid:
    return ProviderInvalid(faults=[Fault(pointer, code, ja, en)])
