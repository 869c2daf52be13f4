"""Who asks for a token: one client, by one method. Unknown and wrong get the identical answer."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

import orjson
from joserfc.jwk import ECKey

from app.kit import clock
from app.kit.certificates import Certificate, is_of
from app.kit.db import Database
from app.kit.errors import AppError, Kind
from app.kit.live import Live
from app.kit.secret_hash import NOBODY, is_secret_of
from app.oauth.assertions import TYPE, Assertion, read_assertion
from app.oauth.refusals import InvalidClient, InvalidRequest
from app.oauth.used import UsedOnce

_LOAD = (
    "SELECT auth_method, jwks, secret_hash, tls_subject FROM client"
    " WHERE id = $1 AND revoked_at IS NULL"
)
_REMEMBER_S: Final = 60
_MOST_REMEMBERED: Final = 1_000
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 random bits, as the registry makes them
_NOBODYS_KEY: Final = ECKey.generate_key("P-256", private=False)


class CredentialUnknown(AppError):
    """No client in force has this id. Never shown: the answer is that of a wrong secret."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_client"
    ja = en = "invalid_client"


@dataclass(frozen=True, slots=True)
class Credential:
    """What the registry holds to check one client by."""

    method: str
    keys: Mapping[str, ECKey]
    secret_hash: str | None
    tls_subject: str | None = None


class ClientAuthentication:
    """Checks `private_key_jwt`, `client_secret_basic` and `tls_client_auth`. One a process."""

    def __init__(self, database: Database, live: Live, issuer: str) -> None:
        self._database = database
        self._issuer = issuer
        self._credentials = live.cache(self._load, kinds=("client", "all"))
        self._pepper = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._used = UsedOnce(database)

    async def authenticate(
        self,
        form: Mapping[str, str],
        authorization: str | None,
        certificate: Certificate | None = None,
    ) -> str:
        """The id of the client that proved itself by exactly one method, or `OAuthRefused`.

        A certificate is a method of its own only where nothing else is shown: beside a key or a
        secret it is what the token is bound to (RFC 8705, 4).
        """
        if "client_secret" in form:
            raise _one_method("client_secret_post")
        asserted = "client_assertion" in form or "client_assertion_type" in form
        if asserted and authorization is not None:
            raise _one_method("two_methods")
        if asserted:
            return await self._by_assertion(form)
        if authorization is not None:
            return await self._by_secret(form, authorization)
        if certificate is None or "client_id" not in form:
            raise InvalidClient("no_authentication", client=None)
        return await self._by_certificate(form["client_id"], certificate)

    async def _by_assertion(self, form: Mapping[str, str]) -> str:
        if form.get("client_assertion_type") != TYPE or "client_assertion" not in form:
            raise InvalidRequest(
                "assertion_type",
                mend_ja=f"client_assertion_type は {TYPE} です。",
                mend_en=f"client_assertion_type must be {TYPE}.",
            )
        assertion = read_assertion(form["client_assertion"], self._issuer)
        client_id = assertion.client_id
        if form.get("client_id", client_id) != client_id:
            raise InvalidClient("client_id_mismatch", client=None)
        credential = await self._find(client_id)
        key = credential.keys.get(assertion.kid) if credential else None
        # Somebody's key is always tried, so that time tells nothing of who is registered.
        signed = assertion.is_signed_by(key or _NOBODYS_KEY)
        if credential is None or credential.method != "private_key_jwt" or not (key and signed):
            raise InvalidClient("assertion_not_by_client", client=None)
        await self._use_once(assertion)
        return client_id

    async def _use_once(self, assertion: Assertion) -> None:
        """Burn the `jti`: of any number of uses, on any replica, one gets through."""
        if not await self._used.use(assertion.client_id, assertion.jti, assertion.expires_at):
            raise InvalidClient("assertion_replayed", client=assertion.client_id)

    async def _by_certificate(self, client_id: str, certificate: Certificate) -> str:
        """Who asked the authorities that the listener trusts is named by it (RFC 8705, 2.1)."""
        credential = await self._find(client_id)
        subject = credential.tls_subject if credential else None
        if subject is None or not is_of(certificate, subject, clock.now()):
            raise InvalidClient("certificate_not_of_client", client=None)
        return client_id

    async def _by_secret(self, form: Mapping[str, str], authorization: str) -> str:
        client_id, secret = _read_basic(authorization)
        if form.get("client_id", client_id) != client_id:
            raise InvalidClient("client_id_mismatch", client=None)
        credential = await self._find(client_id)
        known = credential is not None and credential.method == "client_secret_basic"
        hashed = (credential.secret_hash if credential and known else None) or NOBODY
        if not _SECRET.fullmatch(secret) or not await self._is_secret(hashed, secret) or not known:
            raise InvalidClient("wrong_secret", client=None)
        return client_id

    async def _is_secret(self, hashed: str, secret: str) -> bool:
        """argon2 once a minute; in between a keyed hash that dies with the process."""
        mark = hmac.digest(self._pepper, f"{hashed}\0{secret}".encode(), hashlib.sha256)
        if self._remembered.get(mark, 0.0) > time.monotonic():
            return True
        if not await is_secret_of(hashed, secret):
            return False
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[mark] = time.monotonic() + _REMEMBER_S
        return True

    async def _find(self, client_id: str) -> Credential | None:
        if "\0" in client_id:
            return None
        try:
            return await self._credentials.get(client_id)
        except CredentialUnknown:
            return None

    async def _load(self, client_id: str) -> Credential:
        row = await self._database.pool.fetchrow(_LOAD, client_id)
        if row is None:
            raise CredentialUnknown
        jwks: dict[str, Any] = orjson.loads(row["jwks"]) if row["jwks"] else {"keys": []}
        keys = {jwk["kid"]: ECKey.import_key(jwk) for jwk in jwks["keys"]}
        return Credential(row["auth_method"], keys, row["secret_hash"], row["tls_subject"])


def _one_method(why: str) -> InvalidRequest:
    return InvalidRequest(
        why,
        mend_ja="認証方式は private_key_jwt・client_secret_basic・tls_client_auth の一つだけに"
        "してください。",
        mend_en="authenticate by one method: private_key_jwt, client_secret_basic or"
        " tls_client_auth.",
    )


def _read_basic(authorization: str) -> tuple[str, str]:
    """Client id and secret of an HTTP Basic header (RFC 6749, 2.3.1: each form-encoded)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("not_basic", client=None)
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise InvalidClient("not_basic", client=None) from exc
    client_id, colon, secret = text.partition(":")
    if not colon or not client_id:
        raise InvalidClient("not_basic", client=None)
    return unquote_plus(client_id), unquote_plus(secret)
