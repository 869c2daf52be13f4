"""CKAN's dialect: the envelope of an answer, and one table from our kinds of refusal to its errors."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.api.handlers import record_refusal
from app.api.problem import RETRY_AFTER_S, language_of
from app.kit.db import DatabaseUnavailable
from app.kit.errors import AppError, Kind

# Status and `__type` (ckan/views/api.py). ckanapi cuts a message at its first ": ", so each of ours
# has an opening before that for it to lose.
_NOT_FOUND: Final = (404, "Not Found Error", "見つかりません: ", "Not found: ")
_DENIED: Final = (403, "Authorization Error", "許可されていません: ", "Access denied: ")
_INVALID: Final = (409, "Validation Error", "", "")
_BAD: Final = (400, "Bad Request", "要求を読めません: ", "Bad request: ")
_ROUND: Final = (508, "Loop Detected", "循環しています: ", "Round in circles: ")
_BUSY: Final = (503, "Service Unavailable", "一時的に利用できません: ", "Not available: ")
DIALECT: Final[Mapping[Kind, tuple[int, str, str, str]]] = {
    Kind.MALFORMED: _INVALID,
    Kind.INVALID: _INVALID,
    Kind.CONFLICT: _INVALID,
    Kind.UNAUTHENTICATED: _DENIED,
    Kind.FORBIDDEN: _DENIED,
    Kind.NOT_FOUND: _NOT_FOUND,
    Kind.GONE: _NOT_FOUND,  # CKAN knows no 410: the message has the reason
    Kind.NOT_ACCEPTABLE: _INVALID,
    Kind.PRECONDITION: _BAD,
    Kind.MISMATCH: _BAD,
    Kind.TOO_LARGE: _BAD,
    Kind.UNSUPPORTED: _BAD,
    Kind.TOO_MANY: _BUSY,
    Kind.UNAVAILABLE: _BUSY,
    Kind.LOOP: _ROUND,
    Kind.BAD_ANSWER: _BUSY,
    Kind.NO_ANSWER: _BUSY,
}
# The broker names a parameter as the Linkage Interface does.
_CALLED: Final = {"filter": "filters"}
_VARY: Final = {"Vary": "Accept-Language"}


def help_of(issuer: str, action: str) -> str:
    """Where an action is explained."""
    return f"{issuer}/api/3/action/help_show?name={action}"


def success(issuer: str, action: str, result: bytes) -> bytes:
    """The envelope around a result that is encoded already."""
    head = orjson.dumps({"help": help_of(issuer, action), "success": True})
    return head[:-1] + b',"result":' + result + b"}"


def failure(request: Request, error: AppError) -> Response:
    """A refusal as CKAN words it: `error` holds the type, a message, and reasons by parameter."""
    language = language_of(request.headers.get("accept-language"))
    status, kind, ja, en = DIALECT[error.kind]
    opening = en if language == "en" else ja
    told: dict[str, Any] = {}
    for fault in error.faults:
        reason = fault.en if language == "en" else fault.ja
        told.setdefault(_CALLED.get(fault.pointer, fault.pointer), []).append(reason)
    told |= {"__type": kind, "message": opening + error.words(language), "code": error.code}
    action = str(request.path_params.get("name", "datastore_search"))[:100]
    issuer = request.app.state.platform.issuer
    body = {"help": help_of(issuer, action), "success": False, "error": told}
    headers = {**_VARY, "Cache-Control": "no-store", "Content-Language": language}
    if "Retry-After" in error.headers or status == 503:
        headers["Retry-After"] = error.headers.get("Retry-After", RETRY_AFTER_S)
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/json")


class Dialect(APIRoute):
    """A route whose refusals leave in CKAN's dialect, those of its dependencies too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def in_dialect(request: Request) -> Response:
            try:
                return await answer(request)
            except AppError as refusal:
                try:
                    await record_refusal(request, refusal)
                except DatabaseUnavailable as away:
                    return failure(request, away)
                return failure(request, refusal)

        return in_dialect
