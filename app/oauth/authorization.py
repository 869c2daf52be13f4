"""What an app asks for when somebody is to sign in to it, read strictly and all at once (RFC 9126).

Knows no person, and answers nobody: what is read here has been checked, and is kept as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlencode

from app.oauth import scopes
from app.oauth.details import read_details
from app.oauth.refusals import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    NotForCitizens,
    NotForPeople,
    UnsupportedResponseType,
)
from app.oauth.tokens import ONE_FACTOR, TWO_FACTORS
from app.policy.assurance import BY_ACR, Level
from app.policy.facts import ClientFacts

PATH: Final = "/oauth/authorize"
PROMPTS: Final = ("none", "login", "consent")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 (RFC 7636, 4.2)
_THUMBPRINT: Final = _CHALLENGE
_TEXT: Final = re.compile(r"[\x20-\x7e]{1,1024}")  # RFC 6749, A.5
_SECONDS: Final = re.compile(r"[0-9]{1,8}")
# What would say the same a second time, in another way that we do not read.
_NOT_READ: Final = ("request", "request_uri", "registration", "id_token_hint")


@dataclass(frozen=True, slots=True)
class Asked:
    """An authorization request that is right in itself and allowed to its client."""

    redirect_uri: str
    code_challenge: str
    scope: tuple[str, ...]
    state: str | None
    nonce: str | None
    second_factor: bool
    max_age_s: int | None
    prompt: tuple[str, ...]
    details: str | None  # authorization_details as they came
    jkt: str | None  # the thumbprint of the key that the code is bound to (RFC 9449, 10)
    level: str | None = None  # of a citizen: nothing less sure will do

    def as_json(self) -> dict[str, Any]:
        """As the database keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Asked":
        """What `as_json` made."""
        known = dict(kept)
        return cls(**known | {name: tuple(known[name]) for name in ("scope", "prompt")})

    @property
    def of_citizen(self) -> bool:
        """Whether it is a citizen who is asked, and nobody's staff."""
        return scopes.is_of_citizen(self.scope)

    @property
    def what(self) -> str:
        """What somebody consents to: the same words for the same rights."""
        return " ".join([*sorted(self.scope), self.details or ""]).rstrip()

    def answered(self, issuer: str, **said: str) -> str:
        """The address that the browser is sent to with the answer (RFC 6749, 4.1.2; RFC 9207)."""
        told = {**said, **({"state": self.state} if self.state is not None else {}), "iss": issuer}
        sign = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{sign}{urlencode(told)}"


def read_authorization(
    form: Mapping[str, str], client: ClientFacts, issuer: str, jkt: str | None
) -> Asked:
    """What the client asks for, or the first refusal. `jkt`: of the proof beside the request."""
    _check_client(form, client)
    for name in _NOT_READ:
        if name in form:
            raise _wrong(name, f"{name} は使えません。", f"{name} is not taken here.")
    if "response_type" in form and form["response_type"] != "code":
        raise UnsupportedResponseType("response_type")
    if form.get("response_type") != "code" or form.get("response_mode", "query") != "query":
        raise _wrong(
            "response_type",
            "response_type は code、response_mode は query です。",
            "response_type must be code, and response_mode query.",
        )
    if form.get("redirect_uri") not in client.redirect_uris:
        raise _wrong(
            "redirect_uri",
            "登録済みの redirect_uri を一字一句そのまま指定してください。",
            "give a registered redirect_uri, letter for letter.",
        )
    if form.get("resource", issuer) != issuer:
        raise InvalidTarget("resource", issuer=issuer)
    details = form.get("authorization_details")
    if details is not None:
        read_details(details)
    scope = _scope(form)
    of_citizen = _check_citizens(scope, details, client)
    second_factor, level = _proof(form, of_citizen)
    return Asked(
        redirect_uri=form["redirect_uri"],
        code_challenge=_challenge(form),
        scope=scope,
        state=_text(form, "state"),
        nonce=_text(form, "nonce"),
        second_factor=second_factor,
        level=level,
        max_age_s=_max_age(form),
        prompt=_prompt(form),
        details=details,
        jkt=_jkt(form, client, jkt),
    )


def _check_client(form: Mapping[str, str], client: ClientFacts) -> None:
    # RFC 9126, 2.1: it is needed as at the authorization endpoint; that it is the client's own
    # the client's authentication has seen to.
    if "client_id" not in form:
        raise _wrong("client_id", "client_id が必要です。", "client_id is needed.")
    if client.auth_method == "client_secret_basic" or not client.redirect_uris:
        raise NotForPeople("client", client=client.client_id)


