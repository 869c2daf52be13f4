"""CQL2 (OGC 21-065r2) text and JSON to conditions on known fields. Never guesses a field."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from app.query import cql_text
from app.query.cql_spatial import SPATIAL, read_spatial
from app.query.cql_temporal import TEMPORAL, read_temporal
from app.query.cql_text import MOST_NESTED, TooDeep, WrongShape, WrongSyntax
from app.query.fields import Field, FieldType
from app.query.like import MOST_PATTERN, MOST_WILDCARDS, ends_escaping, wildcards
from app.query.matches import matches
from app.query.operands import (
    MOMENT_PARTS,
    Bare,
    Kind,
    Scope,
    Side,
    folded_pattern_like,
    kind_of,
    natural,
    no_function,
    paired,
    read_beside,
    read_pattern,
    read_side,
    refuse,
)
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Edge,
    Either,
    Folded,
    Given,
    IsNull,
    Like,
    Literal,
    Match,
    Not,
    OneOf,
)
from app.query.refusals import InvalidFilter

MOST_CHARACTERS: Final = 65_536  # as many as an address carries
MOST_VALUES: Final = 10_000
_SHOWN: Final = 20  # characters of what could not be read
_COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
_TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
Lookup = Callable[[str], Field]
Places = Callable[[str], tuple[Field, ...]]


def parse_text(text: str, find: Lookup, place: Places | None = None) -> Condition:
    """CQL2 Text to a condition.

    `find` gives a field by its name or raises; `place` the fields that a name means as a record's
    place (a geometry, or a latitude and a longitude). Raises `InvalidFilter`, and what they raise.
    """
    return _parse(cql_text.parse, text, Scope(find, place))


def parse_json(text: str, find: Lookup, place: Places | None = None) -> Condition:
    """CQL2 JSON to a condition, with the same bounds and refusals as `parse_text`."""
    return _parse(_read_json, text, Scope(find, place))


def _parse(parser: Callable[[str], Any], text: str, scope: Scope) -> Condition:
    if len(text) > MOST_CHARACTERS:
        raise refuse(
            f"{MOST_CHARACTERS}文字以内にしてください。", f"at most {MOST_CHARACTERS} characters."
        )
    try:
        return _condition(parser(text), scope)
    except (TooDeep, RecursionError):
        raise refuse(
            f"入れ子は{MOST_NESTED}段までです。", f"nesting goes {MOST_NESTED} levels at most."
        ) from None
    except WrongSyntax as exc:
        raise _unread(exc, text, is_json=parser is _read_json) from None


def _unread(wrong: WrongSyntax, text: str, *, is_json: bool) -> InvalidFilter:
    """Where reading ended, and what is most likely to mend it."""
    rest = text[wrong.position :].lstrip()
    at, near = len(text) - len(rest) + 1, rest[:_SHOWN]
    at_ja = f"{at}文字目「{near}」" if near else "末尾で途切れています"
    at_en = f"character {at}: {near}" if near else "it ends too soon"
    if isinstance(wrong, WrongShape):
        mend = (
            "図形（WKT）は、例えば POLYGON((135.4 34.6,135.5 34.6,135.5 34.7,135.4 34.6)) のように、"
            "経度 緯度の順に書き、括弧を閉じます。",
            "Write a shape (WKT) as POLYGON((135.4 34.6,135.5 34.6,135.5 34.7,135.4 34.6)), longitude"
            " first, and close its brackets.",
        )
    elif is_json:
        mend = (
            'CQL2 JSON（{"op": …, "args": […]}）で書きます。文字で書いた条件は'
            " filter-lang=cql2-text です。",
            'Write CQL2 JSON ({"op": …, "args": […]}); a condition in words takes'
            " filter-lang=cql2-text.",
        )
    elif text.lstrip().startswith("{"):
        mend = (
            "JSONで書いた条件には filter-lang=cql2-json を付けてください。",
            "A condition in JSON takes filter-lang=cql2-json.",
        )
    else:
        mend = (
            "条件は、例えば capacity >= 100 AND name LIKE '%公園%' のように書きます"
            "（文字の値は一重引用符で囲みます）。",
            "Write a condition as capacity >= 100 AND name LIKE '%公園%', with texts in single quotes.",
        )
    return refuse(
        f"構文が正しくありません（{at_ja}）。{mend[0]}", f"wrong syntax ({at_en}). {mend[1]}"
    )


def _read_json(text: str) -> Any:
    """The tree with exact numbers. NaN and half a surrogate pair are no JSON (RFC 8259)."""
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise WrongSyntax(exc.pos) from None
    if _depth(tree) > 2 * MOST_NESTED:  # each level is an object and its list of arguments
        raise TooDeep
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except InvalidOperation:  # an exponent beyond all numbers
        raise WrongSyntax(0) from None


def _depth(tree: Any) -> int:
    depth, level = 0, [tree]
    while level:
        depth += 1
        inner: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                inner.extend(node.values())
            elif isinstance(node, list):
                inner.extend(node)
        level = inner
    return depth


def _condition(node: Any, scope: Scope) -> Condition:
    scope.spend()
    if isinstance(node, bool):
        return Constant(node)
    if isinstance(node, Mapping) and "property" in node:
        return _boolean(node, scope)
    if not isinstance(node, Mapping) or "op" not in node:
        raise refuse("条件式ではありません。", "that is not a condition.")
    op = str(node["op"]).lower()
    args = node.get("args")
    reader = _reader_of(op)
    least, most = _ARITY.get(op, (0, MOST_CHARACTERS))
    if not isinstance(args, list) or not least <= len(args) <= most:
        raise refuse("演算子の引数が正しくありません。", "an operator has wrong arguments.")
    return reader(args, scope)


def _reader_of(op: str) -> Callable[[Any, Scope], Condition]:
    if op in _READERS:
        return _READERS[op]
    if op in _COMPARISONS:
        return lambda args, scope: _comparison(op, args, scope)
    if op in SPATIAL:
        return lambda args, scope: read_spatial(op, args, scope)
    if op in TEMPORAL:
        return lambda args, scope: read_temporal(op, args, scope)
    raise no_function(op)


def _boolean(node: Any, scope: Scope) -> Condition:
    """A field that is a condition by itself."""
    field = scope.find(str(node["property"]))
    if field.type is not FieldType.BOOLEAN:
        raise refuse(
            f"項目 {field.name} は真偽値ではなく、単独では条件になりません。",
            f"the field {field.name} is no boolean, and no condition by itself.",
        )
    return Compare(field, "=", True)


def _comparison(op: str, args: Any, scope: Scope) -> Condition:
    left, right = (read_side(each, scope) for each in args)
    return _tested(left, op, right, scope)


def _compared(left: Side, op: str, right: Side, scope: Scope) -> Condition:
    """The comparison of an operand with another or with a literal. Raises `InvalidFilter`."""
    if isinstance(left, Bare):
        left = natural(left)
    if isinstance(right, Bare):
        value = read_beside(left, right)
        if isinstance(left, Field) and not _is_moment_beside_date(left, value):
            return Compare(left, op, value)
        right = Given(value)
    one, other = paired(left, right)
    scope.spend(MOMENT_PARTS * (isinstance(one, Edge) + isinstance(other, Edge)))
    return Match(one, op, other)


def _is_moment_beside_date(field: Field, value: Literal) -> bool:
    return field.type is FieldType.DATE and kind_of(Given(value)) is Kind.DATETIME


def _known(condition: Condition) -> Constant:
    """A condition without fields, decided now."""
    return Constant(matches(condition, {}) is True)


def _junction(make: type[Both] | type[Either]) -> Callable[[Any, Scope], Condition]:
    return lambda args, scope: make(tuple([_condition(part, scope) for part in args]))


def _not(args: Any, scope: Scope) -> Condition:
    return Not(_condition(args[0], scope))


def _is_null(args: Any, scope: Scope) -> Condition:
    node = args[0]
    if isinstance(node, Mapping) and "property" in node:
        return _is_absent(str(node["property"]), scope)
    if isinstance(node, Mapping) and ("type" in node or "bbox" in node or "interval" in node):
        return Constant(False)
    side = read_side(node, scope)
    if not isinstance(side, Bare):
        return IsNull(side)
    natural(side)
    return Constant(False)


def _is_absent(name: str, scope: Scope) -> Condition:
    """A field, or the record's place: one of two coordinates is none."""
    if name != "geometry" or scope.place is None:
        return IsNull(scope.find(name))
    fields = scope.place(name)
    return IsNull(fields[0]) if len(fields) == 1 else Either(tuple(IsNull(f) for f in fields))


