"""What every code says to the clerk, in Japanese and English; it never quotes a cell's value."""

from dataclasses import dataclass, field
from typing import Any

from app.formats.guidance_geo import GEO_REJECTED, GEO_WORDS
from app.formats.guidance_structured import STRUCTURED_WORDS
from app.formats.guidance_workbook import WORKBOOK_WORDS
from app.kit.errors import AppError, Kind

# code: (Japanese, English). `{...}` are filled from the refusal's or notice's own details.
FILE_REFUSED: dict[str, tuple[str, str]] = {
    "file_empty": (
        "ファイルが空です。データの入ったファイルを選び直してください。",
        "The file is empty. Choose the file that holds the data.",
    ),
    "file_is_pdf": (
        "中身はPDFです。元の表をCSVで保存し直してください。",
        "This is a PDF. Save the original table as CSV.",
    ),
    "file_is_compressed": (
        "圧縮ファイル（{kind}）です。展開するか、ZIPで圧縮し直して送ってください。",
        "This is a compressed file ({kind}). Unpack it, or pack it again as a ZIP.",
    ),
    "file_is_image": (
        "中身は画像です。表をCSVで保存し直してください。",
        "This is an image. Save the table as CSV.",
    ),
    "file_is_html": (
        "中身はWebページ（HTML）です。ダウンロードのリンク先を確かめてください。",
        "This is a web page (HTML). Check where the download link leads.",
    ),
    "file_is_shapefile_part": (
        "シェープファイルの一部（{kind}）だけです。.shp・.shx・.dbf・.prj を一つのZIPにまとめて送ってください。",
        "This is only a part of a shapefile ({kind}). Send .shp, .shx, .dbf and .prj in one ZIP.",
    ),
    "file_is_sqlite": (
        "中身はSQLiteのデータベースです（GeoPackageではありません）。表をCSVで書き出してください。",
        "This is an SQLite database, and no GeoPackage. Export the table as CSV.",
    ),
    "file_is_lfs_pointer": (
        "中身はGit LFSの参照だけです。実体のファイルを取得して送ってください。",
        "This is only a Git LFS pointer. Fetch the real file and send that.",
    ),
    "nul_bytes": (
        "{offset}バイト目にNUL文字があり、文字のファイルではありません。CSVで保存し直してください。",
        "There is a NUL byte at offset {offset}, so this is not text. Save the table as CSV again.",
    ),
    "undecodable": (
        "文字コードを判定できません。最も近いのは{name}ですが、{line}行目（{offset}バイト目）に"
        "読めない文字があります。その行を直すか、「CSV UTF-8」で保存し直してください。",
        "The character encoding cannot be told. {name} comes closest, but line {line} (byte "
        "{offset}) holds what it cannot read. Mend that line, or save the file as “CSV UTF-8”.",
    ),
    "no_data_rows": (
        "見出しだけで、データの行がありません。データの入ったファイルを選び直してください。",
        "There is a header but no row of data. Choose the file that holds the data.",
    ),
    "file_truncated": (
        "{offset}バイト目で文字の途中で終わっています（UTF-8）。送信が途中で切れています。"
        "もう一度送ってください。",
        "The file ends in the middle of a character at byte {offset} (UTF-8). "
        "The upload was cut short; send it again.",
    ),
    "encoding_mixed": (
        "{offset}バイト目まではUTF-8ですが、その先が違います。"
        "ファイルをつなげていないか確かめ、「CSV UTF-8」で保存し直してください。",
        "It is UTF-8 up to byte {offset} and something else from there. "
        "Check whether files were joined, and save it as “CSV UTF-8”.",
    ),
    "unclosed_quote": (
        '{line}行目で始まる引用符（"）が閉じていません。その行の引用符を直してください。',
        'The quote (") opened on line {line} is never closed. Mend that line.',
    ),
    "line_too_long": (
        "{line}行目が長すぎます（上限{limit_mb} MB）。改行と引用符を確かめてください。",
        "Line {line} is too long (limit {limit_mb} MB). Check its line ends and quotes.",
    ),
    "cell_too_long": (
        "{line}行目に長すぎるセルがあります（上限{limit_mb} MB）。引用符を確かめてください。",
        "Line {line} holds a cell that is too long (limit {limit_mb} MB). Check its quotes.",
    ),
    "too_many_columns": (
        "列が{columns}あります（上限{limit}）。区切り文字を確かめ、不要な列を除いてください。",
        "There are {columns} columns (limit {limit}). Check the delimiter; remove unused columns.",
    ),
    "column_missing": (
        "必須の列「{missing}」が見つかりません。見出しは次のとおりです: {found}",
        "The required column “{missing}” was not found. The headings are: {found}",
    ),
    "several_tables": (
        "表が複数あります: {names}。table=名前（または番号）で一つを指定してください。",
        "There are several tables: {names}. Say which with table=NAME (or its number).",
    ),
    "table_not_found": (
        "「{name}」という表はありません。あるのは次のとおりです: {names}",
        "There is no table “{name}”. There are: {names}",
    ),
    "encoding_unknown": (
        "文字コード「{name}」は扱えません。{known}のどれかを指定してください。",
        "The encoding “{name}” is not known here. Give one of {known}.",
    ),
}

