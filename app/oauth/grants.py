"""The token endpoint's logic: client credentials only; what is granted is never more than asked."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from app.audit.events import Event
from app.audit.log import Log
from app.kit.db import Database
from app.kit.live import Live, LiveCache
from app.oauth import scopes
from app.oauth.authentication import ClientAuthentication
from app.oauth.keys import KeyRing
from app.oauth.refusals import (
    InvalidClient,
    InvalidRequest,
    InvalidScope,
    OAuthRefused,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from app.oauth.tokens import LIFETIME_RESTRICTED_S, LIFETIME_S, IssuedToken, TokenGrant, issue
from app.policy.facts import Action, ClientFacts

LONGEST_BODY: Final = 16 * 1024
_MOST_FIELDS: Final = 20
_OPEN_CLASSES: Final = frozenset({"public", "internal"})

# The class of the dataset when policy lets the client do this with it at present, else None.
Reach = Callable[[ClientFacts, str, Action], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Granted:
    """A token and the scope that it was given, which may be less than was asked."""

    issued: IssuedToken
    scope: tuple[str, ...]


def read_form(content_type: str | None, query: bytes, body: bytes) -> dict[str, str]:
    """The parameters of a token request, each once, or `InvalidRequest` (RFC 6749, 3.2, app. B)."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise _unreadable(
            "content_type",
            "Content-Type は application/x-www-form-urlencoded です。",
            "the Content-Type must be application/x-www-form-urlencoded.",
        )
    if query:
        raise _unreadable(
            "query", "パラメータは本文に書いてください。", "put parameters in the body."
        )
    if len(body) > LONGEST_BODY:
        raise _unreadable("too_long", "本文は16KBまでです。", "the body may be 16 KB.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as exc:
        raise _unreadable("form", "本文を読めません。", "the body cannot be read.") from exc
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _unreadable(
            "duplicate", "同じパラメータが二度あります。", "a parameter is given more than once."
        )
    return form


def _unreadable(why: str, mend_ja: str, mend_en: str) -> InvalidRequest:
    return InvalidRequest(why, mend_ja=mend_ja, mend_en=mend_en)


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
        admit: Callable[[str], Awaitable[None]],
    ) -> None:
        self._database = database
        self._log = log
        self._issuer = issuer
        self._zone = zone
        self._clients = clients
        self._ring = ring
        self._admit = admit  # counts a client that has proven itself, or refuses
        self._authentication = ClientAuthentication(database, live, issuer)

    async def answer(
        self, form: Mapping[str, str], authorization: str | None, reach: Reach
    ) -> Granted:
        """A token for what is asked and allowed, or `OAuthRefused`; the log has both first."""
        client_id: str | None = None
        try:
            if form.get("grant_type") is None:
                raise _unreadable("grant_type", "grant_type が必要です。", "grant_type is needed.")
            client_id = await self._authentication.authenticate(form, authorization)
            await self._admit(client_id)
            if form["grant_type"] != "client_credentials":
                raise UnsupportedGrantType("grant_type")
            client = await self._clients.get(client_id)
            granted = await self._grant(client, form.get("scope"), reach)
        except OAuthRefused as refusal:
            await self.record_refusal(refusal, client_id)
            raise
        await self._log.write(
            Event.TOKEN_ISSUED,
            client=client.client_id,
            organization=client.organization_id,
            jti=granted.issued.jti,
            scope=list(granted.scope),
            seconds=granted.issued.expires_in,
        )
        return granted

    async def record_refusal(self, refusal: OAuthRefused, client_id: str | None = None) -> None:
        """Write a refusal to the log, once. Only a proven client is named."""
        if not refusal.logged:
            await self._log.write(
                Event.TOKEN_REFUSED,
                client=client_id or refusal.client,
                code=refusal.code,
                why=refusal.why,
            )
            refusal.logged = True

    async def _grant(self, client: ClientFacts, asked: str | None, reach: Reach) -> Granted:
        if client.revoked:
            raise InvalidClient("revoked", client=client.client_id)
        if client.zone != self._zone:
            raise UnauthorizedClient("zone", client=client.client_id, zone=client.zone)
        tokens = scopes.split(asked) if asked else None
        if tokens is None:
            raise InvalidScope(
                "unreadable",
                mend_ja="scope を空白区切りで指定してください（100個まで）。",
                mend_en="give scope as at most 100 tokens parted by single spaces.",
            )
        granted, lifetime = await self._judge(client, tokens, reach)
        if not granted:
            raise InvalidScope(
                "nothing_granted",
                mend_ja="役割・所属・協定を確認してください。利用申請は POST /v1/access-requests。",
                mend_en="check roles, organisation and agreements in force; ask for access with"
                " POST /v1/access-requests.",
            )
        keys = await self._ring.get()
        grant = TokenGrant(
            client_id=client.client_id,
            organization_id=client.organization_id,
            zone=client.zone,
            scope=granted,
            epoch=await self._database.pool.fetchval("SELECT value FROM epoch"),
            lifetime_s=lifetime,
        )
        return Granted(issue(keys, self._issuer, grant), granted)

    async def _judge(
        self, client: ClientFacts, tokens: tuple[str, ...], reach: Reach
    ) -> tuple[tuple[str, ...], int]:
        """What of `tokens` the client may have now, and for how many seconds."""
        granted = []
        lifetime = LIFETIME_S
        for token in tokens:
            named = scopes.dataset_of(token)
            if named is None:
                if scopes.is_role_scope(token, client):
                    granted.append(token)
                continue
            data_class = await reach(client, *named)
            if data_class is None:
                continue
            granted.append(token)
            if data_class not in _OPEN_CLASSES:
                lifetime = LIFETIME_RESTRICTED_S
        return tuple(granted), lifetime
