"""Access tokens (RFC 9068): made and checked here. A token alone never decides anything."""

import math
import secrets
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson
from joserfc import jws, jwt
from joserfc.errors import JoseError

from app.kit import clock
from app.kit.errors import AppError, Kind
from app.kit.live import LiveCache
from app.oauth import spoken
from app.oauth.keys import ALGORITHM, KeyRing, Keys
from app.oauth.scopes import is_citizens_alone, is_of_citizen
from app.oauth.spoken import Spoken
from app.policy.assurance import BY_ACR, Level

TYPE: Final = "at+jwt"
LIFETIME_S: Final = 900
LIFETIME_RESTRICTED_S: Final = 300
LIFETIME_PERSONAL_S: Final = 60
SKEW_S: Final = 30  # between our own clocks; never granted on exp
_LONGEST_CHARS: Final = 8192
_MOST_REMEMBERED: Final = 10_000
_THUMBPRINT_CHARS: Final = 43  # SHA-256 (RFC 7638; RFC 8705, 3.1)
_X5T: Final = "x5t#S256"
_HEADER: Final = frozenset({"alg", "typ", "kid"})
_IS_REVOKED: Final = "SELECT EXISTS (SELECT FROM revoked_token WHERE jti = $1)"
_TEXTS: Final = ("sub", "client_id", "jti", "scope", "org", "zone")
_BOUND_TO: Final = frozenset({"agr", "pur"})
# What says that a person signed in (RFC 9068, 2.2.1; OpenID Connect Core, 2).
_OF_PERSON: Final = frozenset({"acr", "auth_time"})
_EXCHANGED: Final = frozenset({"act", "via"})
ONE_FACTOR: Final = "urn:urbanos:acr:1"
TWO_FACTORS: Final = "urn:urbanos:acr:2"
MOST_EXCHANGES: Final = 3  # one after the other: longer chains nobody can follow


class InvalidToken(AppError):
    """The access token is not one of ours, not meant for us, or no longer valid."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_token"
    ja = "アクセストークンが無効です（{why}）。/oauth/token で取得し直してください。"
    en = "The access token is not valid ({why}). Get a new one at /oauth/token."


class UnknownKey(InvalidToken):
    """No published key has the token's `kid`; it was made up, or is very new."""


@dataclass(frozen=True, slots=True)
class PersonGrant:
    """For whom a token acts, and how they proved who they are."""

    person_id: str
    acr: str  # ONE_FACTOR or TWO_FACTORS
    auth_time: int  # seconds since 1970: when the highest of the factors was proven
    # The tokens that this one was exchanged from (RFC 8693), the person's own app's first: whose
    # each was, and its `jti`. With any of them this one ends.
    via: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CitizenGrant:
    """For which citizen a token speaks, and how surely they signed in."""

    subject: str  # what the client's organisation calls them, and no other does
    level: Level
    # Only for an app that asked for it (OpenID Connect Core, 2): the same second in the tokens of
    # two apps would say that both are of one sign-in.
    auth_time: int | None = None


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a token is to say."""

    client_id: str
    organization_id: str
    zone: str
    scope: tuple[str, ...]
    epoch: int
    lifetime_s: int
    jkt: str | None = None  # the thumbprint of the sender's key (RFC 9449, 6.1)
    agreement_id: str | None = None
    purpose: str | None = None  # the agreement's
    person: PersonGrant | None = None
    citizen: CitizenGrant | None = None
    ends_by: float | None = None  # it lives no longer than this, however long it might
    x5t: str | None = None  # the thumbprint of the sender's certificate (RFC 8705, 3.1)
    spoken: Spoken | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A signed token; `jti` is its name in the log."""

    token: str
    jti: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What a checked token says. The registry is asked for everything else."""

    client_id: str
    organization_id: str
    scope: frozenset[str]
    jti: str
    kid: str
    exp: float
    jkt: str | None = None
    agreement_id: str | None = None
    purpose: str | None = None
    person: PersonGrant | None = None
    x5t: str | None = None
    citizen: CitizenGrant | None = None  # then the client has no authority of its own by it
    spoken: Spoken | None = None


def act_of(client_id: str, via: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Who acts, and through whom (RFC 8693, 4.1). The person's own app is the subject's side."""
    act: dict[str, Any] = {}
    for actor in (*(giver for giver, _ in via[1:]), client_id):
        act = {"sub": actor, "act": act} if act else {"sub": actor}
    return act


