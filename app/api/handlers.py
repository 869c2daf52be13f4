"""From every exception to its answer. A refusal of rights is in the log before it leaves."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import asyncpg
import structlog
from asyncpg.exceptions._base import DataError as DriverDataError
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.api.input_words import faults_of
from app.api.problem import STATUS, language_of, problem_response, request_id_of, response_of
from app.audit.events import Event
from app.formats.individual_number import REFUSED as NUMBER_REFUSED
from app.kit.db import DatabaseUnavailable
from app.kit.errors import AppError, Kind
from app.oauth.refusals import InvalidClient, OAuthRefused

log = structlog.get_logger()
_RIGHTS: Final = frozenset({Kind.FORBIDDEN, Kind.UNAUTHENTICATED})
# A value that the database's types do not hold, met by the server or by the driver itself.
_NOT_TAKEN: Final[tuple[type[Exception], ...]] = (asyncpg.DataError, DriverDataError)
# (code, ja, en) of what Starlette refuses by itself.
_HTTP: Final[dict[int, tuple[str, str, str]]] = {
    400: ("malformed_body", "本文を読めません。", "The body cannot be read."),
    404: ("route_not_found", "このパスはありません。", "There is no such path."),
    405: (
        "method_not_allowed",
        "このパスでこのメソッドは使えません。",
        "This path does not take this method.",
    ),
    413: ("body_too_large", "本文が大きすぎます。", "The body is too large."),
    415: ("unsupported_media_type", "この形式は扱えません。", "This media type is not supported."),
}


# The database is away, or busy for longer than a request should wait: either passes.
_LOST = (
    ConnectionError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
)


def install(app: FastAPI) -> None:
    """Let every refusal leave as the dialect of its door."""
    app.add_exception_handler(OAuthRefused, _oauth_refused)
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for lost in _LOST:
        app.add_exception_handler(lost, _database_away)
    for not_taken in _NOT_TAKEN:
        app.add_exception_handler(not_taken, _not_taken)
    app.add_exception_handler(OSError, _os_error)
    app.add_exception_handler(DBAPIError, _database_error)


async def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101 - as registered
    return await refused(request, error)


async def refused(request: Request, error: AppError) -> Response:
    """The answer of a refusal, which is in the log by then where it has to be."""
    try:
        await record_refusal(request, error)
    except DatabaseUnavailable as away:
        return response_of(request, away)
    return response_of(request, error)


async def record_refusal(request: Request, error: AppError) -> None:
    """Write a refusal of rights, or of an individual number, to the log unless the code that raised
    it has done so."""
    if (error.kind not in _RIGHTS and error.code != NUMBER_REFUSED) or error.logged:
        return
    caller = request.scope.get("caller") or request.scope.get("citizen")
    await request.app.state.platform.log.write(
        Event.CALL_REFUSED,
        client=caller.client.client_id if caller else error.named.get("holder"),
        person=caller.client.person_id if caller else None,
        organization=caller.client.organization_id if caller else None,
        code=error.code,
        why=error.named.get("why"),
        where=error.named.get("where_en"),
        method=request.method,
        path=request.url.path[:200],
        request=request_id_of(request),
    )


async def _oauth_refused(request: Request, error: Exception) -> Response:
    """RFC 6749, 5.2."""
    assert isinstance(error, OAuthRefused)  # noqa: S101 - as registered
    endpoint = request.app.state.platform.token_endpoint
    try:
        await endpoint.record_refusal(error, path=request.url.path)
    except DatabaseUnavailable as away:
        return response_of(request, away)
    language = language_of(request.headers.get("accept-language"))
    headers = {"Cache-Control": "no-store", "Content-Language": language, **error.headers}
    if isinstance(error, InvalidClient):
        headers["WWW-Authenticate"] = 'Basic realm="urbanos", charset="UTF-8"'
    # RFC 6749, 5.2 allows error_description ASCII only; Japanese readers get theirs beside it.
    body: dict[str, Any] = {"error": error.code, "error_description": error.words("en")}
    if language == "ja":
        body["error_description_ja"] = error.words("ja")
    return JSONResponse(body, STATUS[error.kind], headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as registered
    found = error.errors()
    faults = faults_of(found)
    status, code = 422, "invalid_input"
    if any(fault.code == "json_invalid" for fault in faults):
        status, code = 400, "malformed_body"
    elif all(each["loc"][:1] == ("query",) for each in found):
        status, code = 400, "invalid_parameter"  # the address is wrong, not what is sent to it
    return problem_response(
        request,
        status=status,
        code=code,
        words=(
            f"入力に{len(faults)}件の誤りがあります。errors を確認してください。",
            f"{len(faults)} places of the input are wrong. See errors.",
        ),
        faults=faults,
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered
    if isinstance(error.__cause__, AppError):  # met while FastAPI read the body
        return await refused(request, error.__cause__)
    code, ja, en = _HTTP.get(error.status_code, _HTTP[400])
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_of(request)) or headers.get("Allow", "")
    return problem_response(
        request, status=error.status_code, code=code, words=(ja, en), headers=headers
    )


def _methods_of(request: Request) -> list[str]:
    """What the path takes (RFC 9110, 10.2.1): several routes may share it."""
    found: set[str] = set()
    for route in routes_of(request.app.router.routes):
        if route.path_regex.match(request.scope["path"]):
            found |= route.methods or set()
    return sorted(found)


def routes_of(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    """Every route, those of included routers too."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from routes_of(included.routes)
        elif isinstance(route, Route):
            yield route


async def _database_away(request: Request, error: Exception) -> Response:
    log.warning("database.away", error=type(error).__name__, request=request_id_of(request))
    return response_of(request, DatabaseUnavailable())


def _cause(error: DBAPIError) -> BaseException | None:
    """The driver's own error, which SQLAlchemy wraps twice."""
    return error.orig.__cause__ if error.orig is not None else None


async def _not_taken(request: Request, error: Exception) -> Response:
    """The net under every check of input: wrong input is never our failure."""
    log.warning("input.not_taken", error=type(error).__name__, request=request_id_of(request))
    return problem_response(
        request,
        status=400,
        code="invalid_parameter",
        words=(
            "扱えない値が含まれています（NUL文字、範囲を超える数など）。値を確認してください。",
            "A value cannot be taken (a NUL character, a number out of range). Check the values.",
        ),
    )


async def _os_error(request: Request, error: Exception) -> Response:
    """A socket that is gone is a file that is missing: told apart by who met it."""
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__", "").startswith("asyncpg"):
            return await _database_away(request, error)
        frame = frame.tb_next
    raise error


async def _database_error(request: Request, error: Exception) -> Response:
    """A database that went away, or a rule in it that two requests ran into at once."""
    assert isinstance(error, DBAPIError)  # noqa: S101 - as registered
    if isinstance(error, IntegrityError):
        return problem_response(
            request,
            status=409,
            code="conflict",
            words=(
                "同時に行われた変更と矛盾します。現在の状態を確認してから再試行してください。",
                "It contradicts a change made at the same time. Look again at the present state.",
            ),
        )
    if isinstance(_cause(error), _NOT_TAKEN):
        return await _not_taken(request, error)
    away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    if not away and not isinstance(_cause(error), _LOST):
        raise error
    return await _database_away(request, error)
