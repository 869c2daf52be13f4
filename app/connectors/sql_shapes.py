"""What the kind `sql` is told: which database, and which of its rows. Asks no database."""

import re
import ssl
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.connectors.frame import Shape
from app.connectors.sql_reading import Holds

_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "sqlite": 0, "mssql": 1433, "oracle": 1521}
# MySQL's is the database itself, Oracle's is of the user's name.
_SCHEMAS: Final = {"postgresql": "public", "sqlite": "main", "mssql": "dbo"}
_SERVICE: Final = re.compile(r"[A-Za-z0-9_.$#-]{1,128}")
_MOST_MSSQL: Final = 128  # letters (MS-TDS, 2.2.6.4)
_Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
_Path = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[^\x00]+$")]
_EXAMPLES: Final[list[JsonValue]] = [
    {"dialect": "postgresql", "host": "db.city.example.jp", "database": "bousai", "user": "reader",
     "password": "…"},
    {"dialect": "mysql", "host": "db.city.example.jp", "database": "fukushi", "user": "reader",
     "password": "…"},
    {"dialect": "mssql", "host": "db.city.example.jp", "database": "kouseki", "user": "reader",
     "password": "…"},
    {"dialect": "oracle", "host": "db.city.example.jp", "port": 2484, "database": "zaisan.city.example.jp",
     "user": "READER", "password": "…"},
    {"dialect": "sqlite", "database": "/srv/urbanos/lent/kouen.sqlite3"},
]  # fmt: skip


def _is_authority(pem: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise PydanticCustomError("no_authority", "It is no certificate in PEM.") from None
    return pem


class SqlSettings(Shape):
    """A database and who we are to it. Give it a user that may do nothing but read.

    Of SQLite, `database` is the path of a file in a folder that is lent, and there is nothing else.
    """

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    dialect: Literal["postgresql", "mysql", "sqlite", "mssql", "oracle"] = Field(
        default="postgresql",
        description="`mysql` is MariaDB as well; `mssql` and `oracle` are extras of the deployment",
    )
    host: (
        Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[^\s/@]+$")]
        | None
    ) = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    database: _Path = Field(description="Of Oracle, the name of the service")
    user: _Name | None = None
    password: Annotated[SecretStr, Field(min_length=1, max_length=1_000)] | None = Field(
        default=None, json_schema_extra={"writeOnly": True}
    )
    tls: Literal["verify", "off"] = Field(
        default="verify", description="`off` only for hosts in URBANOS_OUTBOUND_ALLOW"
    )
    ca: (
        Annotated[str, StringConstraints(max_length=100_000), AfterValidator(_is_authority)] | None
    ) = Field(default=None, description="The authority of the server's certificate, PEM")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        who = (self.host, self.user, self.password)
        if self.dialect == "sqlite":
            if any(each is not None for each in who) or not self.database.startswith("/"):
                raise PydanticCustomError(
                    "sqlite_is_a_file", "SQLite is the path of a file, without host and user."
                )
        elif None in who:
            raise PydanticCustomError("server_missing", "host, user and password are needed.")
        if self.dialect == "oracle" and not _SERVICE.fullmatch(self.database):
            raise PydanticCustomError(  # it would become a part of what a listener is told
                "no_service", "The name of a service is of letters, digits and . _ - $ #."
            )
        if self.dialect == "mssql" and max(len(self.database), len(self.word)) > _MOST_MSSQL:
            raise PydanticCustomError(
                "too_long", "SQL Server has no name so long, and no password."
            )
        return self

    @property
    def source(self) -> str:
        """How the source is called in errors: no path, which may be somebody's."""
        return self.host or Path(self.database).name

    @property
    def word(self) -> str:
        """The password in the open, for whoever signs in."""
        return self.password.get_secret_value() if self.password is not None else ""

    @property
    def asked_port(self) -> int:
        """The port, or where such a server listens."""
        return self.port or _PORTS[self.dialect]

    def schema_of(self, named: str | None) -> str:
        """The schema of a selection that names none."""
        if named is None and self.dialect == "oracle":
            return (self.user or "").upper()
        return named or _SCHEMAS.get(self.dialect, self.database)


class SqlSelection(Shape):
    """Which rows: of a table or view, all its columns or some.

    With `watermark`, a column that only grows, a harvest is of the rows that have come or changed
    since, and takes the place of those of the same key. What is deleted at the source then stays,
    unless the number of rows has fallen, or the turn of `full_every` has come.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"table": "facility", "columns": ["no", "name"], "types": {"no": "integer"}},
                {"table": "ledger", "watermark": "changed_at", "overlap": 60, "full_every": 24},
            ]
        }
    )
    schema_name: _Name | None = Field(default=None, alias="schema")
    table: _Name
    columns: Annotated[list[_Name], Field(min_length=1, max_length=1_500)] | None = None
    watermark: _Name | None = None
    overlap: Annotated[int, Field(ge=0, le=86_400 * 31)] = Field(
        default=0,
        description="Asked again below the last mark: seconds of a time, or so many of a number",
    )
    full_every: Annotated[int, Field(ge=2, le=10_000)] | None = Field(
        default=None, description="Every so many harvests of changes, one of all rows"
    )
    time_zone: Annotated[str, StringConstraints(pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$")] | None = (
        Field(default=None, description="Of times that are stored without; +09:00 where not said")
    )
    charset: Literal["cp932", "utf8mb4", "ujis"] | None = Field(
        default=None, description="What the bytes really are where a table says latin1 (MySQL)"
    )
    types: dict[_Name, Holds] | None = Field(
        default=None,
        description="What columns hold, as found: an order and a page of such columns alone is"
        " asked of the database too, and an index serves `=`. `text` says as well that no blank"
        " stands around its values, no full-width letter in codes, and that the database is of"
        " Unicode (SQL Server from 2019, Oracle with AL32UTF8). `date` says of times that they are"
        " days (SQL Server, Oracle).",
    )
    statement_seconds: Annotated[int, Field(ge=1, le=3_600)] = 600
