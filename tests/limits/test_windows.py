"""The counting itself: what any minute can hold, and whether the wait that is told is true."""

from bisect import bisect_left
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.limits import origin_of
from app.kit import limits
from app.kit.limits import Limit, Windows

_steps = st.lists(st.floats(min_value=0, max_value=20), min_size=1, max_size=300)


@given(_steps, st.integers(min_value=1, max_value=40))
def test_no_minute_holds_more_than_the_limit(steps: list[float], most: int) -> None:
    windows = Windows()

    taken = [
        now
        for now in accumulate(steps, initial=500.0)
        if windows.hit([Limit("x", "x", most)], now).refused is None
    ]

    for place, now in enumerate(taken):
        assert bisect_left(taken, now + 60.0) - place <= most


@given(_steps, st.integers(min_value=1, max_value=8))
def test_who_waits_as_long_as_it_is_told_is_let_in(steps: list[float], most: int) -> None:
    windows = Windows()
    limit = [Limit("x", "x", most)]
    for now in accumulate(steps, initial=500.0):
        refused = windows.hit(limit, now).refused
        if refused is not None:
            assert 1 <= refused.free_in_s <= 66
            assert windows.hit(limit, now + refused.free_in_s).refused is None
            return


def test_all_of_a_limit_may_be_used_at_once_and_nothing_beyond() -> None:
    windows = Windows()
    limit = [Limit("x", "x", 600)]

    outcomes = [windows.hit(limit, 500.0) for _ in range(700)]

    assert sum(outcome.refused is None for outcome in outcomes) == 600
    assert [outcome.standings[0].left for outcome in outcomes[:2]] == [599, 598]


def test_a_hit_that_one_limit_refuses_is_counted_by_none() -> None:
    windows = Windows()
    wide, narrow = Limit("wide", "w", 10), Limit("narrow", "n", 1)
    windows.hit([wide, narrow], 500.0)

    refused = windows.hit([wide, narrow], 500.0).refused
    left = windows.hit([wide], 500.0).standings[0].left

    assert refused is not None
    assert refused.limit is narrow
    assert left == 8


def test_however_many_keys_come_few_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_KEYS", 100)
    windows = Windows()

    for number in range(1_000):
        windows.hit([Limit("x", f"{number}", 1)], 500.0)

    assert len(windows._young) + len(windows._old) <= 201


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),  # 2^64 addresses of one household
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_address_is_the_network_that_one_household_has(
    one: str, other: str, is_same: bool
) -> None:
    assert (origin_of({"client": (one, 1)}) == origin_of({"client": (other, 2)})) is is_same
