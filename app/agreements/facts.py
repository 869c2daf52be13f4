"""Agreements as the facts that policy judges. Judges nothing itself."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from app.policy.facts import AgreementFacts

# $2 null: of every consumer.
_SELECT: Final = """
SELECT dataset_id, id, consumer_id, actions, purpose, columns, rows, per_day, state, valid_from,
       valid_until
FROM agreement WHERE dataset_id = ANY($1::text[]) AND state <> 'superseded'
AND ($2::text IS NULL OR consumer_id = $2) ORDER BY approved_at, id
"""


async def load_agreement_facts(
    pool: "asyncpg.Pool[Any]", dataset_id: str
) -> tuple[AgreementFacts, ...]:
    """Every agreement on a dataset, in whatever state: a refusal names the nearest one.

    Not those that a later version took the place of: that one speaks for them.
    """
    return (await _load(pool, [dataset_id], None)).get(dataset_id, ())


async def load_consumers_agreements(
    pool: "asyncpg.Pool[Any]", dataset_ids: Sequence[str], consumer_id: str
) -> dict[str, tuple[AgreementFacts, ...]]:
    """The same of many datasets at once, but of one consumer alone."""
    return await _load(pool, dataset_ids, consumer_id)


async def _load(
    pool: "asyncpg.Pool[Any]", dataset_ids: Sequence[str], consumer_id: str | None
) -> dict[str, tuple[AgreementFacts, ...]]:
    found: dict[str, list[AgreementFacts]] = {}
    for row in await pool.fetch(_SELECT, dataset_ids, consumer_id):
        found.setdefault(row["dataset_id"], []).append(_facts(row))
    return {dataset_id: tuple(those) for dataset_id, those in found.items()}


def _facts(row: "asyncpg.Record") -> AgreementFacts:
    return AgreementFacts(
        id=str(row["id"]),
        consumer_id=row["consumer_id"],
        actions=frozenset(row["actions"]),
        purpose=row["purpose"],
        columns=frozenset(row["columns"]),
        rows=row["rows"],
        per_day=row["per_day"],
        state=row["state"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
    )
