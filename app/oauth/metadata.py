"""What a vendor says of its client when it registers (RFC 7591, 2). Read strictly, believed by nobody.

What the platform does not know is left out, as the RFC says, and so is missing in the answer.
"""

import unicodedata
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.oauth import scopes
from app.oauth.refusals import InvalidClientMetadata, InvalidRedirectUri

LONGEST_BODY: Final = 16 * 1024
METHOD: Final = "private_key_jwt"
_LONGEST_TEXT: Final = 200
_MOST_ITEMS: Final = 20
CLIENT_CREDENTIALS: Final = "client_credentials"
AUTHORIZATION_CODE: Final = "authorization_code"
_GRANTS: Final = (CLIENT_CREDENTIALS, AUTHORIZATION_CODE)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What was said. The keys and addresses are still to be judged by the registry."""

    name: str
    jwks: dict[str, Any]
    redirect_uris: tuple[str, ...]
    scope: str | None
    software_id: str | None
    software_version: str | None

    def as_json(self) -> dict[str, Any]:
        """What is kept and answered (RFC 7591, 3.2.1): what will really hold, no more."""
        signs_in = bool(self.redirect_uris)
        told = {
            "client_name": self.name,
            "token_endpoint_auth_method": METHOD,
            "grant_types": list(_GRANTS) if signs_in else [CLIENT_CREDENTIALS],
            "response_types": ["code"] if signs_in else [],
            "redirect_uris": list(self.redirect_uris),
            "jwks": self.jwks,
            "scope": self.scope,
            "software_id": self.software_id,
            "software_version": self.software_version,
        }
        return {name: value for name, value in told.items() if value is not None}


def read_metadata(content_type: str | None, body: bytes) -> Metadata:
    """The metadata of a registration, or the refusal (RFC 7591, 3.2.2)."""
    told = _object(content_type, body)
    for refused, mend in _NOT_TAKEN.items():
        if refused in told:
            raise _wrong(refused, *mend)
    if told.get("token_endpoint_auth_method", METHOD) != METHOD:
        raise _wrong(
            "token_endpoint_auth_method",
            f"{METHOD} だけです。",
            f"only {METHOD} is taken.",
        )
    jwks = told.get("jwks")
    if not isinstance(jwks, dict):
        raise _wrong(
            "jwks",
            "公開鍵（P-256）を1個か2個入れてください。",
            "put one or two public P-256 keys in it.",
        )
    name = _text(told, "client_name")
    if name is None:
        raise _wrong("client_name", "必須です。", "it is needed.")
    redirect_uris = _redirect_uris(told)
    _check_flow(told, signs_in=bool(redirect_uris))
    return Metadata(
        name=name,
        jwks=jwks,
        redirect_uris=redirect_uris,
        scope=_scope(told),
        software_id=_text(told, "software_id"),
        software_version=_text(told, "software_version"),
    )


# What would change who the client is, and so must not pass unread: the mends in two languages.
_NOT_TAKEN: Final = {
    "jwks_uri": (
        "鍵は取得しません。jwks に直接入れてください。",
        "keys are not fetched: send jwks inline.",
    ),
    "software_statement": (
        "扱いません。取り除いてください。",
        "it is not taken: leave it out.",
    ),
}


def _object(content_type: str | None, body: bytes) -> dict[str, Any]:
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise _wrong(
            "content-type",
            "application/json で送ってください。",
            "send application/json.",
        )
    if len(body) > LONGEST_BODY:
        raise _wrong("body", "16KBまでです。", "it may be 16 KB.")
    try:
        told = orjson.loads(body)
    except ValueError as exc:
        raise _wrong("body", "JSONとして読めません。", "it is no JSON.") from exc
    if not isinstance(told, dict):
        raise _wrong(
            "body",
            "JSONオブジェクトではありません。",
            "it is no JSON object.",
        )
    return told


def _text(told: dict[str, Any], name: str) -> str | None:
    """A short text that shows all it holds: nothing that turns or hides what stands beside it."""
    value = told.get(name)
    if value is None:
        return None
    plain = isinstance(value, str) and 1 <= len(value.strip()) <= len(value) <= _LONGEST_TEXT
    if not plain or any(unicodedata.category(sign)[0] == "C" for sign in value):
        raise _wrong(
            name,
            f"{_LONGEST_TEXT}文字以内で、制御文字は使えません。",
            f"it is text of at most {_LONGEST_TEXT} characters, none of them a control character.",
        )
    return str(value)


def _scope(told: dict[str, Any]) -> str | None:
    scope = told.get("scope")
    if scope is not None and not (isinstance(scope, str) and scopes.split(scope)):
        raise _wrong(
            "scope",
            "空白区切りで100個までです。",
            "it is at most 100 tokens parted by single spaces.",
        )
    return scope


def _texts(told: dict[str, Any], name: str) -> tuple[str, ...] | None:
    value = told.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(name, "文字列の配列です。", "it is an array of strings.")
    if len(value) > _MOST_ITEMS:
        raise _wrong(name, f"{_MOST_ITEMS}個までです。", f"it holds at most {_MOST_ITEMS}.")
    return tuple(dict.fromkeys(value))


def _redirect_uris(told: dict[str, Any]) -> tuple[str, ...]:
    try:
        return _texts(told, "redirect_uris") or ()
    except InvalidClientMetadata as wrong:
        raise InvalidRedirectUri(wrong.why, **wrong.named) from wrong


def _check_flow(told: dict[str, Any], *, signs_in: bool) -> None:
    """Grants and response types that go together with each other and the addresses."""
    grants = _texts(told, "grant_types")
    for grant in grants or ():
        if grant not in _GRANTS:
            raise _wrong(
                "grant_types",
                f"{' と '.join(_GRANTS)} だけです。",
                f"only {' and '.join(_GRANTS)} are taken.",
            )
    responses = _texts(told, "response_types")
    if any(response != "code" for response in responses or ()):
        raise _wrong("response_types", "code だけです。", "only code is taken.")
    if grants is not None and (AUTHORIZATION_CODE in grants) != signs_in:
        raise _wrong(
            "grant_types",
            f"{AUTHORIZATION_CODE} と redirect_uris は両方を指定するか、両方を省いてください。",
            f"name both {AUTHORIZATION_CODE} and redirect_uris, or neither.",
        )
    if responses and not signs_in:
        raise _wrong(
            "response_types",
            "code には redirect_uris が必要です。",
            "code needs redirect_uris.",
        )


def _wrong(name: str, mend_ja: str, mend_en: str) -> InvalidClientMetadata:
    return InvalidClientMetadata(name, mend_ja=f"{name}: {mend_ja}", mend_en=f"{name}: {mend_en}")
