"""Pages of the sign-in through an organisation's provider. Show nothing that a provider wrote."""

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.api.limits import origin_of
from app.api.parameters import reads_own_parameters
from app.api.sessions import PlatformDep, Reading, writing_in
from app.api.state import Platform
from app.audit.events import Event
from app.kit.errors import AppError, Kind
from app.parties import people
from app.parties.vouched import PersonShutOut, Vouched, settle
from app.portal.door import FormNotOurs, page_router, read_form
from app.portal.layout import both, field, form, html, joined, page
from app.portal.local_path import leading_to, local_path
from app.portal.sign_in import Again, ReturnTo
from app.portal.visits import (
    AGAIN,
    BY_PROVIDER,
    SIGN_IN,
    find_visitor,
    form_secret,
    is_form_of_browser,
    keep_form,
    keep_session,
    to_sign_in,
)
from app.signin import providers
from app.signin.federation import SomebodyElse, Told
from app.signin.sessions import csrf_of

router = page_router()


class NoProviderForDomain(AppError):
    """No provider vouches for the domain of the address."""

    kind = Kind.NOT_FOUND
    code = "no_provider_for_domain"
    ja = "このメールアドレスのドメインに対応する認証プロバイダーはありません。綴りを確かめるか、パスワードでサインインしてください。"
    en = "No identity provider vouches for this address's domain. Check it, or use a password."


class NotFederated(AppError):
    """The person does not sign in by a provider."""

    kind = Kind.CONFLICT
    code = "not_federated"
    ja = "このアカウントは組織の認証プロバイダーでサインインするものではありません。"
    en = "This account does not sign in by an organisation's identity provider."


class AnswerUnreadable(AppError):
    """A member of the provider's answer is there more than once (RFC 6749, 3.1)."""

    kind = Kind.MALFORMED
    code = "answer_unreadable"
    ja = "認証プロバイダーの応答を読めません。もう一度サインインしてください。"
    en = "The identity provider's answer cannot be read. Sign in once more."


@router.get(BY_PROVIDER)
async def ask_address(
    request: Request, return_to: ReturnTo = None, again: Again = None
) -> Response:
    """Asks for the mail address, whose domain says which provider it is."""
    secret = form_secret(request)
    inside = joined(
        (
            html(
                "<p>{said}</p>",
                said=both(
                    "組織のメールアドレスを入力すると、組織のサインイン画面に移ります。",
                    "Your address takes you to your organisation's own sign-in.",
                ),
            ),
            field("email", "メールアドレス", "Mail address", kind="email", autocomplete="email"),
        )
    )
    where = local_path(return_to)
    kept = {"return_to": where, **({} if again is None else {"again": "1"})}
    body = html(
        '{form}<p><a href="{local}">{said}</a></p>',
        form=form(BY_PROVIDER, csrf_of(secret), inside, "次へ", "Next", **kept),
        local=leading_to(SIGN_IN, where),
        said=both("パスワードでサインインする", "Sign in with a password"),
    )
    title = ("組織のアカウントでサインイン", "Sign in with your organisation's account")
    response = page(*title, body, forms_lead_out=True)
    keep_form(request, response, secret)
    return response


@router.post(BY_PROVIDER)
async def choose_provider(request: Request, session: Reading) -> Response:
    """To the provider of the address's domain."""
    sent = await read_form(request)
    if not is_form_of_browser(request, sent):
        raise FormNotOurs
    domain = sent.get("email", "").strip().rpartition("@")[2]
    provider = await providers.find_by_domain(session, domain)
    if provider is None:
        raise NoProviderForDomain
    where = leading_to(
        f"{BY_PROVIDER}/{provider.id}", local_path(sent.get("return_to")), again="again" in sent
    )
    return RedirectResponse(where, 303)


@router.get(BY_PROVIDER + "/{provider_id}")
async def begin(
    provider_id: str,
    request: Request,
    platform: PlatformDep,
    return_to: ReturnTo = None,
    again: Again = None,
) -> Response:
    """To a provider, and back to what was asked for."""
    return await _sent_out(request, platform, provider_id, return_to, again=again is not None)


@router.get(BY_PROVIDER + "/{provider_id}/jwks")
async def public_keys(provider_id: str, session: Reading) -> Response:
    """The public key that we prove ourselves to this provider with."""
    provider = await providers.get(session, provider_id)
    keys = [provider.public_jwk] if provider.public_jwk else []
    return JSONResponse({"keys": keys}, headers={"Cache-Control": "public, max-age=300"})


@router.get(AGAIN)
async def step_up(request: Request, platform: PlatformDep, return_to: ReturnTo = None) -> Response:
    """To the provider of who is signed in, for a second factor; and back."""
    visitor = await find_visitor(request)
    if visitor is None:
        return to_sign_in(request)
    async with platform.database.reading() as session:
        person = await people.get(session, visitor.person.person_id)
    if person.provider_id is None:
        raise NotFederated
    return await _sent_out(request, platform, person.provider_id, return_to, person=person.id)


@router.get("/sign-in/callback/{provider_id}")
@reads_own_parameters  # providers add what they like; RFC 6749, 4.1.2: what is unknown is ignored
async def come_back(provider_id: str, request: Request, platform: PlatformDep) -> Response:
    """Reads the provider's answer, and opens a session for whom it vouches for."""
    answer = dict(request.query_params)
    try:
        if len(answer) != len(request.query_params.multi_items()):
            raise AnswerUnreadable
        told = await platform.federation.finish(provider_id, form_secret(request), answer)
        secret = await _let_in(request, platform, told)
    except AppError as refusal:
        why = refusal.named.get("why")
        await platform.log.write(
            Event.SIGN_IN_REFUSED, provider=provider_id, code=refusal.code, why=why
        )
        refusal.logged = True
        raise
    response = RedirectResponse(local_path(told.return_to), 303)
    keep_session(request, response, secret)
    return response


async def _let_in(request: Request, platform: Platform, told: Told) -> str:
    """The secret of the session of who signed in, once the registry has them as they are now."""
    reading = told.reading
    vouched = Vouched(
        told.provider_id, told.subject, reading.organization_id, reading.roles, reading.name,
        reading.email,
    )  # fmt: skip
    visitor = await find_visitor(request)
    async with writing_in(request, platform) as session:
        person = await settle(session, vouched)
        if told.step_up_for is not None:
            its = visitor.person.person_id if visitor else None
            if not person.id == told.step_up_for == its:
                raise SomebodyElse
    secret = None
    if visitor is not None and told.step_up_for is not None:
        secret = await platform.sign_ins.step_up(visitor.secret, told.methods)
    elif visitor is not None:
        await platform.sign_ins.end(visitor.secret)
    secret = secret or await platform.sign_ins.open(
        person.id, told.methods, second_factor=told.second_factor, signed_in_at=told.signed_in_at
    )
    if secret is None:
        raise PersonShutOut
    await platform.log.write(
        Event.SIGNED_IN, person=person.id, organization=person.organization_id,
        provider=told.provider_id, methods=list(told.methods),
    )  # fmt: skip
    return secret


async def _sent_out(
    request: Request,
    platform: Platform,
    provider_id: str,
    return_to: str | None,
    *,
    again: bool = False,
    person: str | None = None,
) -> Response:
    await platform.limits.sign_in(origin_of(request.scope))
    browser = form_secret(request)
    address = await platform.federation.begin(
        provider_id, browser, local_path(return_to), again=again, step_up_for=person
    )
    response = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
    keep_form(request, response, browser)
    return response
