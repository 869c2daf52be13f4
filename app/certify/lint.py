"""Whether a vendor's OpenAPI document offers the classes of the Linkage Interface that it claims.

It reads two documents and asks no server.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from app.certify.document import Document
from app.certify.narrower import Comparison, Difference
from app.kit.clock import TOKYO
from app.kit.errors import AppError, Kind

STANDARD: Final = Path(__file__).resolve().parents[2] / "openapi" / "linkage-v1.yaml"
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "path_missing": ("パス {path} がありません。", "The path {path} is missing."),
    "method_missing": (
        "{path} に {method} がありません。", "The path {path} has no {method}.",
    ),
    "parameter_missing": (
        "パラメーター {name}（{place}）がありません。", "The parameter {name} ({place}) is missing.",
    ),
    "parameter_required": (
        "標準にないパラメーター {name} を必須にしないでください。",
        "Do not require {name}: a client of the standard does not send it.",
    ),
    "parameter_narrower": (
        "パラメーター {name} は標準の値を受け付けません（{told} ／ 標準: {wanted}）。",
        "The parameter {name} does not take what the standard allows ({told}; standard: {wanted}).",
    ),
    "body_missing": ("本文 {name} を受け付けません。", "It takes no body of type {name}."),
    "body_narrower": (
        "本文の {name} は標準の値を受け付けません（{told} ／ 標準: {wanted}）。",
        "In the body {name} does not take what the standard allows ({told}; standard: {wanted}).",
    ),
    "response_missing": ("応答 {name} がありません。", "The response {name} is missing."),
    "content_missing": ("応答 {name} がありません。", "The response {name} is missing."),
    "header_missing": ("応答ヘッダー {name} がありません。", "The response header {name} is missing."),
    "response_differs": (
        "応答の {name} が標準と違います（{told} ／ 標準: {wanted}）。",
        "In the response {name} is not as the standard says ({told}; standard: {wanted}).",
    ),
    "reference_leads_out": (
        "参照 {name} は文書の外か、存在しない所を指しています。文書一つにまとめてください。",
        "The reference {name} leads out of the document or nowhere. Bundle it into one document.",
    ),
}  # fmt: skip


class ClassUnknown(AppError):
    """No such conformance class."""

    kind = Kind.INVALID
    code = "conformance_class_unknown"
    ja = "適合クラス {name} はありません。使えるのは {known} です。"
    en = "There is no conformance class {name}. There are {known}."


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which a document falls short of the standard."""

    conformance: str
    path: str
    method: str
    code: str
    named: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]  # those that bind the operation

    @property
    def cause(self) -> tuple[str, ...]:
        """The same for findings that one mend of a shared schema ends."""
        told = dict(self.named)
        if "wanted" not in told:
            return self.code, self.path, self.method, *told.values()
        place = told["name"]
        if self.code == "response_differs":
            place = place.partition(" ")[2]  # whatever the status
        return self.code, place, told["told"], told["wanted"]

    def words(self, language: str) -> str:
        """What is wrong, in `ja` or `en`."""
        ja, en = _WORDS[self.code]
        told = {"path": self.path, "method": self.method.upper(), **dict(self.named)}
        return (en if language == "en" else ja).format(**told)


