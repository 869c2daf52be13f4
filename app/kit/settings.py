"""The settings of one process. Only `main` and `cli` read them; everything else gets them passed."""

import re
import shlex
from ipaddress import ip_network
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.kit.key_places import KeyCommand, KeyFile, KeyPlace
from app.kit.mail import Relay
from app.kit.outbound import Allowed
from app.kit.store import Access

_LISTENER: Final = re.compile(
    r"(internet|lgwan|mynumber)=([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):"
    r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
# As `openssl x509 -fingerprint -sha256` prints it, or without the colons.
_GATEWAY: Final = re.compile(r"(internet|lgwan|mynumber)=([0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){31})")
_NO_TLS: Final[dict[str, None]] = {"tls_certificate": None, "tls_key": None, "tls_client_ca": None}


class Settings(BaseSettings):
    """Every setting can be given as an environment variable `URBANOS_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="URBANOS_", extra="ignore")

    database_url: str | None = None
    """Any PostgreSQL ≥ 16, `postgresql://…`. Unset: the embedded server under `home`."""
    home: Path = Path(".urbanos")
    """Where the embedded database, the secret key and the demo's keys are kept."""
    secret_key_file: Path | None = None
    """32 random bytes that seal the private signing keys at rest. Unset: `home`/secret.key."""
    secret_key_command: SecretStr | None = None
    """A command that prints that key, of a key store (KMS): 32 bytes, hexadecimal or base64."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str | None = None
    """The address that the outside sees: the issuer of tokens. Unset: http://host:port."""
    zone: Literal["internet", "lgwan", "mynumber"] = "internet"
    """The zone of the listener at `host` and `port`. A request cannot choose it."""
    listeners: str = ""
    """More listeners of the same process, each of a zone of its own: `lgwan=10.1.0.5:8000`,
    several parted by spaces. The zone of a request is that of the socket that it came by."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    database_connections: int = Field(default=10, ge=2, le=200)
    max_upload_bytes: int = Field(default=4 * 1024**3, ge=1)
    answer_cache_bytes: int = Field(default=32 * 1024**2, ge=0)
    store: str | None = None
    """Where ready-made files are kept: a folder, or `s3://bucket/prefix`. Unset: `home`/files."""
    store_endpoint: str | None = None
    """The address of an S3-compatible service other than AWS."""
    store_region: str | None = None
    store_access_key_id: SecretStr | None = None
    store_secret_access_key: SecretStr | None = None
    accel_prefix: str | None = None
    """The internal location of an nginx before us that serves the store's folder by itself."""

    # Requests a minute; 0 is without limit. A quota of the operator's goes before these.
    rate_address: int = Field(default=3_000, ge=0, le=10**6)
    """Of one address without a token: an office behind one address, with maps, needs some 50/s."""
    rate_client: int = Field(default=6_000, ge=0, le=10**6)
    rate_client_dataset: int = Field(default=3_000, ge=0, le=10**6)
    rate_token_address: int = Field(default=600, ge=0, le=10**6)
    """At the OAuth endpoints of one address, failed authentications as well."""
    rate_token_client: int = Field(default=300, ge=0, le=10**6)
    """At the OAuth endpoints of one client. A token lives minutes: more than 300 is a mistake."""
    rate_sign_in: int = Field(default=120, ge=0, le=10**6)
    """Passwords and codes that one address tries: at half past eight a town hall is one address."""
    rate_exports: int = Field(default=8, ge=0, le=64)
    """Whole downloads that one client, or one address without a token, may run at once."""
    rate_store: SecretStr | None = None
    """A Valkey or Redis that replicas count in together, `valkey://…`. Unset: each by itself."""
    trusted_proxies: str | None = None
    """Addresses or networks, parted by commas, whose `X-Forwarded-For` is believed. Unset: none."""

    tls_certificate: Path | None = None
    """The listeners' certificate with its chain, PEM. Unset: plain HTTP, for a proxy before us."""
    tls_key: Path | None = None
    """Its private key, PEM, without a passphrase. Unset: it stands in the certificate's file."""
    tls_client_ca: Path | None = None
    """The authorities of clients' and gateways' certificates, PEM. Unset: nobody is asked for one."""
    tls_zones: str = ""
    """The zones whose listeners speak TLS, parted by spaces. Empty: every listener."""
    client_certificate_header: Literal["client-cert", "x-ssl-client-cert"] | None = None
    """Where trusted proxies and gateways name the certificate that their client proved: RFC 9440's,
    or percent-encoded PEM as nginx makes it. Unset: nobody's header is believed."""
    gateways: str = ""
    """Whoever shows this certificate by TLS is the gateway of a zone, and its requests are of that
    zone at whichever listener: `lgwan=<SHA-256 of the certificate>`, several parted by spaces."""
    mtls_url: str | None = None
    """The address where certificates are asked for, where that is not `public_url` (RFC 8705, 5)."""
    citizen_assurance: Literal["low", "substantial", "high"] = "substantial"
    """How surely a citizen must have signed in to see and end the use of their data."""
    log_witnesses: str = ""
    """Keys of the witnesses of the log, parted by blanks, as `urbanos witness` shows them."""
    outbound_allow: str = ""
    """Hosts and networks, parted by commas, that we connect to although they are not public or do
    not speak https: `idp.lgwan.example.jp,10.2.0.0/16`. All else goes to public https addresses."""

    mail_from: str | None = None
    """The address that stands as the sender of mail, `urban-os@city.example.jp`."""
    smtp_url: SecretStr | None = None
    """Where mail is handed in: `smtps://user:password@host:465`, `smtp+starttls://…`, or within
    one's own network `smtp://host:25`. Unset: nobody is told of findings by mail."""

    @field_validator("smtp_url")
    @classmethod
    def _is_relay(cls, url: SecretStr | None, told: ValidationInfo) -> SecretStr | None:
        try:
            if url is not None:
                Relay.parse(url.get_secret_value(), told.data.get("mail_from") or "")
        except ValueError as wrong:
            raise PydanticCustomError(
                "not_relay",
                "{why}: give smtps://user:password@host:465, and URBANOS_MAIL_FROM",
                {"why": str(wrong),
                 "ja": "smtps://利用者:パスワード@ホスト:465 の形にし、URBANOS_MAIL_FROM も指定して"
                       "ください。"},
            ) from None  # fmt: skip
        return url

    file_roots: str = ""
    """Folders that connectors read, each lent to one organisation and to what it keeps there:
    `271004-kenko=/srv/drop/kenko`, several parted by commas. Unset: none."""

    @field_validator("file_roots")
    @classmethod
    def _are_folders(cls, given: str) -> str:
        for each in filter(None, map(str.strip, given.split(","))):
            organization, is_told, folder = each.partition("=")
            if not (organization and is_told and folder.startswith("/") and folder.strip("/")):
                raise PydanticCustomError(
                    "not_folders",
                    "it is no list like 271004-kenko=/srv/drop/kenko,271403=/srv/drop/sakai",
                    {"ja": "271004-kenko=/srv/drop/kenko,271403=/srv/drop/sakai のように、組織と"
                           "フォルダの組にしてください。"},
                )  # fmt: skip
        return given

    @field_validator("secret_key_command")
    @classmethod
    def _is_command(cls, given: SecretStr | None) -> SecretStr | None:
        try:
            words = shlex.split(given.get_secret_value()) if given is not None else ["unset"]
        except ValueError:
            words = []
        if not words:
            raise PydanticCustomError(
                "no_command",
                "it is no command: it has no word, or its quotes are open",
                {"ja": "コマンドではありません。語がないか、引用符が閉じていません。"},
            )
        return given

    @field_validator("outbound_allow")
    @classmethod
    def _are_hosts(cls, given: str) -> str:
        try:
            Allowed.parse(given)
        except ValueError:
            raise PydanticCustomError(
                "not_hosts",
                "it is no list of hosts and networks like idp.lgwan.example.jp,10.2.0.0/16",
                {"ja": "idp.lgwan.example.jp,10.2.0.0/16 のようなホストとネットワークの並びに"
                       "してください。"},
            ) from None  # fmt: skip
        return given

    @field_validator("rate_store")
    @classmethod
    def _is_counting_store(cls, url: SecretStr | None) -> SecretStr | None:
        schemes = ("redis://", "rediss://", "valkey://", "valkeys://")
        if url is not None and not url.get_secret_value().startswith(schemes):
            raise PydanticCustomError(
                "not_counting_store",
                "it is no address like valkey://:password@host:6379/0",
                {"ja": "valkey://:パスワード@ホスト:6379/0 のようなアドレスにしてください。"},
            )
        return url

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, given: str | None) -> str | None:
        try:
            for each in given.split(",") if given is not None else ():
                ip_network(each.strip())
        except ValueError:
            raise PydanticCustomError(
                "not_addresses",
                "it is no list of addresses or networks like 10.0.0.5,10.1.0.0/16",
                {"ja": "10.0.0.5,10.1.0.0/16 のようなアドレスかネットワークの並びにしてください。"},
            ) from None
        return given

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            driver = make_url(url).drivername.partition("+")[0]
        except (ArgumentError, ValueError):  # its words may quote the password
            driver = ""
        if driver not in ("postgresql", "postgres"):
            raise PydanticCustomError(
                "not_postgresql",
                "it is no PostgreSQL address: postgresql://user:password@host:5432/database",
                {"ja": "PostgreSQLのアドレス（postgresql://利用者:パスワード@ホスト:5432/"
                       "データベース名）にしてください。"},
            )  # fmt: skip
        return url

    @field_validator("listeners")
    @classmethod
    def _are_listeners(cls, text: str, told: ValidationInfo) -> str:
        zones = [
            told.data.get("zone", "internet"),
            *(each.partition("=")[0] for each in text.split()),
        ]
        if len(set(zones)) < len(zones) or not all(map(_LISTENER.fullmatch, text.split())):
            raise PydanticCustomError(
                "not_listeners",
                "it is no list like 'lgwan=10.1.0.5:8000 mynumber=10.2.0.5:8000', each zone once"
                " and none that of URBANOS_ZONE",
                {"ja": "'lgwan=10.1.0.5:8000 mynumber=10.2.0.5:8000' のように、ゾーンごとに一つ"
                       "指定してください（URBANOS_ZONE のゾーンは除く）。"},
            )  # fmt: skip
        return text

    @field_validator("tls_key", "tls_client_ca")
    @classmethod
    def _has_certificate(cls, path: Path | None, told: ValidationInfo) -> Path | None:
        if path is not None and told.data.get("tls_certificate") is None:
            raise PydanticCustomError(
                "no_certificate",
                "without URBANOS_TLS_CERTIFICATE there is no TLS",
                {"ja": "URBANOS_TLS_CERTIFICATE も指定してください。"},
            )
        return path

    @field_validator("tls_zones")
    @classmethod
    def _are_zones_of_listeners(cls, text: str, told: ValidationInfo) -> str:
        listeners = told.data.get("listeners", "").split()
        zones = {told.data.get("zone"), *(each.partition("=")[0] for each in listeners)}
        if not zones.issuperset(text.split()):
            raise PydanticCustomError(
                "not_listening",
                "it names zones that have no listener",
                {"ja": "URBANOS_ZONE か URBANOS_LISTENERS にあるゾーンを指定してください。"},
            )
        return text

    @field_validator("client_certificate_header")
    @classmethod
    def _has_tellers(cls, header: str | None, told: ValidationInfo) -> str | None:
        if header is not None and not (
            told.data.get("trusted_proxies") or told.data.get("tls_client_ca")
        ):
            raise PydanticCustomError(
                "no_proxy",
                "nobody's header is believed without URBANOS_TRUSTED_PROXIES or URBANOS_GATEWAYS",
                {"ja": "URBANOS_TRUSTED_PROXIES か URBANOS_GATEWAYS も指定してください。"},
            )
        return header

    @field_validator("gateways")
    @classmethod
    def _are_gateways(cls, text: str, told: ValidationInfo) -> str:
        given = [_GATEWAY.fullmatch(each) for each in text.split()]
        prints = [each[2].replace(":", "").lower() for each in given if each]
        if len(set(prints)) < len(given):
            raise PydanticCustomError(
                "not_gateways",
                "it is no list like 'lgwan=<64 hexadecimal digits>', each certificate once",
                {"ja": "'lgwan=<証明書のSHA-256（16進64桁）>' のように、証明書ごとに一度だけ"
                       "指定してください。"},
            )  # fmt: skip
        if text and told.data.get("tls_client_ca") is None:
            raise PydanticCustomError(
                "no_client_ca",
                "a gateway proves itself by TLS: set URBANOS_TLS_CLIENT_CA",
                {"ja": "ゲートウェイはTLSで確認します。URBANOS_TLS_CLIENT_CA も指定してください。"},
            )
        return text

    @field_validator("store")
    @classmethod
    def _is_store(cls, url: str | None) -> str | None:
        scheme, has_scheme, rest = (url or "").partition("://")
        if has_scheme and (scheme != "s3" or not rest.strip("/")):
            raise PydanticCustomError(
                "not_store",
                "it is neither a folder nor s3://bucket/prefix",
                {"ja": "フォルダのパスか s3://バケット/接頭辞 にしてください。"},
            )
        return url

    @field_validator("public_url", "mtls_url")
    @classmethod
    def _is_web_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        # RFC 8414, 2: an issuer has neither query nor fragment.
        if not host or parts.scheme not in ("http", "https") or "?" in url or "#" in url:
            raise PydanticCustomError(
                "not_web_address",
                "it is no address like https://data.example.jp (no query, no fragment)",
                {"ja": "https://data.example.jp のようなアドレス（? や # を含まないもの）に"
                       "してください。"},
            )  # fmt: skip
        return url

    @property
    def every_listener(self) -> tuple["Settings", ...]:
        """One's own settings and, for each further listener, those with its zone and address."""
        own = self.model_copy(update=self._tls_of(self.zone))
        further = []
        for each in self.listeners.split():
            zone, _, address = each.partition("=")
            host, _, port = address.rpartition(":")
            its = {"zone": zone, "host": host.strip("[]"), "port": int(port), "listeners": ""}
            # All are one platform: the issuer of tokens and the base of links stay the same.
            its |= {"public_url": self.issuer, **self._tls_of(zone)}
            further.append(self.model_copy(update=its))
        return (own, *further)

    @property
    def every_zone(self) -> tuple["Settings", ...]:
        """The settings of each zone: of one with a listener, and of one with a gateway alone."""
        listening = self.every_listener
        alone = set(self.gateway_zones.values()) - {each.zone for each in listening}
        its = {"listeners": "", "public_url": self.issuer, **_NO_TLS}
        return (
            *listening,
            *(self.model_copy(update={"zone": zone, **its}) for zone in sorted(alone)),
        )

    def _tls_of(self, zone: str) -> dict[str, None]:
        return _NO_TLS if self.tls_zones and zone not in self.tls_zones.split() else {}

    @property
    def gateway_zones(self) -> dict[bytes, str]:
        """SHA-256 of each gateway's certificate, with the zone that it stands for."""
        given = (each.partition("=") for each in self.gateways.split())
        return {bytes.fromhex(print_.replace(":", "")): zone for zone, _, print_ in given}

    @property
    def takes_certificates(self) -> bool:
        """Whether a client of this zone can show a certificate: to us, or to who tells us."""
        return self.tls_client_ca is not None or self.client_certificate_header is not None

    @property
    def relay(self) -> Relay | None:
        """Where mail is handed in, if anywhere."""
        if self.smtp_url is None:
            return None
        return Relay.parse(self.smtp_url.get_secret_value(), self.mail_from or "")

    @property
    def store_access(self) -> Access:
        """How the bucket is reached, where the store is one."""
        key, secret = self.store_access_key_id, self.store_secret_access_key
        return Access(
            self.store_endpoint,
            self.store_region,
            key.get_secret_value() if key else None,
            secret.get_secret_value() if secret else None,
        )

    @property
    def rate_store_url(self) -> str | None:
        """Where replicas count together, with its password."""
        return self.rate_store.get_secret_value() if self.rate_store else None

    @property
    def lent_folders(self) -> dict[str, tuple[Path, ...]]:
        """The folders that connectors read, by the organisation that they are lent to."""
        lent: dict[str, tuple[Path, ...]] = {}
        for each in filter(None, map(str.strip, self.file_roots.split(","))):
            organization, _, folder = each.partition("=")
            lent[organization] = (*lent.get(organization, ()), Path(folder))
        return lent

    @property
    def secret_key_path(self) -> Path:
        """Where the secret key stands."""
        return self.secret_key_file or self.home / "secret.key"

    @property
    def secret_key(self) -> KeyPlace:
        """Where the secret key is had from."""
        if self.secret_key_command is not None:
            return KeyCommand(self.secret_key_command.get_secret_value())
        return KeyFile(self.secret_key_path)

    @property
    def issuer(self) -> str:
        """The issuer identifier and base of every link (RFC 8414), without a trailing slash."""
        by_tls = self.tls_certificate is not None and not self._tls_of(self.zone)
        scheme = "https" if by_tls else "http"
        return (self.public_url or f"{scheme}://{self.host}:{self.port}").rstrip("/")
