"""Tests by example of a mapping: a row of the source, and what must become of it.

Read by the very readers that files are read by, for a process of its own. Nothing of it is kept.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import orjson

from app.formats import intake
from app.formats.guarding import guarded
from app.formats.guidance import FileRefused, guidance
from app.formats.stored import StoredFile
from app.formats.told import Told
from app.formats.values import normaliser
from app.query.fields import Field, FieldType

_SHOWN: Final = 200
_AMOUNTS: Final = frozenset(
    (FieldType.INTEGER, FieldType.DECIMAL, FieldType.LATITUDE, FieldType.LONGITUDE)
)
Wrong = tuple[str, str, str]  # where in the example, and what in Japanese and English


def tried(
    folder: Path,
    fields: Sequence[Field],
    mapping: Sequence[Mapping[str, Any]] | None,
    examples: Sequence[Mapping[str, Any]],
) -> list[list[Wrong]]:
    """What is wrong with each example; nothing where it holds."""
    found = []
    for number, example in enumerate(examples):
        path = folder / f"example-{number}"
        path.write_bytes(orjson.dumps(example["row"]) + b"\n")
        file = StoredFile(path, folder, "example.ndjson")
        try:
            found.append(_tried(file, fields, mapping, example["expect"]))
        except FileRefused as refused:
            found.append([("/row", refused.words("ja"), refused.words("en"))])
    return found


def _tried(
    file: StoredFile, fields: Sequence[Field], mapping: Sequence[Mapping[str, Any]] | None,
    expected: Mapping[str, Any] | None,
) -> list[Wrong]:  # fmt: skip
    told = Told()
    found = guarded(
        file, told, lambda: intake.survey(file, declared=fields, mapping=mapping, told=told)
    )
    block = next(intake.blocks(found, block_rows=1))
    if block.rejects:
        return [] if expected is None else [_rejected(each) for each in block.rejects]
    if expected is None:
        return [("/expect", "この行は除外されるはずですが、受け入れられました。",
                 "The row was to be left out, and is taken in.")]  # fmt: skip
    cells = next(csv.reader(io.StringIO(block.csv.decode(), newline="")))
    made = dict(zip(intake.copy_columns(found), cells, strict=True))
    by_name = {field.name: field for field in fields}
    return [
        wrong
        for name, value in expected.items()
        if (wrong := _differs(by_name.get(name), name, value, made)) is not None
    ]


def _rejected(reject: intake.Reject) -> Wrong:
    where = f"/expect/{reject.field}" if reject.field else "/row"
    return (where, guidance(reject.code, "ja"), guidance(reject.code, "en"))


def _differs(field: Field | None, name: str, value: Any, made: Mapping[str, str]) -> Wrong | None:
    where = f"/expect/{name}"
    if field is None:
        return (where, "この項目はデータセットにありません。", "The dataset has no such field.")
    got, wanted = made[field.column], _text(value)
    try:
        plain = normaliser(field)(wanted) if wanted else ""
    except ValueError:  # a CellError: it is no value of that field, whatever is made
        plain = wanted
    if _are_same(field.type, plain, got):
        return None
    said = (got[:_SHOWN] or "-", wanted[:_SHOWN] or "-")
    return (
        where, "「{1}」のはずですが「{0}」になります。".format(*said),
        "It is to be “{1}” and becomes “{0}”.".format(*said),
    )  # fmt: skip


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _are_same(kind: FieldType, one: str, other: str) -> bool:
    """An amount of 12.50 is one of 12.5, and a moment may be told in two offsets; a code 01 is not 1."""
    if one == other or not one or not other:
        return one == other
    try:
        if kind in _AMOUNTS:
            return Decimal(one) == Decimal(other)
        is_moment = kind is FieldType.DATETIME
        return is_moment and datetime.fromisoformat(one) == datetime.fromisoformat(other)
    except (InvalidOperation, ValueError, TypeError):
        return False