def _between(args: Any, scope: Scope) -> Condition:
    side, low, high = (read_side(each, scope) for each in args)
    if isinstance(side, Field) and isinstance(low, Bare) and isinstance(high, Bare):
        ends = read_beside(side, low), read_beside(side, high)
        if not any(_is_moment_beside_date(side, end) for end in ends):
            return Between(side, *ends)
    return Both((_tested(side, ">=", low, scope), _tested(side, "<=", high, scope)))


def _tested(left: Side, op: str, right: Side, scope: Scope) -> Condition:
    """A comparison with the operand first, if there is one; of literals only, it is decided now."""
    if not isinstance(left, Bare):
        return _compared(left, op, right, scope)
    if not isinstance(right, Bare):
        return _compared(right, _TURNED[op], left, scope)
    return _known(_compared(left, op, right, scope))


def _one_of(args: Any, scope: Scope) -> Condition:
    side, values = read_side(args[0], scope), args[1]
    if not isinstance(values, list) or not values:
        raise refuse("INには値の並びが必要です。", "IN takes a list of values.")
    if len(values) > MOST_VALUES:
        raise refuse(f"INは{MOST_VALUES}個までです。", f"IN takes {MOST_VALUES} values at most.")
    sides = [read_side(value, scope) for value in values]
    bare = [each for each in sides if isinstance(each, Bare)]
    if isinstance(side, Bare):
        scope.spend(len(sides))
        return Either(tuple([_tested(side, "=", each, scope) for each in sides]))
    literals = [read_beside(side, each) for each in bare]
    others = [each for each in sides if not isinstance(each, Bare)]
    if isinstance(side, Field) and any(_is_moment_beside_date(side, each) for each in literals):
        scope.spend(len(sides))
        return Either(tuple([_compared(side, "=", each, scope) for each in sides]))
    parts: list[Condition] = [OneOf(side, tuple(literals))] if literals else []
    scope.spend(len(others))
    parts += [_compared(side, "=", each, scope) for each in others]
    return parts[0] if len(parts) == 1 else Either(tuple(parts))


