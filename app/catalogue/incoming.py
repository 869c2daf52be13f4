"""Uploads that come in parts: begun for a dataset, gone on with by the same body, loaded or removed.

What they hold is not looked at here, and no byte is written here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.datasets import Dataset, Upload
from app.models.uploads import UploadInParts
from app.tables.parts import OffsetMismatch, UploadNotFound
from app.tables.uploads import UploadTooLarge

# An upload lives this long after its last megabyte; so does a file that no run ever used.
KEPT: Final = timedelta(hours=24)


class UploadExpired(AppError):
    """Nothing came for too long (tus 1.0.0, expiration)."""

    kind = Kind.GONE
    code = "upload_expired"
    ja = "アップロード {id} は期限切れです。POST /v1/uploads から始め直してください。"
    en = "The upload {id} has expired. Begin anew with POST /v1/uploads."


class UploadUnfinished(AppError):
    """Only a whole file can be loaded."""

    kind = Kind.CONFLICT
    code = "upload_unfinished"
    ja = "アップロード {id} は未完了です（{size} / {length} バイト）。残りを PATCH で送ってください。"
    en = "The upload {id} is not whole ({size} of {length} bytes). PATCH what is missing."


class UploadInUse(AppError):
    """A run reads the file, or has read it: a version may be corrected from it."""

    kind = Kind.CONFLICT
    code = "upload_in_use"
    ja = "アップロード {id} は取込に使われているため、削除できません。"
    en = "The upload {id} is used by a run and cannot be removed."


@dataclass(frozen=True, slots=True)
class Incoming:
    """An upload as it stands: `size` of its `length` bytes are here."""

    id: UUID
    dataset_id: str
    size: int
    length: int
    told: str
    expires_at: datetime


async def begin(
    session: AsyncSession,
    dataset: Dataset,
    announced: tuple[int, str | None, str],
    *,
    most: int,
    organization_id: str,
    by: str,
) -> Incoming:
    """Note an upload of an announced (length in bytes, file name, Upload-Metadata).

    Raises `UploadTooLarge` before a byte has come.
    """
    length, filename, told = announced
    if length > most:
        raise UploadTooLarge(most=most)
    now = clock.now()
    upload_id = uuid4()
    session.add(Upload(id=upload_id, filename=filename, size=0, sha256="", created_at=now))
    await session.flush()
    part = UploadInParts(
        upload_id=upload_id,
        dataset_id=dataset.id,
        organization_id=organization_id,
        created_by=by,
        length=length,
        told=told,
        expires_at=now + KEPT,
    )
    session.add(part)
    await log.append(
        session, Event.UPLOAD_BEGUN, dataset=dataset.id, upload=str(upload_id), bytes=length, by=by
    )
    return Incoming(upload_id, dataset.id, 0, length, told, part.expires_at)


async def get(
    session: AsyncSession, upload_id: UUID, *, organization_id: str, to_remove: bool = False
) -> Incoming:
    """An upload that the organisation began. Raises `UploadNotFound`, `UploadExpired`.

    It is not removed meanwhile. Whoever removes it takes the whole lock at once: two that share
    one and then both want it whole would wait for each other.
    """
    statement = (
        select(UploadInParts, Upload.size)
        .join(Upload, Upload.id == UploadInParts.upload_id)
        .where(UploadInParts.upload_id == upload_id)
        .with_for_update(of=Upload, read=not to_remove, key_share=not to_remove)
    )
    found = (await session.execute(statement)).one_or_none()
    if found is None or found[0].organization_id != organization_id:
        raise UploadNotFound(id=upload_id)
    part, size = found
    if part.expires_at < clock.now():
        raise UploadExpired(id=upload_id)
    return Incoming(upload_id, part.dataset_id, size, part.length, part.told, part.expires_at)


def check_place(found: Incoming, offset: int) -> None:
    """Refuse a part that does not begin where the upload ends. Raises `OffsetMismatch`."""
    if offset != found.size:
        raise OffsetMismatch(size=found.size)


async def take(
    session: AsyncSession, upload_id: UUID, dataset: Dataset, *, organization_id: str
) -> tuple[UUID, int]:
    """A whole upload (id, bytes) for a run of its dataset.

    Raises `UploadNotFound`, `UploadExpired`, `UploadUnfinished`.
    """
    found = await get(session, upload_id, organization_id=organization_id)
    if found.dataset_id != dataset.id:
        raise UploadNotFound(id=upload_id)
    if found.size < found.length:
        raise UploadUnfinished(id=upload_id, size=found.size, length=found.length)
    return upload_id, found.size


async def note_removed(session: AsyncSession, found: Incoming, *, by: str) -> None:
    """Write to the log that an upload was given up."""
    await log.append(
        session, Event.UPLOAD_REMOVED, dataset=found.dataset_id, upload=str(found.id), by=by
    )
