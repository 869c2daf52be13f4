"""What a change or a diagnosis of a system lets be found, and what it mends. The door's own glue:
the inventory knows no findings and no certificates, and they know no systems."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.conformance import certificates
from app.findings import findings
from app.findings.findings import Sighting
from app.models.findings import Severity
from app.models.systems import System
from app.systems import diagnoses, inventory
from app.systems.description import Description, Hosting, Plan
from app.systems.diagnoses import Scored
from app.systems.lock_in import Score

SUBJECT: Final = "system"
UNEXPLAINED: Final = "hosting_unexplained"
LOCKED_IN: Final = "lock_in_high"
HIGH: Final = Decimal(60)
_DUE: Final = timedelta(days=90)
_NAMES: Final = {
    Hosting.GOV_CLOUD: ("ガバメントクラウド", "Gov-Cloud"),
    Hosting.SAAS: ("SaaS", "SaaS"),
    Hosting.COMMON_CLOUD: ("共通クラウド", "the common cloud"),
    Hosting.ON_PREMISES: ("オンプレミス", "on premises"),
}


async def tell_of_plans(
    session: AsyncSession, said: Mapping[System, Description], *, by: str
) -> None:
    """A place that is planned past an earlier one needs a reason for each."""
    silent = {
        system: each.plan
        for system, each in said.items()
        if each.plan is not None and each.plan.unexplained()
    }
    well = [str(system.id) for system in said if system not in silent]
    await findings.settle(session, UNEXPLAINED, SUBJECT, *well, by=by)
    await findings.report(session, *(_silent(system, plan) for system, plan in silent.items()))


def _silent(system: System, plan: Plan) -> Sighting:
    passed = plan.unexplained()
    ja = "、".join(_NAMES[each][0] for each in passed)
    en = ", ".join(_NAMES[each][1] for each in passed)
    planned = _NAMES[plan.hosting]
    return _sighting(
        system, UNEXPLAINED,
        f"「{system.name}」の移行先は{planned[0]}ですが、{ja}を選ばない理由がありません。"
        "plan.skipped に理由を書いてください。",
        f"“{system.name}” is to move to {planned[1]}, and nobody has said why not to {en}."
        " Give the reasons in plan.skipped.",
    )  # fmt: skip


async def diagnosed(session: AsyncSession, system: System, *, by: str) -> Scored:
    """The system as it is found now; a high score opens a finding, a lower one settles it."""
    named = inventory.said_of(system).services()
    certified = bool(named and await certificates.in_force(session, named))
    await diagnoses.diagnose(session, system, certified=certified, by=by)
    weights = await diagnoses.weights_of(session)
    newest = (await diagnoses.history_of(session, [system.id], weights, newest=True))[system.id][0]
    await _tell_of_score(session, system, newest.score, by=by)
    return newest


async def _tell_of_score(session: AsyncSession, system: System, score: Score, *, by: str) -> None:
    """A score that is high is a finding, with where to begin."""
    if score.score < HIGH:
        await findings.settle(session, LOCKED_IN, SUBJECT, str(system.id), by=by)
        return
    first = score.parts[0]
    sighting = _sighting(
        system, LOCKED_IN,
        f"「{system.name}」の囲い込み度は{score.score}です。まず「{first.name_ja}」から: {first.mend_ja}",
        f"The lock-in score of “{system.name}” is {score.score}. Begin with {first.name}:"
        f" {first.mend_en}",
    )  # fmt: skip
    await findings.report(session, sighting)


def _sighting(system: System, rule: str, ja: str, en: str) -> Sighting:
    return Sighting(
        rule, SUBJECT, str(system.id), Severity.MEDIUM, ja, en, _DUE, system.organization_id
    )
