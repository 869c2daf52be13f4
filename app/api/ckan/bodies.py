"""CKAN's actions on who publishes and on what: organisations, groups, tags, licences. Lists only
what open data has."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.api.ckan.action import Action, Here, action
from app.api.ckan.asked import Call
from app.api.ckan.packages import packages_of
from app.api.pace import turn
from app.catalogue import open_search
from app.catalogue.open_search import Wanted
from app.catalogue.open_terms import has_theme, named
from app.formats.shelf import ckan, ckan_ids, ckan_licences
from app.formats.shelf.ckan import Publisher
from app.kit.errors import AppError, Kind
from app.models.datasets import Dataset
from app.query.refusals import wrong

_MOST: Final = 1_000
_WITH: Final = "include_extras include_tags include_groups include_users include_followers"


class NothingOfThat(AppError):
    """No open data has this publisher, group or tag."""

    kind = Kind.NOT_FOUND
    code = "not_on_the_shelf"
    ja = "{id} のオープンデータはありません。{listed} で一覧を確認してください。"
    en = "There is no open data of {id}. {listed} shows what there is."


async def list_organizations(call: Call, here: Here) -> Any:
    """`organization_list`."""
    found = await here.look(open_search.publishers)
    if (names := call.names("organizations")) is not None:
        found = [each for each in found if each.id in names]
    shown = [ckan.organization(each) for each in found]
    return _listed(call, shown, whole=call.flag("all_fields"))


async def show_organization(call: Call, here: Here) -> Any:
    """`organization_show`."""
    asked = call.needed("id")
    found = await _publisher(asked, here)
    shown = ckan.organization(found)
    if call.flag("include_datasets"):
        shown["packages"] = await _packages(here, named(Dataset.publisher_id, found.id))
    return shown


async def _publisher(asked: str, here: Here) -> Publisher:
    for each in await here.look(open_search.publishers, asked):
        if asked in (each.id, ckan_ids.organization_id(each.id)):
            return each
    raise NothingOfThat(id=asked[:100], listed="organization_list")


async def list_groups(call: Call, here: Here) -> Any:
    """`group_list`."""
    found = await here.look(open_search.themes)
    shown = [ckan.whole_group(theme, count) for theme, count in found]
    if (names := call.names("groups")) is not None:
        shown = [each for each in shown if each["name"] in names]
    return _listed(call, shown, whole=call.flag("all_fields"))


async def show_group(call: Call, here: Here) -> Any:
    """`group_show`."""
    theme, count = await _theme(call.needed("id"), here, "group_list")
    shown = ckan.whole_group(theme, count)
    if call.flag("include_datasets"):
        shown["packages"] = await _packages(here, has_theme(theme))
    return shown


async def list_of_group(call: Call, here: Here) -> Any:
    """`group_package_show`."""
    theme, _ = await _theme(call.needed("id"), here, "group_list")
    return await _packages(here, has_theme(theme), call.number("limit", _MOST, most=_MOST))


async def _theme(asked: str, here: Here, listed: str) -> tuple[str, int]:
    for theme, count in await here.look(open_search.themes, asked):
        if asked in (theme, ckan_ids.theme_name(theme), ckan_ids.theme_id(theme)):
            return theme, count
    raise NothingOfThat(id=asked[:100], listed=listed)


async def list_tags(call: Call, here: Here) -> Any:
    """`tag_list`."""
    if call.text("vocabulary_id"):
        raise wrong(
            "vocabulary_id", "語彙はありません。外してください。", "There are none: leave it out."
        )
    words = (call.text("query") or "").lower()
    found = await here.look(open_search.themes)
    tags = [ckan.tag(theme) for theme, _ in found if words in theme.lower()]
    return tags if call.flag("all_fields") else [each["name"] for each in tags]


async def show_tag(call: Call, here: Here) -> Any:
    """`tag_show`."""
    theme, _ = await _theme(call.needed("id"), here, "tag_list")
    shown = ckan.tag(theme)
    if call.flag("include_datasets"):
        shown["packages"] = await _packages(here, has_theme(theme))
    return shown


async def list_licences(_call: Call, _here: Here) -> Any:
    """`license_list`."""
    return ckan_licences.listed()


async def _packages(here: Here, condition: Any, limit: int = _MOST) -> list[dict[str, Any]]:
    async with turn(limit):
        _, found = await here.look(open_search.search, Wanted(also=[condition], limit=limit))
        return await packages_of(found, here)


_SORTS: Final = {"name": "name", "title": "title", "package_count": "package_count", "packages": "package_count"}  # fmt: skip


def _listed(call: Call, shown: Sequence[dict[str, Any]], *, whole: bool) -> list[Any]:
    """In the order and from the place that the call says; names alone unless all is wanted."""
    name, _, direction = (call.text("sort", "order_by") or "name asc").partition(" ")
    if name not in _SORTS or direction.strip().lower() not in ("", "asc", "desc"):
        raise wrong(
            "sort", "name・title・package_count です。", "give name, title or package_count."
        )
    down = direction.strip().lower() == "desc"
    ordered = sorted(shown, key=lambda each: each[_SORTS[name]], reverse=down)
    offset = call.number("offset", 0)
    page = ordered[offset : offset + call.number("limit", len(ordered))]
    return page if whole else [each["name"] for each in page]


_LISTING: Final = f"all_fields sort order_by limit offset type include_dataset_count {_WITH}"
# ckanapi sends the last two with every show, whatever it shows
_SHOWING: Final = f"id type include_datasets include_dataset_count include_password_hash {_WITH}"
ACTIONS: Final[Mapping[str, Action]] = {
    "organization_list": action(
        list_organizations,
        f"organizations {_LISTING}",
        "オープンデータを公開している組織。 Organisations that have open data.",
    ),
    "organization_show": action(
        show_organization, _SHOWING, "組織一件。 One organisation by its name or UUID."
    ),
    "group_list": action(
        list_groups, f"groups {_LISTING}", "分野（グループ）の一覧。 Themes, as groups."
    ),
    "group_show": action(
        show_group, _SHOWING, "分野一件（名前・題名・UUID）。 One theme by name, title or UUID."
    ),
    "group_package_show": action(
        list_of_group, "id limit", "分野のデータセット。 The datasets of a theme."
    ),
    "tag_list": action(
        list_tags, "query vocabulary_id all_fields", "分野（タグ）の一覧。 Themes, as tags."
    ),
    "tag_show": action(
        show_tag, "id vocabulary_id include_datasets", "タグ一件。 One tag by name or UUID."
    ),
    "license_list": action(
        list_licences, "", "ライセンスの一覧。 The licences that are known here."
    ),
}
