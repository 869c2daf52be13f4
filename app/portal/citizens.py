"""The pages that citizens sign in and out at. Show nothing that a provider wrote, and ask no name."""

from typing import Annotated, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.api.limits import origin_of
from app.api.parameters import reads_own_parameters
from app.api.problem import request_id_of
from app.api.sessions import PlatformDep, Reading
from app.api.state import Platform
from app.audit.events import Event
from app.kit.errors import AppError
from app.policy.assurance import Level
from app.portal.citizen_visits import HOME, SIGN_IN, find_guest, forget_guest, keep_guest
from app.portal.door import FormNotOurs, page_router, read_form
from app.portal.federation import AnswerUnreadable
from app.portal.layout import Html, both, html, joined, page
from app.portal.local_path import leading_to, local_path
from app.portal.sign_in import ReturnTo
from app.portal.visits import form_secret, keep_form
from app.signin import citizen_providers
from app.signin.citizens import ToldOfCitizen
from app.signin.relying import ProviderDisabled

router = page_router()
SIGN_OUT: Final = "/me/sign-out"
BY_PROVIDER: Final = "/me/sign-in/with"
_TITLE: Final = ("住民のサインイン", "Sign in as a citizen")
_NEEDED: Final = {
    Level.LOW: ("", ""),
    Level.SUBSTANTIAL: (
        "確かさが「中」以上の本人確認が必要です。",
        "You must prove it substantially or more surely. ",
    ),
    Level.HIGH: ("確かさが「高」の本人確認が必要です。", "You must prove it with high assurance. "),
}
Wanted = Annotated[Level | None, Query(alias="level", description="how surely, at least")]


@router.get(SIGN_IN)
async def show_ways(session: Reading, return_to: ReturnTo = None, level: Wanted = None) -> Response:
    """The providers that a citizen may sign in at, each a link."""
    to = local_path(return_to, HOME)
    found = await citizen_providers.list_reaching(session, level)
    ways = joined(
        html(
            '<li><a href="{onward}">{name}</a></li>',
            onward=_onward(each.id, to, level),
            name=both(each.name_ja, each.name_en),
        )
        for each in found
    )
    body = html("<p>{told}</p><ul>{ways}</ul>", told=_said(bool(found), level), ways=ways)
    return page(*_TITLE, body)


def _said(is_any: bool, level: Level | None) -> Html:
    if not is_any:
        return both(
            "必要な確かさで本人確認ができる方法が、いまはありません。運営者に問い合わせてください。",
            "There is no way to prove who you are as surely as this needs. Ask the operator.",
        )
    ja, en = ("", "") if level is None else _NEEDED[level]
    return both(
        f"{ja}本人確認の方法を選んでください。氏名や住所は受け取りません。",
        f"{en}Choose how to prove who you are. We are given neither name nor address.",
    )


def _onward(provider_id: str, to: str, level: Level | None) -> str:
    more = f"&level={level.value}" if level else ""
    return leading_to(f"{BY_PROVIDER}/{provider_id}", to) + more


@router.get(BY_PROVIDER + "/{provider_id}")
async def begin(
    provider_id: str,
    request: Request,
    platform: PlatformDep,
    return_to: ReturnTo = None,
    level: Wanted = None,
) -> Response:
    """To a provider, and back to what was asked for."""
    await platform.limits.sign_in(origin_of(request.scope))
    browser = form_secret(request)
    address = await platform.citizen_sign_in.begin(
        provider_id, browser, local_path(return_to, HOME), wanted=level
    )
    response = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
    keep_form(request, response, browser)
    return response


@router.get(BY_PROVIDER + "/{provider_id}/jwks")
async def public_keys(provider_id: str, session: Reading) -> Response:
    """The public key that we prove ourselves to this provider with."""
    provider = await citizen_providers.get(session, provider_id)
    keys = [provider.public_jwk] if provider.public_jwk else []
    return JSONResponse({"keys": keys}, headers={"Cache-Control": "public, max-age=300"})


@router.get("/me/sign-in/callback/{provider_id}")
@reads_own_parameters  # RFC 6749, 4.1.2: what is unknown is ignored
async def come_back(provider_id: str, request: Request, platform: PlatformDep) -> Response:
    """Reads the provider's answer, and opens a session for whom it vouches for."""
    answer = dict(request.query_params)
    try:
        if len(answer) != len(request.query_params.multi_items()):
            raise AnswerUnreadable
        told = await platform.citizen_sign_in.finish(provider_id, form_secret(request), answer)
        secret = await _let_in(request, platform, told)
    except AppError as refusal:
        await platform.log.write(
            Event.CITIZEN_SIGN_IN_REFUSED, provider=provider_id, code=refusal.code,
            why=refusal.named.get("why"), request=request_id_of(request),
        )  # fmt: skip
        refusal.logged = True
        raise
    response = RedirectResponse(local_path(told.return_to, HOME), 303)
    keep_guest(request, response, secret)
    return response


async def _let_in(request: Request, platform: Platform, told: ToldOfCitizen) -> str:
    """The secret of a new session of who signed in; the log says that somebody did."""
    person = await platform.linker.signed_in(told.issuer, told.subject)
    held = await find_guest(request)
    if held is not None:
        await platform.citizen_sessions.end(held.secret)
    secret = await platform.citizen_sessions.open(told.provider_id, person.value, told.level)
    if secret is None:
        raise ProviderDisabled(provider=told.provider_id)
    await platform.log.write(
        Event.CITIZEN_SIGNED_IN, provider=told.provider_id, level=told.level.value,
        request=request_id_of(request),
    )  # fmt: skip
    return secret


@router.post(SIGN_OUT)
async def sign_out(request: Request, platform: PlatformDep) -> Response:
    """End the citizen's session of this browser."""
    sent = await read_form(request)
    guest = await find_guest(request)
    if guest is not None:  # else it ran out by itself
        if not guest.is_sender_of(sent):
            raise FormNotOurs
        await platform.citizen_sessions.end(guest.secret)
        await platform.log.write(Event.CITIZEN_SIGNED_OUT, request=request_id_of(request))
    back = html('<p><a href="{to}">{said}</a></p>', to=SIGN_IN, said=both(*_TITLE))
    response = page("サインアウトしました", "You are signed out", back)
    forget_guest(request, response)
    return response
