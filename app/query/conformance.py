"""What of CQL2 (OGC 21-065r2) a filter answers, as its conformance classes are called."""

from typing import Final

_CLASSES: Final = (
    "basic-cql2",
    "advanced-comparison-operators",
    "case-insensitive-comparison",
    "accent-insensitive-comparison",
    "basic-spatial-functions",
    "basic-spatial-functions-plus",
    "spatial-functions",
    "temporal-functions",
    "property-property",
    "arithmetic",
    "cql2-text",
    "cql2-json",
)
# Not array-functions (no field is an array) and not functions (there are none of our own).
CONFORMANCE: Final = tuple(f"http://www.opengis.net/spec/cql2/1.0/conf/{name}" for name in _CLASSES)
