"""Sign-in through an organisation's OpenID Connect provider: code, PKCE S256, state, nonce, iss.

Believes nothing that did not come from the provider to which this browser was sent, and keeps none
of the tokens that it gets.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import asyncpg
import orjson
from joserfc import jwt
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.kit.outbound import Outbound
from app.models.providers import IdentityProvider
from app.signin import providers
from app.signin.claims import Reading, read_claims
from app.signin.discovery import Discovery, Metadata
from app.signin.id_tokens import Expected, is_since, verify
from app.signin.sessions import LONGEST, hash_of

LASTS: Final = timedelta(minutes=10)
_ASSERTION_LASTS_S: Final = 60
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST: Final = 4_096  # of a code or a state
_BEGIN: Final = """
INSERT INTO sign_in_under_way
    (state_sha256, provider_id, browser_sha256, sealed, return_to, person_id, begun_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
# Another browser's state is not found, and stays that browser's to use.
_TAKE: Final = """
DELETE FROM sign_in_under_way
WHERE state_sha256 = $1 AND provider_id = $2 AND browser_sha256 = $3 AND expires_at > $4
RETURNING sealed, return_to, person_id, begun_at
"""
_FORGET: Final = "DELETE FROM sign_in_under_way WHERE expires_at < $1"


class ProviderDisabled(AppError):
    """The provider's word is not taken at present."""

    kind = Kind.FORBIDDEN
    code = "provider_disabled"
    ja = (
        "認証プロバイダー {provider} によるサインインは停止されています。運営者に連絡してください。"
    )
    en = "Sign-in by the identity provider {provider} is switched off. Ask the operator."


class SignInNotBegun(AppError):
    """The answer belongs to no sign-in of this browser, or to one that is over."""

    kind = Kind.FORBIDDEN
    code = "sign_in_not_begun"
    ja = "このサインインは、このブラウザで始められていないか、既に終わっています。もう一度サインインしてください。"
    en = "This sign-in was not begun in this browser, or is over. Sign in once more."


class AnswerOfAnother(AppError):
    """The answer names another issuer, or none where it must (RFC 9207, 2.4)."""

    kind = Kind.FORBIDDEN
    code = "answer_of_another"
    ja = "応答が別の認証プロバイダーのものです。もう一度サインインしてください。"
    en = "The answer is that of another identity provider. Sign in once more."


class ProviderRefused(AppError):
    """The provider did not let the person in, or did not take our code."""

    kind = Kind.FORBIDDEN
    code = "provider_refused"
    ja = "認証プロバイダーがサインインを認めませんでした（{why}）。もう一度試すか、組織の管理者に連絡してください。"
    en = "The identity provider did not let you in ({why}). Try again, or ask who runs it."


class NoSecondFactor(AppError):
    """The provider did not say that a second factor was proven."""

    kind = Kind.FORBIDDEN
    code = "no_second_factor"
    ja = "認証プロバイダーが二要素認証を確認しませんでした。組織の管理者に連絡してください。"
    en = "The identity provider did not vouch for a second factor. Ask who runs it."


class SomebodyElse(AppError):
    """Another person signed in at the provider than the one who was to prove a second factor."""

    kind = Kind.FORBIDDEN
    code = "somebody_else"
    ja = "サインイン中の職員とは別の職員として認証されました。サインアウトしてからやり直してください。"
    en = "Somebody else signed in than who is signed in here. Sign out, then begin anew."


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a sign-in: who it is at the provider, and what that means here."""

    provider_id: str
    subject: str
    reading: Reading
    signed_in_at: datetime  # there: it may have been long before they came here
    second_factor: bool  # proven in this very sign-in
    return_to: str
    step_up_for: str | None

    @property
    def methods(self) -> tuple[str, ...]:
        """How they signed in, for the session: by federation; and mfa of RFC 8176."""
        return ("fed", "mfa") if self.second_factor else ("fed",)


@dataclass(frozen=True, slots=True)
class _Begun:
    nonce: str
    verifier: str
    return_to: str
    person_id: str | None
    begun_at: datetime
    again: bool


class Federation:
    """Sends people to their provider, and reads what comes back. One a process."""

    def __init__(
        self, database: Database, outbound: Outbound, sealer: Sealer, *, issuer: str
    ) -> None:
        self._database = database
        self._pool: asyncpg.Pool[Any] = database.pool
        self._outbound = outbound
        self._sealer = sealer
        self._issuer = issuer
        self._discovery = Discovery(outbound)

    async def begin(
        self,
        provider_id: str,
        browser: str,
        return_to: str,
        *,
        again: bool = False,
        step_up_for: str | None = None,
    ) -> str:
        """The address of the provider that this browser is to be sent to.

        `again`: a session that is open there already will not do. `step_up_for` is the person who
        is to sign in anew there, with a second factor.
        """
        entry = await self._entry(provider_id)
        provider = entry.provider
        if step_up_for and not (provider.acr_values or provider.amr_values):
            raise NoSecondFactor
        metadata = await self._discovery.metadata(provider.issuer)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        again = again or step_up_for is not None
        kept = orjson.dumps([nonce, verifier, again])
        sealed = self._sealer.seal(kept, about=_about(provider_id))
        now = clock.now()
        await self._pool.execute(
            _BEGIN, hash_of(state), provider_id, hash_of(browser), sealed, return_to, step_up_for, now,
            now + LASTS,
        )  # fmt: skip
        asked = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": self._redirect_uri(provider_id),
            "scope": metadata.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": urlsafe_b64encode(
                hashlib.sha256(verifier.encode()).digest()
            ).decode(),
            "code_challenge_method": "S256",
        }
        if again:
            asked |= {"prompt": "login", "max_age": "0"}
        if step_up_for and provider.acr_values:
            asked["acr_values"] = " ".join(provider.acr_values)
        mark = "&" if "?" in metadata.authorization_endpoint else "?"
        return metadata.authorization_endpoint + mark + urlencode(asked)

    async def finish(self, provider_id: str, browser: str, answer: Mapping[str, str]) -> Told:
        """Who signed in, by the provider's answer that this browser brought back.

        The answer is used up, whatever comes of it.
        """
        begun = await self._take(provider_id, browser, answer.get("state", ""))
        entry = await self._entry(provider_id)
        provider = entry.provider
        metadata = await self._discovery.metadata(provider.issuer)
        _check_answer(answer, metadata)
        got = await self._redeem(provider, metadata, answer["code"], begun.verifier)
        expected = Expected(
            provider.issuer,
            provider.client_id,
            begun.nonce,
            begun.begun_at.timestamp() if begun.again else None,
        )

        async def find_key(kid: str | None) -> Any:
            return await self._discovery.key(metadata, kid)

        claims = await verify(got.get("id_token"), expected, find_key)
        claims = await self._completed(provider, metadata, claims, got.get("access_token"))
        reading = read_claims(claims, provider, entry.domains)
        # Somebody who proved two factors at the provider this morning has not proven them now.
        is_now = is_since(claims, begun.begun_at.timestamp())
        is_proven = reading.second_factor and is_now
        if begun.person_id and not is_proven:
            raise NoSecondFactor
        now = clock.now()
        return Told(
            provider.id, claims["sub"], reading, now if is_now else _signed_in_at(claims, now),
            is_proven, begun.return_to, begun.person_id,
        )  # fmt: skip

    async def _entry(self, provider_id: str) -> providers.Entry:
        async with self._database.reading() as session:
            provider = await providers.get(session, provider_id)
            entry = await providers.entry_of(session, provider)
        if provider.disabled_at is not None:
            raise ProviderDisabled(provider=provider.id)
        return entry

    async def _take(self, provider_id: str, browser: str, state: str) -> _Begun:
        row = None
        if 0 < len(state) <= _LONGEST:
            row = await self._pool.fetchrow(
                _TAKE, hash_of(state), provider_id, hash_of(browser), clock.now()
            )
        if row is None:
            raise SignInNotBegun
        nonce, verifier, again = orjson.loads(
            self._sealer.unseal(row["sealed"], about=_about(provider_id))
        )
        return _Begun(nonce, verifier, row["return_to"], row["person_id"], row["begun_at"], again)

    async def _redeem(
        self, provider: IdentityProvider, metadata: Metadata, code: str, verifier: str
    ) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri(provider.id),
            "code_verifier": verifier,
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        about = providers.key_name(provider.id)
        if provider.sealed_secret is not None:
            secret = self._sealer.unseal(provider.sealed_secret, about=about).decode()
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote_plus(provider.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif provider.sealed_private_jwk is not None:
            key = self._sealer.unseal(provider.sealed_private_jwk, about=about)
            form |= {
                "client_id": provider.client_id,
                "client_assertion_type": _ASSERTION,
                "client_assertion": _assertion(provider, orjson.loads(key)),
            }
        answer = await self._outbound.fetch(
            "POST", metadata.token_endpoint, headers=headers, content=urlencode(form).encode()
        )
        if answer.status != 200:
            raise ProviderRefused(why=f"token: {answer.status}")
        return answer.json_object()

    async def _completed(
        self, provider: IdentityProvider, metadata: Metadata, claims: dict[str, Any], token: object
    ) -> dict[str, Any]:
        """The claims with those that the provider tells at its userinfo endpoint alone."""
        needed = {"email", "email_verified", provider.group_claim or "email"}
        if needed <= claims.keys() or metadata.userinfo_endpoint is None:
            return claims
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            return claims
        answer = await self._outbound.fetch(
            "GET", metadata.userinfo_endpoint, headers={"Authorization": f"Bearer {token}"}
        )
        if answer.status != 200:
            return claims
        told = answer.json_object()
        if told.get("sub") != claims["sub"]:
            return claims  # OpenID Connect Core 1.0, 5.3.2: of another nothing may be used
        names = ("email", "email_verified", "name", "preferred_username", provider.group_claim)
        taken = {name: told[name] for name in names if name in told}
        # One address is never proven by what was said of another.
        kept = {k: v for k, v in claims.items() if k != "email_verified" or "email" not in taken}
        return {**kept, **taken}

    def _redirect_uri(self, provider_id: str) -> str:
        return f"{self._issuer}/sign-in/callback/{provider_id}"


def _check_answer(answer: Mapping[str, str], metadata: Metadata) -> None:
    issuer = answer.get("iss")
    if issuer != metadata.issuer and (metadata.says_iss or issuer is not None):
        raise AnswerOfAnother
    if "error" in answer:
        # A word of a closed set, and none of whoever wrote the address.
        is_denied = answer["error"] == "access_denied"
        raise ProviderRefused(why="access_denied" if is_denied else "error")
    if not 0 < len(answer.get("code", "")) <= _LONGEST:
        raise ProviderRefused(why="code")


def _signed_in_at(claims: Mapping[str, Any], now: datetime) -> datetime:
    """When the provider says that somebody signed in there; as long ago as can be where it does not.

    An app that wants a sign-in of now must not be told of this morning's as one.
    """
    ago_s = now.timestamp() - claims.get("auth_time", 0)
    is_told = 0 <= ago_s <= LONGEST.total_seconds()
    return now - (timedelta(seconds=ago_s) if is_told else LONGEST)


def _assertion(provider: IdentityProvider, private_jwk: dict[str, Any]) -> str:
    key = ECKey.import_key(private_jwk)
    now = int(clock.now().timestamp())
    claims = {
        "iss": provider.client_id,
        "sub": provider.client_id,
        "aud": provider.issuer,
        "iat": now,
        "exp": now + _ASSERTION_LASTS_S,
        "jti": secrets.token_urlsafe(16),
    }
    return jwt.encode({"alg": "ES256", "kid": key.thumbprint()}, claims, key, algorithms=["ES256"])


async def forget_under_way(pool: "asyncpg.Pool[Any]") -> None:
    """Delete sign-ins that never came back."""
    await pool.execute(_FORGET, clock.now())


def _about(provider_id: str) -> str:
    return f"sign_in:{provider_id}"
