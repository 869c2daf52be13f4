"""Every answer that stands in the log says where."""

import asyncio

import httpx
import pytest

from app.api.state import Platform
from app.audit.events import Event
from app.audit.log import append
from app.audit.reading import list_entries
from app.audit.receipts import begin
from app.models.parties import Role
from tests.bound import asked
from tests.stock import stocked
from tests.world import KENKO, SAKAI, World

ROWS = [{"no": "1", "name": "架空"}]


async def entry(world: World, answer: httpx.Response) -> dict[str, object]:
    """What the log's entry says that an answer names."""
    found = await list_entries(
        world.platform.database.pool, before=int(answer.headers["linkage-receipt"]) + 1, limit=1
    )
    return {**found[0].facts, "seq": found[0].seq}


async def test_reads_writes_tokens_and_refusals_name_their_entry(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    owner, stranger = await world.party(KENKO, Role.STEWARD), await world.party(SAKAI)
    path = f"/v1/datasets/{dataset}/records"
    scope = f"catalogue:write dataset:{dataset}:read dataset:{dataset}:write"
    issued, headers = await asked(client, owner.issuer, owner.form(scope))
    wrong = stranger.form("x", client_assertion="x")

    answers = {
        Event.TOKEN_ISSUED: issued,
        Event.TOKEN_REFUSED: await client.post("/oauth/token", data=wrong),
        Event.RECORDS_READ: await client.get(f"{path}?purpose=own-duty", headers=headers),
        Event.RECORDS_WRITTEN: await client.post(path, json=[{"no": "2"}], headers=headers),
        Event.RECORDS_REFUSED: await client.get(path),
        Event.CALL_REFUSED: await client.get("/v1/admin/audit", headers=headers),
        Event.DATASET_CHANGED: await client.patch(
            f"/v1/datasets/{dataset}", json={"title_ja": "別名"}, headers=headers
        ),
    }

    for event, answer in answers.items():
        assert (await entry(world, answer))["event"] == event, (event, answer.text)


async def test_what_is_not_in_the_log_names_no_entry(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS)

    for path in (f"/v1/datasets/{dataset}/records", "/v1/datasets", "/healthz", "/nowhere"):
        assert "linkage-receipt" not in (await client.get(path)).headers, path


async def test_many_at_once_get_each_its_own(client: httpx.AsyncClient, world: World) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    path = f"/v1/datasets/{dataset}/records"

    async def ask(at: int) -> bool:
        answer = await client.get(path, headers={"X-Request-Id": f"receipt-{at:04}"})
        return (await entry(world, answer))["request"] == f"receipt-{at:04}"

    assert all(await asyncio.gather(*(ask(at) for at in range(30))))


async def test_an_entry_that_was_taken_back_has_no_number(platform: Platform) -> None:
    receipt = begin()

    with pytest.raises(ZeroDivisionError):
        async with platform.database.writing() as session:
            await append(session, Event.CALL_REFUSED, code="taken back")
            raise ZeroDivisionError

    assert receipt.number is None
