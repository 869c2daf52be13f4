"""CKAN's datastore: records of open data, asked of the broker in its own words. Touches no row."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from app.api.ckan.action import Action, Here, action
from app.api.ckan.asked import Call, not_json
from app.api.ckan.packages import ResourceNotFound, dataset_of_resource
from app.broker.ask import Answer, Ask, Bare, Representation
from app.catalogue import open_search
from app.formats.shelf import ckan, ckan_ids
from app.kit.errors import AppError, Kind
from app.query.fields import Field, FieldType
from app.query.params import MOST_ROWS
from app.query.refusals import InvalidQuestion, wrong
from app.tables.encode import Form

Rows = AsyncGenerator[bytes, None]
NUMBER: Final = "_id"
PATH: Final = "/api/3/action/datastore_search"
MOST_VALUES: Final = 1_000
# PostgreSQL's names of types, which CKAN's clients know.
_TYPES: Final[Mapping[FieldType, str]] = {
    FieldType.INTEGER: "int8",
    FieldType.DECIMAL: "numeric",
    FieldType.BOOLEAN: "bool",
    FieldType.DATE: "date",
    FieldType.DATETIME: "timestamp",
    FieldType.LATITUDE: "float8",
    FieldType.LONGITUDE: "float8",
    FieldType.GEOMETRY: "json",
}
_COMPARISONS: Final = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_FORMS: Final[Mapping[str, Form]] = {
    "objects": Form.RECORD,
    "lists": Form.LIST,
    "csv": Form.COLUMNS,
    "tsv": Form.TABBED,
}


class SqlNotAnswered(AppError):
    """SQL is not taken from outside."""

    kind = Kind.INVALID
    code = "sql_not_answered"
    ja = (
        "SQLは受け付けていません（表の名前も内部の列も公開していないため）。条件は CQL2 で"
        " GET {issuer}/v1/datasets/{{id}}/records?filter=capacity>100 AND name LIKE '%中央%'&sort=-capacity"
        "、または datastore_search の filters・q・sort・fields で指定してください。"
    )
    en = (
        "SQL is not taken: neither tables nor columns are named outside. Ask with CQL2:"
        " GET {issuer}/v1/datasets/{{id}}/records?filter=capacity>100 AND name LIKE '%Central%'"
        "&sort=-capacity, or with filters, q, sort and fields of datastore_search."
    )


class NoDatastore(AppError):
    """The resource is another form of the dataset."""

    kind = Kind.NOT_FOUND
    code = "resource_without_datastore"
    ja = "リソース {id} はデータストアにありません。{csv}（CSV）を指定してください。"
    en = "The resource {id} is not in the datastore. Ask {csv}, the CSV of the same dataset."


@dataclass(frozen=True, slots=True)
class Question:
    """A call as the broker is asked: its parameters, in the Linkage Interface's words."""

    dataset: str
    parameters: tuple[tuple[str, str], ...]
    number: str | None
    offset: int


async def dataset_of(call: Call, here: Here) -> str:
    """The id of the dataset whose resource is asked; its name serves as an alias."""
    asked = call.needed("resource_id", "id")
    if ckan_ids.head_of(asked) is None:
        return await here.look(open_search.get_id, asked)
    dataset = await dataset_of_resource(asked, here)
    stored = ckan_ids.resource_id(dataset, ckan.DATASTORE_FORM)
    if asked.lower() in (stored, dataset):
        return dataset
    if asked.lower() in (ckan_ids.resource_id(dataset, form) for form in ckan.FORMATS):
        raise NoDatastore(id=asked, csv=stored)
    raise ResourceNotFound(id=asked[:100])


def question_of(call: Call, dataset: str) -> Question:
    """Raises `InvalidQuestion` for what is not answered."""
    if call.flag("distinct"):
        raise wrong(
            "distinct",
            f"重複の除去は /v1/datasets/{dataset}/aggregate?group_by= を使ってください。",
            f"Distinct values come from /v1/datasets/{dataset}/aggregate?group_by=.",
            "not_answered",
        )
    names = call.names("fields")
    given: dict[str, str] = {}
    if names is not None:
        own = [name for name in names if name != NUMBER]
        if not own:
            raise wrong("fields", f"{NUMBER} 以外の項目も指定してください。", "name a field too.")
        given["fields"] = ",".join(own)
    if sort := _sort(call):
        given["sort"] = sort
    conditions = [*_filters(call), *_words(call, given)]
    if conditions:
        whole = conditions[0] if len(conditions) == 1 else {"op": "and", "args": conditions}
        given |= {
            "filter": json.dumps(whole, ensure_ascii=False, separators=(",", ":")),
            "filter-lang": "cql2-json",
        }
    number = NUMBER if names is None or NUMBER in names else None
    return Question(dataset, tuple(given.items()), number, call.number("offset", 0))


