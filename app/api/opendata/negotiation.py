"""Which form of a shelf's page the reader wants, by its Accept header. Decides nothing else."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request

from app.kit.errors import AppError, Kind

HTML: Final = "text/html"
# By the ending of the permanent address of each form.
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "jsonld": "application/ld+json",
    "ttl": "text/turtle",
    "rdf": "application/rdf+xml",
}
# In the order in which they are chosen where the reader has no preference.
_OFFERED: Final = (*MEDIA_TYPES.values(), HTML)
_ALSO: Final[Mapping[str, str]] = {
    "application/json": "application/ld+json",
    "application/xml": "application/rdf+xml",
    "application/xhtml+xml": HTML,
    "application/x-turtle": "text/turtle",
}


class NoSuchForm(AppError):
    """The shelf has no form that the reader takes."""

    kind = Kind.NOT_ACCEPTABLE
    code = "form_not_offered"
    ja = "その形式はありません。Accept に {known} のいずれかを指定してください。"
    en = "There is no such form. Accept one of {known}."


def wanted(request: Request) -> str:
    """The media type (RFC 9110, 12.5.1). Raises `NoSuchForm`."""
    accept = ",".join(request.headers.getlist("accept")) or "*/*"
    ranges = _ranges(accept)
    weights = {each: _weight(each, ranges) for each in _OFFERED}
    best = max(_OFFERED, key=lambda each: weights[each])  # the first of equals
    if weights[best] <= 0:
        raise NoSuchForm(known=", ".join(_OFFERED))
    return best


def _ranges(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in accept[:1_000].split(","):
        named, *options = (piece.strip().lower() for piece in part.split(";"))
        media_range = _ALSO.get(named, named)
        found[media_range] = max(found.get(media_range, 0.0), _quality(options))
    return found


def _weight(media_type: str, ranges: Mapping[str, float]) -> float:
    """The most precise range that holds the type counts, even where it says no."""
    for name in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0


def _quality(options: list[str]) -> float:
    for option in options:
        if option.startswith("q="):
            try:
                return min(max(float(option[2:]), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
