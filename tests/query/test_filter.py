"""CQL2 in both spellings means what the standard says, and no text of it can hurt the process."""

import contextlib
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.query import cql, cql_text
from app.query.fields import Field, FieldType
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Either,
    Folded,
    Folding,
    IsNull,
    Like,
    Not,
    OneOf,
)
from app.query.refusals import InvalidFilter
from tests.database import REPO

FIELDS = {
    name: Field(name, f"c{at}", name, kind)
    for at, (name, kind) in enumerate(
        {
            "n": FieldType.INTEGER,
            "x": FieldType.DECIMAL,
            "t": FieldType.TEXT,
            "b": FieldType.BOOLEAN,
            "d": FieldType.DATE,
            "at": FieldType.DATETIME,
            "lat": FieldType.LATITUDE,
            "名称": FieldType.TEXT,
            "availability.slots": FieldType.INTEGER,
        }.items()
    )
}
N, X, T = FIELDS["n"], FIELDS["x"], FIELDS["t"]


def text(written: str) -> Condition:
    return cql.parse_text(written, FIELDS.__getitem__)


def as_json(tree: Any) -> Condition:
    written = tree if isinstance(tree, str) else json.dumps(tree)
    return cql.parse_json(written, FIELDS.__getitem__)


def prop(name: str) -> dict[str, str]:
    return {"property": name}


def node(op: str, *args: Any) -> dict[str, Any]:
    return {"op": op, "args": list(args)}


@pytest.mark.parametrize(
    ("written", "tree", "meant"),
    [
        ("n = 1", node("=", prop("n"), 1), Compare(N, "=", 1)),
        ("n<>-1", node("<>", prop("n"), -1), Compare(N, "<>", -1)),
        ("n < 1", node("<", prop("n"), 1), Compare(N, "<", 1)),
        ("n <= 1", node("<=", prop("n"), 1), Compare(N, "<=", 1)),
        ("n > 1", node(">", prop("n"), 1), Compare(N, ">", 1)),
        ("1 <= n", node("<=", 1, prop("n")), Compare(N, ">=", 1)),
        ("x = 0.1", node("=", prop("x"), 0.1), Compare(X, "=", Decimal("0.1"))),
        ("x = 1e2", node("=", prop("x"), 100.0), Compare(X, "=", Decimal(100))),
        ("t = 'it''s'", node("=", prop("t"), "it's"), Compare(T, "=", "it's")),
        ("b = TRUE", node("=", prop("b"), True), Compare(FIELDS["b"], "=", True)),
        (
            "d = DATE('2026-04-01')",
            node("=", prop("d"), {"date": "2026-04-01"}),
            Compare(FIELDS["d"], "=", date(2026, 4, 1)),
        ),
        (
            "at >= TIMESTAMP('2026-04-01T00:00:00Z')",
            node(">=", prop("at"), {"timestamp": "2026-04-01T00:00:00Z"}),
            Compare(FIELDS["at"], ">=", datetime(2026, 4, 1, tzinfo=UTC)),
        ),
        ("名称 = '髙'", node("=", prop("名称"), "髙"), Compare(FIELDS["名称"], "=", "髙")),
        ('"n" = 1', node("=", prop("n"), 1), Compare(N, "=", 1)),
        (
            "availability.slots > 0",
            node(">", prop("availability.slots"), 0),
            Compare(FIELDS["availability.slots"], ">", 0),
        ),
        ("n IN (1, 2)", node("in", prop("n"), [1, 2]), OneOf(N, (1, 2))),
        ("n NOT IN (1)", node("not", node("in", prop("n"), [1])), Not(OneOf(N, (1,)))),
        ("t LIKE '架%'", node("like", prop("t"), "架%"), Like(T, "架%")),
        ("t NOT LIKE '_'", node("not", node("like", prop("t"), "_")), Not(Like(T, "_"))),
        (
            "CASEI(t) LIKE casei('A%')",
            node("like", node("casei", prop("t")), node("casei", "A%")),
            Like(Folded(Folding.CASEI, T), "a%"),
        ),
        ("n BETWEEN 1 AND 2", node("between", prop("n"), 1, 2), Between(N, 1, 2)),
        ("n NOT BETWEEN 1 AND 2", node("not", node("between", prop("n"), 1, 2)), Not(Between(N, 1, 2))),
        ("n IS NULL", node("isNull", prop("n")), IsNull(N)),
        ("n IS NOT NULL", node("not", node("isNull", prop("n"))), Not(IsNull(N))),
        ("TRUE", "true", Constant(True)),
        (
            "n = 1 OR n = 2 AND NOT n = 3",
            node("or", node("=", prop("n"), 1),
                 node("and", node("=", prop("n"), 2), node("not", node("=", prop("n"), 3)))),
            Either((Compare(N, "=", 1), Both((Compare(N, "=", 2), Not(Compare(N, "=", 3)))))),
        ),
        (
            "(n = 1 or n = 2) and n BETWEEN 1 AND 2",
            node("and", node("or", node("=", prop("n"), 1), node("=", prop("n"), 2)),
                 node("between", prop("n"), 1, 2)),
            Both((Either((Compare(N, "=", 1), Compare(N, "=", 2))), Between(N, 1, 2))),
        ),
    ],
)  # fmt: skip
def test_text_and_json_mean_the_same(written: str, tree: Any, meant: Condition) -> None:
    assert text(written) == meant
    assert as_json(tree) == meant


