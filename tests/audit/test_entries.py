"""One entry for each decision above public, in the log before the answer leaves; none for public."""

import asyncio
import secrets
from typing import Any

import asyncpg
import httpx
import pytest

from app.audit import reading
from app.audit.events import Event
from app.audit.log import Log
from app.audit.verify import verify
from app.kit.db import DatabaseUnavailable, plain_dsn
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.stock import PURPOSE, Spec, path, reader, stocked
from tests.world import KENKO, SAKAI, World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("lat", "latitude"),
    ("lon", "longitude"),
)
WORD = "秘密の値_zq8x"
ROWS = [{"no": f"{at}", "name": WORD, "lat": 34.5, "lon": 135.5} for at in range(3)]


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("", 3), ("?limit=2", 2), ("?f=geojson", 3), ("?f=csv", 3), ("?f=csv&limit=2", 2),
        ("?f=ndjson&no=1,2", 2), ("?f=ndjson", 3), ("/1", 1), ("/1?f=csv", 1), ("/1?f=geojson", 1),
        ("/9", 0), ("/9?f=ndjson", 0), ("?no=9", 0),
    ],
)  # fmt: skip
async def test_each_read_has_one_entry_that_says_what_left(
    client: httpx.AsyncClient, world: World, asked: str, rows: int
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="restricted")
    headers = await reader(world, dataset)
    url = path(dataset) + asked + ("&" if "?" in asked else "?") + f"purpose={PURPOSE}"

    for again in range(2):  # the second is answered from memory
        response = await client.get(url, headers=headers)
        assert response.status_code == (404 if asked.startswith("/9") else 200)
        entries = await world.log(Event.RECORDS_READ)
        assert [entry["rows"] for entry in entries] == [rows] * (again + 1)

    last = entries[-1]
    assert (last["dataset"], last["purpose"], last["ground"]) == (dataset, PURPOSE, "own")
    assert last["columns"] == ["no", "name", "lat", "lon"]
    assert last["request"] == response.headers["x-request-id"]
    assert await world.log(Event.RECORDS_REFUSED) == []


async def test_a_page_from_a_cursor_in_a_stream_counts_its_own_rows(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="restricted")
    headers = await reader(world, dataset)
    asked = {"purpose": PURPOSE}
    page = await client.get(path(dataset), params={**asked, "limit": "2"}, headers=headers)
    cursor = httpx.URL(page.json()["links"][-1]["href"]).params["cursor"]

    rest = await client.get(
        path(dataset), params={**asked, "cursor": cursor, "f": "ndjson"}, headers=headers
    )

    assert len(rest.content.splitlines()) == 1
    assert [entry["rows"] for entry in await world.log(Event.RECORDS_READ)] == [2, 1]


async def test_an_unchanged_answer_and_a_head_are_entries_too(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="internal")
    headers = await reader(world, dataset)
    asked = {"purpose": PURPOSE}
    first = await client.get(path(dataset), params=asked, headers=headers)

    same = {**headers, "If-None-Match": first.headers["etag"]}
    unchanged = await client.get(path(dataset), params=asked, headers=same)
    await client.head(path(dataset), params=asked, headers=headers)

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert len({first.headers["linkage-receipt"], unchanged.headers["linkage-receipt"]}) == 2
    assert [entry["rows"] for entry in await world.log(Event.RECORDS_READ)] == [3, 0, 3]


@pytest.mark.parametrize("dataset", [None, "d-none"])
async def test_a_list_by_client_looks_through_so_many_entries_a_page_and_finds_all(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch, dataset: str | None
) -> None:
    monkeypatch.setattr(reading, "_LOOKED_THROUGH", 7)
    name = f"c-{secrets.token_hex(4)}"
    for at in range(40):
        who = name if at in (0, 1, 2, 20, 39) else "somebody"
        await world.platform.log.write(
            Event.CALL_REFUSED, client=who, code=f"{at}", dataset=dataset
        )
    headers = await world.token(await world.party(OPERATOR, Role.AUDITOR), "audit:read")
    asked = {"client": name, "limit": "2", **({"dataset": dataset} if dataset else {})}
    found, pages = [], 0
    while True:
        page = (await client.get("/v1/admin/audit", params=asked, headers=headers)).json()
        found += [each["facts"]["code"] for each in page["items"]]
        pages += 1
        if page.get("next") is None:
            break
        asked["cursor"] = page["next"]

    assert found == ["39", "20", "2", "1", "0"]
    assert pages > 5


