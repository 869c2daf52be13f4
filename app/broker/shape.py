"""Bytes of rows to bytes of answers. Adds the envelope; never looks into a row."""

import codecs
import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import orjson

from app.broker.ask import Representation
from app.broker.plan import Plan
from app.tables.read import Rows

MEDIA_TYPES: Final = {
    Representation.JSON: "application/json",
    Representation.GEOJSON: "application/geo+json",
    Representation.CSV: "text/csv; charset={charset}; header=present",
    Representation.NDJSON: "application/x-ndjson",
    Representation.PARQUET: "application/vnd.apache.parquet",
    Representation.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_CHARSET_NAMES: Final = {"utf-8": "utf-8", "cp932": "Shift_JIS"}
BOM: Final = "\ufeff".encode()


def _geta(error: UnicodeError) -> tuple[str, int]:
    """〓, the printers' mark for a character that the set does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "〓" * (error.end - error.start), error.end


codecs.register_error("geta", _geta)


def media_type(plan: Plan) -> str:
    """The Content-Type of a plan's answer."""
    return MEDIA_TYPES[plan.representation].format(charset=_CHARSET_NAMES[plan.charset])


def page_body(plan: Plan, rows: Rows, matched: int | None, next_link: str | None) -> bytes:
    """A page as JSON or GeoJSON, the rows' bytes untouched in the middle."""
    if plan.is_bare:
        return rows.body
    links = _links(plan)
    if next_link:
        links.append({"rel": "next", "href": next_link, "type": media_type(plan)})
    counted: dict[str, Any] = {"numberReturned": rows.count}
    if matched is not None:
        counted["numberMatched"] = matched
    about = {"dataset": plan.dataset_id, "version": plan.version.number, **counted}
    tail = orjson.dumps({"links": links, "meta": meta(plan, rows)})
    if plan.representation is Representation.GEOJSON:
        head = orjson.dumps({"type": "FeatureCollection", **about})
        return head[:-1] + b',"features":[' + rows.body + b"]," + tail[1:]
    return orjson.dumps(about)[:-1] + b',"records":[' + rows.body + b"]," + tail[1:]


def record_body(plan: Plan, rows: Rows) -> bytes:
    """One record in its envelope (a GeoJSON feature comes bare, or with its door's links)."""
    if plan.representation is Representation.GEOJSON:
        if not plan.links:
            return rows.body
        return rows.body[:-1] + b"," + orjson.dumps({"links": _links(plan)})[1:]
    head = orjson.dumps({"dataset": plan.dataset_id, "version": plan.version.number})
    tail = orjson.dumps({"links": _links(plan), "meta": meta(plan, rows)})
    return head[:-1] + b',"record":' + rows.body + b"," + tail[1:]


def _links(plan: Plan) -> list[dict[str, str]]:
    own = {"rel": "self", "href": plan.self_link, "type": media_type(plan)}
    return [own, *({"rel": each.rel, "href": each.href, "type": each.type} for each in plan.links)]


def meta(plan: Plan, rows: Rows | None = None) -> dict[str, Any]:
    """Hosted rows are what the platform itself holds: never stale, of age nought."""
    told: dict[str, Any] = {
        "source": "hosted",
        "stale": False,
        "age_seconds": 0,
        "revision": plan.revision,
        "updated_at": plan.version.changed_at,
    }
    if rows is not None and rows.told is not None:
        told = dict(rows.told)
    return {**told, "masks": plan.masks_told} if plan.masks_told else told


def csv_header(plan: Plan) -> bytes:
    """The header line of a CSV answer, with every added column."""
    names = [*plan.wording.names, *(join.name for join in plan.question.joins)]
    if plan.question.near is not None:
        names.append("distance")
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)  # as COPY ends its lines
    return line.getvalue().encode()


async def stream_body(plan: Plan, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """A stream as CSV (BOM and CP932 where asked) or NDJSON.

    The header goes out with the first rows: what fails before them can still be told.
    """
    if plan.charset == "cp932":
        pieces = _transcoded(pieces)
    first = await anext(pieces, b"")
    yield _opening(plan) + first
    async for piece in pieces:
        yield piece


def _opening(plan: Plan) -> bytes:
    """What stands before the rows."""
    if plan.is_bare or plan.representation is not Representation.CSV:
        return b""
    header = csv_header(plan)
    if plan.charset == "cp932":
        return header.decode().encode("cp932", "geta")
    return BOM + header if plan.bom else header


async def _transcoded(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    async for piece in pieces:
        yield decoder.decode(piece).encode("cp932", "geta")
    yield decoder.decode(b"", final=True).encode("cp932", "geta")
