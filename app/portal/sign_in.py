"""The pages that people sign in, step up and sign out at. Says never why a sign-in was refused."""

from typing import Annotated, Final

from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from app.api.access import PlatformDep
from app.api.limits import origin_of
from app.api.problem import request_id_of
from app.audit.events import Event
from app.models.people import Person
from app.parties import people
from app.portal.door import FormNotOurs, page_router, read_form
from app.portal.layout import NOTHING, Html, both, field, form, html, page, told_wrong
from app.portal.local_path import leading_to, local_path
from app.portal.visits import (
    AGAIN,
    BY_PROVIDER,
    SECOND_FACTOR,
    SIGN_IN,
    TOTP,
    Visitor,
    find_visitor,
    forget_session,
    form_secret,
    is_form_of,
    is_form_of_browser,
    keep_form,
    keep_session,
    to_sign_in,
)
from app.signin.sessions import csrf_of

router = page_router()
SIGN_OUT: Final = "/sign-out"
_TITLE: Final = ("サインイン", "Sign in")
_WRONG: Final = told_wrong(
    "サインインできません。入力を確かめてください。二要素を設定した人は、新しい確認コードも必要です。"
    "続けて間違えると、しばらく受け付けません。",
    "Not signed in. Check what you typed; who has set up a second factor also gives a new code. "
    "After several failures the account waits for a while.",
)
_WRONG_CODE: Final = told_wrong(
    "確認できません。新しく表示されたコードを入力してください。続けて間違えると、サインアウトされます。",
    "Not confirmed. Type the code that is shown next. After several failures you are signed out.",
)
ReturnTo = Annotated[str | None, Query()]
Again = Annotated[str | None, Query(description="whoever is signed in is to sign in anew")]


def code_field(ja: str, en: str, *, required: bool = True) -> Html:
    """The input of a one-time code."""
    return field("code", ja, en, autocomplete="one-time-code", required=required)


def leads_out(return_to: str) -> bool:
    """Whether what comes after ends, by redirects, at an app of another origin."""
    return return_to.startswith("/oauth/")


@router.get(SIGN_IN)
async def show_sign_in(
    request: Request, return_to: ReturnTo = None, again: Again = None
) -> Response:
    """The form; who is signed in goes on at once, unless they are to prove themselves again."""
    to = local_path(return_to)
    if again is None and await find_visitor(request) is not None:
        return RedirectResponse(to, 303)
    return _sign_in_page(request, to, again=again is not None)


def _sign_in_page(
    request: Request,
    to: str,
    told: Html = NOTHING,
    email: str = "",
    status: int = 200,
    *,
    again: bool = False,
) -> Response:
    secret = form_secret(request)
    inputs = html(
        "{email}{password}{code}",
        email=field(
            "email", "メールアドレス", "Mail address",
            kind="email", value=email, autocomplete="username",
        ),
        password=field(
            "password", "パスワード", "Password",
            kind="password", autocomplete="current-password",
        ),
        code=code_field("確認コード（二要素を設定した人）", "Code, if you set up a second factor", required=False),
    )  # fmt: skip
    sent = form(SIGN_IN, csrf_of(secret), inputs, *_TITLE, return_to=to)
    body = html(
        '{told}{sent}<p><a href="{onward}">{where}</a></p>',
        told=told,
        sent=sent,
        onward=leading_to(BY_PROVIDER, to, again=again),
        where=both("組織のアカウントでサインインする", "Sign in with your organisation's account"),
    )
    response = page(*_TITLE, body, status=status, forms_lead_out=leads_out(to))
    keep_form(request, response, secret)
    return response


@router.post(SIGN_IN)
async def sign_in(request: Request, platform: PlatformDep) -> Response:
    """Open a session for who proves who they are. It is a new one, whatever the browser held."""
    sent = await read_form(request)
    if not is_form_of_browser(request, sent):
        raise FormNotOurs
    await platform.limits.sign_in(origin_of(request.scope))
    to, email = local_path(sent.get("return_to")), sent.get("email", "").strip()
    secret = await platform.accounts.sign_in(
        email, sent.get("password", ""), sent.get("code", ""), request_id_of(request)
    )
    if secret is None:
        return _sign_in_page(request, to, _WRONG, email, status=403)
    held = await find_visitor(request)
    if held is not None:
        await platform.sign_ins.end(held.secret)
    response = RedirectResponse(to, 303)
    keep_session(request, response, secret)
    return response


