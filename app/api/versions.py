"""The door to versions: listed, published, compared, gone back to, their source files fetched."""

from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.access import (
    SCOPED_CODES,
    CatalogueWriter,
    OptionalCaller,
    PlatformDep,
    Reading,
    Writing,
    challenge,
)
from app.api.dataset_shapes import DatasetId, FieldOut
from app.api.feed_openapi import DIFF_ANSWER, FEED_CODES
from app.api.ownership import ROWS_CODE, Owned, owner_code
from app.api.problem import problems
from app.api.shapes import InShape, OutShape, Time
from app.broker.diff import DiffAsk
from app.broker.paged import Page
from app.broker.recording import Asker
from app.catalogue import versions
from app.catalogue.refusals import SourceNotFound
from app.kit.errors import AppError, Kind
from app.models.datasets import Version
from app.query.params import MOST_ROWS

router = APIRouter(prefix="/v1/datasets/{dataset_id}", tags=["Files and versions"])
_OWNED = (*SCOPED_CODES, owner_code(), "dataset_not_found")
_PUBLISHING = ("version_not_found", "version_dropped", "license_missing", "dataset_withdrawn")
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
NumberAsked = Annotated[int, Query(ge=1, le=2**31 - 1)]


class VersionOut(OutShape):
    """One version. `published` versions stay readable by number; of `dropped` ones only this is
    kept."""

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
    published_by: str | None
    dropped_at: Time | None


class SourceOut(OutShape):
    """The file that a version was loaded from; its bytes are at `…/source` until it is dropped."""

    filename: str | None
    size: int
    sha256: str


class VersionDetailOut(VersionOut):
    """One version with its schema and its source file."""

    fields: list[FieldOut]
    source: SourceOut | None


class RollbackIn(InShape):
    """Which version readers get again."""

    model_config = ConfigDict(json_schema_extra={"example": {"to": 1}})

    to: Annotated[int, Field(ge=1, le=2**31 - 1)]


@router.get(
    "/versions",
    response_model=list[VersionOut],
    summary="List versions",
    responses=problems(*_OWNED),
)
async def list_versions(dataset_id: DatasetId, caller: CatalogueWriter, session: Reading) -> Any:
    """Every version of your dataset, newest first, published or not."""
    await Owned.dataset(session, dataset_id, caller)
    return await versions.list_versions(session, dataset_id)


@router.get(
    "/versions/{number}",
    response_model=VersionDetailOut,
    summary="Show one version",
    responses=problems(*_OWNED, "version_not_found"),
)
async def show_version(
    dataset_id: DatasetId, number: Number, caller: CatalogueWriter, session: Reading
) -> Any:
    """One version: its rows, its fields, its source file, when it was published."""
    await Owned.dataset(session, dataset_id, caller)
    version = await versions.get(session, dataset_id, number)
    source = await versions.find_source(session, version)
    known = {name: getattr(version, name) for name in VersionOut.model_fields}
    fields = [FieldOut.model_validate({"description": None, **each}) for each in version.fields]
    return {**known, "fields": fields, "source": source}


@router.get(
    "/versions/{number}/source",
    summary="Download a version's source file",
    responses={
        200: {
            "description": "The file, byte for byte as it came",
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        },
        **problems(
            *_OWNED, ROWS_CODE, "version_not_found", "version_dropped", "source_not_found",
            "access_refused", "run_not_found",
        ),
    },
    response_class=StreamingResponse,
)  # fmt: skip
async def download_source(
    dataset_id: DatasetId,
    number: Number,
    request: Request,
    caller: CatalogueWriter,
    platform: PlatformDep,
    session: Reading,
) -> StreamingResponse:
    """For those who manage the dataset; it stands in the log before the first byte leaves."""
    dataset = await Owned.dataset(session, dataset_id, caller)
    version = await _of_run(session, dataset_id, number, caller)
    upload = await versions.source_of(session, version)
    request_id = request.scope["request_id"]
    pieces = await platform.sources.release(dataset, version, upload, caller, request_id)
    named = quote(upload.filename or f"{dataset_id}-{number}", safe="")
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{named}",
        "Content-Length": str(upload.size),
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)


