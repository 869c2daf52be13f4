"""The entries that concern an organisation, each with the proof that it is in the signed log, so that
`deploy/verify_log.py` verifies them without this server. Shows no entry of others. Reads only."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg
import orjson

from app.audit.checkpoints import Signed
from app.audit.export import first_kept
from app.audit.merkle import inclusion_spans
from app.audit.proofs import nodes

_FORMAT: Final = "urbanos-log-extract-1"
_LOOKED_AT_ONCE: Final = 20_000
_PROVEN_AT_ONCE: Final = 200
_BODIES: Final = ("organization", "provider", "consumer", "owner", "publisher")
_WHOSE: Final = " OR ".join(f"facts ->> '{each}' = ANY($3)" for each in _BODIES)
# Whom a hidden dataset was refused to was told that there is none.
_UNTOLD: Final = """facts ->> 'event' = 'records.refused' AND EXISTS (
    SELECT FROM dataset AS asked WHERE asked.id = facts ->> 'dataset' AND asked.hidden
    AND asked.publisher_id <> ALL($3))"""
# The hash of the entry before stands with each: it is what the entry's own is chained to.
_ENTRIES: Final = f"""
SELECT seq, body, coalesce(before.hash, let_go.hash) AS previous
FROM log_entry, LATERAL (SELECT body::jsonb AS facts) AS told
LEFT JOIN LATERAL (SELECT hash FROM log_entry AS earlier WHERE earlier.seq = log_entry.seq - 1) AS before ON true
LEFT JOIN LATERAL (SELECT hash FROM log_retention WHERE dropped = log_entry.seq - 1) AS let_go ON true
WHERE seq >= $1 AND seq < $2 AND (facts ->> 'dataset' = ANY($4) OR {_WHOSE})
AND NOT ({_UNTOLD}) ORDER BY seq
"""  # noqa: S608 - names of ours


async def lines(
    pool: "asyncpg.Pool[Any]", signed: Signed, key: str, organizations: Sequence[str], datasets: Sequence[str],
) -> AsyncIterator[bytes]:  # fmt: skip
    """What it is, then an entry a line. Raises `LogUnprovable`."""
    head = {"format": _FORMAT, "key": key, "checkpoint": signed.note}
    yield orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE)
    for start in range(await first_kept(pool), signed.size + 1, _LOOKED_AT_ONCE):
        end = min(start + _LOOKED_AT_ONCE, signed.size + 1)
        rows = await pool.fetch(_ENTRIES, start, end, list(organizations), list(datasets))
        for at in range(0, len(rows), _PROVEN_AT_ONCE):
            for line in await _proven(pool, rows[at : at + _PROVEN_AT_ONCE], signed.size):
                yield line


async def _proven(
    pool: "asyncpg.Pool[Any]", rows: Sequence[asyncpg.Record], size: int
) -> list[bytes]:
    """The lines of some entries; the hashes of all their paths in one question."""
    spans = [inclusion_spans(row["seq"] - 1, size) for row in rows]
    found = iter(await nodes(pool, [span for each in spans for span in each]))
    return [
        orjson.dumps(
            {
                "seq": row["seq"], "body": row["body"], "previous": (row["previous"] or b"").hex(),
                "path": [next(found).hex() for _ in each],
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for row, each in zip(rows, spans, strict=True)
    ]  # fmt: skip
