"""The Linkage Interface as written by hand: sound OpenAPI, every rule used, every example true."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]
from schemathesis.specs.openapi import definitions

from app.certify.document import LOADER
from app.policy.verdicts import Reason
from app.query.fields import FieldType, Visibility
from app.query.params import DEFAULT_LIMIT, MOST_RADIUS_METRES, MOST_ROWS

PATH: Final = Path(__file__).parents[2] / "openapi" / "linkage-v1.yaml"
GROUPS: Final = [
    "AUTH", "SCHEMA", "PAGE", "QUERY", "ERROR", "TIME", "CODE", "IDEMP", "CHANGE", "PUSH", "CACHE",
]  # fmt: skip
CLASSES: Final = ["core", "query", "changes", "write", "push", "secure"]
METHODS: Final = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
# interface.md, section 1.
OPERATIONS: Final = {
    "GET /v1/datasets": "core",
    "GET /v1/datasets/{dataset}": "core",
    "GET /v1/datasets/{dataset}/schema": "core",
    "GET /v1/datasets/{dataset}/records": "core",
    "GET /v1/datasets/{dataset}/records/{key}": "core",
    "GET /v1/datasets/{dataset}/aggregate": "query",
    "GET /v1/datasets/{dataset}/changes": "changes",
    "POST /v1/datasets/{dataset}/records": "write",
    "DELETE /v1/datasets/{dataset}/records/{key}": "write",
    "GET /v1/subscriptions": "push",
    "POST /v1/subscriptions": "push",
    "GET /v1/subscriptions/{subscription}": "push",
    "DELETE /v1/subscriptions/{subscription}": "push",
    "POST /v1/subscriptions/{subscription}/replay": "push",
    "GET /v1/health": "core",
}


class _OnceOnly(LOADER):  # type: ignore[misc]
    """PyYAML keeps the last of two equal keys in silence: a response could be lost that way."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{twice} stands twice", node.start_mark
            )
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made


DOCUMENT: Final[dict[str, Any]] = yaml.load(PATH.read_text("utf-8"), _OnceOnly)
RULES: Final[list[dict[str, Any]]] = DOCUMENT["x-rules"]


def _resolve(node: Any) -> Any:
    """What a reference points at; raises `KeyError` where it points nowhere."""
    while isinstance(node, dict) and isinstance(node.get("$ref"), str):
        node = _at(node["$ref"])
    return node


def _at(reference: str) -> Any:
    assert reference.startswith("#/"), f"{reference} leaves the document"
    found: Any = DOCUMENT
    for part in reference[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def _walk(node: Any, place: str = "#") -> Iterator[tuple[str, Any]]:
    yield place, node
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for name, child in children:
        if isinstance(child, dict | list):
            yield from _walk(child, f"{place}/{name}")


def _operations() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(name, operation, path item), webhooks too."""
    for group in ("paths", "webhooks"):
        for path, item in DOCUMENT[group].items():
            for method in METHODS & item.keys():
                yield f"{method.upper()} {path}", item[method], item


def _parameters(operation: dict[str, Any], item: dict[str, Any]) -> list[dict[str, Any]]:
    given = [*item.get("parameters", []), *operation.get("parameters", [])]
    return [_resolve(one) for one in given]


def _problems() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(operation, status, response) of every refusal."""
    for name, operation, _ in _operations():
        for status, response in operation["responses"].items():
            if status[0] in "45":
                yield name, status, _resolve(response)


def _faults(schema: Any, value: Any) -> list[str]:
    """What a value violates of a schema of the document; formats count."""
    whole = {"$ref": "#/schema", "schema": schema, "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [
        f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in validator.iter_errors(value)
    ]


def _examples() -> list[tuple[str, Any, Any]]:
    """(place, schema, value) of every example of a parameter, a header and a body."""
    found = []
    for place, node in _walk(DOCUMENT):
        if not isinstance(node, dict) or "schema" not in node:
            continue
        if "example" in node:
            found.append((place, node["schema"], node["example"]))
        for name, example in node.get("examples", {}).items():
            found.append((f"{place}/{name}", node["schema"], _resolve(example)["value"]))
    return found


EXAMPLES: Final = _examples()


def test_the_document_is_openapi_3_1() -> None:
    faults = [
        f"{'/'.join(map(str, fault.instance_path))}: {fault.message}"
        for fault in definitions.OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)
    ]

    assert faults == []


