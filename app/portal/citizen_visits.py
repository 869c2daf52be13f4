"""Which citizen visits a page: a cookie and sessions of their own, which open no page of staff."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.api.sessions import platform_of
from app.policy.assurance import Level
from app.portal.local_path import leading_to
from app.portal.visits import asked_for, cookie_of, forget_cookie, keep_cookie
from app.signin.citizens import SignedInCitizen
from app.signin.sessions import csrf_of, hash_of, is_csrf_of
from app.subjects.linker import PersonRef

HOME: Final = "/me"
SIGN_IN: Final = "/me/sign-in"
BY: Final = "citizen"  # by a page and no app: an entry of the log names nobody
_SESSION: Final = "urbanos-citizen"


@dataclass(frozen=True, slots=True)
class Guest:
    """A citizen who is signed in, and the secret of the session: for cookie and forms alone."""

    citizen: SignedInCitizen
    secret: str

    @property
    def person(self) -> PersonRef:
        """Who it is, for the linker."""
        return PersonRef(self.citizen.reference)

    @property
    def csrf(self) -> str:
        """What a form for this citizen must bring along."""
        return csrf_of(self.secret)

    @property
    def session(self) -> bytes:
        """The key of the session."""
        return hash_of(self.secret)

    def is_sender_of(self, sent: dict[str, str]) -> bool:
        """Whether what was sent came from a page of this session."""
        return is_csrf_of(self.secret, sent.get("csrf"))


async def find_guest(request: Request) -> Guest | None:
    """Which citizen is signed in; None for everybody else, for staff and who was forgotten too."""
    platform, secret = platform_of(request), cookie_of(request, _SESSION)
    citizen = await platform.citizen_sessions.find(secret)
    if citizen is None or secret is None:
        return None
    guest = Guest(citizen, secret)
    return guest if await platform.linker.is_known(guest.person) else None


async def find_sure_guest(request: Request) -> Guest | None:
    """The same, signed in as surely as what is a citizen's own demands."""
    guest = await find_guest(request)
    is_sure = guest and guest.citizen.level.reaches(platform_of(request).citizen_assurance)
    return guest if is_sure else None


def keep_guest(request: Request, response: Response, secret: str) -> None:
    """Give the browser a citizen's session."""
    keep_cookie(request, response, _SESSION, secret)


def forget_guest(request: Request, response: Response) -> None:
    """Take a citizen's session from the browser."""
    forget_cookie(request, response, _SESSION)


def to_citizens_sign_in(request: Request, wanted: Level | None) -> Response:
    """To the citizens' sign-in, and back to what was asked for."""
    where = leading_to(SIGN_IN, asked_for(request))
    return RedirectResponse(where + (f"&level={wanted.value}" if wanted else ""), 303)
