"""Questions to a source behind an agent, as they travel, and the rows of their answers. Asks nobody.

Fields and what they must be equal to go along: what a source can leave out by itself stays there.
All else of a question is the platform's to do.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from app.connectors.frame import Rows
from app.connectors.relayed import HEAD, not_spoken
from app.query.fields import Field, FieldType
from app.query.literals import NotOfType, read_literal
from app.query.question import Both, Compare, Condition, Question

_LONGEST_ROW: Final = 16 << 20


def part_of(question: Question) -> Question:
    """The part of a question that travels: more rows may come than meet all of it, never fewer."""
    parts = question.where.parts if isinstance(question.where, Both) else (question.where,)
    kept: tuple[Condition, ...] = tuple(
        each
        for each in parts
        if isinstance(each, Compare) and each.op == "=" and not isinstance(each.value, float)
    )
    where = Both(kept) if len(kept) > 1 else next(iter(kept), None)
    return Question(question.fields, where=where, limit=None)


def to_json(question: Question) -> dict[str, Any]:
    """A part as `part_of` gives it."""
    parts = question.where.parts if isinstance(question.where, Both) else (question.where,)
    equal = [
        {"field": _field(each.field), "value": _plain(each.value)}
        for each in parts
        if isinstance(each, Compare)
    ]
    return {"fields": [_field(each) for each in question.fields], "equal": equal}


def from_json(told: Mapping[str, Any]) -> Question:
    """Raises `ValueError`, `KeyError` and `TypeError` for what is none."""
    fields = tuple(_read_field(each) for each in told["fields"])
    kept: list[Condition] = []
    for each in told["equal"]:
        field = _read_field(each["field"])
        try:
            kept.append(Compare(field, "=", read_literal(field, each["value"])))
        except NotOfType as wrong:
            raise ValueError(wrong.en) from wrong
    where = Both(tuple(kept)) if len(kept) > 1 else next(iter(kept), None)
    return Question(fields, where=where, limit=None)


def names_of(question: Question) -> frozenset[str]:
    """Every field that a question names, in whatever place."""
    parts = question.where.parts if isinstance(question.where, Both) else (question.where,)
    compared = (each.field for each in parts if isinstance(each, Compare))
    return frozenset(field.name for field in (*question.fields, *compared))


def _field(field: Field) -> dict[str, Any]:
    return {"name": field.name, "type": field.type.value}


def _read_field(told: Mapping[str, Any]) -> Field:
    """By one name alone: another one beside it could name another column."""
    name = str(told["name"])
    return Field(name, name, name, FieldType(told["type"]))


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def head_of_rows(rows: Rows | None) -> bytes:
    """The head of an answer; without rows nothing has changed."""
    told: dict[str, Any] = {"unchanged": True}
    if rows is not None:
        told = {"as_of": rows.as_of, "validators": rows.validators}
    return HEAD + orjson.dumps(told)


async def lines_of(rows: Rows) -> AsyncGenerator[bytes, None]:
    """Rows as they travel: a line each. What a driver gives that JSON has not goes as its text."""
    async for batch in rows.batches:
        yield b"".join(orjson.dumps(row, default=str) + b"\n" for row in batch)


async def batches_of(
    pieces: AsyncIterator[bytes], source: str
) -> AsyncGenerator[Sequence[Mapping[str, Any]], None]:
    """The rows of the lines that come. Raises `SourceBroken`."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LONGEST_ROW:
            raise not_spoken(source)
        if lines:
            yield [_row(line, source) for line in lines]
    if rest:
        raise not_spoken(source)


def moment(told: object) -> datetime | None:
    """When it was so, as an agent says; None for what is no moment."""
    try:
        found = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _row(line: bytes, source: str) -> Mapping[str, Any]:
    try:
        row = orjson.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise not_spoken(source)
    return row
