"""Files from hostile or unlucky senders: each ends in a run with its reason, or is refused."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import psutil
import pytest
from fastapi import FastAPI

from app.api.state import Platform
from app.broker import shape
from app.models.parties import Role
from tests.database import REPO
from tests.killing import orphans
from tests.serving import served
from tests.stock import Spec, path, stocked
from tests.world import KENKO, World

SPECS: tuple[Spec, ...] = (
    ("no", "code", {"key": True, "label": "番号"}),
    ("name", "text", {"label": "名称"}),
    ("size", "integer", {"label": "定員"}),
)
FILE = "番号,名称,定員\n1,髙①～,10\n2,架空,20\n"


async def made(world: World, specs: tuple[Spec, ...] = SPECS) -> tuple[str, dict[str, str]]:
    dataset = await stocked(world, [], specs)
    steward = await world.party(KENKO, Role.STEWARD)
    return dataset, await world.token(steward, "catalogue:write")


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.csv", b"0" * 50_000_000)
    return held.getvalue()


WIDE = ",".join(f"c{at}" for at in range(10_000)).encode() + b"\n" + b"," * 9_999 + b"\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("blank", b"\n \r\n\n"),
        ("bom", b"\xef\xbb\xbf"),
        ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< >>\nendobj\n" * 50),
        ("zip", zipped()),
        ("xlsx", b"PK\x03\x04" + b"\x00" * 500),
        ("nul", b"\x00" * 10_000),
        ("nul in text", "番号,名称,定員\n1,a\x00b,1\n".encode()),
        ("random", bytes(range(256)) * 40),
        ("wide", WIDE),
        ("other columns", b"x,y\n1,2\n"),
        ("html", b"<!DOCTYPE html><html><body>404</body></html>"),
        ("unclosed", '番号,名称,定員\n1,"a\n2,b,1\n'.encode() + b"x" * 100_000),
    ],
)
@pytest.mark.usefixtures("worker")
async def test_a_file_that_is_no_table_ends_in_a_failed_run_that_says_why(
    client: httpx.AsyncClient, world: World, name: str, content: bytes
) -> None:
    dataset, headers = await made(world)

    run = await world.load(headers, dataset, content)

    assert run["state"] == "failed", (name, run)
    assert run["error_code"] not in (None, "internal_error"), run
    assert run["error_ja"] and run["error_en"] and run["version_number"] is None
    assert (await client.get(path(dataset))).json()["code"] == "no_version_published"


@pytest.mark.usefixtures("worker")
async def test_a_header_given_twice_is_no_record(client: httpx.AsyncClient, world: World) -> None:
    dataset, headers = await made(world)
    run = await world.load(headers, dataset, (FILE + FILE).encode())

    assert run["state"] == "degraded", run
    assert run["rows_accepted"] == 2
    await world.publish(headers, run)
    records = (await client.get(path(dataset))).json()["records"]
    assert [record["no"] for record in records] == ["1", "2"]


@pytest.mark.usefixtures("worker")
async def test_when_every_row_is_wrong_the_run_fails_and_keeps_the_reasons(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)

    run = await world.load(headers, dataset, "番号,名称,定員\n,a,1\n2,b,x\n".encode())

    assert (run["state"], run["error_code"]) == ("failed", "no_rows_accepted")
    assert (run["rows_read"], run["rows_rejected"]) == (2, 2)
    listed = await client.get(f"/v1/runs/{run['id']}/rejects", headers=headers)
    assert len(listed.json()["items"]) == 2
    wrong = [(each["field"], each["label"]) for each in listed.json()["items"]]
    assert wrong[0] == ("no", "番号")  # the clerk's file has labels, and no names of fields


@pytest.mark.usefixtures("worker")
async def test_a_file_handed_in_again_says_which_run_has_its_rejects(world: World) -> None:
    dataset, headers = await made(world)
    file = "番号,名称,定員\n1,a,1\n2,b,x\n".encode()
    first = await world.load(headers, dataset, file)

    again = await world.load(headers, dataset, file)

    (notice,) = again["notices"]
    assert (again["unchanged"], again["rows_read"]) == (True, 0)
    assert (notice["code"], notice["details"]["run"]) == ("file_unchanged", first["id"])


@pytest.mark.usefixtures("worker")
async def test_a_key_too_long_for_an_index_does_not_break_the_worker(world: World) -> None:
    dataset, headers = await made(world)
    long = os.urandom(6_000).hex()

    run = await world.load(headers, dataset, f"番号,名称,定員\n{long},a,1\n".encode())

    assert (run["state"], run["error_code"]) == ("failed", "value_not_storable")


@pytest.mark.usefixtures("worker")
async def test_every_encoding_and_way_of_sending_gives_equal_records(
    client: httpx.AsyncClient, world: World
) -> None:
    found = []
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp932", "euc_jis_2004"):
        dataset, headers = await made(world)
        rows = "".join(f"{at},架空第{at}避難所　北側の建物,{at}\n" for at in range(3, 60))
        text = FILE if encoding != "euc_jis_2004" else FILE.replace("髙①～", "高")
        content = (text + rows).encode(encoding)
        if encoding == "utf-16-le":
            content = b"\xff\xfe" + content
        path_ = f"/v1/datasets/{dataset}/versions"
        file = {"file": ("避難所一覧（令和８年）.csv", content, "text/csv")}
        sent = await client.post(path_, files=file, headers=headers)
        assert sent.status_code == 202, sent.text
        run = await world.ended(headers, sent.json()["id"])
        assert (run["state"], run["rows_accepted"]) == ("ok", 59), (encoding, run)
        await world.publish(headers, run)
        records = (await client.get(path(dataset))).json()["records"]
        names = [record["name"] for record in records]
        found.append([name.replace("髙①～", "高") for name in names])
    assert found == [found[0]] * len(found)


async def test_a_file_over_the_limit_and_a_form_without_a_file_are_refused(
    app: FastAPI, client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, headers = await made(world)
    path_ = f"/v1/datasets/{dataset}/versions"
    platform: Platform = app.state.platform

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1_000_000

    with monkeypatch.context() as patch:
        patch.setattr(platform, "max_upload_bytes", 2_000_000)
        refused = [
            await client.post(path_, content=b"x" * 2_000_001, headers=headers),
            await client.post(path_, content=pieces(), headers=headers),
            await client.post(path_, files={"file": ("a.csv", b"x" * 2_000_001)}, headers=headers),
        ]
    assert [(r.status_code, r.json()["code"]) for r in refused] == [(413, "upload_too_large")] * 3
    without = await client.post(path_, files={"other": ("a.csv", b"x")}, headers=headers)
    assert (without.status_code, without.json()["code"]) == (422, "file_missing")
    broken = await client.post(
        path_, content=b"--x\r\nnonsense", headers={**headers, "Content-Type": "multipart/form-data; boundary=x"}
    )  # fmt: skip
    assert broken.status_code in (400, 422)
    kept = await platform.database.pool.fetchval(
        "SELECT count(*) FROM upload WHERE size >= 2000000"
    )
    assert kept == 0


async def test_only_the_owner_loads_and_publishes(client: httpx.AsyncClient, world: World) -> None:
    dataset, _ = await made(world)
    other = await world.token(await world.party("271403", Role.STEWARD), "catalogue:write")

    answers = [
        await client.post(f"/v1/datasets/{dataset}/versions", content=b"x", headers=other),
        await client.post(f"/v1/datasets/{dataset}/versions/1/publish", headers=other),
        await client.get(f"/v1/datasets/{dataset}/versions", headers=other),
        await client.post(f"/v1/datasets/{dataset}/versions", content=b"x"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 401]


async def raw(port: int, request: bytes, *, hang_up_after: int | None = None) -> bytes:
    """Send bytes as they are; the whole answer, or what came before hanging up."""
    taking, giving = await asyncio.open_connection("127.0.0.1", port)
    giving.write(request)
    await giving.drain()
    if hang_up_after is None:
        giving.write_eof()
    try:
        async with asyncio.timeout(10):
            return await (
                taking.read() if hang_up_after is None else taking.readexactly(hang_up_after)
            )
    finally:
        giving.transport.abort()


async def test_an_upload_that_breaks_off_leaves_nothing(app: FastAPI, world: World) -> None:
    dataset, headers = await made(world)
    pool = world.platform.database.pool
    before = await pool.fetchval("SELECT count(*) FROM upload")
    token = headers["Authorization"]

    async with served(app) as port:
        for kind in ("text/csv", "multipart/form-data; boundary=x"):
            head = (
                f"POST /v1/datasets/{dataset}/versions HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
                f"Content-Type: {kind}\r\nContent-Length: 100000\r\n\r\n"
            )
            body = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1,2'
            await raw(port, head.encode() + body.encode())
        await asyncio.sleep(0.2)

    assert await pool.fetchval("SELECT count(*) FROM upload") == before
    assert await pool.fetchval("SELECT count(*) FROM run WHERE dataset_id = $1", dataset) == 0


async def test_hanging_up_in_an_export_frees_its_connection_and_its_task(
    app: FastAPI, client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, _ = await made(world)
    text = "長" * 400
    for start in range(0, 20_000, 5_000):
        await stock_more(world, dataset, start, text)
    pool = world.platform.database.pool
    before = lasting_tasks()
    sent: list[int] = []
    stream_body = shape.stream_body

    async def counted(*given: Any) -> AsyncIterator[bytes]:
        async with aclosing(stream_body(*given)) as pieces:
            async for piece in pieces:
                sent.append(len(piece))
                yield piece

    monkeypatch.setattr(shape, "stream_body", counted)
    query = f"GET {path(dataset)}?f=csv HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    async with served(app) as port:
        for _ in range(6):  # more than may run at once
            await raw(port, query, hang_up_after=2_000)
        async with asyncio.timeout(10):
            while pool.get_idle_size() < pool.get_size():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        in_vain = sum(sent)
        whole = await client.get(path(dataset), params={"f": "csv"})
    assert in_vain < 3 * len(whole.content)  # of six times
    assert len(whole.content.splitlines()) == 20_001
    async with asyncio.timeout(10):
        while lasting_tasks() - before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def lasting_tasks() -> set["asyncio.Task[Any]"]:
    """All but this test's own and the short waits that what is always there makes anew."""
    waits = ("Event.wait", "sleep", "Queue.get")
    mine = asyncio.current_task()
    return {
        each
        for each in asyncio.all_tasks()
        if each is not mine and getattr(each.get_coro(), "__qualname__", "") not in waits
    }


