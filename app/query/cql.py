"""CQL2 (OGC 21-065r2) text and JSON to conditions on known fields. Never guesses a field."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from app.kit.errors import Fault
from app.query import cql_text
from app.query.cql_text import MOST_NESTED, NotAnswered, TooDeep, WrongSyntax
from app.query.fields import TEXT_TYPES, Field
from app.query.literals import NotOfType, read_literal
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Either,
    IsNull,
    Like,
    Not,
    OneOf,
)
from app.query.refusals import InvalidFilter

MOST_CHARACTERS: Final = 20_000
MOST_VALUES: Final = 2_000
_COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
_TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
Lookup = Callable[[str], Field]


def _refuse(ja: str, en: str) -> InvalidFilter:
    fault = Fault("filter", InvalidFilter.code, ja, en)
    return InvalidFilter(why_ja=ja, why_en=en, faults=[fault])


def parse_text(text: str, find: Lookup) -> Condition:
    """CQL2 Text to a condition. `find` gives a field by name or raises. Raises `InvalidFilter`."""
    return _parse(cql_text.parse, text, find)


def parse_json(text: str, find: Lookup) -> Condition:
    """CQL2 JSON to a condition, with the same bounds and refusals as `parse_text`."""
    return _parse(_read_json, text, find)


def _parse(parser: Callable[[str], Any], text: str, find: Lookup) -> Condition:
    if len(text) > MOST_CHARACTERS:
        raise _refuse(
            f"{MOST_CHARACTERS}文字以内にしてください。", f"at most {MOST_CHARACTERS} characters."
        )
    try:
        return _condition(parser(text), find)
    except (TooDeep, RecursionError):
        raise _refuse(
            f"入れ子は{MOST_NESTED}段までです。", f"nesting goes {MOST_NESTED} levels at most."
        ) from None
    except NotAnswered:
        raise _no_arithmetic() from None
    except WrongSyntax as exc:
        raise _refuse(f"構文が正しくありません（{exc}）。", f"wrong syntax ({exc}).") from None


def _read_json(text: str) -> Any:
    """The tree with exact numbers. NaN and half a surrogate pair are no JSON (RFC 8259)."""
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise WrongSyntax(exc.pos) from None
    if _depth(tree) > 2 * MOST_NESTED:  # each level is an object and its list of arguments
        raise TooDeep
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


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


def _no_arithmetic() -> InvalidFilter:
    return _refuse("計算式は使えません。", "arithmetic and functions are not answered here.")


def _condition(node: Any, find: Lookup) -> Condition:
    if isinstance(node, bool):
        return Constant(node)
    if not isinstance(node, Mapping) or "op" not in node:
        raise _refuse("条件式ではありません。", "that is not a condition.")
    op = str(node["op"]).lower()
    args = node.get("args")
    least, most = _ARITY.get(op, (0, MOST_CHARACTERS))
    if not isinstance(args, list) or not least <= len(args) <= most:
        raise _refuse("演算子の引数が正しくありません。", "an operator has wrong arguments.")
    if op in ("and", "or"):
        parts = tuple(_condition(part, find) for part in args)
        return Both(parts) if op == "and" else Either(parts)
    if op in _COMPARISONS:
        return _comparison(op, args, find)
    reader = _READERS.get(op)
    if reader is None:
        raise _refuse(f"演算子 {op} はまだ使えません。", f"the operator {op} is not answered here.")
    return reader(args, find)


def _comparison(op: str, args: Any, find: Lookup) -> Condition:
    left, right = args
    if not _is_property(left) and _is_property(right):
        left, right, op = right, left, _TURNED[op]
    if _is_property(right):
        raise _refuse("項目どうしの比較は使えません。", "two fields cannot be compared.")
    field = _field(left, find)
    return Compare(field, op, _literal(field, right))


def _not(args: Any, find: Lookup) -> Condition:
    return Not(_condition(args[0], find))


def _is_null(args: Any, find: Lookup) -> Condition:
    return IsNull(_field(args[0], find))


def _between(args: Any, find: Lookup) -> Condition:
    field = _field(args[0], find)
    return Between(field, _literal(field, args[1]), _literal(field, args[2]))


def _one_of(args: Any, find: Lookup) -> Condition:
    field = _field(args[0], find)
    if not isinstance(args[1], list) or not args[1]:
        raise _refuse("INには値の並びが必要です。", "IN takes a list of values.")
    if len(args[1]) > MOST_VALUES:
        raise _refuse(f"INは{MOST_VALUES}個までです。", f"IN takes {MOST_VALUES} values at most.")
    return OneOf(field, tuple(_literal(field, value) for value in args[1]))


def _like(args: Any, find: Lookup) -> Condition:
    target, pattern = args
    folded = _inside_casei(target)
    field = _field(target if folded is None else folded, find)
    if field.type not in TEXT_TYPES:
        raise _refuse(
            f"LIKE は文字の項目だけに使えます（{field.name}）。",
            f"LIKE is for text fields only ({field.name}).",
        )
    if folded is not None:
        pattern = _inside_casei(pattern) or pattern
    wanted = str(_literal(field, pattern))
    if _ends_escaping(wanted):
        raise _refuse(
            "LIKE の末尾の \\ は \\\\ と書いてください。", "write a last \\ of LIKE as \\\\."
        )
    return Like(field, wanted, fold=folded is not None)


def _inside_casei(node: Any) -> Any:
    """What stands in `CASEI(…)`, None where there is no such thing."""
    if not isinstance(node, Mapping) or str(node.get("op")).lower() != "casei":
        return None
    args = node.get("args")
    if not isinstance(args, list) or len(args) != 1:
        raise _refuse("CASEI の引数は一つです。", "CASEI takes one argument.")
    return args[0]


def _ends_escaping(pattern: str) -> bool:
    return (len(pattern) - len(pattern.rstrip("\\"))) % 2 == 1


_READERS: Final[Mapping[str, Callable[[Any, Lookup], Condition]]] = {
    "not": _not,
    "isnull": _is_null,
    "between": _between,
    "in": _one_of,
    "like": _like,
}
_ARITY: Final = {
    **dict.fromkeys(("and", "or"), (2, MOST_CHARACTERS)),
    **dict.fromkeys((*_COMPARISONS, "in", "like"), (2, 2)),
    **dict.fromkeys(("not", "isnull"), (1, 1)),
    "between": (3, 3),
}


def _is_property(node: Any) -> bool:
    return isinstance(node, Mapping) and "property" in node


def _field(node: Any, find: Lookup) -> Field:
    if not _is_property(node):
        raise _refuse("項目名が必要な場所です。", "a field name is needed there.")
    return find(str(node["property"]))


def _literal(field: Field, node: Any) -> Any:
    if isinstance(node, Mapping) and "op" in node:
        raise _no_arithmetic()
    try:
        return read_literal(field, node)
    except NotOfType as exc:
        raise _refuse(exc.ja, exc.en) from None
