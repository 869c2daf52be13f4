"""A rule replaced by *always true* makes the tests that ask from outside fail: they do test it."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import pytest

from app.policy import rules
from app.policy.facts import Caller, Facts
from app.policy.verdicts import Allow, Decision
from tests.agreements import test_group_agreements as group
from tests.api import test_decisions as decisions
from tests.api import test_rights as rights
from tests.oauth import test_one_agreement as one_agreement
from tests.oauth import test_reach as reach
from tests.policy.test_rules_as_data import OF_A_RULE, without
from tests.rows import test_views as views
from tests.stock import reader, stocked
from tests.subjects import test_consents as consents
from tests.world import SAKAI, World

Seen = Callable[[World], Coroutine[Any, Any, None]]


async def _withdrawn(world: World) -> None:
    dataset = await stocked(world, rights.ROWS)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET state = 'withdrawn', withdrawn_reason = '試験' WHERE id = $1", dataset
    )
    world.platform.live.changed("dataset", dataset)

    assert await rights.ask(world, dataset, {}) == (410, "dataset_withdrawn")


async def _only_counted(world: World) -> None:
    dataset = await world.dataset(data_class="internal")
    headers = await reader(world, dataset, rights.OTHER_UNIT)
    rule = '{"k": 10, "dimensions": ["name"]}'
    await world.platform.database.pool.execute(
        "UPDATE dataset SET suppression = $2::jsonb WHERE id = $1", dataset, rule
    )
    world.platform.live.changed("dataset", dataset)

    assert await rights.ask(world, dataset, headers) == (403, "aggregate_only")


async def _left_out(world: World) -> None:
    await group.test_one_member_is_left_out_at_once_while_the_others_go_on(await group.share(world))


_PURPOSES: Final = rights.test_the_purpose_is_asked_for_known_and_agreed
_ENDED: Final = partial(
    rights.test_an_agreement_that_is_ended_stops_the_token_that_still_lives, data_class="internal"
)
_PERSONAL: Final = rights.test_personal_data_never_leaves_without_a_bound_token
_REACH: Final = rights.test_no_token_is_issued_to_whom_no_rule_would_allow
SEEN: Final[dict[str, Seen]] = {
    "dataset-in-force": _withdrawn,
    "never-brokered": partial(_PERSONAL, data_class="specific-personal"),
    "sender-bound": partial(_PERSONAL, data_class="personal"),
    "zone": rights.test_data_of_another_zone_is_out_of_reach_here,
    "scope": rights.test_a_token_for_one_dataset_opens_no_other,
    "proof-of-identity": rights.test_a_client_with_a_secret_reaches_nothing_above_internal,
    "proof-of-sender": reach.test_a_bearer_token_got_for_other_data_says_what_it_lacks,
    "purpose-given": _PURPOSES,
    "purpose-known": _PURPOSES,
    "own": partial(_REACH, organization=SAKAI, data_class="restricted", action="read"),
    "body": partial(_REACH, organization=SAKAI, data_class="internal", action="read"),
    "action-agreed": rights.test_an_agreement_to_read_is_none_to_write,
    "purpose-agreed": _PURPOSES,
    "not-revoked": partial(_ENDED, verb="revoke", code="agreement_revoked"),
    "in-force": partial(_ENDED, verb="suspend", code="agreement_suspended"),
    "agreement-named": decisions.test_personal_data_is_explained_with_the_agreement_that_a_token_would_be_for,
    "not-excluded": _left_out,
    "left-for-purpose": views.test_a_view_with_none_of_the_agreed_columns_refuses_and_says_why,
    "subject-told": consents.test_where_the_field_is_taken_back_no_record_leaves_and_the_log_says_why,
    "records-given": _only_counted,
}
_WITH_A_CLOCK: Final = {
    "not-over": rights.test_the_end_of_an_agreement_needs_no_one,
    "begun": rights.test_an_agreement_that_has_not_begun_gives_nothing_yet,
}
# Another check stands before it in all that can be asked from outside: a second lock, which
# tests/policy/test_rules_as_data.py tries by itself.
_SECOND_LOCKS: Final = {
    "action-known", "class-known", "client-in-force", "columns-left", "purpose-of-token"
}  # fmt: skip


def test_every_rule_is_tried_from_outside_or_is_a_second_lock() -> None:
    assert {*SEEN, *_WITH_A_CLOCK, *_SECOND_LOCKS} == {name for _, name in OF_A_RULE}


@pytest.mark.parametrize("seen", [_withdrawn, _only_counted, _left_out])
async def test_what_is_tried_here_alone_holds_with_every_rule_in_place(
    world: World, seen: Seen
) -> None:
    await seen(world)


@pytest.mark.parametrize(
    ("table", "name"), [each for each in OF_A_RULE if each[1] not in _SECOND_LOCKS]
)
async def test_a_rule_made_always_true_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch, table: str, name: str
) -> None:
    without(monkeypatch, table, name)

    with pytest.raises(AssertionError):
        if name in SEEN:
            await SEEN[name](world)
            return
        with pytest.MonkeyPatch.context() as clock:
            await _WITH_A_CLOCK[name](world, clock)


@pytest.mark.parametrize(
    "cut",
    [
        rights.test_each_column_is_seen_by_those_who_may_see_its_class,
        one_agreement.test_personal_columns_need_the_agreement_named_too,
    ],
)
async def test_a_cut_of_columns_that_cuts_nothing_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch, cut: Seen
) -> None:
    monkeypatch.setattr(
        rules, "_seen_up_to", lambda facts, _: frozenset(name for name, _ in facts.dataset.columns)
    )

    with pytest.raises(AssertionError):
        await cut(world)


async def test_columns_of_an_agreement_that_are_not_kept_would_be_noticed_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = rules._what_is_left

    def every_column(facts: Facts, caller: Caller, agreed: Allow) -> Decision:
        uncut = Allow(rules._seen_up_to(facts, 9), "agreement", agreed.agreement_id)
        return judged(facts, caller, uncut)

    monkeypatch.setattr(rules, "_what_is_left", every_column)

    with pytest.raises(AssertionError):
        await rights.test_a_column_outside_the_agreement_cannot_be_named_in_any_place(
            world, {"fields": "no,size"}
        )
