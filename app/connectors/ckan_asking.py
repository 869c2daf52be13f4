"""What CKAN says and is asked: results, resources, and questions to its DataStore. Asks nobody itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.connectors.documents import Document
from app.connectors.errors import SourceBroken, SourceChanged, SourceRefused
from app.connectors.frame import Proposal
from app.query.cql_writing import all_of, conjuncts
from app.query.fields import Field, FieldType
from app.query.question import Compare, Condition, OneOf, Question

PAGE_ROWS: Final = 10_000
_MOST_VALUES: Final = 100
_OWN: Final = frozenset({"_id", "_full_text", "rank"})  # DataStore's, and nobody's data
# Texts that we keep but for blanks and full-width letters, which `text` says that there are none of:
# a phone or a code of a local government is brought into one form.
_TEXTS: Final = frozenset({FieldType.TEXT, FieldType.CODE})
_NUMBERS: Final = frozenset(
    {"int", "int2", "int4", "int8", "integer", "bigint", "serial", "numeric"}
)


@dataclass(frozen=True, slots=True)
class Result:
    """What an action gave: an object."""

    page: Document
    told: dict[str, Any]

    @classmethod
    def of(cls, page: Document) -> "Result":
        """Raises `SourceError` where CKAN refuses, or where it is no CKAN that answers."""
        body = page.body if isinstance(page.body, dict) else {}
        if body.get("success") is not True:
            raise _refusal(page.host, body)
        result = body.get("result")
        if not isinstance(result, dict):
            raise SourceChanged(source=page.host, at="shape", detail="result")
        return cls(page, result)

    def member(self, name: str, kind: type[Any]) -> Any:
        """A member of the result. Raises `SourceChanged`."""
        return Document(self.page.host, self.told, {}).member(name, kind)

    def objects(self, name: str) -> list[dict[str, Any]]:
        """A member that is a list of objects. Raises `SourceChanged`."""
        return Document(self.page.host, self.told, {}).objects(name)

    def is_last(self, rows: int, asked: int) -> bool:
        """Whether nothing follows. A portal that gives fewer at a time than it was asked for says
        so, and is gone on with."""
        limit = self.told.get("limit")
        most = min(asked, limit) if isinstance(limit, int) and limit > 0 else asked
        return rows < most

    def check_whole(self, taken: int, is_all: bool) -> None:
        """Raises `SourceBroken` where it ends before what it says there is."""
        total = self.told.get("total")
        is_exact = isinstance(total, int) and self.told.get("total_was_estimated") is not True
        if is_all and is_exact and taken < int(total or 0):
            raise SourceBroken(source=self.page.host, at="moving")


def _refusal(host: str, body: Mapping[str, Any]) -> Exception:
    error = body.get("error")
    kind = str(error.get("__type", "")) if isinstance(error, Mapping) else ""
    if kind == "Authorization Error":
        return SourceRefused(source=host, at="permission")
    if kind == "Not Found Error":
        return SourceBroken(source=host, at="missing", detail="CKAN: Not Found")
    if body.get("success") is False:  # a Validation Error, a Search Error
        return SourceBroken(source=host, at="status", detail="CKAN: success=false")
    return SourceBroken(source=host, at="format", detail="CKAN")


def newest(package: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The resources of a package, those first that changed last: of one name, the newest counts."""
    its = package.get("resources")
    found = [each for each in its if isinstance(each, dict)] if isinstance(its, list) else []
    return sorted(found, key=_changed_at, reverse=True)


def _changed_at(resource: Mapping[str, Any]) -> str:
    return str(resource.get("last_modified") or resource.get("created") or "")


def proof_of(resource: Mapping[str, Any]) -> dict[str, str] | None:
    """What shows that a file that the portal itself keeps is the same. Of an address somewhere else
    the portal knows nothing new: that place is asked."""
    if resource.get("url_type") != "upload":
        return None
    told = {name: resource.get(name) for name in ("id", "hash", "last_modified")}
    found = {name: str(value) for name, value in told.items() if value}
    return found if found.keys() & {"hash", "last_modified"} else None


