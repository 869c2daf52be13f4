"""What the codes of JSON, XML, archives, feeds and fixed-length files say; it quotes no value."""

_REFUSED: dict[str, tuple[str, str]] = {
    "file_dangerous": (
        "開くと極端に大きくなるか、危険な仕掛けのあるファイルのため、読みませんでした。"
        "元の表を、ふつうの表計算ソフトかCSVで保存し直してください。",
        "The file unpacks beyond all measure or holds a known trap, so it was not read. "
        "Save the original table again with ordinary software, or as CSV.",
    ),
    "file_encrypted": (
        "パスワードがかかっています。パスワードを外して保存し直してください。",
        "The file is locked with a password. Save it without one.",
    ),
    "file_damaged": (
        "ファイルが壊れているか、途中で切れています。元のファイルを開けることを確かめ、もう一度送ってください。",
        "The file is damaged or cut short. Check that the original opens, and send it again.",
    ),
    "archive_method_unknown": (
        "この圧縮方式は扱えません。Windowsの「ZIPファイルに圧縮」などの標準の方式で圧縮し直すか、"
        "展開して送ってください。",
        "This method of compression is not known here. Pack it again as an ordinary ZIP, or send "
        "the files unpacked.",
    ),
    "archive_too_deep": (
        "圧縮ファイルの中の圧縮ファイルに、さらに圧縮ファイルが入っています。展開して送ってください。",
        "There is an archive in an archive in an archive. Unpack it and send what is inside.",
    ),
    "archive_no_table": (
        "圧縮ファイルの中に、読める表がありません: {names}。表のファイルを入れ直してください。",
        "No file in the archive is a table: {names}. Put the table’s file in.",
    ),
    "file_is_binary": (
        "文字のファイルではなく、扱える形式でもありません。CSV、Excel、JSONのどれかで保存し直してください。",
        "This is no text, and no format known here. Save the table as CSV, Excel or JSON.",
    ),
    "json_invalid": (
        "{record}件目でJSONとして読めません（途中で切れているか、記号の誤り）。"
        "書き出し直したファイルを送ってください。",
        "At record {record} this is no JSON (cut short, or a wrong mark). Export the file again.",
    ),
    "json_rows_unknown": (
        "JSONの中のどれが行か決められません（見つかった並び: {names}）。"
        'rows={{"rows":"/result/records"}} のように、行の並びの場所を指定してください。',
        "It cannot be told where the rows of this JSON are (lists found: {names}). "
        'Say where, like rows={{"rows":"/result/records"}}.',
    ),
    "rows_wrong": (
        "行の場所の指定（rows）の「{name}」が正しくありません。rows（行の場所）と columns（見出し: 場所）を"
        "書いてください。",
        "“{name}” in the setting of rows is not right. Write rows (where the rows are) and columns "
        "(heading: place).",
    ),
    "xml_invalid": (
        "{line}行目でXMLとして読めません（途中で切れているか、タグの誤り）。"
        "書き出し直したファイルを送ってください。",
        "At line {line} this is no XML (cut short, or a wrong tag). Export the file again.",
    ),
    "xml_rows_unknown": (
        'XMLの中のどれが行か決められません（{path}）。rows={{"rows":"//Item","columns":'
        '{{"名称":"Name"}}}} のように、行の要素と列の場所を指定してください。',
        "It cannot be told which elements of this XML are rows ({path}). Say which, like "
        'rows={{"rows":"//Item","columns":{{"name":"Name"}}}}.',
    ),
    "fixed_width_unknown": (
        "区切り文字のない固定長のファイルのようです。fixed_width に、各項目の名前・開始位置・長さと文字コードを"
        "指定してください。",
        "This looks like fixed-length records without a delimiter. Say in fixed_width the name, "
        "start and length of each column, and the encoding.",
    ),
    "fixed_width_layout": (
        "固定長のレイアウト（fixed_width）の「{where}」が正しくありません。直してください。",
        "“{where}” in the fixed-length layout (fixed_width) is not right. Mend it.",
    ),
    "fixed_width_binary": (
        "固定長のレイアウトに2進・パック10進の数値（integer・packed）の列があるので、1件のバイト数"
        "（record_length）が要ります。数字が文字で書かれている列は text にしてください。",
        "The fixed-length layout has binary or packed numbers (integer, packed), so it needs the "
        "bytes of a record (record_length). Let columns whose digits are characters be text.",
    ),
    "fixed_width_length": (
        "ファイルは{size}バイトで、1件{length}バイトでは割り切れません（{rest}バイト余り）。"
        "レコード長（改行も数える）を確かめるか、ファイルを送り直してください。",
        "The file has {size} bytes, which {length} bytes a record do not divide ({rest} are left). "
        "Check the record length (line ends count), or send the file again.",
    ),
    "fixed_width_trailer": (
        "末尾レコードの件数（{said}）と、実際の件数（{counted}）が違います。"
        "途中の欠けがないか確かめ、送り直してください。",
        "The trailer counts {said} records, but there are {counted}. Check whether some are "
        "missing, and send the file again.",
    ),
    "fixed_width_sum": (
        "末尾レコードの「{label}」の合計（{said}）と、実際の合計（{counted}）が違います。"
        "途中の欠けや値の誤りがないか確かめ、送り直してください。",
        "The trailer says that “{label}” sums up to {said}, but it is {counted}. Check whether "
        "records are missing or wrong, and send the file again.",
    ),
}

