"""A citizen's own page: their consents, who read what about them, and the way out.

It names neither them nor any official, and what it ends it ends for who is signed in alone.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.api.me import uses_of
from app.api.my_shapes import access_out, consent_out, words_for
from app.api.sessions import PlatformDep, writing_in
from app.kit import clock
from app.policy.assurance import Level
from app.portal.citizen_visits import BY, HOME, Guest, find_sure_guest, to_citizens_sign_in
from app.portal.citizens import SIGN_OUT
from app.portal.door import FormNotOurs, page_router, read_form
from app.portal.layout import NOTHING, Html, both, form, html, joined, page
from app.subjects import consents
from app.subjects.consents import ConsentNotFound
from app.subjects.words import Named

router = page_router()
WITHDRAW: Final = "/me/withdraw"
_SHOWN: Final = 50
_LEVELS: Final = {
    Level.LOW: ("本人確認の強さ: 低", "How surely you signed in: low"),
    Level.SUBSTANTIAL: ("本人確認の強さ: 中", "How surely you signed in: substantial"),
    Level.HIGH: ("本人確認の強さ: 高", "How surely you signed in: high"),
}
_AMONG: Final = html(
    "<p>{said}</p>",
    said=both(
        "大勢の人の情報をまとめて見たもので、あなたの情報も含まれていた可能性があります。",
        "So many people's data was read at once that yours may have been among it.",
    ),
)


@router.get(HOME)
async def show_me(request: Request, platform: PlatformDep) -> Response:
    """Everything of who is signed in, surely enough; everybody else signs in first."""
    guest = await find_sure_guest(request)
    if guest is None:
        return to_citizens_sign_in(request, platform.citizen_assurance)
    names = await platform.linker.names(guest.person)
    uses = await uses_of(platform, names, _SHOWN)
    async with platform.database.reading() as session:
        given = await consents.list_of(session, names)
        words = await words_for(session, given, uses.accesses)
    body = html(
        "<p>{told}</p><h2>{mine}</h2>{consents}<h2>{reads}</h2>{accesses}<p>{level}</p>{out}",
        told=both(
            "あなたの情報がどう使われているかを確かめ、同意をとりやめることができます。",
            "See here how your data is used, and withdraw what you consented to.",
        ),
        mine=both("あなたの同意", "Your consents"),
        consents=_consents(guest, [consent_out(each, words) for each in given]),
        reads=both("あなたの情報を見た組織", "Who read your data"),
        accesses=_accesses([access_out(each, words) for each in uses.accesses], uses.is_cut),
        level=both(*_LEVELS[guest.citizen.level]),
        out=form(SIGN_OUT, guest.csrf, NOTHING, "サインアウト", "Sign out"),
    )
    return page("マイページ", "My page", body)


@router.post(WITHDRAW)
async def withdraw(request: Request, platform: PlatformDep) -> Response:
    """End a consent of who is signed in; of another's it says that there is none."""
    sent = await read_form(request)
    guest = await find_sure_guest(request)
    if guest is None or not guest.is_sender_of(sent):
        raise FormNotOurs
    try:
        consent_id = UUID(sent.get("consent", ""))
    except ValueError:
        raise ConsentNotFound(id="") from None
    names = await platform.linker.names(guest.person)
    async with writing_in(request, platform) as session:
        await consents.withdraw(session, consent_id, names=names, by=BY)
    return RedirectResponse(HOME, 303)


def _consents(guest: Guest, given: Sequence[dict[str, Any]]) -> Html:
    if not given:
        return html("<p>{none}</p>", none=both("同意はありません。", "There are none."))
    return joined(
        html(
            '<section aria-labelledby="c{id}"><h3 id="c{id}">{title}</h3><dl>{facts}</dl>{end}'
            "</section>",
            id=each["id"],  # of many buttons alike a screen reader tells which one it is
            title=_name(each["dataset"]),
            facts=joined(
                (
                    _fact("受け取る組織", "Given to", [each["consumer"]]),
                    _fact("使う目的", "What for", [each["purpose"]]),
                    _fact("渡される情報", "What is given", each["fields"]),
                    _fact("情報を持っている組織", "Held by", [each["provider"]]),
                )
            ),
            end=_end(guest, each),
        )
        for each in given
    )


def _end(guest: Guest, consent: dict[str, Any]) -> Html:
    """The button that ends a consent, or when it ended."""
    if consent["in_force"]:
        kept = {"consent": str(consent["id"])}
        until = _day(consent["valid_until"])
        return html(
            "<p>{until}</p>{button}",
            until=both(f"{until} まで有効です。", f"In force until {until}."),
            button=form(WITHDRAW, guest.csrf, NOTHING, "同意をとりやめる", "Withdraw", **kept),
        )
    day = _day(consent["withdrawn_at"] or consent["valid_until"])
    return html("<p>{ended}</p>", ended=both(f"{day} に終わりました。", f"Ended on {day}."))


def _accesses(read: Sequence[dict[str, Any]], is_cut: bool) -> Html:
    if not read:
        return html(
            "<p>{none}</p>", none=both("まだどの組織も見ていません。", "Nobody has read any.")
        )
    listed = joined(
        html(
            "<li>{at}<dl>{facts}</dl>{among}</li>",
            at=_day(each["at"]),
            facts=joined(
                (
                    _fact("見た組織", "Read by", [each["reader"]] if each["reader"] else []),
                    _fact("どの記録の", "Of what", [each["dataset"]]),
                    _fact("見た情報", "What was read", each["fields"]),
                    _fact("使う目的", "What for", [each["purpose"]] if each["purpose"] else []),
                )
            ),
            among=_AMONG if each["among_all"] else NOTHING,
        )
        for each in read
    )
    more = both(f"新しい{_SHOWN}件です。", f"These are the newest {_SHOWN}.") if is_cut else NOTHING
    return html("<ul>{listed}</ul><p>{more}</p>", listed=listed, more=more)


def _fact(ja: str, en: str, named: Sequence[Named]) -> Html:
    if not named:
        return NOTHING
    told = joined(html("<dd>{name}</dd>", name=_name(each)) for each in named)
    return html("<dt>{what}</dt>{told}", what=both(ja, en), told=told)


def _name(named: Named) -> str:
    return both(named.ja, named.en) if named.en else named.ja


def _day(at: Any) -> str:
    return str(at.astimezone(clock.TOKYO).strftime("%Y-%m-%d %H:%M"))
