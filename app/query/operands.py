"""Operands of filters read from the tree of CQL2 JSON: fields, literals, sums, folded texts.

A literal is read for what it is compared with, and what can be worked out now is: a source never
sees `1 + 1` or the folding of a literal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from app.kit.errors import Fault
from app.query import arithmetic, caseless
from app.query.cql_text import MOST_NESTED, TooDeep
from app.query.fields import NUMBER_TYPES, TEXT_TYPES, Field, FieldType
from app.query.literals import NotOfType, read_literal
from app.query.question import Arithmetic, Edge, Folded, Folding, Given, Literal, Operand
from app.query.refusals import InvalidFilter

MOST_PARTS: Final = 2_000  # conditions and operators: each is a piece of a statement
EDGE_PARTS: Final = 20  # what is written out at length counts for as many
MOMENT_PARTS: Final = 2  # the first moment of a day, beside a time
_OPERATOR_PARTS: Final = {"^": 100, "/": 3}
_FOLDED_PARTS: Final = 10
_MOST_DIGITS: Final = 10_000  # PostgreSQL keeps 16,383 behind the point
_DECIMAL_DIGITS: Final = (310, 350)  # before and behind the point, of any number that is stored
_INTEGER_DIGITS: Final = (19, 0)
_FOLDINGS: Final = frozenset(each.value for each in Folding)
# What a literal is read as where no field says it.
_NUMBER: Final = Field("number", "", "", FieldType.INTEGER)
_TEXT: Final = Field("text", "", "", FieldType.TEXT)
DATE: Final = Field("DATE", "", "", FieldType.DATE)
TIMESTAMP: Final = Field("TIMESTAMP", "", "", FieldType.DATETIME)


def refuse(ja: str, en: str) -> InvalidFilter:
    """The refusal of a filter."""
    fault = Fault("filter", InvalidFilter.code, ja, en)
    return InvalidFilter(why_ja=ja, why_en=en, faults=[fault])


@dataclass(slots=True)
class Scope:
    """What names mean in one filter, and how many parts it has.

    `place` says which fields a name means as a record's place: a geometry, or a latitude and a
    longitude.
    """

    find: Callable[[str], Field]
    place: Callable[[str], tuple[Field, ...]] | None
    parts: int = field(default=0)

    def spend(self, parts: int = 1) -> None:
        """Count parts of the filter. Raises `InvalidFilter` where they are too many."""
        self.parts += parts
        if self.parts > MOST_PARTS:
            raise refuse(
                f"条件と演算は合わせて{MOST_PARTS}個までです（^ や /、CASEI・ACCENTI、期間はより多く数えます）。",
                f"{MOST_PARTS} conditions and operators at most (^, /, CASEI, ACCENTI and intervals"
                " count for more).",
            )


class Kind(Enum):
    """What can be compared with what, in both languages."""

    NUMBER = ("数値", "a number")
    TEXT = ("文字", "text")
    DATE = ("日付", "a date")
    DATETIME = ("日時", "a time")
    BOOLEAN = ("真偽値", "a boolean")


@dataclass(frozen=True, slots=True)
class Bare:
    """A literal that is still to be read for what it is compared with."""

    node: Any


Side = Operand | Bare


def kind_of(operand: Operand) -> Kind:
    """What an operand is. Raises `InvalidFilter` for what cannot be compared."""
    match operand:
        case Given(value):
            return _kind_of_value(value)
        case Arithmetic():
            return Kind.NUMBER
        case Folded():
            return Kind.TEXT
        case Edge(_, _, moment):
            return Kind.DATETIME if moment else Kind.DATE
        case Field():
            return _kind_of_field(operand)


def _kind_of_field(named: Field) -> Kind:
    if named.type in NUMBER_TYPES:
        return Kind.NUMBER
    if named.type in TEXT_TYPES:
        return Kind.TEXT
    kinds = {
        FieldType.DATE: Kind.DATE,
        FieldType.DATETIME: Kind.DATETIME,
        FieldType.BOOLEAN: Kind.BOOLEAN,
    }
    if named.type not in kinds:
        raise refuse(
            f"項目 {named.name} はジオメトリです。S_INTERSECTS などの空間演算子を使ってください。",
            f"the field {named.name} is a geometry: use a spatial function such as S_INTERSECTS.",
        )
    return kinds[named.type]


def _kind_of_value(value: Literal) -> Kind:
    match value:
        case bool():
            return Kind.BOOLEAN
        case str():
            return Kind.TEXT
        case datetime():
            return Kind.DATETIME
        case date():
            return Kind.DATE
        case _:
            return Kind.NUMBER


def read_side(node: Any, scope: Scope, depth: int = 0) -> Side:
    """One side of a comparison. Raises `InvalidFilter`, `TooDeep`, what `find` raises."""
    if not isinstance(node, Mapping):
        return Bare(node)
    if "property" in node:
        return scope.find(str(node["property"]))
    if "op" not in node:
        return Bare(node)
    if depth > MOST_NESTED:
        raise TooDeep
    op = str(node["op"]).lower()
    args = node.get("args")
    if op in _FOLDINGS:
        return _folded(Folding(op), args, scope, depth)
    if op in arithmetic.OPERATORS:
        return _arithmetic(op, args, scope, depth)
    raise no_function(op)


def no_function(op: str) -> InvalidFilter:
    """The refusal of a function or an operator, by its name."""
    name = op[:100]
    if name.startswith("a_"):
        return refuse(
            f"{name.upper()} は使えません。配列の項目はありません。",
            f"{name.upper()} is not answered: no field is an array.",
        )
    return refuse(
        f"{name} という演算子・関数は使えません。",
        f"the operator or function {name} is not answered here.",
    )


def _folded(by: Folding, args: Any, scope: Scope, depth: int) -> Side:
    name = by.value.upper()
    if not isinstance(args, list) or len(args) != 1:
        raise refuse(f"{name} の引数は一つです。", f"{name} takes one argument.")
    inner = read_side(args[0], scope, depth + 1)
    if isinstance(inner, Bare):
        return Bare(caseless.folded(by, _text_of(inner.node)))
    if kind_of(inner) is not Kind.TEXT:
        raise refuse(f"{name} は文字だけに使えます。", f"{name} is for text only.")
    scope.spend(_FOLDED_PARTS)
    return inner if _is_folded(by, inner) else Folded(by, inner)


def _is_folded(by: Folding, operand: Operand) -> bool:
    """Whether it is folded so already: the SQL of a folding names its text more than once."""
    while isinstance(operand, Folded):
        if operand.by is by:
            return True
        operand = operand.part
    return False


def _text_of(node: Any) -> str:
    return str(read_as(_TEXT, node))


def _arithmetic(op: str, args: Any, scope: Scope, depth: int) -> Side:
    if not isinstance(args, list) or len(args) != 2:
        raise refuse(f"{op} の両側に数値が必要です。", f"{op} takes a number on either side.")
    left, right = (_number(each, scope, depth + 1) for each in args)
    scope.spend(_OPERATOR_PARTS.get(op, 1))
    if isinstance(left, Given) and isinstance(right, Given):
        return Bare(_worked_out(op, left, right))
    made = Arithmetic(op, left, right)
    if sum(_digits(made)) > _MOST_DIGITS:
        raise refuse("計算の桁数が大きくなりすぎます。", "the numbers would grow too long.")
    return made


def _number(node: Any, scope: Scope, depth: int) -> Operand:
    side = read_side(node, scope, depth)
    if isinstance(side, Bare):
        value = side.node
        if isinstance(value, str | bool):
            raise _no_number("値", "a value")
        return Given(read_as(_NUMBER, value))
    if kind_of(side) is not Kind.NUMBER:
        raise _no_number(*(2 * (side.name,) if isinstance(side, Field) else ("値", "a value")))
    return side


def _no_number(ja: str, en: str) -> InvalidFilter:
    return refuse(
        f"計算できるのは数値だけです（{ja}）。", f"only numbers can be reckoned with ({en})."
    )


def _worked_out(op: str, left: Given, right: Given) -> Decimal:
    values = [_exact(each.value) for each in (left, right)]
    if sum(_digits(Arithmetic(op, left, right))) > _MOST_DIGITS:
        raise refuse("計算の桁数が大きくなりすぎます。", "the numbers would grow too long.")
    found = arithmetic.calculate(op, *values)
    if found is None:
        raise refuse(
            "値のない計算です（0での割り算など）。",
            "that has no value (a division by zero, or a power out of bounds).",
        )
    return found


def _exact(value: Literal) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _no_number("値", "a value")
    return arithmetic.exact(value)


def _digits(operand: Operand) -> tuple[int, int]:
    """The most digits before and behind the point."""
    match operand:
        case Given(int() | float() | Decimal() as value):
            exponent = int(Decimal(value).as_tuple().exponent)
            return max(1, Decimal(value).adjusted() + 1), max(0, -exponent)
        case Arithmetic(op, left, right):
            (before, behind), (other, decimals) = _digits(left), _digits(right)
            match op:
                case "*":
                    return before + other, behind + decimals
                case "/" | "div":
                    return before + decimals, arithmetic.DECIMALS
                case "^":
                    return _DECIMAL_DIGITS
                case _:
                    return max(before, other) + 1, max(behind, decimals)
        case Field(type=FieldType.INTEGER):
            return _INTEGER_DIGITS
        case _:
            return _DECIMAL_DIGITS


def read_as(named: Field, node: Any) -> Literal:
    """A literal as one of the field's type. Raises `InvalidFilter`."""
    if isinstance(node, Mapping) and ("interval" in node or "bbox" in node or "type" in node):
        raise refuse(
            f"項目 {named.name} と区間・図形は比較できません。T_・S_ で始まる関数を使ってください。",
            f"an interval or a shape cannot be compared with {named.name}:"
            " use the functions that begin with T_ or S_.",
        )
    try:
        return read_literal(named, node)
    except NotOfType as exc:
        raise refuse(exc.ja, exc.en) from None