async def _of_run(
    session: AsyncSession, dataset_id: str, number: int, caller: CatalogueWriter
) -> Version:
    """The version, to whoever may see the rows of its file."""
    version = await versions.get(session, dataset_id, number)
    if version.run_id is None:
        raise SourceNotFound(dataset=dataset_id, number=number)
    await Owned.run_of_file(session, version.run_id, caller)
    return version


@router.post(
    "/versions/{number}/publish",
    response_model=VersionOut,
    summary="Publish a version",
    responses=problems(*_OWNED, *_PUBLISHING, "schema_change_unconfirmed", "second_person_needed"),
)
async def publish_version(
    dataset_id: DatasetId,
    number: Number,
    caller: CatalogueWriter,
    session: Writing,
    confirm: Annotated[bool, Query(description="Fields that break readers are meant so")] = False,
) -> Any:
    """Make a version the one that readers get. Earlier ones stay readable by number."""
    dataset = await Owned.dataset(session, dataset_id, caller)
    version = await versions.get(session, dataset_id, number)
    by, via = caller.client.actor, caller.client.client_id
    await versions.publish(session, dataset, version, by=by, via=via, confirmed=confirm)
    return version


@router.post(
    "/rollback",
    response_model=VersionOut,
    summary="Go back to a version that readers had",
    responses=problems(*_OWNED, *_PUBLISHING, "version_never_published"),
)
async def roll_back(
    dataset_id: DatasetId, body: RollbackIn, caller: CatalogueWriter, session: Writing
) -> Any:
    """Publish an earlier version again, its schema confirmed by that. Followers of the change feed
    get the real differences."""
    dataset = await Owned.dataset(session, dataset_id, caller)
    version = await versions.get(session, dataset_id, body.to)
    await versions.roll_back(session, dataset, version, by=caller.client.actor)
    return version


@router.get(
    "/diff",
    summary="Compare two versions",
    responses={200: DIFF_ANSWER, **problems(*FEED_CODES, "version_not_found", "version_dropped")},
    response_class=Response,
)
async def compare_versions(  # noqa: PLR0913, PLR0917 - the parameters of the interface
    dataset_id: DatasetId,
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    from_: Annotated[NumberAsked, Query(alias="from", description="The older version")],
    to: Annotated[NumberAsked | None, Query(description="The published one if absent")] = None,
    purpose: Annotated[str | None, Query(max_length=100)] = None,
    cursor: Annotated[str | None, Query(max_length=1_000)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100,
) -> Response:
    """Rows added, removed and changed by key (without a key: by their whole contents), changes of
    the schema, and a page of the differences. A read of both versions: decided, cut and logged."""
    asker = Asker(caller, purpose, request.scope["request_id"])
    ask = DiffAsk(dataset_id, from_, to, cursor, limit, asker)
    try:
        page = await platform.differ.read(ask)
    except AppError as refusal:
        raise challenged(platform, refusal) from None
    return paged(page)


def challenged(platform: PlatformDep, refusal: AppError) -> AppError:
    """The refusal, with how to authenticate where that would help."""
    if refusal.kind is Kind.UNAUTHENTICATED and not refusal.headers:
        challenge(platform, refusal, error=None)
    return refusal


def paged(page: Page) -> Response:
    """One page that the broker has encoded. It is another one as soon as the right to it ends."""
    cache = "public, no-cache" if page.is_public else "private, no-store"
    headers = {"Cache-Control": cache, "Vary": "Authorization"}
    if page.next_link is not None:
        headers["Link"] = f'<{page.next_link}>; rel="next"'
    if page.receipt is not None:
        headers["Linkage-Receipt"] = str(page.receipt)
    return Response(page.body, media_type="application/json", headers=headers)
