"""Fields as their publisher declares them, checked. Gives them columns; never changes a label."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.kit.errors import Fault
from app.query.fields import Field, FieldType, Visibility

# PostgreSQL has 1,600 columns at most; five are ours, and wide rows do not fit a page anyway.
MOST_FIELDS: Final = 1_500
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,59}\Z", re.ASCII)
# An answer to lat, lon and radius adds this member. (A field named like a query parameter is asked
# for with filter=, where names are fields only.)
_RESERVED: Final = frozenset({"distance"})


def declare(given: Sequence[Mapping[str, Any]], faults: list[Fault]) -> tuple[Field, ...]:
    """Declared fields with their columns c001…; what is wrong is added to `faults`."""
    if len(given) > MOST_FIELDS:
        faults.append(
            Fault(
                "/fields",
                "too_many_fields",
                f"項目は{MOST_FIELDS}個までです。",
                f"At most {MOST_FIELDS} fields.",
            )
        )
        return ()
    taken: set[str] = set()
    found = []
    for at, one in enumerate(given):
        name = str(one["name"])
        _check_name(name, f"/fields/{at}/name", taken, faults)
        _check_geometry(one, f"/fields/{at}", faults)
        taken.add(name)
        found.append(_field(at, one))
    return tuple(found)


def _check_name(name: str, pointer: str, taken: set[str], faults: list[Fault]) -> None:
    if not _NAME.match(name) or name in _RESERVED:
        faults.append(
            Fault(
                pointer,
                "invalid_field_name",
                f"項目名 {name[:80]} は使えません。英小文字で始まる英数字と _ で、予約語以外にしてください。",
                f"The field name {name[:80]} cannot be used: lower-case letters, digits and _,"
                " beginning with a letter, and no reserved word.",
            )
        )
    elif name in taken:
        faults.append(
            Fault(
                pointer,
                "duplicate_field_name",
                f"項目名 {name} が重複しています。",
                f"The field name {name} is given twice.",
            )
        )


def _check_geometry(one: Mapping[str, Any], pointer: str, faults: list[Fault]) -> None:
    if one["type"] == FieldType.GEOMETRY and (one.get("key") or one.get("code_list")):
        faults.append(
            Fault(
                pointer,
                "geometry_not_comparable",
                "ジオメトリはキーにもコード表の項目にもできません。",
                "A geometry can be neither a key nor one of a list of codes.",
            )
        )


def _field(at: int, one: Mapping[str, Any]) -> Field:
    codes = one.get("code_list")
    visibility = one.get("visibility")
    return Field(
        name=str(one["name"]),
        column=f"c{at + 1:03}",
        label=str(one.get("label") or one["name"]),
        type=FieldType(one["type"]),
        key=bool(one.get("key", False)),
        required=bool(one.get("required", False)) or bool(one.get("key", False)),
        unit=one.get("unit"),
        code_list=tuple(codes.items()) if codes else None,
        visibility=Visibility(visibility) if visibility else None,
        description=one.get("description"),
    )
