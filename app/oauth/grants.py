"""The token endpoint's logic, and client credentials; what is granted is never more than asked."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from app.audit.events import Event
from app.audit.log import Log
from app.kit.certificates import Certificate
from app.kit.db import Database
from app.kit.live import Live, LiveCache
from app.oauth import scopes
from app.oauth.authentication import ClientAuthentication
from app.oauth.details import Details, read_details
from app.oauth.forms import unreadable
from app.oauth.keys import KeyRing
from app.oauth.proofs import Proofs
from app.oauth.refusals import (
    InvalidClient,
    InvalidDetails,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    OAuthRefused,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from app.oauth.tokens import (
    LIFETIME_PERSONAL_S,
    LIFETIME_RESTRICTED_S,
    LIFETIME_S,
    IssuedToken,
    TokenGrant,
    issue,
)
from app.policy.facts import Action, Caller, ClientFacts

PATH: Final = "/oauth/token"
# Seconds that a token lives that reaches the class; what is not here is not reached by any.
_LIFETIMES: Final[Mapping[str, int]] = {
    "public": LIFETIME_S,
    "internal": LIFETIME_S,
    "restricted": LIFETIME_RESTRICTED_S,
    "personal": LIFETIME_PERSONAL_S,
}


@dataclass(frozen=True, slots=True)
class Reached:
    """What policy would let the asker do: the highest class it sees, and under which agreement."""

    data_class: str
    agreement_id: str | None = None
    purpose: str | None = None  # the agreement's


# What the asker may do with the dataset at present, None for nothing. Its scope is still empty.
Reach = Callable[[Caller, str, Action], Awaitable[Reached | None]]


@dataclass(frozen=True, slots=True)
class Bond:
    """What a token is bound to: a key, a certificate, or nothing; never to both."""

    jkt: str | None = None
    x5t: str | None = None

    def __bool__(self) -> bool:
        return bool(self.jkt or self.x5t)


@dataclass(frozen=True, slots=True)
class Granted:
    """A token and the scope that it was given, which may be less than was asked."""

    issued: IssuedToken
    scope: tuple[str, ...]
    bond: Bond
    details: Details | None = None
    # For whom it acts, and what says so to the app that they signed in to.
    person_id: str | None = None
    organization_id: str | None = None  # the person's
    id_token: str | None = None
    # Of an exchange (RFC 8693, 2.2.1): what was issued, and more of it for the log.
    issued_token_type: str | None = None
    told: Mapping[str, str] = field(default_factory=dict)


# Judges one kind of grant: the client, its form, and what the token is to be bound to.
Grant = Callable[[ClientFacts, Mapping[str, str], Reach, Bond], Awaitable[Granted]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What of the scopes that were asked for may be had, for how long, for which purpose."""

    scope: tuple[str, ...]
    lifetime_s: int
    purpose: str | None