async def test_public_reads_are_counted_by_minute_and_client_and_not_listed(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS)
    party = await world.party(KENKO)
    headers = await world.token(party, f"dataset:{dataset}:read")
    before = len(await world.log())

    for asked in ("", "?f=csv", "/1", "?f=ndjson"):
        assert (await client.get(path(dataset) + asked)).status_code == 200
    assert (await client.get(path(dataset), headers=headers)).status_code == 200
    await world.platform.broker._recorder._usage.flush()

    rows = await world.platform.database.pool.fetch(
        "SELECT client_id, sum(reads) AS reads FROM usage_minute WHERE dataset_id = $1"
        " GROUP BY client_id ORDER BY client_id",
        dataset,
    )
    assert [(row["client_id"], row["reads"]) for row in rows] == [("", 4), (party.id, 1)]
    assert len(await world.log()) == before


async def test_a_write_and_a_delete_are_entries_with_the_change(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS)
    headers = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")

    await client.post(path(dataset), json=[{"no": "7"}, {"no": None}], headers=headers)
    await client.delete(path(dataset, "7"), headers=headers)

    stock, wrote, deleted = await world.log(Event.RECORDS_WRITTEN)
    assert (stock["rows"], wrote["rows"], wrote["rejected"]) == (3, 1, 1)
    assert (deleted["deleted"], deleted["revision"]) == (1, wrote["revision"] + 1)


