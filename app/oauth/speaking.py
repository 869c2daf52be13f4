"""Another platform speaks for its reader (RFC 8693): what it says, and what a client gets for it.

Two must agree, and the operator has named both: the client of this platform through which the other
asks proves itself, and the other platform signs who reads there. For each reader that is named they
get a token of the client that the reader has here: its rights decide, its name stands in the log,
and never more than a single dataset is read with it. Whom nobody has named is nobody here.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import orjson
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.kit import clock
from app.kit.behalf import Speech
from app.kit.db import Database
from app.kit.errors import AppError
from app.models.parties import AuthMethod
from app.oauth import scopes
from app.oauth.authority import Authority
from app.oauth.details import read_details
from app.oauth.grants import Bond, Granted, Reach, judge, nothing_granted, token_for
from app.oauth.keys import ALGORITHM, KeyRing
from app.oauth.refusals import (
    ExchangeNotAllowed,
    InvalidProof,
    InvalidScope,
    SubjectRefused,
    SubjectUnproven,
)
from app.oauth.spoken import Spoken
from app.oauth.tokens import (
    LIFETIME_PERSONAL_S,
    SKEW_S,
    InvalidToken,
    is_time,
    issue,
)
from app.oauth.used import UsedOnce
from app.policy.facts import Action, Caller, ClientFacts

ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
TYPE: Final = "urbanos-reader+jwt"
LIVES_S: Final = 60
_LONGEST_CHARS: Final = 4096
_HEADER: Final = frozenset({"alg", "typ", "kid"})
_TEXTS: Final = ("iss", "sub", "org", "scope", "jti")

# The key by which an issuer signs under a name, as the issuer publishes it.
KeyOf: TypeAlias = Callable[[str, str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Word:
    """What another platform says, right in itself. Its signature is not yet checked."""

    issuer: str
    reader: str
    scope: str
    jti: str
    kid: str
    expires_at: datetime
    told: Mapping[str, str]  # more of it for the log
    parsed: jws.CompactSignature


class Speaking:
    """Judges what other platforms say, and grants what follows from it. One a process."""

    def __init__(
        self, database: Database, ring: KeyRing, authority: Authority, key_of: KeyOf, *, issuer: str
    ) -> None:
        self._database = database
        self._ring = ring
        self._authority = authority
        self._key_of = key_of
        self._issuer = issuer
        self._used = UsedOnce(database)

    async def say(self, speech: Speech) -> str:
        """What this platform says of one of its readers, signed."""
        now, reader, keys = int(clock.now().timestamp()), speech.reader, await self._ring.get()
        claims: dict[str, Any] = {
            "iss": self._issuer, "aud": speech.audience, "sub": reader.client,
            "org": reader.organization, "act": {"sub": speech.actor}, "scope": speech.scope,
            "iat": now, "exp": now + LIVES_S, "jti": secrets.token_urlsafe(16),
            "pur": reader.purpose, "agr": reader.agreement,
        }  # fmt: skip
        said = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": keys.current_kid}
        return jwt.encode(header, said, keys.current, algorithms=[ALGORITHM])

    async def grant(
        self, client: ClientFacts, form: Mapping[str, str], reach: Reach, bond: Bond
    ) -> Granted:
        """A token of the reader's client here, bound to the key of who asks, or the refusal."""
        if client.auth_method == AuthMethod.CLIENT_SECRET_BASIC or not client.speaks_for:
            raise ExchangeNotAllowed("speaks_for", client=client.client_id, zone=client.zone)
        if bond.jkt is None:
            raise InvalidProof(
                "proof_count",
                mend_ja="DPoP ヘッダを一つだけ送ってください。",
                mend_en="send one DPoP header.",
            )
        word = read_word(form.get("subject_token") or "", self._issuer, client.client_id)
        if form.get("scope") != word.scope:
            raise InvalidScope(
                "not_of_subject",
                mend_ja="scope は subject_token の scope と同じにしてください。",
                mend_en="ask for the scope of the subject_token.",
            )
        asker = await self._asker(client, word)
        asked = form.get("authorization_details")
        details = read_details(asked) if asked is not None else None
        judged = await judge(Caller(asker, frozenset(), bound=True), (word.scope,), reach, details)
        if not judged.scope:
            raise nothing_granted(details)
        grant = await token_for(self._database, asker, judged, bond, details)
        lives_s = min(grant.lifetime_s, LIFETIME_PERSONAL_S)
        said = Spoken(client.client_id, word.issuer, word.reader)
        token = issue(
            await self._ring.get(), self._issuer, replace(grant, lifetime_s=lives_s, spoken=said)
        )
        told = {
            "reader": asker.client_id,
            "platform": word.issuer,
            "subject": word.jti,
            **word.told,
        }
        return Granted(
            token, judged.scope, bond, details, organization_id=asker.organization_id,
            issued_token_type=ACCESS_TOKEN,
            told=told,
        )  # fmt: skip

    async def _asker(self, client: ClientFacts, word: Word) -> ClientFacts:
        """The reader's client here, once all is proven. Nothing is fetched for who is unknown."""
        if not any(issuer == word.issuer for issuer, _, _ in client.speaks_for):
            raise SubjectRefused("subject_issuer")
        try:
            key = await self._key_of(word.issuer, word.kid)
        except AppError as exc:
            raise SubjectUnproven("subject_keys") from exc
        if not isinstance(key, ECKey) or not _is_signed(word, key):
            raise SubjectRefused("subject_signature")
        if not await self._used.use(word.issuer, word.jti, word.expires_at):
            raise SubjectRefused("subject_replayed")
        named = {(issuer, reader): ours for issuer, reader, ours in client.speaks_for}
        ours = named.get((word.issuer, word.reader))
        if ours is None:
            raise SubjectRefused("subject_unknown")
        try:
            return await self._authority.spoken_for(
                ours, Spoken(client.client_id, word.issuer, word.reader)
            )
        except InvalidToken as exc:
            raise SubjectRefused(f"subject_{exc.named['why']}") from exc


