"""Answers that PostgreSQL cannot write: Parquet and workbooks, made by a child process of a spool.

The server's own memory does not grow by them. It never decides which rows and columns.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Final

import orjson

from app.broker.ask import Representation
from app.broker.plan import Plan
from app.formats.writers.order import Column, Layout, Order
from app.kit.errors import AppError, Kind
from app.kit.folders import held_folder
from app.query.fields import FieldType, geometry_of, place_of

CONVERTED: Final = frozenset({Representation.PARQUET, Representation.XLSX})
_CHILD: Final = "app.formats.writers.making"
_AT_ONCE: Final = 2
_PIECE: Final = 256 << 10


class NotForThisForm(AppError):
    """The rows do not fit into the representation that was asked for."""

    kind = Kind.NOT_ACCEPTABLE
    code = "does_not_fit_form"
    ja = "このレコードは {form} に収まりません（{why}）。limit か条件で減らすか、csv か parquet で取得してください。"
    en = "The records do not fit into {form} ({why}). Ask for fewer, or take csv or parquet."


class ConversionFailed(AppError):
    """The child process ended without a file."""

    kind = Kind.UNAVAILABLE
    code = "conversion_failed"
    ja = "{form} への変換に失敗しました。csv か ndjson で取得してください。"
    en = "Making {form} failed. Take csv or ndjson."


class Conversions:
    """Makes files of answers, few at once. One a process."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def stream(self, plan: Plan, rows: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The file's bytes. Raises `NotForThisForm` before the first of them."""
        with held_folder() as folder:
            async with self._turns:
                target = await self._made(plan, rows, folder)
            with target.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    yield piece

    async def _made(self, plan: Plan, rows: AsyncIterator[bytes], folder: Path) -> Path:
        cells, target = folder / "cells", folder / "answer"
        with cells.open("wb") as file:
            async for piece in rows:
                await asyncio.to_thread(file.write, piece)
        form = plan.representation.value
        order = Order(cells, _layout(plan), ((form, target),))
        said = await _run(order)
        if said is None:
            raise ConversionFailed(form=form)
        _, reason = said
        if reason is not None:
            raise NotForThisForm(form=form, why=reason)
        cells.unlink()
        return target


async def _run(order: Order) -> tuple[str, str | None] | None:
    """What the child says of the one file; None if it said nothing."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", _CHILD,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said, _ = await child.communicate(order.as_json())
    except BaseException:  # the taker is gone
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0 or not said.endswith(b"\n"):
        return None
    name, reason = orjson.loads(said)
    return name, reason


def _layout(plan: Plan) -> Layout:
    """The columns that the plan's rows have, the added ones behind them."""
    question = plan.question
    fields = list(question.fields)
    columns = [
        Column(name, field.type) for name, field in zip(plan.wording.names, fields, strict=True)
    ]
    columns += [Column(join.name, FieldType.TEXT) for join in question.joins]
    if question.near is not None:
        columns.append(Column("distance", FieldType.DECIMAL))
    geometry, place = geometry_of(fields), place_of(fields)
    if geometry is not None:
        return Layout(tuple(columns), geometry=fields.index(geometry))
    point = (fields.index(place[0]), fields.index(place[1])) if place else None
    return Layout(tuple(columns), point=point)
