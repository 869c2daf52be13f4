"""A sheet of projects as a ministry or a prefecture publishes it, read whole or refused whole."""

import csv
import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.kit.errors import Fault
from app.programmes.description import ProjectDescription
from app.programmes.refusals import SheetInvalid
from app.query.codes import CodeError, local_government_code

COLUMNS: Final = (
    "municipality", "local_government_code", "project", "subsidy_thousand_yen",
    "total_cost_thousand_yen", "linkage_needed",
)  # fmt: skip
_NEEDED: Final = COLUMNS[1:3]
_MOST: Final = 10**12


@dataclass(frozen=True, slots=True)
class Line:
    """A project of a municipality."""

    number: int
    organization_id: str
    said: ProjectDescription


def read(content: bytes) -> list[Line]:
    """The projects of a CSV file, in UTF-8 or CP932. Raises `SheetInvalid`, which names each fault."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp932", "replace")
    rows = csv.DictReader(io.StringIO(text))
    faults = _wrong_columns(rows.fieldnames or ())
    if faults:
        raise SheetInvalid(faults=faults)
    lines = []
    for row in rows:
        # The line of the file that it ends on: a cell may hold a line break.
        line = _line(
            rows.line_num, {name: cell or "" for name, cell in row.items() if name}, faults
        )
        if line is not None:
            lines.append(line)
    if faults:
        raise SheetInvalid(faults=faults)
    return lines


def _wrong_columns(given: Sequence[str]) -> list[Fault]:
    names = [each.strip() for each in given]
    missing = [each for each in _NEEDED if each not in names]
    faults = [
        Fault(f"1/{each}", "column_missing", f"1行目に列 {each} がありません。",
              f"Line 1 has no column {each}.")
        for each in missing
    ]  # fmt: skip
    for each in names:
        if each not in COLUMNS:
            near = difflib.get_close_matches(each, COLUMNS, n=1, cutoff=0.5)
            known = near[0] if near else ", ".join(COLUMNS)
            faults.append(Fault(
                f"1/{each[:60]}", "column_unknown", f"列 {each[:60]} は使えません（{known}）。",
                f"There is no column {each[:60]}; there is {known}.",
            ))  # fmt: skip
    return faults


def _line(number: int, row: dict[str, str], faults: list[Fault]) -> Line | None:
    before = len(faults)
    title = row["project"].strip()
    if not 1 <= len(title) <= 200:
        faults.append(
            _wrong(number, "project", "title_length", "1〜200文字", "1 to 200 characters")
        )
    code = row["local_government_code"].strip()
    try:
        code = local_government_code(code)
    except CodeError as wrong:
        faults.append(_wrong(number, "local_government_code", wrong.code,
                             "検査数字まで正しい6桁", "six digits with a right check digit"))  # fmt: skip
    asked = _amount(number, row, "subsidy_thousand_yen", faults)
    total = _amount(number, row, "total_cost_thousand_yen", faults)
    if len(faults) > before:
        return None
    told = {
        "title": title, "requested_thousand_yen": asked, "total_cost_thousand_yen": total,
        "linkage_needed": row.get("linkage_needed", "").strip()[:4000] or None,
    }  # fmt: skip
    said = ProjectDescription.model_validate(told)
    return Line(number, code, said)


def _amount(number: int, row: dict[str, str], column: str, faults: list[Fault]) -> int | None:
    text = row.get(column, "").strip().replace(",", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= _MOST):
        faults.append(_wrong(number, column, "amount_invalid", "千円単位の0以上の整数",
                             "a whole number of thousand yen"))  # fmt: skip
        return None
    return int(text)


def _wrong(number: int, column: str, code: str, ja: str, en: str) -> Fault:
    return Fault(
        f"{number}/{column}", code, f"{number}行目の {column} は{ja}にしてください。",
        f"Line {number}: {column} must be {en}.",
    )  # fmt: skip
