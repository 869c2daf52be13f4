"""CKAN's actions on packages and resources: the catalogue of open data. Gives no record."""

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.api.ckan.action import Action, Here, action
from app.api.ckan.asked import Call, check_text
from app.api.pace import turn
from app.catalogue import open_search
from app.catalogue.open_search import FACETS, ORDERS, SCORE, Wanted
from app.formats.shelf import ckan, ckan_ids
from app.formats.shelf.facts import OpenDataset
from app.kit.errors import AppError, Kind
from app.query.refusals import InvalidQuestion, wrong

MOST_PACKAGES: Final = 1_000  # CKAN: ckan.search.rows_max
MOST_LISTED: Final = 1_000
_NEWEST: Final = (("metadata_modified", True),)


class ResourceNotFound(AppError):
    """No open dataset has a resource with this id."""

    kind = Kind.NOT_FOUND
    code = "resource_not_found"
    ja = "リソース {id} は見つかりません。package_show の resources で id を確認してください。"
    en = "There is no resource {id}. package_show lists the resources of a dataset."


async def show_package(call: Call, here: Here) -> Any:
    """`package_show`."""
    return _package(await here.look(open_search.get, call.needed("id", "name_or_id")), here)


def _package(dataset: OpenDataset, here: Here) -> dict[str, Any]:
    return ckan.package(dataset, here.issuer)


async def packages_of(found: Sequence[OpenDataset], here: Here) -> list[dict[str, Any]]:
    """In a thread: hundreds take longer than others should wait."""
    return await asyncio.to_thread(lambda: [_package(each, here) for each in found])


async def list_packages(call: Call, here: Here) -> Any:
    """`package_list`: names alone, and all of them where no limit is given."""
    offset = call.number("offset", 0)
    limit = call.number("limit", -1)
    return await here.look(open_search.names, offset=offset, limit=None if limit < 0 else limit)


async def list_with_resources(call: Call, here: Here) -> Any:
    """`current_package_list_with_resources`."""
    limit = call.number("limit", 10, most=MOST_LISTED)
    wanted = Wanted(order=_NEWEST, offset=call.number("offset", 0), limit=limit)
    async with turn(limit):
        _, found = await here.look(open_search.search, wanted)
        return await packages_of(found, here)


async def complete_package(call: Call, here: Here) -> Any:
    """`package_autocomplete`."""
    limit = call.number("limit", 10, most=100)
    found = await here.look(open_search.find_named, call.needed("q"), limit)
    return [
        {"name": name, "title": title, "match_field": "title", "match_displayed": f"{title} ({name})"}
        for name, title in found
    ]  # fmt: skip


async def search_packages(call: Call, here: Here) -> Any:
    """`package_search`."""
    sort = call.text("sort") or "score desc, metadata_modified desc"
    wanted = Wanted(
        queries=_queries(call),
        order=_order(sort),
        offset=call.number("start", 0),
        limit=call.number("rows", 10, most=MOST_PACKAGES),
    )
    only = call.names("fl")
    async with turn(wanted.limit):
        total, found = await here.look(open_search.search, wanted)
        packages = [_only(each, only) for each in await packages_of(found, here)]
    facets = await _facets(call, here, wanted)
    return {
        "count": total,
        "sort": sort,
        "facets": {name: {e["name"]: e["count"] for e in items} for name, items in facets.items()},
        "results": packages,
        "search_facets": {name: {"title": name, "items": items} for name, items in facets.items()},
    }


def _queries(call: Call) -> list[tuple[str, str]]:
    """Every query with the parameter that it came by."""
    found = [(name, text) for name in ("q", "fq") if (text := call.text(name)) is not None]
    listed = call.given.get("fq_list") or []
    if isinstance(listed, str):
        listed = call.json("fq_list") if listed.startswith("[") else [listed]
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise wrong("fq_list", "検索式の並びです。", "give a list of queries.")
    for each in listed[:20]:
        check_text("fq_list", each)
    return [*found, *(("fq_list", each) for each in listed[:20])]


def _order(text: str) -> Sequence[tuple[str, bool]]:
    found: dict[str, bool] = {}
    for part in text.split(","):
        name, _, direction = part.strip().partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc") or (
            name not in ORDERS and name != SCORE
        ):
            raise _no_order(name)
        # The worst first is nobody's wish.
        found.setdefault(name, name == SCORE or direction.strip().lower() == "desc")
    return tuple(found.items())


def _no_order(name: str) -> InvalidQuestion:
    near = difflib.get_close_matches(name, ORDERS, n=1, cutoff=0.5)
    names = ", ".join(near or (*ORDERS, SCORE))
    return wrong(
        "sort",
        f"{name[:60]} では並べ替えられません。{names} を asc か desc で指定してください。",
        f"cannot sort by {name[:60]}. Give {names} with asc or desc.",
    )


