"""A mapping's expressions, in JMESPath: a value made of one row. They reach nothing but that row.

JMESPath has neither loops nor functions of one's own, and still a short expression can ask for work
without end. So an expression is small, and has so many steps for a row (`app/formats/counting`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from app.formats.text import CellError

LONGEST: Final = 1_000  # characters
_MOST_PARTS: Final = 200
_DEEPEST: Final = 40
_LARGEST_WHOLE: Final = 2**53  # a larger one may have lost digits on its way


class NotExpression(ValueError):
    """The text is none, or asks for more than one may; its words say what."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One that has been read. `names`: the members that it asks for; `whole`: or any of the row."""

    text: str
    names: frozenset[str]
    whole: bool
    _tree: dict[str, Any] = field(repr=False, compare=False)

    def value(self, row: Mapping[str, Any]) -> str | None:
        """What it makes of a row, as a cell would have it. Raises `CellError`."""
        from app.formats.counting import TooCostly, evaluate  # noqa: PLC0415

        try:
            return _cell(evaluate(self._tree, row))
        except TooCostly:
            raise CellError("expression_too_costly") from None
        # What is compared, counted or joined is of another type than that takes, or too deep.
        except (
            ValueError, TypeError, ArithmeticError, AttributeError, LookupError, RecursionError,
        ) as exc:  # fmt: skip
            raise CellError("expression_failed") from exc


@lru_cache(maxsize=512)
def read_expression(text: str) -> Expression:
    """The expression that a text is. Raises `NotExpression`."""
    from app.formats.counting import knows, parsed  # noqa: PLC0415 - most mappings have none

    if len(text) > LONGEST:
        raise NotExpression(f"longer than {LONGEST} characters")
    try:
        tree = parsed(text)
    except ValueError as exc:
        raise NotExpression(str(exc)) from exc
    except RecursionError as exc:
        raise NotExpression(f"deeper than {_DEEPEST}") from exc
    parts = _parts(tree)
    for part in parts:
        if part["type"] == "function_expression" and not knows(part["value"]):
            raise NotExpression(f"there is no function {part['value']}()")
    names = frozenset(part["value"] for part in parts if part["type"] == "field")
    is_whole = any(part["type"] in ("current", "value_projection") for part in parts)
    return Expression(text, names, is_whole, tree)


def _parts(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """All parts of an expression. Raises `NotExpression` where they are too many or too deep."""
    found, waiting = [], [(tree, 1)]
    while waiting:
        part, depth = waiting.pop()
        found.append(part)
        if depth > _DEEPEST:
            raise NotExpression(f"deeper than {_DEEPEST}")
        if len(found) > _MOST_PARTS:
            raise NotExpression(f"of more than {_MOST_PARTS} parts")
        waiting += [(each, depth + 1) for each in part["children"] if isinstance(each, dict)]
    return found


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(value)
        is_whole = value.is_integer() and abs(value) < _LARGEST_WHOLE
        return str(int(value)) if is_whole else str(value)
    return orjson.dumps(value).decode()  # of what is no JSON (`&name`) a TypeError
