"""Records to write, made from what the catalogue says of the dataset's fields. Pure; copies nobody's."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.certify.judge import NotShown
from app.certify.sandbox import key_fields
from app.certify.stage import Stage

# Of real municipalities, so that a service that knows them all takes them.
_MUNICIPALITIES: Final = ("271004", "131016", "011002", "401307")

_MADE: Final[Mapping[str, Callable[[int], Any]]] = {
    "text": lambda n: f"試験{n}",
    "code": lambda n: f"{n:07d}",
    "local_government_code": lambda n: _MUNICIPALITIES[n % len(_MUNICIPALITIES)],
    "phone": lambda n: f"06-0000-{n % 10_000:04d}",
    "postal_code": lambda n: f"530-{n % 10_000:04d}",
    "url": lambda n: f"https://example.jp/{n}",
    "email": lambda n: f"shiken{n}@example.jp",
    "kana": lambda n: "シケン" + "アイウエオ"[n % 5],
    "integer": lambda n: n % 1_000,
    "decimal": lambda n: n % 1_000 + 0.5,
    "boolean": lambda n: n % 2 == 0,
    "date": lambda n: f"2026-04-{1 + n % 28:02d}",
    "time": lambda n: f"{n % 24:02d}:00:00",
    "datetime": lambda n: f"2026-04-01T{n % 24:02d}:00:00+09:00",
    "month": lambda n: f"2026-{1 + n % 12:02d}",
    "fiscal_year": lambda n: str(2000 + n % 27),
    "latitude": lambda n: 34.6 + n % 100 / 1_000,
    "longitude": lambda n: 135.4 + n % 100 / 1_000,
    "geometry": lambda n: {"type": "Point", "coordinates": [135.4 + n % 100 / 1_000, 34.6]},
}  # fmt: skip
_SPOILT: Final[Mapping[str, Any]] = {
    "integer": "many", "decimal": "many", "latitude": "north", "longitude": "east",
    "date": "2026-13-45", "datetime": "yesterday", "month": "2026-99",
    "local_government_code": "271005",
}  # fmt: skip
# Whose values come back as they were sent.
_PLAIN: Final = ("text", "integer", "code", "decimal", "email", "url", "kana", "date", "boolean")


def made(stage: Stage, prefix: str, number: int) -> dict[str, Any]:
    """A good record under the prefix. Raises `NotShown` where the catalogue does not tell enough."""
    _check_key(stage)
    keys = key_fields(stage)
    record: dict[str, Any] = {}
    for each in stage.fields:
        name = str(each.get("name"))
        value = f"{prefix}{number:05d}" if name == keys[0] else _value(each, number)
        if value is None and (each.get("required") or each.get("key")):
            why = f"the required field {name} is of a type that cannot be made: {each.get('type')}"
            raise NotShown(why, f"必須項目 {name} の値を型 {each.get('type')} から作れません")
        record[name] = value
    return record


def changed(stage: Stage, record: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The same record with another value in the field `marker`."""
    name = marker(stage)
    (its,) = [each for each in stage.fields if each.get("name") == name]
    for step in range(1, 4):
        value = _value(its, number + step)
        if value != record[name]:
            return {**record, name: value}
    raise NotShown(f"the field {name} has one value only", f"項目 {name} の値は一つだけです")


def marker(stage: Stage) -> str:
    """The field by which a record's states are told apart."""
    for kind in _PLAIN:
        for each in stage.fields:
            codes = each.get("code_list")
            is_free = not each.get("key") and (not codes or len(codes) > 1)
            if each.get("type") == kind and is_free:
                return str(each["name"])
    raise NotShown("no field but the key can be changed", "キーのほかに変えられる項目がありません")


def spoilt(stage: Stage, record: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The same record with one value that no service may take, and the field that holds it."""
    fields = [each for each in stage.fields if not each.get("key")]
    for each in fields:
        if each.get("type") in _SPOILT and not each.get("code_list"):
            return {**record, str(each["name"]): _SPOILT[each["type"]]}, str(each["name"])
    for each in fields:
        if each.get("code_list"):
            return {**record, str(each["name"]): "no-such-code"}, str(each["name"])
    for each in fields:
        if each.get("required"):
            return {**record, str(each["name"]): None}, str(each["name"])
    raise NotShown("no field could hold a wrong value", "誤った値を持てる項目がありません")


def _check_key(stage: Stage) -> None:
    keys = [each for each in stage.fields if each.get("key")]
    if not keys:
        raise NotShown("the dataset has no key", "データセットにキーがありません")
    first = keys[0]
    if first.get("type") not in {"text", "code"} or first.get("code_list"):
        why = f"the key {first.get('name')} cannot begin with a prefix"
        raise NotShown(why, f"キー {first.get('name')} は接頭辞で始められません")


def _value(field: Mapping[str, Any], number: int) -> Any:
    codes = field.get("code_list")
    if isinstance(codes, Mapping) and codes:
        return list(codes)[number % len(codes)]
    make = _MADE.get(str(field.get("type")))
    return make(number) if make is not None else None
