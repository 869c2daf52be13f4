"""JSON Schema 2020-12 of a record of a profile version. What it cannot say stands under x-rules."""

from collections.abc import Mapping
from typing import Any

from app.catalogue.schema import property_of
from app.formats.profiles.layout import ProfileLayout
from app.query.fields import place_of

_KEYWORDS = {
    "min": "minimum", "max": "maximum", "min_length": "minLength", "max_length": "maxLength",
}  # fmt: skip


def record_schema(layout: ProfileLayout, issuer: str) -> dict[str, Any]:
    """The schema with the profile's rules: limits, patterns, required-when, the area's box."""
    fields = layout.plain_fields
    properties = {field.name: property_of(field) for field in fields}
    found: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{issuer}/v1/profiles/{layout.name}/{layout.version}/schema",
        "title": layout.title_ja,
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if field.required or field.key],
        "additionalProperties": False,
        "x-key": [field.name for field in fields if field.key],
    }
    unsaid = [dict(rule) for rule in layout.rules if not _say(rule, layout, found)]
    if unsaid:
        found["x-rules"] = unsaid
    return found


def _say(rule: Mapping[str, Any], layout: ProfileLayout, schema: dict[str, Any]) -> bool:
    """Put a rule into the schema; False for one that JSON Schema has no words for."""
    if "field" in rule:
        _limit(schema["properties"][rule["field"]], rule)
        return True
    if "when" in rule:
        schema.setdefault("allOf", []).append(_required_when(rule["when"], rule["required"]))
        return True
    box = rule.get("area", {}).get("bbox") if "area" in rule else None
    place = place_of(layout.plain_fields)
    if box is not None and place is not None:
        for field, low, high in ((place[0], box[1], box[3]), (place[1], box[0], box[2])):
            schema["properties"][field.name] |= {"minimum": low, "maximum": high}
        return not rule["area"].get("municipalities")
    return False


def _limit(schema: dict[str, Any], rule: Mapping[str, Any]) -> None:
    for name, keyword in _KEYWORDS.items():
        if rule.get(name) is not None:
            schema[keyword] = rule[name]
    if rule.get("pattern") is not None:
        # JSON Schema finds a pattern anywhere in the text; ours is the whole of it.
        whole = {"pattern": f"^(?:{rule['pattern']})$"}
        schema["allOf"] = [*schema.get("allOf", []), whole]


def _required_when(given: str, wanted: str) -> dict[str, Any]:
    filled = {"not": {"type": "null"}}
    return {
        "if": {"properties": {given: filled}, "required": [given]},
        "then": {"properties": {wanted: filled}, "required": [wanted]},
    }
