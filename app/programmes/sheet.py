"""A sheet of projects as a prefecture or a ministry publishes it, read whole or refused whole."""

import csv
import difflib
import io
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from app.kit.errors import Fault
from app.programmes.description import ProjectDescription
from app.programmes.refusals import SheetInvalid
from app.query.codes import CodeError, local_government_code

_CODE: Final = "local_government_code"
# The columns by what they say of a project; the name of the municipality is for people alone.
_MEMBERS: Final = {
    "title": "project",
    "requested_thousand_yen": "subsidy_thousand_yen",
    "total_cost_thousand_yen": "total_cost_thousand_yen",
    "linkage_needed": "linkage_needed",
}
_COLUMNS: Final = ("municipality", _CODE, *_MEMBERS.values())
_NEEDED: Final = (_CODE, "project")
_AMOUNT: Final = ("千円単位の0以上の整数", "a whole number of thousand yen")
_MUST: Final[Mapping[str, tuple[str, str]]] = {
    _CODE: ("検査数字まで正しい全国地方公共団体コード", "a local government code"),
    "project": ("制御文字のない1〜200文字", "1 to 200 characters, no control character"),
    "subsidy_thousand_yen": _AMOUNT,
    "total_cost_thousand_yen": _AMOUNT,
    "linkage_needed": (
        "制御文字のない4000文字まで",
        "4000 characters at most, no control character",
    ),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A project of a municipality."""

    number: int
    organization_id: str
    said: ProjectDescription


def read(content: bytes) -> list[Line]:
    """The projects of a CSV file, in UTF-8 or CP932. Raises `SheetInvalid`, which names each fault."""
    rows = csv.DictReader(io.StringIO(_text(content), newline=""))
    try:
        names = [each.strip() for each in rows.fieldnames or ()]
        faults = list(_wrong_columns(names))
        if faults:
            raise SheetInvalid(faults=faults)
        rows.fieldnames = names
        # The line of the file that a row ends on: a cell may hold a line break.
        read_rows = [(rows.line_num, row) for row in rows]
    except csv.Error as wrong:
        raise _unreadable(f"{rows.line_num}", "csv_invalid", "CSV", str(wrong)) from wrong
    lines = [line for at, row in read_rows if (line := _line(at, row, faults)) is not None]
    if faults:
        raise SheetInvalid(faults=faults)
    return lines


def _text(content: bytes) -> str:
    for encoding in ("utf-8-sig", "cp932"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise _unreadable("1", "encoding_unknown", "UTF-8 か Shift_JIS（CP932）のCSV", "its encoding")


def _wrong_columns(names: Sequence[str]) -> Iterator[Fault]:
    for each in _NEEDED:
        if each not in names:
            yield Fault(f"1/{each}", "column_missing", f"1行目に列 {each} がありません。",
                        f"Line 1 has no column {each}.")  # fmt: skip
    for each in names:
        if each not in _COLUMNS:
            near = difflib.get_close_matches(each, _COLUMNS, n=1, cutoff=0.5)
            known, shown = ", ".join(near or _COLUMNS), each[:60]
            yield Fault(f"1/{shown}", "column_unknown", f"列 {shown} は使えません。使えるのは {known} です。",
                        f"There is no column {shown}; there is {known}.")  # fmt: skip


def _line(number: int, row: Mapping[str, str | None], faults: list[Fault]) -> Line | None:
    before, code, said = len(faults), "", None
    told = {member: (row.get(column) or "").strip() or None for member, column in _MEMBERS.items()}
    for member in ("requested_thousand_yen", "total_cost_thousand_yen"):
        told[member] = _amount(told[member] or "") or None
    try:
        code = local_government_code((row.get(_CODE) or "").strip())
    except CodeError as wrong:
        faults.append(_wrong(number, _CODE, wrong.code))
    try:
        said = ProjectDescription.model_validate(told)
    except ValidationError as wrong:
        faults += [_wrong(number, _MEMBERS[str(each["loc"][0])], each["type"])
                   for each in wrong.errors()]  # fmt: skip
    return Line(number, code, said) if said is not None and len(faults) == before else None


def _amount(cell: str) -> str:
    """As a person writes it: 5,000, ５，０００, 5000千円. What is in yen is no whole number here."""
    return unicodedata.normalize("NFKC", cell).replace(",", "").removesuffix("千円")


def _wrong(number: int, column: str, code: str) -> Fault:
    ja, en = _MUST[column]
    return Fault(
        f"{number}/{column}", code, f"{number}行目の {column} は{ja}にしてください。",
        f"Line {number}: {column} must be {en}.",
    )  # fmt: skip


def _unreadable(pointer: str, code: str, ja: str, en: str) -> SheetInvalid:
    fault = Fault(pointer, code, f"{ja} として読めません。保存し直してください。",
                  f"It cannot be read ({en}). Save it anew as CSV in UTF-8.")  # fmt: skip
    return SheetInvalid(faults=[fault])
