"""Lends the judge to the worker, over the way out that may be used. Judges nothing itself."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from app.conformance.refusals import SandboxUnusable
from app.conformance.runs import Judged, Work
from app.kit.outbound import Bounds, Outbound
from app.models.conformance import RunKind

if TYPE_CHECKING:
    from app.certify.stage import Stage

# Enough to see that a service still keeps the standard: about thirty requests a night.
SMOKE: Final = frozenset(
    ("SCHEMA-01", "SCHEMA-02", "PAGE-01", "PAGE-05", "QUERY-01", "ERROR-01", "ERROR-02", "TIME-01",
     "CODE-01", "CACHE-01")
)  # fmt: skip
_PER_SECOND: Final = 10.0


class OfficialJudge:
    """The judge of `urbanos certify`, for the worker."""

    def __init__(self, outbound: Outbound, per_second: float = _PER_SECOND) -> None:
        self._outbound = outbound
        self._per_second = per_second

    async def __call__(self, work: Work) -> Judged:
        """What the judge says of a sandbox. Raises `SandboxUnusable` and what the judge refuses."""
        import httpx  # noqa: PLC0415 - with the judge 60 ms of start that a worker without runs spares

        from app.certify.client import LARGEST, LONGEST_S, NoAnswer, Server  # noqa: PLC0415
        from app.certify.judge import judge  # noqa: PLC0415
        from app.certify.kept import packed  # noqa: PLC0415
        from app.certify.lint import Standard  # noqa: PLC0415
        from app.certify.stage import set_stage  # noqa: PLC0415
        from app.kit.outbound_transport import OutboundTransport  # noqa: PLC0415

        transport = OutboundTransport(self._outbound, Bounds(LARGEST + 1, LONGEST_S))
        only = SMOKE if work.kind is RunKind.SMOKE else None
        async with httpx.AsyncClient(transport=transport, timeout=None) as http:  # noqa: S113
            server = Server(
                work.url, http, self._per_second, token=work.token, prefix=work.prefix, clean=True
            )
            try:
                stage = await set_stage(server, work.dataset, 0)
                standard = await asyncio.to_thread(Standard.read)
                report = await judge(server, standard, work.classes, only=only, dataset=stage)
            except NoAnswer as none:
                why = none.exchange.error or "no answer"
                raise SandboxUnusable(url=work.url, why=why, why_ja=why) from none
        return Judged(
            report.passed, tuple(each.rule for each in report.broken), report.standard,
            _profile_of(stage, work.layouts), report.asked, packed(report), report.gave_up,
            standard.in_force_until,
        )  # fmt: skip


def _profile_of(stage: "Stage", layouts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The standard layout that the dataset names, where all its records are of that layout."""
    import jsonschema_rs  # noqa: PLC0415

    named = stage.entry.get("profile")
    if not isinstance(named, dict) or not stage.records:
        return None
    name = f"{named.get('name')}/{named.get('version')}"
    if name not in layouts:
        return None
    holds = jsonschema_rs.validator_for(dict(layouts[name]))
    return name if all(holds.is_valid(dict(record)) for record in stage.records) else None
