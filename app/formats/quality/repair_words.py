"""What each kind of repair is called, in Japanese and English. Data only."""

from collections.abc import Mapping
from typing import Final

# code: (Japanese, English). A code, once used, is never given another meaning.
RULE_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "full_width_digits": (
        "全角の英数字・記号を半角にしました。",
        "Full-width letters, digits and signs were made half-width.",
    ),
    "dash_unified": (
        "ハイフンに似た文字をハイフンにしました。",
        "Characters that look like a hyphen were made hyphens.",
    ),
    "blanks_removed": ("途中の空白を除きました。", "Blanks within the value were removed."),
    "notation_unified": (
        "書き方をこの型の決まりにそろえました。",
        "The spelling was made that of the type.",
    ),
    "label_to_code": (
        "コード表の名称をコードにしました。",
        "A label of the code list was made its code.",
    ),
    "mapping_applied": (
        "データセットの対応付け（mapping）で値を作りました。",
        "The value was made by the dataset's own mapping.",
    ),
    "boolean_word": (
        "有・無、○・×などを、はい・いいえとして読みました。",
        "Words such as 有 and 無 were read as yes and no.",
    ),
    "era_date": (
        "和暦の日付を西暦にしました。",
        "A date of a Japanese era was made a calendar date.",
    ),
    "month_first_date": (
        "列全体から月・日・年の順と分かる日付を読みました。",
        "A date was read month first, as the whole column proves.",
    ),
    "day_first_date": (
        "列全体から日・月・年の順と分かる日付を読みました。",
        "A date was read day first, as the whole column proves.",
    ),
    "excel_serial_date": (
        "Excelの日付の通し番号を日付にしました。",
        "Excel's serial number of a day was made a date.",
    ),
    "weekday_removed": ("日付の曜日を除きました。", "The weekday was removed from a date."),
    "midnight_removed": (
        "日付に付いた0時0分を除きました。",
        "Midnight was removed from behind a date.",
    ),
    "date_notation": (
        "日付・年月・年度の書き方を 2022-04-01、2022-04、2022 の形にそろえました。",
        "A date, month or fiscal year was written like 2022-04-01, 2022-04 or 2022.",
    ),
    "japan_time_assumed": (
        "時差の書かれていない日時を日本時間として読みました。",
        "A time without an offset was read as Japan's.",
    ),
    "datetime_notation": (
        "日時の書き方を 2022-04-01T09:30:00+09:00 の形にそろえました。",
        "A date and time was written like 2022-04-01T09:30:00+09:00.",
    ),
    "excel_time_fraction": (
        "Excelの時刻（1日を1とする小数）を時刻にしました。",
        "Excel's fraction of a day was made a time.",
    ),
    "time_notation": (
        "時刻の書き方を 09:30 の形にそろえました。",
        "A time was written like 09:30.",
    ),
    "leading_zeros_removed": (
        "数値の前の0を除きました。番号の0なら、項目の型をコードにしてください。",
        "Zeros before a number were removed. If they belong to it, make the field a code.",
    ),
    "unit_removed": ("数値に付いた単位を除きました。", "The unit was removed from a number."),
    "minus_sign": (
        "負の数の印（▲・△など）を - にそろえました。",
        "The sign of a negative number (such as ▲ or △) was made -.",
    ),
    "thousands_separator": (
        "数値の桁区切りを除きました。",
        "The thousands separators of a number were removed.",
    ),
    "plus_sign_removed": ("数値の + を除きました。", "The + of a number was removed."),
    "decimal_point_removed": (
        "小数点以下の0（12.0など）を除きました。",
        "A decimal part of zero (as in 12.0) was removed.",
    ),
    "decimal_point_completed": (
        "小数点の前の0を補いました。",
        "The zero before a decimal point was added.",
    ),
    "phone_word_removed": (
        "電話番号の前の「TEL」「電話」を除きました。",
        "The word TEL or 電話 was removed from before a number.",
    ),
    "phone_brackets": (
        "電話番号のかっこをハイフンにしました。",
        "The brackets of a telephone number were made hyphens.",
    ),
    "postal_mark_removed": (
        "郵便番号の〒を除きました。",
        "The mark 〒 was removed from a postal code.",
    ),
    "postal_hyphen": (
        "郵便番号のハイフンを3桁目の後に置きました。",
        "The hyphen of a postal code was put behind its third digit.",
    ),
    "kana_width": ("半角カナを全角にしました。", "Half-width kana was made full-width."),
    "url_width": (
        "URLの全角文字を半角にしました。",
        "Full-width characters of a URL were made half-width.",
    ),
    "zero_and_check_digit_restored": (
        "全国地方公共団体コードの先頭の0と検査数字を補いました。",
        "The leading zero and the check digit of a local government code were added.",
    ),
    "leading_zero_restored": (
        "全国地方公共団体コードの先頭の0を補いました。",
        "The leading zero of a local government code was added.",
    ),
    "check_digit_completed": (
        "全国地方公共団体コードの検査数字を補いました。",
        "The check digit of a local government code was added.",
    ),
    "coordinates_swapped": (
        "緯度と経度の列が逆だったので入れ替えました。",
        "Latitude and longitude were in each other's columns and were swapped back.",
    ),
    "degrees_minutes_seconds": (
        "度分秒を十進の度にしました。",
        "Degrees, minutes and seconds were made decimal degrees.",
    ),
    "hemisphere_removed": (
        "緯度・経度の「北緯」「東経」、N・E を除きました。",
        "北緯, 東経, N or E was removed from a coordinate.",
    ),
}
