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
        "masks": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Fields of which less than their values is shown, each with its mask",
        },
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
_FEATURE: Final = {
    "type": "object",
    "required": ["type", "geometry", "properties"],
    "properties": {
        "type": {"const": "Feature"},
        "geometry": {
            "oneOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "required": ["type", "coordinates"],
                    "properties": {"type": {"type": "string"}, "coordinates": {"type": "array"}},
                },
            ]
        },
        "properties": {"type": "object"},
    },
}
_FEATURES: Final = {
    "type": "object",
    "required": ["type", "numberReturned", "features", "links", "meta"],
    "properties": {
        "type": {"const": "FeatureCollection"},
        "numberReturned": {"type": "integer", "minimum": 0},
        "numberMatched": {"type": "integer", "minimum": 0},
        "features": {"type": "array", "items": _FEATURE},
        "links": LINKS,
        "meta": _META,
    },
}
_TEXT: Final = {"schema": {"type": "string"}}
_HEADERS: Final = {
    "ETag": {"schema": {"type": "string"}, "description": "Names this answer for ever"},
    "Link": {"schema": {"type": "string"}, "description": 'rel="next" where more follows'},
    "Linkage-Receipt": {
        "schema": {"type": "integer"},
        "description": "Number n of the log's entry, given for everything above public:"
        " /v1/log/proofs/inclusion?index=n-1 proves it",
    },
}


# Of a list of shelters, each as it can be asked; lat, lon and radius together, and without bbox.
EXAMPLES: Final[Mapping[str, str]] = {
    "filter": "capacity >= 300 AND S_DWITHIN(geometry, POINT(135.5 34.7), 2, kilometers)",
    "q": "小学校 体育館",
    "bbox": "135.4,34.6,135.6,34.8",
    "sort": "-capacity,name",
    "fields": "name,capacity",
    "group_by": "ward,fiscal_year(designated_on)",
    "metrics": "count,sum(capacity)",
}


def _query(name: str, schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    told = {
        "name": name,
        "in": "query",
        "required": False,
        "schema": dict(schema),
        "description": description,
    }
    return told if name not in EXAMPLES else {**told, "example": EXAMPLES[name]}


_STRING: Final = {"type": "string"}
_BOOLEAN: Final = {"type": "boolean"}
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
    _query(
        "filter",
        _STRING,
        "CQL2 (OGC 21-065r2): comparison, AND OR NOT, arithmetic, IN, LIKE, BETWEEN, IS NULL, CASEI"
        " (case and width), ACCENTI, T_AFTER and the like, S_INTERSECTS and the like, S_DWITHIN in"
        " metres; geometry is the record's place",
    ),
    _query(
        "filter-lang", {"type": "string", "enum": ["cql2-text", "cql2-json"]}, "Language of filter"
    ),
    _query(
        "q",
        {"type": "string", "maxLength": 200},
        "Words that stand in a field of text, in any width, case, kana and form of character",
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
        "application/geo+json": {"schema": _FEATURE if keyed else _FEATURES},
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
    responses |= _refusals(problems)
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


def _refusals(problems: Mapping[int | str, Any]) -> dict[str, Any]:
    return {
        str(status): {name: value for name, value in response.items() if name != "model"}
        for status, response in problems.items()
    }


_GROUPS: Final = {
    "type": "object",
    "required": ["dataset", "version", "numberReturned", "groups", "links", "meta"],
    "properties": {
        **_ABOUT,
        "numberReturned": {"type": "integer", "minimum": 0},
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["by", "values"],
                "properties": {
                    "by": {"type": "object"},
                    "values": {"type": "object"},
                    "suppressed": {"const": True},
                },
            },
        },
        "links": LINKS,
        "meta": _META,
    },
}
_GROUP_BY: Final = """\
Fields and buckets, comma-separated, 8 at most: year, month, day, hour, fiscal_year and weekday of
a date or time (in Japan); mesh1 to mesh6 of geometry (JIS X 0410; of a shape, of the middle of its
bounds); municipality and prefecture of a local government code; bin(field,width) of a number"""
_METRICS: Final = """\
count; count, distinct, min and max of a field; sum and avg of a number; comma-separated, 20 at
most. count alone if absent"""
# Of groups there is no choice of fields, no order but their own, and no number of all.
_NOT_OF_GROUPS: Final = frozenset({"fields", "sort", "count", "labels", "originals", "f"})
_AGGREGATES: Final = """\
One group for each combination of the `group_by` values that occurs, in their order with null last;
without it, one for all. The conditions are those of records, and the counts add up to their
`numberMatched`. Where a dataset declares `suppression`, everybody but its publisher gets sums over
k people or more only: a total from which fewer would follow has null values and
`"suppressed": true`, and a group in which there may be nobody is left out. Personal data without
`suppression` is counted for its publisher alone.
"""


def describe_aggregate(problems: Mapping[int | str, Any]) -> dict[str, Any]:
    """The operation of aggregates, as `describe` describes those of records."""
    kept = [each for each in (*_COMMON, *_LIST) if each["name"] not in _NOT_OF_GROUPS]
    content = {"application/json": {"schema": _GROUPS}, "text/csv": _TEXT}
    return {
        "tags": ["Records"],
        "summary": "Count, add up and average records",
        "operationId": "aggregate_records",
        "description": _AGGREGATES,
        "parameters": [
            {"name": "dataset_id", "in": "path", "required": True, "schema": _STRING},
            _query("group_by", _STRING, _GROUP_BY),
            _query("metrics", _STRING, _METRICS),
            *kept,
            _query("f", {"type": "string", "enum": ["json", "csv"]}, "Instead of Accept"),
        ],
        "responses": {
            "200": {"description": "The groups", "headers": _HEADERS, "content": content},
            "304": {"description": "Nothing changed since If-None-Match"},
            **_refusals(problems),
        },
        "security": [{}, {"clientCredentials": []}],
    }