def test_every_schema_is_json_schema_2020_12() -> None:
    schemas = DOCUMENT["components"]["schemas"].items()
    inline = ((place, node["schema"]) for place, node in _walk(DOCUMENT) if "schema" in node)

    for place, schema in [*schemas, *inline]:
        if isinstance(schema, dict):
            jsonschema_rs.meta.validate(
                {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
            )
            assert not {"nullable", "example"} & schema.keys(), f"{place} speaks OpenAPI 3.0"


def test_every_reference_points_at_something() -> None:
    for place, node in _walk(DOCUMENT):
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            assert _resolve(node) is not None, place


def test_every_component_is_used() -> None:
    text = PATH.read_text("utf-8")
    components = [
        f"#/components/{kind}/{name}"
        for kind, named in DOCUMENT["components"].items()
        for name in named
        if kind != "securitySchemes"
    ]

    assert [one for one in components if f'"{one}"' not in text] == []


def test_the_operations_are_those_of_the_contract_each_in_its_class() -> None:
    told = {name: one["x-conformance"] for name, one, _ in _operations() if " /" in name}

    assert told == OPERATIONS


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_description() -> None:
    operations = [operation for _, operation, _ in _operations()]

    assert all(one["summary"] and one["description"] for one in operations)
    assert max(Counter(one["operationId"] for one in operations).values()) == 1


def test_every_parameter_is_named_once_and_every_name_in_a_path_is_declared() -> None:
    for name, operation, item in _operations():
        parameters = _parameters(operation, item)
        named = Counter((one["in"], one["name"].lower()) for one in parameters)
        in_path = {one["name"] for one in parameters if one["in"] == "path"}

        assert max(named.values(), default=0) <= 1, name
        assert in_path == set(re.findall(r"\{(\w+)\}", name)), name


def test_every_parameter_says_what_it_is_and_has_an_example() -> None:
    parameters = [one for _, op, item in _operations() for one in _parameters(op, item)]

    assert [one["name"] for one in parameters if not one.get("description")] == []
    assert [one["name"] for one in parameters if "example" not in one] == []


def test_every_body_in_json_has_an_example() -> None:
    bodies = [
        (place, kind)
        for place, node in _walk(DOCUMENT)
        if isinstance(node, dict) and isinstance(node.get("content"), dict)
        for kind, body in node["content"].items()
        if kind.endswith("json") and not {"example", "examples"} & body.keys()
    ]

    assert bodies == []


def test_no_example_holds_a_reference_that_no_reader_would_resolve() -> None:
    held = [place for place, _, value in EXAMPLES if "$ref" in str(value)]

    assert held == []


@pytest.mark.parametrize(("place", "schema", "value"), EXAMPLES, ids=[one[0] for one in EXAMPLES])
def test_the_example_is_valid_against_its_schema(place: str, schema: Any, value: Any) -> None:
    assert _faults(schema, value) == []


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("Time", "2026-04-01T09:00:00"),
        ("Change", {"id": "1.1", "op": "delete", "key": "1", "changed_at": "2026-04-01T09:00:00Z", "version": 1, "revision": 1, "record": {}}),
        ("Change", {"id": "1.1", "op": "upsert", "key": "1", "changed_at": "2026-04-01T09:00:00Z", "version": 1, "revision": 1}),
        ("Problem", {"type": "about:blank", "title": "x", "status": 404, "detail": "x", "instance": "/", "request_id": "1"}),
        ("SubscriptionIn", {"dataset": "shelters", "url": "http://sign.example.jp/"}),
        ("Metric", "median(capacity)"),
    ],
)  # fmt: skip
def test_a_schema_refuses_what_its_rules_forbid(name: str, wrong: Any) -> None:
    assert _faults({"$ref": f"#/components/schemas/{name}"}, wrong) != []


def test_every_refusal_is_problem_json_and_only_that() -> None:
    wrong = [
        (name, status)
        for name, status, response in _problems()
        if list(response.get("content", {})) != ["application/problem+json"]
        or response["content"]["application/problem+json"]["schema"]
        != {"$ref": "#/components/schemas/Problem"}
    ]

    assert wrong == []


