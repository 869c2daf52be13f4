"""What every page's door does: reads a form, and tells refusals as pages. Holds no page."""

from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.api.handlers import record_refusal
from app.api.problem import STATUS, TITLES
from app.kit.errors import AppError, Kind
from app.portal.layout import both, html, page, told_wrong

_LONGEST_FORM: Final = 16 * 1024
_MOST_FIELDS: Final = 30
_ACCOUNT: Final = ("/account", "アカウントへ", "To my account")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


class FormUnreadable(AppError):
    """What was sent is no form of a page."""

    kind = Kind.MALFORMED
    code = "form_unreadable"
    ja = "送信内容を読めません。前のページを開き直してください。"
    en = "What was sent cannot be read. Open the page before this one again."


class FormNotOurs(AppError):
    """The form came from no page that this browser was given: from elsewhere, or too late."""

    kind = Kind.FORBIDDEN
    code = "form_not_ours"
    ja = "フォームの有効期限が切れたか、他のサイトから送られました。ページを開き直して送信してください。"
    en = "The form is too old or came from elsewhere. Open the page again and send it anew."


class PageRoute(APIRoute):
    """A route whose refusals are pages, in both languages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, which lets no refusal pass as JSON."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except AppError as refusal:
                await record_refusal(request, refusal)
                return refusal_page(refusal, of_citizen=request.url.path.startswith("/me"))

        return handled


def page_router() -> APIRouter:
    """A router for pages: not in the OpenAPI document, small bodies, refusals as pages."""
    return APIRouter(include_in_schema=False, route_class=PageRoute, max_body_size=_LONGEST_FORM)


def refusal_page(refusal: AppError, *, of_citizen: bool = False) -> Response:
    """A refusal in words, with its code, and the way back to one's own page."""
    home, ja, en = ("/me", "マイページへ", "To my page") if of_citizen else _ACCOUNT
    status = STATUS[refusal.kind]
    body = html(
        '{told}<p><code>{code}</code></p><p><a href="{home}">{back}</a></p>',
        told=told_wrong(refusal.words("ja"), refusal.words("en")),
        code=refusal.code,
        home=home,
        back=both(ja, en),
    )
    response = page(*TITLES[status], body, status=status)
    response.headers.update(refusal.headers)
    return response


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each of them once. Raises `FormUnreadable`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM_TYPE:
        raise FormUnreadable
    try:
        pairs = parse_qsl(
            (await request.body()).decode(),
            keep_blank_values=True,
            max_num_fields=_MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise FormUnreadable from None
    fields = dict(pairs)
    if len(fields) != len(pairs) or any("\x00" in value for value in fields.values()):
        raise FormUnreadable
    return fields
