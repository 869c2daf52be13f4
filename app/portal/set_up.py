"""The page where a person sets their password, by a link that works once. Shows no address."""

from typing import Annotated, Final

from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from app.api.access import PlatformDep
from app.api.limits import origin_of
from app.models.people import Person
from app.portal.door import FormNotOurs, page_router, read_form
from app.portal.layout import NOTHING, Html, field, form, html, joined, page, told_wrong
from app.portal.visits import SIGN_IN, form_secret, is_form_of_browser, keep_form
from app.signin import changes
from app.signin.passwords import LONGEST, SHORTEST, PasswordRefused
from app.signin.sessions import csrf_of

router = page_router()
_PATH: Final = "/set-up"
_DIFFER: Final = told_wrong("2回の入力が違います。", "The two passwords are not the same.")


def new_password_fields() -> Html:
    """A new password, twice."""
    return joined((
        field(
            "new", f"新しいパスワード（{SHORTEST}〜{LONGEST}文字。記号や数字は必須ではありません）",
            f"New password of {SHORTEST} to {LONGEST} characters, of any kind",
            kind="password", autocomplete="new-password",
        ),
        field(
            "repeated", "新しいパスワード（もう一度）", "New password again",
            kind="password", autocomplete="new-password",
        ),
    ))  # fmt: skip


async def hash_new(person: Person, sent: dict[str, str]) -> tuple[str, Html]:
    """The hash of the new password that was sent, or nothing and what is wrong with it."""
    if sent.get("new") != sent.get("repeated"):
        return "", _DIFFER
    try:
        return await changes.hash_for(person, sent.get("new", "")), NOTHING
    except PasswordRefused as refused:
        return "", told_wrong(refused.words("ja"), refused.words("en"))


@router.get(_PATH)
async def show_set_up(
    request: Request, platform: PlatformDep, key: Annotated[str, Query()] = ""
) -> Response:
    """The form. Looking at it uses nothing up: programs that check mail follow links too."""
    await platform.limits.sign_in(origin_of(request.scope))
    async with platform.database.reading() as session:
        person = await changes.find_by_link(session, key)
    return _page(request, person, key)


def _page(
    request: Request, person: Person, key: str, told: Html = NOTHING, status: int = 200
) -> Response:
    secret = form_secret(request)
    body = html(
        "<p>{name}</p>{told}{sent}",
        name=person.name,
        told=told,
        sent=form(
            _PATH, csrf_of(secret), new_password_fields(), "設定する", "Set password", key=key
        ),
    )
    response = page("パスワードの設定", "Set your password", body, status=status)
    keep_form(request, response, secret)
    return response


@router.post(_PATH)
async def set_up(request: Request, platform: PlatformDep) -> Response:
    """Set the password. The link opens nothing from then on, and every session is ended."""
    sent = await read_form(request)
    if not is_form_of_browser(request, sent):
        raise FormNotOurs
    await platform.limits.sign_in(origin_of(request.scope))
    key = sent.get("key", "")
    async with platform.database.reading() as session:
        person = await changes.find_by_link(session, key)
    hashed, wrong = await hash_new(person, sent)
    if not hashed:
        return _page(request, person, key, wrong, status=422)
    async with platform.database.writing() as session:
        await changes.use_link(session, key, hashed)
    return RedirectResponse(f"{SIGN_IN}?again=1", 303)
