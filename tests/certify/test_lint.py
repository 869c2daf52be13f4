"""`urbanos lint-openapi`: the standard offers itself, and each thing taken away is named, alone."""

import asyncio
import copy
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from app.certify.document import LOADER, Document, DocumentUnreadable
from app.certify.lint import STANDARD, ClassUnknown, Standard, lint
from tests.cli.test_demo import Home

ALL = ("core", "query", "changes", "write", "push", "secure")
RECORDS = "/v1/datasets/{dataset}/records"
Change = Callable[[dict[str, Any]], None]


def told() -> dict[str, Any]:
    """The standard as a document without shared parts: a change is of one place alone."""
    loaded: dict[str, Any] = yaml.load(STANDARD.read_text("utf-8"), LOADER)
    return copy.deepcopy(json.loads(json.dumps(loaded)))


def found(document: dict[str, Any], *classes: str) -> list[tuple[str, str, str, str]]:
    """Method, path, code and what is named, of each finding."""
    vendor = Document.read(json.dumps(document).encode())
    return [
        (each.method, each.path, each.code, dict(each.named).get("name", ""))
        for each in lint(Standard.read(), vendor, classes or ALL)
    ]


def schema_of(document: dict[str, Any], name: str) -> Any:
    return document["components"]["schemas"][name]


def test_the_standard_offers_all_that_it_asks_for() -> None:
    assert found(told()) == []


def _renamed(document: dict[str, Any]) -> None:
    paths = document["paths"]
    document["paths"] = {path.replace("{dataset}", "{id}"): paths[path] for path in paths}


def _moved(document: dict[str, Any]) -> None:
    paths = document["paths"]
    document["servers"] = [{"url": "https://api.example.jp/v1"}]
    document["paths"] = {path.removeprefix("/v1"): paths[path] for path in paths}


def _more(document: dict[str, Any]) -> None:
    operation = document["paths"][RECORDS]["get"]
    operation["parameters"].append({"name": "colour", "in": "query", "schema": {"type": "string"}})
    operation["responses"]["418"] = {"description": "more"}
    schema_of(document, "RecordPage")["properties"]["more"] = {"type": "string"}


def _json_alone(document: dict[str, Any]) -> None:
    """SCHEMA-07 asks for no other form, and the judge takes a 406 for it."""
    content = document["paths"][RECORDS]["get"]["responses"]["200"]["content"]
    document["paths"][RECORDS]["get"]["responses"]["200"]["content"] = {
        "application/json": content["application/json"]
    }
    document["components"]["parameters"]["form"]["schema"] = {"type": "string", "enum": ["json"]}


@pytest.mark.parametrize("change", [_renamed, _moved, _more, _json_alone])
def test_what_is_only_called_otherwise_or_is_more_is_no_fault(change: Change) -> None:
    document = told()

    change(document)

    assert found(document) == []


def _without_path(document: dict[str, Any]) -> None:
    del document["paths"]["/v1/datasets/{dataset}/changes"]


def _without_method(document: dict[str, Any]) -> None:
    del document["paths"][RECORDS]["post"]


def _without_parameter(document: dict[str, Any]) -> None:
    operation = document["paths"][RECORDS]["get"]
    operation["parameters"] = [
        each for each in operation["parameters"] if not each.get("$ref", "").endswith("/sort")
    ]


def _with_required_parameter(document: dict[str, Any]) -> None:
    document["paths"][RECORDS]["get"]["parameters"].append(
        {"name": "api_key", "in": "query", "required": True, "schema": {"type": "string"}}
    )


def _without_response(document: dict[str, Any]) -> None:
    del document["paths"][RECORDS]["get"]["responses"]["410"]


def _without_json(document: dict[str, Any]) -> None:
    del document["paths"][RECORDS]["get"]["responses"]["200"]["content"]["application/json"]


def _without_etag(document: dict[str, Any]) -> None:
    del document["paths"][RECORDS]["get"]["responses"]["200"]["headers"]["ETag"]


def _without_body(document: dict[str, Any]) -> None:
    del document["paths"][RECORDS]["post"]["requestBody"]["content"]["application/x-ndjson"]


def _narrower_parameter(document: dict[str, Any]) -> None:
    operation = document["paths"][RECORDS]["get"]
    operation["parameters"] = [
        {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 50}}
        if each.get("$ref", "").endswith("/limit") else each
        for each in operation["parameters"]
    ]  # fmt: skip


def _as_text(pattern: str | None) -> Change:
    """A list parted by commas as the text that it is in an address."""

    def made(document: dict[str, Any]) -> None:
        schema = {"type": "string", "pattern": pattern} if pattern else {"type": "string"}
        document["components"]["parameters"]["sort"]["schema"] = schema

    return made


def test_a_parameter_that_takes_any_text_takes_a_list_and_one_of_a_pattern_does_not() -> None:
    free, narrow = told(), told()
    _as_text(None)(free)
    _as_text("^[a-z]+$")(narrow)

    assert found(free) == []
    assert {each[2:] for each in found(narrow)} == {("parameter_narrower", "sort")}


def _own_records(change: Callable[[dict[str, Any]], None]) -> Change:
    def made(document: dict[str, Any]) -> None:
        own = copy.deepcopy(schema_of(document, "RecordPage"))
        change(own)
        content = document["paths"][RECORDS]["get"]["responses"]["200"]["content"]
        content["application/json"]["schema"] = own

    return made


