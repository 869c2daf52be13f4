"""What an operator has set of the alert rules. A value stays within the bounds of its rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.findings.refusals import AlertRuleInvalid, AlertRuleNotFound
from app.findings.rules import RULES, Rule
from app.kit import clock
from app.kit.errors import Fault
from app.models.findings import AlertRuleSetting


@dataclass(frozen=True, slots=True)
class Ruling:
    """A rule as it is in force now."""

    rule: Rule
    enabled: bool
    values: Mapping[str, int]
    set_at: datetime | None = None
    set_by: str | None = None


async def list_rulings(session: AsyncSession) -> list[Ruling]:
    """Every rule as it is in force now."""
    found = {each.rule: each for each in await session.scalars(select(AlertRuleSetting))}
    return [_ruling(rule, found.get(name)) for name, rule in RULES.items()]


async def get(session: AsyncSession, name: str) -> Ruling:
    """One rule as it is in force now. Raises `AlertRuleNotFound`."""
    if name not in RULES:
        raise AlertRuleNotFound(name=name)
    return _ruling(RULES[name], await session.get(AlertRuleSetting, name))


async def change(
    session: AsyncSession,
    name: str,
    *,
    enabled: bool | None,
    given: Mapping[str, int | None],
    by: str,
) -> Ruling:
    """Set some values anew; None takes one back to the rule's own.

    Raises `AlertRuleNotFound`, `AlertRuleInvalid`.
    """
    if name not in RULES:
        raise AlertRuleNotFound(name=name)
    rule = RULES[name]
    faults = [fault for key, value in given.items() if (fault := _fault(rule, key, value))]
    if faults:
        raise AlertRuleInvalid(name=name, faults=faults)
    setting = await session.get(AlertRuleSetting, name, with_for_update=True)
    if setting is None:
        setting = AlertRuleSetting(rule=name, enabled=True, given={})
        session.add(setting)
    kept = {**setting.given, **given}
    setting.given = {key: value for key, value in kept.items() if value is not None}
    setting.enabled = setting.enabled if enabled is None else enabled
    setting.set_at, setting.set_by = clock.now(), by
    ruling = _ruling(rule, setting)
    hours = ruling.values
    if hours.get("from_hour", 0) >= hours.get("until_hour", 1):
        raise AlertRuleInvalid(name=name, faults=[_hours()])
    await audit.append(
        session, Event.ALERT_RULE_SET, rule=name, enabled=setting.enabled,
        values=dict(ruling.values), by=by,
    )  # fmt: skip
    return ruling


def _ruling(rule: Rule, setting: AlertRuleSetting | None) -> Ruling:
    own = {name: value.default for name, value in rule.values.items()}
    if setting is None:
        return Ruling(rule, True, own)
    # What was set of a value that the rule no longer has is passed over.
    given = {name: value for name, value in setting.given.items() if name in own}
    return Ruling(rule, setting.enabled, {**own, **given}, setting.set_at, setting.set_by)


def _fault(rule: Rule, name: str, value: int | None) -> Fault | None:
    bounds = rule.values.get(name)
    if bounds is None:
        known = ", ".join(rule.values)
        return Fault(
            f"/values/{name}", "value_unknown", f"このルールの値は {known} です。",
            f"The values of this rule are {known}.",
        )  # fmt: skip
    if value is not None and not bounds.least <= value <= bounds.most:
        return Fault(
            f"/values/{name}", "value_out_of_range",
            f"{bounds.least}から{bounds.most}の整数にしてください。",
            f"Give a whole number from {bounds.least} to {bounds.most}.",
        )  # fmt: skip
    return None


def _hours() -> Fault:
    return Fault(
        "/values/until_hour", "hours_reversed", "from_hour より後の時刻にしてください。",
        "Give an hour after from_hour.",
    )  # fmt: skip
