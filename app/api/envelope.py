"""What every request gets: an id, safe headers, an access-log line, a count. Logs no query."""

import os
import re
import time
import traceback
from collections import Counter
from typing import Any, Final

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problem import MEDIA_TYPE, STATUS, language_of, problem_bytes
from app.audit import receipts
from app.formats.individual_number import holds_number
from app.kit import passage

log = structlog.get_logger("access")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_SAFE: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
# status, code, ja, en
_FAILED: Final = (
    500,
    "internal_error",
    "内部で問題が起きました。運営者にこの番号を伝えてください: {request}",
    "Something failed here. Tell the operator this request id: {request}",
)
_TOO_LARGE: Final = (413, "body_too_large", "本文が大きすぎます。", "The body is too large.")
_SLOW_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Traffic:
    """Counts of answered requests by (method, route, status), and how long they took."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.buckets = [0] * (len(_SLOW_S) + 1)
        self.seconds = 0.0

    @property
    def bounds(self) -> tuple[float, ...]:
        """Upper bounds of the buckets in seconds; the last bucket has none."""
        return _SLOW_S

    def note(self, key: tuple[str, str, int], seconds: float) -> None:
        """Count one answer."""
        self.requests[key] += 1
        self.seconds += seconds
        for place, bound in enumerate(_SLOW_S):
            if seconds <= bound:
                self.buckets[place] += 1
                return
        self.buckets[-1] += 1


class Envelope:
    """The one middleware: pure ASGI, because the hottest path goes through it."""

    def __init__(
        self, app: ASGIApp, *, traffic: Traffic, issuer: str, access_log: bool = True
    ) -> None:
        self._app = app
        self._access_log = access_log
        self._traffic = traffic
        self._headers = (*_SAFE, _HSTS) if issuer.startswith("https:") else _SAFE
        self._passage = (issuer,)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = scope["request_id"] = _request_id(scope["headers"])
        added = (*self._headers, (b"x-request-id", request_id.encode()))
        receipt = receipts.begin()
        status = 0
        too_large = False

        async def sending(message: Message) -> None:
            nonlocal status, too_large
            if too_large:
                return  # the framework's own words for it, which ours have replaced
            if message["type"] == "http.response.start":
                if message["status"] == 413 and not _is_problem(message):
                    status, too_large = 413, True
                    await _answer(scope, _With(send, added), request_id, *_TOO_LARGE)
                    return
                status = message["status"]
                headers = message["headers"] = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                # Limits: where they stand.
                own = (*added, *scope.get("limits", ()), *_receipt(receipt))
                headers.extend(pair for pair in own if pair[0] not in present)
            await send(message)

        try:
            await self._inner(scope, receive, sending)
        except Exception as exc:  # the outermost of a request: nothing may pass it
            _log_failure(exc, request_id)
            if status:
                raise  # half an answer has left: the server must cut the connection
            await _answer(scope, sending, request_id, *_FAILED)
        finally:
            self._note(scope, status or 499, time.perf_counter() - began)

    async def _inner(self, scope: Scope, receive: Receive, send: Send) -> None:
        with passage.taken_up(scope["headers"], self._passage) as is_new:
            if is_new:
                await self._app(scope, receive, send)
            else:
                loop = passage.FederationLoop()
                words = loop.words("ja"), loop.words("en")
                await _answer(
                    scope, send, scope["request_id"], STATUS[loop.kind], loop.code, *words
                )

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = getattr(route, "path", None) or scope.get("route_path_template") or "unmatched"
        method = scope["method"]
        self._traffic.note((method if len(method) < 8 else "OTHER", path, status), seconds)
        if not self._access_log:
            return
        caller = scope.get("caller")
        log.info(
            "request",
            method=method,
            route=path,  # the address itself may hold a record's key
            dataset=scope.get("path_params", {}).get("dataset_id"),
            status=status,
            ms=round(seconds * 1000, 2),
            request=scope["request_id"],
            client=caller.client.client_id if caller is not None else None,
        )


def _receipt(receipt: receipts.Receipt) -> tuple[tuple[bytes, bytes], ...]:
    """The entry of the log that this answer made, by which a proof can be asked for later."""
    if receipt.number is None:
        return ()
    return ((b"linkage-receipt", str(receipt.number).encode()),)


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id":
            if _REQUEST_ID.fullmatch(value) and not holds_number(value):
                return value.decode()
            break
    return os.urandom(16).hex()


def _log_failure(exc: Exception, request_id: str) -> None:
    """Where it failed, without the values of the exception's message: those could be data."""
    frames: list[Any] = traceback.extract_tb(exc.__traceback__)[-8:]
    structlog.get_logger().error(
        "request.failed",
        error=type(exc).__name__,
        request=request_id,
        at=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )


def _is_problem(message: Message) -> bool:
    return (b"content-type", MEDIA_TYPE.encode()) in list(message.get("headers", ()))


class _With:
    """Sends with headers added, past the wrapper that would look at the answer again."""

    def __init__(self, send: Send, added: tuple[tuple[bytes, bytes], ...]) -> None:
        self._send = send
        self._added = added

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *self._added]
        await self._send(message)


async def _answer(
    scope: Scope, send: Send, request_id: str, status: int, code: str, ja: str, en: str
) -> None:
    language = language_of(Headers(scope=scope).get("accept-language"))
    body = problem_bytes(
        status=status,
        code=code,
        detail=(en if language == "en" else ja).format(request=request_id),
        instance=scope["path"],
        request_id=request_id,
        language=language,
    )
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
