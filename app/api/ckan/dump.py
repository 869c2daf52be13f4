"""CKAN's dump of a resource: every record as a file, streamed. Holds no row; cells go out as they are."""

import csv
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.api.ckan.action import Here
from app.api.ckan.asked import Call
from app.api.ckan.datastore import (
    QUESTION,
    Rows,
    ask,
    dataset_of,
    fields_out,
    question_of,
    rows_of,
)
from app.api.pace import paced
from app.broker.ask import Bare, Representation
from app.formats.shelf import ckan, ckan_ids
from app.query.refusals import wrong
from app.tables.encode import Form

KNOWN: Final = frozenset(f"{QUESTION} format bom".split())
_BOM: Final = "\ufeff".encode()
# format: form of a row, how the broker streams it, media type
_FORMATS: Final[Mapping[str, tuple[Form, Representation, str]]] = {
    "csv": (Form.COLUMNS, Representation.CSV, "text/csv; charset=utf-8"),
    "tsv": (Form.TABBED, Representation.CSV, "text/tab-separated-values; charset=utf-8"),
    "json": (Form.LIST, Representation.NDJSON, "application/json"),
    "ndjson": (Form.RECORD, Representation.NDJSON, "application/x-ndjson"),
}
MEDIA_TYPES: Final = tuple(media_type for _, _, media_type in _FORMATS.values())


class Dump(StreamingResponse):
    """A file on its way. The rows behind it end with the answer, however early that is."""

    def __init__(self, pieces: AsyncIterator[bytes], rows: Rows, headers: dict[str, str]) -> None:
        super().__init__(pieces, headers=headers)
        self._rows = rows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._rows):
            await super().__call__(scope, receive, paced(send))


async def dump(call: Call, here: Here) -> Dump:
    """The file as an answer. Raises what `datastore_search` raises."""
    call.check(KNOWN)
    dataset = await dataset_of(call, here)
    name = call.text("format") or "csv"
    if name not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise wrong("format", f"{known} のいずれかです。", f"give one of {known}.")
    form, how, media_type = _FORMATS[name]
    asked = question_of(call, dataset)
    limit = call.number("limit", -1)
    if limit == 0:
        raise wrong(
            "limit", "1以上を指定するか、外してください。", "give 1 or more, or leave it out."
        )
    bom = call.flag("bom")  # what is refused is refused before any row is on its way
    answer = await ask(asked, here, Bare(form, asked.number, limit if limit > 0 else None), how)
    fields = fields_out(answer.fields, asked.number)
    resource = ckan_ids.resource_id(dataset, ckan.DATASTORE_FORM)
    headers = {
        "Content-Type": media_type,
        "Content-Disposition": f'attachment; filename="{resource}.{name}"',
        "Cache-Control": "public, no-cache",
    }
    rows = rows_of(answer)
    # A generator that never began ends nothing behind it when it is closed.
    first = await anext(rows, b"")
    return Dump(_file(name, fields, first, rows, bom=bom), rows, headers)


async def _file(
    name: str, fields: list[dict[str, Any]], first: bytes, rows: Rows, *, bom: bool
) -> AsyncIterator[bytes]:
    opening = _BOM if bom else b""
    if name == "json":
        yield opening + b'{"fields":' + orjson.dumps(fields) + b',"records":[\n'
        async for piece in _parted(first, rows):
            yield piece
        yield b"\n]}\n"
        return
    yield opening + (b"" if name == "ndjson" else _header(fields, name)) + first
    async for piece in rows:
        yield piece


def _header(fields: list[dict[str, Any]], name: str) -> bytes:
    line = io.StringIO()
    delimiter = "\t" if name == "tsv" else ","
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(e["id"] for e in fields)
    return line.getvalue().encode()


async def _parted(first: bytes, rows: Rows) -> AsyncIterator[bytes]:
    """Lines of JSON with commas between them: JSON text holds no line end of its own."""
    held, piece = b"", first
    while piece:
        whole = held + piece
        kept = whole[:-1] if whole.endswith(b"\n") else whole
        held = whole[len(kept) :]
        yield kept.replace(b"\n", b",\n")
        piece = await anext(rows, b"")
