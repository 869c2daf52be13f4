"""A file on its way over HTTP: ranges, conditions, and who sends the bytes. Decides nothing."""

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.kit.errors import AppError, Kind

_PIECE: Final = 1 << 19
_MOST_DIGITS: Final = 18


class RangeNotThere(AppError):
    """The range begins behind the file's end (RFC 9110, 15.5.17)."""

    kind = Kind.RANGE
    code = "range_not_satisfiable"
    ja = "このファイルは {size} バイトです。範囲をその中にしてください。"
    en = "The file has {size} bytes. Ask for a range within them."

    def __init__(self, size: int) -> None:
        super().__init__(size=size)
        self.headers["Content-Range"] = f"bytes */{size}"


@dataclass(frozen=True, slots=True)
class Sending:
    """What is known of a file before its bytes are touched."""

    size: int
    sha256: str
    modified_at: datetime
    media_type: str
    filename: str
    title: str
    cache_control: str
    receipt: int | None

    @property
    def etag(self) -> str:
        return etag_of(self.sha256)

    @property
    def headers(self) -> dict[str, str]:
        """What every answer about the file says."""
        plain = self.filename.encode("ascii", "replace").decode()
        found = {
            "Accept-Ranges": "bytes",
            "Cache-Control": self.cache_control,
            # RFC 6266: the plain name for old clients, the Japanese one for all others.
            "Content-Disposition": f'attachment; filename="{plain}"; '
            f"filename*=UTF-8''{quote(self.title, safe='')}",
            "Content-Type": self.media_type,
            "ETag": self.etag,
            "Last-Modified": format_datetime(self.modified_at.astimezone(UTC), usegmt=True),
            "Vary": "Authorization",
        }
        if self.receipt is not None:
            found["Linkage-Receipt"] = str(self.receipt)
        return found


def etag_of(sha256: str) -> str:
    """Strong: the same bytes, or another tag."""
    return f'"{sha256}"'


def is_known(request: Request, sha256: str, modified_at: datetime) -> bool:
    """Whether the asker has these very bytes (RFC 9110, 13.2.2)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        named = [one.strip().removeprefix("W/") for one in tags.split(",")]
        return etag_of(sha256) in named or named == ["*"]
    since = _moment(request.headers.get("if-modified-since"))
    return since is not None and modified_at.replace(microsecond=0) <= since


def asked_range(request: Request, sending: Sending) -> tuple[int, int] | None:
    """First and last byte of the one range asked for; None for the whole file.

    Raises `RangeNotThere`. Several ranges, other units and unreadable ones are passed over, as
    RFC 9110 (14.2) allows.
    """
    told = request.headers.get("range")
    if told is None or request.method != "GET" or not _is_still(request, sending):
        return None
    unit, _, rest = told.partition("=")
    first, dash, last = (part.strip() for part in rest.partition("-"))
    wrong = unit.strip().lower() != "bytes" or not dash or not (first or last)
    if wrong or not all(_is_number(part) for part in (first, last) if part):
        return None
    if not first:  # so many bytes from the end
        begin, end = max(sending.size - int(last), 0), sending.size - 1
    else:
        begin, end = int(first), min(int(last) if last else sending.size - 1, sending.size - 1)
        if last and int(last) < begin:
            return None
    if begin > end or begin >= sending.size:
        raise RangeNotThere(sending.size)
    return begin, end


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _is_still(request: Request, sending: Sending) -> bool:
    """If-Range (RFC 9110, 13.1.5): a part fits only to what one has already."""
    known = request.headers.get("if-range")
    if known is None:
        return True
    if known.startswith(('"', "W/")):
        return known == sending.etag
    return _moment(known) == sending.modified_at.replace(microsecond=0)


def _moment(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


class FilePart(Response):
    """The bytes of a file from the first to the last one, read as the taker takes them."""

    def __init__(self, path: Path, begin: int, length: int, **told: object) -> None:
        super().__init__(**told)  # type: ignore[arg-type]
        self._path, self._begin, self._length = path, begin, length
        self.headers["Content-Length"] = str(length)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then piece by piece: no more than one is held, however slow the taker."""
        file = await asyncio.to_thread(self._path.open, "rb", buffering=0)
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            at, left = self._begin, self._length
            gone = asyncio.create_task(_hung_up(receive))
            try:
                while left and not gone.done():
                    piece = await asyncio.to_thread(os.pread, file.fileno(), min(_PIECE, left), at)
                    if not piece:
                        raise OSError(f"{self._path.name} is shorter than it was")
                    at, left = at + len(piece), left - len(piece)
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                gone.cancel()
            await send({"type": "http.response.body", "body": b""})
        finally:
            file.close()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
