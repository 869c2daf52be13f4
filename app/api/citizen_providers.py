"""The door to citizens' identity providers (管理): whose word is taken, and for how sure."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from app.api.access import ADMIN_CODES, SCOPED_CODES, AdminReader, AdminWriter, Reading, Writing
from app.api.problem import problems
from app.api.sessions import PlatformDep
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug, Time
from app.models.citizens import CitizenProvider
from app.policy.assurance import Level
from app.signin import citizen_providers
from app.signin.citizen_providers import NewCitizenProvider
from app.signin.citizens import callback_of

router = APIRouter(
    prefix="/v1/admin/citizen-providers", tags=["Identity providers"], max_body_size=LONGEST_BODY
)
_Levels = Annotated[
    dict[Name, Level],
    Field(max_length=50, description="how sure each `acr` of the provider is; others are refused"),
]
_LEVELS: JsonDict = {"levels": {"urn:example:password": "low", "urn:example:jpki": "high"}}


class LevelsIn(InShape):
    """How sure each `acr` of the provider is."""

    levels: _Levels

    model_config = ConfigDict(json_schema_extra={"example": _LEVELS})


class CitizenProviderIn(LevelsIn):
    """A provider. Without `client_secret` we prove ourselves to it by private_key_jwt."""

    id: Slug
    name_ja: Name
    name_en: Name
    issuer: Name
    client_id: Name
    client_secret: Annotated[Name | None, Field(repr=False)] = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "jpki",
                "name_ja": "マイナンバーカード（公的個人認証）",
                "name_en": "My Number Card (JPKI)",
                "issuer": "https://jpki.example.jp",
                "client_id": "urban-os",
                **_LEVELS,
            }
        }
    )

    def new(self) -> NewCitizenProvider:
        """As the registry takes it."""
        return NewCitizenProvider(
            self.id, self.name_ja, self.name_en, self.issuer, self.client_id, self.levels,
            self.client_secret,
        )  # fmt: skip


class CitizenProviderOut(OutShape):
    """A provider, with what is to be entered on its side."""

    id: str
    name_ja: str
    name_en: str
    issuer: str
    client_id: str
    levels: dict[str, Level]
    redirect_uri: str
    jwks_uri: str | None
    created_at: Time
    created_by: str
    disabled_at: Time | None


class CitizenProvidersOut(OutShape):
    """All of them."""

    items: list[CitizenProviderOut]


@router.post(
    "",
    status_code=201,
    response_model=CitizenProviderOut,
    summary="Add a citizens' identity provider",
    responses=problems(*ADMIN_CODES, "provider_invalid", "outbound_refused", "provider_exists"),
)
async def add_citizen_provider(
    body: CitizenProviderIn, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """It vouches for citizens and for nobody's staff. Enter `redirect_uri` on its side."""
    platform.outbound.check(body.issuer)
    by = caller.client.actor
    added = await citizen_providers.add(session, platform.sealer, body.new(), by=by)
    return _shown(platform.issuer, added)


@router.get(
    "",
    response_model=CitizenProvidersOut,
    summary="List citizens' identity providers",
    responses=problems(*SCOPED_CODES),
)
async def list_citizen_providers(
    caller: AdminReader, session: Reading, platform: PlatformDep
) -> dict[str, Any]:
    """By id, disabled ones too."""
    found = await citizen_providers.list_all(session)
    return {"items": [_shown(platform.issuer, each) for each in found]}


@router.put(
    "/{provider_id}/levels",
    response_model=CitizenProviderOut,
    summary="Say how sure a citizens' identity provider is",
    responses=problems(*ADMIN_CODES, "citizen_provider_not_found", "provider_invalid"),
)
async def set_levels(
    provider_id: str, body: LevelsIn, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """In place of what stood there. The sessions that the provider opened end."""
    by = caller.client.actor
    changed = await citizen_providers.set_levels(session, provider_id, body.levels, by=by)
    return _shown(platform.issuer, changed)


@router.post(
    "/{provider_id}/disable",
    response_model=CitizenProviderOut,
    summary="Take a citizens' identity provider's word no more",
    responses=problems(*ADMIN_CODES, "citizen_provider_not_found"),
)
async def disable_citizen_provider(
    provider_id: str, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """No citizen signs in by it, and the sessions of those who did end."""
    by = caller.client.actor
    changed = await citizen_providers.switch(session, provider_id, on=False, by=by)
    return _shown(platform.issuer, changed)


@router.post(
    "/{provider_id}/enable",
    response_model=CitizenProviderOut,
    summary="Take a citizens' identity provider's word again",
    responses=problems(*ADMIN_CODES, "citizen_provider_not_found"),
)
async def enable_citizen_provider(
    provider_id: str, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """Citizens sign in by it again; ended sessions stay ended."""
    by = caller.client.actor
    changed = await citizen_providers.switch(session, provider_id, on=True, by=by)
    return _shown(platform.issuer, changed)


def _shown(issuer: str, row: CitizenProvider) -> dict[str, Any]:
    """A provider as it is shown: its secret is not, nor the private half of its key."""
    own = ("redirect_uri", "jwks_uri")
    return {
        **{name: getattr(row, name) for name in CitizenProviderOut.model_fields if name not in own},
        "redirect_uri": callback_of(issuer, row.id),
        "jwks_uri": row.public_jwk and f"{issuer}/me/sign-in/with/{row.id}/jwks",
    }
