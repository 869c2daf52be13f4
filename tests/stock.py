"""Datasets with records in them, for tests that read, write and refuse."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson

from app.models.parties import Role
from tests.world import KENKO, Party, World

PURPOSE = "disaster-response"
# name, type and what differs from a plain, visible, optional field
Spec = tuple[str, str] | tuple[str, str, dict[str, Any]]
KEYED: tuple[Spec, ...] = (("no", "code", {"key": True}), ("name", "text"), ("size", "integer"))


def declared(specs: Iterable[Spec]) -> list[dict[str, Any]]:
    """Fields as a dataset stores them."""
    return [
        {
            "name": spec[0],
            "column": f"c{at:03}",
            "label": spec[0],
            "type": spec[1],
            **(spec[2] if len(spec) == 3 else {}),
        }
        for at, spec in enumerate(specs, start=1)
    ]


async def stocked(
    world: World,
    records: Sequence[Mapping[str, Any]],
    specs: Iterable[Spec] = KEYED,
    *,
    data_class: str = "public",
    **more: Any,
) -> str:
    """A dataset whose own publisher has written the records; its id."""
    dataset = await world.dataset(data_class=data_class, fields=declared(specs), **more)
    await world.platform.database.pool.execute(
        "UPDATE dataset SET license = 'CC-BY-4.0' WHERE id = $1", dataset
    )
    world.platform.live.changed("dataset", dataset)
    if records:
        await put(world, dataset, records)
    return dataset


async def put(world: World, dataset: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Have the publisher write records, all of them good."""
    headers = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")
    sent = await world.client.post(path(dataset), json=list(records), headers=headers)
    assert sent.status_code == 200, sent.text
    assert sent.json()["rejected"] == 0, sent.text


async def against_the_rules(world: World, statement: str, *values: Any) -> None:
    """Change what the database itself would keep as it is: to move a time, to fake a past."""
    async with world.platform.database.pool.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.execute("SET session_replication_role = DEFAULT")


async def many(pool: "asyncpg.Pool[Any]", ids: Sequence[str]) -> None:
    """So many internal datasets without records, written past the rules: none is told of."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            """INSERT INTO dataset (id, title_ja, publisher_id, steward_name, data_class, zone,
            update_frequency, themes, hidden, fields, state, created_at, created_by, modified_at)
            SELECT id, '試験', $2, '試験', 'internal', 'internet', 'irregular', '{}', false,
            $3::jsonb, 'active', $4, 'test', $4 FROM unnest($1::text[]) id""",
            ids, KENKO, orjson.dumps(declared(KEYED)).decode(), datetime.now(UTC),
        )  # fmt: skip


def path(dataset: str, key: str | None = None) -> str:
    """Where the records are read."""
    return f"/v1/datasets/{dataset}/records" + (f"/{key}" if key is not None else "")


async def reader(world: World, dataset: str, organization: str = KENKO) -> dict[str, str]:
    """A token of the organisation that may read the dataset."""
    return await world.token(await world.party(organization), f"dataset:{dataset}:read")


async def agreed(
    world: World, dataset: str, consumer: Party, **terms: Any
) -> tuple[str, dict[str, str]]:
    """An agreement of the consumer with the publisher: its id, and the steward's token."""
    asking = await world.token(consumer, "agreements:write")
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "agreements:write")
    asked = {
        "dataset": dataset,
        "purpose": PURPOSE,
        "legal_basis": "災害対策基本法",
        **terms,
    }
    request = await world.client.post("/v1/access-requests", json=asked, headers=asking)
    assert request.status_code == 201, request.text
    approved = await world.client.post(
        f"/v1/access-requests/{request.json()['id']}/approve", json={}, headers=steward
    )
    assert approved.status_code == 201, approved.text
    return approved.json()["id"], steward
