"""Writes under a condition on rows: none makes, moves out or touches a row that may not be had."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.broker.permitted import permitted_among
from app.formats.incoming import Incoming
from app.kit.errors import Fault
from app.models.datasets import Version
from app.policy.verdicts import Allow
from app.query.fields import Field, place_of
from app.query.matches import matches
from app.query.question import Condition
from app.query.question import Literal as Value
from app.tables import write as tables
from app.tables.layout import hosted_table

# One answer for a record outside and for a key that is taken outside: no more is told of either.
_OUTSIDE: Final = Fault(
    "",
    "row_not_permitted",
    "協定が認めるレコードの条件を満たしません（または、満たさないレコードのキーです）。",
    "It does not meet the agreement's condition on records, or is the key of one that does not.",
)


async def refuse_outside(
    session: AsyncSession,
    version: Version,
    fields: Sequence[Field],
    read: Sequence[Incoming],
    allow: Allow,
) -> None:
    """Find fault with each record that is, or would be, outside what the conditions let through.

    Raises `RowsNotTold`.
    """
    good = [each for each in read if not each.faults]
    if not allow.bounds or not good:
        return
    condition = permitted_among(version.dataset_id, fields, allow)
    stored = await _stored(session, version, fields, [each.values for each in good])
    keys = [field.column for field in fields if field.key]
    for each in good:
        before = stored.get(tuple(each.values[key] for key in keys))
        was_outside = before is not None and not _meets(condition, fields, before)
        if was_outside or not _meets(condition, fields, {**(before or {}), **each.values}):
            each.faults.append(_OUTSIDE)


async def is_permitted(
    session: AsyncSession,
    version: Version,
    fields: Sequence[Field],
    key: Mapping[str, Value],
    allow: Allow,
) -> bool:
    """Whether the record with this key may be had, or is none. Raises `RowsNotTold`."""
    if not allow.bounds:
        return True
    condition = permitted_among(version.dataset_id, fields, allow)
    stored = await _stored(session, version, fields, [key])
    return all(_meets(condition, fields, row) for row in stored.values())


async def _stored(
    session: AsyncSession,
    version: Version,
    fields: Sequence[Field],
    records: Sequence[Mapping[str, Any]],
) -> Mapping[tuple[Any, ...], Mapping[str, Any]]:
    table = hosted_table(version.table_name, fields)
    return await tables.find_stored(session, table, fields, records)


def _meets(condition: Condition, fields: Sequence[Field], row: Mapping[str, Any]) -> bool:
    record = {field.name: row.get(field.column) for field in fields}
    return matches(condition, record, place=place_of(fields)) is True
