"""A citizen at the authorization endpoint: signs in surely enough, is asked, and answers an app.

The app is told a name that its organisation alone has for them, and nothing else of who they are.
"""

from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from app.api.access import PlatformDep
from app.api.state import Platform
from app.kit import clock
from app.models.parties import Organization
from app.oauth.codes import ProvenCitizen
from app.oauth.pushed import Pending
from app.oauth.scopes import CITIZEN, IDENTITY
from app.parties import clients
from app.policy.assurance import Level
from app.policy.facts import ClientFacts
from app.portal.answering import NAMES, back, find_pending, refuse
from app.portal.citizen_visits import Guest, find_guest, to_citizens_sign_in
from app.portal.door import FormNotOurs, page_router, read_form
from app.portal.layout import Html, both, form, html, joined, page

router = page_router()
PATH: Final = "/me/consent"
ALLOW: Final = "allow"
DENY: Final = "deny"
WORDS: Final[dict[str, str]] = {
    "openid": "サインインしたことを確認すること",
    "me": "あなたを見分ける記号（氏名ではなく、この組織だけのもの）と、本人確認の強さを知ること",
    "me:consents": "あなたの情報の利用への同意を、見る・とりやめること、新しい同意の画面に案内すること",
    "me:accesses": "あなたのどの情報を、どの組織が見たかを知ること",
}


async def authorize(
    request: Request, platform: Platform, client: ClientFacts, pending: Pending
) -> Response:
    """Sign in, step up, ask, and answer, as far as it takes."""
    asked = pending.asked
    if not client.citizens:
        return await refuse(platform, pending, "access_denied", "citizens")
    guest = await find_guest(request)
    silent = "none" in asked.prompt
    if guest is None or _is_too_old(pending, guest):
        if silent:
            return await refuse(platform, pending, "login_required", "prompt_none")
        return to_citizens_sign_in(request, _wanted(pending))
    if not _is_sure_enough(pending, guest):
        # Who has just signed in for this very request can do no better.
        if silent or guest.citizen.signed_in_at >= pending.created_at:
            return await refuse(platform, pending, "unmet_authentication_requirements", "level")
        return to_citizens_sign_in(request, _wanted(pending))
    who = await _who(platform, client, guest)
    if "consent" in asked.prompt or not await platform.answers.has_citizen_allowed(pending, who):
        if silent:
            return await refuse(platform, pending, "consent_required", "prompt_none")
        return await _page(platform, pending, guest, request.query_params["request_uri"])
    return await _give(platform, pending, who)


@router.post(PATH)
async def answer(request: Request, platform: PlatformDep) -> Response:
    """What a citizen answered to the page that asked them."""
    sent = await read_form(request)
    guest = await find_guest(request)
    if guest is None or not guest.is_sender_of(sent) or not sent.keys() >= NAMES:
        raise FormNotOurs
    client, pending = await find_pending(platform, sent)
    # The page was not shown to whom could not answer it.
    is_asked = pending.asked.of_citizen and _is_sure_enough(pending, guest)
    if not is_asked or _is_too_old(pending, guest):
        raise FormNotOurs
    if not client.citizens or sent.get("answer") != ALLOW:
        why = "citizen" if client.citizens else "citizens"
        return await refuse(platform, pending, "access_denied", why)
    return await _give(platform, pending, await _who(platform, client, guest))


def _wanted(pending: Pending) -> Level | None:
    return None if pending.asked.level is None else Level(pending.asked.level)


def _is_sure_enough(pending: Pending, guest: Guest) -> bool:
    wanted = _wanted(pending)
    return wanted is None or guest.citizen.level.reaches(wanted)


def _is_too_old(pending: Pending, guest: Guest) -> bool:
    """Whether the request wants a later sign-in; one made for this very request will do."""
    asked, at = pending.asked, guest.citizen.signed_in_at
    if at >= pending.created_at:
        return False
    if "login" in asked.prompt:
        return True
    return asked.max_age_s is not None and clock.now() - at > timedelta(seconds=asked.max_age_s)


async def _who(platform: Platform, client: ClientFacts, guest: Guest) -> ProvenCitizen:
    organization_id = client.organization_id
    return ProvenCitizen(
        subject=await platform.linker.name(guest.person, organization_id),
        organization_id=organization_id,
        level=guest.citizen.level,
        signed_in_at=guest.citizen.signed_in_at,
        session=guest.session,
    )


async def _give(platform: Platform, pending: Pending, who: ProvenCitizen) -> Response:
    code = await platform.answers.give_for_citizen(pending, who)
    return back(pending.asked.answered(platform.issuer, code=code))


async def _page(platform: Platform, pending: Pending, guest: Guest, request_uri: str) -> Response:
    """Which app, of whom, may do what; two buttons."""
    async with platform.database.reading() as session:
        client = await clients.get(session, pending.client_id)
        owner = await session.get_one(Organization, client.organization_id)
    body = html(
        "<p>{asks}</p><dl><dt>{app}</dt><dd>{name}</dd><dt>{of}</dt><dd>{owner}</dd>"
        "<dt>{back}</dt><dd>{host}</dd></dl><h2>{may}</h2><ul>{told}</ul><p>{never}</p>{forms}",
        asks=both(
            "次のアプリが、あなたの許可を求めています。", "This app asks for your permission."
        ),
        app=both("アプリ", "App"),
        name=client.name,
        of=both("運営", "Run by"),
        owner=both(owner.name_ja, owner.name_en or ""),
        back=both("戻り先", "Leads back to"),
        host=urlsplit(pending.asked.redirect_uri).netloc,
        may=both("許可する内容", "What it may do"),
        told=joined(_words(token) for token in pending.asked.scope),
        never=both(
            "氏名・住所・メールアドレスは伝わりません。",
            "It is told neither your name nor your address nor your mail address.",
        ),
        forms=_forms(pending, request_uri, guest),
    )
    return page("アプリの許可", "Let an app act", body, forms_lead_out=True)


def _words(token: str) -> Html:
    en = CITIZEN.get(token) or IDENTITY[token]
    return html("<li>{said}</li>", said=both(WORDS[token], en))


def _forms(pending: Pending, request_uri: str, guest: Guest) -> Html:
    kept = {"client_id": pending.client_id, "request_uri": request_uri}
    nothing = Html("")
    return joined(
        (
            form(PATH, guest.csrf, nothing, "許可する", "Allow", answer=ALLOW, **kept),
            form(PATH, guest.csrf, nothing, "許可しない", "Do not allow", answer=DENY, **kept),
        )
    )
