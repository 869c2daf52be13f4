"""What is said of another platform: where it is, who we are to it, and which dataset of it is meant."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field, StringConstraints

from app.connectors.connection import Connection
from app.connectors.frame import Shape
from app.connectors.linkage_tokens import Client
from app.connectors.web import Address, NoProof
from app.query.fields import FieldType

_Text = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_EXAMPLE_KEY: Final = (  # of RFC 7517, A.2: known to everybody
    '{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",'
    '"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",'
    '"d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}'
)


class LinkageSettings(Shape):
    """Where the platform is, and which of its clients we are."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "base": "https://data.example.lg.jp",
                    "auth": {
                        "type": "private_key_jwt",
                        "client_id": "c-27b1",
                        "key": _EXAMPLE_KEY,
                    },
                }
            ]
        }
    )
    base: Address
    auth: Client = Field(default_factory=NoProof)
    connection: Connection = Field(default_factory=Connection)
    issuer: Address | None = Field(
        default=None, description="Who issues its tokens; the base itself where not given"
    )


class LinkageSelection(Shape):
    """Which dataset, for what purpose, and under which agreement where one has to be named."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"dataset": "shelters", "purpose": "own-duty", "types": {"no": "code"}}]
        }
    )
    dataset: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    purpose: _Text | None = None
    agreement: _Text | None = None
    empty_is_an_answer: bool = Field(
        default=False,
        description="Harvest: that it has no record (any more) is what it says, and readers get none;"
        " needs `types`",
    )
    for_reader: bool = Field(
        default=False,
        description="Live: the other platform decides for whoever reads here, by its own agreements"
        " and log (token exchange, RFC 8693), where its operator has named them. Needs a client that"
        " proves itself by a key",
    )
    types: Annotated[dict[_Text, FieldType], Field(max_length=1_000)] = Field(
        default_factory=dict,
        description="Its fields as the catalogue tells them: what is asked of others is left to us",
    )
