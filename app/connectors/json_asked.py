"""A question as parameters of an address: equality with what has one, and pages. Asks nobody."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from app.query.question import Both, Compare, Condition, Literal, Question


def asked_part(question: Question, equals: Mapping[str, str]) -> Question:
    """What of a question can be said; `equals` has the parameters by the members they ask for."""
    parts = _parts(question.where)
    kept = tuple(part for part in parts if _is_said(part, equals))
    is_all = len(kept) == len(parts) and not question.order
    return Question(
        question.fields,
        where=question.where if is_all else _both(kept),
        limit=question.limit if is_all else None,
        offset=question.offset if is_all else 0,
    )


def parameters(question: Question, equals: Mapping[str, str]) -> dict[str, str]:
    """The values that it asks for, by parameter."""
    return {
        equals[part.field.name]: _text(part.value)
        for part in _parts(question.where)
        if isinstance(part, Compare)
    }


def _parts(where: Condition | None) -> tuple[Condition, ...]:
    """What must hold, each by itself."""
    if isinstance(where, Both):
        return where.parts
    return () if where is None else (where,)


def _both(parts: tuple[Condition, ...]) -> Condition | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    return Both(parts)


def _is_said(part: Condition, equals: Mapping[str, str]) -> bool:
    return isinstance(part, Compare) and part.op == "=" and part.field.name in equals


def _text(value: Literal) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case date():
            return value.isoformat()
    return str(value)
