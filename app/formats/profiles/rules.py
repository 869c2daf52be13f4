"""A profile's rules as data: ranges, lengths, patterns, field against field, and the area."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from app.formats.profiles.patterns import (
    MOST_SIZE_TOGETHER,
    is_full_match,
    refused_because,
    size_of,
)
from app.kit.errors import Fault
from app.query.codes import CodeError, local_government_code
from app.query.fields import NUMBER_TYPES, TEXT_TYPES, Field, FieldType, place_of

Rule = Mapping[str, Any]
Values = Mapping[str, Any]  # by field name: as `read_record` gives them

_ORDERED: Final = NUMBER_TYPES | {FieldType.DATE, FieldType.DATETIME, FieldType.TIME}
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
OPERATORS: Final = tuple(_COMPARE)


def check_rules(rules: Sequence[Rule], fields: Sequence[Field]) -> list[Fault]:
    """What is wrong with the rules themselves: unknown fields, types that do not fit, patterns."""
    known = {field.name: field for field in fields}
    faults = []
    patterns = {rule["pattern"] for rule in rules if rule.get("pattern") is not None}
    if sum(map(size_of, patterns)) > MOST_SIZE_TOGETHER:
        return [
            Fault(
                "/rules",
                "rule_bad_pattern",
                "pattern の繰り返しが全体で大きすぎます。回数を減らしてください。",
                "Together the patterns repeat too much. Repeat less often.",
            )
        ]
    for at, rule in enumerate(rules):
        for told in _wrong(rule, known):
            faults.append(Fault(f"/rules/{at}", *told))
    return faults


def _wrong(rule: Rule, known: Mapping[str, Field]) -> list[tuple[str, str, str]]:
    named = _named(rule)
    missing = [name for name in named if name not in known]
    if missing:
        name = missing[0][:80]
        return [("rule_unknown_field", f"項目 {name} がありません。", f"There is no field {name}.")]
    if "compare" in rule:
        kinds = {_kind(known[name]) for name in named}
        if len(kinds) > 1:
            return [
                ("rule_type", "同じ型の項目どうしを比べてください。", "Compare fields of one type.")
            ]
        return []
    if "area" in rule:
        return _wrong_area(rule["area"], list(known.values()))
    return _wrong_limits(rule, known[named[0]]) if "field" in rule else []


def _named(rule: Rule) -> list[str]:
    if "compare" in rule:
        return [rule["compare"][0], rule["compare"][2]]
    return [str(rule[key]) for key in ("field", "when", "required") if key in rule]


def _kind(field: Field) -> str:
    if field.type in NUMBER_TYPES:
        return "number"
    return field.type.value if field.type in _ORDERED else "text"


def _wrong_limits(rule: Rule, field: Field) -> list[tuple[str, str, str]]:
    found = []
    low, high = rule.get("min"), rule.get("max")
    if (low is not None or high is not None) and field.type not in NUMBER_TYPES:
        found.append(
            ("rule_type", "min と max は数値の項目に使います。", "min and max are for numbers.")
        )
    if low is not None and high is not None and low > high:
        found.append(("rule_range", "min が max を超えています。", "min is above max."))
    texts = [key for key in ("pattern", "min_length", "max_length") if rule.get(key) is not None]
    if texts and field.type not in TEXT_TYPES:
        found.append(
            ("rule_type", f"{texts[0]} は文字列の項目に使います。", f"{texts[0]} is for text.")
        )
    why = refused_because(rule["pattern"]) if rule.get("pattern") is not None else None
    if why is not None:
        found.append(("rule_bad_pattern", f"pattern を使えません: {why[0]}。", f"The pattern is refused: {why[1]}."))  # fmt: skip
    return found


def _wrong_area(area: Mapping[str, Any], fields: Sequence[Field]) -> list[tuple[str, str, str]]:
    found = []
    if area.get("bbox") is not None:
        west, south, east, north = area["bbox"]
        if west >= east or south >= north:
            found.append(
                (
                    "rule_range",
                    "bbox は西・南・東・北の順です。",
                    "bbox is west, south, east, north.",
                )
            )
        if place_of(fields) is None:
            found.append(
                (
                    "rule_type",
                    "緯度と経度の項目がありません。",
                    "There is no latitude and longitude.",
                )
            )
    for code in area.get("municipalities") or ():
        try:
            local_government_code(code)
        except CodeError as exc:
            found.append(
                (
                    exc.code,
                    f"地方公共団体コード {code} に誤りがあります。",
                    f"The code {code} is wrong.",
                )
            )
    return found


def broken(rules: Sequence[Rule], fields: Sequence[Field], values: Values) -> list[Fault]:
    """The rules that one record breaks. Null values break nothing but `required`."""
    found: list[Fault] = []
    for rule in rules:
        if "compare" in rule:
            found += _compared(rule["compare"], values)
        elif "when" in rule:
            found += _required_when(rule["when"], rule["required"], values)
        elif "area" in rule:
            found += _outside(rule["area"], fields, values)
        else:
            found += _limited(rule, values.get(rule["field"]))
    return found


def _compared(rule: Sequence[str], values: Values) -> list[Fault]:
    first, operator, second = rule
    a, b = _comparable(values.get(first)), _comparable(values.get(second))
    if a is None or b is None or _COMPARE[operator](a, b):
        return []
    said = f"{first} {operator} {second}"
    return [
        Fault(f"/{first}", "rule_compare", f"{said} になっていません。", f"{said} does not hold.")
    ]


def _comparable(value: Any) -> Any:
    """Numbers with numbers; times as text order right when they are of one length (HH:MM)."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, str):
        return value.zfill(8) if len(value) > 5 else value.zfill(5)
    return value if isinstance(value, int | Decimal | date | datetime) else None