MAPPING_REFUSED: dict[str, tuple[str, str]] = {
    "mapping_unknown_target": (
        "対応付けの{step}番目: 項目「{name}」はこのデータセットにありません。",
        "Mapping step {step}: the dataset has no field “{name}”.",
    ),
    "mapping_unknown_key": (
        "対応付けの{step}番目: 「{name}」という指定はありません。",
        "Mapping step {step}: “{name}” is not a setting.",
    ),
    "mapping_bad_regex": (
        "対応付けの{step}番目: 正規表現を読めません（{name}）。",
        "Mapping step {step}: the pattern cannot be read ({name}).",
    ),
    "mapping_bad_step": (
        "対応付けの{step}番目: {name}の書き方が正しくありません。",
        "Mapping step {step}: {name} is not written correctly.",
    ),
    "mapping_target_twice": (
        "対応付けの{step}番目: 項目「{name}」は二度指定されています。",
        "Mapping step {step}: field “{name}” is given twice.",
    ),
}

REJECTED: dict[str, tuple[str, str]] = {
    "invalid_integer": (
        "整数ではありません。数字だけにしてください。",
        "Not a whole number. Write digits only.",
    ),
    "invalid_decimal": (
        "数値ではありません。数字と小数点だけにしてください。",
        "Not a number. Write digits and a decimal point only.",
    ),
    "integer_out_of_range": ("桁が多すぎる整数です。", "The whole number has too many digits."),
    "invalid_boolean": (
        "はい・いいえのどちらか読み取れません。1か0で書いてください。",
        "Neither yes nor no. Write 1 or 0.",
    ),
    "invalid_date": (
        "存在しない日付か、読めない書き方です。2022-04-01のように書いてください。",
        "No such date, or it cannot be read. Write it like 2022-04-01.",
    ),
    "ambiguous_date": (
        "月と日の順が決められない日付です。2022-04-01のように書いてください。",
        "Month and day cannot be told apart. Write it like 2022-04-01.",
    ),
    "invalid_month": (
        "年月として読めません。2024-04のように書いてください。",
        "Not a year and month. Write it like 2024-04.",
    ),
    "invalid_fiscal_year": (
        "年度として読めません。2024のように書いてください。",
        "Not a fiscal year. Write it like 2024.",
    ),
    "invalid_time": (
        "読めない時刻です。09:30のように書いてください。",
        "The time cannot be read. Write it like 09:30.",
    ),
    "invalid_datetime": (
        "読めない日時です。2022-04-01T09:30:00+09:00のように書いてください。",
        "The date and time cannot be read. Write it like 2022-04-01T09:30:00+09:00.",
    ),
    "wrong_check_digit": (
        "全国地方公共団体コードの検査数字が合いません。6桁のコードを確かめてください。",
        "The check digit of the local government code is wrong. Check the six digits.",
    ),
    "invalid_local_government_code": (
        "全国地方公共団体コードとして読めません。6桁の数字で書いてください。",
        "Not a local government code. Write its six digits.",
    ),
    "ambiguous_local_government_code": (
        "先頭の0が欠けたのか検査数字が欠けたのか決められません。6桁で書いてください。",
        "It cannot be told whether the leading zero or the check digit is lost. Write six digits.",
    ),
    "invalid_coordinate": (
        "緯度・経度として読めません。34.7052のような十進の度で書いてください。",
        "Not a latitude or longitude. Write decimal degrees like 34.7052.",
    ),
    "coordinate_out_of_area": (
        "日本の範囲（緯度20～46、経度122～154.5）の外です。"
        "緯度と経度が入れ替わっていないか、小数点が抜けていないか確かめてください。",
        "Outside Japan (latitude 20–46, longitude 122–154.5). "
        "Check whether the two are swapped or the decimal point is lost.",
    ),
    "latitude_missing": (
        "経度があるのに緯度がありません。緯度を書くか、両方を空にしてください。",
        "There is a longitude but no latitude. Fill in the latitude or empty both.",
    ),
    "longitude_missing": (
        "緯度があるのに経度がありません。経度を書くか、両方を空にしてください。",
        "There is a latitude but no longitude. Fill in the longitude or empty both.",
    ),
    "looks_swapped": (
        "緯度と経度が入れ替わっているようです。",
        "Latitude and longitude look swapped.",
    ),
    "duplicate_key": (
        "同じキーの行が上にあります。キーを直すか、この行を除いてください。",
        "A row above has the same key. Mend the key or leave the row out.",
    ),
    "required_missing": ("必須の項目が空です。", "A required field is empty."),
    "not_in_code_list": (
        "コード表にない値です。コード表の値か、その名称にしてください。",
        "Not in the code list. Use one of its codes or labels.",
    ),
    "repair_refused": (
        "この項目では、この種類の自動修正をしないと決められています。元の台帳で正しい書き方に直してください。",
        "The steward has decided that cells like this are not repaired here. Write it right at the "
        "source.",
    ),
    "excel_exponent": (
        "Excelが桁を失わせた値です（1.23E+12など）。元の台帳から番号を写し直してください。",
        "Excel has lost digits (like 1.23E+12). Copy the number again from the original register.",
    ),
    "invalid_postal_code": (
        "郵便番号は7桁です。530-0001のように書いてください。",
        "A postal code has seven digits. Write it like 530-0001.",
    ),
    "invalid_url": (
        "URLとして読めません。https:// から書いてください。",
        "Not a URL. Begin with https://.",
    ),
    "invalid_email": (
        "メールアドレスとして読めません。",
        "Not an e-mail address.",
    ),
    "rule_min": (
        "標準で決められた下限より小さい値です。",
        "Below the least that the standard allows.",
    ),
    "rule_max": (
        "標準で決められた上限より大きい値です。",
        "Above the most that the standard allows.",
    ),
    "rule_min_length": (
        "標準で決められた文字数より短い値です。",
        "Shorter than the standard allows.",
    ),
    "rule_max_length": (
        "標準で決められた文字数より長い値です。",
        "Longer than the standard allows.",
    ),
    "rule_pattern": (
        "標準で決められた書き方ではありません。項目の説明を確認してください。",
        "Not written as the standard says. See the field’s description.",
    ),
    "rule_compare": (
        "別の項目との大小関係が標準に合いません（開始と終了が逆など）。",
        "Out of order with another field of the row (such as an end before its start).",
    ),
    "rule_required": (
        "別の項目を書いた行では、この項目も必須です。",
        "Required in a row where another field is given.",
    ),
    "rule_area": (
        "標準で決められた区域の外です。座標かコードを確かめてください。",
        "Outside the area that the standard is for. Check the coordinates or the code.",
    ),
    "too_many_cells": (
        "見出しよりセルが多い行です。値の中の区切り文字を引用符で囲んでください。",
        "The row has more cells than the header. Put values that hold the delimiter in quotes.",
    ),
}

