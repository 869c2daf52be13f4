"""What the inventory shows over all systems: lock-in, duplicates, and the migration board."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from app.api.access import ADMIN_CODES, SCOPED_CODES, AdminReader, AdminWriter, Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, WrongCursor, after, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY
from app.api.system_access import SystemsReader, SystemsWriter, acting_for, owners_for
from app.api.system_shapes import (
    BoardRowOut,
    DuplicateDecisionIn,
    DuplicateDecisionOut,
    DuplicateGroupOut,
    LockInOut,
    SimilarDatasetOut,
    WeightsIn,
    WeightsOut,
)
from app.api.systems import brief
from app.catalogue.similar import Similar, similar_to
from app.models.systems import DuplicateDecision
from app.systems import board, diagnoses, duplicates, inventory
from app.systems.board import Cell, Row
from app.systems.description import BUSINESSES, Function
from app.systems.diagnoses import Ranked
from app.systems.duplicates import Group
from app.systems.inventory import Wanted
from app.systems.lock_in import score_of
from app.systems.refusals import NoSuchGroup

_SCORE: Final = re.compile(r"-?[0-9]{1,4}(\.[0-9]{1,4})?")
router = APIRouter(prefix="/v1", tags=["Systems"], max_body_size=LONGEST_BODY)
DatasetNamed = Annotated[str, Query(max_length=63, description="the id of a dataset")]


@router.get(
    "/lock-in", response_model=PageOut[LockInOut], summary="Systems by their lock-in score",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_lock_in(
    caller: SystemsReader, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """The highest first, by the newest weights; those that were never diagnosed at the end."""
    passed = _place_of(after(cursor))
    owners, weights = await owners_for(session, caller), await diagnoses.weights_of(session)
    ranking = await diagnoses.ranking(session, owners, weights)
    behind = [each for each in ranking if passed is None or each.place > passed]
    listed = page(behind[: limit + 1], limit, lambda each: " ".join(map(str, each.place)))
    return {**listed, "items": [_ranked(each, weights.weights) for each in listed["items"]]}


def _ranked(each: Ranked, weights: Mapping[str, int]) -> dict[str, Any]:
    parts = score_of(each.signs, weights).parts if each.signs is not None else ()
    return {
        "id": each.id, "name": each.name, "organization": each.organization_id,
        "score": each.score, "diagnosed_at": each.at,
        "heaviest": parts[0].name if parts else None,
    }  # fmt: skip


def _place_of(told: str | None) -> tuple[Decimal, str] | None:
    if told is None:
        return None
    score, _, system_id = told.partition(" ")
    if not _SCORE.fullmatch(score):
        raise WrongCursor
    return Decimal(score), system_id


@router.get(
    "/duplicates", response_model=PageOut[DuplicateGroupOut], summary="Systems that do the same",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)  # fmt: skip
async def list_duplicates(
    caller: SystemsReader, session: Reading, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Groups with their reasons, in which at least one system is yours. Of others' systems you see
    their names and whose they are."""
    owners, last = await owners_for(session, caller), after(cursor)
    found = await duplicates.groups(session, owners, after=last, limit=limit + 1)
    listed = page(found, limit, lambda each: each.function)
    return {**listed, "items": [_group(each) for each in listed["items"]]}


@router.post(
    "/duplicates/{function}/decisions", status_code=201, response_model=DuplicateDecisionOut,
    summary="Decide that systems are no duplicates",
    responses=problems(*SCOPED_CODES, "duplicate_members_invalid"),
)  # fmt: skip
async def decide_duplicates(
    function: Function, body: DuplicateDecisionIn, caller: SystemsWriter, session: Writing
) -> DuplicateDecision:
    """With a reason, which is remembered. One of them at least must be yours; a system that comes
    later opens the group again."""
    mine = await acting_for(session, caller)
    if mine is not None:
        ours = await inventory.list_systems(session, Wanted(mine, function=function, limit=None))
        if {each.id for each in ours}.isdisjoint(body.members):
            raise NoSuchGroup(function=function)
    return await duplicates.decide(
        session, function, body.members, reason=body.reason, by=caller.client.actor
    )


@router.get(
    "/similar-datasets", response_model=list[SimilarDatasetOut],
    summary="Datasets that may hold the same", responses=problems(*SCOPED_CODES, "dataset_not_found"),
)  # fmt: skip
async def list_similar_datasets(
    dataset: DatasetNamed, caller: SystemsReader, session: Reading
) -> list[Similar]:
    """Public datasets, and internal ones of your own and below, of the same standard layout whose
    keys or places overlap with those of the one that is named, most shared keys first; at most 50
    are compared."""
    return await similar_to(session, dataset, await owners_for(session, caller))


@router.get(
    "/migration-board", response_model=list[BoardRowOut], summary="The migration board",
    responses=problems(*SCOPED_CODES),
)  # fmt: skip
async def show_board(caller: SystemsReader, session: Reading) -> list[dict[str, Any]]:
    """Each municipality with the 20 businesses: where each stands, where it is to go, and by which
    rank (1 Gov-Cloud, 2 SaaS, 3 common cloud, 4 on premises)."""
    return [_row(each) for each in await board.board(session, await owners_for(session, caller))]


@router.get(
    "/admin/lock-in-weights", response_model=WeightsOut, summary="Weights of the lock-in score",
    responses=problems(*SCOPED_CODES),
)  # fmt: skip
async def show_weights(caller: AdminReader, session: Reading) -> diagnoses.Weights:
    """The newest version."""
    return await diagnoses.weights_of(session)


@router.put(
    "/admin/lock-in-weights", response_model=WeightsOut, summary="Set the weights",
    responses=problems(*ADMIN_CODES, "lock_in_weights_invalid"),
)  # fmt: skip
async def set_weights(body: WeightsIn, caller: AdminWriter, session: Writing) -> diagnoses.Weights:
    """A new version, by which all diagnoses are scored, old ones too; a karte can be had by any
    earlier version."""
    return await diagnoses.set_weights(
        session, body.weights, reason=body.reason, by=caller.client.actor
    )


def _group(group: Group) -> dict[str, Any]:
    return {
        "function": group.function,
        "members": [brief(each) for each in group.members],
        "reasons": group.reasons,
        "decision": group.decision,
    }


def _row(row: Row) -> dict[str, Any]:
    there = {cell.business for cell in row.cells}
    return {
        "organization": row.organization.id,
        "name": row.organization.name_ja,
        "cells": [_cell(each) for each in row.cells],
        "missing": [code for code in BUSINESSES if code not in there],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    name_ja, name_en = BUSINESSES[cell.business]
    return {
        "business": cell.business,
        "name_ja": name_ja,
        "name_en": name_en,
        "system": cell.system.id,
        "system_name": cell.system.name,
        "hosting": cell.hosting,
        "rank": cell.hosting.rank if cell.hosting else None,
        "planned": cell.planned,
        "planned_rank": cell.planned.rank if cell.planned else None,
        "unexplained": list(cell.unexplained),
    }