def test_every_refusal_shows_its_own_status_and_one_of_its_own_codes() -> None:
    for name, status, response in _problems():
        example = response["content"]["application/problem+json"]["example"]

        assert example["status"] == int(status), (name, status)
        assert example["code"] in response["x-codes"], (name, status)
        assert example["type"].endswith(f":{example['code']}"), (name, status)
        assert example["request_id"] == _resolve(response["headers"]["X-Request-Id"])["example"]


def test_a_code_has_one_status() -> None:
    statuses: dict[str, set[str]] = {}
    for _, status, response in _problems():
        for code in response["x-codes"]:
            statuses.setdefault(code, set()).add(status)

    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}


def test_every_operation_can_say_that_the_input_is_wrong_and_that_it_cannot_answer() -> None:
    for name, operation, _ in _operations():
        if " /" in name:
            assert {"400", "410", "429", "500", "503"} <= operation["responses"].keys(), name


def test_every_operation_with_a_token_can_refuse_the_token_and_the_scope() -> None:
    for name, operation, _ in _operations():
        schemes = [one for one in operation.get("security", []) if one]
        scopes = [scope for one in schemes for scope in one["clientCredentials"]]

        assert bool(schemes) == ("401" in operation["responses"]), name
        assert bool(scopes) == ("403" in operation["responses"]), name


def test_every_scope_asked_for_is_declared() -> None:
    flows = DOCUMENT["components"]["securitySchemes"]["clientCredentials"]["flows"]
    declared = set(flows["clientCredentials"]["scopes"])
    asked = {
        scope
        for _, operation, _ in _operations()
        for one in operation.get("security", [])
        for scope in one.get("clientCredentials", [])
    }

    assert asked == declared == {f"dataset:{{id}}:{it}" for it in ("read", "write", "subscribe")}


def test_every_refusal_that_a_rule_text_names_is_a_code_of_the_document() -> None:
    codes = {code for _, _, response in _problems() for code in response["x-codes"]}
    of_a_place = {"wrong_check_digit"}  # stands in errors[], not at the top

    for rule in RULES:
        for language in ("ja", "en"):
            named = set(re.findall(r"[(（]([a-z]+(?:_[a-z]+)+)[)）]", rule[language]))
            assert named <= codes | of_a_place, rule["id"]


def test_both_languages_of_a_rule_name_the_same_codes_and_numbers() -> None:
    for rule in RULES:
        ja, en = (
            sorted(re.findall(r"\b[45]\d\d\b|[a-z]+_[a-z_]+", rule[language]))
            for language in ("ja", "en")
        )
        assert set(ja) == set(en), rule["id"]


def test_every_rule_has_a_name_a_class_its_text_and_its_reason_in_japanese_and_english() -> None:
    for rule in RULES:
        assert list(rule) == ["id", "class", "ja", "en", "why_ja", "why_en", "example"], rule
        assert rule["class"] in CLASSES, rule["id"]
        for name in ("ja", "why_ja"):
            assert re.search(r"[ぁ-ん]", rule[name]), rule["id"]
            assert rule[name].endswith("。"), rule["id"]
        for name in ("en", "why_en"):
            assert re.fullmatch(r"[\x20-\x7e]+\.", rule[name]), rule["id"]
    reasons = [rule[name] for rule in RULES for name in ("why_ja", "why_en")]
    assert len(set(reasons)) == len(reasons)


def _operation_of(method: str, path: str) -> dict[str, Any]:
    """The operation that an example shows; the notice, where it goes to a receiver."""
    if path.startswith("https://"):
        notice: dict[str, Any] = DOCUMENT["webhooks"]["datasetChanged"][method.lower()]
        return notice
    for template, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            shared = item.get("parameters", [])
            operation = item[method.lower()]
            return {**operation, "parameters": [*shared, *operation.get("parameters", [])]}
    raise AssertionError(path)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["id"])
