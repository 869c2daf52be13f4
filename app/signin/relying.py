"""Our side of a sign-in at an OpenID Connect provider: code, PKCE S256, state, nonce, iss.

Believes nothing that did not come from the provider, and keeps none of the tokens that it gets.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote_plus, urlencode

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from app.kit import clock
from app.kit.crypto import Sealer
from app.kit.errors import AppError, Kind
from app.kit.outbound import Outbound
from app.signin.discovery import Discovery, Metadata
from app.signin.id_tokens import Expected, verify

LONGEST_ANSWER: Final = 4_096  # of a code or a state
_ASSERTION_LASTS_S: Final = 60
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


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


class ProviderDisabled(AppError):
    """The provider's word is not taken at present."""

    kind = Kind.FORBIDDEN
    code = "provider_disabled"
    ja = (
        "認証プロバイダー {provider} によるサインインは停止されています。運営者に連絡してください。"
    )
    en = "Sign-in by the identity provider {provider} is switched off. Ask the operator."


class Registered(Protocol):
    """A provider as a registry has it, with what we prove ourselves to it by."""

    @property
    def issuer(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def sealed_secret(self) -> bytes | None: ...
    @property
    def sealed_private_jwk(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What only this sign-in knows; kept, sealed, until its answer comes."""

    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def as_asked(self) -> dict[str, str]:
        """How the provider is told of it."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return {
            "nonce": self.nonce,
            "code_challenge": urlsafe_b64encode(digest).decode(),
            "code_challenge_method": "S256",
        }


@dataclass(frozen=True, slots=True)
class Answered:
    """What a provider said of who signed in, verified."""

    claims: dict[str, Any]
    access_token: object = field(repr=False)
    metadata: Metadata


class RelyingParty:
    """Speaks with providers, whosever they are. One a process and kind of people."""

    def __init__(self, outbound: Outbound, sealer: Sealer, discovery: Discovery) -> None:
        self._outbound = outbound
        self._sealer = sealer
        self._discovery = discovery

    async def metadata(self, provider: Registered) -> Metadata:
        """What the provider publishes of itself."""
        return await self._discovery.metadata(provider.issuer)

    async def answered(
        self,
        provider: Registered,
        sent: Sent,
        answer: Mapping[str, str],
        *,
        redirect_uri: str,
        key_name: str,
        not_before_s: float | None,
    ) -> Answered:
        """The claims for which an answer stands, or the refusal.

        `key_name`: what our credential is sealed to. `not_before_s`: they signed in since then.
        """
        metadata = await self.metadata(provider)
        _check_answer(answer, metadata)
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": redirect_uri,
            "code_verifier": sent.verifier,
        }
        got = await self._redeem(provider, metadata, form, key_name)
        expected = Expected(provider.issuer, provider.client_id, sent.nonce, not_before_s)

        async def find_key(kid: str | None) -> Any:
            return await self._discovery.key(metadata, kid)

        claims = await verify(got.get("id_token"), expected, find_key)
        return Answered(claims, got.get("access_token"), metadata)

    async def _redeem(
        self, provider: Registered, metadata: Metadata, form: dict[str, str], key_name: str
    ) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        if provider.sealed_secret is not None:
            secret = self._sealer.unseal(provider.sealed_secret, about=key_name).decode()
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote_plus(provider.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif provider.sealed_private_jwk is not None:
            key = self._sealer.unseal(provider.sealed_private_jwk, about=key_name)
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


def address(metadata: Metadata, asked: Mapping[str, str]) -> str:
    """Where the browser is sent with what is asked."""
    mark = "&" if "?" in metadata.authorization_endpoint else "?"
    return metadata.authorization_endpoint + mark + urlencode(asked)


def _check_answer(answer: Mapping[str, str], metadata: Metadata) -> None:
    issuer = answer.get("iss")
    if issuer != metadata.issuer and (metadata.says_iss or issuer is not None):
        raise AnswerOfAnother
    if "error" in answer:
        # A word of a closed set, and none of whoever wrote the address.
        is_denied = answer["error"] == "access_denied"
        raise ProviderRefused(why="access_denied" if is_denied else "error")
    if not 0 < len(answer.get("code", "")) <= LONGEST_ANSWER:
        raise ProviderRefused(why="code")


def _assertion(provider: Registered, private_jwk: dict[str, Any]) -> str:
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
