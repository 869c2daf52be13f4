"""The door to records, read: the hottest path, so a plain ASGI endpoint with its OpenAPI beside it.

It translates and decides nothing: what may leave is the broker's word.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.access import challenge, find_caller
from app.api.limits import origin_of
from app.api.pace import paced
from app.api.problem import problems
from app.api.records_openapi import describe
from app.api.state import Platform
from app.broker.ask import Answer, Ask, Representation
from app.kit import trace
from app.kit.errors import AppError, Kind
from app.query.refusals import wrong

_PATH: Final = "/v1/datasets/{dataset_id}/records"
_KEYED: Final = _PATH + "/{key}"
_MOST_PARAMETERS: Final = 100
_MOST_QUERY_BYTES: Final = 65_536
_SHORT_QUERY_BYTES: Final = 1_024
_PLAIN_PATH: Final = re.compile(r"/v1/datasets/([a-z0-9-]+)/records", re.ASCII)
_BY_NAME: Final = {each.value: each for each in Representation}
_BY_MEDIA_TYPE: Final[Mapping[str, Representation]] = {
    "application/json": Representation.JSON,
    "application/geo+json": Representation.GEOJSON,
    "text/csv": Representation.CSV,
    "application/x-ndjson": Representation.NDJSON,
    "application/vnd.apache.parquet": Representation.PARQUET,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": Representation.XLSX,
    "application/*": Representation.JSON,
    "text/*": Representation.CSV,
    "text/html": Representation.JSON,  # a browser's address bar
    "*/*": Representation.JSON,
}


class NotAcceptable(AppError):
    """No representation that was asked for exists."""

    kind = Kind.NOT_ACCEPTABLE
    code = "not_acceptable"
    ja = "対応する形式がありません。f= に {known} のいずれかを指定してください。"
    en = "No such representation. Give f= one of {known}."

    def __init__(self, known: Iterable[str] = Representation) -> None:
        super().__init__(known=", ".join(known))


class RecordsEndpoint:
    """`GET /v1/datasets/{id}/records` and `/records/{key}`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        platform: Platform = scope["app"].state.platform
        scope["route_path_template"] = self._template(scope)
        try:
            answer = await self._answer(platform, scope)
        except AppError as refusal:
            if refusal.kind is Kind.UNAUTHENTICATED and not refusal.headers:
                challenge(platform, refusal, error=None)
            raise
        await send_answer(answer, scope, receive, send)

    def _template(self, scope: Scope) -> str:
        return _KEYED if "key" in scope["path_params"] else _PATH

    async def _answer(self, platform: Platform, scope: Scope) -> Answer:
        caller = await find_caller(platform, scope)
        raw = scope["query_string"]
        parameters = parameters_of(raw)
        path = scope["path_params"]
        accept, if_none_match = conditions_of(scope)
        trace.begin(*_trace_of(scope))
        return await self._read(
            platform,
            Ask(
                dataset_id=path["dataset_id"],
                parameters=parameters,
                representation=_representation(parameters, accept),
                caller=caller,
                origin=origin_of(scope),
                request_id=scope["request_id"],
                raw_query=raw,
                if_none_match=if_none_match,
                key=raw_key(scope) if "key" in path else None,
            ),
        )

    async def _read(self, platform: Platform, ask: Ask) -> Answer:
        return await platform.broker.read(ask)


def raw_key(scope: Scope) -> str:
    """The key as it stands in the address, still percent-encoded: commas part its fields."""
    raw: bytes = scope["raw_path"].removeprefix(scope.get("root_path", "").encode())
    return raw.split(b"/", 5)[5].decode("ascii", "replace")  # /v1/datasets/{id}/records/{key}


def parameters_of(raw: bytes) -> tuple[tuple[str, str], ...]:
    """The query string as pairs, remembered where it is short: popular questions come again."""
    if not raw:
        return ()
    return _remembered(raw) if len(raw) <= _SHORT_QUERY_BYTES else read_parameters(raw)


def conditions_of(scope: Scope) -> tuple[str | None, str | None]:
    """Accept and If-None-Match."""
    accept = if_none_match = None
    for name, value in scope["headers"]:
        if name == b"accept":
            accept = value.decode("latin-1")
        elif name == b"if-none-match":
            if_none_match = value.decode("latin-1")
    return accept, if_none_match


def _trace_of(scope: Scope) -> tuple[bytes | None, bytes | None]:
    """traceparent and tracestate."""
    parent = state = None
    for name, value in scope["headers"]:
        if name == b"traceparent":
            parent = value
        elif name == b"tracestate":
            state = value
    return parent, state


def read_parameters(raw: bytes) -> tuple[tuple[str, str], ...]:
    """The query string as pairs. Raises `InvalidQuestion` for what is no text."""
    if len(raw) > _MOST_QUERY_BYTES:
        raise wrong("query", "クエリが長すぎます。", "the query is too long.", "too_long")
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise wrong(
            "query",
            f"UTF-8をパーセントエンコードしてください（{_MOST_PARAMETERS}個まで）。",
            f"percent-encode UTF-8, at most {_MOST_PARAMETERS} parameters.",
            "not_readable",
        ) from None
    return tuple(pairs)


