"""Takes the systems of a sheet into the inventory: all of them or none. Opens no file, commits nothing.

The sheet is somebody's work of an afternoon: everything that is wrong with it is said at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from app.formats.individual_number import holds_number
from app.formats.number_refusal import IndividualNumberRefused, Where
from app.kit.errors import Fault
from app.models.systems import System
from app.systems import inventory, sheet
from app.systems.refusals import SystemInvalid, SystemNotFound
from app.systems.sheet import Line


class Outcome(StrEnum):
    """What became of one line."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Taken:
    """One line, its system, and what became of it."""

    line: Line
    system: System
    outcome: Outcome


def lines_of(rows: Sequence[Mapping[str, str | None]]) -> list[Line]:
    """The lines of the rows. Raises `SystemInvalid`, `IndividualNumberRefused`."""
    for number, row in enumerate(rows, start=1):
        if holds_number("\n".join(cell for cell in row.values() if cell).encode()):
            raise IndividualNumberRefused(Where(f"表の{number}行目", f"row {number} of the table"))
    if rows and not sheet.known_share([*rows[0]]):
        raise SystemInvalid(faults=[_no_headings()])
    return sheet.read(rows)


async def take(
    session: AsyncSession, lines: Sequence[Line], *, own: str | None,
    mine: Sequence[str] | None, by: str,
) -> list[Taken]:  # fmt: skip
    """Add each system, or describe it anew where the line has an id.

    `own`: whose they are where a line says nothing. `mine`: for whom the caller may act (None:
    for everybody). Raises `SystemInvalid` with every line that is wrong.
    """
    found: list[Taken] = []
    faults: list[Fault] = []
    for line in lines:
        try:
            found.append(await _taken(session, line, line.organization_id or own, mine, by))
        except SystemNotFound as missing:
            faults.append(_of(line, "ID", missing.code, missing.words("ja"), missing.words("en")))
        except SystemInvalid as wrong:
            faults += [
                replace(each, pointer=f"{line.number}/{each.pointer}") for each in wrong.faults
            ]
    if faults:
        raise SystemInvalid(faults=faults)
    return found


async def _taken(
    session: AsyncSession, line: Line, owner: str | None, mine: Sequence[str] | None, by: str
) -> Taken:
    if line.id is not None:
        system = await inventory.get(session, line.id, mine, lock=True)
        before = system.revision
        await inventory.change(session, system, line.said, revision=None, by=by)
        is_same = system.revision == before
        return Taken(line, system, Outcome.UNCHANGED if is_same else Outcome.CHANGED)
    if owner is None or (mine is not None and owner not in mine):
        raise SystemInvalid(faults=[_not_yours(owner)])
    return Taken(line, await inventory.add(session, owner, line.said, by=by), Outcome.ADDED)


def _of(line: Line, heading: str, code: str, ja: str, en: str) -> Fault:
    return Fault(
        f"{line.number}/{heading}", code, f"{line.number}行目: {ja}", f"Line {line.number}: {en}"
    )


def _not_yours(owner: str | None) -> Fault:
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
