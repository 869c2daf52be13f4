"""Profiles: standard layouts as data. A published version never changes, only its end is set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue.fields import declare
from app.catalogue.profile_refusals import (
    ProfileInvalid,
    ProfileIsDraft,
    ProfileNotOwned,
    ProfileSunset,
)
from app.catalogue.refusals import ProfileExists, ProfileNotFound
from app.formats.labels import fold
from app.formats.mapping import check_mapping
from app.formats.profiles.layout import LayoutField, ProfileLayout, default_mapping
from app.formats.profiles.rules import check_rules
from app.kit import clock
from app.kit.errors import Fault
from app.models.datasets import Dataset
from app.models.profiles import Profile, ProfileState

BUILT_IN: Final = "国の標準（組込み）"


@dataclass(frozen=True, slots=True)
class NewProfile:
    """What a body says of one version of a layout."""

    name: str
    version: int
    title_ja: str
    fields: Sequence[Mapping[str, Any]]
    title_en: str | None = None
    edition: str | None = None
    rules: Sequence[Mapping[str, Any]] = ()
    mapping: Sequence[Mapping[str, Any]] | None = None
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Registrar:
    """Who registers or changes: the client, its organisation, and whether it is the operator."""

    by: str
    organization_id: str
    body_id: str  # the local government that the organisation is part of
    is_operator: bool = False


def state_of(profile: Profile, now: datetime | None = None) -> ProfileState:
    """Where the version stands at a moment."""
    now = now or clock.now()
    if profile.published_at is None:
        return ProfileState.DRAFT
    if profile.sunset_at is not None and profile.sunset_at <= now:
        return ProfileState.SUNSET
    if profile.deprecated_at is not None and profile.deprecated_at <= now:
        return ProfileState.DEPRECATED
    return ProfileState.PUBLISHED


async def add(session: AsyncSession, new: NewProfile, who: Registrar) -> Profile:
    """Register a version; one's own draft is replaced.

    Raises `ProfileInvalid` with pointers, `ProfileExists`, `ProfileNotOwned`.
    """
    fields = _checked(new)
    await check_owner(session, new.name, who)
    known = await session.get(Profile, (new.name, new.version), with_for_update=True)
    if known is not None and known.published_at is not None:
        raise ProfileExists(name=new.name, version=new.version)
    now = clock.now()
    profile = known or Profile(
        name=new.name,
        version=new.version,
        owner_id=who.organization_id,
        created_at=now,
        created_by=who.by,
    )
    profile.title_ja, profile.title_en, profile.edition = new.title_ja, new.title_en, new.edition
    profile.fields = [each.as_json() for each in fields]
    profile.rules = [dict(rule) for rule in new.rules]
    profile.mapping = [dict(step) for step in new.mapping] if new.mapping is not None else None
    profile.published_at = None if new.draft else now
    session.add(profile)
    named = f"{new.name}/{new.version}"
    await log.append(session, Event.PROFILE_ADDED, profile=named, draft=new.draft, by=who.by)
    return profile


def _checked(new: NewProfile) -> list[LayoutField]:
    faults: list[Fault] = []
    declared = declare(new.fields, faults)
    _check_spellings(new.fields, faults)
    if not faults:
        faults += check_rules(new.rules, declared)
        _, wrong = check_mapping(declared, new.mapping)
        faults += [
            Fault("/mapping", each.code, each.words("ja"), each.words("en")) for each in wrong
        ]
    if faults:
        raise ProfileInvalid(faults=faults)
    return [
        LayoutField(field, variants=tuple(given.get("variants") or ()))
        for field, given in zip(declared, new.fields, strict=True)
    ]


def _check_spellings(fields: Sequence[Mapping[str, Any]], faults: list[Fault]) -> None:
    """Two columns of one label could not be told apart in a file."""
    taken: dict[str, int] = {}
    for at, field in enumerate(fields):
        label = fold(str(field.get("label") or field["name"]))
        if taken.setdefault(label, at) != at:
            faults.append(
                Fault(
                    f"/fields/{at}/label",
                    "duplicate_label",
                    "同じ見出しの項目が二つあります。",
                    "Two fields have the same label.",
                )
            )


async def check_owner(session: AsyncSession, name: str, who: Registrar) -> None:
    """The name belongs to the body that used it first; built-in names to the operator."""
    if who.is_operator:
        return
    owners = (
        await session.execute(
            select(Profile.owner_id, func.body_of(Profile.owner_id))
            .where(Profile.name == name)
            .distinct()
        )
    ).all()
    for owner, body in owners:
        if owner is None or body != who.body_id:
            raise ProfileNotOwned(name=name, owner=owner or BUILT_IN)


async def get(session: AsyncSession, name: str, version: int) -> Profile:
    """One version of a layout, whatever its state. Raises `ProfileNotFound`."""
    found = await session.get(Profile, (name, version))
    if found is None:
        raise ProfileNotFound(name=name, version=version)
    return found


async def get_living(session: AsyncSession, name: str, version: int) -> Profile:
    """One version that has not come to its end. Raises `ProfileNotFound`, `ProfileSunset`."""
    found = await get(session, name, version)
    if state_of(found) is ProfileState.SUNSET and found.sunset_at is not None:
        day = found.sunset_at.astimezone(clock.TOKYO).date().isoformat()
        raise ProfileSunset(name=name, version=version, sunset=day)
    return found


async def get_usable(session: AsyncSession, name: str, version: int) -> Profile:
    """A version on which a dataset can be registered. Raises `ProfileIsDraft` and the above."""
    found = await get_living(session, name, version)
    if state_of(found) is ProfileState.DRAFT:
        raise ProfileIsDraft(name=name, version=version)
    return found


async def list_profiles(
    session: AsyncSession, *, name: str | None = None, state: ProfileState | None = None
) -> Sequence[Profile]:
    """Versions of layouts, by name; of one name, or in one state, where asked."""
    wanted = select(Profile).order_by(Profile.name, Profile.version)
    if name is not None:
        wanted = wanted.where(Profile.name == name)
    now = clock.now()
    found = (await session.scalars(wanted)).all()
    return [each for each in found if state is None or state_of(each, now) is state]


async def layouts(session: AsyncSession) -> Sequence[ProfileLayout]:
    """What a file can be matched with: every version that a dataset can be registered on."""
    usable = (ProfileState.PUBLISHED, ProfileState.DEPRECATED)
    return [layout_of(each) for each in await list_profiles(session) if state_of(each) in usable]


async def rules_of(session: AsyncSession, dataset: Dataset) -> list[dict[str, Any]]:
    """The rules of the profile that a dataset follows; none where it follows none."""
    if dataset.profile_name is None:
        return []
    profile = await session.get(Profile, (dataset.profile_name, dataset.profile_version))
    return list(profile.rules) if profile is not None else []


def layout_of(profile: Profile) -> ProfileLayout:
    """A stored version as a value."""
    return ProfileLayout(
        name=profile.name,
        version=profile.version,
        fields=tuple(LayoutField.from_json(each) for each in profile.fields),
        title_ja=profile.title_ja,
        title_en=profile.title_en,
        edition=profile.edition,
        rules=tuple(profile.rules),
        mapping=tuple(profile.mapping or ()),
    )


def mapping_of(profile: Profile) -> list[dict[str, Any]]:
    """The steps that read a file of this layout, its known spellings included."""
    layout = layout_of(profile)
    return default_mapping(layout.fields, layout.mapping)
