"""The repair ledger: what a load changed in the file's cells, and what the steward says of it.

Its cells are rows of the publisher's: no entry of the log and no message holds one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log
from app.audit.events import Event
from app.catalogue import datasets
from app.catalogue.measuring import fields_of, mapped_fields
from app.catalogue.refusals import RunNotFinished, VersionNotFound
from app.formats.quality.measures import Measures
from app.formats.quality.repairs import MAPPED, RULES, rule_of
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.models.datasets import Dataset, Run, Version, VersionState
from app.models.quality import Quality, RepairChoice, RepairCount, RepairDecision
from app.query.fields import Field
from app.tables import ledger
from app.tables.ledger import Cell, Ledger

OPEN: Final = "open"
_BATCH: Final = 1_000


class RepairRuleNotFound(AppError):
    """No repair is called so."""

    kind = Kind.NOT_FOUND
    code = "repair_rule_not_found"
    ja = "修正の種類 {rule} はありません。GET /v1/runs/…/repairs/summary で確認してください。"
    en = "There is no kind of repair {rule}. GET /v1/runs/…/repairs/summary lists them."


class RepairFieldNotFound(AppError):
    """The dataset has no such field."""

    kind = Kind.NOT_FOUND
    code = "field_not_found"
    ja = "データセット {dataset} に項目 {field} はありません。"
    en = "The dataset {dataset} has no field {field}."


class RepairNotRefusable(AppError):
    """The publisher's own mapping makes the value."""

    kind = Kind.CONFLICT
    code = "repair_not_refusable"
    ja = "{rule} はデータセット自身の対応付けです。拒否するには mapping を直してください。"
    en = "{rule} is the dataset's own mapping. To refuse it, change the mapping."


@dataclass(frozen=True, slots=True)
class _Book:
    """One run's ledger with what is needed to name its rules."""

    ledger: Ledger
    fields: Mapping[str, Field]
    mapped: frozenset[str]
    decisions: Mapping[tuple[str, str], str]

    def entry(self, cell: Cell) -> dict[str, Any]:
        """A cell as it is told, with its rule and the steward's decision."""
        field = self.fields[cell.field]
        rule = self.rule(field, cell)
        return {
            "row": cell.row - self.ledger.behind,
            "line": cell.line,
            "field": cell.field,
            "label": field.label,
            **self.words(cell.field, rule),
            "before": cell.before,
            "after": cell.after,
        }

    def rule(self, field: Field, cell: Cell) -> str:
        """The rule by which the cell was repaired."""
        if field.name in self.mapped:
            return MAPPED
        return rule_of(field, cell.before, cell.after or "")

    def words(self, field: str, rule: str) -> dict[str, Any]:
        """A rule in words, and what was decided on it."""
        told = RULES[rule]
        decision = self.decisions.get((field, rule), OPEN)
        return {"rule": rule, "rule_ja": told.ja, "rule_en": told.en, "decision": decision}


