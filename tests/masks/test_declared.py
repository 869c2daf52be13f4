"""Masks as they are declared: of a field that is let out, of its type, and explained afterwards."""

import asyncio
import secrets
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from alembic import command

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from tests.database import DatabaseServer, dsn_of
from tests.masks.town import MASKS, SPECS, declare, town
from tests.rows.town import ask
from tests.stock import PURPOSE, path, stocked
from tests.tables.test_versions_migration import FILLED, _move
from tests.versioned import base, steward_of
from tests.world import World


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dataset(platform: Platform, client: httpx.AsyncClient) -> str:
    """Without a record: nothing is ever declared of it."""
    return await stocked(World(platform, client), [], SPECS, data_class="internal")


@pytest.mark.parametrize(
    ("field", "mask", "code"),
    [
        ("no", "year", "invalid_mask"),
        ("name", "bin(10)", "invalid_mask"),
        ("name", "hash", "invalid_mask"),
        ("name", "first(0)", "invalid_mask"),
        ("name", "first(2.5)", "invalid_mask"),
        ("name", "first", "invalid_mask"),
        ("name", "drop(1)", "invalid_mask"),
        ("name", "mesh3", "invalid_mask"),
        ("born", "prefecture", "invalid_mask"),
        ("born", "pseudonymise", "invalid_mask"),  # a calendar is soon tried out
        ("born", "year2", "invalid_mask"),
        ("pay", "bin(0)", "invalid_mask"),
        ("pay", "bin(0.5)", "invalid_mask"),
        ("pay", "bin(-1)", "invalid_mask"),
        ("rate", "first(3)", "invalid_mask"),
        ("lat", "round(5)", "invalid_mask"),
        ("lat", "mesh7", "invalid_mask"),
        ("lat", "mesh", "invalid_mask"),
        ("gone", "drop", "unknown_column"),
    ],
)
async def test_what_is_no_mask_of_the_field_is_refused_with_those_that_are(
    world: World, dataset: str, field: str, mask: str, code: str
) -> None:
    answer = await declare(world, dataset, {"masks": {field: mask}})

    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert (fault["pointer"], fault["code"]) == (f"/masks/{field}", code)
    assert code == "unknown_column" or "drop" in fault["detail"]


async def test_a_mask_of_a_column_that_the_view_lets_not_out_is_refused(
    world: World, dataset: str
) -> None:
    answer = await declare(world, dataset, {"columns": ["ward"], "masks": {"pay": "bin(10)"}})

    assert [each["pointer"] for each in answer.json()["errors"]] == ["/masks/pay"]


async def test_a_view_of_masks_is_shown_logged_and_explained(world: World) -> None:
    there = await town(world)
    where = f"{base(there.dataset)}/purposes/{PURPOSE}"
    admin = await world.token(await world.party("271004-kenko", Role.OPERATOR), "admin:read")
    consumer = await world.party("271004-digital")
    supposed = {"client": consumer.id, "dataset": there.dataset, "purpose": PURPOSE}

    shown = await world.client.get(where, headers=await steward_of(world))
    told = await world.client.post("/v1/admin/decisions/explain", json=supposed, headers=admin)

    assert (shown.json()["masks"], shown.json()["columns"]) == (MASKS, None)
    [declared] = await world.log(Event.PURPOSE_VIEW_SET)
    assert declared["masks"] == MASKS
    assert told.json()["columns"] == ["ward"]
    assert told.json()["masks"] == {name: m for name, m in MASKS.items() if m != "drop"}


async def test_dropping_every_column_refuses_and_says_why(world: World) -> None:
    there = await town(world, {"masks": {name: "drop" for name, *_ in SPECS}})

    answer = await ask(world, path(there.dataset), there.asking)

    assert (answer.status_code, answer.json()["code"]) == (403, "not_for_purpose")


async def test_the_columns_of_another_view_come_back_when_masks_are_taken_back(
    world: World,
) -> None:
    there = await town(world)
    where = f"{base(there.dataset)}/purposes/{PURPOSE}"
    masked = await ask(world, path(there.dataset), there.asking)
    gone = await world.client.delete(where, headers=await steward_of(world))

    plain = await ask(world, path(there.dataset), there.asking)

    assert gone.status_code == 204
    assert "hisui" not in masked.text
    assert plain.json()["records"][0]["name"] == "hisui"


VIEW = "INSERT INTO purpose_view (dataset_id, purpose, {}, set_at, set_by) VALUES ('parks', $1, $2, now(), 'test')"


async def test_masks_come_and_go_and_below_them_a_masked_view_lets_nothing_out(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, "0003")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(FILLED)
    await asyncio.to_thread(_move, url, command.upgrade, "0032")
    for purpose in ("health", "other"):
        await connection.execute(
            "INSERT INTO purpose VALUES ($1, '試験', 'Test') ON CONFLICT DO NOTHING", purpose
        )
    await connection.execute(VIEW.format("columns"), "other", ["name"])

    await asyncio.to_thread(_move, url, command.upgrade, "0033")
    await connection.execute(VIEW.format("masks"), "health", '{"name": "drop"}')
    await asyncio.to_thread(_move, url, command.downgrade, "0032")
    below: list[Any] = await connection.fetch("SELECT columns FROM purpose_view ORDER BY purpose")
    await asyncio.to_thread(_move, url, command.upgrade, "0033")
    again = await connection.fetchval("SELECT count(*) FROM purpose_view")
    await connection.close()
    await embedded.drop_database(name)

    assert [row["columns"] for row in below] == [[], ["name"]]
    assert again == 2


async def test_masks_and_consent_do_not_end_by_being_left_out(world: World, dataset: str) -> None:
    await declare(world, dataset, {"masks": {"name": "first(1)"}})

    silent = await declare(world, dataset, {"rows": "no = '1'"})
    said = await declare(world, dataset, {"rows": "no = '1'", "masks": {}})

    assert (silent.status_code, silent.json()["errors"][0]["code"]) == (422, "not_said_again")
    assert silent.json()["errors"][0]["pointer"].endswith("/masks")
    assert (said.status_code, said.json()["masks"]) == (200, None)
