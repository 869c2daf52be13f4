"""Holds the records of a dataset to a standard layout: its fields, types, codes, limits and keys.

It goes by the layout's JSON Schema, as it is published in the bundle, and fetches nothing for it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import quote

import jsonschema_rs

from app.certify.cases.values import is_code
from app.certify.client import NoAnswer, Server
from app.certify.judge import Outcome, Verdict, Wrong
from app.certify.stage import Record, Stage

_SHOWN: Final = 5  # findings of one rule, each of another field
_CODES: Final = ("code", "local_government_code", "phone", "postal_code")
# What is asked of a dataset that claims a layout, and why.
_RULES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "fields": (
        "データセットはこのレイアウトを profile に示し、レコードはその項目を備え、ほかの項目を持たない。",
        "The dataset names the layout as its profile; its records have the layout's fields and no other.",
        "同じレイアウトを名乗る二つの一覧は、対応表なしに一つにまとめられなければならない。",
        "Two lists that name the same layout have to go together without a table between them.",
    ),
    "types": (
        "値は項目の型とし、必須項目は値を持つ。",
        "A value is of its field's type, and a required field has one.",
        "数値の列に一つ混ざった文字列が、その列全体の計算を止める。",
        "One text among numbers stops every calculation over the column.",
    ),
    "codes": (
        "コードはコード表のものとし、団体コード・電話番号・郵便番号は決められた形とする。",
        "A code is one of its list; municipality codes, telephone numbers and postal codes have their form.",
        "表にないコードは、名称にも集計の区分にもならない。",
        "A code that is on no list has no name and belongs to no group.",
    ),
    "limits": (
        "値は、範囲、長さ、書式、条件付き必須の定めの内とする。",
        "A value is within its range, length and form, and is there where another one asks for it.",
        "地図の外の緯度や2月30日は、読めても使えない。",
        "A latitude off the map or the 30th of February can be read and not used.",
    ),
    "keys": (
        "キー項目は値を持ち、キーが同じレコードは二つない。",
        "Fields of the key have values, and no two records have the same key.",
        "キーが重なると、更新がどの施設のものか決められない。",
        "With a key twice, nobody can say which facility an update is of.",
    ),
}  # fmt: skip
_ASPECTS: Final = {
    "required": "fields", "additionalProperties": "fields", "type": "types", "enum": "codes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """A standard layout as the judge knows it. `name`: as `aed/2`; `schema`: of one record."""

    name: str
    schema: Mapping[str, Any]

    @property
    def profile(self) -> dict[str, Any]:
        """As a catalogue entry names it."""
        name, _, version = self.name.partition("/")
        return {"name": name, "version": int(version)}


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong: of which rule and field, in which record, and what was expected instead."""

    aspect: str
    field: str
    at: int | None
    expected: str
    seen: str


async def held(server: Server, stage: Stage, layout: Layout) -> list[Verdict]:
    """A verdict a rule of the layout on all records of the stage."""
    faults = [*_claim(stage, layout), *_of_records(stage, layout), *_of_keys(stage, layout)]
    return [await _verdict(server, stage, layout, aspect, faults) for aspect in _RULES]


async def _verdict(
    server: Server, stage: Stage, layout: Layout, aspect: str, faults: Sequence[_Fault]
) -> Verdict:
    ja, en, why_ja, why_en = _RULES[aspect]
    first: dict[str, _Fault] = {}
    for fault in faults:
        if fault.aspect == aspect:
            first.setdefault(fault.field, fault)
    wrong = [await _wrong(server, stage, each) for each in [*first.values()][:_SHOWN]]
    outcome, why = Outcome.BROKEN if wrong else Outcome.KEPT, None
    if not stage.records and not wrong and aspect != "fields":
        outcome, why = Outcome.NOT_SHOWN, ("there is no record", "レコードがありません")
    return Verdict(
        f"{layout.name}:{aspect}", f"profile {layout.name}", ja, en, outcome, tuple(wrong),
        why[0] if why else None, why[1] if why else None, why_ja, why_en,
    )  # fmt: skip