async def stock_more(world: World, dataset: str, start: int, text: str) -> None:
    headers = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")
    records = [{"no": f"{at}", "name": text} for at in range(start, start + 5_000)]
    sent = await world.client.post(path(dataset), json=records, headers=headers)
    assert sent.json()["accepted"] == 5_000, sent.text[:300]


async def test_an_export_slower_than_its_taker_waits_and_holds_little(
    app: FastAPI, world: World
) -> None:
    dataset, _ = await made(world)
    await stock_more(world, dataset, 0, "長" * 2_000)
    process = psutil.Process()
    query = f"GET {path(dataset)}?f=ndjson HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    async with served(app) as port:
        taking, giving = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
        before = process.memory_info().rss
        giving.write(query)
        await taking.readexactly(1_000)
        await asyncio.sleep(0.5)
        grown = process.memory_info().rss - before
        giving.transport.abort()
        await asyncio.sleep(0.1)

    assert grown < 20_000_000  # of 30 MB


WORKER = """
import asyncio, sys
from app.kit.db import Database
from app.tasks.worker import work_for_ever
async def main():
    database = await Database.open(sys.argv[1], connections=4)
    print("working", flush=True)
    await work_for_ever(database)
    await database.close()
asyncio.run(main())
"""


def start_worker(url: str) -> "subprocess.Popen[bytes]":
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, url], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )  # fmt: skip
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"working\n"
    return worker