NOTICED: dict[str, tuple[str, str]] = {
    "encoding_ambiguous": (
        "EUC-JPとしてもCP932としても読めるため、EUC-JPで読みました。文字を確かめてください。",
        "It can be read as EUC-JP and as CP932; EUC-JP was taken. Check the characters.",
    ),
    "profile_recognised": (
        "見出しから標準データセット「{profile}」（版{version}）と判断し、項目名をそれに合わせました"
        "（項目の{share}%が一致）。",
        "By its headings this is the standard dataset “{profile}” (version {version}; {share}% of "
        "its columns): fields are named as there.",
    ),
    "profile_proposed": (
        "標準データセット「{profile}」（版{version}）に似ています（項目の{share}%が一致）。"
        "そうであれば、データセットの profile に指定してください。",
        "This looks like the standard dataset “{profile}” (version {version}; {share}% of its "
        "columns). If it is, name it as the dataset’s profile.",
    ),
    "profile_types_differ": (
        "標準と型が違うため、ファイルの値に合わせた列: {labels}",
        "Columns whose values do not fit the standard’s type, read as they are: {labels}",
    ),
    "address_not_split": (
        "「{label}」に住所の全体が入っています（{count}行、{lines}行目）。都道府県・市区町村・町字に"
        "分けて書いてください。行は受け付けました。",
        "“{label}” holds the whole address (rows: {count}; lines {lines}). Write prefecture, "
        "municipality and town apart. The rows were accepted.",
    ),
    "tables_left_out": (
        "表「{name}」を読みました。読んでいない表: {others}（読むには table= で指定）",
        "The table “{name}” was read. Not read: {others} (say table= to read one).",
    ),
    "title_skipped": (
        "見出しより前の{count}行（{first}行目から）を読み飛ばしました。",
        "Lines skipped before the header (from line {first}): {count}.",
    ),
    "metadata_skipped": (
        "「#」で始まる{count}行を読み飛ばしました。",
        "Lines skipped because they begin with “#”: {count}.",
    ),
    "no_header": (
        "見出しがないので、列を「列1」…と名付け、1行目からデータとして読みました。",
        "There is no header: columns are called 列1… and the first line is data.",
    ),
    "duplicate_header": (
        "見出し「{label}」が{count}回あります。別々の項目として扱います。",
        "The heading “{label}” occurs {count} times. They are kept as separate fields.",
    ),
    "empty_header": (
        "{position}列目の見出しが空です。",
        "The heading of column {position} is empty.",
    ),
    "unknown_column": (
        "列「{label}」は、どの項目にも使われていません。載せるには、見出しを項目の名前に合わせるか、"
        "データセットに項目を加えて、取り込み直してください。",
        "The column “{label}” is not taken by any field. To have it, let its heading be a field’s "
        "label, or add a field to the dataset, and load the file again.",
    ),
    "field_without_column": (
        "項目「{label}」に当たる列がないので、空として読みました。",
        "No column was found for “{label}”; it is left empty.",
    ),
    "file_unchanged": (
        "前に取り込んだファイルと同じ内容なので、読み直さず、版{version}のままです。"
        "その時の不備の行や補正は、取込 {run} で確認できます。",
        "The same file as before: it was not read again, and version {version} stays. The rows "
        "rejected and the cells repaired then are listed with run {run}.",
    ),
    "coordinates_swapped": (
        "緯度と経度の列が逆だったので、{count}行分を入れ替えて読みました。",
        "Latitude and longitude were in each other’s columns; rows swapped back: {count}.",
    ),
    "ambiguous_dates": (
        "「{label}」は月と日の順が決められないため、文字のまま読みました。",
        "“{label}”: month and day cannot be told apart, so it is kept as text.",
    ),
    "mixed_values": (
        "「{label}」はほとんどが{type}ですが、{count}件が違うため、文字のまま読みました。",
        "“{label}” nearly always holds {type}, but not everywhere (exceptions: {count}), so it is "
        "kept as text.",
    ),
    "footer_skipped": (
        "表の下の{count}行（{first}行目から、注記・合計）を読み飛ばしました。",
        "Lines skipped below the table (from line {first}: notes or totals): {count}.",
    ),
    "blank_rows_skipped": (
        "空の行を{count}行、読み飛ばしました。",
        "Blank rows skipped: {count}.",
    ),
    "exponents_kept": (
        "「{label}」の{count}件は、Excelが桁を失わせた番号（1.23E+12など）です。元に戻せません。"
        "台帳から写し直してください。",
        "“{label}”: Excel has cut off digits (like 1.23E+12; cells: {count}). They cannot be "
        "restored; copy the numbers again from the register.",
    ),
    "not_taken_as_coordinate": (
        "「{label}」は緯度・経度の列のようですが、{type}として読みました。度の数値でない値が多いか、"
        "対になる列がありません。場所での検索や地図には使えません。",
        "“{label}” looks like a latitude or longitude but was read as {type}: too many values are "
        "no degrees, or its other half is missing. It serves no map and no search by place.",
    ),
    "column_empty": (
        "列「{label}」は全行が空です。",
        "The column “{label}” is empty in every row.",
    ),
}