async def _wrong(server: Server, stage: Stage, fault: _Fault) -> Wrong:
    path, query = f"/v1/datasets/{stage.id}", None
    if fault.at is not None:
        keys = [str(each["name"]) for each in stage.fields if each.get("key")]
        record = stage.records[fault.at]
        path = stage.path
        if keys and all(record.get(name) is not None for name in keys):
            path += "/" + ",".join(quote(str(record[name]), safe="") for name in keys)
        else:
            query = {"limit": fault.at + 1}
    try:
        exchange = await server.get(path, query)
    except NoAnswer as none:
        exchange = none.exchange
    return Wrong(exchange.trimmed(server.hidden), fault.expected, fault.seen[:500])


def _claim(stage: Stage, layout: Layout) -> Iterator[_Fault]:
    named, wanted = stage.entry.get("profile"), layout.profile
    if not isinstance(named, dict) or any(named.get(n) != value for n, value in wanted.items()):
        yield _Fault("fields", "", None, f"profile {wanted} in the catalogue entry", str(named))
    told = {str(each.get("name")) for each in stage.fields}
    missing = [name for name in layout.schema["properties"] if name not in told]
    if missing:  # all at once: who mends them one by one judges as often
        expected = f"the fields {', '.join(missing)} of {layout.name}"
        yield _Fault("fields", missing[0], None, expected, "no such field")


def _of_records(stage: Stage, layout: Layout) -> Iterator[_Fault]:
    validator = jsonschema_rs.validator_for(
        dict(layout.schema), validate_formats=True, retriever=_nothing_else
    )
    properties = layout.schema["properties"]
    codes = [n for n, each in properties.items() if each.get("x-type") == "local_government_code"]
    for at, record in enumerate(stage.records):
        for error in validator.iter_errors(dict(record)):
            yield _fault(layout, at, record, [*error.schema_path], [*error.instance_path], error)
        for name in codes:
            value = record.get(name)
            if isinstance(value, str) and len(value) == 6 and not is_code(value):
                expected = f"{name}: a local government code with its check digit"
                yield _Fault("codes", name, at, expected, f"record {at + 1}: {value!r}")


def _fault(
    layout: Layout, at: int, record: Record, way: Sequence[Any], place: Sequence[Any], error: Any
) -> _Fault:
    keyword, field = str(way[-1]), str(place[0]) if place else ""
    properties = layout.schema["properties"]
    if keyword == "required" and not field:
        field = next((n for n in layout.schema["required"] if n not in record), "")
    if keyword == "additionalProperties":
        field = next((n for n in record if n not in properties), "")
    aspect = _ASPECTS.get(keyword, "limits")
    its = properties.get(field, {})
    if keyword == "pattern" and its.get("x-type") in _CODES:
        aspect = "codes"
    told = its.get(keyword, its.get("type", keyword))
    expected = f"{field}: {keyword} {told}"[:500]
    if keyword == "required" and field:
        expected = f"the field {field}, which {layout.name} requires"
    if keyword == "additionalProperties":
        expected = f"no fields but those of {layout.name}"
    return _Fault(aspect, field, at, expected, f"record {at + 1}: {error.message}")


def _of_keys(stage: Stage, layout: Layout) -> Iterator[_Fault]:
    names = [str(each) for each in layout.schema.get("x-key", ())]
    if not names:
        return
    keys = [tuple(record.get(name) for name in names) for record in stage.records]
    counts = Counter(map(str, keys))
    for at, key in enumerate(keys):
        if None in key or counts[str(key)] > 1:
            seen = f"record {at + 1}: {key}, {counts[str(key)]} times"
            yield _Fault("keys", ",".join(names), at, f"a key of its own in {names}", seen)


def _nothing_else(uri: str) -> NoReturn:
    raise ValueError(f"the schema refers to {uri}")