class TokenEndpoint:
    """Authenticates, grants, signs and records. One a process."""

    def __init__(  # noqa: PLR0913 - one a process, made in one place
        self,
        database: Database,
        live: Live,
        log: Log,
        *,
        issuer: str,
        zone: str,
        clients: LiveCache[ClientFacts],
        ring: KeyRing,
        proofs: Proofs,
        admit: Callable[[str], Awaitable[None]],
    ) -> None:
        self._database = database
        self._log = log
        self.issuer = issuer
        self._zone = zone
        self._clients = clients
        self._ring = ring
        self._proofs = proofs
        self._admit = admit  # counts a client that has proven itself, or refuses
        self._authentication = ClientAuthentication(database, live, issuer)
        self.grants: dict[str, Grant] = {"client_credentials": self._grant}  # by their grant_type

    async def answer(
        self,
        form: Mapping[str, str],
        authorization: str | None,
        reach: Reach,
        proofs: Sequence[bytes] = (),
        certificate: Certificate | None = None,
    ) -> Granted:
        """A token for what is asked and allowed, or `OAuthRefused`; the log has both first."""
        if form.get("grant_type") is None:
            raise unreadable("grant_type", "grant_type が必要です。", "grant_type is needed.")
        client = await self.prove(form, authorization, path=PATH, certificate=certificate)
        try:
            grant = self.grants.get(form["grant_type"])
            if grant is None:
                raise UnsupportedGrantType("grant_type", known=", ".join(self.grants))
            bond = await self._bond_of(client, proofs, certificate)
            granted = await grant(client, form, reach, bond)
        except OAuthRefused as refusal:
            await self.record_refusal(refusal, client.client_id)
            raise
        await self._log.write(
            Event.TOKEN_ISSUED,
            client=client.client_id,
            organization=granted.organization_id or client.organization_id,
            person=granted.person_id,
            jti=granted.issued.jti,
            scope=list(granted.scope),
            seconds=granted.issued.expires_in,
            bound=bool(granted.bond) or None,
            agreement=granted.details.agreement_id if granted.details else None,
            **granted.told,
        )
        return granted

    async def _bond_of(
        self, client: ClientFacts, proofs: Sequence[bytes], certificate: Certificate | None
    ) -> Bond:
        """What the token is to be bound to (RFC 9449, 5; RFC 8705, 3.4).

        A client registered for tokens bound to its certificate gets no others; whoever is not
        chooses a key by the proof, and by none a bearer token.
        """
        if not client.certificate_bound:
            path = self.issuer + PATH
            return Bond(await self._proofs.take(proofs, "POST", path)) if proofs else Bond()
        if certificate is None:
            raise InvalidRequest(
                "no_certificate",
                mend_ja="このクライアントのトークンは証明書に結び付きます。クライアント証明書を"
                "提示してください。",
                mend_en="this client's tokens are bound to its certificate: connect with it.",
            )
        if proofs:
            raise InvalidRequest(
                "two_bonds",
                mend_ja="トークンは証明書に結び付きます。DPoP ヘッダは送らないでください。",
                mend_en="the token is bound to the certificate: send no DPoP header.",
            )
        return Bond(x5t=certificate.thumbprint)

    async def prove(
        self,
        form: Mapping[str, str],
        authorization: str | None,
        *,
        path: str,
        certificate: Certificate | None = None,
    ) -> ClientFacts:
        """The client that asks the endpoint `path`, counted; its refusal is in the log."""
        client_id: str | None = None
        try:
            client_id = await self._authentication.authenticate(form, authorization, certificate)
            await self._admit(client_id)
            client = await self._clients.get(client_id)
            self._check_client(client)
        except OAuthRefused as refusal:
            await self.record_refusal(refusal, client_id, path=path)
            raise
        return client

    async def record_refusal(
        self, refusal: OAuthRefused, client_id: str | None = None, *, path: str = PATH
    ) -> None:
        """Write a refusal to the log, once. Only a proven client is named."""
        if not refusal.logged:
            await self._log.write(
                Event.TOKEN_REFUSED,
                client=client_id or refusal.client,
                code=refusal.code,
                why=refusal.why,
                path=path,
            )
            refusal.logged = True

    def _check_client(self, client: ClientFacts) -> None:
        if client.revoked:
            raise InvalidClient("revoked", client=client.client_id)
        if client.zone != self._zone:
            raise UnauthorizedClient("zone", client=client.client_id, zone=client.zone)

    async def _grant(
        self, client: ClientFacts, form: Mapping[str, str], reach: Reach, bond: Bond
    ) -> Granted:
        check_resource(form, self.issuer)
        asked = form.get("authorization_details")
        details = read_details(asked) if asked is not None else None
        judged = await self._judge(client, form.get("scope"), reach, details, bound=bool(bond))
        grant = await token_for(self._database, client, judged, bond, details)
        issued = issue(await self._ring.get(), self.issuer, grant)
        return Granted(issued, judged.scope, bond, details)

    async def _judge(
        self,
        client: ClientFacts,
        asked: str | None,
        reach: Reach,
        details: Details | None,
        *,
        bound: bool,
    ) -> Judged:
        """What of the scopes the client may have now, or the refusal where it is nothing."""
        tokens = scopes.split(asked) if asked else None
        if tokens is None:
            raise InvalidScope(
                "unreadable",
                mend_ja="scope を空白区切りで指定してください（100個まで）。",
                mend_en="give scope as at most 100 tokens parted by single spaces.",
            )
        asker = Caller(client, frozenset(), bound)
        judged = await judge(asker, tokens, reach, details)
        if not judged.scope:
            by_key = await judge(replace(asker, bound=True), tokens, reach, details)
            raise _unbound(details) if by_key.scope else nothing_granted(details)
        return judged


