"""Why a ready-made file is not there, in the words of whoever looks for it."""

from collections.abc import Mapping
from typing import Final

# (ja, en) of why a file is not there.
REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "class_not_kept": (
        "公開・庁内以外のデータは、ファイルを作り置きしません。/records?f=csv などで取得してください。",
        "No files of data above internal lie about. Use /records?f=csv and the like.",
    ),
    "aggregate_only": (
        "集計だけを提供するデータセットです。/aggregate を使ってください。",
        "The dataset gives aggregates only. Use /aggregate.",
    ),
    "some_rows_only": (
        "ファイルには全レコードが入っています。利用できるレコードは /records?f=csv などで取得してください。",
        "A file has every record. Get those that you may use at /records?f=csv and the like.",
    ),
    "no_geometry": (
        "地図上の位置（緯度・経度または形状）がありません。",
        "The records have no place on the map.",
    ),
    "no_place_given": (
        "位置の入ったレコードがありません。",
        "No record has its place filled in.",
    ),
    "too_many_rows": (
        "Excelの行数の上限（見出しを含め1,048,576行）を超えています。CSVかParquetを使ってください。",
        "There are more rows than Excel takes (1,048,576 with the heading). Use CSV or Parquet.",
    ),
    "too_many_columns": (
        "Excelの列数の上限（16,384列）を超えています。CSVかParquetを使ってください。",
        "There are more columns than Excel takes (16,384). Use CSV or Parquet.",
    ),
    "cell_too_long": (
        "Excelのセルの上限（32,767文字）を超える値があります。CSVかParquetを使ってください。",
        "A value is longer than Excel's cells (32,767 characters). Use CSV or Parquet.",
    ),
    "failed": (
        "作成に失敗しました。ほかの形式か /records を使い、運営者に知らせてください。",
        "Making it failed. Use another form or /records, and tell the operator.",
    ),
    "being_made": (
        "作成中です。数分後にもう一度取得してください。",
        "It is being made. Ask again in a few minutes.",
    ),
}  # fmt: skip
