"""Agreements as the facts that policy judges. Judges nothing itself."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from app.policy.facts import AgreementFacts, Membership

# $2 null: of every consumer; else those that it could stand under, as a member of a group as well.
_SELECT: Final = """
SELECT a.dataset_id, a.id, a.consumer_id, a.actions, a.purpose, a.columns, a.rows, a.per_day,
       a.state, a.valid_from, a.valid_until, a.group_id,
       ARRAY(SELECT organization_id FROM agreement_exclusion WHERE series = a.series) AS excluded
FROM agreement a WHERE a.dataset_id = ANY($1::text[]) AND a.state <> 'superseded'
AND ($2::text IS NULL OR a.consumer_id = $2 OR a.group_id IN (
    SELECT group_id FROM group_member WHERE organization_id = $2 AND ended_at IS NULL
)) ORDER BY a.approved_at, a.id
"""
# Days are days in Japan: a membership begins and ends at midnight there.
_MEMBERS: Final = """
SELECT group_id, organization_id, since::timestamp AT TIME ZONE 'Asia/Tokyo' AS since,
       until::timestamp AT TIME ZONE 'Asia/Tokyo' AS until
FROM group_member WHERE group_id = ANY ($1) AND ended_at IS NULL
"""
Members = dict[str, tuple[Membership, ...]]


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
    rows = await pool.fetch(_SELECT, dataset_ids, consumer_id)
    members = await _members(pool, {row["group_id"] for row in rows} - {None})
    found: dict[str, list[AgreementFacts]] = {}
    for row in rows:
        found.setdefault(row["dataset_id"], []).append(_facts(row, members))
    return {dataset_id: tuple(those) for dataset_id, those in found.items()}


def _facts(row: "asyncpg.Record", members: Mapping[str, Members]) -> AgreementFacts:
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
        members=members[row["group_id"]] if row["group_id"] is not None else None,
        excluded=frozenset(row["excluded"]),
    )


async def _members(pool: "asyncpg.Pool[Any]", groups: set[str]) -> dict[str, Members]:
    """The memberships of each group that nobody ended, with their days."""
    found: dict[str, Members] = {group: {} for group in groups}
    if not groups:
        return found
    for row in await pool.fetch(_MEMBERS, list(groups)):
        of = found[row["group_id"]]
        days = Membership(row["since"], row["until"])
        of[row["organization_id"]] = (*of.get(row["organization_id"], ()), days)
    return found
