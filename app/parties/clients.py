"""OAuth clients: added, re-keyed, revoked. Never stores a private key or a plain secret."""

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.certificates import normal_subject
from app.kit.errors import AppError, Fault, Kind
from app.kit.secret_hash import hash_secret
from app.models.parties import AuthMethod, Client, Organization, Role, Zone
from app.parties.client_keys import check_jwks
from app.parties.organizations import OrganizationClosed, OrganizationNotFound, normal_id
from app.parties.redirects import check_redirect_uris
from app.policy.facts import ClientFacts

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")


class ClientNotFound(AppError):
    """No client has this id."""

    kind = Kind.NOT_FOUND
    code = "client_not_found"
    ja = "クライアント {client} はありません。"
    en = "There is no client {client}."


class ClientExists(AppError):
    """Another client has this id."""

    kind = Kind.CONFLICT
    code = "client_exists"
    ja = "クライアント {client} は既にあります。"
    en = "The client {client} exists already."


class ClientRevoked(AppError):
    """A revoked client stays revoked."""

    kind = Kind.CONFLICT
    code = "client_already_revoked"
    ja = "クライアント {client} は失効済みです。新しいクライアントを登録してください。"
    en = "The client {client} was revoked, for good. Add a new client."


class ClientInvalid(AppError):
    """What was said of the client contradicts itself or the rules."""

    kind = Kind.INVALID
    code = "client_invalid"
    ja = "クライアントの登録内容に誤りがあります。"
    en = "What was said of the client is wrong."


@dataclass(frozen=True, slots=True)
class NewClient:
    """What is said of a client to be added. `id` None: one is made."""

    organization_id: str
    name: str
    auth_method: AuthMethod
    roles: Sequence[Role] = ()
    zone: Zone = Zone.INTERNET
    jwks: dict[str, Any] | None = None
    tls_subject: str | None = None
    certificate_bound: bool | None = None  # None: if it proves itself by its certificate
    system: str | None = None
    id: str | None = None
    redirect_uris: Sequence[str] = ()
    staff_of: Sequence[str] = ()
    citizens: bool = False


@dataclass(frozen=True, slots=True)
class AddedClient:
    """The client and, for `client_secret_basic`, its secret: here and never again."""

    client: Client
    secret: str | None


async def add(session: AsyncSession, new: NewClient, *, by: str) -> AddedClient:
    """Add a client.

    Raises `ClientExists`, `ClientInvalid`, `KeysInvalid` or `OrganizationNotFound`.
    """
    organization = await session.get(Organization, normal_id(new.organization_id))
    if organization is None:
        raise OrganizationNotFound(organization=new.organization_id)
    if organization.valid_to is not None:
        raise OrganizationClosed(organization=organization.id)
    client_id = new.id or f"{organization.id}-{secrets.token_hex(4)}"
    _check(new, client_id)
    check_redirect_uris(new.redirect_uris)
    staff_of = await _organizations(session, new.staff_of)
    if await session.get(Client, client_id) is not None:
        raise ClientExists(client=client_id)
    jwks = check_jwks(new.jwks) if new.jwks is not None else None
    by_secret = new.auth_method is AuthMethod.CLIENT_SECRET_BASIC
    by_certificate = new.auth_method is AuthMethod.TLS_CLIENT_AUTH
    secret = secrets.token_urlsafe(32) if by_secret else None
    client = Client(
        id=client_id,
        organization_id=organization.id,
        name=new.name,
        system=new.system,
        zone=new.zone.value,
        roles=sorted({role.value for role in new.roles}),
        auth_method=new.auth_method.value,
        jwks=jwks,
        secret_hash=await hash_secret(secret) if secret else None,
        tls_subject=normal_subject(new.tls_subject) if new.tls_subject is not None else None,
        certificate_bound=(
            by_certificate if new.certificate_bound is None else new.certificate_bound
        ),
        redirect_uris=sorted(set(new.redirect_uris)),
        staff_of=staff_of,
        citizens=new.citizens,
        exchange_from=[],
        speaks_for=[],
        created_at=clock.now(),
        created_by=by,
    )
    session.add(client)
    await audit.append(
        session, Event.CLIENT_ADDED, client=client.id, organization=organization.id, by=by,
        roles=client.roles, method=client.auth_method, kids=_kids(client) or None,
        redirect_uris=client.redirect_uris or None, staff_of=client.staff_of or None,
        citizens=client.citizens or None,
        subject=client.tls_subject, certificate_bound=client.certificate_bound or None,
    )  # fmt: skip
    return AddedClient(client, secret)