def file_name(resource: Mapping[str, Any], path: str) -> str | None:
    """As the publisher would call the file: by its address, or where that says nothing by its format."""
    name, told = path.rpartition("/")[2], str(resource.get("format") or "")
    return f"{name}.{told.lower()}" if "." not in name and told.isalnum() else name or None


def proposal(
    package: Mapping[str, Any], resource: Mapping[str, Any], columns: Mapping[str, str]
) -> Proposal:
    """A resource as a dataset could take it."""
    told = {"package": package.get("name"), "resource": resource.get("id"),
            "name": resource.get("name"), "format": resource.get("format")}  # fmt: skip
    selection: dict[str, Any] = {name: str(value)[:300] for name, value in told.items() if value}
    # A text in a table may have blanks around it, which we take away: only a person knows.
    if types := {name: type_ for name, type_ in columns.items() if type_ != "text"}:
        selection["types"] = types
    about = {
        "title_ja": package.get("title"), "resource": resource.get("name"),
        "license": package.get("license_id"), "update_frequency": _extra(package, "frequency"),
        "modified_at": resource.get("last_modified") or package.get("metadata_modified"),
        "datastore": "true" if resource.get("datastore_active") is True else None,
    }  # fmt: skip
    return Proposal(
        f"{package.get('name')}/{resource.get('name') or resource.get('id')}",
        selection,
        tuple({"name": name, "type": type_} for name, type_ in columns.items()),
        {name: str(value) for name, value in about.items() if value},
    )


def _extra(package: Mapping[str, Any], key: str) -> object:
    extras = package.get("extras")
    for each in extras if isinstance(extras, list) else []:
        if isinstance(each, dict) and each.get("key") == key:
            return each.get("value")
    return package.get(key)


def fields_of(page: Result) -> dict[str, str]:
    """The columns of a table with their types."""
    named = {str(each.get("id")): str(each.get("type")) for each in page.objects("fields")}
    return {name: type_[:100] for name, type_ in named.items() if name not in _OWN}


def rows_of(page: Result) -> list[dict[str, Any]]:
    """The rows of a page without the DataStore's own columns."""
    return [
        {name: value for name, value in row.items() if name not in _OWN}
        for row in page.objects("records")
    ]


def part_of(types: Mapping[str, str], question: Question) -> Question:
    """What of a question DataStore answers: equality of what its columns are said to hold."""
    parts = [] if question.where is None else list(conjuncts(question.where))
    kept: list[Condition] = []
    named: set[str] = set()
    for each in parts:
        if _is_equality(types, each) and (name := _name(each)) not in named:
            named.add(name)  # each column once: they stand in one object
            kept.append(each)
    where = question.where if len(kept) == len(parts) else all_of(kept)
    else_asked = (question.box, question.near, question.after, question.joins, question.order)
    if len(kept) < len(parts) or any(else_asked) or question.count:
        return Question(question.fields, where=where, limit=None)
    return Question(question.fields, where, limit=question.limit, offset=question.offset)


def asked_of(question: Question) -> dict[str, str]:
    """The parameters of a question that `part_of` gave, but for its bounds."""
    if question.where is None:
        return {}
    filters = {}
    for each in conjuncts(question.where):
        match each:
            case Compare(field, _, value):
                filters[field.name] = value
            case OneOf(Field() as field, values):
                filters[field.name] = list(values)  # type: ignore[assignment]
    return {"filters": orjson.dumps(filters).decode()}


def _is_equality(types: Mapping[str, str], condition: Condition) -> bool:
    match condition:
        case Compare(field, "=", value):
            return _is_alike(types, field, (value,))
        case OneOf(Field() as field, values) if len(values) <= _MOST_VALUES:
            return _is_alike(types, field, values)
    return False


def _is_alike(types: Mapping[str, str], field: Field, values: tuple[Any, ...]) -> bool:
    told = types.get(field.name)
    if field.type in _TEXTS:
        return told == "text" and all(isinstance(each, str) for each in values)
    is_whole = field.type is FieldType.INTEGER and told in _NUMBERS
    return is_whole and all(type(each) is int for each in values)


def _name(condition: Condition) -> str:
    match condition:
        case Compare(field, _, _) | OneOf(Field() as field, _):
            return field.name
    raise LookupError("a condition that no part has")
