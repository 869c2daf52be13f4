"""The door to identity providers (管理): who vouches for whom. Shows no secret and no private key."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from app.api.access import ADMIN_CODES, SCOPED_CODES, AdminReader, AdminWriter, Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, after, page
from app.api.problem import problems
from app.api.sessions import PlatformDep
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug, Time
from app.models.parties import AuthMethod, Role
from app.parties.organizations import normal_id
from app.signin import providers
from app.signin.providers import Entry, GroupMeans, NewProvider, Vouching

router = APIRouter(
    prefix="/v1/admin/identity-providers", tags=["Identity providers"], max_body_size=LONGEST_BODY
)
_Names = Annotated[tuple[Name, ...], Field(max_length=200)]
_Roles = Annotated[tuple[Role, ...], Field(max_length=5)]
_VOUCHING: JsonDict = {
    "domains": ["city.example.jp"],
    "group_claim": "groups",
    "groups": {"data-stewards": {"organization": "271004-kenko", "roles": ["steward"]}},
    "default_roles": [],
    "acr_values": ["urn:example:mfa"],
    "amr_values": ["mfa"],
}


class GroupShape(InShape):
    """What membership of a group gives: roles, and the unit that the person belongs to."""

    organization: Name | None = None
    roles: _Roles = ()


class VouchingIn(InShape):
    """For whom a provider may vouch. It counts from each person's next sign-in on."""

    domains: _Names
    group_claim: Name | None = None
    groups: Annotated[dict[Name, GroupShape], Field(max_length=200, default_factory=dict)]
    default_roles: _Roles = ()
    acr_values: _Names = ()
    amr_values: _Names = ()

    model_config = ConfigDict(json_schema_extra={"example": _VOUCHING})

    def told(self) -> Vouching:
        """As the registry takes it."""
        groups = {
            name: GroupMeans(each.roles, each.organization and normal_id(each.organization))
            for name, each in self.groups.items()
        }
        return Vouching(
            self.domains, self.group_claim, groups, self.default_roles, self.acr_values,
            self.amr_values,
        )  # fmt: skip


class ProviderIn(VouchingIn):
    """A provider. Without `client_secret` we prove ourselves to it by private_key_jwt."""

    id: Slug
    organization: Name
    name: Name
    issuer: Name
    client_id: Name
    client_secret: Annotated[Name | None, Field(repr=False)] = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "osaka-city",
                "organization": "271004",
                "name": "大阪市職員認証",
                "issuer": "https://idp.city.example.jp",
                "client_id": "urban-os",
                **_VOUCHING,
            }
        }
    )

    def new(self) -> NewProvider:
        """As the registry takes it."""
        return NewProvider(
            self.id, normal_id(self.organization), self.name, self.issuer, self.client_id,
            self.told(), self.client_secret,
        )  # fmt: skip


class ProviderOut(OutShape):
    """A provider, with what is to be entered on its side."""

    id: str
    organization_id: str
    name: str
    issuer: str
    client_id: str
    auth_method: AuthMethod
    redirect_uri: str
    jwks_uri: str | None
    domains: list[str]
    group_claim: str | None
    groups: dict[str, Any]
    default_roles: list[str]
    acr_values: list[str]
    amr_values: list[str]
    created_at: Time
    created_by: str
    disabled_at: Time | None


@router.post(
    "",
    status_code=201,
    response_model=ProviderOut,
    summary="Add an identity provider",
    responses=problems(
        *ADMIN_CODES,
        "organization_invalid",
        "provider_invalid",
        "outbound_refused",
        "provider_exists",
        "domain_taken",
    ),
)
async def add_provider(
    body: ProviderIn, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """Enter `redirect_uri` and, without a secret, `jwks_uri` on the provider's side."""
    platform.outbound.check(body.issuer)
    by = caller.client.actor
    return shown(platform.issuer, await providers.add(session, platform.sealer, body.new(), by=by))


@router.get(
    "",
    response_model=PageOut[ProviderOut],
    summary="List identity providers",
    responses=problems(*SCOPED_CODES, "invalid_cursor"),
)
async def list_providers(
    caller: AdminReader,
    session: Reading,
    platform: PlatformDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """By id, disabled ones too."""
    found = await providers.list_providers(session, after=after(cursor), limit=limit + 1)
    listed = page(found, limit, lambda entry: entry.provider.id)
    return {**listed, "items": [shown(platform.issuer, entry) for entry in listed["items"]]}


@router.get(
    "/{provider_id}",
    response_model=ProviderOut,
    summary="Show an identity provider",
    responses=problems(*SCOPED_CODES, "provider_not_found"),
)
async def show_provider(
    provider_id: str, caller: AdminReader, session: Reading, platform: PlatformDep
) -> dict[str, Any]:
    """With what is to be entered on its side."""
    found = await providers.get(session, provider_id)
    return shown(platform.issuer, await providers.entry_of(session, found))


@router.put(
    "/{provider_id}/vouching",
    response_model=ProviderOut,
    summary="Say for whom an identity provider vouches",
    responses=problems(
        *ADMIN_CODES,
        "organization_invalid",
        "provider_not_found",
        "provider_invalid",
        "domain_taken",
    ),
)
async def set_vouching(
    provider_id: str, body: VouchingIn, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """Takes the place of all that was said before: domains, groups, roles, second factors."""
    by = caller.client.actor
    return shown(platform.issuer, await providers.vouch(session, provider_id, body.told(), by=by))


@router.post(
    "/{provider_id}/disable",
    response_model=ProviderOut,
    summary="Take an identity provider's word no more",
    responses=problems(*ADMIN_CODES, "provider_not_found"),
)
async def disable_provider(
    provider_id: str, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """Nobody signs in by it; the sessions of those who did end, and their tokens are refused."""
    by = caller.client.actor
    return shown(platform.issuer, await providers.disable(session, provider_id, by=by))


@router.post(
    "/{provider_id}/enable",
    response_model=ProviderOut,
    summary="Take an identity provider's word again",
    responses=problems(*ADMIN_CODES, "provider_not_found"),
)
async def enable_provider(
    provider_id: str, caller: AdminWriter, session: Writing, platform: PlatformDep
) -> dict[str, Any]:
    """Its people sign in again; ended sessions stay ended."""
    by = caller.client.actor
    return shown(platform.issuer, await providers.enable(session, provider_id, by=by))


def shown(issuer: str, entry: Entry) -> dict[str, Any]:
    """A provider as it is shown: its secret is not, nor the private half of its key."""
    row = entry.provider
    own = ("domains", "redirect_uri", "jwks_uri")
    return {
        **{name: getattr(row, name) for name in ProviderOut.model_fields if name not in own},
        "domains": list(entry.domains),
        "redirect_uri": f"{issuer}/sign-in/callback/{row.id}",
        "jwks_uri": row.public_jwk and f"{issuer}/sign-in/with/{row.id}/jwks",
    }