def _required_when(given: str, wanted: str, values: Values) -> list[Fault]:
    if values.get(given) is None or values.get(wanted) is not None:
        return []
    return [Fault(f"/{wanted}", "rule_required", f"{given} があるとき {wanted} は必須です。",
                  f"{wanted} is required when {given} is given.")]  # fmt: skip


def _limited(rule: Rule, value: Any) -> list[Fault]:
    if value is None:
        return []
    name = rule["field"]
    for key, holds in _LIMITS.items():
        limit = rule.get(key)
        if limit is not None and not holds(value, limit):
            ja, en = _LIMIT_WORDS[key]
            return [Fault(f"/{name}", f"rule_{key}", f"{name} は{ja.format(limit)}",
                          f"{name} must be {en.format(limit)}")]  # fmt: skip
    return []


_LIMITS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "min": lambda value, limit: value >= limit,
    "max": lambda value, limit: value <= limit,
    "min_length": lambda value, limit: len(value) >= limit,
    "max_length": lambda value, limit: len(value) <= limit,
    "pattern": lambda value, limit: is_full_match(limit, value),
}
_LIMIT_WORDS: Final = {
    "min": ("{} 以上です。", "at least {}."),
    "max": ("{} 以下です。", "at most {}."),
    "min_length": ("{} 文字以上です。", "at least {} characters long."),
    "max_length": ("{} 文字以内です。", "at most {} characters long."),
    "pattern": ("{} の形です。", "of the form {}."),
}


def _outside(area: Mapping[str, Any], fields: Sequence[Field], values: Values) -> list[Fault]:
    found = []
    place = place_of(fields)
    if area.get("bbox") is not None and place is not None:
        latitude, longitude = (values.get(each.name) for each in place)
        west, south, east, north = area["bbox"]
        if latitude is not None and longitude is not None and not (
            south <= latitude <= north and west <= longitude <= east
        ):  # fmt: skip
            found.append(Fault(f"/{place[0].name}", "rule_area", "対象区域の外の座標です。",
                               "The place lies outside the profile's area."))  # fmt: skip
    codes = {local_government_code(code) for code in area.get("municipalities") or ()}
    for field in fields:
        value = values.get(field.name)
        if codes and field.type is FieldType.LOCAL_GOVERNMENT_CODE and value not in (None, *codes):
            found.append(Fault(f"/{field.name}", "rule_area", "対象区域の外の地方公共団体コードです。",
                               "The code is of no municipality of the profile's area."))  # fmt: skip
    return found
