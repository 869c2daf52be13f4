"""Figures of one run, each beside its limit: gathered in interleaved rounds, printed as a table."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

ROUNDS = 3
Measure = Callable[[int], Awaitable[float]]  # takes the round's number


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured in each round, and what it is held against."""

    name: str
    unit: str
    values: tuple[float, ...]
    limits: tuple[float, ...] = ()
    limit_name: str = ""
    wanted_ratio: float | None = None
    wanted_below: float | None = None
    wanted_above: float | None = None

    def row(self) -> tuple[str, ...]:
        """The figure as cells of the table. The ratio is the median of the rounds' own ratios."""
        values = f"{_number(statistics.median(self.values))} {self.unit}"
        spread = f"{_number(min(self.values))}–{_number(max(self.values))}"
        if self.limits:
            limit = f"{_number(statistics.median(self.limits))} {self.limit_name}"
            ratios = [v / limit for v, limit in zip(self.values, self.limits, strict=True)]
            ratio = f"{statistics.median(ratios):.2f}"
            wanted = "" if self.wanted_ratio is None else f"≥ {self.wanted_ratio}"
            good = self.wanted_ratio is None or statistics.median(ratios) >= self.wanted_ratio
            return (self.name, values, spread, limit, ratio, wanted, "" if good else "MISSED")
        median, wanted, good = statistics.median(self.values), "", True
        if self.wanted_below is not None:
            wanted, good = f"< {_number(self.wanted_below)}", median < self.wanted_below
        elif self.wanted_above is not None:
            wanted, good = f"≥ {_number(self.wanted_above)}", median >= self.wanted_above
        return (self.name, values, spread, "", "", wanted, "" if good else "MISSED")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


async def rounds(*measures: Measure, number: int = ROUNDS) -> list[tuple[float, ...]]:
    """Each measure once a round, in turn: what slows the machine down slows all of them."""
    found: list[list[float]] = [[] for _ in measures]
    for at in range(number):
        for values, measure in zip(found, measures, strict=True):
            values.append(await measure(at))
    return [tuple(values) for values in found]


HEAD = ("figure", "median", "spread", "limit in the same run", "ratio", "wanted", "")


def print_table(figures: Sequence[Figure]) -> None:
    """All figures, one a line."""
    rows = [HEAD, *(figure.row() for figure in figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
