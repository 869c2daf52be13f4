"""The alert rules' turn, and messages to those who must act. A rule that fails ends no other."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from typing import Final

import structlog

from app.catalogue.schedules import next_after
from app.findings import deliveries, feeds, looks, watch
from app.findings.rules import RULES
from app.kit.db import Database
from app.programmes.watch import look_at_projects

log = structlog.get_logger()
_MOST_SECONDS: Final = 50.0


async def watch_log(database: Database, certificate_until: datetime | None = None) -> None:
    """Let every rule look at what is new, side by side, and for less than a minute."""
    turns: dict[str, Awaitable[None]] = {
        "expiring_key": looks.look_at_keys(database, certificate_until),
        "log_backlog": looks.look_at_log(database),
        "projects": look_at_projects(database),
        "sources": feeds.look_at_feeds(database, next_after),
        **{name: watch.judge_log(database, name) for name, rule in RULES.items() if rule.events},
    }
    await asyncio.gather(*(_turn(name, turn) for name, turn in turns.items()))
    await deliveries.keep_up(database)


async def _turn(name: str, turn: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            await turn
    except Exception:
        # The outermost loop of one rule: it begins again where it stood, a minute later.
        log.exception("alerts.rule_failed", rule=name)
