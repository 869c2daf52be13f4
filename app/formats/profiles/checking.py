"""Records against a profile version: which are right, and for the others where and why; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.formats.incoming import read_record
from app.formats.profiles.layout import ProfileLayout
from app.formats.profiles.rules import broken
from app.kit.errors import Fault

MOST_FAULTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. `faults` holds at most `MOST_FAULTS`; pointers begin with the record."""

    records: int
    invalid: int
    faults: tuple[Fault, ...]
    truncated: bool


def check_records(records: Sequence[Any], layout: ProfileLayout) -> Checked:
    """Every record by the types, code lists and rules of the layout."""
    fields = layout.plain_fields
    writable = frozenset(field.name for field in fields)
    columns = {field.name: field.column for field in fields}
    faults: list[Fault] = []
    total = invalid = 0
    for at, record in enumerate(records):
        read = read_record(record, fields, writable)
        wrong = list(read.faults)
        if not wrong or read.values:
            values = {name: read.values.get(column) for name, column in columns.items()}
            wrong += broken(layout.rules, fields, values)
        invalid += bool(wrong)
        total += len(wrong)
        for fault in wrong[: MOST_FAULTS - len(faults)]:
            faults.append(Fault(f"/{at}{fault.pointer}", fault.code, fault.ja, fault.en))
    return Checked(len(records), invalid, tuple(faults), total > len(faults))
