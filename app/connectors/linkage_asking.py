"""Questions and pages of the Linkage Interface, as it is asked. Asks nobody itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from app.connectors.documents import Document
from app.connectors.errors import SourceChanged
from app.connectors.frame import Proposal
from app.connectors.linkage_page import stale_since
from app.connectors.linkage_shapes import LinkageSelection
from app.kit import behalf
from app.kit.behalf import Reader
from app.query.cql_writing import NotWritable, Writer
from app.query.fields import Field, FieldType
from app.query.geometry import boxes_around
from app.query.question import Box, Order, Question

PAGE_ROWS: Final = 1_000
MOST_FOLLOWED: Final = 2_000_000  # records whose keys are held while a feed is begun
MOST_HELD: Final = 50_000  # changed records that are held at once
_LONGEST_FILTER: Final = 6_000  # characters of an address: many a proxy takes 8,192 in all
_LONGEST_FIELDS: Final = 1_500  # beyond it all are asked for
_MOST_PASSED_OVER: Final = 10_000
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Types:
    """The fields of a dataset of the other platform, as its catalogue tells them."""

    by_name: Mapping[str, str]

    def knows(self, field: Field) -> bool:
        """Whether a condition on our field means the same of theirs: values of one type do."""
        return self.by_name.get(field.name) == field.type.value

    @property
    def writer(self) -> Writer:
        """Writes what can be asked of them."""
        return Writer(self.knows, place=self.have_place)

    @property
    def have_place(self) -> bool:
        """Whether their records have a place."""
        found = set(self.by_name.values())
        return FieldType.GEOMETRY in found or {FieldType.LATITUDE, FieldType.LONGITUDE} <= found


def types_of(selection: LinkageSelection) -> Types:
    """Its fields, as whoever set it up was told of them."""
    return Types({name: each.value for name, each in selection.types.items()})


def part_of(types: Types, question: Question) -> Question:
    """What of a question the other platform answers."""
    where, is_whole = types.writer.parted(question.where)
    if where is not None and len(quote(types.writer.text(where))) > _LONGEST_FILTER:
        where, is_whole = None, False
    box = _box(question) if types.have_place else None
    if question.near or question.box or question.after or question.joins or question.count:
        is_whole = False
    if not is_whole or not all(types.knows(by.field) for by in question.order):
        return Question(question.fields, where=where, box=box, limit=None)
    limit, offset = question.limit, question.offset
    if offset > _MOST_PASSED_OVER:
        limit, offset = None, 0
    return Question(question.fields, where, order=question.order, limit=limit, offset=offset)


def _box(question: Question) -> Box | None:
    """Where the records lie that are looked for: somewhat more, never less."""
    if question.box is not None or question.near is None:
        return question.box
    around = boxes_around(question.near)
    return around[0] if len(around) == 1 else None


def parameters(types: Types, question: Question) -> Pairs:
    """A question that `part_of` gave, but for its bounds."""
    asked: Pairs = []
    # Fields of joined datasets have a dot, and are ours to find.
    names = ",".join(dict.fromkeys(e.name for e in question.fields if "." not in e.name))
    if names and len(names) <= _LONGEST_FIELDS:
        asked.append(("fields", names))
    if question.where is not None:
        try:
            asked.append(("filter", types.writer.text(question.where)))
        except NotWritable:
            raise LookupError("a condition that no part has") from None
    if (box := question.box) is not None:
        asked.append(("bbox", f"{box.west!r},{box.south!r},{box.east!r},{box.north!r}"))
    if question.order:
        asked.append(("sort", ",".join(map(_sorted, question.order))))
    return asked


def _sorted(by: Order) -> str:
    return f"-{by.field.name}" if by.descending else by.field.name


def with_parameters(url: str, asked: Pairs) -> str:
    """The address with a query."""
    return f"{url}?{urlencode(asked)}" if asked else url


def reader_of(selection: LinkageSelection) -> Reader | None:
    """For whom the other platform decides; None: for us."""
    return behalf.reader() if selection.for_reader else None


def purpose_of(selection: LinkageSelection) -> Pairs:
    """For what purpose: the reader's own, where it is for the reader that the other decides."""
    reader = reader_of(selection)
    purpose = reader.purpose if reader is not None else selection.purpose
    return [] if purpose is None else [("purpose", purpose)]


def next_of(page: Document) -> str | None:
    """Where the next page is; None on the last (PAGE-02)."""
    for link in page.objects("links"):
        if link.get("rel") == "next":
            href = link.get("href")
            if not isinstance(href, str):
                raise SourceChanged(source=page.host, at="shape", detail="links")
            return href
    return None


def records_of(page: Document) -> list[dict[str, Any]]:
    """The records of a page, all that it says it has (PAGE-05)."""
    found = page.objects("records")
    if page.body.get("numberReturned", len(found)) != len(found):
        raise SourceChanged(source=page.host, at="shape", detail="numberReturned")
    return found


def as_of(page: Document) -> datetime | None:
    """Since when the other platform's own source has not been reached, where it says so."""
    return stale_since(page.body.get("meta"))


def present_of(page: Document, seen: set[int]) -> tuple[list[dict[str, Any]], bool]:
    """The records of a feed that has just begun, and whether its changes have begun within (CHANGE-05).

    They have where a record goes, or comes again: from there on nothing belongs to the first state.
    """
    rows: list[dict[str, Any]] = []
    for event in page.objects("changes"):
        key = hash(_key(page, event))
        if event.get("op") != "upsert" or key in seen:
            return rows, True
        seen.add(key)
        rows.append(_record(page, event))
    return rows, False


def changed_of(page: Document) -> Iterable[tuple[str, dict[str, Any] | None]]:
    """Each change by its key: the record as it became, None of one that has gone."""
    for event in page.objects("changes"):
        gone = event.get("op") == "delete"
        yield _key(page, event), None if gone else _record(page, event)


def _key(page: Document, event: Mapping[str, Any]) -> str:
    key = event.get("key")
    if not isinstance(key, str):
        raise SourceChanged(source=page.host, at="shape", detail="key")
    return key


def _record(page: Document, event: Mapping[str, Any]) -> dict[str, Any]:
    record = event.get("record")
    if not isinstance(record, dict):
        raise SourceChanged(source=page.host, at="shape", detail="record")
    return record


def proposal(page: Document, entry: Mapping[str, Any]) -> Proposal:
    """A dataset of the other's catalogue: its fields with their types, and what may be done with it."""
    id_, fields = entry.get("id"), entry.get("fields")
    if not isinstance(id_, str) or not isinstance(fields, list):
        raise SourceChanged(source=page.host, at="shape", detail="datasets")
    known = frozenset(FieldType)
    named = {
        str(each.get("name")): str(each.get("type")) for each in fields if isinstance(each, dict)
    }
    types = {name: each for name, each in named.items() if each in known}
    about = {
        name: str(entry[name])
        for name in ("title_ja", "title_en", "license", "update_frequency", "data_class", "modified_at")
        if entry.get(name) is not None
    }  # fmt: skip
    told_fields = tuple({"name": name, "type": each} for name, each in named.items())
    return Proposal(id_, {"dataset": id_, "types": types}, told_fields, about)
