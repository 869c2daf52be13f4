"""The operations of the standard for people: parameters, an answer, refusals and rules of each.

Shows what the document says, and says nothing of its own.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.certify.document import Document
from app.portal.layout import NOTHING, Html, both, coded, html, joined


def shown(standard: Document) -> Html:
    """All of them, in the order of the document."""
    return joined(_operations(standard))


def _operations(standard: Document) -> Iterator[Html]:
    shared = standard.root.get("x-rule", [])
    for path, method, operation in standard.operations():
        parameters = [standard.resolved(each) for each in operation["parameters"]]
        answers = {
            str(status): standard.resolved(each) for status, each in operation["responses"].items()
        }
        yield html(
            "<h3><code>{method} {path}</code> {conformance}</h3><p>{summary}</p>{parameters}"
            "{example}<p>{refusals}</p><p>{rules}</p>",
            method=method.upper(), path=path, conformance=operation["x-conformance"],
            summary=both(operation["x-summary-ja"], operation["summary"]),
            parameters=_parameters(parameters, operation["x-conformance"]), example=_example(answers),
            refusals=joined(_refusals(answers)),
            rules=joined(_linked([*operation.get("x-rule", ()), *shared])),
        )  # fmt: skip


def _parameters(parameters: Sequence[Mapping[str, Any]], conformance: str) -> Html:
    if not parameters:
        return NOTHING
    return html(
        "<ul>{lines}</ul>", lines=joined(_parameter(each, conformance) for each in parameters)
    )


def _parameter(told: Mapping[str, Any], conformance: str) -> Html:
    """One of another class than the operation's says so: a service without that class refuses it."""
    of_class = told.get("x-conformance", conformance)
    return html(
        "<li><code>{name}</code> ({place}{of_class}) {words}</li>",
        name=told["name"], place=told["in"],
        of_class="" if of_class == conformance else f"; class {of_class}",
        words=both(coded(told["x-description-ja"]), coded(told["description"])),
    )  # fmt: skip


def _example(answers: Mapping[str, Any]) -> Html:
    """The first answer that succeeds and has an example, as it is written out."""
    for status, answer in answers.items():
        for media_type, content in answer.get("content", {}).items():
            examples = content.get("examples", {}).values()
            told = content.get("example", next((each["value"] for each in examples), None))
            if status.startswith("2") and told is not None:
                body = json.dumps(told, ensure_ascii=False, indent=1)
                return html("<pre>HTTP {status}\nContent-Type: {media_type}\n\n{body}</pre>",
                            status=status, media_type=media_type, body=body)  # fmt: skip
    return NOTHING


def _refusals(answers: Mapping[str, Any]) -> Iterator[Html]:
    for status, answer in answers.items():
        if codes := answer.get("x-codes"):
            yield html("{status} <code>{codes}</code> ", status=status, codes=", ".join(codes))


def _linked(rules: Sequence[str]) -> Iterator[Html]:
    return (html('<a href="#{id}">{id}</a> ', id=each) for each in rules)
