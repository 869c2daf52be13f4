"""CQL2 Text (OGC 21-065r2, annex B) to the tree of CQL2 JSON. Linear in the text, bounded in depth.

It parses what this service answers and names what it does not. A grammar with backtracking would
do neither: two dozen open brackets keep one busy for ever.
"""

import re
from decimal import Decimal
from typing import Any, Final, NamedTuple, NoReturn

MOST_NESTED: Final = 50
_TOKEN: Final = re.compile(
    r"""\s*+(?:
      (?P<text>'(?:[^']|'')*+')
    | (?P<quoted>"[^"]++")
    | (?P<number>(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)
    | (?P<word>[^\W\d]\w*+(?:\.\w++)*+)
    | (?P<sign><>|<=|>=|[=<>(),+\-*/^%])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
_ARITHMETIC: Final = frozenset("+-*/^%")
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_INSTANTS: Final = frozenset({"date", "timestamp"})
Tree = Any


class WrongSyntax(ValueError):
    """The text is no filter; says where."""

    def __init__(self, position: int) -> None:
        super().__init__(f"character {position + 1}")


class NotAnswered(ValueError):
    """Valid CQL2 of a class that is not answered here."""


class TooDeep(ValueError):
    """Nested deeper than `MOST_NESTED`."""


class _Token(NamedTuple):
    kind: str
    text: str
    position: int

    @property
    def word(self) -> str:
        """The keyword this may be."""
        return self.text.lower() if self.kind == "word" else ""


def parse(text: str) -> Tree:
    """The filter as CQL2 JSON, numbers as exact decimals.

    Raises `WrongSyntax`, `NotAnswered`, `TooDeep`.
    """
    return _Parser(text).whole()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise WrongSyntax(position)
        kind = match.lastgroup
        found.append(_Token(kind, match[kind], match.start(kind)))
        position = match.end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        taken = self._next
        self._at += taken.kind != "end"
        return taken

    def _took(self, *wanted: str) -> bool:
        """Take the next token if it is one of these signs or keywords."""
        is_it = self._next.word in wanted or (
            self._next.kind == "sign" and self._next.text in wanted
        )
        if is_it:
            self._take()
        return is_it

    def _need(self, wanted: str) -> None:
        if not self._took(wanted):
            self._wrong()

    def _wrong(self) -> NoReturn:
        if self._next.text in _ARITHMETIC or self._next.word == "div":
            raise NotAnswered
        raise WrongSyntax(self._next.position)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise TooDeep

    def whole(self) -> Tree:
        """All of the text."""
        tree = self._any_of()
        if self._next.kind != "end":
            self._wrong()
        return tree

    def _any_of(self) -> Tree:
        parts = [self._all_of()]
        while self._took("or"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else _node("or", *parts)

    def _all_of(self) -> Tree:
        parts = [self._one()]
        while self._took("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _node("and", *parts)

    def _one(self) -> Tree:
        depth = self._depth
        negations = 0
        while self._took("not"):
            self._deeper()
            negations += 1
        if self._took("("):
            self._deeper()
            tree = self._any_of()
            self._need(")")
        else:
            tree = self._predicate()
        self._depth = depth
        for _ in range(negations):
            tree = _node("not", tree)
        return tree

    def _predicate(self) -> Tree:
        left = self._operand()
        if self._next.kind == "sign" and self._next.text in _COMPARISONS:
            return _node(self._take().text, left, self._operand())
        if self._took("is"):
            negated = self._took("not")
            self._need("null")
            return _negated(_node("isNull", left), negated)
        negated = self._took("not")
        if self._took("like"):
            return _negated(_node("like", left, self._operand()), negated)
        if self._took("between"):
            low = self._operand()
            self._need("and")
            return _negated(_node("between", left, low, self._operand()), negated)
        if self._took("in"):
            return _negated(_node("in", left, self._list()), negated)
        if negated or not isinstance(left, bool):
            self._wrong()
        return left

    def _list(self) -> list[Tree]:
        self._need("(")
        values = [self._operand()]
        while self._took(","):
            values.append(self._operand())
        self._need(")")
        return values

    def _operand(self) -> Tree:
        negative = self._took("-")
        taken = self._take()
        match taken.kind:
            case "number":
                return Decimal(f"-{taken.text}" if negative else taken.text)
            case _ if negative:
                raise NotAnswered
            case "text":
                return taken.text[1:-1].replace("''", "'")
            case "quoted":
                return {"property": taken.text[1:-1]}
            case "word":
                return self._named(taken)
        self._at -= taken.kind != "end"
        return self._wrong()

    def _named(self, name: _Token) -> Tree:
        if name.word in _CONSTANTS:
            return _CONSTANTS[name.word]
        if not self._took("("):
            return {"property": name.text}
        if name.word not in _INSTANTS | {"casei"}:
            raise NotAnswered
        self._deeper()
        inner = self._operand()
        self._need(")")
        self._depth -= 1
        return _node("casei", inner) if name.word == "casei" else {name.word: inner}


def _node(op: str, *args: Tree) -> Tree:
    return {"op": op, "args": list(args)}


def _negated(tree: Tree, negated: bool) -> Tree:
    return _node("not", tree) if negated else tree
