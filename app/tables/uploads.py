"""Raw files in the database, a megabyte a row: taken in as they come, read back as a stream.

Files stand in PostgreSQL so that every replica and the backup have them, and so that a file and
the run that reads it are acknowledged in one commit. A file is never held in memory.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, BinaryIO, Final
from uuid import UUID

import asyncpg

from app.kit import clock
from app.kit.db import Driver
from app.kit.errors import AppError, Kind

CHUNK_BYTES: Final = 1 << 20


class UploadTooLarge(AppError):
    """The file is larger than this deployment takes."""

    kind = Kind.TOO_LARGE
    code = "upload_too_large"
    ja = "ファイルが上限の {most} バイトを超えています。分割して登録してください。"
    en = "The file is larger than the limit of {most} bytes. Load it in parts."


class UploadTruncated(AppError):
    """Fewer bytes came than were announced."""

    kind = Kind.MALFORMED
    code = "upload_truncated"
    ja = "ファイルの送信が途中で切れました（{got} / {announced} バイト）。もう一度送ってください。"
    en = "The upload broke off ({got} of {announced} bytes). Send it again."


async def store(
    pool: "asyncpg.Pool[Any]",
    upload_id: UUID,
    stream: AsyncIterator[bytes],
    *,
    filename: str | None,
    most: int,
) -> tuple[str, int]:
    """Write a stream as an upload, a megabyte a commit. Returns (sha256, bytes).

    No connection is held while the sender is silent: a few slow ones would keep all readers out.
    What breaks off is taken away at once, and what a killed process leaves, by the tidying job: no
    run refers to it. Raises `UploadTooLarge` and whatever the stream raises.
    """
    await pool.execute(
        "INSERT INTO upload (id, filename, size, sha256, created_at) VALUES ($1, $2, 0, '', $3)",
        upload_id, filename, clock.now(),
    )  # fmt: skip
    try:
        return await _take_in(pool, upload_id, stream, most)
    except BaseException:
        await asyncio.shield(_forget(pool, upload_id))
        raise


async def _take_in(
    pool: "asyncpg.Pool[Any]", upload_id: UUID, stream: AsyncIterator[bytes], most: int
) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = position = 0
    async for chunk in _sized(stream):
        size += len(chunk)
        if size > most:
            raise UploadTooLarge(most=most)
        digest.update(chunk)
        await pool.execute(
            "INSERT INTO upload_chunk (upload_id, position, data) VALUES ($1, $2, $3)",
            upload_id, position, chunk,
        )  # fmt: skip
        position += 1
    found = digest.hexdigest()
    await pool.execute(
        "UPDATE upload SET size = $2, sha256 = $3 WHERE id = $1", upload_id, size, found
    )
    return found, size


async def _forget(pool: "asyncpg.Pool[Any]", upload_id: UUID) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM upload_chunk WHERE upload_id = $1", upload_id)
        await connection.execute("DELETE FROM upload WHERE id = $1", upload_id)


async def _sized(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of a chunk's size."""
    held = bytearray()
    async for piece in stream:
        held += piece
        while len(held) >= CHUNK_BYTES:
            yield bytes(held[:CHUNK_BYTES])
            del held[:CHUNK_BYTES]
    if held:
        yield bytes(held)


async def seal(connection: Driver, upload_id: UUID) -> None:
    """Note the sha256 of an upload that came in parts; nothing where it is known already.

    No hash's state can be kept between two parts, which may reach two replicas: so the bytes are
    read once more, as a stream.
    """
    known = await connection.fetchval("SELECT sha256 FROM upload WHERE id = $1", upload_id)
    if known != "":
        return
    digest = hashlib.sha256()
    async with aclosing(_chunks(connection, upload_id)) as chunks:
        async for chunk in chunks:
            digest.update(chunk)
    await connection.execute(
        "UPDATE upload SET sha256 = $2 WHERE id = $1", upload_id, digest.hexdigest()
    )


async def forget_bytes(connection: Driver, upload_id: UUID) -> None:
    """Delete what an upload holds, and its hash, in the caller's transaction; its name stays."""
    await connection.execute("DELETE FROM upload_chunk WHERE upload_id = $1", upload_id)
    await connection.execute("UPDATE upload SET sha256 = '' WHERE id = $1", upload_id)


async def copy_to(connection: Driver, upload_id: UUID, file: BinaryIO) -> None:
    """Write an upload's bytes to a local file."""
    async with aclosing(_chunks(connection, upload_id)) as chunks:
        async for chunk in chunks:
            file.write(chunk)


async def _chunks(connection: Driver, upload_id: UUID) -> AsyncGenerator[bytes, None]:
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(
            "SELECT data FROM upload_chunk WHERE upload_id = $1 ORDER BY position",
            upload_id,
            prefetch=4,
        ):
            yield row["data"]


async def pieces(pool: "asyncpg.Pool[Any]", upload_id: UUID) -> AsyncIterator[bytes]:
    """An upload's bytes for a taker of any pace: no connection waits for it."""
    last = -1
    while True:
        row = await pool.fetchrow(
            "SELECT position, data FROM upload_chunk WHERE upload_id = $1 AND position > $2"
            " ORDER BY position LIMIT 1",
            upload_id,
            last,
        )
        if row is None:
            return
        last = row["position"]
        yield row["data"]
