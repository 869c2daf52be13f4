"""Fields as the schemas of two standards: JSON Schema 2020-12 and Frictionless Table Schema."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from app.models.datasets import Dataset
from app.query.fields import Field, FieldType, geometry_of, place_of
from app.query.params import PLACE

_GEOMETRY: Final = "https://geojson.org/schema/Geometry.json"
_POINT: Final = "https://geojson.org/schema/Point.json"
_JSON_TYPES: Final[dict[FieldType, dict[str, Any]]] = {
    FieldType.INTEGER: {"type": "integer"},
    FieldType.DECIMAL: {"type": "number"},
    FieldType.BOOLEAN: {"type": "boolean"},
    FieldType.DATE: {"type": "string", "format": "date"},
    FieldType.DATETIME: {"type": "string", "format": "date-time"},
    FieldType.LATITUDE: {"type": "number", "minimum": 20, "maximum": 46},
    FieldType.LONGITUDE: {"type": "number", "minimum": 122, "maximum": 154.5},
    FieldType.LOCAL_GOVERNMENT_CODE: {"type": "string", "pattern": "^[0-9]{6}$"},
    FieldType.POSTAL_CODE: {"type": "string", "pattern": "^[0-9]{3}-[0-9]{4}$"},
    FieldType.URL: {"type": "string", "format": "uri"},
    FieldType.EMAIL: {"type": "string", "format": "email"},
    FieldType.MONTH: {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
    FieldType.FISCAL_YEAR: {"type": "string", "pattern": "^[12][0-9]{3}$"},
    # The word that OGC API - Features, Part 5 (23-058r1, 7.4) has for a geometry of any kind.
    FieldType.GEOMETRY: {"$ref": _GEOMETRY, "format": "geometry-any"},
}
_TABLE_TYPES: Final[dict[FieldType, str]] = {
    FieldType.INTEGER: "integer",
    FieldType.DECIMAL: "number",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
    FieldType.DATETIME: "datetime",
    FieldType.MONTH: "yearmonth",
    FieldType.FISCAL_YEAR: "year",
    FieldType.LATITUDE: "number",
    FieldType.LONGITUDE: "number",
    FieldType.GEOMETRY: "geojson",
}


def json_schema(dataset: Dataset, fields: Sequence[Field], issuer: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of one record. Every field may be null unless it is required."""
    required = [field.name for field in fields if field.required or field.key]
    found: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{issuer}/v1/datasets/{dataset.id}/schema",
        "title": dataset.title_ja,
        "type": "object",
        "properties": {field.name: property_of(field) for field in fields},
        "additionalProperties": False,
        "x-key": [field.name for field in fields if field.key],
    }
    if required:
        found["required"] = required
    return found


def property_of(field: Field) -> dict[str, Any]:
    """What JSON Schema says of one field."""
    found = dict(_JSON_TYPES.get(field.type, {"type": "string"}))
    if field.code_list is not None:
        found["enum"] = [code for code, _ in field.code_list]
        found["x-code-list"] = dict(field.code_list)
    if not (field.required or field.key):
        if "$ref" in found:
            found["anyOf"] = [{"$ref": found.pop("$ref")}, {"type": "null"}]
        else:
            found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    found["title"] = field.label
    for name, value in (("description", field.description), ("x-unit", field.unit)):
        if value is not None:
            found[name] = value
    found["x-type"] = field.type.value
    return found


def feature_schema(
    fields: Sequence[Field], address: str, *, title: str, temporal: Field | None
) -> dict[str, Any]:
    """A feature's properties (OGC 23-058r2, 19-079r2): one type each, the place without any.

    Of coordinates, the point that filters speak of is told beside them.
    """
    place = geometry_of(fields)
    roles = {temporal.name: "primary-instant"} if temporal is not None else {}
    roles |= {field.name: "id" for field in fields if field.key}
    if place is not None:
        roles[place.name] = "primary-geometry"
    found: dict[str, dict[str, Any]] = {}
    for at, field in enumerate(fields, start=1):
        found[field.name] = _feature_property(field) | {"x-ogc-propertySeq": at}
        if field.name in roles:
            found[field.name]["x-ogc-role"] = roles[field.name]
    if place is None and place_of(fields) is not None and PLACE not in found:
        told = {"$ref": _POINT, "format": "geometry-point", "x-ogc-propertySeq": len(found) + 1}
        found[PLACE] = told | {"x-ogc-role": "primary-geometry"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": address,
        "title": title,
        "type": "object",
        "properties": found,
    }


def geojson_schema(fields: Sequence[Field], address: str, *, title: str) -> dict[str, Any]:
    """A feature as GeoJSON writes it, for clients that would guess types from the first few.

    Whole numbers are left to their guess: GDAL gives a declared one 32 bits, a guessed one 64.
    """
    place = geometry_of(fields)
    told = [f for f in fields if f != place and f.type is not FieldType.INTEGER]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": address,
        "title": title,
        "type": "object",
        "properties": {
            "type": {"const": "Feature"},
            "geometry": {"$ref": _GEOMETRY},
            "properties": {
                "type": "object",
                "properties": {field.name: _feature_property(field) for field in told},
            },
        },
    }


def _feature_property(field: Field) -> dict[str, Any]:
    """The same as of a record, but for the null that any optional field may be."""
    found = property_of(replace(field, required=True))
    return {name: value for name, value in found.items() if name != "x-type"}


def table_schema(fields: Sequence[Field]) -> dict[str, Any]:
    """Frictionless Table Schema 1.0."""
    found: dict[str, Any] = {"fields": [_table_field(field) for field in fields]}
    keys = [field.name for field in fields if field.key]
    if keys:
        found["primaryKey"] = keys
    return found


def _table_field(field: Field) -> dict[str, Any]:
    constraints: dict[str, Any] = {}
    if field.required or field.key:
        constraints["required"] = True
    if field.code_list is not None:
        constraints["enum"] = [code for code, _ in field.code_list]
    found: dict[str, Any] = {
        "name": field.name,
        "title": field.label,
        "type": _TABLE_TYPES.get(field.type, "string"),
    }
    if field.description is not None:
        found["description"] = field.description
    if constraints:
        found["constraints"] = constraints
    return found
