"""What `/metrics` shows of streams: each connector's together, and of so many connectors alone."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from app.catalogue.stream_figures import StreamFigures, together

_MOST_NAMED: Final = 200  # those that want a look; the others are one
_OTHER: Final = "other"
_LABEL: Final = "connector"
_ROWS: Final = ("received", "written", "deleted", "rejected")


def of_streams(found: list[StreamFigures]) -> Iterator[Any]:
    """Who listens, what came of it, and what waits."""
    shown = found[:_MOST_NAMED]
    if found[_MOST_NAMED:]:
        shown = [*shown, together(_OTHER, found[_MOST_NAMED:])]
    states = GaugeMetricFamily("urbanos_streams", "Streams by state", labels=[_LABEL, "state"])
    rows = CounterMetricFamily(
        "urbanos_stream_rows", "Rows that came, and what became of them", labels=[_LABEL, "outcome"]
    )
    begun = CounterMetricFamily(
        "urbanos_stream_connections", "How often a source has taken us on", labels=[_LABEL]
    )
    for each in shown:
        for state, count in each.states.items():
            states.add_metric([each.connector, state], count)
        for outcome in _ROWS:
            rows.add_metric([each.connector, outcome], each.counts[outcome])
        begun.add_metric([each.connector], each.counts["connections"])
    yield from (states, rows, begun)
    yield _gauge(
        "urbanos_streams_unheld", "Streams that should be listened for, and nobody does",
        {each.connector: each.counts["unheld"] for each in shown},
    )  # fmt: skip
    yield _gauge(
        "urbanos_stream_messages_waiting", "Messages that came and are not taken yet",
        {each.connector: each.counts["waiting"] for each in shown},
    )  # fmt: skip
    yield _gauge(
        "urbanos_stream_waiting_seconds", "How long the oldest of them waits",
        {each.connector: each.waiting_s for each in shown},
    )  # fmt: skip
    yield _gauge(
        "urbanos_stream_silent_seconds", "Since the last row, of the stream that waits longest",
        {each.connector: each.silent_s for each in shown},
    )  # fmt: skip


def _gauge(name: str, told: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, told, labels=[_LABEL])
    for connector, value in values.items():
        gauge.add_metric([connector], value)
    return gauge
