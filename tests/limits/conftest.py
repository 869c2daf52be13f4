"""Limits as small as a test wants them, and a clock that it moves."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from app.api.state import Platform
from app.broker.limits import Rates
from app.kit.limits import Limiter
from tests.limits.store import store_program

__all__ = ["store_program"]


@dataclass(slots=True)
class Clock:
    """Seconds that pass when a test says so."""

    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(
    platform: Platform, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Rates], None]:
    """Sets the rates of the running platform, and begins to count anew."""

    def limit(rates: Rates) -> None:
        monkeypatch.setattr(platform.limits, "rates", rates)
        monkeypatch.setattr(platform.limits, "limiter", Limiter(now=clock))
        monkeypatch.setattr(platform.limits, "_told", {})

    return limit
