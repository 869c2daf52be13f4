"""CKAN's dump of a resource: every record as a file, streamed. Holds no row; cells go out as they are."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson

from app.api.ckan.action import Here
from app.api.ckan.asked import Call
from app.api.ckan.datastore import QUESTION, ask, dataset_of, fields_out, question_of
from app.broker.ask import Answer, Bare, Representation
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


async def open_dump(call: Call, here: Here) -> tuple[dict[str, str], AsyncGenerator[bytes, None]]:
    """The headers and the file. Raises what `datastore_search` raises."""
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
    answer = await ask(asked, here, Bare(form, asked.number, limit if limit > 0 else None), how)
    fields = fields_out(answer.fields, asked.number)
    resource = ckan_ids.resource_id(dataset, ckan.DATASTORE_FORM)
    headers = {
        "Content-Type": media_type,
        "Content-Disposition": f'attachment; filename="{resource}.{name}"',
        "Cache-Control": "public, no-cache",
    }
    return headers, _file(name, fields, answer, bom=call.flag("bom"))


async def _file(
    name: str, fields: list[dict[str, Any]], answer: Answer, *, bom: bool
) -> AsyncGenerator[bytes, None]:
    opening = _BOM if bom else b""
    rows = answer.stream
    if rows is None:
        raise LookupError("a dump is a stream")
    async with aclosing(rows):
        if name == "json":
            yield opening + b'{"fields":' + orjson.dumps(fields) + b',"records":[\n'
            async for piece in _parted(rows):
                yield piece
            yield b"\n]}\n"
            return
        yield opening + (b"" if name == "ndjson" else _header(fields, name))
        async for piece in rows:
            yield piece


def _header(fields: list[dict[str, Any]], name: str) -> bytes:
    line = io.StringIO()
    delimiter = "\t" if name == "tsv" else ","
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(e["id"] for e in fields)
    return line.getvalue().encode()


async def _parted(rows: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines of JSON with commas between them: JSON text holds no line end of its own."""
    held = b""
    async for piece in rows:
        whole = held + piece
        kept = whole[:-1] if whole.endswith(b"\n") else whole
        held = whole[len(kept) :]
        yield kept.replace(b"\n", b",\n")
