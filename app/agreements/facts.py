"""Agreements as the facts that policy judges. Judges nothing itself."""

from typing import Any, Final

import asyncpg

from app.policy.facts import AgreementFacts

_SELECT: Final = """
SELECT id, consumer_id, actions, purpose, columns, rows, per_day, state, valid_from, valid_until
FROM agreement WHERE dataset_id = $1 AND state <> 'superseded' ORDER BY approved_at, id
"""


async def load_agreement_facts(
    pool: "asyncpg.Pool[Any]", dataset_id: str
) -> tuple[AgreementFacts, ...]:
    """Every agreement on a dataset, in whatever state: a refusal names the nearest one.

    Not those that a later version took the place of: that one speaks for them.
    """
    rows = await pool.fetch(_SELECT, dataset_id)
    return tuple(
        AgreementFacts(
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
        for row in rows
    )
