"""The door to the repair ledger: the publisher's own cells, and its decisions on their repair."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict

from app.api.access import SCOPED_CODES, CatalogueWriter, PlatformDep, Reading, Writing
from app.api.dataset_shapes import DatasetId
from app.api.ownership import ROWS_CODE, TOKEN_CODE, Owned, owner_code
from app.api.paging import Cursor, Limit, PageOut, WrongCursor, after, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, OutShape, Time
from app.api.state import Platform
from app.audit.events import Event
from app.catalogue import repairs
from app.models.datasets import Run
from app.models.quality import RepairChoice
from app.policy.facts import Caller

router = APIRouter(tags=["Repairs"], max_body_size=LONGEST_BODY)
_OWNED = (*SCOPED_CODES, owner_code(), "dataset_not_found")
_LEDGER = (
    *_OWNED, ROWS_CODE, TOKEN_CODE, "run_not_found", "run_has_no_version", "version_not_found",
)  # fmt: skip
_FieldName = Annotated[str, Path(max_length=60)]
_Rule = Annotated[str, Path(max_length=60, pattern=r"^[a-z_]+$")]


class RepairOut(OutShape):
    """One repaired cell: what stood in the file, and what is stored as text."""

    row: int
    line: int | None
    field: str
    label: str
    rule: str
    rule_ja: str
    rule_en: str
    before: str | None
    after: str | None
    decision: Literal["open", "accept", "refuse"]


class RepairSummaryOut(OutShape):
    """One kind of repair in one field, with the first cell that it touched."""

    field: str
    label: str
    rule: str
    rule_ja: str
    rule_en: str
    cells: int
    decision: Literal["open", "accept", "refuse"]
    example: RepairOut | None


class DecisionIn(InShape):
    """`accept`: for all loads, it is no longer open. `refuse`: from the next load on such cells
    are not repaired; their rows are rejected with `repair_refused`."""

    model_config = ConfigDict(json_schema_extra={"example": {"decision": "accept"}})

    decision: RepairChoice


class DecisionOut(OutShape):
    """What was decided, when and by whom."""

    field: str
    rule: str
    decision: RepairChoice
    decided_at: Time
    decided_by: str


@router.get(
    "/v1/runs/{run_id}/repairs",
    response_model=PageOut[RepairOut],
    summary="List a run's repaired cells",
    responses=problems(*_LEDGER, "invalid_cursor"),
)
async def list_repairs(  # noqa: PLR0913, PLR0917 - the filters of the list
    run_id: UUID, caller: CatalogueWriter, platform: PlatformDep, session: Reading,
    field: Annotated[str | None, Query(max_length=60)] = None,
    decision: Literal["open", "accept", "refuse"] | None = None,
    limit: Limit = 100, cursor: Cursor = None,
) -> dict[str, Any]:  # fmt: skip
    """Every cell that was repaired on the way in, in the file's order, with the rule and both texts."""
    run = await Owned.run_rows(session, run_id, caller)
    found = await repairs.list_repairs(
        session, run, field=field, decision=decision, after=_place(cursor), limit=limit
    )
    listed = page(found, limit, lambda each: f"{each['row']}:{each['field']}")
    await _note(platform, caller, run, len(listed["items"]))
    return listed


async def _note(platform: Platform, caller: Caller, run: Run, cells: int) -> None:
    """Commit to the log that cells of the file leave, before they do."""
    await platform.log.write(
        Event.REPAIRS_READ,
        dataset=run.dataset_id,
        run=str(run.id),
        cells=cells,
        client=caller.client.client_id,
        person=caller.client.person_id,
        organization=caller.client.organization_id,
    )


def _place(cursor: str | None) -> tuple[int, str] | None:
    """The row and field of the last entry. Raises `WrongCursor`."""
    named = after(cursor)
    if named is None:
        return None
    row, colon, field = named.partition(":")
    if not colon or not row.isascii() or not row.isdigit() or len(row) > 18:
        raise WrongCursor
    return int(row), field


@router.get(
    "/v1/runs/{run_id}/repairs/summary",
    response_model=list[RepairSummaryOut],
    summary="Sum up a run's repairs",
    responses=problems(*_LEDGER),
)
async def sum_up_repairs(
    run_id: UUID, caller: CatalogueWriter, platform: PlatformDep, session: Reading
) -> Any:
    """How many cells of which field were repaired by which rule, the most first."""
    run = await Owned.run_rows(session, run_id, caller)
    found = await repairs.summary(session, run)
    await _note(platform, caller, run, len(found))
    return found


@router.get(
    "/v1/datasets/{dataset_id}/repairs",
    response_model=list[DecisionOut],
    summary="List decisions on repairs",
    responses=problems(*_OWNED),
)
async def list_decisions(dataset_id: DatasetId, caller: CatalogueWriter, session: Reading) -> Any:
    """Which repairs were accepted or refused, when and by whom."""
    await Owned.dataset(session, dataset_id, caller)
    return await repairs.list_decisions(session, dataset_id)


@router.put(
    "/v1/datasets/{dataset_id}/repairs/{field}/{rule}",
    response_model=DecisionOut,
    summary="Accept or refuse a kind of repair",
    responses=problems(*_OWNED, "repair_rule_not_found", "field_not_found", "repair_not_refusable"),
)
async def decide_on_repair(
    dataset_id: DatasetId, field: _FieldName, rule: _Rule,
    body: DecisionIn, caller: CatalogueWriter, session: Writing,
) -> Any:  # fmt: skip
    """Good for every later load of the dataset, until it is decided otherwise."""
    dataset = await Owned.dataset(session, dataset_id, caller)
    by = caller.client.actor
    return await repairs.decide(session, dataset, field, rule, choice=body.decision, by=by)
