"""CQL2 (OGC 21-065r2) text and JSON to conditions on known fields. Never guesses a field."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import cql2

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

# The parser descends by recursion in native code, where too deep a filter would end the process.
# So depth is bounded by what a filter can nest with, before it is parsed.
MOST_CHARACTERS: Final = 20_000
MOST_NESTED: Final = 50
MOST_VALUES: Final = 2_000
_COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
_TURNED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
Lookup = Callable[[str], Field]


def _refuse(ja: str, en: str) -> InvalidFilter:
    return InvalidFilter(why_ja=ja, why_en=en)


def parse_text(text: str, find: Lookup) -> Condition:
    """CQL2 Text to a condition. `find` gives a field by name or raises. Raises `InvalidFilter`."""
    _guard(text, opening="(", closing=")")
    return _parse(cql2.parse_text, text, find)


def parse_json(text: str, find: Lookup) -> Condition:
    """CQL2 JSON to a condition, with the same bounds and refusals as `parse_text`."""
    _guard(text, opening="{[", closing="]}")
    return _parse(cql2.parse_json, text, find)


def _parse(parser: Callable[[str], Any], text: str, find: Lookup) -> Condition:
    try:
        tree = parser(text).to_json()
    except (ValueError, cql2.ParseError, cql2.ValidationError) as exc:
        where = str(exc).splitlines()[0][:200] if str(exc) else ""
        raise _refuse(f"構文が正しくありません（{where}）。", f"wrong syntax ({where}).") from None
    try:
        return _condition(tree, find)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # CQL2 JSON is not checked for the number and kind of arguments by the parser.
        raise _refuse(
            "演算子の引数が正しくありません。", "an operator has wrong arguments."
        ) from None


def _guard(text: str, *, opening: str, closing: str) -> None:
    if len(text) > MOST_CHARACTERS or "\x00" in text:
        raise _refuse(
            f"{MOST_CHARACTERS}文字以内にしてください。", f"at most {MOST_CHARACTERS} characters."
        )
    depth = 0
    for character in text:
        if character in opening:
            depth += 1
        elif character in closing:
            depth -= 1
        if depth > MOST_NESTED:
            raise _too_deep()
    words = text.lower().split()
    if sum(word.strip("(") == "not" for word in words) > MOST_NESTED or _signs(text):
        raise _too_deep()


def _signs(text: str) -> bool:
    """Runs of signs nest as brackets do."""
    squeezed = "".join(text.split())
    return any(sign * (MOST_NESTED + 1) in squeezed for sign in "-+")


def _too_deep() -> InvalidFilter:
    return _refuse(
        f"入れ子は{MOST_NESTED}段までです。", f"nesting goes {MOST_NESTED} levels at most."
    )


def _condition(node: Any, find: Lookup) -> Condition:
    if isinstance(node, bool):
        return Constant(node)
    if not isinstance(node, Mapping) or "op" not in node:
        raise _refuse("条件式ではありません。", "that is not a condition.")
    op = str(node["op"]).lower()
    args = node.get("args", [])
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
    if len(args[1]) > MOST_VALUES:
        raise _refuse(f"INは{MOST_VALUES}個までです。", f"IN takes {MOST_VALUES} values at most.")
    return OneOf(field, tuple(_literal(field, value) for value in args[1]))


def _like(args: Any, find: Lookup) -> Condition:
    target, pattern = args
    fold = isinstance(target, Mapping) and str(target.get("op")).lower() == "casei"
    if fold:
        target = target["args"][0]
        if isinstance(pattern, Mapping) and str(pattern.get("op")).lower() == "casei":
            pattern = pattern["args"][0]
    field = _field(target, find)
    if field.type not in TEXT_TYPES:
        raise _refuse(
            f"LIKE は文字の項目だけに使えます（{field.name}）。",
            f"LIKE is for text fields only ({field.name}).",
        )
    return Like(field, str(_literal(field, pattern)), fold)


_READERS: Final[Mapping[str, Callable[[Any, Lookup], Condition]]] = {
    "not": _not,
    "isnull": _is_null,
    "between": _between,
    "in": _one_of,
    "like": _like,
}


def _is_property(node: Any) -> bool:
    return isinstance(node, Mapping) and "property" in node


def _field(node: Any, find: Lookup) -> Field:
    if not _is_property(node):
        raise _refuse("項目名が必要な場所です。", "a field name is needed there.")
    return find(str(node["property"]))


def _literal(field: Field, node: Any) -> Any:
    if isinstance(node, Mapping) and "op" in node:
        raise _refuse("計算式は使えません。", "arithmetic and functions are not answered here.")
    try:
        return read_literal(field, node)
    except NotOfType as exc:
        raise _refuse(exc.ja, exc.en) from None
