"""The part of Solr's query syntax that CKAN's clients send, as a value. Knows no field and no table.

As the harvester means it: clauses that stand side by side must all hold, and OR binds tighter than
that, so that `organization:a OR organization:b metadata_modified:[… TO *]` is either body's changes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MOST_CHARACTERS: Final = 8_000
MOST_TERMS: Final = 200
MOST_NESTED: Final = 20


class NotSolr(ValueError):
    """The text cannot be read. Says where, or what is not answered."""


@dataclass(frozen=True, slots=True)
class Term:
    """`field:text`, or words alone where `field` is None. A trailing * is kept as `begins`."""

    field: str | None
    text: str
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """`field:[low TO high]`; None is open. Curly brackets leave their end out."""

    field: str
    low: str | None
    high: str | None
    with_low: bool = True
    with_high: bool = True


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; with none, everything matches (`*:*`)."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one part holds."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class No:
    """The part does not hold."""

    part: "Query"


Query = Term | Range | All | Any | No
EVERYTHING: Final = All(())
_TOKEN: Final = re.compile(
    r"\s*(?:"
    r"(?P<everything>\*:\*)"
    r"|(?P<range>[\[{]\s*(?P<low>\S+)\s+TO\s+(?P<high>[^\s\]}]+)\s*[\]}])"
    r'|"(?P<phrase>(?:\\.|[^"\\])*)"'
    r"|(?P<mark>&&|\|\||[()!+-])"
    r"|(?P<field>[A-Za-z_][\w.-]*):(?=\S)"
    r'|(?P<word>(?:\\.|[^\s()"\[\]{}\\])+)'
    r")"
)
_END: Final = re.compile(r"\s*\Z")
_AND: Final = frozenset({"AND", "&&"})
_OR: Final = frozenset({"OR", "||"})


def parse(text: str) -> Query:
    """The query. Raises `NotSolr`."""
    if len(text) > MOST_CHARACTERS:
        raise NotSolr(f"> {MOST_CHARACTERS}")
    tokens = list(_tokens(text))
    if len(tokens) > 4 * MOST_TERMS:
        raise NotSolr(f"> {MOST_TERMS}")
    reading = _Reading(tokens)
    found = reading.all_of(None, 0)
    if reading.at < len(tokens):
        raise NotSolr(tokens[reading.at][1])
    return found


def words_in(query: Query) -> Iterator[str]:
    """What is asked as words, of no field or of CKAN's `text`."""
    match query:
        case All(parts) | Any(parts):
            for each in parts:
                yield from words_in(each)
        case No(part):
            yield from words_in(part)
        case Term(None | "text", text, _):
            yield text


def plain_words(query: Query) -> str | None:
    """The words of a query that is nothing else; None where it is more than that."""
    parts = query.parts if isinstance(query, All) else (query,)
    plain = [each.text for each in parts if isinstance(each, Term) and each.field is None]
    return " ".join(plain) if plain and len(plain) == len(parts) else None


def _tokens(text: str) -> Iterator[tuple[str, str, "re.Match[str]"]]:
    at = 0
    while not _END.match(text, at):
        found = _TOKEN.match(text, at)
        if found is None:
            raise NotSolr(text[at : at + 20].strip())
        at = found.end()
        kind = next(name for name in _KINDS if found[name] is not None)
        yield kind, found[kind], found


_KINDS: Final = ("everything", "range", "phrase", "mark", "field", "word")


class _Reading:
    """Recursive descent over the tokens, bounded in depth."""

    def __init__(self, tokens: list[tuple[str, str, "re.Match[str]"]]) -> None:
        self._tokens = tokens
        self.at = 0

    def _now(self) -> tuple[str, str]:
        return self._tokens[self.at][:2] if self.at < len(self._tokens) else ("end", "")

    def _take(self, words: frozenset[str]) -> bool:
        kind, text = self._now()
        taken = kind in ("word", "mark") and text in words
        self.at += taken
        return taken

    def all_of(self, field: str | None, depth: int) -> Query:
        """Clauses side by side, to the end or the closing bracket."""
        if depth > MOST_NESTED:
            raise NotSolr("(" * MOST_NESTED)
        parts = []
        while self._now() not in (("end", ""), ("mark", ")")):
            parts.append(self._either(field, depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _either(self, field: str | None, depth: int) -> Query:
        parts = [self._both(field, depth)]
        while self._take(_OR):
            parts.append(self._both(field, depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _both(self, field: str | None, depth: int) -> Query:
        parts = [self._clause(field, depth)]
        while self._take(_AND):
            parts.append(self._clause(field, depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _clause(self, field: str | None, depth: int) -> Query:
        opposite = False
        while True:
            if self._take(frozenset({"-", "!", "NOT"})):
                opposite = not opposite
            elif not self._take(frozenset({"+"})):
                break
        found = self._primary(field, depth)
        return No(found) if opposite else found

    def _primary(self, field: str | None, depth: int) -> Query:
        kind, text = self._now()
        if kind == "field" and field is None:
            self.at += 1
            return self._primary(text, depth)
        if (kind, text) == ("mark", "("):
            self.at += 1
            inner = self.all_of(field, depth + 1)
            if self._now() != ("mark", ")"):
                raise NotSolr("(")
            self.at += 1
            return inner
        if kind not in ("everything", "range", "phrase", "word"):
            raise NotSolr(text)
        found = self._tokens[self.at][2]
        self.at += 1
        return _leaf(kind, found, field)


def _leaf(kind: str, found: "re.Match[str]", field: str | None) -> Query:
    if kind == "everything":
        return EVERYTHING
    if kind == "range":
        if field is None:
            raise NotSolr(found["range"])
        return Range(
            field, _end(found["low"]), _end(found["high"]),
            found["range"].startswith("["), found["range"].endswith("]"),
        )  # fmt: skip
    if kind == "phrase":
        return Term(field, _unescaped(found["phrase"]))
    text = found["word"]
    if text == "*":
        return Term(field, "", begins=True) if field else EVERYTHING
    begins = text.endswith("*") and not text.endswith("\\*")
    bare = text[:-1] if begins else text
    if re.search(r"(?<!\\)[*?~^]", bare):
        raise NotSolr(text)
    return Term(field, _unescaped(bare), begins)


def _end(text: str) -> str | None:
    return None if text == "*" else text.strip('"')


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