def test_a_folding_is_applied_once_however_often_it_is_written() -> None:
    once = text("CASEI(ACCENTI(t)) = 'a'")

    assert (
        text("CASEI(ACCENTI(" * 20 + "t" + "))" * 20 + " = 'a'")
        == text("ACCENTI(CASEI(ACCENTI(t))) = 'a'")
        == once
    )


def test_whole_numbers_beyond_a_double_are_exact() -> None:
    assert text("n = 9007199254740993") == Compare(N, "=", 9007199254740993)
    assert as_json(node("=", prop("n"), 9007199254740993)) == Compare(N, "=", 9007199254740993)


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "n", "n =", "= 1", "n == 1", "n = 1 n = 2", "(n = 1", "n = 1)", "n IN ()", "n IN 1",
        "n IN (1,)", "n BETWEEN 1", "n BETWEEN 1 OR 2", "n IS", "n IS NOT", "n LIKE '1%'", "t LIKE 1",
        "t = 1", "n = 'x'", "n = 1e999999", "n = NaN", "b = 1", "d = 'x'", "d = DATE('x')",
        "d = DATE(1)", "at = TIMESTAMP('2026-04-01T00:00:00')", "t = \"x\"", "t = 'x", "n = NULL",
        "at = TIMESTAMP('0001-01-01T00:00:00+09:00')", "at = DATE('9999-12-31')", "t LIKE 'x\\'",
        "n + t = 1", "t + 1 = 2", "n = 1 / 0", "n = 0 ^ -1", "n = 2 ^ 3 ^ 2", "n + = 1", "n = 1 +",
        "n = +-1", "f(n) = 1", "f() = 1", "n DIV = 2", "(n, 1) = 2", "n = (1", "n", "NOT n", "n AND b",
        "S_INTERSECTS(n, POINT(1 2))", "accenti(n) = 'x'", "casei(t, t) LIKE 'x'", "n = m.n.o or",
        "t LIKE t", "t LIKE casei(t)", "n = t", "b = n", "d = n", "at = t", "n = d", "1 = 'a'",
        "n BETWEEN 'a' AND t", "A_CONTAINS(t, ('a', 'b'))", "A_EQUALS(t, ())", "avg(n) < 4",
        "n = POINT(1 2)", "POINT(1 2)", "t = INTERVAL('2026-01-01', '..')", "DATE('2026-01-01')",
        "x = " + "x * " * 20 + "x", "n = 1" + " + n" * 60, "t LIKE '" + "%a" * 200 + "'",
        "t LIKE '" + "a" * 2_000 + "'",
        "t = '\x00'", "n = ١", "-" * 19_000, "n = " + "9" * 2_000, "t;DROP", "n = 1 --- x",
    ],
)  # fmt: skip
def test_what_is_no_answerable_filter_is_refused(written: str) -> None:
    with pytest.raises((InvalidFilter, KeyError)):  # KeyError: our lookup knows no such field
        text(written)