def _check(new: NewClient, client_id: str) -> None:
    faults = []
    if not _ID.fullmatch(client_id):
        faults.append(Fault(
            "/id", "invalid_id", "idは英小文字・数字・ハイフンの3〜63文字です。",
            "The id is 3 to 63 lower-case letters, digits and hyphens.",
        ))  # fmt: skip
    if new.auth_method is AuthMethod.PRIVATE_KEY_JWT and new.jwks is None:
        faults.append(Fault(
            "/jwks", "jwks_required", "private_key_jwt には公開鍵（jwks）が必要です。",
            "private_key_jwt needs the public key (jwks).",
        ))  # fmt: skip
    if new.auth_method is not AuthMethod.PRIVATE_KEY_JWT and new.jwks is not None:
        faults.append(Fault(
            "/jwks", "one_credential", f"{new.auth_method} では jwks を指定できません。",
            f"{new.auth_method} takes no jwks.",
        ))  # fmt: skip
    faults += _faults_of_subject(new)
    if faults:
        raise ClientInvalid(faults=faults)


def _faults_of_subject(new: NewClient) -> list[Fault]:
    by_certificate = new.auth_method is AuthMethod.TLS_CLIENT_AUTH
    if new.tls_subject is None:
        return [Fault(
            "/tls_subject", "tls_subject_required",
            "tls_client_auth には証明書のサブジェクト（tls_subject）が必要です。",
            "tls_client_auth needs the subject of the certificate (tls_subject).",
        )] if by_certificate else []  # fmt: skip
    if not by_certificate:
        return [Fault(
            "/tls_subject", "one_credential", f"{new.auth_method} では tls_subject を指定できません。",
            f"{new.auth_method} takes no tls_subject.",
        )]  # fmt: skip
    try:
        normal_subject(new.tls_subject)
    except ValueError:
        return [Fault(
            "/tls_subject", "invalid_subject",
            "RFC 4514 の形で書いてください: CN=app.city.example.jp,O=堺市,C=JP",
            "Write it as RFC 4514 says: CN=app.city.example.jp,O=Sakai City,C=JP",
        )]  # fmt: skip
    return []


async def get(session: AsyncSession, client_id: str, *, lock: bool = False) -> Client:
    """The client, or `ClientNotFound`."""
    client = await session.get(Client, client_id, with_for_update=lock)
    if client is None:
        raise ClientNotFound(client=client_id)
    return client


