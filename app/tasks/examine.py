"""The job of official runs: has a sandbox judged and writes what was found. Judges nothing itself.

No connection of the database is held while a sandbox thinks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue import profiles
from app.catalogue.profile_schema import record_schema
from app.conformance import certificates, runs
from app.conformance.certificates import ENDS, SUBJECT, Held
from app.conformance.control import check_control
from app.conformance.refusals import RulesNotShown, RunTooLong, RunUnderWay, SandboxUnusable
from app.conformance.runs import MOST_SECONDS, Judged, NotMine, Work
from app.findings import findings
from app.findings.findings import Sighting
from app.kit import clock
from app.kit.clock import TOKYO
from app.kit.db import Database
from app.kit.errors import AppError
from app.kit.outbound import Outbound
from app.models.conformance import (
    ConformanceCertificate,
    ConformanceRun,
    ConformanceService,
    RunKind,
    RunState,
)
from app.models.findings import Severity

BROKEN: Final = "conformance_broken"
SILENT: Final = "sandbox_unusable"
_LOOK_EVERY_S: Final = 0.5
_DUE: Final = timedelta(days=14)
_STEPS: Final = {7: Severity.HIGH, 30: Severity.MEDIUM, 60: Severity.LOW}  # days left
_BY: Final = "schedule"

Judge = Callable[[Work], Awaitable[Judged]]


@dataclass(frozen=True, slots=True)
class Examiner:
    """What official runs are made with. One a process."""

    database: Database
    outbound: Outbound
    judge: Judge

    async def examine(self, run_id: UUID) -> None:
        """Make one run. Raises what asking again may mend."""
        try:
            async with self.database.writing() as session:
                work = await runs.claim(session, run_id)
            async with self.database.reading() as session:
                layouts = await profiles.layouts(session)
            schemas = {f"{each.name}/{each.version}": record_schema(each, "") for each in layouts}
            await self._make(replace(work, layouts=schemas))
        except NotMine:
            return  # it has ended, or another worker has it

    async def nightly(self) -> None:
        """Look at every service that is certified, and tell of certificates that end soon."""
        async with self.database.writing() as session:
            held = await certificates.in_force(session)
            await _tell_of_ends(session, list(held.values()))
        for service_id in held:
            async with self.database.writing() as session:
                service = await session.get(ConformanceService, service_id)
                if service is None or service.withdrawn_at is not None:
                    continue
                try:
                    await runs.ask(session, service, by=None, kind=RunKind.SMOKE)
                except RunUnderWay:
                    continue

    async def end_lost(self) -> None:
        """End what a worker that was killed left."""
        async with self.database.writing() as session:
            await runs.end_lost(session)

    async def _make(self, work: Work) -> None:
        try:
            self.outbound.check(work.url)
            if work.service_id is not None:
                await check_control(self.outbound, work.service_id, work.url)
            judged = await self._unless_cancelled(work)
            if judged is None:
                return
            if judged.gave_up is not None:
                why = judged.gave_up
                refusal = SandboxUnusable(url=work.url, why=why, why_ja=why)
                await self._end_refused(work, refusal, judged)
                return
            if judged.passed and judged.unseen:
                await self._end_refused(work, _too_little(work, judged), judged)
                return
        except AppError as refusal:
            await self._end_refused(work, refusal)
            return
        async with self.database.writing() as session:
            run = await runs.end(session, work, judged)
            await _tell_of_run(session, run)

    async def _unless_cancelled(self, work: Work) -> Judged | None:
        """What the judge says; None where somebody asked for the end before.

        Raises `NotMine`, `RunTooLong` and what the judge refuses.
        """
        judging = asyncio.create_task(self._judged(work))
        watching = asyncio.create_task(self._until_cancelled(work.run_id))
        try:
            await asyncio.wait({judging, watching}, return_when=asyncio.FIRST_COMPLETED)
            is_cancelled = watching.done() and not judging.done()
        finally:
            judging.cancel()
            watching.cancel()
            await asyncio.wait({judging, watching})
        if not is_cancelled:
            return judging.result()
        async with self.database.writing() as session:
            await runs.end_cancelled(session, work)
        return None

    async def _judged(self, work: Work) -> Judged:
        most = MOST_SECONDS[work.kind]
        try:
            async with asyncio.timeout(most):
                return await self.judge(work)
        except TimeoutError:
            raise RunTooLong(seconds=most) from None

    async def _until_cancelled(self, run_id: UUID) -> None:
        statement = "SELECT cancel_requested_at IS NULL FROM conformance_run WHERE id = $1"
        while True:
            try:
                if not await self.database.pool.fetchval(statement, run_id):
                    return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pass  # whoever writes the end meets the same, and says so
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _end_refused(
        self, work: Work, refusal: AppError, judged: Judged | None = None
    ) -> None:
        async with self.database.writing() as session:
            run = await runs.end_refused(session, work, refusal, judged)
            await _tell_of_run(session, run)


def _too_little(work: Work, judged: Judged) -> RulesNotShown:
    why_ja, why = judged.why_unseen
    rules = ", ".join(judged.unseen)
    return RulesNotShown(rules=rules, service=work.service_id, why=why, why_ja=why_ja)


async def _tell_of_run(session: AsyncSession, run: ConformanceRun) -> None:
    """What is certified and no longer keeps the standard is a finding of its vendor's."""
    subject = str(run.service_id)
    if run.state == RunState.PASSED:
        await findings.settle(session, BROKEN, SUBJECT, subject, by=_BY)
        await findings.settle(session, SILENT, SUBJECT, subject, by=_BY)
        return
    if run.kind != RunKind.SMOKE or not await certificates.in_force(session, [run.service_id]):
        return
    service = await session.get_one(ConformanceService, run.service_id)
    name, rules = service.name, ", ".join(run.broken)
    if run.state == RunState.FAILED:
        seen = Sighting(
            BROKEN, SUBJECT, subject, Severity.HIGH,
            f"認証済みサービス「{name}」のサンドボックスが規則 {rules} に違反しています"
            f"（試験 {run.id}）。修正して適合試験をやり直すか、証明書を失効させてください。",
            f"The sandbox of the certified service “{name}” breaks {rules} (run {run.id}). Mend it"
            " and have it judged again, or revoke the certificate.",
            _DUE, service.organization_id,
        )  # fmt: skip
    else:
        seen = Sighting(
            SILENT, SUBJECT, subject, Severity.MEDIUM,
            f"認証済みサービス「{name}」の再確認ができませんでした: {run.error_ja}",
            f"The certified service “{name}” could not be looked at again: {run.error_en}",
            _DUE, service.organization_id,
        )  # fmt: skip
    await findings.report(session, seen)


async def _tell_of_ends(session: AsyncSession, held: list[Held]) -> None:
    """Tell of a certificate's end once a step: 60, 30 and 7 days before."""
    seen = []
    for each in held:
        left = (each.ends_at - clock.now()) / timedelta(days=1)
        step = min((days for days in _STEPS if left <= days), default=None)
        row = await session.get_one(ConformanceCertificate, each.row.id, with_for_update=True)
        if step is None or (row.noticed_days is not None and row.noticed_days <= step):
            continue
        row.noticed_days = step
        service = await session.get_one(ConformanceService, row.service_id)
        until = each.ends_at.astimezone(TOKYO).date().isoformat()
        seen.append(
            Sighting(
                ENDS, SUBJECT, str(service.id), _STEPS[step],
                f"「{service.name}」の適合証明書 {row.id} は {until} に切れます。"
                "適合試験を受け、運営者に更新を依頼してください。",
                f"The certificate {row.id} of “{service.name}” ends on {until}. Have the service"
                " judged again and ask the operator for a new one.",
                _DUE, service.organization_id,
            )
        )  # fmt: skip
    await findings.report(session, *seen)
