"""Organisations and units: added, renamed, closed, found. An id, once given, never changes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.models.parties import Approval, FormerName, Organization, OrganizationKind
from app.query.codes import CodeError, local_government_code

# These are known by their code; a unit by its parent's code and a word; all others by a word.
CODED: Final = frozenset(
    {
        OrganizationKind.PREFECTURE,
        OrganizationKind.DESIGNATED_CITY,
        OrganizationKind.CITY,
        OrganizationKind.TOWN,
        OrganizationKind.VILLAGE,
        OrganizationKind.WARD,
    }
)
_UNIT: Final = re.compile(r"(\d{5,6})-([a-z0-9][a-z0-9-]{0,40})")
_SLUG: Final = re.compile(r"[a-z][a-z0-9-]{1,62}")
_DIGITS: Final = re.compile(r"\d{4,6}")


class OrganizationNotFound(AppError):
    """No organisation has this id."""

    kind = Kind.NOT_FOUND
    code = "organization_not_found"
    ja = "組織 {organization} はありません。"
    en = "There is no organisation {organization}."


class OrganizationExists(AppError):
    """Another organisation has this id."""

    kind = Kind.CONFLICT
    code = "organization_exists"
    ja = "組織 {organization} は既にあります。"
    en = "The organisation {organization} exists already."


class OrganizationClosed(AppError):
    """The organisation has ended; what is left of it is read only."""

    kind = Kind.CONFLICT
    code = "organization_closed"
    ja = "組織 {organization} は廃止されています。"
    en = "The organisation {organization} was closed."


class OrganizationHasUnits(AppError):
    """Units in force hang on the organisation."""

    kind = Kind.CONFLICT
    code = "organization_has_units"
    ja = "組織 {organization} には存続中の下部組織（{unit} など）があります。先に廃止してください。"
    en = "The organisation {organization} still has units, {unit} for one. Close them first."


class OrganizationInvalid(AppError):
    """What was said of the organisation contradicts the rules of its kind."""

    kind = Kind.INVALID
    code = "organization_invalid"
    ja = "組織の登録内容に誤りがあります。"
    en = "What was said of the organisation is wrong."


@dataclass(frozen=True, slots=True)
class NewOrganization:
    """What is said of an organisation to be added."""

    id: str
    kind: OrganizationKind
    name_ja: str
    name_kana: str | None = None
    name_en: str | None = None
    parent_id: str | None = None
    second_parent_id: str | None = None
    valid_from: date | None = None


def normal_id(text: str) -> str:
    """An id as it is stored: a local government code gets its check digit (27100 → 271004).

    Raises `OrganizationInvalid` for a code whose check digit is wrong.
    """
    if _DIGITS.fullmatch(text):
        return _code(text, "/id")
    unit = _UNIT.fullmatch(text)
    return f"{_code(unit[1], '/id')}-{unit[2]}" if unit else text


def meant_id(text: str) -> str:
    """The same for whom it is only looked up: what can be no id is left, and is not there."""
    try:
        return normal_id(text)
    except OrganizationInvalid:
        return text


def _code(text: str, pointer: str) -> str:
    try:
        return local_government_code(text)
    except CodeError as exc:
        raise _wrong(
            pointer,
            exc.code,
            f"全国地方公共団体コード {text} の桁数か検査数字が誤りです。",
            f"{text} is no local government code: its length or check digit is wrong.",
        ) from exc


def _wrong(pointer: str, code: str, ja: str, en: str) -> OrganizationInvalid:
    return OrganizationInvalid(faults=[Fault(pointer, code, ja, en)])


async def add(session: AsyncSession, new: NewOrganization, *, by: str) -> Organization:
    """Add an organisation.

    Raises `OrganizationExists`, `OrganizationInvalid` or `OrganizationClosed`.
    """
    organization_id = _checked_id(new)
    parent_id = await _parent(session, new.parent_id, "/parent_id")
    second_id = await _parent(session, new.second_parent_id, "/second_parent_id")
    if new.kind in (OrganizationKind.UNIT, OrganizationKind.WARD) and parent_id is None:
        raise _wrong("/parent_id", "parent_required", "上位組織が必要です。", "A parent is needed.")
    if second_id is not None and second_id in (parent_id, organization_id):
        raise _wrong("/second_parent_id", "same_parent", "別の組織です。", "Name another parent.")
    if await session.get(Organization, organization_id) is not None:
        raise OrganizationExists(organization=organization_id)
    organization = Organization(
        id=organization_id,
        local_government_code=organization_id if new.kind in CODED else None,
        kind=new.kind.value,
        name_ja=new.name_ja,
        name_kana=new.name_kana,
        name_en=new.name_en,
        parent_id=parent_id,
        second_parent_id=second_id,
        valid_from=new.valid_from,
        created_at=clock.now(),
    )
    session.add(organization)
    await audit.append(session, Event.ORGANIZATION_ADDED, organization=organization_id, by=by)
    return organization


def _checked_id(new: NewOrganization) -> str:
    """The id in the form that the kind asks for."""
    if new.kind in CODED:
        return _code(new.id, "/id")
    if new.kind is OrganizationKind.UNIT:
        unit = _UNIT.fullmatch(new.id)
        if unit is None:
            raise _wrong(
                "/id", "invalid_id", "組織単位のidは 271004-kenko の形です。",
                "The id of a unit looks like 271004-kenko.",
            )  # fmt: skip
        return f"{_code(unit[1], '/id')}-{unit[2]}"
    if not _SLUG.fullmatch(new.id):
        raise _wrong(
            "/id", "invalid_id", "idは英小文字で始まる2〜63文字（英小文字・数字・ハイフン）です。",
            "The id is 2 to 63 lower-case letters, digits and hyphens, a letter first.",
        )  # fmt: skip
    return new.id


async def _parent(session: AsyncSession, text: str | None, pointer: str) -> str | None:
    if text is None:
        return None
    parent = await session.get(Organization, normal_id(text))
    if parent is None:
        raise _wrong(
            pointer, "parent_unknown", f"組織 {text} はありません。",
            f"There is no organisation {text}.",
        )  # fmt: skip
    if parent.valid_to is not None:
        raise OrganizationClosed(organization=parent.id)
    return parent.id


async def get(session: AsyncSession, organization_id: str, *, lock: bool = False) -> Organization:
    """The organisation by id or by code of five or six digits, or `OrganizationNotFound`."""
    found = await session.get(Organization, normal_id(organization_id), with_for_update=lock)
    if found is None:
        raise OrganizationNotFound(organization=organization_id)
    return found


async def rename(
    session: AsyncSession,
    organization_id: str,
    *,
    name_ja: str,
    name_en: str | None,
    since: date,
    by: str,
) -> Organization:
    """Give a new name from a day on. The id stays, and the former name can still be searched."""
    organization = await _in_force(session, organization_id)
    last = await session.scalar(
        select(FormerName.until)
        .where(FormerName.organization_id == organization.id)
        .order_by(FormerName.until.desc())
        .limit(1)
    )
    if last is not None and since <= last:
        raise _wrong(
            "/since", "name_order", f"{last} の改称より後の日付にしてください。",
            f"The day must be after the last renaming ({last}).",
        )  # fmt: skip
    session.add(
        FormerName(
            organization_id=organization.id,
            until=since,
            name_ja=organization.name_ja,
            name_en=organization.name_en,
        )
    )
    organization.name_ja = name_ja
    organization.name_en = name_en
    await audit.append(
        session, Event.ORGANIZATION_CHANGED, organization=organization.id, change="renamed", by=by
    )
    return organization


async def ask_approval(
    session: AsyncSession, organization_id: str, *, approval: Approval | None, by: str
) -> Organization:
    """Have public data of the organisation and of all below it approved by a second steward."""
    organization = await _in_force(session, organization_id)
    organization.approval = approval.value if approval is not None else None
    await audit.append(
        session, Event.ORGANIZATION_CHANGED, organization=organization.id, change="approval",
        approval=organization.approval, by=by,
    )  # fmt: skip
    return organization


async def close(
    session: AsyncSession, organization_id: str, *, on: date, successor_id: str | None, by: str
) -> Organization:
    """End an organisation, naming what took its place. Its clients count as revoked at once.

    Raises `OrganizationHasUnits`, `OrganizationClosed` or `OrganizationInvalid`.
    """
    organization = await _in_force(session, organization_id)
    if on > clock.now().astimezone(clock.TOKYO).date():
        raise _wrong("/on", "date_in_future", "廃止は当日以降に記録します。", "Not before the day.")
    if organization.valid_from is not None and on <= organization.valid_from:
        raise _wrong("/on", "date_order", "設置日より後です。", "It must end after it began.")
    successor = await _parent(session, successor_id, "/successor_id")
    if successor == organization.id:
        raise _wrong("/successor_id", "same_organization", "別の組織です。", "Name another one.")
    unit = await session.scalar(
        select(Organization.id)
        .where(
            or_(
                Organization.parent_id == organization.id,
                Organization.second_parent_id == organization.id,
            ),
            Organization.valid_to.is_(None),
        )
        .limit(1)
    )
    if unit is not None:
        raise OrganizationHasUnits(organization=organization.id, unit=unit)
    organization.valid_to = on
    organization.successor_id = successor
    await audit.append(
        session, Event.ORGANIZATION_CHANGED, organization=organization.id, change="closed",
        successor=successor, by=by,
    )  # fmt: skip
    return organization


async def _in_force(session: AsyncSession, organization_id: str) -> Organization:
    organization = await get(session, organization_id, lock=True)
    if organization.valid_to is not None:
        raise OrganizationClosed(organization=organization.id)
    return organization


async def list_organizations(
    session: AsyncSession,
    *,
    named: str | None = None,
    kind: OrganizationKind | None = None,
    parent_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[Organization]:
    """Organisations by id. `named` looks in present and former names, kana and English."""
    statement = select(Organization).order_by(Organization.id).limit(limit)
    if named is not None:
        former = select(FormerName.organization_id).where(
            or_(
                FormerName.name_ja.contains(named, autoescape=True),
                FormerName.name_en.icontains(named, autoescape=True),
            )
        )
        statement = statement.where(
            or_(
                Organization.name_ja.contains(named, autoescape=True),
                Organization.name_kana.contains(named, autoescape=True),
                Organization.name_en.icontains(named, autoescape=True),
                Organization.id.in_(former),
            )
        )
    if kind is not None:
        statement = statement.where(Organization.kind == kind.value)
    if parent_id is not None:
        parent = normal_id(parent_id)
        statement = statement.where(
            or_(Organization.parent_id == parent, Organization.second_parent_id == parent)
        )
    if after is not None:
        statement = statement.where(Organization.id > after)
    return list(await session.scalars(statement))


async def list_former_names(session: AsyncSession, organization_id: str) -> Sequence[FormerName]:
    """The names that an organisation bore, oldest first."""
    found = await session.scalars(
        select(FormerName)
        .where(FormerName.organization_id == organization_id)
        .order_by(FormerName.until)
    )
    return found.all()


async def list_tree(session: AsyncSession, organization_id: str) -> list[Organization]:
    """The organisation and everything below it, by either parent, in the order of ids."""
    top = await get(session, organization_id)
    below = select(Organization.id).where(Organization.id == top.id).cte(recursive=True)
    child = aliased(Organization)
    below = below.union(
        select(child.id).where(
            or_(child.parent_id == below.c.id, child.second_parent_id == below.c.id)
        )
    )
    found = await session.scalars(
        select(Organization)
        .where(Organization.id.in_(select(below.c.id)))
        .order_by(Organization.id)
    )
    return list(found)


async def line_of(session: AsyncSession, organization_id: str) -> frozenset[str]:
    """The organisation and everything above it, by both parents."""
    return frozenset(await session.scalar(select(func.line_of(organization_id))) or ())