def check_resource(
    form: Mapping[str, str], issuer: str, names: Sequence[str] = ("resource",)
) -> None:
    """Tokens are for the platform itself and for nothing else (RFC 8707, 2)."""
    for name in names:
        if form.get(name, issuer) != issuer:
            raise InvalidTarget(name, issuer=issuer)


async def token_for(
    database: Database, asker: ClientFacts, judged: Judged, bond: Bond, details: Details | None
) -> TokenGrant:
    """What a token says of the client as it was judged: a person it acts for is added by the grant."""
    return TokenGrant(
        client_id=asker.client_id,
        organization_id=asker.organization_id,
        zone=asker.zone,
        scope=judged.scope,
        epoch=await database.pool.fetchval("SELECT value FROM epoch"),
        lifetime_s=judged.lifetime_s,
        jkt=bond.jkt,
        x5t=bond.x5t,
        agreement_id=details.agreement_id if details else None,
        purpose=judged.purpose,
    )


def _unbound(details: Details | None) -> OAuthRefused:
    """The refusal of what a token would carry that is bound to its sender, and this one does not."""
    refusal = InvalidScope if details is None else InvalidDetails
    return refusal(
        "unbound",
        mend_ja="庁内データより上には、送信者に結び付いたトークンが必要です。/oauth/token に DPoP ヘッダを付けて"
        "（RFC 9449）、またはクライアント証明書で接続して（RFC 8705）、取得し直してください。",
        mend_en="data above internal needs a token that is bound to its sender: send a DPoP proof to"
        " /oauth/token (RFC 9449), or connect to it with your client certificate (RFC 8705).",
    )


def nothing_granted(details: Details | None) -> OAuthRefused:
    """The refusal where nothing of what was asked may be had."""
    if details is not None:
        return InvalidDetails(
            "nothing_granted",
            mend_ja="有効な協定の対象と操作を scope と actions に指定してください。",
            mend_en="name in scope and actions what an agreement in force covers.",
        )
    return InvalidScope(
        "nothing_granted",
        mend_ja="役割・所属・協定を確認してください。利用申請は POST /v1/access-requests。"
        "他組織の個人情報には authorization_details で協定を指定します。",
        mend_en="check roles, organisation and agreements in force; ask for access with"
        " POST /v1/access-requests. For personal data of another organisation name the agreement in"
        " authorization_details.",
    )


async def judge(
    asker: Caller, tokens: tuple[str, ...], reach: Reach, details: Details | None
) -> Judged:
    """What of the scopes the asker may have now, which may be nothing."""
    if details is None:
        return await _judge_each(asker, tokens, reach)
    return await _judge_under(asker, details, tokens, reach)


async def _judge_each(asker: Caller, tokens: tuple[str, ...], reach: Reach) -> Judged:
    """Every scope by itself: a role's, or a dataset's on any ground."""
    granted = []
    lifetime = LIFETIME_S
    for token in tokens:
        named = scopes.dataset_of(token)
        if named is None:
            if scopes.is_role_scope(token, asker.client):
                granted.append(token)
            continue
        reached = await reach(asker, *named)
        if reached is not None:
            granted.append(token)
            lifetime = min(lifetime, _LIFETIMES[reached.data_class])
    return Judged(tuple(granted), lifetime, None)


async def _judge_under(
    asker: Caller, details: Details, tokens: tuple[str, ...], reach: Reach
) -> Judged:
    """Only what the one agreement covers: no role's scope, no other dataset, no other action."""
    under = replace(asker, agreement_id=details.agreement_id)
    granted = []
    lifetime = LIFETIME_S
    purpose: str | None = None
    for token in tokens:
        named = scopes.dataset_of(token)
        if named is None or named[1].value not in details.actions:
            continue
        reached = await reach(under, *named)
        if reached is None or reached.agreement_id != details.agreement_id:
            continue
        granted.append(token)
        purpose = reached.purpose
        lifetime = min(lifetime, _LIFETIMES[reached.data_class])
    return Judged(tuple(granted), lifetime, purpose)
