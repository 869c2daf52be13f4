"""What a field is: its name, type and visibility. Knows no table and no file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class FieldType(StrEnum):
    """The types a field can have. Codes, phones and postal codes are text: zeros are never lost."""

    TEXT = "text"
    CODE = "code"
    LOCAL_GOVERNMENT_CODE = "local_government_code"
    PHONE = "phone"
    POSTAL_CODE = "postal_code"
    URL = "url"
    EMAIL = "email"
    KANA = "kana"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    MONTH = "month"  # YYYY-MM
    FISCAL_YEAR = "fiscal_year"  # YYYY: the Japanese fiscal year that begins in April of it
    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    GEOMETRY = "geometry"  # GeoJSON (RFC 7946), longitude and latitude


TEXT_TYPES = frozenset(
    {
        FieldType.TEXT,
        FieldType.CODE,
        FieldType.LOCAL_GOVERNMENT_CODE,
        FieldType.PHONE,
        FieldType.POSTAL_CODE,
        FieldType.URL,
        FieldType.EMAIL,
        FieldType.KANA,
        FieldType.MONTH,
        FieldType.FISCAL_YEAR,
        FieldType.TIME,  # 24:00 and 25:30 are real in timetables, so a time is text HH:MM[:SS]
    }
)
NUMBER_TYPES = frozenset(
    {FieldType.INTEGER, FieldType.DECIMAL, FieldType.LATITUDE, FieldType.LONGITUDE}
)


class Visibility(StrEnum):
    """The lowest data class that a reader must be allowed to see a column."""

    PUBLIC = "public"
    INTERNAL = "internal"
    RESTRICTED = "restricted"
    PERSONAL = "personal"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a dataset.

    `name` is the ASCII name on the wire, `column` the physical column of a hosted table,
    `label` the publisher's own column heading, kept for ever.
    """

    name: str
    column: str
    label: str
    type: FieldType
    key: bool = False
    required: bool = False
    unit: str | None = None
    code_list: tuple[tuple[str, str], ...] | None = None  # (code, label) pairs
    visibility: Visibility | None = None  # None: as the dataset's class
    description: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The field as it is stored with a dataset and its versions."""
        return {
            "name": self.name,
            "column": self.column,
            "label": self.label,
            "type": self.type.value,
            "key": self.key,
            "required": self.required,
            "unit": self.unit,
            "code_list": dict(self.code_list) if self.code_list is not None else None,
            "visibility": self.visibility.value if self.visibility else None,
            "description": self.description,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Field":
        """Read back what `as_json` wrote."""
        codes = stored.get("code_list")
        seen = stored.get("visibility")
        return cls(
            name=stored["name"],
            column=stored["column"],
            label=stored["label"],
            type=FieldType(stored["type"]),
            key=stored.get("key", False),
            required=stored.get("required", False),
            unit=stored.get("unit"),
            code_list=tuple(codes.items()) if codes is not None else None,
            visibility=Visibility(seen) if seen else None,
            description=stored.get("description"),
        )


def place_of(fields: Iterable[Field]) -> tuple[Field, Field] | None:
    """The first latitude and the first longitude, which together are a record's place."""
    latitude = longitude = None
    for field in fields:
        if latitude is None and field.type is FieldType.LATITUDE:
            latitude = field
        elif longitude is None and field.type is FieldType.LONGITUDE:
            longitude = field
    return (latitude, longitude) if latitude and longitude else None


def geometry_of(fields: Iterable[Field]) -> Field | None:
    """The first geometry. Where a record has one, it is its place on the map."""
    return next((field for field in fields if field.type is FieldType.GEOMETRY), None)


EDGES: Final = ("west", "south", "east", "north")


def edge_columns(field: Field) -> tuple[str, str, str, str]:
    """The columns beside a stored geometry: its bounds, which are searched by."""
    west, south, east, north = (f"{field.column}_{edge}" for edge in EDGES)
    return west, south, east, north
