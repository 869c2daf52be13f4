"""What says where a place is, and who we are to it: one shape for all transports. Asks nobody."""

import ssl
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.connectors.connection import Connection
from app.connectors.frame import Shape
from app.connectors.places.place import is_plain
from app.connectors.web import Address, Basic, ClientCredentials, KeyInHeader, NoProof

_PORTS: Final = {"sftp": 22, "ftp": 21, "ftps": 21, "s3": 443}
_OF_THE_WEB: Final = frozenset(("none", "api_key", "basic", "oauth_client"))
# What each way of speaking takes for a proof of who we are.
_PROOFS: Final = {
    **{each: _OF_THE_WEB for each in ("/", "http", "https", "dav", "davs")},
    "sftp": {"basic", "key_pair"},
    "ftp": {"none", "basic"},
    "ftps": {"none", "basic"},
    "s3": {"none", "access_key"},
}
_BY_HTTP: Final = ("http", "https", "dav", "davs", "s3")
_NOBODY: Final = ("anonymous", "anonymous@")  # RFC 1635


def _is_authority(text: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as exc:
        raise PydanticCustomError("no_certificate", "It is no certificate in PEM.") from exc
    return text


def _is_host_key(text: str) -> str:
    kind, told = host_key_of(text)
    if kind == "fingerprint" and len(told) != len("SHA256:") + 43:
        raise PydanticCustomError(
            "no_host_key", "Give a fingerprint (SHA256:…) or a line of known_hosts."
        )
    return text


class KeyPair(Shape):
    """A user's name and private key (OpenSSH or PEM)."""

    type: Literal["key_pair"]
    user: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    private_key: Annotated[SecretStr, Field(min_length=1, max_length=20_000)]
    passphrase: Annotated[SecretStr, Field(max_length=1_000)] | None = Field(
        default=None, json_schema_extra={"writeOnly": True}
    )


class AccessKey(Shape):
    """The two halves of a key to S3."""

    type: Literal["access_key"]
    key_id: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
    secret: Annotated[SecretStr, Field(min_length=1, max_length=1_000)]


PlaceProof = Annotated[
    NoProof | KeyInHeader | Basic | ClientCredentials | KeyPair | AccessKey,
    Field(discriminator="type"),
]


class PlaceSettings(Shape):
    """Where files are: `https://`, `davs://` (WebDAV), `sftp://`, `ftps://` (explicit TLS),
    `s3://bucket/prefix` with its endpoint, or an absolute folder of the server's own.

    A path is from the server's root; `/~/` is where we are after signing in (SFTP, FTP).
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "base": "sftp://batch.example.jp/export/daily",
                    "auth": {"type": "basic", "user": "urbanos", "password": "…"},
                    "host_key": "SHA256:5XwWZH7o2l6tT0dQpFv3k9m1cYb8sJ4uRa0eNGiLhVE",
                },
                {
                    "base": "s3://open-data/bus",
                    "endpoint": "https://s3.ap-northeast-1.amazonaws.com",
                    "region": "ap-northeast-1",
                    "auth": {"type": "access_key", "key_id": "AKIA...", "secret": "..."},
                },
            ]
        }
    )

    base: Annotated[
        str,
        StringConstraints(
            min_length=2,
            max_length=2_000,
            pattern=r"^(https?://|davs?://|sftp://|ftps?://|s3://|/)",
        ),
    ]
    auth: PlaceProof = Field(default_factory=NoProof)
    connection: Connection = Field(default_factory=Connection, description="HTTP, WebDAV, S3")
    host_key: (
        Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_is_host_key)] | None
    ) = Field(default=None, description="SFTP: `SHA256:…`, or the server's line of known_hosts")
    endpoint: Address | None = Field(default=None, description="S3: the service's address")
    region: Annotated[str, StringConstraints(max_length=50, pattern=r"^[a-z0-9-]+$")] = Field(
        default="us-east-1", description="S3"
    )
    names: Literal["utf-8", "cp932", "euc_jp"] = Field(
        default="utf-8", description="SFTP, FTP: what the names of files are written in"
    )
    ca: (
        Annotated[str, StringConstraints(max_length=100_000), AfterValidator(_is_authority)] | None
    ) = Field(default=None, description="FTPS: the authority of the server's certificate, PEM")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.auth.type not in _PROOFS[self.scheme]:
            raise _unfit("auth", ", ".join(sorted(_PROOFS[self.scheme])))
        if not self._is_sayable():
            raise PydanticCustomError("not_visible", "FTP takes no control characters.")
        if (self.scheme == "sftp") != (self.host_key is not None):
            raise _unfit("host_key", "sftp")
        if (self.scheme == "s3") != (self.endpoint is not None):
            raise _unfit("endpoint", "s3")
        if self.connection != Connection() and self.scheme not in _BY_HTTP:
            raise _unfit("connection", ", ".join(_BY_HTTP))
        if self.ca is not None and self.scheme != "ftps":
            raise _unfit("ca", "ftps")
        if self.scheme in _PORTS and not self._is_address():
            raise PydanticCustomError("no_address", "The base is no address: scheme://host/path.")
        return self

    def _is_address(self) -> bool:
        """With a host, and neither a user nor anything behind the path."""
        try:
            parts = urlsplit(self.base)
            _ = parts.port
        except ValueError:
            return False
        path = unquote(parts.path)
        is_dotted = ".." in path.split("/")
        return (
            bool(parts.hostname)
            and "@" not in parts.netloc
            and not (is_dotted or parts.query or parts.fragment)
            and is_plain(path)
        )

    def _is_sayable(self) -> bool:
        """Whether who we are stands in one line each, as FTP's commands do."""
        told = self.auth
        if not isinstance(told, Basic) or self.scheme not in ("ftp", "ftps"):
            return True
        return is_plain(told.user + told.password.get_secret_value())

    @property
    def scheme(self) -> str:
        """How it is spoken; `/` for a folder."""
        return "/" if self.base.startswith("/") else urlsplit(self.base).scheme

    @property
    def host(self) -> str:
        """The host, as it is asked for and as messages name it."""
        return urlsplit(self.base).hostname or "-"

    @property
    def port(self) -> int:
        """The port, said or usual."""
        return urlsplit(self.base).port or _PORTS[self.scheme]


def at_home(settings: PlaceSettings) -> str:
    """The base as SFTP and FTP take it: from the root, or from where the sign-in leads."""
    path = unquote(urlsplit(settings.base).path).rstrip("/")
    if path == "/~" or path.startswith("/~/"):
        return path[3:] or "."
    return path or "/"


def login_of(settings: PlaceSettings) -> tuple[str, str | None]:
    """A user's name, and the password where it goes by one."""
    match settings.auth:
        case Basic(user=user, password=password):
            return user, password.get_secret_value()
        case KeyPair(user=user):
            return user, None
    return _NOBODY


def host_key_of(text: str) -> tuple[Literal["fingerprint", "key"], str]:
    """A host key as a fingerprint, or as `algorithm base64` out of a line of known_hosts."""
    words = text.split()
    if len(words) == 1:
        return "fingerprint", words[0].rstrip("=")
    at = next((i for i, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-"))), None)
    if at is None or at + 1 >= len(words) or "@cert-authority" in words or "@revoked" in words:
        return "fingerprint", ""
    return "key", f"{words[at]} {words[at + 1]}"


def _unfit(member: str, fits: Any) -> PydanticCustomError:
    return PydanticCustomError(
        "unfit", "`{member}` goes with: {fits}.", {"member": member, "fits": fits}
    )
