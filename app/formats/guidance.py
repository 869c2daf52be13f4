"""What every code says to the clerk, in Japanese and English; it never quotes a cell's value."""

from dataclasses import dataclass, field
from typing import Any

from app.formats.guidance_geo import GEO_REJECTED, GEO_WORDS
from app.formats.guidance_noticed import NOTICED
from app.formats.guidance_rejected import CELL_REJECTED
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
    "individual_number_refused": (
        "個人番号（マイナンバー）と読める12桁の数字があるため、取り込まず、送られたファイルも消去しました。"
        "場所（列: 行）: {where}。元の表からその列か値を除いて、送り直してください。",
        "There are digits that read as an individual number (My Number), so nothing was loaded and "
        "the file that was sent is deleted. Where (column: lines): {where}. Take the column or the "
        "values out of the original table and send it again.",
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
    "mapping_bad_expression": (
        "対応付けの{step}番目: 式を読めません（{name}）。JMESPathで書いてください。",
        "Mapping step {step}: the expression cannot be read ({name}). Write it in JMESPath.",
    ),
    "mapping_without_unit": (
        "対応付けの{step}番目: unit は、単位（unit）を宣言した整数か小数の項目にだけ使えます（{name}）。",
        "Mapping step {step}: unit is for whole numbers and decimals that declare a unit; “{name}” does not.",
    ),
    "mapping_other_unit": (
        "対応付けの{step}番目: 単位「{name}」を「{other}」に換算できません。",
        "Mapping step {step}: nothing is known of “{name}” in “{other}”.",
    ),
    "mapping_target_twice": (
        "対応付けの{step}番目: 項目「{name}」は二度指定されています。",
        "Mapping step {step}: field “{name}” is given twice.",
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

REJECTED = CELL_REJECTED | GEO_REJECTED
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
