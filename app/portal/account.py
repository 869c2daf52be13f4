"""The pages of a person's own account: who they are here, their password, their second factor."""

import asyncio
import base64
from typing import Final

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from app.api.access import PlatformDep
from app.api.limits import origin_of
from app.api.problem import request_id_of
from app.kit import clock
from app.kit.key_places import SecretKeyUnusable
from app.models.parties import Organization
from app.models.people import Person
from app.parties import organizations, people
from app.portal.door import FormNotOurs, FormUnreadable, page_router, read_form
from app.portal.layout import NOTHING, Html, both, field, form, html, joined, page, told_wrong
from app.portal.local_path import HOME, local_path
from app.portal.set_up import hash_new, new_password_fields
from app.portal.sign_in import SIGN_OUT, ReturnTo, code_field, leads_out, step_up
from app.portal.visits import TOTP, Visitor, find_visitor, is_form_of, to_second_factor, to_sign_in
from app.signin import changes, totp
from app.signin.accounts import about_totp

router = page_router()
_PASSWORD: Final = "/account/password"  # noqa: S105 - a path
_ROLES: Final = {
    "operator": ("運営者", "operator"),
    "coordinator": ("コーディネーター", "coordinator"),
    "steward": ("データ管理者", "steward"),
    "developer": ("開発者", "developer"),
    "auditor": ("監査者", "auditor"),
}
_WRONG_PASSWORD: Final = told_wrong(
    "今のパスワードが違います。続けて間違えると、サインアウトされます。",
    "The present password is wrong. After several failures you are signed out.",
)
_WRONG_EITHER: Final = told_wrong(
    "パスワードか確認コードが違います。続けて間違えると、サインアウトされます。",
    "The password or the code is wrong. After several failures you are signed out.",
)


@router.get(HOME)
async def show_account(request: Request, platform: PlatformDep) -> Response:
    """Who is signed in, what they may do here, and how to change what proves them."""
    visitor = await find_visitor(request)
    if visitor is None:
        return to_sign_in(request)
    async with platform.database.reading() as session:
        person = await people.get(session, visitor.person.person_id)
        organization = await organizations.get(session, person.organization_id)
    open_now = await platform.sign_ins.count(person.id)
    body = joined((_facts(person, organization, open_now), _ways(person), _ends(visitor)))
    return page("アカウント", "My account", body)


def _facts(person: Person, organization: Organization, open_now: int) -> Html:
    roles = [both(*_ROLES.get(role, (role, role))) for role in person.roles]
    told = (
        (both("氏名", "Name"), html("{it}", it=person.name)),
        (both("メールアドレス", "Mail address"), html("{it}", it=person.email)),
        (
            both("組織", "Organisation"),
            html("{name} <code>{id}</code>", name=organization.name_ja, id=organization.id),
        ),
        (both("役割", "Roles"), Html("、".join(roles)) if roles else both("なし", "none")),
        (both("開いているセッション", "Open sessions"), html("{it}", it=open_now)),
        (
            both("二要素", "Second factor"),
            both("設定済み", "set up") if person.has_second_factor else both("未設定", "none"),
        ),
    )
    lines = joined(html("<dt>{name}</dt><dd>{it}</dd>", name=name, it=it) for name, it in told)
    return html("<dl>{lines}</dl>", lines=lines)


def _ways(person: Person) -> Html:
    if person.provider_id is not None:
        return html(
            "<p>{told}</p>",
            told=both(
                "パスワードと二要素は、組織の認証基盤で管理されています。",
                "Your organisation's provider keeps your password and second factor.",
            ),
        )
    change = html(
        '<li><a href="{to}">{told}</a></li>',
        to=_PASSWORD,
        told=both("パスワードを変える", "Change password"),
    )
    add = html(
        '<li><a href="{to}">{told}</a></li>',
        to=TOTP,
        told=both("二要素を設定する", "Set up a second factor"),
    )
    return html(
        "<ul>{ways}</ul>", ways=joined((change,) if person.has_second_factor else (change, add))
    )


def _ends(visitor: Visitor) -> Html:
    return joined((
        form(SIGN_OUT, visitor.csrf, NOTHING, "サインアウト", "Sign out"),
        form(
            SIGN_OUT, visitor.csrf, NOTHING,
            "すべての端末でサインアウト", "Sign out everywhere", everywhere="1",
        ),
    ))  # fmt: skip


@router.get(_PASSWORD)
async def show_password(request: Request, platform: PlatformDep) -> Response:
    """The form to change one's password: for who has a second factor, after that."""
    visitor = await find_visitor(request)
    if visitor is None:
        return to_sign_in(request)
    person = await _person(platform, visitor)
    return to_second_factor(request) if _lacks_second(visitor, person) else _password_page(visitor)


async def _person(platform: PlatformDep, visitor: Visitor) -> Person:
    async with platform.database.reading() as session:
        return await people.get(session, visitor.person.person_id)


def _lacks_second(visitor: Visitor, person: Person) -> bool:
    """Whether a stolen session and a known password are all that was shown.

    A right password ends the count of failures, so it is not asked for before the code is right.
    """
    return person.has_second_factor and not visitor.person.has_second_factor


