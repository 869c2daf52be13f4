"""Uploads that come in parts: bytes are put behind those that are there, a megabyte a commit.

What is committed survives any crash. Chunk n holds the bytes from n MB on, however the parts were
cut, so that many small parts make no more rows than one large one. Whether the sender may do so
was decided before.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from app.kit.db import Driver
from app.kit.errors import AppError, Kind
from app.tables.spool import Spool
from app.tables.uploads import CHUNK_BYTES, UploadTruncated

if TYPE_CHECKING:
    import asyncpg

# The one condition on `size` lets no two senders write at the same place.
_GROW: Final = """
WITH grown AS (
    UPDATE upload SET size = $3 WHERE id = $1 AND size = $2 RETURNING id
)
UPDATE upload_in_parts SET expires_at = $4 FROM grown WHERE upload_id = grown.id
"""
_PUT: Final = """
INSERT INTO upload_chunk (upload_id, position, data) VALUES ($1, $2, $3)
ON CONFLICT (upload_id, position) DO UPDATE SET data = upload_chunk.data || excluded.data
"""


class UploadNotFound(AppError):
    """No such upload, or one of another organisation."""

    kind = Kind.NOT_FOUND
    code = "upload_not_found"
    ja = "アップロード {id} は見つかりません。POST /v1/uploads から始め直してください。"
    en = "There is no upload {id}. Begin anew with POST /v1/uploads."


class OffsetMismatch(AppError):
    """The part does not begin where the upload ends (tus 1.0.0, PATCH)."""

    kind = Kind.CONFLICT
    code = "upload_offset_mismatch"
    ja = "アップロードは {size} バイト目まで届いています。Upload-Offset を合わせてください（HEAD で確認）。"
    en = "The upload has {size} bytes. Set Upload-Offset to that (HEAD tells it)."


class BeyondLength(AppError):
    """More bytes than the upload was announced with."""

    kind = Kind.TOO_LARGE
    code = "beyond_upload_length"
    ja = "予告された長さ {length} バイトを超えています。"
    en = "That is more than the {length} bytes that were announced (Upload-Length)."


class ChecksumMismatch(AppError):
    """The part is not what its checksum says; it is dropped (tus 1.0.0, checksum)."""

    kind = Kind.MISMATCH
    code = "checksum_mismatch"
    ja = "Upload-Checksum と一致しません。この部分は破棄しました。送り直してください。"
    en = "The part does not match its Upload-Checksum and was dropped. Send it again."


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a part must hash to. `algorithm` is a name that hashlib knows."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part begins (`offset`) and where the whole ends (`length`), in bytes."""

    upload_id: UUID
    offset: int
    length: int
    expires_at: datetime  # what the upload's life becomes with each megabyte


_Write = Callable[[int, bytes], Awaitable[None]]


async def append(
    pool: "asyncpg.Pool[Any]",
    place: Place,
    stream: AsyncIterator[bytes],
    checksum: Checksum | None = None,
) -> int:
    """Put a part behind what is there; gives the new offset.

    Without checksum each megabyte is committed by itself, and what came before a connection broke
    is kept. With one, the part is there whole or not at all. Raises `OffsetMismatch`,
    `UploadNotFound`, `BeyondLength`, `ChecksumMismatch`, `UploadTruncated`.
    """
    if checksum is None:

        async def commit(at: int, data: bytes) -> None:
            async with pool.acquire() as lent, lent.transaction():
                await _write(lent, place, at, data)

        return await _flow(place, stream, commit)
    with closing(Spool()) as spool:
        await _fill(spool, place, stream, checksum)
        async with pool.acquire() as lent, lent.transaction():

            async def write(at: int, data: bytes) -> None:
                await _write(lent, place, at, data)

            return await _flow(place, _taken(spool), write)


async def _fill(
    spool: Spool, place: Place, stream: AsyncIterator[bytes], checksum: Checksum
) -> None:
    """Take the whole part in and judge it: no connection and no lock waits for a slow sender."""
    digest = hashlib.new(checksum.algorithm, usedforsecurity=False)
    at = place.offset
    async for piece in stream:
        at += len(piece)
        if at > place.length:
            raise BeyondLength(length=place.length)
        digest.update(piece)
        spool.put(piece)
    spool.finish()
    if digest.digest() != checksum.digest:
        raise ChecksumMismatch


async def _taken(spool: Spool) -> AsyncIterator[bytes]:
    while piece := await spool.take():
        yield piece


async def _flow(place: Place, stream: AsyncIterator[bytes], write: _Write) -> int:
    """Cut the stream at whole megabytes of the upload and write each piece."""
    at, held, cut = place.offset, bytearray(), None
    try:
        async for piece in stream:
            held += piece
            if at + len(held) > place.length:
                raise BeyondLength(length=place.length)
            while len(held) >= (room := CHUNK_BYTES - at % CHUNK_BYTES):
                await write(at, bytes(held[:room]))
                del held[:room]
                at += room
    except UploadTruncated as broken:
        cut = broken
    if held:
        await write(at, bytes(held))
    if cut is not None:
        raise cut
    return at + len(held)


async def _write(connection: Driver, place: Place, at: int, data: bytes) -> None:
    grown = await connection.execute(_GROW, place.upload_id, at, at + len(data), place.expires_at)
    if grown == "UPDATE 0":
        size = await connection.fetchval("SELECT size FROM upload WHERE id = $1", place.upload_id)
        if size is None:
            raise UploadNotFound(id=place.upload_id)
        raise OffsetMismatch(size=size)
    await connection.execute(_PUT, place.upload_id, at // CHUNK_BYTES, data)


async def remove(connection: Driver, upload_id: UUID) -> bool:
    """Drop an upload and its bytes inside the caller's transaction; False where a run uses it."""
    return upload_id in await _remove_unused(connection, [upload_id])


async def remove_expired(connection: Driver, now: datetime, unused_since: datetime) -> int:
    """Drop what has expired, and every file older than `unused_since` that no run ever used.

    Inside the caller's transaction. Gives how many files are gone.
    """
    rows = await connection.fetch(
        """
        SELECT u.id FROM upload u LEFT JOIN upload_in_parts p ON p.upload_id = u.id
        WHERE CASE WHEN p.upload_id IS NULL THEN u.created_at < $2 ELSE p.expires_at < $1 END
          AND NOT EXISTS (SELECT FROM run r WHERE r.upload_id = u.id)
        FOR UPDATE OF u SKIP LOCKED
        """,
        now, unused_since,
    )  # fmt: skip
    gone = await _remove_unused(connection, [row["id"] for row in rows])
    # Files that runs have used stay; that they came in parts is of no more interest.
    await connection.execute("DELETE FROM upload_in_parts WHERE expires_at < $1", now)
    return len(gone)


async def _remove_unused(connection: Driver, ids: list[UUID]) -> set[UUID]:
    """The lock comes first: no run can begin to refer to a file that is going."""
    await connection.execute("SELECT FROM upload WHERE id = ANY($1) FOR UPDATE", ids)
    rows = await connection.fetch(
        "SELECT id FROM upload u WHERE id = ANY($1)"
        " AND NOT EXISTS (SELECT FROM run r WHERE r.upload_id = u.id)",
        ids,
    )
    unused = [row["id"] for row in rows]
    for statement in (
        "DELETE FROM upload_chunk WHERE upload_id = ANY($1)",
        "DELETE FROM upload_in_parts WHERE upload_id = ANY($1)",
        "DELETE FROM upload WHERE id = ANY($1)",
    ):
        await connection.execute(statement, unused)
    return set(unused)
