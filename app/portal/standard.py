"""The published standard for people: every rule on one page that loads nothing, and all of it as one
file to take along. Shows what `openapi/linkage-v1.yaml` says, and says nothing of its own."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.agreements.purposes import list_purposes
from app.api.access import Reading
from app.api.sessions import PlatformDep
from app.api.tagged import tagged
from app.catalogue import profiles
from app.catalogue.profile_schema import record_schema
from app.certify.lint import STANDARD, Standard
from app.portal import standard_operations, standard_steps
from app.portal.layout import NOTHING, Html, both, coded, html, joined, page
from app.systems.description import BUSINESSES

router = APIRouter(include_in_schema=False)
BUNDLE: Final = "linkage-v1.zip"
# Files of one bundle are the same bytes each time: the day is none, and known to be.
_NO_DAY: Final = (2026, 1, 1, 0, 0, 0)
_READ_ME: Final = f"""データ連携標準インタフェース / Linkage Interface

standard.html     標準を読むためのページ。規則ごとに理由と例があり、操作ごとに応答の例があります。
                  The standard to be read. Every rule has its reason and an example, every operation
                  an answer.
linkage-v1.yaml   標準（OpenAPI 3.1）。規則は x-rules に、応答の形は components/schemas にあります。
                  The standard. Rules are under x-rules, the shapes of answers under components/schemas.
codes/            コード表。団体コードは大阪府内のもの、利用目的はこの基盤のものです。検査数字の規則
                  （CODE-01〜03）は全国のコードに当てはまります。
                  Code lists: local governments of Osaka Prefecture, purposes of use of this platform.
                  The rules on check digits (CODE-01 to 03) hold for codes of the whole country.
profiles/         標準レイアウトの JSON Schema。urbanos certify --profile で確かめます。
                  JSON Schemas of the standard layouts, for urbanos certify --profile.

認証を受けるまで / How to be certified

{standard_steps.plain()}"""


@router.get("/standard")
async def show_standard() -> Response:
    """The rules by class, the operations, and how the standard may change."""
    return await asyncio.to_thread(_page, "/standard/")


@router.get("/standard/linkage-v1.yaml")
async def show_document(request: Request) -> Response:
    """The standard itself, as it is reviewed."""
    text = await asyncio.to_thread(STANDARD.read_bytes)
    return tagged(request, text, media_type="application/yaml")


@router.get(f"/standard/{BUNDLE}")
async def show_bundle(request: Request, session: Reading, platform: PlatformDep) -> Response:
    """The standard with its code lists and the schemas of all layouts that are in use."""
    schemas = {
        f"profiles/{each.name}-{each.version}.schema.json": record_schema(each, platform.issuer)
        for each in await profiles.layouts(session)
    }
    purposes = [
        {"code": each.code, "ja": each.name_ja, "en": each.name_en}
        for each in await list_purposes(session)
    ]
    packed = await asyncio.to_thread(_packed, {"codes/purposes.json": purposes, **schemas})
    return tagged(request, packed, media_type="application/zip")


def _packed(given: Mapping[str, Any]) -> bytes:
    codes = resources.files("app.parties") / "data"
    files = {
        "README.txt": _READ_ME.encode(),
        "linkage-v1.yaml": STANDARD.read_bytes(),
        "standard.html": bytes(_page("").body),
    }
    for name in ("local_governments.csv", "wards.csv"):
        files[f"codes/{name}"] = (codes / name).read_bytes()
    businesses = [{"code": code, "ja": ja, "en": en} for code, (ja, en) in BUSINESSES.items()]
    told = {"codes/businesses.json": businesses, **given}
    files |= {name: orjson.dumps(each, option=orjson.OPT_INDENT_2) for name, each in told.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _NO_DAY), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


@cache
def _clause() -> Html:
    """The way to the clause for a specification; the bundle has no server to write one."""
    return html(
        '<a href="/standard/clause">{said}</a>',
        said=both("調達仕様書 記載例", "Clause for a specification"),
    )


def _page(folder: str) -> Response:
    """`folder`: where its files are; the empty one is that of the bundle, which holds no bundle."""
    standard = Standard.read()
    root = standard.document.root
    policy = root["x-change-policy"]
    body = html(
        "{about}<p>{files}{clause}</p><h2>{classes_head}</h2><dl>{classes}</dl>"
        "<h2>{steps_head}</h2>{steps}"
        "<h2>{rules_head}</h2><p>{rules_note}</p>{rules}<h2>{operations_head}</h2>{operations}"
        "<h2>{policy_head}</h2><p>{policy}</p>",
        about=_about(root["info"]["description"]),
        steps_head=both("認証を受けるまで", "How to be certified"), steps=standard_steps.shown(),
        files=joined(
            html('<a href="{folder}{name}">{name}</a> ', folder=folder, name=name)
            for name in ("linkage-v1.yaml", *([BUNDLE] if folder else []))
        ),
        clause=_clause() if folder else NOTHING,
        rules_note=both(
            "例は要点だけを示し、URL は符号化する前の形で示します。",
            "Examples are shortened, and their URLs are shown before they are encoded.",
        ),
        classes_head=both("適合クラス", "Conformance classes"),
        classes=joined(_class(name, each) for name, each in root["x-conformance-classes"].items()),
        rules_head=both("規則", "Rules"), rules=joined(_rules(root)),
        operations_head=both("操作", "Operations"), operations=standard_operations.shown(standard.document),
        policy_head=both("変更の方針", "How it may change"),
        policy=both(policy["ja"], policy["en"]),
    )  # fmt: skip
    version = root["info"]["version"]
    return page(f"データ連携標準インタフェース {version}", f"Linkage Interface {version}", body)


def _about(text: str) -> Html:
    """The standard's own words: its paragraphs, and its lists of points."""
    return joined(
        html("<ul>{points}</ul>", points=joined(
            html("<li>{point}</li>", point=coded(point)) for point in each[2:].split("\n* ")
        )) if each.startswith("* ") else html("<p>{each}</p>", each=each)
        for each in text.strip().split("\n\n")
    )  # fmt: skip


def _class(name: str, told: Mapping[str, str]) -> Html:
    return html(
        "<dt id=\"{name}\"><code>{name}</code></dt><dd>{words}</dd>",
        name=name, words=both(told["ja"], told["en"]),
    )  # fmt: skip


def _rules(root: Mapping[str, Any]) -> Iterator[Html]:
    for name in root["x-conformance-classes"]:
        rules = [each for each in root["x-rules"] if each["class"] == name]
        yield html("<h3>{name} ({count})</h3><dl>", name=name, count=len(rules))
        yield from (_rule(each) for each in rules)
        yield html("</dl>")


def _rule(rule: Mapping[str, Any]) -> Html:
    return html(
        "<dt id=\"{id}\">{id}</dt><dd>{words}</dd><dd>{why_head} {why}</dd>"
        "<dd><pre>{request}\n\n{response}</pre></dd>",
        id=rule["id"], words=both(rule["ja"], rule["en"]),
        why_head=both("理由", "Why:"), why=both(rule["why_ja"], rule["why_en"]),
        request=_message(rule["example"]["request"]),
        response=_message(rule["example"]["response"]),
    )  # fmt: skip


def _message(told: Mapping[str, Any]) -> str:
    """A request or an answer as one reads HTTP."""
    first = told["line"] if "line" in told else f"HTTP {told['status']}"
    lines = [first, *(f"{name}: {value}" for name, value in told.get("headers", {}).items())]
    body = told.get("body")
    if body is not None:
        lines += ["", body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)]
    return "\n".join(lines)
