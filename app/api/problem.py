"""Problem documents (RFC 9457): the shape of every refusal in JSON. Never holds a traceback."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from app.formats.individual_number import mask
from app.kit.errors import AppError, Fault, Kind

MEDIA_TYPE: Final = "application/problem+json"
STATUS: Final[Mapping[Kind, int]] = {
    Kind.MALFORMED: 400,
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.GONE: 410,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION: 412,
    Kind.MISMATCH: 460,  # tus 1.0.0, checksum
    Kind.TOO_LARGE: 413,
    Kind.RANGE: 416,
    Kind.UNSUPPORTED: 415,
    Kind.TOO_MANY: 429,
    Kind.UNAVAILABLE: 503,
    Kind.BAD_ANSWER: 502,
    Kind.NO_ANSWER: 504,
    Kind.LOOP: 508,  # RFC 5842, 7.2
}
TITLES: Final[Mapping[int, tuple[str, str]]] = {
    400: ("要求を読めません", "The request cannot be read"),
    401: ("認証が必要です", "Authentication is needed"),
    403: ("許可されていません", "Not allowed"),
    404: ("見つかりません", "Not found"),
    405: ("このメソッドは使えません", "Method not allowed"),
    406: ("その形式では返せません", "Not available in that form"),
    409: ("現在の状態と矛盾します", "In conflict with the present state"),
    410: ("廃止されました", "Gone"),
    412: ("前提条件が成り立ちません", "A precondition does not hold"),
    413: ("大きすぎます", "Too large"),
    415: ("この形式は扱えません", "This media type is not supported"),
    416: ("その範囲はありません", "No such range"),
    422: ("入力に誤りがあります", "The input is wrong"),
    460: ("送信内容が壊れています", "What came is not what was announced"),
    429: ("要求が多すぎます", "Too many requests"),
    500: ("内部エラー", "Internal error"),
    502: ("提供元の応答を使えません", "The source's answer cannot be used"),
    503: ("一時的に利用できません", "Not available at present"),
    504: ("提供元が応答しません", "The source does not answer"),
    508: ("循環を検出しました", "The request goes round in circles"),
}
RETRY_AFTER_S: Final = "5"


class FaultOut(BaseModel):
    """One wrong place of the input."""

    pointer: str = Field(description="JSON pointer into the body, or the name of the parameter")
    code: str
    detail: str


class Problem(BaseModel):
    """A refusal. `code` is stable; `detail` names the thing and how to mend it."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    request_id: str
    errors: list[FaultOut] | SkipJsonSchema[None] = None  # left out, and never null


def language_of(accept_language: str | None) -> str:
    """`ja` or `en`: as Accept-Language prefers (RFC 9110, 12.5.4); Japanese by default."""
    best, weight = "ja", 0.0
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        if language in ("ja", "en") and (quality := _quality(parameter)) > weight:
            best, weight = language, quality
    return best


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def problem_bytes(
    *,
    status: int,
    code: str,
    detail: str,
    instance: str,
    request_id: str,
    language: str,
    faults: Sequence[Fault] = (),
) -> bytes:
    """The document, encoded."""
    body: dict[str, Any] = {
        "type": f"urn:urbanos:problem:{code}",
        "title": TITLES.get(status, TITLES[500])[language == "en"],
        "status": status,
        "code": code,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }
    if faults:
        body["errors"] = [
            {
                "pointer": fault.pointer,
                "code": fault.code,
                "detail": fault.en if language == "en" else fault.ja,
            }
            for fault in faults
        ]
    return orjson.dumps(body)


def problem_response(
    request: Request,
    *,
    status: int,
    code: str,
    words: tuple[str, str],
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to `request`, in its language. `words` are (ja, en)."""
    language = language_of(request.headers.get("accept-language"))
    body = problem_bytes(
        status=status,
        code=code,
        detail=words[language == "en"],
        instance=mask(request.url.path),
        request_id=request_id_of(request),
        language=language,
        faults=faults,
    )
    kept = {"Cache-Control": "no-store", "Content-Language": language, **(headers or {})}
    if status == 503:
        kept.setdefault("Retry-After", RETRY_AFTER_S)
    return Response(body, status, headers=kept, media_type=MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    """The id that the envelope gave the request."""
    found: str = request.scope.get("request_id", "")
    return found


def response_of(request: Request, error: AppError) -> Response:
    """The problem document of an `AppError`."""
    return problem_response(
        request,
        status=STATUS[error.kind],
        code=error.code,
        words=(error.words("ja"), error.words("en")),
        faults=error.faults,
        headers=error.headers,
    )


# Every operation with input can be refused with these, before its own code runs.
_ALWAYS: Final = {
    "unknown_parameter": 400,
    "invalid_parameter": 400,
    "invalid_input": 422,
    "individual_number_refused": 422,
    "rate_limited": 429,
    "database_unavailable": 503,
}


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that may refuse with these codes, as OpenAPI shows them.

    A code that no `AppError` carries is a mistake of ours and stops the start (`LookupError`).
    """
    known = dict(_all_codes())
    by_status: dict[int, list[str]] = {}
    for code, status in _ALWAYS.items():
        by_status.setdefault(status, []).append(code)
    # Whoever takes a token takes the proof beside it.
    proof = ("invalid_dpop_proof",) if "invalid_token" in codes else ()
    for code in (*codes, *proof):
        if code not in known:
            raise LookupError(f"no refusal has the code {code!r}")
        by_status.setdefault(known[code], []).append(code)
    shape = {"$ref": "#/components/schemas/Problem"}
    made: dict[int | str, dict[str, Any]] = {}
    for status, named in sorted(by_status.items()):
        codes_of_status = list(dict.fromkeys(named))
        made[status] = {
            "model": Problem,
            "description": f"{TITLES[status][1]}: " + ", ".join(f"`{c}`" for c in codes_of_status),
            "content": {
                MEDIA_TYPE: {"schema": shape, "example": example_of(status, codes_of_status[-1])}
            },
        }
    return made


def example_of(status: int, code: str) -> dict[str, Any]:
    """A problem document as the OpenAPI document shows it."""
    return {
        "type": f"urn:urbanos:problem:{code}",
        "title": TITLES[status][0],
        "status": status,
        "code": code,
        "detail": TITLES[status][0],
        "instance": "/v1/…",
        "request_id": "0f8b4f7e5c2d4a1b9e6f3a2d1c0b9a87",
    }


def _all_codes(base: type[AppError] = AppError) -> Iterable[tuple[str, int]]:
    for made in base.__subclasses__():
        if hasattr(made, "code") and hasattr(made, "kind"):
            yield made.code, STATUS[made.kind]
        yield from _all_codes(made)
