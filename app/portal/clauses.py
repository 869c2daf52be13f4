"""The clause that requires the standard, as text, as DOCX and as a page, for whoever buys.

It stands here and not below: the numbers of the rules are the published standard's.
"""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlalchemy import select, tuple_
from starlette.responses import Response

from app.api.access import Reading
from app.api.problem import problems
from app.api.programme_access import (
    PROGRAMME_CODES,
    PROJECT_CODES,
    ProgrammesReader,
    owners_for,
)
from app.api.programme_shapes import Classes, Layouts
from app.api.sessions import PlatformDep
from app.api.tagged import tagged
from app.certify.lint import Standard
from app.conformance import requirements
from app.kit.clock import TOKYO
from app.models.profiles import Profile
from app.models.programmes import Programme
from app.portal.layout import Html, both, html, joined, page
from app.procurement import clause, docx
from app.procurement.clause import Block, Layout, Wanted
from app.programmes import programmes, projects

router = APIRouter(tags=["Procurement"])
_TEXT: Final = "text/plain; charset=utf-8"
_FILES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}, docx.MEDIA_TYPE: {}}}
}  # fmt: skip
Form = Annotated[Literal["text", "docx"], Query(alias="f", description="As text or as DOCX")]
Chosen = Annotated[Classes, Query(alias="class", default_factory=list)]
ChosenLayouts = Annotated[Layouts, Query(alias="profile", default_factory=list)]


@router.get(
    "/v1/procurement/clause", summary="The clause for classes and layouts of one's choice",
    response_class=Response, responses={**_FILES, **problems("requirements_invalid")},
)  # fmt: skip
async def show_clause(
    request: Request, session: Reading, platform: PlatformDep,
    classes: Chosen, layouts: ChosenLayouts, form: Form = "text",
) -> Response:  # fmt: skip
    """In Japanese, for a specification: which rules of which version, what a bidder hands in, how
    data come back at the end. Needs no token. `class` and `profile` may be given several times."""
    return await _answer(request, await _chosen(session, platform, classes, layouts), form)


@router.get("/standard/clause", include_in_schema=False)
async def show_page(
    session: Reading, platform: PlatformDep, classes: Chosen, layouts: ChosenLayouts
) -> Response:
    """The same to read and to choose by, for whoever writes a specification in a browser."""
    wanted = await _chosen(session, platform, classes, layouts)
    blocks, _ = await asyncio.to_thread(_made, wanted, "text")
    known = await requirements.in_force(session)
    body = html("{choice}{clause}", choice=_choice(wanted, known), clause=_body(blocks))
    return page("調達仕様書 記載例", "Clause for a specification", body)


@router.get(
    "/v1/programmes/{programme_id}/clause", summary="The clause for a programme",
    response_class=Response, responses={**_FILES, **problems(*PROGRAMME_CODES)},
)  # fmt: skip
async def show_clause_of_programme(
    programme_id: UUID, request: Request, _caller: ProgrammesReader, session: Reading,
    platform: PlatformDep, form: Form = "text",
) -> Response:  # fmt: skip
    """With what the programme requires."""
    programme = await programmes.get(session, programme_id, None)
    wanted = await _of_programme(session, programme, platform.issuer, programme.title)
    return await _answer(request, wanted, form)


@router.get(
    "/v1/projects/{project_id}/clause", summary="The clause for a project",
    response_class=Response, responses={**_FILES, **problems(*PROJECT_CODES)},
)  # fmt: skip
async def show_clause_of_project(
    project_id: UUID, request: Request, caller: ProgrammesReader, session: Reading,
    platform: PlatformDep, form: Form = "text",
) -> Response:  # fmt: skip
    """With what its programme requires."""
    found = await projects.get(session, project_id, await owners_for(session, caller))
    project, programme = found
    subject = f"{programme.title}　{project.title}"
    wanted = await _of_programme(session, programme, platform.issuer, subject)
    return await _answer(request, wanted, form)