def issue(keys: Keys, issuer: str, grant: TokenGrant) -> IssuedToken:
    """Sign a token with the current key (RFC 9068, 2). Its `aud` is the platform itself."""
    now = int(clock.now().timestamp())
    expires_at = now + grant.lifetime_s
    if grant.ends_by is not None:
        expires_at = min(expires_at, int(grant.ends_by))
    jti = secrets.token_urlsafe(16)
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": grant.client_id,
        "client_id": grant.client_id,
        "aud": issuer,
        "iat": now,
        "exp": expires_at,
        "jti": jti,
        "scope": " ".join(grant.scope),
        "org": grant.organization_id,
        "zone": grant.zone,
        "ep": grant.epoch,
    }
    if grant.jkt is not None:
        claims["cnf"] = {"jkt": grant.jkt}
    elif grant.x5t is not None:
        claims["cnf"] = {_X5T: grant.x5t}
    if grant.agreement_id is not None:
        claims |= {"agr": grant.agreement_id, "pur": grant.purpose}
    if grant.person is not None:
        claims |= {
            "sub": grant.person.person_id,
            "acr": grant.person.acr,
            "auth_time": grant.person.auth_time,
        }
        if grant.person.via:
            claims["act"] = act_of(grant.client_id, grant.person.via)
            claims["via"] = [list(step) for step in grant.person.via]
    if grant.citizen is not None:
        claims |= said_of(grant.citizen)
    claims |= spoken.said(grant.spoken)
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": keys.current_kid}
    token = jwt.encode(header, claims, keys.current, algorithms=[ALGORITHM])
    return IssuedToken(token, jti, expires_at - now)


def said_of(citizen: CitizenGrant) -> dict[str, Any]:
    """What a token says of a citizen: nothing that another organisation's would say as well."""
    told = {} if citizen.auth_time is None else {"auth_time": citizen.auth_time}
    return {"sub": citizen.subject, "acr": citizen.level.acr, **told}


