"""Series of key figures by month, each with its formula in words. All from the counts by day."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import asyncpg


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure: what it is, how it is computed from the log, and its unit."""

    id: str
    name_ja: str
    name_en: str
    formula_ja: str
    formula_en: str
    unit: str
    expression: str  # over the month's rows of `usage_day`


@dataclass(frozen=True, slots=True)
class Value:
    """A month's figure. None: there is nothing to divide by."""

    month: str
    value: float | int | None


@dataclass(frozen=True, slots=True)
class Series:
    """A figure with its months, which have no gap."""

    kpi: Kpi
    values: list[Value]


_SUM: Final = "coalesce(sum(entries) FILTER (WHERE event = '{0}'), 0)::bigint"
_DISTINCT: Final = "count(DISTINCT {1}) FILTER (WHERE event = '{0}' AND {1} <> '')"
KPIS: Final = (
    Kpi("datasets_added", "登録データセット数", "Datasets added",
        "dataset.added の記録の件数", "entries dataset.added", "datasets",
        _SUM.format("dataset.added")),
    Kpi("datasets_published", "公開・更新されたデータセット数", "Datasets published or renewed",
        "version.published の記録に現れる異なるデータセットの数",
        "distinct datasets of entries version.published", "datasets",
        _DISTINCT.format("version.published", "dataset_id")),
    Kpi("agreements_made", "成立した利用協定数", "Agreements made",
        "access.decided の記録のうち decision が approved または accepted の件数",
        "entries access.decided whose decision is approved or accepted", "agreements",
        "coalesce(sum(entries) FILTER (WHERE event = 'access.decided'"
        " AND reason IN ('approved', 'accepted')), 0)::bigint"),
    Kpi("agreements_in_use", "実際に使われた利用協定数", "Agreements in use",
        "records.read の記録に現れる異なる協定の数",
        "distinct agreements of entries records.read", "agreements",
        _DISTINCT.format("records.read", "agreement_id")),
    Kpi("reads", "公開データを超える提供回数", "Answers above public",
        "records.read の記録の件数", "entries records.read", "answers",
        _SUM.format("records.read")),
    Kpi("rows", "提供した行数", "Rows let out",
        "records.read の記録の rows の合計", "sum of rows of entries records.read", "rows",
        "coalesce(sum(rows) FILTER (WHERE event = 'records.read'), 0)::bigint"),
    Kpi("consumers", "利用組織数", "Organisations that read",
        "records.read の記録に現れる異なる利用組織（consumer）の数",
        "distinct consumers of entries records.read", "organisations",
        _DISTINCT.format("records.read", "consumer_id")),
    Kpi("datasets_read", "利用されたデータセット数", "Datasets read",
        "records.read の記録に現れる異なるデータセットの数",
        "distinct datasets of entries records.read", "datasets",
        _DISTINCT.format("records.read", "dataset_id")),
    Kpi("refusal_share", "拒否の割合", "Share of refusals",
        "records.refused の件数 ÷（records.refused の件数 ＋ records.read の件数）",
        "entries records.refused / (entries records.refused + entries records.read)", "ratio",
        "round(sum(entries) FILTER (WHERE event = 'records.refused')"
        " / nullif(sum(entries) FILTER (WHERE event IN ('records.refused', 'records.read')), 0), 6)"),
    Kpi("public_reads", "公開データの利用回数", "Reads of public data",
        "分単位で数えた公開データの読み取りの合計", "reads of public data, counted by the minute",
        "answers", _SUM.format("public.read")),
)  # fmt: skip
_SERIES: Final = """
WITH months AS (
    SELECT generate_series($1::date, $2::date, interval '1 month')::date AS first
)
SELECT to_char(months.first, 'YYYY-MM') AS month, {columns}
FROM months LEFT JOIN usage_day
  ON day >= months.first AND day < (months.first + interval '1 month')::date
GROUP BY months.first ORDER BY months.first
"""
_STATEMENT: Final = _SERIES.format(
    columns=", ".join(f"{each.expression} AS {each.id}" for each in KPIS)
)


async def series(pool: "asyncpg.Pool[Any]", first: date, last: date) -> list[Series]:
    """Every figure for the months from the one of `first` to that of `last`."""
    rows = await pool.fetch(_STATEMENT, first.replace(day=1), last.replace(day=1))
    return [Series(kpi, [_value(row, kpi) for row in rows]) for kpi in KPIS]


def _value(row: asyncpg.Record, kpi: Kpi) -> Value:
    found = row[kpi.id]
    if kpi.unit == "ratio":
        # None of what was asked was refused: a share of 0, where anything was asked.
        asked = row["reads"] or found is not None
        return Value(row["month"], float(found or 0) if asked else None)
    return Value(row["month"], int(found))
