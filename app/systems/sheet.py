"""The inventory as one sheet for a spreadsheet: a line a system, a cell for each thing said of it.

Several things in a cell stand on lines of their own. It reads cells that somebody else has opened.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from app.formats.dates import plain_date
from app.formats.text import CellError
from app.kit.errors import Fault
from app.models.systems import System
from app.query.codes import CodeError, local_government_code
from app.systems.description import Description
from app.systems.refusals import SystemInvalid

_BOM: Final = "\ufeff"
_STANDARD: Final = "標準"
_OWN: Final = "独自"
_NEEDED: Final = {
    "missing": "記入が必要です",
    "string_pattern_mismatch": "半角の英小文字と数字をハイフンでつないだ語。例 facility-booking",
    "string_too_short": "{min_length}文字以上",
    "string_too_long": "{max_length}文字まで",
    "too_long": "{max_length}件まで",
    "greater_than_equal": "{ge}以上",
    "less_than_equal": "{le}以下",
    "unknown_business": "次のいずれか: {known}",
    "control_character": "制御文字を除いてください",
}
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


# A line of a file by its number there, and its cells by heading.
Row = tuple[int, Mapping[str, str | None]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a sheet: a system to be added, or to be described anew where `id` is given."""

    number: int
    id: UUID | None
    organization_id: str | None
    said: Description


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    member: str  # of a description, a dot before a part of it
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _lines(cell: str) -> list[str]:
    return [line.strip() for line in cell.splitlines() if line.strip()]


def _joined(parts: Iterable[object]) -> str:
    return "\n".join(" ".join(str(part).split()) for part in parts)


def _pairs(cell: str) -> list[tuple[str, str]]:
    found = []
    for line in _lines(cell):
        name, equals, value = line.replace("＝", "=").partition("=")
        if not equals:
            raise ValueError(line)
        found.append((name.strip(), value.strip()))
    return found


def _certificate(told: dict[str, Any]) -> str:
    service = f" {told['service']}" if told.get("service") else ""
    return f"{told['name']}={told['until']}{service}"


def _certificates(cell: str) -> list[dict[str, Any]]:
    """Each `name=until`, or `name=until service`."""
    names = ("until", "service")
    return [
        {"name": name, **dict(zip(names, told.split(maxsplit=1), strict=False))}
        for name, told in _pairs(cell)
    ]


def _costs(cell: str) -> list[dict[str, Any]]:
    found = []
    for year, told in _pairs(cell):
        yen, *kind = told.replace(",", "").split(maxsplit=2)
        cost: dict[str, Any] = {"year": int(year), "yen": int(yen)}
        cost |= dict(zip(("kind", "note"), kind, strict=False))
        found.append(cost)
    return found


def _cost(cost: Mapping[str, Any]) -> str:
    more = [cost.get("kind", "operation"), cost["note"]] if "note" in cost else [cost.get("kind")]
    return " ".join(str(part) for part in (f"{cost['year']}={cost['yen']}", *more) if part)


def _interfaces(cell: str) -> list[dict[str, Any]]:
    return [{"standard": _is_standard(kind), "name": name} for kind, name in _pairs(cell)]


def _is_standard(word: str) -> bool:
    return {_STANDARD: True, _OWN: False}[word]


def _text(heading: str, member: str) -> _Column:
    return _Column(heading, member, str, str)


def _date(heading: str, member: str) -> _Column:
    return _Column(heading, member, str, _day)


def _day(cell: str) -> str:
    """As people write it, 令和9年3月31日 too; what is none is told of where all else is checked."""
    try:
        return plain_date(cell)
    except CellError:
        return cell


def _list(heading: str, member: str) -> _Column:
    return _Column(heading, member, _joined, _lines)


_COLUMNS: Final = (
    _text("システム名", "name"),
    _text("システム名_英語", "name_en"),
    _text("事業者", "vendor"),
    _text("機能", "function"),
    _list("利用者", "audience"),
    _text("系統", "family"),
    _list("業務", "businesses"),
    _text("状態", "state"),
    _text("設置形態", "hosting"),
    _text("移行先", "plan.hosting"),
    _date("移行期限", "plan.by"),
    _Column("選ばない理由", "plan.skipped",
            lambda told: _joined(f"{k}={v}" for k, v in told.items()), lambda cell: dict(_pairs(cell))),
    _date("契約開始日", "contract.since"),
    _date("契約終了日", "contract.until"),
    _Column("契約更新回数", "contract.renewals", str, int),
    _Column("応札者数", "contract.bidders", str, int),
    _Column("費用", "costs", lambda told: _joined(map(_cost, told)), _costs),
    _list("保有データ", "data_held"),
    _list("正本データセット", "datasets"),
    _Column("接続方式", "interfaces", lambda told: _joined(
        f"{_STANDARD if each['standard'] else _OWN}={each['name']}" for each in told), _interfaces),
    _list("書き出し形式", "export.formats"),
    _text("書き出しの取込番号", "export.run"),
    _Column("適合証明", "certificates",
            lambda told: _joined(map(_certificate, told)), _certificates),
    _text("個別改修", "customisation"),
    _text("文書", "documentation"),
    _text("承継のおそれ", "succession"),
    _text("備考", "note"),
)  # fmt: skip
_ID: Final = "ID"
_ORGANIZATION: Final = "組織"
HEADINGS: Final = (_ID, _ORGANIZATION, *(each.heading for each in _COLUMNS))


