"""The door for files: uploads become runs, runs become versions, versions are published."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import unquote
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Reading, Writing
from app.api.dataset_shapes import DatasetId
from app.api.ownership import Owned, owner_code
from app.api.paging import Cursor, Limit, PageOut, after_number, page
from app.api.problem import problems
from app.api.rejects_file import rejects_csv
from app.api.shapes import OutShape, Time
from app.catalogue import runs, versions
from app.jobs import queue
from app.kit.errors import AppError, Kind
from app.tables import uploads

router = APIRouter(tags=["Files and versions"])
_OWNED = (*SCOPED_CODES, owner_code())


class FileMissing(AppError):
    """The multipart body has no part named `file`."""

    kind = Kind.INVALID
    code = "file_missing"
    ja = "multipart に file という名前のファイルがありません。"
    en = "The multipart body has no file part named file."


class RunOut(OutShape):
    """A run: how far it is, and how it ended. Every run ends in ok, degraded or failed."""

    id: UUID
    dataset_id: str
    state: str
    phase: str | None
    bytes_total: int
    bytes_done: int
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    cells_repaired: int
    encoding: str | None
    header_line: int | None
    notices: list[dict[str, Any]]
    version_number: int | None
    unchanged: bool
    error_code: str | None
    error_ja: str | None
    error_en: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class VersionOut(OutShape):
    """One version. `published` versions stay readable by number."""

    dataset_id: str
    number: int
    state: str
    revision: int
    row_count: int
    source_sha256: str | None
    run_id: UUID | None
    created_at: Time
    changed_at: Time
    published_at: Time | None


class RejectOut(OutShape):
    """One wrong cell of the file. The value itself is not told, only its shape."""

    row: int
    line: int
    field: str | None
    code: str
    value_class: str | None
    hint: str | None
    guidance_ja: str
    guidance_en: str


_RAW = {
    "content": {
        "text/csv": {
            "schema": {"type": "string", "format": "binary"},
            "example": "番号,名称\nP-01,架空中央公園\n",
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
            }
        },
    },
    "required": True,
}


@router.post(
    "/v1/datasets/{dataset_id}/versions",
    response_model=RunOut,
    status_code=202,
    summary="Load a file as a new version",
    responses=problems(
        *_OWNED, "dataset_not_found", "metadata_only", "run_not_found", "run_has_no_version",
        "upload_too_large", "upload_truncated", "file_missing", "dataset_withdrawn",
    ),
    openapi_extra={"requestBody": _RAW},
)  # fmt: skip
async def load_file(
    dataset_id: DatasetId,
    request: Request,
    caller: CatalogueWriter,
    platform: PlatformDep,
    session: Writing,
    corrects: Annotated[
        UUID | None, Query(description="Run whose rejected rows this file holds, corrected")
    ] = None,
    content_disposition: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Any:
    """Send the file as the body, or as `file` of a form. The answer is the run that loads it."""
    dataset = await Owned.dataset(session, dataset_id, caller)
    runs.check_can_load(dataset)
    if corrects is not None:
        await runs.check_correctable(session, corrects, dataset_id)
    driver = await platform.database.driver_of(session)
    upload_id, run_id = uuid4(), uuid4()
    name, stream = await _file_of(request, content_disposition)
    _, size = await uploads.store(
        driver, upload_id, stream, filename=name, most=platform.max_upload_bytes
    )
    run = await runs.start(
        session, dataset, run_id=run_id, upload=(upload_id, size), corrects=corrects,
        by=caller.client.client_id,
    )  # fmt: skip
    await queue.enqueue(driver, queue.LOAD, run_id=str(run_id))
    return run


async def _file_of(
    request: Request, disposition: str | None
) -> tuple[str | None, AsyncIterator[bytes]]:
    """The file's name and bytes, from a form or from the bare body."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        form = await request.form(max_files=1, max_fields=10)
        file = form.get("file")
        if not isinstance(file, UploadFile):
            await form.close()
            raise FileMissing
        return file.filename, _parts(file)
    _, _, name = (disposition or "").partition("filename=")
    return unquote(name.strip('" '))[:255] or None, _body(request)


