"""Whether every value of one schema is a value of another, as far as two schemas tell by themselves.

What cannot be decided is let pass: a finding is something that is certainly different.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.certify.document import Document

_DEEPEST: Final = 40
_MOST_PAIRS: Final = 100_000
_SILENT: Final = "-"
_ALL: Final = frozenset(("null", "boolean", "object", "array", "number", "integer", "string"))
_LOW: Final = ("minimum", "minLength", "minItems", "minProperties")
_HIGH: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a value of the first would be none of the second, and why."""

    at: str  # a path within the value: /records/items/name
    code: str  # type, values, required, more_members, format, bound, untold
    told: str  # by the first
    wanted: str  # by the second


@dataclass(slots=True)
class Comparison:
    """Compares schemas of two documents. `first` gives the values, `second` takes them.

    `trusts`: where the first says nothing of values or formats, it is thought to keep to them.
    """

    first: Document
    second: Document
    trusts: bool = False
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def differences(self, given: Any, taken: Any, at: str = "") -> list[Difference]:
        """Every certain difference, at most one a place."""
        one, other = _merged(self.first, given), _merged(self.second, taken)
        if one is None or other is None:
            return []
        pair = (id(given), id(taken))
        if pair in self._seen or at.count("/") > _DEEPEST or len(self._seen) > _MOST_PAIRS:
            return []
        self._seen.add(pair)
        options = _options(one)
        if options is not None:
            found = [self.differences(each, taken, at) for each in options]
            return [each for part in found for each in part]
        wanted = _options(other)
        if wanted is not None:
            return self._one_of(given, wanted, at)
        return self._plain(one, other, at)

    def _one_of(self, given: Any, wanted: Sequence[Any], at: str) -> list[Difference]:
        """It is enough that one fits; if none does, the nearest tells what is wrong."""
        tried = []
        for each in wanted:
            alone = Comparison(self.first, self.second, self.trusts, set(self._seen))
            found = alone.differences(given, each, at)
            if not found:
                return []
            tried.append(found)
        return min(tried, key=len, default=[])

    def _plain(self, one: Schema, other: Schema, at: str) -> list[Difference]:
        types, allowed = _types(one), _types(other)
        if not types <= allowed | ({"integer"} if "number" in allowed else set()):
            code = "untold" if types == _ALL else "type"
            return [Difference(at, code, _words(types), _words(allowed))]
        found = [*self._words_of(one, other, at), *_bounds(one, other, at)]
        if "object" in types:
            found += self._members(one, other, at)
        if "array" in types and isinstance(other.get("items"), Mapping):
            found += self.differences(one.get("items", {}), other["items"], f"{at}/items")
        return found

    def _words_of(self, one: Schema, other: Schema, at: str) -> list[Difference]:
        found = [*_values(one, other, at), *_format(one, other, at)]
        return [each for each in found if not (self.trusts and each.told == _SILENT)]

    def _members(self, one: Schema, other: Schema, at: str) -> list[Difference]:
        mine, theirs = _mapping(one.get("properties")), _mapping(other.get("properties"))
        sure = set(one.get("required", ()))
        found = [
            Difference(f"{at}/{name}", "required", "optional" if name in mine else "-", "required")
            for name in other.get("required", ()) if name not in sure
        ]  # fmt: skip
        for name in theirs:
            if name in mine:
                found += self.differences(mine[name], theirs[name], f"{at}/{name}")
        if other.get("additionalProperties") is False:
            more = [name for name in mine if name not in theirs]
            found += [Difference(f"{at}/{name}", "more_members", name, "-") for name in more]
        return found


def _merged(document: Document, node: Any) -> Schema | None:
    """A schema with what `allOf` adds to it; None for what is no schema."""
    node = document.resolved(node)
    if node is True:
        return {}
    if not isinstance(node, Mapping):
        return None
    parts = [document.resolved(each) for each in node.get("allOf", ())]
    merged: dict[str, Any] = {}
    for part in (*parts, {k: v for k, v in node.items() if k != "allOf"}):
        if not isinstance(part, Mapping):
            continue
        required = [*merged.get("required", ()), *part.get("required", ())]
        members = {**_mapping(merged.get("properties")), **_mapping(part.get("properties"))}
        merged |= part
        merged |= {"required": required} if required else {}
        merged |= {"properties": members} if members else {}
    return merged


def _options(schema: Schema) -> Sequence[Any] | None:
    for word in ("oneOf", "anyOf"):
        if isinstance(schema.get(word), list) and schema[word]:
            options: Sequence[Any] = schema[word]
            return options
    return None


def _types(schema: Schema) -> frozenset[str]:
    told = schema.get("type")
    types = {told} if isinstance(told, str) else set(told or ())
    if not types:
        if "const" in schema or "enum" in schema:
            types = {_type_of(each) for each in _listed(schema) or ()}
        elif "properties" in schema:
            types = {"object"}
        elif "items" in schema:
            types = {"array"}
    if types and schema.get("nullable") is True:  # OpenAPI 3.0
        types |= {"null"}
    return frozenset(types) & _ALL or _ALL


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def _listed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    listed = schema.get("enum")
    return list(listed) if isinstance(listed, list) else None


def _values(one: Schema, other: Schema, at: str) -> list[Difference]:
    allowed = _listed(other)
    if allowed is None:
        return []
    told = _listed(one)
    more = None if told is None else [each for each in told if each not in allowed]
    if more == []:
        return []
    shown = _SILENT if more is None else ", ".join(map(str, more))
    return [Difference(at, "values", shown[:200], ", ".join(map(str, allowed))[:200])]


def _format(one: Schema, other: Schema, at: str) -> list[Difference]:
    wanted, told = other.get("format"), one.get("format")
    if not isinstance(wanted, str) or told == wanted or _listed(one) is not None:
        return []
    if wanted not in ("date", "date-time", "uuid", "uri", "email"):
        return []
    return [Difference(at, "format", str(told or _SILENT), wanted)]


def _bounds(one: Schema, other: Schema, at: str) -> list[Difference]:
    """Bounds that both tell: who tells none means a sensible one."""
    for word in (*_LOW, *_HIGH):
        limit, mine = _number(other.get(word)), _number(one.get(word))
        if limit is None or mine is None:
            continue
        if (mine < limit) if word in _LOW else (mine > limit):
            return [Difference(at, "bound", f"{word}: {mine}", f"{word}: {limit}")]
    return []


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _mapping(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, Mapping) else {}


def _words(types: frozenset[str]) -> str:
    return "any" if types == _ALL else ", ".join(sorted(types))
