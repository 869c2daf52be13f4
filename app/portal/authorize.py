"""The authorization endpoint: from a pushed request by a person's yes to a code (RFC 6749, 4.1).

A browser is sent to no address but the one that its client registered and pushed.
"""

from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from app.api.access import PlatformDep
from app.api.parameters import reads_own_parameters
from app.api.state import Platform
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.oauth.authorization import PATH
from app.oauth.codes import Proven
from app.oauth.pushed import Pending
from app.policy.facts import ClientFacts, may_sign_in
from app.portal import citizen_consent, consent
from app.portal.answering import NAMES, back, find_pending, refuse
from app.portal.door import FormNotOurs, page_router, read_form
from app.portal.visits import (
    Visitor,
    find_visitor,
    is_form_of,
    to_second_factor,
    to_sign_in,
)
from app.signin.sessions import SignedIn

router = page_router()
_STAFF_OF: Final = "staff_of"
# To the app's developer, who would look for the mistake at the person's side.
_NOT_ITS_STAFF: Final = "Whoever signed in belongs to no organisation whose staff may sign in to this client (staff_of)."


class OnlyPushed(AppError):
    """The request is not one that was pushed before, and nothing else is looked at."""

    kind = Kind.MALFORMED
    code = "invalid_request"
    ja = "client_id と、/oauth/par で得た request_uri だけを指定してください。アプリの設定に誤りがあります。"
    en = "Give client_id and a request_uri of /oauth/par, nothing else. The app is set up wrongly."


class _Lack(Enum):
    """What somebody has yet to prove."""

    SIGN_IN = auto()
    SECOND_FACTOR = auto()


@router.get(PATH)
@reads_own_parameters
async def authorize(request: Request, platform: PlatformDep) -> Response:
    """Sign in, step up, ask, and answer, as far as it takes."""
    asked = _read_query(request)
    client, pending = await find_pending(platform, asked)
    if pending.asked.of_citizen:
        return await citizen_consent.authorize(request, platform, client, pending)
    visitor = await find_visitor(request)
    silent = "none" in pending.asked.prompt
    lack = _lack(pending, visitor.person, clock.now()) if visitor else _Lack.SIGN_IN
    if visitor is None or lack is not None:
        if silent:
            return await _refuse(platform, pending, "login_required", "prompt_none", visitor)
        return _to_prove(request, lack, visitor)
    who = await _who(platform, client, visitor)
    if who is None:
        return await _refuse(platform, pending, "access_denied", _STAFF_OF, visitor)
    if "consent" in pending.asked.prompt or not await platform.answers.has_consented(pending, who):
        if silent:
            return await _refuse(platform, pending, "consent_required", "prompt_none", visitor)
        async with platform.database.reading() as session:
            return await consent.consent_page(session, pending, asked["request_uri"], visitor)
    return await _give(platform, pending, who)


@router.post(consent.PATH)
async def answer(request: Request, platform: PlatformDep) -> Response:
    """What somebody answered to the page that asked them."""
    sent = await read_form(request)
    visitor = await find_visitor(request)
    if visitor is None or not is_form_of(visitor, sent) or not sent.keys() >= NAMES:
        raise FormNotOurs
    client, pending = await find_pending(platform, sent)
    if pending.asked.of_citizen:
        raise FormNotOurs  # nobody's staff was asked
    if _lack(pending, visitor.person, clock.now()) is not None:
        raise FormNotOurs  # the page was not shown to whom could not answer it
    who = await _who(platform, client, visitor)
    if who is None:
        return await _refuse(platform, pending, "access_denied", _STAFF_OF, visitor)
    if sent.get("answer") != consent.ALLOW:
        return await _refuse(platform, pending, "access_denied", "person", visitor)
    return await _give(platform, pending, who)


def _read_query(request: Request) -> dict[str, str]:
    raw: bytes = request.scope["query_string"]
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise OnlyPushed from None
    found = dict(pairs)
    if len(found) != len(pairs) or found.keys() != NAMES or "\0" in found["client_id"]:
        raise OnlyPushed
    return found


def _lack(pending: Pending, person: SignedIn, now: datetime) -> _Lack | None:
    """What the request wants proven and is not, or not lately enough (RFC 9470, 4)."""
    asked = pending.asked
    if "login" in asked.prompt and person.signed_in_at < pending.created_at:
        return _Lack.SIGN_IN
    if asked.second_factor and person.second_factor_at is None:
        return _Lack.SECOND_FACTOR
    at = person.second_factor_at or person.signed_in_at
    # What was proven for this very request is new enough, however long the rest took.
    if asked.max_age_s is None or at >= pending.created_at:
        return None
    if now - at <= timedelta(seconds=asked.max_age_s):
        return None
    return _Lack.SECOND_FACTOR if asked.second_factor else _Lack.SIGN_IN


def _to_prove(request: Request, lack: _Lack | None, visitor: Visitor | None) -> Response:
    """To the page where what is lacking is proven, and back."""
    if lack is _Lack.SECOND_FACTOR:
        return to_second_factor(request)
    return to_sign_in(request, again=visitor is not None)  # else they would be led back at once


async def _who(platform: Platform, client: ClientFacts, visitor: Visitor) -> Proven | None:
    """Who answers; None for somebody who may not sign in to the client."""
    person = await platform.people.get(visitor.person.person_id)
    if not may_sign_in(client, person):
        return None
    signed_in = visitor.person
    return Proven(
        person_id=person.person_id,
        organization_id=person.organization_id,
        methods=signed_in.methods,
        signed_in_at=signed_in.signed_in_at,
        second_factor_at=signed_in.second_factor_at,
    )


async def _give(platform: Platform, pending: Pending, who: Proven) -> Response:
    code = await platform.answers.give(pending, who)
    return back(pending.asked.answered(platform.issuer, code=code))


async def _refuse(
    platform: Platform, pending: Pending, error: str, why: str, visitor: Visitor | None
) -> Response:
    person_id = visitor.person.person_id if visitor else None
    described = _NOT_ITS_STAFF if why == _STAFF_OF else None
    return await refuse(platform, pending, error, why, person_id, described)