async def _parts(file: UploadFile) -> AsyncIterator[bytes]:
    try:
        while piece := await file.read(1 << 20):
            yield piece
    finally:
        await file.close()  # a large one lies in a temporary file


async def _body(request: Request) -> AsyncIterator[bytes]:
    got = 0
    announced = request.headers.get("content-length")
    try:
        async for piece in request.stream():
            got += len(piece)
            yield piece
    except ClientDisconnect:
        raise uploads.UploadTruncated(got=got, announced=announced) from None


@router.get(
    "/v1/datasets/{dataset_id}/versions",
    response_model=list[VersionOut],
    summary="List versions",
    responses=problems(*_OWNED, "dataset_not_found"),
)
async def list_versions(dataset_id: DatasetId, caller: CatalogueWriter, session: Reading) -> Any:
    """Every version of your dataset, newest first, published or not."""
    await Owned.dataset(session, dataset_id, caller)
    return await versions.list_versions(session, dataset_id)


_Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get(
    "/v1/datasets/{dataset_id}/versions/{number}",
    response_model=VersionOut,
    summary="Show one version",
    responses=problems(*_OWNED, "dataset_not_found", "version_not_found"),
)
async def show_version(
    dataset_id: DatasetId, number: _Number, caller: CatalogueWriter, session: Reading
) -> Any:
    """One version: its rows, its source file's hash, when it was published."""
    await Owned.dataset(session, dataset_id, caller)
    return await versions.get(session, dataset_id, number)


@router.post(
    "/v1/datasets/{dataset_id}/versions/{number}/publish",
    response_model=VersionOut,
    summary="Publish a version",
    responses=problems(*_OWNED, "dataset_not_found", "version_not_found", "license_missing"),
)
async def publish_version(
    dataset_id: DatasetId,
    number: _Number,
    caller: CatalogueWriter,
    session: Writing,
) -> Any:
    """Make a version the one that readers get. Earlier ones stay readable by number."""
    dataset = await Owned.dataset(session, dataset_id, caller)
    version = await versions.get(session, dataset_id, number)
    await versions.publish(session, dataset, version, by=caller.client.client_id)
    return version


@router.get(
    "/v1/runs/{run_id}",
    response_model=RunOut,
    summary="Show a run's progress",
    responses=problems(*_OWNED, "run_not_found", "dataset_not_found"),
)
async def show_run(run_id: UUID, caller: CatalogueWriter, session: Reading) -> Any:
    """How far the load is; at its end, how many rows were accepted, repaired and rejected."""
    return await Owned.run(session, run_id, caller)


@router.get(
    "/v1/runs/{run_id}/rejects",
    response_model=PageOut[RejectOut],
    summary="List a run's rejected rows",
    responses=problems(*_OWNED, "run_not_found", "dataset_not_found", "invalid_cursor"),
)
async def list_rejects(
    run_id: UUID,
    caller: CatalogueWriter,
    session: Reading,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Each wrong cell with its source line, a stable code and what to do about it."""
    await Owned.run(session, run_id, caller)
    last = after_number(cursor) or 0
    found = await runs.list_rejects(session, run_id, after=last, limit=limit)
    listed = page(found, limit, lambda reject: reject.id)
    listed["items"] = [runs.explained(reject) for reject in listed["items"]]
    return listed


@router.get(
    "/v1/runs/{run_id}/rejects.csv",
    summary="Download a run's rejected rows",
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The rows"},
        **problems(*_OWNED, "run_not_found", "dataset_not_found"),
    },
    response_class=StreamingResponse,
)
async def download_rejects(
    run_id: UUID, caller: CatalogueWriter, platform: PlatformDep, session: Reading
) -> StreamingResponse:
    """The file's own header and bad lines: correct them and send them with `corrects=` the run."""
    run = await Owned.run(session, run_id, caller)
    return StreamingResponse(
        rejects_csv(platform.database, run),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="rejects-{run_id}.csv"'},
    )
