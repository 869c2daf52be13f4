"""Tokens of another platform: got by our key or secret, bound to a key of this piece of work, and
proven with each request.

A key that signs never leaves, and a token goes to the platform that it is for and to nobody else.
"""

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode
from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from app.connectors.errors import SourceBroken, SourceDenied, SourceRefused, SourceSlow
from app.connectors.frame import Shape
from app.connectors.web import NoProof, Web, check_status, host_of, is_same_origin, told
from app.kit import clock
from app.kit.behalf import Reader, Speak, Speech
from app.kit.outbound import Answer, Bounds, Streamed

_ASSERTED: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHM: Final = "ES256"
_ASSERTION_S: Final = 50
_LIVES_S: Final = 300.0  # where the server does not say
_SPARE_S: Final = 30.0  # before its end a token is taken for spent
_BOUNDS: Final = Bounds(most_bytes=64 * 1024, seconds=10)
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
# What an exchange is refused by that concerns the reader, and not us.
_OF_READER: Final = frozenset(
    {"invalid_request", "invalid_scope", "invalid_authorization_details", "unauthorized_client"}
)
NO_READER: Final = "no_reader"
UNNAMED: Final = "forbidden"
_TO_READER: Final = (403, 404, 429)  # which may be said of whom it is for alone
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")
_ClientId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


def _is_key(key: SecretStr) -> SecretStr:
    if _read_key(key) is None:
        raise PydanticCustomError("no_private_key", "It is a private P-256 key as a JWK (JSON).")
    return key


def _read_key(key: SecretStr) -> ECKey | None:
    try:
        said = orjson.loads(key.get_secret_value())
        read = ECKey.import_key(said)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return read if read.is_private and read.curve_name == "P-256" else None


class ClientKey(Shape):
    """A client that proves itself by its key (RFC 7523), whose public half the platform knows."""

    type: Literal["private_key_jwt"]
    client_id: _ClientId
    key: Annotated[SecretStr, Field(min_length=1, max_length=2_000), AfterValidator(_is_key)]


class ClientSecret(Shape):
    """A client that has a secret (RFC 6749, 2.3.1): it reaches nothing above internal."""

    type: Literal["client_secret"]
    client_id: _ClientId
    client_secret: Annotated[SecretStr, Field(min_length=1, max_length=4_000)]


Client = Annotated[NoProof | ClientKey | ClientSecret, Field(discriminator="type")]


@dataclass(frozen=True, slots=True)
class Right:
    """What a token is asked for: one dataset, under an agreement where one has to be named, and for
    one reader of ours where it is the reader who is to have it."""

    scope: str
    agreement: str | None = None
    reader: Reader | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    scheme: str
    ends_at: float


