"""Takes the systems of a sheet into the inventory: all of them or none. Opens no file, commits nothing.

The sheet is somebody's work of an afternoon: everything that is wrong with it is said at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.events import Event
from app.formats.individual_number import holds_number
from app.formats.number_refusal import IndividualNumberRefused, Where
from app.kit.errors import Fault
from app.models.parties import Organization
from app.models.systems import System
from app.systems import inventory, sheet
from app.systems.refusals import SystemInvalid, SystemNotFound
from app.systems.sheet import Line, Row


class Outcome(StrEnum):
    """What became of one line."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


_EVENTS: Final = {Outcome.ADDED: Event.SYSTEM_ADDED, Outcome.CHANGED: Event.SYSTEM_CHANGED}


@dataclass(frozen=True, slots=True)
class Taken:
    """One line, its system, and what became of it."""

    line: Line
    system: System
    outcome: Outcome


def lines_of(rows: Sequence[Row]) -> list[Line]:
    """The lines of the rows. Raises `SystemInvalid`, `IndividualNumberRefused`."""
    for number, row in rows:
        if holds_number("\n".join(cell for cell in row.values() if cell).encode()):
            raise IndividualNumberRefused(Where(f"表の{number}行目", f"line {number} of the sheet"))
    if rows and not sheet.known_share([*rows[0][1]]):
        raise SystemInvalid(faults=[_no_headings()])
    return sheet.read(rows)


async def take(
    session: AsyncSession, lines: Sequence[Line], *, own: str | None,
    mine: Sequence[str] | None, by: str,
) -> list[Taken]:  # fmt: skip
    """Add each system, or describe it anew where the line has an id.

    `own`: whose they are where a line says nothing. `mine`: for whom the caller may act (None:
    for everybody). Raises `SystemInvalid` with every line that is wrong. The log waits for the
    commit from the end of it, however long the sheet is.
    """
    found: list[Taken] = []
    faults: list[Fault] = []
    owners = {each.organization_id or own for each in lines}
    # Held, so that each is asked for once.
    _held = (await session.scalars(select(Organization).where(Organization.id.in_(owners)))).all()
    known = await inventory.locked(session, [each.id for each in lines if each.id], mine)
    for line in lines:
        try:
            owner = line.organization_id or own
            found.append(
                await _changed(session, line, known, by) if line.id is not None
                else await _added(session, line, owner, mine, by)
            )  # fmt: skip
        except SystemNotFound as missing:
            faults.append(_of(line, "ID", missing.code, missing.words("ja"), missing.words("en")))
        except SystemInvalid as wrong:
            faults += [
                replace(each, pointer=f"{line.number}/{each.pointer}") for each in wrong.faults
            ]
    if faults:
        raise SystemInvalid(faults=faults)
    await session.flush()
    news = [(_EVENTS[each.outcome], each.system) for each in found if each.outcome in _EVENTS]
    await inventory.note(session, news)
    return found


async def _changed(session: AsyncSession, line: Line, known: dict[UUID, System], by: str) -> Taken:
    system = known.pop(line.id, None) if line.id else None
    if system is None:
        raise SystemNotFound(id=line.id)
    is_new = await inventory.describe(session, system, line.said, by=by)
    return Taken(line, system, Outcome.CHANGED if is_new else Outcome.UNCHANGED)


async def _added(
    session: AsyncSession, line: Line, owner: str | None, mine: Sequence[str] | None, by: str
) -> Taken:
    if owner is None:
        raise SystemInvalid(faults=[_nobodys()])
    if mine is not None and owner not in mine:
        raise SystemInvalid(faults=[_not_yours(owner)])
    system = await inventory.enter(session, owner, line.said, by=by)
    return Taken(line, system, Outcome.ADDED)


def counted(taken: Sequence[Taken]) -> dict[str, int]:
    """How many lines each thing became of."""
    return {each.value: sum(one.outcome is each for one in taken) for each in Outcome}


def _of(line: Line, heading: str, code: str, ja: str, en: str) -> Fault:
    return Fault(
        f"{line.number}/{heading}", code, f"{line.number}行目: {ja}", f"Line {line.number}: {en}"
    )


def _nobodys() -> Fault:
    return Fault(
        "組織", "organization_missing", "「組織」に、所有する組織のコードを記入してください。",
        "Say in “組織” whose the system is.",
    )  # fmt: skip


def _not_yours(owner: str) -> Fault:
    return Fault(
        "組織", "system_not_of_organization",
        f"組織 {owner} のシステムは登録できません。自組織か下位の組織を指定してください。",
        f"Systems of {owner} are not yours to keep. Name your own organisation or one below it.",
    )  # fmt: skip


def _no_headings() -> Fault:
    first = "、".join(sheet.HEADINGS[:4])
    return Fault(
        "1", "no_known_heading",
        f"台帳の見出しがありません（{first} など）。GET /v1/systems/sheet.csv の見出しを使ってください。",
        f"No heading is one of the inventory's ({first}…). Use those of GET /v1/systems/sheet.csv.",
    )  # fmt: skip