async def test_no_entry_no_data(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="restricted")
    headers = await reader(world, dataset)
    url = f"{path(dataset)}?purpose={PURPOSE}"
    assert (await client.get(url, headers=headers)).status_code == 200
    public = await stocked(world, ROWS, SPECS)

    async def away(*_: object) -> int:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(Log, "_commit", away)
        for asked in ("", "&f=csv", "&f=ndjson", "&limit=1"):
            answer = await client.get(url + asked, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert WORD not in answer.text
        refused = await client.get(path(dataset))  # a refusal that cannot be recorded
        assert refused.status_code == 503
        assert (await client.get(path(public))).status_code == 200
    assert (await client.get(url, headers=headers)).status_code == 200


async def test_two_hundred_reads_at_once_are_two_hundred_entries(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="internal")
    # No proofs, each of which would wait for the database by itself.
    headers = await world.bearer(await world.party(KENKO), f"dataset:{dataset}:read")
    groups: list[int] = []
    commit = Log._commit

    async def counted(log: Log, bodies: list[Any]) -> int:
        groups.append(len(bodies))
        return await commit(log, bodies)

    monkeypatch.setattr(Log, "_commit", counted)
    url = f"{path(dataset)}?purpose={PURPOSE}"
    answers = await asyncio.gather(*(client.get(url, headers=headers) for _ in range(200)))

    receipts = {answer.headers["linkage-receipt"] for answer in answers}
    assert len(receipts) == len(await world.log(Event.RECORDS_READ)) == 200
    assert len(groups) < 50  # grouped
    assert (await verify(world.platform.database.pool)).is_whole


@pytest.mark.parametrize("poison", ["\x00", "\u2028", "x" * 50_000, "\U0001f600", "\\u0000"])
async def test_what_a_stranger_writes_into_a_refusal_fails_nobody_elses_entry(
    client: httpx.AsyncClient, world: World, poison: str
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="restricted")
    headers = await reader(world, dataset)
    url = f"{path(dataset)}?purpose={PURPOSE}"

    async def harm() -> int:
        asked = {"purpose": poison}
        return (await client.get(path(dataset), params=asked)).status_code

    async def use() -> int:
        return (await client.get(url, headers=headers)).status_code

    found = await asyncio.gather(*(each() for _ in range(20) for each in (harm, use)))

    assert (set(found[::2]), set(found[1::2])) == ({401}, {200})
    assert all(len(str(entry)) < 2_000 for entry in await world.log(Event.RECORDS_REFUSED))
    nowhere = await client.get("/v1/runs/%00x", headers={"Authorization": "Bearer x"})
    assert nowhere.status_code in (401, 404, 422)


async def test_a_caller_who_hangs_up_leaves_its_entry_and_hurts_no_group(world: World) -> None:
    log = world.platform.log
    writes = [asyncio.create_task(log.write(Event.CALL_REFUSED, code=f"t{at}")) for at in range(20)]
    await asyncio.sleep(0)
    for task in writes[::2]:
        task.cancel()

    kept = await asyncio.gather(*writes, return_exceptions=True)

    assert all(isinstance(number, int) for number in kept[1::2])
    codes = {entry["code"] for entry in await world.log(Event.CALL_REFUSED)}
    assert {f"t{at}" for at in range(1, 20, 2)} <= codes
    assert (await verify(world.platform.database.pool)).is_whole


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_what_is_being_written_when_the_log_stops_is_written(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch, hangs_up: bool
) -> None:
    commit, begun, goes_on = Log._commit, asyncio.Event(), asyncio.Event()

    async def slow(log: Log, bodies: list[Any]) -> int:
        begun.set()
        await goes_on.wait()
        return await commit(log, bodies)

    monkeypatch.setattr(Log, "_commit", slow)
    entries = Log(plain_dsn(database_url))
    await entries.start()
    writing = asyncio.create_task(entries.write(Event.CALL_REFUSED, code="in flight"))
    await begun.wait()
    if hangs_up:
        writing.cancel()
    stopping = asyncio.create_task(entries.stop())
    await asyncio.wait([stopping], timeout=0.05)
    goes_on.set()
    await asyncio.wait_for(stopping, 10)

    (entry,) = await world.log(Event.CALL_REFUSED)
    assert entry["code"] == "in flight"
    await asyncio.wait([writing], timeout=1)
    assert writing.cancelled() is hangs_up


async def test_a_log_without_its_database_says_so_and_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = world.platform.log
    with monkeypatch.context() as patch:
        patch.setattr(log, "_dsn", "postgresql://nobody@127.0.0.1:1/none")
        if log._connection is not None:
            await log._connection.close()
        with pytest.raises(DatabaseUnavailable):
            await log.write(Event.CALL_REFUSED, code="away")

    assert await log.write(Event.CALL_REFUSED, code="back") > 0


async def test_a_fault_of_the_driver_refuses_its_entries_and_no_later_one(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def confused(_log: Log, _bodies: list[Any]) -> int:
        raise asyncpg.InternalClientError("got result for unknown protocol state")

    entries = Log(plain_dsn(database_url))
    await entries.start()
    with monkeypatch.context() as patch, pytest.raises(DatabaseUnavailable):
        patch.setattr(Log, "_commit", confused)
        await asyncio.wait_for(entries.write(Event.CALL_REFUSED, code="confused"), 5)

    assert await asyncio.wait_for(entries.write(Event.CALL_REFUSED, code="clear"), 5) > 0
    await entries.stop()


async def test_no_entry_holds_a_token_a_secret_a_key_or_a_value(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SPECS, data_class="internal")
    by_secret = await world.party(KENKO, by_secret=True)
    assert by_secret.secret
    form = {"grant_type": "client_credentials", "scope": f"dataset:{dataset}:read"}
    issued = await client.post("/oauth/token", data=form, auth=(by_secret.id, by_secret.secret))
    secret_token = issued.json()["access_token"]
    await client.post("/oauth/token", data=form, auth=(by_secret.id, "wrong-" + by_secret.secret))
    party = await world.party(SAKAI, Role.DEVELOPER)
    assertion = party.assertion()
    await client.post("/oauth/token", data=party.form("x", client_assertion=assertion))
    headers = await reader(world, dataset)
    for shown in (
        headers,
        {"Authorization": f"Bearer {secret_token}"},
        {"Authorization": "Bearer zzsecret"},
    ):
        for asked in (
            f"?purpose={PURPOSE}",
            f"?purpose={PURPOSE}&name={WORD}",
            f"/1?purpose={PURPOSE}",
        ):
            await client.get(path(dataset) + asked, headers=shown)
    token = headers["Authorization"].split()[1]

    rows: list[Any] = await world.platform.database.pool.fetch("SELECT body FROM log_entry")

    text = "\n".join(row["body"] for row in rows)
    for secret in (
        token,
        secret_token,
        by_secret.secret,
        assertion,
        "zzsecret",
        WORD,
        token.split(".")[2],
    ):
        assert secret not in text
    private = party.key.as_dict(private=True)["d"]
    assert str(private) not in text