def _old_password() -> Html:
    return field(
        "password", "今のパスワード", "Present password",
        kind="password", autocomplete="current-password",
    )  # fmt: skip


def _password_page(visitor: Visitor, told: Html = NOTHING, status: int = 200) -> Response:
    inputs = joined((_old_password(), new_password_fields()))
    sent = form(_PASSWORD, visitor.csrf, inputs, "変える", "Change")
    return page("パスワードの変更", "Change password", joined((told, sent)), status=status)


@router.post(_PASSWORD)
async def change_password(request: Request, platform: PlatformDep) -> Response:
    """Change it for who knows the old one. Every other session of the person is ended."""
    visitor, sent = await _sent_by_visitor(request, platform)
    person = await _person(platform, visitor)
    if _lacks_second(visitor, person):
        return to_second_factor(request)
    if not await platform.accounts.is_password(
        person.id, visitor.secret, sent.get("password", ""), request_id_of(request)
    ):
        return _password_page(visitor, _WRONG_PASSWORD, status=403)
    hashed, wrong = await hash_new(person, sent)
    if not hashed:
        return _password_page(visitor, wrong, status=422)
    async with platform.database.writing() as session:
        await changes.set_password(session, person.id, hashed, keeping=visitor.secret)
    return RedirectResponse(HOME, 303)


@router.get(TOTP)
async def show_totp(
    request: Request, platform: PlatformDep, return_to: ReturnTo = None
) -> Response:
    """A new secret as text and as a picture. It is nobody's until a first code proves it."""
    visitor = await find_visitor(request)
    if visitor is None:
        return to_sign_in(request)
    person = await _local(platform, visitor)
    return await _totp_page(platform, visitor, person, totp.new_secret(), local_path(return_to))


async def _local(platform: PlatformDep, visitor: Visitor) -> Person:
    """The person, who may set up a second factor here."""
    person = await _person(platform, visitor)
    if person.provider_id is not None:
        raise changes.SignsInElsewhere(person=person.id)
    if person.has_second_factor:
        raise changes.SecondFactorSetUp
    return person


async def _totp_page(
    platform: PlatformDep,
    visitor: Visitor,
    person: Person,
    secret: str,
    to: str,
    told: Html = NOTHING,
) -> Response:
    sealed = platform.sealer.seal(secret.encode(), about=_about_new(visitor))
    groups = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    inputs = joined((
        code_field("アプリに表示された確認コード", "Code that the app shows"),
        _old_password(),
    ))  # fmt: skip
    body = html(
        "{told}<p>{how}</p>{picture}<p><code>{secret}</code></p>{sent}",
        told=told,
        how=both(
            "認証アプリでこの図を読み取るか、下の文字を入力してください。",
            "Scan this with an authenticator app, or type the characters below it.",
        ),
        picture=Html(await asyncio.to_thread(totp.picture_of, totp.uri_of(secret, person.email))),
        secret=groups,
        sent=form(
            TOTP, visitor.csrf, inputs, "設定する", "Set up",
            sealed=base64.urlsafe_b64encode(sealed).decode(), return_to=to,
        ),
    )  # fmt: skip
    return page(
        "二要素の設定", "Set up a second factor", body,
        status=403 if told else 200, forms_lead_out=leads_out(to),
    )  # fmt: skip


def _about_new(visitor: Visitor) -> str:
    """A secret that was shown is taken back from the session that it was shown to, and no other."""
    return f"totp-shown:{visitor.person.person_id}:{visitor.csrf}"


@router.post(TOTP)
async def set_totp(request: Request, platform: PlatformDep) -> Response:
    """Keep the secret of who knows the password and has shown its first code."""
    visitor, sent = await _sent_by_visitor(request, platform)
    person, to = await _local(platform, visitor), local_path(sent.get("return_to"))
    secret = _shown_secret(platform, visitor, sent)
    step = totp.step_of(secret, sent.get("code", ""), clock.now())
    is_password = await platform.accounts.is_password(
        person.id, visitor.secret, sent.get("password", ""), request_id_of(request)
    )
    if step is None or not is_password:
        return await _totp_page(platform, visitor, person, secret, to, _WRONG_EITHER)
    kept = platform.sealer.seal(secret.encode(), about=about_totp(person.id))
    async with platform.database.writing() as session:
        await changes.set_totp(session, person.id, kept, step, keeping=visitor.secret)
    return await step_up(request, platform, visitor, to)


def _shown_secret(platform: PlatformDep, visitor: Visitor, sent: dict[str, str]) -> str:
    try:
        sealed = base64.urlsafe_b64decode(sent.get("sealed", ""))
        return platform.sealer.unseal(sealed, about=_about_new(visitor)).decode()
    except (ValueError, SecretKeyUnusable):
        raise FormUnreadable from None


async def _sent_by_visitor(
    request: Request, platform: PlatformDep
) -> tuple[Visitor, dict[str, str]]:
    """Who sent a form of their own session, counted by their address."""
    sent = await read_form(request)
    visitor = await find_visitor(request)
    if visitor is None or not is_form_of(visitor, sent):
        raise FormNotOurs
    await platform.limits.sign_in(origin_of(request.scope))
    return visitor, sent
