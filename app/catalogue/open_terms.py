"""A query of CKAN's clients as conditions on open datasets. Refuses what it does not answer by name."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    and_,
    cast,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import LargeBinary

from app.catalogue import extents, lexicon, opendata, standing
from app.formats.shelf import ckan_ids, solr
from app.kit import clock
from app.models.datasets import Dataset, Version
from app.models.parties import Organization
from app.models.search import DatasetWords
from app.query.refusals import InvalidQuestion, wrong
from app.query.words import MOST_TERMS, Spellings, read_terms, spell

Condition = ColumnElement[bool]
Holds = Callable[[str, bool], Condition]  # of a text, and whether it is only the beginning
# In the statement itself: an index on the expression is used for these numbers only.
_CUT: Final[tuple[Any, Any]] = (literal_column("1"), literal_column(str(ckan_ids.HEAD_BYTES)))
_NOW: Final = re.compile(r"NOW(?:/(?:DAY|HOUR))?(?:([+-])(\d{1,6})(DAY|HOUR|MINUTE)S?)?\Z")


@dataclass(frozen=True, slots=True)
class Read:
    """Queries as conditions; `words` are those of a `q` that has nothing else, to rank by."""

    conditions: list[Condition]
    words: tuple[Spellings, ...] = ()


async def read(session: AsyncSession, queries: Sequence[tuple[str, str]], *, ranked: bool) -> Read:
    """Queries (parameter and text) on `opendata.statement`. Raises `InvalidQuestion`."""
    conditions: list[Condition] = []
    words: tuple[Spellings, ...] = ()
    for parameter, text in queries:
        query = _parsed(parameter, text)
        plain = solr.plain_words(query) if ranked and parameter == "q" else None
        if plain is not None:
            words = await _spelt(session, plain)
            continue
        texts = dict.fromkeys(solr.words_in(query))
        if len(texts) > MOST_TERMS:
            raise wrong(parameter, f"語は{MOST_TERMS}個までです。", f"at most {MOST_TERMS} words.")
        spelt = {each: await _spelt(session, each) for each in texts}
        conditions.append(_condition(parameter, query, spelt))
    return Read(conditions, words)


async def _spelt(session: AsyncSession, text: str) -> tuple[Spellings, ...]:
    terms = read_terms(text)
    return spell(terms, await lexicon.look_up(session, terms), related=True)


def _parsed(parameter: str, text: str) -> solr.Query:
    try:
        return solr.parse(text)
    except solr.NotSolr as exc:
        raise _not_read(parameter, str(exc)) from None


def _not_read(parameter: str, where: str) -> InvalidQuestion:
    return wrong(
        parameter,
        f'Solrの検索式として解釈できません（{where[:100]}）。項目:値、"語句"、AND・OR・NOT、+・-、'
        "括弧、metadata_modified:[2024-01-01T00:00:00Z TO *] が使えます。",
        f'cannot be read as a Solr query ({where[:100]}). Answered are field:value, "phrases", AND,'
        " OR, NOT, + and -, brackets, and metadata_modified:[2024-01-01T00:00:00Z TO *].",
    )


Spelt = Mapping[str, tuple[Spellings, ...]]


def _condition(parameter: str, query: solr.Query, spelt: Spelt) -> Condition:
    match query:
        case solr.All(parts):
            return and_(true(), *(_condition(parameter, each, spelt) for each in parts))
        case solr.Any(parts):
            return or_(*(_condition(parameter, each, spelt) for each in parts))
        case solr.No(part):
            return not_(_condition(parameter, part, spelt))
        case solr.Term(None | "text", text, _):
            return _words(spelt[text])
        case solr.Term(field, text, begins):
            return _term(parameter, field or "", text, begins)
        case solr.Range():
            return _range(parameter, query)
        case _:
            assert_never(query)


def _words(terms: tuple[Spellings, ...]) -> Condition:
    if not terms:
        return true()
    return Dataset.id.in_(select(DatasetWords.dataset_id).where(standing.holds(terms)))


def head(column: SQLColumnExpression[str]) -> ColumnElement[bytes]:
    """What a name of ours is found by when its UUID is given; of datasets, as it is indexed."""
    return func.substring(func.sha256(cast(column, LargeBinary)), *_CUT)


def named(column: SQLColumnExpression[str], asked: str) -> Condition:
    """The thing with this name or UUID."""
    found = ckan_ids.head_of(asked)
    return column == asked if found is None else or_(column == asked, head(column) == found)


def has_theme(asked: str) -> Condition:
    """Datasets of a group: by its title, its name or its UUID."""
    found = ckan_ids.head_of(asked)
    plain = Dataset.themes.contains([asked])
    if found is None:
        return plain
    theme = func.unnest(Dataset.themes).table_valued("theme").render_derived().c.theme
    return or_(plain, exists().where(theme_head(theme) == found))


def theme_head(theme: SQLColumnExpression[str]) -> ColumnElement[bytes]:
    """The same for a theme, which may have any letters."""
    in_bytes = func.convert_to(theme, "UTF8")
    return func.substring(func.sha256(in_bytes), *_CUT)


def has_form(name: str) -> Condition:
    """Datasets that can be had in a format of CKAN's (`res_format`)."""
    match name.lower():
        case "csv" | "json":
            return true()
        case "geojson":
            return and_(Version.west.is_not(None), extents.is_told())
        case _:
            return ~true()


