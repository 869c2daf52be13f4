"""What `/metrics` shows of the sources of live datasets: each by its connector, so many of them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from app.live.breaker import State
from app.live.reader import LiveReader
from app.live.source import LATENCY_BOUNDS, Figures, LiveSource

_MOST_NAMED: Final = 200  # the most asked; the others are one
_OTHER: Final = "other"
_STATES: Final = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


def live_figures(reader: LiveReader) -> Iterator[Any]:
    """Questions, failures by class, times, and who is left alone."""
    every = sorted(reader.sources.every(), key=lambda each: -each[1].figures.asked)
    named = every[:_MOST_NAMED]
    shown = [(name, source.figures) for name, source in named]
    if every[_MOST_NAMED:]:
        shown.append((_OTHER, _together(source for _, source in every[_MOST_NAMED:])))
    failed = CounterMetricFamily(
        "urbanos_live_failures", "Questions to sources that failed", labels=["connector", "class"]
    )
    seconds = HistogramMetricFamily(
        "urbanos_live_seconds", "Time until a source had answered", labels=["connector"]
    )
    stale = CounterMetricFamily(
        "urbanos_live_stale", "Answers given while a source was away", labels=["connector"]
    )
    for name, figures in shown:
        stale.add_metric([name], figures.stale)
        for told_as, count in sorted(figures.failed.items()):
            failed.add_metric([name, told_as], count)
        seconds.add_metric([name], _buckets(figures), sum_value=figures.seconds)
    state = GaugeMetricFamily(
        "urbanos_live_breaker", "0: a source is asked, 1: it is tried, 2: it is left alone",
        labels=["connector"],
    )  # fmt: skip
    under_way = GaugeMetricFamily(
        "urbanos_live_questions", "Questions that are asked, or wait for a place among those",
        labels=["connector", "state"],
    )  # fmt: skip
    for name, source in named:
        state.add_metric([name], _STATES[source.state()])
        under_way.add_metric([name, "asked"], source.asked_now)
        under_way.add_metric([name, "waiting"], source.waiting)
    yield from (failed, stale, seconds, state, under_way)
    yield GaugeMetricFamily(
        "urbanos_live_copies_bytes", "Answers of sources in memory", value=reader.copies.size
    )


def _together(sources: Iterator[LiveSource]) -> Figures:
    whole = Figures(failed=Counter())
    for source in sources:
        figures = source.figures
        whole.asked += figures.asked
        whole.seconds += figures.seconds
        whole.stale += figures.stale
        whole.failed.update(figures.failed)
        whole.buckets = [a + b for a, b in zip(whole.buckets, figures.buckets, strict=True)]
    return whole


def _buckets(figures: Figures) -> list[tuple[str, float]]:
    total, made = 0, []
    for bound, count in zip([*map(str, LATENCY_BOUNDS), "+Inf"], figures.buckets, strict=True):
        total += count
        made.append((bound, float(total)))
    return made
