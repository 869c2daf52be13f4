"""The gate: what of a programme's requirements a project neither has certified nor has planned.

Pure: it judges what it is given, and knows no table and no clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final, Literal
from uuid import UUID

from app.kit.clock import TOKYO
from app.kit.errors import Fault
from app.programmes.description import CoveragePlan, ProjectDescription

_MEND: Final = (
    "適合試験に合格して証明書の発行を受けるか、plans に今日以降の期日（until）と担当（responsible）を"
    "指定してください。",
    "Have the service judged and certified, or say in plans by when (until, not in the past) and by"
    " whom (responsible).",
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How the newest certificate that had something ended."""

    how: Literal["expired", "revoked"]
    at: datetime


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its certificates show it. `covers`: by those that are valid now."""

    id: UUID
    name: str
    covers: frozenset[str] = frozenset()
    ended: Mapping[str, Ended] = field(default_factory=dict)
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is missing. `since`: when it ran out, if it was ever there."""

    requirement: str
    service_id: UUID | None
    since: datetime | None
    fault: Fault


def lacks(
    required: Sequence[str], said: ProjectDescription, services: Sequence[Service], today: date
) -> list[Lack]:
    """What is missing, requirement by requirement and service by service."""
    found = []
    for requirement in required:
        about = [each for each in said.plans if each.requirement == requirement]
        for at, service in _each(services):
            plans = [each for each in about if _is_for(each, service)]
            if _holds(requirement, service) or any(each.until >= today for each in plans):
                continue
            found.append(_lack(requirement, at, service, plans))
    return found


def _each(services: Sequence[Service]) -> Iterator[tuple[str, Service | None]]:
    if not services:
        yield "/services", None
    for at, service in enumerate(services):
        yield f"/services/{at}", service


def _holds(requirement: str, service: Service | None) -> bool:
    return service is not None and not service.is_withdrawn and requirement in service.covers


def _is_for(plan: CoveragePlan, service: Service | None) -> bool:
    return plan.service is None or (service is not None and plan.service == service.id)


def _lack(
    requirement: str, at: str, service: Service | None, plans: Sequence[CoveragePlan]
) -> Lack:
    ended = service.ended.get(requirement) if service else None
    planned = max((each.until for each in plans), default=None)
    ja, en = _what(requirement, service, ended)
    if planned is not None:
        ja += f"計画の期日 {planned} は過ぎています。"
        en += f" Its plan was for {planned}, which is past."
    times = [ended.at] if ended else []
    if planned is not None:
        times.append(datetime.combine(planned + timedelta(days=1), time(), TOKYO))
    code = "service_missing" if service is None else "certificate_missing"
    fault = Fault(at, code, ja + _MEND[0], f"{en} {_MEND[1]}")
    return Lack(requirement, service.id if service else None, max(times, default=None), fault)


def _what(requirement: str, service: Service | None, ended: Ended | None) -> tuple[str, str]:
    is_layout = "/" in requirement
    ja = f"{'レイアウト' if is_layout else '適合クラス'} {requirement}"
    en = f"the {'layout' if is_layout else 'class'} {requirement}"
    if service is None:
        return f"{ja} を満たすサービスが指定されていません。", f"No service is named for {en}."
    how_ja = how_en = ""
    if service.is_withdrawn:
        how_ja, how_en = "（サービスは取り下げ済み）", " (the service is withdrawn)"
    elif ended is not None:
        day = ended.at.astimezone(TOKYO).date()
        how_ja = f"（{day} に{'失効' if ended.how == 'revoked' else '期限切れ'}）"
        how_en = f" ({ended.how} on {day})"
    return (
        f"サービス「{service.name}」（{service.id}）に{ja} の有効な証明書がありません{how_ja}。",
        f"The service “{service.name}” ({service.id}) has no valid certificate for {en}{how_en}.",
    )