def read_word(text: str, issuer: str, actor: str) -> Word:
    """Read and judge what a platform says, to `issuer` and through `actor`. Raises `SubjectRefused`."""
    _require(0 < len(text) <= _LONGEST_CHARS, "too_long")
    try:
        parsed = jws.extract_compact(text.encode("ascii"))
        claims = orjson.loads(parsed.payload)
    except (JoseError, ValueError) as exc:
        raise SubjectRefused("subject_malformed") from exc
    header = parsed.headers()
    # RFC 8725, 3.10, 3.11: of this type alone, and no key that it brings along is looked at.
    _require(header.keys() == _HEADER and header.get("typ") == TYPE, "typ")
    _require(header.get("alg") == ALGORITHM and isinstance(header.get("kid"), str), "alg")
    _require(isinstance(claims, dict), "claims")
    texts = {name: claims.get(name) for name in _TEXTS}
    _require(
        all(isinstance(each, str) and 0 < len(each) <= 300 for each in texts.values()), "claims"
    )
    _require(claims.get("aud") == issuer, "aud")  # one string, never a list
    _require(claims.get("act") == {"sub": actor}, "act")
    exp, iat = claims.get("exp"), claims.get("iat")
    _require(is_time(exp) and is_time(iat), "exp")
    now = clock.now().timestamp()
    _require(now < exp and iat <= now + SKEW_S and 0 < exp - iat <= LIVES_S, "exp")
    named = scopes.dataset_of(texts["scope"])
    _require(named is not None and named[1] is Action.READ, "scope")
    more = {"there_" + name: claims[name] for name in ("org", "pur", "agr") if name in claims}
    _require(all(isinstance(each, str) and len(each) <= 300 for each in more.values()), "claims")
    return Word(
        texts["iss"], texts["sub"], texts["scope"], texts["jti"], header["kid"],
        datetime.fromtimestamp(exp, UTC) + timedelta(seconds=2 * SKEW_S), more, parsed,
    )  # fmt: skip


def _is_signed(word: Word, key: ECKey) -> bool:
    try:
        return jws.validate_compact(word.parsed, key, [ALGORITHM])
    except JoseError:
        return False


def _require(holds: bool, why: str) -> None:
    if not holds:
        raise SubjectRefused(f"subject_{why}")
