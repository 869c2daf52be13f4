"""The wire shapes of services, official runs, certificates and the public list."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, SecretStr, StringConstraints

from app.api.shapes import InShape, Name, OutShape, Slug, Text, Time
from app.conformance.lending import Lent, Proof
from app.conformance.services import Class, Said
from app.models.conformance import RunKind, RunState

Address = Annotated[str, StringConstraints(min_length=8, max_length=500)]
DatasetId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
LinkageId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{4,40}$")]
Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~+/=-]{1,8000}$")]  # RFC 6750, 2.1
CertificateState = Literal["valid", "expired", "revoked"]
_SERVICE: dict[str, Any] = {
    "name": "架空施設予約サービス",
    "sandbox_url": "https://sandbox.example.jp",
    "dataset": "sandbox-facilities",
    "classes": ["core", "query"],
    "municipalities": ["271004", "271403"],
}


class ServiceSaid(InShape):
    """What a vendor says of its service. `sandbox_url`: the address before /v1, with made-up data."""

    model_config = ConfigDict(json_schema_extra={"example": {**_SERVICE}})

    name: Name
    sandbox_url: Address
    dataset: DatasetId | None = Field(
        default=None, description="That is judged; the one that shows most, if none is named"
    )
    classes: Annotated[list[Class], Field(min_length=1, max_length=6)]
    municipalities: Annotated[list[Code], Field(max_length=2000)] = Field(
        default_factory=list, description="That it serves, by their six-digit codes"
    )
    sandbox_prefix: Prefix | None = Field(
        default=None,
        description="For `write` and `changes`: the judge writes only records whose keys begin so,"
        " and removes all that do",
    )
    sandbox_token: Token | None = Field(
        default=None, repr=False, json_schema_extra={"writeOnly": True},
        description="An access token that may write to `dataset`. Never shown; give it again with"
        " each change",
    )  # fmt: skip

    def told(self) -> Said:
        """For the service."""
        return Said(
            self.name, self.sandbox_url, self.dataset, self.classes, self.municipalities,
            self.sandbox_prefix, self.sandbox_token,
        )  # fmt: skip


class ServiceIn(ServiceSaid):
    """A service to register. `organization`: its vendor, if not your own."""

    organization: Slug | None = None


class SandboxClientIn(InShape):
    """A client of the sandbox for the judge, with its private key (a JWK, in JSON) or its secret.
    `guarded`: a dataset above public that it may read for `purpose`, and not for `other_purpose`;
    `hidden_field`: a field of it that it may not see; `hidden`: a dataset that it may not know of."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "client_id": "judge", "client_secret": "an-example-of-a-secret",
                "guarded": "sandbox-visits", "purpose": "own-duty", "other_purpose": "statistics",
            }
        }
    )  # fmt: skip

    client_id: Annotated[str, StringConstraints(max_length=200, pattern=r"^[!-~]+$")]
    key: Annotated[SecretStr, Field(min_length=1, max_length=2_000)] | None = None
    client_secret: Annotated[SecretStr, Field(min_length=1, max_length=4_000)] | None = None
    authorization_server: (
        Annotated[str, StringConstraints(max_length=500, pattern=r"^https?://[!-~]+$")] | None
    ) = None
    guarded: LinkageId | None = None
    hidden_field: Name | None = None
    hidden: LinkageId | None = None
    purpose: Name = "own-duty"
    other_purpose: Name | None = None

    def lent(self) -> Lent:
        """What may be shown of it."""
        return Lent(**self.model_dump(exclude={"key", "client_secret"}))

    def proof(self) -> Proof:
        """What may not."""
        told = (self.key, self.client_secret)
        return Proof(*(each.get_secret_value() if each is not None else None for each in told))


class SandboxClientOut(OutShape):
    """What the judge was lent, without what proves it."""

    client_id: str
    authorization_server: str | None
    guarded: str | None
    hidden_field: str | None
    hidden: str | None
    purpose: str
    other_purpose: str | None


class ServiceOut(OutShape):
    """A service as its vendor registered it."""

    id: UUID
    organization: str = Field(validation_alias="organization_id")
    name: str
    sandbox_url: str
    dataset: str | None
    classes: list[str]
    municipalities: list[str]
    sandbox_prefix: str | None
    has_token: bool
    client: SandboxClientOut | None = Field(validation_alias="lent")
    created_at: Time
    changed_at: Time
    changed_by: str


class ConformanceRunIn(InShape):
    """Which service is to be judged, as it is registered now."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"service": "5b0f7a4e-8f1f-4c39-9a52-6a3f5c1f8d21"}}
    )

    service: UUID


class ConformanceRunOut(OutShape):
    """One official run. `broken`: the rules that it found broken; `report_sha256`: of what is kept."""

    id: UUID
    service: UUID = Field(validation_alias="service_id")
    kind: RunKind
    state: RunState
    sandbox_url: str
    dataset: str | None
    classes: list[str]
    standard: str | None
    profile: str | None
    broken: list[str]
    requests: int | None
    report_sha256: str | None
    error_code: str | None
    error_ja: str | None
    error_en: str | None
    created_at: Time
    created_by: str | None
    started_at: Time | None
    ended_at: Time | None


class CertificateIn(InShape):
    """The run that a certificate is to stand on."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"run": "0d2c6f5e-3a0f-4f4e-9a7d-0f8e2f6f1c33"}}
    )

    run: UUID


class RevocationIn(InShape):
    """Why a certificate is no longer to be trusted. Everybody reads it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"reason": "本番環境が試験時と異なる動作をしたため"}}
    )

    reason: Text


class CertificateOut(OutShape):
    """A certificate. `claims` is what the signed file says; `ends_at` is sooner than its `exp` where
    the version of a profile has ended."""

    id: UUID
    service: UUID
    run: UUID
    state: CertificateState
    claims: dict[str, Any]
    issued_at: Time
    ends_at: Time
    revoked_at: Time | None
    revoked_reason: str | None


class CertifiedServiceOut(OutShape):
    """A service of the public list. Of a `declared` one its vendor alone says what stands here."""

    id: UUID
    state: Literal["certified", "declared"]
    name: str
    vendor: str
    classes: list[str]
    municipalities: list[str]
    standard: str | None
    profiles: list[str]
    certificate: UUID | None
    certified_at: Time | None
    expires_at: Time | None
