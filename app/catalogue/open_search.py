"""Open data found as CKAN's clients ask: by query, in order, by number, with exact counts. Reads only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, column, func, or_, select, values
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Integer, Text

from app.catalogue import open_terms, opendata, ranking
from app.catalogue.open_terms import MOMENTS, has_form, has_theme, named, theme_head
from app.catalogue.refusals import DatasetNotFound
from app.formats.shelf import ckan_ids
from app.formats.shelf.ckan import FORMATS, Publisher
from app.formats.shelf.facts import OpenDataset
from app.kit.errors import AppError
from app.models.datasets import Dataset
from app.models.parties import Organization
from app.query.words import Spellings

# What a sort of CKAN's may name beside the score.
ORDERS: Final[Mapping[str, Callable[[], SQLColumnExpression[Any]]]] = {
    "id": lambda: Dataset.id,  # any order that stays is right: nobody counts on UUIDs' own
    "name": lambda: Dataset.id,
    "title": lambda: Dataset.title_ja,
    "title_string": lambda: Dataset.title_ja,
    "organization": lambda: Dataset.publisher_id,
    **MOMENTS,
}
SCORE: Final = "score"
_AT_A_TIME: Final = 100  # datasets are read: others have their turn between
FACETS: Final = ("organization", "groups", "tags", "res_format", "license_id")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which open datasets: parameter and text of each query, and whatever is `also` to hold.

    `order` is names with whether descending; `score` first has the best words first.
    """

    queries: Sequence[tuple[str, str]] = ()
    also: Sequence[ColumnElement[bool]] = ()
    order: Sequence[tuple[str, bool]] = ()
    offset: int = 0
    limit: int = 10


@dataclass(frozen=True, slots=True)
class Counted:
    """One value of a facet."""

    name: str
    title: str
    count: int


async def search(session: AsyncSession, wanted: Wanted) -> tuple[int, list[OpenDataset]]:
    """How many there are, and one page of them. Raises `InvalidQuestion`."""
    by_score = wanted.order[:1] == ((SCORE, True),)
    read = await open_terms.read(session, wanted.queries, ranked=by_score)
    conditions = [*wanted.also, *read.conditions]
    if read.words:
        return await _ranked(session, wanted, read.words, conditions)
    found = opendata.statement().where(*opendata.is_open(), *conditions)
    total = await session.scalar(found.with_only_columns(func.count())) or 0
    if wanted.limit == 0 or wanted.offset >= total:
        return total, []
    order = [_order(name, down) for name, down in wanted.order]
    page = found.order_by(*order, Dataset.id).offset(wanted.offset).limit(wanted.limit)
    ids = (await session.scalars(page.with_only_columns(Dataset.id))).all()
    told = await _told(session, ids)
    return total, [told[each] for each in ids]


async def _ranked(
    session: AsyncSession,
    wanted: Wanted,
    words: Sequence[Spellings],
    conditions: Sequence[ColumnElement[bool]],
) -> tuple[int, list[OpenDataset]]:
    is_open = Dataset.id.in_(_open(Dataset.id).where(*conditions))
    # The first leaves nearly all, as whoever ranks expects of it; the second may leave few.
    within = [Dataset.current_version.is_not(None), is_open]
    total = await ranking.count(session, words, within)
    if wanted.limit == 0 or wanted.offset >= total:
        return total, []
    most = wanted.offset + wanted.limit
    places = await ranking.ranked(session, words, within, None, most)
    ids = [each.id for each in places[wanted.offset :]]
    told = await _told(session, ids)
    return total, [told[each] for each in ids]


def _order(name: str, down: bool) -> ColumnElement[Any]:
    # Without words everything fits alike, and the newest is first.
    by = opendata.modified_at() if name == SCORE else ORDERS[name]()
    return by.desc() if down else by.asc()


async def names(session: AsyncSession, *, offset: int = 0, limit: int | None = None) -> list[str]:
    """The ids of open datasets, in order."""
    found = _open(Dataset.id).order_by(Dataset.id).offset(offset).limit(limit)
    return list(await session.scalars(found))


async def get(session: AsyncSession, asked: str) -> OpenDataset:
    """One open dataset by its id or its package's UUID.

    Raises `DatasetNotFound`, `NotOpenData`, `DatasetWithdrawn`.
    """
    named_so = _named(asked)
    rows = await session.execute(
        opendata.statement().where(*opendata.is_open(), named_so).options(*opendata.LIGHT)
    )
    for row in rows:
        if asked.lower() in (row[0].id, ckan_ids.package_id(row[0].id)):
            return (await opendata.told(session, [row]))[0]
    rest = (await session.scalars(select(Dataset.id).where(named_so))).all()
    raise await why_not(
        session,
        asked,
        [each for each in rest if asked.lower() in (each, ckan_ids.package_id(each))],
    )


async def get_id(session: AsyncSession, asked: str) -> str:
    """The id of an open dataset by its own, or by the UUID of one of its resources.

    It is the asker's to see that there is such a resource. Raises the same.
    """
    ids = select(Dataset.id).where(_named(asked))
    published = Dataset.current_version.is_not(None)
    found = (await session.scalars(ids.where(published, *opendata.is_open()))).first()
    if found is None:
        raise await why_not(session, asked, (await session.scalars(ids)).all())
    return found


def _named(asked: str) -> ColumnElement[bool]:
    # PostgreSQL takes no NUL, not even in a question.
    return named(Dataset.id, asked.lower() if "\x00" not in asked else "")


