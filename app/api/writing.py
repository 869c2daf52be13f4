"""The door to records, written: batches by key, and single deletes."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import BaseModel

from app.api.access import OptionalCaller, PlatformDep, challenge
from app.api.batches import read_body
from app.api.dataset_shapes import DatasetId
from app.api.problem import language_of, problems
from app.api.records import raw_key
from app.broker.write import Batch
from app.kit.errors import AppError, Kind

router = APIRouter(prefix="/v1/datasets/{dataset_id}/records", tags=["Records"])
_CODES = (
    "token_required", "invalid_token", "authorization_malformed", "access_refused",
    "dataset_not_found", "dataset_withdrawn", "dataset_has_no_key", "metadata_only",
    "records_need_approval", "rows_not_told", "subject_not_told", "subject_is_key", "day_used_up",
)  # fmt: skip


class ErrorOut(BaseModel):
    """What is wrong with one record; the pointer leads into the body, such as `/1/quantity`."""

    pointer: str
    code: str
    detail: str


class ResultOut(BaseModel):
    """What became of one record."""

    index: int
    key: str | None
    status: Literal["inserted", "updated", "unchanged", "rejected"]
    errors: list[ErrorOut]


class BatchOut(BaseModel):
    """What became of a batch. The good records are stored though others were rejected.

    `version` is null while no good record has ever been written.
    """

    dataset: str
    version: int | None
    revision: int
    accepted: int
    rejected: int
    results: list[ResultOut]


_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "array", "items": {"type": "object"}, "minItems": 1},
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
    summary="Write records by key",
    responses=problems(
        *_CODES, "dataset_invalid", "license_missing", "idempotency_key_reused",
        "body_too_large", "malformed_body", "unsupported_media_type",
    ),
    openapi_extra={"requestBody": _BODY},
)  # fmt: skip
async def write_records(
    dataset_id: DatasetId,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> dict[str, Any]:
    """Insert or replace by key; each record is answered for. A retry with the same
    `Idempotency-Key` gets the first answer again."""
    request_id = request.scope["request_id"]
    try:
        await platform.writer.check(dataset_id, caller, request_id)
        body = await read_body(request)
        batch = Batch(
            dataset_id=dataset_id,
            records=body.records,
            body_sha256=body.sha256,
            idempotency_key=idempotency_key,
            caller=caller,
            request_id=request_id,
        )
        answer = await platform.writer.upsert(batch)
    except AppError as refusal:
        raise _challenged(platform, refusal) from None
    return _told(answer, language_of(request.headers.get("accept-language")))


@router.delete(
    "/{key:path}",
    status_code=204,
    summary="Delete one record",
    responses=problems(*_CODES, "record_not_found", "invalid_parameter"),
)
async def delete_record(
    dataset_id: DatasetId,
    key: Annotated[str, Path(max_length=2_000, description="Of several fields: a,b")],
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


def _told(answer: dict[str, Any], language: str) -> dict[str, Any]:
    """The answer in the caller's language; a retry gets the words in its own."""
    detail = "detail_en" if language == "en" else "detail"
    results = [
        {
            **result,
            "errors": [
                {"pointer": error["pointer"], "code": error["code"], "detail": error[detail]}
                for error in result["errors"]
            ],
        }
        for result in answer["results"]
    ]
    return {**answer, "results": results}
