"""The door to OAuth clients (管理). Shows a secret once and never a hash."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from app.api.access import ADMIN_CODES, SCOPED_CODES, AdminReader, AdminWriter, Reading, Writing
from app.api.paging import Cursor, Limit, PageOut, after, page
from app.api.problem import problems
from app.api.shapes import LONGEST_BODY, InShape, Name, OutShape, Slug, Time
from app.models.parties import AuthMethod, Client, Role, Zone
from app.parties import clients, speaking

router = APIRouter(prefix="/v1/admin/clients", tags=["Clients"], max_body_size=LONGEST_BODY)
EXAMPLE_JWKS: JsonDict = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    ]
}
_Uris = Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=10)]
_Staff = Annotated[list[Name], Field(max_length=100)]
_URIS: Final = "where people are sent back to who signed in; compared as text"
_STAFF: Final = "organisations whose staff, and those below, may sign in to it"
_CITIZENS: Final = "whether citizens may sign in to it, at providers of their own"


Subject = Annotated[
    str | None,
    Field(
        max_length=500,
        description="`tls_client_auth`: whom the certificate names, as RFC 4514 writes it"
        " (RFC 8705, 2.1.2)",
    ),
]


class ClientIn(InShape):
    """A client to be added. `private_key_jwt` is the rule."""

    organization_id: Name
    name: Name
    id: Slug | None = None
    system: Name | None = None
    zone: Zone = Zone.INTERNET
    roles: Annotated[list[Role], Field(max_length=5, default=[])]
    auth_method: AuthMethod = AuthMethod.PRIVATE_KEY_JWT
    jwks: dict[str, Any] | None = Field(default=None, description="one or two public P-256 keys")
    redirect_uris: _Uris = Field(default=[], description=_URIS)
    staff_of: _Staff = Field(default=[], description=_STAFF)
    citizens: bool = Field(default=False, description=_CITIZENS)
    tls_subject: Subject = None
    certificate_bound: bool | None = Field(
        default=None,
        description="whether its tokens are bound to its certificate (RFC 8705, 3.4); if absent:"
        " those of `tls_client_auth` are",
    )

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "organization_id": "271004-kenko",
                "name": "保健所システム",
                "roles": ["developer"],
                "jwks": EXAMPLE_JWKS,
            }
        }
    )


class ClientOut(OutShape):
    """A client as the registry knows it."""

    id: str
    organization_id: str
    name: str
    system: str | None
    zone: str
    roles: list[str]
    auth_method: str
    jwks: dict[str, Any] | None
    redirect_uris: list[str]
    staff_of: list[str]
    citizens: bool
    exchange_from: list[str]
    speaks_for: list[list[str]] = Field(
        description="Readers of other platforms: the platform's issuer, its client, the client here"
    )
    tls_subject: str | None
    certificate_bound: bool
    created_at: Time
    created_by: str | None
    revoked_at: Time | None
    revoked_by: str | None


class AddedClientOut(OutShape):
    """The client and, for `client_secret_basic`, its secret: shown here and never again."""

    client: ClientOut
    secret: str | None


class SignInIn(InShape):
    """Who may sign in to the client, and where they are sent back to: in place of what stands."""

    redirect_uris: _Uris = Field(description=_URIS)
    staff_of: _Staff = Field(description=_STAFF)
    citizens: bool = Field(default=False, description=_CITIZENS)

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "redirect_uris": ["https://app.city.sakai.example/callback"],
                "staff_of": ["271403"],
                "citizens": False,
            }
        }
    )


class KeysIn(InShape):
    """One or two public keys that take the place of those registered."""

    keys: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=2)]

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE_JWKS})


class SpokenForIn(InShape):
    """A reader of another platform, and the client that the reader has here."""

    issuer: Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,280}$")] = Field(
        description="Of the other platform's tokens"
    )
    reader: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")] = Field(
        description="Its client there"
    )
    client: Slug


class SpeaksForIn(InShape):
    """The readers for whom another platform may speak through the client; none: no longer."""

    readers: Annotated[list[SpokenForIn], Field(max_length=100)]

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "readers": [
                    {
                        "issuer": "https://data.sakai.example.jp",
                        "reader": "271403-portal",
                        "client": "271403-here",
                    }
                ]
            }
        }
    )


class ExchangeIn(InShape):
    """The clients whose tokens for an official may be exchanged (RFC 8693); none: no longer."""

    clients: Annotated[list[Slug], Field(max_length=20)]

    model_config = ConfigDict(json_schema_extra={"example": {"clients": ["271004-portal"]}})


@router.post(
    "",
    status_code=201,
    response_model=AddedClientOut,
    summary="Add a client",
    responses=problems(
        *ADMIN_CODES,
        "client_invalid",
        "client_exists",
        "jwks_invalid",
        "redirect_uri_invalid",
        "organization_not_found",
        "organization_invalid",
        "organization_closed",
    ),
)
async def add_client(new: ClientIn, caller: AdminWriter, session: Writing) -> clients.AddedClient:
    """A key's `kid` becomes its RFC 7638 thumbprint. A private key is refused."""
    told = clients.NewClient(**new.model_dump())
    return await clients.add(session, told, by=caller.client.actor)


