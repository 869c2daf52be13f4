"""The plan of one read: which version, which question, how it is written. Asks nothing yet."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from app.broker.ask import Ask, Link, Representation, Translated
from app.broker.masked import NO_MASKS, Masks, told_by
from app.broker.permitted import permitted, seen_as
from app.broker.snapshot import Known
from app.catalogue.declared import are_joinable
from app.catalogue.entries import DatasetEntry, VersionEntry
from app.catalogue.refusals import NoKey
from app.policy.verdicts import Allow
from app.query import cursor as cursors
from app.query import params
from app.query.fields import Field
from app.query.literals import NotOfType, read_literal
from app.query.params import needs_place, read_flag, read_question, signature
from app.query.question import Both, Compare, Condition, Constant, Join, Literal, Question
from app.query.refusals import ColumnNotVisible, InvalidCursor, wrong
from app.query.words import Readings
from app.tables.aggregate import Figures
from app.tables.encode import ID_SEPARATOR, Form, Wording, unescaped
from app.tables.layout import ROW_NUMBER
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
LONG_QUERY_BYTES: Final = 4_096  # a longer one takes longer to read than others should wait


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
    masks: Masks = NO_MASKS

    @property
    def is_streamed(self) -> bool:
        """Whether rows go out as PostgreSQL sends them, however many."""
        return self.representation in STREAMED

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
        query = urlencode([*kept, ("cursor", cursors.encode(position))])
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


def make_plan(
    ask: Ask,
    version: VersionEntry,
    allow: Allow,
    joined: Mapping[str, Joined],
    issuer: str,
    readings: Readings | None = None,
    masks: Masks = NO_MASKS,
) -> Plan:
    """Read the parameters for one version.

    Raises what `read_question` raises, `InvalidCursor`, `RowsNotTold`.

    `readings` are those of the words of `q`; they come from outside, so they are part of what is
    asked: other readings make another question.
    """
    asked, visible = dict(ask.parameters), allow.columns
    joins = {name: each.join for name, each in joined.items()}
    masked = {each.field.name: each.shown for each in masks.fields}
    question = _question(ask, params.Known(version.fields, visible, joins, readings or {}, masked))
    identity = _identity(version, visible)
    question = _with(question, *_one_record(ask, version, visible, identity))
    question = only_permitted(question, permitted(ask.dataset_id, version, allow))
    told = asked_rows(ask.parameters, readings, allow.rows)
    order = f"{signature(question.order, question.near)}#{told}"
    question, revision = _continued(question, version, order, ask)
    path = ask.path or f"/v1/datasets/{ask.dataset_id}/records"
    return Plan(
        dataset_id=ask.dataset_id,
        version=version,
        revision=revision,
        question=question,
        wording=replace(_wording(ask, asked, question, identity), masks=masks.fields),
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
        masks=masks,
    )


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


def _wording(
    ask: Ask, asked: Mapping[str, str], question: Question, identity: tuple[Field, ...]
) -> Wording:
    """How the records are written."""
    return Wording(
        ask.bare.form if ask.bare else _FORMS[ask.representation],
        _names(question.fields, asked),
        originals=read_flag(asked, ORIGINALS),
        identity=identity,
        number=ask.bare.number if ask.bare else None,
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


def _one_record(
    ask: Ask, version: VersionEntry, visible: frozenset[str], identity: tuple[Field, ...]
) -> list[Condition]:
    """What only the record asked for meets, where one is: by its key, by the id of its feature."""
    found = [] if ask.key is None else _same_key(version, visible, ask.dataset_id, ask.key)
    return found if ask.item is None else [*found, *_same_item(identity, ask.item)]


def _same_key(
    version: VersionEntry, visible: frozenset[str], dataset_id: str, key: str
) -> list[Condition]:
    """Equality on the key. Raises `ColumnNotVisible`: who may not see a key may not try it."""
    fields = list(version.fields.values())
    hidden = [field.name for field in fields if field.key and field.name not in visible]
    if hidden:
        raise ColumnNotVisible(names=", ".join(hidden))
    values = key_values(fields, dataset_id, key)
    return [Compare(f, "=", values[f.column]) for f in fields if f.key]


def _identity(version: VersionEntry, visible: frozenset[str]) -> tuple[Field, ...]:
    """The key, by which features are told apart; the row number where there is none to see."""
    keys = tuple(field for field in version.fields.values() if field.key)
    return keys if keys and all(key.name in visible for key in keys) else (ROW_NUMBER,)


def _same_item(identity: tuple[Field, ...], item: str) -> list[Condition]:
    """Equality with the id of a feature. What cannot be an id is nobody's id."""
    parts = [item] if len(identity) == 1 else [unescaped(p) for p in item.split(ID_SEPARATOR)]
    if len(parts) != len(identity):
        return [Constant(False)]
    try:
        values = [read_literal(field, part) for field, part in zip(identity, parts, strict=True)]
    except NotOfType:
        return [Constant(False)]
    return [Compare(f, "=", value) for f, value in zip(identity, values, strict=True)]


def key_values(fields: Sequence[Field], dataset_id: str, key: str) -> dict[str, Literal]:
    """The values of the key's columns; `key` is percent-encoded, commas part its fields.

    Raises `NoKey`, `InvalidQuestion`.
    """
    keys = [field for field in fields if field.key]
    if not keys:
        raise NoKey(dataset=dataset_id)
    values = [unquote(part) for part in ([key] if len(keys) == 1 else key.split(","))]
    if len(values) != len(keys):
        names = ",".join(field.name for field in keys)
        raise wrong("key", f"{names} の形で指定してください。", f"write it as {names}.")
    try:
        return {f.column: read_literal(f, v) for f, v in zip(keys, values, strict=True)}
    except NotOfType as exc:
        raise wrong("key", exc.ja, exc.en) from None


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
            *sorted(seen_as(allow.columns, allow.rows)),
            *([repr(sorted(readings.items()))] if readings else ()),
            *([repr(masked)] if (masked := told_by(allow, ask.caller)) else ()),
        ]
    )  # fmt: skip
    return f'"{hashlib.blake2b(told.encode(), digest_size=12).hexdigest()}"'