# What a type is called in a sentence, by its code (`app.query.fields.FieldType`).
TYPE_WORDS: dict[str, tuple[str, str]] = {
    "text": ("文字", "text"),
    "integer": ("整数", "whole numbers"),
    "decimal": ("数値", "numbers"),
    "boolean": ("はい・いいえ", "yes or no"),
    "date": ("日付", "dates"),
    "time": ("時刻", "times"),
    "month": ("年月", "months"),
    "fiscal_year": ("年度", "fiscal years"),
    "datetime": ("日時", "dates with times"),
    "code": ("コード", "codes"),
    "local_government_code": ("全国地方公共団体コード", "local government codes"),
    "postal_code": ("郵便番号", "postal codes"),
    "phone": ("電話番号", "phone numbers"),
    "latitude": ("緯度", "latitudes"),
    "longitude": ("経度", "longitudes"),
    "url": ("URL", "URLs"),
    "email": ("メールアドレス", "e-mail addresses"),
    "kana": ("カナ", "kana"),
    "geometry": ("図形", "shapes"),
}

REJECTED |= GEO_REJECTED
GUIDANCE = FILE_REFUSED | MAPPING_REFUSED | REJECTED | NOTICED | GEO_WORDS | STRUCTURED_WORDS
GUIDANCE |= WORKBOOK_WORDS


