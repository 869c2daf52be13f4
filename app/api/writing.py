"""The door to records, written: batches by key, and single deletes."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import BaseModel

from app.api.access import OptionalCaller, PlatformDep, challenge
from app.api.dataset_shapes import DatasetId
from app.api.problem import problems
from app.api.records import raw_key
from app.broker.write import Batch, body_hash, read_batch
from app.kit.errors import AppError, Kind

router = APIRouter(prefix="/v1/datasets/{dataset_id}/records", tags=["Records"])
_MOST_BYTES = 32 * 1024 * 1024
_MOST_RECORDS = 10_000
_CODES = (
    "token_required", "invalid_token", "authorization_malformed", "access_refused",
    "dataset_not_found", "dataset_withdrawn", "dataset_has_no_key", "metadata_only",
)  # fmt: skip


class BatchTooLarge(AppError):
    """More than one batch may hold."""

    kind = Kind.TOO_LARGE
    code = "batch_too_large"
    ja = "一度に送れるのは {records} 件・{bytes} バイトまでです。分けて送ってください。"
    en = "A batch holds at most {records} records and {bytes} bytes. Send it in parts."

    def __init__(self) -> None:
        super().__init__(records=_MOST_RECORDS, bytes=_MOST_BYTES)


class BatchUnreadable(AppError):
    """The body is no JSON array and no NDJSON."""

    kind = Kind.MALFORMED
    code = "batch_unreadable"
    ja = "本文は JSON の配列か NDJSON（1行1件）です: {why}"
    en = "The body must be a JSON array or NDJSON, one record a line: {why}"


class ErrorOut(BaseModel):
    """What is wrong with one record."""

    pointer: str
    code: str
    detail: str
    detail_en: str


class ResultOut(BaseModel):
    """What became of one record."""

    index: int
    key: str | None
    status: str
    errors: list[ErrorOut] | None = None


class BatchOut(BaseModel):
    """What became of a batch. The good records are stored though others were rejected."""

    dataset: str
    version: int
    revision: int
    accepted: int
    rejected: int
    results: list[ResultOut]


_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "array", "items": {"type": "object"}},
            "example": [{"no": "P-01", "name": "架空中央公園"}],
        },
        "application/x-ndjson": {
            "schema": {"type": "string"},
            "example": '{"no": "P-02", "name": "架空東公園"}\n',
        },
    },
}


@router.post(
    "",
    response_model=BatchOut,
    response_model_exclude_none=True,
    summary="Write records by key",
    responses=problems(
        *_CODES, "dataset_invalid", "license_missing", "idempotency_key_reused",
        "batch_too_large", "batch_unreadable",
    ),
    openapi_extra={"requestBody": _BODY},
)  # fmt: skip
async def write_records(
    dataset_id: DatasetId,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> dict[str, Any]:
    """Insert or replace by key; each record is answered for. A retry with the same
    `Idempotency-Key` gets the first answer again."""
    body = await _body(request)
    batch = Batch(
        dataset_id=dataset_id,
        records=_records(request, body),
        body_sha256=body_hash(body),
        idempotency_key=idempotency_key,
        caller=caller,
        request_id=request.scope["request_id"],
    )
    try:
        return await platform.writer.upsert(batch)
    except AppError as refusal:
        raise _challenged(platform, refusal) from None


@router.delete(
    "/{key:path}",
    status_code=204,
    summary="Delete one record",
    responses=problems(*_CODES, "record_not_found", "invalid_parameter"),
)
async def delete_record(
    dataset_id: DatasetId,
    key: Annotated[str, Path(max_length=500, description="Of several fields: a,b")],
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
) -> Response:
    """End the record with this key. Earlier revisions keep it."""
    try:
        raw = raw_key(request.scope)
        await platform.writer.delete(dataset_id, raw, caller, request.scope["request_id"])
    except AppError as refusal:
        raise _challenged(platform, refusal) from None
    return Response(status_code=204)


def _challenged(platform: Any, refusal: AppError) -> AppError:
    if refusal.kind is Kind.UNAUTHENTICATED and not refusal.headers:
        challenge(platform, refusal, error=None)
    return refusal


async def _body(request: Request) -> bytes:
    held = bytearray()
    async for piece in request.stream():
        held += piece
        if len(held) > _MOST_BYTES:
            raise BatchTooLarge
    return bytes(held)


def _records(request: Request, body: bytes) -> list[Any]:
    is_lines = "ndjson" in request.headers.get("content-type", "")
    try:
        records = read_batch(body, is_lines=is_lines)
    except ValueError as exc:
        raise BatchUnreadable(why=str(exc)[:200]) from None
    if len(records) > _MOST_RECORDS:
        raise BatchTooLarge
    return records