async def _facets(call: Call, here: Here, wanted: Wanted) -> Mapping[str, list[dict[str, Any]]]:
    asked = call.names("facet.field") or []
    if not call.flag("facet", otherwise=True):
        return {}
    most = call.text("facet.limit") or "50"
    if most != "-1" and not (most.isascii() and most.isdigit() and len(most) < 9):
        raise wrong("facet.limit", "整数です（-1で無制限）。", "give a whole number; -1 for all.")
    least = call.number("facet.mincount", 1)
    made = {}
    for name in dict.fromkeys(asked):
        if name not in FACETS:
            names = ", ".join(FACETS)
            raise wrong(
                "facet.field",
                f"{name[:60]} では集計できません。{names} が使えます。",
                f"{name[:60]} has no facet. Use {names}.",
            )
        found = await here.look(open_search.facet, name, wanted)
        items = [
            {"name": each.name, "display_name": each.title, "count": each.count}
            for each in found
            if each.count >= least
        ]
        made[name] = items if most == "-1" else items[: int(most)]
    return made


def _only(package: dict[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    if not names or "*" in names:
        return package
    return {name: package[name] for name in names if name in package}


async def show_resource(call: Call, here: Here) -> Any:
    """`resource_show`."""
    asked = call.needed("id", "resource_id")
    dataset = await here.look(open_search.get, await dataset_of_resource(asked, here))
    return find_resource(asked, _package(dataset, here))


async def dataset_of_resource(asked: str, here: Here) -> str:
    """The id of the open dataset that such a resource is of.

    Raises `ResourceNotFound`, `DatasetWithdrawn`.
    """
    if ckan_ids.head_of(asked) is None:
        raise ResourceNotFound(id=asked[:100])
    try:
        return await here.look(open_search.get_id, asked)
    except AppError as refusal:
        if refusal.kind is Kind.NOT_FOUND:
            raise ResourceNotFound(id=asked[:100]) from None
        raise


def find_resource(asked: str, package: Mapping[str, Any]) -> dict[str, Any]:
    """The resource of a package by its id. Raises `ResourceNotFound`."""
    found: dict[str, Any]
    for found in package["resources"]:
        if found["id"] == asked.lower():
            return found
    raise ResourceNotFound(id=asked[:100])


async def search_resources(call: Call, here: Here) -> Any:
    """`resource_search`: `query` is one `field:text` or several."""
    forms = list(ckan.FORMATS)
    queries: list[tuple[str, str]] = []
    for each in _resource_terms(call):
        field, _, text = each.partition(":")
        check_text("query", text)
        if field == "format":
            forms = [form for form in forms if text.lower() in ckan.FORMATS[form].lower()]
        elif field in ("name", "description"):
            queries.append(("query", f'title:"{_quoted(text)}"'))
        else:
            raise wrong(
                "query",
                f"{field[:60]} では検索できません。name:語 か format:CSV の形で指定してください。",
                f"{field[:60]} cannot be searched. Write name:word or format:CSV.",
            )
    offset, limit = call.number("offset", 0), call.number("limit", 100, most=MOST_LISTED)
    total: int = 0
    found: list[tuple[OpenDataset, str]] = []
    packages: list[dict[str, Any]] = []
    if forms:
        async with turn(limit):
            total, found = await here.look(
                open_search.resources, queries, forms, offset=offset, limit=limit
            )
            packages = await packages_of([dataset for dataset, _ in found], here)
    shown = [
        find_resource(ckan_ids.resource_id(dataset.id, form), package)
        for (dataset, form), package in zip(found, packages, strict=True)
    ]
    return {"count": total, "results": shown}


def _resource_terms(call: Call) -> list[str]:
    value = call.given.get("query")
    terms = [value] if isinstance(value, str) else value
    if not isinstance(terms, list) or not all(isinstance(e, str) and ":" in e for e in terms):
        raise wrong("query", "name:語 の形で指定してください。", "write it like name:word.")
    return terms[:20]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


_ALL_OPEN: Final = (
    "include_private include_drafts include_deleted use_default_schema include_tracking"
)
ACTIONS: Final[Mapping[str, Action]] = {
    "package_list": action(
        list_packages,
        f"limit offset {_ALL_OPEN}",
        "公開データセットの名前の一覧。 The names of all open datasets.",
    ),
    "package_show": action(
        show_package,
        # the last three: ckanapi sends them with every show, whatever it shows
        f"id name_or_id include_datasets include_users include_password_hash {_ALL_OPEN}",
        "データセット一件（id は名前かUUID）。 One dataset by its name or UUID.",
    ),
    "package_search": action(
        search_packages,
        f"q fq fq_list fl rows start sort facet facet.field facet.limit facet.mincount {_ALL_OPEN}",
        "データセットの検索。q・fq はSolrの構文の一部です。 Search datasets; q and fq take a part of"
        " Solr's syntax.",
    ),
    "package_autocomplete": action(
        complete_package, "q limit", "名前の候補。 Datasets whose name or title holds the text."
    ),
    "current_package_list_with_resources": action(
        list_with_resources,
        f"limit offset {_ALL_OPEN}",
        "データセットの一覧（新しい順）。 Datasets, the newest first.",
    ),
    "resource_show": action(
        show_resource,
        "id resource_id include_tracking",
        "リソース一件。 One resource by its id.",
    ),
    "resource_search": action(
        search_resources,
        "query limit offset",
        "リソースの検索（name:語、format:CSV）。 Search resources by name:word and format:CSV.",
    ),
}
