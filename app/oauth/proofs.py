"""DPoP proofs (RFC 9449): which key a request was sent with. Knows no client and grants nothing.

No server nonce is asked for: a proof is young by its `iat`, and used once by its `jti`.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from app.kit import clock
from app.kit.db import Database
from app.oauth.keys import ALGORITHM
from app.oauth.refusals import InvalidProof
from app.oauth.tokens import SKEW_S, is_time
from app.oauth.used import UsedOnce

TYPE: Final = "dpop+jwt"
OLDEST_S: Final = 60
_LONGEST_BYTES: Final = 4096
_LONGEST_JTI: Final = 128
_HEADER: Final = frozenset({"alg", "typ", "jwk"})
_KEY: Final = frozenset({"kty", "crv", "x", "y"})
_BESIDE_KEY: Final = frozenset({"kid", "use", "alg"})  # said of it; never used
_COORDINATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ADDRESS: Final = re.compile(r"[\x21-\x7e]{1,2048}")
_PORTS: Final = {"http": 80, "https": 443}
_ENCODED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that is right in itself: the key's thumbprint (RFC 7638) and the proof's name."""

    jkt: str
    jti: str
    expires_at: datetime


class Proofs:
    """Checks proofs, and takes each once. One a process."""

    def __init__(self, database: Database) -> None:
        self._used = UsedOnce(database)

    async def take(
        self,
        shown: Sequence[bytes],
        method: str,
        uri: str,
        *,
        token: str | None = None,
        jkt: str | None = None,
    ) -> str:
        """The thumbprint of the key that signed the one proof of this request, or `InvalidProof`.

        With `token` the proof must be for that token, and the key must be the token's, `jkt`.
        """
        proof = read_proof(shown, method, uri, token=token)
        if jkt is not None and proof.jkt != jkt:
            raise _wrong(
                "key", "トークンに結び付いた鍵で署名してください。", "sign with the token's key."
            )
        # Names of proofs are parted from those of assertions: no client's id has a colon.
        if not await self._used.use(f"dpop:{proof.jkt}", proof.jti, proof.expires_at):
            raise _wrong(
                "replayed",
                "要求ごとに新しい jti で作ってください。",
                "make a new one, with a new jti, for each request.",
            )
        return proof.jkt


def read_proof(shown: Sequence[bytes], method: str, uri: str, *, token: str | None = None) -> Proof:
    """Read and judge the proof of a request (RFC 9449, 4.3) but for whether it was used before."""
    if len(shown) != 1:
        raise _wrong("count", "DPoP ヘッダを一つだけ送ってください。", "send one DPoP header.")
    if len(shown[0]) > _LONGEST_BYTES:
        raise _wrong("too_long", "4KBまでです。", "it may be 4 KB.")
    key, claims = _open(shown[0])
    now = clock.now().timestamp()
    _check_request(claims, method, uri)
    _check_times(claims, now)
    if token is not None and claims.get("ath") != hash_of(token):
        raise _wrong(
            "ath", "ath はアクセストークンの SHA-256 です。", "ath must be the token's SHA-256."
        )
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= _LONGEST_JTI or "\0" in jti:
        raise _wrong(
            "jti", "jti（128文字以内）が必要です。", "jti of at most 128 characters is needed."
        )
    # Kept a little longer than any replica would take it: their clocks differ.
    kept = timedelta(seconds=OLDEST_S + 3 * SKEW_S)
    return Proof(key.thumbprint(), jti, datetime.fromtimestamp(claims["iat"], UTC) + kept)


def key_of(shown: bytes) -> dict[str, Any]:
    """The public key of a proof. Only for one that `Proofs` took."""
    jwk: dict[str, Any] = jws.extract_compact(shown).headers()["jwk"]
    return {name: jwk[name] for name in sorted(_KEY)}


def hash_of(token: str) -> str:
    """What `ath` must be for a token (RFC 9449, 4.2)."""
    return urlsafe_b64encode(hashlib.sha256(token.encode("ascii")).digest()).decode()