def read_beside(other: Operand, bare: Bare) -> Literal:
    """A literal read for the operand that it is compared with. Raises `InvalidFilter`."""
    match other:
        case Field(type=FieldType.DATE) if _is_timestamp(bare.node):
            return read_as(TIMESTAMP, bare.node)
        case Field():
            kind_of(other)
            return read_as(other, bare.node)
        case Folded():
            return folded_like(other, _text_of(bare.node))
        case Arithmetic():
            return read_as(_NUMBER, bare.node)
        case _:
            return natural(bare).value


def _is_timestamp(node: Any) -> bool:
    return isinstance(node, Mapping) and "timestamp" in node


def folded_like(other: Operand, text: str) -> str:
    """The text, folded as the operand is: `CASEI(name) = 'ABC'` would else hold for nothing."""
    while isinstance(other, Folded):
        text, other = caseless.folded(other.by, text), other.part
    return text


def natural(bare: Bare) -> Given:
    """A literal as what it is by itself. Raises `InvalidFilter`."""
    node = bare.node
    if isinstance(node, bool):
        return Given(node)
    if isinstance(node, str):
        return Given(read_as(_TEXT, node))
    if isinstance(node, int | float | Decimal):
        return Given(read_as(_NUMBER, node))
    if isinstance(node, Mapping) and "date" in node:
        return Given(read_as(DATE, node))
    if _is_timestamp(node):
        return Given(read_as(TIMESTAMP, node))
    raise refuse("比較できない値です。", "a value that cannot be compared.")


