"""What changed between the fields of two versions, and which of it a steward must confirm. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from app.query.fields import Field


class Change(StrEnum):
    """What happened to a field."""

    ADDED = "added"
    REMOVED = "removed"
    RETYPED = "retyped"
    REKEYED = "rekeyed"  # it became part of the key, or ceased to be
    UNIT_CHANGED = "unit_changed"
    VISIBILITY_CHANGED = "visibility_changed"
    RELABELLED = "relabelled"


# What breaks a reader, changes what a number means or who sees it. The rest only adds or words.
INCOMPATIBLE: Final = frozenset(
    {
        Change.REMOVED,
        Change.RETYPED,
        Change.REKEYED,
        Change.UNIT_CHANGED,
        Change.VISIBILITY_CHANGED,
    }
)


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One change of one field; before and after as JSON, null where there is none."""

    change: Change
    field: str
    before: Any
    after: Any

    @property
    def is_compatible(self) -> bool:
        """Whether who reads the old version can read the new one."""
        return self.change not in INCOMPATIBLE

    def as_json(self) -> dict[str, Any]:
        """The change as answers show it."""
        return {
            "change": self.change.value,
            "field": self.field,
            "before": self.before,
            "after": self.after,
            "compatible": self.is_compatible,
        }


def schema_changes(old: Sequence[Field], new: Sequence[Field]) -> list[SchemaChange]:
    """Every change from `old` to `new`, fields of the new order first, then those that went."""
    before = {field.name: field for field in old}
    after = {field.name: field for field in new}
    found: list[SchemaChange] = []
    for name, field in after.items():
        found += _changes(before[name], field) if name in before else _added(field)
    for name, field in before.items():
        if name not in after:
            found.append(SchemaChange(Change.REMOVED, name, field.type.value, None))
    return found


def incompatible(changes: Sequence[SchemaChange]) -> list[SchemaChange]:
    """Those that a steward confirms."""
    return [change for change in changes if not change.is_compatible]


def _added(field: Field) -> list[SchemaChange]:
    found = [SchemaChange(Change.ADDED, field.name, None, field.type.value)]
    if field.key:
        found.append(SchemaChange(Change.REKEYED, field.name, False, True))
    return found


def _changes(old: Field, new: Field) -> list[SchemaChange]:
    compared = (
        (Change.RETYPED, old.type.value, new.type.value),
        (Change.REKEYED, old.key, new.key),
        (Change.UNIT_CHANGED, old.unit, new.unit),
        (Change.VISIBILITY_CHANGED, old.visibility, new.visibility),
        (Change.RELABELLED, old.label, new.label),
    )
    return [
        SchemaChange(change, new.name, before, after)
        for change, before, after in compared
        if before != after
    ]
