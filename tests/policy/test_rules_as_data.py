"""Each rule by its name: the request that it alone stops, and what stops it where it were gone."""

from dataclasses import replace
from typing import Any, Final

import pytest

from app.policy import rules
from app.policy.facts import Action, Facts, PurposeView
from app.policy.rules import decide
from app.policy.verdicts import Allow, Deny, Reason
from tests.policy.test_rules import NOW, plain

TABLES: Final = (
    "GATES",
    "CALLER_RULES",
    "GROUNDS",
    "AGREEMENT_RULES",
    "AGREED_RULES",
    "VIEW_RULES",
    "RECORD_RULES",
)
OF_A_RULE: Final = [(table, rule.name) for table in TABLES for rule in getattr(rules, table)]


def asked(*, dataset: Any = None, who: Any = None, client: Any = None, **more: Any) -> Facts:
    """The plain request under an agreement, with what is named done otherwise."""
    facts = plain()
    caller = facts.caller
    assert caller is not None
    caller = replace(caller, client=replace(caller.client, **(client or {})), **(who or {}))
    return replace(facts, dataset=replace(facts.dataset, **(dataset or {})), caller=caller, **more)


def under(**change: Any) -> Facts:
    """The plain request, under an agreement that is otherwise."""
    facts = plain()
    return replace(facts, agreements=(replace(facts.agreements[0], **change),))


PERSONAL: Final = {"data_class": "personal", "columns": (("name", "personal"),)}
UNBOUND: Final = {"bound": False}
UNDER_IT: Final = {"agreement_id": "a", "purpose": "welfare"}
WRITES: Final = {"scope": frozenset({"dataset:d:write"})}
INTERNAL: Final = {"data_class": "internal", "columns": (("name", "internal"),)}
# The request that the rule stops, and what would stop it in its stead: another rule, or nothing.
CASES: Final[dict[str, tuple[Facts, str]]] = {
    "action-known": (asked(action="delete"), "AttributeError"),  # no rule could judge it
    "dataset-in-force": (asked(dataset={"withdrawn": True}), "nothing"),
    "never-brokered": (
        asked(dataset={"data_class": "specific-personal"}, who=UNDER_IT), "proof-of-identity",
    ),
    "sender-bound": (asked(dataset=PERSONAL, who=UNBOUND), "proof-of-sender"),
    "class-known": (asked(dataset={"data_class": "secret"}, who=UNDER_IT), "proof-of-identity"),
    "zone": (asked(zone="lgwan"), "nothing"),
    "client-in-force": (asked(client={"revoked": True}), "nothing"),
    "scope": (asked(who={"scope": frozenset({"dataset:e:read"})}), "nothing"),
    "proof-of-identity": (asked(client={"auth_method": "client_secret_basic"}), "proof-of-sender"),
    "proof-of-sender": (asked(who=UNBOUND), "agreement-named"),
    "purpose-given": (asked(purpose=None), "purpose-known"),
    "purpose-known": (asked(purpose="curiosity"), "purpose-agreed"),
    "purpose-of-token": (asked(who={**UNDER_IT, "purpose": "health"}), "nothing"),
    "own": (replace(plain(), agreements=()), "nothing"),
    "body": (replace(asked(dataset=INTERNAL), agreements=()), "nothing"),
    "action-agreed": (asked(action=Action.WRITE, who=WRITES), "nothing"),
    "purpose-agreed": (asked(purpose="health"), "nothing"),
    "not-revoked": (under(state="revoked"), "in-force"),
    "not-over": (under(valid_until=NOW), "nothing"),
    "begun": (under(valid_from=NOW.replace(year=2027)), "nothing"),
    "in-force": (under(state="no-such-state"), "nothing"),
    "not-excluded": (under(excluded=frozenset({"271403"})), "nothing"),
    "agreement-named": (asked(dataset=PERSONAL), "columns-left"),
    "columns-left": (under(columns=frozenset({"gone"})), "nothing"),
    "left-for-purpose": (asked(dataset={"views": (PurposeView("welfare", frozenset()),)}), "nothing"),
    "subject-told": (
        asked(dataset={"views": (PurposeView("welfare", consent=True),)}), "nothing",
    ),
    "records-given": (asked(dataset={"aggregate_only": True}), "nothing"),
}  # fmt: skip


def without(patch: pytest.MonkeyPatch, table: str, name: str) -> None:
    """Replace the check of one rule by *true*."""
    changed = tuple(
        replace(each, holds=lambda *_: True) if each.name == name else each
        for each in getattr(rules, table)
    )
    patch.setattr(rules, table, changed)


def test_every_rule_has_its_row_and_every_row_its_rule() -> None:
    names = [name for _, name in OF_A_RULE]

    assert sorted(names) == sorted(CASES)


@pytest.mark.parametrize(("table", "name"), OF_A_RULE)
def test_a_rule_stops_what_it_is_for_and_made_always_true_it_would_not(
    monkeypatch: pytest.MonkeyPatch, table: str, name: str
) -> None:
    facts, then = CASES[name]

    refused = decide(facts)
    without(monkeypatch, table, name)

    assert isinstance(refused, Deny)
    assert refused.rule == ("agreement" if table == "GROUNDS" else name)
    if then == "AttributeError":
        with pytest.raises(AttributeError):
            decide(facts)
        return
    verdict = decide(facts)
    assert then == ("nothing" if isinstance(verdict, Allow) else verdict.rule)


@pytest.mark.parametrize(
    "unknown",
    [
        asked(dataset={"zone": "moon"}, client={"zone": "moon"}, zone="moon"),
        asked(dataset={"data_class": "secret"}, who=UNDER_IT),
        asked(dataset={"columns": (("name", "secret"),)}),
        asked(client={"auth_method": "password"}),
        asked(action="delete"),
        under(state="paused"),
    ],
)
def test_what_no_rule_knows_is_a_no(unknown: Facts) -> None:
    assert isinstance(decide(unknown), Deny)


def test_a_column_of_a_class_that_nobody_knows_is_not_even_its_publishers_to_see() -> None:
    columns = (("name", "restricted"), ("odd", "secret"))
    own = asked(dataset={"columns": columns}, client={"organization_id": "271004-kenko"})

    assert decide(own) == Allow(frozenset({"name"}), "own")


def test_the_names_are_unique_and_each_refusal_tells_its_rule() -> None:
    names = [name for _, name in OF_A_RULE]
    without_token = decide(replace(plain(), caller=None))

    assert len(set(names)) == len(names)
    assert isinstance(without_token, Deny)
    assert (without_token.reason, without_token.rule) == (Reason.TOKEN_REQUIRED, "token")