@pytest.mark.parametrize(
    "tree",
    [
        "", "{", "null", "1", "[]", '"n = 1"', "{}", '{"op": "="}', '{"op": 1, "args": []}',
        node("and"), node("and", True), node("or"), node("not"), node("not", True, False),
        node("=", prop("n")), node("=", prop("n"), 1, 2), node("between", prop("n"), 1),
        node("between", prop("n"), 1, 2, 3), node("isNull"), node("isNull", prop("n"), 1),
        node("in", prop("n")), node("in", prop("n"), 1), node("in", prop("n"), []),
        node("in", prop("n"), "12"), node("in", prop("n"), {"1": 2}), node("like", prop("t")),
        node("like", node("casei"), "x"), node("like", node("casei", prop("t"), 1), "x"),
        node("=", prop("n"), node("+", 1)), node("=", prop("n"), node("+", 1, "1")),
        node("=", prop("n"), node("+", True, 1)), node("=", prop("n"), node("foo", 1)),
        node("=", prop("n"), {"op": "+", "args": {}}), node("casei", prop("t")), prop("n"),
        node("like", prop("t"), prop("t")), node("like", prop("t"), node("casei")),
        node("a_contains", prop("t"), ["a"]), node("=", prop("n"), {"bbox": [1, 2, 3, 4]}),
        node("=", {"property": ["n"]}, 1), node("=", prop("n"), [1]), node("=", prop("n"), None),
        node("t_after", prop("n"), {"date": "2026-01-01"}), node("t_after", prop("at")),
        node("t_after", prop("at"), {"interval": "2026"}), node("t_after", prop("at"), {"interval": [1, 2]}),
        node("t_after", prop("at"), {"interval": ["2026-01-02", "2026-01-01"]}),
        node("t_after", prop("at"), {"date": "0001-01-01"}), node("=", prop("d"), {"date": 1}),
        '{"op": "=", "args": [{"property": "n"}, 1e99999999999999999999]}',
        {"op": "=", "args": {"0": prop("n"), "1": 1}}, {"op": "=", "args": "n1"},
        '{"op": "=", "args": [{"property": "n"}, NaN]}', '{"op": "=", "args": [{"property": "n"}, 1e999]}',
        '{"op": "=", "args": [{"property": "n"}, Infinity]}', '{"op": "=", "args": [{"property": "t"}, "\\ud800"]}',
        '{"op": "=", "args": [{"property": "\\ud800"}, 1]}', '{"op": "=", "args": [{"property": "t"}, "\\u0000"]}',
    ],
)  # fmt: skip
def test_json_with_wrong_arguments_is_refused(tree: Any) -> None:
    with pytest.raises((InvalidFilter, KeyError)):
        as_json(tree)


@pytest.mark.parametrize("quoted", ["", "t <> '" + ")" * 6000 + "' AND "])
def test_fifty_levels_pass_and_fifty_one_do_not(quoted: str) -> None:
    assert text(quoted + "(" * 50 + "n = 1" + ")" * 50)
    for deep in (
        "(" * 51 + "n = 1" + ")" * 51,
        "NOT " * 51 + "n = 1",
        "(NOT " * 26 + "n = 1" + ")" * 26,
    ):
        with pytest.raises(InvalidFilter, match="50 levels"):
            text(quoted + deep)
    tree: Any = True
    for _ in range(60):
        tree = node("not", tree)
    with pytest.raises(InvalidFilter):
        as_json(tree)


def test_bounds_of_length_and_of_values() -> None:
    assert text("n IN (" + ",".join(["1"] * 10_000) + ")")
    for long, why in (
        ("n IN (" + ",".join(["1"] * 10_001) + ")", "10000 values"),
        ("n IN (" + ",".join(["1"] * 100_000) + ")", "65536 characters"),
        ("n = 1" + " " * 65_536, "65536 characters"),
        (" AND ".join(["n = 1"] * 2_500), "2000 conditions"),
        (" AND ".join(["n + n + n = 1"] * 900), "2000 conditions"),
        (" AND ".join(["n / 2 = 1"] * 600), "2000 conditions"),
        (" AND ".join(["at = d"] * 900), "2000 conditions"),
        ("1 IN (" + ",".join(["n"] * 2_001) + ")", "2000 conditions"),
        ("d IN (" + ",".join(["TIMESTAMP('2026-04-01T00:00:00Z')"] * 900) + ")", "2000 conditions"),
    ):
        with pytest.raises(InvalidFilter, match=why):
            text(long)
    with pytest.raises(InvalidFilter):
        as_json(node("in", prop("n"), [1] * 100_000))


