"""Unknown query parameters are refused by name; a route's own declaration says what is known."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request

from app.kit.errors import AppError, Fault, Kind
from app.query.refusals import wrong

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
_known: dict[int, frozenset[str]] = {}  # by id of the route: routes live as long as the process


class UnknownParameter(AppError):
    """A query parameter that the operation does not know."""

    kind = Kind.MALFORMED
    code = "unknown_parameter"
    ja = "クエリパラメータ {name} はありません。{nearest_ja}"
    en = "There is no query parameter {name}. {nearest_en}"

    @classmethod
    def of(cls, name: str, known: frozenset[str]) -> "UnknownParameter":
        """The refusal of `name`, naming the nearest of what is `known`."""
        ja, en = _nearest(name[:100], known)
        fault = Fault(name[:100], cls.code, "このパラメータはありません。" + ja, f"Not known. {en}")
        return cls(name=repr(name[:100]), nearest_ja=ja, nearest_en=en, faults=[fault])


def _nearest(name: str, known: frozenset[str]) -> tuple[str, str]:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    if near:
        return f"{near[0]} のことですか。", f"Did you mean {near[0]}?"
    if not known:
        return "この操作にパラメータはありません。", "This operation takes none."
    names = ", ".join(sorted(known))
    return f"使えるのは {names} です。", f"Known are {names}."


def reads_own_parameters(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that judges its query parameters by itself."""
    endpoint.reads_own_parameters = True  # type: ignore[attr-defined]
    return endpoint


async def refuse_unknown_parameters(request: Request) -> None:
    """A dependency of the whole application: raises `UnknownParameter`, `InvalidQuestion`."""
    raw: bytes = request.scope["query_string"]
    if not raw:
        return
    _refuse_no_text(raw)
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or hasattr(route.endpoint, "reads_own_parameters"):
        return
    known = _known.get(id(route))
    if known is None:
        known = _known.setdefault(id(route), frozenset(_names(route.dependant)))
    for name in request.query_params:
        if name not in known:
            raise UnknownParameter.of(name, known)


def _refuse_no_text(raw: bytes) -> None:
    """Refuse what is no UTF-8, and NUL, which PostgreSQL's text does not hold."""
    if b"%" not in raw and raw.isascii() and b"\x00" not in raw:
        return
    try:
        pairs = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise wrong(
            "query",
            "UTF-8をパーセントエンコードしてください。",
            "percent-encode UTF-8.",
            "not_readable",
        ) from None
    for name, value in pairs:
        if "\x00" in name or "\x00" in value:
            raise wrong(
                name.replace("\x00", "\ufffd")[:100],
                "NUL文字（%00）は使えません。取り除いてください。",
                "A NUL character (%00) is not allowed. Take it out.",
                "control_character",
            )


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        shape = field.field_info.annotation
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            yield from (known.alias or name for name, known in shape.model_fields.items())
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _names(inner)
