"""What a client of the standard may rely on, said at the platform's own operations of it.

The envelope answers so for every request, so no route says it: it is said here, of the document alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.api.problem import MEDIA_TYPE, TITLES, example_of

_DATASET: Final = "/v1/datasets/{dataset_id}"
_SUBSCRIPTIONS: Final = "/v1/subscriptions"
_OPERATIONS: Final = (
    ("/v1/datasets", "get"), (_DATASET, "get"), (f"{_DATASET}/schema", "get"),
    (f"{_DATASET}/records", "get"), (f"{_DATASET}/records", "post"),
    (_DATASET + "/records/{key}", "get"), (_DATASET + "/records/{key}", "delete"),
    (f"{_DATASET}/aggregate", "get"), (f"{_DATASET}/changes", "get"), ("/v1/health", "get"),
    (_SUBSCRIPTIONS, "get"), (_SUBSCRIPTIONS, "post"),
    (_SUBSCRIPTIONS + "/{subscription}", "get"), (_SUBSCRIPTIONS + "/{subscription}", "delete"),
    (_SUBSCRIPTIONS + "/{subscription}/replay", "post"),
)  # fmt: skip
# Every operation can end so: the version of the interface, the request, and the server's patience.
_ALWAYS: Final[Mapping[str, str]] = {
    "410": "interface_ended", "429": "rate_limited", "500": "internal_error",
    "503": "database_unavailable", "508": "federation_loop",
}  # fmt: skip
_TEXT: Final = {"type": "string"}
_HEADERS: Final[Mapping[str, Any]] = {
    "ETag": {"description": "Names this content", "schema": _TEXT},
    "X-Request-Id": {"description": "The request_id of the body", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "How to authenticate", "schema": _TEXT},
}

JSON_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["$schema", "type", "properties"],
    "properties": {
        "$schema": {"const": "https://json-schema.org/draft/2020-12/schema"},
        "type": {"const": "object"},
        "properties": {"type": "object"},
    },
}
TABLE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["fields"],
    "properties": {
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "type"],
                "properties": {"name": {"type": "string"}, "type": {"type": "string"}},
            },
        },
        "primaryKey": {"type": "array", "items": {"type": "string"}},
    },
}


def complete(document: dict[str, Any]) -> None:
    """Put it into the document."""
    headers = document["components"].setdefault("headers", {})
    headers.update({name.replace("-", ""): dict(told) for name, told in _HEADERS.items()})
    for path, method in _OPERATIONS:
        responses = document["paths"][path][method]["responses"]
        for status, code in _ALWAYS.items():
            responses.setdefault(status, _refusal(int(status), code))
        if path.endswith("/schema"):
            responses.setdefault("406", _refusal(406, "not_acceptable"))
        for status, response in responses.items():
            for name in _named(path, method, status):
                told = {"$ref": f"#/components/headers/{name.replace('-', '')}"}
                response.setdefault("headers", {}).setdefault(name, told)


def _named(path: str, method: str, status: str) -> Iterator[str]:
    is_tagged = method == "get" and not path.startswith(_SUBSCRIPTIONS)
    if is_tagged and status in {"200", "304"}:
        yield "ETag"
    if status >= "400":
        yield "X-Request-Id"
    if status in {"429", "503"}:
        yield "Retry-After"
    if status == "401":
        yield "WWW-Authenticate"


def _refusal(status: int, code: str) -> dict[str, Any]:
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "example": example_of(status, code),
    }
    return {"description": f"{TITLES[status][1]}: `{code}`", "content": {MEDIA_TYPE: content}}
