"""Files in a bucket: a real S3-compatible server, real signatures, and addresses that run out."""

import asyncio
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pys3local.providers.local import LocalStorageProvider
from pys3local.server import create_s3_app

from app.broker.recording import Asker
from app.kit.settings import Settings
from app.kit.store import Access, BucketStore, FolderStore, StoreUnusable, check, open_store
from app.tasks.files import make_files
from tests.serving import served
from tests.stock import path, stocked
from tests.world import World

KEYS = ("URBANOSTEST", secrets.token_hex(20))


def bucket(port: int, secret: str = KEYS[1]) -> BucketStore:
    access = Access(f"http://127.0.0.1:{port}", "us-east-1", KEYS[0], secret)
    return BucketStore("default", "files", access)


def _signature(port: int, method: str, path: str, query: dict[str, str]) -> str:
    """What a signed address must end in: AWS's "Authenticating Requests: Using Query Parameters"."""
    asked = "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items())
    )
    host = f"host:127.0.0.1:{port}\n"
    canonical = "\n".join([method, quote(path), asked, host, "host", "UNSIGNED-PAYLOAD"])
    scope = query["X-Amz-Credential"].partition("/")[2]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    told = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, digest])
    key = f"AWS4{KEYS[1]}".encode()
    for part in (*scope.split("/"), told):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def verify_addresses(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own look at signed addresses forgets the host: have it look properly."""

    def verify(*, request_method: str, request_path: str, query_params: Any, **_: Any) -> bool:
        asked = dict(query_params)
        signature = asked.pop("X-Amz-Signature")
        return str(signature) == _signature(port, request_method, request_path, asked)

    monkeypatch.setattr("pys3local.auth.verify_presigned_url_v4", verify)


async def test_files_in_a_bucket_are_had_by_a_signed_address(
    client: httpx.AsyncClient, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "公園"}])
    provider = LocalStorageProvider(tmp_path / "s3")
    app = create_s3_app(provider, *KEYS, region="us-east-1")
    url = f"/v1/datasets/{dataset}/files/{dataset}.csv"
    async with served(app) as port, httpx.AsyncClient() as outside:
        verify_addresses(port, monkeypatch)
        store = bucket(port)
        await make_files(world.platform.database, store, dataset, 1)
        monkeypatch.setattr(world.platform, "store", store)
        world.platform.live.changed("dataset", dataset)

        sent_on = await client.get(url)
        head = await client.head(url)
        whole = await outside.get(sent_on.headers["location"])
        forged = await outside.get(sent_on.headers["location"][:-4] + "0000")
        unsigned = await outside.get(sent_on.headers["location"].partition("?")[0])
        (file,) = [
            each
            for each in (
                await world.platform.files.listing(dataset, Asker(None, None, "test"))
            ).files
            if each.format == "csv"
        ]
        await store.remove(file.key)
        await store.remove(file.key)
        gone = await outside.get(sent_on.headers["location"])

    live = await client.get(path(dataset), params={"f": "csv"})
    assert (sent_on.status_code, sent_on.headers["cache-control"]) == (302, "no-store")
    assert KEYS[1] not in sent_on.headers["location"]
    assert whole.content == live.content
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(live.content)))
    assert [forged.status_code, unsigned.status_code, gone.status_code] == [403, 403, 404]


async def test_a_bucket_that_refuses_is_told_without_its_keys(tmp_path: Path) -> None:
    app = create_s3_app(LocalStorageProvider(tmp_path / "s3"), *KEYS, region="us-east-1")
    async with served(app) as port:
        await check(bucket(port), tmp_path)
        wrong = bucket(port, secret="not-the-secret")
        with pytest.raises(StoreUnusable) as refused:
            await check(wrong, tmp_path)

    assert "not-the-secret" not in str(refused.value) + repr(wrong._access)
    assert "s3://default/files" in refused.value.words("ja")


def test_the_setting_names_a_folder_or_a_bucket(tmp_path: Path) -> None:
    access = Settings(store_secret_access_key="hush").store_access

    assert open_store(None, tmp_path, access).place == str(tmp_path / "files")
    assert open_store(str(tmp_path), tmp_path, access).place == str(tmp_path)
    assert open_store("s3://open/data/", tmp_path, access).place == "s3://open/data"
    assert "hush" not in repr(Settings(store_secret_access_key="hush"))
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        Settings(store="https://example.jp/files")


async def test_a_file_that_cannot_be_copied_whole_is_not_there_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, source = FolderStore(tmp_path / "store"), tmp_path / "source"
    source.write_bytes(b"x" * 100)

    def full(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.kit.store.os.fsync", full)
    with pytest.raises(StoreUnusable, match="No space left"):
        await store.put("a/b", source, media_type="text/csv", disposition="inline")

    assert [each for each in (tmp_path / "store").rglob("*") if each.is_file()] == []


async def test_two_that_put_the_same_file_leave_one(tmp_path: Path) -> None:
    store, source = FolderStore(tmp_path / "store"), tmp_path / "source"
    source.write_bytes(b"x" * 100)

    puts = [store.put("a/b", source, media_type="text/csv", disposition="inline") for _ in range(5)]
    await asyncio.gather(*puts)

    found = store.path_of("a/b")
    assert found is not None and found.read_bytes() == b"x" * 100
    await store.remove("a/b")
    assert [each for each in (tmp_path / "store").rglob("*") if each.is_file()] == []
    assert not (tmp_path / "store/a").exists()
