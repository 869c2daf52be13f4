"""The authorization code grant (RFC 6749, 4.1.3; RFC 7636, 4.5): a code, once, for a bound token.

No refresh token is ever given: an app asks again with prompt=none while the sign-in lasts.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import orjson
from joserfc.util import urlsafe_b64encode

from app.audit import log as audit
from app.audit.events import Event
from app.kit import clock
from app.kit.db import Database
from app.kit.live import Live, LiveCache
from app.oauth.authorization import Asked
from app.oauth.codes import hash_of
from app.oauth.details import Details, read_details
from app.oauth.grants import (
    Bond,
    Granted,
    Judged,
    Reach,
    check_resource,
    judge,
    nothing_granted,
    token_for,
)
from app.oauth.identity import citizen_id_token, claims_about, id_token
from app.oauth.keys import KeyRing
from app.oauth.refusals import InvalidGrant, InvalidRequest
from app.oauth.revocation import end_token
from app.oauth.scopes import IDENTITY
from app.oauth.tokens import (
    LIFETIME_RESTRICTED_S,
    LIFETIME_S,
    CitizenGrant,
    IssuedToken,
    PersonGrant,
    issue,
)
from app.policy.assurance import BY_ACR
from app.policy.facts import Caller, ClientFacts, PersonFacts, acting_for, may_sign_in

GRANT_TYPE: Final = "authorization_code"
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.1
_FIND: Final = """
SELECT c.client_id, c.person_id, c.subject, c.asked, c.acr, c.auth_time, c.methods, c.expires_at,
    c.used_at, c.token_jti, c.token_expires_at
FROM authorization_code c WHERE c.code_sha256 = $1
"""
# Of any number of uses, on any replica, one finds it unused.
_USE: Final = """
UPDATE authorization_code SET used_at = $2, token_jti = $3, token_expires_at = $4
WHERE code_sha256 = $1 AND used_at IS NULL AND expires_at > $2 RETURNING true
"""


@dataclass(frozen=True, slots=True)
class _Redeeming:
    """A code that was shown by whom it was given to, and what it stands for."""

    key: bytes
    asked: Asked
    details: Details | None
    row: asyncpg.Record


class CodeGrant:
    """Redeems codes for access and ID tokens. One a process."""

    def __init__(
        self,
        database: Database,
        live: Live,
        ring: KeyRing,
        people: LiveCache[PersonFacts],
        issuer: str,
    ) -> None:
        self._database = database
        self._live = live
        self._ring = ring
        self._people = people
        self._issuer = issuer

    async def __call__(
        self, client: ClientFacts, form: Mapping[str, str], reach: Reach, bond: Bond
    ) -> Granted:
        """The tokens for a code, or `OAuthRefused`. `bond`: what the request proved to hold."""
        check_resource(form, self._issuer)
        redeeming = await self._find(client, form, bond)
        if redeeming.row["subject"] is not None:
            return await self._for_citizen(client, redeeming, bond)
        person = await self._people.get(redeeming.row["person_id"])
        if not may_sign_in(client, person):
            raise _wrong("person", "職員がもう利用できません。", "the person may no longer use it.")
        acting = acting_for(client, person)
        judged = await _judge(acting, redeeming, reach)
        row = redeeming.row
        signed_in = PersonGrant(person.person_id, row["acr"], int(row["auth_time"].timestamp()))
        grant = await token_for(self._database, acting, judged, bond, redeeming.details)
        grant = replace(grant, person=signed_in)
        issued = issue(await self._ring.get(), self._issuer, grant)
        await self._use(client, redeeming, issued)
        identity = None
        if "openid" in judged.scope:
            identity = await self._identify(client, signed_in, redeeming, judged)
        return Granted(
            issued,
            judged.scope,
            bond,
            redeeming.details,
            person_id=person.person_id,
            organization_id=person.organization_id,
            id_token=identity,
        )

    async def _for_citizen(self, client: ClientFacts, redeeming: _Redeeming, bond: Bond) -> Granted:
        """Tokens that name a citizen as the client's organisation does, and say no more of them."""
        if not client.citizens:
            raise _wrong(
                "citizens", "住民のサインインは停止されました。", "citizens may no longer sign in."
            )
        row, asked = redeeming.row, redeeming.asked
        auth_time = int(row["auth_time"].timestamp()) if asked.max_age_s is not None else None
        citizen = CitizenGrant(row["subject"], BY_ACR[row["acr"]], auth_time)
        judged = Judged(asked.scope, LIFETIME_RESTRICTED_S, None)
        grant = await token_for(self._database, client, judged, bond, None)
        keys = await self._ring.get()
        issued = issue(keys, self._issuer, replace(grant, citizen=citizen))
        await self._use(client, redeeming, issued)
        identity = None
        if "openid" in asked.scope:
            identity = citizen_id_token(
                keys, self._issuer, client.client_id, citizen, nonce=asked.nonce
            )
        return Granted(issued, asked.scope, bond, id_token=identity)

    async def _find(self, client: ClientFacts, form: Mapping[str, str], bond: Bond) -> _Redeeming:
        if not form.get("code"):
            raise InvalidRequest("code", mend_ja="code が必要です。", mend_en="code is needed.")
        key = hash_of(form["code"])
        row = await self._database.pool.fetchrow(_FIND, key)
        if row is None or row["client_id"] != client.client_id:
            raise _wrong(
                "unknown",
                "このクライアントに発行した code を指定してください。",
                "show a code that was given to this client.",
            )
        if row["used_at"] is not None:
            await self._end(client, key)
        if row["expires_at"] <= clock.now():
            raise _wrong(
                "expired", "60秒以内に引き換えてください。", "redeem it within 60 seconds."
            )
        asked = Asked.from_json(orjson.loads(row["asked"]))
        _check_shown(asked, form)
        if not bond:
            raise _wrong(
                "unbound",
                "DPoP プルーフかクライアント証明書が必要です。",
                "a DPoP proof or a client certificate is needed.",
            )
        if asked.jkt is not None and asked.jkt != bond.jkt:
            raise _wrong(
                "key", "要求時と同じ鍵で証明してください。", "prove the key of the request."
            )
        details = read_details(asked.details) if asked.details is not None else None
        return _Redeeming(key, asked, details, row)

    async def _use(self, client: ClientFacts, redeeming: _Redeeming, issued: IssuedToken) -> None:
        """Burn the code, and write down which token it gave: both in one statement."""
        now = clock.now()
        expires_at = now + timedelta(seconds=issued.expires_in)
        used = await self._database.pool.fetchval(_USE, redeeming.key, now, issued.jti, expires_at)
        if not used:
            await self._end(client, redeeming.key)

    async def _end(self, client: ClientFacts, key: bytes) -> None:
        """Refuse a code that is shown again, and end what it gave (RFC 6749, 4.1.2)."""
        row = await self._database.pool.fetchrow(_FIND, key)
        if row is not None and row["token_jti"] is not None:
            jti: str = row["token_jti"]
            expires_at: datetime = row["token_expires_at"]
            async with self._database.writing() as session:
                if await end_token(session, jti, client.client_id, expires_at.astimezone(UTC)):
                    await audit.append(
                        session, Event.TOKEN_REVOKED, client=client.client_id,
                        person=row["person_id"], jti=jti, why="code_used_again",
                    )  # fmt: skip
            self._live.changed("token", jti)
        raise _wrong("used", "一度だけ使えます。", "it can be used once.")

    async def _identify(
        self, client: ClientFacts, person: PersonGrant, redeeming: _Redeeming, judged: Judged
    ) -> str:
        about = await claims_about(self._database.pool, person.person_id, judged.scope)
        return id_token(
            await self._ring.get(),
            self._issuer,
            client.client_id,
            person,
            about,
            methods=redeeming.row["methods"],
            nonce=redeeming.asked.nonce,
        )


