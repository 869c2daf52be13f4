"""The door to features: the broker's answers in the words of OGC API - Features. Decides nothing.

A plain ASGI endpoint, as the one of records is.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api.access import challenge, find_caller
from app.api.docs import POLICY
from app.api.limits import origin_of
from app.api.ogc import pages
from app.api.ogc.answering import HTML, JSON, ROOT, as_headers, wants_page
from app.api.ogc.asking import CRS84, check_names, translated, translated_for_one
from app.api.ogc.conformance import FEATURES
from app.api.problem import language_of
from app.api.records import conditions_of, parameters_of, send_answer
from app.api.state import Platform
from app.broker.ask import Answer, Ask, Link, Representation
from app.kit import clock
from app.kit.errors import AppError, Kind
from app.query.refusals import wrong

CONFORMANCE: Final = (FEATURES + "core", FEATURES + "geojson")
_MANY: Final = ROOT + "/collections/{dataset_id}/items"
_ONE: Final = _MANY + "/{item:path}"
_CONTENT_CRS: Final = ("content-crs", f"<{CRS84}>")


class ItemsEndpoint:
    """`GET /ogc/collections/{id}/items` and `/items/{featureId}`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        platform: Platform = scope["app"].state.platform
        scope["route_path_template"] = _ONE if "item" in scope["path_params"] else _MANY
        try:
            answer = await self._answer(platform, scope)
        except AppError as refusal:
            if refusal.kind is Kind.UNAUTHENTICATED and not refusal.headers:
                challenge(platform, refusal, error=None)
            raise
        await send_answer(answer, scope, receive, send)

    async def _answer(self, platform: Platform, scope: Scope) -> Answer:
        caller = await find_caller(platform, scope)
        raw: bytes = scope["query_string"]
        given = parameters_of(raw)
        item = _item(scope) if "item" in scope["path_params"] else None
        check_names(given, one=item is not None)
        accept, if_none_match = conditions_of(scope)
        as_page = wants_page(dict(given).get("f"), accept)
        collection_id = scope["path_params"]["dataset_id"]
        path = f"{ROOT}/collections/{quote(collection_id, safe='')}/items"
        translate = translated if item is None else translated_for_one
        ask = Ask(
            dataset_id=collection_id,
            parameters=given,
            representation=Representation.GEOJSON,
            caller=caller,
            origin=origin_of(scope),
            request_id=scope["request_id"],
            raw_query=raw,
            if_none_match=None if as_page else if_none_match,
            item=item,
            path=path,
            translate=partial(translate, collection_id),
            links=_links(platform.issuer + path, item, raw),
        )
        answer = await platform.broker.read(ask)
        if as_page:
            return await asyncio.to_thread(_as_page, answer, _language(scope))
        return _as_features(answer, ask)


def _item(scope: Scope) -> str:
    """The id of a feature, decoded once: it may hold anything, slashes too."""
    raw: bytes = scope["raw_path"].removeprefix(scope.get("root_path", "").encode())
    try:  # /ogc/collections/{id}/items/{item}
        return unquote(raw.split(b"/", 5)[5].decode("ascii"), errors="strict")
    except ValueError:
        raise wrong(
            "featureId",
            "UTF-8をパーセントエンコードしてください。",
            "percent-encode UTF-8.",
            "not_readable",
        ) from None


def _links(items: str, item: str | None, raw: bytes) -> tuple[Link, ...]:
    """To the same in the other form, and to the collection (17-069r4, 7.15.5 and 7.16)."""
    here = items if item is None else f"{items}/{quote(item, safe='')}"
    kept = [part for part in raw.decode("ascii").split("&") if part and not part.startswith("f=")]
    return (
        Link("alternate", f"{here}?{'&'.join([*kept, 'f=html'])}", HTML),
        Link("collection", items.removesuffix("/items"), JSON),
    )


def _as_features(answer: Answer, ask: Ask) -> Answer:
    """With the time of the answer, which makes its tag a weak one: all else is the same."""
    body = answer.body
    etag = answer.etag
    if ask.item is None:
        etag = f"W/{etag}"
        if body is not None:
            body = body[:-1] + f',"timeStamp":"{clock.now():%Y-%m-%dT%H:%M:%SZ}"}}'.encode()
    headers = (_CONTENT_CRS, *as_headers(ask.links))
    return replace(answer, etag=etag, body=body, headers=headers)


def _as_page(answer: Answer, language: str) -> Answer:
    """The features as a page; its links lead to pages."""
    found: dict[str, Any] = orjson.loads(answer.body or b"{}")
    found["links"] = [_to_page(link) for link in found["links"]]
    headers = (("content-security-policy", POLICY), ("content-language", language), _CONTENT_CRS)
    return replace(
        answer,
        media_type=f"{HTML}; charset=utf-8",
        etag=None,
        body=pages.page(found, language).encode(),
        headers=headers,
    )


def _to_page(link: dict[str, str]) -> dict[str, str]:
    if link["rel"] != "next" or "f=html" in link["href"].partition("?")[2].split("&"):
        return link
    return {"rel": "next", "href": f"{link['href']}&f=html", "type": HTML}


def _language(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"accept-language":
            return language_of(value.decode("latin-1"))
    return language_of(None)


_endpoint = ItemsEndpoint()
ROUTES: Final = (
    Route(_MANY, _endpoint, methods=["GET"]),
    Route(_ONE, _endpoint, methods=["GET"]),
)
