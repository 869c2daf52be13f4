"""JMESPath that counts what it does, and stops. Imported only where there is an expression.

Each part of an expression that is looked at takes a step, and so does each part of what it makes,
compares or hands to a function: a list that is doubled again and again is found at once.
"""

from collections.abc import Mapping
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

_MOST_STEPS: Final = 5_000  # of one row
_CHARACTERS: Final = 64  # that are a step
# What makes something larger than what it was given.
_MAKERS: Final = frozenset(
    ("multi_select_list", "multi_select_dict", "flatten", "function_expression", "projection",
     "filter_projection", "value_projection", "slice")
)  # fmt: skip


class TooCostly(Exception):
    """The row's steps are spent."""


def parsed(text: str) -> dict[str, Any]:
    """An expression as a tree of parts, each with `type` and `children`. Raises `ValueError`."""
    try:
        tree: dict[str, Any] = jmespath.compile(text).parsed
    except JMESPathError as exc:
        raise ValueError(" ".join(str(exc).split())[:200]) from exc
    return tree


def knows(function: str) -> bool:
    """Whether there is such a function."""
    return function in Functions.FUNCTION_TABLE


def evaluate(tree: dict[str, Any], row: Mapping[str, Any]) -> Any:
    """What a tree makes of a row. Raises `TooCostly`, and what Python says of wrong types."""
    return _Counting().visit(tree, row)


class _Counting(TreeInterpreter):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.left = _MOST_STEPS

    def visit(self, node: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._take(1)
        found = super().visit(node, *args, **kwargs)
        return self._weighed(found) if node["type"] in _MAKERS else found

    def visit_function_expression(self, node: dict[str, Any], value: Any) -> Any:
        given = [self._weighed(self.visit(child, value)) for child in node["children"]]
        return self._functions.call_function(node["value"], given)

    def visit_comparator(self, node: dict[str, Any], value: Any) -> Any:
        left, right = (self._weighed(self.visit(each, value)) for each in node["children"])
        is_order = node["value"] not in ("eq", "ne")
        if is_order and not (_is_number(left) and _is_number(right)):
            return None  # only numbers have an order here
        return self.COMPARATOR_FUNC[node["value"]](left, right)

    def _weighed(self, value: Any) -> Any:
        self._take(_weight(value, self.left))
        return value

    def _take(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise TooCostly


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _weight(value: Any, most: int) -> int:
    """How much a value holds, as a tree: counted little further than `most`."""
    weight, waiting = 0, [value]
    while waiting and weight <= most:
        each = waiting.pop()
        weight += 1
        if isinstance(each, str):
            weight += len(each) // _CHARACTERS
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            if len(each) > most:
                return len(each)
            waiting += each
    return weight
