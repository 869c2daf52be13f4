"""Who visits a page: the session cookie, and the cookie of forms before there is a session.

A cookie that somebody planted opens nothing: sessions are made by the sign-in alone.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.api.sessions import platform_of
from app.portal.local_path import leading_to
from app.signin.sessions import SignedIn, csrf_of, is_csrf_of

SIGN_IN: Final = "/sign-in"
BY_PROVIDER: Final = "/sign-in/with"
AGAIN: Final = "/sign-in/again"  # at the provider of who is signed in
SECOND_FACTOR: Final = "/sign-in/second-factor"
TOTP: Final = "/account/totp"
_SESSION: Final = "urbanos"
_FORM: Final = "urbanos-form"
_FORM_LASTS_S: Final = 3_600
_FORM_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, and the secret of the session: for the cookie and the forms alone."""

    person: SignedIn
    secret: str

    @property
    def csrf(self) -> str:
        """What a form for this visitor must bring along."""
        return csrf_of(self.secret)


async def find_visitor(request: Request) -> Visitor | None:
    """Who is signed in, None for everybody else."""
    secret = cookie_of(request, _SESSION)
    person = await platform_of(request).sign_ins.find(secret)
    return None if person is None or secret is None else Visitor(person, secret)


def is_form_of(visitor: Visitor, sent: dict[str, str]) -> bool:
    """Whether what was sent came from a page of this visitor's session."""
    return is_csrf_of(visitor.secret, sent.get("csrf"))


def keep_session(request: Request, response: Response, secret: str) -> None:
    """Give the browser its session; the cookie of earlier forms is of no more use."""
    keep_cookie(request, response, _SESSION, secret)
    forget_cookie(request, response, _FORM)


def forget_session(request: Request, response: Response) -> None:
    """Take the session from the browser."""
    forget_cookie(request, response, _SESSION)


def form_secret(request: Request) -> str:
    """The secret that this browser's forms are bound to before there is a session.

    Without it somebody could let a stranger's browser sign in as themselves (login CSRF).
    """
    held = request.cookies.get(_name(request, _FORM), "")
    return held if _FORM_SECRET.fullmatch(held) else secrets.token_urlsafe(32)


def keep_form(request: Request, response: Response, secret: str) -> None:
    """Give the browser the secret of its forms."""
    keep_cookie(request, response, _FORM, secret, _FORM_LASTS_S)


def is_form_of_browser(request: Request, sent: dict[str, str]) -> bool:
    """Whether what was sent before there is a session came from a page of this browser."""
    held = request.cookies.get(_name(request, _FORM), "")
    return bool(_FORM_SECRET.fullmatch(held)) and is_csrf_of(held, sent.get("csrf"))


def to_sign_in(request: Request, *, again: bool = False) -> Response:
    """To the sign-in, and back to what was asked for. `again`: who is signed in signs in anew."""
    return RedirectResponse(leading_to(SIGN_IN, asked_for(request), again=again), 303)


def to_second_factor(request: Request) -> Response:
    """To the step-up, and back to what was asked for."""
    return RedirectResponse(leading_to(SECOND_FACTOR, asked_for(request)), 303)


def asked_for(request: Request) -> str:
    """The path and query that a page leads back to."""
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query


def _is_https(request: Request) -> bool:
    return platform_of(request).issuer.startswith("https:")


def _name(request: Request, base: str) -> str:
    # __Host-: no other host of the same domain can set it (RFC 6265bis, 4.1.3.2).
    return f"__Host-{base}" if _is_https(request) else base


def cookie_of(request: Request, base: str) -> str | None:
    """What the browser holds under this name."""
    return request.cookies.get(_name(request, base))


def keep_cookie(
    request: Request, response: Response, base: str, value: str, lasts_s: int | None = None
) -> None:
    """Give the browser something to hold that no script reads and no other site sends."""
    response.set_cookie(
        _name(request, base),
        value,
        max_age=lasts_s,
        path="/",
        secure=_is_https(request),
        httponly=True,
        samesite="lax",
    )


def forget_cookie(request: Request, response: Response, base: str) -> None:
    """Take from the browser what it holds under this name."""
    response.delete_cookie(
        _name(request, base), path="/", secure=_is_https(request), httponly=True, samesite="lax"
    )