@router.get(SECOND_FACTOR)
async def show_second_factor(
    request: Request, platform: PlatformDep, return_to: ReturnTo = None
) -> Response:
    """The form of the second factor, for what needs one proven lately."""
    visitor = await find_visitor(request)
    if visitor is None:
        return to_sign_in(request)
    to = local_path(return_to)
    async with platform.database.reading() as session:
        person = await people.get(session, visitor.person.person_id)
    if not person.has_second_factor:
        return _no_second_factor(person, to)
    return _second_factor_page(visitor, to)


def _second_factor_page(
    visitor: Visitor, to: str, told: Html = NOTHING, status: int = 200
) -> Response:
    inputs = code_field("認証アプリの確認コード", "Code of your authenticator app")
    sent = form(SECOND_FACTOR, visitor.csrf, inputs, "確認する", "Confirm", return_to=to)
    body = html("{told}{sent}", told=told, sent=sent)
    title = ("二要素の確認", "Second factor")
    return page(*title, body, status=status, forms_lead_out=leads_out(to))


def _no_second_factor(person: Person, to: str) -> Response:
    """Where somebody without a second factor here gets one: from their provider, or here."""
    if person.provider_id is not None:
        told = both("組織の認証基盤で、二要素を使ってサインインし直してください。",
                    "Sign in again at your organisation's provider, with both factors.")  # fmt: skip
        onward, where = (
            leading_to(AGAIN, to),
            both("サインインし直す", "Sign in again"),
        )
    else:
        told = both("この操作には二要素での確認が必要ですが、まだ設定されていません。",
                    "This needs a second factor, and you have set up none.")  # fmt: skip
        onward, where = leading_to(TOTP, to), both("二要素を設定する", "Set up a second factor")
    body = html(
        '<p>{told}</p><p><a href="{onward}">{where}</a></p>', told=told, onward=onward, where=where
    )
    return page("二要素の確認", "Second factor", body, status=403)


@router.post(SECOND_FACTOR)
async def prove_second_factor(request: Request, platform: PlatformDep) -> Response:
    """Note the second factor in the session, whose secret changes with it."""
    sent = await read_form(request)
    visitor = await find_visitor(request)
    if visitor is None or not is_form_of(visitor, sent):
        raise FormNotOurs
    await platform.limits.sign_in(origin_of(request.scope))
    person, to = visitor.person, local_path(sent.get("return_to"))
    if not await platform.accounts.is_code(
        person.person_id, visitor.secret, sent.get("code", ""), request_id_of(request)
    ):
        return _second_factor_page(visitor, to, _WRONG_CODE, status=403)
    return await step_up(request, platform, visitor, to)


async def step_up(request: Request, platform: PlatformDep, visitor: Visitor, to: str) -> Response:
    """Go on with a session that has both factors and a new secret."""
    methods = tuple(dict.fromkeys((*visitor.person.methods, "otp")))
    secret = await platform.sign_ins.step_up(visitor.secret, methods)
    if secret is None:  # ended meanwhile, elsewhere
        return RedirectResponse(leading_to(SIGN_IN, to), 303)
    await platform.log.write(
        Event.SIGNED_IN,
        person=visitor.person.person_id,
        methods=methods,
        stepped_up=True,
        request=request_id_of(request),
    )
    response = RedirectResponse(to, 303)
    keep_session(request, response, secret)
    return response


@router.post(SIGN_OUT)
async def sign_out(request: Request, platform: PlatformDep) -> Response:
    """End this session, or with `everywhere` every one of the person."""
    sent = await read_form(request)
    visitor = await find_visitor(request)
    if visitor is not None:  # else it ran out by itself
        if not is_form_of(visitor, sent):
            raise FormNotOurs
        await _end(request, platform, visitor, everywhere="everywhere" in sent)
    response = page(
        "サインアウトしました",
        "You are signed out",
        html('<p><a href="{to}">{back}</a></p>', to=SIGN_IN, back=both(*_TITLE)),
    )
    forget_session(request, response)
    return response


async def _end(
    request: Request, platform: PlatformDep, visitor: Visitor, *, everywhere: bool
) -> None:
    person_id = visitor.person.person_id
    await platform.sign_ins.end(visitor.secret)
    if everywhere:
        await platform.sign_ins.end_all(person_id)
    await platform.log.write(
        Event.SIGNED_OUT, person=person_id, everywhere=everywhere, request=request_id_of(request)
    )
