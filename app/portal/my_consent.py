"""Where a citizen reads what they would consent to, word for word, and answers.

No app answers for them: it could not show that they ever saw the text.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.api.me import OFFERED
from app.api.sessions import PlatformDep, writing_in
from app.models.consents import ConsentText, Method
from app.portal.citizen_visits import BY, HOME, Guest, find_sure_guest, to_citizens_sign_in
from app.portal.door import FormNotOurs, page_router, read_form
from app.portal.layout import NOTHING, Html, both, form, html, joined, page
from app.subjects import consents

router = page_router()
PATH: Final = OFFERED
GIVE: Final = "give"
DO_NOT: Final = "do-not"


@router.get(PATH + "/{text_sha256}")
async def show_text(text_sha256: str, request: Request, platform: PlatformDep) -> Response:
    """The text in both languages and two buttons; of what was never offered, that there is none."""
    guest = await find_sure_guest(request)
    if guest is None:
        return to_citizens_sign_in(request, platform.citizen_assurance)
    async with writing_in(request, platform) as session:
        shown = await consents.text_in_force(session, text_sha256)
    return page("同意の確認", "Do you consent?", _asked(guest, shown))


@router.post(PATH)
async def answer(request: Request, platform: PlatformDep) -> Response:
    """What a citizen answered to the page that showed the text."""
    sent = await read_form(request)
    guest = await find_sure_guest(request)
    if guest is None or not guest.is_sender_of(sent):
        raise FormNotOurs
    if sent.get("answer") != GIVE:
        return RedirectResponse(HOME, 303)
    names = await platform.linker.names(guest.person)
    async with writing_in(request, platform) as session:
        await consents.give(
            session,
            names=names,
            text_sha256=sent.get("text", ""),
            valid_until=None,
            method=Method.ONLINE,
            acr=guest.citizen.level.acr,
            by=BY,
        )
    return RedirectResponse(HOME, 303)


def _asked(guest: Guest, shown: ConsentText) -> Html:
    kept = {"text": shown.sha256}
    return html(
        '<p>{free}</p>{ja}<div lang="en">{en}</div>{yes}{no}',
        free=both(
            "同意するかどうかは自由です。次の文をよく読んでお答えください。",
            "You are free to say no. Read the following before you answer.",
        ),
        ja=_lines(shown.ja),
        en=_lines(shown.en),
        yes=form(PATH, guest.csrf, NOTHING, "同意する", "I consent", answer=GIVE, **kept),
        no=form(PATH, guest.csrf, NOTHING, "同意しない", "I do not consent", answer=DO_NOT, **kept),
    )


def _lines(text: str) -> Html:
    return joined(html("<p>{line}</p>", line=line) for line in text.splitlines())
