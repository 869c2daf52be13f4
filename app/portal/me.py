"""A citizen's own page: how they signed in, and the way out. Shows nobody's name, theirs neither."""

from starlette.requests import Request
from starlette.responses import Response

from app.api.citizens import check_level
from app.api.sessions import PlatformDep
from app.policy.assurance import Level
from app.portal.citizen_visits import HOME, Guest, find_guest, to_citizens_sign_in
from app.portal.citizens import SIGN_OUT
from app.portal.door import page_router
from app.portal.layout import NOTHING, Html, both, form, html, page

router = page_router()


@router.get(HOME)
async def show_me(request: Request, platform: PlatformDep) -> Response:
    """Who is signed in, surely enough; everybody else signs in first."""
    guest = await find_guest(request)
    if guest is None:
        return to_citizens_sign_in(request, platform.citizen_assurance)
    check_level(platform, guest.citizen.level)
    return page("マイページ", "My page", _out(guest))


def _out(guest: Guest) -> Html:
    return html(
        "<p>{level}</p>{out}",
        level=both(*_LEVELS[guest.citizen.level]),
        out=form(SIGN_OUT, guest.csrf, NOTHING, "サインアウト", "Sign out"),
    )


_LEVELS = {
    Level.LOW: ("本人確認の強さ: 低", "How surely you signed in: low"),
    Level.SUBSTANTIAL: ("本人確認の強さ: 中", "How surely you signed in: substantial"),
    Level.HIGH: ("本人確認の強さ: 高", "How surely you signed in: high"),
}
