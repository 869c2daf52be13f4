"""The operator's door: is it alive, is it ready, how much does it do. Says nothing of data."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Literal

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import PlainTextResponse

from app.api.access import PlatformDep
from app.api.envelope import Traffic
from app.api.live_figures import live_figures
from app.api.problem import problems
from app.api.shapes import Time
from app.api.state import Platform
from app.api.stream_metrics import of_streams
from app.audit.checkpoints import unsigned_seconds
from app.catalogue import files, harvest_outcomes, indexing, stream_figures
from app.catalogue.harvest_outcomes import Figures
from app.catalogue.stream_figures import StreamFigures
from app.jobs import queue
from app.kit import clock
from app.kit.db import LOST, Database, DatabaseUnavailable
from app.subscriptions import notices

router = APIRouter(tags=["Operations"])
_PROBE_SECONDS: Final = 1.0
_LOOK_AGAIN_S: Final = 30.0  # counting reads every entry of the catalogue
_MOST_SECONDS: Final = 86_400.0


class HealthOut(BaseModel):
    """`ok` means that the process answers."""

    status: str = "ok"


class ReadyOut(BaseModel):
    """Whether requests can be answered here now, and how old the newest proof of that is."""

    status: str
    epoch: int
    seconds_behind: float


@router.get(
    "/healthz",
    response_model=HealthOut,
    summary="Is the process alive",
    responses={400: problems()[400]},
)
async def check_health() -> HealthOut:
    """Answers without the database."""
    return HealthOut()


@router.get(
    "/readyz",
    response_model=ReadyOut,
    summary="Can requests be answered",
    responses={status: problems()[status] for status in (400, 503)},
)
async def check_readiness(platform: PlatformDep) -> ReadyOut:
    """Answers when the database does."""
    try:
        epoch = await platform.database.pool.fetchval("SELECT value FROM epoch", timeout=2)
    except LOST as exc:
        raise DatabaseUnavailable from exc
    behind = round(platform.live.seconds_behind, 3)
    return ReadyOut(status="ok", epoch=epoch, seconds_behind=behind)


async def _answers(platform: Platform) -> bool:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await platform.database.pool.fetchval("SELECT 1")
    except LOST:
        return False
    return True


class SourceOut(BaseModel):
    """The source of the data: for hosted datasets the database."""

    reachable: bool
    reached_at: Time
    age_seconds: float


class LinkageHealthOut(BaseModel):
    """The health of the Linkage Interface, with the conformance classes that are really served."""

    status: Literal["ok", "degraded"]
    interface: str
    conformance: list[str]
    checked_at: Time
    source: SourceOut


@router.get(
    "/v1/health",
    response_model=LinkageHealthOut,
    summary="Is the service and its source well",
    responses={400: problems()[400]},
)
async def show_health(platform: PlatformDep) -> LinkageHealthOut:
    """Whether the database answers now. Degraded: public data goes on from what is held."""
    reachable = await _answers(platform)
    behind = 0.0 if reachable else max(platform.live.seconds_behind, 0.0)
    now = clock.now()
    return LinkageHealthOut(
        status="ok" if reachable else "degraded",
        interface="1.1.0",
        conformance=["core", "query", "changes", "write", "push", "secure"],
        checked_at=now,
        source=SourceOut(
            reachable=reachable,
            reached_at=now - timedelta(seconds=min(behind, _MOST_SECONDS)),
            age_seconds=round(min(behind, _MOST_SECONDS), 3),
        ),
    )


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    summary="Figures for Prometheus",
    responses={
        200: {"content": {"text/plain": {"example": "urbanos_requests_total 1.0\n"}}},
        400: problems()[400],
    },
)
async def show_metrics(request: Request) -> PlainTextResponse:
    """Requests by route and status, durations, connections, memory; what waits for a worker."""
    text = await request.app.state.metrics.text()
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


class _Figures(Collector):
    """Reads the counts when they are asked for: counting itself stays cheap."""

    def __init__(self, traffic: Traffic, platform: Platform) -> None:
        self._traffic = traffic
        self._platform = platform

    def collect(self) -> Iterator[Any]:
        requests = CounterMetricFamily(
            "urbanos_requests", "Answered requests", labels=["method", "route", "status"]
        )
        for (method, route, status), count in list(self._traffic.requests.items()):
            requests.add_metric([method, route, str(status)], count)
        yield requests
        yield self._durations()
        pool = self._platform.database.pool
        yield GaugeMetricFamily(
            "urbanos_pool_connections", "Connections of the read pool", value=pool.get_size()
        )
        yield GaugeMetricFamily(
            "urbanos_live_seconds_behind",
            "Age of the newest proof that memory and database agree",
            value=self._platform.live.seconds_behind,
        )
        yield GaugeMetricFamily(
            "urbanos_log_unwritten_seconds",
            "How long this process has been unable to write to the log",
            value=self._platform.log.seconds_behind,
        )
        yield from live_figures(self._platform.live_reader)

    def _durations(self) -> HistogramMetricFamily:
        total = 0
        buckets = []
        bounds = [*map(str, self._traffic.bounds), "+Inf"]
        for bound, count in zip(bounds, self._traffic.buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family = HistogramMetricFamily("urbanos_request_seconds", "Time until the answer had left")
        family.add_metric([], buckets, sum_value=self._traffic.seconds)
        return family


class _Work(Collector):
    """What waits for a worker, as it was half a minute ago at most. No database, no figures."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[str, tuple[str, float]] = {}
        self._harvests: Figures | None = None
        self._streams: list[StreamFigures] = []
        self._looked_at = -_LOOK_AGAIN_S

    async def look(self) -> None:
        """Look again, if the last look is old. Never raises, and never waits for long."""
        if time.monotonic() - self._looked_at < _LOOK_AGAIN_S:
            return
        self._looked_at = time.monotonic()
        self._found, self._harvests, self._streams = {}, None, []
        with suppress(DatabaseUnavailable, SQLAlchemyError, *LOST):
            async with asyncio.timeout(_PROBE_SECONDS):
                self._found = await self._count()

    async def _count(self) -> dict[str, tuple[str, float]]:
        waiting, oldest_s = await queue.backlog(self._database.pool)
        unsigned_s = await unsigned_seconds(self._database.pool)
        async with self._database.reading() as session:
            standing = await files.standing(session)
            words = await indexing.behind(session)
            told = await notices.standing(session)
            self._harvests = await harvest_outcomes.figures(session)
            self._streams = await stream_figures.of_connectors(session)
        return {
            "urbanos_jobs_waiting": ("Jobs that wait for a worker", waiting),
            "urbanos_jobs_oldest_seconds": ("How long the oldest of them waits", oldest_s),
            "urbanos_log_unsigned_seconds": ("How long the oldest entry is unsigned", unsigned_s),
            "urbanos_files_waiting": ("Datasets that wait for ready-made files", standing.waiting),
            "urbanos_files_overdue": ("Those that wait for half an hour", standing.overdue),
            "urbanos_files_failed": ("Files that could not be made", standing.failed),
            "urbanos_words_waiting": ("Datasets not yet found by their present words", words),
            "urbanos_notices_waiting": ("Notices that wait for their receivers", told.waiting),
            "urbanos_subscriptions_failing": ("Subscribers that take nothing now", told.failing),
            "urbanos_subscriptions_stopped": ("Subscriptions that have stopped", told.stopped),
        }

    def collect(self) -> Iterator[Any]:
        for name, (told, value) in self._found.items():
            yield GaugeMetricFamily(name, told, value=value)
        if self._harvests is not None:
            yield from _of_harvests(self._harvests)
        yield from of_streams(self._streams)


