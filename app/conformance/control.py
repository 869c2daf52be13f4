"""That whoever registered a sandbox controls its address, asked before each run. Judges nothing else.

A judge that can be pointed at any address is a way to trouble others: it goes only where the service's
own id is served. The id is no secret, and nobody but who controls an address can have it served there.
"""

from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from app.conformance.refusals import SandboxNotProven, SandboxUnusable
from app.kit.errors import AppError
from app.kit.outbound import Bounds, Outbound

PATH: Final = "/.well-known/urbanos-challenge"  # RFC 8615: of the whole address, not of a part
_BOUNDS: Final = Bounds(most_bytes=16 * 1024, seconds=5)
_OK: Final = 200


async def check_control(outbound: Outbound, service_id: UUID, url: str) -> None:
    """Raises `SandboxNotProven`, and `SandboxUnusable` where nothing is answered."""
    where = urlunsplit(urlsplit(url)._replace(path=PATH, query="", fragment=""))
    try:
        answer = await outbound.fetch("GET", where, bounds=_BOUNDS)
    except AppError as refusal:
        raise SandboxUnusable(
            url=url, why=refusal.words("en"), why_ja=refusal.words("ja")
        ) from refusal
    lines = [line.strip() for line in answer.body.splitlines()]
    if answer.status != _OK or str(service_id).encode() not in lines:
        raise SandboxNotProven(url=url, where=where, service=service_id, status=answer.status)
