"""A process of its own that reads the first rows of a file, or of examples; no more.

What a source sends is nobody's promise: what it costs is bounded here, and the server that asked
never meets it. It is told all by its standard input, and writes one JSON document.
"""

import csv
import io
import resource
import sys
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from app.formats import intake
from app.formats.examples import tried
from app.formats.guarding import guarded
from app.formats.guidance import FileRefused, guidance
from app.formats.stored import StoredFile
from app.formats.survey import Survey
from app.formats.told import Told
from app.query.fields import Field

_MOST_MEMORY: Final = 6 << 30  # of addresses, of which a library takes far more than it uses
_MOST_SECONDS: Final = 30
_CELL: Final = 500


def main() -> None:
    """Write what was found, or why nothing was."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = orjson.loads(sys.stdin.buffer.read())
    try:
        said = _tried(asked) if "trials" in asked else _preview(asked)
    except FileRefused as refused:
        said = {"refused": [refused.code, refused.words("ja"), refused.words("en")]}
    sys.stdout.buffer.write(orjson.dumps(said))


def _tried(asked: dict[str, Any]) -> dict[str, Any]:
    folder = Path(asked["folder"])
    return {"wrong": [
        tried(folder, [Field.from_json(each) for each in fields], mapping, examples)
        for fields, mapping, examples in asked["trials"]
    ]}  # fmt: skip


def _preview(asked: dict[str, Any]) -> dict[str, Any]:
    path = Path(asked["path"])
    file = StoredFile(path, path.parent, asked["name"])
    declared = asked["fields"] and [Field.from_json(each) for each in asked["fields"]]
    told = Told.from_json(*asked["told"])
    survey = partial(intake.survey, file, declared=declared, mapping=asked["mapping"], told=told)
    found = guarded(file, told, survey)
    first: int = asked["first"]
    labels = found.head.labels
    before = [
        dict(zip(labels, map(_cut, record.cells), strict=False))
        for record in found.head.sample[:first]
    ]
    block = next(intake.blocks(found, block_rows=first))
    rejects = [
        {
            "row": each.row, "field": each.field, "code": each.code,
            "ja": guidance(each.code, "ja"), "en": guidance(each.code, "en"),
        }
        for each in islice(block.rejects, first)
    ]  # fmt: skip
    return {
        "format": found.table.format,
        "labels": list(labels),
        "before": before,
        "after": _after(found, block.csv, first),
        "rejects": rejects,
        "notices": [notice.as_json() for notice in found.notices],
    }


def _after(found: Survey, text: bytes, first: int) -> list[dict[str, str | None]]:
    """The accepted rows, by field, as their types are written."""
    columns = intake.copy_columns(found)
    fields = {each.column: each.name for each in found.fields}
    rows = csv.reader(io.StringIO(text.decode()))
    return [
        {fields[column]: _cut(cell) or None for column, cell in zip(columns, row, strict=True)
         if column in fields}
        for row in islice(rows, first)
    ]  # fmt: skip


def _cut(cell: str) -> str:
    return cell if len(cell) <= _CELL else cell[:_CELL] + "…"


if __name__ == "__main__":
    main()