@router.get(
    "",
    response_model=PageOut[ClientOut],
    summary="List clients",
    responses=problems(*SCOPED_CODES, "invalid_cursor", "organization_invalid"),
)
async def list_clients(
    caller: AdminReader,
    session: Reading,
    organization: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """By id, revoked ones too."""
    found = await clients.list_clients(
        session, organization_id=organization, after=after(cursor), limit=limit + 1
    )
    return page(found, limit, lambda client: client.id)


@router.get(
    "/{client_id}",
    response_model=ClientOut,
    summary="Show a client",
    responses=problems(*SCOPED_CODES, "client_not_found"),
)
async def show_client(client_id: str, caller: AdminReader, session: Reading) -> Client:
    """Its public keys, roles, zone and state."""
    return await clients.get(session, client_id)


@router.put(
    "/{client_id}/keys",
    response_model=ClientOut,
    summary="Replace a client's keys",
    responses=problems(
        *ADMIN_CODES,
        "client_not_found",
        "client_already_revoked",
        "client_invalid",
        "jwks_invalid",
    ),
)
async def replace_keys(
    client_id: str, new: KeysIn, caller: AdminWriter, session: Writing
) -> Client:
    """Two slots: put the new key beside the old, change over, then leave the old one out."""
    keys = new.model_dump()
    return await clients.replace_keys(session, client_id, keys, by=caller.client.actor)


@router.put(
    "/{client_id}/sign-in",
    response_model=ClientOut,
    summary="Say who may sign in to a client",
    responses=problems(
        *ADMIN_CODES,
        "client_not_found",
        "client_already_revoked",
        "redirect_uri_invalid",
        "organization_not_found",
        "organization_invalid",
    ),
)
async def set_sign_in(
    client_id: str, new: SignInIn, caller: AdminWriter, session: Writing
) -> Client:
    """Redirect URIs, and the whose staff may sign in, and whether citizens may. If none: nobody."""
    told = new.model_dump()
    return await clients.set_sign_in(session, client_id, **told, by=caller.client.actor)


@router.put(
    "/{client_id}/exchange-from",
    response_model=ClientOut,
    summary="Name the apps whose tokens a client may exchange",
    responses=problems(
        *ADMIN_CODES,
        "client_not_found",
        "client_already_revoked",
        "client_invalid",
    ),
)
async def allow_exchange(
    client_id: str, told: ExchangeIn, caller: AdminWriter, session: Writing
) -> Client:
    """Those and no others, and only for the staff that the client is there for (`staff_of`).

    A token that it has exchanged already is refused from now on where its app is named no more.
    """
    by = caller.client.actor
    return await clients.allow_exchange(session, client_id, told.clients, by=by)


@router.put(
    "/{client_id}/speaks-for",
    response_model=ClientOut,
    summary="Name the readers for whom another platform speaks",
    responses=problems(
        *ADMIN_CODES,
        "client_not_found",
        "client_already_revoked",
        "client_invalid",
    ),
)
async def speak_for(
    client_id: str, told: SpeaksForIn, caller: AdminWriter, session: Writing
) -> Client:
    """Those and no others. What the other platform signs of its reader gets, through this client, a
    token of the client that the reader has here: that client's rights decide, and it is what stands
    in the log. Tokens for whom is named no more are refused from now on.
    """
    by = caller.client.actor
    readers = [speaking.SpokenFor(each.issuer, each.reader, each.client) for each in told.readers]
    return await speaking.speak_for(session, client_id, readers, by=by)


@router.post(
    "/{client_id}/revoke",
    response_model=ClientOut,
    summary="Revoke a client",
    responses=problems(*ADMIN_CODES, "client_not_found", "client_already_revoked"),
)
async def revoke_client(client_id: str, caller: AdminWriter, session: Writing) -> Client:
    """For good. Tokens that it still holds are refused from now on."""
    return await clients.revoke(session, client_id, by=caller.client.actor)
