"""Answers for datasets whose records are only counted: whole blocks of k people or more.

The base cells of what was last published are fetched once and held; every question is answered
from them, and none reaches a record.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from app.broker.grouped import grouping_of
from app.broker.plan import Plan
from app.catalogue.entries import VersionEntry
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.policy.cells import MOST_COMPARISONS, Cells, Dimension, NotByCells, Told, check_by_cells
from app.policy.suppression import Suppression
from app.query import cursor as cursors
from app.query.fields import Field, FieldType
from app.query.grouping import Bucket, Group, Metric, Work, read_groups
from app.query.literals import read_literal
from app.query.params import Known
from app.query.question import Question
from app.query.refusals import InvalidCursor
from app.tables.aggregate import BaseCells, Groups
from app.tables.read import TableReader
from app.tables.sql import Reading

MOST_CELLS: Final = 200_000
_MOST_HELD: Final = 500_000  # cells of all that is held
_NULL: Final = "null"


class NotCountedSo(AppError):
    """The question could part the smallest groups that this dataset is counted by."""

    kind = Kind.FORBIDDEN
    code = "not_a_dimension"
    ja = (
        "データセット {dataset} は人数の少ない区分を伏せて集計だけを提供します。{what_ja}"
        "使えるのは、区分 {dimensions} による group_by、区分の項目の条件（等値・範囲・IN）、"
        "指標 {metrics} です。"
    )
    en = (
        "The dataset {dataset} gives aggregates only, with small groups withheld. {what_en} "
        "Group by {dimensions}, put conditions on fields among them (=, ranges, IN), and ask for"
        " {metrics}."
    )


class CellsNotFormed(AppError):
    """The dimensions that were declared do not make cells of this version."""

    kind = Kind.FORBIDDEN
    code = "cells_not_formed"
    ja = (
        "データセット {dataset} の区分 {dimensions} では集計できません"
        "（項目がないか、区分が{most}を超えます）。提供者に確認してください。"
    )
    en = (
        "The dataset {dataset} cannot be counted by {dimensions}: a field is missing, or there are"
        " more than {most} groups. Ask its publisher."
    )


class Counted:
    """The base cells of one process's datasets, the least recently used let go first."""

    def __init__(self, reader: TableReader) -> None:
        self._reader = reader
        self._held: OrderedDict[tuple[Any, ...], Cells] = OrderedDict()
        self._forming = asyncio.Lock()  # one at a time: each takes the room of many questions

    async def groups(self, plan: Plan, rules: Suppression) -> Groups:
        """The page of groups that may be told, of a plan that was checked.

        Raises `CellsNotFormed`.
        """
        cells = await self._cells(plan.dataset_id, plan.version, rules)
        by = [each.name for each in grouping_of(plan).groups]
        told = await asyncio.to_thread(cells.answer, by, plan.question.where)
        return await asyncio.to_thread(_page, plan, cells, told)

    async def _cells(self, dataset: str, version: VersionEntry, rules: Suppression) -> Cells:
        key = (version.source.table.name, version.revision, rules)
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
            return found
        async with self._forming:
            if key not in self._held:
                self._held[key] = await self._formed(dataset, version, rules)
            self._held.move_to_end(key)
            while (
                len(self._held) > 1 and sum(len(c.keys) for c in self._held.values()) > _MOST_HELD
            ):
                self._held.popitem(last=False)
            return self._held[key]

    async def _formed(self, dataset: str, version: VersionEntry, rules: Suppression) -> Cells:
        every = Known(version.fields, frozenset(version.fields), {})
        named = ",".join(rules.dimensions)
        not_formed = CellsNotFormed(dataset=dataset, dimensions=named, most=MOST_CELLS)
        people = version.fields.get(rules.count) if rules.count is not None else None
        if rules.count is not None and (people is None or people.type is not FieldType.INTEGER):
            raise not_formed
        try:
            groups = read_groups("group_by", named, every)
        except AppError:
            raise not_formed from None
        reading = Reading(Question(fields=()), version.revision, (), clock.now())
        wanted = BaseCells(groups, people, MOST_CELLS)
        body, count = await self._reader.base_cells(version.source, reading, wanted)
        if count > MOST_CELLS:
            raise not_formed
        return await asyncio.to_thread(_cells_of, groups, body, rules.k)


