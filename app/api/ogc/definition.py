"""The API definition of the OGC door (OpenAPI 3.0): its paths and no others. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from app.api.ogc.answering import FORMS, GEOJSON, HTML, JSON, OPENAPI, SCHEMA, both_forms
from app.api.ogc.asking import CRS84, LANGUAGES
from app.api.ogc.conformance import FEATURES
from app.api.problem import MEDIA_TYPE as PROBLEM
from app.query.params import DEFAULT_LIMIT, MOST_ROWS

CONFORMANCE: Final = (FEATURES + "oas30",)
MOST_COLLECTIONS: Final = 1_000
_REFUSALS: Final[Mapping[str, str]] = {
    "400": "A parameter is wrong or unknown",
    "401": "A token is needed",
    "403": "Not allowed",
    "404": "No such collection or feature",
    "406": "No such form",
    "410": "Withdrawn; the reason is told",
    "503": "Not available at present",
}


def _query(name: str, description: str, schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name, "in": "query", "required": False, "description": description,
        "schema": dict(schema), "style": "form", "explode": False, **more,
    }  # fmt: skip


_CRS: Final = {"type": "string", "format": "uri", "enum": [CRS84], "default": CRS84}
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "collectionId": {
        "name": "collectionId", "in": "path", "required": True, "schema": {"type": "string"},
        "description": "The id of a dataset with a place",
    },
    "featureId": {
        "name": "featureId", "in": "path", "required": True, "schema": {"type": "string"},
        "description": "The id of a feature: its key, or the number of its row",
    },
    "f": _query("f", "The form, before Accept", {"type": "string", "enum": list(FORMS)}),
    "purpose": _query(
        "purpose", "What the data are for: of data that are not public", {"type": "string"}
    ),
    "limit": _query(
        "limit", "At most so many features on a page",
        {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": DEFAULT_LIMIT},
    ),
    "collectionsLimit": _query(
        "limit", "At most so many collections on a page",
        {"type": "integer", "minimum": 1, "maximum": MOST_COLLECTIONS, "default": MOST_COLLECTIONS},
    ),
    "cursor": _query("cursor", "Of a `next` link, as it is", {"type": "string"}),
    "bbox": _query(
        "bbox", "west,south,east,north in degrees; west above east crosses the antimeridian",
        {
            "type": "array", "items": {"type": "number"},
            "oneOf": [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}],
        },
    ),
    "bbox-crs": _query("bbox-crs", "Of bbox", _CRS),
    "crs": _query("crs", "Of the answer", _CRS),
    "datetime": _query(
        "datetime", "An instant, or an interval with `..` for an open side, on the collection's"
        " primary time (see its schema); what has no time is always found", {"type": "string"},
    ),
    "filter": _query(
        "filter", "CQL2 on the collection's queryables", {"type": "string"}
    ),
    "filter-lang": _query(
        "filter-lang", "The language of filter",
        {"type": "string", "enum": list(LANGUAGES), "default": LANGUAGES[0]},
    ),
    "filter-crs": _query("filter-crs", "Of geometries in filter", _CRS),
    "properties": {
        "name": "properties", "in": "query", "required": False, "style": "form", "explode": True,
        "description": "Equality with any queryable, by its own name",
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}  # fmt: skip
_MANY: Final = (
    "limit", "cursor", "bbox", "bbox-crs", "datetime", "filter", "filter-lang", "filter-crs",
    "crs", "properties",
)  # fmt: skip
# path: summary, media type, parameters beside f
_PATHS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "/": ("Landing page", JSON, ()),
    "/conformance": ("Conformance classes", JSON, ()),
    "/api": ("This document", OPENAPI, ()),
    "/collections": ("Collections", JSON, ("collectionsLimit", "cursor")),
    "/collections/{collectionId}": ("One collection", JSON, ("collectionId",)),
    "/collections/{collectionId}/queryables": (
        "What may be asked by", SCHEMA, ("collectionId", "purpose"),
    ),
    "/collections/{collectionId}/schema": (
        "What a feature holds", SCHEMA, ("collectionId", "purpose"),
    ),
    "/collections/{collectionId}/schema/geojson": (
        "What the GeoJSON of a feature holds", SCHEMA, ("collectionId", "purpose"),
    ),
    "/collections/{collectionId}/items": (
        "Features", GEOJSON, ("collectionId", "purpose", *_MANY),
    ),
    "/collections/{collectionId}/items/{featureId}": (
        "One feature", GEOJSON, ("collectionId", "featureId", "purpose", "crs"),
    ),
}  # fmt: skip
PATHS: Final = tuple(_PATHS)


def document(root: str) -> dict[str, Any]:
    """The definition, of a door at `root`."""
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Urban OS: OGC API - Features",
            "version": "1.0.0",
            "description": "位置を持つデータセットを地物として提供します。 / "
            "Every dataset with a place on the map, as features.",
        },
        "servers": [{"url": root}],
        "paths": {path: {"get": _operation(path, *told)} for path, told in _PATHS.items()},
        "components": {
            "parameters": _PARAMETERS,
            "responses": {
                f"Refused{status}": {
                    "description": told,
                    "content": {PROBLEM: {"schema": {"type": "object"}}},
                }
                for status, told in _REFUSALS.items()
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"bearer": []}],
    }


def _operation(
    path: str, summary: str, media_type: str, parameters: tuple[str, ...]
) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "object"}}, HTML: {"schema": {"type": "string"}}}
    refused = {each: {"$ref": f"#/components/responses/Refused{each}"} for each in _REFUSALS}
    named = path.replace("{collectionId}", "one").replace("{featureId}", "one").strip("/")
    return {
        "summary": summary,
        "operationId": "get" + "".join(part.capitalize() for part in named.split("/")),
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in ("f", *parameters)],
        "responses": {"200": {"description": summary, "content": content}} | refused,
    }


def told(made: Mapping[str, Any], here: str) -> dict[str, Any]:
    """The definition as a page tells it: each path with what it takes."""
    known = made["components"]["parameters"]
    paths: dict[str, Any] = {}
    for path, operations in made["paths"].items():
        operation = operations["get"]
        takes = [known[each["$ref"].rsplit("/", 1)[-1]] for each in operation["parameters"]]
        paths[path] = {operation["summary"]: {each["name"]: each["description"] for each in takes}}
    return {
        "title": made["info"]["title"],
        "description": made["info"]["description"],
        "paths": paths,
        "links": both_forms(here, OPENAPI),
    }
