"""Where ready-made files are kept: a folder, or a bucket that speaks S3. Written whole or not at all.

It never decides who gets a file, and never tells a key.
"""

import asyncio
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from obstore.store import S3Store

_INCOMING: Final = ".incoming"  # files that are not whole yet; a key never begins so
_ABANDONED_S: Final = 86_400.0
_PROBE: Final = "probe"


class StoreUnusable(AppError):
    """The store cannot be written or read now."""

    kind = Kind.UNAVAILABLE
    code = "store_unusable"
    ja = (
        "ファイルの保管場所 {place} を使えません（{why}）。空き容量、書き込みの権限、"
        "バケットなら接続先が応答しているかと、URBANOS_STORE で始まる設定を確認してください。"
    )
    en = (
        "The store of files {place} cannot be used ({why}). Check its free space and rights, of a"
        " bucket that its service answers, and the settings that begin with URBANOS_STORE."
    )


@dataclass(frozen=True, slots=True)
class Access:
    """How a bucket is reached. Unset: as AWS's own environment variables say."""

    endpoint: str | None = None
    region: str | None = None
    key_id: str | None = None
    secret: str | None = None

    def __repr__(self) -> str:
        """Without the keys: this may end in a log."""
        return f"Access(endpoint={self.endpoint!r})"


class Store(Protocol):
    """A folder or a bucket. Keys are paths of ours: no name from outside is one."""

    @property
    def place(self) -> str:
        """The store's address, for people."""

    async def put(self, key: str, path: Path, *, media_type: str, disposition: str) -> None:
        """Keep a file under a key, whole or not at all. Raises `StoreUnusable`."""

    async def remove(self, key: str) -> None:
        """Forget a file. One that is not there is no fault."""

    def path_of(self, key: str) -> Path | None:
        """The file on this machine, where the store is a folder."""

    async def sign(self, key: str, *, seconds: int) -> str:
        """An address that gives the file for a short while, where the store is a bucket."""


def open_store(url: str | None, home: Path, access: Access) -> Store:
    """The store that the setting names: `s3://bucket/prefix`, a folder, or `home`/files."""
    if url is not None and url.startswith("s3://"):
        parts = urlsplit(url)
        return BucketStore(parts.netloc, parts.path.strip("/"), access)
    return FolderStore(Path(url) if url is not None else home / "files")


class FolderStore:
    """A folder of this machine, or one that all replicas mount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    async def put(self, key: str, path: Path, *, media_type: str, disposition: str) -> None:
        """Copied beside, brought to the disk, then moved to its name in one step."""
        try:
            await asyncio.to_thread(self._put, key, path)
        except OSError as exc:
            raise StoreUnusable(place=self.place, why=exc.strerror) from exc

    def _put(self, key: str, path: Path) -> None:
        incoming = self._folder / _INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        _sweep(incoming)
        beside, target = incoming / uuid4().hex, self._folder / key
        try:
            with path.open("rb") as source, _for_us(beside) as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    async def remove(self, key: str) -> None:
        """Remove the file and the folders that are empty then."""
        await asyncio.to_thread(self._remove, self._folder / key)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._folder:
                return
            try:
                folder.rmdir()
            except OSError:  # it holds more
                return

    def path_of(self, key: str) -> Path | None:
        """Where the file is."""
        return self._folder / key

    async def sign(self, key: str, *, seconds: int) -> str:
        """A folder has no addresses."""
        raise LookupError(f"a folder signs nothing: {key}")


def _for_us(path: Path) -> IO[bytes]:
    """A new file that whoever else works on the machine cannot read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb")


def _sweep(incoming: Path) -> None:
    """Remove what a killed process left."""
    old = time.time() - _ABANDONED_S
    for each in incoming.iterdir():
        with suppress(FileNotFoundError):  # another process's, just finished
            if each.stat().st_mtime < old:
                each.unlink()


class BucketStore:
    """A bucket of any S3-compatible service."""

    def __init__(self, bucket: str, prefix: str, access: Access) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._access = access
        self._opened: S3Store | None = None

    @property
    def place(self) -> str:
        """The bucket and the prefix, and whose they are where it was said."""
        bucket = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        return f"{bucket} at {self._access.endpoint}" if self._access.endpoint else bucket

    def _store(self) -> "S3Store":
        """Opened when it is first used: a server whose store is a folder never loads this."""
        if self._opened is None:
            from obstore.store import S3Store  # noqa: PLC0415

            told: dict[str, Any] = {
                "endpoint": self._access.endpoint,
                "region": self._access.region,
                "access_key_id": self._access.key_id,
                "secret_access_key": self._access.secret,
            }
            if self._access.endpoint is not None and self._access.endpoint.startswith("http://"):
                told["client_options"] = {"allow_http": True}
            given = {name: value for name, value in told.items() if value is not None}
            self._opened = S3Store(self._bucket, prefix=self._prefix or None, **given)
        return self._opened

    async def put(self, key: str, path: Path, *, media_type: str, disposition: str) -> None:
        """Sent in parts; the service shows the file once it has all of them."""
        import obstore  # noqa: PLC0415
        from obstore.exceptions import BaseError  # noqa: PLC0415

        headers = {"Content-Type": media_type, "Content-Disposition": disposition}
        try:
            await obstore.put_async(self._store(), key, path, attributes=headers, max_concurrency=2)
        except (BaseError, OSError) as exc:
            raise StoreUnusable(place=self.place, why=type(exc).__name__) from exc

    async def remove(self, key: str) -> None:
        """Forget the file."""
        import obstore  # noqa: PLC0415
        from obstore.exceptions import BaseError, NotFoundError  # noqa: PLC0415

        try:
            await obstore.delete_async(self._store(), key)
        except (NotFoundError, FileNotFoundError):
            return
        except BaseError as exc:
            raise StoreUnusable(place=self.place, why=type(exc).__name__) from exc

    def path_of(self, key: str) -> Path | None:
        """A bucket has no paths."""
        return None

    async def sign(self, key: str, *, seconds: int) -> str:
        """A signed address; no call is made for it."""
        import obstore  # noqa: PLC0415

        return await obstore.sign_async(self._store(), "GET", key, timedelta(seconds=seconds))


async def check(store: Store, folder: Path) -> None:
    """Write a small file and remove it again. Raises `StoreUnusable`."""
    probe = folder / _PROBE
    probe.write_bytes(b"")
    key = f"{_PROBE}-{uuid4().hex}"
    await store.put(key, probe, media_type="text/plain", disposition="inline")
    await store.remove(key)