def _check_citizens(scope: tuple[str, ...], details: str | None, client: ClientFacts) -> bool:
    """Whether a citizen is asked: one sign-in never gives the rights of a citizen and of staff."""
    if not scopes.is_of_citizen(scope):
        return False
    if not client.citizens:
        raise NotForCitizens("citizens", client=client.client_id)
    if details is not None or not scopes.is_citizens_alone(scope):
        raise InvalidScope(
            "citizens",
            mend_ja=f"住民のサインインで求められるのは openid と {'、'.join(scopes.CITIZEN)} だけです。",
            mend_en=f"of a citizen ask for openid and {', '.join(scopes.CITIZEN)} alone.",
        )
    return True


def _proof(form: Mapping[str, str], of_citizen: bool) -> tuple[bool, str | None]:
    """What acr_values ask for: of staff a second factor, of citizens a level of assurance."""
    return (False, _level(form)) if of_citizen else (_second_factor(form), None)


def _level(form: Mapping[str, str]) -> str | None:
    """How surely a citizen must sign in: the least of the levels that are named."""
    if "acr_values" not in form:
        return None
    named = [BY_ACR.get(each) for each in form["acr_values"].split(" ")]
    if None in named:
        raise _wrong(
            "acr_values",
            f"住民の acr_values は {'、'.join(BY_ACR)} です。",
            f"acr_values of citizens may name {', '.join(BY_ACR)}.",
        )
    return next(level for level in Level if level in named).value


def _challenge(form: Mapping[str, str]) -> str:
    challenge = form.get("code_challenge", "")
    # A method that is not named would be `plain` (RFC 7636, 4.3).
    if form.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
        raise _wrong(
            "pkce",
            "PKCE が必要です: code_challenge_method=S256 と43文字の code_challenge。",
            "PKCE is needed: code_challenge_method=S256 and a code_challenge of 43 characters.",
        )
    return challenge


def _scope(form: Mapping[str, str]) -> tuple[str, ...]:
    tokens = scopes.split(form["scope"]) if form.get("scope") else None
    if tokens is None or not any(scopes.is_known(token) for token in tokens):
        raise InvalidScope(
            "unreadable",
            mend_ja="scope に既知のスコープを空白区切りで指定してください（100個まで）。",
            mend_en="give in scope known scopes, at most 100, parted by single spaces.",
        )
    return tuple(token for token in tokens if scopes.is_known(token))


def _text(form: Mapping[str, str], name: str) -> str | None:
    value = form.get(name)
    if value is not None and not _TEXT.fullmatch(value):
        raise _wrong(
            name,
            f"{name} は1024文字以内のASCII文字です。",
            f"{name} is at most 1024 printable ASCII characters.",
        )
    return value


def _second_factor(form: Mapping[str, str]) -> bool:
    """Whether nothing less than two factors will do (RFC 9470, 4)."""
    named = set(form.get("acr_values", ONE_FACTOR).split(" "))
    if not named <= {ONE_FACTOR, TWO_FACTORS}:
        raise _wrong(
            "acr_values",
            f"acr_values は {ONE_FACTOR} と {TWO_FACTORS} です。",
            f"acr_values may name {ONE_FACTOR} and {TWO_FACTORS}.",
        )
    return named == {TWO_FACTORS}


def _max_age(form: Mapping[str, str]) -> int | None:
    value = form.get("max_age")
    if value is None:
        return None
    if not _SECONDS.fullmatch(value):
        raise _wrong("max_age", "max_age は秒数です。", "max_age is a number of seconds.")
    return int(value)


def _prompt(form: Mapping[str, str]) -> tuple[str, ...]:
    if "prompt" not in form:
        return ()
    named = form["prompt"].split(" ")
    if not set(named) <= set(PROMPTS) or ("none" in named and len(named) > 1):
        raise _wrong(
            "prompt",
            "prompt は none だけ、または login と consent です。",
            "prompt is none alone, or of login and consent.",
        )
    return tuple(named)


def _jkt(form: Mapping[str, str], client: ClientFacts, proven: str | None) -> str | None:
    """The key that the code is bound to: named, or proven, or both and the same (RFC 9449, 10)."""
    named = form.get("dpop_jkt")
    if named is not None and not _THUMBPRINT.fullmatch(named):
        raise _wrong(
            "dpop_jkt",
            "dpop_jkt は鍵の SHA-256 サムプリントです。",
            "dpop_jkt is the SHA-256 thumbprint of a key.",
        )
    if named is not None and proven is not None and named != proven:
        raise _wrong(
            "dpop_jkt",
            "dpop_jkt と DPoP プルーフの鍵が違います。",
            "dpop_jkt names another key than that of the DPoP proof.",
        )
    if client.certificate_bound and (proven or named):
        raise _wrong(
            "two_bonds",
            "トークンは証明書に結び付きます。DPoP は使わないでください。",
            "the token will be bound to the certificate: leave DPoP out.",
        )
    return proven or named


def _wrong(why: str, mend_ja: str, mend_en: str) -> InvalidRequest:
    return InvalidRequest(why, mend_ja=mend_ja, mend_en=mend_en)