def guidance(code: str, language: str, **named: Any) -> str:
    """The sentence for `code` in `language` (`ja` or `en`), filled with `named`."""
    ja, en = GUIDANCE[code]
    if "type" in named:
        named["type"] = type_words(named["type"], language)
    return (en if language == "en" else ja).format(**named)


def type_words(code: str, language: str) -> str:
    """What a field type is called in `language` (`ja` or `en`)."""
    ja, en = TYPE_WORDS.get(code, (code, code))
    return en if language == "en" else ja


class FileRefused(AppError):
    """The whole file (or its mapping) cannot be taken in; `code` says why."""

    kind = Kind.INVALID
    ja = "{in_japanese}"
    en = "{in_english}"

    def __init__(self, code: str, **named: Any) -> None:
        self.code = code
        self.details = dict(named)
        super().__init__(
            in_japanese=guidance(code, "ja", **named), in_english=guidance(code, "en", **named)
        )


class MappingRefused(FileRefused):
    """The mapping itself is wrong, whatever the file."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the clerk should know that made no row fail."""

    code: str
    details: dict[str, Any] = field(default_factory=dict)

    def words(self, language: str) -> str:
        """The sentence in `language` (`ja` or `en`)."""
        return guidance(self.code, language, **self.details)

    def as_json(self) -> dict[str, Any]:
        """The notice as a run report stores it."""
        return {
            "code": self.code,
            "details": self.details,
            "ja": self.words("ja"),
            "en": self.words("en"),
        }