def paired(left: Operand, right: Operand) -> tuple[Operand, Operand]:
    """Both as one kind: beside a time, a date is its first moment in Japan.

    Raises `InvalidFilter`.
    """
    kinds = kind_of(left), kind_of(right)
    if set(kinds) == {Kind.DATE, Kind.DATETIME}:
        return _as_moment(left), _as_moment(right)
    if kinds[0] is not kinds[1]:
        (ja, en), (other_ja, other_en) = (each.value for each in kinds)
        raise refuse(
            f"{ja}と{other_ja}は比較できません。", f"{en} cannot be compared with {other_en}."
        )
    return left, right


def _as_moment(operand: Operand) -> Operand:
    match operand:
        case Field(type=FieldType.DATE):
            return Edge(operand, last=False, moment=True)
        case Given(value) if kind_of(operand) is Kind.DATE:
            return Given(read_as(TIMESTAMP, {"date": str(value)}))
        case Edge(named, last, _):
            return Edge(named, last, moment=True)
        case _:
            return operand


def read_pattern(node: Any) -> str:
    """The pattern of LIKE: a literal, folded or not. Raises `InvalidFilter`."""
    foldings: list[Folding] = []
    while isinstance(node, Mapping) and str(node.get("op")).lower() in _FOLDINGS:
        args = node.get("args")
        if not isinstance(args, list) or len(args) != 1 or len(foldings) > MOST_NESTED:
            raise refuse(
                "CASEI・ACCENTI の引数は一つです。", "CASEI and ACCENTI take one argument."
            )
        foldings.append(Folding(str(node["op"]).lower()))
        node = args[0]
    if isinstance(node, Mapping):
        raise refuse("LIKE のパターンは文字列です。", "the pattern of LIKE is a literal text.")
    pattern = _text_of(node)
    for by in reversed(foldings):
        pattern = caseless.folded_pattern(by, pattern)
    return pattern


def folded_pattern_like(other: Operand, pattern: str) -> str:
    """The pattern, folded as the operand is."""
    while isinstance(other, Folded):
        pattern, other = caseless.folded_pattern(other.by, pattern), other.part
    return pattern
