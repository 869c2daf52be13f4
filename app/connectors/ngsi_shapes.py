"""What a connector of the kind `ngsi` is told: where a broker is, and which of its entities feed what."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.connectors.connection import Connection
from app.connectors.frame import Shape
from app.connectors.ngsi_words import Version
from app.connectors.web import Address, NoProof, Proof

_Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
_Header = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[!-~]+$")]
_Attribute = Annotated[str, StringConstraints(pattern=r"^[^\s<>\"'=;(),&?/#]{1,256}$")]


def _is_no_list(q: str) -> str:
    if "&" in q or "#" in q:
        raise PydanticCustomError("filter", "A filter is one expression, without & and #.")
    return q


class NgsiSettings(Shape):
    """Where the broker is, and whose entities."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "base": "https://orion.example.jp/", "version": "v2", "service": "sakai",
                    "service_path": "/water",
                }
            ]
        }
    )  # fmt: skip

    base: Address
    version: Version = "v2"
    auth: Proof = Field(default_factory=NoProof)
    connection: Connection = Field(default_factory=Connection)
    service: _Header | None = Field(default=None, description="Fiware-Service")
    service_path: _Header | None = Field(default=None, description="Fiware-ServicePath")
    tenant: _Header | None = Field(default=None, description="NGSILD-Tenant")


class NgsiSelection(Shape):
    """Which entities feed a dataset; a row has `id`, `type` and a field for each attribute."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"type": "WaterLevelObserved", "attributes": ["level", "dateObserved"]}]
        }
    )

    type: _Text
    id_pattern: _Text | None = None
    attributes: Annotated[list[_Attribute], Field(max_length=200, default_factory=list)] = Field(
        description="All where none is named"
    )
    q: Annotated[str, StringConstraints(min_length=1, max_length=2_000), AfterValidator(_is_no_list)] | None = Field(
        default=None, description="The broker's own filter; what leaves it is not told of"
    )  # fmt: skip
    format: Literal["keyValues", "normalized"] = Field(
        default="keyValues", description="normalized: with `attribute.observedAt` and metadata"
    )
    context: Annotated[Address, StringConstraints(pattern=r"^[!-;=?-~]+$")] | None = Field(
        default=None, description="NGSI-LD: of the Link header"
    )
    deletions: bool = Field(
        default=False, description="Be told of them (Orion 3.7, NGSI-LD 1.6 and later)"
    )
    pushes: Annotated[list[_Attribute], Field(max_length=200, default_factory=list)] = Field(
        description="Attributes that are of their field's own JSON type: the broker filters by them"
    )
