"""A question in a source's own names, as far as it can be said in them, and what it leaves to us."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.connectors.frame import AnyConnector, Shape
from app.live.around import around
from app.live.typed import asked_names, source_names
from app.query.fields import Field, FieldType
from app.query.question import (
    Arithmetic,
    Between,
    Both,
    Compare,
    Condition,
    Edge,
    Either,
    Folded,
    Given,
    IsNull,
    Like,
    Match,
    Not,
    OneOf,
    Operand,
    Order,
    Question,
)


class _NotSaid(Exception):
    """There is no way to say it in the source's names."""


@dataclass(frozen=True, slots=True)
class Parted:
    """What the source is asked, and what of the question it has done with that."""

    asked: Question
    is_filtered: bool
    is_ordered: bool
    is_cut: bool  # it gives the page alone, and one record more where there is one

    @property
    def done_here(self) -> list[str]:
        """What the platform does itself, as an answer's `meta` says."""
        parts = {"filter": self.is_filtered, "sort": self.is_ordered, "page": self.is_cut}
        return [name for name, is_done in parts.items() if not is_done]


def parted(
    connector: AnyConnector, selection: Shape, question: Question, fields: Sequence[Field],
    mapping: Sequence[Mapping[str, Any]] | None, *, skip: int,
) -> Parted:  # fmt: skip
    """What to ask a source of a question, `skip` records of its answer passed over.

    A kind that keeps bounds without everything before them is not believed: they are ours then.
    """
    names = source_names(fields, mapping)
    columns = tuple(_column(name) for name in asked_names(fields, mapping))
    said, is_whole = _said(_with_place(question, fields), names)
    order = _order(question.order, names)
    is_sayable = is_whole and question.box is None and question.near is None
    orders = order if is_sayable else None
    can_cut = orders is not None and question.limit is not None and not question.count
    offered = Question(
        columns, said, order=orders or (),
        limit=question.limit + 1 if can_cut and question.limit is not None else None,
        offset=skip if can_cut else 0,
    )  # fmt: skip
    asked = connector.part(selection, offered)
    is_filtered = is_sayable and asked.where == offered.where
    is_ordered = is_filtered and orders is not None and asked.order == offered.order
    is_cut = (
        is_ordered and can_cut and (asked.limit, asked.offset) == (offered.limit, offered.offset)
    )
    if not is_cut:
        asked = replace(asked, limit=None, offset=0)
    if not is_ordered:
        asked = replace(asked, order=())
    return Parted(
        asked,
        is_filtered or (question.where is None and question.box is None and question.near is None),
        is_ordered or not (question.order or question.near),
        is_cut or question.limit is None,
    )


def _with_place(question: Question, fields: Sequence[Field]) -> Condition | None:
    """The condition, and bounds of the place beside it."""
    where, place = question.where, around(question, fields)
    if where is None or place is None:
        return where if place is None else place
    kept = where.parts if isinstance(where, Both) else (where,)
    return Both((*kept, place))


def _column(name: str) -> Field:
    return Field(name, name, name, FieldType.TEXT)


def _order(order: Sequence[Order], names: Mapping[str, str]) -> tuple[Order, ...] | None:
    try:
        return tuple(replace(by, field=_named(by.field, names)) for by in order)
    except _NotSaid:
        return None


def _said(where: Condition | None, names: Mapping[str, str]) -> tuple[Condition | None, bool]:
    """What of a condition can be said, and whether that is all of it."""
    if where is None:
        return None, True
    if not isinstance(where, Both):
        try:
            return _translated(where, names), True
        except _NotSaid:
            return None, False
    found = [_said(part, names) for part in where.parts]
    said = tuple(part for part, _ in found if part is not None)
    is_whole = all(is_said for _, is_said in found)
    if len(said) <= 1:
        return (said[0] if said else None), is_whole
    return Both(said), is_whole


def _translated(part: Condition, names: Mapping[str, str]) -> Condition:
    match part:
        case Compare(field):
            return replace(part, field=_named(field, names))
        case Between(field):
            return replace(part, field=_named(field, names))
        case Match(left, _, right):
            return replace(part, left=_operand(left, names), right=_operand(right, names))
        case OneOf(operand) | Like(operand) | IsNull(operand):
            return replace(part, field=_operand(operand, names))
        case Not(inner):
            return Not(_translated(inner, names))
        case Both(parts):
            return Both(tuple(_translated(each, names) for each in parts))
        case Either(parts):
            return Either(tuple(_translated(each, names) for each in parts))
    raise _NotSaid  # places, words, consents: no source judges them as we do


def _operand(operand: Operand, names: Mapping[str, str]) -> Operand:
    match operand:
        case Field():
            return _named(operand, names)
        case Given():
            return operand
        case Folded(_, part):
            return replace(operand, part=_operand(part, names))
        case Arithmetic(_, left, right):
            return replace(operand, left=_operand(left, names), right=_operand(right, names))
        case Edge(field):
            return replace(operand, field=_named(field, names))
    raise _NotSaid


def _named(field: Field, names: Mapping[str, str]) -> Field:
    if field.name not in names:
        raise _NotSaid
    name = names[field.name]
    return replace(field, name=name, column=name, code_list=None)
