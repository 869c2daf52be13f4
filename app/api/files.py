"""The door to ready-made files: listed, and downloaded whole or in parts. Touches no record."""

from pathlib import Path as FilePath
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from app.api.access import OptionalCaller, PlatformDep
from app.api.dataset_shapes import DatasetId
from app.api.problem import problems
from app.api.sent_file import FilePart, Sending, asked_range, is_known
from app.api.shapes import OutShape, Time
from app.api.state import Platform
from app.api.versions import challenged
from app.broker.files import FileNotReady, Listing, Released
from app.broker.recording import Asker
from app.catalogue.files import FORMATS, FileEntry
from app.formats.shelf.absent import REASONS
from app.kit.errors import AppError

router = APIRouter(prefix="/v1/datasets/{dataset_id}", tags=["Files and versions"])
_SIGNED_S: Final = 300  # a download must begin within it, not end
_CODES: Final = (
    "token_required", "invalid_token", "authorization_malformed", "access_refused",
    "dataset_not_found", "dataset_withdrawn",
)  # fmt: skip
Purpose = Annotated[str | None, Query(max_length=100)]


class FileOut(OutShape):
    """One ready-made file. Its bytes stay the same for ever; `latest` goes with the time."""

    name: str
    format: str
    media_type: str
    size: int
    sha256: str
    version: int
    revision: int
    rows: int
    made_at: Time
    href: str
    latest: str | None = Field(description="The address of the dataset's latest file of this form")


class AbsentOut(OutShape):
    """A form in which the present version is not there, and why."""

    format: str
    code: str
    reason_ja: str
    reason_en: str


class FilesOut(OutShape):
    """The ready-made files of a dataset, newest first."""

    dataset: str
    files: list[FileOut]
    absent: list[AbsentOut]


@router.get(
    "/files",
    response_model=FilesOut,
    summary="List ready-made files",
    responses=problems(*_CODES),
)
async def list_files(
    dataset_id: DatasetId,
    request: Request,
    response: Response,
    caller: OptionalCaller,
    platform: PlatformDep,
    purpose: Purpose = None,
) -> Any:
    """The files that you may have, of every version that is kept, and which are not there, with
    the reason. Above public a `purpose` is needed, as for records."""
    asker = Asker(caller, purpose, request.scope["request_id"])
    try:
        found = await platform.files.listing(dataset_id, asker)
    except AppError as refusal:
        raise challenged(platform, refusal) from None
    response.headers["Cache-Control"] = f"{'public' if found.is_public else 'private'}, no-cache"
    response.headers["Vary"] = "Authorization"
    return _shown(found, platform.issuer)


def _shown(found: Listing, issuer: str) -> dict[str, Any]:
    base = f"{issuer}/v1/datasets/{found.dataset_id}/files"
    files = [
        _file(file, base, f"{base}/{file.latest_name}" if file in found.latest else None)
        for file in found.files
    ]
    absent = [
        {"format": form, "code": code, "reason_ja": REASONS[code][0], "reason_en": REASONS[code][1]}
        for form, code in found.absent
    ]
    return {"dataset": found.dataset_id, "files": files, "absent": absent}


def _file(file: FileEntry, base: str, latest: str | None) -> dict[str, Any]:
    kept = ("name", "format", "size", "sha256", "version", "revision", "rows", "made_at")
    about = {name: getattr(file, name) for name in kept}
    media_type = FORMATS[file.format].media_type
    return {**about, "media_type": media_type, "href": f"{base}/{file.name}", "latest": latest}


_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}


@router.head("/files/{name}", include_in_schema=False)
@router.get(
    "/files/{name}",
    summary="Download a ready-made file",
    responses={
        200: {
            "description": "The file",
            "content": {form.media_type.partition(";")[0]: _BYTES for form in FORMATS.values()},
        },
        206: {"description": "The part that `Range` named"},
        302: {"description": "Where the file is: a signed address of short life"},
        304: {"description": "One's copy is still right"},
        **problems(
            *_CODES, "column_not_visible", "no_version_published", "file_not_found",
            "file_not_made", "file_not_ready", "file_has_all_rows", "range_not_satisfiable",
        ),
    },
    response_class=Response,
)  # fmt: skip
async def download_file(
    dataset_id: DatasetId,
    name: Annotated[str, Path(max_length=200)],
    request: Request,
    caller: OptionalCaller,
    platform: PlatformDep,
    purpose: Purpose = None,
) -> Response:
    """By a name from the list, or by `{id}.csv` and the like for the latest. Whole or in parts
    (`Range`, `If-Range`); a read of every column in the file: decided, and counted or logged."""
    asker = Asker(caller, purpose, request.scope["request_id"])
    try:
        released = await platform.files.release(
            dataset_id, name, asker, sends_rows=lambda file: not _is_told(request, file)
        )
    except AppError as refusal:
        raise challenged(platform, refusal) from None
    return await _sent(request, platform, released)


def _is_told(request: Request, file: FileEntry) -> bool:
    """Whether no byte of the file is asked for: its head alone, or a copy is there already."""
    return request.method == "HEAD" or is_known(request, file.sha256, file.made_at)


async def _sent(request: Request, platform: Platform, released: Released) -> Response:
    sending = _sending(released)
    if is_known(request, sending.sha256, sending.modified_at):
        return Response(status_code=304, headers=_without_body(sending))
    if request.method == "HEAD":
        return Response(headers={**sending.headers, "Content-Length": str(sending.size)})
    path = platform.store.path_of(released.file.key)
    if path is None:
        signed = await platform.store.sign(released.file.key, seconds=_SIGNED_S)
        return Response(status_code=302, headers={"Location": signed, "Cache-Control": "no-store"})
    if platform.accel_prefix is not None:
        inside = f"{platform.accel_prefix.rstrip('/')}/{quote(released.file.key)}"
        return Response(headers={**sending.headers, "X-Accel-Redirect": inside})
    return _part(request, sending, path, released)


def _part(request: Request, sending: Sending, path: FilePath, released: Released) -> Response:
    if not path.is_file():  # taken away behind our back, or the folder is not mounted
        raise FileNotReady(dataset=released.file.dataset_id, name=released.file.name)
    part = asked_range(request, sending)
    if part is None:
        return FilePart(path, 0, sending.size, headers=sending.headers)
    begin, end = part
    headers = {**sending.headers, "Content-Range": f"bytes {begin}-{end}/{sending.size}"}
    return FilePart(path, begin, end - begin + 1, status_code=206, headers=headers)


def _sending(released: Released) -> Sending:
    file, form = released.file, FORMATS[released.file.format]
    # These bytes stay as they are; whether they may still be had is asked again soon.
    public = "public, no-cache" if released.is_latest else "public, max-age=300"
    return Sending(
        size=file.size,
        sha256=file.sha256,
        modified_at=file.made_at,
        media_type=form.media_type,
        filename=file.name,
        title=f"{file.title}{form.suffix}",
        cache_control=public if released.is_public else "private, no-cache",
        receipt=released.receipt,
    )


def _without_body(sending: Sending) -> dict[str, str]:
    kept = ("Cache-Control", "ETag", "Last-Modified", "Vary", "Linkage-Receipt")
    return {name: value for name, value in sending.headers.items() if name in kept}
