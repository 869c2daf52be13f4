"""How the OGC door answers: as JSON or as a page, with links to the other form. Decides nothing."""

from collections.abc import Iterable
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.api.docs import POLICY
from app.api.ogc import pages
from app.api.problem import language_of
from app.api.records import accepted
from app.api.tagged import tagged
from app.broker.ask import Link
from app.kit.errors import AppError, Kind

ROOT: Final = "/ogc"
JSON: Final = "application/json"
GEOJSON: Final = "application/geo+json"
SCHEMA: Final = "application/schema+json"
OPENAPI: Final = "application/vnd.oai.openapi+json;version=3.0"
HTML: Final = "text/html"
FORMS: Final = ("json", "html")
_ANY_JSON: Final = frozenset(
    {JSON, GEOJSON, SCHEMA, "application/vnd.oai.openapi+json", "application/*", "*/*"}
)
VARY: Final = "Accept, Accept-Language, Authorization"


class FormNotOffered(AppError):
    """No form that was asked for exists."""

    kind = Kind.NOT_ACCEPTABLE
    code = "not_acceptable"
    ja = "対応する形式がありません。f= に json か html を指定してください。"
    en = "No such form. Give f=json or f=html."


def wants_page(form: str | None, accept: str | None) -> bool:
    """Whether a page is wanted and no JSON: `f`, before Accept. Raises `FormNotOffered`."""
    if form is not None:
        if form not in FORMS:
            raise FormNotOffered
        return form == "html"
    for media_type in accepted(accept or "*/*"):
        if media_type in _ANY_JSON:
            return False
        if media_type in (HTML, "text/*", "application/xhtml+xml"):
            return True
    raise FormNotOffered


def linked(rel: str, href: str, media_type: str) -> dict[str, str]:
    """A link of a document."""
    return {"rel": rel, "href": href, "type": media_type}


def both_forms(here: str, media_type: str = JSON) -> list[dict[str, str]]:
    """`self` and `alternate` of a document at an address."""
    joint = "&" if "?" in here else "?"
    return [
        linked("self", here, media_type),
        linked("alternate", f"{here}{joint}f=html", HTML),
    ]


def as_headers(links: Iterable[Link]) -> tuple[tuple[str, str], ...]:
    """The links of an answer as headers too (17-069r4, recommendation link-header)."""
    told = ", ".join(f'<{each.href}>; rel="{each.rel}"; type="{each.type}"' for each in links)
    return (("link", told),) if told else ()


def answered(
    request: Request, document: dict[str, Any], *, form: str | None, media_type: str = JSON
) -> Response:
    """A document in the form that was asked for."""
    accept = request.headers.get("accept")
    language = language_of(request.headers.get("accept-language"))
    headers = {"Vary": VARY, "Content-Language": language}
    if wants_page(form, accept):
        body = pages.page(document, language).encode()
        headers["Content-Security-Policy"] = POLICY
        return tagged(request, body, media_type=f"{HTML}; charset=utf-8", headers=headers)
    ranges = accepted(accept or "*/*")
    if media_type.partition(";")[0] not in ranges and JSON in ranges:
        media_type = JSON  # who asks for plain JSON alone may know no other
    return tagged(request, orjson.dumps(document), media_type=media_type, headers=headers)
