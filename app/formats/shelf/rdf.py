"""One graph in three syntaxes: a JSON-LD tree as `dcat` makes it → Turtle and RDF/XML. Pure.

It reads the part of JSON-LD that our own trees use (prefixes, @id, @type, @value, @language,
nesting, no nameless things) and nothing from outside. Written straight from the tree, a page of a
thousand datasets takes a thirtieth of what a graph library needs, which would keep the process
busy for a quarter of a minute.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import orjson

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_RETURN: Final = {"\r": "&#13;"}  # a bare one would be read as a line feed (XML 1.0, 2.11)
Node = Mapping[str, Any]
Statements = dict[str, dict[str, None]]  # by subject, each once, in the order of the tree


@dataclass(frozen=True, slots=True)
class Syntax:
    """How one syntax writes a statement whose object is a thing, and one whose object is text."""

    thing: Callable[[str, str], str]  # predicate, address
    text: Callable[[str, str, str | None, str | None], str]  # predicate, text, language, datatype


def json_ld(document: Node) -> bytes:
    """The tree as it is."""
    return orjson.dumps(document)


def turtle(document: Node) -> bytes:
    """RDF 1.1 Turtle."""
    prefixes: Mapping[str, str] = document["@context"]
    pieces = [f"@prefix {prefix}: <{address}> .\n" for prefix, address in prefixes.items()]
    for subject, said in _statements(document, _TURTLE).items():
        pieces.append(f"\n<{subject}> " + " ;\n    ".join(said) + " .\n")
    return "".join(pieces).encode()


def rdf_xml(document: Node) -> bytes:
    """RDF 1.1 XML syntax, a description a subject."""
    prefixes = {"rdf": RDF, **document["@context"]}
    named = "".join(f" xmlns:{prefix}={quoteattr(at)}" for prefix, at in prefixes.items())
    pieces = [f'<?xml version="1.0" encoding="UTF-8"?>\n<rdf:RDF{named}>\n']
    for subject, said in _statements(document, _XML).items():
        pieces.append(f"<rdf:Description rdf:about={quoteattr(subject)}>\n  ")
        pieces.append("\n  ".join(said) + "\n</rdf:Description>\n")
    pieces.append("</rdf:RDF>\n")
    return "".join(pieces).encode()


def _turtle_thing(name: str, address: str) -> str:
    return f"a <{address}>" if name == "rdf:type" else f"{name} <{address}>"


def _turtle_text(name: str, text: str, language: str | None, datatype: str | None) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    quoted = quoted.replace("\n", "\\n").replace("\r", "\\r")
    if language is not None:
        return f'{name} "{quoted}"@{language}'
    return f'{name} "{quoted}"^^<{datatype}>' if datatype is not None else f'{name} "{quoted}"'


def _xml_thing(name: str, address: str) -> str:
    return f"<{name} rdf:resource={quoteattr(address)}/>"


def _xml_text(name: str, text: str, language: str | None, datatype: str | None) -> str:
    told = ""
    if language is not None:
        told = f' xml:lang="{language}"'
    elif datatype is not None:
        told = f" rdf:datatype={quoteattr(datatype)}"
    return f"<{name}{told}>{escape(text, _RETURN)}</{name}>"


_TURTLE: Final = Syntax(_turtle_thing, _turtle_text)
_XML: Final = Syntax(_xml_thing, _xml_text)


def _statements(document: Node, syntax: Syntax) -> Statements:
    found: Statements = {}
    _collect(document, document["@context"], syntax, found)
    return found


def _collect(node: Node, prefixes: Mapping[str, str], syntax: Syntax, found: Statements) -> None:
    """Add what the node says, and what the nodes in it say."""
    mine = found.setdefault(node["@id"], {})  # before those within: the reader meets it first
    said = [
        syntax.thing("rdf:type", _whole(kind, prefixes)) for kind in _listed(node.get("@type", ()))
    ]
    for name, values in node.items():
        if name.startswith("@"):
            continue
        for value in _listed(values):
            if not isinstance(value, str) and "@id" in value:
                said.append(syntax.thing(name, value["@id"]))
                if len(value) > 1:  # more than a name
                    _collect(value, prefixes, syntax, found)
            else:
                said.append(_text(name, value, prefixes, syntax))
    mine.update(dict.fromkeys(said))


def _text(name: str, value: Any, prefixes: Mapping[str, str], syntax: Syntax) -> str:
    if isinstance(value, str):
        return syntax.text(name, value, None, None)
    kind = value.get("@type")
    datatype = _whole(kind, prefixes) if kind is not None else None
    return syntax.text(name, value["@value"], value.get("@language"), datatype)


def _whole(short: str, prefixes: Mapping[str, str]) -> str:
    prefix, _, local = short.partition(":")
    return prefixes[prefix] + local


def _listed(values: Any) -> Sequence[Any]:
    return values if isinstance(values, list | tuple) else (values,)
