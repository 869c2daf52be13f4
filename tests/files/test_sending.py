"""A ready-made file over HTTP: parts, conditions, takers of any pace, names from outside."""

import asyncio
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import FastAPI

from app.audit.events import Event
from tests.api.test_exports import hang_up
from tests.files.ready import SIZE, address, made
from tests.serving import served
from tests.stock import path, stocked
from tests.world import World


async def test_a_download_asks_no_database_and_is_counted(
    client: httpx.AsyncClient, world: World, parks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.get(address(parks, ".csv"))
    before = dict(world.platform.files._recorder._usage._counts)

    def asked(*_given: object, **_named: object) -> None:
        raise AssertionError("the database was asked")

    with monkeypatch.context() as cut:
        cut.setattr(world.platform.database, "reading", asked)
        cut.setattr(type(world.platform.database.pool), "acquire", asked)
        answer = await client.get(address(parks, ".csv"))

    assert answer.status_code == 200
    assert dict(world.platform.files._recorder._usage._counts) != before
    assert await world.log(Event.RECORDS_READ) == []


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-4", 206, slice(0, 5)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-3", 206, slice(-3, None)),
        ("bytes=0-999999", 206, slice(0, None)),
        ("bytes=999999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=4-2", 200, slice(None)),
        ("bytes=0-1,3-4", 200, slice(None)),
        ("bytes=²-4", 200, slice(None)),
        ("lines=0-4", 200, slice(None)),
    ],
)
async def test_a_part_is_what_its_range_names(
    client: httpx.AsyncClient, parks: str, asked: str, status: int, part: slice | None
) -> None:
    whole = (await client.get(address(parks, ".csv"))).content

    answer = await client.get(address(parks, ".csv"), headers={b"Range": asked.encode()})

    assert answer.status_code == status
    if part is None:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
        assert answer.json()["code"] == "range_not_satisfiable"
    else:
        assert answer.content == whole[part]


async def test_conditions_are_kept(client: httpx.AsyncClient, parks: str) -> None:
    url = address(parks, ".csv")
    first = await client.get(url)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    part = {"Range": "bytes=0-1"}

    same = await client.get(url, headers={"If-None-Match": f'"x", {etag}'})
    since = await client.get(url, headers={"If-Modified-Since": modified})
    fits = await client.get(url, headers={**part, "If-Range": etag})
    fits_not = await client.get(url, headers={**part, "If-Range": '"other"'})
    by_time = await client.get(url, headers={**part, "If-Range": modified})
    nonsense = await client.get(url, headers={"If-Modified-Since": "yesterday"})
    head = await client.head(url)

    assert [same.status_code, since.status_code] == [304, 304]
    assert [fits.status_code, fits_not.status_code, by_time.status_code] == [206, 200, 206]
    assert nonsense.status_code == 200
    assert (head.content, head.headers["content-length"]) == (b"", str(len(first.content)))
    assert first.headers["accept-ranges"] == "bytes"
    told = first.headers["content-disposition"]
    assert "filename*=UTF-8''%E5%85%AC%E5%9C%92%E4%B8%80%E8%A6%A7.csv" in told
    assert told.isascii()


async def test_curl_resumes_a_download(app: FastAPI, parks: str, tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    async with served(app) as port:
        url = f"http://127.0.0.1:{port}{address(parks, '.csv')}"

        async def curl(*words: str) -> bytes:
            child = await asyncio.create_subprocess_exec(
                "curl", "-sS", "--fail", *words, url, stdout=asyncio.subprocess.PIPE
            )
            said, _ = await child.communicate()
            assert child.returncode == 0
            return said

        whole = await curl()
        target.write_bytes(whole[:7])
        await curl("-C", "-", "-o", str(target))
        middle = await curl("-r", "3-9")

    assert target.read_bytes() == whole
    assert middle == whole[3:10]


async def test_names_from_outside_reach_no_other_file(
    client: httpx.AsyncClient, parks: str
) -> None:
    for name in (
        "..%2f..%2fsecret.key",
        "%2e%2e",
        f"{parks}-v1-r1.csv%00",
        "公園.csv",
        ".incoming",
    ):
        answer = await client.get(f"/v1/datasets/{parks}/files/{name}")
        assert answer.status_code == 404, name
    hidden = await client.get(f"/v1/datasets/{parks}/files/{parks}-v9.csv")
    assert hidden.json()["code"] == "file_not_found"


async def test_a_taker_of_one_byte_a_second_holds_no_connection_and_no_memory(
    app: FastAPI, client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, [{"no": "1"}])
    await made(world, dataset)
    (large,) = Path(world.platform.store.place).glob(f"{dataset}/v1/*/records.csv")
    with large.open("r+b") as file:
        file.truncate(SIZE)
    await world.platform.database.pool.execute(
        "UPDATE version_file SET size = $2 WHERE dataset_id = $1", dataset, SIZE
    )
    world.platform.live.changed("dataset", dataset)
    before = psutil.Process().memory_info().rss
    async with served(app) as port:
        taking, giving = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
        giving.write(f"GET {address(dataset, '.csv')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await taking.readexactly(100)
        await asyncio.sleep(0.3)
        pool = world.platform.database.pool
        grown = psutil.Process().memory_info().rss - before
        busy = pool.get_size() - pool.get_idle_size()
        page = await client.get(path(dataset), params={"limit": "1"})
        await hang_up(giving)

    assert busy == 0
    assert grown < 8 << 20
    assert page.status_code == 200


async def test_behind_an_nginx_the_bytes_are_left_to_it(
    client: httpx.AsyncClient, world: World, parks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.platform, "accel_prefix", "/inside/")

    answer = await client.get(address(parks, ".csv"))

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-accel-redirect"] == f"/inside/{parks}/v1/r1/records.csv"
    assert answer.headers["content-type"].startswith("text/csv")
