"""What the codes of rejected rows and cells say to the clerk, in Japanese and English; it quotes no
value."""

CELL_REJECTED: dict[str, tuple[str, str]] = {
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
    "expression_failed": (
        "対応付けの式がこの行では計算できません。式か、元の値を直してください。",
        "The mapping's expression fails on this row. Mend the expression, or the row.",
    ),
    "expression_too_costly": (
        "対応付けの式がこの行に時間をかけすぎます。式を簡単にしてください。",
        "The mapping's expression takes too much work on this row. Make it simpler.",
    ),
    "too_many_cells": (
        "見出しよりセルが多い行です。値の中の区切り文字を引用符で囲んでください。",
        "The row has more cells than the header. Put values that hold the delimiter in quotes.",
    ),
}
