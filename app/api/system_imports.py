"""The door for a sheet of systems: a file in, all of its lines or none. Opens no file in this process."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request

from app.api.problem import problems
from app.api.received import file_of
from app.api.sessions import PlatformDep, reading_in, writing_in
from app.api.shapes import OutShape, Slug
from app.api.system_access import READING_CODES, SystemsWriter, acting_for, owner_of
from app.api.system_findings import tell_of_plans
from app.kit.folders import held_folder
from app.systems import importing
from app.systems.importing import Outcome, Taken
from app.systems.refusals import SheetUnreadable
from app.systems.sheet import Row
from app.tables.uploads import UploadTooLarge

_MOST_BYTES: Final = 5 << 20
_LONGEST_S: Final = 60.0
_AT_ONCE: Final = asyncio.Semaphore(2)
_CHILD: Final = "app.systems.opening"
router = APIRouter(prefix="/v1/systems", tags=["Systems"])
_SHEET: Final = {
    "required": True,
    "content": {
        "text/csv": {
            "schema": {"type": "string", "format": "binary"},
            "example": "システム名,機能,利用者\n施設予約,facility-booking,residents\n",
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
            }
        },
    },
}


class ImportedOut(OutShape):
    """One line of the sheet. `system` is absent of one that a dry run would add."""

    line: int
    name: str
    outcome: Outcome
    system: UUID | None


class ImportOut(OutShape):
    """What was done, or with `dry_run` what would be."""

    dry_run: bool
    added: int
    changed: int
    unchanged: int
    lines: list[ImportedOut]


@router.post(
    "/imports", response_model=ImportOut, summary="Import a sheet of systems",
    responses=problems(
        *READING_CODES, "system_invalid", "system_not_of_organization", "system_sheet_unreadable",
        "upload_too_large", "upload_truncated", "file_missing",
    ),
    openapi_extra={"requestBody": _SHEET},
)  # fmt: skip
async def import_sheet(
    request: Request, caller: SystemsWriter, platform: PlatformDep,
    organization: Annotated[Slug | None, Query(description="Whose, where a line says nothing")] = None,
    dry_run: Annotated[bool, Query(description="Only say what would be done")] = False,
) -> dict[str, Any]:  # fmt: skip
    """CSV or XLSX, as the body or as `file` of a form, with the headings of
    `GET /v1/systems/sheet.csv`. A line with an ID describes that system anew, one without adds one.
    Where one line is wrong nothing is kept, and `errors` names every wrong line and heading."""
    async with reading_in(request, platform) as session:  # judged before a byte is read
        own = await owner_of(session, caller, organization)
    lines = await asyncio.to_thread(importing.lines_of, await _rows(request))
    async with writing_in(request, platform) as session, session.begin_nested() as kept:
        mine, by = await acting_for(session, caller), caller.client.actor
        taken = await importing.take(session, lines, own=own, mine=mine, by=by)
        await tell_of_plans(session, {each.system: each.line.said for each in taken}, by=by)
        told = _told(taken, dry_run)
        if dry_run:
            await kept.rollback()
    return told


async def _rows(request: Request) -> list[Row]:
    """Raises `SheetUnreadable`, `UploadTooLarge`, `FileMissing`, `UploadTruncated`."""
    name, pieces = await file_of(request, most=_MOST_BYTES)
    with held_folder() as folder:
        path, size = folder / "sheet", 0
        with path.open("wb") as file:
            async for piece in pieces:
                size += len(piece)
                if size > _MOST_BYTES:
                    raise UploadTooLarge(most=_MOST_BYTES)
                await asyncio.to_thread(file.write, piece)
        async with _AT_ONCE:
            said = await _opened(path, name)
    if "rows" not in said:
        raise SheetUnreadable(why_ja=said["ja"], why=said["en"])
    return [(number, cells) for number, cells in said["rows"]]


async def _opened(path: Path, name: str | None) -> dict[str, Any]:
    """What the child process says of the file."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _CHILD, str(path), name or "", stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_LONGEST_S):
            said, _ = await child.communicate()
    except BaseException as exc:
        child.kill()
        await child.wait()
        if isinstance(exc, TimeoutError):
            return {"ja": "読取りに時間がかかりすぎます", "en": "reading it takes too long"}
        raise
    if child.returncode != 0:
        return {"ja": "表として読めません", "en": "it cannot be read as a table"}
    told: dict[str, Any] = orjson.loads(said)
    return told


def _told(taken: list[Taken], dry_run: bool) -> dict[str, Any]:
    lines = [
        {
            "line": each.line.number, "name": each.system.name, "outcome": each.outcome,
            "system": None if dry_run and each.outcome is Outcome.ADDED else each.system.id,
        }
        for each in taken
    ]  # fmt: skip
    return {"dry_run": dry_run, **importing.counted(taken), "lines": lines}
