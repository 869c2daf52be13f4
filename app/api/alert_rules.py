"""The door to the alert rules: an operator sets how much is too much. Judges nothing."""

from typing import Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.api.access import ADMIN_CODES, SCOPED_CODES, AdminReader, AdminWriter, Reading, Writing
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, OutShape, Time
from app.findings import values
from app.findings.values import Ruling
from app.models.findings import Severity

router = APIRouter(prefix="/v1/admin/alert-rules", tags=["Findings"], max_body_size=LONGEST_BODY)


class RulePatch(InShape):
    """What is to change. A value of null is again what the rule itself says."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"values": {"threshold": 5000, "window_minutes": 30}}}
    )

    enabled: bool | None = None
    values: dict[str, int | None] = Field(default_factory=dict)


class BoundsOut(OutShape):
    """What a value is without anybody's word, and what it may be."""

    default: int
    least: int
    most: int


class RuleOut(OutShape):
    """A rule as it is in force now, with the bounds of its values."""

    name: str
    severity: Severity
    due_days: int
    ja: str
    en: str
    enabled: bool
    values: dict[str, int]
    bounds: dict[str, BoundsOut]
    set_at: Time | None
    set_by: str | None


@router.get(
    "",
    response_model=list[RuleOut],
    summary="List the alert rules",
    responses=problems(*SCOPED_CODES),
)
async def list_rules(caller: AdminReader, session: Reading) -> list[dict[str, Any]]:
    """What opens findings by itself, and from how much on."""
    return [_shown(each) for each in await values.list_rulings(session)]


@router.get(
    "/{name}",
    response_model=RuleOut,
    summary="Show an alert rule",
    responses=problems(*SCOPED_CODES, "alert_rule_not_found"),
)
async def show_rule(name: str, caller: AdminReader, session: Reading) -> dict[str, Any]:
    """One rule as it is in force now."""
    return _shown(await values.get(session, name))


@router.patch(
    "/{name}",
    response_model=RuleOut,
    summary="Set the values of an alert rule",
    responses=problems(*ADMIN_CODES, "alert_rule_not_found", "alert_rule_invalid"),
)
async def change_rule(
    name: str, body: RulePatch, caller: AdminWriter, session: Writing
) -> dict[str, Any]:
    """In force from the rule's next look on, within a minute. A rule that is off judges nothing,
    and what is written meanwhile is not judged later either."""
    by = caller.client.actor
    return _shown(
        await values.change(session, name, enabled=body.enabled, given=body.values, by=by)
    )


def _shown(ruling: Ruling) -> dict[str, Any]:
    rule = ruling.rule
    return {
        "name": rule.name,
        "severity": rule.severity,
        "due_days": rule.due_days,
        "ja": rule.about_ja,
        "en": rule.about_en,
        "enabled": ruling.enabled,
        "values": dict(ruling.values),
        "bounds": dict(rule.values),
        "set_at": ruling.set_at,
        "set_by": ruling.set_by,
    }