@dataclass(slots=True)
class PlatformWeb(Web):
    """The Web of another platform, as far as one right leads; without one, as anybody's.

    Each request goes with a proof of its own (RFC 9449, 7.1).
    """

    client: Client = field(default_factory=NoProof, repr=False)
    issuer: str = ""
    right: Right | None = None
    speak: Speak | None = None
    _given: _Token | None = field(default=None, repr=False)
    _endpoint: str | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    # The bond is of this piece of work: what proves our client is not shown where data are.
    _bond: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"), repr=False)

    @property
    def is_plain(self) -> bool:
        """The other platform says in its own code what it refuses a reader."""
        return self.right is None or self.right.reader is None

    async def check_issuer(self) -> None:
        """That the authorization server tells of itself, where we need one. Raises `SourceError`."""
        if not isinstance(self.client, NoProof):
            await self._token_endpoint()

    def forget(self) -> bool:
        """Let go of the token. False where there was none: another would be no better."""
        had, self._given = self._given is not None, None
        return had

    async def _proven(self, url: str) -> dict[str, str]:
        if self.right is None or isinstance(self.client, NoProof):
            return {}
        token = await self._token_for(self.right)
        if token.scheme == "Bearer":
            return {"Authorization": f"Bearer {token.text}"}
        ath = urlsafe_b64encode(hashlib.sha256(token.text.encode()).digest()).decode()
        proof = self._proof("GET", url, ath=ath)
        return {"Authorization": f"DPoP {token.text}", "DPoP": proof}

    async def _token_for(self, right: Right) -> _Token:
        async with self._asking:  # many that ask at once need one
            now = clock.now().timestamp()
            if self._given is None or self._given.ends_at - _SPARE_S < now:
                self._given = _read(await self._asked(right), now)
            return self._given

    async def _asked(self, right: Right) -> Answer:
        url = await self._token_endpoint()
        form = {"grant_type": "client_credentials", "scope": right.scope}
        if right.reader is not None:
            form |= {"grant_type": _EXCHANGE, "subject_token_type": _JWT}
            form["subject_token"] = await self._spoken(right.scope, right.reader)
        if right.agreement is not None:
            detail = {"type": "dataset-agreement", "agreement": right.agreement}
            form["authorization_details"] = orjson.dumps([{**detail, "actions": ["read"]}]).decode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "DPoP": self._proof("POST", url),
        }
        match self.client:
            case ClientKey():
                form |= {"client_assertion_type": _ASSERTED, "client_assertion": self._assertion()}
            case ClientSecret(client_id=name, client_secret=secret):
                pair = f"{quote_plus(name)}:{quote_plus(secret.get_secret_value())}".encode()
                headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        with told():
            answer = await self.outbound.fetch(
                "POST",
                url,
                headers=headers,
                content=urlencode(form).encode(),
                bounds=_BOUNDS,
                way=self.way,
            )
        if answer.status == 400:  # RFC 6749, 5.2: what was asked for is not to be had
            error = _error(answer)
            if right.reader is not None and error in _OF_READER:
                raise SourceDenied(source=answer.host, reason=str(error))
            is_client = error in ("invalid_client", "invalid_dpop_proof")
            at = "credentials" if is_client else "permission"
            raise SourceRefused(source=answer.host, at=at)
        check_status(answer.host, answer.status, answer.headers)
        return answer

    async def _spoken(self, scope: str, reader: Reader) -> str:
        """What we say of the reader. Nobody is spoken for whom the other could not know."""
        host = host_of(self.issuer)
        if not isinstance(self.client, ClientKey) or self.speak is None:
            raise SourceRefused(source=host, at="credentials")
        if reader.client is None:
            raise SourceDenied(source=host, reason=NO_READER)
        return await self.speak(Speech(reader, self.issuer, self.client.client_id, scope))

    @asynccontextmanager
    async def get(self, url: str, **more: Any) -> AsyncIterator[Streamed]:
        """The same; a refusal of whom it is for is told by the other platform's own code."""
        takes = (*more.pop("takes", (200,)), *(() if self.is_plain else _TO_READER))
        async with Web.get(self, url, takes=takes, **more) as answer:
            if not self.is_plain and answer.status in _TO_READER:
                await _check_reader(answer)
            yield answer

    async def _token_endpoint(self) -> str:
        """Where tokens are asked for, by the server's own word (RFC 8414), and within its origin."""
        if self._endpoint is not None:
            return self._endpoint
        parts = urlsplit(self.issuer)
        path = f"/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
        with told():
            url = urlunsplit(parts._replace(path=path, query="", fragment=""))
            answer = await self.outbound.fetch("GET", url, bounds=_BOUNDS, way=self.way)
            check_status(answer.host, answer.status, answer.headers)
            said = answer.json_object()
        found = said.get("token_endpoint")
        if said.get("issuer") != self.issuer or not isinstance(found, str):  # 3.3: mixed up
            raise SourceBroken(source=answer.host, at="format", detail="OAuth")
        if not is_same_origin(found, self.issuer):
            raise SourceBroken(source=answer.host, at="redirect")
        self._endpoint = found
        return found

    def _assertion(self) -> str:
        """RFC 7523, 3; its audience is the issuer alone."""
        if not isinstance(self.client, ClientKey) or (key := _read_key(self.client.key)) is None:
            raise SourceRefused(source=host_of(self.issuer), at="credentials")
        now, name = int(clock.now().timestamp()), self.client.client_id
        said = {
            "iss": name, "sub": name, "aud": self.issuer, "iat": now, "exp": now + _ASSERTION_S,
            "jti": secrets.token_urlsafe(16),
        }  # fmt: skip
        return _signed({"alg": _ALGORITHM, "kid": key.thumbprint()}, said, key)

    def _proof(self, method: str, url: str, **more: str) -> str:
        """RFC 9449, 4.2."""
        parts = urlsplit(url)
        said = {
            "htm": method, "htu": urlunsplit(parts._replace(query="", fragment="")),
            "iat": int(clock.now().timestamp()), "jti": secrets.token_urlsafe(16), **more,
        }  # fmt: skip
        head = {"typ": "dpop+jwt", "alg": _ALGORITHM, "jwk": self._bond.as_dict(private=False)}
        return _signed(head, said, self._bond)


def _signed(head: dict[str, Any], said: Mapping[str, Any], key: ECKey) -> str:
    return jws.serialize_compact(head, orjson.dumps(said), key, [_ALGORITHM])


async def _check_reader(answer: Streamed) -> None:
    """Raises what a no to one reader is: it says nothing of the source, nor of any other reader."""
    code = await _code_of(answer)
    # What a reader may not know of is not there for them; where nobody names it, it may be a proxy's.
    if answer.status == 403 or (answer.status == 404 and code is not None):
        raise SourceDenied(source=answer.host, reason=code or UNNAMED)
    try:
        check_status(answer.host, answer.status, answer.headers)
    except SourceSlow as slow:
        after = slow.after_seconds
        raise SourceSlow(source=answer.host, at="reader_pace", after_seconds=after) from slow


async def _code_of(answer: Streamed) -> str | None:
    """The code of a problem (RFC 9457), where it is one of ours; nothing else of it is told on."""
    body = bytearray()
    async for piece in answer.pieces:
        body += piece
        if len(body) > _BOUNDS.most_bytes:
            break
    try:
        code = orjson.loads(bytes(body))["code"]
    except (ValueError, TypeError, KeyError):
        return None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _error(answer: Answer) -> object:
    with told():
        return answer.json_object().get("error")


def _read(answer: Answer, now: float) -> _Token:
    with told():
        said = answer.json_object()
    token, scheme, lives = said.get("access_token"), said.get("token_type"), said.get("expires_in")
    is_text = isinstance(token, str) and token.isascii() and token.isprintable()
    name = {"dpop": "DPoP", "bearer": "Bearer"}.get(str(scheme).lower())
    if not is_text or name is None:
        raise SourceBroken(source=answer.host, at="format", detail="OAuth")
    lives = float(lives) if isinstance(lives, int | float) else _LIVES_S
    return _Token(str(token), name, now + lives)
