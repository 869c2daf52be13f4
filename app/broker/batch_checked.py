"""What is wrong with the records of a batch, and how each of them is answered. Stores nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.formats.incoming import Incoming
from app.formats.profiles.rules import broken
from app.kit.errors import Fault
from app.query.fields import Field
from app.tables import write as tables


def refuse_broken(
    read: Sequence[Incoming], fields: Sequence[Field], rules: Sequence[Mapping[str, Any]]
) -> None:
    """A record that breaks a rule of its profile is not written."""
    if not rules:
        return
    for each in read:
        if not each.faults:
            values = {field.name: each.values.get(field.column) for field in fields}
            each.faults.extend(broken(rules, fields, values))


def refuse_doubles(read: Sequence[Incoming]) -> None:
    """A key given twice in one batch has no order to be written in."""
    seen: set[str] = set()
    for each in read:
        if each.key is None or each.faults:
            continue  # a record that is not written stands in no other's way
        if each.key in seen:
            each.faults.append(
                Fault("", "duplicate_key", "同じキーが二度あります。", "The key comes twice.")
            )
        seen.add(each.key)


def result_of(at: int, each: Incoming, outcome: tables.Outcome | None) -> dict[str, Any]:
    """In both languages: a retry may ask in another one."""
    errors = [
        {
            "pointer": f"/{at}{fault.pointer}",
            "code": fault.code,
            "detail": fault.ja,
            "detail_en": fault.en,
        }
        for fault in each.faults
    ]
    status = "rejected" if outcome is None else outcome.value
    return {"index": at, "key": each.key, "status": status, "errors": errors}