def test_the_example_of_a_rule_is_a_request_and_an_answer_of_the_standard(
    rule: dict[str, Any],
) -> None:
    asked, told = rule["example"]["request"], rule["example"]["response"]
    method, target = asked["line"].split(" ", 1)
    operation = _operation_of(method, target.partition("?")[0])
    response = _resolve(operation["responses"].get(str(told["status"]), {"x-codes": ()}))

    names = {_resolve(each)["name"] for each in operation.get("parameters", ())}
    code = None if isinstance(told.get("body"), str) else (told.get("body") or {}).get("code")
    named = [name for name, _ in parse_qsl(urlsplit(target).query, keep_blank_values=True)]
    fields = {"ward", "kind"}  # of the dataset
    assert {name for name in named if name not in names | fields} <= (
        {"limt"} if code == "unknown_parameter" else set()
    )
    assert (
        str(told["status"]) in operation["responses"] or operation["operationId"] == "receiveNotice"
    )
    assert code is None or code in response["x-codes"]
    for side in (asked, told):
        assert side.keys() <= {"line", "status", "headers", "body"}
        body = side.get("body")
        assert json.loads(json.dumps(body, allow_nan=False)) == body
        if isinstance(body, str) and "ndjson" in str(side.get("headers")):
            assert all(json.loads(line) for line in body.splitlines())


def test_rules_are_grouped_in_order_and_numbered_without_a_gap() -> None:
    groups = list(dict.fromkeys(rule["id"].split("-")[0] for rule in RULES))
    counts = Counter(rule["id"].split("-")[0] for rule in RULES)

    assert groups == GROUPS
    assert [rule["id"] for rule in RULES] == [
        f"{group}-{number:02}" for group in GROUPS for number in range(1, counts[group] + 1)
    ]


def test_every_rule_that_is_named_exists_and_every_rule_is_used() -> None:
    everywhere = DOCUMENT["x-rule"]
    named = {rule for _, operation, _ in _operations() for rule in operation["x-rule"]}

    assert named | set(everywhere) == {rule["id"] for rule in RULES}


def test_an_operation_names_a_rule_once_and_none_that_binds_all_anyway() -> None:
    everywhere = DOCUMENT["x-rule"]
    for name, operation, _ in _operations():
        doubled = [
            rule
            for rule, count in Counter([*everywhere, *operation["x-rule"]]).items()
            if count > 1
        ]

        assert operation["x-rule"] != [], name
        assert doubled == [], name


def test_every_class_is_explained_and_has_rules() -> None:
    explained = DOCUMENT["x-conformance-classes"]
    offered = DOCUMENT["components"]["schemas"]["Health"]["properties"]["conformance"]

    assert list(explained) == CLASSES == offered["items"]["enum"]
    assert all(list(one) == ["ja", "en"] for one in explained.values())
    assert {rule["class"] for rule in RULES} == set(CLASSES)


def test_reading_operations_carry_the_purpose_and_the_rule_about_it() -> None:
    for name, operation, item in _operations():
        names = {one["name"] for one in _parameters(operation, item)}

        assert ("purpose" in names) == ("AUTH-06" in operation["x-rule"]), name
        assert ("purpose" in names) == ("read" in str(operation.get("security"))), name


def test_answers_with_an_etag_answer_304_as_well() -> None:
    for name, operation, item in _operations():
        names = {one["name"] for one in _parameters(operation, item)}
        tagged = "ETag" in operation["responses"].get("200", {}).get("headers", {})

        assert tagged == ("304" in operation["responses"]) == ("If-None-Match" in names), name
        assert tagged == ("CACHE-02" in operation["x-rule"]), name


def test_the_platform_refuses_by_no_reason_that_the_standard_does_not_know() -> None:
    codes = {code for _, _, response in _problems() for code in response["x-codes"]}

    assert {str(reason) for reason in Reason} - codes == set()


def test_the_bounds_and_types_are_those_that_the_platform_keeps() -> None:
    parameters = DOCUMENT["components"]["parameters"]
    field = DOCUMENT["components"]["schemas"]["Field"]["properties"]

    assert parameters["limit"]["schema"]["default"] == DEFAULT_LIMIT
    assert parameters["limit"]["schema"]["maximum"] == MOST_ROWS
    assert parameters["radius"]["schema"]["maximum"] == MOST_RADIUS_METRES
    assert field["type"]["enum"] == list(FieldType)
    assert field["visibility"]["enum"] == [*Visibility, None]
