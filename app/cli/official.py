"""Lends the judge to the worker, over the way out that may be used. Judges nothing itself."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.conformance.lending import opened
from app.conformance.refusals import ClassNotOfficial, SandboxUnusable
from app.conformance.runs import Judged, Work
from app.kit.crypto import Sealer
from app.kit.outbound import Bounds, Outbound
from app.models.conformance import RunKind

if TYPE_CHECKING:
    from app.certify.judge import Report
    from app.certify.lent import Lent
    from app.certify.stage import Stage

# Enough to see that a service still keeps the standard: about fifty requests a night.
SMOKE: Final = frozenset(
    ("SCHEMA-01", "SCHEMA-02", "PAGE-01", "PAGE-05", "QUERY-01", "ERROR-01", "ERROR-02", "TIME-01",
     "CODE-01", "CACHE-01", "AUTH-01", "AUTH-03")
)  # fmt: skip
# Without these a class is a claim. `secure`: who has no token, a false one, one for other data, or no
# purpose. `write`, `changes`: all, for the sandbox is the vendor's own and can give every occasion but
# a dataset without a key.
_NEEDED: Final = frozenset(
    ("AUTH-01", "AUTH-03", "AUTH-04", "AUTH-05", "AUTH-06",
     "IDEMP-01", "IDEMP-02", "IDEMP-03", "IDEMP-04", "IDEMP-05", "IDEMP-06",
     "CHANGE-01", "CHANGE-02", "CHANGE-03", "CHANGE-04", "CHANGE-05", "CHANGE-06", "CHANGE-07")
)  # fmt: skip
_LEAST_SHARE: Final = 0.5  # of a class's rules that must have been seen, whatever its data are
_PER_SECOND: Final = 10.0


class OfficialJudge:
    """The judge of `urbanos certify`, for the worker."""

    def __init__(
        self, outbound: Outbound, sealer: Callable[[], Sealer], per_second: float = _PER_SECOND
    ) -> None:
        self._outbound = outbound
        self._sealer = sealer  # read when it is needed
        self._per_second = per_second

    async def __call__(self, work: Work) -> Judged:
        """What the judge says of a sandbox. Raises `SandboxUnusable` and what the judge refuses."""
        if work.kind is RunKind.FULL and "push" in work.classes:
            raise ClassNotOfficial
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
                work.url, http, self._per_second, lent=self._lent(work), clean=True,
                token=work.token(self._sealer), prefix=work.prefix,
            )  # fmt: skip
            try:
                # Who knew the questions before could have learnt the answers; the report tells the seed.
                seed = secrets.randbelow(2**31)
                stage = await set_stage(server, work.dataset, seed)
                standard = await asyncio.to_thread(Standard.read)
                report = await judge(
                    server, standard, work.classes, only=only, dataset=stage, seed=seed
                )
            except NoAnswer as none:
                why = server.hidden(none.exchange.error or "no answer")
                ja = server.hidden(none.exchange.error_ja or why)
                raise SandboxUnusable(url=work.url, why=why, why_ja=ja) from none
        return Judged(
            report.passed, tuple(each.rule for each in report.broken), report.standard,
            _profile_of(stage, work.layouts), report.asked, packed(report), report.gave_up,
            standard.in_force_until, *_unseen(report),
        )  # fmt: skip

    def _lent(self, work: Work) -> "Lent":
        from joserfc.jwk import ECKey  # noqa: PLC0415

        from app.certify.lent import Client, Lent  # noqa: PLC0415

        if work.lent is None or work.sealed_proof is None or work.service_id is None:
            return Lent()
        lent, proof = opened(self._sealer(), work.service_id, work.lent, work.sealed_proof)
        key = ECKey.import_key(orjson.loads(proof.key)) if proof.key is not None else None
        return Lent(
            Client(lent.client_id, key, proof.secret), lent.authorization_server, lent.guarded,
            lent.hidden_field, lent.hidden, lent.purpose, lent.other_purpose,
        )  # fmt: skip


def _unseen(report: "Report") -> tuple[tuple[str, ...], tuple[str, str]]:
    """The rules that a certificate cannot do without and that were not seen, and why."""
    unseen = [each for each in report.verdicts if each.outcome == "not_shown"]
    of_class, unseen_of = (
        Counter(each.conformance for each in some) for some in (report.verdicts, unseen)
    )
    thin = {name for name, all_ in of_class.items() if unseen_of[name] > all_ * _LEAST_SHARE}
    found = [each for each in unseen if each.rule in _NEEDED or each.conformance in thin]
    why = (found[0].why_ja or "", found[0].why or "") if found else ("", "")
    return tuple(each.rule for each in found), why


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