def written(systems: Sequence[System]) -> bytes:
    """The sheet as CSV, UTF-8 with a BOM."""
    out = io.StringIO()
    sheet = csv.writer(out)
    sheet.writerow(HEADINGS)
    for system in systems:
        cells = [_cell(system.description, each) for each in _COLUMNS]
        sheet.writerow([str(system.id), system.organization_id, *map(_no_formula, cells)])
    return (_BOM + out.getvalue()).encode()


def known_share(headings: Sequence[str]) -> float:
    """How much of a sheet's headings is known here: which table of a file is meant."""
    return sum(each in HEADINGS for each in headings) / max(len(headings), 1)


def read(rows: Sequence[Row]) -> list[Line]:
    """The lines of a sheet, by heading; one with neither name nor function is passed over.

    Raises `SystemInvalid`, which names each wrong cell by line and heading. Nothing is kept then.
    """
    faults: list[Fault] = []
    lines = []
    seen: dict[str, int] = {}
    for number, row in rows:
        if not any((row.get(heading) or "").strip() for heading in ("システム名", "機能")):
            continue
        said, wrong = _described(row, number)
        faults += wrong
        try:
            told = (row.get(_ID) or "").strip()
            system_id = UUID(told) if told else None
        except ValueError:
            faults.append(_wrong(number, _ID, "invalid_id", "UUID", "a UUID"))
            continue
        before = seen.setdefault(told, number)
        if told and before != number:
            faults.append(_twice(number, before))
        if said is not None:
            lines.append(Line(number, system_id, _owner(row.get(_ORGANIZATION)), said))
    if faults:
        raise SystemInvalid(faults=faults)
    return lines


def _owner(cell: str | None) -> str | None:
    """A local government code as it is meant (27383 → 273830); another id as it stands."""
    told = (cell or "").strip()
    try:
        return local_government_code(told)
    except CodeError:
        return told or None


def _described(
    row: Mapping[str, str | None], number: int
) -> tuple[Description | None, list[Fault]]:
    told: dict[str, Any] = {}
    faults: list[Fault] = []
    for column in _COLUMNS:
        cell = _as_said((row.get(column.heading) or "").strip())
        if not cell:
            continue
        try:
            value = column.read(cell)
        except (ValueError, KeyError, IndexError):
            faults.append(_unreadable(number, column))
            continue
        outer, _, inner = column.member.partition(".")
        if inner:
            told.setdefault(outer, {})[inner] = value
        else:
            told[outer] = value
    if "export" in told:
        told["export"].setdefault("formats", [])
    try:
        return Description.model_validate(told), faults
    except ValidationError as exc:
        return None, faults + [_of(number, error) for error in exc.errors(include_input=False)]


def _of(number: int, error: Any) -> Fault:
    path = [str(part) for part in error["loc"]]
    named = next((each for each in _COLUMNS if each.member in (".".join(path[:2]), path[0])), None)
    heading = named.heading if named else "/".join(path)
    return _wrong(number, heading, error["type"], _needed(error), error["msg"])


def _needed(error: Any) -> str:
    """What the cell must be, in Japanese: what the other words say in English."""
    code, told = error["type"], error.get("ctx", {})
    if code == "enum":
        return f"次のいずれか: {told['expected'].replace(' or ', ', ')}"
    if code.startswith("date"):
        return "2027-03-31 のような日付"
    said = _NEEDED.get(code)
    return said.format_map(told) if said else "GET /docs の SystemIn に書かれた値"


def _unreadable(number: int, column: _Column) -> Fault:
    shown = {"costs": "2020=4484700 revision", "interfaces": "標準=連携API",
             "plan.skipped": "gov_cloud=理由", "certificates": "linkage-v1=2027-03-31"}  # fmt: skip
    example = shown.get(column.member, "3")
    return _wrong(number, column.heading, "unreadable_cell", example, f"a cell such as {example}")


def _wrong(number: int, heading: str, code: str, ja: str, en: str) -> Fault:
    return Fault(
        f"{number}/{heading}", code, f"{number}行目の「{heading}」を確認してください（例・条件: {ja}）。",
        f"Look at “{heading}” of line {number}: {en}.",
    )  # fmt: skip


def _twice(number: int, before: int) -> Fault:
    return Fault(
        f"{number}/{_ID}", "id_twice", f"{number}行目のIDは{before}行目にもあります。",
        f"Line {number} has the ID of line {before} again.",
    )  # fmt: skip


def _cell(description: Mapping[str, Any], column: _Column) -> str:
    outer, _, inner = column.member.partition(".")
    value = description.get(outer)
    if inner:
        value = (value or {}).get(inner)
    return "" if value is None else column.write(value)


def _no_formula(cell: str) -> str:
    """A spreadsheet runs what begins so; an apostrophe before it makes it a text."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


def _as_said(cell: str) -> str:
    """The cell without that apostrophe."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULAS) else cell