@dataclass(frozen=True, slots=True)
class Standard:
    """The published standard."""

    document: Document

    @classmethod
    def read(cls, path: Path = STANDARD) -> "Standard":
        """The one that this platform serves."""
        return cls(Document.read(path.read_bytes()))

    @property
    def classes(self) -> tuple[str, ...]:
        """Its conformance classes."""
        return tuple(self.document.root["x-conformance-classes"])

    @property
    def in_force_until(self) -> datetime | None:
        """When this major version ends, once a newer one has set its end: `x-in-force-until` is the
        last day, in Japan. No certificate for it says more."""
        told = self.document.root.get("x-in-force-until")
        if told is None:
            return None
        return datetime.fromisoformat(str(told)).replace(tzinfo=TOKYO) + timedelta(days=1)

    def checked(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The classes, `core` among them: all others stand on it. Raises `ClassUnknown`."""
        for name in classes:
            if name not in self.classes:
                raise ClassUnknown(name=name, known=", ".join(self.classes))
        return tuple(name for name in self.classes if name == "core" or name in classes)


def lint(standard: Standard, vendor: Document, classes: Sequence[str]) -> list[Finding]:
    """Every way in which the document falls short of the classes, in the order of the standard.

    Raises `ClassUnknown`.
    """
    wanted = standard.checked(classes)
    offered = _offered(vendor)
    found: list[Finding] = []
    for path, method, operation in standard.document.operations():
        if operation.get("x-conformance") not in wanted:
            continue
        one = _Operation(standard.document, vendor, path, method, operation, wanted)
        methods = offered.get(_template(path))
        if methods is None:
            found.append(one.finding("path_missing"))
        elif method not in methods:
            found.append(one.finding("method_missing"))
        else:
            found += one.compared(methods[method])
    return list(dict.fromkeys(found))


def _offered(vendor: Document) -> dict[str, dict[str, Mapping[str, Any]]]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path, method, operation in vendor.operations():
        for base in vendor.bases():
            found.setdefault(_template(base + path), {})[method] = operation
    return found


def _template(path: str) -> str:
    """The path whatever its parameters are called."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation of the standard, held against a vendor's."""

    standard: Document
    vendor: Document
    path: str
    method: str
    operation: Mapping[str, Any]
    wanted: Collection[str]

    def finding(self, code: str, **named: str) -> Finding:
        rules = tuple(self.operation.get("x-rule", ()))
        conformance = str(self.operation["x-conformance"])
        return Finding(
            conformance, self.path, self.method, code, tuple(sorted(named.items())), rules
        )

    def compared(self, offered: Mapping[str, Any]) -> Iterator[Finding]:
        yield from self._parameters(offered)
        yield from self._body(offered)
        yield from self._responses(offered)

    def _parameters(self, offered: Mapping[str, Any]) -> Iterator[Finding]:
        theirs, known = {}, set()
        for each in offered["parameters"]:
            parameter = self.vendor.resolved(each)
            if not isinstance(parameter, Mapping) or "$ref" in parameter:
                yield self.finding("reference_leads_out", name=str(each)[:200])
            else:
                theirs[self._key(parameter)] = parameter
        for each in self.operation["parameters"]:
            parameter = self.standard.resolved(each)
            known.add(self._key(parameter))
            if self._is_wanted(parameter):
                yield from self._parameter(parameter, theirs.get(self._key(parameter)))
        for (place, name), parameter in theirs.items():
            if parameter.get("required") is True and place != "path" and (place, name) not in known:
                yield self.finding("parameter_required", name=name)

    def _is_wanted(self, parameter: Mapping[str, Any]) -> bool:
        is_free = parameter["in"] == "path" or _is_of_fields(parameter)
        return not is_free and parameter.get("x-conformance", "core") in self.wanted

    def _parameter(
        self, ours: Mapping[str, Any], theirs: Mapping[str, Any] | None
    ) -> Iterator[Finding]:
        name = str(ours["name"])
        if theirs is not None and not _takes_any_text(theirs.get("schema"), ours.get("explode")):
            schemas = (_demanded(ours.get("schema")), theirs.get("schema"))
            yield from self._narrower("parameter_narrower", name, *schemas)
        elif (
            theirs is None and ours["in"] == "query"
        ):  # a header that is not understood is passed over
            yield self.finding("parameter_missing", name=name, place="query")

    @staticmethod
    def _key(parameter: Mapping[str, Any]) -> tuple[str, str]:
        place, name = str(parameter.get("in")), str(parameter.get("name"))
        return place, name.lower() if place == "header" else name

    def _body(self, offered: Mapping[str, Any]) -> Iterator[Finding]:
        wanted = self.standard.resolved(self.operation.get("requestBody"))
        if not isinstance(wanted, Mapping):
            return
        theirs = _content(self.vendor.resolved(offered.get("requestBody")))
        for media_type, content in _content(wanted).items():
            if media_type not in theirs:
                yield self.finding("body_missing", name=media_type)
            else:
                yield from self._narrower("body_narrower", "", content.get("schema"),
                                          theirs[media_type].get("schema"))  # fmt: skip

    def _narrower(self, code: str, name: str, ours: Any, theirs: Any) -> Iterator[Finding]:
        """What the standard lets a client send must be taken."""
        if ours is None or theirs is None:
            return
        for each in Comparison(self.standard, self.vendor).differences(ours, theirs):
            yield self.finding(code, name=f"{name}{each.at}", told=each.wanted, wanted=each.told)

    def _responses(self, offered: Mapping[str, Any]) -> Iterator[Finding]:
        theirs = offered.get("responses")
        theirs = theirs if isinstance(theirs, Mapping) else {}
        for status, given in self.operation["responses"].items():
            wanted = self.standard.resolved(given)
            found = _response(theirs, str(status))
            if found is None:
                yield self.finding("response_missing", name=str(status))
                continue
            answer = self.vendor.resolved(found)
            if not isinstance(answer, Mapping) or "$ref" in answer:
                yield self.finding("reference_leads_out", name=str(found)[:200])
                continue
            yield from self._answer(str(status), wanted, answer)

    def _answer(
        self, status: str, wanted: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> Iterator[Finding]:
        told = {str(name).lower() for name in answer.get("headers") or ()}
        for name, header in (wanted.get("headers") or {}).items():
            is_required = self.standard.resolved(header).get("required") is True
            if is_required and name.lower() not in told:
                yield self.finding("header_missing", name=f"{status} {name}")
        theirs = _content(answer)
        for media_type, content in _content(wanted).items():
            if media_type not in theirs:
                if content.get("x-optional") is not True:
                    yield self.finding("content_missing", name=f"{status} {media_type}")
                continue
            schema = content.get("schema")
            if schema is None:
                continue
            given = theirs[media_type].get("schema", {})
            for each in Comparison(self.vendor, self.standard, trusts=True).differences(
                given, schema
            ):
                yield self._differing(status, media_type, each)

    def _differing(self, status: str, media_type: str, each: Difference) -> Finding:
        return self.finding(
            "response_differs", name=f"{status} {media_type} {each.at or '/'}",
            told=each.told, wanted=each.wanted,
        )  # fmt: skip


def _demanded(schema: Any) -> Any:
    """A parameter's schema without the values that a service may refuse (`x-optional`)."""
    if not isinstance(schema, Mapping) or "x-optional" not in schema:
        return schema
    return {**schema, "enum": [each for each in schema["enum"] if each not in schema["x-optional"]]}


def _takes_any_text(schema: Any, explode: Any) -> bool:
    """In an address a number, a truth and a list parted by commas are text: who takes any takes them."""
    if explode is True or not isinstance(schema, Mapping):
        return False
    if isinstance(schema.get("anyOf"), list):
        return any(_takes_any_text(each, explode) for each in schema["anyOf"])
    return (
        schema.get("type") == "string"
        and not {"enum", "const", "pattern", "format"} & schema.keys()
    )


def _is_of_fields(parameter: Mapping[str, Any]) -> bool:
    """`column` stands for every field of a dataset: no document can list them."""
    return parameter.get("explode") is True and parameter.get("schema", {}).get("type") == "object"


def _content(node: Any) -> dict[str, Mapping[str, Any]]:
    """By media type, without its parameters."""
    content = node.get("content") if isinstance(node, Mapping) else None
    return {
        str(name).partition(";")[0].strip().lower(): each
        for name, each in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(each, Mapping)
    }


def _response(responses: Mapping[Any, Any], status: str) -> Any:
    """What is said of a status: of itself, of its hundred, or of all the rest."""
    told = {str(name).upper(): each for name, each in responses.items()}
    for name in (status, f"{status[0]}XX", "DEFAULT"):
        if name in told:
            return told[name]
    return None
