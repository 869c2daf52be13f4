"""Questions on their way to an agent's side, and rows on their way back."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from app.connectors.errors import SourceBroken
from app.connectors.frame import Rows
from app.connectors.relayed_questions import batches_of, from_json, lines_of, part_of, to_json
from app.query.fields import Field, FieldType
from app.query.question import Both, Compare, Order, Question


def _field(name: str, kind: FieldType) -> Field:
    return Field(name, name, name, kind)


NO, DAY, SIZE = (
    _field("no", FieldType.CODE), _field("day", FieldType.DATE), _field("size", FieldType.DECIMAL),
)  # fmt: skip


def test_what_must_be_equal_goes_along_and_all_else_is_the_platforms() -> None:
    equal = (
        Compare(NO, "=", "012"), Compare(DAY, "=", date(2026, 4, 1)), Compare(SIZE, "=", Decimal("0.10")),
    )  # fmt: skip
    asked = Question(
        (NO,), where=Both((*equal, Compare(SIZE, ">", Decimal(1)))), order=(Order(NO),), limit=10
    )

    part = part_of(asked)

    assert part == Question((NO,), where=Both(equal), limit=None)
    assert from_json(to_json(part)) == part


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for each in pieces:
        yield each


async def _rows(*pieces: bytes) -> list[Any]:
    return [row async for batch in batches_of(_pieces(*pieces), "kokuho") for row in batch]


async def test_rows_come_back_whole_wherever_they_were_cut() -> None:
    async def batches() -> AsyncIterator[list[dict[str, Any]]]:
        yield [{"no": "1", "day": date(2026, 4, 1)}, {"no": "2", "size": Decimal("0.10")}]

    lines = b"".join([line async for line in lines_of(Rows(batches()))])

    for cut in range(len(lines)):
        assert await _rows(lines[:cut], lines[cut:]) == [
            {"no": "1", "day": "2026-04-01"},
            {"no": "2", "size": "0.10"},
        ]


@pytest.mark.parametrize("lines", [b'{"no":1}', b"[]\n", b"none\n"])
async def test_rows_that_are_none_or_break_off_are_told_as_broken(lines: bytes) -> None:
    with pytest.raises(SourceBroken):
        await _rows(lines)