def _open(shown: bytes) -> tuple[ECKey, dict[str, Any]]:
    """The key and the claims of a proof whose header and signature are right."""
    try:
        parsed = jws.extract_compact(shown)
        claims = orjson.loads(parsed.payload)
    except (JoseError, ValueError) as exc:
        raise _wrong("malformed", "JWS ではありません。", "it is not a JWS.") from exc
    header = parsed.headers()
    if header.get("typ") != TYPE:
        raise _wrong("typ", f"typ は {TYPE} です。", f"typ must be {TYPE}.")
    if header.get("alg") != ALGORITHM:
        raise _wrong("alg", f"alg は {ALGORITHM} です。", f"alg must be {ALGORITHM}.")
    if header.keys() != _HEADER:
        raise _wrong(
            "header", "ヘッダは alg, typ, jwk だけです。", "the header is alg, typ, jwk only."
        )
    key = _key_of(header["jwk"])
    try:
        good = jws.validate_compact(parsed, key, [ALGORITHM])
    except JoseError:
        good = False
    if not good:
        raise _wrong("signature", "jwk の鍵で署名してください。", "sign it with the key of jwk.")
    if not isinstance(claims, dict):
        raise _wrong("claims", "クレームがオブジェクトではありません。", "claims are no object.")
    return key, claims


def _key_of(jwk: object) -> ECKey:
    """The public P-256 key of the header; a private half shown to us is a key given away."""
    if isinstance(jwk, dict) and _KEY <= jwk.keys() <= _KEY | _BESIDE_KEY:
        points = (jwk["x"], jwk["y"])
        plain = all(isinstance(each, str) and _COORDINATE.fullmatch(each) for each in points)
        if plain and (jwk["kty"], jwk["crv"]) == ("EC", "P-256"):
            try:
                return ECKey.import_key({name: jwk[name] for name in sorted(_KEY)})
            except (JoseError, ValueError):
                pass
    raise _wrong("jwk", "jwk は P-256 の公開鍵です。", "jwk must be a public P-256 key.")


def _check_request(claims: dict[str, Any], method: str, uri: str) -> None:
    if claims.get("htm") != method:
        raise _wrong("htm", f"htm は {method} です。", f"htm must be {method}.")
    told = claims.get("htu")
    address = normal(told) if isinstance(told, str) else None
    if address is None or address != normal(uri):
        raise _wrong(
            "htu",
            "htu は要求の宛先（クエリを除く）です。",
            "htu must be the address of the request without its query.",
        )


def _check_times(claims: dict[str, Any], now: float) -> None:
    iat = claims.get("iat")
    if not is_time(iat):
        raise _wrong("iat", "iat（数値）が必要です。", "iat is needed as a number.")
    if not now - OLDEST_S - SKEW_S <= claims["iat"] <= now + SKEW_S:
        raise _wrong(
            "iat",
            f"iat は現在時刻です（{OLDEST_S}秒以内）。時計を確認してください。",
            f"iat must be now, within {OLDEST_S} s. Check the clock.",
        )
    # RFC 9449 asks for neither; where they are said they hold (RFC 7519, 4.1).
    if "exp" in claims and not (is_time(claims["exp"]) and claims["exp"] > now):
        raise _wrong("expired", "期限切れです。", "it has expired.")
    if "nbf" in claims and not (is_time(claims["nbf"]) and claims["nbf"] <= now + SKEW_S):
        raise _wrong("nbf", "nbf が未来です。", "nbf lies in the future.")


def normal(uri: str) -> str | None:
    """An address without query and fragment, normalised (RFC 3986, 6.2.2 and 6.2.3), or None."""
    if not _ADDRESS.fullmatch(uri):
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _PORTS or not host or parts.username is not None:
        return None
    shown = "" if port in (None, _PORTS[scheme]) else f":{port}"
    return f"{scheme}://{host}{shown}{_without_dots(_ENCODED.sub(_plain, parts.path)) or '/'}"


def _plain(encoded: re.Match[str]) -> str:
    """A percent-encoded character in its one normal form."""
    character = chr(int(encoded[1], 16))
    return character if _UNRESERVED.fullmatch(character) else f"%{encoded[1].upper()}"


def _without_dots(path: str) -> str:
    """The path with its dot segments removed (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[max(1, len(kept) - 1) :]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


def _wrong(why: str, mend_ja: str, mend_en: str) -> InvalidProof:
    return InvalidProof(f"proof_{why}", mend_ja=mend_ja, mend_en=mend_en)
