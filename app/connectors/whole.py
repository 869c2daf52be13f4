"""One answer of the Web, read whole: for what is parsed at once. Follows no link by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.connectors.web import Web, check_is_no_page, is_same_origin
from app.kit.outbound import Bounds


@dataclass(frozen=True, slots=True)
class Whole:
    """What came: never a web page."""

    host: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


async def whole(
    web: Web, url: str, bounds: Bounds, headers: Mapping[str, str] | None = None
) -> Whole | None:
    """The answer of `url`; None where a condition in `headers` says that nothing has changed."""
    async with web.get(url, bounds=bounds, headers=headers) as answer:
        if answer.status == 304:
            return None
        check_is_no_page(answer)
        body = bytearray()
        async for piece in answer.pieces:
            body += piece
    return Whole(answer.host, answer.headers, bytes(body))


def asking(web: Web, base: str, url: str) -> Web:
    """Who asks for what a source leads to: what proves us goes to the source's own origin alone."""
    return web if is_same_origin(base, url) else Web(web.outbound, way=web.way.unproven)