def _of_harvests(found: Figures) -> Iterator[Any]:
    """By kind alone: a deployment has a dozen kinds, and may have thousands of sources."""
    ended = CounterMetricFamily(
        "urbanos_harvests", "Harvests that have ended", labels=["kind", "outcome"]
    )
    for (kind, outcome), times in sorted(found.counts.items()):
        ended.add_metric([kind, outcome], times)
    yield ended
    failing = GaugeMetricFamily(
        "urbanos_feeds_failing",
        "Feeds whose last harvest failed, or whose stream broke off and waits",
        labels=["kind"],
    )
    for kind, feeds in sorted(found.failing.items()):
        failing.add_metric([kind], feeds)
    yield failing
    oldest = GaugeMetricFamily(
        "urbanos_harvest_success_age_seconds",
        "Since the last good harvest, of the scheduled feed that waits longest",
        labels=["kind"],
    )
    for kind, age in sorted(found.oldest_good_s.items()):
        oldest.add_metric([kind], age)
    yield oldest


class Metrics:
    """What `/metrics` shows: one a process."""

    def __init__(self, traffic: Traffic, platform: Platform) -> None:
        self._work = _Work(platform.database)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Figures(traffic, platform))
        self._registry.register(self._work)

    async def text(self) -> bytes:
        """The figures in Prometheus's own form."""
        await self._work.look()
        return generate_latest(self._registry)
