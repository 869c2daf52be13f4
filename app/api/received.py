"""A file as a request carries it, as the body or as a form's part. Never reads more than is taken."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import unquote

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from app.api.number_guard import checked_name
from app.formats.number_refusal import IndividualNumberRefused
from app.kit.errors import AppError, Kind
from app.tables.uploads import UploadTooLarge, UploadTruncated

_PIECE_BYTES: Final = 1 << 20
# What a form may hold beside the file itself: boundaries, part headers, ten small fields.
_FORM_BYTES: Final = 1 << 16


class FileMissing(AppError):
    """The multipart body has no part named `file`."""

    kind = Kind.INVALID
    code = "file_missing"
    ja = "multipart に file という名前のファイルがありません。"
    en = "The multipart body has no file part named file."


class UploadAndBody(AppError):
    """The request names an upload and carries a body: which of the two is meant?"""

    kind = Kind.MALFORMED
    code = "upload_and_body"
    ja = "upload を指定したときは、本文を空にしてください。"
    en = "Where upload is given, the body must be empty."

    @classmethod
    def check(cls, request: Request) -> None:
        """Raises `UploadAndBody` for a body that is not empty."""
        if announced_bytes(request) or "transfer-encoding" in request.headers:
            raise cls


async def file_of(request: Request, *, most: int) -> tuple[str | None, AsyncIterator[bytes]]:
    """The file's name and bytes. Raises `UploadTooLarge`, `FileMissing`, `UploadTruncated`,
    `IndividualNumberRefused` for the name.

    What is announced as too large is refused before a byte is read; a form, which lies on disk
    before its file is known, is read no further than the limit.
    """
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    allowed = most + _FORM_BYTES if is_form else most
    if (announced := announced_bytes(request)) is not None and announced > allowed:
        raise UploadTooLarge(most=most)
    if not is_form:
        _, _, name = request.headers.get("content-disposition", "").partition("filename=")
        return checked_name(unquote(name.strip('" '))[:255]), body_of(request)
    form = await _counted(request, allowed, most).form(max_files=1, max_fields=10)
    file = form.get("file")
    if not isinstance(file, UploadFile):
        await form.close()
        raise FileMissing
    try:
        return checked_name(file.filename), _pieces(file)
    except IndividualNumberRefused:
        await form.close()
        raise


def announced_bytes(request: Request) -> int | None:
    """The body's length as its header says; None where the header is not there."""
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() else None


def _counted(request: Request, allowed: int, most: int) -> Request:
    """The same request, which breaks off where more than is allowed comes."""
    got = 0

    async def receive() -> Message:
        nonlocal got
        message = await request.receive()
        got += len(message.get("body", b""))
        if got > allowed:
            raise UploadTooLarge(most=most)
        return message

    return Request(request.scope, receive)


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    try:
        while piece := await file.read(_PIECE_BYTES):
            yield piece
    finally:
        await file.close()  # a large one lies in a temporary file


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The bare body as it comes. Raises `UploadTruncated` where the connection breaks."""
    got = 0
    try:
        async for piece in request.stream():
            got += len(piece)
            yield piece
    except ClientDisconnect:
        raise UploadTruncated(got=got, announced=announced_bytes(request)) from None
