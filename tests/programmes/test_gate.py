"""The gate by itself: what opens it, service by service."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from app.programmes.description import ProjectDescription
from app.programmes.gate import Service, lacks

TODAY = date(2026, 11, 29)
ONE, TWO = UUID(int=1), UUID(int=2)


def plan(until: str, service: UUID | None = None, requirement: str = "core") -> dict[str, Any]:
    return {"requirement": requirement, "until": until, "responsible": "誰か", "service": service}


@pytest.mark.parametrize(
    ("plans", "one", "missing"),
    [
        ([], Service(ONE, "一", frozenset({"core"})), [TWO]),
        ([], Service(ONE, "一", frozenset({"core"}), is_withdrawn=True), [ONE, TWO]),
        ([], Service(ONE, "一", frozenset({"query"})), [ONE, TWO]),
        ([plan("2026-11-29")], Service(ONE, "一"), []),
        ([plan("2026-11-28")], Service(ONE, "一"), [ONE, TWO]),
        ([plan("2026-11-28"), plan("2026-12-01")], Service(ONE, "一"), []),
        ([plan("2026-12-01", ONE)], Service(ONE, "一"), [TWO]),
        ([plan("2026-12-01", None, "query")], Service(ONE, "一"), [ONE, TWO]),
    ],
)
def test_each_service_has_a_certificate_or_a_plan_that_is_not_past(
    plans: list[dict[str, Any]], one: Service, missing: list[UUID]
) -> None:
    said = ProjectDescription.model_validate({"title": "試験", "plans": plans})

    found = lacks(["core"], said, [one, Service(TWO, "二")], TODAY)

    assert [each.service_id for each in found] == missing