async def why_not(session: AsyncSession, asked: str, ids: Sequence[str]) -> AppError:
    """Why there is no open dataset of that name; who may not know of one is not told its id."""
    try:
        for dataset_id in ids:
            await opendata.get_open(session, dataset_id)
    except DatasetNotFound:
        pass
    except AppError as refusal:
        return refusal
    return DatasetNotFound(id=asked[:100])


async def find_named(session: AsyncSession, words: str, limit: int) -> list[tuple[str, str]]:
    """Ids and titles of datasets whose id or title holds the text."""
    held = (Dataset.id, Dataset.title_ja, Dataset.title_en)
    found = _open(Dataset.id, Dataset.title_ja).where(
        or_(*(func.lower(each).contains(words.lower(), autoescape=True) for each in held))
    )
    rows = await session.execute(found.order_by(Dataset.id).limit(limit))
    return [(dataset_id, title) for dataset_id, title in rows]


async def publishers(
    session: AsyncSession, asked: str | None = None, *, conditions: Sequence[Any] = ()
) -> list[Publisher]:
    """Organisations that have open data, with how much; one by name or UUID where asked."""
    found = _open(Organization, func.count()).where(*conditions).group_by(Organization.id)
    if asked is not None:
        found = found.where(named(Organization.id, asked))
    rows = await session.execute(found.order_by(Organization.id))
    return [
        Publisher(each.id, each.name_ja, each.name_en, each.created_at, count)
        for each, count in rows
    ]


async def themes(
    session: AsyncSession, asked: str | None = None, *, conditions: Sequence[Any] = ()
) -> list[tuple[str, int]]:
    """Themes of open data with the number of datasets; one by title, name or UUID where asked."""
    each = _open(Dataset.id, func.unnest(Dataset.themes).label("theme")).where(*conditions)
    if asked is not None:
        each = each.where(has_theme(asked))
    listed = each.subquery()
    theme: ColumnElement[str] = listed.c.theme
    found = select(theme, func.count(listed.c.id.distinct())).group_by(theme).order_by(theme)
    if asked is not None:
        by_head = ckan_ids.head_of(asked)
        found = found.where(
            theme == asked if by_head is None else or_(theme == asked, theme_head(theme) == by_head)
        )
    return [(name, count) for name, count in await session.execute(found)]


async def facet(session: AsyncSession, name: str, wanted: Wanted) -> list[Counted]:
    """How many of the datasets found have each value of a facet, most first."""
    read = await open_terms.read(session, wanted.queries, ranked=False)
    conditions = [*wanted.also, *read.conditions]
    if name == "organization":
        bodies = await publishers(session, conditions=conditions)
        return _most([Counted(each.id, each.name_ja, each.packages) for each in bodies])
    if name in ("groups", "tags"):
        shown = ckan_ids.theme_name if name == "groups" else str
        found = await themes(session, conditions=conditions)
        return _most([Counted(shown(theme), theme, count) for theme, count in found])
    if name == "license_id":
        by = _open(Dataset.license, func.count()).where(*conditions).group_by(Dataset.license)
        rows = await session.execute(by)
        return _most([Counted(licence, licence, count) for licence, count in rows])
    forms = [func.count().filter(has_form(each)) for each in FORMATS.values()]
    counts = (await session.execute(_open(*forms).where(*conditions))).one()
    return _most([Counted(each, each, n) for each, n in zip(FORMATS.values(), counts, strict=True)])


def _most(counted: list[Counted]) -> list[Counted]:
    return sorted((each for each in counted if each.count), key=lambda each: -each.count)


async def resources(
    session: AsyncSession,
    queries: Sequence[tuple[str, str]],
    forms: Sequence[str],
    *,
    offset: int,
    limit: int,
) -> tuple[int, list[tuple[OpenDataset, str]]]:
    """Resources of these forms: how many, and a page of them as dataset and form."""
    conditions = (await open_terms.read(session, queries, ranked=False)).conditions
    places = {form: at for at, form in enumerate(FORMATS)}
    given = values(column("form", Text), column("place", Integer), name="given")
    listed = given.data([(form, places[form]) for form in forms]).alias("given")
    here = or_(listed.c.form != "geojson", has_form("geojson"))
    pairs = _open(Dataset.id, listed.c.form).join(listed, here).where(*conditions)
    total = await session.scalar(pairs.with_only_columns(func.count())) or 0
    page = pairs.order_by(Dataset.id, listed.c.place).offset(offset).limit(limit)
    found = [(dataset_id, form) for dataset_id, form in await session.execute(page)]
    told = await _told(session, [*{dataset_id for dataset_id, _ in found}])
    return total, [(told[dataset_id], form) for dataset_id, form in found]


async def _told(session: AsyncSession, ids: Sequence[str]) -> Mapping[str, OpenDataset]:
    told: dict[str, OpenDataset] = {}
    for at in range(0, len(ids), _AT_A_TIME):
        some = ids[at : at + _AT_A_TIME]
        found = opendata.statement().where(Dataset.id.in_(some)).options(*opendata.LIGHT)
        rows = (await session.execute(found)).all()
        told |= {each.id: each for each in await opendata.told(session, rows)}
    return told


def _open(*columns: Any) -> Select[Any]:
    """A statement on open datasets that gives these columns."""
    return opendata.statement().where(*opendata.is_open()).with_only_columns(*columns)