async def _chosen(
    session: Reading, platform: PlatformDep, classes: Sequence[str], layouts: Sequence[str]
) -> Wanted:
    held = await requirements.checked(session, classes or ["core"], layouts)
    return await _wanted(session, held.classes, held.profiles, platform.issuer, None)


async def _of_programme(
    session: Reading, programme: Programme, address: str, subject: str
) -> Wanted:
    classes = programme.classes or ["core"]
    return await _wanted(session, classes, programme.profiles, address, subject)


async def _wanted(
    session: Reading, classes: Sequence[str], named: Sequence[str], address: str,
    subject: str | None,
) -> Wanted:  # fmt: skip
    parts = [each.rpartition("/") for each in named]
    keys = [(name, int(version)) for name, _, version in parts]
    its = select(Profile).where(tuple_(Profile.name, Profile.version).in_(keys))
    found = {(each.name, each.version): each for each in await session.scalars(its)}
    layouts = [
        Layout(
            each.name, each.version, each.title_ja, each.edition,
            _last_day(each.sunset_at),
        )
        for each in (found[key] for key in keys)
    ]  # fmt: skip
    return Wanted(classes, layouts, address, subject)


def _last_day(end: datetime | None) -> date | None:
    return (end.astimezone(TOKYO) - timedelta(microseconds=1)).date() if end else None


async def _answer(request: Request, wanted: Wanted, form: Form) -> Response:
    blocks, packed = await asyncio.to_thread(_made, wanted, form)
    if form == "docx":
        headers = {"Content-Disposition": 'attachment; filename="clause.docx"'}
        return tagged(request, packed, media_type=docx.MEDIA_TYPE, headers=headers)
    return tagged(request, clause.text_of(blocks).encode(), media_type=_TEXT)


def _made(wanted: Wanted, form: Form) -> tuple[list[Block], bytes]:
    blocks = clause.blocks(_standard(), wanted)
    return blocks, docx.packed(blocks) if form == "docx" else b""


@cache
def _standard() -> Any:
    return Standard.read().document.root


def _choice(wanted: Wanted, layouts: Sequence[str]) -> Html:
    """What can be chosen, and the file of what is chosen."""
    named = [f"{each.name}/{each.version}" for each in wanted.layouts]
    query = urlencode(
        [*(("class", each) for each in wanted.classes), *(("profile", each) for each in named)]
    )
    known = _standard()["x-conformance-classes"].items()
    return html(
        '<form action="/standard/clause">{classes}{layouts}<button>{label}</button></form>'
        '<p><a href="/v1/procurement/clause?{query}&amp;f=docx">DOCX</a>'
        ' <a href="/v1/procurement/clause?{query}">{text}</a></p>',
        classes=_select(
            "class", "適合クラス", "Conformance classes",
            [(name, f"{name} {told['ja']}", name in wanted.classes) for name, told in known],
        ),
        layouts=_select(
            "profile", "標準レイアウト", "Standard layouts",
            [(each, each, each in named) for each in sorted(layouts)],
        ),
        label=both("表示", "Show"), query=query, text=both("テキスト", "Text"),
    )  # fmt: skip


def _select(name: str, ja: str, en: str, options: Sequence[tuple[str, str, bool]]) -> Html:
    listed = joined(
        html(
            '<option value="{value}"{chosen}>{words}</option>',
            value=value, words=words, chosen=Html(" selected" if is_chosen else ""),
        )
        for value, words, is_chosen in options
    )  # fmt: skip
    return html(
        '<label for="{name}">{label}</label><select id="{name}" name="{name}" multiple size="6">'
        "{listed}</select>",
        name=name, label=both(ja, en), listed=listed,
    )  # fmt: skip


def _body(blocks: Sequence[Block]) -> Html:
    templates = {"heading": "<h2>{t}</h2>", "text": "<p>{t}</p>", "item": "<p>・{t}</p>"}
    return joined(
        html(templates[each.style], t=each.text) for each in blocks if each.style != "title"
    )
