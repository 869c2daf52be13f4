"""Plans of aggregates and their answers' bytes: groups of records, never a record."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import orjson

from app.broker.ask import Ask, Representation
from app.broker.people import About
from app.broker.permitted import permitted
from app.broker.plan import Joined, Plan, asked_rows, etag_of, only_permitted, read_charset
from app.broker.shape import BOM, media_type, meta
from app.catalogue.entries import VersionEntry
from app.policy.suppression import Suppression
from app.policy.verdicts import Allow
from app.query import cursor as cursors
from app.query import params
from app.query.cursor import Cursor
from app.query.fields import FieldType
from app.query.grouping import Grouping, read_aggregate
from app.query.literals import NotOfType, read_literal
from app.query.params import read_flag
from app.query.question import Question
from app.query.refusals import InvalidCursor
from app.query.subjects import by_stored_names
from app.query.words import Readings
from app.tables.aggregate import Figures, Groups
from app.tables.encode import Form, Wording

_NO_RECORDS: Final = Wording(Form.RECORD, ())
SUPPRESSED: Final = "suppressed"


@dataclass(frozen=True, slots=True)
class Asking:
    """For whom a plan is made, and of what."""

    version: VersionEntry
    allow: Allow
    joined: Mapping[str, Joined]
    issuer: str
    readings: Readings  # of the words of `q`
    suppression: Suppression | None = None
    people: About | None = None  # whom its records are about


def read_asked(ask: Ask, about: Asking) -> tuple[Question, Grouping]:
    """The conditions and the groups in the words of who asks. Raises what `read_aggregate` does."""
    joins = {name: each.join for name, each in about.joined.items()}
    known = params.Known(about.version.fields, about.allow.columns, joins, about.readings)
    return read_aggregate(ask.parameters, known)


def make_plan(ask: Ask, about: Asking) -> Plan:
    """Read the parameters for one version.

    Raises what `read_aggregate` raises, `InvalidCursor`, `RowsNotTold`.
    """
    asked = dict(ask.parameters)
    version = about.version
    question, grouping = read_asked(ask, about)
    if about.people is not None and about.people.changed is not None:
        question = by_stored_names(question, about.people.changed.name, about.people.stored)
    named = ",".join(each.name for each in grouping.groups)
    order = f"{named}#{asked_rows(ask.parameters, about.readings, about.allow.bounds)}"
    revision, after = _continued(ask, about, grouping, order)
    question = only_permitted(question, permitted(ask.dataset_id, version, about.allow))
    question = replace(question, after=after)
    path = ask.path or f"/v1/datasets/{ask.dataset_id}/aggregate"
    query = f"?{ask.raw_query.decode('ascii')}" if ask.raw_query else ""
    declared = repr(about.suppression) if about.suppression is not None else ""
    return Plan(
        dataset_id=ask.dataset_id,
        version=version,
        revision=revision,
        question=question,
        wording=_NO_RECORDS,
        representation=ask.representation,
        joined=tuple(about.joined[join.name] for join in question.joins),
        order=order,
        etag=etag_of(
            replace(ask, path=f"{path} {declared}"),
            version,
            revision,
            about.allow,
            about.readings,
        ),
        bom=read_flag(asked, "bom"),
        charset=read_charset(asked, ask.representation),
        self_link=about.issuer + path + query,
        parameters=ask.parameters,
        is_one_record=False,
        path=path,
        figures=Figures(grouping, as_texts=ask.representation is Representation.CSV),
        about=about.people,
        by_consent=about.allow.consent is not None,
    )


def _continued(
    ask: Ask, about: Asking, grouping: Grouping, order: str
) -> tuple[int, tuple[Any, ...] | None]:
    """The revision that the first page was of, and the group that this one begins behind.

    Where cells are suppressed, their pages are cut elsewhere (`app.broker.counted`).
    """
    version, cursor = about.version, ask.parameter("cursor")
    if cursor is None:
        return version.revision, None
    position = cursors.decode(cursor, dataset_id=ask.dataset_id)
    if position.version != version.number or position.order != order:
        raise InvalidCursor
    if about.suppression is not None and position.revision != version.revision:
        raise InvalidCursor
    if position.revision > version.revision:
        raise InvalidCursor
    after = _read_position(position, grouping) if about.suppression is None else None
    return position.revision, after


def _read_position(position: Cursor, grouping: Grouping) -> tuple[Any, ...]:
    """The values of the last group. Raises `InvalidCursor`."""
    if len(position.after) != len(grouping.groups):
        raise InvalidCursor
    keys = [group.key for group in grouping.groups]
    try:
        values = [
            None if value is None else read_literal(key, value)
            for key, value in zip(keys, position.after, strict=True)
        ]
    except NotOfType:
        raise InvalidCursor from None
    whole = zip(keys, values, strict=True)
    if any(key.type is FieldType.INTEGER and isinstance(at, Decimal) for key, at in whole):
        raise InvalidCursor  # no group has a number beyond 64 bits or a part of one
    return tuple(values)


def grouping_of(plan: Plan) -> Grouping:
    """What the plan groups by."""
    if plan.figures is None:
        raise LookupError("the plan is one of records")
    return plan.figures.grouping


def group_body(
    plan: Plan, groups: Groups, next_link: str | None, suppression: Suppression | None
) -> bytes:
    """A page of groups, as JSON or CSV. Blocks for a large CSV: call it in a thread."""
    if plan.representation is Representation.CSV:
        return _csv(plan, groups, suppression)
    links = [{"rel": "self", "href": plan.self_link, "type": media_type(plan)}]
    if next_link:
        links.append({"rel": "next", "href": next_link, "type": media_type(plan)})
    about = {
        "dataset": plan.dataset_id,
        "version": plan.version.number,
        "numberReturned": groups.count,
    }
    told = meta(plan)
    if suppression is not None:
        told["suppression"] = {"k": suppression.k}
        del told["updated_at"]  # of what was written since, and is not counted yet
    tail = orjson.dumps({"links": links, "meta": told})
    return orjson.dumps(about)[:-1] + b',"groups":[' + groups.body + b"]," + tail[1:]


def _csv(plan: Plan, groups: Groups, suppression: Suppression | None) -> bytes:
    grouping = grouping_of(plan)
    names = [group.name for group in grouping.groups]
    names += [metric.name for metric in grouping.metrics]
    if suppression is not None:
        names.append(SUPPRESSED)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(orjson.loads(b"[" + groups.body + b"]"))
    text = lines.getvalue()
    if plan.charset == "cp932":
        return text.encode("cp932", "geta")
    return (BOM if plan.bom else b"") + text.encode()
