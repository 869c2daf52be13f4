"""Temporal functions of CQL2 (OGC 21-065r2, 7.8) as comparisons of beginnings and ends.

Intervals are closed. Days stand beside days as they are; beside a time, a day is its first to its
last moment in Japan. Months and fiscal years are intervals of days.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final

from app.kit.clock import TOKYO
from app.query.fields import Field, FieldType
from app.query.matches import matches
from app.query.operands import DATE, TIMESTAMP, Scope, read_as, refuse
from app.query.question import (
    Both,
    Compare,
    Condition,
    Constant,
    Edge,
    Either,
    Given,
    Match,
    Operand,
)

_OPEN: Final = ".."
_TURNED: Final = {"<": ">", "<=": ">=", "=": "=", "<>": "<>"}
_INSTANTS: Final = frozenset({FieldType.DATE, FieldType.DATETIME})
_PERIODS: Final = frozenset({FieldType.MONTH, FieldType.FISCAL_YEAR})
Time = date | datetime | Field | None  # None: open


@dataclass(frozen=True, slots=True)
class _Given:
    """An instant or an interval as it was written."""

    start: Time
    end: Time
    is_instant: bool


@dataclass(frozen=True, slots=True)
class _Span:
    """From the first to the last; None is open."""

    first: Operand | None
    last: Operand | None


def read_temporal(op: str, args: Any, scope: Scope) -> Condition:
    """A temporal function of two instants or intervals. Raises `InvalidFilter`."""
    given = [_read(each, scope) for each in args]
    if op not in _OF_INSTANTS and any(each.is_instant for each in given):
        raise refuse(
            f"{op.upper()} は期間どうしの関数です。時点には T_INTERSECTS、T_AFTER、T_BEFORE などを使ってください。",
            f"{op.upper()} is for intervals only: for an instant use T_INTERSECTS, T_AFTER,"
            " T_BEFORE and the like.",
        )
    ends = [end for each in given for end in (each.start, each.end) if end is not None]
    daily = not any(_is_moment(end) for end in ends)
    scope.spend(2)
    one, other = (_span(each, daily=daily) for each in given)
    return TEMPORAL[op](one, other)


def _is_moment(end: Time) -> bool:
    return isinstance(end, datetime) or (isinstance(end, Field) and end.type is FieldType.DATETIME)


def _read(node: Any, scope: Scope) -> _Given:
    if isinstance(node, Mapping) and "interval" in node:
        return _interval(node["interval"], scope)
    at = _time(node, scope)
    is_instant = not (isinstance(at, Field) and at.type in _PERIODS)
    return _Given(at, at, is_instant)


def _interval(ends: Any, scope: Scope) -> _Given:
    if not isinstance(ends, list) or len(ends) != 2:
        raise refuse(
            "INTERVAL には始まりと終わりが必要です（開いた端は '..'）。",
            "INTERVAL takes a beginning and an end ('..' where it is open).",
        )
    start, end = (None if each == _OPEN else _time(_dated(each), scope) for each in ends)
    if _is_before(end, start):
        raise refuse("INTERVAL の終わりが始まりより前です。", "the INTERVAL ends before it begins.")
    return _Given(start, end, is_instant=False)


def _dated(node: Any) -> Any:
    """The ends of an interval are plain texts (21-065r2, 7.8.1)."""
    if not isinstance(node, str):
        return node
    return {"timestamp" if "T" in node.upper() else "date": node}


def _is_before(end: Time, start: Time) -> bool:
    if isinstance(end, Field) or isinstance(start, Field) or end is None or start is None:
        return False
    return _last_moment(end) < _first_moment(start)


def _time(node: Any, scope: Scope) -> date | datetime | Field:
    if isinstance(node, Mapping) and "property" in node:
        field = scope.find(str(node["property"]))
        if field.type not in _INSTANTS | _PERIODS:
            raise refuse(
                f"項目 {field.name} は日付・日時・年月・年度ではありません。",
                f"the field {field.name} is no date, time, month or fiscal year.",
            )
        return field
    if isinstance(node, Mapping) and ("date" in node or "timestamp" in node):
        read = read_as(DATE if "date" in node else TIMESTAMP, node)
        if isinstance(read, date) and 1 < read.year < 9999:
            return read
    raise refuse(
        "日付か時刻が必要な場所です（例 DATE('2026-04-01')）。",
        "a date or a time is needed there, such as DATE('2026-04-01').",
    )


def _span(given: _Given, *, daily: bool) -> _Span:
    return _Span(
        _edge(given.start, last=False, daily=daily), _edge(given.end, last=True, daily=daily)
    )


def _edge(at: Time, *, last: bool, daily: bool) -> Operand | None:
    match at:
        case None:
            return None
        case Field(type=FieldType.DATETIME):
            return at
        case Field(type=FieldType.DATE) if daily:
            return at
        case Field():
            return Edge(at, last=last, moment=not daily)
        case _ if daily:
            return Given(at)
        case _:
            return Given(_last_moment(at) if last else _first_moment(at))


def _first_moment(at: date | datetime) -> datetime:
    return at if isinstance(at, datetime) else datetime.combine(at, time.min, TOKYO)


def _last_moment(at: date | datetime) -> datetime:
    return at if isinstance(at, datetime) else datetime.combine(at, time.max, TOKYO)


def _always(*ends: Operand | None) -> Condition:
    """True, but unknown of an end that is unknown."""
    known = next((each for each in ends if each is not None), None)
    return Constant(True) if known is None else _test(known, "=", known)


def _never(*ends: Operand | None) -> Condition:
    known = next((each for each in ends if each is not None), None)
    return Constant(False) if known is None else _test(known, "<>", known)


def _test(left: Operand, op: str, right: Operand) -> Condition:
    if isinstance(left, Given) and isinstance(right, Given):
        return Constant(matches(Match(left, op, right), {}) is True)
    if isinstance(left, Field) and isinstance(right, Given):
        return Compare(left, op, right.value)
    if isinstance(left, Given) and isinstance(right, Field):
        return Compare(right, _TURNED[op], left.value)
    return Match(left, op, right)


def _ends_before(a: _Span, b: _Span) -> Condition:
    """The last of `a` lies before the first of `b`; an open end lies before nothing."""
    if a.last is None or b.first is None:
        return _never(a.last, b.first)
    return _test(a.last, "<", b.first)


def _begins_in_time(a: _Span, b: _Span) -> Condition:
    """The first of `a` does not lie behind the last of `b`."""
    if a.first is None or b.last is None:
        return _always(a.first, b.last)
    return _test(a.first, "<=", b.last)


def _begins_before(a: _Span, b: _Span) -> Condition:
    if b.first is None:
        return _never(a.first)
    return _always(b.first) if a.first is None else _test(a.first, "<", b.first)


def _stops_before(a: _Span, b: _Span) -> Condition:
    if a.last is None:
        return _never(b.last)
    return _always(a.last) if b.last is None else _test(a.last, "<", b.last)


def _begins_within(a: _Span, b: _Span) -> Condition:
    """The first of `a` lies before the last of `b`."""
    if a.first is None or b.last is None:
        return _always(a.first, b.last)
    return _test(a.first, "<", b.last)


def _same(a: Operand | None, b: Operand | None) -> Condition:
    if a is None or b is None:
        return _always() if a is b else _never(a, b)
    return _test(a, "=", b)


def _begin_alike(a: _Span, b: _Span) -> Condition:
    return _same(a.first, b.first)


def _end_alike(a: _Span, b: _Span) -> Condition:
    return _same(a.last, b.last)


def _meet(a: _Span, b: _Span) -> Condition:
    """The last of `a` is the first of `b`; neither is open."""
    if a.last is None or b.first is None:
        return _never(a.last, b.first)
    return _test(a.last, "=", b.first)


Relate = Callable[[_Span, _Span], Condition]


def _all(*tests: Relate) -> Relate:
    return lambda a, b: Both(tuple(test(a, b) for test in tests))


def _turned(relate: Relate) -> Relate:
    return lambda a, b: relate(b, a)


def _disjoint(a: _Span, b: _Span) -> Condition:
    return Either((_ends_before(a, b), _ends_before(b, a)))


_CONTAINS: Final = _all(_begins_before, _turned(_stops_before))
_FINISHED_BY: Final = _all(_begins_before, _end_alike)
_STARTS: Final = _all(_begin_alike, _stops_before)
_OVERLAPS: Final = _all(_begins_before, _turned(_begins_within), _stops_before)
# By name, as Time Ontology in OWL defines them, to which 21-065r2 (7.8.2, tables 7 and 8) refers.
TEMPORAL: Final[Mapping[str, Relate]] = {
    "t_after": _turned(_ends_before),
    "t_before": _ends_before,
    "t_disjoint": _disjoint,
    "t_equals": _all(_begin_alike, _end_alike),
    "t_intersects": _all(_begins_in_time, _turned(_begins_in_time)),
    "t_contains": _CONTAINS,
    "t_during": _turned(_CONTAINS),
    "t_finishedby": _FINISHED_BY,
    "t_finishes": _turned(_FINISHED_BY),
    "t_meets": _meet,
    "t_metby": _turned(_meet),
    "t_overlaps": _OVERLAPS,
    "t_overlappedby": _turned(_OVERLAPS),
    "t_startedby": _turned(_STARTS),
    "t_starts": _STARTS,
}
_OF_INSTANTS: Final = frozenset({"t_after", "t_before", "t_disjoint", "t_equals", "t_intersects"})
