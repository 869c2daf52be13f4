"""Answers held by question: bounded in number and bytes, the oldest first to go."""

from types import SimpleNamespace
from typing import Any, cast

from app.broker.held import Held, HeldAnswers
from app.broker.plan import Plan

PLAN = cast(Plan, SimpleNamespace(length=9))


def filled(held: HeldAnswers, key: tuple[Any, ...], size: int) -> None:
    empty = Held(PLAN)
    held.hold(key, empty)
    held.fill(key, empty, Held(PLAN, b"x" * size, 1))


def test_the_least_recently_used_answers_go_when_the_room_is_full() -> None:
    held = HeldAnswers(1_000)
    for number in range(10):
        filled(held, (number,), 100)
    assert held.find((0,)) is not None  # used again: now the youngest

    filled(held, (10,), 100)

    assert held.find((0,)) is not None
    assert held.find((1,)) is None


def test_an_answer_larger_than_its_share_is_not_held() -> None:
    held = HeldAnswers(1_000)

    filled(held, ("large",), 126)
    filled(held, ("small",), 125)

    large, small = held.find(("large",)), held.find(("small",))
    assert large is not None
    assert small is not None
    assert (large.body, len(small.body or b"")) == (None, 125)


def test_an_answer_to_a_plan_that_was_dropped_meanwhile_is_not_held() -> None:
    held = HeldAnswers(1_000)
    slow = Held(PLAN)
    held.hold(("q",), slow)
    held.hold(("q",), Held(PLAN))  # another request planned the question anew

    held.fill(("q",), slow, Held(PLAN, b"late", 1))

    found = held.find(("q",))
    assert found is not None
    assert found.body is None


def test_nothing_is_held_of_a_question_that_takes_much_room() -> None:
    held = HeldAnswers(1_000)

    held.hold(("long",), Held(cast(Plan, SimpleNamespace(length=60_000))))

    assert held.find(("long",)) is None