_REJECTED: dict[str, tuple[str, str]] = {
    "json_line_invalid": (
        "この行はJSONとして読めません。括弧と引用符を確かめてください。",
        "This line is no JSON. Check its brackets and quotes.",
    ),
    "json_too_deep": (
        "入れ子が深すぎます。平らな形に直してください。",
        "Nested too deep. Make the record flat.",
    ),
    "json_duplicate_key": (
        "同じ名前の項目が二つあり、どちらが正しいか決められません。一つにしてください。",
        "A name stands twice, and which is meant cannot be told. Leave one.",
    ),
    "json_not_a_number": (
        "NaNや無限大は値ではありません。nullにするか、数値を書いてください。",
        "NaN and infinity are no values. Write null or a number.",
    ),
    "json_record_not_object": (
        "ほかの行と形が違います（項目名のない値）。項目名と値の組にしてください。",
        "Not of the shape of the other rows (a value without names). Write names and values.",
    ),
    "nul_character": (
        "NUL文字が入っています。その文字を消してください。",
        "There is a NUL character. Remove it.",
    ),
    "lone_surrogate": (
        "壊れた文字（対のないサロゲート）が入っています。元の文字に直してください。",
        "There is a broken character (a lone surrogate). Write the character that was meant.",
    ),
    "cell_over_limit": (
        "値が長すぎます（上限1 MB）。短くしてください。",
        "The value is too long (limit 1 MB). Make it shorter.",
    ),
    "shape_no_line": (
        "経路の点が2つ未満か、座標や順番が数値ではありません。shapes.txt の点を直してください。",
        "The shape has fewer than two points, or a point is no number. Mend shapes.txt.",
    ),
    "half_character": (
        "項目の境目で文字が半分に切れています。レイアウトの位置とこの行のずれを確かめてください。",
        "A character is cut in two at a column’s border. Check the layout and this row.",
    ),
    "unknown_character": (
        "文字コード表にない文字があります。外字などを確かめてください。",
        "There is a character that the encoding does not know. Check characters of your own.",
    ),
    "invalid_packed": (
        "パック10進数として読めません。レイアウトの位置と型を確かめてください。",
        "Not a packed decimal. Check the column’s place and type in the layout.",
    ),
    "invalid_zoned": (
        "ゾーン10進数として読めません。レイアウトの位置と型を確かめてください。",
        "Not a zoned decimal. Check the column’s place and type in the layout.",
    ),
}

_NOTICED: dict[str, tuple[str, str]] = {
    "json_one_record": (
        "一覧ではなく一つのレコードなので、1行の表として読みました。",
        "This is one record and no list: it was read as a table of one row.",
    ),
    "members_left_out": (
        "圧縮ファイルの中の、表として読まなかったファイル（{count}）: {names}",
        "Files in the archive that were not read as tables ({count}): {names}",
    ),
    "reference_dangling": (
        "「{label}」の{count}行は、{table} にないものを指しています。行は受け付けました。",
        "“{label}”: rows that refer to nothing in {table}: {count}. They were accepted.",
    ),
    "key_not_unique": (
        "本来のキー「{labels}」が空か重なっている行があるため（{count}行）、キーにしませんでした。",
        "“{labels}” should name each row but is empty or doubled (rows: {count}), so it is no key.",
    ),
    "xml_rows_proposed": (
        "指定がないので、最も多く繰り返す要素 {path} を行として読みました（列{count}）。"
        "違う場合は rows で指定してください。",
        "Nothing was said, so the element that repeats most, {path}, was read as the row "
        "(columns: {count}). If that is wrong, say which with rows.",
    ),
    "column_unreadable": (
        "列「{label}」は表に入れられない型（{type}）のため、読みませんでした。",
        "The column “{label}” ({type}) cannot stand in a table and was not read.",
    ),
}

STRUCTURED_WORDS = _REFUSED | _REJECTED | _NOTICED