def _like(args: Any, scope: Scope) -> Condition:
    side = read_side(args[0], scope)
    pattern = read_pattern(args[1])
    if ends_escaping(pattern):
        raise refuse(
            "LIKE の末尾の \\ は \\\\ と書いてください。", "write a last \\ of LIKE as \\\\."
        )
    operand = natural(side) if isinstance(side, Bare) else side
    if kind_of(operand) is not Kind.TEXT:
        name = operand.name if isinstance(operand, Field) else "値"
        raise refuse(
            f"LIKE は文字の項目だけに使えます（{name}）。", f"LIKE is for text only ({name})."
        )
    if isinstance(operand, Folded):
        pattern = folded_pattern_like(operand, pattern)
    if wildcards(pattern) > MOST_WILDCARDS or len(pattern) > MOST_PATTERN:
        raise refuse(
            f"LIKE のパターンは{MOST_PATTERN}文字、% は{MOST_WILDCARDS}個までです。",
            f"a pattern of LIKE has {MOST_PATTERN} characters and {MOST_WILDCARDS} % at most.",
        )
    made = Like(operand, pattern)
    return _known(made) if isinstance(operand, Given) else made


_READERS: Final[Mapping[str, Callable[[Any, Scope], Condition]]] = {
    "and": _junction(Both),
    "or": _junction(Either),
    "not": _not,
    "isnull": _is_null,
    "between": _between,
    "in": _one_of,
    "like": _like,
}
_ARITY: Final = {
    **dict.fromkeys(("and", "or"), (2, MOST_CHARACTERS)),
    **dict.fromkeys((*_COMPARISONS, *TEMPORAL, "in", "like"), (2, 2)),
    **dict.fromkeys(("not", "isnull"), (1, 1)),
    "between": (3, 3),
}
