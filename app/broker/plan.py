"""The plan of one read: which version, which question, how it is written. Asks nothing yet."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from app.broker.ask import Ask, Link, Representation, Translated
from app.broker.masked import NO_MASKS, Masks, told_by
from app.broker.one_record import identity_of, one_record
from app.broker.people import About
from app.broker.permitted import permitted, seen_as
from app.broker.snapshot import Known
from app.catalogue.declared import are_joinable
from app.catalogue.entries import DatasetEntry, VersionEntry
from app.policy.verdicts import Allow
from app.query import cursor as cursors
from app.query import params
from app.query.fields import Field
from app.query.params import needs_place, read_flag, read_question, signature
from app.query.question import Both, Condition, Join, Question
from app.query.refusals import InvalidCursor, wrong
from app.query.subjects import by_stored_names
from app.query.words import Readings
from app.tables.aggregate import Figures
from app.tables.encode import Form, Wording
from app.tables.sql import Source

_FORMS: Final[Mapping[Representation, Form]] = {
    Representation.JSON: Form.RECORD,
    Representation.NDJSON: Form.RECORD,
    Representation.GEOJSON: Form.FEATURE,
    Representation.CSV: Form.COLUMNS,
    Representation.PARQUET: Form.CELLS,
    Representation.XLSX: Form.CELLS,
}
STREAMED: Final = frozenset(
    {Representation.CSV, Representation.NDJSON, Representation.PARQUET, Representation.XLSX}
)
ORIGINALS: Final = "originals"
_CHARSETS: Final = frozenset({"utf-8", "cp932"})
_LONG_QUERY_BYTES: Final = 4_096  # a longer one takes longer to read than others should wait
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """A dataset that the question looks up beside each record."""

    join: Join
    version: VersionEntry
    known: Known
    allow: Allow


@dataclass(slots=True, eq=False)
class Plan:
    """All that a read will do. `revision` pins the rows however much is written meanwhile."""

    dataset_id: str
    version: VersionEntry
    revision: int
    question: Question
    wording: Wording
    representation: Representation
    joined: tuple[Joined, ...]
    order: str
    etag: str
    bom: bool
    charset: str
    self_link: str
    parameters: tuple[tuple[str, str], ...]
    is_one_record: bool
    path: str  # of the list that pages link to
    links: tuple[Link, ...] = ()
    is_bare: bool = False  # rows alone: the door has an envelope of its own
    figures: Figures | None = None  # groups are asked for, no records
    about: About | None = None  # the people whom its records are about
    by_consent: bool = False  # of those alone who consent to it
    masks: Masks = NO_MASKS

    @property
    def is_tagged_by_bytes(self) -> bool:
        """Whether more than the question says what its answer is, or for whom it is one."""
        is_ones_own = self.about is not None and self.about.reader is not None
        return self.may_change or is_ones_own or self.version.live is not None

    @property
    def is_streamed(self) -> bool:
        """Whether rows go out as PostgreSQL sends them, however many."""
        return self.representation in STREAMED

    @property
    def may_change(self) -> bool:
        """Whether the same question on the same rows may be answered otherwise a moment later:
        by another dataset's rows, the time of day, a consent. Such an answer is never held."""
        return bool(self.joined) or self.by_consent

    @property
    def is_whole(self) -> bool:
        """Whether every row of the version is asked for, so that their number is known."""
        q = self.question
        return self.matches_all and q.after is None and q.limit is None and not q.offset

    @property
    def matches_all(self) -> bool:
        """Whether every row of the version belongs to the answer, on this page or another."""
        q = self.question
        return q.where is None and q.box is None and q.near is None

    @property
    def length(self) -> int:
        """Of the question, in characters: what is made of it takes many times as much."""
        return sum([len(name) + len(value) for name, value in self.parameters])

    @property
    def masks_told(self) -> dict[str, str]:
        """The fields of the answer of which less than their values is shown, with their masks."""
        asked = {field.name for field in self.question.fields}
        return {name: text for name, text in self.masks.told if name in asked}

    @property
    def sources(self) -> tuple[Source, ...]:
        """The joined datasets' rows, in the order of the question's joins."""
        return tuple(joined.version.source for joined in self.joined)

    def link_to(self, after: Sequence[Any], issuer: str) -> str:
        """The address of the page behind the position `after`."""
        position = cursors.Cursor(
            self.dataset_id, self.version.number, self.revision, self.order, tuple(after)
        )
        kept = [(name, value) for name, value in self.parameters if name != "cursor"]
        cursor = cursors.encode(position)
        if self.about is not None and self.about.seal is not None:
            cursor = self.about.seal(cursor)
        query = urlencode([*kept, ("cursor", cursor)])
        return f"{issuer}{self.path}?{query}"