def _sort(call: Call) -> str:
    value = call.given.get("sort")
    text = ",".join(value) if isinstance(value, list) and all(
        isinstance(each, str) for each in value
    ) else call.text("sort") or ""  # fmt: skip
    found = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        words = part.rsplit(None, 1)
        direction = words[1].lower() if len(words) == 2 else "asc"
        name = words[0] if direction in ("asc", "desc") else part
        name = name.strip('"')
        if name == NUMBER and direction == "desc":
            raise wrong("sort", f"{NUMBER} は昇順だけです。", f"{NUMBER} goes upwards only.")
        if name == NUMBER:
            break  # every order ends in it anyway
        found.append(f"-{name}" if direction == "desc" else name)
    return ",".join(found)


def _filters(call: Call) -> list[Any]:
    given = call.json("filters")
    if given is None:
        return []
    if not isinstance(given, dict):
        raise not_json("filters")
    found, values = [], 0
    for name, asked in given.items():
        if isinstance(asked, dict):
            found += [_compared(name, how, value) for how, value in asked.items()]
            values += len(asked)
            continue
        wanted = asked if isinstance(asked, list) else [asked]
        values += len(wanted)
        if values > MOST_VALUES:
            raise wrong(
                "filters", f"値は{MOST_VALUES}個までです。", f"at most {MOST_VALUES} values."
            )
        found.append(_one_of(name, wanted))
    return found


def _one_of(name: str, wanted: list[Any]) -> Any:
    """Equality, or one of several; null is its own condition (SQL's null equals nothing)."""
    field = {"property": name}
    values = [_literal(name, each) for each in wanted if each is not None]
    ways: list[Any] = [{"op": "in", "args": [field, values]}] if values else []
    if len(values) < len(wanted):
        ways.append({"op": "isNull", "args": [field]})
    if not ways:
        return False  # one of none
    return ways[0] if len(ways) == 1 else {"op": "or", "args": ways}


def _compared(name: str, how: str, value: Any) -> Any:
    if how == "in" and isinstance(value, list):
        return _one_of(name, value[: MOST_VALUES + 1])
    if how not in _COMPARISONS:
        known = ", ".join((*_COMPARISONS, "in"))
        raise wrong("filters", f"比較は {known} です。", f"compare with {known}.")
    return {"op": _COMPARISONS[how], "args": [{"property": name}, _literal(name, value)]}


def _literal(name: str, value: Any) -> str:
    """A value as text: what it is compared with says how it is read."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise wrong(
        "filters",
        f"{name[:60]} の値は文字列・数・真偽値です。",
        f"a value of {name[:60]} is text, a number or true and false.",
    )


def _words(call: Call, given: dict[str, str]) -> list[Any]:
    """`q`: words over every text field, or {field: words}, each in any case."""
    asked = call.given.get("q")
    if isinstance(asked, str) and asked.lstrip().startswith("{"):
        asked = call.json("q")
    if not isinstance(asked, dict):
        if (text := call.text("q")) is not None:
            given["q"] = text
        return []
    found = []
    for name, text in asked.items():
        if not isinstance(text, str):
            raise wrong("q", "語は文字列です。", "words are text.")
        pattern = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        wanted = {"op": "casei", "args": [f"%{pattern}%"]}
        column = {"op": "casei", "args": [{"property": name}]}
        found.append({"op": "like", "args": [column, wanted]})
    return found


async def ask(asked: Question, here: Here, bare: Bare, form: Representation, **more: str) -> Answer:
    """The broker's answer to the question, rows alone."""
    parameters = (*asked.parameters, *more.items())
    return await here.platform.broker.read(
        Ask(
            dataset_id=asked.dataset,
            parameters=parameters,
            representation=form,
            caller=None,  # open data is anybody's: a key of another CKAN's says nothing here
            request_id=here.request_id,
            raw_query=urlencode(parameters).encode(),
            offset=asked.offset,
            path=PATH,
            bare=bare,
            origin=here.origin,
        )
    )


async def search(call: Call, here: Here) -> Any:
    """`datastore_search`."""
    asked = question_of(call, await dataset_of(call, here))
    limit = call.number("limit", 100, most=MOST_ROWS)
    form = call.text("records_format") or "objects"
    if form not in _FORMS:
        known = ", ".join(_FORMS)
        raise wrong("records_format", f"{known} のいずれかです。", f"give one of {known}.")
    counted = call.flag("include_total", otherwise=True)
    as_json = form if form in ("objects", "lists") else "lists"
    # CKAN answers a limit of 0, by which clients ask for the fields alone; the broker has no such.
    page = await ask(
        asked, here, Bare(_FORMS[as_json], asked.number), Representation.JSON,
        limit=str(max(limit, 1) if form == as_json else 1), **({"count": "true"} if counted else {}),
    )  # fmt: skip
    records = b"[" + (page.body or b"") + b"]" if limit else b"[]"
    if form != as_json:
        records = orjson.dumps(await _as_text(asked, here, form, limit))
    return _result(call, asked, page, records, limit=limit, form=form)


