"""What the codes of workbooks say to the clerk, in Japanese and English; it quotes no value."""

_REFUSED: dict[str, tuple[str, str]] = {
    "file_is_office": (
        "中身はワープロかスライドなどの文書で、表計算のブックではありません。"
        "表をExcelブック（.xlsx）かCSVで保存し直してください。",
        "This is a word processor's or slide document, not a workbook. "
        "Save the table as a workbook (.xlsx) or as CSV.",
    ),
    "workbook_too_large": (
        "この形式（{format}）のブックは、展開して{limit_mb} MBまでです。.xlsx で保存し直してください。",
        "A workbook of this format ({format}) may have {limit_mb} MB unpacked. Save it as .xlsx.",
    ),
    "workbook_encrypted": (
        "ブックがパスワードで保護されています。保護を解いて保存し直し、送ってください"
        "（Excel: ファイル→情報→ブックの保護→パスワードを使用して暗号化→空にする）。",
        "The workbook is protected by a password. Save it without one and send it again "
        "(Excel: File → Info → Protect Workbook → Encrypt with Password → leave it empty).",
    ),
}

_NOTICED: dict[str, tuple[str, str]] = {
    "header_repeated": (
        "表の途中で繰り返されている見出しの行を{count}行、読み飛ばしました。",
        "Heading rows that come again among the data were skipped: {count}.",
    ),
    "sheets_hidden": (
        "非表示のシートは読んでいません: {names}（読むには再表示して保存してください）",
        "Hidden sheets were not read: {names} (unhide them and save to have them read).",
    ),
    "sheets_left_out": (
        "読めないシートがあります: {names}",
        "Sheets that cannot be read: {names}",
    ),
    "cells_with_errors": (
        "エラー値（#N/A、#REF! など）のセルがシートに{count}個あり、空として読みました。"
        "元の式を直してください。",
        "Cells of the sheet that show an error (such as #N/A or #REF!) were read as empty: {count}. "
        "Mend their formulas.",
    ),
    "formulas_without_value": (
        "計算結果が保存されていない式がシートに{count}個あり、空として読みました。"
        "Excelで開いて保存し直してください。",
        "Formulas of the sheet whose result was never saved were read as empty: {count}. "
        "Open the workbook in Excel and save it.",
    ),
    "leading_zero_lost": (
        "「{label}」の{count}件は、電話番号の先頭の0がありません（Excelが数値として扱うと消えます）。"
        "そのまま取り込みました。列の書式を「文字列」にし、0から書き直して送ってください（行: {lines}）。",
        "“{label}”: telephone numbers lack their leading 0 (Excel drops it from numbers; cells: "
        "{count}). They were taken as they are. Format the column as text, write them from the 0 "
        "on, and send the file again (lines: {lines}).",
    ),
    "characters_replaced": (
        "文字として扱えない符号が{count}個あり、「\ufffd」に置き換えました。",
        "Codes that stand for no character were replaced by “\ufffd”: {count}.",
    ),
}

WORKBOOK_WORDS = _REFUSED | _NOTICED
