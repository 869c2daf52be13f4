"""Which part of a question a database answers, and that part over its columns. Asks nobody."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from app.connectors.sql_conditions import AS_THEY_ARE, Held, Holder
from app.connectors.sql_reading import Asked, Cell, Column, Holds, Reading, Tongue, relation_of
from app.connectors.sql_shapes import SqlSelection
from app.query.fields import NUMBER_TYPES, TEXT_TYPES, Field, FieldType
from app.query.question import Both, Condition, Order, Question

# What a column is taken to hold where nobody says; `fetch` looks again.
_USUAL: Final[Mapping[FieldType, Holds]] = {
    **dict.fromkeys(TEXT_TYPES, Holds.TEXT),
    **dict.fromkeys(NUMBER_TYPES, Holds.DECIMAL),
    FieldType.BOOLEAN: Holds.BOOLEAN,
    FieldType.DATE: Holds.DATE,
    FieldType.DATETIME: Holds.INSTANT,
}
# By which values of a field the platform orders as the database does.
_ORDERED: Final[Mapping[Holds, frozenset[FieldType]]] = {
    Holds.TEXT: AS_THEY_ARE,
    Holds.INTEGER: frozenset({FieldType.INTEGER, FieldType.DECIMAL}),
    Holds.DECIMAL: frozenset({FieldType.INTEGER, FieldType.DECIMAL}),
    Holds.BOOLEAN: frozenset({FieldType.BOOLEAN}),
    Holds.DATE: frozenset({FieldType.DATE}),
    Holds.MOMENT: frozenset({FieldType.DATETIME}),
    Holds.INSTANT: frozenset({FieldType.DATETIME}),
}
_NOTHING: Final = Asked(relation_of("", "", ()), ())
_ANY: Final = Tongue()
PROPOSED: Final = frozenset(_ORDERED) - {Holds.TEXT}  # of texts only a person knows


def part(selection: SqlSelection, question: Question, tongue: Tongue = _ANY) -> Question:
    """Conditions that may be held; order and bounds where all of it is exactly what we mean."""
    types = _types(selection)
    parts = _parts(question.where)
    kept = tuple(each for each in parts if _is_held(types, each, tongue)[0])
    where = (Both(kept) if len(kept) > 1 else kept[0]) if kept else None
    made = Question(question.fields, where=where, limit=None)
    is_whole = not (
        question.box or question.near or question.joins or question.after or question.count
    )
    is_exact = all(_is_held(types, each, tongue) == (True, True) for each in parts)
    if is_whole and is_exact and all(_is_ordered(types, each) for each in question.order):
        offset = question.offset if question.order else 0
        is_placed = offset == question.offset  # without an order no two pages fit together
        limit = question.limit if is_placed else None
        return replace(made, order=question.order, limit=limit, offset=offset)
    return made


def is_answered(selection: SqlSelection, question: Question, tongue: Tongue = _ANY) -> bool:
    """Whether a question asks for no more than `part` would."""
    kept = part(selection, question, tongue)
    return replace(kept, where=None) == replace(question, where=None)


def held(
    reading: Reading, asked: Asked, columns: Mapping[str, Column], selection: SqlSelection,
    question: Question,
) -> Asked | None:  # fmt: skip
    """What is asked of the database, over its columns as they are; None where an order or a bound
    was promised that this database has not: its texts are not of Unicode, say."""
    tongue = reading.tongue
    types = _types(selection)
    holder = Holder(
        tongue, asked, lambda field: columns.get(field.name), lambda field: field.name in types
    )
    where, is_exact = Held(None, True) if question.where is None else holder.may(question.where)
    sorting = [columns[each.field.name] for each in question.order]
    is_ours = tongue.orders_texts or all(each.holds is not Holds.TEXT for each in sorting)
    if not (is_exact and is_ours) and (question.order or question.limit is not None):
        return None
    order: list[Cell] = []
    for each, found in zip(question.order, sorting, strict=True):
        cell = holder.sorted_by(found, each.field)
        order += tongue.ordered(cell, descending=each.descending)
    if order:  # what is alike stands in the same order on every page
        # A column that stands there as it is comes but once: SQL Server takes no column twice.
        plain = {each.name for each in sorting if each.holds is not Holds.TEXT}
        keys = [each for each in columns.values() if each.key and each.name not in plain]
        order += [asked.relation.c[each.name] for each in keys]
    return replace(
        asked, where=where, order=tuple(order), limit=question.limit, offset=question.offset
    )


def _types(selection: SqlSelection) -> dict[str, Holds]:
    """What is said of the columns that are selected."""
    types = selection.types or {}
    return {
        name: holds
        for name, holds in types.items()
        if selection.columns is None or name in selection.columns
    }


def _parts(condition: Condition | None) -> tuple[Condition, ...]:
    if condition is None:
        return ()
    return condition.parts if isinstance(condition, Both) else (condition,)


def _is_held(types: Mapping[str, Holds], condition: Condition, tongue: Tongue) -> tuple[bool, bool]:
    """Whether a database may hold a condition at all, and whether exactly."""
    guessed = False

    def find(field: Field) -> Column:
        nonlocal guessed
        guessed = guessed or field.name not in types
        return Column(field.name, "", types.get(field.name) or _USUAL.get(field.type, Holds.OTHER))

    holder = Holder(tongue, _NOTHING, find, lambda field: field.name in types)
    rows, is_exact = holder.may(condition)
    return rows is not None, is_exact and not guessed


def _is_ordered(types: Mapping[str, Holds], order: Order) -> bool:
    holds = types.get(order.field.name)
    return holds is not None and order.field.type in _ORDERED.get(holds, ())
