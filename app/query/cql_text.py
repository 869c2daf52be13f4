"""CQL2 Text (OGC 21-065r2, annex B) to the tree of CQL2 JSON. Linear in the text, bounded in depth.

It says what is written and not what it means: a function that nobody knows, or a sum of texts,
passes here. A grammar with backtracking would be no help: two dozen open brackets keep one busy
for ever.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple, NoReturn

from app.query import wkt

MOST_NESTED: Final = 50
_TOKEN: Final = re.compile(
    r"""\s*+(?:
      (?P<text>'(?:[^'\\]|''|\\\\|\\'|\\)*+')
    | (?P<quoted>"[^"]++")
    | (?P<number>(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)
    | (?P<word>[^\W\d][\w:]*+(?:\.[\w:]++)*+)
    | (?P<sign><>|<=|>=|[=<>(),+\-*/^%])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_ESCAPED: Final = re.compile(r"\\\\|\\'|''")
_COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
_BINDING: Final = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "div": 2, "^": 3}
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_INSTANTS: Final = frozenset({"date", "timestamp"})
_LISTED: Final = frozenset({"bbox", "interval"})
Tree = Any


class WrongSyntax(ValueError):
    """The text is no filter; says where, counted from nought."""

    def __init__(self, position: int) -> None:
        super().__init__(f"character {position + 1}")
        self.position = position


class WrongShape(WrongSyntax):
    """A geometry begins there that never ends, or that is none."""


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
    """The filter as CQL2 JSON, numbers as exact decimals. Raises `WrongSyntax`, `TooDeep`."""
    return _Parser(text).whole()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise WrongSyntax(position)
        kind = match.lastgroup
        start, position = match.start(kind), match.end()
        # A geometry is one token: its brackets and commas are not those of the filter.
        if kind == "word" and (end := _end_of_shape(text, start)) is not None:
            kind, position = "shape", end
        found.append(_Token(kind, text[start:position], start))
    return found


def _end_of_shape(text: str, start: int) -> int | None:
    try:
        return wkt.end_of(text, start)
    except wkt.NotText:
        raise WrongShape(start) from None


def _unescaped(text: str) -> str:
    r"""'' and \' are a quote. \\ stays as it is, for LIKE to read."""
    if "\\" not in text:
        return text.replace("''", "'")
    return _ESCAPED.sub(lambda found: found[0] if found[0] == r"\\" else "'", text)


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
        tree = self._predicate()
        self._depth = depth
        for _ in range(negations):
            tree = _node("not", tree)
        return tree

    def _predicate(self) -> Tree:
        left = self._sum()
        if self._next.kind == "sign" and self._next.text in _COMPARISONS:
            return _node(self._take().text, left, self._sum())
        if self._took("is"):
            negated = self._took("not")
            self._need("null")
            return _negated(_node("isNull", left), negated)
        negated = self._took("not")
        if self._took("like"):
            return _negated(_node("like", left, self._sum()), negated)
        if self._took("between"):
            low = self._sum()
            self._need("and")
            return _negated(_node("between", left, low, self._sum()), negated)
        if self._took("in"):
            self._need("(")
            return _negated(_node("in", left, self._list(self._sum())), negated)
        if negated:
            self._wrong()
        return left

    def _sum(self, least: int = 1) -> Tree:
        """An operand, with the operators behind it that bind at least so closely."""
        tree = self._signed()
        for _ in range(MOST_NESTED):
            operator = self._next.text.lower() if self._next.kind in ("sign", "word") else ""
            binding = _BINDING.get(operator, 0)
            if binding < least:
                return tree
            self._take()
            tree = _node(operator, tree, self._sum(binding + 1))
            if operator == "^" and self._next.text == "^":  # 2^3^2 says not which comes first
                self._wrong()
        raise TooDeep

    def _signed(self) -> Tree:
        negative = self._took("-")
        if not negative:
            self._took("+")
        tree = self._operand()
        if not negative:
            return tree
        return tree.copy_negate() if isinstance(tree, Decimal) else _node("*", Decimal(-1), tree)

    def _operand(self) -> Tree:
        taken = self._take()
        match taken.kind:
            case "number":
                return read_decimal(taken.text, taken.position)
            case "text":
                return _unescaped(taken.text[1:-1])
            case "quoted":
                return {"property": taken.text[1:-1]}
            case "shape":
                return _shape(taken)
            case "word":
                return self._named(taken)
            case "sign" if taken.text == "(":
                return self._bracketed()
        self._at -= taken.kind != "end"
        return self._wrong()

    def _bracketed(self) -> Tree:
        """A part of the filter in brackets; with commas, a list."""
        self._deeper()
        if self._took(")"):
            tree: Tree = []
        else:
            tree = self._any_of()
            if self._next.text == ",":
                tree = self._list(tree)
            else:
                self._need(")")
        self._depth -= 1
        return tree

    def _list(self, first: Tree) -> list[Tree]:
        """What follows the first one, to the closing bracket."""
        values = [first]
        while self._took(","):
            values.append(self._sum())
        self._need(")")
        return values

    def _named(self, name: _Token) -> Tree:
        if name.word in _CONSTANTS:
            return _CONSTANTS[name.word]
        if not self._took("("):
            return {"property": name.text}
        self._deeper()
        if name.word in _INSTANTS:
            tree: Tree = {name.word: self._operand()}
            self._need(")")
        elif self._took(")"):
            tree = _node(name.text)
        else:
            values = self._list(self._any_of())
            tree = {name.word: values} if name.word in _LISTED else _node(name.text, *values)
        self._depth -= 1
        return tree


def read_decimal(text: str, position: int) -> Decimal:
    """A number, exact. Raises `WrongSyntax` where its exponent is beyond all numbers."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise WrongSyntax(position) from None


def _shape(taken: _Token) -> Tree:
    try:
        return wkt.parse(taken.text)
    except wkt.NotText:
        raise WrongShape(taken.position) from None


def _node(op: str, *args: Tree) -> Tree:
    return {"op": op, "args": list(args)}


def _negated(tree: Tree, negated: bool) -> Tree:
    return _node("not", tree) if negated else tree