def _text(*columns: SQLColumnExpression[Any]) -> Holds:
    """Fields of words: the text stands somewhere in them, in any case. What is absent holds none."""
    folded = [func.lower(func.coalesce(each, "")) for each in columns]
    return lambda text, _: or_(*(each.contains(text.lower(), autoescape=True) for each in folded))


def _name(column: SQLColumnExpression[str]) -> Holds:
    def holds(text: str, begins: bool) -> Condition:
        return column.startswith(text, autoescape=True) if begins else named(column, text)

    return holds


def _only(value: str) -> Holds:
    """Fields that have one value for everything that is open data."""
    return lambda text, begins: true() if text == value or (begins and not text) else ~true()


_TERMS: Final[Mapping[str, Holds]] = {
    "id": _name(Dataset.id),
    "name": _name(Dataset.id),
    "organization": _name(Dataset.publisher_id),
    "owner_org": _name(Dataset.publisher_id),
    "groups": lambda text, _: has_theme(text) if text else Dataset.themes != [],
    "tags": lambda text, _: has_theme(text) if text else Dataset.themes != [],
    "res_format": lambda text, _: has_form(text) if text else true(),
    "license_id": lambda text, _: func.lower(Dataset.license) == text.lower(),
    "title": _text(Dataset.title_ja, Dataset.title_en),
    "notes": _text(Dataset.description_ja, Dataset.description_en),
    "author": _text(Organization.name_ja, Organization.name_en),
    "maintainer": _text(Dataset.steward_name),
    "type": _only("dataset"),
    "dataset_type": _only("dataset"),
    "state": _only("active"),
    "capacity": _only("public"),
    "private": _only("false"),
}
MOMENTS: Final[Mapping[str, Callable[[], ColumnElement[datetime]]]] = {
    "metadata_modified": opendata.modified_at,
    "metadata_created": opendata.created_at,
}


def _term(parameter: str, field: str, text: str, begins: bool) -> Condition:
    if field in MOMENTS:
        if begins and not text:
            return true()
        return MOMENTS[field]() == _moment(parameter, text)
    found = _TERMS.get(field)
    if found is None:
        raise _unknown(parameter, field, {**_TERMS, **MOMENTS, "text": None})
    return found(text, begins)


def _unknown(parameter: str, field: str, known: Mapping[str, Any]) -> InvalidQuestion:
    near = difflib.get_close_matches(field, sorted(known), n=1, cutoff=0.5)
    names = ", ".join(near or sorted(known))
    return wrong(
        parameter,
        f"検索項目 {field[:100]} はありません。使えるのは {names} です。",
        f"There is no search field {field[:100]}. Use {names}.",
        "unknown_field",
    )


def _range(parameter: str, asked: solr.Range) -> Condition:
    column = MOMENTS.get(asked.field)
    if column is None:
        raise _unknown(parameter, f"{asked.field}:[… TO …]", MOMENTS)
    when = column()
    found: list[Condition] = []
    if asked.low is not None:
        low = _moment(parameter, asked.low)
        found.append(when >= low if asked.with_low else when > low)
    if asked.high is not None:
        high = _moment(parameter, asked.high)
        found.append(when <= high if asked.with_high else when < high)
    return and_(true(), *found)


def _moment(parameter: str, text: str) -> datetime:
    """A time of Solr's: UTC where it does not say, or NOW with a distance."""
    relative = _NOW.match(text)
    try:
        if relative is not None:
            sign, number, unit = relative.groups(default="")
            ago = timedelta(**{f"{unit.lower()}s": int(number)}) if unit else timedelta()
            return clock.now() - ago if sign == "-" else clock.now() + ago
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        if 1 < found.year < 9999:
            return found
    except (ValueError, OverflowError):
        pass
    raise wrong(
        parameter,
        f"日時ではありません（{text[:40]}）。2024-01-01T00:00:00Z のように書いてください。",
        f"is no time ({text[:40]}). Write it like 2024-01-01T00:00:00Z.",
    )