class TokenVerifier:
    """Checks tokens and remembers what it has checked until they expire. One a process."""

    def __init__(self, issuer: str, zone: str, ring: KeyRing, is_revoked: LiveCache[bool]) -> None:
        self._issuer = issuer
        self._zone = zone
        self._ring = ring
        self._is_revoked = is_revoked
        self._remembered: dict[str, Verified] = {}

    def remembered(self, token: str) -> Verified | None:
        """A token checked before, still valid and of a key still published; no await, no crypto.

        Whether it was revoked is forgotten when the database says so, or may have said so unheard:
        then it is not known here, and `verify` asks.
        """
        known = self._remembered.get(token)
        if known is None or known.exp <= clock.now().timestamp():
            return None
        if self._is_revoked.held(known.jti) is not False:
            return None
        if known.person is not None and not self._is_rooted(known.person):
            return None
        keys = self._ring.held()
        return known if keys is not None and known.kid in keys.public else None

    def _is_rooted(self, person: PersonGrant) -> bool:
        """Whether none of the tokens that it was exchanged from is revoked, as far as is known."""
        return all(self._is_revoked.held(jti) is False for _, jti in person.via)

    async def verify(self, token: str, *, of_citizens: bool = False) -> Verified:
        """What the token says, or `InvalidToken` (RFC 9068, 4).

        A citizen's is refused unless asked for: whoever forgets that there are such lets none in.
        """
        verified = self.remembered(token) or await self._verify(token)
        if verified.citizen is not None and not of_citizens:
            raise InvalidToken(why="citizen", holder=verified.client_id)
        return verified

    async def _verify(self, token: str) -> Verified:
        self._remembered.pop(token, None)
        verified = await self._check_with_keys(token)
        # By now its signature is right: a forged token costs the database nothing.
        if await self._is_revoked.get(verified.jti):
            raise InvalidToken(why="revoked", holder=verified.client_id)
        for _, jti in verified.person.via if verified.person is not None else ():
            if await self._is_revoked.get(jti):
                raise InvalidToken(why="revoked", holder=verified.client_id)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[token] = verified
        return verified

    async def _check_with_keys(self, token: str) -> Verified:
        keys = await self._ring.get()
        try:
            return self._check(token, keys, clock.now().timestamp())
        except UnknownKey:
            # Another replica may sign by a key that this one has not yet heard of.
            newest = await self._ring.read_again()
            if newest is keys:
                raise
            return self._check(token, newest, clock.now().timestamp())

    def _check(self, token: str, keys: Keys, now: float) -> Verified:
        if len(token) > _LONGEST_CHARS:
            raise InvalidToken(why="too_long")
        kid, claims = _open(token, keys)
        _require(claims.get("iss") == self._issuer, "iss")
        _require(claims.get("aud") == self._issuer, "aud")  # one string, never a list
        _check_times(claims, now)
        _require(
            all(isinstance(claims.get(name), str) and claims[name] for name in _TEXTS), "claims"
        )
        citizen = _citizen_of(claims)
        person = _person_of(claims) if citizen is None else None
        is_own = person is None and citizen is None
        _require((claims["sub"] == claims["client_id"]) == is_own, "sub")
        _require(claims["zone"] == self._zone, "zone", claims["client_id"])
        _require(type(claims.get("ep")) is int, "ep")
        cnf = _bound_to(claims)
        said = spoken.read(claims) if is_own else None
        _require((said is None) == (spoken.CLAIM not in claims), spoken.CLAIM)
        _require(bool(cnf) or (is_own and said is None), "cnf")  # nobody's right travels unbound
        bound_to = claims.keys() & _BOUND_TO
        _require(not bound_to or bound_to == _BOUND_TO, "agr")
        _require(all(isinstance(claims[name], str) and claims[name] for name in bound_to), "agr")
        return Verified(
            client_id=claims["client_id"],
            organization_id=claims["org"],
            scope=frozenset(claims["scope"].split(" ")),
            jti=claims["jti"],
            kid=kid,
            exp=claims["exp"],
            jkt=cnf.get("jkt"),
            x5t=cnf.get(_X5T),
            agreement_id=claims.get("agr"),
            purpose=claims.get("pur"),
            person=person,
            citizen=citizen,
            spoken=said,
        )


def _open(token: str, keys: Keys) -> tuple[str, dict[str, Any]]:
    """The key id and the claims of a token whose header and signature are right."""
    try:
        parsed = jws.extract_compact(token.encode("ascii"))
    except (JoseError, ValueError) as exc:
        raise InvalidToken(why="malformed") from exc
    header = parsed.headers()
    _require(header.get("typ") == TYPE, "typ")
    _require(header.get("alg") == ALGORITHM, "alg")
    # RFC 8725, 3.10: a key that a token brings along (jwk, jku, x5c) is never looked at.
    _require(header.keys() == _HEADER, "header")
    kid = header["kid"]
    key = keys.public.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise UnknownKey(why="kid")
    try:
        good = jws.validate_compact(parsed, key, [ALGORITHM])
        claims = orjson.loads(parsed.payload)
    except (JoseError, ValueError) as exc:
        raise InvalidToken(why="signature") from exc
    _require(good, "signature")
    _require(isinstance(claims, dict), "claims")
    return kid, claims