def joins_of(entry: DatasetEntry, others: Mapping[str, VersionEntry]) -> dict[str, Join]:
    """The declared joins whose other dataset is at hand and still has the fields they need."""
    here = entry.version.fields if entry.version else {}
    found = {}
    for declared in entry.joins:
        other = others.get(declared["name"])
        if other is None or declared["here"] not in here or declared["there"] not in other.fields:
            continue
        if not are_joinable(here[declared["here"]], other.fields[declared["there"]]):
            continue
        as_of = declared.get("as_of")
        found[declared["name"]] = Join(
            name=declared["name"],
            dataset_id=declared["dataset"],
            here=here[declared["here"]],
            there=other.fields[declared["there"]],
            fields=tuple(other.fields.values()),
            as_of=other.fields.get(as_of) if as_of else None,
            stale_after_seconds=declared.get("stale_after_seconds"),
        )
    return found


def make_plan(  # noqa: PLR0913, PLR0917 - each of them comes from elsewhere
    ask: Ask,
    version: VersionEntry,
    allow: Allow,
    joined: Mapping[str, Joined],
    issuer: str,
    readings: Readings | None = None,
    about: About | None = None,
    masks: Masks = NO_MASKS,
) -> Plan:
    """Read the parameters for one version.

    Raises what `read_question` raises, `InvalidCursor`, `RowsNotTold`.

    `readings` are those of the words of `q`; they come from outside, so they are part of what is
    asked: other readings make another question.
    """
    asked = dict(ask.parameters)
    question = read_asked(ask, version, allow, joined, readings, about, masks)
    if about is not None and about.changed is not None:
        question = by_stored_names(question, about.changed.name, about.stored)
    question = only_permitted(question, permitted(ask.dataset_id, version, allow))
    told = asked_rows(ask.parameters, readings, allow.bounds)
    order = f"{signature(question.order, question.near)}#{told}"
    question, revision = _continued(question, version, order, ask)
    path = ask.path or f"/v1/datasets/{ask.dataset_id}/records"
    return Plan(
        dataset_id=ask.dataset_id,
        version=version,
        revision=revision,
        question=question,
        wording=_wording(ask, version, allow, question, about, masks),
        representation=ask.representation,
        joined=tuple(joined[join.name] for join in question.joins),
        order=order,
        etag=etag_of(ask, version, revision, allow, readings),
        bom=read_flag(asked, "bom"),
        charset=read_charset(asked, ask.representation),
        self_link=issuer + _own_path(ask, path),
        parameters=ask.parameters,
        is_one_record=ask.key is not None or ask.item is not None,
        path=path,
        links=ask.links,
        is_bare=ask.bare is not None,
        about=about,
        by_consent=allow.consent is not None,
        masks=masks,
    )


async def soon(ask: Ask, read: Callable[..., _Made], *given: Any) -> _Made:
    """What `read` makes of a question's words, in a thread where they are many."""
    if len(ask.raw_query) > _LONG_QUERY_BYTES:
        return await asyncio.to_thread(read, *given)
    return read(*given)


def read_asked(
    ask: Ask,
    version: VersionEntry,
    allow: Allow,
    joined: Mapping[str, Joined],
    readings: Readings | None = None,
    about: About | None = None,
    masks: Masks = NO_MASKS,
) -> Question:
    """The question in the words of who asks. Raises what `read_question` raises."""
    visible = allow.columns
    joins = {name: each.join for name, each in joined.items()}
    masked = {each.field.name: each.shown for each in masks.fields}
    question = _question(ask, params.Known(version.fields, visible, joins, readings or {}, masked))
    identity = identity_of(version, visible, apart=_are_apart(about, masks))
    return _with(question, *one_record(ask, version, visible, identity))


def _continued(
    question: Question, version: VersionEntry, order: str, ask: Ask
) -> tuple[Question, int]:
    """The question from its cursor on, of the revision that its first page was of."""
    cursor = ask.parameter("cursor")
    if cursor is None:
        return question, version.revision
    position = cursors.decode(cursor, dataset_id=ask.dataset_id)
    if position.version != version.number or position.revision > version.revision:
        raise InvalidCursor
    near = question.near is not None
    after = cursors.read_position(position, question.order, order, near=near)
    return replace(question, after=after), position.revision


def _are_apart(about: About | None, masks: Masks) -> bool:
    """Whether people, or things, have other names for each reader: then so must rows."""
    return bool(masks.pads) or (about is not None and about.changed is not None)


