"""The registry of citizens' identity providers, and how surely each of their words is meant.

None of them vouches for staff, roles or a mail domain, and it gives out no secret.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from joserfc.jwk import ECKey
from sqlalchemy import delete, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import AppError, Fault, Kind
from app.models.citizens import CitizenProvider, CitizenSession
from app.policy.assurance import Level
from app.signin.providers import ProviderExists, ProviderInvalid

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}\Z", re.ASCII)
_ISSUER: Final = re.compile(r"https?://[!-~]+\Z")
_ACR: Final = re.compile(r"[!-~]{1,255}\Z")  # parted by spaces in acr_values
_MOST: Final = 50


class CitizenProviderNotFound(AppError):
    """No citizens' provider has this id."""

    kind = Kind.NOT_FOUND
    code = "citizen_provider_not_found"
    ja = "住民向け認証プロバイダー {provider} は登録されていません。"
    en = "There is no citizens' identity provider {provider}."


@dataclass(frozen=True, slots=True)
class NewCitizenProvider:
    """What is said of a provider to be added. Without a secret, a key of ours is made for it."""

    id: str
    name_ja: str
    name_en: str
    issuer: str
    client_id: str
    levels: Mapping[str, Level]
    secret: str | None = field(default=None, repr=False)


def key_name(provider_id: str) -> str:
    """What the sealed credential of a provider is bound to."""
    return f"citizen_provider:{provider_id}"


async def add(
    session: AsyncSession, sealer: Sealer, new: NewCitizenProvider, *, by: str
) -> CitizenProvider:
    """Add a provider. Raises `ProviderExists` or `ProviderInvalid`."""
    _check(new)
    same = exists().where(
        (CitizenProvider.id == new.id)
        | (CitizenProvider.issuer == new.issuer) & (CitizenProvider.client_id == new.client_id)
    )
    if await session.scalar(select(same)):
        raise ProviderExists
    provider = CitizenProvider(
        id=new.id,
        name_ja=new.name_ja,
        name_en=new.name_en,
        issuer=new.issuer,
        client_id=new.client_id,
        levels={acr: level.value for acr, level in new.levels.items()},
        created_at=clock.now(),
        created_by=by,
    )
    _give_credential(provider, sealer, new.secret)
    session.add(provider)
    await audit.append(
        session, Event.PROVIDER_ADDED, provider=provider.id, issuer=provider.issuer,
        levels=provider.levels, by=by,
    )  # fmt: skip
    return provider


def _give_credential(provider: CitizenProvider, sealer: Sealer, secret: str | None) -> None:
    about = key_name(provider.id)
    if secret:
        provider.sealed_secret = sealer.seal(secret.encode(), about=about)
        return
    key = ECKey.generate_key("P-256")
    public = key.as_dict(private=False)
    provider.public_jwk = {**public, "kid": key.thumbprint(), "use": "sig", "alg": "ES256"}
    private = orjson.dumps(key.as_dict(private=True))
    provider.sealed_private_jwk = sealer.seal(private, about=about)


async def get(session: AsyncSession, provider_id: str, *, lock: bool = False) -> CitizenProvider:
    """The provider, or `CitizenProviderNotFound`."""
    found = await session.get(CitizenProvider, provider_id, with_for_update=lock)
    if found is None:
        raise CitizenProviderNotFound(provider=provider_id)
    return found


async def list_all(session: AsyncSession) -> Sequence[CitizenProvider]:
    """Every provider by id, disabled ones too: there are few."""
    return list(await session.scalars(select(CitizenProvider).order_by(CitizenProvider.id)))


async def list_reaching(session: AsyncSession, wanted: Level | None) -> list[CitizenProvider]:
    """The providers whose word is taken now and may be as sure as wanted."""
    return [
        each
        for each in await list_all(session)
        if each.disabled_at is None and acrs_reaching(each, wanted)
    ]


def acrs_reaching(provider: CitizenProvider, wanted: Level | None) -> list[str]:
    """The provider's words that are at least as sure as wanted."""
    return [
        acr
        for acr, level in provider.levels.items()
        if wanted is None or Level(level).reaches(wanted)
    ]


async def set_levels(
    session: AsyncSession, provider_id: str, levels: Mapping[str, Level], *, by: str
) -> CitizenProvider:
    """Say anew how sure its words are. Sessions that its old words opened end."""
    _check_levels(levels)
    provider = await get(session, provider_id, lock=True)
    provider.levels = {acr: level.value for acr, level in levels.items()}
    await _end_sessions(session, provider)
    await audit.append(
        session, Event.PROVIDER_CHANGED, provider=provider.id, levels=provider.levels, by=by
    )
    return provider


async def switch(session: AsyncSession, provider_id: str, *, on: bool, by: str) -> CitizenProvider:
    """Take a provider's word again, or no more: then the sessions that it opened end."""
    provider = await get(session, provider_id, lock=True)
    if (provider.disabled_at is None) == on:
        return provider
    provider.disabled_at = None if on else clock.now()
    if not on:
        await _end_sessions(session, provider)
    state = "enabled" if on else "disabled"
    await audit.append(session, Event.PROVIDER_CHANGED, provider=provider.id, state=state, by=by)
    return provider


async def _end_sessions(session: AsyncSession, provider: CitizenProvider) -> None:
    its = CitizenSession.provider_id == provider.id
    await session.execute(delete(CitizenSession).where(its))


def _check(new: NewCitizenProvider) -> None:
    if not _ID.fullmatch(new.id):
        raise _wrong(
            "/id", "invalid_id", "idは英小文字・数字・ハイフンの2〜63文字です。",
            "The id is 2 to 63 lower-case letters, digits and hyphens.",
        )  # fmt: skip
    if not _ISSUER.fullmatch(new.issuer) or "?" in new.issuer or "#" in new.issuer:
        raise _wrong(
            "/issuer", "invalid_issuer", "issuer は ? や # を含まない https のアドレスです。",
            "The issuer is an https address without ? and #.",
        )  # fmt: skip
    _check_levels(new.levels)


def _check_levels(levels: Mapping[str, Level]) -> None:
    if not 0 < len(levels) <= _MOST or not all(_ACR.fullmatch(acr) for acr in levels):
        raise _wrong(
            "/levels", "invalid_levels",
            f"プロバイダーの acr（空白なしのASCII文字）ごとに保証レベルを、{_MOST}個まで指定してください。",
            f"Give a level for each acr of the provider, ASCII without spaces, at most {_MOST}.",
        )  # fmt: skip


def _wrong(pointer: str, code: str, ja: str, en: str) -> ProviderInvalid:
    return ProviderInvalid(faults=[Fault(pointer, code, ja, en)])