def _bound_to(claims: dict[str, Any]) -> dict[str, str]:
    """The one thumbprint, of a key or of a certificate, by its name; empty for a bearer token.

    A bond that we cannot check is a refusal, never a bearer token.
    """
    if "cnf" not in claims:
        return {}
    confirmed = claims["cnf"]
    _require(isinstance(confirmed, dict) and len(confirmed) == 1, "cnf")
    (how, thumbprint), *_ = confirmed.items()
    _require(how in ("jkt", _X5T), "cnf")
    _require(isinstance(thumbprint, str) and len(thumbprint) == _THUMBPRINT_CHARS, "cnf")
    return {how: thumbprint}


def _citizen_of(claims: dict[str, Any]) -> CitizenGrant | None:
    """The citizen that the token speaks for; what mixes them with an official is a refusal."""
    level = BY_ACR.get(str(claims.get("acr")))
    scope = claims["scope"].split(" ")
    if level is None:
        _require(not is_of_citizen(scope), "scope")
        return None
    _require(is_of_citizen(scope) and is_citizens_alone(scope), "scope")
    _require(claims.keys().isdisjoint(_EXCHANGED | _BOUND_TO | {spoken.CLAIM}), "act")
    auth_time = claims.get("auth_time")
    _require(auth_time is None or type(auth_time) is int, "auth_time")
    return CitizenGrant(claims["sub"], level, auth_time)


def _person_of(claims: dict[str, Any]) -> PersonGrant | None:
    """The person that the token acts for; half of what says so is a refusal."""
    said = claims.keys() & _OF_PERSON
    if not said:
        exchanged = claims.keys() & _EXCHANGED
        _require(exchanged == ({"act"} if spoken.CLAIM in claims else set()), "act")
        return None
    _require(said == _OF_PERSON and spoken.CLAIM not in claims, "acr")
    _require(claims["acr"] in (ONE_FACTOR, TWO_FACTORS), "acr")
    _require(type(claims["auth_time"]) is int, "auth_time")
    return PersonGrant(claims["sub"], claims["acr"], claims["auth_time"], _via_of(claims))


def _via_of(claims: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The tokens that it was exchanged from, none for most; `act` must say the same."""
    if claims.keys().isdisjoint(_EXCHANGED):
        return ()
    via: Any = claims.get("via")
    _require(isinstance(via, list) and 1 <= len(via) <= MOST_EXCHANGES, "via")
    for step in via:
        _require(isinstance(step, list) and len(step) == 2, "via")
        _require(all(isinstance(each, str) and each for each in step), "via")
    found = tuple((giver, jti) for giver, jti in via)
    _require(claims.get("act") == act_of(claims["client_id"], found), "act")
    return found


def claims_of(token: str) -> dict[str, Any]:
    """What a token says. Only for one that `verify` has let through."""
    claims: dict[str, Any] = orjson.loads(jws.extract_compact(token.encode("ascii")).payload)
    return claims


async def load_is_revoked(pool: "asyncpg.Pool[Any]", jti: str) -> bool:
    """Whether the token with this `jti` was ended before its time."""
    revoked: bool = await pool.fetchval(_IS_REVOKED, jti)
    return revoked


def _check_times(claims: dict[str, Any], now: float) -> None:
    _require(is_time(claims.get("exp")), "exp")
    _require(claims["exp"] > now, "expired")
    _require(is_time(claims.get("iat")), "iat")
    _require(claims["iat"] <= now + SKEW_S, "iat")
    _require(0 < claims["exp"] - claims["iat"] <= LIFETIME_S, "exp")
    if "nbf" in claims:
        _require(is_time(claims["nbf"]) and claims["nbf"] <= now + SKEW_S, "nbf")


def is_time(value: object) -> bool:
    """Whether a claim is a NumericDate (RFC 7519, 2) that can be reckoned with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 <= value < 1e11


def _require(holds: bool, why: str, holder: str | None = None) -> None:
    """Refuse. `holder` is the client that the log is to name: of a token signed by us alone."""
    if not holds:
        raise InvalidToken(why=why, holder=holder)
