"""Files that come in parts (tus 1.0.0): what is safe, what is refused, what is tidied away."""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from app.api.state import Platform
from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.tasks.tidy import tidy
from tests.api.test_loading import SPECS, made
from tests.serving import served
from tests.stock import stocked
from tests.world import KENKO, SAKAI, World

TUS = {"Tus-Resumable": "1.0.0"}
MB = 1 << 20


def csv(rows: int) -> bytes:
    lines = "".join(f"{at},架空第{at}避難所　北側の建物,{at}\n" for at in range(rows))
    return f"番号,名称,定員\n{lines}".encode()


def metadata(dataset: str, filename: str = "避難所.csv") -> str:
    named = {"filename": filename, "dataset": dataset}
    return ",".join(f"{key} {base64.b64encode(v.encode()).decode()}" for key, v in named.items())


def checksum(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


async def made_plain(world: World) -> tuple[str, dict[str, str]]:
    """A public dataset, and a token for a client that knows of no proofs."""
    dataset, _ = await made(world)
    return dataset, await world.bearer(await world.party(KENKO, Role.STEWARD), "catalogue:write")


async def begin(
    client: httpx.AsyncClient, headers: dict[str, str], dataset: str, length: int
) -> str:
    """Where the parts go."""
    begun = await client.post(
        "/v1/uploads",
        headers={
            **headers, **TUS, "Upload-Length": str(length), "Upload-Metadata": metadata(dataset),
        },
    )  # fmt: skip
    assert begun.status_code == 201, begun.text
    assert begun.headers["Upload-Expires"].endswith("GMT")
    return begun.headers["Location"]


async def send(
    client: httpx.AsyncClient,
    headers: dict[str, str],
    upload: str,
    offset: int,
    data: Any,
    **more: str,
) -> httpx.Response:
    part = {
        **headers, **TUS, "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }  # fmt: skip
    return await client.patch(upload, content=data, headers=part)


async def offset_of(client: httpx.AsyncClient, headers: dict[str, str], upload: str) -> int:
    shown = await client.head(upload, headers={**headers, **TUS})
    assert shown.status_code == 200
    assert shown.headers["Cache-Control"] == "no-store"
    return int(shown.headers["Upload-Offset"])


async def stored(world: World, upload: str) -> bytes:
    rows = await world.platform.database.pool.fetch(
        "SELECT data FROM upload_chunk WHERE upload_id = $1::uuid ORDER BY position",
        upload.rpartition("/")[2],
    )
    return b"".join(row["data"] for row in rows)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("with_checksum", [False, True])
async def test_the_real_client_sends_in_parts_and_the_file_becomes_a_version(
    app: FastAPI, client: httpx.AsyncClient, world: World, with_checksum: bool
) -> None:
    dataset, headers = await made_plain(world)
    content = csv(60_000)

    def upload(port: int) -> str:
        speaking = TusClient(f"http://127.0.0.1:{port}/v1/uploads", headers=dict(headers))
        sending = speaking.uploader(
            file_stream=io.BytesIO(content), chunk_size=700_001, upload_checksum=with_checksum,
            metadata={"filename": "避難所.csv", "dataset": dataset},
        )  # fmt: skip
        sending.upload()
        return str(sending.url)

    async with served(app) as port:
        url = await asyncio.to_thread(upload, port)
    path = f"/v1/datasets/{dataset}/versions"
    sent = await client.post(path, params={"upload": url.rpartition("/")[2]}, headers=headers)
    run = await world.ended(headers, sent.json()["id"])
    versions = (await client.get(path, headers=headers)).json()

    assert sent.status_code == 202, sent.text
    assert (run["state"], run["rows_accepted"], run["bytes_total"]) == ("ok", 60_000, len(content))
    assert versions[0]["source_sha256"] == hashlib.sha256(content).hexdigest()
    chunks = await world.platform.database.pool.fetch(
        "SELECT length(data) AS n FROM upload_chunk WHERE upload_id = $1::uuid ORDER BY position",
        url.rpartition("/")[2],
    )
    assert [row["n"] for row in chunks[:-1]] == [MB] * (len(content) // MB)


@pytest.mark.usefixtures("worker")
async def test_the_real_client_goes_on_where_it_was_cut_off(
    app: FastAPI, client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made_plain(world)
    content = csv(60_000)
    upload = await begin(client, headers, dataset, len(content))
    token = headers["Authorization"]
    head = (
        f"PATCH {upload} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nTus-Resumable: 1.0.0\r\n"
        f"Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    cut = MB + 12_345

    def resume(port: int) -> int:
        speaking = TusClient(f"http://127.0.0.1:{port}/v1/uploads", headers=dict(headers))
        url = f"http://127.0.0.1:{port}{upload}"
        sending = speaking.uploader(file_stream=io.BytesIO(content), url=url)
        found = int(sending.offset)
        sending.upload()
        return found

    async with served(app) as port:
        _, giving = await asyncio.open_connection("127.0.0.1", port)
        giving.write(head.encode() + content[:cut])
        await giving.drain()
        giving.close()  # and no word of it
        async with asyncio.timeout(10):
            while await offset_of(client, headers, upload) < cut:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        resumed_at = await asyncio.to_thread(resume, port)

    assert resumed_at == cut
    assert await stored(world, upload) == content


async def test_a_part_with_a_checksum_is_there_whole_or_not_at_all(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    content = csv(30_000)[: MB + 500]
    upload = await begin(client, headers, dataset, len(content))

    wrong = await send(client, headers, upload, 0, content, Upload_Checksum=checksum(content[:-1]))
    unknown = await send(client, headers, upload, 0, content, Upload_Checksum="md5 eA==")
    after_wrong = await offset_of(client, headers, upload)
    good = await send(
        client, headers, upload, 0, content[:900], Upload_Checksum=checksum(content[:900], "sha1")
    )
    rest = await send(
        client, headers, upload, 900, content[900:], Upload_Checksum=checksum(content[900:])
    )

    assert (wrong.status_code, wrong.json()["code"]) == (460, "checksum_mismatch")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "checksum_wrong")
    assert after_wrong == 0
    assert (good.status_code, good.headers["Upload-Offset"]) == (204, "900")
    assert (rest.status_code, rest.headers["Upload-Offset"]) == (204, str(len(content)))
    assert await stored(world, upload) == content


async def test_what_does_not_fit_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    upload = await begin(client, headers, dataset, 10)
    await send(client, headers, upload, 0, b"12345")

    async def eleven() -> AsyncIterator[bytes]:
        yield b"67890"
        yield b"1"

    answers = [
        await send(client, headers, upload, 0, b"12345"),
        await send(client, headers, upload, 6, b"6"),
        await send(client, headers, upload, 5, b"678901"),
        await send(client, headers, upload, 5, eleven()),
        await send(client, headers, upload, 5, b"6", Content_Type="text/csv"),
        await send(client, headers, upload, 5, b"6", Tus_Resumable="0.2.2"),
        await send(client, headers, f"{upload[:-1]}{'0' if upload[-1] != '0' else '1'}", 5, b"6"),
    ]

    assert [(a.status_code, a.json()["code"]) for a in answers] == [
        (409, "upload_offset_mismatch"),
        (409, "upload_offset_mismatch"),
        (413, "beyond_upload_length"),
        (413, "beyond_upload_length"),
        (415, "unsupported_media_type"),
        (412, "tus_version"),
        (404, "upload_not_found"),
    ]
    assert {a.headers["Tus-Resumable"] for a in answers} == {"1.0.0"}
    assert answers[5].headers["Tus-Version"] == "1.0.0"
    assert await stored(world, upload) == b"12345"


async def test_an_upload_is_refused_before_its_first_byte(
    client: httpx.AsyncClient, world: World, platform: Platform
) -> None:
    dataset, headers = await made(world)
    withdrawn = await stocked(world, [], SPECS)
    await platform.database.pool.execute(
        "UPDATE dataset SET state = 'withdrawn', withdrawn_reason = '-' WHERE id = $1", withdrawn
    )
    stranger = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")
    nobody = await world.token(await world.party(KENKO, Role.STEWARD), "agreements:write")

    async def asked(
        caller: dict[str, str], length: int, told: str, version: str = "1.0.0"
    ) -> tuple[int, str]:
        own = {
            "Upload-Length": str(length), "Upload-Metadata": told, "Tus-Resumable": version,
        }  # fmt: skip
        refused = await client.post("/v1/uploads", headers={**caller, **own})
        return refused.status_code, refused.json()["code"]

    told = metadata(dataset)
    assert await asked({}, 1, told) == (401, "token_required")
    assert await asked(nobody, 1, told) == (403, "insufficient_scope")
    assert await asked(stranger, 1, told) == (403, "not_the_publisher")
    assert await asked(headers, platform.max_upload_bytes + 1, told) == (413, "upload_too_large")
    assert await asked(headers, 1, metadata(withdrawn)) == (410, "dataset_withdrawn")
    assert await asked(headers, 1, metadata("no-such")) == (404, "dataset_not_found")
    for wrong in ("", "dataset", "dataset %%%", f"{told},{told}", "dataset /w==", "filename YQ=="):
        assert await asked(headers, 1, wrong) == (400, "upload_metadata_wrong"), wrong
    assert await asked(headers, 1, told, "0.9") == (412, "tus_version")
    assert await platform.database.pool.fetchval(
        "SELECT count(*) FROM upload_in_parts WHERE dataset_id = $1", dataset
    ) == 0  # fmt: skip


async def test_another_organisations_upload_is_not_there(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    upload = await begin(client, headers, dataset, 5)
    stranger = await world.token(await world.party(SAKAI, Role.STEWARD), "catalogue:write")
    colleague = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")

    refused = [
        await client.head(upload, headers={**stranger, **TUS}),
        await send(client, stranger, upload, 0, b"12345"),
        await client.delete(upload, headers={**stranger, **TUS}),
    ]
    taken = await send(client, colleague, upload, 0, b"12345")

    assert [answer.status_code for answer in refused] == [404, 404, 404]
    assert taken.status_code == 204


async def test_only_a_whole_upload_of_the_dataset_is_loaded(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    other, _ = await made(world)
    upload = await begin(client, headers, dataset, 5)
    upload_id = upload.rpartition("/")[2]

    async def load(into: str, **more: Any) -> tuple[int, str]:
        answer = await client.post(
            f"/v1/datasets/{into}/versions", params={"upload": upload_id}, headers=headers, **more
        )
        return answer.status_code, answer.json().get("code", "")

    unfinished = await load(dataset)
    await send(client, headers, upload, 0, b"12345")

    assert unfinished == (409, "upload_unfinished")
    assert await load(other) == (404, "upload_not_found")
    assert await load(dataset, content=b"x") == (400, "upload_and_body")
    assert await load(dataset) == (202, "")


async def test_two_senders_at_one_place_do_not_mix(client: httpx.AsyncClient, world: World) -> None:
    dataset, headers = await made(world)
    length = 3 * MB
    upload = await begin(client, headers, dataset, length)
    both = [bytes([mark]) * length for mark in (1, 2)]

    answers = await asyncio.gather(*(send(client, headers, upload, 0, each) for each in both))

    assert sorted(answer.status_code for answer in answers) == [204, 409]
    winner = both[[answer.status_code for answer in answers].index(204)]
    assert await stored(world, upload) == winner


async def test_an_upload_is_given_up_unless_a_run_uses_it(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    given_up = await begin(client, headers, dataset, 10)
    await send(client, headers, given_up, 0, b"12345")
    used = await begin(client, headers, dataset, 5)
    await send(client, headers, used, 0, b"12345")
    await client.post(
        f"/v1/datasets/{dataset}/versions",
        params={"upload": used.rpartition("/")[2]}, headers=headers,
    )  # fmt: skip

    gone = await client.delete(given_up, headers={**headers, **TUS})
    kept = await client.delete(used, headers={**headers, **TUS})

    assert gone.status_code == 204
    assert (await client.head(given_up, headers={**headers, **TUS})).status_code == 404
    assert await stored(world, given_up) == b""
    assert (kept.status_code, kept.json()["code"]) == (409, "upload_in_use")
    assert await stored(world, used) == b"12345"
    told = await world.log(Event.UPLOAD_BEGUN, Event.UPLOAD_REMOVED)
    assert [entry["event"] for entry in told] == ["upload.begun", "upload.begun", "upload.removed"]


async def test_two_who_give_an_upload_up_at_once_do_not_wait_for_each_other(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)

    for _ in range(5):
        upload = await begin(client, headers, dataset, 3)
        asked = {**headers, **TUS}
        answers = await asyncio.gather(*(client.delete(upload, headers=asked) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]


async def test_slow_senders_of_parts_with_checksums_hold_no_connection(
    client: httpx.AsyncClient, world: World, platform: Platform
) -> None:
    dataset, headers = await made(world)
    go_on, data = asyncio.Event(), b"a" * 10
    begun = asyncio.Semaphore(0)

    async def slowly() -> AsyncIterator[bytes]:
        begun.release()
        yield data[:5]
        await go_on.wait()
        yield data[5:]

    pool = platform.database.pool
    uploads = [await begin(client, headers, dataset, 10) for _ in range(pool.get_max_size())]
    sending = [
        asyncio.create_task(
            send(client, headers, upload, 0, slowly(), Upload_Checksum=checksum(data))
        )
        for upload in uploads
    ]
    for _ in uploads:
        await begun.acquire()
    async with asyncio.timeout(5):
        found = await pool.fetchval("SELECT 1")
    go_on.set()
    answers = await asyncio.gather(*sending)

    assert found == 1
    assert {answer.status_code for answer in answers} == {204}


async def test_what_has_expired_is_refused_and_then_tidied_away(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset, headers = await made(world)
    pool = world.platform.database.pool
    unfinished, unused, used, fresh = [await begin(client, headers, dataset, 5) for _ in range(4)]
    await send(client, headers, unfinished, 0, b"123")
    for upload in (unused, used, fresh):
        await send(client, headers, upload, 0, b"12345")
    ids = {each: each.rpartition("/")[2] for each in (unfinished, unused, used, fresh)}
    await client.post(
        f"/v1/datasets/{dataset}/versions", params={"upload": ids[used]}, headers=headers
    )
    await pool.execute(
        "UPDATE upload_in_parts SET expires_at = $1 WHERE upload_id = ANY($2::uuid[])",
        clock.now() - timedelta(seconds=1), [ids[unfinished], ids[unused], ids[used]],
    )  # fmt: skip

    expired = await send(client, headers, unfinished, 3, b"45")
    await tidy(world.platform.database)

    assert (expired.status_code, expired.json()["code"]) == (410, "upload_expired")
    left = await pool.fetch("SELECT id FROM upload WHERE id = ANY($1::uuid[])", [*ids.values()])
    assert {str(row["id"]) for row in left} == {ids[used], ids[fresh]}
    assert [await stored(world, each) for each in ids] == [b"", b"", b"12345", b"12345"]
    gone = await send(client, headers, unfinished, 3, b"45")
    assert gone.status_code == 404


async def test_options_tell_what_the_server_can_do_and_post_may_stand_for_patch(
    client: httpx.AsyncClient, world: World, platform: Platform
) -> None:
    dataset, headers = await made(world)
    upload = await begin(client, headers, dataset, 5)

    told = await client.options("/v1/uploads")
    posted = await client.post(
        upload,
        content=b"12345",
        headers={
            **headers, **TUS, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH",
            "Content-Type": "application/offset+octet-stream",
        },
    )  # fmt: skip

    assert told.status_code == 204
    assert told.headers["Tus-Version"] == told.headers["Tus-Resumable"] == "1.0.0"
    assert told.headers["Tus-Extension"] == "creation,termination,checksum,expiration"
    assert told.headers["Tus-Checksum-Algorithm"] == "sha256,sha1"
    assert told.headers["Tus-Max-Size"] == str(platform.max_upload_bytes)
    assert (posted.status_code, posted.headers["Upload-Offset"]) == (204, "5")
    shown = await client.head(upload, headers={**headers, **TUS})
    assert shown.headers["Upload-Metadata"] == metadata(dataset)
    assert shown.headers["Upload-Length"] == "5"


async def test_the_real_client_is_told_why_it_may_not(app: FastAPI, world: World) -> None:
    dataset, _ = await made(world)

    def upload(port: int) -> None:
        speaking = TusClient(f"http://127.0.0.1:{port}/v1/uploads")
        speaking.uploader(file_stream=io.BytesIO(b"x"), metadata={"dataset": dataset}).upload()

    async with served(app) as port:
        with pytest.raises(TusCommunicationError) as refused:
            await asyncio.to_thread(upload, port)

    assert refused.value.status_code == 401


async def test_a_form_larger_than_the_limit_is_not_read_to_its_end(
    client: httpx.AsyncClient, world: World, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, headers = await made(world)
    monkeypatch.setattr(platform, "max_upload_bytes", 2 * MB)
    read = 0

    async def form() -> AsyncIterator[bytes]:
        nonlocal read
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(50):
            read += MB
            yield b"1" * MB

    path = f"/v1/datasets/{dataset}/versions"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    counted = await client.post(path, content=form(), headers={**headers, **kind})
    until_refused = read
    announced = await client.post(
        path, content=form(), headers={**headers, **kind, "Content-Length": str(50 * MB)}
    )

    assert [answer.status_code for answer in (counted, announced)] == [413, 413]
    assert until_refused <= 4 * MB
    assert read == until_refused