_PAGE = "200 application/json"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (_without_path, ("get", "/v1/datasets/{dataset}/changes", "path_missing", "")),
        (_without_method, ("post", RECORDS, "method_missing", "")),
        (_without_parameter, ("get", RECORDS, "parameter_missing", "sort")),
        (_with_required_parameter, ("get", RECORDS, "parameter_required", "api_key")),
        (_narrower_parameter, ("get", RECORDS, "parameter_narrower", "limit")),
        (_without_response, ("get", RECORDS, "response_missing", "410")),
        (_without_json, ("get", RECORDS, "content_missing", "200 application/json")),
        (_without_etag, ("get", RECORDS, "header_missing", "200 ETag")),
        (_without_body, ("post", RECORDS, "body_missing", "application/x-ndjson")),
        (
            _own_records(lambda own: own["required"].remove("links")),
            ("get", RECORDS, "response_differs", f"{_PAGE} /links"),
        ),
        (
            _own_records(lambda own: own["properties"].update(numberReturned={"type": "string"})),
            ("get", RECORDS, "response_differs", f"{_PAGE} /numberReturned"),
        ),
        (
            _own_records(lambda own: own.clear()),
            ("get", RECORDS, "response_differs", f"{_PAGE} /"),
        ),
    ],
)
def test_what_is_missing_or_differs_is_named_and_nothing_else(
    change: Change, wanted: tuple[str, str, str, str]
) -> None:
    document = told()

    change(document)

    assert found(document) == [wanted]


def test_a_major_version_ends_with_the_last_day_that_it_names() -> None:
    head = b"openapi: 3.1.0\npaths: {}\n"

    ending = Standard(Document.read(head + b"x-in-force-until: 2028-03-31\n"))

    assert ending.in_force_until == datetime.fromisoformat("2028-04-01T00:00:00+09:00")
    assert Standard(Document.read(head)).in_force_until is None


def test_only_the_classes_that_are_claimed_are_asked_for() -> None:
    document = told()
    for path in [
        each for each in document["paths"] if "subscriptions" in each or "changes" in each
    ]:
        del document["paths"][path]

    assert found(document, "core", "query", "write", "secure") == []
    assert {code for _, _, code, _ in found(document, "push")} == {"path_missing"}
    with pytest.raises(ClassUnknown, match="There are core, query"):
        found(document, "everything")


def test_a_reference_that_leads_out_is_told_and_never_followed() -> None:
    document = told()
    document["paths"][RECORDS]["get"]["responses"]["200"] = {
        "$ref": "http://169.254.169.254/latest/meta-data"
    }

    (only,) = found(document, "core")

    assert only[2] == "reference_leads_out"


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\xff\xfe\x00", b"openapi: 3.1.0\n", b"swagger: '2.0'\npaths: {}\n", b"[1, 2]",
        b"openapi: [3]\npaths: {}", b"a: &a [*a]\nopenapi: 3.1.0", b"[" * 100_000,
        b"!!python/object/apply:os.system ['true']",
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(DocumentUnreadable) as refused:
        Document.read(text)

    assert refused.value.words("ja") != refused.value.words("en")


def test_a_document_made_to_cost_much_costs_little() -> None:
    """Schemas that hold each other, and aliases of aliases of aliases: it comes to an end."""
    bomb = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 30))
    loops = {f"S{n}": {"anyOf": [{"$ref": f"#/components/schemas/S{m}"} for m in range(12)]}
             for n in range(12)}  # fmt: skip
    document = told()
    document["components"]["schemas"] |= loops
    content = document["paths"][RECORDS]["get"]["responses"]["200"]["content"]
    content["application/json"]["schema"] = {"$ref": "#/components/schemas/S0"}

    codes = {code for _, _, code, _ in found(document, "core")}
    read = Document.read(f"x0: &x0 [a]\n{bomb}\nopenapi: 3.1.0\npaths: {{}}\n".encode())

    assert codes <= {"response_differs"}
    assert read.bases() == [""]


def test_a_document_with_a_slip_is_refused_with_the_line_of_it() -> None:
    with pytest.raises(DocumentUnreadable, match="line 3: "):
        Document.read(b"openapi: 3.1.0\npaths:\n  a: [}\n")


def test_one_schema_that_every_refusal_shares_is_one_cause() -> None:
    """At the shell a cause is one line."""
    document = told()
    schema_of(document, "Problem")["properties"]["status"] = {"type": "string"}
    _without_method(document)

    findings = lint(Standard.read(), Document.read(json.dumps(document).encode()), ALL)

    assert len(findings) > 50
    assert len({each.cause for each in findings}) == 2


async def test_at_the_shell_what_is_missing_is_said_and_the_exit_tells(tmp_path: Path) -> None:
    document, home = told(), Home(tmp_path, 1)
    _without_path(document)
    file = tmp_path / "vendor.json"
    file.write_text(json.dumps(document), "utf-8")

    async def run(*words: str, **environment: str) -> Any:
        return await asyncio.to_thread(home.run, "lint-openapi", str(file), *words, **environment)

    fine = await run("--class", "core,query")
    short = await run("--class", "core,changes")
    japanese = await run("--class", "changes", LC_ALL="ja_JP.UTF-8")

    assert (fine.returncode, short.returncode) == (0, 4)
    assert "The path /v1/datasets/{dataset}/changes is missing." in short.stdout
    assert "パス /v1/datasets/{dataset}/changes がありません。" in japanese.stdout
