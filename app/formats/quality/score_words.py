"""What lowers the quality of a version, and how to mend it, in Japanese and English. Data only."""

from collections.abc import Mapping
from typing import Final

# Each dimension in Japanese and English.
DIMENSION_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "completeness": ("網羅性", "completeness"),
    "validity": ("妥当性", "validity"),
    "uniqueness": ("一意性", "uniqueness"),
    "freshness": ("適時性", "freshness"),
    "key_stability": ("キーの安定性", "key stability"),
    "machine_readability": ("機械可読性", "machine-readability"),
}

# code: (Japanese, English). Codes of rejected cells have their words in `guidance`.
MEND_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "no_records": (
        "レコードがありません。データの入ったファイルを登録してください。",
        "There are no records. Load the file that holds the data.",
    ),
    "column_empty": (
        "「{label}」は全行が空です。値を埋めるか、項目を除いてください。",
        "“{label}” is empty in every row. Fill it in, or leave the field out.",
    ),
    "cells_empty": (
        "「{label}」が空の行が{rows}行あります。値を埋めてください。",
        "“{label}” is empty (rows: {rows}). Fill it in.",
    ),
    "placeholder_text": (
        "「{label}」に「不明」「未定」などの書かれた行が{rows}行あります。"
        "値を調べて書くか、空にしてください。",
        "“{label}” holds words such as 不明 or 未定 (rows: {rows}). "
        "Find the value, or leave the cell empty.",
    ),
    "cells_repaired": (
        "「{label}」の{rows}件を自動で直しました。元の台帳の書き方をそろえてください"
        "（GET /v1/runs/{run}/repairs に一覧があります）。",
        "“{label}”: cells repaired on the way in: {rows}. Write them right at the source "
        "(GET /v1/runs/{run}/repairs lists them).",
    ),
    "exponents_kept": (
        "「{label}」の{rows}件は、Excelが桁を失わせた番号です。台帳から写し直してください。",
        "“{label}”: Excel has cut off digits (cells: {rows}). Copy the numbers again from the "
        "register.",
    ),
    "rows_not_corrected": (
        "前の取込で不備のあった行のうち、{rows}行がまだ訂正されていません。",
        "Rows that an earlier load rejected and nobody has corrected yet: {rows}.",
    ),
    "no_key": (
        "キー項目がありません。行を特定できる番号の項目を key にしてください。",
        "There is no key field. Declare the field that identifies a row as key.",
    ),
    "late_update": (
        "約束した更新頻度（{frequency}）より{days}日遅れています。新しいファイルを登録してください。",
        "The update is {days} days later than promised ({frequency}). Load the new file.",
    ),
    "key_changed": (
        "版{previous}とキー項目が違うため、前の版の行をたどれません。キー項目を元に戻してください。",
        "The key fields differ from version {previous}, so its rows cannot be followed. "
        "Go back to the same key.",
    ),
    "keys_lost": (
        "版{previous}のキーのうち{rows}件がなくなりました。番号を振り直していないか確かめてください。",
        "Keys of version {previous} that are gone: {rows}. Check whether the numbers were given anew.",
    ),
    "license_missing": (
        "ライセンスがありません。CC-BY-4.0などの利用条件を PATCH で license に設定してください。",
        "There is no licence. Set one such as CC-BY-4.0 in license, by PATCH.",
    ),
    "license_not_open": (
        "オープンなライセンスではありません（{license}）。CC-BY-4.0などにしてください。",
        "The licence is not open ({license}). Use one such as CC-BY-4.0.",
    ),
    "not_linked": (
        "他のデータとつながっていません。標準のプロファイルに合わせるか、"
        "全国地方公共団体コードの項目、または joins を加えてください。",
        "Nothing links it to other data. Follow a standard profile, or add a field with local "
        "government codes, or joins.",
    ),
}
