"""The OpenAPI of CKAN's door, whose parameters are CKAN's own. Describes, and does nothing."""

from typing import Any, Final

from app.api.ckan.dump import MEDIA_TYPES
from app.api.problem import problems

_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["help", "success", "result"],
    "properties": {"help": {"type": "string"}, "success": {"const": True}, "result": {}},
}
_EXAMPLE: Final[dict[str, Any]] = {
    "help": "https://urbanos.example.jp/api/3/action/help_show?name=package_list",
    "success": True,
    "result": ["parks", "shelters"],
}
_REFUSAL: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["help", "success", "error"],
    "properties": {
        "help": {"type": "string"},
        "success": {"const": False},
        "error": {
            "type": "object",
            "required": ["__type", "message", "code"],
            "properties": {
                "__type": {"type": "string"},
                "message": {"type": "string"},
                "code": {"type": "string"},
            },
        },
    },
}
_STATUSES: Final = {
    400: ("Bad Request", "action_unknown", "`action_unknown`, `body_unreadable`"),
    403: ("Authorization Error", "read_only", "`read_only`, `column_not_visible`"),
    404: (
        "Not Found Error", "dataset_withdrawn",
        "`dataset_not_found`, `not_open_data`, `dataset_withdrawn`, `resource_not_found`",
    ),
    409: (
        "Validation Error", "unknown_parameter",
        "`unknown_parameter`, `invalid_parameter`, `invalid_filter`, `sql_not_answered`",
    ),
}  # fmt: skip


def refusals() -> dict[int | str, dict[str, Any]]:
    """The refusals in CKAN's dialect, and those that any operation has."""
    made: dict[int | str, dict[str, Any]] = {
        status: {
            "description": f"{kind}: {codes}",
            "content": {"application/json": {"schema": _REFUSAL, "example": _refusal(kind, code)}},
        }
        for status, (kind, code, codes) in _STATUSES.items()
    }
    made[503] = problems()[503]
    made[503]["content"]["application/json"] = {"schema": _REFUSAL}
    return made


def _refusal(kind: str, code: str) -> dict[str, Any]:
    return {
        "help": _EXAMPLE["help"],
        "success": False,
        "error": {"__type": kind, "message": kind, "code": code},
    }


def _asked(*names: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in names
    ]


_ANSWERED: Final[dict[str, Any]] = {
    "responses": {
        "200": {
            "description": "The action's result",
            "content": {"application/json": {"schema": _ANSWER, "example": _EXAMPLE}},
        },
    }
}
ACTION_QUERY: Final[dict[str, Any]] = {
    "parameters": _asked(
        "id", "q", "fq", "rows", "start", "sort", "resource_id", "limit", "offset"
    ),
    "responses": {**_ANSWERED["responses"], "304": {"description": "One's copy is still right"}},
}
ACTION_POST: Final[dict[str, Any]] = {
    **_ANSWERED,
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {"type": "object", "additionalProperties": True},
                "example": {"q": "公園", "fq": "res_format:CSV", "rows": 10},
            }
        }
    },
}
DUMP_QUERY: Final[dict[str, Any]] = {
    "parameters": _asked("format", "bom", "filters", "q", "fields", "sort", "limit", "offset")
}
DUMPED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The records",
        "content": {each.partition(";")[0]: {"schema": {"type": "string"}} for each in MEDIA_TYPES},
    }
}
