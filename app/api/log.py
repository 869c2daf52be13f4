"""The door to the log: read and verified, never changed."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse

from app.api.access import SCOPED_CODES, AuditReader, CatalogueWriter
from app.api.dataset_shapes import DatasetId
from app.api.ownership import Owned, owner_code
from app.api.paging import Cursor, Limit, PageOut, after_number, cursor_of, page
from app.api.problem import problems
from app.api.sessions import PlatformDep, Reading
from app.api.shapes import LARGEST, Time
from app.audit import export
from app.audit.events import Event
from app.audit.reading import Reader, list_entries, list_readers, looked_through
from app.audit.verify import Verdict, verify

router = APIRouter(prefix="/v1/admin/audit", tags=["Audit"])
readers_router = APIRouter(prefix="/v1/datasets", tags=["Audit"])


class EntryOut(BaseModel):
    """One entry. `facts` is what was decided or changed; `hash` chains it to the one before.

    Of an entry that was let go after the log's period (`is_kept` false) neither is left.
    """

    model_config = ConfigDict(from_attributes=True)

    seq: int
    facts: dict[str, Any]
    hash: str | None
    is_kept: bool


@router.get(
    "",
    response_model=PageOut[EntryOut],
    summary="List log entries",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_log(
    caller: AuditReader,
    platform: PlatformDep,
    dataset: Annotated[str | None, Query(max_length=63)] = None,
    client: Annotated[str | None, Query(max_length=63)] = None,
    event: Event | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Newest first: decisions, refusals and changes, by dataset, client or event.

    By client or event a page looks through 50,000 entries: it may hold few or none and still have
    a `next`.
    """
    pool, before = platform.database.pool, after_number(cursor)
    since, is_more = 1, False
    if client is not None or event is not None:
        since, is_more = await looked_through(pool, before)
    found = await list_entries(
        pool, dataset=dataset, client=client, event=event, before=before, since=since,
        limit=limit + 1,
    )  # fmt: skip
    answer = page(found, limit, lambda entry: entry.seq)
    if answer["next"] is None and is_more:
        answer["next"] = cursor_of(str(since))
    return answer


class VerdictOut(BaseModel):
    """Whether the log stands as it was written; if not, the first entry that does not.

    The first `dropped` of the entries were let go after the log's period.
    """

    model_config = ConfigDict(from_attributes=True)

    entries: int
    dropped: int
    is_whole: bool
    broken_at: int | None
    reason: str | None


@router.get(
    "/verify",
    response_model=VerdictOut,
    summary="Verify the log",
    responses=problems(*SCOPED_CODES),
)
async def verify_log(caller: AuditReader, platform: PlatformDep) -> Verdict:
    """Walk the hash chain: one changed, cut or inserted entry shows, and its number is named.

    A chain that was computed anew shows by the tree that was grown behind it
    (`entry_rewritten`) and by what was signed of that tree (`checkpoint_differs`).
    """
    return await verify(platform.database.pool)


@router.get(
    "/export",
    response_class=StreamingResponse,
    summary="Export the log for verification",
    responses={
        **problems(*SCOPED_CODES, "log_size_unknown", "log_entries_let_go", "log_damaged"),
        200: {"content": {export.MEDIA_TYPE: {"schema": {"type": "string"}}}},
    },
)
async def export_log(
    caller: AuditReader,
    platform: PlatformDep,
    first: Annotated[int, Query(alias="from", ge=1, le=LARGEST, description="an entry's number")],
    last: Annotated[
        int | None,
        Query(alias="to", ge=1, le=LARGEST, description="default: the newest that is signed"),
    ] = None,
) -> StreamingResponse:
    """Entries with the proof that they are in the signed log: lines of JSON.

    `deploy/verify_log.py` verifies the file without this server.
    """
    pool, keeper = platform.database.pool, platform.log_keeper
    signed = await keeper.checkpoint()
    head, last = await export.head(pool, signed, await keeper.key(), first, last)
    return StreamingResponse(
        _lines(head, export.entries(pool, first, last)), media_type=export.MEDIA_TYPE
    )


async def _lines(head: bytes, entries: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for some in entries:
        yield some


class ReaderOut(BaseModel):
    """What one client has read of a dataset for one purpose."""

    model_config = ConfigDict(from_attributes=True)

    consumer: str | None
    client: str | None
    purpose: str | None
    reads: int
    refusals: int
    rows: int
    last_at: Time


@readers_router.get(
    "/{dataset_id}/readers",
    response_model=list[ReaderOut],
    summary="Who has read a dataset",
    responses=problems(*SCOPED_CODES, owner_code(), "dataset_not_found"),
)
async def show_readers(
    dataset_id: DatasetId, caller: CatalogueWriter, platform: PlatformDep, session: Reading
) -> list[Reader]:
    """The steward's view of readers, counted from the log; no operator is asked."""
    await Owned.dataset(session, dataset_id, caller)
    return await list_readers(platform.database.pool, dataset_id)
