"""Rules that look at how things stand: keys that run out, a log that takes nothing. Each tells of
one thing once a step, however often it looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.backlog import takes_entries
from app.findings import values
from app.findings.findings import Sighting, log_late, report
from app.findings.values import Ruling
from app.kit import clock
from app.kit.db import Database
from app.models.findings import AlertTally, Severity
from app.models.parties import SigningKey
from app.policy.staleness import LOG_BOUND_S

_HOLD: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('alert:' || :rule, 0))")
ROTATED_EVERY: Final = timedelta(days=90)
_STEPS: Final = {1: Severity.CRITICAL, 7: Severity.HIGH}  # days left; before them the rule's own


@dataclass(frozen=True, slots=True)
class Expiring:
    """What ends at a time, and how to mend it."""

    kind: str
    id: str
    until: datetime
    what: tuple[str, str]  # in Japanese and in English, as the rest
    mend: tuple[str, str]


async def look_at_keys(database: Database, certificate_until: datetime | None = None) -> None:
    """Find keys that run out: the signing key, and the TLS certificate where this process has it."""
    async with database.writing() as session:
        ruling = await values.get(session, "expiring_key")
        if not ruling.enabled:
            return
        expiring = await _signing_keys(session)
        if certificate_until is not None:
            expiring.append(_certificate(certificate_until))
        seen = [found for each in expiring if (found := await _step(session, ruling, each))]
        await report(session, *seen)


async def _signing_keys(session: AsyncSession) -> list[Expiring]:
    current = await session.scalars(select(SigningKey).where(SigningKey.state == "current"))
    return [
        Expiring(
            "signing_key", key.kid, key.changed_at + ROTATED_EVERY, ("署名鍵", "The signing key"),
            ("urbanos keys rotate で更新してください。", "Rotate it: urbanos keys rotate."),
        )
        for key in current
    ]  # fmt: skip


def _certificate(until: datetime) -> Expiring:
    return Expiring(
        "tls_certificate", "listener", until, ("TLS証明書", "The TLS certificate"),
        ("新しい証明書に替えて再起動してください（URBANOS_TLS_CERTIFICATE）。",
         "Put a new one in its place and restart (URBANOS_TLS_CERTIFICATE)."),
    )  # fmt: skip


async def _step(session: AsyncSession, ruling: Ruling, thing: Expiring) -> Sighting | None:
    """What is to be told of a thing now: nothing, where this step was told before."""
    left = (thing.until - clock.now()) / timedelta(days=1)
    if left > ruling.values["days"]:
        return None
    step = min((days for days in _STEPS if left <= days), default=ruling.values["days"])
    told = await _remembered(session, ruling.rule.name, thing.kind, thing.id)
    if told.amounts.get("until") == thing.until.isoformat() and told.amounts["step"] <= step:
        return None
    told.amounts = {"step": step, "until": thing.until.isoformat()}
    told.changed_at = clock.now()
    named = {
        "key": thing.id,
        "until": thing.until.astimezone(clock.TOKYO).isoformat(timespec="minutes"),
        "what_ja": thing.what[0],
        "what_en": thing.what[1],
        "mend_ja": thing.mend[0],
        "mend_en": thing.mend[1],
    }
    return _sighting(ruling, thing.kind, thing.id, _STEPS.get(step, ruling.rule.severity), named)


async def look_at_log(database: Database, *, wait_s: float = 2.0) -> None:
    """Find that nothing could be written to the log for too long. The finding itself is written
    there later; whoever must act hears of it at once."""
    is_well = await takes_entries(database.pool, wait_s=wait_s)
    async with database.writing() as session:
        ruling = await values.get(session, "log_backlog")
        memory = await _remembered(session, ruling.rule.name, "log", "log")
        if is_well:
            memory.amounts = {}
            await log_late(session)
            return
        now = clock.now().timestamp()
        since = memory.amounts.get("since", now)
        memory.amounts, memory.changed_at = {"since": since}, clock.now()
        if not ruling.enabled or now - since <= ruling.values["seconds"]:
            return
        named = {"waited": int(now - since), "stops": LOG_BOUND_S}
        seen = _sighting(ruling, "log", "log", ruling.rule.severity, named)
        await report(session, seen, is_logged=False)


async def _remembered(session: AsyncSession, rule: str, kind: str, thing: str) -> AlertTally:
    """What is remembered of one thing, held until the commit: two workers tell of it once."""
    await session.execute(_HOLD, {"rule": rule})
    found = await session.get(AlertTally, (rule, kind, thing, ""))
    if found is None:
        found = AlertTally(
            rule=rule, subject_kind=kind, subject_id=thing, dataset_id="", amounts={},
            changed_at=clock.now(),
        )  # fmt: skip
        session.add(found)
    return found


def _sighting(
    ruling: Ruling, kind: str, thing: str, severity: Severity, named: Mapping[str, Any]
) -> Sighting:
    rule = ruling.rule
    return Sighting(
        rule=rule.name,
        subject_kind=kind,
        subject_id=thing,
        severity=severity,
        ja=rule.ja.format(**named),
        en=rule.en.format(**named),
        due_in=timedelta(days=rule.due_days),
    )
