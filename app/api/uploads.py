"""The door for files: uploads become runs, runs become versions."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Reading, Writing
from app.api.dataset_shapes import DatasetId
from app.api.ownership import ROWS_CODE, TERMS_CODE, TOKEN_CODE, Owned, owner_code
from app.api.paging import Cursor, Limit, PageOut, after_number, page
from app.api.problem import problems
from app.api.received import UploadAndBody, file_of
from app.api.rejects_file import rejects_csv
from app.api.sessions import reading_in, writing_in
from app.api.shapes import OutShape, Time
from app.api.state import Platform
from app.catalogue import datasets, incoming, runs
from app.jobs import queue
from app.models.datasets import Run
from app.policy.facts import Caller
from app.tables import uploads

router = APIRouter(tags=["Files and versions"])
_OWNED = (*SCOPED_CODES, owner_code())
_ROWS = (*_OWNED, ROWS_CODE, TOKEN_CODE, "run_not_found", "dataset_not_found")


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
    format: str | None
    table_name: str | None
    profile: dict[str, Any] | None
    columns: list[dict[str, Any]] | None
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
    cancel_requested_at: Time | None


class RejectOut(OutShape):
    """One wrong cell of the file. The value itself is not told, only its shape."""

    row: int
    line: int
    field: str | None
    label: str | None
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
    "required": False,  # empty with `upload`
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of a load says: which file, and how it is to be read."""

    corrects: Annotated[
        UUID | None, Query(description="Run whose rejected rows this file holds, corrected")
    ] = None
    upload: Annotated[UUID | None, Query(description="A file that has come in parts")] = None
    table: Annotated[
        str | None, Query(max_length=200, description="Sheet, layer or member: name or number")
    ] = None
    encoding: Annotated[str | None, Query(max_length=20, description="Where it is in doubt")] = None
    crs: Annotated[str | None, Query(max_length=100, description="Such as EPSG:6674")] = None

    delta: Annotated[
        bool, Query(description="Only new and changed rows, by key; all other records stay")
    ] = False

    @property
    def how(self) -> runs.How:
        """What is asked of the file beside loading it."""
        told = {"table": self.table, "encoding": self.encoding, "crs": self.crs}
        return runs.How(corrects=self.corrects, told=told, delta=self.delta)


@router.post(
    "/v1/datasets/{dataset_id}/versions",
    response_model=RunOut,
    status_code=202,
    summary="Load a file as a new version",
    responses=problems(
        *_OWNED, TERMS_CODE, TOKEN_CODE, "dataset_not_found", "metadata_only", "run_not_found",
        "run_has_no_version",
        "upload_too_large", "upload_truncated", "file_missing", "dataset_withdrawn",
        "upload_not_found", "upload_expired", "upload_unfinished", "upload_and_body",
        "no_version_published", "dataset_has_no_key",
        "version_dropped",
    ),
    openapi_extra={"requestBody": _RAW},
)  # fmt: skip
async def load_file(
    dataset_id: DatasetId,
    request: Request,
    caller: CatalogueWriter,
    platform: PlatformDep,
    asked: Annotated[Asked, Depends()],
) -> Any:
    """Send the file as the body, or as `file` of a form, or name an `upload` that is whole. The
    answer is the run that loads it."""
    async with reading_in(request, platform) as session:  # judged before a byte is read
        dataset = await Owned.dataset_to_load(session, dataset_id, caller)
        runs.check_can_load(dataset)
        if asked.delta:
            await runs.check_takes_delta(session, dataset)
        if asked.corrects is not None:
            await runs.check_correctable(session, asked.corrects, dataset_id)
    file = await _file(request, platform, asked)
    async with writing_in(request, platform) as session:
        return await _start(session, platform, dataset_id, caller, asked, file)


async def _file(request: Request, platform: Platform, asked: Asked) -> tuple[UUID, int] | UUID:
    """The file (id, bytes) that the request carries, or the id of one that has come in parts."""
    if asked.upload is not None:
        UploadAndBody.check(request)
        return asked.upload
    name, stream = await file_of(request, most=platform.max_upload_bytes)
    upload_id = uuid4()
    _, size = await uploads.store(
        platform.database.pool, upload_id, stream, filename=name, most=platform.max_upload_bytes
    )
    return upload_id, size


async def _start(
    session: AsyncSession,
    platform: Platform,
    dataset_id: str,
    caller: Caller,
    asked: Asked,
    file: tuple[UUID, int] | UUID,
) -> Run:
    """Begin the run of a file. The run's commit is what the sender takes for its receipt."""
    dataset = await datasets.get(session, dataset_id)
    runs.check_can_load(dataset)
    if isinstance(file, UUID):
        mine = caller.client.organization_id
        file = await incoming.take(session, file, dataset, organization_id=mine)
    run = await runs.start(
        session, dataset, run_id=uuid4(), upload=file, how=asked.how,
        by=caller.client.actor, via=caller.client.client_id,
    )  # fmt: skip
    driver = await platform.database.driver_of(session)
    await queue.enqueue(driver, queue.LOAD, run_id=str(run.id))
    return run


@router.get(
    "/v1/runs/{run_id}",
    response_model=RunOut,
    summary="Show a run's progress",
    responses=problems(*_OWNED, "run_not_found", "dataset_not_found"),
)
async def show_run(run_id: UUID, caller: CatalogueWriter, session: Reading) -> Any:
    """How far the load is; at its end, how many rows were accepted, repaired and rejected."""
    return await Owned.run(session, run_id, caller)


@router.post(
    "/v1/runs/{run_id}/cancel",
    response_model=RunOut,
    status_code=202,
    summary="Cancel a run",
    responses=problems(*_OWNED, "run_not_found", "dataset_not_found", "run_has_ended"),
)
async def cancel_run(run_id: UUID, caller: CatalogueWriter, session: Writing) -> Any:
    """Stop a load. A queued run ends at once, a running one within seconds: as `failed` with the
    code `cancelled`, and with no version."""
    await Owned.run(session, run_id, caller)
    return await runs.cancel(session, run_id, by=caller.client.actor)


@router.get(
    "/v1/runs/{run_id}/rejects",
    response_model=PageOut[RejectOut],
    summary="List a run's rejected rows",
    responses=problems(*_ROWS, "invalid_cursor"),
)
async def list_rejects(
    run_id: UUID,
    caller: CatalogueWriter,
    session: Reading,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Each wrong cell with its source line, a stable code and what to do about it."""
    run = await Owned.run_rows(session, run_id, caller)
    last = after_number(cursor) or 0
    found = await runs.list_rejects(session, run_id, after=last, limit=limit)
    labels = await runs.labels(session, run)
    listed = page(found, limit, lambda reject: reject.id)
    listed["items"] = [runs.explained(reject, labels) for reject in listed["items"]]
    return listed


@router.get(
    "/v1/runs/{run_id}/rejects.csv",
    summary="Download a run's rejected rows",
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The rows"},
        **problems(*_ROWS),
    },
    response_class=StreamingResponse,
)
async def download_rejects(
    run_id: UUID, caller: CatalogueWriter, platform: PlatformDep, session: Reading
) -> StreamingResponse:
    """The file's own header and bad lines: correct them and send them with `corrects=` the run."""
    run = await Owned.run_rows(session, run_id, caller)
    return StreamingResponse(
        rejects_csv(platform.database, run),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="rejects-{run_id}.csv"'},
    )
