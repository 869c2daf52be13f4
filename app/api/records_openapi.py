"""The OpenAPI of the records endpoints, declared because they are no FastAPI routes."""

from collections.abc import Mapping
from typing import Any, Final

_EXAMPLE: Final = {
    "dataset": "parks",
    "version": 1,
    "numberReturned": 1,
    "records": [{"no": "P-01", "name": "架空中央公園", "latitude": 34.7, "longitude": 135.5}],
    "links": [{"rel": "self", "href": "https://…/records?limit=1", "type": "application/json"}],
    "meta": {"source": "hosted", "stale": False, "age_seconds": 0, "revision": 0},
}
LINKS: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["rel", "href"],
        "properties": {name: {"type": "string"} for name in ("rel", "href", "type")},
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
        "updated_at": {"type": "string", "format": "date-time"},
    },
}
_ABOUT: Final = {"dataset": {"type": "string"}, "version": {"type": "integer", "minimum": 1}}
_PAGE: Final = {
    "type": "object",
    "required": ["dataset", "version", "numberReturned", "records", "links", "meta"],
    "properties": {
        **_ABOUT,
        "numberReturned": {"type": "integer", "minimum": 0},
        "numberMatched": {"type": "integer", "minimum": 0},
        "records": {"type": "array", "items": {"type": "object"}},
        "links": LINKS,
        "meta": _META,
    },
}
_ONE: Final = {
    "type": "object",
    "required": ["dataset", "version", "record", "links", "meta"],
    "properties": {**_ABOUT, "record": {"type": "object"}, "links": LINKS, "meta": _META},
}
_TEXT: Final = {"schema": {"type": "string"}}
_HEADERS: Final = {
    "ETag": {"schema": {"type": "string"}, "description": "Names this answer for ever"},
    "Link": {"schema": {"type": "string"}, "description": 'rel="next" where more follows'},
    "Linkage-Receipt": {
        "schema": {"type": "integer"},
        "description": "Number of the log's entry; given for everything above public",
    },
}


def _query(name: str, schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": dict(schema),
        "description": description,
    }


_STRING: Final = {"type": "string"}
_BOOLEAN: Final = {"type": "string", "enum": ["true", "false"]}
_FORMS: Final = {"type": "string", "enum": ["json", "geojson", "csv", "ndjson", "parquet", "xlsx"]}
_COMMON: Final = (
    _query("purpose", _STRING, "Purpose of use; needed for everything above public"),
    _query("fields", _STRING, "Only these fields, comma-separated"),
    _query("version", {"type": "integer", "minimum": 1}, "An earlier version, by number"),
    _query("as_of", {"type": "string", "format": "date-time"}, "What readers got at this time"),
    _query("expand", _STRING, "Declared joins to add to each record, comma-separated"),
    _query("labels", {"type": "string", "enum": ["ja"]}, "Name fields by their Japanese labels"),
    _query("originals", _BOOLEAN, "Publisher only: adds _original, the cells as they came"),
    _query("f", _FORMS, "The representation, instead of Accept"),
)
_LIST: Final = (
    _query("filter", _STRING, "CQL2: comparison, AND OR NOT, IN, LIKE, BETWEEN, IS NULL"),
    _query(
        "filter-lang", {"type": "string", "enum": ["cql2-text", "cql2-json"]}, "Language of filter"
    ),
    _query("bbox", _STRING, "west,south,east,north in degrees (CRS84)"),
    _query("lat", {"type": "number"}, "With lon and radius: nearest first"),
    _query("lon", {"type": "number"}, "Degrees east"),
    _query("radius", {"type": "number"}, "Metres"),
    _query("sort", _STRING, "Fields, comma-separated; - before a name sorts down"),
    _query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100},
        "Records on a page; CSV and NDJSON without it hold all",
    ),
    _query("cursor", _STRING, "Where the next page begins: from the next link"),
    _query("count", _BOOLEAN, "Adds numberMatched"),
    _query("bom", _BOOLEAN, "CSV with a byte order mark"),
    _query("charset", {"type": "string", "enum": ["utf-8", "cp932"]}, "CSV's character set"),
)


def describe(problems: Mapping[int | str, Any], *, keyed: bool) -> dict[str, Any]:
    """The operation as OpenAPI 3.1 shows it; `problems` as `api.problem.problems` gives them."""
    dataset = {"name": "dataset_id", "in": "path", "required": True, "schema": _STRING}
    key = {**dataset, "name": "key", "description": "The key; of several fields: a,b"}
    content: dict[str, Any] = {
        "application/json": {"schema": _ONE if keyed else _PAGE},
        "application/geo+json": {"schema": {"type": "object"}},
        "text/csv": _TEXT,
        "application/x-ndjson": _TEXT,
        "application/vnd.apache.parquet": {},
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {},
    }
    if not keyed:
        content["application/json"]["example"] = _EXAMPLE
    responses: dict[str, Any] = {
        "200": {"description": "The records", "headers": _HEADERS, "content": content},
        "304": {"description": "Nothing changed since If-None-Match"},
    }
    for status, response in problems.items():
        kept = {name: value for name, value in response.items() if name != "model"}
        responses[str(status)] = kept
    summary = "Read one record" if keyed else "Read records"
    return {
        "tags": ["Records"],
        "summary": summary,
        "operationId": "read_record" if keyed else "read_records",
        "description": _DESCRIPTION,
        "parameters": [dataset, *([key] if keyed else ()), *_COMMON, *(() if keyed else _LIST)],
        "responses": responses,
        "security": [{}, {"clientCredentials": []}],
    }


_DESCRIPTION: Final = """\
Every field is a parameter too: `?ward=271276`, several values separated by commas. Public data
needs no token; everything else needs a token with `dataset:{id}:read` and a `purpose`. Every
request is decided anew, and above public it stands in the log before it is answered.
"""