async def _as_text(asked: Question, here: Here, form: str, limit: int) -> str:
    if limit == 0:
        return ""
    bare = Bare(_FORMS[form], asked.number)
    answer = await ask(asked, here, bare, Representation.CSV, limit=str(limit))
    async with aclosing(rows_of(answer)) as rows:
        return b"".join([piece async for piece in rows]).decode()


def rows_of(answer: Answer) -> Rows:
    """The rows of an answer that was asked for as a stream."""
    if answer.stream is None:
        raise LookupError("the rows were asked for as a stream")
    return answer.stream


def _result(
    call: Call, asked: Question, page: Answer, records: bytes, *, limit: int, form: str
) -> bytes:
    told = {
        "include_total": page.matched is not None,
        "limit": limit,
        **({"offset": asked.offset} if asked.offset else {}),
        **{name: call.json(name) for name in ("filters",) if call.given.get(name)},
        **{name: call.given[name] for name in ("q", "sort") if call.given.get(name)},
        "records_format": form,
        "resource_id": ckan_ids.resource_id(asked.dataset, ckan.DATASTORE_FORM),
        "total_estimation_threshold": None,
    }
    after = {
        "fields": fields_out(page.fields, asked.number),
        "_links": _links(call, asked.offset, limit),
        **({} if page.matched is None else {"total": page.matched, "total_was_estimated": False}),
    }
    return orjson.dumps(told)[:-1] + b',"records":' + records + b"," + orjson.dumps(after)[1:]


def fields_out(fields: tuple[Field, ...], number: str | None) -> list[dict[str, Any]]:
    """The columns with CKAN's types and the publisher's own headings."""
    found: list[dict[str, Any]] = [{"id": number, "type": "int"}] if number else []
    for field in fields:
        notes = "".join((field.description or "", f"（{field.unit}）" if field.unit else ""))
        info = {"label": field.label, "notes": notes, "type_override": ""}
        found.append({"id": field.name, "type": _TYPES.get(field.type, "text"), "info": info})
    return found


def _links(call: Call, offset: int, limit: int) -> dict[str, str]:
    """As CKAN's: paths of this site, and a next one however little is left."""
    kept = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in call.given.items()
        if name != "offset"
    }
    start = f"{PATH}?{urlencode(kept)}"
    found = {"start": start, "next": f"{start}&offset={offset + limit}"}
    if offset:
        found["prev"] = f"{start}&offset={max(offset - limit, 0)}"
    return found


async def info(call: Call, here: Here) -> Any:
    """`datastore_info`."""
    dataset = await dataset_of(call, here)
    asked = Question(dataset, (), None, 0)
    page = await ask(asked, here, Bare(Form.LIST), Representation.JSON, limit="1", count="true")
    fields = [
        {**each, "schema": {"native_type": each["type"], "notnull": field.required,
                            "is_index": field.key, "index_name": None, "uniquekey": field.key}}
        for each, field in zip(fields_out(page.fields, None), page.fields, strict=True)
    ]  # fmt: skip
    meta = {
        "id": ckan_ids.resource_id(dataset, ckan.DATASTORE_FORM), "count": page.matched,
        "table_type": "BASE TABLE", "aliases": [dataset],
    }  # fmt: skip
    return {"meta": meta, "fields": fields}


async def refuse_sql(_call: Call, here: Here) -> Any:
    """`datastore_search_sql`."""
    refusal = SqlNotAnswered(issuer=here.issuer)
    named: InvalidQuestion = wrong("sql", refusal.words("ja"), refusal.words("en"))
    raise SqlNotAnswered(issuer=here.issuer, faults=named.faults)


# `plain`, `language` and the threshold change nothing here: every total is exact.
QUESTION: Final = "resource_id id filters q plain language limit offset fields sort distinct"
ACTIONS: Final[Mapping[str, Action]] = {
    "datastore_search": action(
        search,
        f"{QUESTION} include_total total_estimation_threshold records_format",
        "レコードの検索。 Records of a resource by filters, words, sort and offset.",
    ),
    "datastore_info": action(info, "id resource_id", "項目と件数。 Fields and number of records."),
    "datastore_search_sql": action(
        refuse_sql, "sql", "受け付けていません（CQL2を使ってください）。 Not answered: use CQL2."
    ),
}
