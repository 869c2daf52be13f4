"""The door for CKAN's clients: its action API, its dump, its pages' addresses. Open data only.

It reads what CKAN's own clients send and says the rest by name; nothing can be changed by it.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.api.access import PlatformDep
from app.api.ckan import bodies, datastore, packages
from app.api.ckan.action import Action, Here, action
from app.api.ckan.asked import MOST_BODY_BYTES, Call, read_call
from app.api.ckan.described import ACTION_POST, ACTION_QUERY, DUMP_QUERY, DUMPED, refusals
from app.api.ckan.dialect import Dialect, success
from app.api.ckan.dump import dump
from app.api.limits import origin_of
from app.api.parameters import reads_own_parameters
from app.api.problem import request_id_of
from app.api.tagged import tagged
from app.catalogue import open_search
from app.formats.shelf import ckan
from app.kit.errors import AppError, Kind

router = APIRouter(
    tags=["CKAN"], route_class=Dialect, max_body_size=MOST_BODY_BYTES, responses=refusals()
)
_CHANGING: Final = re.compile(
    r".*_(create|update|upsert|patch|delete|purge|delta|revise|reorder|invite|follow|unfollow)\Z"
    r"|(follow|unfollow)_.*|datastore_.*"
)


class ActionUnknown(AppError):
    """There is no such action here."""

    kind = Kind.UNSUPPORTED  # CKAN: a bad request
    code = "action_unknown"
    ja = "アクション {name} はありません。{nearest} が使えます。"
    en = "Action name not known: {name}. There are {nearest}."


class ReadOnly(AppError):
    """CKAN's door changes nothing."""

    kind = Kind.FORBIDDEN
    code = "read_only"
    ja = "CKAN互換APIは読み取り専用です（{name}）。登録・公開は /v1/datasets を使ってください（/docs）。"
    en = "CKAN's API only reads here ({name}). Register and publish by /v1/datasets (see /docs)."


async def _status(_call: Call, here: Here) -> Any:
    return {
        "ckan_version": "2.11",  # whose actions these are
        "site_url": here.issuer,
        "site_title": "Urban OS",
        "site_description": "オープンデータカタログ",
        "error_emails_to": None,
        "locale_default": "ja",
        "extensions": ["datastore"],
    }


async def _read(_call: Call, _here: Here) -> Any:
    return True


async def _no_views(_call: Call, _here: Here) -> Any:
    return []


async def _help(call: Call, _here: Here) -> Any:
    name = call.needed("name")
    found = _find(name)
    known = ", ".join(sorted(found.known)) or "-"
    return f"{found.words}\n\nパラメーター / parameters: {known}"


ACTIONS: Final[Mapping[str, Action]] = {
    **packages.ACTIONS,
    **bodies.ACTIONS,
    **datastore.ACTIONS,
    "status_show": action(_status, "", "このサイトについて。 About this site."),
    "site_read": action(_read, "", "読めるかどうか。 Whether the site may be read."),
    "resource_view_list": action(_no_views, "id limit", "表示の一覧（ありません）。 Views: none."),
    "help_show": action(_help, "name", "アクションの説明。 What an action does."),
}


def _find(name: str) -> Action:
    """Raises `ActionUnknown`, `ReadOnly`."""
    found = ACTIONS.get(name)
    if found is not None:
        return found
    if _CHANGING.match(name):
        raise ReadOnly(name=name[:100])
    near = difflib.get_close_matches(name, ACTIONS, n=3, cutoff=0.5) or sorted(ACTIONS)
    raise ActionUnknown(name=name[:100], nearest=", ".join(near))


async def _answer(name: str, request: Request, platform: PlatformDep) -> Response:
    found = _find(name)
    call = await read_call(name, request)
    call.check(found.known)
    result = await found.run(call, Here(platform, request_id_of(request), origin_of(request.scope)))
    encoded = result if isinstance(result, bytes) else orjson.dumps(result)
    body = success(platform.issuer, name, encoded)
    if request.method == "POST":
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
    return tagged(request, body)


@router.get("/api/action/{name}", include_in_schema=False)
@router.get(
    "/api/3/action/{name}",
    summary="Ask as CKAN's clients do",
    openapi_extra=ACTION_QUERY,
    response_model=None,
)
@reads_own_parameters
async def ask_action(name: str, request: Request, platform: PlatformDep) -> Response:
    """One of CKAN's reading actions, its parameters in the address: `package_search`,
    `package_show`, `organization_list`, `datastore_search` and more; `help_show` explains each."""
    return await _answer(name, request, platform)


@router.post("/api/action/{name}", include_in_schema=False)
@router.post(
    "/api/3/action/{name}",
    summary="Ask as CKAN's clients do, with a body",
    openapi_extra=ACTION_POST,
    response_model=None,
)
@reads_own_parameters
async def post_action(name: str, request: Request, platform: PlatformDep) -> Response:
    """The same with the parameters as JSON or as a form, which is what ckanapi sends."""
    return await _answer(name, request, platform)


@router.get(
    "/datastore/dump/{resource_id}",
    summary="Download a resource's records as CKAN does",
    openapi_extra=DUMP_QUERY,
    responses=DUMPED,
    response_class=Response,
)
@reads_own_parameters
async def dump_resource(resource_id: str, request: Request, platform: PlatformDep) -> Response:
    """Every record that the question asks for, as CSV, TSV, JSON or NDJSON. Cells are given as they
    are: in a spreadsheet, import them as text."""
    call = await read_call("datastore_search", request)
    asked = Call(call.action, {**call.given, "resource_id": resource_id})
    return await dump(asked, Here(platform, request_id_of(request), origin_of(request.scope)))


@router.get("/api/3", include_in_schema=False)
async def show_version() -> dict[str, int]:
    """Which of CKAN's APIs this is."""
    return {"version": 3}


@router.get("/dataset/{name}", include_in_schema=False)
async def go_to_dataset(name: str, request: Request, platform: PlatformDep) -> Response:
    """CKAN's address of a dataset's page leads to ours."""
    found = await Here(platform, request_id_of(request), origin_of(request.scope)).look(
        open_search.get, name
    )
    return RedirectResponse(f"{platform.issuer}/v1/datasets/{found.id}", 302)


@router.get("/dataset/{name}/resource/{resource_id}", include_in_schema=False)
async def go_to_resource(
    name: str, resource_id: str, request: Request, platform: PlatformDep
) -> Response:
    """CKAN's address of a resource leads to its records."""
    found = await Here(platform, request_id_of(request), origin_of(request.scope)).look(
        open_search.get, name
    )
    resource = packages.find_resource(resource_id, ckan.package(found, platform.issuer))
    return RedirectResponse(resource["url"], 302)
