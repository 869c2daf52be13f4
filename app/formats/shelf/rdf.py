"""One graph in three syntaxes: a JSON-LD tree as `dcat` makes it → Turtle and RDF/XML. Pure.

It reads the part of JSON-LD that our own trees use (prefixes, @id, @type, @value, @language,
nesting, no nameless things) and nothing from outside. Writing it straight from the tree takes a twentieth of the time
of a graph library, which would hold the process for seconds on a page of a thousand datasets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import orjson

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing, by its address."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A text with its language or datatype."""

    text: str
    language: str | None = None
    datatype: str | None = None


Statements = dict[Resource, dict[tuple[str, Resource | Literal], None]]


def json_ld(document: Node) -> bytes:
    """The tree as it is."""
    return orjson.dumps(document)


def turtle(document: Node) -> bytes:
    """RDF 1.1 Turtle."""
    prefixes: Mapping[str, str] = document["@context"]
    pieces = [f"@prefix {prefix}: <{address}> .\n" for prefix, address in prefixes.items()]
    for subject, said in _statements(document).items():
        lines = (f"{_predicate(name)} {_turtle_term(value, prefixes)}" for name, value in said)
        pieces.append(f"\n{_turtle_term(subject, prefixes)} " + " ;\n    ".join(lines) + " .\n")
    return "".join(pieces).encode()


def _predicate(name: str) -> str:
    return "a" if name == "rdf:type" else name


def _turtle_term(term: Resource | Literal, prefixes: Mapping[str, str]) -> str:
    if isinstance(term, Resource):
        return f"<{term.name}>"
    text = term.text.replace("\\", "\\\\").replace('"', '\\"')
    quoted = '"' + text.replace("\n", "\\n").replace("\r", "\\r") + '"'
    if term.language is not None:
        return f"{quoted}@{term.language}"
    return f"{quoted}^^<{term.datatype}>" if term.datatype is not None else quoted


def rdf_xml(document: Node) -> bytes:
    """RDF 1.1 XML syntax, a description a subject."""
    prefixes = {"rdf": RDF, **document["@context"]}
    named = "".join(f" xmlns:{prefix}={quoteattr(at)}" for prefix, at in prefixes.items())
    pieces = [f'<?xml version="1.0" encoding="UTF-8"?>\n<rdf:RDF{named}>\n']
    for subject, said in _statements(document).items():
        pieces.append(f"<rdf:Description rdf:about={quoteattr(subject.name)}>\n")
        pieces.extend(f"  {_element(name, value)}\n" for name, value in said)
        pieces.append("</rdf:Description>\n")
    pieces.append("</rdf:RDF>\n")
    return "".join(pieces).encode()


def _element(name: str, value: Resource | Literal) -> str:
    if isinstance(value, Resource):
        return f"<{name} rdf:resource={quoteattr(value.name)}/>"
    told = ""
    if value.language is not None:
        told = f" xml:lang={quoteattr(value.language)}"
    elif value.datatype is not None:
        told = f" rdf:datatype={quoteattr(value.datatype)}"
    # A bare carriage return would be read as a line feed (XML 1.0, 2.11).
    return f"<{name}{told}>{escape(value.text, {chr(13): '&#13;'})}</{name}>"


def _statements(document: Node) -> Statements:
    """Every statement once, by subject, in the order of the tree."""
    found: Statements = {}
    _collect(document, document["@context"], found)
    return found


def _collect(node: Node, prefixes: Mapping[str, str], found: Statements) -> Resource:
    """The thing that the node is; what it says is added to what was found."""
    subject = Resource(node["@id"])
    said = found.setdefault(subject, {})
    for kind in _listed(node.get("@type", ())):
        said["rdf:type", Resource(_whole(kind, prefixes))] = None
    for name, values in node.items():
        if not name.startswith("@"):
            for value in _listed(values):
                said[name, _value(value, prefixes, found)] = None
    if not said:
        del found[subject]  # only named here
    return subject


def _value(value: Any, prefixes: Mapping[str, str], found: Statements) -> Resource | Literal:
    if isinstance(value, str):
        return Literal(value)
    if "@value" not in value:
        return _collect(value, prefixes, found)
    kind = value.get("@type")
    datatype = _whole(kind, prefixes) if kind is not None else None
    return Literal(value["@value"], value.get("@language"), datatype)


def _whole(short: str, prefixes: Mapping[str, str]) -> str:
    prefix, _, local = short.partition(":")
    return prefixes[prefix] + local


def _listed(values: Any) -> Sequence[Any]:
    return values if isinstance(values, list | tuple) else (values,)
