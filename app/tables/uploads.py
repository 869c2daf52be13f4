"""Raw files in the database, a megabyte a row: taken in as they come, read back as a stream.

Files stand in PostgreSQL so that every replica and the backup have them, and so that a file and
the run that reads it are acknowledged in one commit. A file is never held in memory.
"""

import hashlib
from collections.abc import AsyncIterator
from typing import BinaryIO, Final
from uuid import UUID

from app.kit import clock
from app.kit.db import Driver
from app.kit.errors import AppError, Kind

_CHUNK_BYTES: Final = 1 << 20


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
    connection: Driver,
    upload_id: UUID,
    stream: AsyncIterator[bytes],
    *,
    filename: str | None,
    most: int,
) -> tuple[str, int]:
    """Write a stream as an upload inside the caller's transaction. Returns (sha256, bytes).

    Raises `UploadTooLarge`; the caller's rollback leaves nothing behind.
    """
    await connection.execute(
        "INSERT INTO upload (id, filename, size, sha256, created_at) VALUES ($1, $2, 0, '', $3)",
        upload_id, filename, clock.now(),
    )  # fmt: skip
    digest = hashlib.sha256()
    size = position = 0
    async for chunk in _sized(stream):
        size += len(chunk)
        if size > most:
            raise UploadTooLarge(most=most)
        digest.update(chunk)
        await connection.execute(
            "INSERT INTO upload_chunk (upload_id, position, data) VALUES ($1, $2, $3)",
            upload_id, position, chunk,
        )  # fmt: skip
        position += 1
    await connection.execute(
        "UPDATE upload SET size = $2, sha256 = $3 WHERE id = $1",
        upload_id,
        size,
        digest.hexdigest(),
    )
    return digest.hexdigest(), size


async def _sized(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of a chunk's size."""
    held = bytearray()
    async for piece in stream:
        held += piece
        while len(held) >= _CHUNK_BYTES:
            yield bytes(held[:_CHUNK_BYTES])
            del held[:_CHUNK_BYTES]
    if held:
        yield bytes(held)


async def copy_to(connection: Driver, upload_id: UUID, file: BinaryIO) -> None:
    """Write an upload's bytes to a local file."""
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(
            "SELECT data FROM upload_chunk WHERE upload_id = $1 ORDER BY position",
            upload_id,
            prefetch=4,
        ):
            file.write(row["data"])