async def test_a_load_killed_half_way_is_taken_over_and_leaves_one_version(
    client: httpx.AsyncClient, world: World, database_url: str
) -> None:
    dataset, headers = await made(world)
    lines = "".join(f"{at},架空第{at}避難所,{at}\n" for at in range(3, 400_000))
    pool = world.platform.database.pool
    first = await asyncio.to_thread(start_worker, database_url)
    try:
        sent = await client.post(
            f"/v1/datasets/{dataset}/versions", content=(FILE + lines).encode(), headers=headers
        )
        run_id = sent.json()["id"]
        async with asyncio.timeout(30):
            while not (  # noqa: ASYNC110
                await pool.fetchval("SELECT rows_read FROM run WHERE id = $1::uuid", run_id)
            ):
                await asyncio.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.communicate)
        assert await pool.fetchval("SELECT state FROM run WHERE id = $1::uuid", run_id) == "running"

        second = await asyncio.to_thread(start_worker, database_url)
        try:
            run = await world.ended(headers, run_id)
        finally:
            second.terminate()
            await asyncio.to_thread(second.communicate)
    finally:
        if first.poll() is None:
            first.kill()
            await asyncio.to_thread(first.communicate)

    assert (run["state"], run["rows_accepted"], run["version_number"]) == ("ok", 399_999, 1)
    listed = await client.get(f"/v1/datasets/{dataset}/versions", headers=headers)
    assert [version["row_count"] for version in listed.json()] == [399_999]
    assert await orphans(pool) == []


