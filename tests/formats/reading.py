"""Reads a file's bytes the way the worker does, for tests."""

import csv
import io
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.formats.intake import BLOCK_ROWS, Block, Reject, Survey, blocks, survey
from app.formats.profiles.layout import ProfileLayout
from app.formats.readers.text.delimited import DelimitedTable
from app.formats.stored import StoredFile
from app.formats.told import Told
from app.query.fields import EDGES, Field, FieldType


@dataclass(frozen=True)
class Taken:
    """What a file gave."""

    survey: Survey
    blocks: list[Block]

    @property
    def rows(self) -> list[dict[str, str]]:
        names = [
            "_row",
            "_line",
            "_original",
            "_extras",
            *(name for field in self.survey.fields for name in _stored_names(field)),
        ]
        text = b"".join(block.csv for block in self.blocks).decode()
        parsed = csv.reader(io.StringIO(text, newline=""))
        return [dict(zip(names, row, strict=True)) for row in parsed]

    def values(self, name: str) -> list[str]:
        return [row[name] for row in self.rows]

    @property
    def originals(self) -> list[dict[str, str]]:
        return [json.loads(text) if text else {} for text in self.values("_original")]

    @property
    def rejects(self) -> list[Reject]:
        return [reject for block in self.blocks for reject in block.rejects]

    @property
    def codes(self) -> list[tuple[int, str | None, str]]:
        return [(reject.line, reject.field, reject.code) for reject in self.rejects]

    @property
    def notices(self) -> list[str]:
        late = [notice for block in self.blocks for notice in block.notices]
        return [notice.code for notice in (*self.survey.notices, *late)]

    @property
    def types(self) -> dict[str, str]:
        return {field.label: field.type.value for field in self.survey.fields}

    @property
    def counts(self) -> tuple[int, int, int, dict[str, int]]:
        read = sum(block.rows for block in self.blocks)
        accepted = sum(block.accepted for block in self.blocks)
        repaired = sum(block.repaired for block in self.blocks)
        return read, accepted, repaired, dict(Counter(code for _, _, code in self.codes))


def _stored_names(field: Field) -> list[str]:
    """A geometry's bounds are stored beside it."""
    edges = EDGES if field.type is FieldType.GEOMETRY else ()
    return [field.name, *(f"{field.name}_{edge}" for edge in edges)]


def take(
    data: bytes | str,
    declared: Sequence[Field] | None = None,
    mapping: Sequence[Mapping[str, Any]] | None = None,
    *,
    name: str | None = None,
    block_rows: int = BLOCK_ROWS,
    chunk_bytes: int | None = None,
    rules: Sequence[Mapping[str, Any]] = (),
    layouts: Sequence[ProfileLayout] = (),
    **told: Any,
) -> Taken:
    """Survey and read `data`, sent under `name`; `told` is the publisher's word."""
    raw = data.encode() if isinstance(data, str) else data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_bytes(raw)
        file = StoredFile(path, Path(folder), name)
        found = survey(
            file,
            declared=declared,
            mapping=mapping,
            told=Told(**told),
            rules=rules,
            layouts=layouts,
        )
        if chunk_bytes is not None and isinstance(found.table, DelimitedTable):
            found = replace(found, table=replace(found.table, chunk_bytes=chunk_bytes))
        return Taken(found, list(blocks(found, block_rows=block_rows)))


def fields(**types: str) -> list[Field]:
    """Declared fields, each with its name as its label."""
    return [
        Field(name, f"c{number:03d}", name, FieldType(kind))
        for number, (name, kind) in enumerate(types.items(), 1)
    ]
