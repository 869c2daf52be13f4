"""Every step by everybody in every state is answered as the model says, and each check is needed.

The state machine wanders; this looks at each place once, so that a check that lets everything by
is seen at once.
"""

from datetime import timedelta
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from app.agreements import (
    agreements,
    conclusion,
    drafts,
    exclusions,
    negotiation,
    proposals,
    requests,
    standing,
)
from app.api.state import Platform
from app.kit import clock
from tests.agreements import model
from tests.agreements.model import PEOPLE
from tests.agreements.places import BASIC, LEAVERS, Places
from tests.agreements.stage import set_up
from tests.world import World


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places(platform: Platform, client: Any) -> Places:
    world = World(platform, client)
    await world.start()
    made = Places(await set_up(world, LEAVERS), clock.now() + timedelta(days=60))
    await made.fill()
    return made


@pytest.fixture(autouse=True)
def _now(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: places.now)


VERBS = {
    "ask", "edit", "submit", "give-up", "approve", "accept", "counter", "rejected", "withdrawn",
    "amend", "suspend", "resume", "revoke", "exclude", "include",
}  # fmt: skip


@pytest.mark.parametrize("verb", sorted(VERBS))
async def test_everybody_everywhere_is_told_what_the_model_says(places: Places, verb: str) -> None:
    assert await places.first_surprise(verb) is None


async def test_no_kind_of_step_is_left_out(places: Places) -> None:
    assert {step.verb for step in places.steps()} == VERBS
    states = {each.shown() for each in places.asked.values()}
    assert states == {"draft", "requested", "countered", "expired", *model.ENDS}
    assert {each.shown() for each in places.agreed.values()} == {
        "active", "suspended", "revoked", "superseded", "expired",
    }  # fmt: skip


def _nothing(*_args: Any, **_more: Any) -> list[Any]:
    return []


async def _nothing_later(*_args: Any, **_more: Any) -> list[Any]:
    return []


# What each check says where it refuses.
REFUSALS = {
    "require_open": "access_request_",
    "require_turn": "other_side_answers",
    "require_other_person": "same_person",
    "require_not_asker": "same_person",
    "require_requester": "not_the_requester",
    "_require_consumer": "not_the_requester",
    "require_steward": "not_the_steward",
    "require_party": "not_a_party",
    "require_zone": "zone_not_allowed",
    "require_author": "requester_revoked",
    "require_state": "wrong_agreement_state",
    "_require_draft": "access_request_not_a_draft",
}
# Each check where it stands, and the steps that must each be answered otherwise without it.
CHECKS: dict[ModuleType, dict[str, str]] = {
    requests: {
        "_check_dataset": "ask",
        "check_group": "ask",
        "check_terms": "ask",
        "require_zone": "ask approve",
        "require_turn": "approve",
        "require_other_person": "approve",
        "require_not_asker": "approve",
        "require_steward": "approve rejected",
        "check_columns": "approve",
        "check_rows": "approve",
        "check_period": "approve",
        "_check_narrower": "approve",
        "require_author": "approve",
        "require_open": "rejected withdrawn",
        "require_requester": "withdrawn",
    },
    negotiation: {
        "require_open": "counter",
        "require_steward": "counter",
        "require_turn": "accept",
        "_require_consumer": "counter accept",
        "require_requester": "counter accept",
        "require_zone": "counter accept amend",
        "require_other_person": "accept",
        "check_period": "accept",
        "require_author": "accept",
        "check_terms": "counter",
        "_check_start": "counter",
        "_check_other": "counter",
        "require_state": "amend",
        "require_party": "amend",
    },
    conclusion: {"require_state": "approve accept"},
    agreements: {
        "require_state": "suspend resume revoke",
        "require_party": "suspend revoke",
        "require_steward": "resume",
    },
    drafts: {
        "_require_draft": "edit submit give-up",
        "require_requester": "edit submit give-up",
        "check_terms": "submit",
        "require_zone": "submit",
    },
    exclusions: {
        "require_steward": "exclude include",
        "require_state": "exclude include",
        "_require_known_member": "exclude include",
    },
    proposals: dict.fromkeys(
        ("check_purpose", "check_columns", "check_rows", "check_period"), "ask"
    ),
    standing: {"require_open": "approve accept"},
}


@pytest.mark.parametrize(
    ("module", "check", "verb"),
    [
        (module, check, verb)
        for module, checks in CHECKS.items()
        for check, verbs in checks.items()
        for verb in verbs.split()
    ],
)
async def test_no_check_can_be_taken_away_unnoticed(
    places: Places, monkeypatch: pytest.MonkeyPatch, module: ModuleType, check: str, verb: str
) -> None:
    is_late = iscoroutinefunction(getattr(module, check))
    monkeypatch.setattr(module, check, _nothing_later if is_late else _nothing)

    refused = REFUSALS.get(check, "terms_invalid")
    assert await places.first_surprise(verb, refused) is not None


@pytest.mark.parametrize("aim", ["draft", "requested", "countered", *sorted(model.ENDS), "expired"])
async def test_the_database_takes_no_state_of_a_request_that_does_not_follow(
    places: Places, aim: str
) -> None:
    statement = (
        "UPDATE access_request SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1"
    )
    for place in BASIC:
        asked = places.asked[place]
        for who in ("both elsewhere", "steward"):
            by = places.stage.people[who].actor
            expected = model.may_be_written(asked, PEOPLE[who], aim)
            assert await places.stage.takes(statement, asked.id, aim, by, places.now) is expected, (
                place
            )


@pytest.mark.parametrize("aim", ["active", "suspended", "revoked", "superseded", "expired"])
async def test_the_database_takes_no_state_of_an_agreement_that_does_not_follow(
    places: Places, aim: str
) -> None:
    statement = "UPDATE agreement SET state = $2, state_changed_at = $3 WHERE id = $1"
    for place, agreed in places.agreed.items():
        expected = (agreed.shown(), aim) in model.MOVES
        assert await places.stage.takes(statement, agreed.id, aim, places.now) is expected, place


@pytest.mark.parametrize(
    "change",
    [
        "rows = NULL", "rows = 'name = 1'", "per_day = NULL", "per_day = 11", "group_id = NULL",
        "columns = '{name,capacity}'", "requested_by = 'x'", "approved_by = 'x'", "terms = '{}'",
        "valid_until = valid_until + interval '1 day'",
    ],
)  # fmt: skip
async def test_the_database_keeps_the_terms_beside_a_legal_change(
    places: Places, change: str
) -> None:
    plain = "UPDATE agreement SET state = 'suspended', state_changed_at = $2"
    agreed = places.agreed["bounded group"]

    taken = [
        await places.stage.takes(f"{each} WHERE id = $1", agreed.id, places.now)
        for each in (plain, f"{plain}, {change}")
    ]

    assert taken == [True, False]