async def test_a_line_of_a_hundred_megabytes_does_not_fill_the_workers_memory(
    client: httpx.AsyncClient, world: World, database_url: str
) -> None:
    dataset, headers = await made(world)

    async def endless() -> AsyncIterator[bytes]:
        yield "番号,名称,定員\n1,".encode()
        for _ in range(100):
            yield b"x" * 1_000_000

    worker = await asyncio.to_thread(start_worker, database_url)
    peak: list[Any] = [0]
    try:
        sent = await client.post(
            f"/v1/datasets/{dataset}/versions", content=endless(), headers=headers
        )
        assert sent.status_code == 202, sent.text
        watched = psutil.Process(worker.pid)
        ending = asyncio.create_task(world.ended(headers, sent.json()["id"]))
        while not ending.done():
            peak[0] = max(peak[0], watched.memory_info().rss)
            await asyncio.sleep(0.02)
        run = await ending
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.communicate)

    assert run["state"] == "failed" and run["error_code"] != "internal_error", run
    assert peak[0] < 400_000_000


async def test_slow_senders_of_whole_files_keep_no_reader_out(
    client: httpx.AsyncClient, world: World, platform: Platform
) -> None:
    dataset, headers = await made(world)
    address = f"/v1/datasets/{dataset}/versions"
    go_on, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slowly() -> AsyncIterator[bytes]:
        begun.release()
        yield FILE.encode()[:5]
        await go_on.wait()
        yield FILE.encode()[5:]

    senders = 2 * platform.database.pool.get_max_size() + 5
    sending = [
        asyncio.create_task(client.post(address, content=slowly(), headers=headers))
        for _ in range(senders)
    ]
    for _ in range(senders):
        await begun.acquire()
    async with asyncio.timeout(5):
        listed = await client.get(address, headers=headers)
    go_on.set()
    answers = await asyncio.gather(*sending)

    assert listed.status_code == 200
    assert {answer.status_code for answer in answers} == {202}
