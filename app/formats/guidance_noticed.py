"""What the codes of notices say to the clerk, in Japanese and English; it quotes no value."""

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
