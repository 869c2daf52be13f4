"""Versions other than the present one, decided with their own columns. Reads no record."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, TypeVar

from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from app.broker.decide import Decider, facts_for
from app.broker.people import SubjectNotTold, are_renamed
from app.broker.permitted import RowsNotTold, is_plain, permitted
from app.broker.recording import Asker
from app.broker.snapshot import Known
from app.catalogue.entries import VersionEntry, load_version
from app.catalogue.refusals import NoKey
from app.kit.errors import AppError
from app.policy.facts import Action
from app.policy.verdicts import Allow
from app.query.fields import Field
from app.query.question import Condition
from app.query.refusals import ColumnNotVisible

_Refusal = TypeVar("_Refusal", bound=AppError)
_NO_SUCH_TABLE: Final = "42P01"


async def entry_of(session: AsyncSession, known: Known, number: int) -> VersionEntry:
    """A version by number, as it is remembered if it is the one that readers get.

    Raises `VersionNotFound`, `VersionDropped`.
    """
    current = known.entry.version
    if current is not None and current.number == number:
        return current
    return await load_version(session, known.entry.id, number)


async def allow_for(
    decider: Decider,
    known: Known,
    version: VersionEntry | None,
    asker: Asker,
    action: Action = Action.READ,
    *,
    again: bool = False,
    takes_live: bool = False,
) -> Allow:
    """The verdict on a read of this version, by its own columns; a no is logged and raised.

    `again`: the same request was counted for another version. `takes_live`: of what a source
    answers too.

    Raises `RowsNotTold` where its conditions on rows cannot be read for the version.
    """
    if version is not None and version is not known.entry.version:
        known = replace(known, entry=replace(known.entry, facts=facts_for(known, version)))
    allow = await decider.allow(
        known, asker.caller, action, asker.purpose, asker.request_id, again=again,
        takes_live=takes_live,
    )  # fmt: skip
    if version is not None and allow.bounds:
        try:
            permitted(known.entry.id, version, allow)
        except RowsNotTold as refusal:
            raise await refused(decider, known, asker, refusal) from None
    return allow


async def plainly_permitted(
    decider: Decider, known: Known, version: VersionEntry, allow: Allow, asker: Asker
) -> Condition | None:
    """What every row must meet to leave, for a door where PostgreSQL alone judges rows.

    Raises `RowsNotTold` (logged) for a condition on places.
    """
    condition = permitted(known.entry.id, version, allow)
    if not is_plain(condition):
        raise await refused(decider, known, asker, RowsNotTold(dataset=known.entry.id))
    return condition


async def refuse_renamed(decider: Decider, known: Known, asker: Asker) -> None:
    """For a door where names of people cannot be changed. Raises `SubjectNotTold` (logged)."""
    if are_renamed(known.entry.facts, asker.caller):
        raise await refused(decider, known, asker, SubjectNotTold(dataset=known.entry.id))


async def refused(decider: Decider, known: Known, asker: Asker, refusal: _Refusal) -> _Refusal:
    """A refusal written to the log."""
    await decider.refuse(known, asker.caller, refusal.code, asker.purpose, asker.request_id)
    refusal.logged = True
    return refusal


async def visible_key(
    decider: Decider, known: Known, version: VersionEntry, allow: Allow, asker: Asker
) -> list[Field]:
    """The fields of the key. Raises `NoKey`, and `ColumnNotVisible` (logged) if one is hidden."""
    keys = [field for field in version.fields.values() if field.key]
    if not keys:
        raise NoKey(dataset=known.entry.id)
    hidden = [field.name for field in keys if field.name not in allow.columns]
    if hidden:
        raise await refuse_columns(decider, known, hidden, asker)
    return keys


async def refuse_columns(
    decider: Decider, known: Known, names: list[str], asker: Asker
) -> ColumnNotVisible:
    """The refusal of hidden columns, written to the log."""
    return await refused(decider, known, asker, ColumnNotVisible(names=", ".join(names)))


@contextmanager
def while_kept(gone: AppError) -> Iterator[None]:
    """Raise `gone` where a table was let go between looking it up and reading it."""
    try:
        yield
    except ProgrammingError as exc:
        if getattr(exc.orig, "sqlstate", None) != _NO_SUCH_TABLE:
            raise
        raise gone from exc
