"""A rule that is replaced by *always true* makes the tests of rights fail: they do test it."""

from collections.abc import Callable
from typing import Any

import pytest

from app.policy import rules
from app.policy.rules import Deny, Reason
from tests.api import test_rights as rights
from tests.world import World

Mutation = tuple[str, Any]
ALWAYS: list[tuple[str, Mutation]] = [
    ("purpose", ("_purpose_rule", lambda _facts: None)),
    ("zone", ("_zone_gate", lambda _facts: None)),
    (
        "agreed purpose",
        (
            "_AGREEMENT_RULES",
            tuple(
                (reason, (lambda _f, _a: True) if reason is Reason.PURPOSE_NOT_AGREED else check)
                for reason, check in rules._AGREEMENT_RULES
            ),
        ),
    ),
]


@pytest.mark.parametrize(("rule", "mutation"), ALWAYS)
async def test_a_rule_made_always_true_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch, rule: str, mutation: Mutation
) -> None:
    monkeypatch.setattr(rules, *mutation)
    checks: dict[str, Callable[[World], Any]] = {
        "purpose": rights.test_the_purpose_is_asked_for_known_and_agreed,
        "agreed purpose": rights.test_the_purpose_is_asked_for_known_and_agreed,
        "zone": rights.test_data_of_another_zone_is_out_of_reach_here,
    }

    with pytest.raises(AssertionError):
        await checks[rule](world)


async def test_a_scope_made_always_true_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = rules._judge_caller

    def any_scope(facts: rules.Facts) -> rules.Decision:
        verdict = judged(facts)
        if isinstance(verdict, Deny) and verdict.reason is Reason.SCOPE:
            return rules.Allow(frozenset(name for name, _ in facts.dataset.columns), "own")
        return verdict

    monkeypatch.setattr(rules, "_judge_caller", any_scope)

    with pytest.raises(AssertionError):
        await rights.test_a_token_for_one_dataset_opens_no_other(world)