def _wording(
    ask: Ask,
    version: VersionEntry,
    allow: Allow,
    question: Question,
    about: About | None,
    masks: Masks,
) -> Wording:
    """How the records are written. What a mask leaves of a name is nobody's name any more."""
    asked, apart = dict(ask.parameters), _are_apart(about, masks)
    marked = about.changed if about is not None else None
    if any(each.field == marked for each in masks.fields):
        marked = None
    return Wording(
        ask.bare.form if ask.bare else _FORMS[ask.representation],
        _names(question.fields, asked),
        originals=read_flag(asked, ORIGINALS),
        identity=identity_of(version, allow.columns, apart=apart),
        number=ask.bare.number if ask.bare else None,
        subject=about.subject if about is not None else None,
        marked=marked,
        masks=masks.fields,
    )


def _own_path(ask: Ask, path: str) -> str:
    """Where the very answer is to be had again."""
    key = f"/{ask.key}" if ask.key else ""
    item = f"/{quote(ask.item, safe='')}" if ask.item is not None else ""
    query = f"?{ask.raw_query.decode('ascii')}" if ask.raw_query else ""
    return f"{path}{key}{item}{query}"


def _question(ask: Ask, known: params.Known) -> Question:
    """The parameters read, in the way of the door that asks."""
    read = Translated(ask.parameters)
    if ask.translate is not None:
        read = ask.translate(ask.parameters, known.fields, known.visible)
    question = _with(read_question(read.parameters, known), *read.conditions)
    if ask.representation is Representation.GEOJSON:
        needs_place(known, "f")  # the geometry holds both coordinates, named in fields or not
    if ask.offset:
        question = replace(question, offset=ask.offset)
    if ask.representation in STREAMED and "limit" not in dict(read.parameters):
        question = replace(question, limit=ask.bare.limit if ask.bare else None)
    return question


def _with(question: Question, *conditions: Condition) -> Question:
    """The question with further conditions."""
    parts = (*conditions, *((question.where,) if question.where is not None else ()))
    if not parts:
        return question
    return replace(question, where=parts[0] if len(parts) == 1 else Both(parts))


def only_permitted(question: Question, condition: Condition | None) -> Question:
    """The question of those rows alone that may leave: beneath everything else that it asks."""
    return question if condition is None else _with(question, condition)


# What changes how rows are shown, not which: a cursor goes on serving when it changes.
_SHOWING: Final = frozenset(
    {"cursor", "limit", "fields", "count", "purpose", "f", "bom", "charset", "labels", "expand",
     "originals", "version", "sort"}
)  # fmt: skip


def asked_rows(
    parameters: Sequence[tuple[str, str]],
    readings: Readings | None = None,
    permitted_rows: Sequence[str] = (),
) -> str:
    """The conditions of a question in short: a cursor belongs to them (PAGE-04)."""
    asked: list[Any] = sorted(pair for pair in parameters if pair[0] not in _SHOWING)
    if readings:
        asked.append(sorted(readings.items()))
    if permitted_rows:
        asked.append(tuple(permitted_rows))
    return hashlib.blake2b(repr(asked).encode(), digest_size=6).hexdigest() if asked else ""


def _names(fields: Sequence[Field], asked: Mapping[str, str]) -> tuple[str, ...]:
    """Wire names, or the publisher's labels made distinct (real files repeat them)."""
    labels = asked.get("labels")
    if labels not in (None, "ja"):
        raise wrong("labels", "ja だけを指定できます。", "takes ja only.")
    if labels is None:
        return tuple(field.name for field in fields)
    taken = {field.label for field in fields}
    seen: set[str] = set()
    names = []
    for field in fields:
        name, again = field.label, 1
        while name in seen or (again > 1 and name in taken):
            again += 1
            name = f"{field.label}_{again}"
        seen.add(name)
        names.append(name)
    return tuple(names)


def read_charset(asked: Mapping[str, str], representation: Representation) -> str:
    charset = asked.get("charset", "utf-8").lower()
    if charset not in _CHARSETS or (
        charset != "utf-8" and representation is not Representation.CSV
    ):
        raise wrong(
            "charset",
            "CSV では utf-8 か cp932、ほかの形式は utf-8 です。",
            "CSV comes in utf-8 or cp932, everything else in utf-8.",
        )
    return charset


def etag_of(
    ask: Ask,
    version: VersionEntry,
    revision: int,
    allow: Allow,
    readings: Readings | None,
) -> str:
    """Names the answer for ever: the rows never change, nor does what the question means."""
    told = "\x00".join(
        [
            ask.dataset_id, str(version.number), str(revision), ask.representation.value,
            repr(ask.parameters), ask.key or "", repr(ask.item), ask.path or "", str(ask.offset),
            repr(ask.bare),
            *sorted(seen_as(allow.columns, allow.bounds)),
            *([repr(sorted(readings.items()))] if readings else ()),
            *([repr(masked)] if (masked := told_by(allow, ask.caller)) else ()),
        ]
    )  # fmt: skip
    return f'"{hashlib.blake2b(told.encode(), digest_size=12).hexdigest()}"'