_remembered = lru_cache(maxsize=4_096)(read_parameters)


def _representation(parameters: tuple[tuple[str, str], ...], accept: str | None) -> Representation:
    for name, value in parameters:
        if name == "f":
            found = _BY_NAME.get(value)
            if found is None:
                raise NotAcceptable
            return found
    if accept is None or accept == "*/*":
        return Representation.JSON
    for media_type in accepted(accept):
        if media_type in _BY_MEDIA_TYPE:
            return _BY_MEDIA_TYPE[media_type]
    raise NotAcceptable


def accepted(accept: str) -> list[str]:
    """The media ranges of an Accept header, the dearest first."""
    offers = sorted((_offer(part) for part in accept.split(",")), key=lambda offer: -offer[1])
    return [media_type for media_type, quality in offers if quality > 0]


def _offer(part: str) -> tuple[str, float]:
    """RFC 9110, 12.5.1: a media range with its quality."""
    media_type, *options = (piece.strip() for piece in part.split(";"))
    quality = 1.0
    for option in options:
        if option.startswith("q="):
            try:
                quality = float(option[2:])
            except ValueError:
                quality = 0.0
    return media_type.lower(), quality


async def send_answer(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """Send what the broker gave, with its ETag, receipt and links."""
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"vary", b"Accept, Accept-Language, Authorization"),
        (b"cache-control", b"public, no-cache" if answer.is_public else b"private, no-cache"),
    ]
    if answer.etag:
        headers.append((b"etag", answer.etag.encode()))
    if answer.receipt is not None:
        headers.append((b"linkage-receipt", str(answer.receipt).encode()))
    if answer.next_link:
        headers.append((b"link", f'<{answer.next_link}>; rel="next"'.encode()))
    headers.extend((name.encode(), value.encode()) for name, value in answer.headers)
    head = scope["method"] == "HEAD"
    if answer.stream is not None:
        async with aclosing(answer.stream) as pieces:
            # A generator that never began ends nothing behind it when it is closed: HEAD begins it.
            first = await anext(pieces, b"")
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if not head:
                await _send_pieces(first, pieces, receive, paced(send))
        await send({"type": "http.response.body", "body": b""})
        return
    status = 304 if answer.not_modified else 200
    body = answer.body or b""
    if not answer.not_modified:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _send_pieces(
    first: bytes, rest: AsyncGenerator[bytes, None], receive: Receive, send: Send
) -> None:
    """Send until the end or until the taker is gone: sending to nobody raises nothing (ASGI)."""
    gone = asyncio.create_task(_hung_up(receive))
    try:
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for piece in rest:
            if gone.done():
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        gone.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class ReadLane:
    """The hottest path past the framework's turnings: it stands within all that guards a request,
    before the doors, and leaves whatever is not plainly a list of records to them."""

    def __init__(self, app: ASGIApp, handlers: Mapping[Any, Any]) -> None:
        self._app = app
        self._read = ExceptionMiddleware(_endpoint, handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            found = _PLAIN_PATH.fullmatch(scope["path"])
            if found is not None:
                scope["path_params"] = {"dataset_id": found[1]}
                await self._read(scope, receive, send)
                return
        await self._app(scope, receive, send)


_endpoint = RecordsEndpoint()
ROUTES: Final = (
    Route("/v1/datasets/{dataset_id}/records", _endpoint, methods=["GET"]),
    Route("/v1/datasets/{dataset_id}/records/{key:path}", _endpoint, methods=["GET"]),
)
READ_CODES: Final = (
    "token_required", "invalid_token", "authorization_malformed", "access_refused",
    "column_not_visible", "dataset_not_found", "version_not_found", "no_version_published",
    "dataset_withdrawn", "version_dropped", "invalid_parameter", "invalid_filter",
    "invalid_cursor", "too_many_candidates", "not_acceptable", "quota_exceeded",
    "day_used_up", "limiter_unavailable", "rows_not_told", "subject_not_told",
    "subject_by_name_only", "dataset_is_live", "agreement_not_of_source",
)  # fmt: skip
_LIVE_CODES: Final = (
    "live_source_unavailable", "live_source_broken", "live_source_denies", "live_source_slow", "live_too_many_records",
)  # fmt: skip
_EXPORT_CODES: Final = (
    "too_many_exports",
    "export_share_taken",
    "does_not_fit_form",
    "conversion_failed",
)
OPENAPI: Final[Mapping[str, dict[str, Any]]] = {
    _PATH: {"get": describe(problems(*READ_CODES, *_EXPORT_CODES, *_LIVE_CODES), keyed=False)},
    _KEYED: {
        "get": describe(
            problems(
                *READ_CODES, *_EXPORT_CODES, *_LIVE_CODES, "record_not_found", "dataset_has_no_key"
            ),
            keyed=True,
        )
    },
}