async def list_clients(
    session: AsyncSession,
    *,
    organization_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[Client]:
    """Clients by id, revoked ones too."""
    statement = select(Client).order_by(Client.id).limit(limit)
    if organization_id is not None:
        statement = statement.where(Client.organization_id == normal_id(organization_id))
    if after is not None:
        statement = statement.where(Client.id > after)
    return list(await session.scalars(statement))


async def replace_keys(
    session: AsyncSession, client_id: str, jwks: dict[str, Any], *, by: str
) -> Client:
    """Put one or two public keys in place of those registered; two let a client change over."""
    client = await get(session, client_id, lock=True)
    check_in_force(client)
    if client.auth_method != AuthMethod.PRIVATE_KEY_JWT:
        raise ClientInvalid(faults=[Fault(
            "/keys", "one_credential", f"このクライアントは鍵を使いません（{client.auth_method}）。",
            f"This client uses no keys ({client.auth_method}).",
        )])  # fmt: skip
    client.jwks = check_jwks(jwks)
    await audit.append(session, Event.CLIENT_CHANGED, client=client.id, by=by, kids=_kids(client))
    return client


async def add_key(
    session: AsyncSession, client_id: str, jwk: dict[str, Any], *, beside: str
) -> Client:
    """Put a key that the client brought beside the one that signed for it; a third one goes.

    Raises `ClientNotFound`, `ClientRevoked`, `KeysInvalid`, or `ClientInvalid` where the key that
    signed was itself taken away meanwhile.
    """
    client = await get(session, client_id, lock=True)
    check_in_force(client)
    kept = [key for key in (client.jwks or {"keys": []})["keys"] if key["kid"] == beside]
    if not kept:
        raise ClientInvalid(faults=[Fault(
            "/keys", "key_gone", "署名した鍵は既に登録から外されています。",
            "The key that signed is registered no more.",
        )])  # fmt: skip
    client.jwks = check_jwks({"keys": [*kept, jwk]})
    await audit.append(
        session, Event.CLIENT_CHANGED, client=client.id, by=client.id, kids=_kids(client),
        signed_by=beside,
    )  # fmt: skip
    return client


async def set_sign_in(
    session: AsyncSession,
    client_id: str,
    *,
    redirect_uris: Sequence[str],
    staff_of: Sequence[str],
    citizens: bool = False,
    by: str,
) -> Client:
    """Say anew where people are sent back to who sign in to the client, and who may.

    Raises `RedirectInvalid`, `ClientNotFound`, `ClientRevoked` or `OrganizationNotFound`.
    """
    check_redirect_uris(redirect_uris)
    client = await get(session, client_id, lock=True)
    check_in_force(client)
    client.redirect_uris = sorted(set(redirect_uris))
    client.staff_of = await _organizations(session, staff_of)
    client.citizens = citizens
    await audit.append(
        session, Event.CLIENT_CHANGED, client=client.id, by=by,
        redirect_uris=client.redirect_uris, staff_of=client.staff_of,
        citizens=client.citizens,
    )  # fmt: skip
    return client


async def _organizations(session: AsyncSession, named: Sequence[str]) -> list[str]:
    """The ids of organisations as we write them, or `OrganizationNotFound`."""
    ids = {normal_id(each): each for each in named}
    statement = select(Organization.id).where(Organization.id.in_(ids))
    known = set(await session.scalars(statement))
    for each in sorted(ids.keys() - known):
        raise OrganizationNotFound(organization=ids[each])
    return sorted(ids)


async def revoke(
    session: AsyncSession, client_id: str, *, by: str, reason: str | None = None
) -> Client:
    """End a client for good. Its unexpired tokens are refused from the next request on."""
    client = await get(session, client_id, lock=True)
    check_in_force(client)
    client.revoked_at = clock.now()
    client.revoked_by = by
    await audit.append(session, Event.CLIENT_REVOKED, client=client.id, by=by, reason=reason)
    return client


async def allow_exchange(
    session: AsyncSession, client_id: str, givers: Collection[str], *, by: str
) -> Client:
    """Name the clients, and no others, whose tokens for a person this one may exchange (RFC 8693).

    Tokens that it exchanged from one that is named no more are refused from now on.
    """
    client = await get(session, client_id, lock=True)
    check_in_force(client)
    if client_id in givers:
        raise ClientInvalid(faults=[Fault(
            "/clients", "itself", "自分自身のトークンは交換できません。",
            "A client does not exchange tokens of its own.",
        )])  # fmt: skip
    for giver in sorted(givers):
        check_in_force(await get(session, giver))
    client.exchange_from = sorted(set(givers))
    await audit.append(
        session, Event.CLIENT_CHANGED, client=client.id, by=by, exchange_from=client.exchange_from,
    )  # fmt: skip
    return client


def check_in_force(client: Client) -> None:
    """Raises `ClientRevoked`."""
    if client.revoked_at is not None:
        raise ClientRevoked(client=client.id)


def _kids(client: Client) -> list[str]:
    return [key["kid"] for key in client.jwks["keys"]] if client.jwks else []


_FACTS: Final = """
SELECT c.organization_id, c.zone, c.roles, c.auth_method, c.redirect_uris, c.staff_of,
       c.citizens, c.exchange_from, c.certificate_bound, c.speaks_for,
       c.revoked_at IS NOT NULL OR o.valid_to IS NOT NULL AS revoked,
       body_of(o.id) AS body_id, line_of(o.id) AS line
FROM client c JOIN organization o ON o.id = c.organization_id WHERE c.id = $1
"""


async def load_client_facts(pool: "asyncpg.Pool[Any]", client_id: str) -> ClientFacts:
    """What the registry says of a client now, or `ClientNotFound`.

    A client of an organisation that was closed counts as revoked.
    """
    row = await pool.fetchrow(_FACTS, client_id)
    if row is None:
        raise ClientNotFound(client=client_id)
    return ClientFacts(
        client_id=client_id,
        organization_id=row["organization_id"],
        body_id=row["body_id"],
        line=frozenset(row["line"]),
        roles=frozenset(row["roles"]),
        zone=row["zone"],
        auth_method=row["auth_method"],
        revoked=row["revoked"],
        redirect_uris=frozenset(row["redirect_uris"]),
        staff_of=frozenset(row["staff_of"]),
        citizens=row["citizens"],
        exchange_from=frozenset(row["exchange_from"]),
        certificate_bound=row["certificate_bound"],
        speaks_for=frozenset(tuple(each) for each in orjson.loads(row["speaks_for"])),
    )
