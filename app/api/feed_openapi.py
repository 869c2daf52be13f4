"""The OpenAPI of the change feed and of comparisons, whose bodies the broker encodes."""

from typing import Any, Final

from app.api.records_openapi import LINKS

# What both can refuse, beside what is wrong with a parameter.
FEED_CODES: Final = (
    "token_required", "invalid_token", "authorization_malformed", "access_refused",
    "column_not_visible", "dataset_not_found", "no_version_published", "dataset_withdrawn",
    "invalid_cursor", "rows_not_told", "subject_not_told", "day_used_up",
)  # fmt: skip
_HEADERS: Final = {
    "Link": {"schema": {"type": "string"}, "description": 'rel="next" while more is waiting'},
    "Linkage-Receipt": {
        "schema": {"type": "integer"},
        "description": "Number n of the log's entry, given for everything above public:"
        " /v1/log/proofs/inclusion?index=n-1 proves it",
    },
}
_TIME: Final = {"type": "string", "format": "date-time"}
_CHANGE: Final = {
    "type": "object",
    "required": ["id", "op", "key", "changed_at", "version", "revision"],
    "properties": {
        "id": {"type": "string", "description": "The same whenever the change is given again"},
        "op": {"type": "string", "enum": ["upsert", "delete"]},
        "key": {"type": "string"},
        "changed_at": _TIME,
        "version": {"type": "integer", "minimum": 1},
        "revision": {"type": "integer", "minimum": 0},
        "record": {"type": "object", "description": "The record as it became; not with delete"},
    },
}
_META: Final = {
    "type": "object",
    "required": ["source", "stale", "age_seconds", "revision"],
    "properties": {
        "source": {"type": "string"},
        "stale": {"type": "boolean"},
        "age_seconds": {"type": "number"},
        "revision": {"type": "integer"},
        "updated_at": _TIME,
    },
}


def _answer(description: str, schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": _HEADERS,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


FEED_ANSWER: Final = _answer(
    "Changes since then, oldest first",
    {
        "type": "object",
        "required": ["dataset", "numberReturned", "changes", "next", "links", "meta"],
        "properties": {
            "dataset": {"type": "string"},
            "numberReturned": {"type": "integer", "minimum": 0},
            "changes": {"type": "array", "items": _CHANGE},
            "next": {"type": "string", "description": "The since of the next call"},
            "links": LINKS,
            "meta": _META,
        },
    },
    {
        "dataset": "parks",
        "numberReturned": 2,
        "changes": [
            {
                "id": "8.1",
                "op": "upsert",
                "key": "P-01",
                "changed_at": "2026-04-01T10:00:00+09:00",
                "version": 1,
                "revision": 8,
                "record": {"no": "P-01", "name": "架空中央公園"},
            },
            {
                "id": "9.7",
                "op": "delete",
                "key": "P-09",
                "changed_at": "2026-04-01T10:02:00+09:00",
                "version": 1,
                "revision": 9,
            },
        ],
        "next": "WyJwYXJrcyJd",
        "links": [],
        "meta": {"source": "hosted", "stale": False, "age_seconds": 0, "revision": 9},
    },
)
_SIDE: Final = {
    "type": "object",
    "required": ["version", "revision"],
    "properties": {name: {"type": "integer"} for name in ("version", "revision")},
}
_SCHEMA_CHANGE: Final = {
    "type": "object",
    "required": ["change", "field", "before", "after", "compatible"],
    "properties": {
        "change": {"type": "string"},
        "field": {"type": "string"},
        "before": {},
        "after": {},
        "compatible": {"type": "boolean"},
    },
}
_DIFFERENCE: Final = {
    "type": "object",
    "required": ["op"],
    "properties": {
        "op": {"type": "string", "enum": ["removed", "changed", "added"]},
        "key": {"type": "string"},
        "record": {"type": "object", "description": "Of a row that was added or removed"},
        "fields": {"type": "object", "description": "Of a changed row: before and after by field"},
    },
}
DIFF_ANSWER: Final = _answer(
    "What differs",
    {
        "type": "object",
        "required": [
            "dataset", "from", "to", "key", "rows", "schema", "numberReturned", "differences",
            "links",
        ],
        "properties": {
            "dataset": {"type": "string"},
            "from": _SIDE,
            "to": _SIDE,
            "key": {"type": ["array", "null"], "items": {"type": "string"}},
            "rows": {
                "type": "object",
                "required": ["added", "removed", "changed"],
                "properties": {
                    name: {"type": "integer"} for name in ("added", "removed", "changed")
                },
            },
            "schema": {"type": "array", "items": _SCHEMA_CHANGE},
            "numberReturned": {"type": "integer"},
            "differences": {"type": "array", "items": _DIFFERENCE},
            "links": LINKS,
        },
    },
    {
        "dataset": "parks",
        "from": {"version": 1, "revision": 0},
        "to": {"version": 2, "revision": 0},
        "key": ["no"],
        "rows": {"added": 0, "removed": 0, "changed": 1},
        "schema": [],
        "numberReturned": 1,
        "differences": [
            {
                "op": "changed",
                "key": "P-01",
                "fields": {"name": {"before": "架空公園", "after": "架空中央公園"}},
            }
        ],
        "links": [],
    },
)  # fmt: skip