def _check_shown(asked: Asked, form: Mapping[str, str]) -> None:
    """What only the app that asked knows: where it wanted the code, and the verifier."""
    if form.get("redirect_uri") != asked.redirect_uri:
        raise _wrong(
            "redirect_uri", "要求時と同じ redirect_uri が必要です。", "give the same redirect_uri."
        )
    verifier = form.get("code_verifier", "")
    digest = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    is_right = hmac.compare_digest(digest, asked.code_challenge.encode())
    if not _VERIFIER.fullmatch(verifier) or not is_right:
        raise _wrong(
            "verifier",
            "code_challenge に合う code_verifier が必要です。",
            "give its code_verifier.",
        )


async def _judge(acting: ClientFacts, redeeming: _Redeeming, reach: Reach) -> Judged:
    """Of what was consented to: who somebody is, and what this person may do now."""
    scope, details = redeeming.asked.scope, redeeming.details
    identity = tuple(token for token in scope if token in IDENTITY)
    others = tuple(token for token in scope if token not in IDENTITY)
    asker = Caller(acting, frozenset(), bound=True)
    judged = await judge(asker, others, reach, details)
    if not judged.scope and (details is not None or not identity):
        raise nothing_granted(details)
    lifetime = judged.lifetime_s if judged.scope else LIFETIME_S
    kept = frozenset((*identity, *judged.scope))
    return Judged(tuple(token for token in scope if token in kept), lifetime, judged.purpose)


def _wrong(why: str, mend_ja: str, mend_en: str) -> InvalidGrant:
    return InvalidGrant(f"code_{why}", mend_ja=mend_ja, mend_en=mend_en)
