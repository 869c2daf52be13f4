"""The shape of a question: all of it but the values that it compares with, as a hashable key."""

from typing import Any, Final, assert_never

from app.query.fields import Field
from app.query.geometry import boxes_around, boxes_of
from app.query.operands import kind_of
from app.query.question import (
    Arithmetic,
    Between,
    Both,
    Compare,
    Condition,
    Consented,
    Constant,
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
    Question,
    Spatial,
    Words,
)

Shape = tuple[Any, ...]
_FEW: Final = 30
_WRITTEN_OUT: Final = frozenset({"sum", "folded", "edge"})  # take more of a statement than others


def shape_of(question: Question) -> Shape:
    """Two questions of one shape differ in literals only, so one prepared statement serves both."""
    return (
        tuple([field.name for field in question.fields]),
        None if question.where is None else _condition(question.where),
        None if question.box is None else len(boxes_of(question.box)),
        None if question.near is None else len(boxes_around(question.near)),
        tuple([(by.field.name, by.descending) for by in question.order]),
        question.limit,
        None if question.after is None else tuple([each is None for each in question.after]),
        tuple(
            [
                (join.name, None if join.where is None else _condition(join.where))
                for join in question.joins
            ]
        ),
        question.offset > 0,
    )


def is_short(shape: Shape) -> bool:
    """Whether a statement of this shape is written in a moment."""
    fields = shape[0]
    return len(fields) <= 4 * _FEW and _parts(shape) <= _FEW


def _parts(shape: Shape) -> int:
    inner = sum([_parts(each) for each in shape if isinstance(each, tuple)])
    if not shape or shape[0] not in _WRITTEN_OUT:
        return 1 + inner
    return (_FEW if "^" in shape else 5) + inner


def _condition(  # noqa: C901, PLR0912 - one arm for each case of a closed set
    part: Condition,
) -> Shape:
    match part:
        case Compare(field, op, value):
            return ("compare", field.name, op, type(value).__name__)
        case Match(left, op, right):
            return ("match", _operand(left), op, _operand(right))
        case OneOf(operand, values):
            kinds = frozenset([type(value).__name__ for value in values])
            return ("one of", _operand(operand), kinds)
        case Like(operand, _):
            return ("like", _operand(operand))
        case Between(field, low, high):
            return ("between", field.name, type(low).__name__, type(high).__name__)
        case IsNull(operand):
            return ("null", _operand(operand))
        case Not(inner):
            return ("not", _condition(inner))
        case Both(parts):
            return ("both", *[_condition(each) for each in parts])
        case Either(parts):
            return ("either", *[_condition(each) for each in parts])
        case Constant(value):
            return ("constant", value)
        case Spatial(relation, place, _, _):
            return ("spatial", relation, None if place is None else place.name)
        case Words(fields, terms):
            return ("words", tuple([f.name for f in fields]), tuple([len(each) for each in terms]))
        case Consented(field):
            return ("consented", field.name)
        case _:
            assert_never(part)


def _operand(operand: Operand) -> Shape | str:
    match operand:
        case Field(name=name):
            return name
        case Given():
            return ("given", kind_of(operand).name)
        case Arithmetic(op, left, right):
            return ("sum", op, _operand(left), _operand(right))
        case Folded(by, part):
            return ("folded", by, _operand(part))
        case Edge(field, last, moment):
            return ("edge", field.name, last, moment)
        case _:
            assert_never(operand)
