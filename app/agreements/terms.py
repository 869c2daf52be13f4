"""What the parties agree on, checked: columns, actions, purpose, period. Knows no state."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.agreements.purposes import list_purposes
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.models.onboarding import TenantGroup
from app.models.parties import Client
from app.policy.facts import Action, ClientFacts
from app.query.fields import Field

MOST_YEARS: Final = 5


class TermsInvalid(AppError):
    """What is asked or granted cannot be agreed on."""

    kind = Kind.INVALID
    code = "terms_invalid"
    ja = "利用条件に誤りがあります。errors を確認してください。"
    en = "The terms are wrong. See errors."


class NotSteward(AppError):
    """Only a steward of the publishing organisation's line decides."""

    kind = Kind.FORBIDDEN
    code = "not_the_steward"
    ja = "データセット {dataset} の提供組織（または上位組織）のデータ管理者だけが決定できます。"
    en = "Only a steward of the publisher of {dataset}, or of a body above it, decides."


class ZoneNotAllowed(AppError):
    """Data stays in its zone (三層の対策)."""

    kind = Kind.FORBIDDEN
    code = "zone_not_allowed"
    ja = "データセット {dataset} はゾーン {zone} のクライアントだけが利用できます。"
    en = "The dataset {dataset} is for clients of the zone {zone} only."


@dataclass(frozen=True, slots=True)
class DatasetTerms:
    """What an agreement needs to know of a dataset; the door gathers it from the catalogue."""

    id: str
    publisher_id: str
    publisher_line: frozenset[str]  # the publisher and everything above it
    data_class: str
    zone: str
    fields: Mapping[str, Field]
    hidden: bool = False  # outsiders may not know that it exists


@dataclass(frozen=True, slots=True)
class AskedTerms:
    """What a consumer asks for. `columns`, `rows` None: all; times None: from now to 31 March."""

    purpose: str
    legal_basis: str
    actions: tuple[Action, ...] = (Action.READ,)
    columns: tuple[str, ...] | None = None
    rows: str | None = None
    per_day: int | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    reason: str | None = None
    group: str | None = None  # whose members of the day are to stand under it


def default_end(start: datetime) -> datetime:
    """The end of the Japanese fiscal year that `start` lies in: 31 March, midnight."""
    local = start.astimezone(clock.TOKYO)
    year = local.year if local.month < 4 else local.year + 1
    return datetime(year, 4, 1, tzinfo=clock.TOKYO)


def check_period(start: datetime, end: datetime) -> list[Fault]:
    """What is wrong with a period, if anything."""
    if end <= start or end <= clock.now():
        return [Fault(
            "/valid_until", "period_order", "終了は開始と現在より後にしてください。",
            "It must end after it begins and after now.",
        )]  # fmt: skip
    local = start.astimezone(clock.TOKYO)
    # The day before 1 March, so that 29 February has a counterpart in every year.
    day = 28 if (local.month, local.day) == (2, 29) else local.day
    if end > local.replace(year=local.year + MOST_YEARS, day=day):
        return [Fault(
            "/valid_until", "period_too_long", f"期間は{MOST_YEARS}年までです。",
            f"It may last {MOST_YEARS} years.",
        )]  # fmt: skip
    return []


def check_columns(columns: Sequence[str], known: Collection[str]) -> list[Fault]:
    """One fault for every column that is not among the `known` ones."""
    if not columns:
        return [Fault("/columns", "columns_required", "列が必要です。", "Name a column.")]
    return [
        Fault(
            f"/columns/{place}", "unknown_column", f"列 {name} は使えません。",
            f"The column {name} is not available.",
        )
        for place, name in enumerate(columns)
        if name not in known
    ]  # fmt: skip


async def check_purpose(session: AsyncSession, code: str) -> list[Fault]:
    """A fault when the controlled list has no such purpose."""
    known = [purpose.code for purpose in await list_purposes(session)]
    if code in known:
        return []
    listed = ", ".join(known)
    return [Fault(
        "/purpose", "purpose_unknown", f"利用目的は次のいずれかです: {listed}",
        f"The purpose must be one of: {listed}",
    )]  # fmt: skip


async def check_group(session: AsyncSession, group_id: str | None, by: ClientFacts) -> list[Fault]:
    """A fault unless the caller's organisation operates the group that it asks for."""
    if group_id is None:
        return []
    group = await session.get(TenantGroup, group_id)
    if group is not None and group.operator_id == by.organization_id:
        return []
    return [Fault(
        "/group", "group_unknown", f"自組織が運営する共同利用グループに {group_id} はありません。",
        f"Your organisation operates no group {group_id}.",
    )]  # fmt: skip


def require_steward(dataset: DatasetTerms, caller: ClientFacts) -> None:
    """Raise `NotSteward` unless the caller may decide for the publisher."""
    if "steward" not in caller.roles or caller.organization_id not in dataset.publisher_line:
        raise NotSteward(dataset=dataset.id)


async def require_zone(session: AsyncSession, dataset: DatasetTerms, client_id: str) -> None:
    """Raise `ZoneNotAllowed` unless the asking client stands in the dataset's zone."""
    zone = await session.scalar(select(Client.zone).where(Client.id == client_id))
    if zone != dataset.zone:
        raise ZoneNotAllowed(dataset=dataset.id, zone=dataset.zone)