async def list_repairs(
    session: AsyncSession,
    run: Run,
    *,
    field: str | None = None,
    decision: str | None = None,
    after: tuple[int, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Repaired cells in the order of the file, one more than asked; `after` is (row, field).

    Raises `RunNotFinished` where the run made no version, `VersionNotFound` where its rows are gone.
    """
    book = await _book(session, run)
    if book is None:
        return []
    found: list[dict[str, Any]] = []
    place = (after[0] + book.ledger.behind, after[1]) if after is not None else None
    of = {field} if field is not None else await _deciding(session, run, book, decision)
    while len(found) <= limit:
        batch = await ledger.cells(session, book.ledger, of=of, after=place, limit=_BATCH)
        told = [book.entry(cell) for cell in batch]
        found += [each for each in told if decision is None or each["decision"] == decision]
        if len(batch) < _BATCH:
            break
        place = (batch[-1].row, batch[-1].field)
    return found[: limit + 1]


async def _deciding(
    session: AsyncSession, run: Run, book: _Book, decision: str | None
) -> set[str] | None:
    """The fields that have a rule so decided: others need not be read."""
    if decision is None:
        return None
    counts = await session.scalars(select(RepairCount).where(RepairCount.run_id == run.id))
    return {
        each.field
        for each in counts
        if book.decisions.get((each.field, each.rule), OPEN) == decision
    }


async def summary(session: AsyncSession, run: Run) -> list[dict[str, Any]]:
    """Each kind of repair in each field: how many cells, one example, the decision; most first.

    Raises as `list_repairs`.
    """
    book = await _book(session, run)
    if book is None:
        return []
    statement = select(RepairCount).where(RepairCount.run_id == run.id)
    statement = statement.order_by(RepairCount.cells.desc(), RepairCount.field, RepairCount.rule)
    counts = [each for each in await session.scalars(statement) if each.field in book.fields]
    behind = book.ledger.behind
    places = [(each.first_row + behind, each.field) for each in counts]
    cells = await ledger.named(session, book.ledger, places)
    return [
        {
            "field": each.field,
            "label": book.fields[each.field].label,
            **book.words(each.field, each.rule),
            "cells": each.cells,
            "example": book.entry(cell) if (cell := cells.get(place)) is not None else None,
        }
        for each, place in zip(counts, places, strict=True)
    ]


async def _book(session: AsyncSession, run: Run) -> _Book | None:
    """The run's ledger; None for one whose file a version held already: it repaired nothing."""
    if run.version_number is None:
        raise RunNotFinished(id=run.id, state=run.state)
    version = await session.get_one(Version, (run.dataset_id, run.version_number))
    if version.run_id != run.id:
        return None
    if version.state == VersionState.DROPPED:
        raise VersionNotFound(dataset=run.dataset_id, number=version.number)
    kept = await session.get(Quality, (version.dataset_id, version.number))
    behind = Measures.from_json(kept.measures).row_shift if kept is not None else 0
    fields = fields_of(version)
    dataset = await datasets.get(session, run.dataset_id)
    decided = await list_decisions(session, run.dataset_id)
    return _Book(
        ledger=Ledger(version.table_name, fields, behind),
        fields={field.name: field for field in fields},
        mapped=mapped_fields(dataset),
        decisions={(each.field, each.rule): each.decision for each in decided},
    )


async def list_decisions(session: AsyncSession, dataset_id: str) -> Sequence[RepairDecision]:
    """What was decided on the dataset's repairs, by field and rule."""
    statement = select(RepairDecision).where(RepairDecision.dataset_id == dataset_id)
    statement = statement.order_by(RepairDecision.field, RepairDecision.rule)
    return (await session.scalars(statement)).all()


async def decide(
    session: AsyncSession,
    dataset: Dataset,
    field: str,
    rule: str,
    *,
    choice: RepairChoice,
    by: str,
) -> RepairDecision:
    """Accept a kind of repair in a field once for all, or refuse it from the next load on.

    Raises `RepairRuleNotFound`, `RepairFieldNotFound`, `RepairNotRefusable`.
    """
    if rule not in RULES:
        raise RepairRuleNotFound(rule=rule)
    if field not in await _known_fields(session, dataset):
        raise RepairFieldNotFound(dataset=dataset.id, field=field)
    if choice is RepairChoice.REFUSE and not RULES[rule].can_be_refused:
        raise RepairNotRefusable(rule=rule)
    now = clock.now()
    await datasets.get(session, dataset.id, lock=True)  # two decisions at once: one after the other
    decided = await session.get(RepairDecision, (dataset.id, field, rule))
    before = decided.decision if decided is not None else RepairChoice.ACCEPT
    if decided is None:
        decided = RepairDecision(dataset_id=dataset.id, field=field, rule=rule)
        session.add(decided)
    decided.decision, decided.decided_at, decided.decided_by = choice, now, by
    if choice != before:
        decided.reading_changed_at = now
    await log.append(
        session, Event.REPAIR_DECIDED, dataset=dataset.id, field=field, rule=rule,
        decision=choice, by=by,
    )  # fmt: skip
    return decided


async def _known_fields(session: AsyncSession, dataset: Dataset) -> set[str]:
    """The fields that readers know, that are declared, and that the newest load had."""
    known = {field.name for field in (await datasets.fields_of(session, dataset))[dataset.id]}
    newest = await session.scalar(
        select(Version)
        .where(Version.dataset_id == dataset.id)
        .order_by(Version.number.desc())
        .limit(1)
    )
    return known | ({field.name for field in fields_of(newest)} if newest is not None else set())


async def refused(session: AsyncSession, dataset_id: str) -> dict[str, frozenset[str]]:
    """By field: the rules by which no cell may be repaired."""
    found: dict[str, set[str]] = {}
    for each in await list_decisions(session, dataset_id):
        if each.decision == RepairChoice.REFUSE:
            found.setdefault(each.field, set()).add(each.rule)
    return {field: frozenset(rules) for field, rules in found.items()}


async def is_read_otherwise(session: AsyncSession, dataset_id: str, since: datetime) -> bool:
    """Whether decisions since then let the very same file be read in another way."""
    latest = await session.scalar(
        select(func.max(RepairDecision.reading_changed_at)).where(
            RepairDecision.dataset_id == dataset_id
        )
    )
    return latest is not None and latest > since


def note_counts(
    session: AsyncSession, run: Run, counts: Mapping[tuple[str, str], tuple[int, int]]
) -> None:
    """Keep what a load repaired: by (field, rule), how many cells and the first row."""
    session.add_all(
        RepairCount(run_id=run.id, field=field, rule=rule, cells=cells, first_row=first)
        for (field, rule), (cells, first) in counts.items()
    )