def check(plan: Plan, rules: Suppression) -> None:
    """Refuse what is no sum over base cells. Raises `NotCountedSo`."""
    question, grouping = plan.question, grouping_of(plan)
    other = [each.name for each in grouping.groups if each.name not in rules.dimensions]
    if other:
        raise _not_so(
            plan, rules,
            f"{', '.join(other)} は区分ではありません。",
            f"{', '.join(other)} is no dimension of it.",
        )  # fmt: skip
    other = [each.name for each in grouping.metrics if not _is_of_people(each, rules)]
    if other:
        raise _not_so(
            plan, rules,
            f"{', '.join(other)} は提供しません。",
            f"{', '.join(other)} is not told: one record could make up nearly all of it.",
        )  # fmt: skip
    if question.box is not None or question.near is not None or question.joins:
        raise _not_so(
            plan, rules,
            "bbox、lat・lon、expand は使えません。",
            "bbox, lat and lon, and expand do not go with it.",
        )  # fmt: skip
    try:
        if question.where is not None:
            check_by_cells(question.where, rules.dimensions)
    except NotByCells:
        raise _not_so(
            plan, rules,
            f"条件が区分の項目以外か、区分を分ける式か、比較が{MOST_COMPARISONS}を超えます。",
            "A condition is on something else than a dimension, is no plain comparison, or has more"
            f" than {MOST_COMPARISONS}.",
        ) from None  # fmt: skip


def _is_of_people(metric: Metric, rules: Suppression) -> bool:
    if metric.field is None:
        return True
    return metric.work in (Work.SUM, Work.AVG) and metric.field.name == rules.count


def _not_so(plan: Plan, rules: Suppression, ja: str, en: str) -> NotCountedSo:
    of_field = [f"{work}({rules.count})" for work in ("sum", "avg")] if rules.count else []
    return NotCountedSo(
        dataset=plan.dataset_id,
        what_ja=ja,
        what_en=en,
        dimensions=", ".join(rules.dimensions),
        metrics=", ".join(["count", *of_field]),
    )


def _cells_of(groups: Sequence[Group], body: bytes, k: int) -> Cells:
    """Blocks: what the database wrote, as cells."""
    number = len(groups)
    told = orjson.loads(b"[" + body + b"]")
    told.sort(key=lambda each: each[:number])
    values: list[dict[int, str]] = [{} for _ in groups]
    for each in told:
        for at in range(number):
            values[at][each[at] - 1] = each[number + at]
    dimensions = [
        _dimension(group, [found[rank] for rank in range(len(found))])
        for group, found in zip(groups, values, strict=True)
    ]
    keys = [tuple([rank - 1 for rank in each[:number]]) for each in told]
    return Cells.of(dimensions, keys, [each[-2] for each in told], [each[-1] for each in told], k)


def _dimension(group: Group, texts: Sequence[str]) -> Dimension:
    """A bucket has no values: conditions are put on fields, and would part it."""
    if group.bucket is not Bucket.VALUE or group.field is None:
        return Dimension(group.name, None, (), texts)
    field = group.field
    return Dimension(group.name, field.name, [_value(field, text) for text in texts], texts)


def _value(field: Field, text: str) -> Any:
    """The value as conditions compare it."""
    value = json.loads(text, parse_float=Decimal)
    return None if value is None else read_literal(field, value)


def _page(plan: Plan, cells: Cells, told: Sequence[Told]) -> Groups:
    """The page that begins behind the cursor's group. Blocks."""
    start = _start(plan)
    limit = plan.question.limit or len(told)
    page = told[start : start + limit]
    more = start + limit < len(told)
    documents = ",".join(_document(plan, cells, each) for each in page)
    records = sum(each.records or 0 for each in page)
    return Groups(documents.encode(), len(page), more, (start + limit,) if more else (), records)


def _start(plan: Plan) -> int:
    text = dict(plan.parameters).get("cursor")
    if text is None:
        return 0
    match cursors.decode(text, dataset_id=plan.dataset_id).after:
        case (int(start),) if 0 < start < 2**31:
            return start
    raise InvalidCursor


def _document(plan: Plan, cells: Cells, told: Told) -> str:
    grouping = grouping_of(plan)
    dimensions = {each.name: each for each in cells.dimensions}
    texts = [
        dimensions[group.name].texts[rank]
        for group, rank in zip(grouping.groups, told.ranks, strict=True)
    ]
    figures = [_figure(metric, told) for metric in grouping.metrics]
    is_withheld = told.people is None
    if plan.figures is not None and plan.figures.as_texts:
        cells_of_line = [_plain(each) for each in (*texts, *figures)]
        return orjson.dumps([*cells_of_line, "true" if is_withheld else "false"]).decode()
    by = _object([group.name for group in grouping.groups], texts)
    values = _object([metric.name for metric in grouping.metrics], figures)
    withheld = ',"suppressed":true' if is_withheld else ""
    return f'{{"by":{by},"values":{values}{withheld}}}'


def _figure(metric: Metric, told: Told) -> str:
    if told.people is None or told.records is None:
        return _NULL
    if metric.work is Work.AVG:
        return format((Decimal(told.people) / Decimal(told.records)).normalize(), "f")
    return str(told.people)


def _plain(text: str) -> str | None:
    """What stands in a cell of CSV for a JSON value."""
    value = json.loads(text, parse_float=str, parse_int=str)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def _object(names: Sequence[str], texts: Sequence[str]) -> str:
    members = zip(names, texts, strict=True)
    return "{" + ",".join(f"{orjson.dumps(name).decode()}:{text}" for name, text in members) + "}"
