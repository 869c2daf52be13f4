"""What SQL Server and Oracle are asked, to the letter: no server of theirs can be had here."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from app.connectors import sql_mssql, sql_oracle, sql_questions
from app.connectors.sql_mssql_words import MsSql
from app.connectors.sql_mssql_words import Words as MsSqlWords
from app.connectors.sql_mssql_words import holds as mssql_holds
from app.connectors.sql_oracle_words import Oracle
from app.connectors.sql_oracle_words import Words as OracleWords
from app.connectors.sql_oracle_words import holds as oracle_holds
from app.connectors.sql_reading import Asked, Column, Holds, Reading, Tongue, relation_of
from app.connectors.sql_shapes import SqlSelection
from app.formats.text import NULLS
from app.query.fields import Field, FieldType
from app.query.question import (
    Between,
    Both,
    Compare,
    Condition,
    Constant,
    Either,
    IsNull,
    Like,
    Not,
    OneOf,
    Order,
    Question,
)

FIELDS = {
    name: Field(name, name, name, type_)
    for name, type_ in {
        "no": FieldType.INTEGER, "t": FieldType.TEXT, "p": FieldType.TEXT, "x": FieldType.DECIMAL,
        "lat": FieldType.LATITUDE, "b": FieldType.BOOLEAN, "d": FieldType.DATE,
        "at": FieldType.DATETIME, "until": FieldType.DATETIME, "u": FieldType.TEXT,
    }.items()
}  # fmt: skip
NO, T, P, X, LAT, B, D, AT, UNTIL, U = FIELDS.values()
HOLDS = {
    "no": Holds.INTEGER, "t": Holds.TEXT, "p": Holds.PADDED, "x": Holds.DECIMAL, "lat": Holds.FLOAT,
    "b": Holds.BOOLEAN, "d": Holds.DATE, "at": Holds.MOMENT, "until": Holds.INSTANT,
    "u": Holds.OTHER,
}  # fmt: skip
TYPES = {
    "mssql": ["int", "varchar(40)", "char(4)", "decimal(12,2)", "float", "bit", "datetime",
              "datetime2(7)", "datetimeoffset(7)", "uniqueidentifier"],
    "oracle": ["NUMBER(9,0)", "VARCHAR2(40)", "CHAR(4)", "NUMBER", "BINARY_DOUBLE", "BOOLEAN",
               "DATE", "TIMESTAMP(9)", "TIMESTAMP(6) WITH TIME ZONE", "ROWID"],
}  # fmt: skip
SELECTION = SqlSelection.model_validate({"table": "T", "types": HOLDS})
NOTHING = sorted(NULLS)


class _Words:
    """Says things as a reading would, and asks nobody."""

    compiled = Reading.compiled

    def __init__(self, dialect: Any, tongue: Tongue) -> None:
        self.dialect, self.tongue = dialect, tongue


READINGS: dict[str, Any] = {
    "mssql": _Words(MsSql(), MsSqlWords()),
    "2017": _Words(MsSql(), MsSqlWords(knows_utf8=False)),
    "oracle": _Words(Oracle(), OracleWords()),
    "sjis": _Words(Oracle(), OracleWords(is_unicode=False)),
}


def _columns(kind: str, *keys: str) -> dict[str, Column]:
    types = TYPES["oracle" if kind in ("oracle", "sjis") else "mssql"]
    return {
        name: Column(name, type_, HOLDS[name], key=name in keys)
        for name, type_ in zip(HOLDS, types, strict=True)
    }


def _said(kind: str, question: Question, *keys: str, schema: str = "S") -> tuple[str, list[Any]]:
    """What is asked behind FROM, and with which values."""
    reading, columns = READINGS[kind], _columns(kind, *keys)
    asked = Asked(relation_of(schema, "T", list(columns.values())), (columns["no"],))
    held = sql_questions.held(reading, asked, columns, SELECTION, question)
    assert held is not None
    sql, values = reading.compiled(held.statement([held.relation.c["no"]]))
    return " ".join(sql.partition("FROM ")[2].split()), values


def _where(kind: str, condition: Condition) -> tuple[str, list[Any]]:
    sql, values = _said(kind, Question((NO,), where=condition, limit=None))
    return sql.partition("WHERE ")[2], values


_AT = datetime(2026, 4, 1, 0, 0, 0, 1, UTC)
_DAY = date(2026, 4, 1)
_MOMENT, _ZONED = "'YYYY-MM-DD HH24:MI:SS.FF6'", "'YYYY-MM-DD HH24:MI:SS.FF6TZH:TZM'"
# A condition, and what each asks for it: nothing where all rows are had.
_ASKED: list[tuple[Condition, tuple[str, list[Any]], tuple[str, list[Any]]]] = [
    (Compare(NO, "=", 3), ("[no] = %s", [3]), ('"no" = :1', [3])),
    (OneOf(NO, (1, 2)), ("[no] = %s OR [no] = %s", [1, 2]), ('"no" = :1 OR "no" = :2', [1, 2])),
    (Between(NO, 1, 9), ("[no] >= %s AND [no] <= %s", [1, 9]), ('"no" >= :1 AND "no" <= :2', [1, 9])),
    (Either((Compare(NO, "<", Decimal("2.5")), IsNull(NO))),
     ("[no] <= %s OR [no] IS NULL", [2]), ('"no" <= :1 OR "no" IS NULL', [2])),
    (Both((Compare(NO, ">", 1), Constant(False))), ("0 = 1", []), ("1 = 0", [])),
    (Compare(X, "=", Decimal("0.10")), ("[x] = %s", [Decimal("0.10")]), ('"x" = :1', [Decimal("0.10")])),
    # Neither has a number of fifty digits: about so large.
    (Compare(X, ">", Decimal(10) ** 50), ("[x] >= %s", [9.9999e49]),
     ('"x" >= to_binary_double(:1)', ["9.9999e+49"])),
    (Compare(LAT, "<", 35.0), ("[lat] <= %s", [35.00035]),
     ('"lat" <= to_binary_double(:1)', ["35.00035"])),
    (Compare(B, "=", True), ("[b] = %s", [1]), ('"b" = TRUE', [])),
    (Compare(B, "<>", True), ("[b] = %s", [0]), ('"b" = FALSE', [])),
    # Days that are kept as times.
    (Compare(D, ">=", _DAY), ("CAST([d] AS DATE) >= %s", [_DAY]),
     ("trunc(\"d\") >= to_date(:1, 'YYYY-MM-DD')", ["2026-04-01"])),
    # To the digits that are read, or 1234567 would be no row of 123456.
    (Compare(AT, "=", _AT), ("CAST([at] AS DATETIME2(6)) = %s", [datetime(2026, 4, 1, 9, 0, 0, 1)]),
     (f'CAST("at" AS TIMESTAMP) = to_timestamp(:1, {_MOMENT})', ["2026-04-01 09:00:00.000001"])),
    (Compare(UNTIL, "<", _AT), ("CAST([until] AS DATETIMEOFFSET(6)) < %s", [_AT]),
     (f'"until" < to_timestamp_tz(:1, {_ZONED})', ["2026-04-01 00:00:00.000001+00:00"])),
    # Blanks behind a char are none of its text.
    (Compare(P, "=", "a  "), ("[p] = %s", ["a"]), ('rtrim("p") = :1', ["a"])),
    (Compare(P, "<", "a"), ("", []), ("", [])),
    (Compare(U, "=", "0E984725"), ("", []), ("", [])),
    (IsNull(T), ("", []), ("", [])),
    (Not(IsNull(T)), ("[t] IS NOT NULL", []), ('"t" IS NOT NULL', [])),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(_ASKED)))
def test_a_condition_is_asked_as_each_understands_it(at: int) -> None:
    condition, mssql, oracle = _ASKED[at]

    assert _where("mssql", condition) == mssql
    assert _where("oracle", condition) == oracle


def _is_known(cell: str, mark: str, bytes_of: str) -> str:
    words = ", ".join(bytes_of.format(mark.format(at)) for at in range(1, len(NOTHING) + 1))
    return f"CASE WHEN ({cell} IN ({words})) THEN NULL ELSE {cell} END"


_UTF8 = (
    "CAST(CAST(CAST({} AS NVARCHAR(max)) COLLATE Latin1_General_100_BIN2_UTF8"
    " AS VARCHAR(max)) AS VARBINARY(max))"
)
_UTF16 = "CAST(CAST({} AS NVARCHAR(max)) AS VARBINARY(max))"


def test_a_text_is_equal_by_its_bytes_and_an_index_still_serves() -> None:
    hostile = "'; DROP TABLE t; --"
    plain = Compare(T, "=", hostile)

    assert _where("mssql", plain) == (
        f"[t] = %s AND {_is_known(_UTF8.format('[t]'), '%s', _UTF8)} = {_UTF8.format('%s')}",
        [hostile, *NOTHING, hostile],
    )
    assert _where("2017", plain)[0] == (
        f"[t] = %s AND {_is_known(_UTF16.format('[t]'), '%s', _UTF16)} = {_UTF16.format('%s')}"
    )
    words = ", ".join(f":{at}" for at in range(2, len(NOTHING) + 2))
    known = f'CASE WHEN ("t" IN ({words})) THEN NULL ELSE "t" END'
    assert _where("oracle", plain) == (
        f'"t" = :1 AND {known} = :{len(NOTHING) + 2}', [hostile, *NOTHING, hostile]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        # Bytes of UTF-16 are in another order, and what a charset has not becomes a question mark.
        ("2017", Compare(T, ">", "a")), ("2017", Compare(T, "<>", "a")),
        ("sjis", Compare(T, "<>", "a")), ("sjis", Compare(T, "=", "髙")),
        ("sjis", Compare(T, "=", "?")), ("sjis", Like(T, "a%")),
        ("oracle", Compare(T, "<>", "")),  # which is null
        ("oracle", Compare(T, "=", "架" * 1_400)), ("mssql", Compare(T, "=", "架" * 1_901)),
        ("mssql", Like(T, "a_b")), ("mssql", Not(Like(T, "_"))),  # of 𠮷 it takes half
    ],
)  # fmt: skip
def test_what_might_lose_a_row_is_not_asked(kind: str, condition: Condition) -> None:
    assert _where(kind, condition) == ("", [])


@pytest.mark.parametrize(
    ("kind", "pattern", "told"),
    [
        ("mssql", "a[b]%", "a\\[b]%"),
        ("mssql", "\\[\\_\\%%", "\\[\\_\\%%"),
        ("mssql", "\\\\[", "\\\\\\["),
        ("oracle", "a[b]_%", "a[b]_%"),
        ("oracle", "\\a\\%\\\\%", "a\\%\\\\%"),
    ],
)
def test_a_pattern_means_what_it_means_to_us(kind: str, pattern: str, told: str) -> None:
    sql, values = _where(kind, Like(T, pattern))
    sql_not, values_not = _where(kind, Not(Like(T, pattern)))

    assert values[-1] == values_not[-1] == told
    assert sql.endswith(" ESCAPE '\\'") and " LIKE " in sql
    assert " NOT LIKE " in sql_not and "END IS NOT NULL AND" in sql_not


def test_a_page_is_in_the_order_of_ours_and_what_is_unknown_is_last() -> None:
    order = (Order(NO, descending=True), Order(AT))
    page = Question((NO,), order=order, limit=5, offset=10)

    assert _said("mssql", page, "no", "x") == (
        "[S].[T] ORDER BY CASE WHEN ([no] IS NULL) THEN %s ELSE %s END, [no] DESC, CASE WHEN"
        " (CAST([at] AS DATETIME2(6)) IS NULL) THEN %s ELSE %s END, CAST([at] AS DATETIME2(6)) ASC,"
        " [S].[T].[x] OFFSET %s ROWS FETCH FIRST %s ROWS ONLY",
        [1, 0, 1, 0, 10, 5],
    )
    assert _said("oracle", page, "no", "x") == (
        '"S"."T" ORDER BY "no" DESC NULLS LAST, CAST("at" AS TIMESTAMP) ASC NULLS LAST,'
        ' "S"."T"."x" OFFSET 10 ROWS FETCH FIRST 5 ROWS ONLY',
        [],
    )
    first = Question((NO,), limit=5)
    assert _said("oracle", first) == ('"S"."T" FETCH FIRST 5 ROWS ONLY', [])
    assert (
        READINGS["mssql"]
        .compiled(Asked(relation_of("S", "T", ()), (), limit=5).statement([func.count()]))[0]
        .startswith("SELECT TOP 5 count(*)")
    )


@pytest.mark.parametrize("kind", ["2017", "sjis"])
def test_texts_of_another_order_are_not_paged_through(kind: str) -> None:
    columns = _columns(kind)
    asked = Asked(relation_of("S", "T", list(columns.values())), (columns["no"],))
    page = Question((NO,), order=(Order(T),), limit=5)

    assert sql_questions.held(READINGS[kind], asked, columns, SELECTION, page) is None


@pytest.mark.parametrize(("kind", "condition"), [
    ("mssql", Like(T, "a_b")), ("oracle", Compare(T, "<>", "")), ("mssql", Compare(X, "=", Decimal(10) ** 50)),
])  # fmt: skip
def test_no_bound_is_promised_of_what_is_not_asked(kind: str, condition: Condition) -> None:
    asked = Question((NO,), where=condition, limit=5)

    assert sql_questions.part(SELECTION, asked, READINGS[kind].tongue).limit is None
    assert sql_questions.part(SELECTION, asked).limit == 5  # of a database that agrees


def test_a_name_is_a_name_whatever_stands_in_it() -> None:
    name = 'a].[b"; DROP TABLE t; -- %s :1'
    made = select(relation_of("d.b", name, [Column(name, "int", Holds.INTEGER)]))

    assert READINGS["mssql"].compiled(made) == (
        'SELECT [d.b].[a]].[b"; DROP TABLE t; -- %%s :1].[a]].[b"; DROP TABLE t; -- %%s :1] \n'
        'FROM [d.b].[a]].[b"; DROP TABLE t; -- %%s :1]', []
    )  # fmt: skip
    assert READINGS["oracle"].compiled(made) == (
        'SELECT "d.b"."a].[b""; DROP TABLE t; -- %s :1"."a].[b""; DROP TABLE t; -- %s :1" \n'
        'FROM "d.b"."a].[b""; DROP TABLE t; -- %s :1"', []
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "type_", "holds", "mark", "top", "since", "values"),
    [
        ("mssql", "int", Holds.INTEGER, "7", "CAST(max([m]) AS NVARCHAR(max))", "%s", [Decimal(5)]),
        ("mssql", "datetime", Holds.MOMENT, "2026-04-01T00:00:00.0033333",
         "convert(nvarchar(40), CAST(max([m]) AS DATETIME2(7)), 126)",
         "dateadd(second, %s, convert(datetime2(7), %s, 126))", [-2, "2026-04-01T00:00:00.0033333"]),
        ("mssql", "datetimeoffset(7)", Holds.INSTANT, "2026-04-01T00:00:00Z",
         "convert(nvarchar(40), max([m]), 127)",
         "dateadd(second, %s, convert(datetimeoffset(7), %s, 127))", [-2, "2026-04-01T00:00:00Z"]),
        ("oracle", "NUMBER", Holds.DECIMAL, "7.5", "to_char(max(\"m\"), 'TM9')", ":1", [Decimal("5.5")]),
        ("oracle", "DATE", Holds.MOMENT, "2026-04-01 00:00:00.000000000",
         "to_char(CAST(max(\"m\") AS TIMESTAMP(9)), 'YYYY-MM-DD HH24:MI:SS.FF9')",
         "to_timestamp(:1, 'YYYY-MM-DD HH24:MI:SS.FF9') - numtodsinterval(:2, 'SECOND')",
         ["2026-04-01 00:00:00.000000000", 2]),
        ("oracle", "TIMESTAMP(6) WITH TIME ZONE", Holds.INSTANT, "2026-04-01 00:00:00.000000001",
         "to_char(sys_extract_utc(CAST(max(\"m\") AS TIMESTAMP(9) WITH TIME ZONE)),"
         " 'YYYY-MM-DD HH24:MI:SS.FF9')",
         "from_tz(to_timestamp(:1, 'YYYY-MM-DD HH24:MI:SS.FF9'), '+00:00')"
         " - numtodsinterval(:2, 'SECOND')", ["2026-04-01 00:00:00.000000001", 2]),
    ],
)  # fmt: skip
async def test_a_watermark_is_kept_to_its_last_digit_and_asked_from_again(
    kind: str, type_: str, holds: Holds, mark: str, top: str, since: str, values: list[Any]
) -> None:
    class Line:
        knows_utf8 = is_unicode = True

    made: Any = {"mssql": sql_mssql.MsSqlReading, "oracle": sql_oracle.OracleReading}[kind]
    reading: Reading = made(Line(), None, "db")
    column = Column("m", type_, holds)
    relation = relation_of("S", "T", [column])

    highest, _ = reading.compiled(select(reading.marked(func.max(relation.c["m"]), column)))
    least = await reading.since(relation, column, mark, 2)
    from_there = reading.compiled(select(relation.c["m"]).where(relation.c["m"] >= least))

    table = {"mssql": "[S].[T].", "oracle": '"S"."T".'}[kind]
    assert (
        highest.partition("\n")[0]
        .strip()
        .removeprefix("SELECT ")
        .replace(table, "")
        .startswith(top)
    )
    assert from_there[0].partition(" >= ")[2] == since
    assert from_there[1] == values


@pytest.mark.parametrize(
    ("kind", "type_", "holds", "told"),
    [
        ("mssql", "geometry", Holds.SHAPE, "[a%%]]b].STAsText()"),
        ("mssql", "rowversion", Holds.BINARY, "convert(varchar(max), [a%%]]b], 2)"),
        ("mssql", "uniqueidentifier", Holds.OTHER, "CAST([a%%]]b] AS NVARCHAR(max))"),
        ("mssql", "varchar(9)", Holds.TEXT, "CAST([a%%]]b] AS NVARCHAR(max))"),
        ("mssql", "nvarchar(9)", Holds.TEXT, "[a%%]]b]"),
        ("oracle", "SDO_GEOMETRY", Holds.SHAPE, 'sdo_util.to_geojson("a%]b")'),
        ("oracle", "RAW(9)", Holds.BINARY, 'rawtohex("a%]b")'),
        ("oracle", "XMLTYPE", Holds.OTHER, 'XMLSERIALIZE(CONTENT "a%]b" AS CLOB)'),
        ("oracle", "INTERVAL DAY(2) TO SECOND(6)", Holds.OTHER, 'TO_CHAR("a%]b")'),
        ("oracle", "NVARCHAR2(9)", Holds.TEXT, '"a%]b"'),
        ("oracle", "BLOB", Holds.BINARY, '"a%]b"'),
    ],
)  # fmt: skip
def test_what_has_no_value_of_ours_is_read_as_a_text(
    kind: str, type_: str, holds: Holds, told: str
) -> None:
    class Line:
        knows_utf8 = is_unicode = True

    made: Any = {"mssql": sql_mssql.MsSqlReading, "oracle": sql_oracle.OracleReading}[kind]
    reading = made(Line(), None, "db")
    column = Column("a%]b", type_, holds)
    asked = Asked(relation_of("S", "T", [column]), (column,))

    sql, values = reading.compiled(asked.statement([reading.shown(asked, column)]))

    assert (sql.removeprefix("SELECT ").startswith(told), values) == (True, [])


@pytest.mark.parametrize(
    ("type_", "holds"),
    [
        ("nvarchar(10)", Holds.TEXT), ("nchar(4)", Holds.PADDED), ("money", Holds.DECIMAL),
        ("smalldatetime", Holds.MOMENT), ("timestamp", Holds.BINARY), ("hierarchyid", Holds.OTHER),
        ("ntext", Holds.OTHER), ("geography", Holds.SHAPE),
    ],
)  # fmt: skip
def test_types_of_sql_server_hold_what_they_hold(type_: str, holds: Holds) -> None:
    assert mssql_holds(type_) is holds


@pytest.mark.parametrize(
    ("type_", "scale", "holds"),
    [
        ("NUMBER", 0, Holds.INTEGER), ("NUMBER", None, Holds.DECIMAL), ("NUMBER", -2, Holds.DECIMAL),
        ("FLOAT", None, Holds.DECIMAL), ("DATE", None, Holds.MOMENT), ("CLOB", None, Holds.OTHER),
        ("TIMESTAMP(6) WITH LOCAL TIME ZONE", 6, Holds.INSTANT), ("NCHAR", None, Holds.PADDED),
    ],
)  # fmt: skip
def test_types_of_oracle_hold_what_they_hold(type_: str, scale: int | None, holds: Holds) -> None:
    assert oracle_holds(type_, scale) is holds
