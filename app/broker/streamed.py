"""Writes what a stream brings as records by API are written; a value that cannot be stored stops none.

Nobody is judged here: whoever set the stream up has been, and its organisation at each batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.broker.writing import current, end, fields_of, open_version, store
from app.catalogue import approval, runs
from app.models.datasets import Dataset, Version
from app.query.fields import Field
from app.tables.write import Outcome


@dataclass(frozen=True, slots=True)
class Base:
    """What a batch is written on: its locks are held until the transaction ends."""

    dataset: Dataset
    version: Version | None
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One record by column; of one that has gone its key alone. `at` is the row that brought it."""

    at: int
    values: dict[str, Any]
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a batch; `unstorable` are rows that the database does not take."""

    version: int | None
    revision: int
    written: int
    deleted: int
    unstorable: tuple[int, ...]


async def base_of(session: AsyncSession, dataset_id: str) -> Base:
    """The dataset and the version that readers get, locked. Raises what keeps records out."""
    dataset = await session.get_one(Dataset, dataset_id, with_for_update=True)
    runs.check_can_load(dataset)
    await approval.check_records(session, dataset)
    version = await current(session, dataset_id)
    return Base(dataset, version, tuple(fields_of(dataset, version)))


async def keep(session: AsyncSession, base: Base, changes: Sequence[Change], *, by: str) -> Kept:
    """Store the changes in their order: of several with one key the last one counts."""
    keys = [field.column for field in base.fields if field.key]
    last = {tuple(each.values[key] for key in keys): each for each in changes}
    fresh = [each for each in last.values() if not each.gone]
    version, unstorable = base.version, list[int]()
    if version is None and fresh:
        version = await open_version(session, base.dataset, by)
    if version is None:
        return Kept(None, 0, 0, 0, ())
    outcomes = await _store(session, version, base.fields, fresh, unstorable)
    gone = [each.values for each in last.values() if each.gone]
    deleted = await end(session, version, base.fields, gone)
    written = sum(outcome is not Outcome.UNCHANGED for outcome in outcomes)
    return Kept(version.number, version.revision, written, deleted, tuple(unstorable))


async def _store(
    session: AsyncSession,
    version: Version,
    fields: Sequence[Field],
    fresh: Sequence[Change],
    unstorable: list[int],
) -> list[Outcome]:
    """All at once; where one is refused, by halves until it stands alone."""
    if not fresh:
        return []
    try:
        async with session.begin_nested():
            return list(await store(session, version, fields, [each.values for each in fresh]))
    except DBAPIError as refused:
        if not _is_of_a_value(refused):
            raise
    await session.refresh(version)
    if len(fresh) == 1:
        unstorable.append(fresh[0].at)
        return []
    half = len(fresh) // 2
    first = await _store(session, version, fields, fresh[:half], unstorable)
    return first + await _store(session, version, fields, fresh[half:], unstorable)


def _is_of_a_value(refused: DBAPIError) -> bool:
    """Data that a column does not take (SQLSTATE 22), and keys too long for an index (54)."""
    state = str(getattr(refused.orig, "sqlstate", "") or "")
    return isinstance(refused, DataError) or state.startswith(("22", "54"))