NASTY = """
import sys, time
from app.query import cql
from app.query.fields import Field, FieldType
from app.query.refusals import InvalidFilter
fields = {"n": Field("n", "c1", "n", FieldType.INTEGER), "t": Field("t", "c2", "t", FieldType.TEXT)}
texts = [
    "(" * 30 + "n=1", "(" * 9_000 + "n=1", "(" * 6_000 + "n=1" + ")" * 6_000,
    "t <> '" + ")" * 6_000 + "' AND " + "(" * 6_000 + "n=1" + ")" * 6_000,
    '"' + ")" * 6_000 + '"=1 AND ' + "(" * 6_000, "NOT " * 4_900 + "n=1", "NOT(" * 4_000,
    "n = " + "-" * 19_000 + "1", "n = " + "- " * 9_000 + "1", "n = " + "(" * 9_000, "casei(" * 3_000,
    "n = 1" + " AND n = 1" * 1_900, "n = " + "1+" * 9_000 + "1", "n = " + "2^" * 9_000 + "2",
    "n BETWEEN " * 1_900, "'" * 20_000, "'" * 19_999, '"' * 19_999, "n = ." + "." * 19_000, "1." * 9_999,
    "n = " + "1+" * 30_000 + "1", "POINT(" * 10_000, "POINT (" * 8_000 + ")" * 8_000, "BBOX(" * 10_000,
    "S_INTERSECTS(n, " + "GEOMETRYCOLLECTION(" * 3_000, "S_INTERSECTS(n, POLYGON" + "(" * 60_000,
    "POINT" + " " * 60_000 + "x", ("POINT" + " " * 200) * 300, "t='" + "\\\\'" * 20_000, "t='" + "\\\\" * 60_000,
    "f(" * 20_000, "n = " + "(-" * 30_000, "2^(n^" * 40 + "2" + ")" * 40 + "=1", "t LIKE '" + "_" * 60_000 + "'",
    "n = 1e" + "9" * 60_000, "INTERVAL(" * 6_000, "n IN (" + "1," * 32_000 + "1)", "((((" * 9 + "n=1," * 9_000,
    "n.n" * 6_000, "n IN (" * 3_000, "(n=1 AND " * 2_000, "(((((((((n=1 AND (t LIKE '" * 500,
]
jsons = ["[" * 60_000, '{"op":"+","args":[1,' * 3_000, '{"type":"GeometryCollection","geometries":[' * 900, "[" * 20_000, '{"op":"not","args":[' * 900, '{"a":' * 3_900, "[" * 9_999 + "]" * 9_999]
for parse, each in [(cql.parse_text, t) for t in texts] + [(cql.parse_json, j) for j in jsons]:
    began = time.process_time()
    try:
        parse(each, fields.__getitem__)
    except (InvalidFilter, KeyError):
        pass
    assert time.process_time() - began < 5, each[:60]
print("alive")
"""


def test_no_filter_kills_or_holds_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NASTY],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip() == "alive", (done.returncode, done.stderr[-500:])


PIECES = st.lists(
    st.sampled_from(
        ["(", ")", "n", "t", "=", "<>", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "1",
         "'a'", "'", '"', ",", "-", "+", "TRUE", "DATE", "casei", "0x", "..", "\\", "\u3000", "é",
         "*", "^", "div", "%", "POINT(1 2)", "POINT", "EMPTY", "Z", "BBOX(1,2,3,4)", "INTERVAL('..','..')",
         "t_after", "s_within", "DATE('2026-04-01')"]
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=400, deadline=1_000, derandomize=True, database=None)
@given(PIECES)
def test_any_heap_of_words_is_a_filter_or_is_refused(pieces: list[str]) -> None:
    with contextlib.suppress(InvalidFilter, KeyError):
        text(" ".join(pieces))


@settings(max_examples=300, deadline=1_000, derandomize=True, database=None)
@given(st.text(max_size=200))
def test_any_text_is_a_filter_or_is_refused(written: str) -> None:
    for parse in (text, as_json):
        with contextlib.suppress(InvalidFilter, KeyError):
            parse(written)


LEAVES = st.sampled_from(
    [
        ("n = 1", node("=", prop("n"), 1)),
        ("x <> -2.5", node("<>", prop("x"), Decimal("-2.5"))),
        ("t = 'a''b'", node("=", prop("t"), "a'b")),
        ("n NOT IN (1, 2)", node("not", node("in", prop("n"), [1, 2]))),
        ("t LIKE 'a%'", node("like", prop("t"), "a%")),
        ("n BETWEEN 1 AND 2", node("between", prop("n"), 1, 2)),
        ("t IS NOT NULL", node("not", node("isNull", prop("t")))),
        ("d = DATE('2026-04-01')", node("=", prop("d"), {"date": "2026-04-01"})),
        ("TRUE", True),
    ]
)
Pair = tuple[str, Any]


def joined(parts: tuple[Pair, str, Pair]) -> Pair:
    (left, left_tree), op, (right, right_tree) = parts
    return f"({left}) {op} ({right})", node(op.lower(), left_tree, right_tree)


TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda one: (f"NOT ({one[0]})", node("not", one[1]))),
        st.tuples(inner, st.sampled_from(["AND", "or"]), inner).map(joined),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=1_000, derandomize=True, database=None)
@given(TREES)
def test_a_filter_of_any_depth_is_read_as_it_was_meant(pair: Pair) -> None:
    written, tree = pair
    assert cql_text.parse(written) == tree


def test_the_work_for_a_filter_grows_as_its_length() -> None:
    def calls(parts: int) -> int:
        count = 0

        def counted(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event.endswith("call")

        sys.setprofile(counted)
        try:
            text(" AND ".join(["n = 1"] * parts))
        finally:
            sys.setprofile(None)
        return count

    assert calls(1_800) < 11 * calls(180)
