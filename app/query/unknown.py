"""Refusals of names that do not exist: each with the nearest that does. Names nothing hidden."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from app.kit.errors import Fault
from app.query.refusals import InvalidQuestion, UnknownParameter, wrong

# What other services call it, and how it is asked here.
_ELSEWHERE: Final[Mapping[str, str]] = {
    "near": "lat, lon, radius",
    "point": "lat, lon, radius",
    "distance": "radius",
    "datetime": "filter",
    "where": "filter",
    "order_by": "sort",
    "orderby": "sort",
    "offset": "cursor",
    "page": "cursor",
    "per_page": "limit",
    "size": "limit",
    "format": "f",
    "select": "fields",
    "by": "group_by",
    "groupby": "group_by",
}


def unknown(name: str, fields: Collection[str], asking: Collection[str]) -> UnknownParameter:
    """The refusal of a parameter: the nearest of the fields and of what asks, or all that ask."""
    near = _asked_here(name, asking) or _nearest(name, [*sorted(fields), *sorted(asking)])
    if near is not None:
        return _refused("パラメーター", "parameter", name, *_meant(near))
    names = ", ".join(sorted(asking))
    return _refused(
        "パラメーター", "parameter", name,
        f"使えるのは {names} と項目名です。", f"Known are {names}, and the names of fields.",
    )  # fmt: skip


def unknown_in_filter(name: str, fields: Collection[str]) -> UnknownParameter:
    """The refusal of a field that a filter names: it may be a text whose quotes were forgotten."""
    near = _nearest(name, sorted(fields))
    if near is not None:
        return _refused("項目", "field", name, *_meant(near))
    shown = name[:100].replace("'", "''")
    return _refused(
        "項目", "field", name,
        f"文字の値なら '{shown}' と一重引用符で囲んでください。",
        f"If it is a text, put it in single quotes: '{shown}'.",
    )  # fmt: skip


def no_field(parameter: str, name: str, known: Sequence[str]) -> InvalidQuestion:
    """The refusal of a field given as the value of `parameter`."""
    near = _nearest(name, known)
    ja, en = _meant(near) if near is not None else _those(known)
    return wrong(
        parameter,
        f"項目 {name[:100]} はありません。{ja}",
        f"There is no field {name[:100]}. {en}",
        "unknown_field",
    )


def no_join(name: str) -> InvalidQuestion:
    """The refusal of a join that the dataset does not declare: those of others are not looked up."""
    return wrong(
        "expand",
        f"結合 {name[:100]} はありません。使えるのは、データセットの登録内容の joins にある名前です。",
        f"There is no join {name[:100]}. The entry of the dataset names them in joins.",
        "unknown_field",
    )


def _those(known: Sequence[str]) -> tuple[str, str]:
    if not known:
        return "このデータセットには一つもありません。", "The dataset has none."
    names = ", ".join(known)
    return f"使えるのは {names} です。", f"There are {names}."


def _refused(what_ja: str, what_en: str, name: str, ja: str, en: str) -> UnknownParameter:
    named = {
        "what_ja": what_ja, "what_en": what_en, "name": name[:100],
        "nearest_ja": ja, "nearest_en": en,
    }  # fmt: skip
    refused = UnknownParameter
    fault = Fault(name[:100], refused.code, refused.ja.format(**named), refused.en.format(**named))
    return refused(**named, faults=[fault])


def _asked_here(name: str, asking: Collection[str]) -> str | None:
    here = _ELSEWHERE.get(name.lower())
    return here if here is not None and here.split(", ")[0] in asking else None


def _nearest(name: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return near[0] if near else None


def _meant(near: str) -> tuple[str, str]:
    return f"{near} のことですか。", f"Did you mean {near}?"
